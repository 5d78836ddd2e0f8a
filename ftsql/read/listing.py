"""Listings: a listing is one statement's reading of one list of an account, page by page. Each page is read once.

A listing ends when the list ends, when it reaches rows that the store covers, or with an error. A page that repeats
rows, contradicts itself or is cut off is never taken for the last one. The module is long because every rule for the
end of a list needs the state of the earlier pages: the pass, its rows and its cursor.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ftsql.api.account import Account
from ftsql.api.calls import Call
from ftsql.api.habits import SHOWS_AN_ORDER, Habits, is_recent, may_be_cut
from ftsql.api.pages import Page, decode_page
from ftsql.errors import APIError, OperationalError
from ftsql.read.spool import RowSpool
from ftsql.resources.definitions import JOBS
from ftsql.resources.resource import EQUAL, Resource, Row
from ftsql.store.cache import Cache

# The maximum number of passes. Each pass reads from the newest row. A new pass begins if the cursor's job is deleted.
MAX_PASSES = 4
# If the list lacks at most this many jobs that the store covers, each is requested by its id. If the list lacks more,
# the whole list is read.
MAX_MISSING = 3
SLOW_PAGE = 0.01  # seconds; if pages come faster, prefetching on a second thread costs more than it gains
HAND_OVER = 0.001  # seconds that this thread sleeps so that the worker's request is sent without delay
EVERYTHING = float(2**62)
LIMITS = (1000, 100, 20)  # tried one after the other if a server refuses a larger limit
LIMIT_PARAMETERS = ("limit", "page_size", "pageSize", "size")
LIMIT_WORDS = re.compile(
    r"limit|page.?size|per.?page|too (large|big|high|many)|maxim|at most|less than|exceed|range|bad request|validation"
    r"|unprocessable|invalid (query|request|param|input|value)|empty body|HTML page",
    re.IGNORECASE,
)
AT_LEAST = 20  # how many rows can prove an order; a first page that must prove an order requests at least this many
REMEMBERED = 86_400.0  # seconds for which the observed habits of a server are trusted
RANKS = 2**24  # larger than the number of any job's objects, so that new objects rank above the stored ones

Query = dict[str, str]


@dataclass(frozen=True)
class ListingRequests:
    """The requests that a listing may send, as functions that its statement provides.

    ``start`` sends the query for one page. If the statement's request budget is spent, it raises an error for a
    required page and returns None for any other. ``finish`` waits and returns the decoded body, or None for "not
    found". ``exists`` says whether a job still exists; it is True if the provider cannot tell. ``tell`` takes a warning
    about an unexpected value.
    """

    start: Callable[[Query, bool], Call[Any] | None]
    finish: Callable[[Call[Any]], Any]
    exists: Callable[[str], bool]
    tell: Callable[[str], None]


@dataclass(frozen=True)
class Received:
    """One page as it was received, and how it was requested.

    ``fresh`` has the rows that no earlier page of the pass showed. ``size`` rows were requested at the time ``began``.
    ``paged`` says whether the list has pages.
    """

    page: Page
    rows: list[Row]
    fresh: list[Row]
    size: int
    paged: bool
    began: float


class Listing:
    """One list of an account: its jobs, or the objects of one ``parent``.

    ``rows`` grows page by page until the listing is ``done``, or until ``store_has_rest`` says that the store has all
    older rows. ``ordered`` says that the provider declares newest first, and every page so far kept that order.
    ``trusted`` says that this order may be relied on. A ``filter`` is part of every query and selects some of the jobs.
    """

    def __init__(
        self,
        account: Account,
        requests: ListingRequests,
        stored: Cache | None,
        filter: Query | None = None,
        resource: Resource = JOBS,
        parent: str = "",
    ) -> None:
        self.account = account
        self._resource = resource
        self._parent = parent
        self.rows: RowSpool | list[Row] = RowSpool() if resource is JOBS else []
        self.by_id: dict[str, int] = {}
        self.done = False
        self.store_has_rest = False
        self.reads_all = False  # the statement reads the whole list anyway, so no job has to be fetched by its id
        self.reads_next = False  # the statement will read the next page, whatever this page shows
        self._of_jobs = resource is JOBS
        self._requests = requests
        self._stored = stored
        self._filter = filter or {}
        self._habits = self._recall_habits()
        self.ordered = account.newest_first if self._of_jobs else account.provider.newest_first
        if stored is not None and self.ordered and not stored.trusts_order():
            self._order_broke()
        self._shown_before = account.at_home or is_recent(self._habits.ordered_at, REMEMBERED)
        self.pages = 0
        self.began = time.time()
        cover = None if stored is None or filter else stored.coverage()
        self._cover = cover if cover is not None and self._can_use_cover() else None
        self._prefetched: tuple[Query, Call[Any]] | None = None
        self._slow = False
        self._accepted = 0  # the largest limit that the server accepted
        self._passes = 0
        self._newest: int | None = None
        self._begin_pass()
        if stored is not None and cover is not None and stored.is_fresh(cover.looked_at):
            self.store_has_rest = True  # all rows were up to date within max_age

    def _recall_habits(self) -> Habits:
        """Return the habits that earlier pages of this list have shown, from the account or the store."""
        account, table = self.account, self._resource.table
        if table not in account.habits:
            account.habits[table] = Habits() if self._stored is None else self._stored.habits()
        habits = account.habits[table]
        if is_recent(habits.listed_only_at, REMEMBERED):
            account.serves_single[table] = False
        return habits

    def _can_use_cover(self) -> bool:
        """Whether the listing may stop at the time before which the store has every object."""
        if not self.ordered or self._stored is None:
            return False
        if self._of_jobs:
            return self.account.retrieves
        return not self._stored.has_made_ids()  # only the whole list shows which of several equal objects are new

    @property
    def may_meet_store(self) -> bool:
        """Whether the listing may end at rows that the store covers."""
        return self._cover is not None

    @property
    def trusted(self) -> bool:
        """Whether the list is newest first for certain.

        The order is certain if ftsql declares it for this address, if pages have proved it, or if the whole list was
        read.
        """
        shown = self._falls >= SHOWS_AN_ORDER and len(self._seen) >= AT_LEAST
        return self.ordered and (self._shown_before or shown or self.done)

    def first_page_size(self, size: int | None) -> int | None:
        """Return how many rows a first page has to request to yield ``size`` rows in order, or None for a full page.

        A list without an order is read in full, in pages of the largest size. At a base URL that the user gave, each
        first page must prove the order again, because a list may be sorted by a field that changes.
        """
        if size is None or not self.ordered:
            return None
        return size if self.account.at_home else max(size, AT_LEAST)

    def _order_broke(self) -> None:
        """Stop relying on the order, here and in other statements."""
        self.ordered = False
        if self._habits.ordered_at:
            self.remember(ordered_at=0.0)
        if self._of_jobs:
            self.account.order_broke_at = time.time()

    def _begin_pass(self) -> None:
        """Start reading from the newest row. Raises OperationalError after ``MAX_PASSES``."""
        self._passes += 1
        if self._passes > MAX_PASSES:
            raise OperationalError(
                f"{self.account.name}: its list changed again and again while it was read; run the statement again"
            )
        self._token = uuid.uuid4().hex
        self._pass_began = time.time()
        self._seen = self.by_id if self._passes == 1 else {}  # the ids of this pass
        self._cursor: str | None = None
        self._tail: int | None = None  # created_at of the last row of this pass
        self._falls = 0  # how often a row of this pass was older than the row before it
        self._last: tuple[int, int] = (0, 0)  # rows of the last page, and how many were requested
        self._pages = 0  # pages of this pass
        self._sizes: set[int] = set()  # the sizes that this pass requested
        self._overlap = False  # whether a page showed rows again
        self._rank = 0

    def older_than(self, time: float, *, inclusive: bool) -> bool:
        """Whether every unread row is older than ``time``, or if ``inclusive``, not newer than ``time``."""
        if not self.trusted or self._tail is None:
            return False
        return self._tail <= time if inclusive else self._tail < time

    @property
    def tail(self) -> float:
        """The created_at of the last row that was read, or a number above every time if no row was read."""
        return EVERYTHING if self._tail is None else self._tail

    def row(self, id: str) -> Row | None:
        """Return the row with ``id``, or None if no page has shown it."""
        index = self.by_id.get(id)
        return None if index is None else self.rows[index]

    def prefetch(self, size: int | None = None, after: str | None = None) -> None:
        """Request the next page without waiting, if it is the first page or pages are slow. ``read`` uses the request.

        ``after`` is the cursor of that page. It is given if the listing has not moved its own cursor there yet.
        """
        if self._prefetched is None and not (self.done or self.store_has_rest) and (self._slow or not self.pages):
            query, _, _ = self._query(size)
            if after is not None:
                query["after"] = after
            call = self._requests.start(query, False)
            self._prefetched = None if call is None else (query, call)
            if self._slow:
                time.sleep(HAND_OVER)

    def begin_page(self) -> Call[Any] | None:
        """Return the request for the next page. Send the request now unless it is under way.

        Return None if the list has ended, or if the statement may send no more requests.
        """
        if self._prefetched is None and not (self.done or self.store_has_rest):
            query, _, _ = self._query(None)
            call = self._requests.start(query, False)
            self._prefetched = None if call is None else (query, call)
        return None if self._prefetched is None else self._prefetched[1]

    def _query(self, size: int | None) -> tuple[Query, bool, int]:
        """Return the query for the next page, whether the list has pages, and how many rows a full page has."""
        provider = self.account.provider
        largest = provider.page_size if self._resource.page_size is None else self._resource.page_size
        paged = self.account.has_pages and largest > 0
        if self.account.lists_at_once and largest > 0:
            largest, size = max(largest, LIMITS[0]), None
        largest = min(largest, self._habits.limit or largest)
        size = min(size or largest, largest)
        limited = paged or (self.account.lists_at_once and largest > 0)
        query = {**self._filter, "limit": str(size)} if limited else dict(self._filter)
        if self._cursor is not None:
            query["after"] = self._cursor
        return query, paged, size

    def read(self, size: int | None = None) -> None:
        """Read the next page, of ``size`` rows. The provider's page size is the default and the maximum.

        Raises APIError and DataError. Raises OperationalError if the list contradicts itself.
        """
        received = self._receive(size)
        if received is None:
            return
        if self._has_changed(received):
            self._begin_pass()
            return
        if self._cursor is None and self._stored is not None and not self._of_jobs:
            self._rank = self._stored.highest_rank() + RANKS
        self._add(received.fresh)
        more = self._continues(received)
        if more is None:
            self._begin_pass()
            return
        self._last = (len(received.rows), received.size)
        if more:
            self._advance(received.rows)
        meets = self._save(received)
        if not more:
            self._end()
        elif meets:
            self._meet_store()

    def _receive(self, size: int | None) -> Received | None:
        """Request and decode the next page.

        Return None if the pass began again, or if the list ended because the server answered "not found".
        """
        query, paged, size = self._query(size)
        answer = self._request_page(query, size)
        if answer is None:
            self._begin_pass()
            return None
        began, body, size = answer
        if body is None:
            self._not_found()
            return None
        page = decode_page(self.account.name, self._resource.noun, body)
        answer = body = None  # a traceback may show local variables
        if self.reads_next and self._cover is None and paged and page.has_more:
            self._read_ahead(page)
        rows = self._resource.rows(self.account.name, page.objects, self._parent, self._requests.tell)
        if self._resource.kept:
            self._add_missing_ids(rows)
        else:
            self._check_ids(rows)
        fresh = [row for row in rows if row.id not in self._seen]
        self._pages += bool(fresh)
        self._sizes.add(size)
        self._overlap |= len(fresh) < len(rows)
        return Received(page, rows, fresh, size, paged, began)

    def _read_ahead(self, page: Page) -> None:
        """Request the next page before ``page`` is checked and stored, because checking and storing take a while."""
        newest = page.objects[-1] if page.objects else None
        last = newest.id if isinstance(newest, Row) else newest.get("id") if isinstance(newest, dict) else None
        if isinstance(last, str) and last and last not in self._seen:
            self.prefetch(after=last)

    def _continues(self, received: Received) -> bool | None:
        """Return whether there is a next page, or None if the list has changed and must be read again."""
        if received.page.has_more is not None or not self._cannot_continue(received):
            return self._has_next_page(received)
        return False if self._is_whole_list(received) else None

    def _save(self, received: Received) -> bool:
        """Save a page in the store. Return whether the store already had one of the rows, so that reading may stop."""
        stored, rows = self._stored, received.rows
        if stored is None:
            return False
        meets = self._cover is not None and stored.holds_any([row.id for row in rows])
        stored.save(rows, self._token, received.began, self._rank if not self._of_jobs else None)
        self._rank -= len(rows)
        return meets

    def _request_page(self, query: Query, size: int) -> tuple[float, Any, int] | None:
        """Request the next page. Return the time of the request, the decoded body, and how many rows were requested.

        The body is None for "not found". Return None instead of the tuple if the pass must begin again. If the server
        refuses the limit, a smaller one is tried and remembered. Raises the errors that the request raises.
        """
        prefetched, self._prefetched = self._prefetched, None
        refused: APIError | None = None
        while True:
            self.pages += 1
            is_prefetched = prefetched is not None and prefetched[0] == query
            call = prefetched[1] if prefetched and is_prefetched else self._requests.start(query, True)
            assert call is not None
            try:
                body = self._requests.finish(call)
            except APIError as error:
                refused = refused or error
                smaller = next((limit for limit in LIMITS if limit < size), None)
                if smaller is not None and self._refuses_limit(error, query, size):
                    size = smaller
                    query = {**query, "limit": str(size)}
                    continue
                if error.status in (400, 404, 410, 422) and self._cursor_is_gone():
                    return None
                raise refused from None
            self._slow = call.seconds > SLOW_PAGE
            self._accepted = max(size, self._accepted)
            if refused is not None:
                self.remember(limit=size)
            return call.began, body, size

    def _refuses_limit(self, error: APIError, query: Query, size: int) -> bool:
        """Whether a smaller limit may help: ``error`` is about the limit, and no limit of this size was accepted."""
        return size > self._accepted and "limit" in query and _is_about_the_limit(error)

    def _not_found(self) -> None:
        """Handle the response "not found" to a page: begin a new pass, or end an empty list.

        Raises APIError or OperationalError if neither a new pass nor an empty list can be right.
        """
        if self._cursor_is_gone():
            self._begin_pass()
        elif not self._parent:
            raise APIError(
                f"has no list of {self._resource.noun}s at {self._url()}",
                provider=self.account.name,
                status=404,
                hint="Check base_url: most end with /v1",
            )
        elif self._cursor is not None or self._requests.exists(self._parent):
            raise self._contradiction(f'says "not found", but {self._parent} exists')
        else:
            self.done = True

    def _has_changed(self, received: Received) -> bool:
        """Whether the list changed between two pages, so that the pages may lack rows."""
        page, rows, fresh = received.page, received.rows, received.fresh
        ids = {row.id for row in rows}
        if self._cursor is not None and len(fresh) < max(len(rows), 1):
            # The page is empty, or has rows that were shown before. Such a page also comes if the cursor's job was
            # deleted. But an empty page without has_more is certainly the end if the server did not cut the previous
            # page.
            plain_end = page.has_more is None and not rows and not may_be_cut(*self._last)
            if not plain_end and self._cursor not in ids and self._cursor_is_gone():
                return True
        again = len(fresh) < len(rows) and any(row.id in self._seen and row.id != self._cursor for row in rows)
        return again and bool(fresh or page.has_more is False)

    def _has_next_page(self, received: Received) -> bool:
        """Whether there is a next page. Raises OperationalError if the page contradicts itself."""
        page, rows, fresh, size = received.page, received.rows, received.fresh, received.size
        self._check_page(received)
        if page.has_more is not None:
            return page.has_more
        if not received.paged:
            self._check_single_page(rows, size)
            return False
        last_was_short = self._last[0] < self._last[1]
        if not fresh:
            if not rows and last_was_short:
                self.remember(ends_at=time.time())
            return False
        if len(rows) > self._habits.largest or last_was_short > self._habits.goes_on:
            largest = max(len(rows), self._habits.largest)
            self.remember(largest=largest, goes_on=last_was_short or self._habits.goes_on)
        return self._is_hinted(page) or not self._is_known_to_end(page, len(rows), size)

    def _check_page(self, received: Received) -> None:
        """Raise OperationalError if a page announces more rows than it shows or than can be requested."""
        page, has_more, hinted = received.page, received.page.has_more, self._is_hinted(received.page)
        if not received.paged and (has_more or hinted or page.is_token(received.rows)):
            raise self._contradiction("has more rows than one response holds, and the rest cannot be requested")
        if has_more and not received.fresh:
            raise self._contradiction("says that there is more, but shows nothing new: rows would be missing")
        if hinted and (has_more is False or not received.fresh):
            raise self._shows_too_few()

    def _is_hinted(self, page: Page) -> bool:
        """Whether the response, outside its rows, indicates more rows than the pages have shown."""
        counted = page.total > len(self._seen) if page.total is not None else (page.pages or 0) > self._pages
        return counted or page.hints

    def _shows_too_few(self) -> OperationalError:
        return self._contradiction(f"counts more {self._resource.noun.split()[-1]}s than it shows")

    def _is_known_to_end(self, page: Page, rows: int, size: int) -> bool:
        """Whether a page without ``has_more`` is known to be the last one."""
        if self._resource.parent and self._habits.ends_with(rows, size, REMEMBERED):
            return True
        counts_pages = page.pages is not None and len(self._sizes) == 1 and not self._overlap
        if counts_pages and rows < size:
            return True
        if may_be_cut(rows, size):
            return False
        return self._cursor is None and is_recent(self._habits.whole_at, REMEMBERED)

    def _cannot_continue(self, received: Received) -> bool:
        """Whether no next page can be requested, although the server did not say that this page is the last.

        Either the server ignores ``after`` and shows its first page again, or the last row has no id that ``after``
        could name.
        """
        rows = received.rows
        if not received.fresh:
            return bool({row.id for row in rows} - {self._cursor})
        first = received.paged and self._cursor is None and not _has_own_id(rows)
        return first and not self._is_known_to_end(received.page, len(rows), received.size)

    def _is_whole_list(self, received: Received) -> bool:
        """Whether the first page is the whole list, given that no other page can be requested.

        Return False if the list changed. Raises OperationalError if the page may be only a part of the list.
        """
        page, rows, size = received.page, received.rows, received.size
        if self._is_hinted(page):
            raise self._shows_too_few()
        if not self._counts_all(page, rows, size):
            again = self._first_page(max(size // 2, 1)).objects
            if len(again) > len(rows):
                return False
            self._check_not_cut(received, len(again))
        if not self._habits.whole_at:
            self._requests.tell(
                f"{self.account.name}: its list of {self._resource.noun}s has no pages: one response, of {len(rows)}, "
                'is taken for all of it. paging = "none" in its entry, or FTSQL_PAGING=none, saves two requests'
            )
        self.remember(whole_at=time.time())
        return True

    def _check_not_cut(self, received: Received, fewer: int) -> None:
        """Raise OperationalError if the server may have cut the page.

        ``fewer`` is the number of rows that the server returned for a smaller limit.
        """
        count = len(received.rows)
        if fewer < count:
            why = "and fewer rows if asked for fewer"
        elif may_be_cut(count, received.size):
            why = f"and {count} rows may be the most that one response holds"
        else:
            return
        noun = self._resource.noun
        what = f"has {noun}s without an id of their own" if received.fresh else "shows its first page again"
        raise self._contradiction(
            f'{what}, {why}. If one response holds all of them, set paging = "none" in its entry, or FTSQL_PAGING=none'
        )

    def _counts_all(self, page: Page, rows: Sequence[Row], size: int) -> bool:
        """Whether the count in a page's response is the number of all objects, and not only of those on the page.

        Such a count stays the same when fewer rows are requested. If the server returns as many rows for the smaller
        request as for the first one, its count is believed.
        """
        if not page.is_counted or len(rows) < 2:  # fewer than one row cannot be requested
            return False
        again = self._first_page(max(min(size, len(rows)) // 2, 1))
        if len(again.objects) >= len(rows):
            return len(again.objects) == len(rows)
        return again.total == page.total if page.total is not None else (again.pages or 0) > 1

    def _check_single_page(self, rows: Sequence[Row], size: int) -> None:
        """Raise OperationalError if the server cut a response that holds the whole list according to the settings."""
        if self.account.lists_at_once and len(rows) == size and len(self._first_page(size - 1).objects) < size:
            raise self._contradiction(
                f'shows {size} rows, as many as were requested: paging = "none" (FTSQL_PAGING) cannot be right'
            )

    def _first_page(self, limit: int) -> Page:
        """Request the first page again, with at most ``limit`` rows."""
        call = self._requests.start({**self._filter, "limit": str(limit)}, True)
        assert call is not None
        return decode_page(self.account.name, self._resource.noun, self._requests.finish(call))

    def _advance(self, rows: Sequence[Row]) -> None:
        """Move the cursor to the last row of a page."""
        if not _has_own_id(rows):
            raise self._contradiction(
                f"goes on after {self._resource.noun}s without an id of their own, so the rest cannot be requested"
            )
        self._cursor = rows[-1].received_id

    def _end(self) -> None:
        """Mark the listing as complete and let the store know."""
        self._check_end()
        self.done = True
        if self._stored is not None and not self._filter:
            self._stored.extend_coverage(self._token, self._newest, self._pass_began, full=True, shown=self._seen)

    def remember(self, **habits: Any) -> None:
        """Record habits of the server's lists for later listings, in memory and in the store."""
        for name, value in habits.items():
            setattr(self._habits, name, value)
        if self._stored is not None:
            self._stored.save_habits(self._habits)

    def _add_missing_ids(self, rows: Sequence[Row]) -> None:
        """Make an id for each object of a page that has no id of its own or shares its id with another object.

        Such an id is made of a hash of the object, and of the object's index among equal objects, from the oldest.
        """
        counts = Counter(row.id for row in rows)
        equal: Counter[str] = Counter()
        for row in reversed(rows):
            before = self.row(row.id)
            if row.id and counts[row.id] == 1 and (before is None or _digest(before) == _digest(row)):
                continue
            digest = _digest(row)
            row.id = f"{EQUAL}{digest}-{equal[digest]}"
            equal[digest] += 1
            self._cover = None  # only the whole list shows which of several equal objects are new

    def _check_ids(self, rows: Sequence[Row]) -> None:
        """Raise OperationalError if two different objects of a page have the same id."""
        if len({row.id for row in rows}) < len(rows):
            shown: dict[str, str] = {}
            for row in rows:
                if shown.setdefault(row.id, _digest(row)) != _digest(row):
                    raise self._contradiction(f"has two different {self._resource.noun}s with the id {row.id[:60]!r}")

    def _meet_store(self) -> None:
        """Stop reading if the pages reach back beyond the horizon, so that the store has every older row."""
        stored, cover = self._stored, self._cover
        if stored is None or cover is None or not self.trusted or self._passes > 1 or self.tail >= cover.horizon:
            return
        missing = [id for id in stored.not_shown_by(self._token, self.tail) if id not in self.by_id]
        if len(missing) > (MAX_MISSING if self._of_jobs else 0):
            self._cover = None  # many jobs were deleted, or the list hides some, so the whole list is read
            return
        for id in missing:
            self._requests.exists(id)  # removes the job from the store if it is gone
        self.store_has_rest = True
        stored.extend_coverage(self._token, self.rows[0].created_at, self._pass_began, full=False)
        if not self._of_jobs:  # a job's objects never change
            stored.confirm_coverage(self._pass_began)

    def _check_end(self) -> None:
        """Raise OperationalError if this pass lacks a row that an earlier pass showed and that still exists.

        At most three of the missing rows are checked.
        """
        unseen = [id for id in self.by_id if id not in self._seen]
        for id in {unseen[0], unseen[len(unseen) // 2], unseen[-1]} if unseen else ():
            if self._parent or self._requests.exists(id):
                raise self._contradiction(
                    f"ends before the {self._resource.noun} {id}, which it showed and which still exists"
                )

    def forget(self) -> None:
        """Drop the rows from memory. The caller keeps them elsewhere."""
        self.rows, self.by_id, self._seen = [], {}, {}

    def _add(self, fresh: list[Row]) -> None:
        """Add the new rows of a page, and check whether they are newest first."""
        again = self._passes > 1
        for row in fresh:
            self._note_order(row.created_at)
            if again:
                self._seen[row.id] = 0
            if row.id in self.by_id:
                continue
            if again and self.ordered and (row.created_at or 0) > (self.rows[-1].created_at or 0):
                continue  # created since this statement began to read
            self.by_id[row.id] = len(self.rows)
            self.rows.append(row)
            if row.created_at is not None and (self._newest is None or row.created_at > self._newest):
                self._newest = row.created_at
        if self.trusted and self._falls >= SHOWS_AN_ORDER and not is_recent(self._habits.ordered_at, REMEMBERED / 2):
            self.remember(ordered_at=time.time())

    def _note_order(self, created_at: int | None) -> None:
        """Check a row's creation time against that of the previous row.

        An older row is evidence for the order, an equal time is neutral, and a newer or missing time breaks the order.
        """
        if created_at is None or (self._tail is not None and created_at > self._tail):
            if self.ordered and self._stored is not None:
                self._stored.record_broken_order()
            self._order_broke()
        elif created_at != self._tail:
            self._falls += 1
        self._tail = created_at

    def _cursor_is_gone(self) -> bool:
        return self._cursor is not None and not self._parent and not self._requests.exists(self._cursor)

    def _url(self) -> str:
        return self.account.url(self._resource.path.format(self._parent), root=self._resource.root)

    def _contradiction(self, what: str) -> OperationalError:
        return OperationalError(
            f"{self.account.name}: its list of {self._resource.noun}s {what}. Nothing is shown rather than a short "
            "list: try again; if the error stays, the server does not follow the API"
        )


def _is_about_the_limit(error: APIError) -> bool:
    """Whether the limit may have caused ``error``.

    Many servers do not name the parameter, so the words of the message count too.
    """
    return error.status in (400, 422) and (
        error.param in LIMIT_PARAMETERS or LIMIT_WORDS.search(error.message) is not None
    )


def _has_own_id(rows: Sequence[Row]) -> bool:
    """Whether the last row of a page has an id that no other row of the page has. Only then can ``after`` name it."""
    last = rows[-1].received_id
    return bool(last) and all(row.received_id != last for row in rows[:-1])


def _digest(row: Row) -> str:
    """Return a hash of the object as received."""
    return hashlib.sha256(json.dumps(row.raw, sort_keys=True).encode()).hexdigest()[:32]
