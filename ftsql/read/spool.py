"""The rows of a long listing: the rows read last stay in memory, and earlier rows go to a temporary file.

A statement keeps all rows until it ends, because another of its scans may read them again and must see the same rows.
Because of the file, a list of any length needs little memory.
"""

from __future__ import annotations

import contextlib
import marshal
from collections.abc import Iterator, Sequence
from typing import IO, cast, overload

from ftsql.errors import OperationalError
from ftsql.resources.cells import whole
from ftsql.resources.definitions import JOBS
from ftsql.resources.resource import Row

SIZE = 100  # the number of rows in a part, which is written to the file as a whole
MOST = 40  # the maximum number of parts in memory

_Position = tuple[int, int]  # offset and length in the file, in bytes


class Spill:
    """A temporary file for data that is seldom read again. Only the thread of its statement may use it."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._end = 0
        self._full = False  # whether a write failed, for example because the disk is full

    def write(self, data: bytes) -> _Position | None:
        """Append ``data`` and return its position, or None if it cannot be written."""
        if self._full:
            return None
        try:
            if self._file is None:
                import tempfile  # seldom needed: few lists are that long

                self._file = tempfile.TemporaryFile(prefix="ftsql-", buffering=0)  # noqa: SIM115 - until this object ends
            self._file.seek(self._end)
            self._full = self._file.write(data) != len(data)
        except OSError:
            self._full = True
        if self._full:
            return None
        self._end += len(data)
        return self._end - len(data), len(data)

    def read(self, position: _Position) -> bytes:
        """Return the data at ``position``. Raises OperationalError if the file cannot be read."""
        assert self._file is not None
        data = b""
        with contextlib.suppress(OSError):
            self._file.seek(position[0])
            data = self._file.read(position[1])
        if len(data) != position[1]:
            raise OperationalError(
                "a temporary file with the first rows of a long list cannot be read: check that the disk for "
                "temporary files (TMPDIR) works and has room, and run the statement again"
            )
        return data

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()


class RowSpool(Sequence[Row]):
    """A list of jobs that grows at its end. Only the thread of its statement may use it.

    Reading raises OperationalError if the temporary file cannot be read. If it cannot be written, the rows stay in
    memory.
    """

    def __init__(self) -> None:
        self._parts: list[list[Row] | _Position] = []
        self._length = 0
        self._next = 0  # the first part that was not written yet
        self._spill = Spill()
        self._read: tuple[int, list[Row]] = (-1, [])  # the last part that was read from the file

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
        number, offset = divmod(index, SIZE)
        part = self._parts[number]
        if isinstance(part, list):
            return part[offset]
        return self._loaded(number, part)[offset]

    def part(self, index: int) -> list[Row]:
        """Return the row at ``index`` and the later rows of the same part."""
        number, offset = divmod(index, SIZE)
        part = self._parts[number]
        return part[offset:] if isinstance(part, list) else self._loaded(number, part)[offset:]

    def append(self, row: Row) -> None:
        """Add a row at the end."""
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
        except ValueError:  # a value that JSON cannot represent
            return
        position = self._spill.write(data)
        self._parts[number] = part if position is None else position

    def _loaded(self, number: int, position: _Position) -> list[Row]:
        if self._read[0] != number:
            kept = marshal.loads(self._spill.read(position))  # noqa: S302 - our own data
            self._read = (number, [Row.of_cells(provider, cells, text, JOBS) for provider, cells, text in kept])
        return self._read[1]
