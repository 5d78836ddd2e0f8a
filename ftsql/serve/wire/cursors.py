"""Cursors: DECLARE, FETCH and CLOSE, which ODBC and psycopg's named cursors read large results by.

A cursor is a portal under its name, and ends with its transaction.
"""

from __future__ import annotations

import re

from ftsql.serve.failures import Failure

NAME = r'("(?:[^"]|"")+"|\w+)'
DECLARED = re.compile(
    rf"DECLARE\s+{NAME}\s+(?:(?:BINARY|ASENSITIVE|INSENSITIVE|NO\s+SCROLL|SCROLL)\s+)*CURSOR\s+"
    r"(?:WITH(?:OUT)?\s+HOLD\s+)?FOR\s+",
    re.IGNORECASE,
)
FETCHED = re.compile(
    rf"FETCH\s+(?:(NEXT|ALL|FORWARD\s+ALL|(?:FORWARD\s+)?\d+|FORWARD)\s+)?(?:(?:FROM|IN)\s+)?{NAME}", re.IGNORECASE
)
CLOSED = re.compile(rf"(?:CLOSE|DEALLOCATE)\s+(?:PREPARE\s+)?{NAME}", re.IGNORECASE)


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def declared(text: str) -> tuple[str, str]:
    """A cursor's name, and its SELECT. Raises Failure."""
    if (match := DECLARED.match(text)) is None:
        raise Failure("42601", "syntax error: say DECLARE name CURSOR FOR SELECT …")
    return _plain(match[1]), text[match.end() :]


def fetched(text: str) -> tuple[str, int]:
    """A cursor's name, and how many rows; 0 is all. Raises Failure for other directions than forward."""
    if (match := FETCHED.fullmatch(text)) is None:
        raise Failure("0A000", "a cursor only goes forward: FETCH [FORWARD] n FROM name")
    count = re.search(r"\d+", match[1] or "")
    if count is not None:
        return _plain(match[2]), int(count[0])
    return _plain(match[2]), 0 if (match[1] or "").upper().endswith("ALL") else 1


def closed(text: str) -> str | None:
    """The name in CLOSE or DEALLOCATE; None is all."""
    match = CLOSED.fullmatch(text)
    return None if match is None or match[1].upper() == "ALL" else _plain(match[1])
