"""xBestIndex of every table: makes a plan from SQLite's constraints, and writes the plan in the form that SQLite keeps.

SQLite still checks every constraint that a plan takes, because ``omit`` is never set. A constraint keeps the slot
number that SQLite gave it. Unusable constraints have slots too.
"""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from ftsql.read.plan import Constraint, Order, plan
from ftsql.resources.definitions import JOBS
from ftsql.resources.resource import Resource
from ftsql.sqlite import comparisons
from ftsql.sqlite.session import Session

OPERATORS = {
    # SQLite also offers each value of an IN as an EQ. It would be better to take the whole IN at once. But with APSW
    # 3.54.1.0, the statement then fails with "<NULL>" if the set is empty, as in IN (SELECT …) if the SELECT finds no
    # row.
    apsw.SQLITE_INDEX_CONSTRAINT_EQ: "=",
    apsw.SQLITE_INDEX_CONSTRAINT_IS: "is",
    apsw.SQLITE_INDEX_CONSTRAINT_NE: "<>",
    apsw.SQLITE_INDEX_CONSTRAINT_GT: ">",
    apsw.SQLITE_INDEX_CONSTRAINT_GE: ">=",
    apsw.SQLITE_INDEX_CONSTRAINT_ISNULL: "null",
    apsw.SQLITE_INDEX_CONSTRAINT_FUNCTION: "has",  # metadata_has, the only one that FindFunction returns
    apsw.SQLITE_INDEX_CONSTRAINT_LIMIT: "limit",
    apsw.SQLITE_INDEX_CONSTRAINT_OFFSET: "offset",
}
LIMITS = (apsw.SQLITE_INDEX_CONSTRAINT_LIMIT, apsw.SQLITE_INDEX_CONSTRAINT_OFFSET)


def best_index(session: Session, resource: Resource, names: Sequence[str], info: apsw.IndexInfo) -> bool:
    """Choose the plan for the constraints that SQLite offers in ``info``, and write the plan into ``info``.

    SQLite passes to ``Filter`` the values of the plan's constraints, and of those on times, which ``Filter`` checks.
    ``names`` are the table's columns. ``idxNum`` has one bit for each column that SQLite reads.
    """
    constraints = [_constraint(info, names, slot) for slot in range(info.nConstraint)]
    order = [
        Order(names[info.get_aOrderBy_iColumn(term)], info.get_aOrderBy_desc(term))
        for term in range(info.nOrderBy)
        if info.get_aOrderBy_iColumn(term) >= 0
    ]
    newest_first = resource is JOBS and all(account.newest_first for account in session.accounts)
    times, waiting = comparisons.time_constraints(info, names, resource.table)
    chosen = plan(resource, constraints, order if len(order) == info.nOrderBy else [], newest_first=newest_first)
    more = [(slot, words) for slot, words in times if slot not in chosen.slots]
    slots = (*chosen.slots, *(slot for slot, _ in more))
    for position, slot in enumerate(slots, 1):
        info.set_aConstraintUsage_argvIndex(slot, position)
    info.orderByConsumed = chosen.newest_first
    info.estimatedCost = max(chosen.cost, comparisons.WAITING_COST) if waiting else chosen.cost
    info.estimatedRows = chosen.rows
    info.idxStr = chosen.words + comparisons.checks_suffix(words for _, words in more)
    session.constants_by_plan[info.idxStr] = [info.get_aConstraint_rhs(slot) for slot in slots]
    info.idxNum = sum(1 << number for number in info.colUsed if number < len(names))
    return True


def _constraint(info: apsw.IndexInfo, names: Sequence[str], slot: int) -> Constraint:
    code = info.get_aConstraint_op(slot)
    operator, usable = OPERATORS.get(code, "other"), info.get_aConstraint_usable(slot)
    if code in LIMITS:
        return Constraint(slot, "", operator, usable)
    column = info.get_aConstraint_iColumn(slot)
    name = names[column] if column >= 0 else ""
    return Constraint(slot, name, operator, usable, info.get_aConstraint_collation(slot) == "BINARY")
