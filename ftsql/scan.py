"""The rows that a plan takes from a statement's look.

A scan may yield more rows than the statement wants and never misses one that it does.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, cast

from ftsql import metadata
from ftsql.account import Account
from ftsql.cells import CREATED_AT, Cells, cells
from ftsql.errors import OperationalError
from ftsql.fields import NUMERIC
from ftsql.fresh import rest
from ftsql.known import Choice
from ftsql.listing import Listing
from ftsql.look import Look
from ftsql.plan import Plan
from ftsql.resource import SQLiteValue
from ftsql.rows import Rows


def scan(look: Look, plan: Plan, arguments: Sequence[Any], columns: int) -> Iterator[Cells]:
    """The rows that ``plan`` takes from ``look``; ``arguments`` are Filter's, in the plan's order.

    ``columns``: the bits of those that are read.

    Raises ConfigError when no provider is active, and what a listing or a get raises.
    """
    look.plan = plan
    values = dict(zip(plan.arguments, arguments, strict=True))
    if plan.access == "nothing" or any(value is None for value in values.values()):
        return iter(())
    accounts = _accounts(look.accounts, values)
    if plan.access == "get":
        provider, id = _wanted(values)
        if id is not None:
            return _got(look, accounts, provider, id, columns)
    since, inclusive = _since(values)
    choice = Choice(since, _text(values.get("status")), _text(values.get("model")))
    size, pairs = _size(values), metadata.pairs(values.get("metadata"))
    listings = [look.listing(account, pairs) for account in accounts]
    for listing in listings:
        listing.wanted = listing.wanted or (choice.since is None and not look.may_stop)
    if plan.newest_first or not look.may_stop:
        for listing in listings:
            if not listing.pages:
                listing.ahead(listing.enough(size) if plan.newest_first else size)
    parts = [_listed(look, listing, choice, inclusive, size, plan.newest_first, columns) for listing in listings]
    if plan.newest_first and len(parts) > 1:
        return heapq.merge(*map(chain.from_iterable, parts), key=_newest_first)
    return chain.from_iterable(chain.from_iterable(parts))


def _accounts(accounts: Sequence[Account], values: Mapping[str, Any]) -> list[Account]:
    chosen = list(accounts)
    if "provider" in values:
        chosen = [account for account in chosen if account.name == str(values["provider"])]
    if "not-provider" in values:
        chosen = [account for account in chosen if account.name != str(values["not-provider"])]
    return chosen


def _wanted(values: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The provider and the id asked for; no id when only a listing can answer."""
    if "key" in values:
        provider, _, id = str(values["key"]).partition("/")
        return provider, id
    value = values["id"]
    # SQLite compares an integer with a text column as text, and so does every other number in its way.
    return None, str(value) if isinstance(value, (str, int)) else None


def _since(values: Mapping[str, Any]) -> tuple[float | None, bool]:
    """The oldest created_at of interest, and whether that very second is of no interest."""
    for word in ("at", "since", "newer"):
        value = values.get(word)
        if isinstance(value, str) and NUMERIC.fullmatch(value):
            value = float(value)  # as SQLite compares such a text with an integer column
        if isinstance(value, (int, float)):
            return value, word == "newer"
    return None, False


def _text(value: SQLiteValue) -> str | None:
    """A value that the store compares as SQLite would; None where only SQLite knows how."""
    return value if isinstance(value, str) else None


def _size(values: Mapping[str, Any]) -> int | None:
    """The first page's size by LIMIT and OFFSET, which SQLite has made integers: a hint, never a cut."""
    limit = values.get("limit", -1)
    return None if limit < 0 else max(limit + max(values.get("offset", 0), 0), 1)


def _got(look: Look, accounts: Sequence[Account], provider: str | None, id: str, columns: int) -> Iterator[Cells]:
    for account in accounts:
        row = look.get(account, id) if provider in (None, account.name) else None
        if row is not None:
            yield cells(row, columns)


def _listed(
    look: Look, listing: Listing, choice: Choice, inclusive: bool, size: int | None, in_order: bool, columns: int
) -> Iterator[Iterable[Cells]]:
    """A listing's rows, some at a time: from one to the next is a step of Python's own, not one of ours."""
    account = listing.account
    got = look.got[account]
    jobs = cast("Rows", listing.rows)
    index = 0
    while True:
        if in_order and not listing.ordered:
            if index:
                raise OperationalError(
                    f"{account.name}: its list is not newest-first as it was so far, and rows were already "
                    "given in that order. Run the statement again: from now on the whole list is sorted"
                )
            while not listing.done:
                listing.read()
            yield sorted((cells(got.get(row.id) or row, columns) for row in jobs), key=_newest_first)
            return
        waits = in_order and not listing.trusted and not listing.joined
        while index < len(jobs) and not waits:
            part = jobs.part(index)
            index += len(part)
            yield [cells(got.get(row.id) or row, columns) for row in part]
        if listing.done or (choice.since is not None and listing.older_than(choice.since, inclusive=inclusive)):
            return
        if listing.joined:
            yield from rest(look, account, choice, columns, in_order=in_order)
            return
        read = len(jobs)
        listing.eager = choice.since is None and not look.may_stop and (not in_order or listing.pages > 0)
        first = listing.enough(size) if in_order else size
        listing.read(first if not listing.pages else None)
        look.compare(account, jobs[read:])
        over = choice.since is not None and listing.older_than(choice.since, inclusive=inclusive)
        if not (look.may_stop or over) and (not in_order or listing.pages > 1):
            listing.ahead()


def _newest_first(row: Cells) -> tuple[bool, Any]:
    created_at: Any = row[CREATED_AT]
    return created_at is None, -(created_at or 0)
