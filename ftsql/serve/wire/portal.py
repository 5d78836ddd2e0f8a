"""A portal: a statement under way with its parameters, and its rows as messages.

Rows are read as the client takes them: what is held is a chunk, and the first rows that told the types.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from ftsql.resources.resource import SQLiteValue
from ftsql.serve import types
from ftsql.serve.backend import Backend, Plan
from ftsql.serve.errors import Failure

PEEKED = 100
CHUNK = 256 * 2**10
INT = struct.Struct("!i")
NULL = INT.pack(-1)
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


@dataclass(frozen=True, slots=True)
class Chunk:
    """Messages with rows; ``over``: there are no more."""

    data: bytes
    rows: int
    over: bool


@dataclass(frozen=True, slots=True)
class Field:
    """A column as the client is told of it."""

    name: str
    oid: int


class Portal:
    """Not for use but in the backend's thread. ``fields`` are those that the client was told already."""

    def __init__(
        self, backend: Backend, plan: Plan, values: Sequence[SQLiteValue], most: int, fields: list[Field] | None = None
    ) -> None:
        self._backend = backend
        self._plan = plan
        self._values = values
        self._most = most
        self._rows: Iterator[Any] | None = None
        self._cursor: apsw.Cursor | None = None
        self._head: list[tuple[SQLiteValue, ...]] = []
        self._fields = fields
        self._encoders: list[Callable[[SQLiteValue], bytes]] = []
        self._formats: Sequence[int] | None = None  # what the encoders are for
        self.given = 0

    def fields(self) -> list[Field]:
        """The columns; starts the statement where only its rows tell their types."""
        if self._fields is None:
            self._start()
            oids = []
            for place, oid in enumerate(self._plan.types):
                values = [row[place] for row in self._head]
                known = oid is not None and all(types.fits(oid, value) for value in values)
                oids.append(oid if known and oid is not None else types.guessed(values))
            self._fields = [Field(name, oid) for name, oid in zip(self._plan.names, oids, strict=True)]
        return self._fields

    def _start(self) -> None:
        if self._rows is None:
            if self._plan.sql is None:
                self._rows = iter(())
            else:
                self._cursor = self._backend.start(self._plan, self._values)
                self._rows = iter(self._cursor)
            size = 0
            for row in self._rows:
                self._head.append(row)
                size += sum(len(value) for value in row if isinstance(value, (str, bytes)))
                if len(self._head) >= PEEKED or size > CHUNK:
                    break
            self._head.reverse()

    def close(self) -> None:
        """Let go of SQLite's cursor."""
        self._rows, self._head = iter(()), []
        if self._cursor is not None:
            self._cursor.close(True)

    def fetch(self, rows: int, formats: Sequence[int]) -> Chunk:
        """The next rows: at most ``rows`` (0: any number), and about a chunk. Raises Failure beyond the most."""
        if self._formats != formats:
            self._formats = formats
            self._encoders = [
                types.encoder(field.oid, format_of(formats, place) == 1, field.name)
                for place, field in enumerate(self.fields())
            ]
        encoders = self._encoders
        self._start()
        assert self._rows is not None
        out: list[bytes] = []
        size = count = 0
        head = bytes(struct.pack("!h", len(encoders)))
        while (rows == 0 or count < rows) and size < CHUNK:
            row = self._head.pop() if self._head else next(self._rows, None)
            if row is None:
                return Chunk(b"".join(out), count, True)
            if self.given == self._most:
                raise Failure(
                    "54000",
                    f"the statement gives more than {self._most} rows",
                    hint="Add LIMIT, or start ftsql serve with a larger --max-rows.",
                )
            parts = [head]
            for encode, value in zip(encoders, row, strict=True):
                if value is None:
                    parts.append(NULL)
                else:
                    data = encode(value)
                    parts.append(INT.pack(len(data)))
                    parts.append(data)
            body = b"".join(parts)
            out.append(b"D" + INT.pack(len(body) + 4) + body)
            size += len(body) + 5
            count += 1
            self.given += 1
        return Chunk(b"".join(out), count, False)


def format_of(formats: Sequence[int], place: int) -> int:
    """0 is text, 1 binary: for none, one, or each of the columns."""
    if len(formats) > 1:
        return formats[place] if place < len(formats) else 0
    return formats[0] if formats else 0


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
