"""Reads a statement's structure with sqlglot: which names are tables, and how the tables are joined.

sqlglot writes no SQL here. It parses a string of the same length as the statement, so that the positions that it
reports are valid in the statement.
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

__all__ = ["enclosing_statement", "exp", "find_tables", "parse"]


def parse(text: str, tokens: Sequence[Token]) -> exp.Expr | None:
    """Return the parsed statement, or None if sqlglot cannot parse it."""
    try:
        with _without_warnings():
            root = sqlglot.parse_one(_masked(text, tokens), dialect="sqlite")
    except (sqlglot.ParseError, sqlglot.errors.TokenError, RecursionError):
        return None
    return None if isinstance(root, exp.Command) else root


def find_tables(root: exp.Expr) -> dict[int, exp.Table]:
    """Return the tables whose names have three parts, by the positions at which the names start."""
    tables = {}
    for table in root.find_all(exp.Table):
        parts = table.parts
        if len(parts) == 3 and all(isinstance(part, exp.Identifier) and "start" in part.meta for part in parts):
            tables[int(parts[0].meta["start"])] = table
    return tables


def enclosing_statement(table: exp.Table) -> exp.Select | exp.Update | None:
    """Return the SELECT or UPDATE whose FROM lists ``table``, or None if the table is in parentheses."""
    clause = table.parent
    statement = clause.parent if isinstance(clause, (exp.From, exp.Join)) else None
    return statement if isinstance(statement, (exp.Select, exp.Update)) else None


def _masked(text: str, tokens: Sequence[Token]) -> str:
    """Return ``text`` with spaces in place of comments, EXPLAIN and index hints, which sqlglot does not parse."""
    masked = [" "] * len(text)
    index = _explain_length(tokens)
    while index < len(tokens):
        if skipped := _index_hint_length(tokens, index):
            index += skipped
            continue
        token = tokens[index]
        written = "?" if token.kind == "variable" else token.text
        masked[token.start : token.start + len(written)] = written
        index += 1
    return "".join(masked)


def _explain_length(tokens: Sequence[Token]) -> int:
    """Return how many tokens ``EXPLAIN`` or ``EXPLAIN QUERY PLAN`` has, or 0 if the statement has neither."""
    if not tokens[0].matches("EXPLAIN"):
        return 0
    return 3 if len(tokens) > 1 and tokens[1].matches("QUERY") else 1


def _index_hint_length(tokens: Sequence[Token], index: int) -> int:
    """Return how many tokens the index hint at ``index`` has, or 0 if there is none.

    An index hint is ``INDEXED BY name`` or ``NOT INDEXED``.
    """
    first, second = tokens[index], tokens[index + 1] if index + 1 < len(tokens) else None
    if second is None:
        return 0
    if first.matches("INDEXED") and second.matches("BY"):
        return 3
    return 2 if first.matches("NOT") and second.matches("INDEXED") else 0


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence sqlglot's warnings about unknown syntax, which it would print on stderr."""
    logger = logging.getLogger("sqlglot")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
