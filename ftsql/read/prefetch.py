"""The rows of one scan, one at a time, with a look at those to come.

What comes after is only a guess at what the statement asks for next: SQLite tells of nothing before it asks.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator

from ftsql.errors import Error
from ftsql.resources.cells import ID, Cells

FAR = 1000  # rows to look ahead for those that pass
ENDED = 8  # feeds that came to their end and are remembered


class Feed:
    """``row`` is the one that SQLite has now, None at the end; ``given``: the ids that it read so far, each
    with its provider. ``passed`` counts the rows so far that pass.
    """

    def __init__(
        self,
        rows: Iterator[Cells],
        provider: int,
        passes: Callable[[Cells], bool] = lambda row: True,
    ) -> None:
        self.row: Cells | None = None
        self.given: dict[tuple[str, str], None] = {}
        self.passed = 0
        self._rows = rows
        self._provider = provider
        self._passes = passes
        self._ahead: deque[Cells] = deque()
        self._error: Error | None = None  # that reading ahead met: SQLite meets it where it stands
        self._sorted: list[tuple[str, str]] = []

    def next(self) -> None:
        """Go on to the next row. Raises what reading it raises."""
        if self._ahead:
            self.row = self._ahead.popleft()
        elif self._error is not None:
            raise self._error
        else:
            self.row = next(self._rows, None)
        if self.row is not None and self._passes(self.row):
            self.passed += 1

    def rows(self) -> Iterator[Cells]:
        """All of them, one at a time."""
        while True:
            self.next()
            if self.row is None:
                return
            yield self.row

    def key(self, row: Cells) -> tuple[str, str]:
        """The id of a row, with its provider."""
        return str(row[ID]), str(row[self._provider])

    def end(self) -> None:
        """SQLite reads no more of it."""
        self.row = None
        self._rows = iter(())
        self._ahead.clear()

    def give(self) -> None:
        """SQLite reads the id of the row that it has."""
        assert self.row is not None
        self.given[self.key(self.row)] = None

    def after(self, place: tuple[str, str], count: int) -> list[tuple[str, str]]:
        """Up to ``count`` of the given ids after this one, in the order in which IN (SELECT …) takes them."""
        if len(self._sorted) != len(self.given):
            self._sorted = sorted(self.given)
        begin = bisect_right(self._sorted, place)
        return self._sorted[begin : begin + count]

    def upcoming(self, count: int) -> list[Cells]:
        """Up to ``count`` rows after this one that pass, as far as can be told."""
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
    """A statement's scans of jobs, whose ids its other scans may ask for."""

    def __init__(self) -> None:
        self._feeds: list[Feed] = []

    def __iter__(self) -> Iterator[Feed]:
        return iter(self._feeds)

    def add(self, feed: Feed) -> None:
        """One more; a correlated subquery makes one for every row."""
        for ended in [stored for stored in self._feeds if stored.row is None][: -ENDED + 1]:
            self._feeds.remove(ended)
        self._feeds.append(feed)
