"""Events and checkpoints need no id from the API: each is a row, even if several are equal, also in the store and sync."""

from __future__ import annotations

import sqlite3
import warnings
from pathlib import Path
from typing import Any

import pytest

import ftsql
from ftsql.sync.rounds import sync
from tests.answering import PATH, Answering, Asked, job, listed
from tests.conftest import At

JOB = "ftjob-00000"
EVENTS = f"SELECT id, message, position, key FROM fine_tuning_job_events WHERE fine_tuning_job_id = '{JOB}'"
COUNT = f"SELECT count(*), count(DISTINCT key) FROM fine_tuning_job_events WHERE fine_tuning_job_id = '{JOB}'"
Things = list[dict[str, Any]]


def event(message: str = "step", **fields: Any) -> dict[str, Any]:
    made = {
        "object": "fine_tuning.job.event",
        "created_at": 1_790_000_000,
        "level": "info",
        "message": message,
        **fields,
    }
    return {name: value for name, value in made.items() if value is not ...}


def serving(events: Things, *, status: str = "succeeded", kind: str = "events", **envelope: Any) -> Answering:
    """Serve a job and its objects, newest first."""
    over = {} if status == "succeeded" else {"finished_at": None, "fine_tuned_model": None}
    parent = job(0, status=status, **over)

    def answering(asked: Asked) -> Any:
        if asked.path == PATH:
            return {"data": [parent], "has_more": False}
        if asked.path == f"{PATH}/{JOB}":
            return parent
        if asked.path == f"{PATH}/{JOB}/{kind}":
            return {"data": listed(events, asked.query), "has_more": False, **envelope}
        return {"data": [], "has_more": False}

    return answering


def test_the_key_of_an_event_without_an_id_is_the_same_in_every_version(at: At) -> None:
    """The store and snapshots keep these keys: an event with another key would be shown twice."""
    _, db = at(serving([event(id=None)]))
    assert [key for *_, key in db.execute(EVENTS)] == [f"openai/{JOB}/=79b369e20b4726557980bdc38b1c9323-0"]


@pytest.mark.parametrize("id", [..., None, "", "event-1"])
@pytest.mark.parametrize("status", ["running", "succeeded"])
def test_three_equal_events_are_three_rows_and_two_more_are_five(at: At, tmp_path: Path, id: Any, status: str) -> None:
    events = [event(id=id)] * 3
    _, db = at(serving(events, status=status), store=tmp_path / "store.db")
    for _ in range(2):
        assert db.execute(COUNT).fetchall() == [(3, 3)]
    before = db.execute(EVENTS).fetchall()
    assert {row[0] for row in before} == {None if id is ... else id}
    events.extend([event(id=id)] * 2)
    if status == "running":
        for again in (db, ftsql.connect(store=tmp_path / "store.db")):
            assert again.execute(COUNT).fetchall() == [(5, 5)]
            assert {row[3] for row in before} <= {row[3] for row in again.execute(EVENTS)}  # keys do not change
        again.close()


@pytest.mark.parametrize("id", [..., "event-1"])
def test_equal_events_are_synced_twice_and_read_incrementally(at: At, tmp_path: Path, id: Any) -> None:
    events = [event(id=id)] * 3
    at(serving(events, status="running"))
    file = tmp_path / "jobs.db"
    for count in (3, 3, 5, 5):
        events[:] = [event("later", id=id) if number < count - 3 else event(id=id) for number in range(count)]
        for done in sync(file, tables=["jobs", "events"], store=tmp_path / "store.db"):
            assert not done.failed
        with sqlite3.connect(file) as db:
            found = db.execute("SELECT message, position FROM fine_tuning_job_events ORDER BY position").fetchall()
        db.close()
        assert found == [("step" if place < 3 else "later", place) for place in range(count)]


def test_some_with_an_id_and_some_without(at: At) -> None:
    events = [event("c", id="3"), event("b"), event("b"), event("a", id="1"), event("x", id="1"), event("a", id="9")]
    _, db = at(serving(events))
    for _ in range(2):
        rows = db.execute(EVENTS).fetchall()
        assert [row[:3] for row in rows] == [
            ("3", "c", 5), (None, "b", 4), (None, "b", 3), ("1", "a", 2), ("1", "x", 1), ("9", "a", 0)
        ]  # fmt: skip
        assert len({row[3] for row in rows}) == 6
        for row in rows:
            assert db.execute(f"{EVENTS} AND key = '{row[3]}'").fetchall() == [row]
    assert rows[0][3] == f"openai/{JOB}/3"  # the key of an object with its own id has that id


def test_the_position_is_the_order_of_the_api_and_0_the_oldest(at: At) -> None:
    """Events of one second have only the order of the list."""
    events = [event(f"m{number}", id=f"e{number * 7 % 250}") for number in range(250)]
    server, db = at(serving(events, has_more=...))
    sql = f"SELECT message, position FROM fine_tuning_job_events WHERE fine_tuning_job_id = '{JOB}' ORDER BY position"

    def answering(asked: Asked) -> Any:
        page = listed(events, asked.query)
        if asked.path.endswith("/events"):
            return {"data": page, "has_more": page[-1:] != events[-1:]}
        return serving(events)(asked)

    server, db = at(answering)
    expected = [(f"m{249 - place}", place) for place in range(250)]
    for _ in range(2):
        assert db.execute(sql).fetchall() == expected
    assert sum("/events" in request for request in server.requests) <= 6
    # The newest few objects need one page, unless their position is selected.
    server, db = at(answering)
    assert len(db.execute("SELECT message FROM fine_tuning_job_events(?) LIMIT 5", (JOB,)).fetchall()) == 5
    assert sum("/events" in request for request in server.requests) == 1


