"""Costs: an estimate of how many requests a plan will take. Nothing is sent.

A number is right as long as nothing changes at the provider. The reason beside the number says what would change it.
The estimate reads the same objects from which a scan decides what to request: the plan's arguments, the listing before
its first page, and the store.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ftsql.api.account import Account
from ftsql.read.gets import FREE, GETS_PER_PAGE
from ftsql.read.listing import AT_LEAST, EVERYTHING, Listing
from ftsql.read.plan import BY_PLAN_NAME, TIMES, Plan, chosen_accounts, without_parent
from ftsql.read.scan import oldest, requested_id, row_count
from ftsql.read.statement_cache import StatementCache
from ftsql.store.cache import Cache


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one part of a statement: ``low`` to ``high`` requests, and the reason.

    ``high`` is None if no limit is known.

    >>> Cost("fine_tuning_jobs, list", 1, 3, "all pages").number
    '1 to 3 requests'
    """

    what: str
    low: int
    high: int | None
    why: str

    @property
    def number(self) -> str:
        """The number or range in words, such as "1 to 3 requests"."""
        if self.high == self.low:
            return f"{self.low} request{'' if self.low == 1 else 's'}"
        return f"{self.low} to {self.high} requests" if self.high is not None else f"{self.low} or more requests"


def costs_of_scan(
    cache: StatementCache, plan: Plan, values: Mapping[str, Any], what: str, *, inner: bool
) -> Iterator[Cost]:
    """Yield the cost of one scan: one cost for each account if the scan reads jobs, otherwise one for all accounts.

    cache: The cache of a new statement. It remembers which listings an earlier scan of the statement has read.
    values: The value of each argument of the plan that is a constant, by the argument's word.
    what: The name of the scan.
    inner: Whether the scan runs once for each row of another table.

    Raises ConfigError if no provider is active, and ProgrammingError if the scan needs a parent's id and has none.
    """
    if plan.access == "nothing":
        yield Cost(what, 0, 0, "no row can match")
        return
    accounts = chosen_accounts(cache.accounts, values)
    if plan.access == "dead-end":
        raise without_parent(BY_PLAN_NAME[plan.table])
    if plan.table:
        yield _other_resource(plan, what, inner=inner)
        return
    for account in accounts:
        named = f"{what} ({account.name})"
        if plan.access == "get" and account.retrieves:
            yield _one_job(cache, account, values, named, inner=inner)
        elif account in cache.listings:
            yield Cost(named, 0, 0, "the same listing")
        else:
            yield _list(cache, account, plan, values, named)


def _other_resource(plan: Plan, what: str, *, inner: bool) -> Cost:
    resource = BY_PLAN_NAME[plan.table]
    if resource.parent:
        if resource.kept:
            why = f"for each job 0 if it had finished before its {resource.noun}s were read, else 1"
        else:
            why = "for each checkpoint 1"
        return Cost(what, 0 if resource.kept else 1, None, f"{why}; 1 more for each further page")
    if plan.access == "get":
        return Cost(what, 0 if inner else 1, None if inner else 1, "1 for each id, or the list if that is cheaper")
    return Cost(what, 1, None, "the list")


def _one_job(cache: StatementCache, account: Account, values: Mapping[str, Any], what: str, *, inner: bool) -> Cost:
    stored, id = cache.stored(account), requested_id(values)
    if inner or not id:
        why = "for each id 0 if the job is stored and finished, else 1; at most "
        if cache.settings.max_parallel == 1:
            return Cost(what, 0, None, f"{why}twice the listing, plus 1")
        return Cost(what, 0, None, f"{why}{1 + GETS_PER_PAGE} times the cheaper of that and the listing, plus {FREE}")
    if stored is not None and stored.row(id) is not None:
        return Cost(what, 0, 0, "the job is stored and finished")
    return Cost(what, 1, 1, "the job is not stored, or has not finished")


def _list(cache: StatementCache, account: Account, plan: Plan, values: Mapping[str, Any], what: str) -> Cost:
    size = account.provider.page_size
    if "metadata" in plan.arguments and account.provider.filters_metadata:
        return Cost(what, 1, None, f"pages of {size} of the jobs that have that metadata")
    listing, stored = cache.listing(account), cache.stored(account)
    if values.get("limit") == 0:
        return Cost(what, 0, 0, "LIMIT 0 reads no row")
    if listing.store_has_rest:
        return Cost(what, 0, 0, "the list was read within max_age")
    if plan.newest_first and not listing.trusted:
        why = f"a first page of at least {AT_LEAST} jobs, which may show the order; otherwise all pages of {size}"
        return Cost(what, 1, None, why)
    rows = row_count(values)
    if rows is not None:
        return Cost(what, 1, math.ceil(rows / size), f"pages of {size} for {rows} rows")
    # A list without has_more needs one more page to show its end, and perhaps a request for one job.
    more_to_end = 2 * (stored is not None and stored.habits().largest > 0)
    if stored is None or not listing.may_meet_store:
        return _full_list(account, stored, plan, what, more_to_end)
    return _news(listing, stored, plan, values, what, more_to_end)


def _full_list(account: Account, stored: Cache | None, plan: Plan, what: str, more_to_end: int) -> Cost:
    """Return the cost of a listing that reads all pages, because stored rows cannot replace a page."""
    size = account.provider.page_size
    if plan.newest_first:
        return Cost(what, 1, None, f"pages of {size}, newest first, until the statement has enough rows")
    why = "the provider declares no order"
    if account.newest_first:
        why = "the list was not read in full yet, or has to be read in full again"
    count = 0 if stored is None else stored.count()
    if not count:
        return Cost(what, 1, None, f"all pages of {size}: {why}")
    pages = max(math.ceil(count / size), 1)
    return Cost(what, 1, pages + more_to_end, f"all pages of {size}, {count} jobs are stored: {why}")


def _news(listing: Listing, stored: Cache, plan: Plan, values: Mapping[str, Any], what: str, more_to_end: int) -> Cost:
    """Return the cost of a listing that reads only new jobs, and jobs that had not finished."""
    size = listing.account.provider.page_size
    since, _ = oldest(values)
    last_shown = stored.end_of_first_page(size)
    unfinished = [job for job in stored.active(EVERYTHING, since) if job[0] < last_shown]
    more = sum(1 for _ in stored.plan_requests(unfinished, size))
    why = "1 page for new jobs"
    if more:
        why += f", {more} for {len(unfinished)} jobs that had not finished"
    # The cost may be lower if a bound on created_at becomes known only when the statement runs, or if the statement
    # has enough rows earlier.
    may_end_early = plan.newest_first or (since is None and set(TIMES) & set(plan.arguments))
    low = 1 if may_end_early else 1 + more
    return Cost(what, low, 1 + more + more_to_end, f"{why}; 1 more for each {size} new jobs")
