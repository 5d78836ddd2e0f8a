"""One process of the crowd: threads with a connection each, which read and write at random until the time is over.

It is told on stdin what to do and says on stdout what came of it. A statement that never ends ends the process,
with the stacks of all threads in a file.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftsql.errors import APIError, Warning
from tests.campaign.footprint import Footprint, resident, settled
from tests.campaign.orders import Order
from tests.campaign.promises import Promises
from tests.campaign.standing import Standing
from tests.campaign.victim import Log
from tests.campaign.visitor import TIMES, Visitor
from tests.campaign.world import connect

SAMPLE = 0.25  # seconds between two looks at memory and at what hangs
HANGS = 120.0  # seconds after which a statement never ends
NEVER_ENDED = "a statement never ended"


@dataclass
class Membership(Order):
    """What a member does: ``threads`` for ``seconds``, with about ``rows`` rows written in each of them."""

    seconds: float
    threads: int
    rows: int

    @property
    def stacks(self) -> Path:
        return Path(self.folder) / f"{self.name}.stacks"


@dataclass
class Figures:
    """What a member did and saw. ``memory``: megabytes, by and by; footprints: before, at most, and after."""

    counts: Counter[str] = field(default_factory=Counter)
    raised: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    before: dict[str, int] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    slowest: float = 0.0


class Member:
    """The threads of one process and what they share."""

    def __init__(self, order: Membership) -> None:
        self.order = order
        self.standing = Standing(**order.standing)
        self.promises = Promises([Path(path) for path in order.logs])
        self.ledger = Log(0, str(order.log))
        self.figures = Figures()
        self.store = Path(order.store)
        self.began = time.monotonic()
        self.running: dict[str, float] = {}  # thread -> since when its statement runs
        self._lock = threading.Lock()

    def run(self) -> Figures:
        self._once()
        before = Footprint.now()
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(over,), name="watch", daemon=True)
        watch.start()
        self.began = time.monotonic()
        visitors = [threading.Thread(target=self._visit, args=(number,)) for number in range(self.order.threads)]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join()
        over.set()
        watch.join()
        faulthandler.cancel_dump_traceback_later()
        after = settled(before)
        self.figures.before, self.figures.after = before.numbers, after.numbers
        self.figures.wrong += [f"left over: {text}" for text in after.more_than(before)]
        return self.figures

    def left(self) -> float:
        """Seconds until the end."""
        return self.began + self.order.seconds - time.monotonic()

    def count(self, *names: str) -> None:
        with self._lock:
            self.figures.counts.update(names)

    def wrong(self, texts: list[str]) -> None:
        with self._lock:
            self.figures.wrong += texts

    def raised(self, error: BaseException) -> None:
        with self._lock:
            self.figures.raised[type(error).__name__] += 1

    @contextlib.contextmanager
    def watched(self) -> Any:
        """What runs inside must end."""
        name, began = threading.current_thread().name, time.monotonic()
        self.running[name] = began
        try:
            yield
        finally:
            del self.running[name]
            self.figures.slowest = max(self.figures.slowest, time.monotonic() - began)

    def _once(self) -> None:
        """What Python and its modules keep from the first use on."""
        db = connect("openai", Path(":memory:"), Path(":memory:"), TIMES)
        with contextlib.suppress(APIError):
            db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall()
        db.close()
        settled(Footprint(), 0)

    def _watch(self, over: threading.Event) -> None:
        with self.order.stacks.open("w") as stacks:
            while not over.wait(SAMPLE):
                # Where not even this thread runs any more, faulthandler's own does it.
                faulthandler.dump_traceback_later(HANGS + 30, file=stacks, exit=True)
                now = time.monotonic()
                if any(now - began > HANGS for began in list(self.running.values())):
                    faulthandler.dump_traceback(stacks, all_threads=True)
                    os._exit(3)
                self.figures.memory.append(resident())
                numbers = Footprint.now().numbers
                self.figures.most = {name: max(n, self.figures.most.get(name, 0)) for name, n in numbers.items()}

    def _visit(self, number: int) -> None:
        try:
            Visitor(self, number).run()
        except BaseException:
            self.wrong([f"crash: {traceback.format_exc()}"])


def main() -> None:
    order = Membership(**json.load(sys.stdin))
    os.environ.update(order.variables)
    figures = Figures()
    warnings.simplefilter("ignore", Warning)
    # That writes are open since earlier is what the faults leave; that the store cannot be used is wrong.
    warnings.filterwarnings("error", message=".*cannot be used", category=Warning)
    sys.unraisablehook = lambda unraisable: figures.wrong.append(f"unraisable: {unraisable.exc_value!r}")
    threading.excepthook = lambda args: figures.wrong.append(f"{args.thread}: {args.exc_value!r}")
    member = Member(order)
    member.figures = figures
    print(json.dumps(vars(member.run())))


if __name__ == "__main__":
    main()
