"""Gets of jobs: which requests answer a statement that asks for jobs by their ids.

The ids come one after the other, and how many will come is not known. The rule keeps the cost near that of the cheaper
way, all jobs by gets or one listing:

- The first two unknown ids are got.
- If the store covers the list, a listing costs a page or so. It is read next.
- Otherwise gets and the listing race: a page is under way beside each get, and the first response with the job counts.
  There are at most ``FREE`` gets and ``GETS_PER_PAGE`` more for each page, and at most one page for each get. So the
  cost is at most four times that of the cheaper way, plus ``FREE``.
- If ``max_parallel`` is 1, gets and pages take turns, and the cost is at most twice that of the cheaper way, plus 1.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ftsql.api.account import Account
from ftsql.api.calls import Call, wait_for_any
from ftsql.errors import APIError, DataError, OperationalError
from ftsql.resources.resource import Row

if TYPE_CHECKING:
    from ftsql.read.listing import Listing
    from ftsql.read.statement_cache import StatementCache

FREE = 32
GETS_PER_PAGE = 3
ALONE = 2  # gets before anything else is tried


class Gets:
    """The gets of one statement, and the listings that it reads beside them."""

    def __init__(self, cache: StatementCache) -> None:
        self._cache = cache
        self._sent: Counter[Account] = Counter()
        self._calls: dict[tuple[Account, str], Call[Any]] = {}  # gets under way
        self._without_list: set[Account] = set()  # accounts whose list could not be read beside the gets

    def row(self, account: Account, id: str) -> Row | None:
        """Return a job that neither the statement nor the store knows; None if the job does not exist.

        Raises the errors of a get, or of a listing if no get is possible.
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
            if listing.store_has_rest:  # the store has every other job, but knows the state of the finished ones only
                return self._get(account, id) if stored is not None and stored.holds_any([id]) else None
            listing.read()
        return listing.row(id)

    def _in_turns(self, account: Account, id: str, listing: Listing) -> Row | None:
        """Read a page for each get before it."""
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
        """Get the job while pages of the list are read; return it from whichever shows it first."""
        while id not in listing.by_id and not listing.done and not self._may_get(account, listing):
            self._read_page(account, listing)
        if id in listing.by_id or listing.done:
            return listing.row(id)
        get = self._start(account, id)
        while not get.future.done() and (page := self._begin_page(account, listing)) is not None:
            wait_for_any([get, page], self._cache.interrupted)
            if page.future.done():
                self._read_page(account, listing)
                if id in listing.by_id:
                    get.abandoned.set()
                    del self._calls[account, id]
                    return listing.row(id)
        return self._finish(account, id)

    def _may_get(self, account: Account, listing: Listing) -> bool:
        """Whether so few gets were sent that another one is within the promise."""
        return account in self._without_list or self._sent[account] < FREE + GETS_PER_PAGE * listing.pages

    def _begin_page(self, account: Account, listing: Listing) -> Call[Any] | None:
        """Return the page that is under way; request the next one if there is none. None if none may be sent."""
        if account in self._without_list or listing.done or listing.pages >= self._sent[account]:
            return None
        return listing.begin_page()

    def _read_page(self, account: Account, listing: Listing) -> None:
        """Read the next page. If that fails, the statement goes on with gets alone."""
        try:
            listing.read()
        except (APIError, DataError, OperationalError):
            self._without_list.add(account)

    def _start(self, account: Account, id: str) -> Call[Any]:
        """Send the get of a job, unless it is under way."""
        call = self._calls.get((account, id))
        if call is None:
            self._sent[account] += 1
            call = self._cache.start(account, f"/{id}")
            assert call is not None
            self._calls[account, id] = call
        return call

    def _finish(self, account: Account, id: str) -> Row | None:
        """Wait for the get of a job and return the job. Read the list instead if the server serves no job by its id."""
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
