"""Permission: what SQL that a client sent may do, decided by SQLite's authorizer.

It reads, and nothing else; what ftsql itself does to the connection stands inside ``lifted``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import apsw

from ftsql.serve.errors import Failure
from ftsql.sqlite.authorizer import WRITES

READS = frozenset({apsw.SQLITE_SELECT, apsw.SQLITE_READ, apsw.SQLITE_RECURSIVE})
# What would reach out of the database, or hands SQLite's inside out.
FORBIDDEN = frozenset(
    {"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "lsdir", "fsdir", "sqlite_log", "wait_job"}
)
READ_ONLY = "cannot write: ftsql serve is read-only"


class Permission:
    """A connection's authorizer, in the place of any other."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._lifted = False
        connection.authorizer = self

    def __call__(self, code: int, first: str | None, second: str | None, schema: str | None, inner: str | None) -> int:
        if self._lifted or code in READS:
            return apsw.SQLITE_OK
        if code == apsw.SQLITE_FUNCTION:
            return apsw.SQLITE_DENY if (second or "").lower() in FORBIDDEN else apsw.SQLITE_OK
        if code in WRITES:
            raise Failure("25006", READ_ONLY)
        what = apsw.mapping_authorizer_function.get(code, "SQLITE_STATEMENT")
        raise Failure("42501", f"{str(what).removeprefix('SQLITE_').replace('_', ' ')} is not allowed in ftsql serve")

    @contextlib.contextmanager
    def lifted(self) -> Iterator[None]:
        """For ftsql's own statements."""
        self._lifted = True
        try:
            yield
        finally:
            self._lifted = False
