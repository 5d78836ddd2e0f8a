"""A connection's transactions as PEP 249 has them, over an ``ftsql.Connection``.

Nothing is sent before ``commit``; a commit that fails is rolled back, which cancels what it created.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Literal

import apsw

from ftsql import connection, errors
from ftsql.dbapi.apsw_errors import translated
from ftsql.dbapi.cursor import Cursor
from ftsql.errors import Error, InterfaceError, ProgrammingError
from ftsql.registration import Registration

INHERITED: list[connection.Connection] = []  # what a forked process must not close, not even by forgetting it
WHOLE = '"ftsql executemany"'


class Connection:
    """A PEP 249 connection over an ``ftsql.Connection``, its attribute ``native``.

    ``with`` commits at its end, or rolls back where the block raises; it does not close. Dropped or closed
    without commit it rolls back, and nothing is sent.
    """

    Warning = errors.Warning
    Error = errors.Error
    InterfaceError = errors.InterfaceError
    DatabaseError = errors.DatabaseError
    DataError = errors.DataError
    OperationalError = errors.OperationalError
    IntegrityError = errors.IntegrityError
    InternalError = errors.InternalError
    ProgrammingError = errors.ProgrammingError
    NotSupportedError = errors.NotSupportedError

    def __init__(self, native: connection.Connection, *, autocommit: bool = False) -> None:
        self.native = native
        self._registration = native.ftsql
        self._autocommit = autocommit
        self._process = os.getpid()
        self._closed = False
        self._failed = False  # a statement of the transaction under way

    @property
    def ftsql(self) -> Registration:
        """What ftsql has on the connection: counts, the record of writes, explain."""
        return self._registration

    @property
    def last_job_id(self) -> str | None:
        """The id of the job that this connection created last; known after COMMIT."""
        return self._registration.last_job_id

    @property
    def in_transaction(self) -> bool:
        self.usable()
        return self.native.in_transaction

    @property
    def autocommit(self) -> bool:
        """Whether each statement is a transaction of its own, which sends what it writes at its end."""
        return self._autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        if bool(value) != self._autocommit and self.in_transaction:
            raise ProgrammingError("commit or roll back first: autocommit cannot change inside a transaction")
        self._autocommit = bool(value)

    def cursor(self) -> Cursor:
        self.usable()
        return Cursor(self)

    def interrupt(self) -> None:
        """From another thread: end what runs, with an OperationalError there."""
        self.usable()
        self.native.interrupt()

    def __enter__(self) -> Connection:
        self.usable()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> Literal[False]:
        if kind is None:
            self.commit()
        else:
            self.roll_back_quietly()
        return False

    def commit(self) -> None:
        """Send what the transaction queued and make its local changes stand.

        Where that fails, the transaction is rolled back: the jobs that it created are cancelled, and the error
        says what became of each.
        """
        if not self.in_transaction:
            return
        self.refuse_after_failure()
        try:
            with translated():
                self.native.execute("COMMIT")
        except BaseException:
            self.roll_back_quietly()
            raise

    def rollback(self) -> None:
        """Drop the transaction; nothing of it was sent."""
        self._failed = False
        if self.in_transaction:
            with translated():
                self.native.execute("ROLLBACK")

    def close(self) -> None:
        """Roll back, and close everything. Closing twice is no error."""
        if self._closed:
            return
        self._closed = True
        if os.getpid() != self._process:
            INHERITED.append(self.native)  # a fork: the file, its locks and the sockets are its parent's
            return
        self.roll_back_quietly()
        self.native.close(True)

    def usable(self) -> None:
        """Raises ProgrammingError where the connection is closed, InterfaceError in a fork of its process."""
        if self._closed:
            raise ProgrammingError("this connection is closed: connect again")
        if os.getpid() != self._process:
            raise InterfaceError("this connection was opened before the process forked: connect again in this process")

    def begin_before_write(self) -> None:
        """Begin PEP 249's transaction, unless one is under way or each statement is its own."""
        if not self.native.in_transaction:
            self._failed = False
            if not self._autocommit:
                self.native.execute("BEGIN")

    def roll_back_quietly(self) -> None:
        """Roll back where another error is the one to tell."""
        with contextlib.suppress(apsw.Error, Error):
            if self.native.in_transaction:
                self.native.execute("ROLLBACK")

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """What is done inside stands or falls together; with ``autocommit`` it is a transaction."""
        begins = not self.in_transaction
        with translated():
            self.native.execute("BEGIN" if begins else f"SAVEPOINT {WHOLE}")
        try:
            yield
            if begins and self._autocommit:
                self.commit()
            elif not begins:
                with translated():
                    self.native.execute(f"RELEASE {WHOLE}")
        except BaseException:
            if begins:
                self.roll_back_quietly()
            elif self.native.in_transaction:
                with contextlib.suppress(apsw.Error, Error):
                    self.native.execute(f"ROLLBACK TO {WHOLE}; RELEASE {WHOLE}")
            raise

    def note_failure(self) -> None:
        """A statement that writes has failed."""
        self._failed = self.native.in_transaction

    def forget_failure(self) -> None:
        self._failed = False

    def refuse_after_failure(self) -> None:
        """Raises ProgrammingError, and rolls back, where COMMIT would send the rest of what failed in part.

        Some programs commit after an error all the same (pandas 3.1.1 does): a sweep that broke off would be
        paid for in part, after an error that said that nothing was sent.
        """
        failed, self._failed = self._failed, False
        queued = self._registration.queued
        if failed and queued and self.native.in_transaction:
            self.roll_back_quietly()
            raise ProgrammingError(
                f"a statement of this transaction failed, so its {queued} other queued writes were not sent: it is "
                "rolled back. To go on after an error, put the statement into a SAVEPOINT and say ROLLBACK TO"
            )
