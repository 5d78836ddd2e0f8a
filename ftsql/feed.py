"""The rows of one scan, one at a time, with a look at those to come.

What comes after is only a guess at what the statement asks for next: SQLite tells of nothing before it asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from ftsql.resource import Row

FAR = 1000  # rows to look ahead for those that pass


class Feed:
    """``row`` is the one that SQLite has now, None at the end; ``given``: the ids that it read so far."""

    def __init__(self, rows: Iterator[Row], passes: Callable[[Row], bool] = lambda row: True) -> None:
        self.row: Row | None = None
        self.given: dict[str, None] = {}
        self._rows = rows
        self._passes = passes
        self._ahead: deque[Row] = deque()

    def next(self) -> None:
        """Go on to the next row."""
        self.row = self._ahead.popleft() if self._ahead else next(self._rows, None)

    def give(self, id: str) -> None:
        """SQLite reads the id of the row that it has."""
        self.given[id] = None

    def upcoming(self, count: int) -> list[Row]:
        """Up to ``count`` rows after this one that pass, as far as can be told. Raises what reading them raises."""
        found = [row for row in self._ahead if self._passes(row)][:count]
        while len(found) < count and len(self._ahead) < FAR and (row := next(self._rows, None)) is not None:
            self._ahead.append(row)
            if self._passes(row):
                found.append(row)
        return found
