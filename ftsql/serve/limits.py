"""Limits on clients and on SQLite, so that one client cannot use up what all clients share.

Times are in seconds, and sizes in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import apsw

SQLITE = {
    apsw.SQLITE_LIMIT_LENGTH: 16 * 2**20,  # of a string, a BLOB or a row
    apsw.SQLITE_LIMIT_SQL_LENGTH: 2 * 2**20,
    apsw.SQLITE_LIMIT_EXPR_DEPTH: 500,
    apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,
    apsw.SQLITE_LIMIT_WORKER_THREADS: 0,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a server.

    ``statement`` limits the time of a statement, and ``login`` the time until a client has logged in. ``stall`` limits
    the time in which a client must read its response or send the rest of a message. ``rows`` limits how many rows a
    statement may return, and ``text`` the length of its SQL. ``message`` limits the size of a message after the login,
    and ``startup`` before the login. ``prepared`` and ``portals`` limit how many prepared statements and portals a
    session may hold.
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
    memory: int = 1024 * 2**20  # the memory that SQLite may use in the whole process


def harden(connection: apsw.Connection) -> None:
    """Set the limits and switches of a connection."""
    for limit, value in SQLITE.items():
        connection.limit(limit, value)
    connection.limit(apsw.SQLITE_LIMIT_ATTACHED, len(connection.pragma("database_list")) + 2)
    # With DQS_DML switched on, SQLite would take a misspelled column in double quotes for a string.
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0)
    connection.pragma("temp_store", 2)  # a large sort uses memory, which has a limit, and not the disk
