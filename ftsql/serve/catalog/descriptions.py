"""PostgreSQL's functions that describe one relation by its oid, such as col_description.

These functions replace the functions with the same names in functions/introspection.py, which do not know the
relations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

import apsw

from ftsql.resources.resource import SQLiteValue
from ftsql.serve.catalog.build import DEFINED, oid
from ftsql.serve.catalog.relations import LIVE, Relation

PREFIX = "pgsql_"  # the prefix of the names that the translation uses


class Descriptions:
    """The descriptions of a session's relations. Call ``update`` when the relations change."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._hidden = {oid(*name.split(".")) for name in DEFINED if name.startswith("information_schema.")}
        self._comments: dict[tuple[int, int], str] = {}
        self._views: dict[int, str] = {}
        self._keys: dict[int, tuple[str, list[str]]] = {}

    def update(self, relations: Iterable[Relation]) -> None:
        """Replace all descriptions with those of ``relations``."""
        self._clear()
        for relation in relations:
            number = oid(relation.schema, relation.name)
            if relation.schema == LIVE:
                self._hidden.add(number)
            if relation.is_view:
                self._views[number] = relation.sql.partition(" AS")[2].strip() or relation.sql
            for position, column in enumerate(relation.columns, 1):
                self._comments[number, position] = column.comment
            if not relation.is_view:
                self._add_key(relation)

    def _add_key(self, relation: Relation) -> None:
        columns = [column.name for column in sorted(relation.columns, key=lambda each: each.key) if column.key]
        if columns:
            index = oid(relation.schema, f"{relation.name}_pkey")
            if relation.schema == LIVE:
                self._hidden.add(index)
            self._keys[index] = (f"{relation.schema}.{relation.name}", columns)

    def register(self, connection: apsw.Connection) -> None:
        """Create the functions on ``connection``."""
        functions: dict[str, Callable[..., SQLiteValue]] = {
            "pg_table_is_visible": self._visible,
            "col_description": self._comment,
            "pg_get_viewdef": lambda number=None, *_: self._views.get(_number(number)),
            "pg_get_indexdef": self._index,
            "pg_get_constraintdef": self._constraint,
            "_pg_expandarray": _expand_array,
            "field": lambda value, name: None if value is None else json.loads(str(value)).get(str(name)),
        }
        for name, function in functions.items():
            connection.create_scalar_function(PREFIX + name, function)

    def _visible(self, number: SQLiteValue = None, *_: SQLiteValue) -> SQLiteValue:
        return None if number is None else int(_number(number) not in self._hidden)

    def _comment(self, number: SQLiteValue = None, column: SQLiteValue = None, *_: SQLiteValue) -> SQLiteValue:
        return self._comments.get((_number(number), _number(column))) or None

    def _index(self, number: SQLiteValue = None, column: SQLiteValue = 0, *_: SQLiteValue) -> SQLiteValue:
        if (known := self._keys.get(_number(number))) is None:
            return None
        table, columns = known
        if 0 < (position := _number(column)) <= len(columns):
            return columns[position - 1]
        return f"CREATE UNIQUE INDEX {table.partition('.')[2]}_pkey ON {table} USING btree ({', '.join(columns)})"

    def _constraint(self, number: SQLiteValue = None, *_: SQLiteValue) -> SQLiteValue:
        known = self._keys.get(_number(number) - 1)
        return None if known is None else f"PRIMARY KEY ({', '.join(known[1])})"


def _expand_array(positions: SQLiteValue = None, *_: SQLiteValue) -> SQLiteValue:
    """Return the row (x, n) for a key with one column, or NULL for a key with several columns. JDBC calls this."""
    text = str(positions or "").strip()
    return json.dumps({"x": int(text), "n": 1}) if text.isdecimal() else None


def _number(value: SQLiteValue) -> int:
    try:
        return int(value or 0)
    except ValueError:
        return 0
