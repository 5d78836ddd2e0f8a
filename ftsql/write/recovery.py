"""Recovery: settle the writes that a crash or a lost response left open, by a look-up or by the user's decision.

Recovery sends no write on its own. It sends only the cancels and deletes that a user asks for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import apsw
from pydantic_core import from_json

from ftsql.api.account import Account
from ftsql.api.client import Client
from ftsql.errors import Error, ProgrammingError
from ftsql.read.statement_cache import StatementCache
from ftsql.resources.definitions import JOBS, is_finished
from ftsql.resources.resource import Resource, Row
from ftsql.settings import Settings
from ftsql.store.journal import Entry, Journal, State
from ftsql.write import lookup
from ftsql.write.fingerprint import Fingerprint, carries, condition
from ftsql.write.lookup import Found, listed_ids, look_up, shows_fingerprints
from ftsql.write.sender import Sender
from ftsql.write.write import CANCELLED, MAKES, Action, Write, is_result_or_pending

Decision = Literal["keep", "cancel", "none", "job"]
OPENING_SECONDS = 10.0  # how long look-ups may delay the opening of a connection
NOT_SENT = "its process ended before"
NO_RESPONSE = "its process ended before the response came"


class Opened(Protocol):
    """The part of a connection's session that recovery needs."""

    @property
    def clients(self) -> Mapping[Account, Client]: ...
    @property
    def connection(self) -> apsw.Connection: ...
    @property
    def interrupted(self) -> Callable[[], bool]: ...
    @property
    def journal(self) -> Journal: ...
    @property
    def read_only(self) -> bool: ...
    @property
    def sender(self) -> Sender: ...
    @property
    def settings(self) -> Settings: ...


class _AlreadySettled(ProgrammingError):
    """Raised if another process settled the write meanwhile."""


def at_opening(session: Opened) -> list[str]:
    """Settle the writes that ended processes left open, with one look-up each. Return lines for the user."""
    entries = session.journal.open()
    crashed = [] if session.read_only else [entry for entry in entries if entry.owner is not None]
    end = time.monotonic() + OPENING_SECONDS
    caches = _Caches(session, lambda: session.interrupted() or time.monotonic() > end)
    lines = [_look_again(caches, entry) for entry in crashed]
    if older := len(entries) - len(crashed):
        lines.append(
            f"{older} {'write is' if older == 1 else 'writes are'} open since earlier: "
            "ftsql writes lists them, ftsql writes settle looks again"
        )
    return lines


def settle(session: Opened) -> list[str]:
    """Look up every open write of the store. Return a line about each outcome.

    A create counts as never accepted if ``absent_seconds`` have passed, the whole list has no job with its fingerprint,
    and every similar job was made by another write.
    """
    _check_writable(session)
    caches = _Caches(session, session.interrupted)
    return [_look_again(caches, entry) for entry in session.journal.open()]


def decide(session: Opened, write_id: int, decision: Decision, job_id: str = "") -> str:
    """Close an open write by the user's decision. Return a sentence about its new state.

    ``keep`` and ``cancel`` are for an object that exists. ``none`` (the write made no object) and ``job`` (it made
    ``job_id``) are for a write whose outcome is unknown. Raises ProgrammingError if the decision does not fit.
    """
    _check_writable(session)
    entry = next((entry for entry in session.journal.open() if entry.write_id == write_id), None)
    if entry is None:
        raise ProgrammingError(f"write {write_id} is not open: ftsql writes lists the open ones")
    _check_decision(entry, decision)
    resource, parent = lookup.target_of(entry.path)
    noun = "job" if resource is JOBS else resource.noun
    if decision == "none":
        _record(session, entry, "refused", error=f"no {noun} came of it, as the user decided")
        return f"write {write_id} is closed: no {noun} came of it"
    if decision == "keep":
        _record(session, entry, "committed")
        return f"write {write_id} is committed: {entry.job_id} stays"
    client, is_same_account = _client_for(session, entry)
    if client is None or not is_same_account:
        raise ProgrammingError(
            f"write {write_id}: the account at {entry.provider} that sent it is not active: "
            "set its key and address again"
        )
    if decision == "job":
        made = _existing_id(session, entry, client, resource, parent, job_id)
        if made is None:
            raise ProgrammingError(f"{entry.provider}: no such {noun}: {job_id!r:.80}")
        _record(session, entry, "committed", job_id=made)
        return f"write {write_id} is committed: it {'created' if resource is JOBS else 'made'} {made}"
    action: Action = "cancel" if resource is JOBS else "delete"
    undoing = Write(client, action, entry.statement, job_id=entry.job_id, resource=resource, parent=parent)
    row = session.sender.send(undoing)
    session.journal.record([write_id], "cancelled")
    return f"write {write_id} is cancelled: {row.id} is {row.state} now"


