"""A job as SQLite reads it: one value for each of the table's columns, in their order.

A scan gives rows in this form, whether they come from the API or from the store, so that a column's value is
one look into a tuple: what SQLite asks for most often.
"""

from __future__ import annotations

from operator import itemgetter

from pydantic_core import to_json

from ftsql.resource import Row, SQLiteValue, json_text
from ftsql.resources import FTSQL_KEY, JOBS

Cells = tuple[SQLiteValue, ...]

NAMES = tuple(column.name for column in JOBS.columns)
ID, CREATED_AT, PROVIDER, RAW, KEY = map(NAMES.index, ("id", "created_at", "provider", "raw", "key"))
ALL = (1 << len(NAMES)) - 1  # every column, as a set of bits
NESTED = tuple(column.name for column in JOBS.documented if column.type == "JSON")
_ON_DEMAND = 1 << RAW | 1 << KEY
_BLANK: dict[str, SQLiteValue] = dict.fromkeys(NAMES)
_JSON = frozenset({dict, list, str, bool})  # of which JSON text is made as it is
_taken = itemgetter(*NAMES)


def cells(row: Row, columns: int = ALL) -> Cells:
    """The values of ``row``; of raw and key only where the bits ``columns`` ask for them.

    Raises ValueError for what JSON cannot say.
    """
    made = row.cells
    if made is None:
        made = row.cells = _made(row)
    if columns & _ON_DEMAND:
        raw = row.text if columns >> RAW & 1 else None
        return (*made[:RAW], raw, row.key)
    return made


def _made(row: Row) -> Cells:
    row.decode()
    values = {**_BLANK, **row.values}
    for name in NESTED:
        value = values[name]
        if value is not None:
            if name == "metadata" and isinstance(value, dict) and FTSQL_KEY in value:
                value = {key: member for key, member in value.items() if key != FTSQL_KEY} or None
            values[name] = to_json(value, inf_nan_mode="null").decode() if type(value) in _JSON else json_text(value)
    values["provider"] = row.provider
    values["fine_tuning_job_id"] = values["id"]
    made: Cells = _taken(values)
    return made
