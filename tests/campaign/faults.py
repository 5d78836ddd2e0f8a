"""The fault campaign: transactions of all shapes from several threads, while everything fails at random.

Each thread has a connection of its own; all share one store, and after the end a user settles what is open.
"""

from __future__ import annotations

import random
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ftsql.errors import Warning
from tests.campaign import mutations
from tests.campaign.check import CRASH, Check, Journal, Violation, secrets
from tests.campaign.model import Ledger, Transaction
from tests.campaign.shapes import run
from tests.campaign.world import FACES, TIMES, World, connect, faults
from tests.campaign.writer import Writer

REOPEN = 12  # transactions after which a thread takes a new connection


@dataclass
class Result:
    """What a campaign did and found."""

    title: str
    rows: int = 0
    transactions: int = 0
    hits: dict[str, int] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    surprises: Counter[str] = field(default_factory=Counter)
    found_again: int = 0
    unknown_left: int = 0  # of rows without a fingerprint
    cancelled_by_hand: int = 0
    seconds: float = 0.0
    caught: tuple[int, int, float] | None = None  # rows, transactions, seconds until the first violation

    def __add__(self, other: Result) -> Result:
        """Both as one; seconds of work, which may have been side by side."""
        hits = Counter(self.hits)
        hits.update(other.hits)
        sums = ("rows", "transactions", "found_again", "unknown_left", "cancelled_by_hand", "seconds")
        return Result(
            self.title,
            hits=dict(hits),
            outcomes=self.outcomes + other.outcomes,
            shapes=self.shapes + other.shapes,
            violations=self.violations + other.violations,
            surprises=self.surprises + other.surprises,
            caught=self.caught or other.caught,
            **{name: getattr(self, name) + getattr(other, name) for name in sums},
        )

    def count(self, *kinds: str) -> int:
        return len({(one.kind, one.tag) for one in self.violations if one.kind in kinds})


