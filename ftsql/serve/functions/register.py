"""Registers PostgreSQL's functions on a connection, under their names with the prefix pgsql_.

Because of the prefix, the file's views and ftsql's tables still use SQLite's own functions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import apsw

from ftsql.serve import errors
from ftsql.serve.functions import (
    aggregates,
    date_parts,
    formats,
    intervals,
    introspection,
    numbers,
    table_functions,
    texts,
    timestamps,
)
from ftsql.serve.functions.timestamps import Value

LONGEST_SERIES = 10_000_000
TOO_LONG = f"a series may have at most {LONGEST_SERIES:,} rows"


def time(value: Value) -> Value:
    """Return ``value::time``, the time of day of a timestamp."""
    if value is None:
        return None
    text = str(value)
    return str(timestamps.timestamp(text if timestamps.is_time(text) else f"1970-01-01 {text}", 0))[11:]


def interval(value: Value) -> Value:
    return None if value is None else str(intervals.interval(str(value)))


def interval_add(left: Value, right: Value, sign: int) -> Value:
    if left is None or right is None:
        return None
    return str(intervals.interval(str(left)) + intervals.interval(str(right)).times(sign))


def interval_times(value: Value, factor: Value, exponent: int) -> Value:
    """Return ``value * factor`` if ``exponent`` is 1, and ``value / factor`` if ``exponent`` is -1."""
    if value is None or factor is None:
        return None
    number = float(factor)
    if exponent < 0 and number == 0:
        raise errors.data("division by zero", errors.ZERO_DIVISION)
    return str(intervals.interval(str(value)).times(number if exponent > 0 else 1 / number))


def interval_order(value: Value) -> Value:
    return None if value is None else intervals.interval(str(value)).order


def make_interval(*parts: Value) -> Value:
    if None in parts:
        return None
    units = ("years", "months", "weeks", "days", "hours", "mins", "secs")
    return interval(" ".join(f"{float(part):f} {unit}" for part, unit in zip(parts, units, strict=True) if part))


def make_date(year: Value, month: Value, day: Value) -> Value:
    return None if None in (year, month, day) else timestamps.date(f"{int(year or 0):04}-{month!s}-{day!s}")


def make_timestamp(*parts: Value) -> Value:
    if None in parts or len(parts) != 6:
        return None
    year, month, day, hour, minute, second = (float(part or 0) for part in parts)
    start = timestamps.parse(f"{int(year):04}-{int(month)}-{int(day)}")
    step = intervals.Interval(0, 0, round((hour * 3600 + minute * 60 + second) * intervals.SECOND))
    return timestamps.text_of(timestamps.later(start, step))


def timestamp_round(value: Value, places: Value) -> Value:
    """Return ``value::timestamp(places)``."""
    if value is None or places is None:
        return None
    time = timestamps.parse(str(value))
    size = 10 ** (6 - min(max(int(places), 0), 6))
    micros = (time.microsecond + size // 2) // size * size - time.microsecond
    return timestamps.text_of(timestamps.later(time, intervals.Interval(0, 0, micros)))


def justify(days: bool, hours: bool, value: Value) -> Value:
    """Return the interval ``value`` in another form.

    If ``hours``, every 24 hours are turned into a day. If ``days``, every 30 days are then turned into a month.
    """
    if value is None:
        return None
    step = intervals.interval(str(value))
    if hours:
        whole = int(step.micros / intervals.DAY)
        step = intervals.Interval(step.months, step.days + whole, step.micros - whole * intervals.DAY)
    if days:
        whole = int(step.days / 30)
        step = intervals.Interval(step.months + whole, step.days - 30 * whole, step.micros)
    return str(step)


def isfinite(value: Value) -> Value:
    return None if value is None else int(value not in timestamps.ENDLESS)


OWN: dict[str, tuple[Callable[..., Value], int]] = {
    "timestamp": (timestamps.timestamp, -1), "date": (timestamps.date, 1), "time": (time, 1), "interval": (interval, 1),
    "to_timestamp": (timestamps.to_timestamp, 1), "epoch": (timestamps.epoch, 1), "plus": (timestamps.plus, -1),
    "minus": (timestamps.minus, 2), "days_between": (timestamps.days_between, 2),
    "date_plus": (timestamps.date_plus, 2),
    "age": (timestamps.age, 2), "at_zone": (timestamps.at_zone, 3), "date_trunc": (date_parts.date_trunc, -1),
    "date_part": (date_parts.date_part, 2), "date_bin": (date_parts.date_bin, 3), "to_char": (formats.to_char, 2),
    "parse_time": (formats.parse_time, 2), "interval_add": (interval_add, 3), "interval_times": (interval_times, 3),
    "interval_order": (interval_order, 1), "make_interval": (make_interval, 7), "make_date": (make_date, 3),
    "make_timestamp": (make_timestamp, 6), "timestamp_round": (timestamp_round, 2), "isfinite": (isfinite, 1),
    "justify_days": (partial(justify, True, False), 1), "justify_hours": (partial(justify, False, True), 1),
    "justify_interval": (partial(justify, True, True), 1),
}  # fmt: skip
CONSTANT = {**OWN, **numbers.FUNCTIONS, **texts.FUNCTIONS, **introspection.FUNCTIONS}
NAMES = frozenset((*CONSTANT, *numbers.VOLATILE, *aggregates.AGGREGATES))


def register(connection: apsw.Connection) -> None:
    """Create all functions on ``connection``, and the table functions pgsql_series and pgsql_elements."""
    for known, deterministic in ((CONSTANT, True), (numbers.VOLATILE, False)):
        for name, (function, count) in known.items():
            guarded = partial(_guarded, name, function)
            connection.create_scalar_function(f"pgsql_{name}", guarded, count, deterministic=deterministic)
    for name, final in aggregates.AGGREGATES.items():
        connection.create_aggregate_function(f"pgsql_{name}", partial(_group, final))
    for name, table in (("pgsql_series", SERIES), ("pgsql_elements", ELEMENTS)):
        module: Any = table
        connection.create_module(name, module, use_bestindex_object=True, eponymous=True, read_only=True)


def _group(final: Callable[[aggregates.Rows], Value]) -> aggregates.Group:
    return aggregates.Group(partial(_guarded, "of an aggregate", final))


def _guarded(name: str, function: Callable[..., Value], *values: Any) -> Value:
    """Return ``function(*values)``. If the arguments cause a Python error, raise DataError instead."""
    try:
        return function(*values)
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
        raise errors.data(f"invalid argument of {name}: {error!s:.100}", errors.INVALID_TEXT) from error


def elements(_array: Value = None) -> Iterator[tuple[Value, int]]:
    """Yield the elements of an array and their positions.

    In SQLite, the arguments of a table function are hidden columns. So the arguments' names must differ from the names
    of a user's columns.
    """
    for position, value in enumerate([] if _array is None else json.loads(str(texts.array(_array))), 1):
        yield value, position


def series(_start: Value = None, _stop: Value = None, _step: Value = None) -> Iterator[tuple[Value]]:
    """Yield the rows of ``generate_series(start, stop[, step])``, for numbers or times."""
    if _start is None or _stop is None:
        return
    if isinstance(_start, str) or isinstance(_stop, str):
        yield from _series_of_times(str(_start), str(_stop), str(_step or "1 day"))
    else:
        yield from _series_of_numbers(_start, _stop, 1 if _step is None else _step)


def _series_of_numbers(start: Value, stop: Value, step: Value) -> Iterator[tuple[Value]]:
    first, end, by = float(start or 0), float(stop or 0), float(step or 0)
    if by == 0:
        raise errors.data("step size cannot equal zero", errors.INVALID_PARAMETER)
    are_integers = all(isinstance(part, int) for part in (start, stop, step))
    for number in range(LONGEST_SERIES):
        at = first + number * by
        if at > end if by > 0 else at < end:
            return
        yield (int(at) if are_integers else at,)
    raise errors.data(TOO_LONG, "54000")


SERIES = table_functions.Module(series, ["_value"])
ELEMENTS = table_functions.Module(elements, ["_value", "_place"])


def _series_of_times(start: str, stop: str, step: str) -> Iterator[tuple[Value]]:
    time, end, by = timestamps.parse(start), timestamps.parse(stop), intervals.interval(step)
    if by.order == 0:
        raise errors.data("step size cannot equal zero", errors.INVALID_PARAMETER)
    for _ in range(LONGEST_SERIES):
        if time > end if by.order > 0 else time < end:
            return
        yield (timestamps.text_of(time),)
        time = timestamps.later(time, by)
    raise errors.data(TOO_LONG, "54000")
