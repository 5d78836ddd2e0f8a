"""The queue of a connection's writes. Statements add writes, COMMIT sends them, and ROLLBACK drops them.

A write that is rolled back before COMMIT is never sent. If a create was sent already, the job is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import apsw

from ftsql.errors import APIError, IntegrityError, OperationalError, OutcomeUnknown, ProgrammingError
from ftsql.resources.definitions import JOBS
from ftsql.store.journal import check_day
from ftsql.write.sender import Sender
from ftsql.write.write import Write


@dataclass(eq=False)
class Queue:
    """The writes of one connection's transaction, from all of its tables.

    ``on_written`` is called with each write that created or changed an object. ``on_committed`` is called with each
    write that a ROLLBACK cannot undo any more. ``confirm`` is called with the writes that are about to be sent, and
    raises an error to stop them. ``sent_by_functions`` returns how many writes SQL functions have sent in this
    transaction.
    """

    sender: Sender
    on_written: Callable[[Write], None]
    on_committed: Callable[[Write], None]
    confirm: Callable[[Sequence[Write]], None]
    sent_by_functions: Callable[[], int]
    writes: list[Write] = field(default_factory=list)
    ended: int = 0  # the number of transactions that have ended
    _is_sent: bool = False  # whether all writes were sent while the transaction is still open
    # The length of the queue when each table joined the transaction, and when each savepoint (table, level) began.
    _lengths_at_begin: dict[int, int] = field(default_factory=dict)
    _lengths_at_savepoint: dict[tuple[int, int], int] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """The number of writes that wait for COMMIT."""
        return sum(write.state == "queued" for write in self.writes)

    @property
    def sent(self) -> int:
        """The number of writes sent by a COMMIT that has not succeeded yet."""
        return len(self.writes) - self.waiting

    def add(self, write: Write) -> None:
        """Queue a write. If it deletes an object that a queued write deletes already, ignore it.

        Raises ProgrammingError if the write would exceed ``max_writes`` or ``max_creates_per_day``.
        """
        if write.action == "delete" and any(_deletes_the_same(write, other) for other in self.writes):
            return
        settings = self.sender.settings
        sent = self.sent + self.sent_by_functions()
        if self.waiting + sent >= settings.max_writes:
            raise ProgrammingError(too_many(settings.max_writes, sent=sent))
        if settings.max_creates_per_day is not None and write.action == "create":
            creates = 1 + sum(other.state == "queued" and other.action == "create" for other in self.writes)
            check_day(self.sender.journal.creates_of_the_day(), creates, settings.max_creates_per_day)
        self.writes.append(write)

    def begin(self, table: int) -> None:
        """Let a table join the transaction. Savepoints that are open now cover all writes that the table will queue."""
        self._lengths_at_begin[table] = len(self.writes)

    def savepoint(self, table: int, level: int) -> None:
        """Begin a savepoint of a table."""
        self._lengths_at_savepoint[table, level] = len(self.writes)

    def release(self, table: int, level: int) -> None:
        """Release a savepoint of a table, and the savepoints inside it. Their writes stay queued."""
        for mark in [mark for mark in self._lengths_at_savepoint if mark[0] == table and mark[1] >= level]:
            del self._lengths_at_savepoint[mark]

    def roll_back_to(self, table: int, level: int) -> None:
        """Drop the writes queued since a savepoint, or all writes if ``level`` is -1."""
        length_at_begin = self._lengths_at_begin.get(table, len(self.writes))
        self.drop_from(0 if level < 0 else self._lengths_at_savepoint.get((table, level), length_at_begin))

    def drop_from(self, length: int) -> None:
        """Drop all writes except the first ``length``. Cancel the jobs that the dropped writes have created."""
        dropped = self.writes[length:]
        del self.writes[length:]
        for text in self._undo([write for write in dropped if write.state == "created"]):
            self.sender.note(text)

    def sync(self) -> None:
        """Send the queued writes one at a time, in order. A write that an earlier sync sent is not sent again.

        Raises the error of a refused write, or OutcomeUnknown if the outcome of a write is unknown. The error says what
        happened to every other write. Before the error is raised, the jobs that this transaction created are cancelled,
        unless the failed row was inserted with OR FAIL. If StoreError or an error of ``confirm`` is raised, nothing was
        sent.
        """
        queued = [write for write in self.writes if write.state == "queued"]
        if not queued:
            return
        self.confirm(queued)
        self.sender.enlist(queued)
        refused: list[Write] = []
        stopped = False
        for number, write in enumerate(queued, 1):
            if stopped:
                raise self._failure(apsw.InterruptError("interrupted"), queued, number, keep=False)
            try:
                row = self.sender.send(write)
            except OutcomeUnknown as error:
                raise self._failure(error, queued, number, keep=write.conflict == apsw.SQLITE_FAIL) from None
            except Exception as error:
                if not write.makes:
                    refused.append(write)
                elif write.conflict != apsw.SQLITE_IGNORE or not _refuses_the_row(error):
                    raise self._failure(error, queued, number, keep=write.conflict == apsw.SQLITE_FAIL) from None
            else:
                write.row = row
                self.on_written(write)
            stopped = write.interrupted_by is not None or self.sender.interrupted()
        if refused:
            raise self._changes_refused(refused, queued)
        self._is_sent = True

    def commit(self) -> None:
        """Record in the journal that the transaction is committed, and empty the queue."""
        self.sender.mark_committed(write for write in self.writes if write.state == "created")
        for write in self.writes:
            if write.state != "queued":
                self.on_committed(write)
        self._clear()

    def rollback(self) -> None:
        """Empty the queue, and cancel the jobs that a sync of this transaction created."""
        created = [write for write in self.writes if write.state == "created"]
        if self._is_sent:  # COMMIT failed after the writes were sent, so report those that cannot be undone
            for write in self.writes:
                if not write.makes and write.row is not None:
                    self.sender.note(f"{write.job_id} is {write.row.state} all the same (provider {write.provider})")
        self._clear()
        for text in self._undo(created):
            self.sender.note(text)

    def _clear(self) -> None:
        self.sender.drop(self.writes, "the transaction was rolled back")
        self.writes.clear()
        self.ended += 1
        self._is_sent = False
        self._lengths_at_savepoint.clear()
        self._lengths_at_begin.clear()

    def _undo(self, created: Sequence[Write]) -> list[str]:
        return [self.sender.undo(write) for write in created]

    def _failure(self, error: Exception, queued: Sequence[Write], number: int, *, keep: bool) -> Exception:
        """Return ``error``, the error of row ``number``, with text that says what happened to every other row.

        If ``keep``, the jobs created before that row stay. Otherwise they are cancelled.
        """
        created = [write for write in self.writes if write.state == "created"]
        outcomes = [
            *(self._keep(created) if keep else self._undo(created)),
            *_changed(queued),
            *_refused(queued, error),
            *self._drop_unsent(queued),
        ]
        row = f"row {number} of {len(queued)}: " if len(queued) > 1 else ""
        text = f" {'; '.join(outcomes)}." if outcomes else ""
        if isinstance(error, APIError):
            error.message = row + error.message
            error.hint = (error.hint.rstrip(".") + "." if error.hint else "") + text
            error.hint = error.hint.strip()
            return error
        kind = type(error) if isinstance(error, (apsw.Error, OperationalError)) else OperationalError
        return kind(f"{row}{str(error).rstrip('.')}.{text}")

    def _keep(self, created: Sequence[Write]) -> list[str]:
        """Commit writes, so that the ROLLBACK after the error does not cancel their jobs.

        Return a sentence for each job.
        """
        self.sender.mark_committed(created)
        for write in created:
            self.on_committed(write)
        return [f"{write.row.id} was created and stays" for write in created if write.row]

    def _drop_unsent(self, queued: Sequence[Write]) -> list[str]:
        """Drop the writes that come after a failed row. Return a list with a sentence about them, if there are any."""
        unsent = sum(1 for write in queued if write.state == "queued")
        self.sender.drop(queued, "a row before it failed")
        return [f"{unsent} more {'row was' if unsent == 1 else 'rows were'} not sent"] if unsent else []

    def _changes_refused(self, refused: Sequence[Write], queued: Sequence[Write]) -> Exception:
        """Return the error that lists every refused change, and cancel the jobs that the transaction created."""
        undone = self._undo([write for write in queued if write.state == "created"])
        if len(refused) == 1 and len(queued) == 1 and refused[0].error is not None:
            return refused[0].error
        reasons = [f"{write.job_id}: {str(write.error).rstrip('.')}" for write in refused]
        outcomes = [*_changed(queued), *undone]
        verb = "deleted" if all(write.action == "delete" for write in queued) else "changed"
        return OperationalError(
            f"{len(refused)} of {len(queued)} {_plural_noun(queued)} could not be {verb}: {'; '.join(reasons)}."
            + (f" {'; '.join(outcomes)}." if outcomes else "")
        )


def _changed(writes: Sequence[Write]) -> list[str]:
    """Return a sentence for each job or object that was changed. These changes stay."""
    changed = [write for write in writes if not write.makes and write.state == "committed"]
    return [f"{write.job_id} is {write.row.state} now" for write in changed if write.row]


def _refused(writes: Sequence[Write], reported: Exception) -> list[str]:
    """Return a sentence for each change that was refused with an error other than ``reported``."""
    refused = [write for write in writes if not write.makes and write.error not in (None, reported)]
    return [
        f"{write.job_id} could not be {'deleted' if write.action == 'delete' else 'changed'} "
        f"({str(write.error).rstrip('.')})"
        for write in refused
    ]


def _plural_noun(writes: Sequence[Write]) -> str:
    """Return the noun for the objects of ``writes``, such as "jobs" or "files", or "writes" if the objects differ."""
    if len({write.resource.table for write in writes}) != 1:
        return "writes"
    resource = writes[0].resource
    return "jobs" if resource is JOBS else f"{resource.noun}s"


def _deletes_the_same(write: Write, other: Write) -> bool:
    """Whether both writes delete the same object of the same account."""
    if (write.job_id, write.action) != (other.job_id, other.action):
        return False
    return (write.client, write.path) == (other.client, other.path)


def _refuses_the_row(error: Exception) -> bool:
    """Whether the API refused the values of the row, so that other rows may be accepted."""
    return isinstance(error, APIError) and error.status in (400, 404, 409, 413, 422)


def too_many(limit: int, sent: int = 0) -> str:
    """Return the message for a statement or transaction that would send more than ``limit`` writes."""
    return (
        f"more than max_writes = {limit} creates, cancels and deletes in one statement or transaction: "
        f"{f'{sent} were sent, and no more' if sent else 'nothing was sent'}. "
        "Allow more if you mean it: connect(max_writes=…), ftsql --max-writes …, FTSQL_MAX_WRITES"
    )


def refuse_replace(conflict: int, noun: str = "job") -> None:
    """Raise IntegrityError if the row comes from INSERT OR REPLACE, because no object can be replaced."""
    if conflict == apsw.SQLITE_REPLACE:
        raise IntegrityError(f"INSERT OR REPLACE is refused: a {noun} cannot be replaced. Say INSERT")
