"""The campaign of statements: nothing that a person or a client types crashes, hangs, or writes where it may not.

Each batch is a process of its own, so that one that dies is a violation and not the campaign's end.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tests.campaign import servers, shells
from tests.campaign.shells import Result

BATCH = 2500
TARGETS: dict[
    str, tuple[Callable[[int, int, Path], Result], int]
] = {  # what is aimed at, and which share of the statements it gets
    "the shell, read-only": (partial(shells.shell, read_only=True), 2),
    "the shell": (partial(shells.shell, read_only=False), 2),
    "serve": (servers.serve, 1),
}


def campaign(count: int, seed: int, workers: int, folder: Path) -> Iterator[tuple[str, Result]]:
    """``count`` statements for the shell, half of them read-only, and as many for the server; each batch as it ends."""
    left = {name: count // share for name, (_, share) in TARGETS.items()}
    jobs: list[tuple[str, int, int]] = []
    while any(left.values()):  # in turn, so that all have had their part early
        for name, size in left.items():
            if size:
                jobs.append((name, min(size, BATCH), seed * 1000 + len(jobs)))
                left[name] -= min(size, BATCH)
    with ThreadPoolExecutor(workers) as pool:
        running = {pool.submit(_alone, name, size, number, folder): name for name, size, number in jobs}
        for one in as_completed(running):
            yield running[one], one.result()


def _alone(name: str, count: int, seed: int, folder: Path) -> Result:
    """One batch in a process of its own."""
    inside = folder / str(seed)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            return pool.submit(batch, name, count, seed, inside).result()
        except BrokenProcessPool:
            told = shells.last(inside).read_text("utf-8")
            return Result(violations=[f"the process died: seed {seed}: {told[:2000]!r}"])


def batch(name: str, count: int, seed: int, folder: Path) -> Result:
    """``count`` statements for one of ``TARGETS``, in this process."""
    warnings.simplefilter("ignore")  # what the shell says on stderr
    target, _ = TARGETS[name]
    return target(count, seed, folder)
