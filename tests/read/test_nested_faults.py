"""Faults while events are read: the result is all events or an error, and no wrong row is stored."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql.errors import Error, NotSupportedError, OperationalError, ProgrammingError, StoreError
from ftsql.sandbox import Fault, Sandbox
from tests.conftest import Connect, fill, gets
from tests.read.nested import paged, wait_for_workers

JOIN = "SELECT {} FROM fine_tuning_jobs j JOIN fine_tuning_job_events e ON e.fine_tuning_job_id = j.id"
COUNT = "SELECT count(*) FROM fine_tuning_job_events('ftjob-00000')"
EVENTS = r"00000/events"
Page = dict[str, Any]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftsql.api.retry.random.uniform", lambda low, high: 0.001)


@pytest.fixture(autouse=True)
def _nothing_under_way(sandbox: Sandbox) -> Iterator[None]:
    yield
    wait_for_workers()


def _always(**fields: Any) -> Fault:
    return Fault(path=EVENTS, times=None, **fields)


def _second(**fields: Any) -> Fault:
    return Fault(path=EVENTS, times=None, after=1, **fields)


def _lie(change: Callable[[Page], Any]) -> Fault:
    return _always(transform=change)


def _once(**fields: Any) -> Fault:
    return Fault(path=EVENTS, **fields)


def _first_again() -> Fault:
    first: list[Page] = []

    def again(page: Page) -> Page:
        first.append(page)
        return first[0]

    return _always(transform=again)


GONE = {"error": {"message": "Could not find fine tune: x", "code": "fine_tune_not_found", "param": "fine_tune_id"}}
# The fault; whether it causes an error (None: both are right).
FAULTS: dict[str, tuple[Callable[[], Fault], bool | None]] = {
    "the first page for ever": (_first_again, True),
    "more for ever": (lambda: _lie(lambda page: {**page, "has_more": True}), True),
    "an empty page that has more": (lambda: _lie(lambda page: {**page, "data": [], "has_more": True}), True),
    "an empty second page that has more": (lambda: _second(transform=lambda page: {**page, "data": [], "has_more": True}), True),
    "it counts more than it shows": (lambda: _lie(lambda page: {**page, "has_more": False, "total": 10_000}), True),
    "each page backwards": (lambda: _lie(lambda page: {**page, "data": page["data"][-2::-1] + page["data"][-1:]}), False),
    "no has_more": (lambda: _lie(lambda page: {name: page[name] for name in page if name != "has_more"}), False),
    "has_more is no truth": (lambda: _lie(lambda page: {**page, "has_more": "no"}), True),
    "an array": (lambda: _lie(lambda page: page["data"]), False),
    "no data": (lambda: _lie(lambda page: {"object": "list"}), True),
    "no event is an object": (lambda: _lie(lambda page: {**page, "data": [7]}), True),
    "null": (lambda: _always(body="null"), True),
    "an HTML page": (lambda: _always(body="<html>"), True),
    "a broken second body": (lambda: _second(body='{"data": [{"id": "x"'), True),
    "a body cut off, once": (lambda: _once(truncate=40), False),
    "a body cut off, always": (lambda: _always(truncate=40), True),
    "the second body cut off": (lambda: _second(truncate=40), True),
    "a 500, once": (lambda: _once(status=500), False),
    "a 500 in the middle": (lambda: _second(status=500), True),
    "a dropped connection, once": (lambda: _once(drop=True), False),
    "dropped connections in the middle": (lambda: _second(drop=True), True),
    "not found in the middle": (lambda: _second(status=404, body=GONE), True),
    "not found, though the job exists": (lambda: _always(status=404, body=GONE), True),
    "no such address": (lambda: _always(status=404, body={"detail": "Not Found"}), True),
    "no such cursor": (lambda: _second(status=400, body={"error": {"message": "bad cursor"}}), True),
    "forbidden in the middle": (lambda: _second(status=403), True),
}  # fmt: skip


def test_a_job_that_the_statement_has_got_is_not_asked_for_again_to_see_whether_it_exists(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    fill(sandbox, 1)
    sandbox.fault(_always(status=404, body=GONE))
    with pytest.raises(OperationalError, match='says "not found", but ftjob-00000 exists'):
        db.execute(JOIN.format("count(*)") + " WHERE j.id = 'ftjob-00000'").fetchall()
    assert gets(sandbox) == ["/ftjob-00000", "/ftjob-00000/events?limit=100"]


@pytest.mark.parametrize("what", FAULTS)
@pytest.mark.parametrize("status", ["succeeded", "running"])
@pytest.mark.long
def test_all_events_or_an_error_and_all_of_them_once_it_is_over(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, what: str, status: str
) -> None:
    fill(sandbox, 2)
    sandbox.update_job("ftjob-00000", status=status, finished_at=1_790_009_000 if status == "succeeded" else None)
    count = len(paged(sandbox, "ftjob-00000", "events"))
    assert count > 100
    made, fails = FAULTS[what]
    sql = f"{JOIN.format('count(*)')} WHERE j.id = 'ftjob-00000'"
    for known in (False, True):
        db = connect(store=tmp_path / f"store-{known}.db")
        if known:  # an earlier statement has read it
            sandbox.update_job("ftjob-00000", status="running", finished_at=None)
            assert db.execute(sql).get == count
            sandbox.update_job("ftjob-00000", status=status)
        sandbox.fault(made())
        try:
            assert db.execute(sql).get == count, "while it lasts"
            assert not fails or known
        except Error:
            assert fails
        sandbox.clear_faults()
        for number in range(3):
            assert db.execute(sql).get == count, f"afterwards, {number}"
        assert connect(store=tmp_path / f"store-{known}.db").execute(COUNT).get == count


def test_events_that_turn_up_late_are_found(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 1)
    sandbox.update_job("ftjob-00000", status="running", finished_at=None)
    count = len(paged(sandbox, "ftjob-00000", "events"))
    hidden = 7
    sandbox.fault(
        _lie(lambda page: {**page, "data": [thing for thing in page["data"] if int(thing["id"][-4:], 16) % hidden]})
    )
    db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall()
    assert db.execute(COUNT).get < count
    hidden = 2**20  # the list lagged
    # All events were of the last minutes.
    db.ftsql.store.db.execute("UPDATE covers SET horizon = 1 WHERE resource LIKE '%/%'")
    assert db.execute(COUNT).get == count


@pytest.mark.long
def test_a_failure_read_ahead_comes_when_it_is_due(sandbox: Sandbox, db: ftsql.Connection) -> None:
    """The second page of jobs fails: the rows before it are returned, and no row is missing without an error."""
    fill(sandbox, 250)
    sandbox.fault(
        Fault(path="events", times=None, transform=lambda page: {**page, "data": page["data"][:1], "has_more": False})
    )
    sandbox.fault(Fault(path="jobs$", times=None, after=1, status=400))
    rows: list[Any] = []
    with pytest.raises(Error):
        rows.extend(row for row in db.execute(JOIN.format("e.key")))
    assert len(rows) == 100


def test_a_job_that_is_cancelled_further_down_shows_it(sandbox: Sandbox, db: ftsql.Connection, files: None) -> None:
    fill(sandbox, 12)
    for place in range(12):
        sandbox.update_job(f"ftjob-{place:05}", status="running", finished_at=None)
    acts = "cancel_job(iif(j.id < 'ftjob-00003', 'ftjob-00000', 'ftjob-00005'))"
    rows: list[Any] = db.execute(JOIN.format(f"j.id, j.status, {acts}")).fetchall()
    assert {status for id, status, _ in rows if id == "ftjob-00005"} == {"cancelled"}
    assert {status for id, status, _ in rows if id > "ftjob-00005"} == {"running"}


@pytest.mark.parametrize("sql", [JOIN.format("e.id"), "SELECT id FROM fine_tuning_job_events('{}')"])
@pytest.mark.long
def test_an_interrupt_ends_it_at_once_and_leaves_nothing_behind(
    sandbox: Sandbox, db: ftsql.Connection, sql: str
) -> None:
    fill(sandbox, 60)
    sandbox.fault(Fault(path="events", times=None, after=3, latency=3.0))
    sql = sql.replace("{}", json.dumps([f"ftjob-{place:05}" for place in range(60)]))
    timer = threading.Timer(0.4, db.interrupt)
    timer.start()
    began = time.monotonic()
    with pytest.raises(apsw.InterruptError):
        db.execute(sql).fetchall()
    assert time.monotonic() - began < 0.9
    timer.join()
    sandbox.clear_faults()
    sandbox.requests.clear()
    began = time.monotonic()
    assert db.execute(COUNT).get > 100
    assert time.monotonic() - began < 1.0
    assert len([request for request in sandbox.requests if "00000/" not in request.path]) == 0


def test_a_store_that_is_cleared_meanwhile_is_an_error_or_all_rows(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftsql.read.other_resources.CHUNK", 2)
    fill(sandbox, 1)
    one, two = (connect(store=tmp_path / "store.db") for _ in range(2))
    one.execute(JOIN.format("1")).fetchall()
    cursor = one.execute("SELECT id FROM fine_tuning_job_events('ftjob-00000')")
    next(cursor)
    two.ftsql.store.clear()
    with pytest.raises(StoreError, match="was cleared while it was read"):
        cursor.fetchall()
    assert one.execute(COUNT).get == two.execute(COUNT).get > 100


def test_two_connections_to_one_store_read_the_same_job_at_once(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    fill(sandbox, 1)
    sandbox.update_job("ftjob-00000", status="running", finished_at=None)
    one, two = (connect(store=tmp_path / "store.db") for _ in range(2))
    count = len(paged(sandbox, "ftjob-00000", "events"))
    cursors = [db.execute("SELECT id FROM fine_tuning_job_events('ftjob-00000')") for db in (one, two)]
    assert [next(cursor) for cursor in cursors]
    assert [len(cursor.fetchall()) for cursor in cursors] == [count - 1, count - 1]
    assert one.execute(COUNT).get == two.execute(COUNT).get == count


ODD = {
    "a job whose id is no segment": (JOIN.format("count(*)"), NotSupportedError, "its id is not allowed in a URL"),
    "a right join": (JOIN.format("count(*)").replace("fine_tuning_jobs j JOIN fine_tuning_job_events e",
                     "fine_tuning_job_events e RIGHT JOIN fine_tuning_jobs j"), ProgrammingError, "write WHERE"),
    "a full join": (JOIN.format("count(*)").replace(" JOIN", " FULL JOIN"), ProgrammingError, "write WHERE"),
}  # fmt: skip


@pytest.mark.parametrize("what", ODD)
def test_what_cannot_be_answered_is_an_error(sandbox: Sandbox, db: ftsql.Connection, what: str) -> None:
    fill(sandbox, 2)
    if "segment" in what:
        sandbox.add_job(id="a b/c", created_at=1_700_000_000)
    sql, error, words = ODD[what]
    with pytest.raises(error, match=words):
        db.execute(sql).fetchall()


def test_an_id_in_an_array_twice_gives_its_rows_once(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 1)
    twice = json.dumps(["ftjob-00000"] * 2)
    assert db.execute(f"SELECT count(*), count(DISTINCT key) FROM fine_tuning_job_events('{twice}')").fetchall() == [
        (db.execute(COUNT).get,) * 2
    ]


def test_a_key_finds_an_event_whatever_its_id_is(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 1)
    event = {"id": "a/b/c", "created_at": 1, "object": "fine_tuning.job.event"}
    sandbox.fault(_lie(lambda page: {**page, "data": [event], "has_more": False}))
    sql = "SELECT id FROM fine_tuning_job_events WHERE key = 'openai/ftjob-00000/a/b/c'"
    assert db.execute(sql).fetchall() == [("a/b/c",)]


def test_an_argument_that_another_table_gives_is_the_functions_own(sandbox: Sandbox, db: ftsql.Connection) -> None:
    """An array equals no row's value: only the function can match it, whatever else narrows the scan."""
    fill(sandbox, 2)
    db.execute("""CREATE TABLE lists AS SELECT '["ftjob-00000", "ftjob-00001"]' AS ids""")
    for join in ("lists, fine_tuning_job_events e", "fine_tuning_job_events e, lists"):
        sql = f"SELECT count(*) FROM {join} WHERE e.job_id = lists.ids AND e.fine_tuning_job_id = 'ftjob-00000'"
        assert db.execute(sql).get == db.execute(COUNT).get


