"""SQLite's side of writing files, models and permissions: each DELETE or INSERT becomes a queued write.

What the API cannot do is refused by name, before anything is queued.
"""

from __future__ import annotations

from typing import Any, NoReturn

import apsw

from ftsql.checks import brief
from ftsql.errors import IntegrityError, NotSupportedError
from ftsql.joining import Joining
from ftsql.resource import Resource, SQLiteValue
from ftsql.session import Session
from ftsql.tables import Module as ReadModule
from ftsql.tables import Table as ReadTable
from ftsql.write import Write

PROJECT = "project_id"  # what a permission's INSERT says, besides the checkpoint


class Module(ReadModule):
    """The module of a resource that can be written."""

    def Connect(self, connection: apsw.Connection, module: str, schema: str, table: str, *_: str) -> tuple[str, Any]:
        text, _table = super().Connect(connection, module, schema, table)
        connection.vtab_config(apsw.SQLITE_VTAB_CONSTRAINT_SUPPORT, 1)
        return text, Table(self._session, self._resource)

    Create = Connect


class Table(ReadTable, Joining):
    """One table object; its writes go into the session's queue."""

    def __init__(self, session: Session, resource: Resource) -> None:
        ReadTable.__init__(self, session, resource)
        Joining.__init__(self, session)

    def UpdateDeleteRow(self, key: Any) -> None:
        session, resource = self._session, self._resource
        provider, _, id = str(key).partition("/")
        parent = ""
        if resource.parent:
            parent, _, id = id.rpartition("/")
        client = session.client(provider, f"delete a {resource.noun}")
        write = Write(client, "delete", session.statement.sql, job_id=id, resource=resource, parent=parent)
        session.add(write)

    def UpdateInsertRow(self, rowid: int | None, fields: tuple[SQLiteValue, ...]) -> int:
        resource = self._resource
        if not resource.grants:
            raise NotSupportedError(f"INSERT INTO {resource.table} is refused: {resource.insert}")
        values = {name: value for name, value in zip(self._names, fields, strict=True) if value is not None}
        return self.queue_row(lambda: self._grant(values), resource.noun)

    def UpdateChangeRow(self, row: int, newrowid: int, fields: tuple[Any, ...]) -> NoReturn:
        raise NotSupportedError(
            f"UPDATE on {self._resource.table} is refused: the APIs change no {self._resource.noun}s. "
            "They can be DELETEd"
        )

    def _grant(self, values: dict[str, Any]) -> Write:
        """Raises IntegrityError for a row that may not be sent."""
        session, resource = self._session, self._resource
        provider = values.pop("provider", None)
        alias = values.pop(resource.extra[0].name, None)
        if alias is not None and values.setdefault(resource.parent, alias) != alias:
            raise IntegrityError(f"{resource.extra[0].name} and {resource.parent} are the same thing: give it once")
        for name, value in values.items():
            if name not in (resource.parent, PROJECT):
                raise IntegrityError(
                    f"{name} is filled by the API: leave it out. It takes {resource.parent}, {PROJECT}, provider"
                )
            if not isinstance(value, str) or not value:
                raise IntegrityError(f"{name} takes a text, not {brief(value)}")
        for name in (resource.parent, PROJECT):
            if name not in values:
                raise IntegrityError(f"{name} is missing: a {resource.noun} needs {resource.parent} and {PROJECT}")
        client = session.client(None if provider is None else str(provider), f"grant a {resource.noun}")
        return Write(
            client,
            "grant",
            session.statement.sql,
            request={"project_ids": [values[PROJECT]]},
            resource=resource,
            parent=values[resource.parent],
        )
