"""Fixtures of the tests of sync: a file to sync into, readers of that file, and the command as a process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

import ftsql
from ftsql.sandbox import Fault, Sandbox
from ftsql.sync.rounds import Round, Sync

FACE = "/v1/fine_tuning/jobs"


def once(db: ftsql.Connection, path: str | Path, **options: Any) -> Round:
    """Run one round on a file that is opened and closed for it; only the jobs unless ``tables`` names more."""
    syncing = Sync(db, path, **{"tables": ["jobs"], **options})
    try:
        return syncing.round()
    finally:
        syncing.close()


def read(path: str | Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Return the rows that another connection reads.

    It is not a connection of Python's own sqlite3: that is a second SQLite library in the process, and when it closes
    the file, the locks of the first are dropped. See WHOLE for separate processes.
    """
    other = apsw.Connection(str(path))
    try:
        return other.execute(sql, values).fetchall()
    finally:
        other.close()


def changed(path: str | Path, sql: str) -> None:
    """Change a snapshot without sync."""
    other = apsw.Connection(str(path))
    other.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    other.execute(sql)
    other.close()


class Service:
    """``ftsql sync`` in its own process, which ends with the ``with`` block."""

    def __init__(self, path: str | Path, environment: dict[str, str], *options: str) -> None:
        command = [sys.executable, "-m", "ftsql", "sync", str(path), "--tables", "jobs", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def line(self, part: str = "") -> str:
        """Return the next line on stderr that contains ``part``; fail if the process ends without one."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if part in line:
                return line
        raise AssertionError(f"it ended without {part!r}")

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, float]:
        """Send a signal. Return the exit code, the rest of stderr, and the seconds until the end."""
        began = time.monotonic()
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=20)
        assert "Traceback" not in errors
        return self.process.returncode, errors, time.monotonic() - began


def stamp(sandbox: Sandbox, count: int) -> None:
    """Return ``count`` running jobs that all show the number of the request."""
    for number in range(count):
        sandbox.add_job(id=f"ftjob-{number:05}", created_at=1_790_000_000 - number, status="running")
    asked = 0

    def stamped(page: dict[str, Any]) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return {**page, "data": [{**job, "seed": asked} for job in page["data"]]}

    sandbox.fault(Fault(times=None, path=FACE + "$", transform=stamped))


# One transaction of a reader: the number of rounds that its rows come from, its rows, and the rows that sync_state
# says.
WHOLE = "SELECT count(DISTINCT seed), count(*), (SELECT max(rows) FROM sync_state) FROM fine_tuning_jobs"


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until a condition is true; fail if it never is."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)
