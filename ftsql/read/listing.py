"""One account's list of jobs as one statement reads it: pages, in the provider's order, each read once.

A listing ends complete, or where it joins what the store covers, or with an error: a page that repeats,
lies or breaks off is never taken for the end. One module, since each rule for an end needs what the pages before have
shown: the pass, its rows, its cursor.
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

MAX_PASSES = 4  # starts from the newest when the job that a page hangs on is deleted meanwhile
MAX_MISSING = 3  # covered jobs that a list no longer shows and that are asked for, before all of it is read
SLOW_PAGE = 0.01  # seconds; below that two threads cost more than reading ahead gains
HAND_OVER = 0.001  # seconds for a request to leave while this thread stands still: at work it holds it up for longer
EVERYTHING = float(2**62)
LIMITS = (1000, 100, 20)  # tried one after the other where a server refuses a larger limit
LIMIT_PARAMETERS = ("limit", "page_size", "pageSize", "size")
LIMIT_WORDS = re.compile(
    r"limit|page.?size|per.?page|too (large|big|high|many)|maxim|at most|less than|exceed|range|bad request|validation"
    r"|unprocessable|invalid (query|request|param|input|value)|empty body|HTML page",
    re.IGNORECASE,
)
AT_LEAST = 20  # rows that show an order, and that a first page asks for to show it
REMEMBERED = 86_400.0  # seconds for which what a server's pages showed is believed
RANKS = 2**24  # more than the objects of any job: those that are new stand above what is known

Query = dict[str, str]


@dataclass(frozen=True)
class Ask:
    """How a listing asks. ``start`` sends a page's query unless the statement may send no more (None then),
    ``finish`` gives its decoded body, None for "not found"; ``exists`` says whether a job is still there,
    True where the provider cannot tell. ``tell`` gets a sentence about what is odd.
    """

    start: Callable[[Query, bool], Call[Any] | None]
    finish: Callable[[Call[Any]], Any]
    exists: Callable[[str], bool]
    tell: Callable[[str], None]


@dataclass(frozen=True)
class Received:
    """One page as it was received: its rows, the ``fresh`` ones among them, and how it was requested.

    ``size`` rows were requested; ``paged`` is whether the list has pages; the request was sent at ``began``.
    """

    page: Page
    rows: list[Row]
    fresh: list[Row]
    size: int
    paged: bool
    began: float


class Listing:
    """``rows`` grows page by page until ``done``, or until ``joined``: then the store has the rest.

    ``ordered``: every page so far kept newest-first; ``trusted``: so that it may be relied on. With a ``filter``,
    which goes into every query, it is a list of some jobs only.
    """

    def __init__(
        self,
        account: Account,
        ask: Ask,
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
        self.joined = False
        self.wanted = False  # the statement reads all of it, so that no job need be asked for by itself
        self.eager = False  # it will read the next page whatever this one shows
        self._of_jobs = resource is JOBS
        self._ask = ask
        self._stored = stored
        self._filter = filter or {}
        self._habits = self._recall_habits()
        self.ordered = account.newest_first if self._of_jobs else account.provider.newest_first
        if stored is not None and self.ordered and not stored.trusts_order():
            self._order_broke()
        self._shown_before = account.at_home or is_recent(self._habits.ordered_at, REMEMBERED)
        self._falls = 0  # different falling times on the pages so far
        self.pages = 0
        self.began = time.time()
        cover = None if stored is None or filter else stored.coverage()
        self._cover = cover if cover is not None and self._can_use_cover() else None
        self._ahead: tuple[Query, Call[Any]] | None = None
        self._slow = False
        self._accepted = 0  # the largest limit that was not refused
        self._passes = 0
        self._newest: int | None = None
        self._begin_pass()
        if stored is not None and cover is not None and stored.is_fresh(cover.looked_at):
            self.joined = True  # all of it was looked at within max_age

    def _recall_habits(self) -> Habits:
        """Return what earlier pages of this list have shown, from the account or the store."""
        account, table = self.account, self._resource.table
        if table not in account.habits:
            account.habits[table] = Habits() if self._stored is None else self._stored.habits()
        habits = account.habits[table]
        if is_recent(habits.listed_only_at, REMEMBERED):
            account.serves_single[table] = False
        return habits

    def _can_use_cover(self) -> bool:
        """Whether the listing may stop where the store knows every older object."""
        if not self.ordered or self._stored is None:
            return False
        if self._of_jobs:
            return self.account.retrieves
        return not self._stored.has_made_ids()  # only the whole list shows which of equal objects are new

    @property
    def trusted(self) -> bool:
        """Whether its order may be relied on: by the provider's word at its own address, or since pages showed it."""
        shown = self._falls >= SHOWS_AN_ORDER and len(self._seen) >= AT_LEAST
        return self.ordered and (self._shown_before or shown or self.done)

    def enough(self, size: int | None) -> int | None:
        """The size of a first page that is to give ``size`` rows in the list's order; of a list without it all is read.

        At an address of the user's it has to show that order, though another one has: a list may be sorted by what
        changes.
        """
        if size is None or not self.ordered:
            return None
        return size if self.account.at_home else max(size, AT_LEAST)

    def _order_broke(self) -> None:
        self.ordered = False
        if self._habits.ordered_at:
            self.notice(ordered_at=0.0)
        if self._of_jobs:
            self.account.order_broke_at = time.time()

    def _begin_pass(self) -> None:
        self._passes += 1
        if self._passes > MAX_PASSES:
            raise OperationalError(
                f"{self.account.name}: its list changed again and again while it was read; run the statement again"
            )
        self._token = uuid.uuid4().hex
        self._pass_began = time.time()
        self._seen = self.by_id if self._passes == 1 else {}  # in this pass
        self._cursor: str | None = None
        self._tail: int | None = None  # created_at of the last row read in this pass
        self._falls = 0
        self._last: tuple[int, int] = (0, 0)  # rows of the last page, and how many were asked for
        self._pages = 0  # of this pass
        self._sizes: set[int] = set()  # that were asked for
        self._overlap = False  # a page showed rows again
        self._rank = 0

    def older_than(self, time: float, *, inclusive: bool) -> bool:
        """Whether nothing that is still unread can be at or after ``time`` (after it, when ``inclusive``)."""
        if not self.trusted or self._tail is None:
            return False
        return self._tail <= time if inclusive else self._tail < time

    @property
    def tail(self) -> float:
        """The created_at down to which it was read; everything where nothing was."""
        return EVERYTHING if self._tail is None else self._tail

    def row(self, id: str) -> Row | None:
        index = self.by_id.get(id)
        return None if index is None else self.rows[index]

    def ahead(self, size: int | None = None, after: str | None = None) -> None:
        """Send for the next page, where it takes a while to come: ``read`` will find it under way.

        ``after``: the id on which it hangs, where that is not yet known to ``_query``.
        """
        if self._ahead is None and not (self.done or self.joined) and (self._slow or not self.pages):
            query, _, _ = self._query(size)
            if after is not None:
                query["after"] = after
            call = self._ask.start(query, False)
            self._ahead = None if call is None else (query, call)
            if self._slow:
                time.sleep(HAND_OVER)

    def _query(self, size: int | None) -> tuple[Query, bool, int]:
        """The next page's query, whether the list has pages, and how many rows a full one has."""
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
        """Read one more page, of ``size`` rows; by default of as many as the provider gives at once.

        Raises APIError, DataError, and OperationalError if the list contradicts itself.
        """
        received = self._receive(size)
        if received is None:
            return
        if self._moved(received.page, received.rows, received.fresh):
            self._begin_pass()
            return
        if self._cursor is None and self._stored is not None and not self._of_jobs:
            self._rank = self._stored.highest_rank() + RANKS
        self._add(received.fresh)
        more = self._goes_on(received)
        if more is None:
            self._begin_pass()
            return
        self._last = (len(received.rows), received.size)
        if more:
            self._advance(received.rows)
        meets = self._keep(received)
        if not more:
            self._end()
        elif meets:
            self._join()

    def _receive(self, size: int | None) -> Received | None:
        """Request the next page and decode it; None if the pass began again or the list ended with "not found"."""
        query, paged, size = self._query(size)
        answer = self._asked(query, size)
        if answer is None:
            self._begin_pass()
            return None
        began, body, size = answer
        if body is None:
            self._missing()
            return None
        page = decode_page(self.account.name, self._resource.noun, body)
        answer = body = None  # a traceback may show its locals
        if self.eager and self._cover is None and paged and page.has_more:
            self._read_ahead(page)
        rows = self._resource.rows(self.account.name, page.objects, self._parent, self._ask.tell)
        if self._resource.kept:
            self._identify(rows)
        else:
            self._check_ids(rows)
        fresh = [row for row in rows if row.id not in self._seen]
        self._pages += bool(fresh)
        self._sizes.add(size)
        self._overlap |= len(fresh) < len(rows)
        return Received(page, rows, fresh, size, paged, began)

    def _read_ahead(self, page: Page) -> None:
        """Request the page after this one before this one is checked and stored, which takes a while too."""
        last = page.objects[-1].get("id") if page.objects and isinstance(page.objects[-1], dict) else None
        if isinstance(last, str) and last and last not in self._seen:
            self.ahead(after=last)

    def _goes_on(self, received: Received) -> bool | None:
        """Whether there is a next page; None if the list changed meanwhile and has to be read again."""
        page, rows, fresh = received.page, received.rows, received.fresh
        size, paged = received.size, received.paged
        if page.has_more is not None or not self._goes_nowhere(page, rows, fresh, size, paged=paged):
            return self._has_more(page, rows, fresh, size, paged=paged)
        return False if self._is_whole(page, rows, size, "an id of their own" if fresh else "") else None

    def _keep(self, received: Received) -> bool:
        """Save a page in the store; return whether the store already had one of its rows below the cover."""
        stored, rows = self._stored, received.rows
        if stored is None:
            return False
        meets = self._cover is not None and stored.holds_any([row.id for row in rows])
        stored.save(rows, self._token, received.began, self._rank if not self._of_jobs else None)
        self._rank -= len(rows)
        return meets

    def _asked(self, query: Query, size: int) -> tuple[float, Any, int] | None:
        """Since when the next page's body is so, the body (None: "not found"), and how many rows were asked for.

        None where the pass has to begin again. If a server refuses the limit, a smaller one is tried and remembered.
        Raises what the request raises.
        """
        ahead, self._ahead = self._ahead, None
        refused: APIError | None = None
        while True:
            self.pages += 1
            call = ahead[1] if ahead is not None and ahead[0] == query else self._ask.start(query, True)
            assert call is not None
            try:
                body = self._ask.finish(call)
            except APIError as error:
                refused = refused or error
                smaller = next((limit for limit in LIMITS if limit < size), None)
                if smaller is not None and size > self._accepted and "limit" in query and _is_about_the_limit(error):
                    size = smaller
                    query = {**query, "limit": str(size)}
                    continue
                if error.status in (400, 404, 410, 422) and self._cursor_is_gone():
                    return None
                raise refused from None
            self._slow = call.seconds > SLOW_PAGE
            self._accepted = max(size, self._accepted)
            if refused is not None:
                self.notice(limit=size)
            return call.began, body, size

    def _missing(self) -> None:
        """A page was "not found". Raises where that cannot be."""
        if self._cursor_is_gone():
            self._begin_pass()
        elif not self._parent:
            raise APIError(
                f"has no list of {self._resource.noun}s at {self._url()}",
                provider=self.account.name,
                status=404,
                hint="Check base_url: most end with /v1",
            )
        elif self._cursor is not None or self._ask.exists(self._parent):
            raise self._contradiction(f'says "not found", but {self._parent} exists')
        else:
            self.done = True

    def _moved(self, page: Page, rows: Sequence[Row], fresh: Sequence[Row]) -> bool:
        """Whether the list changed between two pages, so that what stood between them may be lost."""
        ids = {row.id for row in rows}
        if self._cursor is not None and len(fresh) < max(len(rows), 1):
            # An end, or a page that shows again what was seen: both are also what servers answer when
            # the job that the page hangs on was deleted.
            # A page that was asked for only because nobody said that there is none has to be empty.
            plain_end = page.has_more is None and not rows and not may_be_cut(*self._last)
            if not plain_end and self._cursor not in ids and self._cursor_is_gone():
                return True
        again = len(fresh) < len(rows) and any(row.id in self._seen and row.id != self._cursor for row in rows)
        return again and bool(fresh or page.has_more is False)

    def _has_more(self, page: Page, rows: Sequence[Row], fresh: Sequence[Row], size: int, *, paged: bool) -> bool:
        """Whether there is a next page. Raises OperationalError where the page contradicts itself."""
        has_more, hinted = page.has_more, self._is_hinted(page)
        if not paged and (has_more or hinted or page.is_token(rows)):
            raise self._contradiction("has more than one answer holds, and no way to ask for the rest")
        if has_more and not fresh:
            raise self._contradiction("says that there is more, but shows nothing new: it would lack rows")
        if hinted and (has_more is False or not fresh):
            raise self._counts_more()
        if has_more is not None:
            return has_more
        if not paged:
            self._check_whole(rows, size)
            return False
        if not fresh:
            if not rows and self._last[0] < self._last[1]:
                self.notice(ends_at=time.time())
            return False
        goes_on = self._last[0] < self._last[1]
        if len(rows) > self._habits.largest or goes_on > self._habits.goes_on:
            self.notice(largest=max(len(rows), self._habits.largest), goes_on=goes_on or self._habits.goes_on)
        return hinted or not self._is_known_to_end(page, len(rows), size)

    def _is_hinted(self, page: Page) -> bool:
        """Whether the envelope tells of more than was shown so far."""
        counted = page.total > len(self._seen) if page.total is not None else (page.pages or 0) > self._pages
        return counted or page.hints

    def _counts_more(self) -> OperationalError:
        return self._contradiction(f"counts more {self._resource.noun.split()[-1]}s than it shows")

    def _is_known_to_end(self, page: Page, rows: int, size: int) -> bool:
        """Whether a page whose server says nothing of more is the last one all the same."""
        if self._resource.parent and self._habits.ends_with(rows, size, REMEMBERED):
            return True
        counts_pages = page.pages is not None and len(self._sizes) == 1 and not self._overlap
        if counts_pages and rows < size:
            return True
        if may_be_cut(rows, size):
            return False
        return self._cursor is None and is_recent(self._habits.whole_at, REMEMBERED)

    def _goes_nowhere(self, page: Page, rows: Sequence[Row], fresh: Sequence[Row], size: int, *, paged: bool) -> bool:
        """Whether no next page can be had, though nobody said that this one is the last.

        The server ignores ``after`` and shows its first page again; or there is no id to ask after.
        """
        if not fresh:
            return bool({row.id for row in rows} - {self._cursor})
        first = paged and self._cursor is None and not _has_own_id(rows)
        return first and not self._is_known_to_end(page, len(rows), size)

    def _is_whole(self, page: Page, rows: Sequence[Row], size: int, lacking: str) -> bool:
        """Whether a first page is the whole list, if no other can be asked for; False: the list changed meanwhile.

        ``lacking``: what its objects have none of, if that is the reason.
        """
        if self._is_hinted(page):
            raise self._counts_more()
        counts = self._counts_all(page, rows, size)
        if not counts:
            again = self._first_page(max(size // 2, 1)).objects
            if len(again) > len(rows):
                return False
            why = f"has {self._resource.noun}s without {lacking}" if lacking else "shows its first page again"
            if len(again) < len(rows):
                why += ", and fewer rows if asked for fewer"
            elif may_be_cut(len(rows), size):
                why += f", and {len(rows)} rows may be as many as it gives at once"
            else:
                why = ""
            if why:
                hint = 'If one answer holds all of them, say so: paging = "none" in its entry, or FTSQL_PAGING=none'
                raise self._contradiction(f"{why}. {hint}")
        if not self._habits.whole_at:
            self._ask.tell(
                f"{self.account.name}: its list of {self._resource.noun}s has no pages: one answer, of {len(rows)}, is "
                'taken for all of it. paging = "none" in its entry, or FTSQL_PAGING=none, saves two requests'
            )
        self.notice(whole_at=time.time())
        return True

    def _counts_all(self, page: Page, rows: Sequence[Row], size: int) -> bool:
        """Whether the envelope counts all objects, and not those of a page alone.

        Then the count stays if fewer are asked for. A server that gives as many all the same is believed.
        """
        if not page.is_counted or len(rows) < 2:  # of one row no fewer can be asked for
            return False
        again = self._first_page(max(min(size, len(rows)) // 2, 1))
        if len(again.objects) >= len(rows):
            return len(again.objects) == len(rows)
        return again.total == page.total if page.total is not None else (again.pages or 0) > 1

    def _check_whole(self, rows: Sequence[Row], size: int) -> None:
        """Raise OperationalError if an answer that holds all by the user's word was cut at the limit all the same."""
        if self.account.lists_at_once and len(rows) == size and len(self._first_page(size - 1).objects) < size:
            raise self._contradiction(
                f'shows {size} rows, as many as it was asked for: paging = "none" (FTSQL_PAGING) cannot be right'
            )

    def _first_page(self, limit: int) -> Page:
        """The first page, of so many rows at most, once more."""
        call = self._ask.start({**self._filter, "limit": str(limit)}, True)
        assert call is not None
        return decode_page(self.account.name, self._resource.noun, self._ask.finish(call))

    def _advance(self, rows: Sequence[Row]) -> None:
        """Have the next page asked for after the last row of this one."""
        if not _has_own_id(rows):
            raise self._contradiction(
                f"goes on after {self._resource.noun}s without an id of their own, and cannot be asked for more"
            )
        self._cursor = str(rows[-1].values["id"])

    def _end(self) -> None:
        """Everything was read."""
        self._check_end()
        self.done = True
        if self._stored is not None and not self._filter:
            self._stored.extend_coverage(self._token, self._newest, self._pass_began, full=True, shown=self._seen)

    def notice(self, **shown: Any) -> None:
        """Remember something of how the server's lists behave."""
        for name, value in shown.items():
            setattr(self._habits, name, value)
        if self._stored is not None:
            self._stored.save_habits(self._habits)

    def _identify(self, rows: Sequence[Row]) -> None:
        """Give an identity to each object of a page that has no id of its own: none, or one that others have too.

        It is a hash of the object, and its number among equal ones, counted from the oldest.
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
            self._cover = None  # which of them are new shows only in the whole list

    def _check_ids(self, rows: Sequence[Row]) -> None:
        """Raise OperationalError if two different objects of a page have one id: it could name either."""
        if len({row.id for row in rows}) < len(rows):
            shown: dict[str, str] = {}
            for row in rows:
                if shown.setdefault(row.id, _digest(row)) != _digest(row):
                    raise self._contradiction(f"has two different {self._resource.noun}s of the id {row.id[:60]!r}")

    def _join(self) -> None:
        """Whether the pages reach back to where the store knows every job: then it has the rest."""
        stored, cover = self._stored, self._cover
        if stored is None or cover is None or not self.trusted or self._passes > 1 or self.tail >= cover.horizon:
            return
        missing = [id for id in stored.not_shown_by(self._token, self.tail) if id not in self.by_id]
        if len(missing) > (MAX_MISSING if self._of_jobs else 0):
            self._cover = None  # much was deleted, or the list hides it: read all of it
            return
        for id in missing:
            self._ask.exists(id)  # what is gone is forgotten
        self.joined = True
        stored.extend_coverage(self._token, self.rows[0].created_at, self._pass_began, full=False)
        if not self._of_jobs:  # what a job has left behind never changes
            stored.confirm_coverage(self._pass_began)

    def _check_end(self) -> None:
        """A pass that began anew must show again what an earlier one showed, but for what is deleted."""
        unseen = [id for id in self.by_id if id not in self._seen]
        for id in {unseen[0], unseen[len(unseen) // 2], unseen[-1]} if unseen else ():
            if self._parent or self._ask.exists(id):
                raise self._contradiction(
                    f"ends before the {self._resource.noun} {id}, which it showed and which still exists"
                )

    def forget(self) -> None:
        """Let go of the rows, which are kept elsewhere."""
        self.rows, self.by_id, self._seen = [], {}, {}

    def _add(self, fresh: list[Row]) -> None:
        """Add the new rows of a page, and note whether they are newest first."""
        again = self._passes > 1
        for row in fresh:
            self._note_order(row.created_at)
            if again:
                self._seen[row.id] = 0
            if row.id in self.by_id:
                continue
            if again and self.ordered and (row.created_at or 0) > (self.rows[-1].created_at or 0):
                continue  # created after this statement began to read
            self.by_id[row.id] = len(self.rows)
            self.rows.append(row)
            if row.created_at is not None and (self._newest is None or row.created_at > self._newest):
                self._newest = row.created_at
        if self.trusted and self._falls >= SHOWS_AN_ORDER and not is_recent(self._habits.ordered_at, REMEMBERED / 2):
            self.notice(ordered_at=time.time())

    def _note_order(self, created_at: int | None) -> None:
        """Compare the time of a row with that of the row before it."""
        if created_at is None or (self._tail is not None and created_at > self._tail):
            if self.ordered and self._stored is not None:
                self._stored.record_broken_order()
            self._order_broke()
        elif created_at != self._tail:
            self._falls += 1
        self._tail = created_at

    def _cursor_is_gone(self) -> bool:
        return self._cursor is not None and not self._parent and not self._ask.exists(self._cursor)

    def _url(self) -> str:
        return self.account.url(self._resource.path.format(self._parent), root=self._resource.root)

    def _contradiction(self, what: str) -> OperationalError:
        return OperationalError(
            f"{self.account.name}: its list of {self._resource.noun}s {what}. Nothing is shown rather than a short "
            "list: try again, and if it stays so the server does not follow the API"
        )


def _is_about_the_limit(error: APIError) -> bool:
    """Whether a refusal may be for the limit that was asked for: many do not say."""
    return error.status in (400, 422) and (
        error.param in LIMIT_PARAMETERS or LIMIT_WORDS.search(error.message) is not None
    )


def _has_own_id(rows: Sequence[Row]) -> bool:
    """Whether the last row of a page has an id, and one that no other of the page has: what ``after`` can name."""
    last = rows[-1].values.get("id")
    return bool(last) and all(row.values.get("id") != last for row in rows[:-1])


def _digest(row: Row) -> str:
    return hashlib.sha256(json.dumps(row.raw, sort_keys=True).encode()).hexdigest()[:32]
