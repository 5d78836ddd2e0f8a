"""The schema of a snapshot file: plain tables with the names and columns of the live tables, and their views.

The table ``_sync_schema`` records every object that sync created. If an object differs from its record, the object does
not count as sync's own, and sync never changes it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import Any

import apsw

from ftsql.data import read_text
from ftsql.errors import ProgrammingError
from ftsql.resources.definitions import CHECKPOINTS, EVENTS, FILES, JOBS, MODELS, PERMISSIONS, RESULTS, TABLES
from ftsql.resources.fields import Column
from ftsql.resources.resource import Resource

# The tables that can be synced. The jobs come first, because other tables are read job by job.
SYNCABLE = (JOBS, EVENTS, CHECKPOINTS, PERMISSIONS, FILES, MODELS, RESULTS)
DEFAULT_TABLES = ("jobs", "events", "checkpoints")
# The error messages of the triggers that refuse writes: for a table that also exists live, and for sync's own tables.
LIVE_TABLE_REFUSAL = "this is a snapshot: write to live.{} in ftsql; ftsql sync keeps it up to date"
OWN_TABLE_REFUSAL = "this is a snapshot: only ftsql sync writes to {}"
# The comments inside these statements are part of the schema. If one is changed, the next sync rebuilds the table.
RECORD_SQL = "CREATE TABLE _sync_schema (name TEXT PRIMARY KEY NOT NULL, sql TEXT NOT NULL)"
STATE_SQL = """\
CREATE TABLE sync_state (
  provider TEXT NOT NULL,
  "table" TEXT NOT NULL,
  synced_at INTEGER, -- Unix seconds: the rows are as the API had them then, or later
  tried_at INTEGER, -- when it was last tried
  rows INTEGER,
  error TEXT, -- why the last try failed
  looked_at REAL, -- synced_at to the fraction, by which two syncs on one file know whose look is newer
  PRIMARY KEY (provider, "table")
)"""
CHILDREN_SQL = """\
CREATE TABLE _sync_children (
  "table" TEXT NOT NULL,
  provider TEXT NOT NULL,
  parent TEXT NOT NULL, -- whose rows these are: a job, or a checkpoint
  finished INTEGER NOT NULL, -- whether a job had finished when its rows were last read: they never change again
  read_at INTEGER NOT NULL, -- when they were last read
  PRIMARY KEY ("table", provider, parent)
)"""
CONTENTS_SQL = """\
CREATE TABLE file_contents (
  provider TEXT NOT NULL,
  id TEXT NOT NULL,
  sha256 TEXT NOT NULL, -- of the content, in hexadecimal digits
  bytes INTEGER NOT NULL,
  content BLOB NOT NULL, -- as the API gave it: result files may be in base64
  PRIMARY KEY (provider, id)
)"""
MISSING_SQL = """\
CREATE TABLE sync_missing (
  provider TEXT NOT NULL,
  "table" TEXT NOT NULL,
  id TEXT NOT NULL,
  reason TEXT NOT NULL, -- why the archive lacks it, in the provider's words
  tried_at REAL NOT NULL, -- Unix seconds
  final INTEGER NOT NULL, -- 1: it is not asked for again
  PRIMARY KEY (provider, "table", id)
)"""
GONE_SQL = """\
CREATE TABLE sync_gone (
  provider TEXT NOT NULL,
  "table" TEXT NOT NULL,
  key TEXT NOT NULL, -- of a row that its provider shows no more, and that stays here
  since INTEGER NOT NULL, -- Unix seconds: when that was seen
  PRIMARY KEY (provider, "table", key)
)"""
INDEXED = {"created_at", "status", "id"}


def columns(resource: Resource) -> list[Column]:
    """Return the columns of a snapshot's table: first the columns that ``SELECT *`` shows, then the hidden ones."""
    shown = [column for column in resource.columns if not column.hidden]
    hidden = [column for column in resource.columns if column.hidden and column.name != "extra_body"]
    if resource is not JOBS:  # the first extra column is the argument of the table-valued function
        hidden.remove(resource.extra[0])
    return shown + hidden


def column_names(resource: Resource) -> str:
    """Return the names of ``columns``, separated by commas."""
    return ", ".join(column.name for column in columns(resource))


def column_definitions(resource: Resource) -> str:
    """Return the columns for CREATE TABLE, with the live table's types, so that comparisons have the same results."""
    return ",\n  ".join(
        f"{column.name} {column.type}{' PRIMARY KEY NOT NULL' if column.name == 'key' else ''}"
        for column in columns(resource)
    )


def create_schema(db: apsw.Connection, path: str, resources: Sequence[Resource], *, contents: bool = False) -> None:
    """Create missing objects, and rebuild objects that another version of ftsql created differently.

    The caller must have begun a transaction. Raises ProgrammingError, before any change, if an object that sync did not
    make has one of the names that sync uses.
    """
    check_schema(db, path, resources, contents=contents)
    db.execute(RECORD_SQL.replace("TABLE", "TABLE IF NOT EXISTS", 1))
    for name, sql in _expected_schema(resources, contents=contents).items():
        found = db.execute("SELECT sql FROM main.sqlite_schema WHERE name = ?", (name,)).get
        if found == sql:
            continue
        kind = sql.split()[1]
        if kind == "VIEW" and not _can_be_created(db, sql):
            continue
        if kind == "TABLE":
            _create_table(db, name, sql, rebuilt=found is not None)
        else:
            db.execute(f"DROP {kind} IF EXISTS main.{name}; {sql}")
        db.execute("INSERT OR REPLACE INTO main._sync_schema VALUES (?, ?)", (name, sql))


