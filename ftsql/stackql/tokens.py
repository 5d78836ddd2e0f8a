"""Splits SQL into SQLite's tokens with their positions, and finds the statements and dotted names that they form.

Comments and white space yield no tokens. Characters that SQLite cannot tokenize have the kind "other".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
    | (?P<other>   ['"`\[].* | . )  # an unterminated quote reaches to the end
    """,
    re.VERBOSE | re.DOTALL,
)
CLOSING = {'"': '"', "`": "`", "[": "]"}


@dataclass(frozen=True, slots=True)
class Token:
    """One token. ``text`` is the part of its statement from ``start`` to ``end``, as written."""

    kind: Kind
    text: str
    start: int
    end: int

    @property
    def name(self) -> str:
        """The name for which a word or a quoted identifier stands, or "" for a token of another kind."""
        if self.kind == "quoted":
            closing = CLOSING[self.text[0]]
            inner = self.text[1:-1]
            return inner if closing == "]" else inner.replace(closing * 2, closing)
        return self.text if self.kind == "word" else ""

    def matches(self, *words: str) -> bool:
        """Whether the token is one of ``words``: keywords in upper case, or signs."""
        return self.kind in ("word", "other") and self.text.upper() in words


def tokenize(sql: str) -> list[Token]:
    """Return the tokens of ``sql``."""
    tokens = []
    for match in TOKEN.finditer(sql):
        kind = match.lastgroup
        if kind != "space":
            tokens.append(Token(kind, match.group(), match.start(), match.end()))  # type: ignore[arg-type]
    return tokens


def split_statements(sql: str) -> Iterator[tuple[str, list[Token]]]:
    """Yield each statement as a string, and its tokens without the final semicolon. Joined, the strings are ``sql``."""
    start, tokens = 0, list[Token]()
    for token in tokenize(sql):
        # A trigger's body contains semicolons.
        if token.matches(";") and (not is_trigger(tokens) or apsw.complete(sql[start : token.end])):
            yield sql[start : token.end], _shifted(tokens, start)
            start, tokens = token.end, []
        else:
            tokens.append(token)
    if start < len(sql):
        yield sql[start:], _shifted(tokens, start)


def is_trigger(tokens: Sequence[Token]) -> bool:
    """Whether the tokens are the beginning of a CREATE TRIGGER."""
    return bool(tokens) and tokens[0].matches("CREATE") and any(token.matches("TRIGGER") for token in tokens[1:5])


def _shifted(tokens: Sequence[Token], offset: int) -> list[Token]:
    return [replace(token, start=token.start - offset, end=token.end - offset) for token in tokens]


@dataclass(frozen=True, slots=True)
class DottedName:
    """Names joined by dots, from the token at index ``first`` to the token at index ``last``."""

    names: tuple[str, ...]
    first: int
    last: int

    def __str__(self) -> str:
        return ".".join(self.names)


def find_dotted_names(tokens: Sequence[Token]) -> list[DottedName]:
    """Return the dotted names of three or more parts."""
    found = []
    index = 0
    while index < len(tokens):
        last = index
        if tokens[index].name:
            while last + 2 < len(tokens) and tokens[last + 1].matches(".") and tokens[last + 2].name:
                last += 2
        if last - index >= 4:
            found.append(DottedName(tuple(token.name for token in tokens[index : last + 1 : 2]), index, last))
        index = last + 1
    return found


def hyphenated(tokens: Sequence[Token], index: int) -> tuple[str, int]:
    """Return the name at ``index``, which StackQL may write with hyphens, and the index of its last token."""
    name, last = tokens[index].name, index
    while last + 2 < len(tokens) and tokens[last + 1].matches("-") and tokens[last + 2].name:
        name, last = f"{name}-{tokens[last + 2].name}", last + 2
    return name, last


def sql_string(text: str) -> str:
    """Return ``text`` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def sql_identifier(name: str) -> str:
    """Return ``name`` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
