"""Descriptions: PostgreSQL's functions that tell of one relation by its number, such as col_description.

They take the place of those that know no relation, under the names that the translation calls them by.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

import apsw

from ftsql.resources.resource import SQLiteValue
from ftsql.serve.catalog import build as catalog
from ftsql.serve.catalog.relations import LIVE, Relation

PREFIX = "pgsql_"


class Descriptions:
    """What a session's functions tell; ``learn`` when the relations change."""

    def __init__(self) -> None:
        self._hidden = {
            catalog.oid(*name.split(".")) for name in catalog.DEFINED if name.startswith("information_schema.")
        }
        self._comments: dict[tuple[int, int], str] = {}
        self._views: dict[int, str] = {}
        self._keys: dict[int, tuple[str, list[str]]] = {}

    def learn(self, relations: Iterable[Relation]) -> None:
        """Tell of these from now on."""
        self.__init__()  # type: ignore[misc]
        for one in relations:
            number = catalog.oid(one.schema, one.name)
            if one.schema == LIVE:
                self._hidden.add(number)
            if one.is_view:
                self._views[number] = one.sql.partition(" AS")[2].strip() or one.sql
            for place, column in enumerate(one.columns, 1):
                self._comments[number, place] = column.comment
            columns = [column.name for column in sorted(one.columns, key=lambda each: each.key) if column.key]
            if columns and not one.is_view:
                index = catalog.oid(one.schema, f"{one.name}_pkey")
                if one.schema == LIVE:
                    self._hidden.add(index)
                self._keys[index] = (f"{one.schema}.{one.name}", columns)

    def register(self, connection: apsw.Connection) -> None:
        """Make them known to ``connection``."""
        functions: dict[str, Callable[..., SQLiteValue]] = {
            "pg_table_is_visible": self._visible,
            "col_description": self._comment,
            "pg_get_viewdef": lambda number=None, *_: self._views.get(_number(number)),
            "pg_get_indexdef": self._index,
            "pg_get_constraintdef": self._constraint,
            "_pg_expandarray": _only,
            "field": lambda value, name: None if value is None else json.loads(str(value)).get(str(name)),
        }
        for name, function in functions.items():
            connection.create_scalar_function(PREFIX + name, function)

    def _visible(self, number: SQLiteValue = None, *_: SQLiteValue) -> SQLiteValue:
        return None if number is None else int(_number(number) not in self._hidden)

    def _comment(self, number: SQLiteValue = None, place: SQLiteValue = None, *_: SQLiteValue) -> SQLiteValue:
        return self._comments.get((_number(number), _number(place))) or None

    def _index(self, number: SQLiteValue = None, place: SQLiteValue = 0, *_: SQLiteValue) -> SQLiteValue:
        if (known := self._keys.get(_number(number))) is None:
            return None
        table, columns = known
        if 0 < (at := _number(place)) <= len(columns):
            return columns[at - 1]
        return f"CREATE UNIQUE INDEX {table.partition('.')[2]}_pkey ON {table} USING btree ({', '.join(columns)})"

    def _constraint(self, number: SQLiteValue = None, *_: SQLiteValue) -> SQLiteValue:
        known = self._keys.get(_number(number) - 1)
        return None if known is None else f"PRIMARY KEY ({', '.join(known[1])})"


def _only(places: SQLiteValue = None, *_: SQLiteValue) -> SQLiteValue:
    """The row (x, n) of a key of one column, as JDBC asks for it; nothing of a longer one, which has several."""
    text = str(places or "").strip()
    return json.dumps({"x": int(text), "n": 1}) if text.isdecimal() else None


def _number(value: SQLiteValue) -> int:
    try:
        return int(value or 0)
    except ValueError:
        return 0
