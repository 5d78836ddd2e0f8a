"""PEP 249's type objects and constructors, and the conversion of Python values that are bound to parameters.

SQLite has integers, reals, strings, blobs and NULL. Values of some other types are converted here. APSW and the
connection convert or refuse values of all remaining types.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from ftsql.errors import ProgrammingError

Date = datetime.date
Time = datetime.time
Timestamp = datetime.datetime
Binary = bytes


def DateFromTicks(ticks: float) -> datetime.date:
    """Return the local date of a Unix time.

    >>> DateFromTicks(1_790_000_000.0).year
    2026
    """
    return Date(*time.localtime(ticks)[:3])


def TimeFromTicks(ticks: float) -> datetime.time:
    """Return the local time of day of a Unix time, in whole seconds.

    >>> TimeFromTicks(1_790_000_000.5).second
    20
    """
    return Time(*time.localtime(ticks)[3:6])


def TimestampFromTicks(ticks: float) -> datetime.datetime:
    """Return the local date and time of a Unix time, in whole seconds and without a zone.

    >>> TimestampFromTicks(1_790_000_000.5).timestamp()
    1790000000.0
    """
    return Timestamp(*time.localtime(ticks)[:6])


class Kind:
    """A type object of PEP 249. It equals every declared type whose name contains one of its words.

    SQLite derives a column's affinity from the declared type in the same way.
    """

    def __init__(self, name: str, *words: str) -> None:
        self._name = name
        self._words = words

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return any(word in other.upper() for word in self._words)
        return self is other

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return self._name


STRING = Kind("STRING", "CHAR", "TEXT", "CLOB", "JSON")
BINARY = Kind("BINARY", "BLOB", "BINARY")
NUMBER = Kind("NUMBER", "INT", "REAL", "FLOA", "DOUB", "NUM", "DEC", "BOOL")
DATETIME = Kind("DATETIME", "DATE", "TIME")
ROWID = Kind("ROWID", "ROWID")


def bindings(parameters: Any) -> dict[str, Any] | tuple[Any, ...]:
    """Return ``parameters`` in APSW's form. Raises ProgrammingError if they are neither a sequence nor a mapping."""
    if isinstance(parameters, Mapping):
        return {name: to_sqlite(value) for name, value in parameters.items()}
    if parameters is None:
        return ()
    if isinstance(parameters, (str, bytes)) or not hasattr(parameters, "__iter__"):
        raise ProgrammingError(
            f"parameters are a sequence or a mapping, not a {type(parameters).__name__}: pass one value as (value,)"
        )
    return tuple(to_sqlite(value) for value in parameters)


def to_sqlite(value: Any) -> Any:
    """Convert ``value`` to a type that SQLite supports. A value of any other type is returned unchanged.

    A datetime becomes a string in UTC, in the format of the view ``jobs``. A datetime without a zone is not shifted.
    For ``created_at``, which holds Unix seconds, pass ``int(value.timestamp())``. A Decimal becomes a number.
    """
    for kind, convert in _CONVERSIONS:
        if isinstance(value, kind):
            return convert(value)
    if hasattr(value, "dtype") and hasattr(value, "item") and not getattr(value, "ndim", 0):
        return to_sqlite(value.item())  # a numpy scalar, for example from a data frame
    return value


def _datetime_text(value: datetime.datetime) -> str | None:
    if value != value:  # pandas.NaT
        return None
    if value.tzinfo is not None:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    return value.isoformat(" ")


def _decimal_number(value: Decimal) -> int | float | None:
    if not value.is_finite():
        return None if value.is_nan() else float(value)
    return int(value) if value == value.to_integral_value() else float(value)


_CONVERSIONS: Sequence[tuple[type, Callable[[Any], Any]]] = (
    (bool, int),
    (datetime.datetime, _datetime_text),  # before date, its base class
    (datetime.date, datetime.date.isoformat),
    (datetime.time, datetime.time.isoformat),
    (Decimal, _decimal_number),
    (UUID, str),
)
