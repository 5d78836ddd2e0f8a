"""A job as SQLite reads it: the values of the columns that a statement reads, in the table's order.

A scan gives rows in this form, whether they come from the API or from the store, so that a column's value is
one look into a list: what SQLite asks for most often. Id and created_at are always among them, and the first two.
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
ALWAYS = 1 << ID | 1 << CREATED_AT | 1 << PROVIDER  # columns as a set of bits
ALL = (1 << len(NAMES)) - 1
NESTED = tuple(column.name for column in JOBS.documented if column.type == "JSON")
_ON_DEMAND = 1 << RAW | 1 << KEY
_BLANK: dict[str, SQLiteValue] = dict.fromkeys(NAMES)
_JSON = frozenset({dict, list, str, bool})  # of which JSON text is made as it is
_whole = itemgetter(*NAMES)


@dataclass(frozen=True)
class Layout:
    """Which columns a row's cells are: their ``numbers``, ``place`` by number; ``take`` takes them out of all columns'
    values.
    """

    numbers: tuple[int, ...]
    place: dict[int, int]
    take: Callable[[Any], Cells]


@lru_cache(maxsize=100)
def layout(columns: int) -> Layout:
    """The layout for a set of columns, of which ALWAYS are a part."""
    numbers = tuple(number for number in range(len(NAMES)) if columns >> number & 1)
    place = {number: position for position, number in enumerate(numbers)}
    return Layout(numbers, place, itemgetter(*numbers))


@lru_cache(maxsize=100)
def runs(asked: int) -> tuple[tuple[Any, Any], ...]:
    """Where the columns that are asked for stand, in the table and among the cells with ALWAYS: pairs of indices, or
    of slices for neighbours.
    """
    place = layout(asked | ALWAYS).place
    found: list[tuple[Any, Any]] = []
    for _, run in groupby((n for n in place if asked >> n & 1), lambda number: number - place[number]):
        first, *rest = run
        last = rest[-1] if rest else first
        spread = slice(first, last + 1), slice(place[first], place[last] + 1)
        found.append(spread if rest else (first, place[first]))
    return tuple(found)


def cells(row: Row, columns: int) -> Cells:
    """The values of ``columns``. Raises ValueError for what JSON cannot say."""
    values = row.cells or whole(row)
    if columns & _ON_DEMAND:
        values = (*values[:RAW], row.text if columns >> RAW & 1 else None, row.key)
    return layout(columns).take(values)


def whole(row: Row) -> Cells:
    """The values of all columns but raw and key, which are left out. Raises as ``cells`` does."""
    if row.cells is None:
        row.decode()
        values = {**_BLANK, **row.values}
        for name in NESTED:
            value = values[name]
            if value is not None:
                if name == "metadata" and isinstance(value, dict) and FTSQL_KEY in value:
                    value = {key: member for key, member in value.items() if key != FTSQL_KEY} or None
                plain = type(value) in _JSON
                values[name] = to_json(value, inf_nan_mode="null").decode() if plain else json_text(value)
        values["provider"] = row.provider
        values["fine_tuning_job_id"] = values["id"]
        row.cells = _whole(values)
    return row.cells
