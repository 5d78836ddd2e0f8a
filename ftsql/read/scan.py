"""The rows that a plan takes from a statement's look.

A scan may yield more rows than the statement wants and never misses one that it does.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from operator import length_hint
from typing import Any, cast

from ftsql.api.account import Account
from ftsql.api.calls import Call
from ftsql.api.pages import decode_page
from ftsql.errors import APIError, OperationalError
from ftsql.read import metadata_filter as metadata
from ftsql.read.listing import Listing
from ftsql.read.plan import Plan
from ftsql.read.spool import RowSpool
from ftsql.read.statement_cache import StatementCache
from ftsql.resources.cells import CREATED_AT, ID, Cells, cells
from ftsql.resources.definitions import JOBS
from ftsql.resources.fields import NUMERIC
from ftsql.resources.resource import Row, SQLiteValue
from ftsql.store.cache import CHUNK, Choice, sort_key


def scan(cache: StatementCache, plan: Plan, arguments: Sequence[Any], columns: int) -> Iterator[Cells]:
    """The rows that ``plan`` takes from ``cache``; ``arguments`` are Filter's, in the plan's order.

    ``columns``: the bits of those that are read.

    Raises ConfigError when no provider is active, and what a listing or a get raises.
    """
    cache.plan = plan
    values = dict(zip(plan.arguments, arguments, strict=True))
    if plan.access == "nothing" or any(value is None for value in values.values()):
        return iter(())
    accounts = _accounts(cache.accounts, values)
    if plan.access == "get":
        provider, id = _wanted(values)
        if id is not None:
            return _got(cache, accounts, provider, id, columns)
    since, inclusive = _since(values)
    choice = Choice(since, _text(values.get("status")), _text(values.get("model")))
    size, pairs = _size(values), metadata.pairs(values.get("metadata"))
    listings = [cache.listing(account, pairs) for account in accounts]
    for listing in listings:
        listing.wanted = listing.wanted or (choice.since is None and not cache.may_stop)
    if plan.newest_first or not cache.may_stop:
        for listing in listings:
            if not listing.pages:
                listing.ahead(listing.enough(size) if plan.newest_first else size)
    parts = [_listed(cache, listing, choice, inclusive, size, plan.newest_first, columns) for listing in listings]
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
    """Return the size of the first page that LIMIT and OFFSET suggest; SQLite has made them integers."""
    limit = values.get("limit", -1)
    return None if limit < 0 else max(limit + max(values.get("offset", 0), 0), 1)


def _got(
    cache: StatementCache, accounts: Sequence[Account], provider: str | None, id: str, columns: int
) -> Iterator[Cells]:
    for account in accounts:
        row = cache.get(account, id) if provider in (None, account.name) else None
        if row is not None:
            yield cells(row, columns)


def _listed(
    cache: StatementCache,
    listing: Listing,
    choice: Choice,
    inclusive: bool,
    size: int | None,
    in_order: bool,
    columns: int,
) -> Iterator[Iterable[Cells]]:
    """A listing's rows, some at a time: from one to the next is a step of Python's own, not one of ours."""
    account = listing.account
    got = cache.got[account]
    jobs = cast("RowSpool", listing.rows)
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
            yield from rest(cache, account, choice, columns, in_order=in_order)
            return
        read = len(jobs)
        listing.eager = choice.since is None and not cache.may_stop and (not in_order or listing.pages > 0)
        first = listing.enough(size) if in_order else size
        listing.read(first if not listing.pages else None)
        cache.compare(account, jobs[read:])
        over = choice.since is not None and listing.older_than(choice.since, inclusive=inclusive)
        if not (cache.may_stop or over) and (not in_order or listing.pages > 1):
            listing.ahead()


def _newest_first(row: Cells) -> tuple[bool, Any]:
    created_at: Any = row[CREATED_AT]
    return created_at is None, -(created_at or 0)


def rest(
    cache: StatementCache, account: Account, choice: Choice, columns: int, *, in_order: bool
) -> Iterator[Iterable[Cells]]:
    """The rows beyond those that a joined listing read, out of the store, as the API has them now; some at a time.

    All of them are brought up to date first; ``in_order`` as far as they are taken, newest first. Where
    the listing read no page, everything is young enough to be shown as it is.
    """
    stored, listing = cache.stored(account), cache.listing(account)
    assert stored is not None
    got, tail = cache.got[account], listing.tail
    if in_order:
        choice = replace(choice, status=None, model=None)  # what this statement saw could stand at its place
    elif listing.pages:
        _refresh(cache, account, stored.active(tail, choice.since))
        if choice.since is None:
            stored.confirm_coverage(listing.began)
    before = {} if in_order else dict(got)  # of which the store may have another state than this statement saw
    after: tuple[int, str] | None = None
    count = account.provider.page_size if in_order else CHUNK
    plain = not (before or listing.by_id)

    def seen(row: Cells) -> Cells | None:
        """A row as this statement saw it otherwise, if it did; none where it is shown elsewhere, or is gone."""
        id = str(row[ID])
        if id in before or id in listing.by_id:
            return None
        if id not in got:
            return row
        job = got[id]
        return None if job is None else cells(job, columns)

    while rows := stored.cells(choice, tail, after, count, columns):
        after = sort_key(rows[-1][CREATED_AT], rows[-1][ID])
        if in_order and listing.pages:
            ids = {row[ID] for row in rows}
            _refresh(cache, account, [job for job in stored.active(tail, after[0]) if job[1] in ids])
        shown = rows if plain and not got else [row for row in map(seen, rows) if row is not None]
        left = iter(shown)
        try:
            yield left
        finally:
            cache.count(len(shown) - length_hint(left))
        if len(rows) < count:
            break
    for id, job in before.items():
        if job is not None and id not in listing.by_id and sort_key(job.created_at, id)[0] <= tail:
            yield [cells(job, columns)]


def _refresh(cache: StatementCache, account: Account, active: Sequence[tuple[int, str]]) -> None:
    """Ask again how jobs are that had not finished, side by side."""
    stored, got, listing = cache.stored(account), cache.got[account], cache.listing(account)
    assert stored is not None
    left = [job for job in active if job[1] not in got and job[1] not in listing.by_id]
    pages: list[tuple[Call[Any] | None, list[str]]] = []
    gets: dict[str, Call[Any] | None] = {}
    size = account.provider.page_size
    for before, inside in stored.plan_requests(left, size):
        if before is None:
            gets[inside[0]] = cache.start(account, f"/{inside[0]}")
        else:
            pages.append((cache.start(account, "", {"limit": str(size), "after": before}), inside))
    for call, inside in pages:
        shown = {row.id: row for row in _page(cache, account, call)}
        got.update((id, shown[id]) for id in inside if id in shown)
        # The page may hang on a job that was deleted meanwhile, or ties may stand in another order.
        gets.update((id, cache.start(account, f"/{id}")) for id in inside if id not in shown)
    for id, call in gets.items():
        try:
            cache.answered(account, id, call)
        except APIError as error:
            if account.retrieves:
                raise
            listing = cache.whole_list(account, error)
            while not listing.done:
                listing.read()
            got.update((id, listing.row(id)) for id in gets)
            return


def _page(cache: StatementCache, account: Account, call: Call[Any] | None) -> list[Row]:
    """The rows of one page by itself; none where the job that it hangs on is gone."""
    assert call is not None
    try:
        body = cache.finish(account, call)
    except APIError as error:
        if error.status not in (400, 404, 410, 422):
            raise
        return []
    rows = (
        []
        if body is None
        else JOBS.rows(account.name, decode_page(account.name, JOBS.noun, body).objects, tell=cache.tell)
    )
    stored = cache.stored(account)
    if stored is not None:
        stored.save(rows, at=call.began)
    return rows
