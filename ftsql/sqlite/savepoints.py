"""How many savepoints the user has open on a connection, read from the statements as they run.

SQLite numbers a statement's own savepoint after the user's, and tells nobody how many those are; a
virtual table that joins the transaction late does not see them begin.
"""

from __future__ import annotations

import re

# Atomic and possessive: else a row of comments could be read as one, in every way.
SPACE = r"(?>\s+|--[^\n]*\n|/\*.*?\*/)"
START = rf"\ufeff?(?:{SPACE}|;)*+"
QUOTED = r"\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*'|`[^`]*`|\[[^\]]*\]"
NAME = rf"(?:{SPACE}*+({QUOTED})|{SPACE}++([\w$]+))"
WORD = rf"(?:{SPACE}++SAVEPOINT(?=[\s\"'`\[/-]))?"
FLAGS = re.IGNORECASE | re.DOTALL
OPENS = re.compile(rf"{START}SAVEPOINT{NAME}", FLAGS)
RELEASES = re.compile(rf"{START}RELEASE{WORD}{NAME}", FLAGS)
ROLLS_BACK_TO = re.compile(rf"{START}ROLLBACK(?:{SPACE}++TRANSACTION)?{SPACE}++TO{WORD}{NAME}", FLAGS)


class Savepoints:
    """The open ones, oldest first, each with whether SQLite counts it.

    One that opens a transaction stands for the transaction itself and is not counted.
    """

    def __init__(self) -> None:
        self._open: list[tuple[str, bool]] = []

    @property
    def depth(self) -> int:
        """The level at which a statement's own savepoint begins."""
        return sum(counted for _, counted in self._open)

    def ran(self, sql: str, *, in_transaction_before: bool, in_transaction_after: bool, beside_writes: bool) -> None:
        """Note a statement that has ended. ``beside_writes``: a statement that writes was under way.

        SQLite says nothing of failures: SAVEPOINT and RELEASE fail beside a write, and a RELEASE that should
        have ended the transaction did not happen where it goes on (somebody else holds the file).
        """
        if not in_transaction_after:
            self._open.clear()
        elif match := OPENS.match(sql):
            if not beside_writes:
                self._open.append((_plain(match), in_transaction_before))
        elif match := RELEASES.match(sql):
            index = self._index(match)
            if not beside_writes and self._open[index : index + 1] and self._open[index][1]:
                del self._open[index:]
        elif match := ROLLS_BACK_TO.match(sql):
            del self._open[self._index(match) + 1 :]

    def _index(self, match: re.Match[str]) -> int:
        """Where the newest savepoint of that name stands; after the last where there is none."""
        names = [known for known, _ in self._open]
        plain = _plain(match)
        return len(names) - 1 - names[::-1].index(plain) if plain in names else len(names)


def _plain(match: re.Match[str]) -> str:
    name = match[1] or match[2]
    if name[:1] in "\"'`[":
        quote = name[0]
        name = name[1:-1].replace(quote * 2, quote)
    return name.casefold()
