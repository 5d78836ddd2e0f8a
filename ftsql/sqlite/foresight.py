"""Foresight: which ids a statement will ask for, so that several can be requested side by side.

SQLite does not announce ids. It asks for one, waits, and asks for the next. So a statement is run ahead: it is run a
second time, inside its own scan, while ftsql's tables record what they are asked for and return no row. SQLite itself
applies the joins, the WHERE clauses and the order. The ids that are found this way are hints: a wrong id costs a
request, but never a row.

A statement is run ahead only if running it has no effect. It must only read, call only SQLite's own functions, read
only ordinary tables, and have no LIMIT. A table without rows can make a condition true that is otherwise false (IS NULL
after a LEFT JOIN), so a function with effects must never run ahead. Such a function is refused here, and again at the
place where it would act.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apsw

from ftsql.resources.definitions import JOBS, OTHERS
from ftsql.sqlite.authorizer import LIVE, Guard
from ftsql.sqlite.bytecode import Step
from ftsql.sqlite.statements import Statement, Statements

MOST_IDS = 1000
SECONDS = 0.1
STEPS = 1000  # the number of SQLite's instructions between two looks at the clock
Id = tuple[str, str | None, str]  # a table, a provider (None means any), and the id of a job or of a parent

# SQLite's own functions that have no effect, and that depend only on their arguments and the time.
FUNCTIONS = frozenset(
    """abs avg ceil ceiling char coalesce concat concat_ws count cume_dist date datetime dense_rank first_value floor
    format glob group_concat hex if ifnull iif instr json json_array json_array_length json_extract json_group_array
    json_group_object json_object json_quote json_remove json_replace json_set json_type json_valid julianday lag
    last_value lead length like likelihood likely lower ltrim max min nth_value ntile nullif octet_length percent_rank
    printf quote rank replace round row_number rtrim sign strftime string_agg substr substring sum time timediff total
    trim trunc typeof unhex unicode unixepoch unlikely upper -> ->>""".split()  # noqa: SIM905 - a list would fill a page
)
TABLES = frozenset({JOBS.table, *(resource.table for resource in OTHERS), "json_each", "json_tree"})
LIMITS = frozenset({"DecrJumpZero", "IfNotZero", "OffsetLimit"})  # opcodes of LIMIT, EXISTS and scalar subqueries
CALLS = frozenset({"Function", "PureFunc", "AggStep", "AggStep1", "AggInverse", "AggValue", "AggFinal"})
COLLATIONS = frozenset({"BINARY", "NOCASE", "RTRIM"})
VIRTUAL = re.compile(r"\s*CREATE\s+VIRTUAL\b", re.IGNORECASE)


class Enough(Exception):
    """Raised when the maximum number of ids has been noted."""


def foresee(connection: apsw.Connection, statements: Statements, statement: Statement) -> Sequence[Id]:
    """Return the ids that the running ``statement`` will ask for, or no ids if the statement may not be run ahead."""
    guard = connection.authorizer
    if not isinstance(guard, Guard) or not (statement.announced and statement.reads) or statement.cache.may_stop:
        return ()
    try:
        # A plain cursor, because the traces of the user's kind of cursor would show the statement. The connection is a
        # weak proxy, and __self__ of its method is the connection itself.
        cursor = apsw.Cursor(connection.cursor.__self__)  # type: ignore[attr-defined]
        cursor.exec_trace = lambda *_: True
        cursor.row_trace = lambda _, row: row
        with _quietly(statements) as noted:
            program = statements.program_of(statement.sql)
            if not _is_harmless(cursor, guard, program, statement):
                return ()
            with contextlib.suppress(Enough), _at_most(connection, SECONDS):
                for _ in cursor.execute(statement.sql, statement.parameters, can_cache=False):
                    pass
            return noted
    except apsw.InterruptError:  # of the user, who does not know that there are two runs
        raise
    except Exception:  # the statement itself will fail too, only later
        return ()


def note(noted: list[Id], table: str, values: Mapping[str, Any], ids: Iterable[str]) -> None:
    """Add to ``noted`` that SQLite asked ``table`` for ``ids``.

    ``values`` holds the arguments of the plan, which may name the provider. Raises Enough if more than ``MOST_IDS`` ids
    would be noted.
    """
    provider = values.get("provider") or (str(values["key"]).partition("/")[0] if "key" in values else None)
    for id in filter(None, ids):
        if len(noted) >= MOST_IDS:
            raise Enough
        noted.append((table, None if provider is None else str(provider), id))


@contextlib.contextmanager
def _quietly(statements: Statements) -> Iterator[list[Id]]:
    """Let ftsql's tables note ids and return no row in this block. No statement in it counts as the user's."""
    noted: list[Id] = []
    with statements.traces_paused():
        statements.noted = noted
        try:
            yield noted
        finally:
            statements.noted = None


@contextlib.contextmanager
def _at_most(connection: apsw.Connection, seconds: float) -> Iterator[None]:
    """Interrupt the statements that begin in this block after ``seconds``."""
    end = time.monotonic() + seconds

    def is_late() -> bool:
        return time.monotonic() > end

    connection.set_progress_handler(is_late, STEPS, id=is_late)  # with an id, so that the user's own handler stays
    try:
        yield
    except apsw.InterruptError:
        if not is_late():
            raise
    finally:
        connection.set_progress_handler(None, id=is_late)


def _is_harmless(cursor: apsw.Cursor, guard: Guard, program: Sequence[Step], statement: Statement) -> bool:
    """Whether the statement cannot end early, calls only SQLite's own functions, and reads only ordinary tables."""
    if not program or not LIMITS.isdisjoint(step.opcode for step in program):
        return False
    texts = [step.p4 for step in program]
    collations = {str(row[1]) for row in cursor.execute("PRAGMA collation_list")} - COLLATIONS
    if any(name in text for name in collations for text in texts):
        return False
    with guard.noting() as actions:
        _prepare(cursor, statement)
    functions = {str(action.second).lower() for action in actions if action.code == apsw.SQLITE_FUNCTION}
    # SQLite does not report the functions of a generated column, but the program calls them.
    functions |= {step.p4.partition("(")[0].lower() for step in program if step.opcode in CALLS}
    own = {str(name).lower() for (name,) in cursor.execute("SELECT name FROM pragma_function_list WHERE NOT builtin")}
    if not functions <= FUNCTIONS - own:
        return False
    read = {(str(action.first), action.schema or LIVE) for action in actions if action.code == apsw.SQLITE_READ}
    return all(_is_ordinary(cursor, name, schema) for name, schema in read)


def _prepare(cursor: apsw.Cursor, statement: Statement) -> None:
    """Prepare a statement without running it."""
    cursor.exec_trace = lambda *_: False
    with contextlib.suppress(apsw.ExecTraceAbort):
        cursor.execute(statement.sql, statement.parameters, can_cache=False)
    cursor.exec_trace = lambda *_: True


def _is_ordinary(cursor: apsw.Cursor, name: str, schema: str) -> bool:
    """Whether a table's rows can be read twice, because it is an ordinary table, a view, or one of ftsql's tables."""
    if schema == LIVE:  # or an eponymous table, which has no schema
        return name in TABLES
    quoted = schema.replace('"', '""')
    sql = f"SELECT sql FROM \"{quoted}\".sqlite_schema WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')"
    found = cursor.execute(sql, (name,)).fetchone()
    if found is None:
        return name in TABLES
    return VIRTUAL.match(str(found[0])) is None
