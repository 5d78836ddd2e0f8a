"""Writes that were left open by a crash or a lost answer: what became of them, by looking or by the user's word.

Nothing is sent by itself: the one write here is the cancel that a user asks for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

import apsw
from pydantic_core import from_json

from ftsql.client import Client
from ftsql.errors import Error, ProgrammingError
from ftsql.fingerprint import Fingerprint, condition, look_up
from ftsql.journal import Entry
from ftsql.resources import Row, is_finished
from ftsql.scan import Look
from ftsql.sending import STATUS, Write
from ftsql.session import Session

Decision = Literal["keep", "cancel", "none", "job"]
OPENING_SECONDS = 10.0  # how long opening a store may look for what a crash left
CANCELLED = ("cancelled", "canceled")


def at_opening(session: Session) -> list[str]:
    """Settle what a process that is gone left open, with one look each; gives what to tell, in lines."""
    entries = session.journal.open()
    crashed = [] if session.read_only else [entry for entry in entries if entry.owner is not None]
    end = time.monotonic() + OPENING_SECONDS
    lines = [_looked(session, entry, lambda: session.interrupted() or time.monotonic() > end) for entry in crashed]
    if older := len(entries) - len(crashed):
        lines.append(
            f"{older} {'write is' if older == 1 else 'writes are'} open since earlier: "
            "ftsql writes shows them, ftsql writes settle looks again"
        )
    return lines


def settle(session: Session) -> list[str]:
    """Look again for every open write of the store; gives what became of each, a line each.

    A create whose fingerprint no job carries counts as never accepted once ``absent_seconds`` have passed.
    """
    return [_looked(session, entry, session.interrupted) for entry in session.journal.open()]


def decide(session: Session, write_id: int, decision: Decision, job_id: str | None = None) -> str:
    """Close an open write by the user's word; gives what it is now.

    ``keep`` and ``cancel`` are for a job that exists, ``none`` (no job came of it) and ``job`` (it is that
    one) for a create whose outcome is unknown. Raises ProgrammingError where it does not fit.
    """
    entry = next((entry for entry in session.journal.open() if entry.write_id == write_id), None)
    if entry is None:
        raise ProgrammingError(f"write {write_id} is not open: ftsql writes lists those that are")
    exists = entry.state == "created"
    if exists != (decision in ("keep", "cancel")):
        known = f"its job is known ({entry.job_id}): --keep or --cancel" if exists else "say --none or --job ID"
        raise ProgrammingError(f"write {write_id} is {entry.state}: {known}")
    if decision == "none":
        session.journal.record([write_id], "refused", error="no job came of it, by the user's word")
        return f"write {write_id} is closed: no job came of it"
    if decision == "keep":
        session.journal.record([write_id], "committed")
        return f"write {write_id} is committed: {entry.job_id} stays"
    client, _ = _client(session, entry)
    if client is None:
        raise ProgrammingError(f"write {write_id}: the provider {entry.provider} is not active")
    if decision == "job":
        row = _job(session, client, entry, job_id, session.interrupted)
        if row is None:
            raise ProgrammingError(f"{entry.provider}: no such job: {job_id!r:.80}")
        session.journal.record([write_id], "committed", job_id=row.id)
        return f"write {write_id} is committed: it created {row.id}"
    row = session.sender.send(Write(client, "cancel", entry.statement, job_id=entry.job_id))
    session.journal.record([write_id], "cancelled")
    return f"write {write_id} is cancelled: {row.id} is {row.status} now"


def _looked(session: Session, entry: Entry, interrupted: Callable[[], bool]) -> str:
    """Look once what became of ``entry``, record it, and say it."""
    what = f"write {entry.write_id} ({entry.action}{f' {entry.job_id}' if entry.job_id else ''} at {entry.provider})"
    if entry.state == "queued":
        session.journal.record([entry.write_id], "refused", of=["queued"], error="not sent: its process ended before")
        return f"{what} was not sent: its process ended before"
    client, exact = _client(session, entry)
    if client is None:
        return f"{what} stays open: its provider is not active here"
    try:
        if entry.action != "create":
            return f"{what} {_act(session, entry, client, interrupted)}"
        if entry.state == "created":
            return f"{what} {_created(session, entry, client, interrupted)}"
        return f"{what} {_sent(session, entry, client, exact, interrupted)}"
    except (Error, apsw.InterruptError) as error:
        return f"{what} stays open, for it could not be looked for: {str(error).rstrip('.')}"


def _client(session: Session, entry: Entry) -> tuple[Client | None, bool]:
    """The client that may find the write's job, and whether it is the very account that wrote it."""
    named = None
    for account, client in session.clients.items():
        if account.name == entry.provider and not account.missing():
            if session.journal.store.account(account) == entry.account:
                return client, True
            named = client
    return named, False


