"""The tables and views that clients see, with their columns.

The schema ``live`` has the live tables. The schema ``public`` has the file's tables, and those live tables whose names
the file does not use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import apsw

from ftsql.resources.definitions import TABLES
from ftsql.serve import types

PUBLIC, LIVE = "public", "live"
# The types of columns that ftsql's views compute, if they are not text. SQLite declares no type for these columns.
COMPUTED = {"created": "timestamp", "finished": "timestamp", "minutes": "float8", "step": "int8"}
COMPUTED |= {
    name: "float8"
    for metric in ("loss", "mean_token_accuracy")
    for name in (f"train_{metric}", f"valid_{metric}", f"full_valid_{metric}")
}
VIEWS = ("jobs", "checkpoints")


@dataclass(frozen=True, slots=True)
class Column:
    """A column. ``oid`` is its type, and ``key`` is its position in the primary key, or 0."""

    name: str
    oid: int
    required: bool
    key: int
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or a view."""

    schema: str
    name: str
    is_view: bool
    columns: tuple[Column, ...]
    sql: str = field(default="", compare=False)


def version(connection: apsw.Connection) -> object:
    """Return a value that changes if a table of the file is created, altered or dropped."""
    return connection.pragma("schema_version", schema="main")


def read(connection: apsw.Connection) -> list[Relation]:
    """Return all tables and views that clients see."""
    own = [_relation(connection, "main", PUBLIC, name, kind) for name, kind in _names(connection, "main")]
    live = [_relation(connection, "live", LIVE, name, kind) for name, kind in _names(connection, "live")]
    taken = {relation.name.lower() for relation in own}
    shared = [
        Relation(PUBLIC, one.name, one.is_view, one.columns, one.sql) for one in live if one.name.lower() not in taken
    ]
    return [*own, *shared, *live]


def by_name(relations: Sequence[Relation]) -> Mapping[str, Sequence[tuple[str, str]]]:
    """Return each relation's columns with their types, by the relation's names in SQL.

    The names have the schema. If the schema is ``public``, there is also a name without it.
    """
    found = {}
    for relation in relations:
        columns = [(column.name, types.short_name(column.oid)) for column in relation.columns]
        found[f"{relation.schema}.{relation.name}"] = columns
        if relation.schema == PUBLIC:
            found[relation.name] = columns
    return found


def _names(connection: apsw.Connection, schema: str) -> list[tuple[str, str]]:
    rows: list[Any] = connection.execute(f"PRAGMA {schema}.table_list").fetchall()
    return sorted(
        (name, kind)
        for inside, name, kind, *_ in rows
        if inside == schema and kind != "shadow" and not name.lower().startswith("sqlite_")
    )


def _relation(connection: apsw.Connection, inside: str, schema: str, name: str, kind: str) -> Relation:
    quoted = name.replace('"', '""')
    is_own_view = name in VIEWS and kind == "view"
    resource = TABLES.get(name)
    comments = {column.name: column.description for column in resource.columns} if resource is not None else {}
    columns = []
    try:
        rows: list[Any] = connection.execute(f'PRAGMA {inside}.table_xinfo("{quoted}")').fetchall()
    except apsw.SQLError:  # raised for a view of a table that does not exist, or a virtual table without its module
        rows = []
    for _, column, declared, required, _, key, hidden in rows:
        if hidden != 1:
            oid = types.oid_of(declared) or (types.oid_of(COMPUTED.get(column)) if is_own_view else None) or types.TEXT
            columns.append(Column(column, oid, bool(required), key, comments.get(column, "")))
    sql = connection.execute(f"SELECT sql FROM {inside}.sqlite_schema WHERE name = ?", (name,)).get
    return Relation(schema, name, kind == "view", tuple(columns), str(sql or ""))
