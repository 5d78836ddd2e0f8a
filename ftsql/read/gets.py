"""Gets of jobs: which requests are sent for a statement that asks for jobs by their ids.

A get is a request for one job by its id. The ids come one after the other, and how many will come is not known. There
are two plain ways: one get for each job, or one listing. These rules keep the cost near that of the cheaper way:

- The first two unknown jobs are requested by gets.
- If the store covers the list, a listing costs about one page, so the list is read next.
- Otherwise gets and the listing race. A page is under way beside each get, and the first response with the job counts.
  There are at most ``FREE`` gets and ``GETS_PER_PAGE`` more for each page, and at most one page for each get. So the
  cost is at most four times that of the cheaper way, plus ``FREE``.
- If ``max_parallel`` is 1, gets and pages take turns, and the cost is at most twice that of the cheaper way, plus 1.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from ftsql.api.account import Account
from ftsql.api.calls import Call, wait_for_any
from ftsql.errors import APIError, DataError, OperationalError
from ftsql.resources.definitions import JOBS
from ftsql.resources.resource import Row

if TYPE_CHECKING:
    from ftsql.read.listing import Listing
    from ftsql.read.statement_cache import StatementCache

FREE = 32
GETS_PER_PAGE = 3
ALONE = 2  # how many gets are sent before anything else is tried


class Gets:
    """The gets of one statement, and the listings that it reads beside them."""

    def __init__(self, cache: StatementCache) -> None:
        self._cache = cache
        self._sent: Counter[Account] = Counter()
        # The gets that are under way, or whose response no one has read yet.
        self._calls: dict[tuple[Account, str], Call[Any]] = {}
        self._foreseen: dict[Account, deque[str]] | None = None  # ids that the statement will probably ask for
        self._without_list: set[Account] = set()  # accounts whose list could not be read beside the gets

    def row(self, account: Account, id: str) -> Row | None:
        """Return a job that neither the statement nor the store knows; None if the job does not exist.

        Raises the errors that a get raises, or, if no get is possible, those that a listing raises.
        """
        cache = self._cache
        by_get = cache.can_get(account, id)
        if by_get and self._sent[account] < ALONE and account not in cache.listings and not cache.settings.max_age:
            return self._get(account, id)  # a listing is not even prepared
        listing = cache.listing(account)
        if not by_get or listing.reads_all or listing.store_has_rest:
            return self._listed(account, id, listing)
        if self._sent[account] < ALONE:
            return listing.row(id) if id in listing.by_id else self._get(account, id)
        if listing.may_meet_store or cache.settings.max_parallel == 1:
            return self._in_turns(account, id, listing)
        return self._raced(account, id, listing)

    def _get(self, account: Account, id: str) -> Row | None:
        """Get one job and wait for it."""
        self._start(account, id)
        return self._finish(account, id)

    def _listed(self, account: Account, id: str, listing: Listing) -> Row | None:
        """Read the list until it shows the job."""
        stored = self._cache.stored(account)
        while id not in listing.by_id and not listing.done:
            if listing.store_has_rest:  # the store has every other job, but the present state of finished jobs only
                return self._get(account, id) if stored is not None and stored.holds_any([id]) else None
            listing.read()
        return listing.row(id)

    def _in_turns(self, account: Account, id: str, listing: Listing) -> Row | None:
        """Read one page before each get."""
        if id in listing.by_id or listing.done:
            return listing.row(id)
        if listing.pages < self._sent[account]:
            listing.read()
            if listing.store_has_rest:
                return self._listed(account, id, listing)
            if id in listing.by_id or listing.done:
                return listing.row(id)
        return self._get(account, id)

    def _raced(self, account: Account, id: str, listing: Listing) -> Row | None:
        """Let the get of the job race with pages of the list, beside other gets.

        Return the job from the first response that shows it.
        """
        while id not in listing.by_id and not listing.done and not self._may_get(account, id, listing):
            self._read_page(account, listing)
        if id in listing.by_id or listing.done:
            return listing.row(id)
        get = self._start(account, id)
        assert get is not None
        self._start_ahead(account, listing)
        while not get.future.done():
            page = self._begin_page(account, listing)
            others = [call for call in self._calls.values() if call is not get and not call.future.done()]
            wait_for_any([get, *others, *([] if page is None else [page])], self._cache.interrupted)
            if page is not None and page.future.done():
                self._read_page(account, listing)
                if id in listing.by_id:
                    get.abandoned.set()
                    del self._calls[account, id]
                    return listing.row(id)
            self._start_ahead(account, listing)
        return self._finish(account, id)

    def _may_get(self, account: Account, id: str, listing: Listing) -> bool:
        """Whether the get of a job is under way, or another get would keep the cost within its limit."""
        if (account, id) in self._calls or account in self._without_list:
            return True
        return self._sent[account] < FREE + GETS_PER_PAGE * listing.pages

    def _begin_page(self, account: Account, listing: Listing) -> Call[Any] | None:
        """Return the page that is under way, or request the next one. Return None if no page may be requested."""
        if account in self._without_list or listing.done or listing.pages >= self._sent[account]:
            return None
        if not self._has_budget:
            return None
        known = self._cache.foreseen(JOBS.table)
        if known and not (self._foreseen or {}).get(account) and self._sent[account] <= FREE:
            return None  # all ids are known, and there are few
        return listing.begin_page()

    @property
    def _has_budget(self) -> bool:
        """Whether a request that may not be needed leaves enough of ``max_requests`` for those that are."""
        return 2 * self._cache.requests < self._cache.settings.max_requests

    def _read_page(self, account: Account, listing: Listing) -> None:
        """Read the next page. If that fails, the statement goes on with gets alone."""
        try:
            listing.read()
        except (APIError, DataError, OperationalError):
            self._without_list.add(account)

    def _start_ahead(self, account: Account, listing: Listing) -> None:
        """Send gets of jobs that the statement will probably ask for, as many as may be under way at once."""
        cache = self._cache
        if self._foreseen is None:
            self._foreseen = {other: deque() for other in cache.clients}
            for provider, id in cache.foreseen(JOBS.table):
                for other, ids in self._foreseen.items():
                    if provider in (None, other.name):
                        ids.append(id)
        ids, stored = self._foreseen[account], cache.stored(account)
        # If the list is read, one worker is left for it. A get whose response no one has read counts as under way.
        room = cache.settings.max_parallel - (account not in self._without_list)
        while ids and self._has_budget and sum(1 for other, _ in self._calls if other is account) < room:
            id = ids[0]
            known = id in cache.fetched[account] or id in listing.by_id or (account, id) in self._calls
            if known or not cache.can_get(account, id) or (stored is not None and stored.row(id) is not None):
                ids.popleft()
            elif not self._may_get(account, id, listing) or not self._start(account, id, required=False):
                return
            else:
                ids.popleft()

    def _start(self, account: Account, id: str, *, required: bool = True) -> Call[Any] | None:
        """Send the get of a job, unless that get is under way. Return the get.

        Return None if the statement may send no more requests and the get is not ``required``.
        """
        call = self._calls.get((account, id))
        if call is None:
            call = self._cache.start(account, f"/{id}", required=required)
            if call is not None:
                self._sent[account] += 1
                self._calls[account, id] = call
        return call

    def _finish(self, account: Account, id: str) -> Row | None:
        """Wait for a job's get and return the job. If the server serves no job by its id, read the list instead."""
        cache = self._cache
        cache.version += 1
        try:
            return cache.finish_get(account, id, self._calls.pop((account, id)))
        except APIError as error:
            if account.retrieves:
                raise
            listing = cache.listings[account] = cache.whole_list(account, error)
        while id not in listing.by_id and not listing.done:
            listing.read()
        return listing.row(id)
