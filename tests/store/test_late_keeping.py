"""Rows are kept after the statement has returned them: what is lost if that fails, and that nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path

import apsw
import pytest

from ftsql.sandbox import Sandbox
from ftsql.store import database
from ftsql.store.database import Store
from tests.conftest import Connect, fill, gets

COUNT = "SELECT count(*) FROM fine_tuning_jobs"


@pytest.fixture(autouse=True)
def _one_page_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftsql.read.listing.SLOW_PAGE", float("inf"))


def kept(path: Path) -> tuple[int, bool]:
    """How many jobs a store has, and whether it says that these are all."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return db.execute("SELECT count(*) FROM kept").get, bool(
            db.execute("SELECT count(*) FROM covers WHERE horizon IS NOT NULL").get
        )
    finally:
        db.close()


def test_the_rows_come_first_and_are_kept_without_another_statement(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sandbox, 250)
    may_keep, honest = threading.Event(), Store._keep

    def waits(store: Store) -> None:
        may_keep.wait(20)
        honest(store)

    monkeypatch.setattr(Store, "_keep", waits)
    db = connect(store=tmp_path / "store.db")
    assert db.execute(COUNT).get == 250
    assert kept(tmp_path / "store.db") == (0, False)
    keeper = db.ftsql.store._keeper
    assert keeper is not None
    may_keep.set()
    keeper.join(20)
    assert kept(tmp_path / "store.db") == (250, True)


@pytest.mark.parametrize("transactions", range(6))
def test_a_process_that_is_killed_loses_rows_of_the_cache_and_claims_none_of_them(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, transactions: int
) -> None:
    fill(sandbox, 250)
    script = f"""
        import os, sys, threading
        import ftsql
        printed = threading.Event()
        from ftsql.store import database
        database.TOGETHER = 1
        def killed(store):
            printed.wait(20)
            with store.lock:
                for _ in range({transactions}):
                    store._flush(1)
            os._exit(9)
        database.Store._keep = killed
        database.Store.use_idle_time = lambda store: None
        db = ftsql.connect(store=sys.argv[1])
        print(db.execute("SELECT count(*) FROM fine_tuning_jobs").get, flush=True)
        printed.set()
        db.ftsql.store._keeper.join()
    """
    path = tmp_path / "store.db"
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (9, "250\n"), done.stderr
    rows, covered = kept(path)
    assert rows == min(max(transactions - 1, 0) * 100, 250)  # the first transaction is about the server's habits
    assert not covered or rows == 250
    sandbox.requests.clear()
    db = connect(store=path)
    assert db.execute(COUNT).get == 250
    assert len(gets(sandbox)) == (1 if covered else 3)


def test_a_write_that_was_sent_is_in_the_journal_even_if_the_rows_are_not_kept(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sandbox, 5)
    sandbox.add_file(id="file-a")
    monkeypatch.setattr(Store, "_keep", lambda store: None)
    db = connect(store=tmp_path / "store.db")
    assert db.execute(COUNT).get == 5
    db.execute("INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-a')")
    other = apsw.Connection(str(tmp_path / "store.db"), flags=apsw.SQLITE_OPEN_READONLY)
    assert other.execute("SELECT action, state FROM writes").fetchall() == [("create", "committed")]
    other.close()


def test_rows_that_cannot_be_kept_are_said_once_and_nothing_claims_them(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "TOGETHER", 1)  # the rows and the coverage in transactions of their own
    fill(sandbox, 250)
    path = tmp_path / "store.db"
    db = connect(store=path)
    honest = Store._flush
    failed: list[int] = []

    def fails_once(store: Store, count: int) -> None:
        failed.append(count)
        if len(failed) == 2:
            _, told = store._deferred.pop(0)
            told(apsw.FullError("database or disk is full"))
        else:
            honest(store, count)

    monkeypatch.setattr(Store, "_flush", fails_once)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert db.execute(COUNT).get == 250
        db.ftsql.store.flush()
        assert kept(path) == (150, False)
        for _ in range(3):
            assert db.execute(COUNT).get == 250
    assert [str(each.message).partition(":")[0] for each in caught] == [
        f"the store {path} cannot be used (database or disk is full)"
    ]
    db.ftsql.store.flush()
    assert kept(path) == (250, True)


def test_another_connection_of_the_process_knows_what_the_first_has_read(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "_keep", lambda store: None)
    fill(sandbox, 250)
    one, other = (connect(store=tmp_path / "store.db") for _ in range(2))
    assert one.execute(COUNT).get == 250
    sandbox.requests.clear()
    assert other.execute(COUNT).get == 250
    assert len(gets(sandbox)) == 1


