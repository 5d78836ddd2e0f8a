"""Readers and ``ftsql sync --every`` on one file at once, while jobs move on: nobody waits, nobody sees half a round.

Readers are processes of Python's sqlite3 and, where it is there, of pyodbc over SQLite's ODBC driver.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftsql.sandbox import Fault, Sandbox
from tests.sync.fixtures import wait_for

ACTIVE = 80  # running jobs, which all stand on the list's first page
NEWEST = 1_790_000_000
KINDS = ("sqlite3 stays", "sqlite3 comes and goes", "pyodbc stays", "pyodbc comes and goes")

# In one statement, which is one transaction: how many looks the running jobs are of, how many they are, and whether
# there are as many rows as the same round wrote down.
WHOLE = """
SELECT count(DISTINCT seed), count(*), (SELECT count(*) FROM fine_tuning_jobs) - (SELECT sum(rows) FROM sync_state)
FROM fine_tuning_jobs WHERE status = 'running'
"""
READER = """
import collections, json, sys, time
kind, path, seconds, sql = sys.argv[1:]
library, _, way = kind.partition(" ")
if library == "sqlite3":
    import sqlite3
    opened = lambda: sqlite3.connect(path)
else:
    import pyodbc
    opened = lambda: pyodbc.connect(f"Driver=SQLite3;Database={path};Timeout=5000", autocommit=True)
reads, torn, errors, slowest = 0, 0, collections.Counter(), 0.0
end, db = time.monotonic() + float(seconds), None
while time.monotonic() < end:
    began = time.monotonic()
    try:
        if db is None:
            db = opened()
        (looks, running, more) = db.execute(sql).fetchall()[0]
        torn += looks != 1 or not 79 <= running <= 81 or more != 0
        reads += 1
    except Exception as error:
        errors[f"{type(error).__name__}: {error}"] += 1
        time.sleep(0.01)
    slowest = max(slowest, time.monotonic() - began)
    if way != "stays" and db is not None and reads % 20 == 0:
        db.close()
        db = None
print(json.dumps([reads, torn, errors, slowest]))
"""


@dataclass
class Readers:
    """What came of one kind of reader."""

    kind: str
    processes: int = 0
    reads: int = 0
    torn: int = 0  # reads that saw half a round
    errors: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0


@dataclass
class Result:
    readers: list[Readers]
    rounds: int  # that the service wrote
    failures: list[str]  # what else it said
    moved: int  # jobs that finished meanwhile, each of which made place for a new one

    @property
    def broken(self) -> list[str]:
        """What was not as promised."""
        wrong = [f"sync: {text}" for text in self.failures]
        for kind in self.readers:
            wrong += [f"{kind.kind}: {count} times {text}" for text, count in kind.errors.items()]
            wrong += [f"{kind.kind}: {kind.torn} reads of half a round"] * (kind.torn > 0)
        return wrong

    def __str__(self) -> str:
        lines = [f"{'reader':26}{'processes':>10}{'reads':>10}{'torn':>6}{'errors':>8}{'slowest':>10}"]
        lines += [
            f"{one.kind:26}{one.processes:>10}{one.reads:>10}{one.torn:>6}{one.errors.total():>8}{one.slowest:>8.2f} s"
            for one in self.readers
        ]
        return "\n".join(
            [*lines, f"sync: {self.rounds} rounds, {len(self.failures)} failed; {self.moved} jobs moved on"]
        )


def readers(seconds: float, folder: Path, *, each: int = 2, every: float = 0.2) -> Result:
    """``each`` processes of each kind read for so long, while a service writes and jobs move on."""
    path = folder / "jobs.db"
    kinds = [kind for kind in KINDS if "pyodbc" not in kind or _has_odbc(folder)]
    with Sandbox(jobs=0, speed=0) as sandbox:
        _stamp(sandbox)
        known = {"OPENAI_BASE_URL": sandbox.base_url("openai"), "OPENAI_API_KEY": "k" * 20}
        environment = {**os.environ, **known, "FTSQL_STORE": str(folder / "store.db")}
        command = [sys.executable, "-m", "ftsql", "sync", str(path), "--tables", "jobs"]
        subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)
        over = threading.Event()
        moved: list[str] = []
        mover = threading.Thread(target=_move, args=(sandbox, over, moved))
        said = folder / "sync.log"
        with said.open("w") as log:
            service = subprocess.Popen([*command, "--every", str(every)], env=environment, stderr=log)
            mover.start()
            try:
                wait_for(lambda: bool(said.read_text()))
                results = _read(kinds, path, seconds, each)
            finally:
                over.set()
                mover.join()
                service.send_signal(signal.SIGTERM)
                code = service.wait(20)
    lines = said.read_text().splitlines()
    failures = [line for line in lines if not re.search(r"openai: [\d,]+ jobs \([^)]*\), \d+ requests?$", line)]
    failures += [f"it ended with {code}"] * (code != 0)
    return Result(results, len(lines) - len(failures), failures, len(moved))


def _read(kinds: list[str], path: Path, seconds: float, each: int) -> list[Readers]:
    command = [sys.executable, "-c", READER]
    running = [
        (kind, subprocess.Popen([*command, kind, str(path), str(seconds), WHOLE], stdout=subprocess.PIPE, text=True))
        for kind in kinds
        for _ in range(each)
    ]
    found = {kind: Readers(kind) for kind in kinds}
    for kind, process in running:
        printed, _ = process.communicate(timeout=seconds + 60)
        reads, torn, errors, slowest = json.loads(printed)
        one = found[kind]
        one.processes += 1
        one.reads += reads
        one.torn += torn
        one.errors.update(errors)
        one.slowest = max(one.slowest, slowest)
    return list(found.values())


def _stamp(sandbox: Sandbox) -> None:
    """Running jobs, each of which shows the number of the request that asked for it: every round changes them all."""
    for number in range(ACTIVE):
        sandbox.add_job(id=f"ftjob-{number:06}", created_at=NEWEST + number, status="running")
    asked = 0

    def stamped(page: dict[str, Any]) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return {**page, "data": [{**job, "seed": asked} for job in page["data"]]}

    sandbox.fault(Fault(times=None, path="/v1/fine_tuning/jobs$", transform=stamped))


def _move(sandbox: Sandbox, over: threading.Event, moved: list[str]) -> None:
    """Every now and then the oldest running job succeeds and a new one begins."""
    while not over.wait(0.15):
        number = len(moved)
        sandbox.add_job(id=f"ftjob-{ACTIVE + number:06}", created_at=NEWEST + ACTIVE + number, status="running")
        id = f"ftjob-{number:06}"
        sandbox.update_job(id, status="succeeded", finished_at=int(time.time()))
        moved.append(id)


def _has_odbc(folder: Path) -> bool:
    command = [sys.executable, "-c", "import pyodbc; pyodbc.connect('Driver=SQLite3;Database=:memory:')"]
    return subprocess.run(command, stderr=subprocess.DEVNULL, cwd=folder, check=False).returncode == 0
