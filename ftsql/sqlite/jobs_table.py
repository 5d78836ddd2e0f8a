"""The virtual table ``fine_tuning_jobs``: APSW's callbacks for its module, tables and cursors.

The callbacks turn SQLite's calls into plans, scans and queued writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apsw

from ftsql.errors import IntegrityError, InternalError, NotSupportedError, ProgrammingError
from ftsql.read import metadata_filter as metadata
from ftsql.read.plan import ID_COLUMNS, Plan
from ftsql.read.prefetch import Feed
from ftsql.read.scan import requested_id, scan
from ftsql.resources.cells import ALWAYS, NAMES, PROVIDER, Cells, layout, runs, whole
from ftsql.resources.definitions import JOBS
from ftsql.resources.resource import SQLiteValue
from ftsql.sqlite import comparisons, foresight
from ftsql.sqlite.best_index import best_index
from ftsql.sqlite.session import Session
from ftsql.sqlite.write_callbacks import WriteCallbacks
from ftsql.write.create_body import brief
from ftsql.write.write import STATUS, Write

IDS = {number for number, name in enumerate(NAMES) if name in ID_COLUMNS}


class Module:
    """The module: xCreate and xConnect. The module is eponymous, and also has a table in the schema ``live``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def Connect(self, connection: apsw.Connection, module: str, schema: str, table: str, *_: str) -> tuple[str, Table]:
        # The schema of a file could contain a table of this module under a name that the authorizer does not guard.
        if table != JOBS.table:
            raise ProgrammingError(f"{schema}.{table}: the table of module {module} is called {JOBS.table}")
        connection.vtab_config(apsw.SQLITE_VTAB_CONSTRAINT_SUPPORT, 1)
        return JOBS.schema, Table(self._session)

    Create = Connect


class Table(WriteCallbacks):
    """A table: xBestIndex, xFindFunction, xOpen, xUpdate and the transaction callbacks.

    SQLite may create several tables of one module. Their writes share the session's queue.
    """

    def BestIndexObject(self, info: apsw.IndexInfo) -> bool:
        """Choose the plan for the constraints that SQLite offers. This is xBestIndex."""
        return best_index(self._session, JOBS, NAMES, info)

    def FindFunction(self, name: str, arguments: int) -> tuple[int, Callable[..., SQLiteValue]] | None:
        """Let SQLite pass ``metadata_has(metadata, …)`` as a constraint. This is xFindFunction."""
        if name.lower() == metadata.NAME and arguments == 2:
            return apsw.SQLITE_INDEX_CONSTRAINT_FUNCTION, metadata.has
        return None

    def Open(self) -> Cursor:
        return Cursor(self._session)

    def Disconnect(self) -> None:
        pass

    Destroy = Disconnect

    def UpdateInsertRow(self, rowid: int | None, fields: tuple[SQLiteValue, ...]) -> int:
        return self.queue_row(lambda: self._create(fields))

    def _create(self, fields: tuple[SQLiteValue, ...]) -> Write:
        """Return the write for an inserted row. Raises IntegrityError if its values are not valid."""
        values = {name: value for name, value in zip(NAMES, fields, strict=True) if value is not None}
        provider = values.pop("provider", None)
        client = self._session.client(None if provider is None else str(provider), "create a job")
        return Write.create(client, values, self._session.statement.sql)

    def UpdateDeleteRow(self, rowid: int) -> None:
        raise NotSupportedError(
            "DELETE on fine_tuning_jobs is refused: the APIs cannot delete jobs. To stop a running job: "
            f"SELECT cancel_job('{str(rowid).partition('/')[2]}')"
        )

    def UpdateChangeRow(self, row: int, newrowid: int, fields: tuple[Any, ...]) -> None:
        session = self._session
        provider, _, id = str(row).partition("/")
        client = session.client(provider, "change a job")
        job = session.statement.cache.get(client.account, id)
        if job is None:
            raise InternalError(f"{provider}: the job {id} that UPDATE found no longer exists; run the statement again")
        for name, shown, value in zip(NAMES, whole(job), fields, strict=True):
            if value is apsw.no_change or value == shown:
                continue
            if name != "status":
                raise IntegrityError(
                    f"{name} cannot be changed: only a job's status can be set, to {', '.join(map(repr, STATUS))}"
                )
            if value not in STATUS:
                raise IntegrityError(
                    f"status cannot be set to {brief(value)}: 'cancelled' cancels, 'paused' pauses, 'running' resumes"
                )
            action = STATUS[str(value)]
            if action in client.account.provider.without:
                raise NotSupportedError(f"{provider} has no way to {action} a job")
            session.add(Write(client, action, session.statement.sql, job_id=id))


