"""One write sent to one account: journaled before and after, a create at most once.

A create whose answer was lost is never sent again: it is looked for by its fingerprint, or its outcome
is unknown and said to be.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import apsw
from pydantic_core import to_json

from ftsql.api.calls import Call
from ftsql.api.responses import words
from ftsql.errors import (
    APIConnectionError,
    APIError,
    ConfigError,
    DataError,
    OutcomeUnknown,
    ProgrammingError,
    StoreError,
    redacted,
    warn,
)
from ftsql.read.statement_cache import StatementCache
from ftsql.resources.definitions import JOBS, is_finished
from ftsql.resources.resource import Row
from ftsql.settings import Settings
from ftsql.store.journal import Entry, Journal, State
from ftsql.write import actions as effects
from ftsql.write import fingerprint
from ftsql.write.create_body import unlike
from ftsql.write.write import Write, leads_to, leaves

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
            account=self.journal.store.account(account),
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

        _undisturbed(write, lambda: self._noted(record))

    def _noted(self, record: Callable[[], object]) -> None:
        """Record what has happened already: where the file cannot take it, say so and go on."""
        try:
            record()
        except StoreError as error:
            self.note(f"the journal lacks what happened since: {error}")

    def _sent(self, write: Write) -> Row:
        if write.action == "create":
            return self._create(write)
        if write.makes:
            return effects.make(self, write)
        return effects.delete(self, write) if write.action == "delete" else self._act(write)

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
            raise self._unknown(write, "it was interrupted before its answer came", ()) from None

    def _create(self, write: Write) -> Row:
        body = write.body
        assert body is not None
        sent_at = time.time()
        try:
            write.reply = self.wait(write, write.client.create(body, write))
            return _undisturbed(write, lambda: self._made(write, sent_at))
        except DataError as error:
            reason = str(error)
        except APIError as error:
            if not error.ambiguous or isinstance(error, OutcomeUnknown):
                raise
            reason = error.message
        found, listed = fingerprint.seek(
            write.client, write.request or {}, write.fingerprint, sent_at, self.settings, self.interrupted, write
        )
        if len(found.carriers) == 1:
            return found.carriers[0]
        raise self._unknown(write, reason, found.candidates, listed)

    def _made(self, write: Write, sent_at: float) -> Row:
        """The job that a create was answered with. Raises DataError where it can be none of its own."""
        assert write.reply is not None
        body = write.reply.body
        if isinstance(body, dict) and not body.get("id") and (text := words(body)[0]):
            raise DataError(f"it was answered with an error: {text}")
        row = JOBS.rows(write.provider, [body], tell=warn)[0]
        if not self._answers(write, row, sent_at):
            raise DataError(f"it was answered with another job, {row.id}")
        sent = {name: value for name, value in (write.request or {}).items() if (name, value) != write.fingerprint}
        for text in unlike(write.client.account, sent, row):
            warn(f"{write.provider}: {row.id}: {text}")
        return row

    def _answers(self, write: Write, row: Row, sent_at: float) -> bool:
        """Whether ``row`` can be the job that ``write`` creates, and none that was there before.

        Gateways may show another name for the file, so that one says nothing. An age does, unless the job carries
        the fingerprint: then the server's clock is wrong.
        """
        older = row.created_at is not None and row.created_at < sent_at - fingerprint.LOOK_BACK
        if older and not (write.fingerprint is not None and fingerprint.carries(write.fingerprint, row)):
            return False
        return not self.journal.has_made(write.provider, row.id)

    def _act(self, write: Write) -> Row:
        """Cancel, pause or resume; gives the job afterwards. Refused, but already so: no error."""
        refusal: APIError | None = None
        answer: Any = None
        try:
            write.reply = self.wait(write, write.client.act(f"/{write.job_id}/{write.action}", write))
            answer = write.reply.body
        except DataError:
            pass  # a body that is none of the API's: what counts is how the job is now
        except APIError as error:
            if error.status in (401, 403, 429) or isinstance(error, OutcomeUnknown):
                raise
            refusal = error
        with contextlib.suppress(DataError):
            row = JOBS.one(write.provider, answer, str(write.job_id), warn)
            if leads_to(write.action, row.status):
                return row
        if refusal is None and isinstance(answer, dict) and not answer.get("id") and (text := words(answer)[0]):
            status = write.reply.status if write.reply else None
            refusal = APIError(text, provider=write.provider, status=status)
        # Another status, an empty or foreign body, a refusal, a lost answer: what counts is how the job is now.
        job = self._now(write, refusal)
        if not leads_to(write.action, job.status):
            warn(
                f"{write.provider}: {write.action} of {job.id} was accepted, and the job is {job.state} all the same. "
                f"See how it goes on: SELECT status FROM fine_tuning_jobs WHERE id = '{job.id}'"
            )
        return job

    def _now(self, write: Write, refusal: APIError | None) -> Row:
        """The job as it is after a write to it. Raises the refusal of one, unless the job is so already."""
        id = str(write.job_id)
        try:
            job = self._seen(write, id)
        except (APIError, DataError) as error:
            write.unsure = refusal is None or refusal.ambiguous
            raise refusal or error from None
        if job is None:
            refusal = refusal or APIError(f"there is no such job: {id}", provider=write.provider, status=404)
            refusal.no_such, refusal.hint = True, ""
            raise refusal
        if refusal is not None and not leaves(write.action, job.status):
            if is_finished(job.status):
                refusal.hint = f"The job is {job.status} already"
                write.row = job
            raise refusal
        return job

    def _seen(self, write: Write, id: str) -> Row | None:
        """The job as the provider shows it, by itself or in its list; None if there is no such job."""
        account = write.client.account
        if account.retrieves:
            found = self.wait(write, write.client.get(f"/{id}", None, write))
            return None if found is None else JOBS.one(write.provider, found, id, warn)
        cache = StatementCache({account: write.client}, self.settings, self.interrupted)
        cache.statement = write.statement
        return _undisturbed(write, lambda: cache.get(account, id))

    def _unknown(self, write: Write, reason: str, candidates: Sequence[Row], listed: str = "") -> OutcomeUnknown:
        ids = tuple(row.id for row in candidates)
        if write.resource is not JOBS:
            return effects.unknown(self, write, reason, ids)
        what = "a job" if write.action == "create" else f"{write.action} of {write.job_id}"
        if write.action == "create":
            which = f"These may be it: {fingerprint.listed_ids(ids)}" if ids else listed or "The list was not looked at"
            hint = (
                f"{which.rstrip('.')}. Nothing was sent again. Look before you repeat it: ftsql writes settle, or "
                f"SELECT id, status FROM fine_tuning_jobs WHERE {fingerprint.condition(write.fingerprint, time.time())}"
            )
        else:
            hint = f"See how it is: SELECT status FROM fine_tuning_jobs WHERE id = '{write.job_id}'"
        return OutcomeUnknown(
            f"nobody can say what became of {what} that was sent: {reason.rstrip('.')}",
            provider=write.provider,
            candidates=ids,
            hint=hint,
        )


def _id(text: str) -> str:
    """An id for the journal, which must find the job again: only one that is a credential itself is hidden."""
    return "***" if redacted(text) == "***" else text


def _undisturbed(write: Write, work: Callable[[], T]) -> T:
    """What is done with an answer that has come; a Ctrl-C meanwhile stops further sends, and it is done again."""
    try:
        return work()
    except KeyboardInterrupt as interrupt:
        write.stopped = type(interrupt)
    return work()
