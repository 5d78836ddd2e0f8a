"""A stream: a client's messages, within limits of size and time.

Who sends half a message, or leaves what it asked for unread, is dropped.
"""

from __future__ import annotations

import asyncio
import struct

from ftsql.serve.errors import Failure
from ftsql.serve.limits import Limits

HEADER = struct.Struct("!ci")
STARTUP = struct.Struct("!ii")
UNREAD = 1 << 20  # bytes that may wait for the client while more are made


class Gone(Exception):
    """The client has gone, or does not take what it asked for."""


class Stream:
    """As pg-mimic's authentication knows one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: Limits) -> None:
        self.reader = reader
        self.writer = writer
        self._limits = limits
        self.longest = limits.startup  # until it has logged in
        self._out: list[bytes] = []
        self.waiting = 0  # bytes that wait for ``drain``
        writer.transport.set_write_buffer_limits(high=UNREAD)

    @property
    def gone(self) -> bool:
        return self.reader.at_eof() or self.writer.is_closing()

    async def _read(self, count: int) -> bytes:
        try:
            return await self.reader.readexactly(count)
        except (asyncio.IncompleteReadError, OSError):
            raise Gone from None

    async def _body(self, count: int) -> bytes:
        if count == 0:
            return b""
        try:
            async with asyncio.timeout(self._limits.stall):
                return await self._read(count)
        except TimeoutError:
            raise Gone from None

    async def read_startup_packet(self) -> tuple[int, bytes]:
        """The code of the first message, and the rest. Raises Failure for one that is none."""
        length, code = STARTUP.unpack(await self._read(8))
        if not 8 <= length <= self._limits.startup:
            raise Failure("08P01", "invalid length of startup packet")
        return code, await self._body(length - 8)

    async def read_message(self) -> tuple[bytes, bytes]:
        """A message's kind, and the rest. Raises Failure for one that is too long, which ends the conversation."""
        tag, length = HEADER.unpack(await self._read(5))
        if length < 4:
            raise Failure("08P01", "invalid message length")
        if length > self.longest:
            raise Failure("54000", f"a message of {length} bytes is too long: at most {self.longest}")
        return tag, await self._body(length - 4)

    def write(self, data: bytes) -> None:
        """Send it with what comes until ``drain``."""
        self._out.append(data)
        self.waiting += len(data)

    def flush(self) -> None:
        """Hand over what was written."""
        self.writer.write(b"".join(self._out))
        self._out, self.waiting = [], 0

    async def drain(self) -> None:
        """Send what was written, and wait until the client has taken enough. Raises Gone where it does not."""
        self.flush()
        try:
            async with asyncio.timeout(self._limits.stall):
                await self.writer.drain()
        except (TimeoutError, OSError):
            self.writer.transport.abort()
            raise Gone from None

    async def close(self) -> None:
        self.writer.close()
        try:
            async with asyncio.timeout(2):
                await self.writer.wait_closed()
        except (OSError, TimeoutError):
            self.writer.transport.abort()
