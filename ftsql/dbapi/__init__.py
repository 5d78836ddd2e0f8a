"""DB-API 2.0 (PEP 249): ``connect`` and its connections, for programs that know databases by it.

Read-only unless asked; then a transaction begins before the first statement that writes, and ``commit`` sends.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import apsw

from ftsql.connection import connect_with_default_store
from ftsql.dbapi.apsw_errors import translated
from ftsql.dbapi.connection import Connection
from ftsql.dbapi.cursor import Cursor
from ftsql.dbapi.types import (
    BINARY,
    DATETIME,
    NUMBER,
    ROWID,
    STRING,
    Binary,
    Date,
    DateFromTicks,
    Time,
    TimeFromTicks,
    Timestamp,
    TimestampFromTicks,
)
from ftsql.errors import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,
)
from ftsql.store.process_lock import MEMORY

__all__ = [
    "BINARY",
    "DATETIME",
    "NUMBER",
    "ROWID",
    "STRING",
    "Binary",
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "Warning",
    "apilevel",
    "connect",
    "paramstyle",
    "threadsafety",
]

apilevel = "2.0"
threadsafety = 1  # threads may share the module, and take a connection each
paramstyle = "qmark"  # a mapping is taken for :name too

sqlite_version = apsw.sqlite_lib_version()
sqlite_version_info = tuple(map(int, sqlite_version.split(".")))


def connect(
    path: str | Path = MEMORY, *, read_only: bool = True, autocommit: bool = False, **options: Any
) -> Connection:
    """A connection to the SQLite file ``path`` with ftsql's tables; ``options`` are those of ``ftsql.connect``.

    What is known of jobs and the record of writes are kept in the platform's file that the command uses too,
    unless ``store`` or FTSQL_STORE names another or ``sandbox`` is on; where it cannot be used, a Warning says
    so and memory does. ``read_only=False`` lets statements write into your file and create and cancel jobs.
    """

    def say(text: str) -> None:
        warnings.warn(f"{text}. Until then the record of writes ends with the connection", Warning, stacklevel=4)

    missing = read_only and str(path) != MEMORY and not str(path).startswith("file:") and not os.path.exists(path)
    if missing:
        raise OperationalError(f"there is no file {path}, and a read-only connection makes none: read_only=False")
    with translated():
        opened = connect_with_default_store(path, say=say, make=True, read_only=read_only, **options)
    return Connection(opened, autocommit=autocommit)
