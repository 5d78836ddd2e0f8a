"""The write journal: every paid write, the request that it sent, and its outcome.

A write is recorded durably before its request is sent, and its outcome after the response. No credential is recorded.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import apsw
from pydantic_core import from_json

from ftsql.errors import ProgrammingError
from ftsql.store.database import Store

# The states of a write. queued: COMMIT will send the request. sent: There is no response yet. created: The job exists,
# but the transaction is still open. committed: The transaction ended. refused: The write had no effect. cancelled: The
# new job was cancelled again. unknown: The write may have had an effect.
State = Literal["queued", "sent", "created", "refused", "cancelled", "unknown", "committed"]

COLUMNS = (
    "write_id INTEGER",
    "at INTEGER",
    "state TEXT",
    "action TEXT",
    "provider TEXT",
    "job_id TEXT",
    "method TEXT",
    "path TEXT",
    "body JSON",
    "http_status INTEGER",
    "request_id TEXT",
    "error TEXT",
    "statement TEXT",
    "open INTEGER",
)
NAMES = tuple(column.split()[0] for column in COLUMNS)
DAY = 86_400
MAX_STATEMENT = 2_000  # how many characters of a statement are kept with each of its writes


@dataclass(slots=True)
class Entry:
    """One write in the journal.

    write_id: The id, set when the entry is recorded.
    at: When the write was recorded or sent, in Unix seconds.
    account: The id of the account in the store.
    fingerprint: The value by which the new job can be found: ["seed", n] or ["metadata", key], as JSON.
    owner: The name of the ``ProcessLock`` of the process that works on the write; None if no process does.
    """

    write_id: int = 0
    at: int = 0
    state: State = "queued"
    action: str = "create"
    provider: str = ""
    job_id: str | None = None
    method: str = "POST"
    path: str = ""
    body: str | None = None
    http_status: int | None = None
    request_id: str | None = None
    error: str | None = None
    statement: str = ""
    account: str = ""
    fingerprint: str | None = None
    owner: str | None = None


FIELDS = tuple(field.name for field in fields(Entry))


class Journal:
    """The journal in ``store``."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def queue(self, entries: Sequence[Entry], max_creates_per_day: int | None = None) -> None:
        """Record all ``entries`` in one transaction, before they are sent, and set their ids.

        Raises ProgrammingError if the creates would exceed ``max_creates_per_day``, counted over all processes that
        share the store, and StoreError if the file cannot be written. After either error, no entry is recorded.
        """
        self.store.owner.claim()
        names = FIELDS[1:]
        sql = f"INSERT INTO writes ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        with self.store.transaction() as db:
            creates = sum(1 for entry in entries if entry.action == "create")
            if max_creates_per_day is not None and creates:
                check_day(self.creates_of_the_day(), creates, max_creates_per_day)
            for entry in entries:
                entry.at = int(time.time())
                entry.owner = self.store.owner.name
                entry.statement = entry.statement[:MAX_STATEMENT]
                db.execute(sql, [getattr(entry, name) for name in names])
                entry.write_id = db.last_insert_rowid()

    def record(
        self,
        write_ids: Iterable[int],
        state: State,
        *,
        of: Iterable[State] | None = None,
        job_id: str | None = None,
        http_status: int | None = None,
        request_id: str | None = None,
        error: str | None = None,
        release: bool = False,
    ) -> int:
        """Record the outcome of entries and return how many were changed. A field whose argument is None stays.

        of: Change only entries in one of these states.
        release: Record that no process works on the entries any more. The release is always recorded if ``state`` is
            final or unknown.

        Raises StoreError.
        """
        ids = list(write_ids)
        states = list(of or ())
        is_owned = state in ("queued", "sent", "created") and not release
        sql = (
            "UPDATE writes SET state = ?, job_id = coalesce(?, job_id), http_status = coalesce(?, http_status), "
            "request_id = coalesce(?, request_id), error = coalesce(?, error), at = coalesce(?, at), "
            f"owner = {'owner' if is_owned else 'NULL'} WHERE write_id IN ({', '.join('?' * len(ids))})"
            + (f" AND state IN ({', '.join('?' * len(states))})" if of is not None else "")
        )
        with self.store.transaction() as db:
            at = int(time.time()) if state == "sent" else None
            db.execute(sql, (state, job_id, http_status, request_id, error, at, *ids, *states))
            return db.changes()

    def cancelled(self, provider: str, job_id: str) -> None:
        """Close the open write that made a job, a file or a permission, because the object was cancelled or deleted."""
        with self.store.transaction() as db:
            db.execute(
                "UPDATE writes SET state = 'cancelled' WHERE action IN ('create', 'grant', 'upload') "
                "AND state = 'created' AND owner IS NULL AND provider = ? AND job_id = ?",
                (provider, job_id),
            )

    def creates_of_the_day(self) -> int:
        """Return how many creates were recorded or sent in the last 24 hours, except the refused ones."""
        with self.store.lock:
            found: int = self.store.db.execute(
                "SELECT count(*) FROM writes WHERE action = 'create' AND state <> 'refused' AND at > ?",
                (int(time.time()) - DAY,),
            ).get
        return found

    def entries(self) -> Iterator[tuple[apsw.SQLiteValue, ...]]:
        """Return all writes, oldest first, as tuples with the values of COLUMNS."""
        open = {entry.write_id for entry in self.open()}
        with self.store.lock:
            found = self.store.db.execute(f"SELECT {', '.join(NAMES[:-1])} FROM writes ORDER BY write_id").fetchall()
        return ((*row, int(row[0] in open)) for row in found)

    def open(self) -> list[Entry]:
        """Return the writes without a final state, oldest first, except writes that a live process works on."""
        owners = {entry.owner for entry in self._unfinished()} - {None}
        dead = {owner for owner in owners if owner is not None and not self.store.owner.is_alive(owner)}
        # The writes are read again, because a process may have finished its writes and ended in between.
        return [entry for entry in self._unfinished() if entry.owner is None or entry.owner in dead]

    def _unfinished(self) -> list[Entry]:
        with self.store.lock:
            found = self.store.db.execute(
                f"SELECT {', '.join(FIELDS)} FROM writes WHERE state IN ('queued', 'sent', 'created', 'unknown') "
                "ORDER BY write_id"
            ).fetchall()
        return [_entry(row) for row in found]

    def has_made(self, provider: str, job_id: str) -> bool:
        """Whether a write in this journal made the job, file or permission with the id ``job_id``."""
        sql = "SELECT 1 FROM writes WHERE provider = ? AND job_id = ? AND action IN ('create', 'grant', 'upload')"
        with self.store.lock:
            return self.store.db.execute(sql, (provider, job_id)).fetchone() is not None

    def made(self, provider: str) -> dict[str, Any]:
        """Return the jobs at ``provider`` that creates in this journal made: the fingerprint (or None) by job id."""
        sql = "SELECT job_id, fingerprint FROM writes WHERE action = 'create' AND provider = ? AND job_id IS NOT NULL"
        with self.store.lock:
            found: Any = self.store.db.execute(sql, (provider,)).fetchall()
        return {id: None if fingerprint is None else from_json(fingerprint) for id, fingerprint in found}


def _entry(row: tuple[Any, ...]) -> Entry:
    return Entry(*row)


def check_day(before: int, more: int, limit: int) -> None:
    """Raise ProgrammingError if ``more`` creates, in addition to ``before`` in the last 24 hours, exceed ``limit``.

    >>> check_day(before=2, more=1, limit=3)
    """
    if before + more > limit:
        raise ProgrammingError(
            f"max_creates_per_day = {limit}: {before} were sent in the last 24 hours, and {more} more would be too "
            "many: nothing was sent. Allow more if you mean it: connect(max_creates_per_day=…), "
            "ftsql --max-creates-per-day …, FTSQL_MAX_CREATES_PER_DAY"
        )
