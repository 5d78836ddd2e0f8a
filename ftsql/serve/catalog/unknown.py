"""Healing: what a client asks of the catalog that is not there is answered empty, and logged.

Never so for a statement that names a user's table, or none at all: there a typo is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

import apsw
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from ftsql.serve.catalog.build import SCHEMAS

MOST = 200  # names that one session may add
OURS = re.compile(r"(?:pgsql_)?(?:pg|has|format|col|obj|shobj|current|quote|to|array|row)_\w+", re.ASCII)


def is_catalogs(tree: Any, users: Collection[str]) -> bool:
    """Whether a statement reads the catalog and nothing else."""
    inner = {name.alias_or_name for name in tree.find_all(exp.CTE)}
    tables = [table for table in tree.find_all(exp.Table) if isinstance(table.this, exp.Identifier)]
    named = [table for table in tables if table.db or table.name not in inner]
    return bool(named) and all(
        table.db in SCHEMAS or (not table.db and table.name.startswith("pg_") and table.name not in users)
        for table in named
    )


class Healing:
    """What one session's catalog was given beyond what it had."""

    def __init__(self, connection: apsw.Connection, log: Callable[[str], None]) -> None:
        self._connection = connection
        self._log = log
        self._added = 0

    def empty(self, text: str, users: Collection[str], error: BaseException) -> list[str] | None:
        """The names of the columns of a statement on the catalog alone, which gives no rows; None for another."""
        try:
            tree = sqlglot.parse_one(text, read="postgres")
        except (SqlglotError, RecursionError):
            return None
        if not isinstance(tree, exp.Query) or not is_catalogs(tree, users):
            return None
        self._log(f"answered empty, for {str(error)[:200]}: {' '.join(text.split())[:500]}")
        return [name or "?column?" for name in tree.named_selects if name != "*"] or ["?column?"]

    def heal(self, error: apsw.SQLError, text: str, users: Collection[str]) -> bool:
        """Add what the error misses; False where that is not the catalog's matter. The permission is lifted."""
        said = str(error)
        match = re.fullmatch(
            r"no such (table|column|function): \"?(?:(\w+)\.)?(\w+)\"?(?: - should this be .*)?", said, re.ASCII
        )
        if match is None or self._added >= MOST:
            return False
        try:
            tree = sqlglot.parse_one(text, read="postgres")
        except (SqlglotError, RecursionError):
            return False
        kind, before, name = match.groups()
        if len(name) > 63 or not is_catalogs(tree, users):
            return False
        healed = getattr(self, f"_{kind}")(tree, before, name)
        if healed:
            self._added += 1
            self._log(f"the catalog has no {kind} {name}: added, empty")
        return bool(healed)

    def _table(self, tree: Any, before: str | None, name: str) -> bool:
        schema = before or "pg_catalog"
        if schema not in SCHEMAS:
            return False
        self._connection.execute(f'CREATE TABLE {schema}."{name}" (oid)')
        return True

    def _function(self, tree: Any, before: str | None, name: str) -> bool:
        if OURS.fullmatch(name.lower()) is None:
            return False
        self._connection.create_scalar_function(name, lambda *_: None)
        return True

    def _column(self, tree: Any, before: str | None, name: str) -> bool:
        tables = [table for table in tree.find_all(exp.Table) if isinstance(table.this, exp.Identifier)]
        chosen = [table for table in tables if before is None or before in (table.alias, table.name)]
        for table in chosen:
            schema = table.db or "pg_catalog"
            if schema in SCHEMAS and self._connection.table_exists(schema, table.name):
                try:
                    self._connection.execute(f'ALTER TABLE {schema}."{table.name}" ADD COLUMN "{name}"')
                except apsw.SQLError:  # it has it: another of the tables is meant
                    continue
                return True
        return False
