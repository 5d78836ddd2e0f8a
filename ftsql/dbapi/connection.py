"""PEP 249's connection and its transactions, over an ``ftsql.Connection``.

Nothing is sent before ``commit``. A commit that fails is rolled back, which cancels the jobs that it created.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Literal

import apsw

from ftsql import connection, errors
from ftsql.dbapi.apsw_errors import translate_errors
from ftsql.dbapi.cursor import Cursor
from ftsql.errors import Error, InterfaceError, ProgrammingError
from ftsql.registration import Registration

# Connections that a forked process inherited. The process must not close them, and freeing such an object would close
# it, so this list keeps them alive.
INHERITED: list[connection.Connection] = []
ATOMIC = '"ftsql executemany"'


class Connection:
    """A PEP 249 connection over an ``ftsql.Connection``, which is its attribute ``native``.

    A ``with`` block commits at its end, or rolls back if it raises; it does not close the connection. A connection that
    is closed or dropped without commit rolls back and sends nothing.

    >>> from ftsql import dbapi
    >>> connection = dbapi.connect(sandbox=True, read_only=False)
    >>> with connection:
    ...     cursor = connection.cursor().execute("CREATE TABLE notes (job, note)")
    ...     connection.in_transaction  # until the end of the block
    True
    >>> connection.in_transaction
    False
    >>> connection.close()
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
        self._failed = False  # whether a statement of the current transaction failed

    @property
    def ftsql(self) -> Registration:
        """ftsql's registration on the connection: counts, the journal of writes, explain."""
        return self._registration

    @property
    def last_job_id(self) -> str | None:
        """The id of the last job that this connection created, or None. The id is known only after COMMIT."""
        return self._registration.last_job_id

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        self.check_usable()
        return self.native.in_transaction

    @property
    def autocommit(self) -> bool:
        """Whether each statement is a transaction of its own, which sends its writes at its end."""
        return self._autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        if bool(value) != self._autocommit and self.in_transaction:
            raise ProgrammingError("commit or roll back first: autocommit cannot change inside a transaction")
        self._autocommit = bool(value)

    def cursor(self) -> Cursor:
        """Return a new cursor."""
        self.check_usable()
        return Cursor(self)

    def interrupt(self) -> None:
        """End the running statement, which raises OperationalError. Call it from another thread."""
        self.check_usable()
        self.native.interrupt()

    def __enter__(self) -> Connection:
        self.check_usable()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> Literal[False]:
        if kind is None:
            self.commit()
        else:
            self.roll_back_quietly()
        return False

    def commit(self) -> None:
        """Send the queued writes of the transaction and commit its local changes.

        If the commit fails, the transaction is rolled back: the jobs that it created are cancelled, and the error says
        what became of each job. Raises APIError, OutcomeUnknown, and PEP 249's other errors.

        >>> from ftsql import dbapi
        >>> connection = dbapi.connect(sandbox=True, read_only=False)
        >>> cursor = connection.cursor()
        >>> cursor.execute("UPDATE fine_tuning_jobs SET status = 'cancelled' WHERE status = 'paused'").rowcount
        2
        >>> connection.commit()
        >>> connection.close()
        """
        if not self.in_transaction:
            return
        self.refuse_after_failure()
        try:
            with translate_errors():
                self.native.execute("COMMIT")
        except BaseException:
            self.roll_back_quietly()
            raise

    def rollback(self) -> None:
        """Roll back the transaction. None of its queued writes were sent."""
        self._failed = False
        if self.in_transaction:
            with translate_errors():
                self.native.execute("ROLLBACK")

    def close(self) -> None:
        """Roll back and close the connection. Closing it twice is allowed."""
        if self._closed:
            return
        self._closed = True
        if os.getpid() != self._process:
            INHERITED.append(self.native)  # after a fork the file, its locks and the sockets belong to the parent
            return
        self.roll_back_quietly()
        self.native.close(True)

    def check_usable(self) -> None:
        """Raise ProgrammingError if the connection is closed, and InterfaceError in a fork of its process."""
        if self._closed:
            raise ProgrammingError("this connection is closed: connect again")
        if os.getpid() != self._process:
            raise InterfaceError("this connection was opened before the process forked: connect again in this process")

    def begin_before_write(self) -> None:
        """Begin PEP 249's implicit transaction, unless one is open or ``autocommit`` is on."""
        if not self.native.in_transaction:
            self._failed = False
            if not self._autocommit:
                self.native.execute("BEGIN")

    def roll_back_quietly(self) -> None:
        """Roll back and suppress errors, because the caller raises another one."""
        with contextlib.suppress(apsw.Error, Error):
            if self.native.in_transaction:
                self.native.execute("ROLLBACK")

    @contextlib.contextmanager
    def atomic(self) -> Iterator[None]:
        """Keep all changes of the block or none. With ``autocommit`` the block is a transaction."""
        begins = not self.in_transaction
        with translate_errors():
            self.native.execute("BEGIN" if begins else f"SAVEPOINT {ATOMIC}")
        try:
            yield
            if begins and self._autocommit:
                self.commit()
            elif not begins:
                with translate_errors():
                    self.native.execute(f"RELEASE {ATOMIC}")
        except BaseException:
            if begins:
                self.roll_back_quietly()
            elif self.native.in_transaction:
                with contextlib.suppress(apsw.Error, Error):
                    self.native.execute(f"ROLLBACK TO {ATOMIC}; RELEASE {ATOMIC}")
            raise

    def note_failure(self) -> None:
        """Record that a writing statement has failed."""
        self._failed = self.native.in_transaction

    def forget_failure(self) -> None:
        """Clear the recorded failure after ROLLBACK."""
        self._failed = False

    def refuse_after_failure(self) -> None:
        """Roll back and raise ProgrammingError if COMMIT would send the other writes of a failed transaction.

        Some programs commit even after an error (pandas 3.1.1 does). Their users would pay for some of the jobs,
        although the error said that nothing was sent.
        """
        failed, self._failed = self._failed, False
        queued = self._registration.queued
        if failed and queued and self.native.in_transaction:
            self.roll_back_quietly()
            raise ProgrammingError(
                f"a statement of this transaction failed, so its {queued} other queued writes were not sent: it is "
                "rolled back. To continue after an error, run the statement inside a SAVEPOINT and then ROLLBACK TO"
            )
