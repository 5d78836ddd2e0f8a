"""One write sent to one account: journaled before and after, a create at most once.

A create whose answer was lost is never sent again: it is looked for by its fingerprint, or its outcome
is unknown and said to be.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import apsw
from pydantic_core import to_json

from ftsql import checks
from ftsql.answers import Reply
from ftsql.client import Client
from ftsql.errors import APIError, DataError, OutcomeUnknown, ProgrammingError
from ftsql.resources import FTSQL_KEY, JOBS, JSONObject, Row, is_finished
from ftsql.scan import in_url
from ftsql.settings import Settings
from ftsql.store import Journal
from ftsql.workers import Call

Action = Literal["create", "cancel", "pause", "resume"]
# The status that each action leaves, as UPDATE names it.
STATUS: dict[str, Action] = {"cancelled": "cancel", "paused": "pause", "running": "resume"}
IN_FLIGHT_SECONDS = 15.0  # how long a first Ctrl-C waits for the write under way
LOOK_BACK = 3600  # seconds before the write that a look-up reads back to, for clocks that differ
LOOK_PAGES = 10

T = TypeVar("T")


@dataclass(eq=False)
class Write:
    """One paid write. ``row`` is the job as the API answered, once it did."""

    client: Client
    action: Action
    statement: str
    job_id: str | None = None
    request: JSONObject | None = None
    fingerprint: tuple[str, str | int] | None = None
    conflict: int = apsw.SQLITE_ABORT
    state: str = "queued"
    row: Row | None = None
    error: Exception | None = None
    reply: Reply | None = field(default=None, repr=False)
    journal_id: int = 0
    stopped: bool = field(default=False, repr=False)  # Ctrl-C came while it was under way

    def __post_init__(self) -> None:
        if self.job_id is not None and not in_url(self.client.account, self.job_id):
            raise ProgrammingError(
                f"{self.provider}: the id {self.job_id!r:.80} cannot stand in a URL: not sent to {self.action} it"
            )

    @property
    def provider(self) -> str:
        return self.client.account.name

    @property
    def path(self) -> str:
        path = self.client.account.provider.path
        return path if self.job_id is None else f"{path}/{self.job_id}/{self.action}"

    @property
    def body(self) -> bytes | None:
        return None if self.request is None else to_json({**self.request, **self.client.account.body()})

    @classmethod
    def create(cls, client: Client, values: dict[str, Any], statement: str) -> Write:
        """A create out of an INSERT's values by column. Raises IntegrityError for a row that may not be sent."""
        request = checks.body(client.account, values)
        fingerprint = checks.fingerprint(client.account, request)
        return cls(client, "create", statement, request=request, fingerprint=fingerprint)


