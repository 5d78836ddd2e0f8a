"""Habits: how a server's lists have behaved so far. The store keeps the habits, because knowing them saves requests."""

from __future__ import annotations

import time
from dataclasses import dataclass

USUAL_LIMITS = frozenset({10, 20, 25, 30, 50, 100, 200, 250, 500, 1000})  # page sizes at which servers often cut a list
# So many different falling times show that a page is newest first: six rows in no order fall by chance once in 720.
SHOWS_AN_ORDER = 6


@dataclass
class Habits:
    """How the lists of one resource behave at one account.

    An attribute whose name ends with ``_at`` holds the Unix time at which the fact described for it was last seen, or 0
    if the fact was never seen.

    ordered_at: A list was newest first.
    whole_at: One response held the whole list, and ``after`` was ignored.
    ends_at: A page had fewer rows than requested, and the next page was empty: the short page was the end.
    goes_on: Whether a page that had fewer rows than requested was followed by another page. If so, page sizes tell
    nothing.
    largest: The number of rows on the largest page.
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
        """Whether a page of ``rows``, where ``size`` were requested, is known to be the last one.

        Such a page is smaller than another page of this server. Otherwise ``rows`` may be the most that the server
        returns in one response. ``ends_at`` counts only if it lies within the last ``seconds``.
        """
        return rows < size and rows < self.largest and not self.goes_on and is_recent(self.ends_at, seconds)


def is_recent(at: float, seconds: float) -> bool:
    """Whether ``at`` lies within the last ``seconds``.

    Return False for a time in the future, which only a wrong clock can produce.
    """
    now = time.time()
    return now - seconds < at <= now


def may_be_cut(rows: int, size: int) -> bool:
    """Whether the server may have cut a page: the page has as many rows as requested, or as many as a usual limit."""
    return rows == size or rows in USUAL_LIMITS
