"""Translate APSW's errors to PEP 249's classes, with the same message and the original error as the cause.

ftsql's own errors already belong to those classes and pass through unchanged.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import apsw

from ftsql.errors import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)

# All other errors are outside the statement's control: busy, locked, full, interrupted, no such file …
CLASSES: dict[type[apsw.Error], type[Error]] = {
    apsw.ConstraintError: IntegrityError,
    apsw.SQLError: ProgrammingError,
    apsw.BindingsError: ProgrammingError,
    apsw.RangeError: ProgrammingError,
    apsw.MisuseError: ProgrammingError,
    apsw.AuthError: ProgrammingError,
    apsw.NotFoundError: ProgrammingError,
    apsw.ThreadingViolationError: ProgrammingError,
    apsw.ConnectionClosedError: ProgrammingError,
    apsw.CursorClosedError: ProgrammingError,
    apsw.IncompleteExecutionError: ProgrammingError,
    apsw.ExecutionCompleteError: ProgrammingError,
    apsw.InvalidContextError: ProgrammingError,
    apsw.MismatchError: DataError,
    apsw.TooBigError: DataError,
    apsw.CorruptError: DatabaseError,
    apsw.NotADBError: DatabaseError,
    apsw.FormatError: DatabaseError,
    apsw.InternalError: InternalError,
    apsw.NoLFSError: NotSupportedError,
    apsw.ExtensionLoadingError: NotSupportedError,
}


@contextlib.contextmanager
def translate_errors() -> Iterator[None]:
    """Raise PEP 249's error for each error of APSW that the block raises."""
    try:
        yield
    except Error:  # before apsw.Error, because ftsql's IntegrityError is an apsw.Error too
        raise
    except apsw.Error as error:
        raise CLASSES.get(type(error), OperationalError)(str(error)) from error
