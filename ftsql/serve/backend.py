"""The backend of one client: a SQLite connection with the catalog attached, and the plans of recent statements.

A backend is used in one thread only, because its connection is.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import apsw
import apsw.ext

from ftsql.connection import Connection
from ftsql.resources.resource import SQLiteValue
from ftsql.serve import types
from ftsql.serve.authorizer import ReadOnlyAuthorizer
from ftsql.serve.catalog import build, relations
from ftsql.serve.catalog.descriptions import Descriptions
from ftsql.serve.catalog.unknown import UnknownObjects
from ftsql.serve.functions.register import register
from ftsql.serve.limits import harden
from ftsql.serve.translate.statement import Translated, translate

KEPT = 100  # how many plans are kept, of the statements prepared last
LOGGED = 1000  # how many different messages are logged
NUMBERED = re.compile(r"\$(\d{1,3})", re.ASCII)


@dataclass(frozen=True, slots=True)
class StatementPlan:
    """A statement as SQLite runs it.

    ``sql`` is None if the statement returns no rows. ``parameters`` holds the types of the client's parameters, and
    ``bindings`` is how many of them SQLite takes. ``types`` holds the types of the columns, with None for unknown ones.
    """

    sql: str | None
    parameters: tuple[int, ...]
    bindings: int
    names: tuple[str, ...]
    types: tuple[int | None, ...]


class Shared:
    """The things that all sessions of a server share: how to connect, the log, and the content of the catalog."""

    def __init__(self, connect: Callable[[], Connection], log: Callable[[str], None]) -> None:
        self.connect = connect
        self._log = log
        self._logged: set[str] = set()
        self._lock = threading.Lock()
        self._built: tuple[list[relations.Relation], dict[str, bytes]] | None = None

    def log(self, message: str) -> None:
        """Log a message, but only once, and no more after LOGGED different messages."""
        with self._lock:
            is_new = message not in self._logged and len(self._logged) < LOGGED
            if is_new:
                self._logged.add(message)
        if is_new:
            self._log(message)

    def content(self, found: list[relations.Relation]) -> dict[str, bytes]:
        """Return the catalog of the relations ``found``. The catalog is built only if the relations have changed."""
        with self._lock:
            if self._built is None or self._built[0] != found:
                self._built = (found, build.build(found))
            return self._built[1]


class Backend:
    """The backend of one client.

    Create, use and close it in one thread. Only ``interrupt`` may be called from another thread.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.connection = shared.connect()
        try:
            self._authorizer = ReadOnlyAuthorizer(self.connection)
            self._unknown = UnknownObjects(self.connection, shared.log)
            self._descriptions = Descriptions()
            register(self.connection)
            self._descriptions.register(self.connection)
            with self._authorizer.suspended():
                harden(self.connection)
                for schema in build.SCHEMAS:
                    # A read-only connection would attach a plain ':memory:' as read-only too.
                    self.connection.execute(f"ATTACH 'file::memory:?mode=memory' AS {schema}")
        except BaseException:
            self.connection.close(True)
            raise
        self._version: object = object()
        self.tables: Mapping[str, Sequence[tuple[str, str]]] = {}
        self._plans: OrderedDict[tuple[str, tuple[int | None, ...]], StatementPlan] = OrderedDict()

    def close(self) -> None:
        self.connection.close(True)

    def interrupt(self) -> None:
        """End the running statement. This method may be called from another thread."""
        with contextlib.suppress(apsw.ConnectionClosedError):
            self.connection.interrupt()

    def _refresh(self) -> None:
        """Update the catalog if a table of the file has changed."""
        with self._authorizer.suspended():
            version = relations.version(self.connection)
            if version != self._version:
                found = relations.read(self.connection)
                for schema, content in self._shared.content(found).items():
                    self.connection.deserialize(schema, content)
                self.tables = {**build.TYPED, **relations.by_name(found)}
                self._descriptions.update(found)
                self._plans.clear()
                self._version = version

    def plan(self, text: str, given: Sequence[int | None] = (), *, explain: bool = False) -> StatementPlan:
        """Return the plan of a statement. ``given`` holds the type oids that the client specified for the parameters.

        Raise the errors that SQLite and the translation raise.
        """
        self._refresh()
        key = ("EXPLAIN " * explain + text, tuple(given))
        if (known := self._plans.get(key)) is not None:
            self._plans.move_to_end(key)
            return known
        plan = self._plan(text, given, explain)
        self._plans[key] = plan
        if len(self._plans) > KEPT:
            self._plans.popitem(last=False)
        return plan

    def _plan(self, text: str, given: Sequence[int | None], explain: bool) -> StatementPlan:
        try:
            translated = translate(text, self.tables)
            parameters = _parameters(given, translated)
            details = self._details(f"{'EXPLAIN QUERY PLAN ' * explain}{translated.sql}", text)
        except apsw.InterruptError:
            raise
        except Exception as error:
            names = None if explain else self._unknown.empty_columns(text, self.tables, error)
            if names is None:
                raise
            return _empty_plan(text, given, names)
        described = details.description
        columns = translated.columns
        if explain or columns is None or len(columns) != len(described):
            columns = tuple((name, None) for name, _ in described)
        declared = [types.oid_of(kind) for _, kind in described]
        inferred = [types.oid_of(kind) for _, kind in columns]
        return StatementPlan(
            details.query,
            parameters,
            details.bindings_count,
            tuple(name for name, _ in columns),
            tuple(one if one is not None else other for one, other in zip(declared, inferred, strict=True)),
        )

    def _details(self, sql: str, text: str) -> apsw.ext.QueryDetails:
        while True:
            try:
                return apsw.ext.query_info(self.connection, sql)
            except apsw.SQLError as error:
                with self._authorizer.suspended():
                    if not self._unknown.add(error, text, self.tables):
                        raise

    def start(self, plan: StatementPlan, values: Sequence[SQLiteValue]) -> apsw.Cursor:
        """Run a statement and return the cursor with its rows."""
        assert plan.sql is not None
        return self.connection.execute(plan.sql, tuple(values[: plan.bindings]))


def _empty_plan(text: str, given: Sequence[int | None], names: Sequence[str]) -> StatementPlan:
    """Return the plan of a statement that returns no rows. The result's columns are called ``names``."""
    count = max([len(given), *(int(number) for number in NUMBERED.findall(text)[:1000])])
    parameters = tuple((given[number] if number < len(given) else None) or types.TEXT for number in range(count))
    return StatementPlan(None, parameters, 0, tuple(names), (types.TEXT,) * len(names))


def _parameters(given: Sequence[int | None], translated: Translated) -> tuple[int, ...]:
    """Return the type of each parameter: the one that the client specified, else the inferred one, else text."""
    count = max(len(given), translated.parameters)
    inferred = [types.oid_of(kind) for kind in translated.types]
    return tuple(
        (given[number] if number < len(given) else None)
        or (inferred[number] if number < len(inferred) else None)
        or types.TEXT
        for number in range(count)
    )