def test_rows_are_kept_for_the_account_that_was_asked_even_if_its_key_is_another_by_then(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "_keep", lambda store: None)
    fill(sandbox, 30)
    path = tmp_path / "store.db"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-first-" + "a" * 20)
    first = connect(store=path)
    assert first.execute(COUNT).get == 30
    monkeypatch.setenv("OPENAI_API_KEY", "sk-second-" + "b" * 20)
    first.ftsql.store.flush()
    sandbox.requests.clear()
    assert connect(store=path, max_age=3600).execute(COUNT).get == 30
    assert len(gets(sandbox)) == 1  # another account, of which nothing is known
    monkeypatch.delenv("OPENAI_API_KEY")
    first.ftsql.store.flush()


def test_the_command_keeps_its_rows_before_it_ends(sandbox: Sandbox, tmp_path: Path) -> None:
    fill(sandbox, 250)
    command = [sys.executable, "-m", "ftsql", "--store", str(tmp_path / "store.db"), COUNT]
    environment = {**os.environ, "OPENAI_API_KEY": "k" * 20, "OPENAI_BASE_URL": sandbox.base_url("openai")}
    for requests in (3, 1):
        sandbox.requests.clear()
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
        assert "250" in done.stdout, done.stderr
        assert len(gets(sandbox)) == requests


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_of_a_fork_keeps_nothing_and_waits_for_nothing(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "_keep", lambda store: None)
    fill(sandbox, 250)
    db = connect(store=tmp_path / "store.db")
    assert db.execute(COUNT).get == 250
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        db.ftsql.store.flush()
        os._exit(len(db.ftsql.store._deferred))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert kept(tmp_path / "store.db") == (0, False)
    db.ftsql.store.flush()
    assert kept(tmp_path / "store.db") == (250, True)


def test_no_checkpoint_comes_inside_a_statement(connect: Connect, tmp_path: Path) -> None:
    store = connect(store=tmp_path / "store.db").ftsql.store
    assert store.db.pragma("wal_autocheckpoint") * store.db.pragma("page_size") > 5 * database.CHECKPOINT_BYTES


def test_the_log_is_written_back_between_statements(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "CHECKPOINT_BYTES", 100_000)
    fill(sandbox, 250)
    path = tmp_path / "store.db"
    db = connect(store=path)
    before = os.path.getsize(path)
    assert db.execute(COUNT).get == 250
    keeper = db.ftsql.store._keeper
    if keeper is not None:
        keeper.join(20)
    assert os.path.getsize(path) > before + 100_000


def test_a_write_lock_that_an_interrupted_statement_left_behind_stops_no_later_one(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    fill(sandbox, 250)
    path = tmp_path / "store.db"
    db = connect(store=path)
    store = db.ftsql.store
    with store._write_lock:  # as the traceback of a Ctrl-C holds it
        for _ in range(3):
            assert db.execute(COUNT).get == 250
        keeper = store._keeper
    if keeper is not None:
        keeper.join(20)
        assert not keeper.is_alive()
    assert kept(path) == (250, True)


@pytest.mark.parametrize("way", ["refresh", "clear", "clear at first"])
def test_what_was_read_before_a_refresh_or_a_clear_is_not_kept_after_it(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, way: str
) -> None:
    fill(sandbox, 250)
    one, other = (connect(store=tmp_path / "store.db") for _ in range(2))
    if way != "clear at first":
        assert other.execute(COUNT).get == 250
        sandbox.update_job("ftjob-00001", model="old")
        other.ftsql.refresh()
    cursor = one.execute("SELECT id FROM fine_tuning_jobs")
    for _ in range(240):
        next(cursor)
    sandbox.remove_job("ftjob-00100")
    sandbox.update_job("ftjob-00001", model="new")
    other.ftsql.refresh() if way == "refresh" else other.ftsql.store.clear()
    cursor.fetchall()
    one.ftsql.store.flush()
    assert other.execute(COUNT).get == 249
    assert other.execute("SELECT model FROM fine_tuning_jobs WHERE id = 'ftjob-00001'").get == "new"


def test_a_store_that_is_opened_during_a_fork_leaves_no_lock_behind(tmp_path: Path) -> None:
    stores = [Store(tmp_path / f"{number}.db") for number in range(4)]
    database._hold_stores()
    stores += [Store(tmp_path / f"late{number}.db") for number in range(8)]
    database._release_stores()
    free: list[bool] = []

    def take() -> None:
        for store in stores:
            free.append(store.lock.acquire(timeout=1))
            store.lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    assert free == [True] * 12
    for store in stores:
        store.close()


def test_a_connection_that_is_collected_inside_a_transaction_does_not_wait_for_it(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "_keep", lambda store: None)
    fill(sandbox, 250)
    path = tmp_path / "store.db"
    db, holder = connect(store=path), Store(path)
    assert db.execute(COUNT).get == 250
    began = time.monotonic()
    with holder.transaction():
        db.ftsql.store.close()
    assert time.monotonic() - began < 2
    assert kept(path) == (0, False)
    holder.close()
