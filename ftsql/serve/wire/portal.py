"""Portals, which are running statements whose rows are sent as fast as the client reads; and the syntax of cursors.

A portal holds one chunk of messages, and the first rows, from which it infers types that are not declared.
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
from ftsql.serve.backend import Backend, StatementPlan
from ftsql.serve.errors import Failure

PEEKED = 100  # from how many rows types are inferred, at most
CHUNK = 256 * 2**10  # the size of a chunk in bytes, roughly
COUNT = struct.Struct("!h")
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
    """Several DataRow messages. ``finished`` says that no more rows follow."""

    data: bytes
    rows: int
    finished: bool


@dataclass(frozen=True, slots=True)
class Field:
    """A column as RowDescription shows it. ``oid`` is its type."""

    name: str
    oid: int


class Portal:
    """The rows of one statement, at most ``max_rows``. Use it in the backend's thread only.

    ``fields`` holds the columns if they were already sent to the client.
    """

    def __init__(
        self,
        backend: Backend,
        plan: StatementPlan,
        values: Sequence[SQLiteValue],
        max_rows: int,
        fields: list[Field] | None = None,
    ) -> None:
        self._backend = backend
        self._plan = plan
        self._values = values
        self._max_rows = max_rows
        self._rows: Iterator[Any] | None = None
        self._cursor: apsw.Cursor | None = None
        self._head: list[tuple[SQLiteValue, ...]] = []
        self._fields = fields
        self._encoders: list[Callable[[SQLiteValue], bytes]] = []
        self._formats: Sequence[int] | None = None  # the formats for which the encoders were made
        self._sent = 0

    def fields(self) -> list[Field]:
        """Return the columns. If they are not known, start the statement: its first rows may decide a type."""
        if self._fields is None:
            self._start()
            oids = []
            for number, oid in enumerate(self._plan.types):
                values = [row[number] for row in self._head]
                known = oid is not None and all(types.fits(oid, value) for value in values)
                oids.append(oid if known and oid is not None else types.common_type(values))
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
        """Close SQLite's cursor."""
        self._rows, self._head = iter(()), []
        if self._cursor is not None:
            self._cursor.close(True)

    def fetch(self, rows: int, formats: Sequence[int]) -> Chunk:
        """Return the next rows: at most ``rows`` (0: any number), and about CHUNK bytes.

        Raise Failure if the statement returns more rows than allowed.
        """
        if self._formats != formats:
            self._formats = formats
            self._encoders = [
                types.encoder(field.oid, format_of(formats, number) == 1, field.name)
                for number, field in enumerate(self.fields())
            ]
        self._start()
        assert self._rows is not None
        sent: list[bytes] = []
        size = 0
        while (rows == 0 or len(sent) < rows) and size < CHUNK:
            row = self._head.pop() if self._head else next(self._rows, None)
            if row is None:
                return Chunk(b"".join(sent), len(sent), True)
            if self._sent == self._max_rows:
                raise Failure(
                    "54000",
                    f"the statement returns more than {self._max_rows} rows",
                    hint="Add LIMIT, or start ftsql serve with a larger --max-rows.",
                )
            sent.append(self._data_row(row))
            size += len(sent[-1])
            self._sent += 1
        return Chunk(b"".join(sent), len(sent), False)

    def _data_row(self, row: Sequence[SQLiteValue]) -> bytes:
        parts = [COUNT.pack(len(self._encoders))]
        for encode, value in zip(self._encoders, row, strict=True):
            if value is None:
                parts.append(NULL)
            else:
                data = encode(value)
                parts.append(INT.pack(len(data)))
                parts.append(data)
        body = b"".join(parts)
        return b"D" + INT.pack(len(body) + 4) + body


def format_of(formats: Sequence[int], number: int) -> int:
    """Return the format of a column: 0 for text, 1 for binary.

    If ``formats`` is empty, all columns are text. If it has one format, all columns have that format. Otherwise each
    column has its own.
    """
    if len(formats) > 1:
        return formats[number] if number < len(formats) else 0
    return formats[0] if formats else 0


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def parse_declare(text: str) -> tuple[str, str]:
    """Return the name and the SELECT of a DECLARE. Raise Failure if the syntax is wrong."""
    if (match := DECLARED.match(text)) is None:
        raise Failure("42601", "syntax error: write DECLARE name CURSOR FOR SELECT …")
    return _unquoted(match[1]), text[match.end() :]


def parse_fetch(text: str) -> tuple[str, int]:
    """Return the cursor's name in a FETCH, and how many rows it asks for (0: all). Raise Failure if FETCH goes back."""
    if (match := FETCHED.fullmatch(text)) is None:
        raise Failure("0A000", "a cursor only goes forward: write FETCH [FORWARD] n FROM name")
    count = re.search(r"\d+", match[1] or "")
    if count is not None:
        return _unquoted(match[2]), int(count[0])
    return _unquoted(match[2]), 0 if (match[1] or "").upper().endswith("ALL") else 1


def parse_close(text: str) -> str | None:
    """Return the name in a CLOSE or DEALLOCATE, or None for ALL."""
    match = CLOSED.fullmatch(text)
    return None if match is None or match[1].upper() == "ALL" else _unquoted(match[1])
