"""Concurrent writes to one store: every writer gets the lock, and a late response never replaces a newer one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ftsql.resources.definitions import EVENTS
from ftsql.sandbox import Fault, Sandbox
from ftsql.settings import Settings
from ftsql.store import database as stores
from ftsql.store.cache import Cache
from ftsql.store.database import Store
from tests.conftest import Connect, fill, gets
from tests.sync.fixtures import wait_for


@pytest.mark.long
def test_many_writers_of_one_process_all_get_the_write_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "BUSY_MILLISECONDS", 400)
    path = tmp_path / "store.db"
    Store(path).close()
    errors: list[BaseException] = []

    def write() -> None:
        try:
            mine = Store(path)
            for _ in range(4):
                with mine.rows(writes=True) as db:
                    db.execute("UPDATE covers SET looked_at = 1")
                    threading.Event().wait(0.02)
            mine.close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.long
def test_the_age_of_a_response_counts_from_its_request(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    ids = fill(sandbox, 150, status="running")
    path = tmp_path / "store.db"
    dashboard, reader, holder = connect(store=path, max_age=1), connect(store=path), Store(path)
    status = "SELECT status FROM fine_tuning_jobs WHERE id = ?"
    assert dashboard.execute(status, (ids[0],)).fetchall() == [("running",)]
    dashboard.ftsql.store.flush()
    sandbox.requests.clear()
    sandbox.fault(Fault(times=None, latency=0.05))
    listing = threading.Thread(target=lambda: reader.execute("SELECT id FROM fine_tuning_jobs").fetchall())
    with holder.transaction():  # so that the rows are kept long after they came
        listing.start()
        wait_for(lambda: len(gets(sandbox)) >= 2)
        time.sleep(0.3)
        sandbox.update_job(ids[-1], status="paused")
        time.sleep(1.2)
    listing.join()
    assert dashboard.execute(status, (ids[-1],)).fetchall() == [("paused",)]
    holder.close()


def test_a_coverage_id_made_in_a_failed_transaction_is_made_again(connect: Connect, sandbox: Sandbox) -> None:
    (account,) = connect().ftsql._session.accounts
    store, settings = Store(), Settings()
    one, other = (Cache(store, account, settings, EVENTS, parent) for parent in ("ftjob-a", "ftjob-b"))
    with pytest.raises(KeyError), store.rows(writes=True) as db:
        one._coverage_id(db, make=True)
        raise KeyError
    with store.rows(writes=True) as db:
        assert other._coverage_id(db, make=True) != one._coverage_id(db, make=True)
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_of_a_fork_does_not_wait_for_a_thread_that_it_does_not_have(tmp_path: Path) -> None:
    script = """
import os, sys, threading
from ftsql.store.database import write_lock
held, done = threading.Event(), threading.Event()
def hold():
    with write_lock("x"):
        held.set()
        done.wait(20)
threading.Thread(target=hold).start()
held.wait()
child = os.fork()
if child == 0:
    os._exit(0 if write_lock("x").acquire(timeout=3) else 7)
_, status = os.waitpid(child, 0)
done.set()
sys.exit(os.waitstatus_to_exitcode(status))
"""
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", script], timeout=60, check=False).returncode == 0
