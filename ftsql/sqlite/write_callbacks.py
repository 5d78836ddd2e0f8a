"""The transaction callbacks of every writable virtual table. They call methods of the session.

All writable tables share these callbacks, because their writes share one queue.
"""

from __future__ import annotations

from collections.abc import Callable

import apsw

from ftsql.errors import IntegrityError
from ftsql.resources.definitions import JOBS
from ftsql.sqlite.session import Session
from ftsql.write.queue import refuse_replace
from ftsql.write.write import Write


class WriteCallbacks:
    """The base class of writable tables: xBegin, xSync, xCommit, xRollback, xSavepoint, xRollbackTo and xRelease."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def queue_row(self, make: Callable[[], Write], noun: str = JOBS.noun) -> int:
        """Queue the write that ``make`` returns for a row, and return the rowid for SQLite.

        noun: What the row is, for error messages.

        If ``make`` raises IntegrityError under OR IGNORE, the row is skipped with a note. Otherwise the error is
        raised, and OR FAIL keeps the rows before this one. All other errors of ``make`` are raised.
        """
        session = self._session
        conflict = session.connection.vtab_on_conflict()
        try:
            refuse_replace(conflict, noun)
            write = make()
            write.conflict = conflict
        except IntegrityError as error:
            if conflict != apsw.SQLITE_IGNORE:
                session.statement.keeps_writes = conflict == apsw.SQLITE_FAIL
                raise
            session.notes.append(f"skipped a row: {error}")
        else:
            session.add(write)
        return session.connection.last_insert_rowid()

    def Begin(self) -> None:
        self._session.begin(id(self))

    def Sync(self) -> None:
        self._session.sync()

    def Commit(self) -> None:
        self._session.commit()

    def Rollback(self) -> None:
        self._session.queue.rollback()

    def Savepoint(self, level: int) -> None:
        self._session.savepoint(id(self), level)

    def RollbackTo(self, level: int) -> None:
        self._session.roll_back_to(id(self), level)

    def Release(self, level: int) -> None:
        self._session.release(id(self), level)
