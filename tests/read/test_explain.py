"""explain() predicts the cost of a statement without a request, and the statement keeps to it."""

from __future__ import annotations

from pathlib import Path

import pytest

import ftsql
from ftsql.errors import ProgrammingError
from ftsql.sandbox import Sandbox
from tests.answering import PATH, api, jobs, listed
from tests.conftest import At, Connect, fill

LIST = "SELECT status, count(*) FROM fine_tuning_jobs GROUP BY 1"
# SQL, then the lowest and highest predicted number of requests: with an empty store, and with a full one.
CASES: list[tuple[str, tuple[int, int | None], tuple[int, int | None]]] = [
    (LIST, (1, None), (4, 4)),
    ("SELECT * FROM fine_tuning_jobs WHERE status = 'running'", (1, None), (4, 4)),
    ("SELECT * FROM fine_tuning_jobs WHERE id = 'ftjob-00001'", (1, 1), (0, 0)),
    ("SELECT * FROM fine_tuning_jobs WHERE id = 'ftjob-00150'", (1, 1), (1, 1)),
    ("SELECT * FROM fine_tuning_jobs WHERE id IN ('ftjob-00001', 'ftjob-00150')", (0, None), (0, None)),
    ("SELECT * FROM fine_tuning_jobs WHERE key = 'other/x'", (0, 0), (0, 0)),
    ("SELECT * FROM fine_tuning_jobs WHERE provider = 'other'", (0, 0), (0, 0)),
    ("SELECT * FROM fine_tuning_jobs WHERE id IS NULL", (0, 0), (0, 0)),
    ("SELECT * FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 120", (1, None), (1, 2)),
    ("SELECT * FROM fine_tuning_jobs LIMIT 0", (0, 0), (0, 0)),
    ("SELECT * FROM fine_tuning_jobs WHERE created_at >= 1790000000 - 60 * 200", (1, None), (1, 4)),
    ("SELECT * FROM fine_tuning_jobs WHERE created_at >= 1789988000", (1, None), (2, 2)),
    ("SELECT * FROM fine_tuning_jobs WHERE created_at >= 1789991000", (1, None), (2, 2)),
    ("SELECT * FROM fine_tuning_jobs WHERE created_at > 1789991000", (1, None), (2, 2)),
    ("SELECT max(created_at) FROM fine_tuning_jobs", (1, None), (1, 4)),
    ("SELECT count(*) FROM fine_tuning_jobs a JOIN fine_tuning_jobs b ON a.seed = b.seed", (1, None), (4, 4)),
    ("""SELECT * FROM fine_tuning_jobs WHERE metadata_has(metadata, '{"a": "b"}')""", (1, None), (1, None)),
    ("SELECT 1", (0, 0), (0, 0)),
]


@pytest.mark.parametrize(
    ("sql", "cold", "warm"),
    [pytest.param(*case, id=case[0][:80], marks=pytest.mark.long if "JOIN" in case[0] else ()) for case in CASES],
)
def test_the_promised_number_is_the_number(
    sandbox: Sandbox,
    db: ftsql.Connection,
    monkeypatch: pytest.MonkeyPatch,
    sql: str,
    cold: tuple[int, int | None],
    warm: tuple[int, int | None],
) -> None:
    monkeypatch.setattr("ftsql.read.listing.SLOW_PAGE", float("inf"))
    fill(sandbox, 550)
    for place in (3, 150, 151, 300, 500):
        sandbox.update_job(f"ftjob-{place:05}", status="running", finished_at=None)
    for low, high in (cold, warm):
        sandbox.requests.clear()
        for _ in range(2):
            cost = db.ftsql.explain(sql)[-1]
            assert (cost.low, cost.high) == (low, high), [str(cost) for cost in db.ftsql.explain(sql)]
        assert sandbox.requests == []
        db.execute(sql).fetchall()
        assert low <= len(sandbox.requests) <= (10**6 if high is None else high)
        db.execute(LIST).fetchall()


def test_a_provider_without_an_order_is_listed_in_full(
    sandbox: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", sandbox.base_url("azure").removesuffix("/openai"))
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "k" * 20)
    fill(sandbox, 250)
    db = connect(providers="azure")
    assert db.ftsql.explain(LIST)[-1].number == "1 or more requests"
    db.execute(LIST).fetchall()
    assert db.ftsql.explain(LIST)[-1].number == "1 to 3 requests"


