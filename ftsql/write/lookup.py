"""Look-ups, which find out the outcome of a write by reading the provider's lists.

A create, a grant or an upload whose response is lost is never sent again. Lists lag behind writes, so a look-up reads
them again and again for ``settle_seconds``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import apsw

from ftsql.api.account import Account
from ftsql.api.calls import Call
from ftsql.api.client import Client
from ftsql.api.request_log import Asker
from ftsql.errors import DataError, OperationalError
from ftsql.read.other_resources import OtherResources
from ftsql.read.statement_cache import StatementCache
from ftsql.resources.definitions import FILES, JOBS, MODELS, PERMISSIONS
from ftsql.resources.resource import Resource, Row
from ftsql.write.fingerprint import Fingerprint, carries
from ftsql.write.write import Write

if TYPE_CHECKING:
    from ftsql.write.sender import Sender

LOOK_BACK = 3600  # a look-up reads back to this many seconds before the write, because clocks differ
CLOCK_SKEW = 60  # seconds by which the provider's clock may be behind; older objects existed before the write
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 3.0  # seconds between two readings of a list
SHOWN_IDS = 10  # the maximum number of ids in a message
WRITTEN = (PERMISSIONS, FILES, MODELS)  # the resources other than jobs that can be written


@dataclass(frozen=True, slots=True)
class Found:
    """The jobs that a look-up saw.

    The jobs in ``carriers`` carry the fingerprint and have the write's model and file. The jobs in ``alike`` have the
    write's model and file. The jobs in ``strange`` carry the fingerprint but have another model or file. ``seen`` has
    all jobs.
    """

    carriers: tuple[Row, ...] = ()
    alike: tuple[Row, ...] = ()
    strange: tuple[Row, ...] = ()
    seen: tuple[Row, ...] = ()

    @property
    def candidates(self) -> tuple[Row, ...]:
        """The jobs that the write may have created, the most likely ones first."""
        return self.carriers or (*self.strange, *self.alike)


def look_up(
    cache: StatementCache,
    account: Account,
    request: Mapping[str, Any],
    fingerprint: Fingerprint | None,
    sent_at: float,
    *,
    whole: bool = False,
) -> Found:
    """Search the jobs created since ``LOOK_BACK`` seconds before ``sent_at``, or the ``whole`` list.

    Raises the errors that reading a list raises. If none is raised, the list was read back to ``LOOK_BACK`` seconds
    before ``sent_at``, or in full.
    """
    since = sent_at - LOOK_BACK
    listing = cache.listing(account)
    while not listing.done and (whole or not listing.older_than(since, inclusive=False)):
        listing.read()
    rows = [cache.fetched[account].get(row.id) or row for row in listing.rows]
    carriers = [row for row in rows if fingerprint is not None and carries(fingerprint, row)]
    return Found(
        carriers=tuple(row for row in carriers if _is_like(request, row)),
        alike=tuple(row for row in rows if (row.created_at or sent_at) >= since and _is_like(request, row)),
        strange=tuple(row for row in carriers if not _is_like(request, row)),
        seen=tuple(rows),
    )


def shows_fingerprints(made: Mapping[str, Fingerprint], kind: str, rows: Sequence[Row]) -> bool:
    """Whether the server shows fingerprints of this kind as they were sent.

    This is true if ``rows`` has jobs that ``made`` lists with a fingerprint of this kind, and each of these jobs shows
    its fingerprint.
    """
    shown = [carries(made[row.id], row) for row in rows if row.id in made and made[row.id][0] == kind]
    return bool(shown) and all(shown)


def seek(sender: Sender, write: Write, sent_at: float) -> tuple[Found, str]:
    """Search the list until a job carries the create's fingerprint. Return the last search's result, and a message.

    If the create has no fingerprint, the list is searched only once, because no match would be certain.
    """
    found = Found()

    def look() -> bool:
        nonlocal found
        cache = _cache(write.client, sender, write)
        found = look_up(cache, write.client.account, write.request or {}, write.fingerprint, sent_at)
        return write.fingerprint is None or bool(found.carriers or found.strange)

    message = _poll(look, "job", sender.settings.settle_seconds)
    return found, message


def seek_other(sender: Sender, write: Write, sent_at: float) -> tuple[list[Row], str]:
    """Search for the object that a grant or an upload made. Return the candidates, and a message."""
    found: list[Row] = []

    def look() -> bool:
        nonlocal found
        rows = listed(write.client, sender, write, write.resource, write.parent)
        rows = since(alike(write.resource, write.request or {}, rows), sent_at)
        found = [row for row in rows if not sender.journal.has_made(write.provider, row.id)]
        return bool(found)

    message = _poll(look, write.resource.noun, sender.settings.settle_seconds)
    return found, message


def _poll(look: Callable[[], bool], noun: str, seconds: float) -> str:
    """Call ``look`` until it returns True or ``seconds`` have passed. Return the message to use if nothing was found.

    Ctrl-C ends the calls early. If the list cannot be read, it is read again, because the cause may be the same
    temporary failure that lost the write's response.
    """
    end = time.monotonic() + seconds
    pause, message = FIRST_PAUSE, ""
    while True:
        try:
            done = look()
            message = f"No {noun} like it is in the list so far"
            if done:
                return message
        except (KeyboardInterrupt, apsw.InterruptError):
            return message
        except (DataError, OperationalError) as error:
            message = message or f"The list could not be read either ({error})"
        if time.monotonic() + pause > end:
            return message
        try:
            time.sleep(pause)
        except KeyboardInterrupt:
            return message
        pause = min(pause * 1.5, LONGEST_PAUSE)


def _cache(client: Client, sender: Sender, asker: Asker) -> StatementCache:
    """Return an empty cache without a store, so that a look-up reads everything from the API."""
    cache = StatementCache({client.account: client}, sender.settings, sender.interrupted)
    cache.statement = asker.statement
    return cache


def exists(client: Client, sender: Sender, asker: Asker, resource: Resource, parent: str, id: str) -> bool:
    """Whether the object exists now. It is requested by its id, or searched for in its parent's list."""
    if not client.account.accepts_id(id):
        return False
    if resource.parent:
        return any(row.id == id for row in listed(client, sender, asker, resource, parent))
    call: Call[Any] = client.get(f"{resource.path}/{id}", None, asker, resource=resource)
    return call.wait(sender.interrupted) is not None


