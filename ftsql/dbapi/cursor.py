"""PEP 249's cursor: one statement at a time, and its rows.

A statement that writes or acts has ended when ``execute`` returns; one that reads goes on while its rows are fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import apsw

from ftsql.dbapi.apsw_errors import translated
from ftsql.dbapi.types import bindings
from ftsql.errors import DataError, NotSupportedError, ProgrammingError
from ftsql.resources.definitions import JOBS
from ftsql.sqlite.functions import EFFECTS

if TYPE_CHECKING:
    from ftsql.dbapi.connection import Connection

Row = tuple[Any, ...]
Description = tuple[tuple[str, str | None, None, None, None, None, bool | None], ...]

# Possessive, so that a long row of comments is read once and not in every way.
BLANK = re.compile(r"(?>\s+|;|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z))*+", re.DOTALL)
WORD = re.compile(r"[A-Z]*", re.IGNORECASE)
CHANGES = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE", "WITH"})
# They write, as SQLite has it, and have no place in a transaction or begin one themselves.
ALONE = frozenset({"BEGIN", "PRAGMA", "VACUUM", "ATTACH", "DETACH"})


class Cursor:
    """Made by ``Connection.cursor``.

    ``rowcount``: the rows that an INSERT, UPDATE or DELETE took in (of jobs: queued for COMMIT), else -1; -1
    also for INSERT OR IGNORE INTO fine_tuning_jobs, where only COMMIT shows which rows the API refuses.
    ``lastrowid``: the rowid of the row last inserted into a table of your own. None for a job: it has no rowid,
    and its id is known only after COMMIT: ``connection.last_job_id``, or ``SELECT * FROM ftsql_writes``.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.arraysize = 1
        self.description: Description | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self._cursor: apsw.Cursor | None = None
        self._rows: Iterator[Any] | None = None
        self._closed = False

    def execute(self, operation: str, parameters: Any = ()) -> Cursor:
        """Run one statement. ``parameters``: a sequence for ``?``, a mapping for ``:name``; a dict or list is JSON.

        Raises ProgrammingError where several statements are given, and PEP 249's errors.
        """
        self._usable()
        self._run(operation, bindings(parameters))
        return self

    def executemany(self, operation: str, seq_of_parameters: Iterable[Any]) -> Cursor:
        """Run one statement for each of the parameters; it may give no rows.

        All of them stand or fall together. With ``autocommit`` they are one transaction, so that ``max_writes``
        counts them together.
        """
        self._usable()
        with self.connection.whole():
            total = self._run_many(operation, seq_of_parameters)
        self.rowcount = total
        self.lastrowid = None
        return self

    def _run_many(self, operation: str, seq_of_parameters: Iterable[Any]) -> int:
        total = 0
        for parameters in seq_of_parameters:
            self._run(operation, bindings(parameters))
            if self.description is not None:
                self._finish()
                raise ProgrammingError("executemany is for statements that give no rows: use execute")
            total = -1 if self.rowcount < 0 or total < 0 else total + self.rowcount
        return total

    def _run(self, sql: str, parameters: dict[str, Any] | tuple[Any, ...]) -> None:
        self._finish()
        sql = sql.lstrip("; \t\r\n") if isinstance(sql, str) else sql
        connection = self.connection
        before = self._jobs_written()
        word: str | None = None
        writes = False

        def starts(cursor: apsw.Cursor, text: str, _: Any) -> bool:
            nonlocal word, writes
            if word is not None:
                return True  # what follows is blank
            if not BLANK.fullmatch(sql, len(text)):
                raise ProgrammingError("one statement at a time: give each to an execute of its own")
            word = _first_word(text)
            self.description = _described(cursor)
            writes = not cursor.is_readonly and not cursor.is_explain
            if (writes and word not in ALONE) or word == "SAVEPOINT":
                connection.begin_before_write()
            elif word in ("COMMIT", "END"):
                connection.refuse_after_failure()
            connection.ftsql.announce(text)  # this trace stands before the one that ftsql knows statements by
            return True

        self._cursor = cursor = connection.native.cursor()
        cursor.exec_trace = starts
        try:
            with translated():
                cursor.execute(sql, parameters or None)
                # What writes is done now, fetched or not, and nothing unfinished is in COMMIT's way.
                self._rows = iter(cursor.fetchall()) if writes or _acts(sql) else cursor
        except BaseException as error:
            cursor.exec_trace = None
            self._finish()
            if writes:
                connection.note_failure()
            if word is None and isinstance(error, (TypeError, KeyError, OverflowError, ValueError)):
                raise _unbound(error) from error  # SQLite has not begun: a parameter is wrong
            raise
        cursor.exec_trace = None  # it knows this object
        if word == "ROLLBACK":  # TO a savepoint, too
            connection.forget_failure()
        if self.description is None:
            self._rows = None
        if writes and word in CHANGES:
            self._count(sql, word, before)

    def _count(self, sql: str, word: str | None, before: object) -> None:
        changes = self.connection.native.changes()
        lower = sql.lower()
        perhaps = JOBS.table in lower and "ignore" in lower
        self.rowcount = -1 if perhaps else changes
        inserts = word in ("INSERT", "REPLACE") or (word == "WITH" and ("insert" in lower or "replace" in lower))
        if inserts and (perhaps or self._jobs_written() != before):
            self.lastrowid = None
        elif inserts and changes:
            self.lastrowid = self.connection.native.last_insert_rowid()

    def _jobs_written(self) -> object:
        """Differs once a statement has queued or sent a job."""
        return self.connection.ftsql.queued, self.connection.ftsql.last_job_id

    def fetchone(self) -> Row | None:
        """The next row, None after the last. Raises what the API answers meanwhile."""
        rows = self._result()
        try:
            with translated():
                row: Row | None = next(rows, None)
        except BaseException:
            self._end()
            raise
        return row

    def fetchmany(self, size: int | None = None) -> list[Row]:
        """The next ``size`` rows (``arraysize``); fewer at the end."""
        return self._fetched(self.arraysize if size is None else size)

    def fetchall(self) -> list[Row]:
        """All rows that are left."""
        return self._fetched(None)

    def _fetched(self, count: int | None) -> list[Row]:
        rows = self._result()
        try:
            with translated():
                return list(islice(rows, count))
        except BaseException:
            self._end()
            raise

    def __iter__(self) -> Cursor:
        return self

    def __next__(self) -> Row:
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def close(self) -> None:
        """End the statement, if one is under way; the cursor only tells its counts any more."""
        self._end()
        self._closed = True

    def setinputsizes(self, sizes: object) -> None:
        """Does nothing: SQLite needs no sizes."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Does nothing: SQLite needs no sizes."""

    def callproc(self, procname: str, parameters: object = ()) -> None:
        raise NotSupportedError("SQLite has no stored procedures: SELECT a function")

    def nextset(self) -> None:
        raise NotSupportedError("a statement gives one set of rows")

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _usable(self) -> None:
        if self._closed:
            raise ProgrammingError("this cursor is closed: ask the connection for another one")
        self.connection.usable()

    def _result(self) -> Iterator[Any]:
        self._usable()
        if self._rows is None:
            raise ProgrammingError("there are no rows to fetch: execute a SELECT first")
        return self._rows

    def _end(self) -> None:
        """No more rows come: the statement failed or was interrupted."""
        self._rows = iter(())
        if self._cursor is not None:
            self._cursor.close(True)
            self._cursor = None

    def _finish(self) -> None:
        """Leave the statement before, and what is known of it, behind."""
        self._end()
        self._rows = None
        self.description = None
        self.rowcount = -1


def _first_word(sql: str) -> str:
    blank = BLANK.match(sql.removeprefix("\ufeff"))
    match = WORD.match(sql.removeprefix("\ufeff"), blank.end() if blank else 0)
    return match[0].upper() if match else ""


def _acts(sql: str) -> bool:
    """Whether a SELECT may act on jobs for each of its rows."""
    lower = sql.lower()
    return any(name in lower for name in EFFECTS)


def _described(cursor: apsw.Cursor) -> Description | None:
    columns = cursor.get_description()
    return tuple((str(name), kind, None, None, None, None, None) for name, kind in columns) or None


def _unbound(error: Exception) -> DataError | ProgrammingError:
    """The error of a text or parameter that SQLite cannot take."""
    if isinstance(error, KeyError):
        return ProgrammingError(f"no value is given for the parameter :{error.args[0]}")
    if isinstance(error, (TypeError, ValueError)) and not isinstance(error, UnicodeError):
        return ProgrammingError(str(error))
    return DataError(f"a parameter does not fit SQLite: {error}")
