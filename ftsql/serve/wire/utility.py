"""Utility: the statements that are about the session and read nothing, which SQLite does not see.

What would write is refused here in words; SQLite refuses it again by itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ftsql.serve.authorizer import READ_ONLY
from ftsql.serve.catalog.build import SETTINGS
from ftsql.serve.errors import Failure

BEGINS = {"BEGIN", "START"}
COMMITS = {"COMMIT", "END"}
ROLLS_BACK = {"ROLLBACK", "ABORT"}
QUIET = {"DISCARD", "DEALLOCATE", "UNLISTEN", "RELEASE", "SAVEPOINT", "CLOSE"}
READS = {"SELECT", "WITH", "VALUES", "TABLE", "EXPLAIN", "(", "FETCH", "DECLARE"}
WRITES = {
    "INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "CREATE", "ALTER", "DROP", "GRANT", "REVOKE", "COMMENT",
    "REINDEX", "VACUUM", "CLUSTER", "REFRESH", "IMPORT", "REASSIGN", "SECURITY", "REPLACE", "ANALYZE", "CHECKPOINT",
}  # fmt: skip
BLANK = re.compile(r"(?>\s+|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z))*+", re.DOTALL)
WORD = re.compile(r"\(|[A-Za-z]+")
ASSIGNED = re.compile(r"SET\s+(?:SESSION\s+|LOCAL\s+)?([\w.]+)(?:\s*+=|\s++TO\s)\s*+(.*)", re.IGNORECASE | re.DOTALL)
ZONE = re.compile(r"SET\s+(?:SESSION\s+|LOCAL\s+)?TIME\s+ZONE\s+(.*)", re.IGNORECASE | re.DOTALL)
ENCODINGS = {"utf8", "utf-8", "unicode", "sql_ascii", "default", ""}
ALIASES = {"time zone": "TimeZone", "transaction isolation level": "transaction_isolation"}
MOST = 200


@dataclass(frozen=True, slots=True)
class Utility:
    """The answer: a tag, rows of texts under names, and ``status``, the transaction's from then on."""

    tag: str
    names: Sequence[str] = ()
    rows: Sequence[tuple[str, ...]] = ()
    status: bytes = b""


def bare(text: str) -> str:
    """A statement without what stands before and after it."""
    start = BLANK.match(text)
    return text[start.end() if start else 0 :].rstrip("; \t\r\n")


def first_word(text: str) -> str:
    """The first word of a bare statement, in capitals."""
    match = WORD.match(text)
    return match[0].upper() if match else ""


class Settings:
    """A session's settings: what SET says and SHOW gives. Nothing depends on them but statement_timeout."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._known = {name.lower(): name for name in SETTINGS}

    def set(self, name: str, value: str) -> None:
        """Raises Failure for a client encoding that is not UTF-8, and for more settings than a session needs."""
        value = value.strip().strip("'\"")
        if name.lower() == "client_encoding" and value.lower() not in ENCODINGS:
            raise Failure("22023", f"client_encoding {value[:40]} is not supported", hint="Everything is UTF8.")
        if len(self._values) >= MOST or len(name) > 100 or len(value) > 10_000:
            raise Failure("53400", "too many settings")
        if name.lower() != "client_encoding":
            self._values[name.lower()] = value

    def get(self, name: str) -> str:
        """Raises Failure for a setting that there is none of."""
        name = ALIASES.get(" ".join(name.lower().split()), name)
        value = self._values.get(name.lower())
        if value is None:
            if name.lower() not in self._known:
                raise Failure("42704", f'unrecognized configuration parameter "{name[:100]}"')
            value = SETTINGS[self._known[name.lower()]]
        return value

    def reset(self) -> None:
        self._values.clear()

    def all(self) -> list[tuple[str, str]]:
        return [(name, self.get(name)) for name in SETTINGS]

    def timeout(self) -> float | None:
        """statement_timeout in seconds, where the client set one."""
        match = re.fullmatch(r"(\d{1,9})\s*(ms|s|min)?", self._values.get("statement_timeout", ""))
        if match is None or int(match[1]) == 0:
            return None
        return int(match[1]) * {"s": 1.0, "min": 60.0}.get(match[2], 0.001)


def utility(text: str, word: str, settings: Settings, status: bytes) -> Utility | None:
    """The answer to a bare statement; None where it is SQLite's to give. Raises Failure for what is not served."""
    if word in READS:
        return None
    if word in BEGINS:
        return Utility("BEGIN", status=b"T")
    if word in COMMITS and status != b"E":
        return Utility("COMMIT", status=b"I")
    if word in ROLLS_BACK and re.match(r"\w+\s+(?:\w+\s+)?TO\b", text, re.IGNORECASE):
        return Utility("ROLLBACK", status=b"T")
    if word in ROLLS_BACK or word in COMMITS:
        return Utility("ROLLBACK", status=b"I")
    if word in QUIET:
        return Utility(" ".join(text.upper().split()[:2]) if word in ("DISCARD", "CLOSE") else word)
    if word == "SET":
        if (match := ASSIGNED.match(text)) is not None:
            settings.set(match[1], match[2])
        elif (match := ZONE.match(text)) is not None:
            settings.set("timezone", match[1])
        return Utility("SET")
    if word == "RESET":
        settings.reset()
        return Utility("RESET")
    if word == "SHOW":
        name = text[4:].strip()
        if name.upper() == "ALL":
            return Utility("SHOW", ("name", "setting"), settings.all())
        name = name.strip('"')
        return Utility("SHOW", (name.lower(),), [(settings.get(name),)])
    if word in WRITES:
        raise Failure("25006", f"{word} {READ_ONLY}")
    if not word:
        raise Failure("42601", f"syntax error at or near {text[:20]!r}")
    raise Failure("0A000", f"{word[:20]} is not supported by ftsql serve")
