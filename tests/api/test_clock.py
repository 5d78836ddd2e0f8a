"""A clock that was wrong: times in the future do not count, and no job becomes final too early."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import ftsql
from ftsql.api.provider import load
from ftsql.sandbox import Sandbox
from tests.answering import PATH, Asked, Server, api, job
from tests.conftest import At, Connect, fill, gets

COUNT = "SELECT count(*) FROM fine_tuning_jobs"
STATUS = "SELECT status FROM fine_tuning_jobs WHERE id = 'ftjob-00000'"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """How many seconds the machine's clock is ahead."""
    ahead = {"by": 0.0}
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + ahead["by"])
    return ahead


@pytest.mark.parametrize("max_age", [0.0, 60.0])
@pytest.mark.parametrize(
    "sql", [STATUS, "SELECT status FROM fine_tuning_jobs", "SELECT group_concat(status) FROM jobs"]
)
def test_a_store_written_by_a_clock_that_ran_ahead_shows_no_dead_job_as_running(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, clock: dict[str, float], max_age: float, sql: str
) -> None:
    fill(sandbox, 1, status="running", finished_at=None, fine_tuned_model=None)
    store = tmp_path / "store.db"
    clock["by"] = 7200.0
    ahead = connect(store=store, max_age=max_age)
    for _ in range(2):
        assert ahead.execute(sql).get == "running"
    clock["by"] = 0.0
    sandbox.update_job("ftjob-00000", status="failed", finished_at=1_790_000_000)
    for db in (ahead, connect(store=store, max_age=max_age)):
        sandbox.requests.clear()
        assert db.execute(sql).get == "failed"
    sandbox.update_job("ftjob-00000", status="cancelled")


def test_a_full_listing_of_the_future_covers_nothing(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, clock: dict[str, float]
) -> None:
    fill(sandbox, 250)
    store = tmp_path / "store.db"
    clock["by"] = 7200.0
    assert connect(store=store).execute(COUNT).get == 250
    clock["by"] = 0.0
    sandbox.requests.clear()
    assert connect(store=store).execute(COUNT).get == 250
    assert len(gets(sandbox)) == 3  # read in full again, and from now on
    sandbox.requests.clear()
    assert connect(store=store).execute(COUNT).get == 250
    assert len(gets(sandbox)) == 1


def test_events_that_were_marked_complete_in_the_future_are_requested_again(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, clock: dict[str, float]
) -> None:
    fill(sandbox, 1)
    sandbox.update_job("ftjob-00000", finished_at=int(time.time()) - 30)
    sql = "SELECT count(*) FROM fine_tuning_jobs j JOIN fine_tuning_job_events e ON e.fine_tuning_job_id = j.id"
    store = tmp_path / "store.db"
    clock["by"] = 7200.0
    count = connect(store=store).execute(sql).get
    clock["by"] = 0.0
    sandbox.requests.clear()
    assert connect(store=store).execute(sql).get == count
    assert any("events" in request for request in gets(sandbox))


def test_an_order_shown_in_the_future_is_shown_again(at: At, tmp_path: Path, clock: dict[str, float]) -> None:
    jobs = [job(number) for number in range(45)]
    server, _ = at(api(jobs))
    same = jobs[0]["created_at"] + 1  # of a whole page, which shows no order
    for by, newest, requests in ((7200.0, same - 1, 1), (0.0, same, 2), (0.0, same, 1)):
        clock["by"] = by
        db = ftsql.connect(store=tmp_path / "store.db")
        server.asked.clear()
        assert db.execute("SELECT created_at FROM fine_tuning_jobs ORDER BY 1 DESC LIMIT 1").get == newest
        assert len(server.requests) == requests
        db.close()
        if newest != same:
            jobs[:0] = [job(number, created_at=same) for number in range(100, 120)]


def test_a_day_limit_counts_what_was_created_in_the_future(
    sandbox: Sandbox, connect: Connect, files: None, tmp_path: Path, clock: dict[str, float]
) -> None:
    create = "INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-a')"
    clock["by"] = 7200.0
    connect(store=tmp_path / "store.db").execute(create)
    clock["by"] = 0.0
    with pytest.raises(ftsql.Error, match="max_creates_per_day = 1"):
        connect(store=tmp_path / "store.db", max_creates_per_day=1).execute(create)