class Cursor:
    """One scan: xFilter, xNext, xEof, xColumn, xRowid and xClose.

    A cursor uses the cache of the statement in which SQLite opened it. SQLite calls ``Column`` for every value that it
    reads, so ``Column`` is a built-in method: ``__getitem__`` of ``_values``, the list with the current row.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._cache = session.statement.cache
        self._feed: Feed | None = None
        self._rows: Iterator[Cells] = iter(())
        self._row: Cells | None = None
        self._runs: tuple[tuple[Any, Any], ...] = ()
        self._values: list[SQLiteValue] = [None] * len(NAMES)
        self.Column: Callable[[int], SQLiteValue] = self._values.__getitem__

    def Filter(self, columns: int, words: str, arguments: Sequence[Any]) -> None:
        cache = self._cache
        plan = Plan.from_words(comparisons.split_checks(words)[0])
        self.Close()
        if (noted := self._session.statements.noted) is not None:
            values = dict(zip(plan.arguments, arguments, strict=False))
            foresight.note(noted, JOBS.table, values, [requested_id(values) or ""] if plan.access == "get" else [])
            return
        self._session.statement.check(words, arguments)
        arguments = arguments[: len(plan.arguments)]
        self._runs = runs(columns)
        self._columns = columns = columns | ALWAYS
        self._version = cache.version  # when the scan began
        self._rows = scan(cache, plan, arguments, columns)
        if cache.nested and plan.access == "list":  # scans of other tables may ask for the ids of these rows
            self._feed_others(dict(zip(plan.arguments, arguments, strict=True)))
        self.Next()

    def _feed_others(self, values: dict[str, Any]) -> None:
        """Let the statement's other scans look ahead in this one.

        ``values`` maps the word of each of the plan's arguments to its value.
        """
        place = layout(self._columns).positions
        exact = {place[NAMES.index(name)]: values[name] for name in ("status", "model") if name in values}
        exact = {place: value for place, value in exact.items() if isinstance(value, str)}
        self._feed = feed = Feed(
            self._rows,
            place[PROVIDER],
            lambda row: all(row[place] == value for place, value in exact.items()),
        )
        self._cache.feeds.add(feed)
        self._rows = feed.rows()
        self.Column = self._note_id

    def Eof(self) -> bool:
        return self._row is None

    def Next(self) -> None:
        row = self._row = next(self._rows, None)
        if row is not None:
            if self._version != self._cache.version:
                row = self._cache.current(row, self._columns)
            for columns, cells in self._runs:
                self._values[columns] = row[cells]

    def _note_id(self, number: int) -> SQLiteValue:
        """Return a value of the current row, and record in the feed that SQLite read the row's id."""
        if number in IDS and self._feed is not None:
            self._feed.mark_id_read()
        return self._values[number]

    def ColumnNoChange(self, number: int) -> Any:
        return apsw.no_change

    def Rowid(self) -> int:
        raise ProgrammingError("fine_tuning_jobs has no rowid: its key is the column key")

    def Close(self) -> None:
        if self._feed is not None:
            self._feed.end()
        self._feed, self._row, self._rows = None, None, iter(())
        self.Column = self._values.__getitem__
