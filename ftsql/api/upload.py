"""A file on its way to an API: one multipart body, read from the disk as it is sent.

It is whole or it is not: where the file changes meanwhile, or somebody interrupts, the body is left without
its end, so that no server can take it for a file.
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

MAX_BYTES = 512 * 1024 * 1024  # what OpenAI takes for one file
CHUNK = 256 * 1024
# Opening must not wait for the other end of a pipe; Windows has no such flag, and asks to be told of bytes.
FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class Unsent(Exception):
    """Why a body was left without its end, in words."""


class Upload:
    """The file at ``path``, open from now on until ``close``. ``complete``: all of it has left, the end too.

    Raises ProgrammingError for what is no file or cannot be read, DataError for an empty or too large one.
    """

    def __init__(self, path: str, fields: Mapping[str, str]) -> None:
        self.path = path
        self.complete = False
        self._file = _opened(path)
        try:
            self._state = self._now()
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
        self.filename = _name(path)
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
        return {
            "Content-Type": f"multipart/form-data; boundary={self._boundary}",
            "Content-Length": str(len(self._head) + self.size + len(self._tail)),
        }

    def chunks(self, stopped: Callable[[], bool], counts: Counts) -> Iterator[bytes]:
        """The body, from its beginning. Raises Unsent where it may not come to its end."""
        self.complete = False
        counts.uploaded, counts.to_upload = 0, self.size
        self._file.seek(0)
        yield self._head
        left = self.size
        while left:
            if stopped():
                raise Unsent("the upload was interrupted")
            try:
                chunk = self._file.read(min(CHUNK, left))
            except OSError as error:
                raise Unsent(f"{self.path!r} cannot be read: {error.strerror}") from None
            if not chunk:
                raise Unsent(f"{self.path!r} became shorter while it was read")
            left -= len(chunk)
            yield chunk
            counts.uploaded = self.size - left
        if self._now() != self._state:
            raise Unsent(f"{self.path!r} changed while it was read: send it when nobody writes to it")
        if stopped():
            raise Unsent("the upload was interrupted")
        self.complete = True
        yield self._tail

    def close(self) -> None:
        self._file.close()

    def _now(self) -> tuple[Any, ...]:
        found = os.fstat(self._file.fileno())
        return found.st_size, found.st_mtime_ns


def _opened(path: str) -> BinaryIO:
    try:
        descriptor = os.open(os.path.expanduser(path), FLAGS)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ProgrammingError(f"{path!r} cannot be read: {reason}. Nothing was sent") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = "is a directory" if stat.S_ISDIR(mode) else "is no regular file"
            raise ProgrammingError(f"{path!r} {kind}: nothing was sent")
        return os.fdopen(descriptor, "rb", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise


def _name(path: str) -> str:
    """The file's name as a header can carry it: what could end the quotes or the line is percent-encoded."""
    name = os.path.basename(os.path.expanduser(path)).encode("utf-8", "replace").decode()
    return re.sub(r'["\\\x00-\x1f\x7f]', lambda match: f"%{ord(match[0]):02X}", name)
