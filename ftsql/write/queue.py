"""The queue of a connection's writes: filled by statements, sent at COMMIT, dropped by ROLLBACK.

What SQL undoes is never sent, and what was sent before SQL undid it is cancelled.
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
    """The writes of one connection's transaction, whichever of its tables they came through.

    ``learn`` is told of each job that a write created or changed, ``stands`` of each write that no ROLLBACK
    undoes any more; ``approve`` is shown what is about to be sent, and raises to stop it; ``acted`` counts
    the writes that functions sent in this transaction already.
    """

    sender: Sender
    learn: Callable[[Write], None]
    stands: Callable[[Write], None]
    approve: Callable[[Sequence[Write]], None]
    acted: Callable[[], int]
    writes: list[Write] = field(default_factory=list)
    ended: int = 0  # the number of transactions that have ended
    _synced: bool = False  # all was sent, and the transaction is not over
    _joined: dict[int, int] = field(default_factory=dict)  # table -> length
    _marks: dict[tuple[int, int], int] = field(default_factory=dict)  # (table, savepoint level) -> length

    @property
    def waiting(self) -> int:
        """How many writes wait for COMMIT."""
        return sum(write.state == "queued" for write in self.writes)

    @property
    def sent(self) -> int:
        """How many were sent by a COMMIT that could not be ended yet."""
        return len(self.writes) - self.waiting

    def add(self, write: Write) -> None:
        """Queue a write, but none that deletes the same again.

        Raises ProgrammingError beyond ``max_writes`` and ``max_creates_per_day``.
        """
        if write.action == "delete" and any(_again(write, other) for other in self.writes):
            return
        settings = self.sender.settings
        sent = self.sent + self.acted()
        if self.waiting + sent >= settings.max_writes:
            raise ProgrammingError(too_many(settings.max_writes, sent=sent))
        if settings.max_creates_per_day is not None and write.action == "create":
            creates = 1 + sum(other.state == "queued" and other.action == "create" for other in self.writes)
            check_day(self.sender.journal.creates_of_the_day(), creates, settings.max_creates_per_day)
        self.writes.append(write)

    def begin(self, table: int) -> None:
        """A table joins the transaction; savepoints that were open before it cover all that it queues."""
        self._joined[table] = len(self.writes)

    def savepoint(self, table: int, level: int) -> None:
        self._marks[table, level] = len(self.writes)

    def release(self, table: int, level: int) -> None:
        for mark in [mark for mark in self._marks if mark[0] == table and mark[1] >= level]:
            del self._marks[mark]

    def roll_back_to(self, table: int, level: int) -> None:
        """Drop what was queued since the savepoint; level -1 is everything."""
        joined = self._joined.get(table, len(self.writes))
        self.drop_from(0 if level < 0 else self._marks.get((table, level), joined))

    def drop_from(self, length: int) -> None:
        """Drop what came after the first ``length`` writes; a job that exists already is cancelled."""
        dropped = self.writes[length:]
        del self.writes[length:]
        for text in self._cancel([write for write in dropped if write.state == "created"]):
            self.sender.note(text)

    def sync(self) -> None:
        """Send what is queued, one write at a time in order. What was sent by an earlier sync stays sent.

        Raises the error of a write that was refused, with what became of every other one; OutcomeUnknown
        outranks it. Before raising, the jobs that this transaction created are cancelled, unless the
        refused row said OR FAIL. StoreError and what ``approve`` raises: nothing was sent.
        """
        queued = [write for write in self.writes if write.state == "queued"]
        if not queued:
            return
        self.approve(queued)
        self.sender.enlist(queued)
        refused: list[Write] = []
        stopped = False
        for number, write in enumerate(queued, 1):
            if stopped:
                raise self._failed(apsw.InterruptError("interrupted"), queued, number, keep=False)
            try:
                row = self.sender.send(write)
            except OutcomeUnknown as error:
                raise self._failed(error, queued, number, keep=write.conflict == apsw.SQLITE_FAIL) from None
            except Exception as error:
                if not write.makes:
                    refused.append(write)
                elif write.conflict != apsw.SQLITE_IGNORE or not _of_the_row(error):
                    raise self._failed(error, queued, number, keep=write.conflict == apsw.SQLITE_FAIL) from None
            else:
                write.row = row
                self.learn(write)
            stopped = write.stopped is not None or self.sender.interrupted()
        if refused:
            raise self._refused_updates(refused, queued)
        self._synced = True

    def commit(self) -> None:
        """The transaction stands: the journal says so, and the queue is empty."""
        self.sender.stand(write for write in self.writes if write.state == "created")
        for write in self.writes:
            if write.state != "queued":
                self.stands(write)
        self._clear()

    def rollback(self) -> None:
        """Drop the queue; jobs that a sync of this transaction created are cancelled."""
        created = [write for write in self.writes if write.state == "created"]
        if self._synced:  # a COMMIT that could not be ended: what cannot be taken back is at least said
            for write in self.writes:
                if not write.makes and write.row is not None:
                    self.sender.note(f"{write.job_id} is {write.row.state} all the same (provider {write.provider})")
        self._clear()
        for text in self._cancel(created):
            self.sender.note(text)

    def _clear(self) -> None:
        self.sender.drop(self.writes, "the transaction was rolled back")
        self.writes.clear()
        self.ended += 1
        self._synced = False
        self._marks.clear()
        self._joined.clear()

    def _cancel(self, created: Sequence[Write]) -> list[str]:
        return [self.sender.undo(write) for write in created]

    def _failed(self, error: Exception, queued: Sequence[Write], number: int, *, keep: bool) -> Exception:
        """``error`` of row ``number`` with what became of the rows before it."""
        done = [write for write in self.writes if write.state == "created"]
        changed = [write for write in queued if not write.makes and write.state == "committed"]
        if keep:
            self.sender.stand(done)  # so that the ROLLBACK that follows leaves them alone
            for write in done:
                self.stands(write)
            fates = [f"{write.row.id} was created and stays" for write in done if write.row]
        else:
            fates = self._cancel(done)
        fates += [f"{write.job_id} is {write.row.state} now" for write in changed if write.row]
        refused = [write for write in queued if not write.makes and write.error not in (None, error)]
        fates += [
            f"{write.job_id} could not be {'deleted' if write.action == 'delete' else 'changed'} "
            f"({str(write.error).rstrip('.')})"
            for write in refused
        ]
        unsent = sum(1 for write in queued if write.state == "queued")
        self.sender.drop(queued, "a row before it failed")
        if unsent:
            fates.append(f"{unsent} more {'row was' if unsent == 1 else 'rows were'} not sent")
        where = f"row {number} of {len(queued)}: " if len(queued) > 1 else ""
        text = f" {'; '.join(fates)}." if fates else ""
        if isinstance(error, APIError):
            error.message = where + error.message
            error.hint = (error.hint.rstrip(".") + "." if error.hint else "") + text
            error.hint = error.hint.strip()
            return error
        kind = type(error) if isinstance(error, (apsw.Error, OperationalError)) else OperationalError
        return kind(f"{where}{str(error).rstrip('.')}.{text}")

    def _refused_updates(self, refused: Sequence[Write], queued: Sequence[Write]) -> Exception:
        created = self._cancel([write for write in queued if write.state == "created"])
        if len(refused) == 1 and len(queued) == 1 and refused[0].error is not None:
            return refused[0].error
        reasons = [f"{write.job_id}: {str(write.error).rstrip('.')}" for write in refused]
        done = [
            f"{write.job_id} is {write.row.state} now"
            for write in queued
            if not write.makes and write.state == "committed" and write.row
        ]
        what = next(iter({f"{write.resource.noun}s" for write in queued})) if _same(queued) else "writes"
        what = "jobs" if what == f"{JOBS.noun}s" else what
        done_to = "deleted" if all(write.action == "delete" for write in queued) else "changed"
        return OperationalError(
            f"{len(refused)} of {len(queued)} {what} could not be {done_to}: {'; '.join(reasons)}."
            + (f" {'; '.join(done + created)}." if done or created else "")
        )


def _again(write: Write, other: Write) -> bool:
    if (write.job_id, write.action) != (other.job_id, other.action):
        return False
    return (write.client, write.path) == (other.client, other.path)


def _same(writes: Sequence[Write]) -> bool:
    """Whether they are all about the same kind of thing."""
    return len({write.resource.table for write in writes}) == 1


def _of_the_row(error: Exception) -> bool:
    """Whether the API refused this row for what it says, so that another row may do better."""
    return isinstance(error, APIError) and error.status in (400, 404, 409, 413, 422)


def too_many(limit: int, sent: int = 0) -> str:
    """What to say when a statement or transaction would send more writes than it may."""
    return (
        f"more than max_writes = {limit} creates, cancels and deletes in one statement or transaction: "
        f"{f'{sent} were sent, and no more' if sent else 'nothing was sent'}. "
        "Allow more if you mean it: connect(max_writes=…), ftsql --max-writes …, FTSQL_MAX_WRITES"
    )


def refuse_replace(conflict: int, noun: str = "job") -> None:
    """Raises IntegrityError under INSERT OR REPLACE: a job cannot be replaced."""
    if conflict == apsw.SQLITE_REPLACE:
        raise IntegrityError(f"INSERT OR REPLACE is refused: a {noun} cannot be replaced. Say INSERT")
