"""The authorizer, which decides what a statement may do with the connection.

Triggers that a file contains may not write to ftsql's tables, and a read-only connection may not write at all.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import unquote

import apsw

from ftsql.errors import ProgrammingError
from ftsql.resources.definitions import JOBS, OTHERS
from ftsql.store.process_lock import MEMORY

Authorizer = Callable[[int, str | None, str | None, str | None, str | None], int]

WRITABLE = {JOBS.table, *(resource.table for resource in OTHERS if resource.deletes)}
LIVE = "live"  # the schema with ftsql's tables
TRIGGERS = "type = 'trigger'"  # conditions on sqlite_schema
VIRTUAL_TABLES = "type = 'table' AND rootpage = 0"
ANY_NAME = "*"  # a set with this member stands for any names, because the real ones are unknown
WRITES = (apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE)
VERBS = {apsw.SQLITE_INSERT: "insert", apsw.SQLITE_UPDATE: "update", apsw.SQLITE_DELETE: "delete"}
CHANGES = {
    *WRITES,
    apsw.SQLITE_ALTER_TABLE,
    apsw.SQLITE_ANALYZE,
    apsw.SQLITE_REINDEX,
    *(getattr(apsw, name) for name in dir(apsw) if name.startswith(("SQLITE_CREATE_", "SQLITE_DROP_"))),
}
# PRAGMAs that only return information, whatever their argument.
READING_PRAGMAS = frozenset(
    {
        "collation_list",
        "compile_options",
        "data_version",
        "database_list",
        "foreign_key_check",
        "foreign_key_list",
        "function_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "module_list",
        "pragma_list",
        "quick_check",
        "table_info",
        "table_list",
        "table_xinfo",
    }
)

# PRAGMAs that change something even without an argument.
WRITING_PRAGMAS = frozenset({"incremental_vacuum", "optimize", "wal_checkpoint"})


def install(connection: apsw.Connection, *, read_only: bool, trust_file: bool) -> Authorizer | None:
    """Install ftsql's authorizer. Return the connection's previous one, which is called after ftsql's own checks.

    SQLite calls an authorizer when it prepares a statement. If the statement is refused, preparing it raises
    ProgrammingError.
    """
    own: Authorizer | None = connection.authorizer
    connection.authorizer = Guard(connection, own, read_only=read_only, trust_file=trust_file)
    return own


class Action(NamedTuple):
    """What a statement would do, as SQLite reports it: a code of apsw's, and the names that it is about."""

    code: int
    first: str | None
    second: str | None
    schema: str | None


