"""StackQL's statements as SQL that any ftsql connection runs: ``translate``.

Only a statement that is StackQL's changes, and of it only what StackQL says in its own way: everything
else of a text stays as it is, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from ftsql.api.provider import Provider

__all__ = ["translate"]

# A command's word, or a name after a dot and another dot: anything else is not even looked at.
LIKELY = re.compile(r"\b(?:EXEC|SHOW|DESC|DESCRIBE)\b|\.\s*(?:/\*|--|[\"`\[]|[^\W\d])[^.]*\.", re.IGNORECASE)


def translate(sql: str, known: Mapping[str, Provider] | None = None, active: Collection[str] | None = None) -> str:
    """``sql`` with StackQL's statements in ftsql's words; it may have more statements than before.

    ``known``: the providers whose names may stand first; else those of the package and of the user's file.
    ``active``: those that the connection asks, where others are to be refused; else they have no rows.
    Raises ProgrammingError for a statement of StackQL's that says what ftsql cannot do, before anything runs.
    """
    if not LIKELY.search(sql):
        return sql
    from ftsql.stackql.texts import translated  # only now: most texts are none of StackQL's

    return translated(sql, known, active)
