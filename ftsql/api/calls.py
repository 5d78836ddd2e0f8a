"""Calls on background threads, waited for so that an interrupt ends the waiting.

The threads are daemons: a request that nobody waits for any more never keeps the process alive.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

import apsw

T = TypeVar("T")
TICK = 0.05  # seconds between two looks at the interrupt flag


class Call(Generic[T]):
    """A call under way. ``abandoned`` tells its thread that nobody waits, so that it sends nothing more."""

    def __init__(self) -> None:
        self.began = time.time()  # what it gives is not older
        self.seconds = 0.0  # that it took
        self.future: Future[T] = Future()
        self.abandoned = threading.Event()

    def wait(self, interrupted: Callable[[], bool] = lambda: False, seconds: float | None = None) -> T:
        """The call's result or its exception.

        Raises apsw.InterruptError as soon as ``interrupted()``, TimeoutError after ``seconds``.
        """
        end = None if seconds is None else time.monotonic() + seconds
        try:
            while True:
                try:
                    return self.future.result(TICK)
                except TimeoutError:
                    if self.future.done():
                        return self.future.result()
                if interrupted():
                    raise apsw.InterruptError("interrupted")
                if end is not None and time.monotonic() > end:
                    raise TimeoutError
        except BaseException:
            self.abandoned.set()
            raise

    def sleep(self, seconds: float) -> None:
        """Sleep on the call's own thread; returns early when it was abandoned."""
        self.abandoned.wait(seconds)


class Workers:
    """At most ``size`` calls at once, in order of arrival, on threads that are started when needed.

    An abandoned call no longer counts: it ends by itself, and another thread takes its place.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[tuple[Call[Any], Callable[[Call[Any]], Any]] | None] = queue.SimpleQueue()
        self._calls: set[Call[Any]] = set()  # started and not ended
        self._threads = 0

    def start(self, function: Callable[[Call[T]], T]) -> Call[T]:
        """Run ``function(call)`` on a worker."""
        call: Call[T] = Call()
        with self._lock:
            self._calls.add(call)
            abandoned = sum(1 for other in self._calls if other.abandoned.is_set())
            if self._threads < min(len(self._calls), self._size + abandoned):
                self._threads += 1
                threading.Thread(target=self._run, name="ftsql-worker", daemon=True).start()
        self._waiting.put((call, function))
        return call

    def close(self) -> None:
        """Let the threads end when their calls have; does not wait for them."""
        with self._lock:
            for _ in range(self._threads):
                self._waiting.put(None)
            self._threads = 0

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            call, function = item
            began = time.monotonic()
            try:
                result = function(call)
                call.seconds = time.monotonic() - began
                call.future.set_result(result)
            except BaseException as error:
                call.future.set_exception(error)
            with self._lock:
                self._calls.discard(call)
            item = call = function = result = None  # type: ignore[assignment]  # keep no result alive while idle
