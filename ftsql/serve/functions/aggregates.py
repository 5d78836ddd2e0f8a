"""Aggregates that SQLite lacks: percentiles of any type, the mode, deviations, correlation, and those of intervals.

Each aggregate keeps the values of its group until the end, like PostgreSQL's ordered-set aggregates.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable
from functools import partial

from ftsql.serve import errors
from ftsql.serve.functions.intervals import Interval, interval
from ftsql.serve.functions.timestamps import Value

LARGEST = 256_000_000  # roughly how many bytes the values of one group may take
Rows = list[tuple[Value, ...]]


class Group:
    """The rows of one group, and the function that computes its result from them."""

    def __init__(self, final: Callable[[Rows], Value]) -> None:
        self._rows: Rows = []
        self._size = 0
        self._final = final

    def step(self, *values: Value) -> None:
        if values and values[0] is not None:
            # Python's memory does not count towards SQLite's limit.
            self._size += 100 + sum(len(value) for value in values if isinstance(value, str))
            if self._size > LARGEST:
                raise errors.data(f"an aggregate may hold {LARGEST:,} bytes", errors.TOO_COMPLEX)
            self._rows.append(values)

    def final(self) -> Value:
        return self._final(self._rows)


def _sorted(rows: Rows) -> tuple[list[Value], float]:
    """Return the sorted values and the fraction of a percentile. A row is (value, fraction, descending)."""
    _, given, descending = rows[0]
    fraction = float(given) if given is not None else math.nan
    if not 0 <= fraction <= 1:
        raise errors.data(f"percentile value {given!r} is not between 0 and 1", errors.OUT_OF_RANGE)
    return sorted((row[0] for row in rows), reverse=bool(descending)), fraction  # type: ignore[type-var]


def percentile_disc(rows: Rows) -> Value:
    if not rows:
        return None
    values, fraction = _sorted(rows)
    return values[max(math.ceil(fraction * len(values) - 1e-12) - 1, 0)]


def percentile_cont(rows: Rows) -> Value:
    if not rows:
        return None
    if isinstance(rows[0][0], str):
        return _percentile_of_intervals(rows)
    values, fraction = _sorted(rows)
    position = fraction * (len(values) - 1)
    low, high = values[math.floor(position)], values[math.ceil(position)]
    assert isinstance(low, (int, float))
    assert isinstance(high, (int, float))
    return low + (high - low) * (position - math.floor(position))


def _percentile_of_intervals(rows: Rows) -> Value:
    micros: Rows = [(interval(str(row[0])).order, *row[1:]) for row in rows]
    found = percentile_cont(micros)
    assert isinstance(found, (int, float))
    return str(Interval(0, int(found / 86_400_000_000), round(math.fmod(found, 86_400_000_000))))


def mode(rows: Rows) -> Value:
    counts = Counter(row[0] for row in rows)
    most = max(counts.values(), default=0)
    return min((value for value, count in counts.items() if count == most), default=None)  # type: ignore[type-var]


def _deviation(final: Callable[[list[float]], float], least: int, rows: Rows) -> Value:
    values = [float(row[0]) for row in rows if row[0] is not None]
    return final(values) if len(values) >= least else None


def _paired(rows: Rows) -> tuple[list[float], list[float]]:
    pairs = [(float(row[0]), float(row[1])) for row in rows if row[0] is not None and row[1] is not None]
    return [one for one, _ in pairs], [two for _, two in pairs]


def corr(rows: Rows) -> Value:
    one, two = _paired(rows)
    try:
        return statistics.correlation(one, two)
    except statistics.StatisticsError:
        return None


def covar(sample: int, rows: Rows) -> Value:
    one, two = _paired(rows)
    if len(one) <= sample:
        return None
    mean, other = statistics.fmean(one), statistics.fmean(two)
    return sum((a - mean) * (b - other) for a, b in zip(one, two, strict=True)) / (len(one) - sample)


def slope(rows: Rows) -> Value:
    y, x = _paired(rows)
    try:
        return statistics.linear_regression(x, y).slope
    except statistics.StatisticsError:
        return None


def _intervals(rows: Rows) -> list[Interval]:
    return [interval(str(row[0])) for row in rows]


def sum_interval(rows: Rows) -> Value:
    return str(sum(_intervals(rows), Interval())) if rows else None


def avg_interval(rows: Rows) -> Value:
    return str(sum(_intervals(rows), Interval()).times(1 / len(rows))) if rows else None


def extreme_interval(choose: Callable[..., Interval], rows: Rows) -> Value:
    return str(choose(_intervals(rows), key=lambda one: one.order)) if rows else None


AGGREGATES: dict[str, Callable[[Rows], Value]] = {
    "percentile_cont": percentile_cont,
    "percentile_disc": percentile_disc,
    "mode": mode,
    "stddev": partial(_deviation, statistics.stdev, 2),
    "stddev_samp": partial(_deviation, statistics.stdev, 2),
    "stddev_pop": partial(_deviation, statistics.pstdev, 1),
    "variance": partial(_deviation, statistics.variance, 2),
    "var_samp": partial(_deviation, statistics.variance, 2),
    "var_pop": partial(_deviation, statistics.pvariance, 1),
    "corr": corr,
    "covar_pop": partial(covar, 0),
    "covar_samp": partial(covar, 1),
    "regr_slope": slope,
    "sum_interval": sum_interval,
    "avg_interval": avg_interval,
    "min_interval": partial(extreme_interval, min),
    "max_interval": partial(extreme_interval, max),
}
