"""The session of one client: its backend in a thread, its settings, and the ways in which a statement is ended.

A statement is ended by a cancel request, by its timeout, or if its client has disconnected. SQLite is interrupted
again and again until the statement has ended.
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
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import apsw

from ftsql.resources.resource import SQLiteValue
from ftsql.serve.backend import Backend, Shared, StatementPlan
from ftsql.serve.errors import Failure
from ftsql.serve.limits import Limits
from ftsql.serve.text import READS, first_word, strip_blank
from ftsql.serve.types import TEXT
from ftsql.serve.wire.portal import Field, Portal, parse_declare
from ftsql.serve.wire.utility import Response, SessionSettings, refusal, run_utility

T = TypeVar("T")
TICK = 0.25  # seconds between two checks whether the client is still connected
EXPLAIN = re.compile(r"EXPLAIN\s*(?:\([^)]*\)|(?:(?:ANALYZE|VERBOSE)\b\s*)*)\s*", re.IGNORECASE)
ENDED = {
    "cancel": "canceling statement due to user request",
    "time": "canceling statement due to statement timeout",
    "gone": "canceling statement: its client is gone",
}


class Worker:
    """A thread that runs functions one after another."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="ftsql serve", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run ``work`` after all work that was submitted before."""
        future: Future[T] = Future()
        self._queue.put((future, work))
        return future

    def stop(self) -> None:
        """End the thread after all work that was submitted before."""
        self._queue.put(None)

    def _run(self) -> None:
        while (submitted := self._queue.get()) is not None:
            future, work = submitted
            try:
                result = work()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            del submitted, future, work  # so that the thread keeps no result alive while it waits


@dataclass
class PreparedStatement:
    """A prepared statement.

    ``plan`` is None for a utility statement, such as SET. ``fields`` holds the columns after they were sent to the
    client.
    """

    text: str
    word: str
    plan: StatementPlan | None = None
    fields: list[Field] | None = None
    parameters: tuple[int, ...] = ()


@dataclass
class BoundStatement:
    """A prepared statement with the values of its parameters. ``spent`` is how many seconds it has run so far."""

    prepared: PreparedStatement
    values: Sequence[SQLiteValue] = ()
    formats: Sequence[int] = ()
    portal: Portal | None = None
    response: Response | None = None
    spent: float = 0.0
    finished: bool = False


