"""What a statement may do with the connection, decided by SQLite's authorizer.

Triggers that live in a file may not write to ftsql's tables, and a read-only connection writes nothing.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from urllib.parse import unquote

import apsw

from ftsql.errors import ProgrammingError
from ftsql.resources.definitions import JOBS, OTHERS
from ftsql.store.process_lock import MEMORY

Authorizer = Callable[[int, str | None, str | None, str | None, str | None], int]

OURS = {JOBS.table, *(resource.table for resource in OTHERS if resource.deletes)}
TRIGGERS = "type = 'trigger'"
LIVE = "live"  # the schema of our own tables
VIRTUAL = "type = 'table' AND rootpage = 0"
EVERY = "*"  # stands for names that are unknown
WRITES = (apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE)
VERBS = {apsw.SQLITE_INSERT: "insert", apsw.SQLITE_UPDATE: "update", apsw.SQLITE_DELETE: "delete"}
CHANGES = {
    *WRITES,
    apsw.SQLITE_ALTER_TABLE,
    apsw.SQLITE_ANALYZE,
    apsw.SQLITE_REINDEX,
    *(getattr(apsw, name) for name in dir(apsw) if name.startswith(("SQLITE_CREATE_", "SQLITE_DROP_"))),
}
# PRAGMAs that tell and change nothing, whatever their argument.
TELLING = frozenset(
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

# PRAGMAs that change something without an argument.
DOING = frozenset({"incremental_vacuum", "optimize", "wal_checkpoint"})


def install(connection: apsw.Connection, *, read_only: bool, trust_file: bool) -> Authorizer | None:
    """Put the guard before the connection's own authorizer, which keeps its say and is given back.

    A statement that it refuses raises ProgrammingError when it is prepared.
    """
    before: Authorizer | None = connection.authorizer
    weak = weakref.proxy(connection)  # which holds the guard
    uri = connection.open_flags & apsw.SQLITE_OPEN_URI  # else file:x is a name like any other
    temporary = _named(connection, "temp", TRIGGERS)
    # Names of triggers that live in files: a TEMP trigger of such a name is not told apart from them.
    filed: set[str] = set()
    virtual: set[str] = set()  # and of virtual tables, which may be ours
    refusing: dict[str, set[str]] = {}  # by schema: a statement that matches no row runs no trigger
    for _, name, _ in connection.execute("PRAGMA database_list").fetchall():
        if name != "temp":
            refusing[str(name)] = _named(connection, str(name), TRIGGERS)
            filed |= refusing[str(name)]
            virtual |= _named(connection, str(name), VIRTUAL) if name != LIVE else set()

    def guard(code: int, first: str | None, second: str | None, schema: str | None, inner: str | None) -> int:
        # First of all: even to look into a file may make it.
        if read_only and (_changes(code, first, second) or (code == apsw.SQLITE_ATTACH and _makes(first, uri))):
            raise ProgrammingError("refused: the connection is read-only (read_only=True, --read-only)")
        if code == apsw.SQLITE_CREATE_TEMP_TRIGGER:
            temporary.add(str(first).lower())
        elif code == apsw.SQLITE_DROP_TEMP_TRIGGER:
            temporary.discard(str(first).lower())
        elif code == apsw.SQLITE_CREATE_TRIGGER:
            filed.add(str(first).lower())
        elif code == apsw.SQLITE_CREATE_VTABLE and schema != LIVE:
            virtual.add(str(first).lower())
        elif code == apsw.SQLITE_ATTACH and not trust_file:
            filed.update(_attached(first, TRIGGERS, uri))
            virtual.update(_attached(first, VIRTUAL, uri))
        if (
            not trust_file
            and code in WRITES
            and _is_filed(inner, temporary, filed)
            and _is_ours(weak, schema, first, virtual)
        ):
            raise ProgrammingError(
                f"refused: the trigger {inner} lives in the file and would write to {first}. If you trust the "
                "file, say so: connect(trust_file=True), --trust-file"
            )
        if code in WRITES and f"{first}_refuses_{VERBS[code]}".lower() in refusing.get(schema or "", ()):
            words = f"write to live.{first}" if first in OURS else "only ftsql sync writes to it"
            raise ProgrammingError(f"{schema}.{first} is a snapshot's: {words}")
        if schema == LIVE and code == apsw.SQLITE_DROP_VTABLE:
            raise ProgrammingError(f"{first} is part of ftsql and cannot be dropped: close the connection instead")
        return apsw.SQLITE_OK if before is None else before(code, first, second, schema, inner)

    connection.authorizer = guard
    return before


def _is_ours(connection: apsw.Connection, schema: str | None, table: str | None, virtual: set[str]) -> bool:
    """Whether a name means ftsql's table, and not one of the user's own, for which ``files`` is a likely name.

    Not by its columns: SQLite crashes when asked for those of a virtual table that nobody has used yet.
    """
    if table not in OURS:
        return False
    if schema is None or schema == LIVE or table == JOBS.table:
        return True
    # Eponymous where no schema has it; and a file may hold a table of ours under its own name.
    return not connection.table_exists(schema, table) or table in virtual or EVERY in virtual


def _named(connection: apsw.Connection, schema: str, which: str) -> set[str]:
    """The names of a schema's triggers or virtual tables, in lower case as SQLite compares them."""
    quoted = schema.replace('"', '""')
    return {name for (name,) in connection.execute(f'SELECT lower(name) FROM "{quoted}".sqlite_schema WHERE {which}')}


def _attached(path: str | None, which: str, uri: int) -> set[str]:
    """The names of the triggers or virtual tables in a file about to be attached; EVERY where they cannot be read."""
    if path is None:
        return {EVERY}  # an expression, whose value is not known yet
    if path in ("", ":memory:"):
        return set()
    try:
        other = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY | uri)
    except apsw.CantOpenError:
        return set()  # a new file
    except apsw.Error:
        return {EVERY}
    try:
        return _named(other, "main", which)
    except apsw.Error:
        return {EVERY}
    finally:
        other.close()


def _makes(path: str | None, uri: int) -> bool:
    """Whether an ATTACH, or a VACUUM INTO, would make a file, or fill an empty one; an expression might."""
    if path is None:
        return True
    name, query = path, ""
    if uri and path.startswith("file:"):
        name, _, query = path[5:].partition("#")[0].partition("?")
        name = unquote(name)
    # Of several modes the last one counts, and after memory SQLite lets any follow.
    if name in ("", MEMORY) or {*query.split("&")} - {"cache=shared", "cache=private"} == {"mode=memory"}:
        return False
    return not os.path.exists(name) or os.path.getsize(name) == 0


def _is_filed(trigger: str | None, temporary: set[str], filed: set[str]) -> bool:
    """Whether a trigger may live in a file; None is no trigger."""
    if trigger is None:
        return False
    name = trigger.lower()
    return name not in temporary or name in filed or EVERY in filed


def _changes(code: int, first: str | None, second: str | None) -> bool:
    if code == apsw.SQLITE_PRAGMA:
        name = (first or "").lower()
        return name not in TELLING if second is not None else name in DOING
    return code in CHANGES
