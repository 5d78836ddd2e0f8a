"""A table's part in SQLite's transactions: what its callbacks tell the session's queue of writes.

Every table that can be written has the same part, since their writes share one queue.
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
    """The transaction callbacks of a virtual table, and how a row that is inserted joins the queue."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def queue_row(self, make: Callable[[], Write], noun: str = JOBS.noun) -> int:
        """Queue what ``make`` makes of a row; OR IGNORE skips one that it refuses, OR FAIL keeps those before it.

        Gives SQLite the rowid that it asks for. Raises what ``make`` does.
        """
        session = self._session
        conflict = session.connection.vtab_on_conflict()
        try:
            refuse_replace(conflict, noun)
            write = make()
            write.conflict = conflict
        except IntegrityError as error:
            if conflict != apsw.SQLITE_IGNORE:
                session.statement.keeps = conflict == apsw.SQLITE_FAIL
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
        try:
            self._session.commit()
        except KeyboardInterrupt:
            self._session.commit()  # SQLite has committed: what is left undone here the next transaction would undo
            raise

    def Rollback(self) -> None:
        self._session.queue.rollback()

    def Savepoint(self, level: int) -> None:
        self._session.savepoint(id(self), level)

    def RollbackTo(self, level: int) -> None:
        self._session.roll_back_to(id(self), level)

    def Release(self, level: int) -> None:
        self._session.release(id(self), level)
