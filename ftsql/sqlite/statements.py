"""The SQL statements that run on a connection, their savepoints, and the removal of writes whose statement failed.

SQLite's trace reports every statement, including those that triggers and FTS5 run inside another statement. APSW's
execution trace reports only the user's statements. Together, the two show where each of the user's statements begins.

The module is longer than 400 lines because where a statement ends, and what becomes of its queued writes, depends on
the savepoints and on the other statements that run.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import apsw
import apsw.ext

from ftsql.errors import ProgrammingError, Warning
from ftsql.read.statement_cache import StatementCache
from ftsql.sqlite import comparisons, dataflow
from ftsql.sqlite.bytecode import Step, calls
from ftsql.write.queue import Queue

# The pattern is atomic and possessive, so that a long run of comments is matched in only one way, without backtracking.
SPACE = r"(?>\s+|--[^\n]*\n|/\*.*?\*/)"
START = rf"\ufeff?(?:{SPACE}|;)*+"
QUOTED = r"\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*'|`[^`]*`|\[[^\]]*\]"
BLOB = re.compile(rf"({SPACE}|{QUOTED})|\bx'([0-9a-f]*)'", re.IGNORECASE | re.DOTALL)
NAME = rf"(?:{SPACE}*+({QUOTED})|{SPACE}++([\w$]+))"
OPTIONAL_WORD = rf"(?:{SPACE}++SAVEPOINT(?=[\s\"'`\[/-]))?"
FLAGS = re.IGNORECASE | re.DOTALL
SAVEPOINT = re.compile(rf"{START}SAVEPOINT{NAME}", FLAGS)
RELEASE = re.compile(rf"{START}RELEASE{OPTIONAL_WORD}{NAME}", FLAGS)
ROLLBACK_TO = re.compile(rf"{START}ROLLBACK(?:{SPACE}++TRANSACTION)?{SPACE}++TO{OPTIONAL_WORD}{NAME}", FLAGS)
# The SQL functions that change something at a provider.
EFFECTS = ("create_job", "cancel_job", "pause_job", "resume_job", "upload_file")
EFFECT = re.compile(rf"\b({'|'.join(EFFECTS)})\b", re.IGNORECASE)
MAY_STOP = re.compile(r"\b(LIMIT|EXISTS)\b", re.IGNORECASE)  # the statement may end before its scans have ended
READS = re.compile(r"\s*(SELECT|VALUES|EXPLAIN)\b", re.IGNORECASE)  # the statement has no savepoint of its own


class Savepoints:
    """The savepoints that the user has open, oldest first.

    Each is a pair: the name, and whether SQLite counts the savepoint as a level. A savepoint that opens a transaction
    is the transaction itself, so SQLite does not count it.
    """

    def __init__(self) -> None:
        self._open: list[tuple[str, bool]] = []

    @property
    def depth(self) -> int:
        """The level of the savepoint that SQLite itself opens for a statement."""
        return sum(counted for _, counted in self._open)

    def statement_ended(
        self, sql: str, *, in_transaction_before: bool, in_transaction_after: bool, beside_writes: bool
    ) -> None:
        """Update the open savepoints after a statement.

        ``beside_writes`` says whether a writing statement was running at the same time.

        SQLite does not report failures, but they can be inferred. SAVEPOINT and RELEASE fail while another statement
        writes. If a RELEASE should have ended the transaction, but the transaction is still open, the RELEASE failed
        (for example because another connection locks the file).
        """
        if not in_transaction_after:
            self._open.clear()
        elif match := SAVEPOINT.match(sql):
            if not beside_writes:
                self._open.append((_savepoint_name(match), in_transaction_before))
        elif match := RELEASE.match(sql):
            index = self._index(match)
            if not beside_writes and self._open[index : index + 1] and self._open[index][1]:
                del self._open[index:]
        elif match := ROLLBACK_TO.match(sql):
            del self._open[self._index(match) + 1 :]

    def _index(self, match: re.Match[str]) -> int:
        """Return the index of the newest savepoint with the matched name. If there is none, return their number."""
        names = [name for name, _ in self._open]
        wanted = _savepoint_name(match)
        return len(names) - 1 - names[::-1].index(wanted) if wanted in names else len(names)


def _savepoint_name(match: re.Match[str]) -> str:
    """Return the matched name without quotes. The name is case-folded, because SQLite ignores case."""
    name = match[1] or match[2]
    if name[:1] in "\"'`[":
        quote = name[0]
        name = name[1:-1].replace(quote * 2, quote)
    return name.casefold()


@dataclass(eq=False)
class Statement:
    """A running statement.

    results: What its calls to functions with effects returned, by function name and arguments.
    """

    sql: str = field(repr=False)  # hidden from tracebacks that print locals: SQL is the user's data
    cache: StatementCache
    statements: Statements | None = field(default=None, repr=False)
    parameters: Any = field(default=None, repr=False)  # the bound parameters, if the execution trace showed them
    in_transaction: bool = False  # whether a transaction was open when the statement began
    reads: bool = True  # whether SQLite says that the statement writes nothing
    parent: Statement | None = None  # the writing statement that ran when this one began; it may own a savepoint
    transaction: int = 0  # the number of transactions that had ended when the statement began
    queued_before: int = 0  # the length of the queue when the statement began
    changes_before: int = 0  # the connection's total_changes when the statement began
    changes_inside: int = 0  # the changes made by statements that ran inside this one
    changed: int = 0  # the number of rows that the ended statement itself changed, without changes that were undone
    results: dict[tuple[object, ...], apsw.SQLiteValue] = field(default_factory=dict, repr=False)
    sent_by_functions: int = 0
    program: list[Step] | None = field(default=None, repr=False)  # the bytecode, read when it is first needed
    savepoints: set[tuple[int, int]] = field(default_factory=set)  # (table, level) pairs not yet released
    keeps_writes: bool = False  # whether a row was refused under OR FAIL, so that the statement's earlier writes stay
    announced: bool = False  # whether the execution trace showed the statement, so that its parameters are known
    inspected: bool = False  # whether the statement's comparisons of times were checked

    def __post_init__(self) -> None:
        self.cache.may_stop = MAY_STOP.search(self.sql) is not None
        self.cache.statement = self.sql

    @property
    def ancestors(self) -> list[Statement]:
        """The writing statements inside which this one runs, oldest first. They may own savepoints."""
        return [] if self.parent is None else [*self.parent.ancestors, self.parent]

    def check(self, words: str, arguments: Sequence[Any]) -> None:
        """Raise ProgrammingError if a scan with this plan compares a time with another kind of value.

        comparisons.py has the rules.
        """
        if not self.inspected and self.statements is not None:
            self.inspected = True
            self.statements.inspect(self)
        comparisons.check_arguments(words, arguments, self._contains)

    def _contains(self, value: object) -> bool:
        """Whether ``value`` is a literal of the statement or one of its parameters."""
        bound = self.parameters.values() if isinstance(self.parameters, dict) else self.parameters or ()
        if value in list(bound):
            return True
        programs = self.statements.programs_of(self.sql) if self.statements is not None else []
        return any(dataflow.has_literal(program, value) for program in programs)


class Statements:
    """The statements that run on ``connection``, oldest first."""

    def __init__(self, connection: apsw.Connection, queue: Queue, new_cache: Callable[[], StatementCache]) -> None:
        self._connection = connection
        self._queue = queue
        self._new_cache = new_cache
        self._running: dict[int, Statement] = {}
        self._ended: list[Statement] = []  # statements whose savepoints are still open: see drop_failed_writes
        self._savepoints = Savepoints()
        self._announced: str | None = None  # the SQL that the user is about to run
        self._bound: Any = None  # the parameters of the announced statement
        # The statement that ended last: its id, SQL and parameters, and whether it only reads. See _begin_rerun.
        self._last: tuple[int, str, Any, bool] | None = None
        self.is_sure: Callable[[str], bool] = lambda _: False  # asks the user to confirm an undecided comparison
        self.noted: list[tuple[str, str | None, str]] | None = (
            None  # the ids that ftsql's tables are asked for: see foresight.py
        )
        self._paused = False  # whether traces are ignored, because ftsql is running a statement of its own
        self.sent_by_functions = 0  # how many writes functions have sent in the current transaction
        self.idle = Statement("", new_cache())  # the current statement while none is running
        self._previous_trace: Any = connection.exec_trace
        connection.exec_trace = self._on_execute
        connection.trace_v2(apsw.SQLITE_TRACE_STMT | apsw.SQLITE_TRACE_PROFILE, self._on_trace, id=self)

    @property
    def current(self) -> Statement:
        """The statement that SQLite is running now. It is the one that began last among those that have not ended."""
        self._begin_rerun()
        return next(reversed(self._running.values()), self.idle)

    @property
    def running(self) -> list[Statement]:
        """The statements that have begun and not ended, oldest first."""
        return list(self._running.values())

    def calling(self, function: str) -> Statement:
        """Return the running statement that calls ``function``. Raises ProgrammingError unless exactly one does."""
        self._begin_rerun()
        callers = []
        for statement in self.running:
            if statement.program is None:
                statement.program = self.program_of(statement.sql)
            again = calls(statement.program, (function,)).get(function)
            if again or (again is False and not any(key[0] == function for key in statement.results)):
                callers.append(statement)
        if len(callers) != 1:
            raise ProgrammingError(
                f"several running statements call {function}, and SQLite does not say which of them calls it now: "
                "read one to its end before the next begins"
                if callers
                else f"{function} was not called: the statement that calls it is hidden from ftsql. Call it from "
                "plain SQL"
            )
        return callers[0]

    def inspect(self, statement: Statement) -> None:
        """Check the comparisons of times that SQLite does not pass to a virtual table and that only the bytecode shows.

        For a wrong comparison, raise ProgrammingError if the statement writes to an API, and warn otherwise.
        """
        calls_effect = EFFECT.search(statement.sql) is not None
        may_write = calls_effect or self._may_write(statement)
        if not (may_write or _may_compare_times(statement.sql)):
            return
        programs = self.programs_of(statement.sql)
        if not programs and may_write:
            raise ProgrammingError("refused: SQLite did not show what the statement does; run it again")
        doubts = dataflow.read(programs, self._parameters(statement))
        writes = calls_effect or any(step.opcode == "VUpdate" for program in programs for step in program)
        if not writes:
            for error in doubts.mistakes[:1]:
                warnings.warn(str(error), Warning, stacklevel=2)
            return
        for error in doubts.mistakes:
            raise error
        question = comparisons.describe_doubts(doubts.undecided, doubts.unread)
        if question and not self.is_sure(question):
            raise ProgrammingError(f"refused: {question}")

    def _may_write(self, statement: Statement) -> bool:
        """Whether a statement may write to one of ftsql's tables, directly or through a trigger."""
        if statement.reads:
            return False
        return comparisons.NAMES_A_TABLE.search(statement.sql) is not None or self._has_triggers()

    def _parameters(self, statement: Statement) -> dict[int, Any] | None:
        """Return the parameters by number, or None if the execution trace did not show them."""
        bound = statement.parameters
        if bound is None:
            return None
        if not isinstance(bound, Mapping):
            return dict(enumerate(bound, 1))
        with self.traces_paused():
            names = apsw.ext.query_info(self._connection, statement.sql).bindings_names
        return {number: bound.get(name) for number, name in enumerate(names, 1) if name in bound}

    def announce(self, sql: str, bound: Any = None) -> None:
        """Announce that the user is about to run ``sql`` with the parameters ``bound``.

        The statement then counts as the user's.
        """
        self._announced, self._bound = sql, bound

    def after_first(self, sql: str) -> str:
        """Return the part of ``sql`` after its first statement. Nothing is run."""
        with self.traces_paused():
            return str(apsw.ext.query_info(self._connection, sql).query_remaining or "")

    def _has_triggers(self) -> bool:
        """Whether there are triggers. If there are, a statement may write to a table that it does not name."""
        with self.traces_paused():
            return any(
                self._connection.execute(f"SELECT 1 FROM {schema} WHERE type = 'trigger'").get is not None
                for schema in ("temp.sqlite_schema", "main.sqlite_schema")
            )

    def program_of(self, sql: str) -> list[Step]:
        """Return the program of a statement, without the programs of its triggers.

        The result is empty if SQLite cannot prepare the statement now.
        """
        return next(iter(self.programs_of(sql)), [])

    def programs_of(self, sql: str) -> list[list[Step]]:
        """Return the program of a statement, and then the programs of the triggers that the statement fires.

        The result is empty if SQLite cannot prepare the statement now. Reading a program does not count as a statement.
        """
        with self.traces_paused():
            try:
                steps = self._explain(sql)
            except (apsw.Error, UnicodeDecodeError):
                return []
        programs: list[list[Step]] = []
        for step in steps:
            if step.addr == 0:  # every program begins at address 0
                programs.append([])
            text = "" if step.p4 is None else str(step.p4)
            one = Step(step.addr, step.opcode, step.p1 or 0, step.p2 or 0, step.p3 or 0, text, step.p5 or 0)
            programs[-1].append(one)
        return programs

    def _explain(self, sql: str) -> list[apsw.ext.VDBEInstruction]:
        """Return what EXPLAIN says of a statement.

        EXPLAIN shows a BLOB as text, which APSW cannot decode if its bytes are not UTF-8. Then the statement is
        explained with zeros in its BLOBs.
        """
        try:
            shown = apsw.ext.query_info(self._connection, sql, explain=True)
        except UnicodeDecodeError:
            without = BLOB.sub(lambda match: match[1] or f"x'{'0' * len(match[2])}'", sql)
            shown = apsw.ext.query_info(self._connection, without, explain=True)
        return shown.explain or []

    def open_savepoint(self, table: int, level: int) -> None:
        """Record that SQLite opened savepoint ``level`` of ``table`` in the current statement."""
        self.drop_failed_writes()
        self.current.savepoints.add((table, level))
        around = self.current.ancestors
        seen = {point for statement in around for point in statement.savepoints}
        levels = [below for below in range(self._savepoints.depth, level) if (table, below) not in seen]
        if around and not around[0].in_transaction:
            # SQLite opens no savepoint for this statement, because a rollback of the transaction undoes the statement.
            del around[0]
        # If the table joined late, the surrounding statements' savepoints cover the table too.
        if len(around) == len(levels):
            for statement, below in zip(around, levels, strict=True):
                statement.savepoints.add((table, below))

    def release_savepoints(self, level: int) -> None:
        """Record that SQLite released all savepoints from ``level`` on. SQLite reports it once for each table."""
        if any(point[1] > level for statement in self._ended for point in statement.savepoints):
            self.drop_failed_writes()  # an inner statement failed, and the statement around it succeeds
        for statement in (*self._running.values(), *self._ended):
            statement.savepoints = {point for point in statement.savepoints if point[1] < level}

    def drop_failed_writes(self) -> None:
        """Drop the writes of failed statements from the queue. Call this before every use of the queue.

        SQLite releases a statement's savepoints just after the statement succeeds. If the statement fails in SQLite,
        SQLite rolls the savepoints back before the statement ends. If a Python exception ends the statement, APSW
        reports neither a release nor a rollback, and the statement's own savepoint stays open.

        A savepoint that a table saw late stays open too. If the user opened that savepoint, its level is lower than
        that of the statement's own savepoint. If the savepoint belongs to a surrounding statement, the inner statement
        succeeded if its changes stay.
        """
        ended, self._ended = self._ended, []
        for statement in ended:
            changes = self._connection.total_changes() - statement.changes_before
            if statement.parent is not None:
                statement.parent.changes_inside += changes
            owns_a_savepoint = statement.transaction == self._queue.ended and any(
                level >= self._savepoints.depth for _, level in statement.savepoints
            )
            unchanged = not statement.changed or changes == statement.changes_inside
            if owns_a_savepoint and unchanged and not statement.keeps_writes:
                self._queue.drop_from(statement.queued_before)
            elif statement.parent is not None:
                statement.parent.savepoints |= statement.savepoints

    def close(self) -> None:
        """Stop tracing the connection."""
        self._connection.trace_v2(0, None, id=self)
        if self._connection.exec_trace == self._on_execute:
            self._connection.exec_trace = self._previous_trace

    @contextlib.contextmanager
    def traces_paused(self) -> Iterator[None]:
        """Ignore traces in this block, so that the statements run in it do not count as the user's."""
        before, self._paused = self._paused, True
        row_trace, self._connection.row_trace = self._connection.row_trace, None
        try:
            yield
        finally:
            self._paused = before
            self._connection.row_trace = row_trace

    def _on_execute(self, cursor: Any, sql: str, bindings: Any) -> bool:
        """Handle APSW's execution trace, which reports that a statement of the user is about to run."""
        if not self._paused:
            self._announced, self._bound, self._last = sql, bindings, None
        return True if self._previous_trace is None else bool(self._previous_trace(cursor, sql, bindings))

    def _on_trace(self, event: dict[str, object]) -> None:
        """Handle SQLite's trace, which reports that a statement begins or has ended."""
        if self._paused:
            return
        with contextlib.suppress(ReferenceError):  # raised if the connection is being dropped, with its statements
            id, sql = event["id"], str(event["sql"])
            assert isinstance(id, int)
            if event["code"] == apsw.SQLITE_TRACE_STMT:
                self._on_begin(id, sql, event)
            elif (ended := self._running.pop(id, None)) is not None:
                self._on_end(ended)
                self._last = id, ended.sql, ended.parameters, ended.reads

    def _on_begin(self, id: int, sql: str, event: dict[str, object]) -> None:
        """Add a statement that begins, unless a trigger or SQLite itself runs it inside another statement."""
        announced, self._announced = self._announced, None
        bound, self._bound = self._bound, None
        is_announced = _is_same(announced, sql)
        inner = bool(event.get("trigger"))
        # A cursor with its own execution trace announces nothing. So a statement also counts as the user's if it is
        # not an inner one, or if no other statement is running.
        of_user = is_announced or not inner or not self._running
        if not of_user or (id in self._running and inner):
            return
        self.drop_failed_writes()
        if (replaced := self._running.pop(id, None)) is not None:
            replaced.cache.close()
        text = announced if announced is not None and is_announced else sql
        reads = bool(event.get("readonly", READS.match(sql)))
        self._running[id] = self._new_statement(text, bound if is_announced else None, reads, is_announced)

    def _new_statement(self, sql: str, parameters: Any, reads: bool, announced: bool = False) -> Statement:
        """Return a statement that begins now."""
        return Statement(
            sql,
            self._new_cache(),
            self,
            parameters=parameters,
            announced=announced,
            in_transaction=self._connection.in_transaction,
            reads=reads,
            parent=next((other for other in reversed(self._running.values()) if not other.reads), None),
            transaction=self._queue.ended,
            queued_before=len(self._queue.writes),
            changes_before=self._connection.total_changes(),
        )

    def _begin_rerun(self) -> None:
        """Record the last statement as running again, if no statement is recorded as running.

        SQLite runs a statement again if another process changed the schema. It reports only the end of the first run.
        """
        if not self._running and self._last is not None:
            (id, *rest), self._last = self._last, None
            self._running[id] = self._new_statement(*rest)

    def _on_end(self, statement: Statement) -> None:
        statement.cache.close()
        statement.changed = self._connection.changes()
        self.drop_failed_writes()
        if not self._connection.in_transaction:
            self.sent_by_functions = 0
        self._ended.append(statement)
        self._savepoints.statement_ended(
            statement.sql,
            in_transaction_before=statement.in_transaction,
            in_transaction_after=self._connection.in_transaction,
            beside_writes=any(not other.reads for other in self._running.values()),
        )


def _may_compare_times(sql: str) -> bool:
    """Whether ``sql`` names a column with times and contains a value that may not be a time."""
    return bool(comparisons.NAMES_A_TIME.search(sql) and comparisons.MAY_MISTAKE.search(sql))


def _is_same(announced: str | None, sql: str) -> bool:
    """Whether a trace's ``sql`` is the announced statement.

    APSW cuts off the dashes of a leading comment, and SQLite cuts off all text after the statement.
    """
    return announced is not None and announced.strip().rstrip(";").rstrip().endswith(sql.strip().rstrip(";").rstrip())
