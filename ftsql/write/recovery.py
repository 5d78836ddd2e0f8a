"""Writes that were left open by a crash or a lost answer: what became of them, by looking or by the user's word.

Nothing is sent by itself: the one write here is the cancel that a user asks for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import apsw
from pydantic_core import from_json

from ftsql.api.account import Account
from ftsql.api.client import Client
from ftsql.errors import Error, ProgrammingError
from ftsql.read.statement_cache import StatementCache
from ftsql.resources.definitions import JOBS, is_finished
from ftsql.resources.resource import Row
from ftsql.settings import Settings
from ftsql.store.journal import Entry, Journal, State
from ftsql.write import lookup
from ftsql.write.fingerprint import Fingerprint, carries, condition
from ftsql.write.lookup import keeps, listed_ids, look_up
from ftsql.write.sender import Sender
from ftsql.write.write import CANCELLED, MAKES, Write, leads_to

Decision = Literal["keep", "cancel", "none", "job"]
OPENING_SECONDS = 10.0  # how long opening a store may look for what a crash left


class Opened(Protocol):
    """What recovery needs of a connection's session."""

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


class _Settled(ProgrammingError):
    """A write is open no more."""


def at_opening(session: Opened) -> list[str]:
    """Settle what a process that is gone left open, with one look each; gives what to tell, in lines."""
    entries = session.journal.open()
    crashed = [] if session.read_only else [entry for entry in entries if entry.owner is not None]
    end = time.monotonic() + OPENING_SECONDS
    caches = _Caches(session, lambda: session.interrupted() or time.monotonic() > end)
    lines = [_looked(caches, entry) for entry in crashed]
    if older := len(entries) - len(crashed):
        lines.append(
            f"{older} {'write is' if older == 1 else 'writes are'} open since earlier: "
            "ftsql writes shows them, ftsql writes settle looks again"
        )
    return lines


def settle(session: Opened) -> list[str]:
    """Look again for every open write of the store; gives what became of each, a line each.

    A create counts as never accepted once ``absent_seconds`` have passed and the whole list has neither its
    fingerprint nor a job like it that no other write made.
    """
    _begin(session)
    caches = _Caches(session, session.interrupted)
    return [_looked(caches, entry) for entry in session.journal.open()]


def decide(session: Opened, write_id: int, decision: Decision, job_id: str = "") -> str:
    """Close an open write by the user's word; gives what it is now.

    ``keep`` and ``cancel`` are for a job that exists, ``none`` (no job came of it) and ``job`` (it is ``job_id``)
    for a create whose outcome is unknown. Raises ProgrammingError where it does not fit.
    """
    _begin(session)
    entry = next((entry for entry in session.journal.open() if entry.write_id == write_id), None)
    if entry is None:
        raise ProgrammingError(f"write {write_id} is not open: ftsql writes lists those that are")
    fits: tuple[str, ...] = ("none",)
    known = "say --none"
    if entry.state == "created":
        fits, known = ("keep", "cancel"), f"its job is known ({entry.job_id}): --keep or --cancel"
    elif entry.action in MAKES:
        fits, known = ("none", "job"), "say --none or --job ID"
    if decision not in fits:
        raise ProgrammingError(f"write {write_id} is {entry.state}: {known}")
    resource, parent = lookup.about(entry.path)
    noun = "job" if resource is JOBS else resource.noun
    if decision == "none":
        _close(session, entry, "refused", error=f"no {noun} came of it, by the user's word")
        return f"write {write_id} is closed: no {noun} came of it"
    if decision == "keep":
        _close(session, entry, "committed")
        return f"write {write_id} is committed: {entry.job_id} stays"
    client, exact = _client(session, entry)
    if client is None or not exact:
        raise ProgrammingError(
            f"write {write_id}: the account at {entry.provider} that it was sent from is not active: set its key and "
            "address again"
        )
    if decision == "job" and resource is not JOBS:
        if not lookup.exists(client, session.sender, entry, resource, parent, job_id):
            raise ProgrammingError(f"{entry.provider}: no such {noun}: {job_id!r:.80}")
        _close(session, entry, "committed", job_id=job_id)
        return f"write {write_id} is committed: it made {job_id}"
    if decision == "job":
        row, _ = _job(entry, _Caches(session, session.interrupted).at(client, entry), job_id)
        if row is None:
            raise ProgrammingError(f"{entry.provider}: no such job: {job_id!r:.80}")
        _close(session, entry, "committed", job_id=row.id)
        return f"write {write_id} is committed: it created {row.id}"
    back = Write(
        client,
        "cancel" if resource is JOBS else "delete",
        entry.statement,
        job_id=entry.job_id,
        resource=resource,
        parent=parent,
    )
    row = session.sender.send(back)
    session.journal.record([write_id], "cancelled")
    return f"write {write_id} is cancelled: {row.id} is {row.state} now"