def test_the_days_limit_counts_for_a_day_to_the_second(
    sandbox: Sandbox, connect: Connect, files: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = connect(max_creates_per_day=1)
    create = "INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-a')"
    db.execute(create)
    sent_at = int(str(db.execute("SELECT at FROM ftsql_writes").get))
    monkeypatch.setattr("time.time", lambda: sent_at + 86_399.5)
    with pytest.raises(ftsql.Error, match="max_creates_per_day = 1: 1 were sent in the last 24 hours"):
        db.execute(create)
    monkeypatch.setattr("time.time", lambda: sent_at + 86_400.5)
    db.execute(create)
    assert len(sandbox.jobs()) == 2


LATE: list[dict[str, Any]] = [
    {"finished_at": None},
    {"fine_tuned_model": None},
    {"finished_at": None, "fine_tuned_model": None},
    {"status": "failed", "finished_at": None},
    {"status": "cancelled", "finished_at": None},
]
FULL: list[dict[str, Any]] = [{}, {"status": "failed", "fine_tuned_model": None}, {"status": "cancelled"}]
NAMES = sorted(load(None, {"FTSQL_CONFIG": "/dev/null"})[0])


def _entry(name: str, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ftsql.Connection:
    """A connection by the provider's entry, whose address is the server's."""
    provider = load(None, {"FTSQL_CONFIG": "/dev/null"})[0][name]
    for variable, needed in provider.variables.items():
        if needed:
            monkeypatch.setenv(variable, "k" * 20)
    config = tmp_path / "providers.toml"
    config.write_text(f'[{name}]\nbase_url = "{server.base_url}"\npath = "{PATH}"\n')
    return ftsql.connect(config=config, providers=name)


@pytest.mark.parametrize("late", LATE, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_a_finished_job_with_missing_fields_is_requested_again_for_five_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: dict[str, float], name: str, late: dict[str, Any]
) -> None:
    lists_only = name == "anyapi"  # its list is requested every time
    found = [job(0, **late)]
    with Server(api(found)) as server:
        db = _entry(name, server, monkeypatch, tmp_path)
        sql = "SELECT fine_tuned_model, finished_at FROM fine_tuning_jobs WHERE id = 'ftjob-00000'"
        whole = job(0, **{key: value for key, value in late.items() if value is not None})
        assert db.execute(sql).fetchall() != [(whole["fine_tuned_model"], whole["finished_at"])]
        found[0] = whole
        server.asked.clear()
        assert db.execute(sql).fetchall() == [(whole["fine_tuned_model"], whole["finished_at"])]
        assert len(server.asked) == 1
        server.asked.clear()
        db.execute(sql).fetchall()
        assert lists_only or server.asked == []  # now it is final
        db.close()


@pytest.mark.parametrize("late", LATE, ids=str)
def test_a_finished_job_with_missing_fields_is_final_five_minutes_after_it_was_first_seen(
    at: At, clock: dict[str, float], late: dict[str, Any]
) -> None:
    server, db = at(api([job(0, **late)]))
    for by, requests in ((0, 1), (10, 1), (299, 1), (301, 1), (302, 0), (100_000, 0)):
        clock["by"] = float(by)
        server.asked.clear()
        db.execute("SELECT status FROM fine_tuning_jobs WHERE id = 'ftjob-00000'").fetchall()
        assert len(server.asked) == requests, by


@pytest.mark.parametrize("full", FULL, ids=str)
def test_a_finished_job_with_all_fields_is_final_at_once(at: At, full: dict[str, Any]) -> None:
    server, db = at(api([job(0, **full)]))
    for requests in (1, 0):
        server.asked.clear()
        db.execute("SELECT status FROM fine_tuning_jobs WHERE id = 'ftjob-00000'").fetchall()
        assert len(server.asked) == requests


def test_a_finished_job_that_runs_again_is_not_final(at: At, clock: dict[str, float]) -> None:
    found = [job(0, status="failed", finished_at=None)]
    _, db = at(api(found))
    sql = "SELECT status FROM fine_tuning_jobs WHERE id = 'ftjob-00000'"
    assert db.execute(sql).get == "failed"
    found[0] = job(0, status="running", finished_at=None, fine_tuned_model=None)
    assert db.execute(sql).get == "running"
    clock["by"] = 400.0
    found[0] = job(0, status="failed", finished_at=None)
    for _ in range(2):  # first seen so again
        assert db.execute(sql).get == "failed"
    found[0] = job(0, status="failed")
    assert db.execute("SELECT finished_at FROM fine_tuning_jobs WHERE id = 'ftjob-00000'").get == 1_790_001_000


def test_result_files_that_are_filled_in_late_are_read(at: At, clock: dict[str, float]) -> None:
    found = [job(0, finished_at=None)]
    serving = api(found)

    def answering(asked: Asked) -> Any:
        from tests.answering import Response

        return Response(b"step,train_loss\n1,0.5\n") if asked.path == "/files/file-r/content" else serving(asked)

    _, db = at(answering)
    sql = "SELECT step, train_loss FROM fine_tuning_results WHERE fine_tuning_job_id = 'ftjob-00000'"
    assert db.execute(sql).fetchall() == []
    found[0] = job(0, result_files=["file-r"])
    assert db.execute(sql).fetchall() == [(1, 0.5)]
