"""PEP 249's cursor: it runs one statement at a time and returns its rows.

A statement that writes, or calls a function with effects, has ended when ``execute`` returns. A statement that only
reads runs while its rows are fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import apsw

from ftsql.dbapi.apsw_errors import translate_errors
from ftsql.dbapi.types import bindings
from ftsql.errors import DataError, NotSupportedError, ProgrammingError
from ftsql.resources.definitions import JOBS
from ftsql.sqlite.statements import EFFECTS
from ftsql.sqlite.text import first_word, is_blank

if TYPE_CHECKING:
    from ftsql.dbapi.connection import Connection

Row = tuple[Any, ...]
Description = tuple[tuple[str, str | None, None, None, None, None, bool | None], ...]

COUNTED = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE", "WITH"})
# SQLite says that these statements write. But no transaction is begun for them: BEGIN begins one itself, and the others
# must not run in one.
NO_BEGIN = frozenset({"BEGIN", "PRAGMA", "VACUUM", "ATTACH", "DETACH"})


class Cursor:
    """A PEP 249 cursor, created by ``Connection.cursor``.

    rowcount: The number of rows that an INSERT, UPDATE or DELETE changed, or queued for COMMIT if they are jobs. It is
        -1 after any other statement, and after INSERT OR IGNORE INTO fine_tuning_jobs, because only COMMIT shows which
        rows the API refuses.
    lastrowid: The rowid of the last row inserted into a table of your own. It is None for a job, which has no rowid. A
        job's id is known only after COMMIT: see ``connection.last_job_id`` or ``SELECT * FROM ftsql_writes``.

    >>> from ftsql import dbapi
    >>> connection = dbapi.connect(sandbox=True)
    >>> cursor = connection.cursor().execute("SELECT status, count(*) AS jobs FROM fine_tuning_jobs GROUP BY status")
    >>> [column[0] for column in cursor.description], cursor.fetchmany(2)
    (['status', 'jobs'], [('cancelled', 26), ('failed', 33)])
    >>> connection.close()
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
        """Run one statement and return the cursor.

        parameters: A sequence for ``?`` or a mapping for ``:name``. A dict or list among the values is bound as JSON.

        Raises ProgrammingError for several statements, and PEP 249's other errors.

        >>> from ftsql import dbapi
        >>> connection = dbapi.connect(sandbox=True)
        >>> cursor = connection.cursor()
        >>> cursor.execute("SELECT count(*) FROM fine_tuning_jobs WHERE status = ?", ("paused",)).fetchone()
        (2,)
        >>> cursor.execute("SELECT :names ->> 1", {"names": ["a", "b"]}).fetchone()
        ('b',)
        >>> connection.close()
        """
        self._check_usable()
        self._run(operation, bindings(parameters))
        return self

    def executemany(self, operation: str, seq_of_parameters: Iterable[Any]) -> Cursor:
        """Run one statement for each item of ``seq_of_parameters`` and return the cursor.

        All runs succeed together or none does. With ``autocommit`` they are one transaction, so that ``max_writes``
        counts them together. Raises ProgrammingError if the statement returns rows.

        >>> from ftsql import dbapi
        >>> connection = dbapi.connect(sandbox=True, read_only=False)
        >>> cursor = connection.cursor().execute("CREATE TABLE notes (job, note)")
        >>> cursor.executemany("INSERT INTO notes VALUES (?, ?)", [("ftjob-1", "good"), ("ftjob-2", None)]).rowcount
        2
        >>> connection.close()
        """
        self._check_usable()
        with self.connection.atomic():
            total = self._run_many(operation, seq_of_parameters)
        self.rowcount = total
        self.lastrowid = None
        return self

    def _run_many(self, operation: str, seq_of_parameters: Iterable[Any]) -> int:
        total = 0
        for parameters in seq_of_parameters:
            self._run(operation, bindings(parameters))
            if self.description is not None:
                self._reset()
                raise ProgrammingError("executemany is for statements that return no rows: use execute")
            total = -1 if self.rowcount < 0 or total < 0 else total + self.rowcount
        return total

    def _run(self, sql: str, parameters: dict[str, Any] | tuple[Any, ...]) -> None:
        self._reset()
        sql = sql.lstrip("; \t\r\n") if isinstance(sql, str) else sql
        before = self._job_state()
        statement = _Statement(self.connection, sql)
        self._cursor = cursor = self.connection.native.cursor()
        cursor.exec_trace = statement.start
        try:
            with translate_errors():
                cursor.execute(sql, parameters or None)
                # A statement that writes runs to its end now, even if no row is fetched. Unfinished, it would block
                # COMMIT.
                self._rows = iter(cursor.fetchall()) if statement.writes or _may_act(sql) else cursor
        except BaseException as error:
            cursor.exec_trace = None
            self._reset()
            if statement.writes:
                self.connection.note_failure()
            if statement.word is None and isinstance(error, (TypeError, KeyError, OverflowError, ValueError)):
                raise _binding_error(error) from error  # SQLite has not begun, so a parameter is invalid
            raise
        cursor.exec_trace = None
        self.description = statement.description
        if statement.word == "ROLLBACK":  # ROLLBACK TO a savepoint, too
            self.connection.forget_failure()
        if self.description is None:
            self._rows = None
        if statement.writes and statement.word in COUNTED:
            self._set_counts(sql, statement.word, before)

    def _set_counts(self, sql: str, word: str | None, before: object) -> None:
        """Set ``rowcount`` and ``lastrowid`` after a statement that wrote.

        ``before`` is the value that ``_job_state`` had when the statement began.
        """
        changes = self.connection.native.changes()
        lower = sql.lower()
        may_skip_jobs = JOBS.table in lower and "ignore" in lower  # an INSERT OR IGNORE into jobs
        self.rowcount = -1 if may_skip_jobs else changes
        inserts = word in ("INSERT", "REPLACE") or (word == "WITH" and ("insert" in lower or "replace" in lower))
        if inserts and (may_skip_jobs or self._job_state() != before):
            self.lastrowid = None
        elif inserts and changes:
            self.lastrowid = self.connection.native.last_insert_rowid()

    def _job_state(self) -> object:
        """Return a value that changes when a statement queues or sends a job."""
        return self.connection.ftsql.queued, self.connection.ftsql.last_job_id

    def fetchone(self) -> Row | None:
        """Return the next row, or None after the last. Raises APIError if a request for it fails."""
        rows = self._current_rows()
        try:
            with translate_errors():
                row: Row | None = next(rows, None)
        except BaseException:
            self._end()
            raise
        return row

    def fetchmany(self, size: int | None = None) -> list[Row]:
        """Return at most ``size`` rows (by default ``arraysize``). Raises the same errors as ``fetchone``."""
        return self._fetch(self.arraysize if size is None else size)

    def fetchall(self) -> list[Row]:
        """Return all remaining rows. Raises the same errors as ``fetchone``."""
        return self._fetch(None)

    def _fetch(self, count: int | None) -> list[Row]:
        rows = self._current_rows()
        try:
            with translate_errors():
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
        """End the statement. Afterwards only the counts of the cursor can be read."""
        self._end()
        self._closed = True

    def setinputsizes(self, sizes: object) -> None:
        """Do nothing: SQLite needs no sizes."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Do nothing: SQLite needs no sizes."""

    def callproc(self, procname: str, parameters: object = ()) -> None:
        """Raise NotSupportedError."""
        raise NotSupportedError("SQLite has no stored procedures: SELECT a function")

    def nextset(self) -> None:
        """Raise NotSupportedError."""
        raise NotSupportedError("a statement returns one set of rows")

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_usable(self) -> None:
        if self._closed:
            raise ProgrammingError("this cursor is closed: call connection.cursor() for another one")
        self.connection.check_usable()

    def _current_rows(self) -> Iterator[Any]:
        self._check_usable()
        if self._rows is None:
            raise ProgrammingError("there are no rows to fetch: execute a SELECT first")
        return self._rows

    def _end(self) -> None:
        """End the statement, so that no more rows follow."""
        self._rows = iter(())
        if self._cursor is not None:
            self._cursor.close(True)
            self._cursor = None

    def _reset(self) -> None:
        """End the previous statement and clear its results."""
        self._end()
        self._rows = None
        self.description = None
        self.rowcount = -1