def listed(client: Client, sender: Sender, asker: Asker, resource: Resource, parent: str) -> list[Row]:
    """Return the rows of the whole list. Raises the errors that reading a list raises."""
    cache = _cache(client, sender, asker)
    return list(OtherResources(cache, resource).rows([(client.account, parent)]))


def alike(resource: Resource, request: Mapping[str, Any], rows: Sequence[Row]) -> list[Row]:
    """Return those of ``rows`` that a write with this ``request`` may have made."""
    likeness = _likeness(resource, request)
    return [row for row in rows if all(row.values.get(name) == value for name, value in likeness.items())]


def since(rows: Sequence[Row], sent_at: float) -> list[Row]:
    """Return those of ``rows`` that may be newer than a write sent at the time ``sent_at``."""
    return [row for row in rows if row.created_at is None or row.created_at >= int(sent_at) - CLOCK_SKEW]


def target_of(path: str) -> tuple[Resource, str]:
    """Return the resource and the parent id in the path of a write."""
    for resource in WRITTEN:
        before, _, after = resource.path.partition("{}")
        if f"{path}/".startswith(before.rstrip("/") + "/"):
            return resource, path[len(before) :].partition(after)[0] if resource.parent else ""
    return JOBS, ""


def query(resource: Resource, parent: str, id: str | None, request: Mapping[str, Any] | None) -> str:
    """Return the SQL query that shows the objects that a write may have made or deleted."""
    values: dict[str, Any] = {resource.parent: parent} if parent else {}
    if id is not None:
        values["id"] = id
    elif request is not None:
        values |= _likeness(resource, request)
    condition = " AND ".join(f"{name} = {apsw.format_sql_value(value)}" for name, value in values.items())
    return f"SELECT id, * FROM {resource.table} WHERE {condition}"


def listed_ids(ids: Sequence[str]) -> str:
    """Return ``ids`` as a string for a message: the first ten, and how many more there are."""
    more = f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else ""
    return ", ".join(ids[:SHOWN_IDS]) + more


def _is_like(request: Mapping[str, Any], row: Row) -> bool:
    """Whether a job has the training file of ``request``, and its model or a dated version of that model."""
    model, asked = row.values.get("model"), str(request.get("model"))
    file = row.values.get("training_file")
    return (model is None or str(model).startswith(asked)) and (file is None or file == request.get("training_file"))


def _likeness(resource: Resource, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that an object made by ``request`` must have, by column."""
    if resource is PERMISSIONS:
        (project,) = request["project_ids"]
        return {"project_id": project}
    return {name: request.get(name) for name in ("filename", "bytes", "purpose")}
