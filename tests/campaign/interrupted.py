"""A process whose statements are interrupted at random moments, and whose one connection must work on afterwards.

It is told on stdin what to do and says on stdout what came of it. A moment is a Ctrl-C (a real SIGINT), or
``connection.interrupt()`` from another thread, or a KeyboardInterrupt before a line of ftsql's own code: a signal
mostly finds it waiting, and every line may be the one that it finds.
"""

from __future__ import annotations

import json
import linecache
import os
import random
import signal
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import apsw

import ftsql
from ftsql.errors import OutcomeUnknown, Warning
from ftsql.sync.rounds import Sync
from tests.campaign.footprint import Footprint, settled
from tests.campaign.model import Transaction
from tests.campaign.orders import Order
from tests.campaign.promises import Promises
from tests.campaign.reads import Reads
from tests.campaign.snapshots import begin_anew, whole
from tests.campaign.standing import COLUMNS, Standing
from tests.campaign.victim import Elsewhere, Log
from tests.campaign.world import FACES, connect
from tests.campaign.writer import Writer

WAYS = ("Ctrl-C", "interrupt", "line")
CODE = str(Path(ftsql.__file__).parent)
KINDS = ("cold listing", "listing", "INSERT", "transaction", "events", "sync")
TIMES = {"timeout": 5.0, "settle_seconds": 1.5, "absent_seconds": 2.0}
REOPEN = 40  # moments after which there is a new connection
IDLE = 24  # threads that may wait for work: those of a connection, and as many as abandoned calls asked for
LATE = 1.15  # of what an operation takes: some moments come just after it


@dataclass
class Interruptions(Order):
    """What such a process does: ``moments`` of each of ``kinds``."""

    moments: int
    kinds: Sequence[str] = KINDS


