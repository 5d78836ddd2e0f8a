"""A file's content on its way from an API: written to the disk as it comes, with its size and hash."""

from __future__ import annotations

import errno
import hashlib
import tempfile
from collections.abc import Callable, Iterator

from ftsql.api.request_log import Counts
from ftsql.errors import DataError, OperationalError

PIECE = 1024 * 1024


class Stopped(Exception):
    """The rest of a content is not wanted any more."""


class Download:
    """A temporary file in ``folder``, which goes with ``close`` and with the process.

    ``size`` in bytes, of ``most`` at most; ``counts`` is told of those that came. Raises OperationalError if the disk
    cannot take it.
    """

    def __init__(self, folder: str, counts: Counts, most: int) -> None:
        self.size = 0
        self._most = most
        self._counts = counts
        self._folder = folder
        self._hash = hashlib.sha256()
        try:
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - until it is closed
        except OSError as error:
            raise self._failed(error) from None

    @property
    def sha256(self) -> str:
        """The hash of what was taken, in hexadecimal digits."""
        return self._hash.hexdigest()

    def take(self, chunks: Iterator[bytes], stopped: Callable[[], bool]) -> None:
        """Keep ``chunks``, and nothing of what an earlier try brought.

        Raises Stopped as soon as ``stopped()``, DataError for too many bytes, and what ``chunks`` raises.
        """
        self._counts.downloaded -= self.size
        self.size, self._hash = 0, hashlib.sha256()
        try:
            self._file.seek(0)
            self._file.truncate()
            for chunk in chunks:
                if stopped():
                    raise Stopped
                if self.size + len(chunk) > self._most:
                    raise DataError(f"its content goes on after {self._most:,} bytes, and is left out")
                self._hash.update(chunk)
                left = memoryview(chunk)
                while left:
                    left = left[self._file.write(left) :]
                self.size += len(chunk)
                self._counts.downloaded += len(chunk)
        except OSError as error:
            raise self._failed(error) from None

    def pieces(self) -> Iterator[bytes]:
        """What was taken, a megabyte at a time."""
        self._file.seek(0)
        while piece := self._file.read(PIECE):
            yield piece

    def close(self) -> None:
        self._file.close()

    def _failed(self, error: OSError) -> OperationalError:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else error.strerror
        return OperationalError(f"cannot write a temporary file in {self._folder}: {reason}")
