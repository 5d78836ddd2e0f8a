"""The SQL function ``metadata_has(metadata, pairs)``: whether a job's metadata has all the given pairs.

The function works on any table. On the table of jobs, it is pushed down to APIs that can filter by metadata.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic_core import from_json

from ftsql.errors import DataError
from ftsql.resources.resource import SQLiteValue

NAME = "metadata_has"


@lru_cache(maxsize=64)
def _decoded(text: str) -> dict[str, str]:
    try:
        value: Any = from_json(text)
    except ValueError:
        value = None
    if not isinstance(value, dict) or not all(isinstance(member, str) for member in value.values()):
        raise DataError(f"{NAME} takes a JSON object of strings, such as json_object('team', 'ads'), not {text!r:.80}")
    return value


def pairs(value: SQLiteValue) -> dict[str, str] | None:
    """Return the pairs in the SQL function's second argument, or None if the argument is not a string.

    Raises DataError if they are not a JSON object of strings.
    """
    return _decoded(value) if isinstance(value, str) else None


def has(*arguments: SQLiteValue) -> int | None:
    """Return 1 if the first argument (a JSON string) has every pair of the second, else 0; NULL if either is NULL.

    Raises DataError if the pairs are not a JSON object of strings.

    >>> has('{"team": "ads", "run": "7"}', '{"team": "ads"}')
    1
    """
    metadata, wanted = arguments
    if metadata is None or wanted is None:
        return None
    if not isinstance(wanted, str):
        raise DataError(f"{NAME} takes a JSON object of strings, not {wanted!r:.80}")
    expected = _decoded(wanted)
    try:
        found = from_json(metadata) if isinstance(metadata, str) else None
    except ValueError:
        return 0
    return int(isinstance(found, dict) and all(found.get(key) == value for key, value in expected.items()))
