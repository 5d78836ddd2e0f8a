"""The crowd: many threads and processes read and write through one store at once, while requests fail.

The first process has all the threads that were asked for, since what threads share is shared there; each other one
has an eighth of them, since between processes only the file is shared.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftsql.sandbox import Fault
from tests.campaign.check import CRASH, Violation
from tests.campaign.faults import Result, Settled, summed
from tests.campaign.footprint import grew, thirds
from tests.campaign.member import HANGS, NEVER_ENDED, Figures, Membership
from tests.campaign.model import Ledger
from tests.campaign.orders import started
from tests.campaign.standing import COLUMNS, Standing
from tests.campaign.victim import Logged
from tests.campaign.visitor import TIMES
from tests.campaign.world import FACES, World, connect
from tests.campaign.world import faults as of_writes

STANDING, ACTIVE = 800, 20
ROWS = 1.0  # a second, written by all together
STEADY = 180.0  # seconds from which on memory can be judged


@dataclass
class Crowd:
    """What a crowd did and what was wrong. ``members``: by process."""

    members: list[Figures]
    books: Result
    wrong: list[str] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        return sum((Counter(one.counts) for one in self.members), Counter())

    @property
    def raised(self) -> Counter[str]:
        return sum((Counter(one.raised) for one in self.members), Counter())

    def __str__(self) -> str:
        counts = self.counts
        lines = [", ".join(f"{name} {count}" for name, count in sorted(counts.items()))]
        lines.append("raised: " + ", ".join(f"{name} {count}" for name, count in self.raised.items()))
        lines.append(f"faults: {', '.join(f'{name} {count}' for name, count in self.books.hits.items() if count)}")
        for number, one in enumerate(self.members):
            held = "; ".join(f"{name} {one.before[name]}, at most {one.most[name]}, then {one.after[name]}"
                             for name in one.before)  # fmt: skip
            memory = " / ".join(f"{third:.1f}" for third in thirds(one.memory))
            lines.append(f"process {number}: {held}; memory {memory} MB; slowest {one.slowest:.1f} s")
        return "\n".join(lines)


def faults() -> dict[str, Fault]:
    """What goes wrong. No list lags, so that what is promised must be shown."""

    def get(probability: float, **what: Any) -> Fault:
        return Fault(method="GET", times=None, probability=probability, **what)

    writes = {name: fault for name, fault in of_writes(FACES["openai"]).items() if fault.lag is None}
    return {
        **writes,
        "slower than the timeout": Fault(method="POST", times=None, probability=0.01, latency=TIMES["timeout"] + 0.3),
        "GET slow": get(0.05, latency=0.3),
        "GET slower than the timeout": get(0.001, latency=TIMES["timeout"] + 0.3),
        "GET 429": get(0.005, status=429, headers={"Retry-After": "0.05"}),
        "GET 500": get(0.01, status=500),
        "GET dropped": get(0.02, drop=True),
        "GET truncated": get(0.02, truncate=60),
    }


def crowd(seconds: float, threads: int, processes: int, seed: int, folder: Path, *, rows: float = ROWS) -> Crowd:
    """A crowd for so many seconds; ``rows``: written in a second."""
    store = folder / "crowd.store"
    ledger = Ledger(0)
    result = Result("crowd")
    with World(FACES["openai"], seed, {}) as world:
        standing = Standing.put(world.sandbox, int(time.time()) - 3 * 86_400, STANDING, ACTIVE)
        world.arm(faults())
        names = [f"c{number}" for number in range(processes)]
        sizes = [threads, *[max(1, threads // 8)] * (processes - 1)]
        orders = [
            Membership(
                name, seed, str(folder), str(store), [str(folder / f"{other}.log") for other in names],
                world.variables(), standing.as_json(), seconds, size, max(1, round(rows * seconds / sum(sizes))),
            )
            for name, size in zip(names, sizes, strict=True)
        ]  # fmt: skip
        members, wrong = _run(orders, seconds)
        for order in orders:
            logged = Logged.read(order.log)
            for transaction in logged.transactions:
                ledger.add(transaction)
            wrong += [f"surprise: {text}" for text in logged.surprises]
            result.violations += [Violation(CRASH, order.name, logged.crash)] * bool(logged.crash)
        result.hits = world.calm_down()
        Settled(world, folder, store, TIMES).into(result, ledger.transactions)
        wrong += _compared(world, store)
    wrong += [str(violation) for violation in result.violations]
    for number, figures in enumerate(members):
        wrong += [f"process {number}: {text}" for text in figures.wrong]
        if seconds >= STEADY and grew(figures.memory):
            wrong.append(f"process {number}: memory grew: {thirds(figures.memory)} MB")
    return Crowd(members, summed(result, ledger), wrong)


def _run(orders: list[Membership], seconds: float) -> tuple[list[Figures], list[str]]:
    """What the processes say, when all have ended."""
    running = []
    for order in orders:
        running.append(started("member", order))
    members, wrong = [], []
    for order, process in zip(orders, running, strict=True):
        try:
            said, errors = process.communicate(timeout=seconds + 2 * HANGS)
        except subprocess.TimeoutExpired:
            process.kill()
            said, errors = process.communicate()
        if process.returncode:
            stacks = order.stacks.read_text() if order.stacks.exists() else ""
            wrong.append(f"{NEVER_ENDED if stacks else CRASH}: {order.name}: {process.returncode}: {stacks}{errors}")
        else:
            members.append(Figures(**json.loads(said)))
            wrong += [f"stderr: {errors[:2000]}"] * bool(errors)
    return members, wrong


def _compared(world: World, store: Path) -> list[str]:
    """Whether what all have left in the store is what the books say, once nothing fails any more."""
    wanted = {job["id"]: job["status"] for job in world.sandbox.jobs()}
    db = connect("openai", Path(":memory:"), store, TIMES)
    try:
        shown = db.execute(f"SELECT {COLUMNS} FROM fine_tuning_jobs").fetchall()
    finally:
        db.close()
    found = {str(row[0]): str(row[3]) for row in shown}
    return [] if found == wanted and len(shown) == len(wanted) else ["at the end: the list is not what the books say"]