@dataclass
class Figures:
    """What came of it. ``counts``: by kind, what interrupted it, and whether it landed."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    slowest: float = 0.0  # seconds from an interrupt of a read to its end


def _is_at_with(frame: FrameType) -> bool:
    """Whether the line is a ``with``. Python traces that line again when its block ends, before its lock is released.

    No signal is handled there, so an exception at this place would only leave the lock held.
    """
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip().startswith("with ")


class Interrupted:
    """The connection and what is done with it."""

    def __init__(self, order: Interruptions) -> None:
        self.order = order
        self.rng = random.Random(f"{order.seed}/{order.name}")
        self.standing = Standing(**order.standing)
        self.promises = Promises([Path(path) for path in order.logs])
        self.ledger = Log(0, str(order.log))
        self.figures = Figures()
        self.path = Path(order.folder) / f"{order.name}.snapshot.db"
        self.takes = dict.fromkeys(KINDS, 0.5)  # seconds, without an interrupt
        self.lines = dict.fromkeys(KINDS, 0)  # of ftsql that it ran then
        self._active = False
        self._signals, self._at = 0, 0.0
        self._line, self._last_line = 0, 0
        self._where = ""  # the line before which it was interrupted
        self._tracing: Any = None
        self._transaction: Transaction | None = None

    def run(self) -> None:
        folder, store = Path(self.order.folder), Path(self.order.store)
        place = Elsewhere(FACES["openai"])
        connect("openai", Path(":memory:"), Path(":memory:"), TIMES).close()
        before = Footprint.now()
        self.writer = Writer(place, self.order.name, self.rng, folder, store, self.ledger, TIMES)
        signal.signal(signal.SIGINT, self._signal)
        kinds = [kind for kind in self.order.kinds for _ in range(self.order.moments)]
        self.rng.shuffle(kinds)
        for kind in KINDS:
            self._moment(kind, "nothing")
        for number, kind in enumerate(kinds):
            if number % REOPEN == REOPEN - 1:
                self.writer.reopen()
            self._moment(kind, self.rng.choice(WAYS))
        self.writer.db.close()
        after = settled(before)
        self.figures.before, self.figures.after = before.numbers, after.numbers
        self.wrong("the end", [f"left over: {text}" for text in after.more_than(before)])

    def wrong(self, what: str, texts: list[str]) -> None:
        self.figures.wrong += [f"{self.order.name}: {what}: {text}" for text in texts]

    def _moment(self, kind: str, how: str) -> None:
        """Interrupt one operation, and see that the connection works on."""
        interrupts = {"Ctrl-C": lambda: os.kill(os.getpid(), signal.SIGINT), "interrupt": self.writer.db.interrupt}
        interrupts |= dict.fromkeys(("nothing", "line"), lambda: None)
        operation = self._operation(kind)
        timer = threading.Timer(self.rng.uniform(0, LATE * self.takes[kind]), self._now, (interrupts[how],))
        self._signals, self._at, self._where = 0, 0.0, ""
        self._line, self._last_line = 0, self.rng.randint(1, max(1, self.lines[kind])) if how == "line" else 0
        self._tracing = self._trace if how in ("nothing", "line") else None
        began = time.monotonic()
        timer.start()
        landed = self._interrupted(kind, operation)
        ended = time.monotonic()
        timer.join()
        self._conclude(f"{how} {self._where}")
        what = f"{kind}, {how}"
        self.figures.counts.update([f"{what}: {'landed' if landed else 'came late'}"])
        if not landed:
            self.takes[kind] = max(0.03, ended - began)
            self.lines[kind] = self._line or self.lines[kind]
        elif how != "line" and kind in ("listing", "cold listing", "events"):
            self.figures.slowest = max(self.figures.slowest, ended - self._at)
        if self._signals and not landed:
            self.figures.counts.update([f"{what}: swallowed"])
        self._afterwards(f"{what} {self._where}" if how == "line" else what)

    def _now(self, interrupt: Callable[[], object]) -> None:
        self._at = time.monotonic()
        interrupt()

    def _signal(self, number: int, frame: FrameType | None) -> None:
        if self._active:
            self._signals += 1
            raise KeyboardInterrupt

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        """Python calls it before each line."""
        if not frame.f_code.co_filename.startswith(CODE):
            return None
        if event == "line":
            self._line += 1
            if 0 < self._last_line <= self._line and not _is_at_with(frame):
                self._last_line = 0
                self._signals += 1
                self._where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return self._trace

    def _interrupted(self, kind: str, operation: Callable[[], None]) -> bool:
        """Run an operation; whether the interrupt ended it."""
        try:
            try:
                self._active = True
                sys.settrace(self._tracing)
                operation()
                self._held()
            finally:
                sys.settrace(None)
                self._active = False
        except (KeyboardInterrupt, apsw.InterruptError, OutcomeUnknown):
            return True
        except BaseException:
            self.wrong(kind, [traceback.format_exc()])
        finally:
            self._active = False
        return False

    def _held(self) -> None:
        """A Ctrl-C that came with a transaction's last write comes when it stands."""
        session = self.writer.db.ftsql._session
        while session.held_interrupt:
            time.sleep(0.005)
        time.sleep(0.01)

    def _operation(self, kind: str) -> Callable[[], None]:
        db = self.writer.db
        if kind == "listing":
            return lambda: _read(db, f"SELECT {COLUMNS} FROM fine_tuning_jobs")
        if kind == "cold listing":
            db.ftsql.refresh()
            return lambda: _read(db, f"SELECT {COLUMNS} FROM fine_tuning_jobs")
        if kind == "events":
            ids = json.dumps(list(self.standing.events))
            return lambda: _read(db, "SELECT id FROM fine_tuning_job_events(?)", ids)
        if kind == "sync":
            if self.rng.random() < 0.5:
                begin_anew(self.path)
            return self._sync
        return lambda: self._write(begins=kind == "transaction")

    def _sync(self) -> None:
        syncing = Sync(self.writer.db, self.path, ["jobs", "events"])
        try:
            syncing.round()
        finally:
            syncing.close()

    def _write(self, *, begins: bool) -> None:
        """Several rows; what became of them when it is interrupted the journal says."""
        writer, db = self.writer, self.writer.db
        transaction = Transaction("transaction" if begins else "INSERT", outcome="killed")
        transaction.kept = [writer.row() for _ in range(3)]
        self._transaction = transaction
        if begins:
            db.execute("BEGIN")
            for row in transaction.kept:
                writer.insert([row])
            db.execute("COMMIT")
        else:
            writer.insert(transaction.kept)
        transaction.outcome = "committed"

    def _conclude(self, how: str) -> None:
        """End the transaction that was interrupted, and note it."""
        if self.writer.db.in_transaction:
            self.writer.db.execute("ROLLBACK")
        if self._transaction is not None:
            self._transaction.error = how
            self.ledger.add(self._transaction)
            self._transaction = None

    def _afterwards(self, what: str) -> None:
        """The same connection works, nothing of what was interrupted is left, and the file is a whole round."""
        try:
            reads = Reads(self.writer.db, self.standing, self.promises, self.rng)
            self.wrong(f"after {what}", reads.listing() if self.rng.random() < 0.3 else reads.any()())
            if queued := self.writer.db.ftsql.queued:
                self.wrong(f"after {what}", [f"{queued} writes are still queued"])
            if "sync" in what:
                self.wrong(f"after {what}", whole(self.path, self.standing))
        except BaseException:
            self.wrong(f"after {what}", [traceback.format_exc()])
        workers = sum(thread.name == "ftsql-worker" for thread in threading.enumerate())
        if workers > IDLE:
            self.wrong(f"after {what}", [f"{workers} threads work or wait"])


def _read(db: apsw.Connection, sql: str, *values: object) -> None:
    for _ in db.execute(sql, values):
        pass


def main() -> None:
    order = Interruptions(**json.load(sys.stdin))
    os.environ.update(order.variables)
    warnings.simplefilter("ignore", Warning)
    warnings.filterwarnings("error", message=".*cannot be used", category=Warning)
    one = Interrupted(order)
    unraisable: Counter[str] = Counter()
    sys.unraisablehook = lambda args: unraisable.update([f"unraisable: {args.exc_value!r} in {args.object!r}"[:300]])
    one.run()
    one.figures.counts.update(unraisable)
    print(json.dumps(vars(one.figures)))


if __name__ == "__main__":
    main()
