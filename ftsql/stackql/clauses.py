"""Finds the WHERE or ON clause of a table among a statement's tokens, and adds conditions to that clause.

A clause ends at the keyword that begins the next clause. A keyword inside parentheses that the clause opens does not
count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ftsql.stackql.tokens import Token

Edit = tuple[int, int, str]  # the start and end of a part of the statement, and the string that replaces that part

AFTER_FROM = ("WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "UNION", "EXCEPT", "INTERSECT", "RETURNING", ";")
SIDES = ("LEFT", "RIGHT", "FULL", "INNER", "CROSS", "NATURAL")
AFTER_ON = (*AFTER_FROM, *SIDES, ",", "JOIN")


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause, from after its keyword to its end. If ``exists`` is false, a new clause is inserted at ``start``."""

    keyword: str
    start: int
    end: int
    exists: bool

    def edits(self, conditions: Sequence[str]) -> list[Edit]:
        """Return the edits that add ``conditions`` to this clause with AND."""
        added = " AND ".join(conditions)
        if not self.exists:
            return [(self.start, self.start, f" {self.keyword} {added}")]
        return [(self.start, self.start, f" {added} AND ("), (self.end, self.end, ")")]


def find_where(tokens: Sequence[Token], index: int) -> Clause:
    """Return the WHERE clause after the FROM or DELETE FROM that contains the token at ``index``."""
    begin = find_end(tokens, index, AFTER_FROM)
    if begin < len(tokens) and tokens[begin].matches("WHERE"):
        last = find_end(tokens, begin + 1, (*AFTER_FROM, "ON")) - 1  # the ON of ON CONFLICT
        return Clause("WHERE", tokens[begin].end, tokens[last].end, True)
    position = tokens[begin - 1].end
    return Clause("WHERE", position, position, False)


def find_on(tokens: Sequence[Token], index: int) -> Clause | None:
    """Return the ON clause of a join, or None if the join has none. Its table ends before the token at ``index``."""
    begin = find_end(tokens, index, ("ON", *AFTER_ON))
    if begin == len(tokens) or not tokens[begin].matches("ON"):
        return None
    last = find_end(tokens, begin + 1, AFTER_ON) - 1
    return Clause("ON", tokens[begin].end, tokens[last].end, True)


def find_end(tokens: Sequence[Token], index: int, ends: Sequence[str]) -> int:
    """Return the index of the first token, from ``index`` on, that is in ``ends`` or closes an outer parenthesis."""
    depth = 0
    while index < len(tokens):
        token = tokens[index]
        if token.matches("("):
            depth += 1
        elif token.matches(")"):
            depth -= 1
            if depth < 0:
                return index
        elif depth == 0 and token.matches(*ends) and not _is_name(tokens, index):
            return index
        index += 1
    return index


def _is_name(tokens: Sequence[Token], index: int) -> bool:
    """Whether the keyword at ``index`` is a name here, because LEFT(…) calls a function and WINDOW is not reserved."""
    following = tokens[index + 1 : index + 3]
    if tokens[index].matches(*SIDES):
        return bool(following) and following[0].matches("(")
    if tokens[index].matches("WINDOW"):
        return not (len(following) == 2 and following[0].name and following[1].matches("AS"))
    return index > 0 and tokens[index - 1].matches(".")
