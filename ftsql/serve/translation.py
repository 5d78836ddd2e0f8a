"""PostgreSQL's SQL as SQLite's: a stand-in, which transpiles and no more."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from ftsql.errors import ProgrammingError


@dataclass(frozen=True)
class Translated:
    """A statement for SQLite: ``types`` are the parameters', ``columns`` the result's."""

    sql: str
    kind: str
    tables: frozenset[str] = frozenset()
    parameters: int = 0
    types: tuple[str | None, ...] = ()
    columns: tuple[tuple[str, str | None], ...] | None = None


def translate(text: str, tables: Mapping[str, Sequence[tuple[str, str]]]) -> list[Translated]:
    """Raises ProgrammingError for what is no SQL."""
    try:
        trees = [tree for tree in sqlglot.parse(text, read="postgres") if tree is not None]
    except SqlglotError as error:
        wrong = ProgrammingError(str(error).partition("\n")[0])
        wrong.sqlstate = "42601"  # type: ignore[attr-defined]
        raise wrong from None
    found = []
    for tree in trees:
        for table in tree.find_all(exp.Table):
            if table.db == "public":
                table.set("db", None)
        sql = re.sub(r"@(\d+)", r"?\1", tree.sql("sqlite", identify=True))
        numbers = [int(one.name) for one in tree.find_all(exp.Parameter)]
        found.append(Translated(sql, "select", parameters=max(numbers, default=0)))
    return found