def _check_decision(entry: Entry, decision: Decision) -> None:
    """Raise ProgrammingError if the decision does not fit the state of the write."""
    fits: tuple[str, ...] = ("none",)
    advice = "say --none"
    if entry.state == "created":
        fits, advice = ("keep", "cancel"), f"its job is known ({entry.job_id}): --keep or --cancel"
    elif entry.action in MAKES:
        fits, advice = ("none", "job"), "say --none or --job ID"
    if decision not in fits:
        raise ProgrammingError(f"write {entry.write_id} is {entry.state}: {advice}")


def _existing_id(
    session: Opened,
    entry: Entry,
    client: Client,
    resource: Resource,
    parent: str,
    id: str,
) -> str | None:
    """Return the id of the object that the user named, or None if the object does not exist."""
    if resource is not JOBS:
        return id if lookup.exists(client, session.sender, entry, resource, parent, id) else None
    row, _ = _find_job(entry, _Caches(session, session.interrupted).of(client, entry), id)
    return None if row is None else row.id


def _check_writable(session: Opened) -> None:
    """Raise ProgrammingError on a read-only connection, and clear a pending interrupt."""
    if session.read_only:
        raise ProgrammingError("refused: the connection is read-only (read_only=True, --read-only)")
    # An interrupt that came while no statement ran stays pending until the next statement begins.
    session.connection.execute("SELECT 1").fetchall()


def _record(
    session: Opened, entry: Entry, state: State, *, job_id: str | None = None, error: str | None = None
) -> None:
    """Record the state of an open write. Raises _AlreadySettled if another process was faster."""
    ids = [entry.write_id]
    if not session.journal.record(ids, state, of=[entry.state], job_id=job_id, error=error, release=True):
        raise _AlreadySettled(f"write {entry.write_id} was settled by another process meanwhile: look at ftsql_writes")


@dataclass
class _Caches:
    """One statement cache for each account. All open writes share the caches, so each list is read only once."""

    session: Opened
    interrupted: Callable[[], bool]
    _by_client: dict[Client, StatementCache] = field(default_factory=dict)

    def of(self, client: Client, entry: Entry) -> StatementCache:
        """Return the cache of the client's account. From now on, the cache sends requests on behalf of ``entry``."""
        if client not in self._by_client:
            self._by_client[client] = StatementCache({client.account: client}, self.session.settings, self.interrupted)
        self._by_client[client].statement = entry.statement
        return self._by_client[client]


def _look_again(caches: _Caches, entry: Entry) -> str:
    """Look up the outcome of an open write, record it, and return a sentence about it."""
    session = caches.session
    what = f"write {entry.write_id} ({entry.action}{f' {entry.job_id}' if entry.job_id else ''} at {entry.provider})"
    client, is_same_account = _client_for(session, entry)
    try:
        if entry.state == "queued":
            _record(session, entry, "refused", error=f"not sent: {NOT_SENT}")
            return f"{what} was not sent: {NOT_SENT}"
        if client is None or (entry.state == "created" and not is_same_account):
            return f"{what} stays open: the account that sent it is not active here"
        return f"{what} {_settle_with(caches, entry, client, is_same_account)}"
    except _AlreadySettled:
        return f"{what} was settled by another process meanwhile"
    except (Error, apsw.InterruptError) as error:
        return f"{what} stays open, because it could not be looked up: {str(error).rstrip('.')}"


