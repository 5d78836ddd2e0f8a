"""A DB-API 2.0 (PEP 249) module on top of ``ftsql.connect``, for programs that use databases through that standard.

The package owns PEP 249's connection, cursor, types and error translation. It may import ``ftsql.connection`` and
everything below it. ``ftsql.sqlalchemy`` and users import it: ``connect``, the classes, the type objects and the
errors.

Connections are read-only by default. With ``read_only=False`` a transaction begins before the first statement that
writes, and ``commit`` sends its writes.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import apsw

from ftsql.connection import connect_with_default_store
from ftsql.dbapi.apsw_errors import translate_errors
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
threadsafety = 1  # threads may share the module, but not connections
paramstyle = "qmark"  # :name with a mapping works too

sqlite_version = apsw.sqlite_lib_version()
sqlite_version_info = tuple(map(int, sqlite_version.split(".")))


def connect(
    path: str | Path = MEMORY, *, read_only: bool = True, autocommit: bool = False, **options: Any
) -> Connection:
    """Open the SQLite file ``path`` with ftsql's tables and return a PEP 249 connection.

    read_only: Whether statements may only read. If it is False, they may write into your file, and create and cancel
        jobs.
    autocommit: Whether each statement is a transaction of its own.
    options: The options of ``ftsql.connect``. Without ``store`` and FTSQL_STORE, the cache and the write journal are in
        a file in the platform's data folder, which the command uses too. If that file cannot be used, a Warning says
        why, and memory is used. With ``sandbox``, memory is the default.

    Raises OperationalError if ``path`` cannot be opened or a read-only connection would have to create it,
    InterfaceError for an unknown option, and StoreError if the store that you named cannot be used.

    >>> connection = connect(sandbox=True)
    >>> connection.cursor().execute("SELECT count(*) > 0 FROM fine_tuning_jobs").fetchone()
    (1,)
    >>> connection.close()
    """

    def say(text: str) -> None:
        warnings.warn(f"{text}. Until then the journal of writes ends with the connection", Warning, stacklevel=4)

    missing = read_only and str(path) != MEMORY and not str(path).startswith("file:") and not os.path.exists(path)
    if missing:
        raise OperationalError(
            f"there is no file {path}, and a read-only connection creates none: pass read_only=False"
        )
    with translate_errors():
        opened = connect_with_default_store(path, say=say, make=True, read_only=read_only, **options)
    return Connection(opened, autocommit=autocommit)
