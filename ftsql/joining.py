"""A table's part in SQLite's transactions: what its callbacks tell the session's queue of writes.

Every table that can be written has the same part, since their writes share one queue.
"""

from __future__ import annotations

from ftsql.session import Session


class Joining:
    """The transaction callbacks of a virtual table."""

    def __init__(self, session: Session) -> None:
        self._session = session

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
