"""A statement that is run ahead to know its ids: it has no effect that anyone could notice, and never changes a row."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apsw
import apsw.ext
import pytest

import ftsql
import ftsql.dbapi
from ftsql.sandbox import Fault, Sandbox
from ftsql.sqlite import foresight
from tests.conftest import Connect, fill

IDS = [f"ftjob-{number:05}" for number in range(0, 100, 5)]
JOIN = "SELECT mine.id, job.status FROM mine JOIN fine_tuning_jobs AS job ON job.id = mine.id"


@pytest.fixture
def foreseen(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[foresight.Id]]:
    """What each run ahead has found."""
    found: list[Sequence[foresight.Id]] = []
    honest = foresight.foresee

    def noted(*arguments: Any) -> Sequence[foresight.Id]:
        found.append(honest(*arguments))
        return found[-1]

    monkeypatch.setattr(foresight, "foresee", noted)
    return found


@pytest.fixture
def db(sandbox: Sandbox, connect: Connect) -> ftsql.Connection:
    fill(sandbox, 100)
    db = connect()
    db.execute("CREATE TABLE mine (id TEXT, n INTEGER)")
    db.executemany("INSERT INTO mine VALUES (?, ?)", [(id, number) for number, id in enumerate(IDS)])
    return db


@pytest.mark.parametrize(
    ("sql", "bound", "ids"),
    [
        (JOIN, (), IDS),
        ("SELECT mine.id, job.status FROM mine LEFT JOIN fine_tuning_jobs AS job ON job.id = mine.id", (), IDS),
        (f"{JOIN} WHERE mine.n >= ? AND upper(mine.id) LIKE 'FT%'", (4,), IDS[4:]),
        (f"{JOIN} WHERE mine.n < :top ORDER BY mine.id", {"top": 9}, IDS[:9]),
        (f"SELECT id, status FROM fine_tuning_jobs WHERE id IN ({', '.join('?' * 5)})", IDS[:5], IDS[:5]),
        ("SELECT id, status FROM fine_tuning_jobs WHERE id IN (SELECT id FROM mine WHERE n % 2)", (), IDS[1::2]),
        ("SELECT status, count(*) FROM few CROSS JOIN fine_tuning_jobs job ON job.id = few.id GROUP BY 1", (), IDS[5:]),
        (f"SELECT id FROM fine_tuning_jobs WHERE provider = 'openai' AND id IN ('{IDS[0]}', '{IDS[1]}', '{IDS[2]}')",
         (), IDS[:3]),
        ("SELECT status FROM json_each(?) AS each JOIN fine_tuning_jobs job ON job.id = each.value",
         ('["ftjob-00001", "ftjob-00002", "ftjob-00003"]',), ["ftjob-00001", "ftjob-00002", "ftjob-00003"]),
        ("WITH some AS MATERIALIZED (SELECT id FROM mine WHERE n > 15) SELECT status FROM some JOIN fine_tuning_jobs "
         "USING (id)", (), IDS[16:]),
    ],
)  # fmt: skip
def test_the_ids_are_known_from_the_third_on(
    db: ftsql.Connection, foreseen: list[Sequence[foresight.Id]], sql: str, bound: Any, ids: list[str]
) -> None:
    db.execute("CREATE VIEW few AS SELECT id FROM mine WHERE n > 4")
    rows = db.execute(sql, bound).fetchall()
    assert [sorted(id for _, _, id in found) for found in foreseen] == [sorted(ids)]
    db.ftsql.store.clear()
    db.ftsql._session.settings = ftsql.Settings(max_parallel=1)
    assert sorted(db.execute(sql, bound).fetchall()) == sorted(rows)
    assert len(foreseen) == 1  # one after the other, nothing is run ahead


def test_gets_are_sent_side_by_side_and_no_more_than_allowed_at_once(sandbox: Sandbox, connect: Connect) -> None:
    fill(sandbox, 100)
    sandbox.fault(Fault(method="GET", times=None, latency=0.1))
    for parallel in (3, 8):
        db = connect(max_parallel=parallel)
        db.execute("CREATE TABLE mine (id TEXT)")
        db.executemany("INSERT INTO mine VALUES (?)", [(id,) for id in IDS])
        highest, stop = 0, threading.Event()

        def watch(workers: Any, stop: threading.Event = stop) -> None:
            nonlocal highest
            while not stop.wait(0.005):
                highest = max(highest, sum(1 for call in list(workers._calls) if not call.future.done()))

        (client,) = db.ftsql._session.clients.values()
        watcher = threading.Thread(target=watch, args=(client._workers,))
        watcher.start()
        assert len(db.execute(JOIN).fetchall()) == len(IDS)
        stop.set()
        watcher.join()
        assert highest == parallel


EFFECTS = [
    "SELECT CASE WHEN (SELECT status FROM fine_tuning_jobs j WHERE j.id = mine.id) IS NULL THEN cancel_job(mine.id) END "
    "FROM mine",
    "SELECT cancel_job(mine.id) FROM mine LEFT JOIN fine_tuning_jobs j ON j.id = mine.id WHERE j.id IS NULL",
    "SELECT cancel_job(id) FROM mine WHERE id NOT IN (SELECT j.id FROM mine m JOIN fine_tuning_jobs j ON j.id = m.id)",
    "SELECT iif(j.status = 'nothing', cancel_job(j.id), j.id) FROM mine JOIN fine_tuning_jobs j ON j.id = mine.id",
]


@pytest.mark.parametrize("sql", EFFECTS)
def test_what_has_an_effect_is_never_run_ahead(
    sandbox: Sandbox, db: ftsql.Connection, foreseen: list[Sequence[foresight.Id]], sql: str
) -> None:
    with pytest.raises(ftsql.Error) if "LEFT" in sql or "NOT IN" in sql or "CASE" in sql else _nothing():
        db.execute(sql).fetchall()
        raise ftsql.Error("nothing was refused")
    assert not any(foreseen)
    assert [request for request in sandbox.requests if request.method == "POST"] == []


def _nothing() -> Any:
    return pytest.raises(ftsql.Error, match="nothing was refused")


def test_an_effect_that_is_called_ahead_all_the_same_is_refused(db: ftsql.Connection) -> None:
    statements = db.ftsql._session.statements
    statements.noted = []
    try:
        with pytest.raises(ftsql.Error, match="cancel_job was not called: the statement is run ahead of itself"):
            db.execute("SELECT cancel_job('ftjob-00001')").fetchall()
    finally:
        statements.noted = None


def test_a_table_whose_rows_can_be_read_once_loses_none(
    db: ftsql.Connection, foreseen: list[Sequence[foresight.Id]]
) -> None:
    left = list(IDS)

    def rows(*_: Any, **__: Any) -> Iterator[tuple[str]]:
        while left:
            yield (left.pop(),)

    once: Any = rows
    once.columns, once.column_access = ("id",), apsw.ext.VTColumnAccess.By_Index
    apsw.ext.make_virtual_module(db, "once", once)
    found = db.execute("SELECT job.id FROM once JOIN fine_tuning_jobs AS job ON job.id = once.id").fetchall()
    assert sorted(str(id) for (id,) in found) == IDS
    assert foreseen == [()]


def test_a_function_and_a_collation_of_the_user_run_once_for_each_row(
    db: ftsql.Connection, foreseen: list[Sequence[foresight.Id]]
) -> None:
    called: list[str] = []

    def upper(*text: Any) -> Any:
        called.append(text[0])
        return text[0].upper()

    def compare(one: str, other: str) -> int:
        called.append(one)
        return (one > other) - (one < other)

    db.create_scalar_function("upper", upper, 1)
    assert len(db.execute(f"{JOIN} WHERE upper(mine.id) <> 'X'").fetchall()) == len(IDS)
    assert called == IDS
    db.create_collation("mine", compare)
    db.ftsql.store.clear()
    called.clear()
    assert len(db.execute(f"{JOIN} WHERE mine.id <> 'X' COLLATE mine").fetchall()) == len(IDS)
    assert len(called) == len(IDS)
    assert foreseen == [(), ()]


def test_a_function_of_the_user_in_a_generated_column_runs_once_for_each_row(
    db: ftsql.Connection, foreseen: list[Sequence[foresight.Id]]
) -> None:
    called: list[str] = []

    def mine(*values: Any) -> Any:
        called.append(values[0])
        return values[0]

    db.create_scalar_function("mine", mine, 1, deterministic=True)
    db.execute("CREATE TABLE made (n INTEGER, raw TEXT, id TEXT AS (mine(raw)) VIRTUAL)")
    db.execute("INSERT INTO made (n, raw) SELECT n, id FROM mine")
    called.clear()
    assert (
        len(db.execute("SELECT made.n, job.status FROM made JOIN fine_tuning_jobs job ON job.id = made.id").fetchall())
        == 20
    )
    assert called == [id for id in IDS for _ in range(2)]  # for the scan, and as SQLite checks the row again
    assert foreseen == [()]


def test_a_collation_with_any_name_is_never_run_ahead(
    db: ftsql.Connection, foreseen: list[Sequence[foresight.Id]]
) -> None:
    called: list[str] = []

    def compare(one: str, other: str) -> int:
        called.append(one)
        return (one > other) - (one < other)

    db.create_collation("de-DE", compare)
    assert len(db.execute(f"{JOIN} WHERE mine.id <> 'X' COLLATE \"de-DE\"").fetchall()) == len(IDS)
    assert len(called) == len(IDS)
    assert foreseen == [()]


def test_a_users_own_lower_is_not_called_by_a_statement_that_does_not_name_it(db: ftsql.Connection) -> None:
    called: list[Any] = []

    def lower(*values: Any) -> Any:
        called.append(values[0])
        return "odd"

    db.create_scalar_function("lower", lower, 1)
    assert len(db.execute(JOIN).fetchall()) == len(IDS)
    assert called == []


def test_a_progress_handler_that_stops_the_run_ahead_stops_the_statement(db: ftsql.Connection) -> None:
    stops = [False, True]
    ahead: list[bool] = []

    def stop() -> bool:
        if db.ftsql._session.statements.noted is not None and not ahead:
            ahead.append(True)
            return stops[1]
        return stops[0]

    db.set_progress_handler(stop, 1, id="users")
    with pytest.raises(apsw.InterruptError):
        db.execute(JOIN).fetchall()
    assert ahead == [True]


@pytest.mark.parametrize(
    "sql",
    [
        f"{JOIN} LIMIT 12",
        f"{JOIN} WHERE mine.n < 12 LIMIT 99 OFFSET 0",
        f"{JOIN} WHERE EXISTS (SELECT 1 FROM mine)",
        "SELECT id, status FROM limited JOIN fine_tuning_jobs USING (id)",
        f"{JOIN} WHERE mine.n + random() <> 0.5",
        f"{JOIN} WHERE (SELECT count(*) FROM ftsql_providers) > 0",
        "SELECT status FROM notes JOIN fine_tuning_jobs job ON job.id = notes.id WHERE notes MATCH 'good'",
    ],
)
def test_what_may_end_early_or_is_not_known_is_not_run_ahead(
    db: ftsql.Connection, foreseen: list[Sequence[foresight.Id]], sql: str
) -> None:
    db.execute("CREATE VIEW limited AS SELECT id FROM mine LIMIT 12")
    db.execute("CREATE VIRTUAL TABLE notes USING fts5 (id, body)")
    db.executemany("INSERT INTO notes VALUES (?, 'a good one')", [(id,) for id in IDS[:12]])
    assert len(db.execute(sql).fetchall()) >= 12
    assert not any(foreseen)


def test_the_users_traces_and_handlers_see_the_statement_once(
    db: ftsql.Connection, foreseen: list[Sequence[foresight.Id]]
) -> None:
    seen: list[str] = []
    rows: list[Any] = []
    steps = [0]

    def stepped() -> bool:
        steps[0] += 1
        return False

    def traced(cursor: Any, sql: str, bindings: Any) -> bool:
        seen.append(sql)
        return honest(cursor, sql, bindings)

    def row_traced(cursor: Any, row: Any) -> Any:
        rows.append(row)
        return row

    honest: Callable[..., bool] = db.exec_trace  # type: ignore[assignment]
    db.exec_trace = traced
    db.row_trace = row_traced
    db.set_progress_handler(stepped, 1, id="users")
    db.execute(JOIN).fetchall()
    assert len(foreseen[0]) == len(IDS)
    assert seen == [JOIN]
    assert len(rows) == len(IDS)
    before = steps[0]
    db.execute("SELECT count(*) FROM mine").fetchall()
    assert steps[0] > before > 0
    statements = {sql for (sql,) in db.execute("SELECT statement FROM ftsql_requests")}
    assert statements == {JOIN}


def test_a_cursor_with_its_own_trace_is_not_run_ahead(
    db: ftsql.Connection, foreseen: list[Sequence[foresight.Id]]
) -> None:
    cursor = db.cursor()
    cursor.exec_trace = lambda *_: True
    assert len(cursor.execute(JOIN).fetchall()) == len(IDS)
    assert not any(foreseen)


def test_as_many_ids_as_there_are_cost_no_time_and_no_request_too_many(
    sandbox: Sandbox, db: ftsql.Connection, foreseen: list[Sequence[foresight.Id]]
) -> None:
    db.execute(
        "INSERT INTO mine WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 50000) "
        "SELECT 'ftjob-none-' || n, n + 1000 FROM n"
    )
    found = db.execute(JOIN).fetchall()
    assert sorted(str(id) for id, _ in found) == IDS
    assert len(foreseen[0]) <= foresight.MOST_IDS
    assert len(sandbox.requests) <= 4 * 1 + 32  # the list has one page


def test_a_slow_statement_is_given_up_and_ends_as_it_would(
    db: ftsql.Connection, foreseen: list[Sequence[foresight.Id]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foresight, "STEPS", 1)
    monkeypatch.setattr(foresight, "SECONDS", -1.0)
    assert len(db.execute(JOIN).fetchall()) == len(IDS)
    assert len(foreseen[0]) < len(IDS)


def test_an_id_that_was_only_foreseen_never_fails_the_statement(sandbox: Sandbox, connect: Connect) -> None:
    fill(sandbox, 1000)
    db = connect(max_requests=20)
    db.execute("CREATE TABLE mine (id TEXT, other TEXT)")
    db.executemany("INSERT INTO mine VALUES (?, ?)", [(f"ftjob-{n:05}", f"ftjob-{n + 500:05}") for n in range(8)])
    # Run ahead, a has no row, so b seems to be asked for too.
    sql = (
        "SELECT a.id, b.id FROM mine LEFT JOIN fine_tuning_jobs a ON a.id = mine.id "
        "LEFT JOIN fine_tuning_jobs b ON b.id = iif(a.id IS NULL, mine.other, NULL)"
    )
    assert db.execute(sql).fetchall() == [(f"ftjob-{n:05}", None) for n in range(8)]
    assert len(sandbox.requests) <= 20


def test_pages_beside_gets_leave_enough_requests_for_the_gets(sandbox: Sandbox, connect: Connect) -> None:
    fill(sandbox, 3000)
    sandbox.fault(Fault(method="GET", times=None, latency=0.03))
    db = connect(max_requests=20)
    db.execute("CREATE TABLE mine (id TEXT)")
    db.executemany("INSERT INTO mine VALUES (?)", [(f"ftjob-{250 * n:05}",) for n in range(12)])
    scalar = "SELECT id, (SELECT status FROM fine_tuning_jobs job WHERE job.id = mine.id) FROM mine"  # not run ahead
    assert [status for _, status in db.execute(scalar).fetchall()] == ["succeeded"] * 12
    assert 12 < len(sandbox.requests) <= 20


def test_ctrl_c_ends_gets_that_are_under_way_side_by_side(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.fault(Fault(method="GET", times=None, latency=30.0))
    began = time.monotonic()
    timer = threading.Timer(0.3, db.interrupt)
    timer.start()
    with pytest.raises(apsw.InterruptError):
        db.execute(f"SELECT status FROM fine_tuning_jobs WHERE id IN ('{IDS[0]}', '{IDS[1]}', '{IDS[2]}')").fetchall()
    assert time.monotonic() - began < 2
    timer.join()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT mine.id, e.id FROM mine JOIN fine_tuning_job_events e ON e.fine_tuning_job_id = mine.id",
        "SELECT fine_tuning_job_id, id FROM fine_tuning_job_events WHERE fine_tuning_job_id IN (SELECT id FROM mine)",
        "SELECT mine.id, e.id FROM mine, fine_tuning_job_events(mine.id) e",
        "SELECT mine.id, e.id FROM mine LEFT JOIN fine_tuning_job_events e ON e.fine_tuning_job_id = mine.id",
    ],
)
def test_the_events_of_jobs_are_requested_ahead_and_are_the_same(
    sandbox: Sandbox, db: ftsql.Connection, connect: Connect, foreseen: list[Sequence[foresight.Id]], sql: str
) -> None:
    rows = sorted(db.execute(sql).fetchall())
    assert [id for _, _, id in foreseen[0]] == IDS
    asked = len(sandbox.requests)
    one = connect(max_parallel=1)
    one.execute("CREATE TABLE mine (id TEXT)")
    one.executemany("INSERT INTO mine VALUES (?)", [(id,) for id in IDS])
    assert sorted(one.execute(sql).fetchall()) == rows
    assert len(foreseen) == 1
    assert asked == len(sandbox.requests) - asked  # none too many


def test_the_parameters_of_a_statement_through_dbapi_are_known(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, foreseen: list[Sequence[foresight.Id]]
) -> None:
    fill(sandbox, 100)
    monkeypatch.setenv("OPENAI_API_KEY", "k" * 20)
    connection = ftsql.dbapi.connect(providers="openai", sandbox=sandbox)
    sql = f"SELECT id FROM fine_tuning_jobs WHERE id IN ({', '.join('?' * len(IDS))})"
    assert sorted(str(id) for (id,) in connection.cursor().execute(sql, IDS).fetchall()) == IDS
    assert [id for _, _, id in foreseen[0]] == IDS
    connection.close()
