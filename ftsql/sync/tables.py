"""What stands in a snapshot file: plain tables of the live tables' names and columns, and their views.

What sync makes it writes down in ``_sync_schema``; what is not there word for word is somebody else's.
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

# What can be synced: the jobs first, then what is read job by job.
RESOURCES = (JOBS, EVENTS, CHECKPOINTS, PERMISSIONS, FILES, MODELS, RESULTS)
USUAL = ("jobs", "events", "checkpoints")
# What the triggers say, of a table that is a live one too, and of another.
MESSAGE = "this is a snapshot: write to live.{} in ftsql; ftsql sync keeps it up to date"
OWN = "this is a snapshot: {} is ftsql sync''s own, and only it writes there"
RECORD = "CREATE TABLE _sync_schema (name TEXT PRIMARY KEY NOT NULL, sql TEXT NOT NULL)"
STATE = """\
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
CHILDREN = """\
CREATE TABLE _sync_children (
  "table" TEXT NOT NULL,
  provider TEXT NOT NULL,
  parent TEXT NOT NULL, -- whose rows these are: a job, or a checkpoint
  finished INTEGER NOT NULL, -- whether a job had finished when its rows were last read: they never change again
  read_at INTEGER NOT NULL, -- when they were last read
  PRIMARY KEY ("table", provider, parent)
)"""
CONTENTS = """\
CREATE TABLE file_contents (
  provider TEXT NOT NULL,
  id TEXT NOT NULL,
  sha256 TEXT NOT NULL, -- of the content, in hexadecimal digits
  bytes INTEGER NOT NULL,
  content BLOB NOT NULL, -- as the API gave it: result files may be in base64
  PRIMARY KEY (provider, id)
)"""
MISSING = """\
CREATE TABLE sync_missing (
  provider TEXT NOT NULL,
  "table" TEXT NOT NULL,
  id TEXT NOT NULL,
  reason TEXT NOT NULL, -- why the archive lacks it, in the provider's words
  tried_at REAL NOT NULL, -- Unix seconds
  final INTEGER NOT NULL, -- 1: it is not asked for again
  PRIMARY KEY (provider, "table", id)
)"""
GONE = """\
CREATE TABLE sync_gone (
  provider TEXT NOT NULL,
  "table" TEXT NOT NULL,
  key TEXT NOT NULL, -- of a row that its provider shows no more, and that stays here
  since INTEGER NOT NULL, -- Unix seconds: when that was seen
  PRIMARY KEY (provider, "table", key)
)"""


INDEXED = {"created_at", "status", "id"}


def columns(resource: Resource) -> list[Column]:
    """What a snapshot keeps of a live table: what ``SELECT *`` shows, then the hidden rest."""
    shown = [column for column in resource.columns if not column.hidden]
    hidden = [column for column in resource.columns if column.hidden and column.name != "extra_body"]
    if resource is not JOBS:  # a table-valued function's argument
        hidden.remove(resource.extra[0])
    return shown + hidden


def names(resource: Resource) -> str:
    return ", ".join(column.name for column in columns(resource))


def declared(resource: Resource) -> str:
    """The columns as CREATE TABLE takes them: of the live table's types, so that values compare alike."""
    return ",\n  ".join(
        f"{column.name} {column.type}{' PRIMARY KEY NOT NULL' if column.name == 'key' else ''}"
        for column in columns(resource)
    )


def make(db: apsw.Connection, path: str, resources: Sequence[Resource], *, contents: bool = False) -> None:
    """Make what is missing and rebuild what another version of ftsql made otherwise; in a transaction.

    Raises ProgrammingError, before it changes anything, where something else stands at one of the names.
    """
    check(db, path, resources, contents=contents)
    db.execute(RECORD.replace("TABLE", "TABLE IF NOT EXISTS", 1))
    for name, sql in _wanted(resources, contents=contents).items():
        found = db.execute("SELECT sql FROM main.sqlite_schema WHERE name = ?", (name,)).get
        if found == sql:
            continue
        kind = sql.split()[1]
        if kind == "VIEW" and not _works(db, sql):
            continue
        if kind == "TABLE":
            _make_table(db, name, sql, rebuilt=found is not None)
        else:
            db.execute(f"DROP {kind} IF EXISTS main.{name}; {sql}")
        db.execute("INSERT OR REPLACE INTO main._sync_schema VALUES (?, ?)", (name, sql))


