"""Interrupts: after one at any moment, the store and the connection are intact, and later statements work."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import apsw
import pytest

import ftsql
from ftsql import interrupts
from ftsql.resources.resource import Resource
from ftsql.sandbox import Fault, Sandbox
from ftsql.store import database as store
from ftsql.store.database import Store
from ftsql.store.journal import Journal
from ftsql.write import actions, create_body
from tests.conftest import Connect

pytestmark = pytest.mark.usefixtures("files")

ONE = "INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-a')"
THREE = ONE + ", ('gpt-4o-mini', 'file-b'), ('gpt-4o-mini', 'file-c')"


def interrupting(db: ftsql.Connection, seconds: float) -> threading.Timer:
    timer = threading.Timer(seconds, db.interrupt)
    timer.start()
    return timer


def test_after_an_interrupt_the_connection_settles_the_open_write(sandbox: Sandbox, connect: Connect) -> None:
    db = connect(settle_seconds=0.5)
    sandbox.fault(Fault(method="POST", drop=True, accept=True))
    sandbox.fault(Fault(method="GET", times=None, latency=0.2, lag=5))
    timer = interrupting(db, 0.4)
    with pytest.raises(ftsql.OutcomeUnknown):
        db.execute(ONE)
    timer.join()
    sandbox.clear_faults()
    sandbox.fault(Fault(method="GET", times=None, latency=0.2))
    assert db.is_interrupted
    (line,) = db.ftsql.settle()
    assert f"created {sandbox.jobs()[0]['id']}" in line


@pytest.mark.long
def test_an_interrupted_create_is_cancelled_even_if_the_cancel_is_rate_limited(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    sandbox.fault(Fault(method="POST", path="jobs$", latency=0.4))
    sandbox.fault(Fault(method="POST", path="cancel$", status=429, headers={"Retry-After": "1"}))
    timer = interrupting(db, 0.2)
    with pytest.raises(apsw.InterruptError, match="was created and is cancelled now; 2 more rows were not sent"):
        db.execute(THREE)
    timer.join()
    assert [job["status"] for job in sandbox.jobs()] == ["cancelled"]


@pytest.mark.parametrize("sql", [ONE, "SELECT create_job('gpt-4o-mini', 'file-a')"])
def test_an_interrupt_before_a_create_was_sent_says_so_and_nothing_is_sent(
    sandbox: Sandbox, db: ftsql.Connection, sql: str
) -> None:
    sandbox.fault(Fault(method="POST", status=429, headers={"Retry-After": "5"}))
    timer = interrupting(db, 0.4)
    with pytest.raises(apsw.InterruptError, match="before it was sent"):
        db.execute(sql).fetchall()
    timer.join()
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("refused",)]
    assert sandbox.jobs() == []


def test_an_interrupt_stops_rows_that_are_created_too_fast_for_it(sandbox: Sandbox, db: ftsql.Connection) -> None:
    def interrupted(job: dict[str, Any]) -> dict[str, Any]:
        db.interrupt()
        return job

    sandbox.fault(Fault(method="POST", path="jobs$", transform=interrupted))
    with pytest.raises(apsw.InterruptError, match="2 more rows were not sent"):
        db.execute(THREE)
    assert [job["status"] for job in sandbox.jobs()] == ["cancelled"]


def test_a_ctrl_c_between_any_two_lines_leaves_no_transaction_open(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    one, other = Store(path), Store(path)
    other.db.set_busy_timeout(0)
    lines = 0
    for kind in ("transaction", "rows"):
        at, came = 0, True
        while came:
            at += 1
            with contextlib.suppress(KeyboardInterrupt), _before_line(at) as came_yet:
                if kind == "rows":
                    with one.rows(writes=True) as db:
                        db.execute("UPDATE covers SET looked_at = 1")
                else:
                    with one.transaction() as db:
                        db.execute("UPDATE covers SET looked_at = 1")
            came = bool(came_yet)
            lines += came
            with other.transaction() as db:
                db.execute("UPDATE covers SET looked_at = 2")
    assert lines > 10
    one.close()
    other.close()


def test_a_ctrl_c_hidden_by_another_error_is_raised() -> None:
    def cleaning_up() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise AttributeError

    with pytest.raises(KeyboardInterrupt), interrupts.keep_keyboard_interrupt():
        cleaning_up()
    with pytest.raises(AttributeError), interrupts.keep_keyboard_interrupt():
        raise AttributeError


@pytest.mark.parametrize("line", range(1, 5))
def test_a_ctrl_c_while_sqlite_commits_leaves_nothing_to_the_next_transaction(
    sandbox: Sandbox, db: ftsql.Connection, line: int
) -> None:
    seen = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal seen
        if frame.f_code.co_name == "mark_committed":
            seen += event == "line"
            if event == "line" and seen == line:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(KeyboardInterrupt):  # not inside the callback, which would print it, but soon after
            db.execute(THREE)
            time.sleep(10)
    finally:
        sys.settrace(before)
    assert seen >= line
    db.execute("BEGIN; SELECT count(*) FROM ftsql_writes; " + ONE + "; ROLLBACK").fetchall()
    assert [job["status"] for job in sandbox.jobs()] == ["validating_files"] * 3
    assert db.execute("SELECT DISTINCT state FROM ftsql_writes").fetchall() == [("committed",)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # no error leaves xCommit
@pytest.mark.parametrize(
    "function",
    [actions._created, Resource.rows, create_body.differences, Journal.has_made, Journal.record],
    ids=lambda function: function.__name__,
)
def test_a_ctrl_c_after_the_response_cancels_the_job_and_leaves_nothing_open(
    sandbox: Sandbox, db: ftsql.Connection, function: Any
) -> None:
    came: list[str] = []

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if event == "call" and frame.f_code is function.__code__ and sandbox.jobs() and not came:
            came.append(function.__name__)
            raise KeyboardInterrupt
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises((KeyboardInterrupt, apsw.InterruptError), match="was created and is cancelled now"):
            db.execute(THREE)
    finally:
        sys.settrace(before)
    assert came
    assert [job["status"] for job in sandbox.jobs()] == ["cancelled"]
    states = db.execute("SELECT action, state FROM ftsql_writes").fetchall()
    assert sorted(states) == [("cancel", "committed"), ("create", "cancelled"), *[("create", "refused")] * 2]


class _Slow:
    """A table of other code that commits slowly and counts the interrupts that come meanwhile."""

    def __init__(self) -> None:
        self.commits = self.came = 0

    def Create(self, *_: object) -> tuple[str, _Slow]:
        return "CREATE TABLE slow (x)", self

    Connect = Create

    def UpdateInsertRow(self, *_: object) -> int:
        return 1

    def Commit(self) -> None:
        self.commits += 1
        try:
            for _ in range(10):
                time.sleep(0.01)
        except KeyboardInterrupt:
            self.came += 1

    def Disconnect(self) -> None:
        pass

    BestIndex = Open = Begin = Sync = Rollback = Destroy = Disconnect


def test_a_ctrl_c_during_the_last_write_is_raised_after_sqlite_committed(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    def struck(job: dict[str, Any]) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGINT)
        return job

    slow: Any = _Slow()
    db.create_module("slow", slow)
    db.execute("CREATE VIRTUAL TABLE temp.slow USING slow")
    slow.commits = 0
    sandbox.fault(Fault(method="POST", path="jobs$", transform=struck))
    with pytest.raises(KeyboardInterrupt) as caught:
        db.execute(f"BEGIN; {ONE}; INSERT INTO slow VALUES (1); COMMIT")
        for _ in range(500):
            time.sleep(0.01)
    assert {str(entry.path) for entry in caught.traceback} == {__file__}  # not in a callback of SQLite
    assert (slow.commits, slow.came) == (1, 0)
    db.execute(ONE)  # Ctrl-C is raised only once
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("committed",)] * 2
    assert [job["status"] for job in sandbox.jobs()] == ["validating_files"] * 2


@contextlib.contextmanager
def _before_line(number: int) -> Any:
    """Raise KeyboardInterrupt before that line of the store's code. Yield a list that is empty unless it was raised."""
    came: list[int] = []
    seen = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal seen
        if frame.f_code.co_filename != store.__file__:
            return None
        seen += event == "line"
        if event == "line" and seen == number:
            came.append(frame.f_lineno)
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield came
    finally:
        sys.settrace(before)


def test_a_ctrl_c_during_a_commit_comes_before_the_next_statement_sends_anything(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    def struck(job: dict[str, Any]) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGINT)
        return job

    sandbox.add_job(id="ftjob-other", status="running")
    sandbox.fault(Fault(method="POST", path="jobs$", transform=struck))
    with pytest.raises(KeyboardInterrupt):
        db.execute(f"BEGIN; {ONE}; COMMIT; SELECT cancel_job('ftjob-other')").fetchall()
    assert db.execute("SELECT action, state FROM ftsql_writes").fetchall() == [("create", "committed")]
