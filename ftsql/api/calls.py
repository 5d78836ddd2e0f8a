"""Calls that run on background threads. An interrupt ends the wait for a call's result.

The threads are daemons, so an abandoned request never keeps the process alive.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Generic, TypeVar

import apsw

T = TypeVar("T")
TICK = 0.05  # seconds between two checks of the interrupt flag


class Call(Generic[T]):
    """A function call that runs on a worker thread.

    began: The Unix time at which the call was started. The call's result is at least as new as this time.
    seconds: How long the function took.
    future: Holds the result.
    abandoned: Set once no thread waits for the result, so that the call sends no more requests.
    """

    def __init__(self) -> None:
        self.began = time.time()
        self.seconds = 0.0
        self.future: Future[T] = Future()
        self.abandoned = threading.Event()

    def wait(self, interrupted: Callable[[], bool] = lambda: False, seconds: float | None = None) -> T:
        """Return the call's result, or raise its exception.

        Raises apsw.InterruptError as soon as ``interrupted()`` is true, and TimeoutError after ``seconds``. Either
        error abandons the call.
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
        """Sleep on the call's own thread; return early once the call is abandoned."""
        self.abandoned.wait(seconds)


def wait_for_any(calls: Sequence[Call[Any]], interrupted: Callable[[], bool]) -> None:
    """Return as soon as one of ``calls`` has ended. Raises apsw.InterruptError once ``interrupted()``."""
    futures = [call.future for call in calls]
    while not wait(futures, TICK, FIRST_COMPLETED).done:
        if interrupted():
            raise apsw.InterruptError("interrupted")


class Workers:
    """A thread pool that runs at most ``size`` calls at once, in order of arrival. It starts threads when needed.

    An abandoned call does not count towards ``size``: it ends by itself, and another thread takes its place.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[tuple[Call[Any], Callable[[Call[Any]], Any]] | None] = queue.SimpleQueue()
        self._calls: set[Call[Any]] = set()  # queued or running
        self._threads = 0

    def start(self, function: Callable[[Call[T]], T]) -> Call[T]:
        """Run ``function(call)`` on a worker and return the call."""
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
        """Let the threads end after the queued calls. This method does not wait for the threads."""
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
