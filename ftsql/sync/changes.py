"""Applies one fetch to a snapshot: inserts, changes and deletes rows, and updates ``sync_state``.

The functions run inside the snapshot's transaction. If another sync has written a newer fetch, nothing is changed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import apsw

from ftsql.resources.definitions import CHECKPOINTS, JOBS
from ftsql.resources.resource import Resource
from ftsql.sync.tables import column_names, columns, is_archive


@dataclass(frozen=True, slots=True)
class Fetch:
    """The gathered rows of one provider and one table.

    began: When the first request was sent, in Unix seconds.
    error: Why the fetch failed.
    complete: Whether nothing is left to read. It is False while the events of many jobs are read for the first time.
    """

    provider: str
    resource: Resource
    began: float
    error: str | None = None
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """The effect of a fetch on the file, in numbers of rows.

    synced_at: The time of the last successful fetch, in Unix seconds. The rows are at least as new as this time.
    error: Why the fetch failed.
    superseded: Whether another sync wrote a newer fetch meanwhile. If so, this fetch changed nothing.
    """

    provider: str
    table: str
    new: int = 0
    changed: int = 0
    deleted: int = 0
    rows: int = 0
    synced_at: int | None = None
    error: str | None = None
    superseded: bool = False
    gone: int = 0  # the number of an archive's rows that the provider no longer shows
    complete: bool = True


def apply(db: apsw.Connection, fetch: Fetch) -> Change:
    """Replace one provider's rows in one table with the gathered rows. Return the change."""
    table, now = fetch.resource.table, time.time()
    known: Any = db.execute(
        'SELECT max(synced_at), max(rows), max(looked_at) FROM main.sync_state WHERE provider = ? AND "table" = ?',
        (fetch.provider, table),
    ).fetchone()
    synced_at, rows, looked_at = known
    # If looked_at lies in the future, it was written by a wrong clock and does not count.
    if looked_at is not None and fetch.began < looked_at <= now:
        return Change(fetch.provider, table, rows=rows or 0, synced_at=synced_at, superseded=True)
    new = changed = deleted = gone = 0
    if fetch.error is None:
        new, changed = _upsert(db, fetch, int(now))
        if is_archive(db):
            gone = _record_gone(db, fetch, int(now))
        elif fetch.resource.parent:
            deleted = _delete_children(db, fetch)
        else:
            deleted = _delete_gone(db, fetch)
        if fetch.resource.parent:
            _record_parents(db, fetch)
        counted = f"SELECT count(*) FROM main.{table} WHERE {_KEYS}"
        rows = db.execute(counted, (fetch.provider,)).get
        looked_at = fetch.began
        synced_at = int(fetch.began) if fetch.complete else synced_at
    db.execute(
        "INSERT OR REPLACE INTO main.sync_state VALUES (?, ?, ?, ?, ?, ?, ?)",
        (fetch.provider, table, synced_at, int(now), rows, fetch.error, looked_at),
    )
    return Change(
        fetch.provider,
        table,
        new,
        changed,
        deleted,
        rows or 0,
        synced_at,
        fetch.error,
        gone=gone,
        complete=fetch.complete,
    )


# A condition that is true for all keys of a provider, and that can use the index. The condition is right because '0' is
# the character after '/', and no provider's name contains '/'.
_KEYS = "key > ?1 || '/' AND key < ?1 || '0'"