def test_an_id_that_a_new_event_has_too_shows_the_known_one_once(at: At) -> None:
    """The store has the old event by its id, the list by its content, so the whole list is read."""
    events = [event(f"a{number}", id=f"a{number}", created_at=1_790_000_100 - number) for number in range(10)]
    events += [event(f"m{number}", id=f"e{number}") for number in range(150)]
    serve = serving(events, status="running")

    def answering(asked: Asked) -> Any:
        page = listed(events, asked.query)
        return {"data": page, "has_more": page[-1:] != events[-1:]} if asked.path.endswith("/events") else serve(asked)

    server, db = at(answering)
    messages = f"SELECT message FROM fine_tuning_job_events WHERE fine_tuning_job_id = '{JOB}'"
    assert len(db.execute(messages).fetchall()) == 160
    events.insert(0, event("other", id="e5", created_at=1_790_000_200))
    for _ in range(2):
        server.asked.clear()
        assert db.execute(messages).fetchall() == [(each["message"],) for each in events]
        assert sum("/events" in request for request in server.requests) == 2


def test_positions_stay_when_events_are_added(at: At, tmp_path: Path) -> None:
    events = [event(f"m{number}", id=f"e{number}", created_at=1_790_000_000 - 10 * number) for number in range(150)]
    serve = serving(events, status="running")

    def answering(asked: Asked) -> Any:
        page = listed(events, asked.query)
        return {"data": page, "has_more": page[-1:] != events[-1:]} if asked.path.endswith("/events") else serve(asked)

    server, db = at(answering, store=tmp_path / "store.db")
    sql = f"SELECT id, position FROM fine_tuning_job_events WHERE fine_tuning_job_id = '{JOB}'"
    before: dict[Any, Any] = dict(db.execute(sql).fetchall())  # type: ignore[arg-type]
    assert sorted(before.values()) == [*range(150)]
    events[:0] = [event("new", id=f"n{number}", created_at=1_790_000_100) for number in range(3)]
    server.asked.clear()
    after: dict[Any, Any] = dict(db.execute(sql).fetchall())  # type: ignore[arg-type]
    assert sum("/events" in request for request in server.requests) == 1  # the other events come from the store
    assert {id: after[id] for id in before} == before
    assert [after[f"n{number}"] for number in range(3)] == [152, 151, 150]


@pytest.mark.parametrize("last", [event("z"), event("z", id=None), event("z", id=""), event("z", id="1")])
def test_a_page_that_goes_on_after_an_event_without_an_id_is_an_error(at: At, last: dict[str, Any]) -> None:
    _, db = at(serving([event(id="1"), last], has_more=True))
    with pytest.raises(
        ftsql.Error, match="goes on after events without an id of their own, so the rest cannot be requested"
    ):
        db.execute(COUNT).fetchall()


def test_equal_ids_over_several_pages_are_an_error_and_never_a_short_list(at: At) -> None:
    events = [event(f"m{number}", id="the-same") for number in range(150)]
    _, db = at(serving(events, has_more=True))
    with pytest.raises(ftsql.Error):
        db.execute(COUNT).fetchall()


def test_checkpoints_need_no_id_either(at: At) -> None:
    found = [{"step_number": number // 2, "metrics": {"step": number // 2}, "created_at": 5} for number in range(6)]
    _, db = at(serving(found, kind="checkpoints"))
    for _ in range(2):
        rows = db.execute(
            "SELECT id, step_number, position FROM fine_tuning_job_checkpoints WHERE fine_tuning_job_id = ?", (JOB,)
        ).fetchall()
        assert rows == [(None, number // 2, 5 - number) for number in range(6)]
    joined = "SELECT count(*) FROM fine_tuning_jobs j JOIN fine_tuning_job_checkpoints c ON c.fine_tuning_job_id = j.id"
    assert db.execute(joined).get == 6


@pytest.mark.parametrize("id", [[], {}, True, 7, 7.5])
def test_an_odd_id_of_an_event_is_no_reason_to_lose_it(at: At, id: Any) -> None:
    _, db = at(serving([event("b", id=id), event("a", id="1")]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = db.execute(EVENTS).fetchall()
    assert [row[:3] for row in rows] == [
        (str(id) if isinstance(id, float | int) and id is not True else None, "b", 1),
        ("1", "a", 0),
    ]


def test_results_have_their_place_in_the_file(at: At) -> None:
    from tests.answering import Response

    parent = job(0, result_files=["r1", "r2"])

    def answering(asked: Asked) -> Any:
        if asked.path.startswith("/files/"):
            return Response(b"step,train_loss\n1,0.5\n1,0.5\n")
        return {"data": [parent], "has_more": False} if asked.path == PATH else parent

    _, db = at(answering)
    for _ in range(2):
        rows = db.execute("SELECT file_id, step, position FROM fine_tuning_results(?)", (JOB,)).fetchall()
        assert rows == [("r1", 1, 0), ("r1", 1, 1), ("r2", 1, 2), ("r2", 1, 3)]
