"""One account's list of jobs as one statement reads it: pages, in the provider's order, each read once.

A listing ends complete, or where it joins what the store covers, or with an error: a page that repeats,
lies or breaks off is never taken for the end.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ftsql.account import Account
from ftsql.errors import APIError, OperationalError
from ftsql.known import Known
from ftsql.pages import decoded, hints_at_more, token
from ftsql.resource import Resource, Row
from ftsql.resources import JOBS
from ftsql.rows import Rows
from ftsql.workers import Call

MAX_PASSES = 4  # starts from the newest when the job that a page hangs on is deleted meanwhile
MAX_MISSING = 3  # covered jobs that a list no longer shows and that are asked for, before all of it is read
SLOW_PAGE = 0.01  # seconds; below that two threads cost more than reading ahead gains
HAND_OVER = 0.001  # seconds for a request to leave while this thread stands still: at work it holds it up for longer
EVERYTHING = float(2**62)

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


class Listing:
    """``rows`` grows page by page until ``done``, or until ``joined``: then the store has the rest.

    ``ordered``: every page so far kept newest-first. With a ``filter``, which goes into every query, it is a
    list of some jobs only.
    """

    def __init__(
        self,
        account: Account,
        ask: Ask,
        known: Known | None,
        filter: Query | None = None,
        resource: Resource = JOBS,
        parent: str = "",
    ) -> None:
        self.account = account
        self._resource = resource
        self._parent = parent
        self.rows: Rows | list[Row] = Rows() if resource is JOBS else []
        self.by_id: dict[str, int] = {}
        self.done = False
        self.joined = False
        self.wanted = False  # the statement reads all of it, so that no job need be asked for by itself
        self.eager = False  # it will read the next page whatever this one shows
        self._of_jobs = resource is JOBS
        self.ordered = account.newest_first if self._of_jobs else account.provider.newest_first
        if known is not None and self.ordered and not known.trusts_order():
            self._order_broke()
        self.pages = 0
        self.began = time.time()
        self._ask = ask
        self._known = known
        self._filter = filter or {}
        cover = None if known is None or filter else known.cover()
        can_ask = not self._of_jobs or "retrieve" not in account.provider.without
        self._cover = cover if self.ordered and can_ask else None
        self._ahead: tuple[Query, Call[Any]] | None = None
        self._slow = False
        self._passes = 0
        self._newest: int | None = None
        self._begin_pass()
        if known is not None and cover is not None and known.is_fresh(cover.looked_at):
            self.joined = True  # all of it was looked at within max_age

    def _order_broke(self) -> None:
        self.ordered = False
        if self._of_jobs:
            self.account.broke_at = time.time()

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
        self._cursor_checked = False

    def older_than(self, time: float, *, inclusive: bool) -> bool:
        """Whether nothing that is still unread can be at or after ``time`` (after it, when ``inclusive``)."""
        if not self.ordered or self._tail is None:
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
        """The next page's query, whether the provider has pages, and how many rows a full one has."""
        provider = self.account.provider
        largest = provider.page_size if self._resource.page_size is None else self._resource.page_size
        size = min(size or largest, largest)
        paged = provider.paging == "after" and largest > 0
        query = {**self._filter, "limit": str(size)} if paged else dict(self._filter)
        if self._cursor is not None:
            query["after"] = self._cursor
        return query, paged, size

    def read(self, size: int | None = None) -> None:
        """Read one more page of ``size`` rows (the provider's largest by default).

        Raises APIError, DataError, and OperationalError for a list that contradicts itself.
        """
        query, paged, size = self._query(size)
        ahead, self._ahead = self._ahead, None
        self.pages += 1
        call = ahead[1] if ahead is not None and ahead[0] == query else self._ask.start(query, True)
        assert call is not None
        try:
            body = self._ask.finish(call)
            self._slow = call.seconds > SLOW_PAGE
        except APIError as error:
            if error.status not in (400, 404, 410, 422) or not self._cursor_is_gone():
                raise
            self._begin_pass()
            return
        if body is None:
            if self._cursor_is_gone():
                self._begin_pass()
                return
            if self._parent:
                if self._cursor is not None or self._ask.exists(self._parent):
                    raise self._contradiction(f'says "not found", but {self._parent} exists')
                self.done = True
                return
            raise APIError(
                f"has no list of {self._resource.noun}s at {self._url()}",
                provider=self.account.name,
                status=404,
                hint="Check base_url: most end with /v1",
            )
        objects, has_more = decoded(self.account.name, self._resource.noun, body)
        if self.eager and self._cover is None and paged and has_more:
            last = objects[-1].get("id") if objects and isinstance(objects[-1], dict) else None
            if isinstance(last, str) and last and last not in self._seen:
                self.ahead(after=last)  # before this page is checked and kept, which takes a while too
        rows = self._resource.rows(self.account.name, objects, self._parent, self._ask.tell)
        fresh = [row for row in rows if row.id not in self._seen]
        if self._cursor is not None and len(fresh) < max(len(rows), 1) and not self._cursor_checked:
            # An end, or a page that shows again what was seen: both are also what servers answer when
            # the job that the page hangs on was deleted.
            self._cursor_checked = True
            if self._cursor_is_gone():
                self._begin_pass()
                return
        again = len(fresh) < len(rows) and any(row.id in self._seen and row.id != self._cursor for row in rows)
        if again and (fresh or has_more is False):
            self._begin_pass()  # its order changed between two pages: what stood between them may be lost
            return
        self._add(fresh)
        hinted = hints_at_more(body, len(self._seen))
        if not paged and (has_more or hinted or token(body, rows)):
            raise self._contradiction("has more than one answer holds, and no way to ask for the rest")
        if has_more and not fresh:
            raise self._contradiction("says that there is more, but shows nothing new: it would lack rows")
        if hinted and (has_more is False or not fresh):
            raise self._contradiction(f"counts more {self._resource.noun.split()[-1]}s than it shows")
        more = has_more if has_more is not None else paged and (len(rows) >= size or hinted)
        if more and fresh:
            self._cursor, self._cursor_checked = rows[-1].id, False
        known = self._known
        meets = known is not None and self._cover is not None and known.holds_any([row.id for row in rows])
        if known is not None:
            known.save(rows, self._token, call.began)
        if more and fresh and meets:
            self._join()
        elif not (more and fresh):
            self._check_end()
            self.done = True
            if self._known is not None and not self._filter:
                self._known.reached(self._token, self._newest, self._pass_began, full=True, shown=self._seen)

    def _join(self) -> None:
        """Whether the pages reach back to where the store knows every job: then it has the rest."""
        known, cover = self._known, self._cover
        if known is None or cover is None or not self.ordered or self._passes > 1 or self.tail >= cover.horizon:
            return
        missing = [id for id in known.missing(self._token, self.tail) if id not in self.by_id]
        if len(missing) > (MAX_MISSING if self._of_jobs else 0):
            self._cover = None  # much was deleted, or the list hides it: read all of it
            return
        for id in missing:
            self._ask.exists(id)  # what is gone is forgotten
        self.joined = True
        known.reached(self._token, self.rows[0].created_at, self._pass_began, full=False)
        if not self._of_jobs:  # what a job has left behind never changes
            known.looked(self._pass_began)

    def _check_end(self) -> None:
        """A pass that began anew must show again what an earlier one showed, but for what is deleted."""
        unseen = [id for id in self.by_id if id not in self._seen]
        for id in {unseen[0], unseen[len(unseen) // 2], unseen[-1]} if unseen else ():
            if self._parent or self._ask.exists(id):
                raise self._contradiction(
                    f"ends before the {self._resource.noun} {id}, which it showed and which still exists"
                )

    def replace(self, row: Row) -> None:
        """Show ``row`` as our own write left it."""
        if row.id in self.by_id:
            self.rows[self.by_id[row.id]] = row

    def _add(self, fresh: list[Row]) -> None:
        again = self._passes > 1
        for row in fresh:
            created_at = row.created_at
            if created_at is None or (self._tail is not None and created_at > self._tail):
                if self.ordered and self._known is not None:
                    self._known.order_broke()
                self._order_broke()
            self._tail = created_at
            if again:
                self._seen[row.id] = 0
            if row.id in self.by_id:
                continue
            if again and self.ordered and self.rows and (created_at or 0) > (self.rows[-1].created_at or 0):
                continue  # created after this statement's look began
            self.by_id[row.id] = len(self.rows)
            self.rows.append(row)
            if created_at is not None and (self._newest is None or created_at > self._newest):
                self._newest = created_at

    def _cursor_is_gone(self) -> bool:
        return self._cursor is not None and not self._parent and not self._ask.exists(self._cursor)

    def _url(self) -> str:
        return self.account.url(self._resource.path.format(self._parent), root=self._resource.root)

    def _contradiction(self, what: str) -> OperationalError:
        return OperationalError(
            f"{self.account.name}: its list of {self._resource.noun}s {what}. Nothing is shown rather than a short "
            "list: try again, and if it stays so the server does not follow the API"
        )
