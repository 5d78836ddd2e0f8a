"""Several processes that write through one store at once: nobody doubles, loses or settles what is another's.

And a day's limit of creates holds over all of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.campaign.check import CRASH, Violation
from tests.campaign.faults import Result, Settled, summed
from tests.campaign.model import Ledger
from tests.campaign.victim import Logged, Order, Template
from tests.campaign.world import FACES, TIMES, World, faults

TOO_MANY = "more creates than max_creates_per_day"
PATIENCE = 300.0


def together(
    rows: int,
    seed: int,
    folder: Path,
    *,
    processes: int = 3,
    face: str = "openai",
    most: int = 20,
    settings: Mapping[str, float] = TIMES,
) -> Result:
    """``processes`` write ``rows`` rows through one store, while everything fails; and all is compared."""
    result = Result(f"together {face}")
    ledger = Ledger(rows)
    with World(FACES[face], seed, faults(FACES[face]), chaos=True) as world:
        store = folder / "together.store"
        logs = _run(world, seed, folder, store, processes, rows=rows // processes, most=most, settings=dict(settings))
        for logged in logs:
            for transaction in logged.transactions:
                ledger.add(transaction)
            for text in logged.surprises:
                ledger.surprises[text] += 1
            if logged.crash:
                result.violations.append(Violation(CRASH, "a process", logged.crash))
        result.hits = world.calm_down()
        Settled(world, folder, store, settings).into(result, ledger.transactions)
    return summed(result, ledger)


def limited(limit: int, seed: int, folder: Path, *, processes: int = 3) -> Result:
    """``processes`` race for a day's last creates."""
    result = Result(f"at most {limit}")
    ledger = Ledger(0)
    with World(FACES["openai"], seed, {}) as world:
        store = folder / "limited.store"
        logs = _run(
            world, seed, folder, store, processes, rows=limit, most=1,
            shapes=["autocommit", "with", "create_job"], settings={"max_creates_per_day": limit},
        )  # fmt: skip
        for logged in logs:
            for transaction in logged.transactions:
                ledger.add(transaction)
            if logged.crash:
                result.violations.append(Violation(CRASH, "a process", logged.crash))
        created = len(world.sandbox.jobs())
        if created > limit:
            result.violations.append(Violation(TOO_MANY, "all", f"{created} jobs were created"))
        if not created:
            result.violations.append(Violation(TOO_MANY, "all", "nothing was created at all"))
        result.hits["created"] = created
    return summed(result, ledger)


def _run(
    world: World, seed: int, folder: Path, store: Path, processes: int, *, rows: int, **options: Any
) -> list[Logged]:
    """What the processes' logs say, when all have ended."""
    template = Template()
    try:
        names = [f"t{number}" for number in range(processes)]
        running = [
            template.start(
                Order(
                    name=name, face=world.face.name, seed=seed, folder=str(folder), store=str(store),
                    log=str(folder / f"{store.name}.{name}.log"), variables=world.variables(), rows=rows, **options,
                )
            )
            for name in names
        ]  # fmt: skip
        end = time.monotonic() + PATIENCE
        while running and time.monotonic() < end:
            running = [pid for pid in running if not template.has_ended(pid)]
            time.sleep(0.05)
        for pid in running:
            template.kill(pid)
        late = [Logged(crash="it did not end")] * len(running)
        return [*(Logged.read(folder / f"{store.name}.{name}.log") for name in names), *late]
    finally:
        template.close()