def _upsert(db: apsw.Connection, fetch: Fetch, now: int) -> tuple[int, int]:
    """Write the rows that are new or changed. Return the number of new rows and the number of changed rows."""
    table, names = fetch.resource.table, column_names(fetch.resource)
    others = [column.name for column in columns(fetch.resource) if column.name != "key"]
    new = db.execute(
        f"SELECT count(*) FROM gathered.{table} AS fetched WHERE provider = ? "
        f"AND NOT EXISTS (SELECT 1 FROM main.{table} AS old WHERE old.key = fetched.key)",
        (fetch.provider,),
    ).get
    before = db.total_changes()
    db.execute(
        f"INSERT INTO main.{table} AS old ({names}, _synced_at) "
        f"SELECT {names}, ? FROM gathered.{table} WHERE provider = ? ON CONFLICT (key) DO UPDATE SET "
        f"{', '.join(f'{name} = excluded.{name}' for name in (*others, '_synced_at'))} "
        f"WHERE {' OR '.join(f'old.{name} IS NOT excluded.{name}' for name in others)}",
        (now, fetch.provider),
    )
    return new, db.total_changes() - before - new


def _delete_gone(db: apsw.Connection, fetch: Fetch) -> int:
    """Delete the provider's rows that were not gathered. Return the number of these rows."""
    table, before = fetch.resource.table, db.total_changes()
    shown = f"SELECT key FROM gathered.{table}"
    db.execute(f"DELETE FROM main.{table} WHERE {_KEYS} AND key NOT IN ({shown})", (fetch.provider,))
    return db.total_changes() - before


def _record_gone(db: apsw.Connection, fetch: Fetch, now: int) -> int:
    """Record the rows of an archive that were not gathered. Return how many rows are gone in total.

    In a table with parents, only rows of the parents that were read can be gone.
    """
    table, parent = fetch.resource.table, fetch.resource.parent
    ours = 'main.sync_gone WHERE provider = ?1 AND "table" = ?2'
    read = f'AND {parent} IN (SELECT parent FROM gathered.parents WHERE provider = ?1 AND "table" = ?2)'
    db.execute(f"DELETE FROM {ours} AND key IN (SELECT key FROM gathered.{table})", (fetch.provider, table))
    db.execute(
        f"INSERT OR IGNORE INTO main.sync_gone SELECT ?1, ?2, key, ?3 FROM main.{table} "
        f"WHERE {_KEYS} AND key NOT IN (SELECT key FROM gathered.{table}) {read if parent else ''}",
        (fetch.provider, table, now),
    )
    count: int = db.execute(f"SELECT count(*) FROM {ours}", (fetch.provider, table)).get
    return count


def _delete_children(db: apsw.Connection, fetch: Fetch) -> int:
    """Delete rows that a parent's list no longer shows, and rows of parents that are gone. Return how many rows."""
    table, parent, before = fetch.resource.table, fetch.resource.parent, db.total_changes()
    known = 'main._sync_children WHERE "table" = ?1 AND provider = ?2'
    read = 'gathered.parents WHERE "table" = ?1 AND provider = ?2'
    if parent == "fine_tuning_job_id":
        gone = f"provider || '/' || parent NOT IN (SELECT key FROM main.{JOBS.table})"
    else:
        gone = f"parent NOT IN (SELECT {parent} FROM main.{CHECKPOINTS.table} WHERE provider = ?2)"
    db.execute(
        f"DELETE FROM main.{table} WHERE provider = ?2 AND ({parent} IN (SELECT parent FROM {known} AND {gone}) "
        f"OR ({parent} IN (SELECT parent FROM {read}) AND key NOT IN (SELECT key FROM gathered.{table})))",
        (table, fetch.provider),
    )
    deleted = db.total_changes() - before
    db.execute(f"DELETE FROM {known} AND {gone}", (table, fetch.provider))
    return deleted


def _record_parents(db: apsw.Connection, fetch: Fetch) -> None:
    """Record which parents were read, and when."""
    db.execute(
        'INSERT INTO main._sync_children SELECT * FROM gathered.parents WHERE "table" = ?1 AND provider = ?2 '
        "ON CONFLICT DO UPDATE SET finished = excluded.finished, read_at = excluded.read_at "
        "WHERE NOT (finished AND excluded.finished)",  # a finished parent is not read again, so its row stays
        (fetch.resource.table, fetch.provider),
    )
