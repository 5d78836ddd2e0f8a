"""APSW's errors as PEP 249's classes, with the message kept and the original as the cause.

ftsql's own errors are of those classes already and pass unchanged.
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

# What is not named here is outside the statement's control: busy, locked, full, interrupted, no such file …
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
def translated() -> Iterator[None]:
    """Inside it APSW's errors are PEP 249's."""
    try:
        yield
    except Error:  # first: our IntegrityError is APSW's too
        raise
    except apsw.Error as error:
        raise CLASSES.get(type(error), OperationalError)(str(error)) from error
