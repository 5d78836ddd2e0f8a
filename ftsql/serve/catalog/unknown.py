"""Tables, columns and functions that the catalog lacks. If a client asks for one, an empty one is added and logged.

Objects are added only for statements that read nothing but the catalog. In any other statement, an unknown name is an
error.
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

MOST = 200  # how many objects may be added in one session
MISSING = re.compile(r"no such (table|column|function): \"?(?:(\w+)\.)?(\w+)\"?(?: - should this be .*)?", re.ASCII)
CATALOG_FUNCTION = re.compile(r"(?:pgsql_)?(?:pg|has|format|col|obj|shobj|current|quote|to|array|row)_\w+", re.ASCII)


def reads_catalog_only(tree: Any, tables: Collection[str]) -> bool:
    """Whether a statement reads tables of the catalog and no others. ``tables`` has the names of all other tables."""
    inner = {cte.alias_or_name for cte in tree.find_all(exp.CTE)}
    read = [table for table in _tables(tree) if table.db or table.name not in inner]
    return bool(read) and all(
        table.db in SCHEMAS or (not table.db and table.name.startswith("pg_") and table.name not in tables)
        for table in read
    )


def _tables(tree: Any) -> list[Any]:
    return [table for table in tree.find_all(exp.Table) if isinstance(table.this, exp.Identifier)]


def _parse(text: str) -> Any:
    """Return the syntax tree of a statement, or None if sqlglot cannot parse it."""
    try:
        return sqlglot.parse_one(text, read="postgres")
    except (SqlglotError, RecursionError):
        return None


class UnknownObjects:
    """The objects that were added to one session's catalog."""

    def __init__(self, connection: apsw.Connection, log: Callable[[str], None]) -> None:
        self._connection = connection
        self._log = log
        self._added = 0

    def empty_columns(self, text: str, tables: Collection[str], error: BaseException) -> list[str] | None:
        """Return the column names of a statement that failed, so that a result without rows can be returned.

        Return None if the statement is not a query that reads only the catalog.
        """
        tree = _parse(text)
        if not isinstance(tree, exp.Query) or not reads_catalog_only(tree, tables):
            return None
        self._log(f"answered without rows because of {str(error)[:200]}: {' '.join(text.split())[:500]}")
        return [name or "?column?" for name in tree.named_selects if name != "*"] or ["?column?"]

    def add(self, error: apsw.SQLError, text: str, tables: Collection[str]) -> bool:
        """Add the object that ``error`` names, if it belongs to the catalog. Return whether it was added.

        The authorizer must be suspended.
        """
        match = MISSING.fullmatch(str(error))
        if match is None or self._added >= MOST:
            return False
        kind, qualifier, name = match.groups()
        tree = _parse(text)
        if tree is None or len(name) > 63 or not reads_catalog_only(tree, tables):
            return False
        if kind == "table":
            added = self._add_table(qualifier or "pg_catalog", name)
        elif kind == "function":
            added = self._add_function(name)
        else:
            added = self._add_column(tree, qualifier, name)
        if added:
            self._added += 1
            self._log(f"the catalog has no {kind} {name}: added, empty")
        return added

    def _add_table(self, schema: str, name: str) -> bool:
        if schema not in SCHEMAS:
            return False
        self._connection.execute(f'CREATE TABLE {schema}."{name}" (oid)')
        return True

    def _add_function(self, name: str) -> bool:
        if CATALOG_FUNCTION.fullmatch(name.lower()) is None:
            return False
        self._connection.create_scalar_function(name, lambda *_: None)
        return True

    def _add_column(self, tree: Any, qualifier: str | None, name: str) -> bool:
        for table in _tables(tree):
            schema = table.db or "pg_catalog"
            if (
                (qualifier is None or qualifier in (table.alias, table.name))
                and schema in SCHEMAS
                and self._connection.table_exists(schema, table.name)
            ):
                try:
                    self._connection.execute(f'ALTER TABLE {schema}."{table.name}" ADD COLUMN "{name}"')
                except apsw.SQLError:  # this table has the column, so the statement means another table
                    continue
                return True
        return False
