"""Errors as PostgreSQL's clients see them: a message and a SQLSTATE, five characters that name the kind of error.

Clients never see a traceback, and the messages of ftsql's errors contain no API key.
"""

from __future__ import annotations

import re
from typing import TypeVar

import apsw
from pg_mimic.messages import make_error_response

from ftsql.errors import (
    APIError,
    ConfigError,
    DatabaseError,
    DataError,
    Error,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)

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
TOO_DEEP = "the statement is nested too deeply: write a part of it as WITH"
KINDS: tuple[tuple[str, str, str], ...] = (  # a pattern for SQLite's message, the SQLSTATE, and PostgreSQL's message
    (r"no such table: (?:main\.|public\.)?(.+)", "42P01", 'relation "{}" does not exist'),
    (r"no such column: \"?(.+?)\"?(?: - should this be .*)?", "42703", 'column "{}" does not exist'),
    (r"no such function: (.+)", "42883", "function {} does not exist"),
    (r"unknown function: (.+?)\(\)", "42883", "function {} does not exist"),
    (r"wrong number of arguments to function (.+)", "42883", "function {} does not take so many arguments"),
    (r"ambiguous column name: (.+)", "42702", 'column reference "{}" is ambiguous'),
    (r"(.*misuse of aggregate.*|.*misuse of window.*)", "42803", "{}"),
    (r"(.*no such collation.*)", "42704", "{}"),
    (r"(.*(?:syntax error|incomplete input|unrecognized token).*)", "42601", "{}"),
    (r"(.*(?:too many|too large|too deep|too big|stack overflow|too long|too complex).*)", "54000", "{}"),
    (r"(.*(?:not authorized|prohibited).*)", "42501", "{}"),
)
CLASSES: tuple[tuple[type[BaseException], str], ...] = (
    (apsw.InterruptError, "57014"),
    (apsw.AuthError, "42501"),
    (apsw.ReadOnlyError, "25006"),
    (apsw.TooBigError, "54000"),
    (apsw.NoMemError, "53200"),
    (MemoryError, "53200"),
    (RecursionError, "54001"),
    (apsw.BusyError, "55P03"),
    (apsw.MismatchError, "22P02"),
    (apsw.CorruptError, "XX001"),
    (apsw.NotADBError, "XX001"),
    (apsw.SQLError, "42000"),
    (apsw.Error, "58030"),
    (APIError, "HV000"),
    (ConfigError, "F0000"),
    (NotSupportedError, "0A000"),
    (DataError, "22000"),
    (OperationalError, "58000"),
    (ProgrammingError, "42000"),
    (Error, "XX000"),
    (UnicodeError, "22021"),
    (OverflowError, "22003"),
    (ZeroDivisionError, "22012"),
    (ValueError, "22023"),
    (TypeError, "22023"),
)
WORDS = {"57014": "canceling statement due to user request", "53200": "out of memory", "54001": "statement too complex"}


def syntax(message: str, sqlstate: str = SYNTAX) -> ProgrammingError:
    """Return the error for a statement that is not valid in PostgreSQL, or names an object that does not exist."""
    return _with_state(ProgrammingError(message), sqlstate)


def unsupported(what: str, instead: str = "") -> NotSupportedError:
    """Return the error for an unsupported feature. ``instead`` says what to write instead."""
    message = f"{what} is not supported here" + (f": {instead}" if instead else "")
    return _with_state(NotSupportedError(message), UNSUPPORTED)


def writes(statement: str) -> ProgrammingError:
    """Return the error for a statement that writes or could write."""
    text = f"cannot execute {statement}: this server only reads. Write with ftsql's shell or from Python"
    return _with_state(ProgrammingError(text), READ_ONLY)


def data(message: str, sqlstate: str) -> DataError:
    """Return the error for a value that PostgreSQL would not accept either."""
    return _with_state(DataError(message), sqlstate)


def _with_state(error: E, sqlstate: str) -> E:
    error.sqlstate = sqlstate  # type: ignore[attr-defined]
    return error


class Failure(ProgrammingError):
    """An error with a SQLSTATE, a hint and a detail."""

    def __init__(self, sqlstate: str, message: str, *, hint: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.hint = hint
        self.detail = detail


def failure(error: BaseException) -> Failure:
    """Return ``error``, of any class, as the Failure that the client sees."""
    if isinstance(error, Failure):
        return error
    text = str(error).strip()
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str) and len(state) == 5:
        return Failure(state, text, hint=str(getattr(error, "hint", "")), detail=str(getattr(error, "detail", "")))
    if isinstance(error, apsw.SQLError):
        for pattern, kind, words in KINDS:
            if (match := re.fullmatch(pattern, text, re.DOTALL)) is not None:
                return Failure(kind, words.format(match[1]))
    found = next((code for cause, code in CLASSES if isinstance(error, cause)), "XX000")
    if found == "XX000" and not isinstance(error, Error):
        return Failure(found, f"internal error in ftsql: {type(error).__name__}")
    return Failure(found, WORDS.get(found) or text or type(error).__name__)


def message(error: BaseException, severity: str = "ERROR") -> bytes:
    """Return the ErrorResponse for an error."""
    shown = failure(error)
    fields = {"S": severity, "V": severity, "C": shown.sqlstate, "M": str(shown).replace("\0", "") or "error"}
    fields |= {key: value.replace("\0", "") for key, value in (("D", shown.detail), ("H", shown.hint)) if value}
    fields = {key: value.encode("utf-8", "replace").decode() for key, value in fields.items()}
    response: bytes = make_error_response(fields)
    return response