def _begin(session: Opened) -> None:
    """Raises ProgrammingError on a read-only connection."""
    if session.read_only:
        raise ProgrammingError("refused: the connection is read-only (read_only=True, --read-only)")
    # An interrupt that ended a statement, or came when there was none, stands until the next one begins.
    session.connection.execute("SELECT 1").fetchall()


def _close(session: Opened, entry: Entry, state: State, *, job_id: str | None = None, error: str | None = None) -> None:
    """Record what an open write is now. Raises _Settled if somebody else was faster."""
    ids = [entry.write_id]
    if not session.journal.record(ids, state, of=[entry.state], job_id=job_id, error=error, release=True):
        raise _Settled(f"write {entry.write_id} was settled by another process meanwhile: look at ftsql_writes")


@dataclass
class _Caches:
    """One fresh look at each account, however many open writes there are."""

    session: Opened
    interrupted: Callable[[], bool]
    _by_client: dict[Client, StatementCache] = field(default_factory=dict)

    def at(self, client: Client, entry: Entry) -> StatementCache:
        """The look at the client's account, which asks for ``entry``'s statement now."""
        if client not in self._by_client:
            self._by_client[client] = StatementCache({client.account: client}, self.session.settings, self.interrupted)
        self._by_client[client].statement = entry.statement
        return self._by_client[client]


def _looked(caches: _Caches, entry: Entry) -> str:
    """Look what became of ``entry``, record it, and say it."""
    session = caches.session
    what = f"write {entry.write_id} ({entry.action}{f' {entry.job_id}' if entry.job_id else ''} at {entry.provider})"
    client, exact = _client(session, entry)
    try:
        if entry.state == "queued":
            _close(session, entry, "refused", error="not sent: its process ended before")
            return f"{what} was not sent: its process ended before"
        if client is None or (entry.state == "created" and not exact):
            return f"{what} stays open: the account that it was sent from is not active here"
        if entry.action in ("delete", "grant", "upload"):
            sender = replace(session.sender, interrupted=caches.interrupted)
            other = _deleted if entry.action == "delete" else _made
            return f"{what} {other(sender, session, entry, client, exact)}"
        if entry.action != "create":
            return f"{what} {_act(session, entry, caches.at(client, entry), exact)}"
        if entry.state == "created":
            return f"{what} {_created(session, entry, caches.at(client, entry))}"
        return f"{what} {_sent(session, entry, caches.at(client, entry), exact)}"
    except _Settled:
        return f"{what} was settled by another process meanwhile"
    except (Error, apsw.InterruptError) as error:
        return f"{what} stays open, for it could not be looked for: {str(error).rstrip('.')}"


def _client(session: Opened, entry: Entry) -> tuple[Client | None, bool]:
    """The client that may find the write's job, and whether it is the very account that wrote it."""
    named = None
    for account, client in session.clients.items():
        if account.name == entry.provider and not account.missing():
            if session.journal.store.account_id(account) == entry.account:
                return client, True
            named = client
    return named, False


def _job(entry: Entry, cache: StatementCache, id: str) -> tuple[Row | None, bool]:
    """The job ``id``, and whether its absence proves that it is gone: a list may lag."""
    (account,) = cache.accounts
    alone = StatementCache(
        cache.clients, cache.settings, cache.interrupted
    )  # one that has read no list asks for the job itself
    alone.statement = entry.statement
    return alone.get(account, id), account.retrieves


def _act(session: Opened, entry: Entry, cache: StatementCache, exact: bool) -> str:
    """A cancel, pause or resume: what counts is how the job is."""
    row, proves = _job(entry, cache, str(entry.job_id))
    if row is None and not (exact and proves):
        return "stays open: no such job is to be seen, which here does not prove that it is gone"
    status = "gone" if row is None else row.state
    if row is not None and leads_to(entry.action, row.status):
        _close(session, entry, "committed")
        return f"took effect: the job is {status}"
    _close(session, entry, "refused", error=f"the job is {status}")
    return f"did not take effect: the job is {status}"


def _created(session: Opened, entry: Entry, cache: StatementCache) -> str:
    """A job whose transaction did not end: the user decides, unless it was cancelled meanwhile."""
    row, proves = _job(entry, cache, str(entry.job_id))
    if row is None and not proves:
        _close(session, entry, "created")
        return f"created {entry.job_id}, which the list does not show now, and its transaction did not end"
    if row is None or row.status in CANCELLED:
        _close(session, entry, "cancelled")
        return f"is closed: {entry.job_id} is {'gone' if row is None else row.state}"
    _close(session, entry, "created")
    return _undecided(entry, row)


