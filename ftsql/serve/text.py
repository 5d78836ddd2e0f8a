"""Split SQL for PostgreSQL into statements, rewrite some of its tokens, and classify statements by their first word.

sqlglot reads ``$1, $2`` as a dollar-quoted string, and E'' as bytes. This module rewrites parameters and E'' strings,
and removes comments, so that sqlglot reads the same tokens as PostgreSQL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from ftsql.errors import Error
from ftsql.serve import errors

DEEPEST = 100  # the maximum nesting of brackets; statements from people and tools reach about ten
LONGEST = 1_000_000  # the maximum number of characters
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
BLANK = re.compile(r"(?>\s+|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z))*+", re.DOTALL)
FIRST_WORD = re.compile(r"\(|[A-Za-z]+")
COMMENT = re.compile(r"/\*|\*/")
ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{1,3}|.)|''", re.DOTALL)
POINT = re.compile(r"\\(?:([0-9a-fA-F]{4})|\+([0-9a-fA-F]{6})|(\\))")
COMMANDS = ("SELECT", "INSERT", "UPDATE", "DELETE")  # after AS or a dot these are names; sqlglot sees a statement
CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
ARRAY = re.compile(r"\s*\[\s*\]")
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# The classes of first words of statements. wire/utility.py runs the statements about the session, such as SET.
QUERIES = frozenset({"SELECT", "WITH", "VALUES", "TABLE"})
READS = QUERIES | {"(", "EXPLAIN", "DECLARE", "FETCH"}
WRITES = frozenset(
    {
        "INSERT", "UPDATE", "DELETE", "MERGE", "CREATE", "DROP", "ALTER", "TRUNCATE", "GRANT", "REVOKE", "COPY", "DO",
        "CALL", "VACUUM", "ANALYZE", "ANALYSE", "REINDEX", "CLUSTER", "REFRESH", "COMMENT", "SECURITY", "IMPORT",
        "NOTIFY", "LOAD", "CHECKPOINT", "REASSIGN", "REPLACE", "ATTACH", "DETACH", "PRAGMA",
    }
)  # fmt: skip
UNSUPPORTED = {
    "PREPARE": "use the extended protocol, as drivers do",
    "EXECUTE": "use the extended protocol, as drivers do",
    "MOVE": "use FETCH",
    "LOCK": "nothing is locked here",
}


def strip_blank(text: str) -> str:
    """Return a statement without comments and space before it, and without semicolons and space after it."""
    start = BLANK.match(text)
    return text[start.end() if start else 0 :].rstrip("; \t\r\n")


def first_word(text: str) -> str:
    """Return the first word of a stripped statement in capitals. An opening bracket counts as a word."""
    match = FIRST_WORD.match(text)
    return match[0].upper() if match else ""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: its first word in capitals, its SQL for sqlglot, and the highest number of its parameters."""

    word: str
    text: str
    parameters: int


def statements(text: str) -> Iterator[Statement]:
    """Yield the statements in ``text`` that are not empty. Raise ProgrammingError or NotSupportedError.

    >>> [statement.text for statement in statements("SELECT 1; /* two */ SELECT $1")]
    ['SELECT 1', 'SELECT  @1']
    """
    if len(text) > LONGEST:
        raise errors.syntax(f"a statement may have at most {LONGEST:,} characters", errors.TOO_COMPLEX)
    if "\0" in text:
        raise errors.syntax("a statement must not contain a NUL character")
    yield from _Splitter(text).split()


def refusal(word: str) -> Error | None:
    """Return the error for a statement that begins with ``word``, or None if such a statement may be allowed."""
    if word in WRITES:
        return errors.writes(word)
    return errors.unsupported(word, UNSUPPORTED[word]) if word in UNSUPPORTED else None


def literal(value: str) -> str:
    """Return ``value`` as a SQL string."""
    return "'" + value.replace("'", "''") + "'"


def words(text: str) -> list[str]:
    """Return the words of ``text``. Long lists of names are easier to read as one string."""
    return text.split()


def fold(name: str) -> str:
    """Return an unquoted identifier in lower case. As in PostgreSQL, only ASCII letters change."""
    return re.sub("[A-Z]+", lambda found: found.group().lower(), name)


