"""What a delete, a grant or an upload does at the API, and how it is found out when the answer was lost.

A delete may be repeated. What makes something new is sent once: where its answer is lost, it is the one object
that is like it and was not there before, or nobody knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import apsw

from ftsql.api.account import in_url
from ftsql.api.calls import Call
from ftsql.api.client import Client
from ftsql.api.request_log import Asker
from ftsql.api.responses import GONE, words
from ftsql.errors import APIError, DataError, OperationalError, OutcomeUnknown, warn
from ftsql.read.other_resources import OtherResources
from ftsql.read.statement_cache import StatementCache
from ftsql.resources.definitions import FILES, JOBS, MODELS, PERMISSIONS
from ftsql.resources.resource import Resource, Row
from ftsql.settings import Settings
from ftsql.store.journal import Journal
from ftsql.write.write import Write

SKEW = 60  # seconds by which the provider's clock may be behind ours: what is older was there before
OF = (PERMISSIONS, FILES, MODELS)

T = TypeVar("T")


class Waiter(Protocol):
    """What sending needs besides the write; see ``Sender``."""

    @property
    def journal(self) -> Journal: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def interrupted(self) -> Callable[[], bool]: ...
    def wait(self, write: Write, call: Call[T]) -> T:
        """Wait for the answer; after an interrupt for a while longer."""


def delete(sender: Waiter, write: Write) -> Row:
    """Delete what ``write`` is about. Raises APIError where the API refused it, or there is no such thing."""
    values = {"id": write.job_id, "status": "deleted"}
    gone = Row(write.provider, values, dict(values))
    refusal: APIError | None = None
    try:
        write.reply = sender.wait(write, write.client.delete(write.path, write.resource, write))
        answer = write.reply.body
        if _is_deleted(write, answer, write.reply.status):
            return gone
        text = words(answer)[0] if isinstance(answer, dict) else ""
        refusal = APIError(text or "it was not deleted", provider=write.provider, status=write.reply.status)
    except DataError:
        pass  # a body that is none of the API's: what counts is whether it is still there
    except APIError as error:
        if not error.ambiguous or isinstance(error, OutcomeUnknown):
            raise
        refusal = error
    try:
        still = exists(write.client, sender, write, write.resource, write.parent, str(write.job_id))
    except (APIError, DataError) as error:
        write.unsure = True
        lost = refusal or error
        if isinstance(lost, DataError):
            lost = APIError(str(lost).removeprefix(f"{write.provider}: "), provider=write.provider)
        lost.message = f"nobody can say whether the {write.target} was deleted: {lost.message}"
        sql = query(write.resource, write.parent, write.job_id, None)
        lost.hint = f"See whether it is still there: {sql}"
        raise lost from None
    if not still:
        return gone
    raise refusal or APIError(f"the {write.target} is still there", provider=write.provider)


def _is_deleted(write: Write, answer: Any, status: int) -> bool:
    """Whether an answer says that it is gone: nothing but the object's own word, or no content, does."""
    if status == 204 or status in GONE:
        return True
    said = isinstance(answer, dict) and answer.get("deleted") is True and not answer.get("error")
    return said and answer.get("id") in (None, write.job_id)


def make(sender: Waiter, write: Write) -> Row:
    """Send a grant or an upload once; gives what came of it. Raises APIError, OutcomeUnknown."""
    body = write.upload or write.body
    assert body is not None
    sent_at = time.time()
    try:
        call = write.client.create(body, write, write.path, write.resource)
        write.reply = sender.wait(write, call)
        return _made(sender, write, write.reply.body, sent_at)
    except DataError as error:
        reason = str(error)
    except OutcomeUnknown:
        if write.upload is None or write.upload.complete:
            raise
        raise APIError("the upload was interrupted", provider=write.provider, hint="Nothing was stored") from None
    except APIError as error:
        if not error.ambiguous:
            raise
        reason = error.message
    found, listed = _seek(sender, write, sent_at)
    if len(found) == 1:
        return found[0]
    ids = tuple(row.id for row in found)
    raise unknown(sender, write, reason, ids, listed)


def unknown(sender: Waiter, write: Write, reason: str, ids: Sequence[str] = (), listed: str = "") -> OutcomeUnknown:
    """The error of a write of which nobody knows what became."""
    which = f"These may be it: {', '.join(ids[:10])}. " if ids else listed
    once = "Nothing was sent again. " if write.makes else ""
    what = f"the {write.action} of {write.target}"
    sql = query(write.resource, write.parent, write.job_id, write.request)
    return OutcomeUnknown(
        f"nobody can say what became of {what} that was sent: {reason.rstrip('.')}",
        provider=write.provider,
        candidates=tuple(ids),
        hint=f"{which}{once}Look before you repeat it: {sql}",
    )