def _sent(session: Opened, entry: Entry, cache: StatementCache, exact: bool) -> str:
    """A create without an answer: exactly one job that carries its fingerprint is it."""
    fingerprint: Fingerprint | None = tuple(from_json(entry.fingerprint)) if entry.fingerprint else None
    request: dict[str, Any] = from_json(entry.body or "{}")
    aged = time.time() - entry.at > session.settings.absent_seconds + 1  # ``at`` is a whole second
    proves = fingerprint is not None and exact and aged  # where the whole list can show that it never came
    found = look_up(cache, cache.accounts[0], request, fingerprint, entry.at, whole=proves)
    if len(found.carriers) == 1:
        row = found.carriers[0]
        if row.status in CANCELLED:
            _close(session, entry, "cancelled", job_id=row.id)
            return f"is closed: {row.id} is {row.state}"
        _close(session, entry, "created", job_id=row.id)
        return _undecided(entry, row)
    made = session.journal.made(entry.provider)
    rows = [row for row in found.candidates if row.id not in made]
    shown = {id: known for id, known in made.items() if known is not None}
    if fingerprint is not None and keeps(shown, fingerprint[0], found.seen):
        rows = [row for row in rows if carries(fingerprint, row)]  # the list would show it
    if proves and not rows and not found.carriers:
        _close(session, entry, "refused", error="never accepted: no job carries its fingerprint")
        return "is closed: it was never accepted, for no job carries its fingerprint"
    _close(session, entry, "unknown", error=entry.error or "its process ended before the answer came")
    where = f"these may be it: {listed_ids([row.id for row in rows])}" if rows else "no job like it is in the list"
    return (
        f"is unknown: {where}. Look again (ftsql writes settle), or say what it is: ftsql writes settle "
        f"{entry.write_id} --job ID, or --none. SELECT id, status FROM fine_tuning_jobs WHERE "
        f"{condition(fingerprint, entry.at)}"
    )


def _deleted(sender: Sender, session: Opened, entry: Entry, client: Client, exact: bool) -> str:
    """A delete: what counts is whether it is still there."""
    resource, parent = lookup.about(entry.path)
    if lookup.exists(client, sender, entry, resource, parent, str(entry.job_id)):
        _close(session, entry, "refused", error=f"the {resource.noun} is still there")
        return f"did not take effect: the {resource.noun} is still there"
    if not exact:
        return f"stays open: no such {resource.noun} is to be seen here, which does not prove that it is gone there"
    _close(session, entry, "committed")
    return f"took effect: the {resource.noun} is gone"


def _made(sender: Sender, session: Opened, entry: Entry, client: Client, exact: bool) -> str:
    """A grant or an upload: the one like it that was not there before is it."""
    resource, parent = lookup.about(entry.path)
    request: dict[str, Any] = from_json(entry.body or "{}")
    rows = lookup.listed(client, sender, entry, resource, parent)
    if entry.state == "created":
        if not any(row.id == entry.job_id for row in rows):
            _close(session, entry, "cancelled")
            return f"is closed: {entry.job_id} is gone"
        _close(session, entry, "created")
        return _to_keep(entry, resource.noun, str(entry.job_id))
    like = lookup.alike(resource, request, rows)
    found = [row for row in lookup.since(like, entry.at) if not session.journal.has_made(entry.provider, row.id)]
    if len(found) == 1 and exact:
        stands = entry.action == "upload"  # which acts at once, whatever became of its transaction
        _close(session, entry, "committed" if stands else "created", job_id=found[0].id)
        made = f"made the {resource.noun} {found[0].id}, which stays"
        return made if stands else _to_keep(entry, resource.noun, found[0].id)
    if not like and exact and time.time() - entry.at > session.settings.absent_seconds + 1:
        _close(session, entry, "refused", error=f"never accepted: there is no {resource.noun} like it")
        return f"is closed: it was never accepted, for there is no {resource.noun} like it"
    _close(session, entry, "unknown", error=entry.error or "its process ended before the answer came")
    where = f"these may be it: {listed_ids([row.id for row in found])}" if found else "nothing like it is in the list"
    return (
        f"is unknown: {where}. Look again (ftsql writes settle), or say what it is: ftsql writes settle "
        f"{entry.write_id} --job ID, or --none. {lookup.query(resource, parent, None, request)}"
    )


def _to_keep(entry: Entry, noun: str, id: str) -> str:
    number = entry.write_id
    return (
        f"made the {noun} {id}, and its transaction did not end: to take it back, ftsql writes settle {number} "
        f"--cancel; to keep it, ftsql writes settle {number} --keep"
    )


def _undecided(entry: Entry, row: Row) -> str:
    over = " (it is over)" if is_finished(row.status) else ""
    return (
        f"created {row.id}, which is {row.state}{over}, and its transaction did not end: to cancel it, SELECT "
        f"cancel_job('{row.id}'); to keep it, ftsql writes settle {entry.write_id} --keep"
    )
