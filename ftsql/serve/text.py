"""The text of a message, cut into statements whose tokens sqlglot reads as PostgreSQL would.

sqlglot takes ``$1, $2`` for a dollar-quoted string and E'' for bytes; so both, and comments, are settled here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ftsql.serve import errors

DEEPEST = 100  # brackets in each other; a statement that people or tools write has ten
LONGEST = 1_000_000  # characters
TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\r\n]*)
    |(?P<comment>/\*)
    |(?P<escape>[eE]'(?:[^'\\]|\\.|'')*')
    |(?P<points>[uU]&'(?:[^']|'')*')
    |(?P<string>'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")+")
    |\$(?P<tag>(?:[^\W\d]\w*)?)\$
    |\$(?P<parameter>\d+)
    |(?P<word>[^\W\d][\w$]*)
    |(?P<number>(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<operator>[-+*/<>=~!@\#%^&|`]+)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
COMMENT = re.compile(r"/\*|\*/")
ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{1,3}|.)|''", re.DOTALL)
POINT = re.compile(r"\\(?:([0-9a-fA-F]{4})|\+([0-9a-fA-F]{6})|(\\))")
NAMED = ("SELECT", "INSERT", "UPDATE", "DELETE")  # names after AS or a point, which sqlglot takes for statements
CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
ARRAY = re.compile(r"\s*\[\s*\]")
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: its words in capitals at the beginning, its text as sqlglot is given it, and as it was sent."""

    words: tuple[str, ...]
    text: str
    original: str
    parameters: int


def statements(text: str) -> Iterator[Statement]:
    """Each statement of ``text`` that is not empty."""
    if len(text) > LONGEST:
        raise errors.syntax(f"a statement of more than {LONGEST:,} characters is refused", errors.TOO_COMPLEX)
    if "\0" in text:
        raise errors.syntax("a statement may not hold a NUL character")
    shown: list[str] = []
    words: list[str] = []
    highest, depth, begin, at, first, last = 0, 0, 0, 0, True, ""
    while at < len(text):
        found = TOKEN.match(text, at)
        assert found is not None
        kind, at = found.lastgroup, found.end()
        part = found.group()
        if kind == "comment":
            at = _after_comment(text, at)
            part = " "
        elif kind == "space":
            part = " "
        elif kind == "tag":
            close = text.find(part, at)
            if close < 0:
                raise errors.syntax(f"unterminated dollar-quoted string at {part}")
            part, at = literal(text[at:close]), close + len(part)
        elif kind == "operator":
            part, at = _operator(text, part, at)
        elif kind == "other" and part == ";":
            if words or shown:
                yield Statement(tuple(words), "".join(shown), text[begin : at - 1].strip(), highest)
            shown, words, highest, depth, begin, first = [], [], 0, 0, at, True
            continue
        elif kind == "parameter":
            highest = max(highest, _number(found["parameter"]))
            part = f" @{int(found['parameter'])}"  # sqlglot's other word for a parameter
        elif kind == "other" and part in "([":
            depth += 1
            if depth > DEEPEST:
                raise errors.syntax(f"more than {DEEPEST} brackets in each other are refused", errors.TOO_COMPLEX)
        elif kind == "other" and part in ")]":
            depth -= 1
        else:
            part = _shown(kind, part, text, at)
            if kind == "word" and part.upper() in NAMED and last in ("AS", "."):
                part = f'"{fold(part)}"'
            if kind == "word" and part.lower() == "oid" and (array := ARRAY.match(text, at)):
                part, at = "_oid", array.end()  # PostgreSQL's other name for it: of oid sqlglot knows no arrays
        if part != " ":
            last = part.upper()
            if first and kind == "word":
                words.append(part.upper())
            elif part != "(":
                first = False
            first = first and len(words) < 4
        if part != " " or shown:
            shown.append(part)
    if words or shown:
        yield Statement(tuple(words), "".join(shown), text[begin:].strip(), highest)


def literal(value: str) -> str:
    """``value`` as a SQL string."""
    return "'" + value.replace("'", "''") + "'"


def words(text: str) -> list[str]:
    """The names in a text."""
    return text.split()


def fold(name: str) -> str:
    """An identifier without quotes, as PostgreSQL folds it: ASCII alone."""
    return re.sub("[A-Z]+", lambda found: found.group().lower(), name)


def _shown(kind: str | None, part: str, text: str, at: int) -> str:
    """What sqlglot is given for a part."""
    if kind == "escape":
        return literal(ESCAPE.sub(_unescaped, part[2:-1]))
    if kind == "points":
        return literal(POINT.sub(_point, part[3:-1].replace("''", "'")))
    if kind == "word" and not PLAIN.fullmatch(part):
        return '"' + fold(part) + '"'
    if kind == "other" and part in "'\"":
        raise errors.syntax(f"unterminated quoted {'string' if part == chr(39) else 'identifier'}")
    if kind == "other" and part in "$?\\{}":
        raise errors.syntax(f'syntax error at or near "{part}": a parameter is written $1')
    return part


def _operator(text: str, part: str, at: int) -> tuple[str, int]:
    """An operator; a comment ends it."""
    for mark in ("--", "/*"):
        place = part.find(mark)
        if place == 0:
            raise AssertionError("a comment is matched before an operator")
        if place > 0:
            return part[:place], at - len(part) + place
    if part == "@":
        raise errors.unsupported("the operator @", "write abs(…)")
    if "@" in part and part not in ("@>", "<@", "@@"):
        raise errors.unsupported(f"the operator {part}")
    return part, at


def _after_comment(text: str, at: int) -> int:
    depth = 1
    while depth:
        found = COMMENT.search(text, at)
        if found is None:
            raise errors.syntax("unterminated /* comment")
        depth += 1 if found.group() == "/*" else -1
        at = found.end()
    return at


def _number(digits: str) -> int:
    if len(digits) > 5 or not 0 < int(digits) <= 32766:
        raise errors.syntax(f"there is no parameter ${digits:.20}", "42P02")
    return int(digits)


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    if code is None:
        return "'"
    if code[0] in "xuU" and len(code) > 1:
        return _character(int(code[1:], 16))
    if code[0] in "01234567":
        return _character(int(code, 8))
    return CONTROLS.get(code, code)


def _point(found: re.Match[str]) -> str:
    return "\\" if found[3] else _character(int(found[1] or found[2], 16))


def _character(point: int) -> str:
    if not 0 < point < 0x110000 or 0xD800 <= point < 0xE000:
        raise errors.syntax("invalid escape in a string")
    return chr(point)
