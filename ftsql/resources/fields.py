"""What a field is: its column, and the rules by which pydantic reads it (reading.py)."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

NUMERIC = re.compile(
    r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII
)  # a text that SQLite takes for a number
INTEGER = re.compile(r"\s*[+-]?\d{1,4000}\s*", re.ASCII)
BASIC_DATE = re.compile(r"(19|20)\d\d[01]\d[0-3]\d")  # ISO 8601 without dashes
FIRST = 1_000_000_000  # the year 2001: of a unit below seconds, an earlier value is not a time
LATEST = 7_258_118_400  # the year 2200: what is later is no time
MOST = 2**63 - 1  # SQLite's largest integer


def _seconds(value: object) -> object:
    """Unix seconds from seconds, milliseconds, micro- or nanoseconds, or ISO 8601; None where it is unset.

    Unset is how servers say so: 0, -1, an empty text, the year 1. Raises ValueError for what is no time.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str) and (not NUMERIC.fullmatch(value) or BASIC_DATE.fullmatch(value)):
        moment = datetime.datetime.fromisoformat(value.strip())
        value = int((moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp())
    else:
        value = float(value) if isinstance(value, str) else value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError("should be Unix seconds or an ISO 8601 time")
        for unit in (10**9, 10**6, 10**3):
            if FIRST * unit <= value < LATEST * unit:  # a value between the ranges is not a time
                value = value // unit
                break
    if value != value or value <= 0:
        return None
    if value >= LATEST:
        raise ValueError("is no time: out of range")
    return int(value) or None


def _integer(value: object) -> object:
    """A whole number that SQLite has; None where it is unset. Raises ValueError for what is none, such as true."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("should be a whole number")
    if not -MOST - 1 <= value <= MOST:
        raise ValueError("is out of range")
    return value


def _metric(value: object) -> object:
    """A metric of a step: -1 is how Azure says that there is none."""
    return None if value == -1 else _real(value)


def _real(value: object) -> object:
    """A number that SQLite has; what is none, and NaN, is NULL."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _whole(value: object) -> object:
    """A whole number that SQLite has; whatever else is NULL."""
    number = _real(value)
    if not isinstance(number, float) or not number.is_integer() or abs(number) >= 2**63:
        return None
    return value if isinstance(value, int) else int(number)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its declared SQL type, what it means, whether ``SELECT *`` shows it, and whether it is a time."""

    type: Literal["TEXT", "INTEGER", "REAL", "JSON"]
    description: str
    name: str = ""
    hidden: bool = False
    time: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """How a field is read beside its type; reading.py has it checked.

    ``before``: what becomes of a value first, ``plain``: the most that an integer above 0 may be to need none of
    that, as most do; ``filled``: not empty; ``names``: those that servers have for it.
    """

    before: Callable[[object], object] | None = None
    plain: int | None = None
    filled: bool = False
    names: tuple[str, ...] = ()

    @property
    def is_time(self) -> bool:
        return self.before is _seconds


Time = Annotated[int | None, Rule(before=_seconds, plain=LATEST - 1)]
Metric = Annotated[float | None, Rule(before=_metric)]
Whole = Annotated[int | None, Rule(before=_whole)]
Integer = Annotated[int | None, Rule(before=_integer, plain=MOST)]
Id = Annotated[str, Rule(filled=True)]
Text = str | None
