"""Cells: the form of a job as a tuple of SQLite values, one for each column that a statement reads.

The values are in the order of the table's columns. A scan returns rows in this form, whether they come from the API or
from the store. SQLite mostly asks for single values, and in this form a value is found by one index into a tuple. The
id and created_at are always the first two values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any

from pydantic_core import to_json

from ftsql.resources.definitions import FTSQL_KEY, JOBS
from ftsql.resources.resource import Row, SQLiteValue, json_text

Cells = tuple[SQLiteValue, ...]

NAMES = tuple(column.name for column in JOBS.columns)
ID, CREATED_AT, PROVIDER, RAW, KEY = map(NAMES.index, ("id", "created_at", "provider", "raw", "key"))
# A set of columns is an integer. Its bit n stands for the column with the index n.
ALWAYS = 1 << ID | 1 << CREATED_AT | 1 << PROVIDER
ALL = (1 << len(NAMES)) - 1
NESTED = tuple(column.name for column in JOBS.documented if column.type == "JSON")
_ON_DEMAND = 1 << RAW | 1 << KEY
_BLANK: dict[str, SQLiteValue] = dict.fromkeys(NAMES)
_JSON_TYPES = frozenset({dict, list, str, bool})  # values that become JSON text without further checks
_in_order = itemgetter(*NAMES)


@dataclass(frozen=True)
class Layout:
    """The columns whose values the cells of a row have.

    numbers: The indices of the columns in the table, in ascending order.
    positions: The index of each column among the cells, by the column's index in the table.
    select: A function that returns the cells for a tuple with the values of all columns.
    """

    numbers: tuple[int, ...]
    positions: dict[int, int]
    select: Callable[[Any], Cells]


@lru_cache(maxsize=100)
def layout(columns: int) -> Layout:
    """Return the layout for a set of columns. The set must contain ALWAYS."""
    numbers = tuple(number for number in range(len(NAMES)) if columns >> number & 1)
    positions = {number: position for position, number in enumerate(numbers)}
    return Layout(numbers, positions, itemgetter(*numbers))


@lru_cache(maxsize=100)
def runs(requested: int) -> tuple[tuple[Any, Any], ...]:
    """Return two slices for each run of adjacent requested columns: of a row of the table, and of the cells.

    The cells have the values of the requested columns and of ALWAYS. If a run has only one column, an index takes the
    place of each slice.
    """
    positions = layout(requested | ALWAYS).positions
    found: list[tuple[Any, Any]] = []
    numbers = (number for number in positions if requested >> number & 1)
    for _, run in groupby(numbers, lambda number: number - positions[number]):
        first, *rest = run
        if rest:
            found.append((slice(first, rest[-1] + 1), slice(positions[first], positions[rest[-1]] + 1)))
        else:
            found.append((first, positions[first]))
    return tuple(found)


def cells(row: Row, columns: int) -> Cells:
    """Return the values of ``columns``. Raises ValueError if JSON cannot express one of them."""
    values = row.cells or whole(row)
    if columns & _ON_DEMAND:
        values = (*values[:RAW], row.text if columns >> RAW & 1 else None, row.key)
    return layout(columns).select(values)


def whole(row: Row) -> Cells:
    """Return the values of all columns, but None for ``raw`` and ``key``. Keep these values in ``row``.

    Raises ValueError if JSON cannot express one of them.
    """
    if row.cells is None:
        row.decode()
        values = {**_BLANK, **row.values}
        for name in NESTED:
            if values[name] is not None:
                values[name] = nested_text(name, values[name])
        values["provider"] = row.provider
        values["fine_tuning_job_id"] = values["id"]
        row.cells = _in_order(values)
    return row.cells


def nested_text(name: str, value: Any) -> SQLiteValue:
    """Return the SQL value of a JSON column. In metadata, leave out ftsql's own key."""
    if name == "metadata" and isinstance(value, dict) and FTSQL_KEY in value:
        value = {key: member for key, member in value.items() if key != FTSQL_KEY} or None
    return to_json(value, inf_nan_mode="null").decode() if type(value) in _JSON_TYPES else json_text(value)