def query(resource: Resource, parent: str, id: str | None, request: Mapping[str, Any] | None) -> str:
    """The SQL that shows what a write is about."""
    wanted: dict[str, Any] = {resource.parent: parent} if parent else {}
    if id is not None:
        wanted["id"] = id
    elif request is not None:
        wanted |= _likeness(resource, request)
    condition = " AND ".join(f"{name} = {apsw.format_sql_value(value)}" for name, value in wanted.items())
    return f"SELECT id, * FROM {resource.table} WHERE {condition}"


def about(path: str) -> tuple[Resource, str]:
    """The resource and parent that a write's path is about."""
    for resource in OF:
        before, _, after = resource.path.partition("{}")
        if not resource.parent and (path == before or path.startswith(before + "/")):
            return resource, ""
        if resource.parent and path.startswith(before) and after in path[len(before) :]:
            return resource, path[len(before) :].partition(after)[0]
    return JOBS, ""


def exists(client: Client, sender: Waiter, asker: Asker, resource: Resource, parent: str, id: str) -> bool:
    """Whether it is there now: asked for by itself, or in its parent's list."""
    if not in_url(client.account, id):
        return False
    if resource.parent:
        return any(row.id == id for row in listed(client, sender, asker, resource, parent))
    call: Call[Any] = client.get(f"{resource.path}/{id}", None, asker, resource=resource)
    return call.wait(sender.interrupted) is not None


def listed(client: Client, sender: Waiter, asker: Asker, resource: Resource, parent: str) -> list[Row]:
    """The whole list, as it is now. Raises what a listing raises."""
    cache = StatementCache({client.account: client}, sender.settings, sender.interrupted)
    cache.statement = asker.statement
    return list(OtherResources(cache, resource).rows([(client.account, parent)]))


def alike(resource: Resource, request: Mapping[str, Any], rows: Sequence[Row]) -> list[Row]:
    """Those of ``rows`` that the write which sent ``request`` may have made."""
    wanted = _likeness(resource, request)
    return [row for row in rows if all(row.values.get(name) == value for name, value in wanted.items())]


def since(rows: Sequence[Row], sent_at: float) -> list[Row]:
    """Those of ``rows`` that may not have been there when the write was sent."""
    return [row for row in rows if row.created_at is None or row.created_at >= int(sent_at) - SKEW]


def _likeness(resource: Resource, request: Mapping[str, Any]) -> dict[str, Any]:
    if resource is PERMISSIONS:
        projects = request.get("project_ids") or [None]
        return {"project_id": projects[0]}
    return {name: request.get(name) for name in ("filename", "bytes", "purpose")}


def _made(sender: Waiter, write: Write, answer: Any, sent_at: float) -> Row:
    """The object out of the answer to a POST. Raises DataError where it shows none that can be it."""
    if write.resource is not PERMISSIONS:
        return write.resource.rows(write.provider, [answer], tell=warn)[0]
    data = answer.get("data") if isinstance(answer, dict) else None
    rows = write.resource.rows(write.provider, data if isinstance(data, list) else [answer], write.parent, warn)
    rows = alike(write.resource, write.request or {}, rows)
    if not rows:
        raise DataError(f"the answer shows no {write.resource.noun} for that project")
    row = max(rows, key=lambda row: row.created_at or 0)
    # One that was there before must stay, whatever becomes of the transaction.
    write.was_there = not since([row], sent_at) or sender.journal.has_made(write.provider, row.id)
    return row


def _seek(sender: Waiter, write: Write, sent_at: float) -> tuple[list[Row], str]:
    """Look again and again for ``settle_seconds``, since lists lag; an interrupt ends it early."""
    end = time.monotonic() + sender.settings.settle_seconds
    pause, words = 0.5, ""
    while True:
        try:
            rows = listed(write.client, sender, write, write.resource, write.parent)
            found = since(alike(write.resource, write.request or {}, rows), sent_at)
            found = [row for row in found if not sender.journal.has_made(write.provider, row.id)]
            if found:
                return found, ""
            words = f"No {write.resource.noun} like it is in the list so far. "
        except (KeyboardInterrupt, apsw.InterruptError):
            return [], words
        except (DataError, OperationalError) as error:  # perhaps for the write's own reason: ask again
            words = words or f"The list could not be read either ({error}). "
        if time.monotonic() + pause > end:
            return [], words
        try:
            time.sleep(pause)
        except KeyboardInterrupt:
            return [], words
        pause = min(pause * 1.5, 3.0)
