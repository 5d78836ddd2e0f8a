"""Fields of the models: the column of a field, and the rule by which validation.py validates its values."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

# A string that SQLite converts to a number.
NUMERIC = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
INTEGER = re.compile(r"\s*[+-]?\d{1,4000}\s*", re.ASCII)
BASIC_DATE = re.compile(r"(19|20)\d\d[01]\d[0-3]\d")  # ISO 8601 without dashes
FIRST_TIME = 1_000_000_000  # in the year 2001: an earlier value in a unit below seconds is not a time
END_OF_TIME = 7_258_118_400  # the year 2200: this and later values are not times
MAX_INTEGER = 2**63 - 1  # SQLite's largest integer


def _seconds(value: object) -> object:
    """Return Unix seconds for a number of seconds, milli-, micro- or nanoseconds, or for a time in ISO 8601.

    Return None for the values with which servers say that a time is not set: 0, -1, an empty string, the year 1.
    Raises ValueError if ``value`` is not a time.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str) and (not NUMERIC.fullmatch(value) or BASIC_DATE.fullmatch(value)):
        moment = datetime.datetime.fromisoformat(value.strip())
        seconds: float = int((moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp())
    else:
        seconds = _in_seconds(float(value) if isinstance(value, str) else value)
    if seconds != seconds or seconds <= 0:
        return None
    if seconds >= END_OF_TIME:
        raise ValueError("is not a time: out of range")
    return int(seconds) or None


def _in_seconds(value: object) -> float:
    """Return a number as seconds. Its size tells its unit. Raises ValueError if ``value`` is not a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("should be Unix seconds or an ISO 8601 time")
    for unit in (10**9, 10**6, 10**3):
        if FIRST_TIME * unit <= value < END_OF_TIME * unit:  # a value between the ranges is not a time
            return value // unit
    return value


def _integer(value: object) -> object:
    """Return an integer that SQLite can store, or None for an unset value. Raises ValueError for any other value."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("should be an integer")
    if not -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
        raise ValueError("is out of range")
    return value


def _metric(value: object) -> object:
    """Return the value of a metric as a float, or None for -1, with which Azure says that there is no value."""
    return None if value == -1 else _real(value)


def _real(value: object) -> object:
    """Return a finite number as a float, or None for any other value."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _whole(value: object) -> object:
    """Return an integer that SQLite can store, or None for any other value."""
    number = _real(value)
    if not isinstance(number, float) or not number.is_integer() or abs(number) >= 2**63:
        return None
    return value if isinstance(value, int) else int(number)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    type: The declared SQL type.
    description: What the column means.
    hidden: Whether ``SELECT *`` leaves it out.
    time: Whether the column's values are Unix seconds.
    """

    type: Literal["TEXT", "INTEGER", "REAL", "JSON"]
    description: str
    name: str = ""
    hidden: bool = False
    time: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """How a field is validated in addition to its type.

    before: A function that converts the value before it is validated.
    valid_up_to: Integers from 1 to this number are valid as they are and skip ``before``. Most values are such
        integers, so skipping ``before`` saves time.
    not_empty: Whether an empty string is invalid.
    names: The names that servers use for the field.
    """

    before: Callable[[object], object] | None = None
    valid_up_to: int | None = None
    not_empty: bool = False
    names: tuple[str, ...] = ()

    @property
    def is_time(self) -> bool:
        return self.before is _seconds


Time = Annotated[int | None, Rule(before=_seconds, valid_up_to=END_OF_TIME - 1)]
Metric = Annotated[float | None, Rule(before=_metric)]
Whole = Annotated[int | None, Rule(before=_whole)]
Integer = Annotated[int | None, Rule(before=_integer, valid_up_to=MAX_INTEGER)]
Id = Annotated[str, Rule(not_empty=True)]
Text = str | None
