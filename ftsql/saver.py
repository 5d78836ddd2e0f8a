"""What the store is to keep of what was read, kept on a thread of its own while the next page is on its way."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from ftsql.workers import Call, Workers

BACKLOG = 8  # pages that wait to be saved before who reads them waits too


class Saver:
    """Does one thing after the other. Whoever looks into the store waits for it first (``catch_up``)."""

    def __init__(self) -> None:
        self._workers = Workers(1)
        self._lock = threading.Lock()
        self._left: list[Call[None]] = []  # what is not done yet
        self._thread = 0
        self._process = os.getpid()

    def later(self, work: Callable[[], None]) -> None:
        """Have ``work`` done soon."""

        def run(call: Call[None]) -> None:
            self._thread = threading.get_ident()
            try:
                work()
            finally:
                with self._lock:
                    self._left.remove(call)

        with self._lock:
            waiting = self._left[0] if len(self._left) >= BACKLOG else None
        if waiting is not None:
            waiting.wait()
        with self._lock:
            self._left.append(self._workers.start(run))

    def catch_up(self) -> None:
        """Wait until all is done. In a fork there is nobody to wait for."""
        if not self._left or threading.get_ident() == self._thread or os.getpid() != self._process:
            return
        with self._lock:
            left = list(self._left)
        for call in left:
            call.wait()

    def close(self) -> None:
        """Let the thread end when all is done."""
        self._workers.close()
