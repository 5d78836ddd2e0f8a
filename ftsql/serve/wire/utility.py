"""Utility statements, which are about the session, such as SET and BEGIN. SQLite does not see them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ftsql.errors import Error
from ftsql.serve import text as sql_text
from ftsql.serve.catalog.build import SETTINGS
from ftsql.serve.errors import Failure

ASSIGNED = re.compile(r"SET\s+(?:SESSION\s+|LOCAL\s+)?([\w.]+)(?:\s*+=|\s++TO\s)\s*+(.*)", re.IGNORECASE | re.DOTALL)
ZONE = re.compile(r"SET\s+(?:SESSION\s+|LOCAL\s+)?TIME\s+ZONE\s+(.*)", re.IGNORECASE | re.DOTALL)
TO_SAVEPOINT = re.compile(r"\w+\s+(?:\w+\s+)?TO\b", re.IGNORECASE)
ENCODINGS = {"utf8", "utf-8", "unicode", "sql_ascii", "default", ""}
ALIASES = {"time zone": "TimeZone", "transaction isolation level": "transaction_isolation"}
MOST = 200  # how many settings one session may have


@dataclass(frozen=True, slots=True)
class Response:
    """The response to a utility statement: a command tag, and rows of strings whose columns are ``names``.

    ``status`` is the new transaction status. If it is empty, the status stays.
    """

    tag: str
    names: Sequence[str] = ()
    rows: Sequence[tuple[str, ...]] = ()
    status: bytes = b""


class SessionSettings:
    """The settings of a session, for SET and SHOW. Only statement_timeout has an effect."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._known = {name.lower(): name for name in SETTINGS}

    def set(self, name: str, value: str) -> None:
        """Change a setting. Raise Failure if the client encoding is not UTF-8 or if there are too many settings."""
        value = value.strip().strip("'\"")
        if name.lower() == "client_encoding" and value.lower() not in ENCODINGS:
            raise Failure("22023", f"client_encoding {value[:40]} is not supported", hint="Everything is UTF8.")
        if len(self._values) >= MOST or len(name) > 100 or len(value) > 10_000:
            raise Failure("53400", "too many settings")
        if name.lower() != "client_encoding":
            self._values[name.lower()] = value

    def get(self, name: str) -> str:
        """Return the value of a setting. Raise Failure if the setting does not exist."""
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
        """Return statement_timeout in seconds, or None if the client did not set it."""
        match = re.fullmatch(r"(\d{1,9})\s*(ms|s|min)?", self._values.get("statement_timeout", ""))
        if match is None or int(match[1]) == 0:
            return None
        return int(match[1]) * {"s": 1.0, "min": 60.0}.get(match[2], 0.001)


def run_utility(text: str, word: str, settings: SessionSettings, status: bytes) -> Response | None:
    """Run a stripped statement that begins with ``word``. Return None if it is a statement for SQLite.

    Raise Failure, ProgrammingError or NotSupportedError if the statement is refused.
    """
    if word in sql_text.READS:
        return None
    if word not in UTILITIES:
        raise refusal(text, word)
    return UTILITIES[word](text, settings, status)


def refusal(text: str, word: str) -> Error:
    """Return the error for a stripped statement that neither SQLite nor this module runs."""
    if (error := sql_text.refusal(word)) is not None:
        return error
    if not word or word in UTILITIES:
        return Failure("42601", f"syntax error at or near {text[:20]!r}")
    return Failure("0A000", f"{word[:20]} is not supported by ftsql serve")


def _begin(_text: str, _settings: SessionSettings, _status: bytes) -> Response:
    return Response("BEGIN", status=b"T")


def _commit(_text: str, _settings: SessionSettings, status: bytes) -> Response:
    return Response("ROLLBACK" if status == b"E" else "COMMIT", status=b"I")


def _roll_back(text: str, _settings: SessionSettings, _status: bytes) -> Response:
    return Response("ROLLBACK", status=b"T" if TO_SAVEPOINT.match(text) else b"I")


def _acknowledge(text: str, _settings: SessionSettings, _status: bytes) -> Response:
    words = text.upper().split()
    word = sql_text.first_word(text)
    return Response(" ".join(words[:2]) if word in ("DISCARD", "CLOSE") else word)


def _set(text: str, settings: SessionSettings, _status: bytes) -> Response:
    if (match := ASSIGNED.match(text)) is not None:
        settings.set(match[1], match[2])
    elif (match := ZONE.match(text)) is not None:
        settings.set("timezone", match[1])
    return Response("SET")


def _reset(_text: str, settings: SessionSettings, _status: bytes) -> Response:
    settings.reset()
    return Response("RESET")


def _show(text: str, settings: SessionSettings, _status: bytes) -> Response:
    name = text[len("SHOW") :].strip()
    if name.upper() == "ALL":
        return Response("SHOW", ("name", "setting"), settings.all())
    name = name.strip('"')
    return Response("SHOW", (name.lower(),), [(settings.get(name),)])


UTILITIES: dict[str, Callable[[str, SessionSettings, bytes], Response]] = {
    **dict.fromkeys(("BEGIN", "START"), _begin),
    **dict.fromkeys(("COMMIT", "END"), _commit),
    **dict.fromkeys(("ROLLBACK", "ABORT"), _roll_back),
    **dict.fromkeys(("DISCARD", "DEALLOCATE", "UNLISTEN", "RELEASE", "SAVEPOINT", "CLOSE"), _acknowledge),
    "SET": _set,
    "RESET": _reset,
    "SHOW": _show,
}
