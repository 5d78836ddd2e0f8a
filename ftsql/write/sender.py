"""One write sent to one account: journaled before and after, a create at most once.

A create whose answer was lost is never sent again: it is looked for by its fingerprint, or its outcome
is unknown and said to be.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import apsw
from pydantic_core import to_json

from ftsql.api.calls import Call
from ftsql.errors import (
    APIConnectionError,
    APIError,
    ConfigError,
    DataError,
    OutcomeUnknown,
    ProgrammingError,
    StoreError,
    redacted,
)
from ftsql.resources.definitions import is_finished
from ftsql.resources.resource import Row
from ftsql.settings import Settings
from ftsql.store.journal import Entry, Journal, State
from ftsql.write import actions
from ftsql.write.write import Write, leads_to, undisturbed

STOP_SECONDS = 1.0
IN_FLIGHT_SECONDS = 15.0  # how long a first Ctrl-C waits for the write under way

T = TypeVar("T")


@dataclass(frozen=True)
class Sender:
    """What sending needs besides the write: journal, limits, interrupt flag, who takes what cannot be raised."""

    journal: Journal
    settings: Settings
    interrupted: Callable[[], bool]
    note: Callable[[str], None]

    def enlist(self, writes: Sequence[Write]) -> None:
        """Record the intent of all ``writes`` together; what is not recorded is not sent.

        Raises StoreError, ProgrammingError beyond ``max_creates_per_day``, ConfigError for a missing key.
        """
        entries = [self._entry(write) for write in writes]
        self.journal.queue(entries, self.settings.max_creates_per_day)
        for write, entry in zip(writes, entries, strict=True):
            write.journal_id = entry.write_id

    def send(self, write: Write) -> Row:
        """Send ``write`` and give the job as it is then.

        Raises APIError where the API refused it and OutcomeUnknown where nobody can say; StoreError where
        the intent could not be recorded, apsw.InterruptError: nothing was sent. After a Ctrl-C that came while it was
        under way ``write.stopped`` is set and the result stands.
        """
        if not write.journal_id:
            self.enlist([write])
        self.journal.record([write.journal_id], "sent")
        write.state = "sent"
        try:
            write.row = self._sent(write)
        except OutcomeUnknown as error:
            self._record(write, "unknown", error)
            raise
        except (APIError, ConfigError, DataError) as error:
            self._record(write, "unknown" if write.unsure else "refused", error)
            if write.stopped is not None and isinstance(error, APIConnectionError) and not error.ambiguous:
                raise apsw.InterruptError("interrupted before it was sent") from None
            raise
        except BaseException as error:  # nobody waited for the answer: it may have been accepted
            self._record(write, "unknown", error)
            raise
        self._record(write, "created" if write.makes and not write.was_there else "committed", None)
        if write.action in ("cancel", "delete"):
            self._noted(lambda: self.journal.cancelled(write.provider, write.row.id if write.row else ""))
        return write.row

    def undo(self, write: Write) -> str:
        """Cancel a job that ``write`` created, or take back what it made; gives what became of it in words."""
        assert write.row is not None
        id = write.row.id
        try:
            back = write.undoing()
            self._noted(lambda: self.enlist([back]))
            sender = self._patient()
            row = sender.send(back) if back.journal_id else sender._sent(back)
            if write.action == "create" and not leads_to("cancel", row.status):
                raise ProgrammingError(f"it is {row.state}{' already' if is_finished(row.status) else ' all the same'}")
        except Exception as error:
            reason = str(error).rstrip(".")
            write.state = "stays"
            self._noted(lambda: self.journal.record([write.journal_id], "created", release=True))
            taken = "cancelled" if write.action == "create" else "deleted"
            return f"{id} exists and could not be {taken} ({reason}): {write.undoing_sql()}"
        write.state = "cancelled"
        self._noted(lambda: self.journal.record([write.journal_id], "cancelled"))
        return f"{id} was created and is {row.status} now"

    def _patient(self) -> Sender:
        """One that goes on for a while after an interrupt: what takes back must leave, though a limit holds it back."""
        until = time.monotonic() + IN_FLIGHT_SECONDS
        return replace(self, interrupted=lambda: time.monotonic() > until and self.interrupted())

    def drop(self, writes: Iterable[Write], reason: str) -> None:
        """Record that enlisted ``writes`` are not sent after all."""
        enlisted = [write for write in writes if write.journal_id and write.state == "queued"]
        for write in enlisted:
            write.state = "refused"
        if enlisted:
            ids = [write.journal_id for write in enlisted]
            self._noted(lambda: self.journal.record(ids, "refused", error=f"not sent: {reason}"))

    def stand(self, writes: Iterable[Write]) -> None:
        """The jobs that ``writes`` created stay: their transaction is committed."""
        standing = list(writes)
        if standing:
            ids = [write.journal_id for write in standing]
            self._noted(lambda: self.journal.record(ids, "committed"))
        for write in standing:
            write.state = "committed"

    def _entry(self, write: Write) -> Entry:
        account, body = write.client.account, write.body
        return Entry(
            action=write.action,
            provider=write.provider,
            job_id=None if write.job_id is None else _id(write.job_id),
            method=write.method,
            path="/".join(map(_id, write.path.split("/"))),
            body=None if body is None else redacted(body.decode()),
            statement=redacted(write.statement),
            account=self.journal.store.account_id(account),
            fingerprint=None if write.fingerprint is None else to_json(write.fingerprint).decode(),
        )

    def _record(self, write: Write, state: State, error: BaseException | None) -> None:
        answer = error if isinstance(error, APIError) else write.reply
        write.state = state
        write.error = error if isinstance(error, Exception) else None

        def record() -> None:
            self.journal.record(
                [write.journal_id],
                state,
                job_id=write.row.id if write.row else None,
                http_status=answer.status if answer else None,
                request_id=answer.request_id if answer else None,
                error=None if error is None else str(error) or type(error).__name__,
            )

        undisturbed(write, lambda: self._noted(record))

    def _noted(self, record: Callable[[], object]) -> None:
        """Record what has happened already: where the file cannot take it, say so and go on."""
        try:
            record()
        except StoreError as error:
            self.note(f"the journal lacks what happened since: {error}")

    def _sent(self, write: Write) -> Row:
        if write.action == "create":
            return actions.create(self, write)
        if write.makes:
            return actions.make(self, write)
        return actions.delete(self, write) if write.action == "delete" else actions.change(self, write)

    def wait(self, write: Write, call: Call[T]) -> T:
        """Wait for a write under way. The first interrupt stops further sends and keeps waiting, bounded."""
        try:
            return call.wait(self.interrupted)
        except (KeyboardInterrupt, apsw.InterruptError) as interrupt:
            write.stopped = type(interrupt)
        # An upload that has not left whole stops before its end, so that there is no answer to wait for.
        stops = write.upload is not None and not write.upload.complete
        try:
            return call.wait(seconds=STOP_SECONDS if stops else IN_FLIGHT_SECONDS)
        except (KeyboardInterrupt, TimeoutError):
            raise actions.unknown(write, "it was interrupted before its answer came") from None


def _id(text: str) -> str:
    """An id for the journal, which must find the job again: only one that is a credential itself is hidden."""
    return "***" if redacted(text) == "***" else text
