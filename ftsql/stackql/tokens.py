"""SQLite's tokens with their places in a text, and the statements that they make.

Comments and white space are no tokens; whatever SQLite itself could not read is one of kind "other".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import apsw

Kind = Literal["word", "quoted", "string", "number", "variable", "other"]

TOKEN = re.compile(
    r"""
      (?P<space>   [ \t\n\f\r]+ | --[^\n]* | /\*(?:.*?\*/|.*) )
    | (?P<string>  [xX]?'[^']*(?:''[^']*)*' )
    | (?P<quoted>  "[^"]*(?:""[^"]*)*" | `[^`]*(?:``[^`]*)*` | \[[^\]]*\] )
    | (?P<number>  0[xX][0-9A-Fa-f_]+ | (?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9_]+)? )
    | (?P<variable>\?[0-9]* | [@\#:$][\w$]+(?:::[\w$]+)*(?:\([^)\s]*\))? )
    | (?P<word>    [^\W\d][\w$]* )
    | (?P<other>   ['"`\[].* | . )  # what opens and never closes reaches to the end
    """,
    re.VERBOSE | re.DOTALL,
)
CLOSING = {'"': '"', "`": "`", "[": "]"}


@dataclass(frozen=True, slots=True)
class Token:
    """``text`` as written, from ``start`` to ``end``."""

    kind: Kind
    text: str
    start: int
    end: int

    @property
    def name(self) -> str:
        """The name that a word or a quoted identifier stands for, else nothing."""
        if self.kind == "quoted":
            closing = CLOSING[self.text[0]]
            inner = self.text[1:-1]
            return inner if closing == "]" else inner.replace(closing * 2, closing)
        return self.text if self.kind == "word" else ""

    def says(self, *words: str) -> bool:
        """Whether it is one of these keywords or signs."""
        return self.kind in ("word", "other") and self.text.upper() in words


def tokens(sql: str) -> list[Token]:
    """The tokens of ``sql``."""
    found = []
    for match in TOKEN.finditer(sql):
        kind = match.lastgroup
        if kind != "space":
            found.append(Token(kind, match.group(), match.start(), match.end()))  # type: ignore[arg-type]
    return found


def statements(sql: str) -> Iterator[tuple[str, list[Token]]]:
    """Each statement's text and its tokens, the last one's semicolon left out; the texts joined are ``sql``."""
    start, mine = 0, list[Token]()
    for token in tokens(sql):
        ends = token.says(";")
        # A trigger's body has semicolons of its own.
        if ends and (not is_trigger(mine) or apsw.complete(sql[start : token.end])):
            yield sql[start : token.end], _moved(mine, start)
            start, mine = token.end, []
        else:
            mine.append(token)
    if start < len(sql):
        yield sql[start:], _moved(mine, start)


def is_trigger(mine: Sequence[Token]) -> bool:
    """Whether they begin a CREATE TRIGGER."""
    return bool(mine) and mine[0].says("CREATE") and any(token.says("TRIGGER") for token in mine[1:5])


def _moved(mine: Sequence[Token], by: int) -> list[Token]:
    return [Token(token.kind, token.text, token.start - by, token.end - by) for token in mine]


@dataclass(frozen=True, slots=True)
class Chain:
    """Names joined by dots: where they stand among the tokens, from ``first`` to ``last``."""

    names: tuple[str, ...]
    first: int
    last: int


def chains(mine: Sequence[Token]) -> list[Chain]:
    """The chains of three names and more."""
    found = []
    index = 0
    while index < len(mine):
        last = index
        if mine[index].name:
            while last + 2 < len(mine) and mine[last + 1].says(".") and mine[last + 2].name:
                last += 2
        if last - index >= 4:
            found.append(Chain(tuple(token.name for token in mine[index : last + 1 : 2]), index, last))
        index = last + 1
    return found


def quoted(text: str) -> str:
    """``text`` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """``name`` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
