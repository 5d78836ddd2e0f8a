"""A text's statements, each that is StackQL's put into ftsql's words."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from ftsql.api.provider import Provider, load
from ftsql.stackql.commands import command
from ftsql.stackql.names import resources
from ftsql.stackql.tokens import Token, chains, statements

COMMANDS = ("EXEC", "SHOW", "DESC", "DESCRIBE")


def translated(sql: str, known: Mapping[str, Provider] | None, active: Collection[str] | None) -> str:
    """See ``ftsql.stackql.translate``."""
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
                from ftsql.stackql.tables import rewrite  # with sqlglot

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