def check(db: apsw.Connection, path: str, resources: Sequence[Resource], *, contents: bool = False) -> None:
    """Raises ProgrammingError where something that sync did not make stands at one of its names."""
    listed: Any = db.execute("SELECT type, name, sql FROM main.sqlite_schema").fetchall()
    found = {name.lower(): (kind, sql) for kind, name, sql in listed}
    ours: dict[str, str] = {}
    if found.get("_sync_schema") == ("table", RECORD):
        recorded: Any = db.execute("SELECT name, sql FROM main._sync_schema").fetchall()
        ours = dict(recorded)
    ours["_sync_schema"] = RECORD
    for name in ("_sync_schema", *_wanted(resources, contents=contents)):
        if name in found and found[name][1] != ours.get(name):
            kind, _ = found[name]
            raise ProgrammingError(
                f"{path} has a {kind} {name} that ftsql sync did not make, or that was changed since: name another "
                f"file, or take it away (DROP {kind.upper()} {name})"
            )


def is_snapshot(db: apsw.Connection) -> bool:
    """Whether the main database has the jobs' table as sync made it."""
    return db.table_exists("main", "_sync_schema") and db.table_exists("main", "sync_state")


def is_archive(db: apsw.Connection) -> bool:
    """Whether it keeps what its provider deletes."""
    if not db.table_exists("main", "_sync_schema"):
        return False
    found = db.execute("SELECT 1 FROM main._sync_schema WHERE name = 'file_contents'").get
    return found is not None and db.table_exists("main", "file_contents")


def _wanted(resources: Sequence[Resource], *, contents: bool) -> dict[str, str]:
    """Every object by name, each after what it stands on."""
    tables = {"_sync_children": CHILDREN, "sync_state": STATE}
    if contents:
        tables |= {"file_contents": CONTENTS, "sync_missing": MISSING, "sync_gone": GONE}
    others: dict[str, str] = {}
    for resource in resources:
        tables[resource.table] = f"CREATE TABLE {resource.table} (\n  {declared(resource)},\n  _synced_at INTEGER\n)"
        for column in sorted((INDEXED | {resource.parent}) & {column.name for column in resource.columns}):
            name = f"{resource.table}_by_{column}"
            others[name] = f"CREATE INDEX {name} ON {resource.table} ({column})"
    for table in ("_sync_schema", *tables):
        for verb in ("INSERT", "UPDATE", "DELETE"):
            name = f"{table}_refuses_{verb.lower()}"
            message = (MESSAGE if table in TABLES else OWN).format(table)
            others[name] = f"CREATE TRIGGER {name} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{message}'); END"
    views = read_text("views.sql")
    for sql in re.findall(r"^CREATE VIEW .*?(?=;$)", views, re.MULTILINE | re.DOTALL):
        others[sql.split()[2]] = sql
    return {**tables, **others}


def _make_table(db: apsw.Connection, name: str, sql: str, *, rebuilt: bool) -> None:
    """Make a table. One that another version made keeps its rows, which the next look brings up to date."""
    if not rebuilt:
        db.execute(sql)
        return
    listed = "SELECT name FROM pragma_table_info(?, 'main')"
    before = [column for (column,) in db.execute(listed, (name,)).fetchall()]
    users: Any = db.execute(
        "SELECT sql FROM main.sqlite_schema WHERE tbl_name = ? AND type IN ('index', 'trigger') AND sql IS NOT NULL "
        "AND name NOT IN (SELECT name FROM main._sync_schema)",
        (name,),
    ).fetchall()
    db.execute(f"CREATE TEMP TABLE kept AS SELECT * FROM main.{name}; DROP TABLE main.{name}; {sql}")
    after = [column for (column,) in db.execute(listed, (name,)).fetchall()]
    both = ", ".join(f'"{column}"' for column in after if column in before)
    db.execute(f"INSERT OR IGNORE INTO main.{name} ({both}) SELECT {both} FROM temp.kept; DROP TABLE temp.kept")
    # Rows of finished jobs are not read again by themselves, and lack what is new.
    db.execute('DELETE FROM main._sync_children WHERE "table" = ?', (name,))
    for (statement,) in users:
        with contextlib.suppress(apsw.SQLError):  # on a column that is no more
            db.execute(statement)


def _works(db: apsw.Connection, view: str) -> bool:
    """Whether all that a view would stand on is in the file, which may have some of the tables only."""
    query = re.sub(r"^CREATE VIEW \w+ AS\b", "", view)
    try:
        db.execute(f"SELECT * FROM ({query}) LIMIT 0")
    except apsw.SQLError:
        return False
    return True


def short(table: str) -> str:
    """What people call a table: jobs, events, checkpoints."""
    return table.removeprefix("fine_tuning_").removeprefix("job_").removeprefix("checkpoint_")
