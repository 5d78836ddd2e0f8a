"""A backend: one client's SQLite connection with the catalog beside it, and the plans of what it prepared.

Everything here runs in the one thread that the connection lives in.
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
from ftsql.serve.authorizer import Permission
from ftsql.serve.catalog import build as catalog
from ftsql.serve.catalog import relations as schemas
from ftsql.serve.catalog.descriptions import Descriptions
from ftsql.serve.catalog.unknown import Healing
from ftsql.serve.errors import Failure
from ftsql.serve.functions import register as functions
from ftsql.serve.limits import harden
from ftsql.serve.translate.statement import Translated, translate

KEPT = 100  # plans of late
LOGGED = 1000  # lines on what the catalog lacks
NUMBERED = re.compile(r"\$(\d{1,3})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Plan:
    """A statement as SQLite runs it. ``types``: the columns' where they are known; ``sql`` None: it gives no rows."""

    sql: str | None
    parameters: tuple[int, ...]
    bindings: int
    names: tuple[str, ...]
    types: tuple[int | None, ...]


class Shared:
    """What the sessions of a server have in common: the catalog's content, made anew when the file's tables change."""

    def __init__(self, connect: Callable[[], Connection], log: Callable[[str], None]) -> None:
        self.connect = connect
        self._say = log
        self._said: set[str] = set()
        self._lock = threading.Lock()
        self._built: tuple[list[schemas.Relation], dict[str, bytes]] | None = None

    def log(self, text: str) -> None:
        """Say it once, and no end of things never."""
        with self._lock:
            fresh = text not in self._said and len(self._said) < LOGGED
            self._said |= {text} if fresh else set()
        if fresh:
            self._say(text)

    def content(self, found: list[schemas.Relation]) -> dict[str, bytes]:
        """The catalog of these relations."""
        with self._lock:
            if self._built is None or self._built[0] != found:
                self._built = (found, catalog.build(found))
            return self._built[1]


class Backend:
    """Made, used and closed in one thread; ``interrupt`` alone may come from another."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.connection = shared.connect()
        try:
            self._permission = Permission(self.connection)
            self._healing = Healing(self.connection, shared.log)
            self._descriptions = Descriptions()
            functions.register(self.connection)
            self._descriptions.register(self.connection)
            with self._permission.lifted():
                harden(self.connection)
                for schema in catalog.SCHEMAS:
                    # A read-only connection would attach a plain ':memory:' as read-only too.
                    self.connection.execute(f"ATTACH 'file::memory:?mode=memory' AS {schema}")
        except BaseException:
            self.connection.close(True)
            raise
        self._version: object = object()
        self.tables: Mapping[str, Sequence[tuple[str, str]]] = {}
        self._plans: OrderedDict[tuple[str, tuple[int | None, ...]], Plan] = OrderedDict()

    def close(self) -> None:
        self.connection.close(True)

    def interrupt(self) -> None:
        """From another thread: end what runs."""
        with contextlib.suppress(apsw.ConnectionClosedError):
            self.connection.interrupt()

    def _refresh(self) -> None:
        """Read the catalog anew where a table of the file has changed."""
        with self._permission.lifted():
            version = schemas.version(self.connection)
            if version != self._version:
                found = schemas.read(self.connection)
                for schema, content in self._shared.content(found).items():
                    self.connection.deserialize(schema, content)
                self.tables = {**catalog.TYPED, **schemas.named(found)}
                self._descriptions.learn(found)
                self._plans.clear()
                self._version = version

    def plan(self, text: str, given: Sequence[int | None] = (), *, explain: bool = False) -> Plan:
        """What a statement is to SQLite. Raises what SQLite and the translation say of it."""
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

    def _plan(self, text: str, given: Sequence[int | None], explain: bool) -> Plan:
        try:
            translated = translate(text, self.tables)
            if len(translated) != 1 or translated[0].kind != "select":
                raise Failure("42601", "one SELECT is expected here")
            parameters = _parameters(given, translated[0])
            details = self._details(f"{'EXPLAIN QUERY PLAN ' * explain}{translated[0].sql}", text)
        except Exception as error:
            if isinstance(error, apsw.InterruptError):
                raise
            names = None if explain else self._healing.empty(text, self.tables, error)
            if names is None:
                raise
            count = max([len(given), *(int(number) for number in NUMBERED.findall(text)[:1000])])
            parameters = tuple((given[place] if place < len(given) else None) or types.TEXT for place in range(count))
            return Plan(None, parameters, 0, tuple(names), (types.TEXT,) * len(names))
        columns = translated[0].columns
        described = details.description
        if explain or columns is None or len(columns) != len(described):
            columns = tuple((name, None) for name, _ in described)
        known = [types.named(declared) for _, declared in described]
        said = [types.named(kind) for _, kind in columns]
        return Plan(
            details.query,
            parameters,
            details.bindings_count,
            tuple(name for name, _ in columns),
            tuple(one if one is not None else other for one, other in zip(known, said, strict=True)),
        )

    def _details(self, sql: str, text: str) -> apsw.ext.QueryDetails:
        while True:
            try:
                return apsw.ext.query_info(self.connection, sql)
            except apsw.SQLError as error:
                with self._permission.lifted():
                    if not self._healing.heal(error, text, self.tables):
                        raise

    def start(self, plan: Plan, values: Sequence[SQLiteValue]) -> apsw.Cursor:
        """Run it; the cursor gives its rows."""
        assert plan.sql is not None
        return self.connection.execute(plan.sql, tuple(values[: plan.bindings]))


def _parameters(given: Sequence[int | None], translated: Translated) -> tuple[int, ...]:
    """The parameters' types: as the client says, else as the text tells, else texts."""
    count = max(len(given), translated.parameters)
    told = [types.named(kind) for kind in translated.types]
    return tuple(
        (given[place] if place < len(given) else None) or (told[place] if place < len(told) else None) or types.TEXT
        for place in range(count)
    )