def _settle_with(caches: _Caches, entry: Entry, client: Client, is_same_account: bool) -> str:
    """Settle a write that was sent, by the rules of its action. Return a message about its outcome."""
    session = caches.session
    if entry.action in ("delete", "grant", "upload"):
        sender = replace(session.sender, interrupted=caches.interrupted)
        settle_other = _settle_delete if entry.action == "delete" else _settle_made
        return settle_other(sender, session, entry, client, is_same_account)
    cache = caches.of(client, entry)
    if entry.action != "create":
        return _settle_change(session, entry, cache, is_same_account)
    if entry.state == "created":
        return _settle_created(session, entry, cache)
    return _settle_sent(session, entry, cache, is_same_account)


def _client_for(session: Opened, entry: Entry) -> tuple[Client | None, bool]:
    """Return a client that may find the write's object, and whether its account sent the write."""
    of_provider = None
    for account, client in session.clients.items():
        if account.name == entry.provider and not account.missing():
            if session.journal.store.account_id(account) == entry.account:
                return client, True
            of_provider = client
    return of_provider, False


def _find_job(entry: Entry, cache: StatementCache, id: str) -> tuple[Row | None, bool]:
    """Return the job (or None), and whether None would prove that the job was deleted.

    None proves nothing if the provider does not serve jobs by id, because lists lag behind.
    """
    (account,) = cache.accounts
    # A cache that has read no list gets the job by its id.
    empty = StatementCache(cache.clients, cache.settings, cache.interrupted)
    empty.statement = entry.statement
    return empty.get(account, id), account.retrieves


def _settle_change(session: Opened, entry: Entry, cache: StatementCache, is_same_account: bool) -> str:
    """Settle a cancel, pause or resume by the status of the job."""
    row, proves = _find_job(entry, cache, str(entry.job_id))
    if row is None and not (is_same_account and proves):
        return "stays open: the job is not found, which does not prove here that it is gone"
    status = "gone" if row is None else row.state
    if row is not None and is_result_or_pending(entry.action, row.status):
        _record(session, entry, "committed")
        return f"took effect: the job is {status}"
    _record(session, entry, "refused", error=f"the job is {status}")
    return f"did not take effect: the job is {status}"


def _settle_created(session: Opened, entry: Entry, cache: StatementCache) -> str:
    """Settle a create whose job is known but whose transaction did not end.

    The user decides about the job, unless it was cancelled or deleted meanwhile.
    """
    row, proves = _find_job(entry, cache, str(entry.job_id))
    if row is None and not proves:
        _record(session, entry, "created")
        return f"created {entry.job_id}, which the list does not show now, and its transaction did not end"
    if row is None or row.status in CANCELLED:
        _record(session, entry, "cancelled")
        return f"is closed: {entry.job_id} is {'gone' if row is None else row.state}"
    _record(session, entry, "created")
    return _advise_on_job(entry, row)


def _settle_sent(session: Opened, entry: Entry, cache: StatementCache, is_same_account: bool) -> str:
    """Settle a create that has no response. If exactly one job carries its fingerprint, it created that job."""
    fingerprint: Fingerprint | None = tuple(from_json(entry.fingerprint)) if entry.fingerprint else None
    request: dict[str, Any] = from_json(entry.body or "{}")
    # Whether the whole list can prove that the create was never accepted.
    proves = fingerprint is not None and is_same_account and _is_past_absence(session, entry)
    found = look_up(cache, cache.accounts[0], request, fingerprint, entry.at, whole=proves)
    if len(found.carriers) == 1:
        return _settle_found(session, entry, found.carriers[0])
    candidates = _candidates(session, entry, fingerprint, found)
    if proves and not candidates and not found.carriers:
        _record(session, entry, "refused", error="never accepted: no job carries its fingerprint")
        return "is closed: it was never accepted, because no job carries its fingerprint"
    sql = f"SELECT id, status FROM fine_tuning_jobs WHERE {condition(fingerprint, entry.at)}"
    return _leave_unknown(session, entry, candidates, "no similar job is in the list", sql)


def _is_past_absence(session: Opened, entry: Entry) -> bool:
    """Whether the write is older than ``absent_seconds``. One second is added, because ``at`` is in whole seconds."""
    return time.time() - entry.at > session.settings.absent_seconds + 1


def _settle_found(session: Opened, entry: Entry, row: Row) -> str:
    """Settle a create whose job was found by its fingerprint."""
    if row.status in CANCELLED:
        _record(session, entry, "cancelled", job_id=row.id)
        return f"is closed: {row.id} is {row.state}"
    _record(session, entry, "created", job_id=row.id)
    return _advise_on_job(entry, row)


