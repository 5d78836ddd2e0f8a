"""How a server's lists behave, as far as its pages have shown: what it need not be asked again."""

from __future__ import annotations

import time
from dataclasses import dataclass

CAPS = frozenset({10, 20, 25, 30, 50, 100, 200, 250, 500, 1000})  # how many rows servers give at most, as a rule
SHOWS_AN_ORDER = 6  # different falling times: one page in 720 that has no order shows so many by chance


@dataclass
class Habits:
    """How the lists of one resource at one account behave, as far as pages have shown; the store keeps it.

    Times are when it was shown last, 0 for never. ``ordered_at``: newest first. ``whole_at``: one answer holds
    all, and ``after`` is ignored. ``ends_at``: a page shorter than asked for was the last one, as an empty page after
    it showed; ``goes_on``: another one was not, so that it never tells. ``largest``: rows of the largest page.
    ``limit``: the largest limit that is not refused. ``listed_only_at``: none of its objects was given by its id.
    """

    ordered_at: float = 0.0
    whole_at: float = 0.0
    ends_at: float = 0.0
    goes_on: bool = False
    largest: int = 0
    limit: int = 0
    listed_only_at: float = 0.0

    def ends_with(self, rows: int, size: int, seconds: float) -> bool:
        """Whether a page of so many ``rows``, of ``size`` that were asked for, is known to be the last one.

        Only a page that is smaller than another which this server gave: else the server may give no more at once.
        """
        return rows < size and rows < self.largest and not self.goes_on and is_recent(self.ends_at, seconds)


def is_recent(at: float, seconds: float) -> bool:
    """Whether a time that was noted lies within the last ``seconds``. One of the future was noted by a wrong clock."""
    now = time.time()
    return now - seconds < at <= now


def may_be_cut(rows: int, size: int) -> bool:
    """Whether a page of so many rows may be one that the server cut: as many as were asked for, or as are usual."""
    return rows == size or rows in CAPS
