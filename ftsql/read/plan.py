"""Plans: what SQLite offers of a statement, turned into what will be asked of the APIs.

A plan only narrows. Whatever it leaves out, SQLite checks itself; so when in doubt, leave it out.
A plan travels from BestIndex to Filter as its own words, which EXPLAIN QUERY PLAN prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

# Costs in requests as BestIndex states them: any number of gets by a local table's rows is preferred to
# a listing inside a loop over it, since the scan itself turns many gets into a listing (scan.py).
LISTING = 1e12
GET = 100.0

Access = Literal["get", "list", "nothing"]

ID_COLUMNS = ("id", "fine_tuning_job_id")

# What a Filter argument is called in a plan: by column and operator.
WORDS = {
    ("id", "="): "id",
    ("id", "is"): "id",  # an id is never NULL; a created_at may be
    ("key", "="): "key",
    ("provider", "="): "provider",
    ("provider", "<>"): "not-provider",
    ("created_at", "="): "at",
    ("created_at", ">="): "since",
    ("created_at", ">"): "newer",
    ("status", "="): "status",  # these two narrow what is read from the store
    ("model", "="): "model",
    ("metadata", "has"): "metadata",
}
LOCAL = ("status", "model", "metadata")  # of these an API answers none, or not every one


def pushed_down(column: str) -> str | None:
    """The operators on ``column`` that narrow what is asked of the APIs, as people write them."""
    operators = [operator.upper() for stored, operator in WORDS if stored == ("id" if column in ID_COLUMNS else column)]
    if "=" in operators:
        operators.insert(1, "IN")
    if column == "created_at":
        operators += ["BETWEEN", "ORDER BY DESC"]
    return ", ".join(operators) or None


@dataclass(frozen=True, slots=True)
class Constraint:
    """What SQLite offers: ``column operator value``, at its own slot of the offer.

    ``operator`` is one of = is <> > >= has null limit offset; others are never pushed down.
    """

    slot: int
    column: str
    operator: str
    usable: bool = True
    binary: bool = True  # compared with the BINARY collation, which is how APIs compare


@dataclass(frozen=True, slots=True)
class Order:
    """One term of ORDER BY."""

    column: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """``access`` with its ``arguments`` in Filter's order; ``newest_first`` when ORDER BY is consumed."""

    access: Access
    arguments: tuple[str, ...] = ()
    newest_first: bool = False
    slots: tuple[int, ...] = ()  # each argument's slot of the offer; not part of the words

    @property
    def words(self) -> str:
        order = ("newest-first",) if self.newest_first else ()
        return " ".join((self.access, *order, *self.arguments))

    @classmethod
    def from_words(cls, words: str) -> Plan:
        access, *rest = words.split(" ")
        newest_first = rest[:1] == ["newest-first"]
        arguments = tuple(rest[1:] if newest_first else rest)
        return cls(cast("Access", access), arguments, newest_first)

    @property
    def cost(self) -> float:
        """In requests, as BestIndex states it."""
        if self.access == "nothing":
            return 0.0
        cost = GET if self.access == "get" else LISTING
        if self.access == "list" and {"at", "since", "newer"} & set(self.arguments):
            cost /= 4
        return cost / 2 if "provider" in self.arguments else cost

    @property
    def rows(self) -> int:
        """How many rows to expect."""
        if self.access == "list":
            return 250 if {"at", "since", "newer"} & set(self.arguments) else 1000
        return 1


def plan(constraints: Sequence[Constraint], order: Sequence[Order], *, newest_first: bool) -> Plan:
    """The plan for an offer. ``newest_first``: every account declares that order and has kept it."""
    usable = [constraint for constraint in constraints if constraint.usable and constraint.binary]
    if any(constraint.column in (*ID_COLUMNS, "key") and constraint.operator == "null" for constraint in usable):
        return Plan("nothing")
    taken: dict[str, int] = {}
    for constraint in usable:
        column = "id" if constraint.column in ID_COLUMNS else constraint.column
        word = WORDS.get((column, constraint.operator))
        if word is not None:
            taken.setdefault(word, constraint.slot)
    one = next((word for word in ("key", "id") if word in taken), None)
    if one is not None:
        for word in {"key", "id", "at", "since", "newer", *LOCAL} - {one}:
            taken.pop(word, None)
        return _plan("get", taken, False)
    for word in [word for word in ("at", "since", "newer") if word in taken][1:]:
        taken.pop(word)
    ordered = newest_first and len(order) == 1 and order[0] == Order("created_at", True)
    if (ordered or not order) and not any(word in taken for word in LOCAL):
        # Only a hint for the first page's size. SQLite offers LIMIT when it passes on all of WHERE.
        for constraint in usable:
            if constraint.operator in ("limit", "offset"):
                taken.setdefault(constraint.operator, constraint.slot)
        if "limit" not in taken:
            taken.pop("offset", None)
    return _plan("list", taken, ordered)


def _plan(access: Literal["get", "list"], taken: dict[str, int], ordered: bool) -> Plan:
    return Plan(access, tuple(taken), ordered, tuple(taken.values()))
