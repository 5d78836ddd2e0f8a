"""Attacks that once succeeded: a doubled, lost, foreign or falsely judged job, a leaked key, a write in read-only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql.errors import ProgrammingError
from ftsql.sandbox import Fault, Sandbox
from ftsql.store import Store
from tests.conftest import CANARY, Connect
from tests.test_recovery import killed, states, told
from tests.writing import CREATE, INSERT, ONE, alive, posts

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


def test_a_release_that_failed_forgets_no_savepoint(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    db = connect(tmp_path / "own.db")
    db.set_busy_timeout(0)
    db.execute("CREATE TABLE mine (x)")
    reader = apsw.Connection(str(tmp_path / "own.db"))
    reader.execute("BEGIN; SELECT * FROM mine").fetchall()
    db.execute("SAVEPOINT t; SAVEPOINT u; INSERT INTO mine VALUES (1)")
    with pytest.raises(apsw.BusyError):
        db.execute("RELEASE t")
    db.execute(ONE)
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
        assert "the account that it was sent from is not active here" in lines[0]
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


# The store's file.


def test_a_file_that_is_no_store_keeps_its_mode(tmp_path: Path) -> None:
    text, foreign = tmp_path / "text", tmp_path / "foreign.db"
    text.write_text("no database " * 100)
    apsw.Connection(str(foreign)).execute("CREATE TABLE mine (x)")
    for path in (text, foreign):
        path.chmod(0o644)
        with pytest.raises(ftsql.StoreError):
            Store(path)
        assert path.stat().st_mode & 0o777 == 0o644
    with pytest.raises(ftsql.StoreError, match="is no file"):
        Store(tmp_path)


def test_a_store_is_the_same_by_every_name(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "store.db")
    one, two = Store(tmp_path / "store.db"), Store(tmp_path / "link.db")
    one.claim()
    assert two.is_alive(one.owner)
    one.close()
    two.close()


def test_a_second_connection_drops_no_lock_of_the_first(tmp_path: Path) -> None:
    one = Store(tmp_path / "store.db")
    one.db.execute("BEGIN IMMEDIATE")
    two = Store(tmp_path / "store.db")
    two.close()
    script = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=0)\n"
        "try: db.execute('BEGIN IMMEDIATE'); print('free')\nexcept sqlite3.OperationalError: print('locked')"
    )
    done = subprocess.run([sys.executable, "-c", script, one.path], capture_output=True, text=True, timeout=60)
    assert done.stdout == "locked\n"
    one.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_forked_child_leaves_its_parents_lock_alone(tmp_path: Path) -> None:
    script = (
        "import os, sys, ftsql.store\n"
        "one = ftsql.store.Store(sys.argv[1]); one.claim()\n"
        "child = os.fork()\n"
        "if not child:\n    one.close()\n    sys.exit(0)\n"
        "os.waitpid(child, 0)\n"
        "print(ftsql.store.Store(sys.argv[1]).is_alive(one.owner))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(tmp_path / "store.db")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "True\n", done.stderr


def test_many_may_open_a_new_store_at_once(tmp_path: Path) -> None:
    broken: list[BaseException] = []

    def open_it() -> None:
        try:
            Store(tmp_path / "store.db").close()
        except BaseException as error:
            broken.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert broken == []


# Read-only and secrets.


def test_read_only_settles_and_decides_nothing(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    killed(store, ONE, "record", 3)
    with told():
        db = connect(store=store, read_only=True)
    for act in (db.ftsql.settle, lambda: db.ftsql.decide(1, "cancel"), lambda: db.ftsql.decide(1, "keep")):
        with pytest.raises(ProgrammingError, match="read-only"):
            act()
    assert alive(sandbox) == ["file-a"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an older APSW at a refused VACUUM INTO
def test_read_only_makes_no_file(connect: Connect, tmp_path: Path) -> None:
    own = apsw.Connection(str(tmp_path / "own.db"))
    own.execute(
        "PRAGMA auto_vacuum = INCREMENTAL; CREATE TABLE mine (x); INSERT INTO mine VALUES (zeroblob(100000)); DROP TABLE mine"
    )
    before = (tmp_path / "own.db").stat().st_size
    registration = ftsql.register(own, read_only=True, store=tmp_path / "store.db")
    for sql in (f"VACUUM INTO '{tmp_path}/new.db'", f"ATTACH '{tmp_path}/new.db' AS new", "PRAGMA incremental_vacuum",
                "PRAGMA wal_checkpoint", "ATTACH 'file:' || 'x.db' AS new"):  # fmt: skip
        with pytest.raises((ProgrammingError, apsw.Error)):
            own.execute(sql).fetchall()
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["own.db"]
    assert (tmp_path / "own.db").stat().st_size == before
    registration.close()


@pytest.mark.parametrize(
    "options", [{"providers": "nope"}, {"store": "/"}, {"timeout": "x"}, {"config": "/nope"}, {"nope": 1}]
)
def test_no_traceback_of_connect_shows_a_key(connect: Connect, options: dict[str, Any]) -> None:
    with pytest.raises(ftsql.Error) as caught:
        connect(**options)
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    ours = shown.replace(os.environ["OPENAI_API_KEY"], CANARY)
    assert CANARY not in ours


def test_a_key_given_as_an_id_is_not_recorded(connect: Connect, tmp_path: Path) -> None:
    db = connect(store=tmp_path / "store.db")
    for name in ("cancel_job", "wait_job"):
        with pytest.raises(ftsql.Error) as caught:
            db.execute(f"SELECT {name}('{CANARY}')").fetchall()
        assert CANARY not in str(caught.value)
    assert CANARY not in str(db.execute("SELECT * FROM ftsql_writes").fetchall())
    for file in tmp_path.glob("store.db*"):
        assert CANARY.encode() not in file.read_bytes()


def test_a_key_that_is_echoed_with_escapes_is_redacted(
    sandbox: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk/canary/0123456789")
    echo = '{"data": [{"id": "x", "metadata": {"k": "sk\\/canary\\u002f0123456789"}}], "has_more": false}'
    sandbox.fault(Fault(path="jobs", body=echo, times=None))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (raw,) = connect().execute("SELECT raw FROM fine_tuning_jobs").fetchone() or ("",)
    assert "canary" not in str(raw)
    assert "***" in str(raw)
