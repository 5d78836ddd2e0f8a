"""``explain``: the cost of a statement in requests. SQLite is asked for the statement's plans, and nothing is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftsql.errors import ProgrammingError
from ftsql.read.cost import Cost, costs_of_scan
from ftsql.read.plan import Plan, resource_of
from ftsql.sqlite import comparisons
from ftsql.sqlite.bytecode import calls
from ftsql.sqlite.session import Session
from ftsql.sqlite.statements import EFFECTS, Statement
from ftsql.sqlite.text import is_blank

SCAN = re.compile(r"(?P<how>SCAN|SEARCH) (?P<table>.+?) VIRTUAL TABLE INDEX \d+:(?P<words>[a-z][^\n]*)")


def explain(session: Session, sql: str) -> list[Cost]:
    """Return the cost of each part of the statement ``sql``. The last cost is the total.

    Raises ProgrammingError if ``sql`` has more than one statement, if it compares a time with another kind of value, or
    if it scans a table of a job's or a checkpoint's objects without naming the job or checkpoint. Raises ConfigError if
    no provider is active, and apsw.Error if SQLite cannot prepare ``sql``.
    """
    if not is_blank(session.statements.after_first(sql)):  # EXPLAIN QUERY PLAN would run a second statement
        raise ProgrammingError("explain takes one statement at a time, but this SQL has more")
    costs = [*_scans(session, sql), *_writes(session, sql)]
    low = sum(cost.low for cost in costs)
    high = None if any(cost.high is None for cost in costs) else sum(cost.high or 0 for cost in costs)
    return [*costs, Cost("in all", low, high, f"at most max_requests = {session.settings.max_requests}")]


def _scans(session: Session, sql: str) -> Iterator[Cost]:
    """Yield the cost of each scan of ftsql's tables."""
    session.constants_by_plan.clear()
    lines = session.connection.execute(f"EXPLAIN QUERY PLAN {sql}", can_cache=False).fetchall()
    matches = [match for _, _, _, detail in lines if (match := SCAN.search(str(detail)))]
    found = [(match["table"], match["words"].strip()) for match in matches if resource_of(match["words"].strip())]
    cache = session.new_cache()  # the cache with which a new statement would begin
    for number, (table, full_words) in enumerate(found):
        words, _ = comparisons.split_checks(full_words)
        constants = session.constants_by_plan.get(full_words, [])
        if constants:
            comparisons.check_arguments(full_words, constants, lambda _: True)
        plan = Plan.from_words(words)
        known = zip(plan.arguments, constants, strict=False)  # None stands for an argument that is not a constant
        values = {word: value for word, value in known if value is not None}
        yield from costs_of_scan(cache, plan, values, f"{table}, {words}", inner=number > 0)


def _writes(session: Session, sql: str) -> list[Cost]:
    """Return the cost of the statement's writes. Raises ProgrammingError if the statement compares a time wrongly."""
    program = session.statements.program_of(sql)
    session.statements.inspect(Statement(sql, session.statements.idle.cache, reads=False))
    if not any(step.opcode == "VUpdate" for step in program) and not calls(program, EFFECTS):
        return []
    why = f"1 for each row that the statement writes, at most max_writes = {session.settings.max_writes} rows"
    return [Cost("writes", 0, None, why)]