def check_schema(db: apsw.Connection, path: str, resources: Sequence[Resource], *, contents: bool = False) -> None:
    """Raise ProgrammingError if an object that sync did not make has one of the names that sync uses."""
    listed: Any = db.execute("SELECT type, name, sql FROM main.sqlite_schema").fetchall()
    found = {name.lower(): (kind, sql) for kind, name, sql in listed}
    ours: dict[str, str] = {}
    if found.get("_sync_schema") == ("table", RECORD_SQL):
        recorded: Any = db.execute("SELECT name, sql FROM main._sync_schema").fetchall()
        ours = dict(recorded)
    ours["_sync_schema"] = RECORD_SQL
    for name in ("_sync_schema", *_expected_schema(resources, contents=contents)):
        if name in found and found[name][1] != ours.get(name):
            kind, _ = found[name]
            raise ProgrammingError(
                f"{path} has a {kind} {name} that ftsql sync did not make, or that was changed since: choose "
                f"another file, or remove it (DROP {kind.upper()} {name})"
            )


def is_snapshot(db: apsw.Connection) -> bool:
    """Whether the main database is a snapshot."""
    return db.table_exists("main", "_sync_schema") and db.table_exists("main", "sync_state")


def is_archive(db: apsw.Connection) -> bool:
    """Whether the main database is an archive, which keeps rows and file contents that the provider deletes."""
    if not db.table_exists("main", "_sync_schema"):
        return False
    found = db.execute("SELECT 1 FROM main._sync_schema WHERE name = 'file_contents'").get
    return found is not None and db.table_exists("main", "file_contents")


def _expected_schema(resources: Sequence[Resource], *, contents: bool) -> dict[str, str]:
    """Return the CREATE statement of every object, by name. Each object comes after the objects that it depends on."""
    tables = {"_sync_children": CHILDREN_SQL, "sync_state": STATE_SQL}
    if contents:
        tables |= {"file_contents": CONTENTS_SQL, "sync_missing": MISSING_SQL, "sync_gone": GONE_SQL}
    others: dict[str, str] = {}
    for resource in resources:
        tables[resource.table] = (
            f"CREATE TABLE {resource.table} (\n  {column_definitions(resource)},\n  _synced_at INTEGER\n)"
        )
        for column in sorted((INDEXED | {resource.parent}) & {column.name for column in resource.columns}):
            name = f"{resource.table}_by_{column}"
            others[name] = f"CREATE INDEX {name} ON {resource.table} ({column})"
    for table in ("_sync_schema", *tables):
        for verb in ("INSERT", "UPDATE", "DELETE"):
            name = f"{table}_refuses_{verb.lower()}"
            message = (LIVE_TABLE_REFUSAL if table in TABLES else OWN_TABLE_REFUSAL).format(table)
            others[name] = f"CREATE TRIGGER {name} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{message}'); END"
    views = read_text("views.sql")
    for sql in re.findall(r"^CREATE VIEW .*?(?=;$)", views, re.MULTILINE | re.DOTALL):
        others[sql.split()[2]] = sql
    return {**tables, **others}


def _create_table(db: apsw.Connection, name: str, sql: str, *, rebuilt: bool) -> None:
    """Create a table. A rebuilt table keeps its rows, which the next round brings up to date."""
    if not rebuilt:
        db.execute(sql)
        return
    listed = "SELECT name FROM pragma_table_info(?, 'main')"
    before = [column for (column,) in db.execute(listed, (name,)).fetchall()]
    users_objects: Any = db.execute(
        "SELECT sql FROM main.sqlite_schema WHERE tbl_name = ? AND type IN ('index', 'trigger') AND sql IS NOT NULL "
        "AND name NOT IN (SELECT name FROM main._sync_schema)",
        (name,),
    ).fetchall()
    db.execute(f"CREATE TEMP TABLE kept AS SELECT * FROM main.{name}; DROP TABLE main.{name}; {sql}")
    after = [column for (column,) in db.execute(listed, (name,)).fetchall()]
    both = ", ".join(f'"{column}"' for column in after if column in before)
    db.execute(f"INSERT OR IGNORE INTO main.{name} ({both}) SELECT {both} FROM temp.kept; DROP TABLE temp.kept")
    # The rows of finished jobs lack the new columns. Without this statement, a round would not read these rows again.
    db.execute('DELETE FROM main._sync_children WHERE "table" = ?', (name,))
    for (statement,) in users_objects:
        with contextlib.suppress(apsw.SQLError):  # raised if the object uses a column that was removed
            db.execute(statement)


def _can_be_created(db: apsw.Connection, view: str) -> bool:
    """Whether the file has all tables that the view reads. A snapshot may have only some of the tables."""
    query = re.sub(r"^CREATE VIEW \w+ AS\b", "", view)
    try:
        db.execute(f"SELECT * FROM ({query}) LIMIT 0")
    except apsw.SQLError:
        return False
    return True


def short_name(table: str) -> str:
    """Return the short name of a table: jobs, events, checkpoints, …"""
    return table.removeprefix("fine_tuning_").removeprefix("job_").removeprefix("checkpoint_")
