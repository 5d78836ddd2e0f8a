"""A contender's side of the pipe: it is asked in lines of JSON, and times itself. Imports nothing but Python's own.

The client or connection is made before the clock starts; its first TCP connection is not.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

Ask = Callable[[], Iterable[object]]  # sends what it must; gives the first column


@dataclass(frozen=True)
class Asked:
    """``base_url`` and ``key``: of the API. ``setup``: SQL of a local table. ``again``: on the same connection."""

    base_url: str
    key: str
    setup: str
    sql: str  # with {jobs} for the table
    ids: list[str]
    way: str = ""
    again: bool = False


def answer(opened: Callable[[Asked], AbstractContextManager[Ask]]) -> None:
    """Answers until nothing more is asked."""
    with ExitStack() as stack:
        for line in sys.stdin:
            asked = Asked(**json.loads(line))
            if not asked.again:
                stack.close()
                ask = stack.enter_context(opened(asked))
            gc.collect()
            began = time.perf_counter()
            found = list(ask())
            seconds = time.perf_counter() - began
            print(json.dumps([seconds, sorted(map(str, found))]), flush=True)
