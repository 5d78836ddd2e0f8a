"""The read-only virtual tables about ftsql itself: its columns, methods, providers, requests and writes.

Each scan computes the rows anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apsw
from pydantic_core import to_json

from ftsql.api.account import Account
from ftsql.api.request_log import COLUMNS as REQUEST_COLUMNS
from ftsql.api.request_log import NAMES as REQUEST_NAMES
from ftsql.errors import redacted
from ftsql.read.plan import pushed_down
from ftsql.resources.definitions import JOBS, OTHERS
from ftsql.resources.resource import SQLiteValue
from ftsql.sqlite.session import Session
from ftsql.store.journal import COLUMNS, NAMES

MakeRows = Callable[[], Iterable[tuple[SQLiteValue, ...]]]

COLUMN_COLUMNS = (
    "table_name TEXT",
    "position INTEGER",
    "column_name TEXT",
    "type TEXT",
    "description TEXT",
    "hidden INTEGER",
    "pushed_down TEXT",
)
METHOD_COLUMNS = (
    "service TEXT",
    "resource TEXT",
    "table_name TEXT",
    "method TEXT",
    "former_name TEXT",
    "sql_verb TEXT",
    "http_method TEXT",
    "path TEXT",
    "required JSON",
    "optional JSON",
    "lacking JSON",
)
PROVIDER_COLUMNS = (
    "provider TEXT",
    "active INTEGER",
    "missing TEXT",
    "base_url TEXT",
    "without JSON",
    "newest_first INTEGER",
)


def writes(session: Session) -> MakeRows:
    """ftsql_writes: the writes in the journal, then the writes that COMMIT will send."""

    def rows() -> Iterator[tuple[SQLiteValue, ...]]:
        session.statements.drop_failed_writes()
        yield from session.journal.entries()
        for write in session.queue.writes:
            if write.journal_id:  # the journal has this write
                continue
            values: dict[str, SQLiteValue] = {
                "state": write.state,
                "action": write.action,
                "provider": write.provider,
                "job_id": write.job_id,
                "method": write.method,
                "path": write.path,
                "body": None if write.body is None else write.body.decode(),
                "statement": redacted(write.statement),
                "open": 0,
            }
            yield tuple(values.get(name) for name in NAMES)

    return rows


def providers(session: Session) -> MakeRows:
    """ftsql_providers: all providers, whether they are active, and the environment variables that they lack."""

    def rows() -> Iterator[tuple[SQLiteValue, ...]]:
        active = {account.name: account for account in session.accounts}
        for name, provider in {**session.providers, **{a.name: a.provider for a in session.accounts}}.items():
            missing = Account(provider, session.environment).missing()
            yield (
                name,
                int(name in active),
                ", ".join(missing) or None,
                provider.base_url if missing else Account(provider, session.environment).address(),
                to_json(sorted(provider.without)).decode(),
                int(provider.newest_first),
            )

    return rows


def requests(session: Session) -> MakeRows:
    """ftsql_requests: the last HTTP requests of this connection, oldest first.

    The columns about a response are NULL if there was none.
    """

    def rows() -> Iterator[tuple[SQLiteValue, ...]]:
        for record in session.requests.records():
            yield tuple(getattr(record, name) for name in REQUEST_NAMES)

    return rows


class Module:
    """The module of a read-only table: xCreate and xConnect. ``rows`` returns the rows of one scan."""

    def __init__(self, name: str, columns: Iterable[str], rows: MakeRows) -> None:
        self._schema = f"CREATE TABLE {name}({', '.join(columns)})"
        self._rows = rows

    def Connect(self, connection: apsw.Connection, *_: str) -> tuple[str, Any]:
        return self._schema, _Table(self._rows)

    Create = Connect


class _Table:
    """A read-only table: xBestIndex and xOpen."""

    def __init__(self, rows: MakeRows) -> None:
        self._rows = rows

    def BestIndexObject(self, info: apsw.IndexInfo) -> bool:
        info.estimatedCost = info.estimatedRows = 1000
        return True

    def Open(self) -> _Cursor:
        return _Cursor(self._rows)

    def Disconnect(self) -> None:
        pass

    Destroy = Disconnect


class _Cursor:
    """One scan: xFilter, xNext, xEof, xColumn, xRowid and xClose."""

    def __init__(self, rows: MakeRows) -> None:
        self._make = rows
        self._rows: list[tuple[SQLiteValue, ...]] = []
        self._index = 0

    def Filter(self, *_: Any) -> None:
        self._rows = list(self._make())
        self._index = 0

    def Eof(self) -> bool:
        return self._index >= len(self._rows)

    def Next(self) -> None:
        self._index += 1

    def Column(self, number: int) -> SQLiteValue:
        return self._index + 1 if number < 0 else self._rows[self._index][number]

    def Rowid(self) -> int:
        return self._index + 1

    def Close(self) -> None:
        self._rows = []


def columns(session: Session) -> MakeRows:
    """ftsql_columns: every column of the resources' tables, and the operators on that column that are pushed down."""

    def rows() -> Iterator[tuple[SQLiteValue, ...]]:
        for resource in (JOBS, *OTHERS):
            for number, column in enumerate(resource.columns):
                pushed = pushed_down(resource, column.name)
                yield resource.table, number, column.name, column.type, column.description, int(column.hidden), pushed

    return rows


def methods(session: Session) -> MakeRows:
    """ftsql_methods: the methods of the APIs under StackQL's names, and the providers that lack them."""

    def rows() -> Iterator[tuple[SQLiteValue, ...]]:
        from ftsql.api.methods import served  # imported here, because its file takes a while to read

        for entry in served():
            for each in entry.methods:
                lists = (each.required, each.optional, entry.lacking(each, session.providers.values()))
                yield (
                    *(entry.service, entry.name, entry.table, each.name, each.former or None),
                    *(each.verb, each.http, each.path),
                    *(to_json(names).decode() for names in lists),
                )

    return rows


def modules(session: Session) -> dict[str, Module]:
    """Return the modules of the tables about ftsql, by name."""
    return {
        "ftsql_columns": Module("ftsql_columns", COLUMN_COLUMNS, columns(session)),
        "ftsql_methods": Module("ftsql_methods", METHOD_COLUMNS, methods(session)),
        "ftsql_providers": Module("ftsql_providers", PROVIDER_COLUMNS, providers(session)),
        "ftsql_requests": Module("ftsql_requests", REQUEST_COLUMNS, requests(session)),
        "ftsql_writes": Module("ftsql_writes", COLUMNS, writes(session)),
    }
