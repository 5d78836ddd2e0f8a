"""``metadata_has(metadata, pairs)``: whether a job's metadata has all of some pairs.

The same function on any table; on ours the API's own filter answers it where there is one.
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
        raise DataError(f"{NAME} takes a JSON object of texts, such as json_object('team', 'ads'), not {text!r:.80}")
    return value


def pairs(value: SQLiteValue) -> dict[str, str] | None:
    """The pairs that a statement asks for; None where it asks for none. Raises DataError."""
    return _decoded(value) if isinstance(value, str) else None


def has(*arguments: SQLiteValue) -> int | None:
    """1 where the first argument (JSON text) has every pair of the second, else 0; NULL where either is NULL.

    Raises DataError for pairs that are no JSON object of texts.
    """
    metadata, wanted = arguments
    if metadata is None or wanted is None:
        return None
    if not isinstance(wanted, str):
        raise DataError(f"{NAME} takes a JSON object of texts, not {wanted!r:.80}")
    expected = _decoded(wanted)
    try:
        found = from_json(metadata) if isinstance(metadata, str) else None
    except ValueError:
        return 0
    return int(isinstance(found, dict) and all(found.get(key) == value for key, value in expected.items()))
