"""Plans: a plan says how a table is read, and which of a statement's constraints are pushed down to the APIs.

A plan only narrows what is read. SQLite checks every constraint itself, so a plan may leave out any of them.
BestIndex hands a plan to Filter as a string of words, which EXPLAIN QUERY PLAN prints.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast, get_args

from ftsql.api.account import Account
from ftsql.errors import ProgrammingError
from ftsql.resources.definitions import JOBS, OTHERS
from ftsql.resources.resource import Resource

# The costs that BestIndex states, in requests. SQLite must prefer any number of gets, one for each row of a local
# table, to a listing inside a loop over that table: the statement cache turns many gets into one listing.
LISTING = 1e12
GET = 100.0
DEAD_END = 1e90  # the cost of a plan that fails if it runs

Access = Literal["get", "list", "nothing", "dead-end"]
ACCESSES = get_args(Access)

ID_COLUMNS = ("id", "fine_tuning_job_id")  # of the jobs

# The word that stands in a plan for an argument of Filter, by column and operator. ``words`` adds the columns with ids.
ANYWHERE = {
    ("key", "="): "key",
    ("provider", "="): "provider",
    ("provider", "<>"): "not-provider",
}
OF_JOBS = {
    ("created_at", "="): "at",
    ("created_at", ">="): "since",
    ("created_at", ">"): "newer",
    ("status", "="): "status",  # status and model narrow what is read from the store
    ("model", "="): "model",
    ("metadata", "has"): "metadata",
}
BY_PLAN_NAME = {resource.plan_name: resource for resource in OTHERS}
SELECTORS = ("parents", "parent", "key", "id")  # words that select objects by parent or id; a plan takes only the first
TIMES = ("at", "since", "newer")  # a plan takes only the first of them, in this order
LOCAL = ("status", "model", "metadata")  # constraints that not every API can apply, or that no API can apply
NEVER_NULL = (*SELECTORS, "provider")  # the words of columns that are never NULL, so that IS means the same as =
WITH_ID = ("provider", "not-provider")  # constraints that narrow a get by id or key


@cache
def words(resource: Resource) -> Mapping[tuple[str, str], str]:
    """Return the word of each constraint that can be pushed down, by column and operator.

    >>> from ftsql.resources.definitions import FILES
    >>> words(FILES)["file_id", "="]
    'id'
    """
    alias = resource.extra[0].name  # the hidden column that is the argument of the table-valued function
    if resource.parent:
        ids = {(resource.parent, "="): "parent", (alias, "="): "parents"}
    else:
        ids = {("id", "="): "id", (alias, "="): "id"}
    return {**ids, **ANYWHERE, **(OF_JOBS if resource is JOBS else {})}


def pushed_down(resource: Resource, column: str) -> str | None:
    """Return the SQL operators on ``column`` that narrow the requests, such as ``"=, IN, <>"``; None if none does."""
    operators = [operator.upper() for name, operator in words(resource) if name == column]
    if "=" in operators:
        operators.insert(1, "IN")
    if resource is JOBS and column == "created_at":
        operators += ["BETWEEN", "ORDER BY DESC"]
    return ", ".join(operators) or None


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constraint that SQLite offers to BestIndex: ``column operator value``.

    ``slot`` is the constraint's index in SQLite's list. ``operator`` is one of ``= is <> > >= has null limit offset``;
    constraints with other operators are never pushed down.
    """

    slot: int
    column: str
    operator: str
    usable: bool = True
    binary: bool = True  # whether the collation is BINARY, because APIs compare strings this way


@dataclass(frozen=True, slots=True)
class Order:
    """One term of ORDER BY."""

    column: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """How one table is read, and which constraints are pushed down.

    ``table`` is the resource's ``plan_name``; "" stands for the jobs. ``arguments`` are the words of the pushed-down
    constraints, in the order of Filter's arguments. If ``newest_first``, the rows come in the order of ORDER BY, so
    SQLite does not sort.
    """

    table: str
    access: Access
    arguments: tuple[str, ...] = ()
    newest_first: bool = False
    slots: tuple[int, ...] = ()  # the slot of each argument's constraint; not part of the words

    @property
    def words(self) -> str:
        """The plan as BestIndex hands it to Filter: ``list newest-first since limit``, or ``events get parent``."""
        table = (self.table,) if self.table else ()
        order = ("newest-first",) if self.newest_first else ()
        return " ".join((*table, self.access, *order, *self.arguments))

    @classmethod
    def from_words(cls, words: str) -> Plan:
        """Parse ``words``; the slots are lost."""
        first, *others = words.split(" ")
        table, access = ("", first) if first in ACCESSES else (first, others.pop(0))
        newest_first = others[:1] == ["newest-first"]
        arguments = tuple(others[1:] if newest_first else others)
        return cls(table, cast("Access", access), arguments, newest_first)

    @property
    def cost(self) -> float:
        """The cost in requests that BestIndex states."""
        cost = {"get": GET, "list": LISTING, "nothing": 0.0, "dead-end": DEAD_END}[self.access]
        if self._has_time:  # only a list has a constraint on a time
            cost /= 4
        return cost / 2 if "provider" in self.arguments else cost

    @property
    def rows(self) -> int:
        """The number of rows that BestIndex estimates."""
        if self.table:
            return 50
        if self.access == "list":
            return 250 if self._has_time else 1000
        return 1

    @property
    def _has_time(self) -> bool:
        return not set(TIMES).isdisjoint(self.arguments)


