"""A statement's structure, as sqlglot reads it: which names are tables, and how they are joined.

sqlglot writes no SQL here. It reads a text of the same length, so that its places are the statement's own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ftsql.stackql.tokens import Token

try:
    import sqlglot
    from sqlglot import exp
except ImportError as error:
    raise ImportError("StackQL's statements need: pip install 'ftsql[stackql]'", name=error.name) from error

__all__ = ["exp", "owner", "parse", "tables"]


def parse(text: str, mine: Sequence[Token]) -> exp.Expr | None:
    """The statement, or None where sqlglot cannot read it."""
    try:
        with _quiet():
            found = sqlglot.parse_one(_readable(text, mine), dialect="sqlite")
    except (sqlglot.ParseError, sqlglot.errors.TokenError, RecursionError):
        return None
    return None if isinstance(found, exp.Command) else found


def tables(root: exp.Expr) -> dict[int, exp.Table]:
    """The tables named in three parts, by the place where the name begins."""
    found = {}
    for table in root.find_all(exp.Table):
        parts = table.parts
        if len(parts) == 3 and all(isinstance(part, exp.Identifier) and "start" in part.meta for part in parts):
            found[int(parts[0].meta["start"])] = table
    return found


def owner(table: exp.Table) -> exp.Select | exp.Update | None:
    """The SELECT or UPDATE in whose FROM ``table`` stands by itself, and not in parentheses."""
    clause = table.parent
    above = clause.parent if isinstance(clause, (exp.From, exp.Join)) else None
    return above if isinstance(above, (exp.Select, exp.Update)) else None


def _readable(text: str, mine: Sequence[Token]) -> str:
    """``text`` with spaces for what sqlglot does not know and no table's name depends on."""
    shown = [" "] * len(text)
    index = 0
    if mine[0].says("EXPLAIN"):
        index = 3 if len(mine) > 1 and mine[1].says("QUERY") else 1
    while index < len(mine):
        token = mine[index]
        following = mine[index + 1] if index + 1 < len(mine) else None
        if token.says("INDEXED") and following is not None and following.says("BY"):
            index += 3
            continue
        if token.says("NOT") and following is not None and following.says("INDEXED"):
            index += 2
            continue
        written = "?" if token.kind == "variable" else token.text
        shown[token.start : token.start + len(written)] = written
        index += 1
    return "".join(shown)


@contextmanager
def _quiet() -> Iterator[None]:
    """sqlglot warns on stderr of what it does not know; here that is no news."""
    logger = logging.getLogger("sqlglot")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
