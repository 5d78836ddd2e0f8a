"""Downloads: a file's content is written to a temporary file as it arrives, and its size and hash are computed."""

from __future__ import annotations

import errno
import hashlib
import tempfile
from collections.abc import Callable, Iterator

from ftsql.api.request_log import Counts
from ftsql.errors import DataError, OperationalError

PIECE = 1024 * 1024


class Stopped(Exception):
    """The rest of the content is no longer wanted."""


class Download:
    """A temporary file in ``folder`` for a content. The file is deleted by ``close`` or at the end of the process.

    size: How many bytes are saved, at most ``limit``.

    ``counts`` counts the bytes that arrive. Raises OperationalError if the file cannot be created.
    """

    def __init__(self, folder: str, counts: Counts, limit: int) -> None:
        self.size = 0
        self._limit = limit
        self._counts = counts
        self._folder = folder
        self._hash = hashlib.sha256()
        try:
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - until it is closed
        except OSError as error:
            raise self._failed(error) from None

    @property
    def sha256(self) -> str:
        """The hash of the bytes saved, in hexadecimal digits."""
        return self._hash.hexdigest()

    def save(self, chunks: Iterator[bytes], stopped: Callable[[], bool]) -> None:
        """Save ``chunks`` in place of the bytes of an earlier attempt.

        Raises Stopped as soon as ``stopped()`` is true, DataError for more than ``limit`` bytes, OperationalError if
        the disk cannot take the bytes, and the errors that ``chunks`` raises.
        """
        self._counts.downloaded -= self.size
        self.size, self._hash = 0, hashlib.sha256()
        try:
            self._file.seek(0)
            self._file.truncate()
            for chunk in chunks:
                if stopped():
                    raise Stopped
                if self.size + len(chunk) > self._limit:
                    raise DataError(f"its content goes on after {self._limit:,} bytes, and is left out")
                self._hash.update(chunk)
                left = memoryview(chunk)
                while left:
                    left = left[self._file.write(left) :]
                self.size += len(chunk)
                self._counts.downloaded += len(chunk)
        except OSError as error:
            raise self._failed(error) from None

    def pieces(self) -> Iterator[bytes]:
        """Yield the saved bytes, at most a megabyte at a time."""
        self._file.seek(0)
        while piece := self._file.read(PIECE):
            yield piece

    def close(self) -> None:
        """Close the temporary file, which deletes it."""
        self._file.close()

    def _failed(self, error: OSError) -> OperationalError:
        """Return an OperationalError which says why the temporary file cannot be written."""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else error.strerror
        return OperationalError(f"cannot write a temporary file in {self._folder}: {reason}")
