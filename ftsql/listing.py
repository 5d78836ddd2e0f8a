"""One account's list of jobs as one statement reads it: pages, in the provider's order, each read once.

A listing ends complete or with an error: a page that repeats, lies or breaks off is never taken for the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ftsql.errors import APIError, DataError, OperationalError
from ftsql.providers import Account
from ftsql.resources import JOBS, Row

MAX_PASSES = 4  # starts from the newest when the job that a page hangs on is deleted meanwhile

Ask = Callable[[dict[str, str]], Any]  # a page's query -> its decoded body, None for "not found"


class Listing:
    """``rows`` grows page by page until ``done``. ``ordered``: every page so far kept newest-first."""

    def __init__(self, account: Account, ask: Ask, exists: Callable[[str], bool]) -> None:
        self.account = account
        self.rows: list[Row] = []
        self.by_id: dict[str, int] = {}
        self.done = False
        self.ordered = account.newest_first
        self.pages = 0
        self._ask = ask
        self._exists = exists  # whether a job is still there; True where the provider cannot tell
        self._passes = 0
        self._begin_pass()

    def _begin_pass(self) -> None:
        self._passes += 1
        if self._passes > MAX_PASSES:
            raise OperationalError(
                f"{self.account.name}: jobs were deleted again and again while the list was read; "
                "run the statement again"
            )
        self._seen: set[str] = set()
        self._cursor: str | None = None
        self._tail: int | None = None  # created_at of the last row read in this pass
        self._cursor_checked = False

    def older_than(self, time: float, *, inclusive: bool) -> bool:
        """Whether nothing that is still unread can be at or after ``time`` (after it, when ``inclusive``)."""
        if not self.ordered or self._tail is None:
            return False
        return self._tail <= time if inclusive else self._tail < time

    def row(self, id: str) -> Row | None:
        index = self.by_id.get(id)
        return None if index is None else self.rows[index]

    def read(self, size: int | None = None) -> None:
        """Read one more page of ``size`` rows (the provider's largest by default).

        Raises APIError, DataError, and OperationalError for a list that contradicts itself.
        """
        provider = self.account.provider
        size = min(size or provider.page_size, provider.page_size)
        paged = provider.paging == "after"
        query = {"limit": str(size)} if paged else {}
        if self._cursor is not None:
            query["after"] = self._cursor
        self.pages += 1
        try:
            body = self._ask(query)
        except APIError as error:
            if error.status not in (400, 404, 410, 422) or not self._cursor_is_gone():
                raise
            self._begin_pass()
            return
        if body is None:
            if self._cursor_is_gone():
                self._begin_pass()
                return
            raise APIError(
                f"has no list of {JOBS.noun}s at {self.account.url()}",
                provider=self.account.name,
                status=404,
                hint="Check base_url: most end with /v1",
            )
        objects, has_more = self._page(body)
        rows = JOBS.rows(self.account.name, objects)
        fresh = [row for row in rows if row.id not in self._seen]
        if self._cursor is not None and len(fresh) < max(len(rows), 1) and not self._cursor_checked:
            # An end, or a page that shows again what was seen: both are also what servers answer when
            # the job that the page hangs on was deleted.
            self._cursor_checked = True
            if self._cursor_is_gone():
                self._begin_pass()
                return
        self._add(fresh)
        hinted = _hints_at_more(body, len(self._seen))
        if not paged and (has_more or hinted or _token(body, rows)):
            raise self._contradiction("has more than one answer holds, and no way to ask for the rest")
        if has_more and not fresh:
            raise self._contradiction(
                "says that there is more, but shows nothing new: the list would never end or lack jobs"
            )
        if hinted and (has_more is False or not fresh):
            raise self._contradiction("counts more jobs than it shows")
        more = has_more if has_more is not None else paged and (len(rows) >= size or hinted)
        if more and fresh:
            self._cursor = rows[-1].id
            self._cursor_checked = False
        else:
            self._check_end()
            self.done = True

    def _check_end(self) -> None:
        """A pass that began anew must show again what an earlier one showed, but for what is deleted."""
        unseen = [row.id for row in self.rows if row.id not in self._seen]
        for id in {unseen[0], unseen[len(unseen) // 2], unseen[-1]} if unseen else ():
            if self._exists(id):
                raise self._contradiction(f"ends before the job {id}, which it showed and which still exists")

    def replace(self, row: Row) -> None:
        """Show ``row`` as our own write left it."""
        if row.id in self.by_id:
            self.rows[self.by_id[row.id]] = row

    def _add(self, fresh: list[Row]) -> None:
        again = self._passes > 1
        for row in fresh:
            self._seen.add(row.id)
            created_at = row.created_at
            if created_at is None or (self._tail is not None and created_at > self._tail):
                self.ordered = self.account.ordered = False
            self._tail = created_at
            if row.id in self.by_id:
                continue
            if again and self.ordered and self.rows and (created_at or 0) > (self.rows[-1].created_at or 0):
                continue  # created after this statement's look began
            self.by_id[row.id] = len(self.rows)
            self.rows.append(row)

    def _cursor_is_gone(self) -> bool:
        return self._cursor is not None and not self._exists(self._cursor)

    def _contradiction(self, what: str) -> OperationalError:
        return OperationalError(
            f"{self.account.name}: its list of {JOBS.noun}s {what}. Nothing is shown rather than a short "
            "list: try again, and if it stays so the server does not follow the API"
        )

    def _page(self, body: Any) -> tuple[list[object], bool | None]:
        """The objects of a list body and its ``has_more``; DataError for anything that is no list body."""
        if not isinstance(body, dict) or not isinstance(body.get("data"), list):
            kind = "an array" if isinstance(body, list) else "an object without data"
            kind = kind if isinstance(body, (dict, list)) else f"a {type(body).__name__}"
            raise DataError(
                f"{self.account.name}: answered the list of {JOBS.noun}s with {kind} where an object "
                "with an array named data belongs. Check that base_url is the API's"
            )
        has_more = body.get("has_more")
        if has_more is not None and not isinstance(has_more, bool):
            raise DataError(
                f"{self.account.name}: has_more is {str(has_more)[:40]!r} where true or false belongs, so the "
                "end of the list is unknown"
            )
        return body["data"], has_more


def _hints_at_more(body: Any, shown: int) -> bool:
    """Whether a list body, which need not have has_more, tells of more jobs than ``shown``."""
    meta = body.get("meta") if isinstance(body.get("meta"), dict) else {}
    totals = [body.get("total_count"), body.get("total"), meta.get("total_results")]
    if any(isinstance(total, int) and total > shown for total in totals):
        return True
    return any(body.get(name) for name in ("next", "next_page", "next_cursor", "nextPageToken"))


def _token(body: Any, rows: list[Row]) -> bool:
    """Whether last_id is no id of the list: Portkey's gateway puts a token of Amazon's there where Bedrock has more."""
    last_id = body.get("last_id")
    return bool(last_id) and (not rows or last_id != rows[-1].id)
