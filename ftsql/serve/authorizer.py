"""The SQLite authorizer for clients' SQL, which allows reading and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import apsw

from ftsql.serve.errors import Failure
from ftsql.sqlite.authorizer import WRITES

READS = frozenset({apsw.SQLITE_SELECT, apsw.SQLITE_READ, apsw.SQLITE_RECURSIVE})
# Functions that reach outside the database, expose SQLite's internals, or wait.
FORBIDDEN = frozenset(
    {"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "lsdir", "fsdir", "sqlite_log", "wait_job"}
)
READ_ONLY = "cannot write: ftsql serve is read-only"


class ReadOnlyAuthorizer:
    """The authorizer of a connection. It replaces the connection's previous authorizer."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._suspended = False
        connection.authorizer = self

    def __call__(self, code: int, first: str | None, second: str | None, schema: str | None, inner: str | None) -> int:
        if self._suspended or code in READS:
            return apsw.SQLITE_OK
        if code == apsw.SQLITE_FUNCTION:
            return apsw.SQLITE_DENY if (second or "").lower() in FORBIDDEN else apsw.SQLITE_OK
        if code in WRITES:
            raise Failure("25006", READ_ONLY)
        action = str(apsw.mapping_authorizer_function.get(code, "SQLITE_STATEMENT"))
        raise Failure("42501", f"{action.removeprefix('SQLITE_').replace('_', ' ')} is not allowed in ftsql serve")

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """Allow everything inside the ``with`` block, for ftsql's own statements."""
        self._suspended = True
        try:
            yield
        finally:
            self._suspended = False