class ClientSession:
    """The session of a client that has logged in. Call ``open`` before using it, and ``close`` afterwards."""

    def __init__(self, shared: Shared, limits: Limits, is_gone: Callable[[], bool]) -> None:
        self._shared = shared
        self._limits = limits
        self._is_gone = is_gone
        self._worker = Worker()
        self._backend: Backend | None = None
        self._ended = ""  # a key of ENDED if the running statement must end
        self._running = False
        self.settings = SessionSettings()
        self.status = b"I"

    async def open(self) -> None:
        """Connect. Raise the same errors as ``Shared.connect``."""
        future = self._worker.submit(lambda: Backend(self._shared))
        self._backend = await asyncio.wrap_future(future)

    @property
    def backend(self) -> Backend:
        assert self._backend is not None
        return self._backend

    def cancel(self, why: str = "cancel") -> None:
        """End the running statement, if there is one. ``why`` is a key of ENDED."""
        if self._running and not self._ended:
            self._ended = why
            self.backend.interrupt()

    async def close(self) -> None:
        """Close the connection in its thread. Until the thread is free, interrupt the running statement."""
        if self._backend is not None:
            future = asyncio.wrap_future(self._worker.submit(self._backend.close))
            end = time.monotonic() + 5
            while not future.done() and time.monotonic() < end:
                self._backend.interrupt()
                await asyncio.wait({future}, timeout=0.05)
        self._worker.stop()

    @contextlib.contextmanager
    def handling_message(self) -> Iterator[None]:
        """Let ``cancel`` end the statement that runs inside the ``with`` block."""
        self._ended, self._running = "", True
        try:
            yield
        finally:
            self._running = False

    async def release(self, portal: Portal) -> None:
        """Close a portal, even after a cancel."""
        await asyncio.wrap_future(self._worker.submit(portal.close))

    async def call(self, work: Callable[[], T], bound: BoundStatement | None = None) -> T:
        """Run ``work`` in the backend's thread. Raise Failure if it was cancelled or took too long."""
        limit = min(self.settings.timeout() or self._limits.statement, self._limits.statement)
        started = time.monotonic()
        end = started + limit - (bound.spent if bound is not None else 0.0)
        if self._ended and self._running:  # cancelled between two calls for the same message
            raise Failure("57014", ENDED[self._ended])
        future = asyncio.wrap_future(self._worker.submit(work))
        # If this task is cancelled, the exception of ``future`` is never retrieved, and asyncio would log an error.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            while not future.done():
                left = end - time.monotonic()
                await asyncio.wait({future}, timeout=0.05 if self._ended else max(0.001, min(left, TICK)))
                if future.done():
                    break
                if self._ended:
                    self.backend.interrupt()  # again: an earlier interrupt may have come between two statements
                elif left <= 0:
                    self.cancel("time")
                elif self._is_gone():
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

    async def prepare(self, text: str, given: Sequence[int | None] = ()) -> PreparedStatement:
        """Prepare a statement.

        ``given`` holds the type oids that the client specified for the parameters, with None for a type that it left
        open. Raise Failure, and the errors that SQLite and the translation raise.
        """
        if len(text) > self._limits.text:
            raise Failure("54000", f"a statement may have at most {self._limits.text} characters")
        text = strip_blank(text)
        word = first_word(text)
        prepared = PreparedStatement(text, word)
        if self.status == b"E" and word not in ("COMMIT", "END", "ROLLBACK", "ABORT"):
            raise Failure("25P02", "current transaction is aborted, commands ignored until end of transaction block")
        if word == "SHOW":
            response = run_utility(text, word, self.settings, self.status)
            prepared.fields = [Field(name, TEXT) for name in response.names] if response is not None else None
        elif word in READS and word != "FETCH":
            explain = word == "EXPLAIN"
            query = _query(text, word)
            prepared.plan = await self.call(partial(self.backend.plan, query, given, explain=explain))
            prepared.parameters = prepared.plan.parameters
            if explain:
                prepared.fields = [Field("QUERY PLAN", TEXT)]
        return prepared

    async def fields(self, prepared: PreparedStatement) -> list[Field] | None:
        """Return the columns of a statement whose parameters have no values yet, or None if it returns no rows."""
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

    def bind(
        self, prepared: PreparedStatement, values: Sequence[SQLiteValue], formats: Sequence[int]
    ) -> BoundStatement:
        """Return a statement with ``values`` for its parameters. ``formats`` holds the formats of its columns."""
        bound = BoundStatement(prepared, values, formats)
        if prepared.plan is not None and prepared.word not in ("EXPLAIN", "DECLARE"):
            bound.portal = self.portal(bound)
        return bound

    def portal(self, bound: BoundStatement) -> Portal:
        """Return a portal over the rows of a bound statement."""
        assert bound.prepared.plan is not None
        return Portal(self.backend, bound.prepared.plan, bound.values, self._limits.rows, bound.prepared.fields)

    async def run_utility(self, bound: BoundStatement) -> Response:
        """Run EXPLAIN, or a utility statement such as SET, and return its response. Raise Failure."""
        prepared = bound.prepared
        if prepared.plan is not None:
            plan = prepared.plan
            rows = await self.call(lambda: self.backend.start(plan, bound.values).fetchall(), bound)
            return Response("EXPLAIN", ("QUERY PLAN",), [(str(row[-1]),) for row in rows])
        response = run_utility(prepared.text, prepared.word, self.settings, self.status)
        if response is None:
            raise Failure("0A000", f"{prepared.word} is not supported by ftsql serve")
        self.status = response.status or self.status
        return response


def _query(text: str, word: str) -> str:
    """Return the query in a statement that reads, without EXPLAIN or DECLARE before it."""
    if word == "DECLARE":
        return parse_declare(text)[1]
    if word != "EXPLAIN" or (match := EXPLAIN.match(text)) is None:
        return text
    query = text[match.end() :]
    if (inner := first_word(query)) not in READS:
        raise refusal(query, inner)
    return query
