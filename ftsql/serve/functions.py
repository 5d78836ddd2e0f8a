"""PostgreSQL's functions as SQLite's: a stand-in with the few that clients call first."""

from __future__ import annotations

import apsw


def register(connection: apsw.Connection) -> None:
    """Add them to the connection."""
    connection.create_scalar_function("version", lambda *_: "PostgreSQL 15.0 (ftsql)", 0)
    connection.create_scalar_function("current_database", lambda *_: "ftsql", 0)
    connection.create_scalar_function("current_schema", lambda *_: "public", 0)
    connection.create_scalar_function("pg_table_is_visible", lambda *_: 1, 1)