class _Statement:
    """The statement of one ``execute``.

    Its ``start`` is APSW's execution trace, which APSW calls before SQLite runs the statement.
    """

    def __init__(self, connection: Connection, sql: str) -> None:
        self._connection = connection
        self._sql = sql
        self.word: str | None = None  # the first word, once the statement has started
        self.writes = False
        self.description: Description | None = None

    def start(self, cursor: apsw.Cursor, text: str, bound: Any) -> bool:
        """Begin the transaction that the statement needs. Raises ProgrammingError if another statement follows it."""
        if self.word is not None:
            return True  # only blanks follow
        if not is_blank(self._sql, len(text)):
            raise ProgrammingError("one statement at a time: call execute for each")
        self.word = first_word(text)
        self.description = _describe(cursor)
        self.writes = not cursor.is_readonly and not cursor.is_explain
        if (self.writes and self.word not in NO_BEGIN) or self.word == "SAVEPOINT":
            self._connection.begin_before_write()
        elif self.word in ("COMMIT", "END"):
            self._connection.refuse_after_failure()
        self._connection.ftsql.announce(text, bound)  # the cursor's trace hides the statement from ftsql's own trace
        return True


def _may_act(sql: str) -> bool:
    """Whether a SELECT may call a function with effects for each of its rows."""
    lower = sql.lower()
    return any(name in lower for name in EFFECTS)


def _describe(cursor: apsw.Cursor) -> Description | None:
    columns = cursor.get_description()
    return tuple((str(name), kind, None, None, None, None, None) for name, kind in columns) or None


def _binding_error(error: Exception) -> DataError | ProgrammingError:
    """Return the error for SQL or a parameter that SQLite does not accept."""
    if isinstance(error, KeyError):
        return ProgrammingError(f"the parameter :{error.args[0]} has no value")
    if isinstance(error, (TypeError, ValueError)) and not isinstance(error, UnicodeError):
        return ProgrammingError(str(error))
    return DataError(f"a parameter does not fit SQLite: {error}")
