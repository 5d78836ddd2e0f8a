"""Limits: the numbers that keep one client from taking what belongs to all, and the connection's own.

Times are seconds, sizes bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import apsw

SQLITE = {
    apsw.SQLITE_LIMIT_LENGTH: 16 * 2**20,  # a text, a BLOB, a row
    apsw.SQLITE_LIMIT_SQL_LENGTH: 2 * 2**20,
    apsw.SQLITE_LIMIT_EXPR_DEPTH: 500,
    apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,
    apsw.SQLITE_LIMIT_WORKER_THREADS: 0,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """``statement``: how long a statement may run, ``login``: how long a client may take to log in, ``stall``:
    how long it may leave what it asked for unread, ``rows``: what a statement may give, ``text``: how long SQL may
    be, ``message``: the longest message, ``prepared`` and ``portals``: how many a session may hold.
    """

    statement: float = 300.0
    login: float = 10.0
    stall: float = 60.0
    connections: int = 100
    rows: int = 1_000_000
    text: int = 256 * 2**10
    message: int = 16 * 2**20
    startup: int = 10_000
    prepared: int = 1000
    portals: int = 20
    memory: int = 1024 * 2**20  # of SQLite in the whole process


def harden(connection: apsw.Connection) -> None:
    """Set the connection's own limits and switches."""
    for limit, value in SQLITE.items():
        connection.limit(limit, value)
    connection.limit(apsw.SQLITE_LIMIT_ATTACHED, len(connection.pragma("database_list")) + 2)
    # A column that is misspelled is an error and no text.
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0)
    connection.pragma("temp_store", 2)  # a sort that is large stays in memory, which is limited, and off the disk
