"""What a process holds: its threads, files and sockets, and how much memory.

All that a campaign opened must be closed again, and memory must not grow with the number of statements.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

PAGE = os.sysconf("SC_PAGE_SIZE") / 1e6
GROWTH, MEGABYTES = 1.1, 20.0  # of the two the larger is how much the last third may lie above the first


@dataclass(frozen=True)
class Footprint:
    """The names of a process's threads, and what its file descriptors are."""

    threads: Counter[str] = field(default_factory=Counter)
    files: Counter[str] = field(default_factory=Counter)

    @classmethod
    def now(cls) -> Footprint:
        files: Counter[str] = Counter()
        for name in os.listdir("/proc/self/fd"):
            try:
                target = os.readlink(f"/proc/self/fd/{name}")
            except OSError:  # the one that lists them
                continue
            files["socket" if target.startswith("socket:") else target] += 1
        return cls(Counter(thread.name for thread in threading.enumerate()), files)

    @property
    def numbers(self) -> dict[str, int]:
        return {"threads": self.threads.total(), "files": self.files.total(), "sockets": self.files["socket"]}

    def more_than(self, before: Footprint) -> list[str]:
        """What there is now and was not then."""
        kinds = (("thread", self.threads - before.threads), ("file", self.files - before.files))
        return [f"{count} more of {kind} {name}" for kind, more in kinds for name, count in more.items()]


def settled(before: Footprint, seconds: float = 15.0) -> Footprint:
    """The footprint once nothing is left beyond ``before``, or after so many seconds: requests end by themselves."""
    end = time.monotonic() + seconds
    while True:
        gc.collect()
        now = Footprint.now()
        if not now.more_than(before) or time.monotonic() > end:
            return now
        time.sleep(0.1)


def resident() -> float:
    """The process's memory in megabytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE


def thirds(samples: Sequence[float]) -> list[float]:
    """The medians of three thirds, after a fifth for warming up."""
    warm = samples[len(samples) // 5 :]
    size = max(1, len(warm) // 3)
    return [round(median(warm[start : start + size] or [0.0]), 1) for start in (0, size, len(warm) - size)]


def grew(samples: Sequence[float]) -> bool:
    """Whether memory grew beyond what is noise."""
    first, _, last = thirds(samples)
    return last > max(first * GROWTH, first + MEGABYTES)