def resource_of(words: str) -> Resource | None:
    """Return the resource that the plan ``words`` reads, or None if the plan is for the table of another module.

    >>> resource_of("events get parent").table
    'fine_tuning_job_events'
    """
    first = words.partition(";")[0].partition(" ")[0]
    return JOBS if first in ACCESSES else BY_PLAN_NAME.get(first)


def plan(
    resource: Resource, constraints: Sequence[Constraint], order: Sequence[Order] = (), *, newest_first: bool = False
) -> Plan:
    """Return the plan for the constraints and the ORDER BY that SQLite offers.

    ``newest_first`` says that the table is that of the jobs, and that every account declares the order "newest first"
    and has kept that order in its lists so far.

    >>> plan(JOBS, [Constraint(0, "id", "="), Constraint(1, "status", "=")]).words
    'get id'
    """
    table = "" if resource is JOBS else resource.plan_name
    offered = [constraint for constraint in constraints if constraint.binary]
    usable = [constraint for constraint in offered if constraint.usable]
    if resource is JOBS and any(map(_is_never_true, usable)):
        return Plan(table, "nothing")
    slots = _slots(resource, usable)
    selector = next((word for word in SELECTORS if word in slots), None)
    if resource.parent and _must_wait(selector, _slots(resource, offered)):
        return _plan(table, "dead-end", slots)
    if selector is not None:
        return _plan(table, "get", {name: slot for name, slot in slots.items() if name in (selector, *WITH_ID)})
    if resource is not JOBS:
        return _plan(table, "list", slots)
    return _plan_of_a_list(slots, usable, order, newest_first=newest_first)


def _plan_of_a_list(
    slots: dict[str, int], usable: Sequence[Constraint], order: Sequence[Order], *, newest_first: bool
) -> Plan:
    """Return the plan that lists jobs. ``slots`` has the slot of each constraint that can be pushed down."""
    for word in [word for word in TIMES if word in slots][1:]:
        del slots[word]
    ordered = newest_first and list(order) == [Order("created_at", True)]
    if (ordered or not order) and slots.keys().isdisjoint(LOCAL):
        slots |= _limits(usable)
    return _plan("", "list", slots, newest_first=ordered)


def _is_never_true(constraint: Constraint) -> bool:
    """Whether no job can meet the constraint, because it says that an id or the key is NULL."""
    return constraint.operator == "null" and constraint.column in (*ID_COLUMNS, "key")


def _must_wait(selector: str | None, offered: Container[str]) -> bool:
    """Whether this plan must wait, because it has no id of a parent.

    With another order of the tables, a plan may have such an id, or no plan has one.

    The argument of a table-valued function may be a JSON array. No row compares equal to an array, so SQLite cannot
    check the constraint on the argument: the function has to apply it. So a plan without the constraint on the argument
    must wait, even if it has another selector.

    A plan that must wait is a dead end. It takes the same constraints as other plans, but has a high cost, and fails if
    it runs. BestIndex does not refuse a dead end, because SQLite would then not offer all other plans.
    """
    return selector is None or ("parents" in offered and selector != "parents")


def _slots(resource: Resource, constraints: Sequence[Constraint]) -> dict[str, int]:
    """Return the slot of each word's constraint. If several constraints have the same word, the first counts."""
    known = words(resource)
    slots: dict[str, int] = {}
    for constraint in constraints:
        word = known.get((constraint.column, constraint.operator))
        if constraint.operator == "is" and (same := known.get((constraint.column, "="))) in NEVER_NULL:
            word = same
        if word is not None:
            slots.setdefault(word, constraint.slot)
    return slots


def _limits(constraints: Sequence[Constraint]) -> dict[str, int]:
    """Return the slots of LIMIT and OFFSET, or no slots if there is no LIMIT.

    LIMIT and OFFSET are only a hint for the size of the first page. SQLite offers LIMIT to a table only if it offers
    every term of WHERE to that table.
    """
    slots: dict[str, int] = {}
    for constraint in constraints:
        if constraint.operator in ("limit", "offset"):
            slots.setdefault(constraint.operator, constraint.slot)
    return slots if "limit" in slots else {}


def _plan(table: str, access: Access, slots: Mapping[str, int], *, newest_first: bool = False) -> Plan:
    return Plan(table, access, tuple(slots), newest_first, tuple(slots.values()))


def chosen_accounts(accounts: Iterable[Account], values: Mapping[str, Any]) -> list[Account]:
    """Return the accounts that a plan's arguments select. ``values`` maps each argument's word to its value."""
    chosen = list(accounts)
    if "provider" in values:
        chosen = [account for account in chosen if account.name == str(values["provider"])]
    if "not-provider" in values:
        chosen = [account for account in chosen if account.name != str(values["not-provider"])]
    if "key" in values:
        chosen = [account for account in chosen if account.name == str(values["key"]).partition("/")[0]]
    return chosen


def without_parent(resource: Resource) -> ProgrammingError:
    """Return the error for a scan without a parent's id."""
    return ProgrammingError(
        f"{resource.table} can only be read by {resource.parent}: write WHERE {resource.parent} = '…' or IN (…), "
        f"or JOIN it with fine_tuning_jobs AS job ON {resource.table}.{resource.parent} = "
        f"job.{'id' if resource.kept else 'fine_tuned_model'}"
    )
