"""How a server's lists behave, as their pages have shown so far. The store keeps it and saves requests by it."""

from __future__ import annotations

import time
from dataclasses import dataclass

USUAL_LIMITS = frozenset({10, 20, 25, 30, 50, 100, 200, 250, 500, 1000})  # the most rows that servers usually return
SHOWS_AN_ORDER = 6  # different falling times: of pages without an order, one in 720 shows so many by chance


@dataclass
class Habits:
    """How the lists of one resource at one account behave. Times are Unix seconds of the last proof, 0 for never.

    ordered_at: A list was newest first.
    whole_at: One response held the whole list, and ``after`` was ignored.
    ends_at: A page with fewer rows than requested was the last one: the page after it was empty.
    goes_on: A page with fewer rows than requested was not the last one, so page sizes tell nothing.
    largest: The number of rows of the largest page.
    limit: The largest limit that the server accepts.
    listed_only_at: No object could be read by its id.
    """

    ordered_at: float = 0.0
    whole_at: float = 0.0
    ends_at: float = 0.0
    goes_on: bool = False
    largest: int = 0
    limit: int = 0
    listed_only_at: float = 0.0

    def ends_with(self, rows: int, size: int, seconds: float) -> bool:
        """Whether a page of ``rows``, of ``size`` requested, is known to be the last one.

        It must be smaller than another page of this server; otherwise the server may return no more rows at once.
        A proof counts for ``seconds``.
        """
        return rows < size and rows < self.largest and not self.goes_on and is_recent(self.ends_at, seconds)


def is_recent(at: float, seconds: float) -> bool:
    """Whether ``at`` lies within the last ``seconds``. A time in the future was noted by a wrong clock: False."""
    now = time.time()
    return now - seconds < at <= now


def may_be_cut(rows: int, size: int) -> bool:
    """Whether the server may have cut a page: it has as many rows as were requested, or as a usual limit."""
    return rows == size or rows in USUAL_LIMITS
