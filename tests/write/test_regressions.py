"""Attacks on writes that once succeeded: a job that was doubled, lost, another writer's, or misjudged."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql.errors import ProgrammingError
from ftsql.sandbox import Fault, Sandbox
from tests.conftest import CANARY, Connect
from tests.write.fixtures import CREATE, INSERT, ONE, alive, posts
from tests.write.test_recovery import killed, states, told

pytestmark = pytest.mark.usefixtures("files")
BAD = INSERT + "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-none')"


def test_a_with_block_raises_what_the_commit_raised(sandbox: Sandbox, db: ftsql.Connection) -> None:
    with pytest.raises(ftsql.APIError, match="row 2 of 2"), db:
        db.execute(BAD)
    assert not db.in_transaction
    with pytest.raises(ZeroDivisionError), db, db:
        db.execute(ONE)
        raise ZeroDivisionError
    assert alive(sandbox) == []


def test_a_busy_with_block_leaves_no_transaction_open(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    db = connect(tmp_path / "own.db")
    db.set_busy_timeout(0)
    db.execute("CREATE TABLE mine (x)")
    reader = apsw.Connection(str(tmp_path / "own.db"))
    reader.execute("BEGIN; SELECT * FROM mine").fetchall()
    with pytest.raises(apsw.BusyError), db:
        db.execute("INSERT INTO mine VALUES (1); " + ONE)
    assert alive(sandbox) == []
    reader.close()
    db.execute("ROLLBACK") if db.in_transaction else None
    db.execute(INSERT + "('gpt-4o-mini', 'file-b')")
    assert alive(sandbox) == ["file-b"]


def test_a_savepoint_that_failed_does_not_count(sandbox: Sandbox, db: ftsql.Connection) -> None:
    db.execute("CREATE TABLE mine (x); BEGIN")
    cursor = db.execute("INSERT INTO mine VALUES (1), (2) RETURNING x")
    next(cursor)
    with pytest.raises(apsw.BusyError):
        db.execute("SAVEPOINT z")
    cursor.close()
    with pytest.raises(ftsql.Error):
        db.execute(INSERT + "('gpt-4o-mini', 'file-c'), ('gpt-4o-mini', NULL)")
    db.execute("COMMIT")
    assert posts(sandbox) == []


@pytest.mark.parametrize("blank", ["/**/", "/* a */\n", "-- a\n", ";", " ", "/* "])
def test_however_many_comments_are_read_once(db: ftsql.Connection, blank: str) -> None:
    for sql in (blank * 200_000, blank * 200_000 + "SELECT 1", "SELECT 1;" + blank * 200_000):
        began = time.monotonic()
        assert db.execute(sql).fetchall() in ([], [(1,)])
        with contextlib.suppress(ProgrammingError, apsw.SQLError):
            db.ftsql.explain(sql)
        assert time.monotonic() - began < 20  # it took hours


@pytest.mark.parametrize("sql", [ONE, "CREATE TABLE made AS SELECT nested(?)"])
def test_a_release_that_failed_forgets_no_savepoint(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, sql: str
) -> None:
    db = connect(tmp_path / "own.db")
    db.set_busy_timeout(0)
    db.create_scalar_function("nested", lambda *sql: len(db.execute(str(sql[0])).fetchall()))
    db.execute("CREATE TABLE mine (x)")
    reader = apsw.Connection(str(tmp_path / "own.db"))
    reader.execute("BEGIN; SELECT * FROM mine").fetchall()
    db.execute("SAVEPOINT t; SAVEPOINT u; INSERT INTO mine VALUES (1)")
    with pytest.raises(apsw.BusyError):
        db.execute("RELEASE t")
    db.execute(sql, (ONE,) if "?" in sql else ())
    reader.close()
    db.execute("COMMIT")
    assert alive(sandbox) == ["file-a"]


def test_a_row_refused_in_a_trigger_of_a_nested_statement_leaves_nothing(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    def caught(*sql: Any) -> str:
        try:
            db.execute(sql[0]).fetchall()
        except ftsql.Error:
            return "failed"
        return "done"

    db.create_scalar_function("caught", caught)
    db.execute("CREATE TEMP TABLE l (x); CREATE TEMP TABLE k (x)")
    db.execute(
        "CREATE TEMP TRIGGER t AFTER INSERT ON l BEGIN "
        "INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', new.x); END"
    )
    db.execute("INSERT INTO k SELECT caught('INSERT INTO l VALUES (''file-b''), (NULL)')")
    assert posts(sandbox) == []


@pytest.mark.parametrize("interrupt", ["Ctrl-C", "interrupt"])
def test_an_interrupt_ends_a_statement_of_functions_after_the_call_under_way(
    sandbox: Sandbox, db: ftsql.Connection, interrupt: str
) -> None:
    sandbox.fault(Fault(method="POST", path=CREATE, times=None, latency=0.5))
    end = db.interrupt if interrupt == "interrupt" else (lambda: os.kill(os.getpid(), signal.SIGINT))
    timer = threading.Timer(0.25, end)
    timer.start()
    sql = "SELECT create_job('gpt-4o-mini', column1) FROM (VALUES ('file-a'), ('file-b'), ('file-c'))"
    with pytest.raises(
        KeyboardInterrupt if interrupt == "Ctrl-C" else apsw.InterruptError, match="was created and stays"
    ):
        db.execute(sql).fetchall()
    timer.join()
    assert alive(sandbox) == ["file-a"]
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("committed",)]


def test_ctrl_c_during_an_insert_ends_the_loop_around_it(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.fault(Fault(method="POST", path=CREATE, times=None, latency=0.5))
    timer = threading.Timer(0.25, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        for name in "abcdefgh":
            db.execute(INSERT + f"('gpt-4o-mini', 'file-{name}')")
            time.sleep(0.2)
    timer.join()
    assert alive(sandbox) == ["file-a"]


@pytest.mark.long
def test_ctrl_c_during_an_insert_ends_a_script(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.fault(Fault(method="POST", path=CREATE, times=None, latency=1.0))
    (tmp_path / "four.sql").write_text(";\n".join([ONE] * 4))
    known = {"OPENAI_BASE_URL": sandbox.base_url("openai"), "OPENAI_API_KEY": CANARY}
    process = subprocess.Popen(
        [sys.executable, "-m", "ftsql", "-f", str(tmp_path / "four.sql")],
        env={**os.environ, **known}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not posts(sandbox) and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert len(posts(sandbox)) == 1


def test_ids_that_no_url_can_carry_do_not_stop_the_compensation(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.fault(Fault(method="POST", path=CREATE, after=1, transform=lambda body: body | {"id": "jobs/1 2"}))
    with pytest.raises(ftsql.APIError) as caught:
        db.execute(INSERT + "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-b'), ('gpt-4o-mini', 'file-none')")
    assert "jobs/1 2 exists and could not be cancelled" in str(caught.value)
    assert "file-none" in str(caught.value)
    assert alive(sandbox) == ["file-b"]
    assert ("create", "created", 1, 1) in states(db)


@pytest.mark.parametrize("shown", [{"model": "openai/other"}, {"training_file": "file-b"}, {"seed": None}, {"seed": 4}])
@pytest.mark.long
def test_what_could_be_the_job_is_never_called_never_accepted(
    sandbox: Sandbox, connect: Connect, shown: dict[str, Any]
) -> None:
    db = connect(settle_seconds=0.1, absent_seconds=0.1)
    sandbox.fault(Fault(method="POST", path=CREATE, drop=True, accept=True))
    disguise = lambda body: body | {"data": [job | shown for job in body["data"]]}  # noqa: E731
    sandbox.fault(Fault(method="GET", path=CREATE, times=None, transform=disguise))
    with pytest.raises(ftsql.OutcomeUnknown):
        db.execute(ONE)
    time.sleep(2.2)
    (line,) = db.ftsql.settle()
    assert "is unknown" in line
    assert sandbox.jobs()[0]["id"] in line


def test_a_clock_that_is_hours_off_hides_no_job(sandbox: Sandbox, connect: Connect) -> None:
    db = connect(settle_seconds=0.1, absent_seconds=0.1)
    sandbox.fault(Fault(method="POST", path=CREATE, drop=True, accept=True))
    late = lambda body: body | {"data": [job | {"created_at": job["created_at"] - 9000} for job in body["data"]]}  # noqa: E731
    sandbox.fault(Fault(method="GET", path=CREATE, times=None, transform=late))
    db.execute(ONE)
    assert states(db) == [("create", "committed", 1, 0)]


def test_another_account_closes_nothing(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store.db"
    killed(store, ONE, "record", 3)
    with Sandbox(jobs=0) as other:
        monkeypatch.setenv("OPENAI_BASE_URL", other.base_url("openai"))
        with told() as lines:
            db = connect(store=store)
        assert "the account that sent it is not active here" in lines[0]
        assert states(db) == [("create", "created", 1, 1)]
        with pytest.raises(ProgrammingError, match="is not active"):
            db.ftsql.decide(1, "cancel")


@pytest.mark.parametrize("body", ["OK", {"id": "{id}", "status": "cancelled", "created_at": "no time"}])
def test_an_odd_answer_to_a_cancel_is_looked_through(sandbox: Sandbox, db: ftsql.Connection, body: Any) -> None:
    sandbox.fault(Fault(method="POST", path="/cancel$", accept=True, status=200, body=body, content_type="text/plain"))
    with pytest.raises(ftsql.APIError, match="was created and is cancelled now"):
        db.execute(BAD)
    assert states(db)[0] == ("create", "cancelled", 1, 0)


@pytest.mark.parametrize("status", [301, 302, 303, 499])
def test_a_status_that_may_follow_an_accepted_create_is_looked_through(
    sandbox: Sandbox, db: ftsql.Connection, status: int
) -> None:
    sandbox.fault(Fault(method="POST", path=CREATE, status=status, accept=True))
    db.execute(ONE)
    assert states(db) == [("create", "committed", 1, 0)]


def test_a_create_that_is_answered_with_another_job_is_a_lost_answer(sandbox: Sandbox, db: ftsql.Connection) -> None:
    db.execute(ONE)
    (first,) = sandbox.jobs()
    sandbox.fault(Fault(method="POST", path=CREATE, accept=True, status=200, body=first))
    db.execute(ONE)
    ids = [id for (id,) in db.execute("SELECT job_id FROM ftsql_writes")]
    assert sorted(ids) == sorted(job["id"] for job in sandbox.jobs())
    assert len(set(ids)) == 2


def test_a_rollback_says_what_it_could_not_cancel(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    db = connect(tmp_path / "own.db")
    db.set_busy_timeout(0)
    db.execute("CREATE TABLE mine (x)")
    reader = apsw.Connection(str(tmp_path / "own.db"))
    reader.execute("BEGIN; SELECT * FROM mine").fetchall()
    db.execute("BEGIN; INSERT INTO mine VALUES (1); " + ONE)
    with pytest.raises(apsw.BusyError):
        db.execute("COMMIT")
    sandbox.fault(Fault(method="POST", path="/cancel$", status=400, body={"error": {"message": "not now"}}))
    with told() as lines:
        db.execute("ROLLBACK")
    reader.close()
    assert any("exists and could not be cancelled" in note for note in [*lines, *db.ftsql.take_notes()])


def test_busy_commits_do_not_lift_max_writes(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    db = connect(tmp_path / "own.db", max_writes=2)
    db.set_busy_timeout(0)
    db.execute("CREATE TABLE mine (x)")
    reader = apsw.Connection(str(tmp_path / "own.db"))
    reader.execute("BEGIN; SELECT * FROM mine").fetchall()
    db.execute(f"BEGIN; INSERT INTO mine VALUES (1); {ONE}; {ONE}")
    with pytest.raises(apsw.BusyError):
        db.execute("COMMIT")
    with pytest.raises(ProgrammingError, match="max_writes = 2"):
        db.execute(ONE)
    reader.close()
    db.execute("COMMIT")
    assert len(sandbox.jobs()) == 2
