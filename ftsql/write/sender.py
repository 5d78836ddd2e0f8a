"""The sender: sends one write to one account, and records the write in the journal before and after.

A create is sent at most once. If its response is lost, its job is looked up by the fingerprint. If no job is found, the
outcome is recorded and reported as unknown.
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
from ftsql.write.write import Write, is_result_or_pending

STOP_SECONDS = 1.0  # seconds to wait, after a Ctrl-C, for an incomplete upload to stop
IN_FLIGHT_SECONDS = 15.0  # seconds to wait, after a Ctrl-C, for the response to a write

T = TypeVar("T")


@dataclass(frozen=True)
class Sender:
    """Everything besides the write that is needed to send it.

    ``note`` takes a message that cannot be raised as an error, because the write has happened already.
    """

    journal: Journal
    settings: Settings
    interrupted: Callable[[], bool]
    note: Callable[[str], None]

    def enlist(self, writes: Sequence[Write]) -> None:
        """Record the intent of all ``writes`` in one transaction. A write that is not recorded is not sent.

        Raises StoreError. Raises ProgrammingError if there would be more than ``max_creates_per_day`` creates, and
        ConfigError if a key is missing.
        """
        entries = [self._entry(write) for write in writes]
        self.journal.queue(entries, self.settings.max_creates_per_day)
        for write, entry in zip(writes, entries, strict=True):
            write.journal_id = entry.write_id

    def send(self, write: Write) -> Row:
        """Send ``write``. Return the object as it is afterwards.

        Raises APIError if the API refused the write, and OutcomeUnknown if its outcome is unknown. Raises StoreError if
        the intent could not be recorded. If StoreError or apsw.InterruptError is raised, nothing was sent. If a Ctrl-C
        came while the write was on its way, ``write.interrupted_by`` is set, and the result is valid.
        """
        if not write.journal_id:
            self.enlist([write])
        self.journal.record([write.journal_id], "sent")
        write.state = "sent"
        try:
            write.row = self._perform(write)
        except OutcomeUnknown as error:
            self._record(write, "unknown", error)
            raise
        except (APIError, ConfigError, DataError) as error:
            self._record(write, "unknown" if write.effect_unknown else "refused", error)
            if write.interrupted_by is not None and isinstance(error, APIConnectionError) and not error.ambiguous:
                raise apsw.InterruptError("interrupted before it was sent") from None
            raise
        except BaseException as error:  # no response was read, so the API may have accepted the write
            self._record(write, "unknown", error)
            raise
        self._record(write, "created" if write.makes and not write.existed_before else "committed", None)
        if write.action in ("cancel", "delete"):
            self._record_or_note(lambda: self.journal.cancelled(write.provider, write.row.id if write.row else ""))
        return write.row

    def undo(self, write: Write) -> str:
        """Cancel the job, or delete the object, that ``write`` made. Return a sentence about the outcome."""
        assert write.row is not None
        id = write.row.id
        try:
            undoing = write.undoing()
            self._record_or_note(lambda: self.enlist([undoing]))
            sender = self._after_interrupt()
            row = sender.send(undoing) if undoing.journal_id else sender._perform(undoing)
            if write.action == "create" and not is_result_or_pending("cancel", row.status):
                raise ProgrammingError(f"it is {row.state}{' already' if is_finished(row.status) else ' all the same'}")
        except Exception as error:
            reason = str(error).rstrip(".")
            write.state = "not undone"
            self._record_or_note(lambda: self.journal.record([write.journal_id], "created", release=True))
            verb = "cancelled" if write.action == "create" else "deleted"
            return f"{id} exists and could not be {verb} ({reason}): {write.undoing_sql()}"
        write.state = "cancelled"
        self._record_or_note(lambda: self.journal.record([write.journal_id], "cancelled"))
        return f"{id} was created and is {row.status} now"

    def _after_interrupt(self) -> Sender:
        """Return a sender that ignores interrupts for ``IN_FLIGHT_SECONDS``.

        The request that takes a write back must be sent even after a Ctrl-C, and even if a rate limit delays it.
        """
        until = time.monotonic() + IN_FLIGHT_SECONDS
        return replace(self, interrupted=lambda: time.monotonic() > until and self.interrupted())

    def drop(self, writes: Iterable[Write], reason: str) -> None:
        """Record that enlisted ``writes`` are not sent."""
        enlisted = [write for write in writes if write.journal_id and write.state == "queued"]
        for write in enlisted:
            write.state = "refused"
        if enlisted:
            ids = [write.journal_id for write in enlisted]
            self._record_or_note(lambda: self.journal.record(ids, "refused", error=f"not sent: {reason}"))

    def mark_committed(self, writes: Iterable[Write]) -> None:
        """Record that the transaction of ``writes`` is committed, so that the jobs they created stay."""
        committed = list(writes)
        if committed:
            ids = [write.journal_id for write in committed]
            self._record_or_note(lambda: self.journal.record(ids, "committed"))
        for write in committed:
            write.state = "committed"

    def _entry(self, write: Write) -> Entry:
        """Return the journal's entry for a write. The entry contains no credential."""
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
        """Record the outcome of a write in the journal, even if a Ctrl-C comes meanwhile."""
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

        write.finish(lambda: self._record_or_note(record))

    def _record_or_note(self, record: Callable[[], object]) -> None:
        """Record an event that has happened already. If the journal cannot be written, say so in a note and go on."""
        try:
            record()
        except StoreError as error:
            self.note(f"the write journal could not be updated: {error}")

    def _perform(self, write: Write) -> Row:
        """Send the request that the write's action needs."""
        if write.action == "create":
            return actions.create(self, write)
        if write.makes:
            return actions.make(self, write)
        return actions.delete(self, write) if write.action == "delete" else actions.change(self, write)

    def wait(self, write: Write, call: Call[T]) -> T:
        """Wait for the response to a write.

        The first interrupt stops further sends and limits the wait. The second interrupt ends the wait. Raises
        OutcomeUnknown if the wait ends without a response.
        """
        try:
            return call.wait(self.interrupted)
        except (KeyboardInterrupt, apsw.InterruptError) as interrupt:
            write.interrupted_by = type(interrupt)
        # An incomplete upload stops before its end, so there is no response to wait for.
        stops = write.upload is not None and not write.upload.complete
        try:
            return call.wait(seconds=STOP_SECONDS if stops else IN_FLIGHT_SECONDS)
        except (KeyboardInterrupt, TimeoutError):
            raise actions.unknown(write, "it was interrupted before the response came") from None


def _id(text: str) -> str:
    """Return an id for the journal, hidden only if it is a credential: with the id, the object must be found again."""
    return "***" if redacted(text) == "***" else text
