"""The campaign of hostile bodies: whatever a server sends ends in right rows or a clear error, in time and in bounds.

Several lanes share a process, whose memory is bounded; ``campaign`` takes as many processes as there are processors.
"""

from __future__ import annotations

import contextlib
import re
import resource
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from ftsql.api import retry as attempts
from ftsql.errors import Warning
from tests.campaign.lanes import Lane, Result
from tests.campaign.places import FACES

GROWTH = 300.0  # MB that a process may grow by, 150 times max_body for 4 lanes: a decoded object is large
BATCH = 4000  # bodies that a process sends before it tells
LANES = 4


def campaign(count: int, seed: int, workers: int) -> Iterator[Result]:
    """``count`` bodies by so many processes; what each batch saw, as it comes."""
    sizes = [BATCH] * (count // BATCH) + [count % BATCH] * (count % BATCH > 0)
    with ProcessPoolExecutor(min(workers, len(sizes)), get_context("spawn"), max_tasks_per_child=1) as pool:
        running = [pool.submit(batch, size, seed * 1000 + number) for number, size in enumerate(sizes)]
        for one in as_completed(running):
            yield one.result()


def batch(count: int, seed: int) -> Result:
    """``count`` bodies in this process, on several lanes."""
    began, before = time.monotonic(), _peak(reset=True)
    warnings.filterwarnings("ignore", category=Warning)  # that a result file is gone
    patience, attempts.RETRY_SECONDS = attempts.RETRY_SECONDS, 0.05  # what is broken is not asked again
    try:
        with ThreadPoolExecutor(LANES) as pool:
            lanes = [
                pool.submit(Lane(face, seed * 100 + lane).run, number)
                for lane, (face, number) in enumerate(_shares(count))
                if number
            ]
            total = Result()
            for lane in lanes:
                total.add(lane.result())
    finally:
        attempts.RETRY_SECONDS = patience
    total.growth = _peak() - before
    if total.growth > GROWTH:
        total.violations.append(f"the process grew by {total.growth:.0f} MB")
    total.seconds = time.monotonic() - began
    return total


def _shares(count: int) -> list[tuple[str, int]]:
    """Half of the bodies for OpenAI's face, which has most places, in parts so that all lanes have work."""
    others = [(face, count // 2 // (len(FACES) - 1)) for face in FACES[1:]]
    rest = count - sum(number for _, number in others)
    return [("openai", rest - 3 * (rest // 4)), *[("openai", rest // 4)] * 3, *others]


def _peak(*, reset: bool = False) -> float:
    """The most memory that the process had, in MB; with ``reset``, from now on."""
    if reset:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    except OSError:  # no Linux
        found = None
    return (int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024
