"""What a field is: its column, and the rules by which pydantic reads it (reading.py)."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal


def _seconds(value: object) -> object:
    """Unix seconds from seconds, milliseconds (above 1e11) or ISO 8601; 0 and NaN mean unset."""
    if value is None or value == 0 or value == "" or value != value:
        return None
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            moment = datetime.datetime.fromisoformat(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=datetime.UTC)
            return int(moment.timestamp())
        return _seconds(number)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("should be Unix seconds or an ISO 8601 time")
    if abs(value) > 1e17:
        raise ValueError("is no time: out of range")
    return int(value / 1000) if abs(value) > 1e11 else int(value)


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
    """One column: its declared SQL type, what it means, and whether ``SELECT *`` shows it."""

    type: Literal["TEXT", "INTEGER", "REAL", "JSON"]
    description: str
    name: str = ""
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """How a field is read beside its type; reading.py has it checked.

    ``before``: what becomes of a value first, ``plain``: the most that an integer above 0 may be to need none of
    that, as most do; ``least`` and ``most`` of a number; ``filled``: not empty; ``names``: those that servers have for
    it.
    """

    before: Callable[[object], object] | None = None
    plain: int | None = None
    least: int | None = None
    most: int | None = None
    filled: bool = False
    names: tuple[str, ...] = ()


Time = Annotated[int | None, Rule(before=_seconds, plain=10**11)]
Real = Annotated[float | None, Rule(before=_real)]
Whole = Annotated[int | None, Rule(before=_whole)]
Integer = Annotated[int | None, Rule(least=-(2**63), most=2**63 - 1)]
Id = Annotated[str, Rule(filled=True)]
Text = str | None
