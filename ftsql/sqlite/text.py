"""The text of SQL statements: which parts are blank, and a statement's first word."""

from __future__ import annotations

import re

# Space, comments and semicolons. The pattern is atomic and possessive, so that a long run of comments is matched
# without backtracking.
BLANK = re.compile(r"(?>\s+|;|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z))*+", re.DOTALL)
WORD = re.compile(r"[A-Z]*", re.IGNORECASE)


def is_blank(sql: str, start: int = 0) -> bool:
    """Whether ``sql`` holds no statement from the index ``start`` on.

    >>> is_blank("SELECT 1; -- done", 9)
    True
    """
    return BLANK.fullmatch(sql, start) is not None


def first_word(sql: str) -> str:
    """Return a statement's first word in capitals, or "" if the statement does not begin with a word.

    >>> first_word("/* the newest */ select 1")
    'SELECT'
    """
    text = sql.removeprefix("\ufeff")
    blank = BLANK.match(text)
    match = WORD.match(text, blank.end() if blank else 0)
    return match[0].upper() if match else ""
