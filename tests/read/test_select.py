"""SELECT: columns, joins of every shape, and the exact requests of each statement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql.sandbox import Fault, Sandbox
from tests.conftest import Connect, fill, gets

COLUMNS = (
    "id created_at error estimated_finish fine_tuned_model finished_at hyperparameters integrations metadata method "
    "model object organization_id result_files seed status trained_tokens training_file validation_file provider"
).split()
HIDDEN = "fine_tuning_job_id suffix extra_body raw key".split()


def rows(db: apsw.Connection, sql: str, *bindings: Any) -> list[tuple[Any, ...]]:
    return db.execute(sql, bindings).fetchall()


def test_star_shows_the_documented_columns_in_order_and_hides_the_rest(db: ftsql.Connection) -> None:
    shown = rows(db, "SELECT name, hidden FROM pragma_table_xinfo('fine_tuning_jobs', 'live')")
    assert [name for name, hidden in shown if not hidden] == COLUMNS
    assert [name for name, hidden in shown if hidden] == HIDDEN
    assert rows(db, "SELECT name FROM pragma_table_xinfo('fine_tuning_jobs', 'live') WHERE pk") == [("key",)]


def test_every_job_of_the_books_is_a_row_with_its_values(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 3, metadata={"team": "ads"}, error={}, hyperparameters=None)
    sandbox.add_job(id="ftjob-failed", status="failed", error={"code": "c", "message": "m", "param": None})
    by_id = {job["id"]: job for job in sandbox.jobs()}
    names = [*COLUMNS[:-1], "raw"]
    found = rows(db, f"SELECT {', '.join(names)} FROM fine_tuning_jobs")
    assert len(found) == 4
    for row in found:
        shown = dict(zip(names, row, strict=True))
        job = by_id[shown["id"]]
        assert json.loads(shown["raw"]) == job
        for name in COLUMNS[:-1]:
            value = job.get(name)
            if name == "error" and not any((value or {}).values()):
                value = None
            if name in ("estimated_finish", "finished_at") and value == 0:
                value = None
            text = shown[name]
            nested = isinstance(value, (dict, list))
            assert (json.loads(text) if nested else text) == value, name


# SQL, its GETs with 250 jobs (newest ftjob-00000), the number of rows
REQUESTS = [
    ("SELECT * FROM fine_tuning_jobs WHERE id = 'ftjob-00007'", ["/ftjob-00007"], 1),
    ("SELECT * FROM fine_tuning_jobs WHERE fine_tuning_job_id = 'ftjob-00007'", ["/ftjob-00007"], 1),
    ("SELECT * FROM fine_tuning_jobs('ftjob-00007')", ["/ftjob-00007"], 1),
    ("SELECT * FROM fine_tuning_jobs WHERE key = 'openai/ftjob-00007'", ["/ftjob-00007"], 1),
    ("SELECT * FROM fine_tuning_jobs WHERE key = 'other/ftjob-00007'", [], 0),
    ("SELECT * FROM fine_tuning_jobs WHERE id IN ('ftjob-00007', 'ftjob-00008')", ["/ftjob-00007", "/ftjob-00008"], 2),
    ("SELECT * FROM fine_tuning_jobs WHERE id IN (SELECT 'ftjob-00007')", ["/ftjob-00007"], 1),
    ("SELECT * FROM fine_tuning_jobs WHERE id = 'ftjob-none'", ["/ftjob-none"], 0),
    ("SELECT * FROM fine_tuning_jobs WHERE id = 'x' AND provider = 'openai'", ["/x"], 0),
    ("SELECT * FROM fine_tuning_jobs WHERE id = 'x' AND provider = 'azure'", [], 0),
    ("SELECT * FROM fine_tuning_jobs WHERE provider <> 'openai'", [], 0),
    ("SELECT * FROM fine_tuning_jobs WHERE provider IN ('azure', 'portkey')", [], 0),
    ("SELECT * FROM fine_tuning_jobs WHERE id IS NULL", [], 0),
    ("SELECT * FROM fine_tuning_jobs WHERE id = NULL", [], 0),
    ("SELECT * FROM fine_tuning_jobs WHERE created_at > NULL", [], 0),
    ("SELECT * FROM fine_tuning_jobs LIMIT 0", [], 0),
    ("SELECT * FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 5", ["?limit=20"], 5),
    ("SELECT * FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 5 OFFSET 2", ["?limit=20"], 5),
    ("SELECT * FROM fine_tuning_jobs LIMIT 5", ["?limit=5"], 5),
    ("SELECT * FROM fine_tuning_jobs LIMIT 150", ["?limit=100", "?limit=100&after=ftjob-00099"], 150),
    ("SELECT max(created_at) FROM fine_tuning_jobs", ["?limit=100"], 1),
    ("SELECT * FROM fine_tuning_jobs WHERE created_at >= 1790000000 - 60 * 50", ["?limit=100"], 51),
    ("SELECT * FROM fine_tuning_jobs WHERE created_at > 1790000000 - 60 * 99", ["?limit=100"], 99),
    (
        "SELECT * FROM fine_tuning_jobs WHERE created_at >= 1790000000 - 60 * 99",
        ["?limit=100", "?limit=100&after=ftjob-00099"],
        100,
    ),
    ("SELECT * FROM fine_tuning_jobs WHERE created_at BETWEEN 1790000000 - 600 AND 1790000000", ["?limit=100"], 11),
    ("SELECT * FROM fine_tuning_jobs WHERE created_at = 1790000000 - 600", ["?limit=100"], 1),
]
FULL = ["?limit=100", "?limit=100&after=ftjob-00099", "?limit=100&after=ftjob-00199"]
REQUESTS += [
    (sql, FULL, count)
    for sql, count in [
        ("SELECT count(*) FROM fine_tuning_jobs", 1),
        ("SELECT status, count(*) FROM fine_tuning_jobs GROUP BY status", 1),
        ("SELECT * FROM fine_tuning_jobs WHERE status = 'running'", 0),
        ("SELECT * FROM fine_tuning_jobs WHERE status = 'succeeded' AND model = 'x' LIMIT 1", 0),
        ("SELECT * FROM fine_tuning_jobs WHERE id = 'FTJOB-00007' COLLATE NOCASE", 1),
        ("SELECT * FROM fine_tuning_jobs ORDER BY id LIMIT 1", 1),
        ("SELECT * FROM fine_tuning_jobs ORDER BY created_at LIMIT 1", 1),
        ("SELECT a.id FROM fine_tuning_jobs a JOIN fine_tuning_jobs b ON a.id = b.id", 250),
        ("SELECT a.id FROM fine_tuning_jobs a JOIN fine_tuning_jobs b ON a.created_at = b.created_at + 60", 249),
        (
            "SELECT id, (SELECT count(*) FROM fine_tuning_jobs b WHERE b.created_at < a.created_at) FROM fine_tuning_jobs a",
            250,
        ),
        ("SELECT id FROM fine_tuning_jobs UNION ALL SELECT id FROM fine_tuning_jobs", 500),
    ]
]


@pytest.fixture(scope="module")
def long_list() -> Any:
    with Sandbox(jobs=0, speed=0) as started:
        fill(started, 250)
        yield started


@pytest.mark.parametrize(("sql", "requests", "count"), REQUESTS, ids=[sql[:90] for sql, *_ in REQUESTS])
def test_a_statement_sends_exactly_these_requests(
    long_list: Sandbox, monkeypatch: pytest.MonkeyPatch, sql: str, requests: list[str], count: int
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", long_list.base_url("openai"))
    monkeypatch.setenv("OPENAI_API_KEY", "k" * 20)
    db = ftsql.connect()
    long_list.requests.clear()
    try:
        assert len(rows(db, sql)) == count
    finally:
        db.close()
    assert gets(long_list) == requests


def promised(gets: int, pages: int, parallel: int) -> int:
    """Return the most requests for jobs by their ids: ``gets`` by one each, or the list in ``pages``."""
    return 2 * min(gets, pages) + 1 if parallel == 1 else 4 * min(gets, pages) + 32


@pytest.mark.parametrize("parallel", [1, 8])
@pytest.mark.parametrize("listed", [3, 20, 250])
def test_a_join_costs_no_more_than_promised(sandbox: Sandbox, connect: Connect, listed: int, parallel: int) -> None:
    db = connect(max_parallel=parallel)
    fill(sandbox, 1000)
    db.execute("CREATE TABLE mine (id TEXT)")
    db.executemany("INSERT INTO mine VALUES (?)", [(f"ftjob-{4 * number:05}",) for number in range(listed)])
    found = rows(db, "SELECT job.id FROM mine JOIN fine_tuning_jobs AS job ON job.id = mine.id")
    assert sorted(found) == sorted(rows(db, "SELECT id FROM mine"))
    assert 0 < len(sandbox.requests) <= promised(listed, 10, parallel)


@pytest.mark.parametrize("parallel", [1, 8])
def test_an_in_list_costs_no_more_than_promised(sandbox: Sandbox, connect: Connect, parallel: int) -> None:
    db = connect(max_parallel=parallel)
    ids = fill(sandbox, 250)
    for count in (1, 2, 3, 8, 250):
        sandbox.requests.clear()
        wanted = json.dumps(ids[-count:])
        found = rows(db, "SELECT id FROM fine_tuning_jobs WHERE id IN (SELECT value FROM json_each(?))", wanted)
        assert sorted(id for (id,) in found) == sorted(ids[-count:])
        assert len(sandbox.requests) <= promised(count, 3, parallel), count


JOINS = [
    "SELECT count(*) FROM mine JOIN fine_tuning_jobs j ON j.id = mine.id",
    "SELECT count(*) FROM fine_tuning_jobs j JOIN mine USING (id)",
    "SELECT count(*), count(j.id) FROM mine LEFT JOIN fine_tuning_jobs j ON j.id = mine.id",
    "SELECT mine.id FROM mine LEFT JOIN fine_tuning_jobs j ON j.id = mine.id WHERE j.id IS NULL ORDER BY 1",
    "SELECT id FROM fine_tuning_jobs WHERE id IN (SELECT id FROM mine) ORDER BY id",
    "SELECT id FROM fine_tuning_jobs WHERE id NOT IN (SELECT id FROM mine WHERE id IS NOT NULL) ORDER BY id",
    "SELECT id, (SELECT status FROM fine_tuning_jobs j WHERE j.id = mine.id) FROM mine ORDER BY id",
    "SELECT status, count(*) FROM fine_tuning_jobs GROUP BY status ORDER BY status",
    "SELECT id, rank() OVER (PARTITION BY status ORDER BY created_at, id) FROM fine_tuning_jobs ORDER BY id",
    "WITH j AS (SELECT * FROM fine_tuning_jobs WHERE status = 'failed') SELECT count(*) FROM j JOIN mine USING (id)",
    "SELECT DISTINCT status FROM fine_tuning_jobs ORDER BY 1",
    "SELECT count(DISTINCT id) FROM fine_tuning_jobs",
    "SELECT id FROM notes JOIN fine_tuning_jobs j ON j.id = notes.job WHERE notes MATCH 'good' ORDER BY id",
    "SELECT count(*) FROM in_file",
    "SELECT count(*) FROM in_temp",
    "SELECT a.id, b.id FROM fine_tuning_jobs a JOIN fine_tuning_jobs b ON a.created_at < b.created_at ORDER BY 1, 2",
    "SELECT id FROM mine WHERE EXISTS (SELECT 1 FROM fine_tuning_jobs j WHERE j.id = mine.id) ORDER BY id",
]


@pytest.mark.parametrize("sql", JOINS)
def test_joins_with_the_users_own_tables_equal_those_of_a_plain_table(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, sql: str
) -> None:
    ids = fill(sandbox, 30)
    for id in ids[::3]:
        sandbox.update_job(id, status="failed")
    db = connect(tmp_path / "own.db")
    db.execute(
        "CREATE TABLE mine (id TEXT, note TEXT); INSERT INTO mine VALUES (NULL, 'null'), ('ftjob-none', 'unknown');"
        "CREATE VIRTUAL TABLE notes USING fts5(job, body)"
    )
    db.executemany("INSERT INTO mine VALUES (?, 'mine')", [(id,) for id in ids[::4]])
    db.executemany("INSERT INTO notes VALUES (?, ?)", [(id, "a good run") for id in ids[::5]])
    db.execute(
        "CREATE VIEW in_file AS SELECT id FROM fine_tuning_jobs WHERE status = 'failed';"
        "CREATE TEMP VIEW in_temp AS SELECT id FROM live.fine_tuning_jobs WHERE status = 'failed'"
    )
    live = rows(db, sql)
    db.execute("CREATE TEMP TABLE plain AS SELECT *, key FROM live.fine_tuning_jobs")
    plain = sql.replace("fine_tuning_jobs", "plain").replace(
        "in_file", "(SELECT id FROM plain WHERE status = 'failed')"
    )
    assert live == rows(db, plain.replace("in_temp", "(SELECT id FROM plain WHERE status = 'failed')"))
    assert live


def test_nothing_of_ftsql_is_written_into_the_users_file(connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "own.db"
    connect(path).execute("CREATE TABLE mine (id)")
    plain = apsw.Connection(str(path))
    assert rows(plain, "SELECT name FROM sqlite_schema") == [("mine",)]
    plain.close()


def test_a_real_table_of_that_name_stands_before_the_api_but_live_is_always_the_api(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "snapshot.db"
    plain = apsw.Connection(str(path))
    plain.execute("CREATE TABLE fine_tuning_jobs (id)")
    plain.close()
    fill(sandbox, 2)
    db = connect(path)
    assert rows(db, "SELECT count(*) FROM fine_tuning_jobs") == [(0,)]
    assert rows(db, "SELECT count(*) FROM live.fine_tuning_jobs") == [(2,)]


def test_the_three_names_of_the_table_are_the_same_table(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 2)
    for name in ("fine_tuning_jobs", "main.fine_tuning_jobs", "live.fine_tuning_jobs"):
        assert rows(db, f"SELECT count(*) FROM {name}") == [(2,)]


def test_the_view_jobs_is_readable_by_people(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.add_job(
        id="ftjob-a", created_at=1_790_000_000, finished_at=1_790_003_600, status="failed",
        error={"code": "x", "message": "bad data", "param": None},
    )  # fmt: skip
    found = rows(db, "SELECT id, created, minutes, error_message FROM jobs")
    assert found == [("ftjob-a", "2026-09-21 14:13:20", 60.0, "bad data")]


def test_explain_query_plan_says_the_plan_in_words(db: ftsql.Connection) -> None:
    sql = "SELECT id FROM fine_tuning_jobs WHERE created_at >= 5 ORDER BY created_at DESC LIMIT 3"
    assert "list newest-first since limit" in str(rows(db, f"EXPLAIN QUERY PLAN {sql}"))


def test_a_local_table_stays_on_the_outside_of_a_join(sandbox: Sandbox, db: ftsql.Connection) -> None:
    db.execute("CREATE TABLE mine (id TEXT)")
    plan = rows(db, "EXPLAIN QUERY PLAN SELECT 1 FROM fine_tuning_jobs j JOIN mine ON mine.id = j.id")
    assert plan[0][-1].split()[1] == "mine"


def test_interleaved_and_nested_statements_have_a_look_each(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 150)
    first = db.execute("SELECT id FROM fine_tuning_jobs")
    next(first)
    second = db.execute("SELECT count(*) FROM fine_tuning_jobs")
    assert next(second) == (150,)
    assert len(list(first)) == 149
    assert len(sandbox.requests) == 4


def test_a_null_time_is_compared_as_sqlite_does(sandbox: Sandbox, db: ftsql.Connection) -> None:
    body = {"object": "list", "data": [{"id": f"j{n}"} for n in range(3)], "has_more": False}
    sandbox.fault(Fault(times=None, body=body))
    assert rows(db, "SELECT count(*) FROM fine_tuning_jobs WHERE created_at IS ?", None) == [(3,)]
    assert rows(db, "SELECT count(*) FROM fine_tuning_jobs WHERE created_at = ?", None) == [(0,)]
    assert rows(db, "SELECT id FROM fine_tuning_jobs WHERE id IS ?", None) == []


def test_max_requests_names_the_plan(sandbox: Sandbox, connect: Connect) -> None:
    fill(sandbox, 250)
    db = connect(max_requests=2)
    with pytest.raises(ftsql.Error, match=r"more than max_requests = 2 requests \(plan: list\)"):
        rows(db, "SELECT count(*) FROM fine_tuning_jobs")
    assert len(sandbox.requests) == 2
