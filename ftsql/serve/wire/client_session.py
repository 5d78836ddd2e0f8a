"""A session: one client's backend in its thread, and what ends a statement that runs there.

A statement ends by its client's word, by its time, or when its client is gone: SQLite is interrupted until it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import apsw

from ftsql.resources.resource import SQLiteValue
from ftsql.serve.backend import Backend, Plan, Shared
from ftsql.serve.errors import Failure
from ftsql.serve.limits import Limits
from ftsql.serve.types import TEXT
from ftsql.serve.wire.portal import Field, Portal, declared
from ftsql.serve.wire.utility import READS, Settings, Utility, bare, first_word, utility

T = TypeVar("T")
TICK = 0.25
EXPLAIN = re.compile(r"EXPLAIN\s*(?:\([^)]*\)|(?:(?:ANALYZE|VERBOSE)\b\s*)*)\s*", re.IGNORECASE)
ENDED = {
    "cancel": "canceling statement due to user request",
    "time": "canceling statement due to statement timeout",
    "gone": "canceling statement: its client is gone",
}


class Worker:
    """Runs what it is given, one after the other."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="ftsql serve", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Have ``work`` done after what was given before."""
        future: Future[T] = Future()
        self._queue.put((future, work))
        return future

    def stop(self) -> None:
        """End after what was given before."""
        self._queue.put(None)

    def join(self, seconds: float) -> bool:
        """Whether it has ended by then."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (given := self._queue.get()) is not None:
            future, work = given
            try:
                result = work()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            del given, future, work


@dataclass
class Prepared:
    """A statement: a utility, or with a plan. ``fields``: its columns, once the client was told them."""

    text: str
    word: str
    plan: Plan | None = None
    fields: list[Field] | None = None
    parameters: tuple[int, ...] = ()


@dataclass
class Bound:
    """A prepared statement with its parameters, and the seconds it took so far."""

    prepared: Prepared
    values: Sequence[SQLiteValue] = ()
    formats: Sequence[int] = ()
    portal: Portal | None = None
    answer: Utility | None = None
    spent: float = field(default=0.0)
    over: bool = False


class Session:
    """Made for a client that has logged in; ``open`` it before use, and ``close`` it."""

    def __init__(self, shared: Shared, limits: Limits, gone: Callable[[], bool]) -> None:
        self._shared = shared
        self._limits = limits
        self._gone = gone
        self._worker = Worker()
        self._backend: Backend | None = None
        self._ended = ""  # why the statement under way is to end
        self._running = False
        self.settings = Settings()
        self.status = b"I"

    async def open(self) -> None:
        """Connect. Raises what ``connect`` does."""
        future = self._worker.submit(lambda: Backend(self._shared))
        self._backend = await asyncio.wrap_future(future)

    @property
    def backend(self) -> Backend:
        assert self._backend is not None
        return self._backend

    def cancel(self, why: str = "cancel") -> None:
        """End the statement under way, if there is one."""
        if self._running and not self._ended:
            self._ended = why
            self.backend.interrupt()

    async def close(self) -> None:
        """Interrupt what runs until the thread is free, and close the connection there."""
        if self._backend is not None:
            future = asyncio.wrap_future(self._worker.submit(self._backend.close))
            end = time.monotonic() + 5
            while not future.done() and time.monotonic() < end:
                self._backend.interrupt()
                await asyncio.wait({future}, timeout=0.05)
        self._worker.stop()

    @contextlib.contextmanager
    def message(self) -> Iterator[None]:
        """While a message is answered, ``cancel`` ends what it asks for."""
        self._ended, self._running = "", True
        try:
            yield
        finally:
            self._running = False

    async def release(self, portal: Portal) -> None:
        """Close it, whatever was to end."""
        await asyncio.wrap_future(self._worker.submit(portal.close))

    async def call(self, work: Callable[[], T], bound: Bound | None = None) -> T:
        """``work()`` in the backend's thread. Raises Failure where it was to end."""
        limit = min(self.settings.timeout() or self._limits.statement, self._limits.statement)
        started = time.monotonic()
        end = started + limit - (bound.spent if bound is not None else 0.0)
        if self._ended and self._running:  # between two calls for the same message
            raise Failure("57014", ENDED[self._ended])
        future = asyncio.wrap_future(self._worker.submit(work))
        future.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to ask
        try:
            while not future.done():
                left = end - time.monotonic()
                await asyncio.wait({future}, timeout=0.05 if self._ended else max(0.001, min(left, TICK)))
                if future.done():
                    break
                if self._ended:
                    self.backend.interrupt()  # again: the one before may have come between two statements
                elif left <= 0:
                    self.cancel("time")
                elif self._gone():
                    self.cancel("gone")
            return future.result()
        except apsw.InterruptError:
            raise Failure("57014", ENDED[self._ended or "cancel"]) from None
        except asyncio.CancelledError:
            self.backend.interrupt()
            raise
        finally:
            if bound is not None:
                bound.spent += time.monotonic() - started

    async def prepare(self, text: str, given: Sequence[int | None] = ()) -> Prepared:
        """A statement. Raises Failure and what SQLite says of it."""
        if len(text) > self._limits.text:
            raise Failure("54000", f"the statement is too long: at most {self._limits.text} characters")
        text = bare(text)
        word = first_word(text)
        prepared = Prepared(text, word)
        if self.status == b"E" and word not in ("COMMIT", "END", "ROLLBACK", "ABORT"):
            raise Failure("25P02", "current transaction is aborted, commands ignored until end of transaction block")
        if word == "SHOW":
            answer = utility(text, word, self.settings, self.status)
            prepared.fields = [Field(name, TEXT) for name in answer.names] if answer is not None else None
        elif word in READS and word != "FETCH":
            match = EXPLAIN.match(text)
            inside = text[match.end() :] if match is not None else declared(text)[1] if word == "DECLARE" else text
            explain = match is not None
            if explain and first_word(inside) not in READS:
                utility(inside, first_word(inside), self.settings, self.status)
            prepared.plan = await self.call(partial(self.backend.plan, inside, given, explain=explain))
            prepared.parameters = prepared.plan.parameters
            if explain:
                prepared.fields = [Field("QUERY PLAN", TEXT)]
        return prepared

    async def fields(self, prepared: Prepared) -> list[Field] | None:
        """The columns of a statement before it has parameters; None where it gives no rows."""
        if prepared.word == "DECLARE":
            return None
        if prepared.fields is None and prepared.plan is not None:
            plan = prepared.plan
            if all(oid is not None for oid in plan.types):
                prepared.fields = [Field(*one) for one in zip(plan.names, plan.types, strict=True)]  # type: ignore[arg-type]
            elif plan.parameters:
                known = zip(plan.names, plan.types, strict=True)
                prepared.fields = [Field(name, oid or TEXT) for name, oid in known]
            else:
                portal = Portal(self.backend, plan, (), self._limits.rows)
                try:
                    prepared.fields = await self.call(portal.fields)
                finally:
                    await self.release(portal)
        return prepared.fields

    def bind(self, prepared: Prepared, values: Sequence[SQLiteValue], formats: Sequence[int]) -> Bound:
        """A statement with its parameters."""
        bound = Bound(prepared, values, formats)
        if prepared.plan is not None and prepared.word not in ("EXPLAIN", "DECLARE"):
            bound.portal = self.portal(bound)
        return bound

    def portal(self, bound: Bound) -> Portal:
        """What reads a bound statement's rows."""
        assert bound.prepared.plan is not None
        return Portal(self.backend, bound.prepared.plan, bound.values, self._limits.rows, bound.prepared.fields)

    async def answer(self, bound: Bound) -> Utility:
        """Do what a utility says. Raises Failure."""
        prepared = bound.prepared
        if prepared.plan is not None:
            plan = prepared.plan
            rows = await self.call(lambda: self.backend.start(plan, bound.values).fetchall(), bound)
            return Utility("EXPLAIN", ("QUERY PLAN",), [(str(row[-1]),) for row in rows])
        found = utility(prepared.text, prepared.word, self.settings, self.status)
        if found is None:
            raise Failure("0A000", f"{prepared.word} is not supported by ftsql serve")
        self.status = found.status or self.status
        return found
