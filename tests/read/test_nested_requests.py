"""The exact requests for events and checkpoints; they are parallel if the statement shows which it needs."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from typing import Any

import pytest

from ftsql.errors import ProgrammingError
from ftsql.sandbox import Fault
from tests.answering import Asked, Response, api, job, jobs, listed
from tests.conftest import At
from tests.read.nested_account import (
    ALL,
    ARRAY,
    ASKS,
    EVENTS,
    FEW,
    JOBS,
    JOIN,
    LIST,
    RUNNING,
    account,
    asked,
    events,
    name,
)


@pytest.mark.parametrize("what", ASKS)
@pytest.mark.long
def test_each_job_is_asked_for_once_and_a_finished_one_never_again(what: str) -> None:
    sql, besides, again = ASKS[what]
    with account() as (sandbox, db):
        assert Counter(asked(sandbox, db, sql, 5 * JOBS)) == Counter([*besides, *events(*ALL)])
        asked(sandbox, db, "SELECT count(*) FROM fine_tuning_jobs")
        asked(sandbox, db, sql, 5 * JOBS)
        assert Counter(asked(sandbox, db, sql, 5 * JOBS)) == Counter([*again, *events(*RUNNING)])


def test_jobs_that_no_statement_saw_are_asked_for_once_more_to_see_whether_they_have_finished() -> None:
    sql = f"{EVENTS} WHERE fine_tuning_job_id IN ('{name(1)}', '{name(3)}')"
    with account() as (sandbox, db):
        assert asked(sandbox, db, sql, 10) == events(1, 3)
        assert asked(sandbox, db, sql, 10) == [f"/{name(1)}", f"/{name(3)}", *events(3)]
        assert asked(sandbox, db, sql, 10) == events(3)


@pytest.mark.parametrize("what", ["a join", "IN (SELECT)", "an array"])
def test_many_jobs_are_asked_for_side_by_side(what: str) -> None:
    with account(latency=0.05) as (_, db):
        db.execute(ASKS[what][0]).fetchall()
        sent: list[Any] = db.execute(
            "SELECT at, at + milliseconds / 1000 FROM ftsql_requests WHERE path LIKE '%events%'"
        ).fetchall()
        most = max(sum(begin <= other < end for begin, end in sent) for other, _ in sent)
        assert 4 < most <= 8
        took = max(end for _, end in sent) - min(begin for begin, _ in sent)
        assert took < 0.05 * JOBS * 0.7


@pytest.mark.parametrize("table", ["fine_tuning_job_events", "fine_tuning_results"])
def test_the_first_job_is_asked_for_beside_the_others(at: At, table: str) -> None:
    found = [job(number, result_files=[f"file-{number}"]) for number in range(4)]
    all_asked = threading.Barrier(4)
    serving = api(found)

    def answering(asked: Asked) -> Any:
        if not asked.path.endswith(("/events", "/content")):
            return serving(asked)
        all_asked.wait(5)  # for the other requests
        if asked.path.endswith("/content"):
            return Response(b"step,train_loss\n1,0.5\n")
        return {"data": [{"id": "ev-1"}], "has_more": False}

    server, db = at(answering)
    db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall()
    array = json.dumps([one["id"] for one in found])
    assert db.execute(f"SELECT count(*) FROM {table}(?)", (array,)).get == 4
    assert len(server.requests) == 1 + 4


# The indices of the requested files, of forty in pages of ten (99: no such file); the requests.
BY_ID = {
    (5,): ["05"],
    (5, 25): ["05", "25"],
    (5, 25, 7): ["05", "25", "page 0"],
    (5, 25, 7, 8, 9): ["05", "25", "page 0"],
    (35, 34, 33, 32, 31): ["35", "34", "page 0", "page 1", "33", "page 2", "32", "page 3"],
    (0, 1, 99, 2): ["00", "01", "page 0", "page 1", "99"],
}


@pytest.mark.parametrize("places", BY_ID)
def test_of_many_files_two_are_asked_for_by_themselves_before_a_page_is_read(at: At, places: tuple[int, ...]) -> None:
    found = [{"id": f"file-{place:02}", "created_at": 1_790_000_000 - place} for place in range(40)]

    def answering(asked: Asked) -> Any:
        if asked.path == "/files":
            page = listed(found, asked.query, cap=10)
            return {"data": page, "has_more": page[-1] is not found[-1]}
        missing = Response({"error": {"message": "No such File object: file-99", "param": "id"}}, 404)
        return next((file for file in found if asked.path == f"/files/{file['id']}"), missing)

    server, db = at(answering)
    db.execute("CREATE TABLE mine (id TEXT)")
    db.executemany("INSERT INTO mine VALUES (?)", [(f"file-{place:02}",) for place in places])
    rows = db.execute("SELECT f.id FROM mine CROSS JOIN files f ON f.id = mine.id ORDER BY mine.rowid").fetchall()
    assert rows == [(f"file-{place:02}",) for place in places if place < 40]
    after = {"": 0, "&after=file-09": 1, "&after=file-19": 2, "&after=file-29": 3}
    pages = {f"/files?limit=10000{query}": f"page {number}" for query, number in after.items()}
    assert [pages.get(asked, asked.removeprefix("/files/file-")) for asked in server.requests] == BY_ID[places]


def test_a_subquery_that_begins_anew_looks_ahead_as_if_it_were_the_first(at: At) -> None:
    """The last event of the job before is no hint at the next one: both scans stop at their first event of a level."""
    sixteenth = threading.Event()
    came: list[bool] = []

    def answering(asked: Asked) -> Any:
        if asked.path.endswith("/ftjob-00009/events"):
            came.append(sixteenth.wait(5))
        elif asked.path.endswith("/ftjob-00016/events"):
            sixteenth.set()
        return answers(asked)

    levels = {3: "warn", 12: "error"}
    answers = api(
        jobs(40),
        {f"/{name(place)}/events": [{"id": f"ev-{place}", "level": levels.get(place, "info")}] for place in range(40)},
    )
    _, db = at(answering)
    inner = "SELECT e.id FROM fine_tuning_jobs j JOIN fine_tuning_job_events e ON e.fine_tuning_job_id = j.id"
    sql = f"SELECT ({inner} WHERE e.level = column1) FROM (VALUES ('warn'), ('error'))"
    assert db.execute(sql).fetchall() == [("ev-3",), ("ev-12",)]
    assert came == [True]


HIDDEN = ["j.created_at % 2", "j.created_at % 7 = 0", "j.id LIKE '%9'", "instr(j.id, '01')", "j.training_file = 'x'"]


@pytest.mark.parametrize("condition", HIDDEN)
@pytest.mark.parametrize("shape", ["{} WHERE {}", "{} WHERE +j.status = 'succeeded' AND {}"])
def test_a_filter_that_nobody_sees_wastes_at_most_what_was_used(condition: str, shape: str) -> None:
    with account() as (sandbox, db):
        used = db.execute(f"SELECT count(*) FROM fine_tuning_jobs j WHERE {condition}").get
        found = asked(sandbox, db, shape.format(JOIN, condition))
        assert len(found) <= 1 + 2 * used
    with account() as (sandbox, db):  # a new account, because abandoned requests may still be on their way
        inside = f"SELECT id FROM fine_tuning_jobs j WHERE {condition}"
        assert len(asked(sandbox, db, f"{EVENTS} WHERE fine_tuning_job_id IN ({inside})")) <= 1 + 2 * used


def test_a_subquery_that_needs_one_job_reads_no_further() -> None:
    with account(jobs=450, running=[3]) as (sandbox, db):
        sql = f"{EVENTS} WHERE fine_tuning_job_id = (SELECT id FROM fine_tuning_jobs WHERE status = 'running')"
        assert asked(sandbox, db, sql, 5) == [LIST, *events(3)]


CHEAP = {
    "no parent": (EVENTS, "can only be read by fine_tuning_job_id: write WHERE"),
    "no parent beside files": ("SELECT count(*) FROM files, fine_tuning_job_events", "write WHERE"),
    "no parent beside jobs": ("SELECT count(*) FROM fine_tuning_jobs, fine_tuning_job_events", "write WHERE"),
    "a parent in another collation": (f"{EVENTS} WHERE fine_tuning_job_id = 'x' COLLATE NOCASE", "write WHERE"),
    "no array": (f"{EVENTS}('[1')", "JSON array"),
    "an id that looks like an array": (f"{EVENTS} WHERE fine_tuning_job_id = '[1'", 0),
    "NULL": (f"{EVENTS} WHERE fine_tuning_job_id = NULL", 0),
    "IS NULL": (f"{EVENTS} WHERE fine_tuning_job_id IS (SELECT NULL)", 0),
    "an empty array": (f"{EVENTS}('[]')", 0),
    "no provider of that name": (f"{EVENTS} WHERE fine_tuning_job_id = 'x' AND provider = 'nobody'", 0),
    "a key of nobody": (f"{EVENTS} WHERE key = 'nobody/x/y'", 0),
    "what is no id": (f"{EVENTS} WHERE fine_tuning_job_id IN ('', 'a/b', '../x', 'a?b', x'00')", 0),
    "LIMIT 0": (f"SELECT * FROM ({EVENTS.replace('count(*)', 'id')}('{name(0)}') LIMIT 0)", None),
    "nothing inside": (f"{EVENTS} WHERE fine_tuning_job_id IN (SELECT id FROM mine WHERE 0)", 0),
}


@pytest.mark.parametrize("what", CHEAP)
def test_what_cannot_match_or_be_served_asks_for_nothing(what: str) -> None:
    sql, result = CHEAP[what]
    with account() as (sandbox, db):
        if isinstance(result, str):
            with pytest.raises(ProgrammingError, match=result):
                db.execute(sql).fetchall()
        else:
            assert db.execute(sql).fetchall() == ([] if result is None else [(result,)])
        assert not sandbox.requests


def test_limit_asks_for_nothing_ahead() -> None:
    with account(latency=0.02) as (sandbox, db):
        sandbox.clear_faults()
        assert len(asked(sandbox, db, f"{JOIN.replace('count(e.id)', 'e.id')} LIMIT 3")) == 2
        time.sleep(0.1)
        assert len(sandbox.requests) == 2
        for sql in (f"SELECT id FROM fine_tuning_job_events('{name(0)}') LIMIT 3",
                    f"SELECT id FROM fine_tuning_job_events('{ARRAY}') LIMIT 103"):  # fmt: skip
            db.ftsql.store.clear()
            found = asked(sandbox, db, sql)
            time.sleep(0.1)
            assert len(found) == len(sandbox.requests) == 1 + ("103" in sql)


def test_a_cursor_that_is_closed_early_leaves_nothing_to_send() -> None:
    with account(latency=0.1) as (sandbox, db):
        cursor = db.execute(f"SELECT id FROM fine_tuning_job_events('{ARRAY}')")
        next(cursor)
        cursor.close()
        sandbox.requests.clear()
        time.sleep(0.5)
        assert len(sandbox.requests) <= 8  # the requests that the threads had started


def test_of_an_active_job_only_what_is_new_is_asked_for_and_shown() -> None:
    with account(jobs=3, running=[1]) as (sandbox, db):
        sandbox.clear_faults()
        sql = f"{EVENTS} WHERE fine_tuning_job_id = '{name(1)}'"
        asked(sandbox, db, "SELECT count(*) FROM fine_tuning_jobs")
        before = db.execute(sql).get
        assert before > 100
        assert asked(sandbox, db, sql, before) == events(1)
        sandbox.fault(Fault(path=FEW, times=None, transform=_three_more))
        assert asked(sandbox, db, sql, before + 3) == events(1)
        sandbox.update_job(name(1), status="succeeded", finished_at=int(time.time()) - 600)
        asked(sandbox, db, "SELECT count(*) FROM fine_tuning_jobs")
        # Events between that reading and the end of the job are read, once.
        sandbox.clear_faults()
        sandbox.fault(Fault(path=FEW, times=None, transform=lambda page: _three_more(page, 4)))
        assert db.execute(JOIN).get > 0
        asked(sandbox, db, sql, before + 4)
        assert asked(sandbox, db, sql, before + 4) == []


def _three_more(page: dict[str, Any], count: int = 3) -> dict[str, Any]:
    """Return the newest page with ``count`` new events before it; any other page as it is."""
    first = page["data"][0]
    if "completed" not in first["message"]:
        return page
    new = [
        {**first, "id": f"ftevent-new-{number}", "created_at": first["created_at"] + number} for number in range(count)
    ]
    return {**page, "data": [*new[::-1], *page["data"]]}


@pytest.mark.parametrize("finished_at", ["said", "never said"])
def test_what_a_job_does_after_it_was_looked_at_is_never_lost(finished_at: str) -> None:
    """The events were read before the job was seen to have finished, whatever the two clocks say."""
    with account(jobs=2, running=[0]) as (sandbox, db):
        sql = f"{EVENTS}('{name(0)}')"
        asked(sandbox, db, JOIN)
        asked(sandbox, db, sql, 5)
        ended = int(time.time()) - 600 if finished_at == "said" else None  # the clock is ten minutes behind
        sandbox.update_job(name(0), status="succeeded", finished_at=ended)
        sandbox.clear_faults()
        rows = db.execute(f"{JOIN} WHERE j.id = '{name(0)}'").get
        assert rows > 5
        assert asked(sandbox, db, sql, rows) == []


def test_a_job_that_never_says_when_it_finished_is_asked_until_it_has_been_quiet_for_a_day() -> None:
    with account(jobs=1, running=[]) as (sandbox, db):
        now = int(time.time())
        sandbox.update_job(name(0), status="cancelled", finished_at=None)
        for age, again in ((60, events(0)), (100_000, [])):
            sandbox.clear_faults()
            event = {"id": "ftevent-1", "created_at": now - age}
            sandbox.fault(Fault(path=FEW, times=None, body={"data": [event], "has_more": False}))
            db.ftsql.store.clear()
            for _ in range(2):
                asked(sandbox, db, JOIN, 1)
            assert asked(sandbox, db, f"{EVENTS}('{name(0)}')", 1) == again


def test_two_statements_at_once_cost_at_most_one_look_each() -> None:
    with account(running=[*ALL]) as (sandbox, db):
        sql = JOIN.replace("count(e.id)", "e.key")
        sandbox.requests.clear()
        one, two = db.execute(sql), db.execute(sql)
        rows = [next(one), next(two)]
        rows += [row for pair in zip(one, two, strict=True) for row in pair]
        assert Counter(rows) == Counter(dict.fromkeys(rows, 2))
        assert len(rows) == 10 * JOBS
        assert len(sandbox.requests) == 2 * (1 + JOBS)


@pytest.mark.parametrize("count", [5, 30])
@pytest.mark.long
def test_what_a_statement_comes_back_to_is_neither_asked_for_nor_shown_again(at: At, count: int) -> None:
    """There are more jobs than the statement keeps in memory; the store has their older events by then."""
    found = [job(number, status="running", finished_at=None) for number in range(70)]
    of = {
        f"/{one['id']}/events": [{"id": f"{one['id']}-{n}", "created_at": 1_790_000_000 - n} for n in range(count)]
        for one in found
    }
    serving = api(found)

    def answering(asked: Asked) -> Any:
        events = of.get(asked.path.removeprefix("/fine_tuning/jobs"))
        if events is None:
            return serving(asked)
        page = listed(events, asked.query, cap=25)
        return {"data": page, "has_more": page[-1] is not events[-1]}

    server, db = at(answering)
    twice = "(SELECT id FROM fine_tuning_jobs UNION ALL SELECT id FROM fine_tuning_jobs) j"
    sql = f"SELECT count(*), count(DISTINCT e.key) FROM {twice} CROSS JOIN fine_tuning_job_events e"
    for pages in (1 + (count > 25), 1, 1):
        server.asked.clear()
        assert db.execute(f"{sql} ON e.fine_tuning_job_id = j.id").fetchall() == [(140 * count, 70 * count)]
        assert len(server.requests) == 1 + 70 * pages


def test_explain_says_that_each_job_costs_a_request() -> None:
    with account() as (sandbox, db):
        cost = db.ftsql.explain(JOIN)
        assert [(line.low, line.high) for line in cost] == [(1, None), (0, None), (1, None)]
        assert "for each job 0 if it had finished" in cost[1].why
        assert not sandbox.requests


def test_in_select_asks_for_the_jobs_that_it_selects_and_no_others() -> None:
    with account() as (sandbox, db):
        inside = "SELECT id FROM fine_tuning_jobs WHERE created_at % 7 = 0"
        selected = [id for (id,) in db.execute(inside)]
        assert 1 < len(selected) < JOBS / 4
        found = asked(sandbox, db, f"{EVENTS} WHERE fine_tuning_job_id IN ({inside})", 5 * len(selected))
        assert sorted(found) == sorted([LIST, *(f"/{id}/events{LIST}" for id in selected)])
