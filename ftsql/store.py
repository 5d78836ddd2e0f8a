"""The write journal: what was sent to which provider, and what became of it (SQLite).

An intent is written before its request leaves and its result after; a credential is never written.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Literal

import apsw

State = Literal["queued", "sent", "created", "done", "refused", "cancelled", "unknown", "committed"]

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
)
NAMES = tuple(column.split()[0] for column in COLUMNS)


class Journal:
    """One process's writes in order. Safe to use from several threads."""

    def __init__(self, path: str = ":memory:") -> None:
        self._lock = threading.Lock()
        self._db = apsw.Connection(path)
        if path != ":memory:":
            self._db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
        columns = ", ".join(COLUMNS[1:])
        self._db.execute(f"CREATE TABLE IF NOT EXISTS writes (write_id INTEGER PRIMARY KEY, {columns})")

    def intend(
        self, *, action: str, provider: str, job_id: str | None, path: str, body: str | None, statement: str
    ) -> int:
        """Record what is about to be sent; gives the entry's id."""
        values = (int(time.time()), "sent", action, provider, job_id, "POST", path, body, statement)
        with self._lock:
            self._db.execute(
                "INSERT INTO writes (at, state, action, provider, job_id, method, path, body, statement) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )
            return self._db.last_insert_rowid()

    def record(
        self,
        write_id: int,
        state: State,
        *,
        job_id: str | None = None,
        http_status: int | None = None,
        request_id: str | None = None,
        error: str | None = None,
    ) -> None:
        """Record what became of an entry; what is None stays as it was."""
        with self._lock:
            self._db.execute(
                "UPDATE writes SET state = ?, job_id = coalesce(?, job_id), "
                "http_status = coalesce(?, http_status), request_id = coalesce(?, request_id), "
                "error = coalesce(?, error) WHERE write_id = ?",
                (state, job_id, http_status, request_id, error, write_id),
            )

    def entries(self) -> Iterator[tuple[apsw.SQLiteValue, ...]]:
        """All entries in order, as tuples of COLUMNS."""
        with self._lock:
            return iter(self._db.execute("SELECT * FROM writes ORDER BY write_id").fetchall())

    def close(self) -> None:
        with self._lock:
            self._db.close()
