"""A visitor of the crowd: one thread, whose connection reads and writes at random, and others that come and go."""

from __future__ import annotations

import contextlib
import gc
import random
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw

from ftsql.errors import APIError
from tests.campaign.reads import Reads
from tests.campaign.shapes import run
from tests.campaign.victim import Elsewhere
from tests.campaign.world import FACES, connect
from tests.campaign.writer import Writer

if TYPE_CHECKING:
    from tests.campaign.member import Member

KEPT = 2  # jobs that a thread lets live
AGE = 2.0  # max_age of some connections
TIMES = {"timeout": 2.5, "settle_seconds": 5.0, "absent_seconds": 7.0}


class Visitor:
    """One thread: a connection that reads and writes, and others that come and go."""

    def __init__(self, member: Member, number: int) -> None:
        name = f"{member.order.name}.{number}"
        self.member = member
        self.rng = random.Random(f"{member.order.seed}/{name}")
        folder = Path(member.order.folder)
        face = FACES["openai"]
        with member.watched():
            self.writer = Writer(
                Elsewhere(face), name, self.rng, folder, member.store, member.ledger, TIMES, most=2
            )  # fmt: skip

    def run(self) -> None:
        weights = {self.read: 20, self.interrupted: 5, self.aged: 3, self.alone: 1, self.reopen: 1, self.drop: 0.5}
        actions = {**weights, self.housekeeping: 0.2}
        while self.member.left() > 0:
            action = self.rng.choices(list(actions), list(actions.values()))[0]
            if self.rng.random() < 0.5 and self._may_write():
                action = self.write
            with self.member.watched():
                action()
        with self.member.watched():
            self.writer.db.close()

    def _may_write(self) -> bool:
        """Rows are spread over the time."""
        elapsed = 1 - self.member.left() / self.member.order.seconds
        return self.writer.count < self.member.order.rows * elapsed

    def _reads(self, db: Any = None, age: float = 0.0) -> Reads:
        return Reads(db or self.writer.db, self.member.standing, self.member.promises, self.rng, age)

    def read(self, reads: Reads | None = None) -> None:
        """One read, whose rows are right, or which the API's errors end."""
        chosen = (reads or self._reads()).any()
        self.member.count("reads", chosen.__name__)
        try:
            wrong = chosen()
        except APIError as error:
            self.member.raised(error)
            return
        self.member.wrong(
            [
                f"{self.writer.name}: {chosen.__name__}{' of age' if reads and reads.age else ''}: {text}"
                for text in wrong
            ]
        )

    def interrupted(self) -> None:
        """A read that another thread interrupts at any moment, and one more, which it must not touch."""
        timer = threading.Timer(self.rng.choice((0.002, 0.02, 0.1, 0.4)) * self.rng.random(), self.writer.db.interrupt)
        timer.start()
        try:
            self.read()
        except apsw.InterruptError:
            self.member.count("interrupts that landed")
        finally:
            timer.join()
        self.member.count("interrupts")
        self.read()

    def aged(self) -> None:
        """A dashboard's connection: what it shows may be a little old."""
        self._other(self.member.store, {**TIMES, "max_age": AGE}, AGE)

    def alone(self) -> None:
        """A connection whose store is its own, so that everything is asked for."""
        self._other(Path(":memory:"), TIMES, 0.0)

    def _other(self, store: Path, settings: dict[str, float], age: float) -> None:
        db = connect("openai", Path(":memory:"), store, settings)
        try:
            for _ in range(self.rng.randint(1, 3)):
                self.read(self._reads(db, age + 1.0 if age else 0.0))
        finally:
            db.close()
        self.member.count("connections")

    def reopen(self) -> None:
        self.writer.reopen()
        self.member.count("connections")

    def drop(self) -> None:
        """A connection that nobody closes, in the middle of a statement."""
        db = connect("openai", Path(":memory:"), self.member.store, TIMES)
        with contextlib.suppress(APIError):
            next(db.execute("SELECT id FROM fine_tuning_jobs"))
        del db
        gc.collect()
        self.member.count("connections", "dropped")

    def housekeeping(self) -> None:
        """What a user does now and then: have everything read anew."""
        self.writer.db.ftsql.refresh()
        self.member.count("refreshes")

    def write(self) -> None:
        """A transaction of a random shape; what it created is cancelled by and by."""
        db, writer = self.writer.db, self.writer
        transaction = run(writer)
        self.member.count("transactions", f"transactions {transaction.outcome}")
        kept = {row.tag: row for row in transaction.kept if not row.cancel}
        known = {row.tag for row, _ in writer.committed}
        for job in db.ftsql.take_created():
            tag = str(job.values.get("suffix"))
            if tag in kept and tag not in known and transaction.outcome == "committed":
                writer.committed.append((kept[tag], job.id))
        while len(writer.committed) > KEPT:
            row, id = writer.committed.pop(0)
            self.member.ledger.cancels(row, "tried")
            try:
                status = db.execute("SELECT cancel_job(?)", (id,)).get
            except APIError as error:
                self.member.raised(error)
                continue
            if status != "cancelled":
                self.member.wrong([f"cancel_job gave {status}"])
            self.member.ledger.cancels(row, "done")
            self.member.count("cancels")