class Campaign:
    """One face's campaign. ``stop_early``: at the first violation, as for mutations.

    ``shapes``: only these; ``most``: rows in a statement; ``share``: of the lost answers, instead of the face's own.
    """

    def __init__(
        self,
        face: str,
        rows: int,
        seed: int,
        folder: Path,
        *,
        workers: int = 12,
        stop_early: bool = False,
        shapes: Collection[str] = (),
        most: int = 20,
        settings: Mapping[str, float] = TIMES,
        share: float | None = None,
    ) -> None:
        self.face = FACES[face] if share is None else replace(FACES[face], share=share)
        self.seed = seed
        self.workers = workers
        self.folder = folder
        self.store = folder / f"{face}.store"
        self.stop_early = stop_early
        self.shapes = shapes
        self.most = most
        self.settings = settings
        self.ledger = Ledger(rows)
        self.result = Result(face)
        self._checking = threading.Lock()
        self._showing = sys.stderr.isatty()

    def run(self) -> Result:
        result, ledger = self.result, self.ledger
        with World(self.face, self.seed, faults(self.face), chaos=True) as world:
            threads = [
                threading.Thread(target=self._work, args=(world, number), name=f"writer-{number}")
                for number in range(self.workers)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            result.hits = world.calm_down()
            if not (self.stop_early and result.violations):
                Settled(world, self.folder, self.store, self.settings).into(result, ledger.transactions)
                if result.violations and result.caught is None:
                    result.caught = (ledger.rows, len(ledger.transactions), ledger.seconds())
        return summed(result, ledger)

    def _work(self, world: World, number: int) -> None:
        rng = random.Random(f"{self.seed}/{self.face.name}/{number}")
        every = 1 if self.stop_early else 40
        try:
            name = f"{self.face.name[0]}{number}"
            writer = Writer(world, name, rng, self.folder, self.store, self.ledger, self.settings, self.most)
            done = 0
            while not self.ledger.done():
                run(writer, self.shapes)
                done += 1
                if len(self.ledger.unchecked()) >= every:
                    self._check(world, writer)
                if done % REOPEN == 0:
                    writer.reopen()
                    if rng.random() < 0.1 and "metadata" in self.face.keeps:  # else what stays open makes it slow
                        writer.db.ftsql.settle()
            self._check(world, writer)
            writer.db.close()
        except BaseException:
            self._say([Violation(CRASH, f"writer {number}", traceback.format_exc())])
            self.ledger.stopped.set()

    def _check(self, world: World, writer: Writer) -> None:
        """What holds of a transaction as soon as it has ended."""
        with self._checking:
            ended = self.ledger.unchecked()
            self._say(Check(world, Journal.read(writer.db, world)).transactions(ended))
            for transaction in ended:
                transaction.checked = True
            if self._showing:
                print(f"\r{self.face.name}: {self.ledger.rows} rows ", end="", file=sys.stderr, flush=True)

    def _say(self, violations: list[Violation]) -> None:
        if violations and self.result.caught is None:
            self.result.caught = (self.ledger.rows, len(self.ledger.transactions), self.ledger.seconds())
        self.result.violations += violations
        if violations and self.stop_early:
            self.ledger.stopped.set()


def one_round(face: str, rows: int, seed: int, workers: int, mutation: str, folder: Path) -> Result:
    """One face's campaign, for a process of its own."""
    folder = folder / f"{face}-{seed}"
    folder.mkdir()
    warnings.filterwarnings("ignore", category=Warning)  # that writes are open since earlier
    with mutations.applied(mutation):
        return Campaign(face, rows, seed, folder, workers=workers, stop_early=bool(mutation)).run()


class Settled:
    """What a user does afterwards: settle, and cancel the jobs of transactions that never ended."""

    def __init__(self, world: World, folder: Path, store: Path, settings: Mapping[str, float]) -> None:
        self.by_hand: list[str] = []  # jobs whose transaction did not end
        self._world = world
        self._store = store
        time.sleep(settings["absent_seconds"] + 2)  # the journal has whole seconds
        db = connect(world.face.name, folder / "end.db", store, settings)
        try:
            db.ftsql.settle()
            sql = "SELECT job_id FROM ftsql_writes WHERE action = 'create' AND state = 'created'"
            for (id,) in db.execute(sql).fetchall():
                db.execute("SELECT cancel_job(?)", (id,)).fetchall()
                self.by_hand.append(str(id))
            self.journal = Journal.read(db, world)
        finally:
            db.close()

    def into(self, result: Result, transactions: list[Transaction]) -> None:
        """Compare all that ``transactions`` promised."""
        journal = self.journal
        status = {job["id"]: job["status"] for job in self._world.sandbox.jobs()}
        result.violations += Check(self._world, journal, final=True, status=status).transactions(transactions)
        result.violations += [*journal.undecided, *secrets(self._store)]
        result.found_again = journal.found_again
        result.cancelled_by_hand = len(self.by_hand)
        result.unknown_left = sum("unknown" in journal.states(tag) for tag in list(journal.creates))


def summed(result: Result, ledger: Ledger) -> Result:
    """``result`` with the numbers of ``ledger``."""
    result.rows, result.transactions = ledger.rows, len(ledger.transactions)
    result.surprises = ledger.surprises
    for transaction in ledger.transactions:
        result.outcomes[transaction.outcome] += 1
        result.shapes[transaction.shape] += 1
        if transaction.outcome != "rolled back":
            result.outcomes["rows meant to stand"] += len(transaction.kept)
        if transaction.outcome == "committed":
            result.outcomes["rows committed"] += len(transaction.kept)
    result.seconds = ledger.seconds()
    return result


def table(results: list[Result]) -> str:
    """The results side by side."""
    hits = list(dict.fromkeys(name for result in results for name in result.hits))
    lines: list[tuple[str, Sequence[object]]] = [
        ("rows", [result.rows for result in results]),
        ("transactions", [result.transactions for result in results]),
        *((f"  hit: {name}", [result.hits.get(name, 0) for result in results]) for name in hits),
        ("rows meant to stand", [result.outcomes["rows meant to stand"] for result in results]),
        ("rows committed", [result.outcomes["rows committed"] for result in results]),
        *((f"transactions {name}", [result.outcomes[name] for result in results]) for name in OUTCOMES),
        ("found again by look-up", [result.found_again for result in results]),
        ("cancelled by hand", [result.cancelled_by_hand for result in results]),
        ("unknown left, no fingerprint", [result.unknown_left for result in results]),
        *((f"VIOLATION {kind}", [result.count(kind) for result in results]) for kind in _kinds(results)),
        ("seconds", [f"{result.seconds:.0f}" for result in results]),
    ]
    head = f"{'':32}" + "".join(f"{result.title:>16}" for result in results)
    return "\n".join([head, *(f"{name:32}" + "".join(f"{value!s:>16}" for value in values) for name, values in lines)])


OUTCOMES = ("committed", "failed", "unknown", "rolled back")


def _kinds(results: list[Result]) -> list[str]:
    always = ["double", "sent twice", "lost", "alive though rolled back", "unknown left"]
    return list(dict.fromkeys([*always, *(one.kind for result in results for one in result.violations)]))