@dataclass(frozen=True)
class Sender:
    """What sending needs besides the write: the journal, the limits, the interrupt flag."""

    journal: Journal
    settings: Settings
    interrupted: Callable[[], bool]

    def send(self, write: Write) -> Row:
        """Send ``write`` and give the job as it is then.

        Raises APIError where the API refused it and OutcomeUnknown where nobody can say. After a Ctrl-C
        that came while it was under way ``write.stopped`` is set and the result stands.
        """
        body = write.body
        write.journal_id = self.journal.intend(
            action=write.action,
            provider=write.provider,
            job_id=write.job_id,
            path=write.path,
            body=None if body is None else write.client.account.redact(body.decode()),
            statement=write.client.account.redact(write.statement),
        )
        write.state = "sent"
        try:
            write.row = self._create(write) if write.action == "create" else self._act(write)
        except OutcomeUnknown as error:
            self._record(write, "unknown", error)
            raise
        except (APIError, DataError) as error:
            self._record(write, "refused", error)
            raise
        except BaseException as error:  # nobody waited for the answer: it may have been accepted
            self._record(write, "unknown", error)
            raise
        self._record(write, "created" if write.action == "create" else "done", None)
        return write.row

    def undo(self, write: Write) -> str:
        """Cancel a job that ``write`` created; gives what became of it in words."""
        assert write.row is not None
        id = write.row.id
        cancel = Write(write.client, "cancel", write.statement, job_id=id)
        try:
            status = self.send(cancel).status
        except Exception as error:
            reason = str(error).rstrip(".")
            write.state = "stays"
            return f"{id} exists and could not be cancelled ({reason}): SELECT cancel_job('{id}')"
        write.state = "cancelled"
        self.journal.record(write.journal_id, "cancelled")
        return f"{id} was created and is {status} now"

    def stand(self, write: Write) -> None:
        """The job that ``write`` created stays: its transaction is committed."""
        write.state = "committed"
        self.journal.record(write.journal_id, "committed")

    def _record(self, write: Write, state: Any, error: BaseException | None) -> None:
        answer = error if isinstance(error, APIError) else write.reply
        write.state = state
        write.error = error if isinstance(error, Exception) else None
        self.journal.record(
            write.journal_id,
            state,
            job_id=write.row.id if write.row else None,
            http_status=answer.status if answer else None,
            request_id=answer.request_id if answer else None,
            error=None if error is None else str(error) or type(error).__name__,
        )

    def _wait(self, write: Write, call: Call[T]) -> T:
        """Wait for a write under way. The first interrupt stops further sends and keeps waiting, bounded."""
        try:
            return call.wait(self.interrupted)
        except (KeyboardInterrupt, apsw.InterruptError):
            write.stopped = True
        try:
            return call.wait(seconds=IN_FLIGHT_SECONDS)
        except (KeyboardInterrupt, TimeoutError):
            raise self._unknown(write, "it was interrupted before its answer came", ()) from None

    def _create(self, write: Write) -> Row:
        body = write.body
        assert body is not None
        sent_at = time.time()
        try:
            write.reply = self._wait(write, write.client.create(body))
            return JOBS.rows(write.provider, [write.reply.body])[0]
        except DataError as error:
            reason = str(error)
        except APIError as error:
            if not error.ambiguous or isinstance(error, OutcomeUnknown):
                raise
            reason = error.message
        return self._settle(write, sent_at, reason)

    def _act(self, write: Write) -> Row:
        """Cancel, pause or resume; gives the job afterwards. Refused, but already so: no error."""
        client = write.client
        refusal: APIError | None = None
        answer: Any = None
        try:
            write.reply = self._wait(write, client.act(f"/{write.job_id}/{write.action}"))
            answer = write.reply.body
        except APIError as error:
            if error.status in (401, 403, 429) or isinstance(error, OutcomeUnknown):
                raise
            refusal = error
        if isinstance(answer, dict) and answer.get("id") == write.job_id and answer.get("status"):
            return JOBS.rows(write.provider, [answer])[0]
        # An empty or foreign body, a refusal, a lost answer: what counts is how the job is now.
        row = None
        if "retrieve" not in client.account.provider.without:
            try:
                found = self._wait(write, client.get(f"/{write.job_id}"))
            except APIError as error:
                raise refusal or error from None
            row = None if found is None else JOBS.rows(write.provider, [found])[0]
        if refusal is not None and (row is None or STATUS.get(row.status or "") != write.action):
            if row is not None and is_finished(row.status):
                refusal.hint = f"The job is {row.status} already"
                write.row = row
            raise refusal
        if row is None:
            values = {
                "id": write.job_id,
                "status": {action: status for status, action in STATUS.items()}[write.action],
            }
            return Row(write.provider, values, dict(values))
        return row

    def _settle(self, write: Write, sent_at: float, reason: str) -> Row:
        """Look for the job of a create whose answer was lost, again and again for ``settle_seconds``."""
        end = time.monotonic() + self.settings.settle_seconds
        pause = 0.5
        similar: list[Row] = []
        listed = ""
        while True:
            try:
                rows = self._newest(write, sent_at)
                listed = "No job like it is in the list so far"
            except (APIError, DataError) as error:
                rows = []  # the list may fail for the reason that the create did: ask again
                listed = listed or f"The list could not be read either ({error})"
            except (KeyboardInterrupt, apsw.InterruptError):
                raise self._unknown(write, reason, similar, listed) from None
            similar = [row for row in rows if _alike(write, row)] or similar
            found = [row for row in similar if _carries(write.fingerprint, row)]
            if len(found) == 1:
                return found[0]
            if write.fingerprint is None or len(found) > 1 or time.monotonic() + pause > end:
                raise self._unknown(write, reason, found or similar, listed)
            try:
                time.sleep(pause)
            except KeyboardInterrupt:
                raise self._unknown(write, reason, similar, listed) from None
            pause = min(pause * 1.5, 3.0)

    def _newest(self, write: Write, sent_at: float) -> list[Row]:
        """The jobs created since shortly before the write, newest first."""
        provider = write.client.account.provider
        rows: list[Row] = []
        query = {"limit": str(provider.page_size)} if provider.paging == "after" else {}
        for _ in range(LOOK_PAGES):
            body = write.client.get("", query).wait(self.interrupted)
            data = body.get("data") if isinstance(body, dict) else None
            page = JOBS.rows(write.provider, data) if isinstance(data, list) else []
            rows += page
            more = isinstance(body, dict) and body.get("has_more") is True and provider.paging == "after"
            if not page or not more or (page[-1].created_at or 0) < sent_at - LOOK_BACK:
                break
            query["after"] = page[-1].id
        return [row for row in rows if (row.created_at or sent_at) >= sent_at - LOOK_BACK]

    def _unknown(self, write: Write, reason: str, candidates: Sequence[Row], listed: str = "") -> OutcomeUnknown:
        ids = tuple(row.id for row in candidates)
        what = "a job" if write.action == "create" else f"{write.action} of {write.job_id}"
        if write.action == "create":
            which = f"These may be it: {', '.join(ids)}" if ids else listed or "The list was not looked at"
            kind, value = write.fingerprint or ("", "")
            column = "seed" if kind == "seed" else f"raw ->> '$.metadata.{FTSQL_KEY}'"
            where = f"{column} = {value!r}" if kind else f"created_at >= {int(time.time()) - 600}"
            hint = (
                f"{which.rstrip('.')}. Nothing was sent again. Look before you repeat it: "
                f"SELECT id, status FROM fine_tuning_jobs WHERE {where}"
            )
        else:
            hint = f"See how it is: SELECT status FROM fine_tuning_jobs WHERE id = '{write.job_id}'"
        return OutcomeUnknown(
            f"nobody can say what became of {what} that was sent: {reason.rstrip('.')}",
            provider=write.provider,
            candidates=ids,
            hint=hint,
        )


def _alike(write: Write, row: Row) -> bool:
    """Same training file, and the model or its dated form."""
    request = write.request or {}
    model, asked = row.values.get("model"), str(request.get("model"))
    file = row.values.get("training_file")
    return (model is None or str(model).startswith(asked)) and (file is None or file == request.get("training_file"))


def _carries(fingerprint: tuple[str, str | int] | None, row: Row) -> bool:
    if fingerprint is None:
        return False
    kind, value = fingerprint
    if kind == "seed":
        return bool(row.values.get("seed") == value)
    metadata = row.values.get("metadata")
    return isinstance(metadata, dict) and metadata.get(FTSQL_KEY) == value
