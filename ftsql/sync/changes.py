"""What a look changes in a snapshot: the rows that are new, differ or are gone, and ``sync_state``.

It runs inside the snapshot's transaction, and writes nothing where another sync has written a newer look.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import apsw

from ftsql.resources.definitions import CHECKPOINTS, JOBS
from ftsql.resources.resource import Resource
from ftsql.sync import tables as layout


@dataclass(frozen=True, slots=True)
class Fetch:
    """What was asked of one provider for one table, since ``began``; ``error``: why that failed.

    ``complete``: nothing is left to read, as there is while jobs' events are read for the first time.
    """

    provider: str
    resource: Resource
    began: float
    error: str | None = None
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """What a look changed in the file. Where it failed: ``error``, and ``synced_at`` says how old the rows are.

    ``superseded``: another sync wrote a newer look meanwhile, and this one nothing.
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
    gone: int = 0  # rows of an archive that its provider shows no more
    complete: bool = True


def apply(db: apsw.Connection, fetch: Fetch) -> Change:
    """Bring one provider's rows of one table to what the look gathered."""
    table, now = fetch.resource.table, time.time()
    known: Any = db.execute(
        'SELECT max(synced_at), max(rows), max(looked_at) FROM main.sync_state WHERE provider = ? AND "table" = ?',
        (fetch.provider, table),
    ).fetchone()
    synced_at, rows, looked_at = known
    # One of the future was written before somebody set the clock back.
    if looked_at is not None and fetch.began < looked_at <= now:
        return Change(fetch.provider, table, rows=rows or 0, synced_at=synced_at, superseded=True)
    new = changed = deleted = gone = 0
    if fetch.error is None:
        new, changed = _upsert(db, fetch, int(now))
        keeps = layout.is_archive(db)
        if keeps:
            gone = _note_unseen(db, fetch, int(now))
        elif fetch.resource.parent:
            deleted = _delete_children(db, fetch)
        else:
            deleted = _delete_unseen(db, fetch)
        if fetch.resource.parent:
            _remember_parents(db, fetch)
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


# All keys of a provider, by their index: '0' comes after '/', which is in no provider's name.
_KEYS = "key > ?1 || '/' AND key < ?1 || '0'"


def _upsert(db: apsw.Connection, fetch: Fetch, now: int) -> tuple[int, int]:
    """Write the rows that are new or differ; gives how many of each."""
    table, names = fetch.resource.table, layout.names(fetch.resource)
    others = [column.name for column in layout.columns(fetch.resource) if column.name != "key"]
    new = db.execute(
        f"SELECT count(*) FROM gathered.{table} AS look WHERE provider = ? "
        f"AND NOT EXISTS (SELECT 1 FROM main.{table} AS old WHERE old.key = look.key)",
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


def _delete_unseen(db: apsw.Connection, fetch: Fetch) -> int:
    """Delete the provider's rows that the look did not show; gives how many."""
    table, before = fetch.resource.table, db.total_changes()
    shown = f"SELECT key FROM gathered.{table}"
    db.execute(f"DELETE FROM main.{table} WHERE {_KEYS} AND key NOT IN ({shown})", (fetch.provider,))
    return db.total_changes() - before


def _note_unseen(db: apsw.Connection, fetch: Fetch, now: int) -> int:
    """Note which rows of an archive the look did not show, of parents that it asked about; gives how many there are."""
    table, parent = fetch.resource.table, fetch.resource.parent
    ours = 'main.sync_gone WHERE provider = ?1 AND "table" = ?2'
    asked = f'AND {parent} IN (SELECT parent FROM gathered.parents WHERE provider = ?1 AND "table" = ?2)'
    db.execute(f"DELETE FROM {ours} AND key IN (SELECT key FROM gathered.{table})", (fetch.provider, table))
    db.execute(
        f"INSERT OR IGNORE INTO main.sync_gone SELECT ?1, ?2, key, ?3 FROM main.{table} "
        f"WHERE {_KEYS} AND key NOT IN (SELECT key FROM gathered.{table}) {asked if parent else ''}",
        (fetch.provider, table, now),
    )
    count: int = db.execute(f"SELECT count(*) FROM {ours}", (fetch.provider, table)).get
    return count


def _delete_children(db: apsw.Connection, fetch: Fetch) -> int:
    """Delete what the parents that were asked about no longer show, and what belongs to parents that are gone."""
    table, parent, before = fetch.resource.table, fetch.resource.parent, db.total_changes()
    known = 'main._sync_children WHERE "table" = ?1 AND provider = ?2'
    asked = 'gathered.parents WHERE "table" = ?1 AND provider = ?2'
    if parent == "fine_tuning_job_id":
        gone = f"provider || '/' || parent NOT IN (SELECT key FROM main.{JOBS.table})"
    else:
        gone = f"parent NOT IN (SELECT {parent} FROM main.{CHECKPOINTS.table} WHERE provider = ?2)"
    db.execute(
        f"DELETE FROM main.{table} WHERE provider = ?2 AND ({parent} IN (SELECT parent FROM {known} AND {gone}) "
        f"OR ({parent} IN (SELECT parent FROM {asked}) AND key NOT IN (SELECT key FROM gathered.{table})))",
        (table, fetch.provider),
    )
    deleted = db.total_changes() - before
    db.execute(f"DELETE FROM {known} AND {gone}", (table, fetch.provider))
    return deleted


def _remember_parents(db: apsw.Connection, fetch: Fetch) -> None:
    """Remember which parents were asked about, and when."""
    db.execute(
        'INSERT INTO main._sync_children SELECT * FROM gathered.parents WHERE "table" = ?1 AND provider = ?2 '
        "ON CONFLICT DO UPDATE SET finished = excluded.finished, read_at = excluded.read_at "
        "WHERE NOT (finished AND excluded.finished)",  # a finished one is not read again
        (fetch.resource.table, fetch.provider),
    )