def _job(session: Session, client: Client, entry: Entry, id: str | None, interrupted: Callable[[], bool]) -> Row | None:
    """The job ``id`` as it is now."""
    look = Look({client.account: client}, session.settings, interrupted)
    look.statement = entry.statement
    return look.get(client.account, id or "")


def _act(session: Session, entry: Entry, client: Client, interrupted: Callable[[], bool]) -> str:
    """A cancel, pause or resume: what counts is how the job is."""
    row = _job(session, client, entry, entry.job_id, interrupted)
    status = "gone" if row is None else row.status
    if row is not None and STATUS.get(row.status or "") == entry.action:
        session.journal.record([entry.write_id], "committed")
        return f"took effect: the job is {status}"
    session.journal.record([entry.write_id], "refused", error=f"the job is {status}")
    return f"did not take effect: the job is {status}"


def _created(session: Session, entry: Entry, client: Client, interrupted: Callable[[], bool]) -> str:
    """A job whose transaction did not end: the user decides, unless it was cancelled meanwhile."""
    row = _job(session, client, entry, entry.job_id, interrupted)
    if row is None or row.status in CANCELLED:
        session.journal.record([entry.write_id], "cancelled")
        return f"is closed: {entry.job_id} is {'gone' if row is None else row.status}"
    session.journal.record([entry.write_id], "created", release=True)
    return _undecided(entry, row)


def _sent(session: Session, entry: Entry, client: Client, exact: bool, interrupted: Callable[[], bool]) -> str:
    """A create without an answer: exactly one job that carries its fingerprint is it."""
    journal, began = session.journal, time.time()
    fingerprint: Fingerprint | None = tuple(from_json(entry.fingerprint)) if entry.fingerprint else None
    request: dict[str, Any] = from_json(entry.body or "{}")
    found = look_up(client, request, fingerprint, entry.at, session.settings, interrupted, entry)
    if len(found.carriers) == 1:
        row = found.carriers[0]
        if row.status in CANCELLED:
            journal.record([entry.write_id], "cancelled", job_id=row.id)
            return f"is closed: {row.id} is {row.status}"
        journal.record([entry.write_id], "created", job_id=row.id, release=True)
        return _undecided(entry, row)
    aged = began - entry.at > session.settings.absent_seconds
    if fingerprint is not None and exact and aged and not found.carriers:
        journal.record([entry.write_id], "refused", error="never accepted: no job carries its fingerprint")
        return "is closed: it was never accepted, for no job carries its fingerprint"
    rows = found.carriers or found.alike
    journal.record([entry.write_id], "unknown", error=entry.error or "its process ended before the answer came")
    listed = ", ".join(row.id for row in rows[:20])
    where = f"these may be it: {listed}" if rows else "no job like it is in the list"
    return (
        f"is unknown: {where}. Look again (ftsql writes settle), or say what it is: ftsql writes settle "
        f"{entry.write_id} --job ID, or --none. SELECT id, status FROM fine_tuning_jobs WHERE "
        f"{condition(fingerprint, entry.at)}"
    )


def _undecided(entry: Entry, row: Row) -> str:
    over = " (it is over)" if is_finished(row.status) else ""
    return (
        f"created {row.id}, which is {row.status}{over}, and its transaction did not end: to cancel it, SELECT "
        f"cancel_job('{row.id}'); to keep it, ftsql writes settle {entry.write_id} --keep"
    )
