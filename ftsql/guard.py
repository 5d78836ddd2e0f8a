"""What a statement may do with the connection, decided by SQLite's authorizer.

Triggers that live in a file may not write to ftsql's tables, and a read-only connection writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import apsw

from ftsql.resources import JOBS

Authorizer = Callable[[int, str | None, str | None, str | None, str | None], int]

OURS = {JOBS.table}
WRITES = (apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE)
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


def install(connection: apsw.Connection, *, read_only: bool, trust_file: bool) -> None:
    """Put the guard before the connection's own authorizer, which keeps its say."""
    before: Authorizer | None = connection.authorizer
    if trust_file and not read_only:
        return
    query = "SELECT name FROM temp.sqlite_schema WHERE type = 'trigger'"
    temporary = {name for (name,) in connection.execute(query)}

    def guard(code: int, first: str | None, second: str | None, schema: str | None, inner: str | None) -> int:
        if code == apsw.SQLITE_CREATE_TEMP_TRIGGER and first is not None:
            temporary.add(first)
        if not trust_file and code in WRITES and first in OURS and inner is not None and inner not in temporary:
            return apsw.SQLITE_DENY
        if read_only and _changes(code, first, second):
            return apsw.SQLITE_DENY
        return apsw.SQLITE_OK if before is None else before(code, first, second, schema, inner)

    connection.authorizer = guard


def _changes(code: int, first: str | None, second: str | None) -> bool:
    if code == apsw.SQLITE_PRAGMA:
        return second is not None and (first or "").lower() not in TELLING
    return code in CHANGES
