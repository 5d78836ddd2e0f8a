"""Processes that write and may be killed: a template that is told on stdin whom to fork, kill and wait for.

The template imports everything once and opens nothing, so that a fork of it is a clean process.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import traceback
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ftsql.errors import Warning
from tests.campaign import mutations
from tests.campaign.model import Cancel, Ledger, Row, Transaction
from tests.campaign.shapes import run
from tests.campaign.world import FACES, TIMES, Face
from tests.campaign.writer import Writer

ROOT = Path(__file__).parents[2]


@dataclass
class Order:
    """What a victim does: transactions until ``rows`` rows. It logs each one that has ended into ``log``."""

    name: str
    face: str
    seed: int
    folder: str
    store: str
    log: str
    variables: dict[str, str]
    rows: int
    most: int = 20
    shapes: list[str] = field(default_factory=list)
    mutation: str = ""
    settings: dict[str, float] = field(default_factory=dict)


@dataclass
class Elsewhere:
    """The sandbox in the parent process, which has made the files."""

    face: Face

    def add_file(self, name: str) -> None:
        pass


class Log(Ledger):
    """A ledger whose entries are in a file as soon as they are made."""

    def __init__(self, rows: int, path: str) -> None:
        super().__init__(rows)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def add(self, transaction: Transaction) -> None:
        super().add(transaction)
        self._write({"ended": transaction.as_json()})

    def cancels(self, row: Row, how: Cancel) -> None:
        super().cancels(row, how)
        self._write({"cancel": row.tag, "how": how})

    def surprise(self, shape: str, error: BaseException) -> None:
        self._write({"surprise": f"{shape}: {type(error).__name__}: {str(error)[:160]}"})

    def crash(self, text: str) -> None:
        self._write({"crash": text})

    def _write(self, value: dict[str, Any]) -> None:
        os.write(self._file, json.dumps(value).encode() + b"\n")


@dataclass
class Logged:
    """What a victim's log says."""

    transactions: list[Transaction] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    crash: str = ""

    @classmethod
    def read(cls, path: Path) -> Logged:
        logged = cls()
        rows: dict[str, Row] = {}
        for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
            if not line.endswith(b"\n"):
                break  # it was killed as it wrote
            value = json.loads(line)
            if "ended" in value:
                transaction = Transaction.from_json(value["ended"])
                logged.transactions.append(transaction)
                rows |= {row.tag: row for row in transaction.rows}
            elif "cancel" in value:
                rows[value["cancel"]].cancel = value["how"]
            elif "surprise" in value:
                logged.surprises.append(value["surprise"])
            else:
                logged.crash = value["crash"]
        return logged


class Template:
    """The template process, from the side of the one who gives orders. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.campaign.victim"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, order: Order) -> int:
        """Start a victim; gives its id."""
        return self._ask("start", asdict(order))

    def kill(self, pid: int) -> None:
        self._ask("kill", pid)

    def has_ended(self, pid: int) -> bool:
        """Whether it ended by itself; asked no more once it did."""
        return bool(self._ask("poll", pid))

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def _ask(self, what: str, about: Any) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps([what, about]) + "\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())


def work(order: Order) -> None:
    """What a victim does in its own process."""
    warnings.filterwarnings("ignore", category=Warning)  # that writes are open since earlier
    ledger = Log(order.rows, order.log)
    try:
        for name in [name for name in os.environ if name.upper().endswith("_PROXY") or name.startswith("FTSQL_")]:
            del os.environ[name]
        os.environ.update(order.variables)
        if order.mutation:
            mutations.apply(order.mutation)
        rng = random.Random(f"{order.seed}/{order.name}")
        place, folder = Elsewhere(FACES[order.face]), Path(order.folder)
        settings = {**TIMES, **order.settings}
        writer = Writer(place, order.name, rng, folder, Path(order.store), ledger, settings, order.most)
        while not ledger.done():
            run(writer, order.shapes)
        writer.db.close()
    except BaseException:
        ledger.crash(traceback.format_exc())


def serve() -> None:
    """The template's loop."""
    for line in sys.stdin:
        what, about = json.loads(line)
        if what == "start":
            pid = os.fork()
            if pid == 0:
                os.close(0)
                os.close(1)
                try:
                    work(Order(**about))
                finally:
                    os._exit(0)
            answer = pid
        elif what == "kill":
            os.kill(about, signal.SIGKILL)  # it is not waited for yet, so the id is still its own
            answer = os.waitpid(about, 0)[0]
        else:
            answer = os.waitpid(about, os.WNOHANG)[0]
        print(answer, flush=True)


if __name__ == "__main__":
    serve()