def test_a_trigger_asks_for_each_row_once(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 3)
    db.execute("CREATE TABLE mine (id TEXT); CREATE TABLE log (id TEXT)")
    db.execute("CREATE TEMP TRIGGER told AFTER INSERT ON mine BEGIN INSERT INTO log SELECT fine_tuning_job_id "
               "FROM live.fine_tuning_job_events WHERE fine_tuning_job_id = NEW.id; END")  # fmt: skip
    sandbox.requests.clear()
    db.execute("INSERT INTO mine VALUES ('ftjob-00000'), ('ftjob-00001'), ('ftjob-00000')")
    logged: list[Any] = db.execute("SELECT id, count(*) FROM log GROUP BY 1").fetchall()
    assert dict(logged) == {
        f"ftjob-0000{place}": (2 - place) * len(paged(sandbox, f"ftjob-0000{place}", "events")) for place in (0, 1)
    }


def test_a_limit_on_requests_is_not_kept_as_an_end(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    fill(sandbox, 1)
    few = connect(store=tmp_path / "store.db", max_requests=1)
    with pytest.raises(OperationalError, match="max_requests"):
        few.execute(COUNT).fetchall()
    assert connect(store=tmp_path / "store.db").execute(COUNT).get == len(paged(sandbox, "ftjob-00000", "events"))
