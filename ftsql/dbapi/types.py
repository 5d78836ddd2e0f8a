"""PEP 249's types: what may be bound to a parameter, and what a column's declared type stands for.

SQLite has integers, reals, texts, blobs and NULL; everything else becomes one of them here, or is refused.
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
    return Date(*time.localtime(ticks)[:3])


def TimeFromTicks(ticks: float) -> datetime.time:
    return Time(*time.localtime(ticks)[3:6])


def TimestampFromTicks(ticks: float) -> datetime.datetime:
    return Timestamp(*time.localtime(ticks)[:6])


class Kind:
    """A type object: equal to the declared types that have one of its words, as SQLite reads them."""

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
    """``parameters`` as SQLite takes them. Raises ProgrammingError for what is no sequence and no mapping."""
    if isinstance(parameters, Mapping):
        return {name: bound(value) for name, value in parameters.items()}
    if parameters is None:
        return ()
    if isinstance(parameters, (str, bytes)) or not hasattr(parameters, "__iter__"):
        raise ProgrammingError(
            f"parameters are a sequence or a mapping, not a {type(parameters).__name__}: for a single one (value,)"
        )
    return tuple(bound(value) for value in parameters)


def bound(value: Any) -> Any:
    """What SQLite gets for ``value``: what it has no type for and nobody knows here is left to the connection.

    A datetime is the text of its time in UTC, as the view ``jobs`` shows times (one without a zone is taken
    as it stands); ``created_at`` holds seconds, which ``int(value.timestamp())`` gives. A Decimal is a number.
    """
    for kind, convert in _CONVERSIONS:
        if isinstance(value, kind):
            return convert(value)
    if hasattr(value, "dtype") and hasattr(value, "item") and not getattr(value, "ndim", 0):
        return bound(value.item())  # a scalar of numpy, as data frames give them
    return value


def _moment(value: datetime.datetime) -> str | None:
    if value != value:  # pandas.NaT
        return None
    if value.tzinfo is not None:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    return value.isoformat(" ")


def _number(value: Decimal) -> int | float | None:
    if not value.is_finite():
        return None if value.is_nan() else float(value)
    return int(value) if value == value.to_integral_value() else float(value)


_CONVERSIONS: Sequence[tuple[type, Callable[[Any], Any]]] = (
    (bool, int),
    (datetime.datetime, _moment),  # which is a date too
    (datetime.date, datetime.date.isoformat),
    (datetime.time, datetime.time.isoformat),
    (Decimal, _number),
    (UUID, str),
)
