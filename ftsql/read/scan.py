"""Scans: the rows that a plan takes from the statement cache.

A scan may yield rows that the statement does not want. It never misses a row that the statement wants.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from operator import length_hint
from typing import Any, cast

from ftsql.api.account import Account
from ftsql.api.calls import Call
from ftsql.api.pages import decode_page
from ftsql.errors import APIError, OperationalError
from ftsql.read import metadata_filter as metadata
from ftsql.read.listing import Listing
from ftsql.read.plan import TIMES, Plan, chosen_accounts
from ftsql.read.spool import RowSpool
from ftsql.read.statement_cache import StatementCache
from ftsql.resources.cells import CREATED_AT, ID, Cells, cells
from ftsql.resources.definitions import JOBS
from ftsql.resources.fields import NUMERIC
from ftsql.resources.resource import Row, SQLiteValue
from ftsql.store.cache import CHUNK, Cache, Choice, sort_key


def scan(cache: StatementCache, plan: Plan, arguments: Sequence[Any], columns: int) -> Iterator[Cells]:
    """Return the rows that ``plan`` takes from ``cache``.

    ``arguments`` are the arguments of Filter, in the plan's order. ``columns`` has one bit for each column that SQLite
    reads.

    Raises ConfigError if no provider is active, and the errors that a listing or a get raises.
    """
    cache.plan = plan
    values = dict(zip(plan.arguments, arguments, strict=True))
    if plan.access == "nothing" or any(value is None for value in values.values()):
        return iter(())
    accounts = chosen_accounts(cache.accounts, values)
    if plan.access == "get":
        id = requested_id(values)
        if id is not None:
            return _rows_by_id(cache, accounts, id, columns)
    since, exclusive = oldest(values)
    choice = Choice(since, _exact_string(values.get("status")), _exact_string(values.get("model")))
    rows = _ListScan(cache, choice, exclusive, row_count(values), plan.newest_first, columns)
    pairs = metadata.pairs(values.get("metadata"))
    listings = [cache.listing(account, pairs) for account in accounts]
    rows.start(listings)
    parts = [rows.of(listing) for listing in listings]
    if plan.newest_first and len(parts) > 1:
        return heapq.merge(*map(chain.from_iterable, parts), key=_newest_first)
    return chain.from_iterable(chain.from_iterable(parts))


def requested_id(values: Mapping[str, Any]) -> str | None:
    """Return the id that the constraints name, or None if the rows can only come from a listing."""
    if "key" in values:
        return str(values["key"]).partition("/")[2]
    value = values.get("id")
    # If SQLite compares an integer with a text column, it compares the integer's digits. It writes other numbers in a
    # form of its own.
    return str(value) if isinstance(value, (str, int)) else None


def oldest(values: Mapping[str, Any]) -> tuple[float | None, bool]:
    """Return the oldest created_at that the statement wants, and whether the statement excludes that second itself."""
    for word in TIMES:
        value = values.get(word)
        if isinstance(value, str) and NUMERIC.fullmatch(value):
            value = float(value)  # SQLite compares such a string with an integer column as a number
        if isinstance(value, (int, float)):
            return value, word == "newer"
    return None, False


def _exact_string(value: SQLiteValue) -> str | None:
    """Return ``value`` if the store compares it as SQLite would, or None if only SQLite itself can compare it."""
    return value if isinstance(value, str) else None


def row_count(values: Mapping[str, Any]) -> int | None:
    """Return how many rows LIMIT and OFFSET need. This number sizes the first page; it never ends the scan."""
    limit = values.get("limit", -1)
    return None if limit < 0 else max(limit + max(values.get("offset", 0), 0), 1)


def _rows_by_id(cache: StatementCache, accounts: Sequence[Account], id: str, columns: int) -> Iterator[Cells]:
    for account in accounts:
        row = cache.get(account, id)
        if row is not None:
            yield cells(row, columns)


def _newest_first(row: Cells) -> tuple[bool, Any]:
    """Return the key that sorts rows newest first, with rows without a created_at last."""
    created_at: Any = row[CREATED_AT]
    return created_at is None, -(created_at or 0)


@dataclass(frozen=True)
class _ListScan:
    """One scan of lists of jobs.

    ``choice`` narrows the rows. If ``exclusive``, rows created at ``choice.since`` itself are not wanted. ``size`` is
    the number of rows that LIMIT needs, if known. If ``in_order``, the rows must come newest first.

    The rows come in batches, so that Python iterates over a batch without resuming a generator for each row.
    """

    cache: StatementCache
    choice: Choice
    exclusive: bool
    size: int | None
    in_order: bool
    columns: int

    def start(self, listings: Sequence[Listing]) -> None:
        """Request the first page of each listing, if the statement will certainly read these pages."""
        reads_all = self.choice.since is None and not self.cache.may_stop
        for listing in listings:
            listing.reads_all = listing.reads_all or reads_all
        if self.in_order or not self.cache.may_stop:
            for listing in listings:
                if not listing.pages:
                    listing.prefetch(self._first_page_size(listing))

    def of(self, listing: Listing) -> Iterator[Iterable[Cells]]:
        """Yield the rows of one listing, in batches.

        Raises OperationalError if rows were yielded newest first, and the list then turns out not to be in that order.
        """
        jobs = cast("RowSpool", listing.rows)
        fetched, columns = self.cache.fetched[listing.account], self.columns
        index = 0
        while True:
            if self.in_order and not listing.ordered:
                yield self._sorted(listing, index)
                return
            # If the rows must be in order, none is yielded before the pages have proved that the list has that order.
            waits = self.in_order and not listing.trusted and not listing.store_has_rest
            while index < len(jobs) and not waits:
                part = jobs.part(index)
                index += len(part)
                yield [cells(fetched.get(row.id) or row, columns) for row in part]
            if listing.done or self._is_past(listing):
                return
            if listing.store_has_rest:
                yield from self._stored(listing.account)
                return
            self._read_page(listing)

    def _first_page_size(self, listing: Listing) -> int | None:
        return listing.first_page_size(self.size) if self.in_order else self.size

    def _is_past(self, listing: Listing) -> bool:
        """Whether every unread row is too old for the statement."""
        since = self.choice.since
        return since is not None and listing.older_than(since, inclusive=self.exclusive)

    def _read_page(self, listing: Listing) -> None:
        """Read one more page. Request the next page too, if the statement will certainly read it."""
        cache, read = self.cache, len(listing.rows)
        listing.reads_next = (
            self.choice.since is None and not cache.may_stop and (not self.in_order or listing.pages > 0)
        )
        listing.read(None if listing.pages else self._first_page_size(listing))
        cache.warn_of_shared_ids(listing.account, listing.rows[read:])
        if not (cache.may_stop or self._is_past(listing)) and (not self.in_order or listing.pages > 1):
            listing.prefetch()

    def _sorted(self, listing: Listing, yielded: int) -> list[Cells]:
        """Read the whole list and sort it. Raises OperationalError if rows were ``yielded`` already."""
        if yielded:
            raise OperationalError(
                f"{listing.account.name}: its list is not newest-first as it was so far, and rows were already "
                "returned in that order. Run the statement again: from now on the whole list is sorted"
            )
        while not listing.done:
            listing.read()
        fetched = self.cache.fetched[listing.account]
        return sorted((cells(fetched.get(row.id) or row, self.columns) for row in listing.rows), key=_newest_first)

    def _stored(self, account: Account) -> Iterator[Iterable[Cells]]:
        """Yield the rows that the store has beyond those that the listing read.

        The rows come in batches and are up to date.

        If the rows must be in order, each batch is brought up to date before it is yielded, because the statement may
        stop early. Otherwise all jobs are brought up to date first. If the listing read no page, the reason is that the
        stored rows are recent enough for ``max_age``; then nothing is requested.
        """
        cache, in_order, choice = self.cache, self.in_order, self.choice
        stored, listing, fetched = cache.stored(account), cache.listing(account), cache.fetched[account]
        assert stored is not None
        tail = listing.tail
        if in_order:
            # A stored row may be replaced by the job's newer state, so the stored status and model decide nothing.
            choice = replace(choice, status=None, model=None)
        elif listing.pages:
            _refresh(cache, account, stored.active(tail, choice.since))
            if choice.since is None:
                stored.confirm_coverage(listing.began)
        before = {} if in_order else dict(fetched)  # the store may have these jobs in another state
        unchanged = not (before or listing.by_id)  # before the loop, no stored job was fetched or shown by a page
        for rows in self._batches(account, listing, stored, choice, tail):
            if not unchanged or fetched:
                rows_now = (_current(row, before, listing, fetched, self.columns) for row in rows)
                yield from _counted(cache, [row for row in rows_now if row is not None])
            else:
                yield from _counted(cache, rows)
        for id, job in before.items():
            if job is not None and id not in listing.by_id and sort_key(job.created_at, id)[0] <= tail:
                yield [cells(job, self.columns)]

    def _batches(
        self,
        account: Account,
        listing: Listing,
        stored: Cache,
        choice: Choice,
        tail: float,
    ) -> Iterator[list[Cells]]:
        """Yield batches of the stored rows created at ``tail`` or earlier, newest first.

        If the rows must be in order, bring each batch up to date before it is yielded.
        """
        after: tuple[int, str] | None = None
        count = account.provider.page_size if self.in_order else CHUNK
        while rows := stored.cells(choice, tail, after, count, self.columns):
            after = sort_key(rows[-1][CREATED_AT], rows[-1][ID])
            if self.in_order and listing.pages:
                ids = {row[ID] for row in rows}
                _refresh(self.cache, account, [job for job in stored.active(tail, after[0]) if job[1] in ids])
            yield rows
            if len(rows) < count:
                break


def _current(
    row: Cells,
    before: Mapping[str, Row | None],
    listing: Listing,
    fetched: Mapping[str, Row | None],
    columns: int,
) -> Cells | None:
    """Return a stored row in the state that this statement knows, or None if the job is gone or yielded elsewhere."""
    id = str(row[ID])
    if id in before or id in listing.by_id:
        return None
    if id not in fetched:
        return row
    job = fetched[id]
    return None if job is None else cells(job, columns)


def _counted(cache: StatementCache, rows: Sequence[Cells]) -> Iterator[Iterable[Cells]]:
    """Yield ``rows`` as one batch. Then report how many of the rows were read."""
    left = iter(rows)
    try:
        yield left
    finally:
        cache.count(len(rows) - length_hint(left))


def _refresh(cache: StatementCache, account: Account, active: Sequence[tuple[int, str]]) -> None:
    """Request the jobs ``active``, which had not finished, in parallel, with as few pages and gets as possible."""
    stored, fetched, listing = cache.stored(account), cache.fetched[account], cache.listing(account)
    assert stored is not None
    left = [job for job in active if job[1] not in fetched and job[1] not in listing.by_id]
    pages: list[tuple[Call[Any] | None, list[str]]] = []
    gets: dict[str, Call[Any] | None] = {}
    size = account.provider.page_size
    for before, inside in stored.plan_requests(left, size):
        if before is None:
            gets[inside[0]] = cache.start(account, f"/{inside[0]}")
        else:
            pages.append((cache.start(account, "", {"limit": str(size), "after": before}), inside))
    for call, inside in pages:
        shown = {row.id: row for row in _page(cache, account, stored, call)}
        fetched.update((id, shown[id]) for id in inside if id in shown)
        # A page lacks a job if the job that the page starts after is deleted by now, or if jobs of the same second are
        # in another order.
        gets.update((id, cache.start(account, f"/{id}")) for id in inside if id not in shown)
    _finish_gets(cache, account, gets)


def _finish_gets(cache: StatementCache, account: Account, gets: Mapping[str, Call[Any] | None]) -> None:
    """Wait for the responses to ``gets``. If the server serves no job by its id, read the whole list instead."""
    for id, call in gets.items():
        try:
            cache.finish_get(account, id, call)
        except APIError as error:
            if account.retrieves:
                raise
            listing = cache.whole_list(account, error)
            while not listing.done:
                listing.read()
            cache.fetched[account].update((id, listing.row(id)) for id in gets)
            return


def _page(cache: StatementCache, account: Account, stored: Cache, call: Call[Any] | None) -> list[Row]:
    """Return the rows of a single page and store them, or no rows if the job that the page starts after is gone."""
    assert call is not None
    try:
        body = cache.finish(account, call)
    except APIError as error:
        if error.status not in (400, 404, 410, 422):
            raise
        return []
    objects = [] if body is None else decode_page(account.name, JOBS.noun, body).objects
    rows = JOBS.rows(account.name, objects, tell=cache.tell)
    stored.save(rows, at=call.began)
    return rows
