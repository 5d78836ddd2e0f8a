"""A contender's side of the pipe: it is asked in lines of JSON, and measures itself. Imports nothing but Python's own.

The client or connection is made before the clock starts, and so is what a contender holds in memory; the first
TCP connection is not.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

Ask = Callable[[], Iterable[tuple[object, ...]]]  # sends what it must; gives the rows


@dataclass(frozen=True)
class Asked:
    """``base_url`` and ``key``: of the API. ``setup``: SQL of a local table. ``way``: how, where there are several.

    ``shape`` says by hand what ``sql`` asks: the list, the ids one by one, the newest few, or those ``since`` a time.
    """

    base_url: str
    key: str
    setup: str
    sql: str  # with {jobs} for the table
    ids: list[str]
    shape: str = "list"
    since: int = 0
    way: str = ""


def answer(opened: Callable[[Asked], AbstractContextManager[Ask]]) -> None:
    """Answers until nothing more is asked: seconds, peak memory in bytes (0 where unknown), the first column.

    It says when all is ready and waits for a word to begin, so that what it sends before is not counted.
    """
    print("up", flush=True)
    while line := sys.stdin.readline():
        asked = Asked(**json.loads(line))
        with opened(asked) as ask:
            gc.collect()
            print("ready", flush=True)
            sys.stdin.readline()
            before = resident(reset=True)
            began = time.perf_counter()
            rows = list(ask())
            seconds = time.perf_counter() - began
            peak = max(resident() - before, 0) if before else 0
            found = sorted(str(row[0]) for row in rows)
        print(json.dumps([seconds, peak, found]), flush=True)


def resident(*, reset: bool = False) -> int:
    """The most bytes that this process had in memory since the last reset; Linux tells."""
    with suppress(OSError):
        if reset:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    return 0


def clean_environment() -> None:
    """No key, setting or proxy of the machine reaches a contender."""
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "FTSQL_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