def _candidates(session: Opened, entry: Entry, fingerprint: Fingerprint | None, found: Found) -> list[str]:
    """Return the ids of the jobs that the create may have made."""
    made = session.journal.made(entry.provider)
    rows = [row for row in found.candidates if row.id not in made]
    shown = {id: known for id, known in made.items() if known is not None}
    if fingerprint is not None and shows_fingerprints(shown, fingerprint[0], found.seen):
        rows = [row for row in rows if carries(fingerprint, row)]
    return [row.id for row in rows]


def _leave_unknown(session: Opened, entry: Entry, candidates: Sequence[str], otherwise: str, sql: str) -> str:
    """Record that the outcome is unknown. Return a message with the candidates and what the user can do.

    If there are no candidates, the message says ``otherwise`` instead.
    """
    _record(session, entry, "unknown", error=entry.error or NO_RESPONSE)
    which = f"these may be it: {listed_ids(candidates)}" if candidates else otherwise
    return (
        f"is unknown: {which}. Look again (ftsql writes settle), or decide: ftsql writes settle "
        f"{entry.write_id} --job ID, or --none. {sql}"
    )


def _settle_delete(sender: Sender, session: Opened, entry: Entry, client: Client, is_same_account: bool) -> str:
    """Settle a delete: it took effect if the object no longer exists."""
    resource, parent = lookup.target_of(entry.path)
    if lookup.exists(client, sender, entry, resource, parent, str(entry.job_id)):
        _record(session, entry, "refused", error=f"the {resource.noun} still exists")
        return f"did not take effect: the {resource.noun} still exists"
    if not is_same_account:
        return f"stays open: the {resource.noun} is not found here, which does not prove that it is gone there"
    _record(session, entry, "committed")
    return f"took effect: the {resource.noun} is gone"


def _settle_made(sender: Sender, session: Opened, entry: Entry, client: Client, is_same_account: bool) -> str:
    """Settle a grant or an upload. If exactly one new object is like the requested one, the write made that object."""
    resource, parent = lookup.target_of(entry.path)
    request: dict[str, Any] = from_json(entry.body or "{}")
    rows = lookup.listed(client, sender, entry, resource, parent)
    if entry.state == "created":
        if not any(row.id == entry.job_id for row in rows):
            _record(session, entry, "cancelled")
            return f"is closed: {entry.job_id} is gone"
        _record(session, entry, "created")
        return _advise_on_object(entry, resource.noun, str(entry.job_id))
    alike = lookup.alike(resource, request, rows)
    found = [row for row in lookup.since(alike, entry.at) if not session.journal.has_made(entry.provider, row.id)]
    if len(found) == 1 and is_same_account:
        is_upload = entry.action == "upload"  # an upload acts at once, so it does not depend on its transaction
        _record(session, entry, "committed" if is_upload else "created", job_id=found[0].id)
        made = f"made the {resource.noun} {found[0].id}, which stays"
        return made if is_upload else _advise_on_object(entry, resource.noun, found[0].id)
    if not alike and is_same_account and _is_past_absence(session, entry):
        _record(session, entry, "refused", error=f"never accepted: there is no {resource.noun} like it")
        return f"is closed: it was never accepted, because there is no {resource.noun} like it"
    sql = lookup.query(resource, parent, None, request)
    return _leave_unknown(session, entry, [row.id for row in found], "nothing like it is in the list", sql)


def _advise_on_object(entry: Entry, noun: str, id: str) -> str:
    """Return how to keep or delete an object whose transaction did not end."""
    number = entry.write_id
    return (
        f"made the {noun} {id}, and its transaction did not end: to delete it, ftsql writes settle {number} "
        f"--cancel; to keep it, ftsql writes settle {number} --keep"
    )


def _advise_on_job(entry: Entry, row: Row) -> str:
    """Return how to keep or cancel a job whose transaction did not end."""
    over = " (it has finished)" if is_finished(row.status) else ""
    return (
        f"created {row.id}, which is {row.state}{over}, and its transaction did not end: to cancel it, SELECT "
        f"cancel_job('{row.id}'); to keep it, ftsql writes settle {entry.write_id} --keep"
    )
