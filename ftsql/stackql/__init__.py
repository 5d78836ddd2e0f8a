"""StackQL's statements as SQL that any ftsql connection runs: ``translate``.

Only a statement that is StackQL's changes, and of it only what StackQL says in its own way: everything
else of a text stays as it is, byte for byte.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping

from ftsql.providers import Provider, load
from ftsql.stackql.commands import command
from ftsql.stackql.names import resources
from ftsql.stackql.tokens import Token, chains, statements

__all__ = ["translate"]

# A command's word, or a name after a dot and another dot: anything else is not even looked at.
LIKELY = re.compile(r"\b(?:EXEC|SHOW|DESC|DESCRIBE)\b|\.\s*(?:/\*|--|[\"`\[]|[^\W\d])[^.]*\.", re.IGNORECASE)
COMMANDS = ("EXEC", "SHOW", "DESC", "DESCRIBE")


def translate(sql: str, known: Mapping[str, Provider] | None = None, active: Collection[str] | None = None) -> str:
    """``sql`` with StackQL's statements in ftsql's words; it may have more statements than before.

    ``known``: the providers whose names may stand first; else those of the package and of the user's file.
    ``active``: those that the connection asks, where others are to be refused; else they have no rows.
    Raises ProgrammingError for a statement of StackQL's that says what ftsql cannot do, before anything runs.
    """
    if not LIKELY.search(sql):
        return sql
    parts = []
    in_transaction = False
    for text, mine in statements(sql):
        in_transaction = _is_in_transaction(mine, in_transaction)
        if mine and mine[0].says(*COMMANDS):
            known = load(None, os.environ)[0] if known is None else known
            text = _put(text, mine, command(mine, known, active))
        elif found := chains(mine):
            known = load(None, os.environ)[0] if known is None else known
            if ours := resources(mine, found, known):
                from ftsql.stackql.tables import rewrite

                text = rewrite(text, mine, ours, active, in_transaction=in_transaction)
        parts.append(text)
    return "".join(parts)


def _put(text: str, mine: list[Token], new: str) -> str:
    """``new`` in the place of the statement; what stands around it, such as comments, stays."""
    return text[: mine[0].start] + new + text[mine[-1].end :]


def _is_in_transaction(mine: list[Token], before: bool) -> bool:
    """Whether the text itself leaves a transaction open after this statement."""
    if not mine:
        return before
    if mine[0].says("BEGIN", "SAVEPOINT"):
        return True
    ends = mine[0].says("COMMIT", "END", "ROLLBACK", "RELEASE") and not any(token.says("TO") for token in mine)
    return before and not ends