class Guard:
    """ftsql's authorizer. It keeps track of the triggers and virtual tables that files contain, by name."""

    def __init__(
        self, connection: apsw.Connection, own: Authorizer | None, *, read_only: bool, trust_file: bool
    ) -> None:
        self._connection: apsw.Connection = weakref.proxy(connection)  # the connection holds the authorizer
        self._own = own
        self._noted: list[Action] | None = None
        self._read_only = read_only
        self._trust_file = trust_file
        self._uri = connection.open_flags & apsw.SQLITE_OPEN_URI  # without this flag, file:x is an ordinary name
        self._temporary = _names(connection, "temp", TRIGGERS)
        self._in_files: set[str] = set()  # triggers in files; a TEMP trigger with the same name looks the same
        self._virtual: set[str] = set()  # virtual tables in files, which may be ftsql's
        # All triggers by schema. Among them are the triggers with which a snapshot refuses writes.
        self._refusing: dict[str, set[str]] = {}
        for _, name, _ in connection.execute("PRAGMA database_list").fetchall():
            if name != "temp":
                triggers = self._refusing[str(name)] = _names(connection, str(name), TRIGGERS)
                self._in_files |= triggers
                self._virtual |= _names(connection, str(name), VIRTUAL_TABLES) if name != LIVE else set()

    def __call__(
        self, code: int, first: str | None, second: str | None, schema: str | None, trigger: str | None
    ) -> int:
        if self._noted is not None:
            self._noted.append(Action(code, first, second, schema))
        # This check comes first, because even reading the schema of an attached file may create the file.
        if self._read_only and self._is_write(code, first, second):
            raise ProgrammingError("refused: the connection is read-only (read_only=True, --read-only)")
        self._follow(code, first)
        if code in WRITES:
            self._check_trigger(first, schema, trigger)
            self._check_snapshot(code, first, schema)
        if schema == LIVE and code == apsw.SQLITE_DROP_VTABLE:
            raise ProgrammingError(f"{first} is part of ftsql and cannot be dropped: close the connection instead")
        return apsw.SQLITE_OK if self._own is None else self._own(code, first, second, schema, trigger)

    @contextlib.contextmanager
    def noting(self) -> Iterator[list[Action]]:
        """Return the list of the actions of statements that are prepared in this block."""
        noted: list[Action] = []
        self._noted = noted
        try:
            yield noted
        finally:
            self._noted = None

    def _is_write(self, code: int, first: str | None, second: str | None) -> bool:
        """Whether an action changes a database or may create a file."""
        return _is_change(code, first, second) or (code == apsw.SQLITE_ATTACH and _creates_file(first, self._uri))

    def _follow(self, code: int, name: str | None) -> None:
        """Record the triggers and virtual tables that an action creates, drops or attaches."""
        if code == apsw.SQLITE_CREATE_TEMP_TRIGGER:
            self._temporary.add(str(name).lower())
        elif code == apsw.SQLITE_DROP_TEMP_TRIGGER:
            self._temporary.discard(str(name).lower())
        elif code == apsw.SQLITE_CREATE_TRIGGER:
            self._in_files.add(str(name).lower())
        elif code == apsw.SQLITE_CREATE_VTABLE:
            self._virtual.add(str(name).lower())
        elif code == apsw.SQLITE_ATTACH and not self._trust_file:
            self._in_files.update(_names_in_file(name, TRIGGERS, self._uri))
            self._virtual.update(_names_in_file(name, VIRTUAL_TABLES, self._uri))

    def _check_trigger(self, table: str | None, schema: str | None, trigger: str | None) -> None:
        """Raise ProgrammingError if a trigger stored in a file would write to one of ftsql's tables."""
        if self._trust_file or not self._may_be_in_file(trigger) or not self._is_ours(schema, table):
            return
        raise ProgrammingError(
            f"refused: the trigger {trigger} lives in the file and would write to {table}. If you trust the file, "
            "allow it: connect(trust_file=True), --trust-file"
        )

    def _may_be_in_file(self, trigger: str | None) -> bool:
        """Whether a file may contain ``trigger``. If it is None, no trigger runs."""
        if trigger is None:
            return False
        name = trigger.lower()
        return name not in self._temporary or name in self._in_files or ANY_NAME in self._in_files

    def _is_ours(self, schema: str | None, table: str | None) -> bool:
        """Whether a name means ftsql's table and not one of the user's, which may well be called ``files``.

        The columns would tell the two tables apart, but SQLite crashes if it is asked for the columns of a virtual
        table that was not used before.
        """
        if table not in WRITABLE:
            return False
        if schema is None or schema == LIVE or table == JOBS.table:
            return True
        # If the schema has no such table, ftsql's eponymous table is meant. A file may also contain a virtual table
        # of ftsql.
        exists = self._connection.table_exists(schema, table)
        return not exists or table in self._virtual or ANY_NAME in self._virtual

    def _check_snapshot(self, code: int, table: str | None, schema: str | None) -> None:
        """Raise ProgrammingError if the table belongs to a snapshot, even if its trigger would not run.

        The snapshot's own trigger refuses writes too, but it does not run if the statement matches no row.
        """
        if f"{table}_refuses_{VERBS[code]}".lower() not in self._refusing.get(schema or "", ()):
            return
        advice = f"write to live.{table}" if table in WRITABLE else "only ftsql sync writes to it"
        raise ProgrammingError(f"{schema}.{table} belongs to a snapshot: {advice}")


def _names(connection: apsw.Connection, schema: str, condition: str) -> set[str]:
    """Return the names in a schema that match ``condition``, in lower case, as SQLite compares them."""
    quoted = schema.replace('"', '""')
    sql = f'SELECT lower(name) FROM "{quoted}".sqlite_schema WHERE {condition}'
    return {name for (name,) in connection.execute(sql)}


def _names_in_file(path: str | None, condition: str, uri: int) -> set[str]:
    """Return the names in a file that is about to be attached, like ``_names``; ANY_NAME if they cannot be read."""
    if path is None:
        return {ANY_NAME}  # an expression, whose value is not known yet
    if path in ("", ":memory:"):
        return set()
    try:
        other = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY | uri)
    except apsw.CantOpenError:
        return set()  # a new file
    except apsw.Error:
        return {ANY_NAME}
    try:
        return _names(other, "main", condition)
    except apsw.Error:
        return {ANY_NAME}
    finally:
        other.close()


def _creates_file(path: str | None, uri: int) -> bool:
    """Whether ATTACH or VACUUM INTO may create the file ``path`` or fill an empty one.

    None stands for an expression whose value is not known, so the result is True.
    """
    if path is None:
        return True
    name, query = path, ""
    if uri and path.startswith("file:"):
        name, _, query = path[5:].partition("#")[0].partition("?")
        name = unquote(name)
    # If a URI has several modes, SQLite uses the last one, and after mode=memory it accepts any mode.
    if name in ("", MEMORY) or {*query.split("&")} - {"cache=shared", "cache=private"} == {"mode=memory"}:
        return False
    return not os.path.exists(name) or os.path.getsize(name) == 0


def _is_change(code: int, first: str | None, second: str | None) -> bool:
    """Whether an action changes a database. For a PRAGMA, ``first`` is the name and ``second`` the argument."""
    if code == apsw.SQLITE_PRAGMA:
        name = (first or "").lower()
        return name not in READING_PRAGMAS if second is not None else name in WRITING_PRAGMAS
    return code in CHANGES
