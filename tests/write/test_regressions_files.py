"""Attacks on files and keys that once succeeded: a dropped lock, a changed file of the user, a read-only write."""

from __future__ import annotations

import os
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
from ftsql.store.database import Store
from tests.conftest import CANARY, Connect
from tests.sync.fixtures import wait_for
from tests.write.fixtures import ONE, alive
from tests.write.test_recovery import killed, told

pytestmark = pytest.mark.usefixtures("files")


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
    with pytest.raises(ftsql.StoreError, match="is not a file"):
        Store(tmp_path)


def test_the_users_own_file_is_no_store(connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "own.db")
    for store in ("own.db", "link.db"):
        with pytest.raises(ftsql.ConfigError, match="is your own file"):
            connect(tmp_path / "own.db", store=tmp_path / store)
    assert apsw.Connection(str(tmp_path / "own.db")).execute("SELECT count(*) FROM sqlite_schema").get == 0


def test_a_store_is_the_same_by_every_name(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "store.db")
    one, two = Store(tmp_path / "store.db"), Store(tmp_path / "link.db")
    one.owner.claim()
    assert two.owner.is_alive(one.owner.name)
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
        "import os, sys, ftsql.store.database\n"
        "one = ftsql.store.database.Store(sys.argv[1]); one.owner.claim()\n"
        "child = os.fork()\n"
        "if not child:\n    one.close()\n    sys.exit(0)\n"
        "os.waitpid(child, 0)\n"
        "print(ftsql.store.database.Store(sys.argv[1]).owner.is_alive(one.owner.name))"
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


# Older versions of APSW, at a refused VACUUM INTO.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
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


def test_nobody_opens_a_store_while_another_thread_makes_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing any descriptor of a file drops all locks of the process on it, also those of its SQLite."""
    path, honest = tmp_path / "store.db", os.close
    events: list[str] = []

    def slow(descriptor: int) -> None:
        events.append("made")
        time.sleep(0.3)
        honest(descriptor)
        events.append("closed")

    monkeypatch.setattr(os, "close", slow)
    maker = threading.Thread(target=lambda: Store(path).close())
    maker.start()
    wait_for(lambda: bool(events))
    Store(path).close()
    events.append("opened")
    maker.join()
    assert events == ["made", "closed", "opened"]
