"""Plans: which of a statement's constraints are pushed down to the APIs.

A plan only narrows what is read. SQLite checks every constraint itself, so a plan may leave out any of them.
BestIndex hands a plan to Filter as a string of words, which EXPLAIN QUERY PLAN prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

# The costs that BestIndex states, in requests. SQLite must prefer any number of gets, one for each row of a local
# table, to a listing inside a loop over that table: the statement cache turns many gets into one listing.
LISTING = 1e12
GET = 100.0

Access = Literal["get", "list", "nothing"]

ID_COLUMNS = ("id", "fine_tuning_job_id")

# The word for a Filter argument in a plan, by column and operator.
WORDS = {
    ("id", "="): "id",
    ("id", "is"): "id",  # an id is never NULL; a created_at may be
    ("key", "="): "key",
    ("provider", "="): "provider",
    ("provider", "<>"): "not-provider",
    ("created_at", "="): "at",
    ("created_at", ">="): "since",
    ("created_at", ">"): "newer",
    ("status", "="): "status",  # status and model narrow what is read from the store
    ("model", "="): "model",
    ("metadata", "has"): "metadata",
}
TIMES = ("at", "since", "newer")  # a plan has at most one of them: the first of this order
LOCAL = ("status", "model", "metadata")  # constraints that not every API can answer, or that no API can
WITH_ID = ("provider", "not-provider")  # constraints that narrow a get by id or key


def pushed_down(column: str) -> str | None:
    """Return the SQL operators on ``column`` that narrow the requests, or None: ``"=, IN, <>"`` for provider."""
    operators = [operator.upper() for stored, operator in WORDS if stored == ("id" if column in ID_COLUMNS else column)]
    if "=" in operators:
        operators.insert(1, "IN")
    if column == "created_at":
        operators += ["BETWEEN", "ORDER BY DESC"]
    return ", ".join(operators) or None


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constraint that SQLite offers to BestIndex: ``column operator value``.

    ``slot`` is its index in SQLite's list. ``operator`` is one of = is <> > >= has null limit offset; others are never
    pushed down.
    """

    slot: int
    column: str
    operator: str
    usable: bool = True
    binary: bool = True  # whether its collation is BINARY, which is how APIs compare


@dataclass(frozen=True, slots=True)
class Order:
    """One term of ORDER BY."""

    column: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """How one table is read, and which constraints are pushed down.

    ``arguments`` are the words of the pushed-down constraints, in the order of Filter's arguments. ``newest_first``:
    the plan consumes ORDER BY, so SQLite does not sort.
    """

    access: Access
    arguments: tuple[str, ...] = ()
    newest_first: bool = False
    slots: tuple[int, ...] = ()  # the slot of each argument's constraint; not part of the words

    @property
    def words(self) -> str:
        """The plan as BestIndex hands it to Filter, for example ``list newest-first since limit``."""
        order = ("newest-first",) if self.newest_first else ()
        return " ".join((self.access, *order, *self.arguments))

    @classmethod
    def from_words(cls, words: str) -> Plan:
        """Parse ``words``; the slots are lost."""
        access, *others = words.split(" ")
        newest_first = others[:1] == ["newest-first"]
        arguments = tuple(others[1:] if newest_first else others)
        return cls(cast("Access", access), arguments, newest_first)

    @property
    def cost(self) -> float:
        """The cost in requests that BestIndex states."""
        if self.access == "nothing":
            return 0.0
        cost = GET if self.access == "get" else LISTING
        if self.access == "list" and self._has_time:
            cost /= 4
        return cost / 2 if "provider" in self.arguments else cost

    @property
    def rows(self) -> int:
        """The number of rows that BestIndex estimates."""
        if self.access == "list":
            return 250 if self._has_time else 1000
        return 1

    @property
    def _has_time(self) -> bool:
        return not set(TIMES).isdisjoint(self.arguments)


def plan(constraints: Sequence[Constraint], order: Sequence[Order], *, newest_first: bool) -> Plan:
    """Return the plan for the constraints and the ORDER BY that SQLite offers.

    ``newest_first``: every account declares that order, and its lists have kept it so far.
    """
    usable = [constraint for constraint in constraints if constraint.usable and constraint.binary]
    if any(map(_is_never_true, usable)):
        return Plan("nothing")
    slots = _pushed_down(usable)
    for word in ("key", "id"):
        if word in slots:
            return _plan("get", {name: slot for name, slot in slots.items() if name in (word, *WITH_ID)}, False)
    for word in [word for word in TIMES if word in slots][1:]:
        del slots[word]
    ordered = newest_first and len(order) == 1 and order[0] == Order("created_at", True)
    if (ordered or not order) and slots.keys().isdisjoint(LOCAL):
        slots |= _limits(usable)
    return _plan("list", slots, ordered)


def _is_never_true(constraint: Constraint) -> bool:
    """Whether no row fulfils the constraint: an id or a key is never NULL."""
    return constraint.operator == "null" and constraint.column in (*ID_COLUMNS, "key")


def _pushed_down(constraints: Sequence[Constraint]) -> dict[str, int]:
    """Return the slot of each word; the first of several constraints with the same word."""
    slots: dict[str, int] = {}
    for constraint in constraints:
        column = "id" if constraint.column in ID_COLUMNS else constraint.column
        word = WORDS.get((column, constraint.operator))
        if word is not None:
            slots.setdefault(word, constraint.slot)
    return slots


def _limits(constraints: Sequence[Constraint]) -> dict[str, int]:
    """Return the slots of LIMIT and OFFSET; none without a LIMIT.

    They are only a hint for the size of the first page. SQLite offers LIMIT if the table is offered all of WHERE.
    """
    slots: dict[str, int] = {}
    for constraint in constraints:
        if constraint.operator in ("limit", "offset"):
            slots.setdefault(constraint.operator, constraint.slot)
    return slots if "limit" in slots else {}


def _plan(access: Literal["get", "list"], slots: dict[str, int], newest_first: bool) -> Plan:
    return Plan(access, tuple(slots), newest_first, tuple(slots.values()))
