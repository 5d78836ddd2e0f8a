"""Events and checkpoints in a snapshot: the jobs that a round reads, its requests, and the rows that it deletes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import ftsql
from ftsql.sandbox import Fault, Sandbox
from ftsql.sync.rounds import Sync
from tests.conftest import Connect, fill, gets
from tests.sync.fixtures import changed, once, read

EVENTS = "fine_tuning_job_events"


@pytest.fixture
def db(connect: Connect) -> ftsql.Connection:
    return connect()


def asked(sandbox: Sandbox, db: ftsql.Connection, path: Path, tables: str = "events") -> list[str]:
    """Return the jobs whose events or checkpoints the next round requests."""
    sandbox.requests.clear()
    assert not once(db, path, tables=tables.split(",")).failed
    return sorted({request.split("/")[1] for request in gets(sandbox) if request.count("/") == 2})


def test_a_finished_jobs_events_are_read_once_and_an_active_ones_until_it_has_finished(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.db"
    ids = fill(sandbox, 3)
    sandbox.update_job(ids[0], status="running", finished_at=None)
    assert asked(sandbox, db, path) == ids
    assert asked(sandbox, db, path) == ids[:1]
    sandbox.update_job(ids[0], status="succeeded", finished_at=int(time.time()))
    assert asked(sandbox, db, path) == ids[:1]
    assert asked(sandbox, db, path) == ids[:1], "what it leaves behind may come a little later than its end"
    counts = f"SELECT fine_tuning_job_id, count(*) FROM {EVENTS} GROUP BY 1 ORDER BY 1"
    assert read(path, counts) == db.execute(f"{counts.replace(EVENTS, EVENTS + '(?)')}", (str(ids).replace("'", '"'),)).fetchall()  # fmt: skip
    state = 'SELECT "table", rows, error FROM sync_state ORDER BY 1'
    assert read(path, state) == [(EVENTS, 324, None), ("fine_tuning_jobs", 3, None)]


def test_a_job_that_finished_long_ago_by_our_clock_is_not_read_again(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.db"
    ids = fill(sandbox, 3)
    sandbox.update_job(ids[0], finished_at=None)
    sandbox.update_job(ids[1], finished_at=int(time.time()) - 1000)  # the other clock may be behind
    over = "SELECT parent, finished FROM _sync_children ORDER BY 1"
    for _ in range(2):
        once(db, path, tables=["events"])
        assert read(path, over) == [(ids[0], 0), (ids[1], 0), (ids[2], 1)]
    changed(path, "UPDATE fine_tuning_jobs SET _synced_at = _synced_at - 121")
    once(db, path, tables=["events"])
    assert read(path, over) == [(id, 1) for id in ids]


@pytest.mark.long
def test_the_second_run_requests_one_page_and_the_active_jobs(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    path, store = tmp_path / "jobs.db", str(tmp_path / "store.db")
    ids = fill(sandbox, 250)
    sandbox.update_job(ids[150], status="running", finished_at=None)
    once(connect(store=store), path, tables=["events", "checkpoints"])
    assert len(gets(sandbox)) == 3 + 2 * 250 + 250
    sandbox.requests.clear()
    once(connect(store=store), path, tables=["events", "checkpoints"])
    at_work = f"/{ids[150]}"
    page = "?limit=100"
    expected = [page, at_work, f"{at_work}/checkpoints{page}", f"{at_work}/events{page}"]
    assert sorted(gets(sandbox)) == sorted(expected)
    sandbox.requests.clear()
    once(connect(store=store), path, tables=["jobs"])
    assert sorted(gets(sandbox)) == sorted(expected[:2])


def test_rows_of_a_deleted_job_are_deleted_with_it(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    ids = fill(sandbox, 2, status="running", finished_at=None)
    asked(sandbox, db, path, "events,checkpoints")
    sandbox.remove_job(ids[1])
    asked(sandbox, db, path, "events,checkpoints")
    for table in (EVENTS, "fine_tuning_job_checkpoints"):
        assert read(path, f"SELECT DISTINCT fine_tuning_job_id FROM {table}") == [(ids[0],)]
    assert read(path, "SELECT DISTINCT parent FROM _sync_children") == [(ids[0],)]


def test_a_round_reads_some_jobs_for_the_first_time_and_the_rest_comes_with_the_next(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftsql.sync.rounds.NEW_PARENTS_PER_ROUND", 4)
    path = tmp_path / "jobs.db"
    ids = fill(sandbox, 10)
    sandbox.update_job(ids[9], status="running", finished_at=None)
    syncing = Sync(db, path, ["events"])
    rounds = syncing.rounds()
    first = next(rounds)
    assert read(path, f"SELECT DISTINCT fine_tuning_job_id FROM {EVENTS} ORDER BY 1") == [(id,) for id in (*ids[:4], ids[9])]  # fmt: skip
    assert not first.complete
    assert read(path, "SELECT count(*) FROM jobs") == [(10,)]
    assert read(path, "SELECT synced_at FROM sync_state WHERE \"table\" LIKE '%events'") == [(None,)]
    assert len(list(rounds)) == 2
    assert read(path, f"SELECT count(*), count(DISTINCT key) FROM {EVENTS}") == [(1080, 1080)]
    assert read(path, "SELECT count(*) FROM sync_state WHERE synced_at > 0") == [(2,)]
    syncing.close()


def test_jobs_are_synced_even_if_their_events_fail(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    ids = fill(sandbox, 2)
    sandbox.fault(Fault(status=403, path=f"/{ids[1]}/events", times=None))
    done = once(db, path, tables=["events", "checkpoints"])
    assert [change.error is None for change in done.changes] == [True, False, True]
    assert read(path, f"SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM {EVENTS})") == [(2, 0)]
    sandbox.clear_faults()
    assert not once(db, path, tables=["events", "checkpoints"]).failed
    assert read(path, f"SELECT count(*) FROM {EVENTS}") == [(216,)]


def test_a_provider_without_events_does_not_fail(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELNYX_BASE_URL", sandbox.base_url("telnyx"))
    monkeypatch.setenv("TELNYX_API_KEY", "any")
    fill(sandbox, 2)
    path = tmp_path / "jobs.db"
    done = once(connect(providers=["telnyx"]), path, tables=())
    assert not done.failed
    assert "event" not in str(done)


def test_a_file_of_jobs_gets_events_later_and_none_of_its_jobs_is_forgotten(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.db"
    ids = fill(sandbox, 2)
    once(db, path, tables=["jobs"])
    assert read(path, f"SELECT name FROM sqlite_schema WHERE name = '{EVENTS}'") == []
    assert asked(sandbox, db, path) == ids
    assert read(path, f"SELECT count(*) FROM {EVENTS}") == [(216,)]


def test_files_and_models_are_synced_if_they_are_named(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    kept, gone = (sandbox.add_file()["id"] for _ in range(2))
    once(db, path, tables=["files", "models"])
    for table in ("files", "models"):
        assert read(path, f"SELECT id FROM {table} ORDER BY 1") == db.execute(f"SELECT id FROM {table} ORDER BY 1").fetchall()  # fmt: skip
    assert {gone, kept} <= {id for (id,) in read(path, "SELECT id FROM files")}
    sandbox.fault(Fault(status=403, path="/v1/models", times=None))
    done = once(db, path, tables=["files", "models"])
    assert [change.table for change in done.changes if change.error] == ["models"]
    assert read(path, "SELECT count(*) > 5 FROM models") == [(1,)]


def test_results_are_synced_file_by_file_and_those_of_a_finished_job_once(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.db"
    content = b"step,train_loss\n1,1.5\n2,1.25\n"
    for name in ("a", "b"):
        sandbox.add_file(id=f"file-{name}", content=content, purpose="fine-tune-results", filename="step_metrics.csv")
        sandbox.add_job(id=f"ftjob-{name}", result_files=[f"file-{name}"])
    assert not once(db, path, tables=["results"]).failed
    rows = "SELECT key, fine_tuning_job_id, step, train_loss FROM fine_tuning_results{} ORDER BY 1"
    both = '(\'["ftjob-a", "ftjob-b"]\')'
    assert read(path, rows.format("")) == db.execute(rows.format(both)).fetchall()
    assert read(path, "SELECT count(*) FROM fine_tuning_results") == [(4,)]
    sandbox.requests.clear()
    assert not once(db, path, tables=["results"]).failed
    assert not [request for request in sandbox.requests if request.path.startswith("/v1/files")]
