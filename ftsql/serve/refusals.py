"""Refusals: what is said, with PostgreSQL's error code, to a statement that is not run.

Every text says what to write instead, or where.
"""

from __future__ import annotations

from typing import TypeVar

from ftsql.errors import DatabaseError, DataError, NotSupportedError, ProgrammingError

E = TypeVar("E", bound=DatabaseError)

SYNTAX = "42601"
UNSUPPORTED = "0A000"
READ_ONLY = "25006"
TOO_COMPLEX = "54001"
UNDEFINED_TABLE = "42P01"
INVALID_TEXT = "22P02"
INVALID_DATE = "22007"
OUT_OF_RANGE = "22003"
INVALID_PARAMETER = "22023"
INVALID_PATTERN = "2201B"
ZERO_DIVISION = "22012"


def syntax(message: str, sqlstate: str = SYNTAX) -> ProgrammingError:
    """The text is not PostgreSQL's SQL, or names what does not exist."""
    return _with(ProgrammingError(message), sqlstate)


def unsupported(what: str, instead: str = "") -> NotSupportedError:
    """``what`` does not run here; ``instead`` is what does."""
    return _with(NotSupportedError(f"{what} is not supported here" + (f": {instead}" if instead else "")), UNSUPPORTED)


def writes(what: str) -> ProgrammingError:
    """The statement writes, or may."""
    text = f"cannot execute {what}: this server only reads. Write with ftsql's shell or from Python"
    return _with(ProgrammingError(text), READ_ONLY)


def data(message: str, sqlstate: str) -> DataError:
    """A value that PostgreSQL would not take either."""
    return _with(DataError(message), sqlstate)


def _with(error: E, sqlstate: str) -> E:
    error.sqlstate = sqlstate  # type: ignore[attr-defined]
    return error