class _Splitter:
    """Rewrites tokens one by one and collects them into statements."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._previous = ""  # the last token in capitals
        self._clear()

    def _clear(self) -> None:
        self._parts: list[str] = []
        self._word = ""
        self._at_start = True  # only brackets so far
        self._depth = 0
        self._parameters = 0

    def split(self) -> Iterator[Statement]:
        while self._at < len(self._text):
            found = TOKEN.match(self._text, self._at)
            assert found is not None
            self._at = found.end()
            if found.group() == ";":
                yield from self._statement()
            else:
                kind = str(found.lastgroup)
                self._add(kind, self.REWRITES[kind](self, found) if kind in self.REWRITES else found.group())
        yield from self._statement()

    def _statement(self) -> Iterator[Statement]:
        if self._parts:
            yield Statement(self._word, "".join(self._parts), self._parameters)
        self._clear()

    def _add(self, kind: str, part: str) -> None:
        if part != " ":
            self._previous = part.upper()
            if self._at_start and part != "(":
                self._word = self._previous if kind == "word" else ""
                self._at_start = False
        if part != " " or self._parts:
            self._parts.append(part)

    def _blank(self, _: re.Match[str]) -> str:
        return " "

    def _comment(self, _: re.Match[str]) -> str:
        depth = 1
        while depth:
            found = COMMENT.search(self._text, self._at)
            if found is None:
                raise errors.syntax("unterminated /* comment")
            depth += 1 if found.group() == "/*" else -1
            self._at = found.end()
        return " "

    def _escaped_string(self, found: re.Match[str]) -> str:
        return literal(ESCAPE.sub(_unescaped, found.group()[2:-1]))

    def _unicode_string(self, found: re.Match[str]) -> str:
        return literal(POINT.sub(_point, found.group()[3:-1].replace("''", "'")))

    def _dollar_string(self, found: re.Match[str]) -> str:
        tag, start = found.group(), self._at
        end = self._text.find(tag, start)
        if end < 0:
            raise errors.syntax(f"unterminated dollar-quoted string at {tag}")
        self._at = end + len(tag)
        return literal(self._text[start:end])

    def _parameter(self, found: re.Match[str]) -> str:
        digits = found["parameter"]
        if len(digits) > 5 or not 0 < int(digits) <= 32766:
            raise errors.syntax(f"there is no parameter ${digits:.20}", "42P02")
        self._parameters = max(self._parameters, int(digits))
        return f" @{int(digits)}"  # the other way in which sqlglot writes a parameter

    def _keyword_or_name(self, found: re.Match[str]) -> str:
        word = found.group()
        if not PLAIN.fullmatch(word) or (word.upper() in COMMANDS and self._previous in ("AS", ".")):
            return f'"{fold(word)}"'
        if word.lower() == "oid" and (array := ARRAY.match(self._text, self._at)):
            self._at = array.end()
            return "_oid"  # PostgreSQL's other name for oid[]; sqlglot has no arrays of oid
        return word

    def _operator(self, found: re.Match[str]) -> str:
        part = found.group()
        comment = min((at for at in (part.find("--"), part.find("/*")) if at > 0), default=0)
        if comment:
            self._at -= len(part) - comment
            return part[:comment]
        if part == "@":
            raise errors.unsupported("the operator @", "write abs(…)")
        if "@" in part and part not in ("@>", "<@", "@@"):
            raise errors.unsupported(f"the operator {part}")
        return part

    def _mark(self, found: re.Match[str]) -> str:
        mark = found.group()
        if mark in "'\"":
            raise errors.syntax(f"unterminated quoted {'string' if mark == chr(39) else 'identifier'}")
        if mark in "$?\\{}":
            raise errors.syntax(f'syntax error at or near "{mark}": a parameter is written $1')
        self._depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(mark, 0)
        if self._depth > DEEPEST:
            raise errors.syntax(f"brackets may be nested at most {DEEPEST} deep", errors.TOO_COMPLEX)
        return mark

    REWRITES: ClassVar[dict[str, Callable[[_Splitter, re.Match[str]], str]]] = {
        "space": _blank,
        "comment": _comment,
        "escape": _escaped_string,
        "points": _unicode_string,
        "tag": _dollar_string,
        "parameter": _parameter,
        "word": _keyword_or_name,
        "operator": _operator,
        "other": _mark,
    }


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
