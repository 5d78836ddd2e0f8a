"""Where a WHERE or an ON stands among a statement's tokens, and how it is narrowed.

A clause ends at the keyword that begins the next one, outside of all parentheses that open in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ftsql.stackql.tokens import Token

AFTER_FROM = ("WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "UNION", "EXCEPT", "INTERSECT", "RETURNING", ";")
SIDES = ("LEFT", "RIGHT", "FULL", "INNER", "CROSS", "NATURAL")
AFTER_ON = (*AFTER_FROM, *SIDES, ",", "JOIN")


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause: the place after its keyword (where there is none yet, after what it follows), and its end."""

    keyword: str
    begin: int
    end: int
    exists: bool

    def narrowed(self, conditions: Sequence[str]) -> list[tuple[int, int, str]]:
        """The edits that have ``conditions`` hold too."""
        both = " AND ".join(conditions)
        if not self.exists:
            return [(self.begin, self.begin, f" {self.keyword} {both}")]
        return [(self.begin, self.begin, f" {both} AND ("), (self.end, self.end, ")")]


def where(mine: Sequence[Token], index: int) -> Clause:
    """The WHERE that follows the FROM in which the token ``index`` stands."""
    begin = end_of(mine, index, AFTER_FROM)
    if begin < len(mine) and mine[begin].says("WHERE"):
        last = end_of(mine, begin + 1, (*AFTER_FROM, "ON")) - 1  # ON CONFLICT
        return Clause("WHERE", mine[begin].end, mine[last].end, True)
    place = mine[begin - 1].end
    return Clause("WHERE", place, place, False)


def on(mine: Sequence[Token], index: int) -> Clause | None:
    """The ON of the join whose table ends before the token ``index``."""
    begin = end_of(mine, index, ("ON", *AFTER_ON))
    if begin == len(mine) or not mine[begin].says("ON"):
        return None
    last = end_of(mine, begin + 1, AFTER_ON) - 1
    return Clause("ON", mine[begin].end, mine[last].end, True)


def end_of(mine: Sequence[Token], index: int, ends: Sequence[str]) -> int:
    """The first token from ``index`` on that ends a clause, or closes the parenthesis around it."""
    depth = 0
    while index < len(mine):
        token = mine[index]
        if token.says("("):
            depth += 1
        elif token.says(")"):
            depth -= 1
            if depth < 0:
                return index
        elif depth == 0 and token.says(*ends) and not _is_name(mine, index):
            return index
        index += 1
    return index


def _is_name(mine: Sequence[Token], index: int) -> bool:
    """Whether a keyword is a name here: LEFT(…) is a function, and WINDOW is no reserved word."""
    after = mine[index + 1 : index + 3]
    if mine[index].says(*SIDES):
        return bool(after) and after[0].says("(")
    if mine[index].says("WINDOW"):
        return not (len(after) == 2 and after[0].name and after[1].says("AS"))
    return index > 0 and mine[index - 1].says(".")
