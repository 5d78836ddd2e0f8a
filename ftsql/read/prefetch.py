"""Feeds: a feed hands SQLite the rows of one scan of jobs, one at a time.

A feed can look ahead, so that other tables can request objects by the ids of the jobs to come. Looking ahead is a
guess, because SQLite does not announce which ids it will need.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator

from ftsql.errors import Error
from ftsql.resources.cells import ID, Cells

FAR = 1000  # the maximum number of rows that are read ahead in search of rows that pass
ENDED = 8  # the maximum number of ended feeds that are kept


class Feed:
    """The rows of one scan.

    ``row`` is the current row of SQLite's cursor, or None at the end. ``ids_read`` has the ids that SQLite has read so
    far, each with its provider. ``provider`` is the index of the provider in a row. ``passes`` says whether a row
    fulfils the known conditions of the statement. ``passed`` counts the rows so far that fulfil them.
    """

    def __init__(
        self,
        rows: Iterator[Cells],
        provider: int,
        passes: Callable[[Cells], bool] = lambda row: True,
    ) -> None:
        self.row: Cells | None = None
        self.ids_read: dict[tuple[str, str], None] = {}
        self.passed = 0
        self._rows = rows
        self._provider = provider
        self._passes = passes
        self._ahead: deque[Cells] = deque()
        self._error: Error | None = None  # an error of reading ahead; raised when SQLite comes to the row that failed
        self._sorted: list[tuple[str, str]] = []

    def next(self) -> None:
        """Move to the next row. Raises an error if that row cannot be read."""
        if self._ahead:
            self.row = self._ahead.popleft()
        elif self._error is not None:
            raise self._error
        else:
            self.row = next(self._rows, None)
        if self.row is not None and self._passes(self.row):
            self.passed += 1

    def rows(self) -> Iterator[Cells]:
        """Move through all rows and yield each."""
        while True:
            self.next()
            if self.row is None:
                return
            yield self.row

    def key(self, row: Cells) -> tuple[str, str]:
        """Return the id of a row and its provider."""
        return str(row[ID]), str(row[self._provider])

    def end(self) -> None:
        """Drop the remaining rows, because SQLite has closed the cursor or started over."""
        self.row = None
        self._rows = iter(())
        self._ahead.clear()

    def mark_id_read(self) -> None:
        """Record that SQLite reads the id of the current row."""
        assert self.row is not None
        self.ids_read[self.key(self.row)] = None

    def after(self, key: tuple[str, str], count: int) -> list[tuple[str, str]]:
        """Return up to ``count`` ids that SQLite has read and that sort after ``key``.

        The ids are sorted, because IN (SELECT …) uses ids in ascending order.
        """
        if len(self._sorted) != len(self.ids_read):
            self._sorted = sorted(self.ids_read)
        begin = bisect_right(self._sorted, key)
        return self._sorted[begin : begin + count]

    def upcoming(self, count: int) -> list[Cells]:
        """Return up to ``count`` of the rows after the current one, only those that pass."""
        found = [row for row in self._ahead if self._passes(row)][:count]
        try:
            while len(found) < count and len(self._ahead) < FAR and self._error is None:
                row = next(self._rows, None)
                if row is None:
                    break
                self._ahead.append(row)
                if self._passes(row):
                    found.append(row)
        except Error as error:
            self._error = error
        return found


class Feeds:
    """The feeds of all scans of jobs in one statement. Scans of other tables may need the ids of these jobs."""

    def __init__(self) -> None:
        self._feeds: list[Feed] = []

    def __iter__(self) -> Iterator[Feed]:
        return iter(self._feeds)

    def add(self, feed: Feed) -> None:
        """Add a feed, and drop the oldest ended feeds, because a correlated subquery adds a feed for every row."""
        for ended in [other for other in self._feeds if other.row is None][: -ENDED + 1]:
            self._feeds.remove(ended)
        self._feeds.append(feed)
