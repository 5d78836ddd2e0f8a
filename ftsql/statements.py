"""Which SQL statements are under way on a connection, and which of them failed.

SQLite's trace events tell of every statement, also of those that triggers and FTS5 run inside; APSW's
execution trace tells of the user's alone. Together they say where one of the user's statements begins.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import apsw
import apsw.ext

from ftsql import comparisons, dataflow
from ftsql.errors import ProgrammingError, Warning
from ftsql.look import Look
from ftsql.program import Step, calls
from ftsql.savepoints import Savepoints
from ftsql.writes import Queue

EFFECT = re.compile(r"\b(create_job|cancel_job|pause_job|resume_job|upload_file)\b", re.IGNORECASE)
STOPS = re.compile(r"\b(LIMIT|EXISTS)\b", re.IGNORECASE)  # such a statement may not read all that it reads from
READS = re.compile(r"\s*(SELECT|VALUES|EXPLAIN)\b", re.IGNORECASE)  # such a statement has no savepoint of its own


@dataclass(eq=False)
class Statement:
    """A statement under way. ``results``: of its functions with effects, by name and arguments."""

    sql: str = field(repr=False)  # a traceback's locals are no place for what users write into SQL
    look: Look
    of: Statements | None = field(default=None, repr=False)
    parameters: Any = field(default=None, repr=False)  # as they were bound, where that was seen
    in_transaction: bool = False  # when it began
    reads: bool = True  # and writes nothing, as SQLite has it
    parent: Statement | None = None  # the one under way when it began, which may hold a savepoint of its own
    transaction: int = 0  # in which it began, by the queue's count
    queued_before: int = 0  # how long the queue was then
    changes_before: int = 0  # the connection's changes when it began
    changes_inside: int = 0  # those of statements that ran inside it
    changed: int = 0  # rows, by itself and to stay, once it has ended
    results: dict[tuple[object, ...], apsw.SQLiteValue] = field(default_factory=dict, repr=False)
    acts: int = 0
    program: list[Step] | None = field(default=None, repr=False)  # as EXPLAIN shows it, once somebody asked
    savepoints: set[tuple[int, int]] = field(default_factory=set)  # (table, level) opened, not released
    keeps: bool = False  # a row was refused under OR FAIL: what it wrote before stays
    inspected: bool = False  # its comparisons of times were looked at

    def __post_init__(self) -> None:
        self.look.may_stop = STOPS.search(self.sql) is not None
        self.look.statement = self.sql

    @property
    def around(self) -> list[Statement]:
        """Those that were under way when it began and may hold savepoints of their own, oldest first."""
        return [] if self.parent is None else [*self.parent.around, self.parent]

    def check(self, words: str, arguments: Sequence[Any]) -> None:
        """Raise ProgrammingError if a scan of that plan compares a time with what is none; see comparisons.py."""
        if not self.inspected and self.of is not None:
            self.inspected = True
            self.of.inspect(self)
        comparisons.check(words, arguments, self._gives)

    def _gives(self, value: object) -> bool:
        """Whether ``value`` stands in the statement, or among its parameters."""
        bound = self.parameters.values() if isinstance(self.parameters, dict) else self.parameters or ()
        if value in list(bound):
            return True
        program = self.of.program_of(self.sql) if self.of is not None else []
        return value in list(dataflow.literals(program))


class Statements:
    """The statements under way on ``connection``, oldest first."""

    def __init__(self, connection: apsw.Connection, queue: Queue, look: Callable[[], Look]) -> None:
        self._connection = connection
        self._queue = queue
        self._look = look
        self._running: dict[int, Statement] = {}
        self._ended: list[Statement] = []  # whose savepoints are still open: see settle
        self._savepoints = Savepoints()
        self._announced: str | None = None
        self._bound: Any = None  # the parameters of the announced statement
        # Of what ended last: its id, text and parameters, and whether it only reads.
        self._last: tuple[int, str, Any, bool] | None = None
        self.is_sure: Callable[[str], bool] = lambda _: False  # asks a person to confirm what cannot be decided
        self._silent = False
        self.acted = 0  # writes that functions sent in the transaction under way
        self.idle = Statement("", look())  # current where none runs: before any trace event, or after the last
        self._before: Any = connection.exec_trace
        connection.exec_trace = self._executes
        connection.trace_v2(apsw.SQLITE_TRACE_STMT | apsw.SQLITE_TRACE_PROFILE, self._trace, id=self)

    @property
    def current(self) -> Statement:
        """The statement that SQLite works on: the one that began last and has not ended."""
        self._run_anew()
        return next(reversed(self._running.values()), self.idle)

    @property
    def running(self) -> list[Statement]:
        return list(self._running.values())

    def _run_anew(self) -> None:
        """Where nothing runs SQLite runs the last one anew: another process changed the schema, and it tells only that
        the first attempt ended.
        """
        if not self._running and self._last is not None:
            (id, *known), self._last = self._last, None
            self._running[id] = self._begun(*known)

    def calling(self, function: str) -> Statement:
        """The statement whose program calls ``function``. Raises ProgrammingError where that is not one."""
        self._run_anew()
        callers = []
        for statement in self.running:
            if statement.program is None:
                statement.program = self.program_of(statement.sql)
            again = calls(statement.program, (function,)).get(function)
            if again or (again is False and not any(key[0] == function for key in statement.results)):
                callers.append(statement)
        if len(callers) != 1:
            raise ProgrammingError(
                f"several statements that call {function} are under way at once, and nobody can tell which calls "
                "it now: read one to its end before the next begins"
                if callers
                else f"{function} was not called: the statement that calls it cannot be seen. Call it from plain SQL"
            )
        return callers[0]

    def inspect(self, statement: Statement) -> None:
        """Look for comparisons of times in a statement's bytecode, where SQLite shows them to no table.

        Raises ProgrammingError if the statement writes to an API; in any other a mistaken one is a warning.
        """
        sql = statement.sql
        acts = EFFECT.search(sql) is not None
        writes = not statement.reads and (comparisons.NAMES_A_TABLE.search(sql) or self._has_triggers())
        if not (acts or writes or (comparisons.NAMES_A_TIME.search(sql) and comparisons.MAY_MISTAKE.search(sql))):
            return
        programs = self.programs_of(sql)
        if not programs and (acts or writes):
            raise ProgrammingError("refused: SQLite did not show what the statement does; run it again")
        doubts = dataflow.read(programs, self._parameters(statement))
        if not (acts or any(step.opcode == "VUpdate" for program in programs for step in program)):
            for error in doubts.mistakes[:1]:
                warnings.warn(str(error), Warning, stacklevel=2)
            return
        for error in doubts.mistakes:
            raise error
        question = comparisons.doubtful(doubts.undecided, doubts.unread)
        if question and not self.is_sure(question):
            raise ProgrammingError(f"refused: {question}")

    def _parameters(self, statement: Statement) -> dict[int, Any] | None:
        """The parameters by number; None where they were not seen."""
        bound = statement.parameters
        if bound is None:
            return None
        if not isinstance(bound, Mapping):
            return dict(enumerate(bound, 1))
        self._silent = True
        try:
            names = apsw.ext.query_info(self._connection, statement.sql).bindings_names
        finally:
            self._silent = False
        return {number: bound.get(name) for number, name in enumerate(names, 1) if name in bound}

    def announce(self, sql: str) -> None:
        """The next statement that begins is the user's, whatever its text looks like."""
        self._announced = sql

    def rest(self, sql: str) -> str:
        """What follows the first statement of a text. Nothing runs."""
        self._silent = True
        try:
            return str(apsw.ext.query_info(self._connection, sql).query_remaining or "")
        finally:
            self._silent = False

    def _has_triggers(self) -> bool:
        """Whether a statement that names no table of ours may write to one all the same."""
        self._silent = True
        try:
            return any(
                self._connection.execute(f"SELECT 1 FROM {schema} WHERE type = 'trigger'").get is not None
                for schema in ("temp.sqlite_schema", "main.sqlite_schema")
            )
        finally:
            self._silent = False

    def program_of(self, sql: str) -> list[Step]:
        """A statement's program, without those of triggers; empty if SQLite refuses it now."""
        return next(iter(self.programs_of(sql)), [])

    def programs_of(self, sql: str) -> list[list[Step]]:
        """A statement's program and those of the triggers that it fires; looking at it does not count as a statement.

        Empty if SQLite refuses it now.
        """
        self._silent = True
        try:
            steps = apsw.ext.query_info(self._connection, sql, explain=True).explain or []
            programs: list[list[Step]] = []
            for step in steps:
                if step.addr == 0:  # each begins at 0
                    programs.append([])
                text = "" if step.p4 is None else str(step.p4)
                one = Step(step.addr, step.opcode, step.p1 or 0, step.p2 or 0, step.p3 or 0, text, step.p5 or 0)
                programs[-1].append(one)
            return programs
        except apsw.Error:
            return []
        finally:
            self._silent = False

    def opened(self, table: int, level: int) -> None:
        """A table's savepoint began, in the statement under way."""
        self.settle()
        self.current.savepoints.add((table, level))
        around = self.current.around
        seen = {point for statement in around for point in statement.savepoints}
        levels = [below for below in range(self._savepoints.depth, level) if (table, below) not in seen]
        if around and not around[0].in_transaction:
            del around[0]  # the transaction itself undoes it
        if len(around) == len(levels):  # the table joined late: the savepoints of those around the statement cover it
            for statement, below in zip(around, levels, strict=True):
                statement.savepoints.add((table, below))

    def released(self, level: int) -> None:
        """The savepoints from ``level`` on were released: SQLite tells one table after the other, all of them."""
        if any(point[1] > level for statement in self._ended for point in statement.savepoints):
            self.settle()  # a statement inside failed, and the one around it ends well
        for statement in (*self._running.values(), *self._ended):
            statement.savepoints = {point for point in statement.savepoints if point[1] < level}

    def settle(self) -> None:
        """Leave nothing of failed statements in the queue; to be called before the queue is used.

        A statement that ends well releases its savepoints just after its end, and one that fails in SQLite
        rolls them back before. Where a Python exception ended it APSW delivers neither: then its own
        savepoint stays open. A savepoint that a table saw late stays open too: of the user's, which is below
        it, or of a statement around it; there a statement did not fail whose changes stay.
        """
        ended, self._ended = self._ended, []
        for statement in ended:
            changes = self._connection.total_changes() - statement.changes_before
            if statement.parent is not None:
                statement.parent.changes_inside += changes
            own = statement.transaction == self._queue.ended and any(
                level >= self._savepoints.depth for _, level in statement.savepoints
            )
            still = not statement.changed or changes == statement.changes_inside
            if own and still and not statement.keeps:
                self._queue.drop_from(statement.queued_before)
            elif statement.parent is not None:
                statement.parent.savepoints |= statement.savepoints

    def close(self) -> None:
        """Stop following the connection."""
        self._connection.trace_v2(0, None, id=self)
        if self._connection.exec_trace == self._executes:
            self._connection.exec_trace = self._before

    def _executes(self, cursor: Any, sql: str, bindings: Any) -> bool:
        if not self._silent:
            self._announced, self._bound, self._last = sql, bindings, None
        return True if self._before is None else bool(self._before(cursor, sql, bindings))

    def _trace(self, event: dict[str, object]) -> None:
        with contextlib.suppress(ReferenceError):  # the connection is going, and its statements with it
            self._traced(event)

    def _traced(self, event: dict[str, object]) -> None:
        id, sql = event["id"], str(event["sql"])
        assert isinstance(id, int)
        if self._silent:
            return
        if event["code"] == apsw.SQLITE_TRACE_STMT:
            announced, self._announced = self._announced, None
            bound, self._bound = self._bound, None
            if not _same(announced, sql):
                announced = bound = None
            # Without an announcement (a cursor with a trace of its own) only what is surely the user's counts.
            users = announced is not None or not event.get("trigger") or not self._running
            if users and (id not in self._running or not event.get("trigger")):
                self.settle()
                if (before := self._running.pop(id, None)) is not None:
                    before.look.close()
                text = sql if announced is None else announced
                self._running[id] = self._begun(text, bound, bool(event.get("readonly", READS.match(sql))))
        elif id in self._running and _same(self._running[id].sql, sql):
            ended = self._running.pop(id)
            self._end(ended)
            self._last = id, ended.sql, ended.parameters, ended.reads

    def _begun(self, sql: str, parameters: Any, reads: bool) -> Statement:
        return Statement(
            sql,
            self._look(),
            self,
            parameters,
            self._connection.in_transaction,
            reads,
            next((other for other in reversed(self._running.values()) if not other.reads), None),
            self._queue.ended,
            len(self._queue.writes),
            self._connection.total_changes(),
        )

    def _end(self, statement: Statement) -> None:
        statement.look.close()
        statement.changed = self._connection.changes()
        self.settle()
        if not self._connection.in_transaction:
            self.acted = 0
        self._ended.append(statement)
        self._savepoints.ran(
            statement.sql,
            in_transaction_before=statement.in_transaction,
            in_transaction_after=self._connection.in_transaction,
            beside_writes=any(not other.reads for other in self._running.values()),
        )


def _text(operand: object) -> str:
    return "" if operand is None else str(operand)


def _same(known: str | None, sql: str) -> bool:
    """Whether a trace's text is that statement's: APSW cuts the dashes of a comment off, SQLite what follows it."""
    return known is not None and known.strip().rstrip(";").rstrip().endswith(sql.strip().rstrip(";").rstrip())
