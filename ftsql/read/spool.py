"""The rows of a long listing: the newest read in memory, those before them in a temporary file.

A statement keeps what it was shown until it ends, since another of its scans may read it again, and every scan
must see the same. So a list of any length needs little memory: an id and a place for each row.
"""

from __future__ import annotations

import contextlib
import marshal
from collections.abc import Iterator, Sequence
from typing import IO, Any, cast, overload

from ftsql.errors import OperationalError
from ftsql.resources.cells import ID, whole
from ftsql.resources.definitions import JOBS
from ftsql.resources.resource import Row

SIZE = 100  # rows written at once
MOST = 40  # such parts in memory

_Place = tuple[int, int]  # in the file: where, and how many bytes


class Spill:
    """A temporary file for what is read again only seldom. Only the thread of its statement may use it."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._end = 0
        self._full = False  # the disk

    def write(self, data: bytes) -> _Place | None:
        """Where ``data`` stands now; None where the disk does not take it."""
        if self._full:
            return None
        try:
            if self._file is None:
                import tempfile  # few lists are that long

                self._file = tempfile.TemporaryFile(prefix="ftsql-", buffering=0)  # noqa: SIM115 - until this object ends
            self._file.seek(self._end)
            self._full = self._file.write(data) != len(data)
        except OSError:
            self._full = True
        if self._full:
            return None
        self._end += len(data)
        return self._end - len(data), len(data)

    def read(self, place: _Place) -> bytes:
        """What stands there. Raises OperationalError where the file broke."""
        assert self._file is not None
        data = b""
        with contextlib.suppress(OSError):
            self._file.seek(place[0])
            data = self._file.read(place[1])
        if len(data) != place[1]:
            raise OperationalError(
                "a temporary file that holds the first rows of a long list broke: see that the disk for "
                "temporary files (TMPDIR) has room and works, and run the statement again"
            )
        return data

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()


class RowSpool(Sequence[Row]):
    """A list of jobs that grows at its end. Only the thread of its statement may use it.

    Reading raises OperationalError where the temporary file breaks; where it cannot be written, the rows stay in
    memory.
    """

    def __init__(self) -> None:
        self._parts: list[list[Row] | _Place] = []
        self._length = 0
        self._next = 0  # the first part that may be written
        self._spill = Spill()
        self._read: tuple[int, list[Row]] = (-1, [])  # the part that was read last

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Row]:
        index = 0
        while index < self._length:
            yield self[index]
            index += 1

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self._length))]
        index = index + self._length if index < 0 else index
        if not 0 <= index < self._length:
            raise IndexError(index)
        number, place = divmod(index, SIZE)
        part = self._parts[number]
        if isinstance(part, list):
            return part[place]
        return self._loaded(number, part)[place]

    def part(self, index: int) -> list[Row]:
        """The row at ``index`` and some after it, as they stand together."""
        number, place = divmod(index, SIZE)
        part = self._parts[number]
        return part[place:] if isinstance(part, list) else self._loaded(number, part)[place:]

    def append(self, row: Row) -> None:
        """One more."""
        if self._length % SIZE == 0:
            self._parts.append([])
            if len(self._parts) - self._next > MOST:
                self._write(self._next)
                self._next += 1
        cast("list[Row]", self._parts[-1]).append(row)
        self._length += 1

    def _write(self, number: int) -> None:
        part = self._parts[number]
        assert isinstance(part, list)
        try:
            data = marshal.dumps([(row.provider, whole(row), row.text) for row in part])
        except ValueError:  # what JSON cannot say
            return
        place = self._spill.write(data)
        self._parts[number] = part if place is None else place

    def _loaded(self, number: int, place: _Place) -> list[Row]:
        if self._read[0] != number:
            kept = marshal.loads(self._spill.read(place))  # noqa: S302 - what we wrote ourselves
            self._read = (number, [_row(*each) for each in kept])
        return self._read[1]


def _row(provider: str, made: tuple[Any, ...], text: str) -> Row:
    row = Row(provider, {"id": made[ID]}, text, bare=JOBS)
    row.cells = made
    row.compact(text, JOBS)
    return row
