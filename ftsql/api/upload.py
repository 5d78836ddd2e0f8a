"""Uploads: a file is sent as a multipart body, and read from disk while it is sent.

If the file changes meanwhile or the user interrupts, the body is left without its end. So no server can store a part
of the file as if it were the whole file.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from ftsql.api.request_log import Counts
from ftsql.errors import DataError, ProgrammingError

MAX_BYTES = 512 * 1024 * 1024  # OpenAI's limit for one file
CHUNK = 256 * 1024
# O_NONBLOCK: opening a pipe must not wait for its other end. Windows lacks this flag, but needs O_BINARY.
FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class IncompleteUpload(Exception):
    """A body was left without its end; the message says why."""


class Upload:
    """The file at ``path`` as a multipart body, after the form fields in ``fields``. It stays open until ``close``.

    path: The path as the user gave it.
    filename: The file name that is sent to the API.
    size: The file's size in bytes.
    complete: Whether all of the body has been sent, including its end.

    Raises ProgrammingError if ``path`` is not a regular file or cannot be read, and DataError if the file is empty or
    too large.
    """

    def __init__(self, path: str, fields: Mapping[str, str]) -> None:
        self.path = path
        self.complete = False
        self._file = _open(path)
        try:
            self._state = self._file_state()
            self.size = os.fstat(self._file.fileno()).st_size
            if self.size == 0:
                raise DataError(f"{path!r} is empty: nothing was sent")
            if self.size > MAX_BYTES:
                raise DataError(
                    f"{path!r} has {self.size:,} bytes, and the API takes {MAX_BYTES:,} at most: nothing was sent. "
                    "Split it"
                )
        except BaseException:
            self.close()
            raise
        self.filename = _header_name(path)
        self._boundary = secrets.token_hex(20)
        parts = [
            f'--{self._boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        parts.append(
            f'--{self._boundary}\r\nContent-Disposition: form-data; name="file"; filename="{self.filename}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        self._head = "".join(parts).encode("utf-8", "replace")
        self._tail = f"\r\n--{self._boundary}--\r\n".encode()

    @property
    def headers(self) -> dict[str, str]:
        """The headers that describe the body."""
        return {
            "Content-Type": f"multipart/form-data; boundary={self._boundary}",
            "Content-Length": str(len(self._head) + self.size + len(self._tail)),
        }

    def chunks(self, stopped: Callable[[], bool], counts: Counts) -> Iterator[bytes]:
        """Yield the body from its beginning, and count the bytes sent in ``counts``.

        Raises IncompleteUpload, without the body's end, if ``stopped()`` is true or the file changed.
        """
        self.complete = False
        counts.uploaded, counts.to_upload = 0, self.size
        self._file.seek(0)
        yield self._head
        left = self.size
        while left:
            if stopped():
                raise IncompleteUpload("the upload was interrupted")
            try:
                chunk = self._file.read(min(CHUNK, left))
            except OSError as error:
                raise IncompleteUpload(f"{self.path!r} cannot be read: {error.strerror}") from None
            if not chunk:
                raise IncompleteUpload(f"{self.path!r} became shorter while it was read")
            left -= len(chunk)
            yield chunk
            counts.uploaded = self.size - left
        if self._file_state() != self._state:
            raise IncompleteUpload(f"{self.path!r} changed while it was read: send it when no program writes to it")
        if stopped():
            raise IncompleteUpload("the upload was interrupted")
        self.complete = True
        yield self._tail

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _file_state(self) -> tuple[Any, ...]:
        """Return the file's size and modification time, which show whether the file changed."""
        found = os.fstat(self._file.fileno())
        return found.st_size, found.st_mtime_ns


def _open(path: str) -> BinaryIO:
    """Open a regular file. Raises ProgrammingError for any other path."""
    try:
        descriptor = os.open(os.path.expanduser(path), FLAGS)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ProgrammingError(f"{path!r} cannot be read: {reason}. Nothing was sent") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = "is a directory" if stat.S_ISDIR(mode) else "is not a regular file"
            raise ProgrammingError(f"{path!r} {kind}: nothing was sent")
        return os.fdopen(descriptor, "rb", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise


def _header_name(path: str) -> str:
    """Return the file name of ``path``. Characters that could close the quotes or end the line are percent-encoded."""
    name = os.path.basename(os.path.expanduser(path)).encode("utf-8", "replace").decode()
    return re.sub(r'["\\\x00-\x1f\x7f]', lambda match: f"%{ord(match[0]):02X}", name)