def test_an_order_that_no_page_has_shown_costs_nobody_knows_what_and_a_missing_has_more_one_page(at: At) -> None:
    found = jobs(250)
    single = api(found)
    server, db = at(lambda asked: {"data": listed(found, asked.query)} if asked.path == PATH else single(asked))
    newest = "SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 5"
    assert db.ftsql.explain(newest)[-1].number == "1 or more requests"
    assert "at least 20" in db.ftsql.explain(newest)[0].why
    db.execute(newest).fetchall()
    assert server.requests == ["?limit=20"]
    assert db.ftsql.explain(newest)[-1].number == "1 request"
    db.execute(LIST).fetchall()
    server.asked.clear()
    cost = db.ftsql.explain(LIST)[-1]
    db.execute(LIST).fetchall()
    assert cost.low <= len(server.asked) <= (cost.high or 0)
    db.ftsql.store.db.execute("UPDATE covers SET full_at = 0")
    assert db.ftsql.explain(LIST)[-1].number == "1 to 5 requests"
    server.asked.clear()
    db.execute(LIST).fetchall()
    assert len(server.asked) == 5


def test_a_mistake_in_the_sql_is_an_error(db: ftsql.Connection) -> None:
    with pytest.raises(Exception, match="no such column: nope"):
        db.ftsql.explain("SELECT nope FROM fine_tuning_jobs")


@pytest.mark.parametrize(
    "second", ["INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-a')", "SELECT 2"]
)
@pytest.mark.usefixtures("files")
def test_a_second_statement_is_refused_and_nothing_of_it_runs(
    sandbox: Sandbox, db: ftsql.Connection, second: str
) -> None:
    with pytest.raises(ProgrammingError, match="one statement at a time"):
        db.ftsql.explain(f"SELECT 1; {second}")
    assert sandbox.requests == []
    assert db.ftsql.explain("SELECT 1; -- and nothing else\n;")[-1].number == "0 requests"


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-a')",
        "UPDATE fine_tuning_jobs SET status = 'cancelled' WHERE status = 'running'",
        "DELETE FROM files WHERE purpose = 'x'",
        "SELECT cancel_job('ftjob-x')",
    ],
)
def test_what_a_statement_writes_is_said_to_cost_too(sandbox: Sandbox, db: ftsql.Connection, sql: str) -> None:
    costs = db.ftsql.explain(sql)
    assert costs[-2].what == "writes"
    assert costs[-1].high is None
    assert sandbox.requests == []


def test_what_cannot_be_asked_for_is_the_error_that_it_will_be(sandbox: Sandbox, db: ftsql.Connection) -> None:
    with pytest.raises(ProgrammingError, match="can only be read by fine_tuning_job_id"):
        db.ftsql.explain("SELECT * FROM fine_tuning_job_events")
    assert [cost.number for cost in db.ftsql.explain("SELECT * FROM models WHERE id = 'x'")] == ["1 request"] * 2


def test_the_reason_counts_the_jobs_that_had_not_finished(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 250)
    ids = ("ftjob-00150", "ftjob-00151")
    for id in ids:
        sandbox.update_job(id, status="running", finished_at=None)
    db.execute(LIST).fetchall()
    assert db.ftsql.explain(LIST)[0].why == (
        "1 page for new jobs, 1 for 2 jobs that had not finished; 1 more for each 100 new jobs"
    )
    for id in ids:
        sandbox.update_job(id, status="failed", finished_at=1_790_000_000)
    db.execute(LIST).fetchall()
    assert db.ftsql.explain(LIST)[0].why == "1 page for new jobs; 1 more for each 100 new jobs"


def test_a_scan_inside_another_costs_nothing_if_that_has_no_rows_and_nobody_knows_how_much_otherwise(
    db: ftsql.Connection,
) -> None:
    costs = db.ftsql.explain("SELECT count(*) FROM files CROSS JOIN models ON models.id = files.id")
    assert [(cost.low, cost.high) for cost in costs] == [(1, None), (0, None), (1, None)]


@pytest.mark.parametrize("table", ["fine_tuning_jobs", "jobs", "fine_tuning_job_events", "files"])
def test_without_a_key_it_says_what_the_statement_would_say(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    db = connect()
    with pytest.raises(ftsql.ConfigError, match="no provider is active: set OPENAI_API_KEY"):
        db.ftsql.explain(f"SELECT * FROM {table}")
    assert db.ftsql.explain("SELECT * FROM ftsql_columns")[-1].high == 0
    assert db.ftsql.explain("SELECT * FROM fine_tuning_jobs WHERE id IS NULL")[-1].high == 0


def test_only_the_providers_that_are_asked_are_counted(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    config = tmp_path / "providers.toml"
    config.write_text(f"[other]\nextends = 'openai'\nbase_url = '{sandbox.base_url('openai')}'\n")
    db = connect(config=config, providers=["openai", "other"])
    for condition, asked in (
        ("provider = 'other'", ["other"]), ("provider <> 'other'", ["openai"]), ("provider <> 'none'", ["openai", "other"]),
        ("provider = 'none'", []), ("key = 'other/x'", ["other"]),
    ):  # fmt: skip
        *parts, _ = db.ftsql.explain(f"SELECT id FROM fine_tuning_jobs WHERE {condition}")
        assert [name for name in ("openai", "other") if any(f"({name})" in part.what for part in parts)] == asked
