"""What the tests of sync share: a file to sync into, how others read it, the command as a process."""

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
    """One round, on a file that is opened and closed for it; of the jobs alone, unless ``tables`` says more."""
    syncing = Sync(db, path, **{"tables": ["jobs"], **options})
    try:
        return syncing.round()
    finally:
        syncing.close()


def read(path: str | Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """What another connection reads.

    Not one of Python's own sqlite3: beside APSW that is a second SQLite in one process, and closing its file
    drops the locks of the first. See WHOLE for processes of their own.
    """
    other = apsw.Connection(str(path))
    try:
        return other.execute(sql, values).fetchall()
    finally:
        other.close()


def changed(path: str | Path, sql: str) -> None:
    """Change a snapshot behind sync's back."""
    other = apsw.Connection(str(path))
    other.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    other.execute(sql)
    other.close()


class Service:
    """``ftsql sync`` as a process of its own, which does not outlive the ``with`` block."""

    def __init__(self, path: str | Path, environment: dict[str, str], *options: str) -> None:
        command = [sys.executable, "-m", "ftsql", "sync", str(path), "--tables", "jobs", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def line(self, part: str = "") -> str:
        """The next line on stderr that has ``part``; fails when the process ends without one."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if part in line:
                return line
        raise AssertionError(f"it ended without {part!r}")

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, float]:
        """Send a signal; gives the exit code, what else stood on stderr, and how many seconds it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=20)
        assert "Traceback" not in errors
        return self.process.returncode, errors, time.monotonic() - began


def stamp(sandbox: Sandbox, count: int) -> None:
    """``count`` running jobs, all of which show the number of the request that asks for them."""
    for number in range(count):
        sandbox.add_job(id=f"ftjob-{number:05}", created_at=1_790_000_000 - number, status="running")
    asked = 0

    def stamped(page: dict[str, Any]) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return {**page, "data": [{**job, "seed": asked} for job in page["data"]]}

    sandbox.fault(Fault(times=None, path=FACE + "$", transform=stamped))


# One transaction of a reader: gives the number of looks that its rows are of, and those of rows and of sync_state.
WHOLE = "SELECT count(DISTINCT seed), count(*), (SELECT max(rows) FROM sync_state) FROM fine_tuning_jobs"


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something is so; fails when it never is."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)
