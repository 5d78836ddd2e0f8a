"""The actions: send the request of each kind of write, and find out its result.

A create, a grant or an upload makes a new object and is sent once. A delete, cancel, pause or resume may be repeated.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ftsql.api.responses import GONE, error_fields
from ftsql.errors import APIError, DataError, OutcomeUnknown, warn
from ftsql.read.statement_cache import StatementCache
from ftsql.resources.definitions import JOBS, PERMISSIONS, is_finished
from ftsql.resources.resource import Row
from ftsql.write import lookup
from ftsql.write.create_body import differences
from ftsql.write.fingerprint import carries, condition
from ftsql.write.write import Write, is_result, is_result_or_pending

if TYPE_CHECKING:
    from ftsql.write.sender import Sender


def create(sender: Sender, write: Write) -> Row:
    """Create a job: send the request once, and look for the job if the response is lost.

    Raises APIError if the API refused the create, and OutcomeUnknown if the outcome is unknown.
    """
    body = write.body
    assert body is not None
    sent_at = time.time()
    try:
        write.reply = sender.wait(write, write.client.create(body, write))
        return write.finish(lambda: _created(sender, write, sent_at))
    except DataError as error:
        reason = str(error)
    except APIError as error:
        if not error.ambiguous or isinstance(error, OutcomeUnknown):
            raise
        reason = error.message
    found, message = lookup.seek(sender, write, sent_at)
    if len(found.carriers) == 1:
        return found.carriers[0]
    raise unknown(write, reason, found.candidates, message)


def _created(sender: Sender, write: Write, sent_at: float) -> Row:
    """Return the job in the response to a create. Raises DataError if this create cannot have made it."""
    assert write.reply is not None
    body = write.reply.body
    if isinstance(body, dict) and not body.get("id") and (text := error_fields(body)[0]):
        raise DataError(f"the response is an error: {text}")
    row = JOBS.rows(write.provider, [body], tell=warn)[0]
    if not _is_new(sender, write, row, sent_at):
        raise DataError(f"the response shows another job, {row.id}")
    sent = {name: value for name, value in (write.request or {}).items() if (name, value) != write.fingerprint}
    for text in differences(write.client.account, sent, row):
        warn(f"{write.provider}: {row.id}: {text}")
    return row


def _is_new(sender: Sender, write: Write, row: Row, sent_at: float) -> bool:
    """Whether ``write`` can have created the job: the job is not older than the write, and no other write made it.

    The file's name proves nothing, because gateways change it. If the job is older than the write, the write did not
    make it, unless the job carries the fingerprint: in that case the server's clock is wrong.
    """
    older = row.created_at is not None and row.created_at < sent_at - lookup.LOOK_BACK
    if older and not (write.fingerprint is not None and carries(write.fingerprint, row)):
        return False
    return not sender.journal.has_made(write.provider, row.id)


def change(sender: Sender, write: Write) -> Row:
    """Cancel, pause or resume a job. Return the job in its new state.

    Raises APIError. A refusal is not an error if the job already has the requested status.
    """
    refusal: APIError | None = None
    answer: Any = None
    try:
        write.reply = sender.wait(write, write.client.act(f"/{write.job_id}/{write.action}", write))
        answer = write.reply.body
    except DataError:
        pass  # the body is not the API's: look at the job itself
    except APIError as error:
        if error.status in (401, 403, 429) or isinstance(error, OutcomeUnknown):
            raise
        refusal = error
    with contextlib.suppress(DataError):
        row = JOBS.one(write.provider, answer, str(write.job_id), warn)
        if is_result_or_pending(write.action, row.status):
            return row
    if refusal is None and isinstance(answer, dict) and not answer.get("id") and (text := error_fields(answer)[0]):
        status = write.reply.status if write.reply else None
        refusal = APIError(text, provider=write.provider, status=status)
    # Another status, an unusable body, a refusal or a lost response: look at the job itself.
    job = _job_after(sender, write, refusal)
    if not is_result_or_pending(write.action, job.status):
        warn(
            f"{write.provider}: {write.action} of {job.id} was accepted, and the job is {job.state} all the same. "
            f"Check it again: SELECT status FROM fine_tuning_jobs WHERE id = '{job.id}'"
        )
    return job


def _job_after(sender: Sender, write: Write, refusal: APIError | None) -> Row:
    """Return the job in its state after a write. Raises ``refusal`` if the job does not have the requested status."""
    id = str(write.job_id)
    try:
        job = _job_now(sender, write, id)
    except (APIError, DataError) as error:
        write.effect_unknown = refusal is None or refusal.ambiguous
        raise refusal or error from None
    if job is None:
        refusal = refusal or APIError(f"there is no such job: {id}", provider=write.provider, status=404)
        refusal.no_such, refusal.hint = True, ""
        raise refusal
    if refusal is not None and not is_result(write.action, job.status):
        if is_finished(job.status):
            refusal.hint = f"The job is {job.status} already"
            write.row = job
        raise refusal
    return job


def _job_now(sender: Sender, write: Write, id: str) -> Row | None:
    """Return the job, by its id or from the list, or None if it does not exist."""
    account = write.client.account
    if account.retrieves:
        found = sender.wait(write, write.client.get(f"/{id}", None, write))
        return None if found is None else JOBS.one(write.provider, found, id, warn)
    cache = StatementCache({account: write.client}, sender.settings, sender.interrupted)
    cache.statement = write.statement
    return write.finish(lambda: cache.get(account, id))


def delete(sender: Sender, write: Write) -> Row:
    """Delete a file, model or permission. Raises APIError if the API refused it, or if the object does not exist."""
    values = {"id": write.job_id, "status": "deleted"}
    gone = Row(write.provider, values, dict(values))
    refusal: APIError | None = None
    try:
        write.reply = sender.wait(write, write.client.delete(write.path, write.resource, write))
        answer = write.reply.body
        if _is_deleted(write, answer, write.reply.status):
            return gone
        text = error_fields(answer)[0] if isinstance(answer, dict) else ""
        refusal = APIError(text or "it was not deleted", provider=write.provider, status=write.reply.status)
    except DataError:
        pass  # the body is not the API's: look whether the object still exists
    except APIError as error:
        if not error.ambiguous or isinstance(error, OutcomeUnknown):
            raise
        refusal = error
    try:
        still = lookup.exists(write.client, sender, write, write.resource, write.parent, str(write.job_id))
    except (APIError, DataError) as error:
        write.effect_unknown = True
        lost = refusal or error
        if isinstance(lost, DataError):
            lost = APIError(str(lost).removeprefix(f"{write.provider}: "), provider=write.provider)
        lost.message = f"it is unknown whether the {write.target} was deleted: {lost.message}"
        sql = lookup.query(write.resource, write.parent, write.job_id, None)
        lost.hint = f"Check whether it still exists: {sql}"
        raise lost from None
    if not still:
        return gone
    raise refusal or APIError(f"the {write.target} still exists", provider=write.provider)


def _is_deleted(write: Write, answer: Any, status: int) -> bool:
    """Whether a response proves the deletion: the body reports it for this object, or the status is 204, 404 or 410."""
    if status == 204 or status in GONE:
        return True
    said = isinstance(answer, dict) and answer.get("deleted") is True and not answer.get("error")
    return said and answer.get("id") in (None, write.job_id)


def make(sender: Sender, write: Write) -> Row:
    """Send a grant or an upload once, and return the object that it made. Raises APIError or OutcomeUnknown."""
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
    found, message = lookup.seek_other(sender, write, sent_at)
    if len(found) == 1:
        return found[0]
    raise unknown(write, reason, found, message)


def _made(sender: Sender, write: Write, answer: Any, sent_at: float) -> Row:
    """Return the object that the write made, from the response. Raises DataError if the response does not show it."""
    if write.resource is not PERMISSIONS:
        return write.resource.rows(write.provider, [answer], tell=warn)[0]
    data = answer.get("data") if isinstance(answer, dict) else None
    rows = write.resource.rows(write.provider, data if isinstance(data, list) else [answer], write.parent, warn)
    rows = lookup.alike(write.resource, write.request or {}, rows)
    if not rows:
        raise DataError(f"the response shows no {write.resource.noun} for that project")
    row = max(rows, key=lambda row: row.created_at or 0)
    # An object that existed before must stay even if the transaction is rolled back.
    write.existed_before = not lookup.since([row], sent_at) or sender.journal.has_made(write.provider, row.id)
    return row


def unknown(write: Write, reason: str, candidates: Sequence[Row] = (), message: str = "") -> OutcomeUnknown:
    """Return the error for a write whose outcome is unknown. ``message`` says what the look-up found."""
    ids = tuple(row.id for row in candidates)
    if write.resource is not JOBS:
        what, hint = f"the {write.action} of {write.target}", _advice(write, ids, message)
    elif write.action == "create":
        which = f"These may be it: {lookup.listed_ids(ids)}" if ids else message or "The list was not read"
        what = "the create of a job"
        hint = (
            f"{which.rstrip('.')}. Nothing was sent again. Check before you repeat it: ftsql writes settle, or "
            f"SELECT id, status FROM fine_tuning_jobs WHERE {condition(write.fingerprint, time.time())}"
        )
    else:
        what = f"the {write.action} of {write.job_id}"
        hint = f"Check its status: SELECT status FROM fine_tuning_jobs WHERE id = '{write.job_id}'"
    return OutcomeUnknown(
        f"the outcome of {what} is unknown: {reason.rstrip('.')}",
        provider=write.provider,
        candidates=ids,
        hint=hint,
    )


def _advice(write: Write, ids: Sequence[str], message: str) -> str:
    """Return the hint for a write to a resource other than jobs: the candidates, and the SQL that shows them."""
    which = f"These may be it: {', '.join(ids[:10])}. " if ids else f"{message}. " if message else ""
    once = "Nothing was sent again. " if write.makes else ""
    sql = lookup.query(write.resource, write.parent, write.job_id, write.request)
    return f"{which}{once}Check before you repeat it: {sql}"
