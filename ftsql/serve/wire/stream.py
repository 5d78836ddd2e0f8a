"""The stream of a client's messages, within limits of size and time.

A client that sends half a message, or does not read its responses, is disconnected.
"""

from __future__ import annotations

import asyncio
import struct

from ftsql.serve.errors import Failure
from ftsql.serve.limits import Limits

HEADER = struct.Struct("!ci")
STARTUP = struct.Struct("!ii")
UNREAD = 1 << 20  # how many bytes may wait for the client before ``drain`` waits too


class Disconnected(Exception):
    """The client has disconnected, or does not read its responses."""


class Stream:
    """A client's messages, with the interface that pg-mimic's authentication uses."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: Limits) -> None:
        self.reader = reader
        self.writer = writer
        self._limits = limits
        self.longest = limits.startup  # the maximum size of a message; larger after the login
        self._out: list[bytes] = []
        self.waiting = 0  # how many bytes wait for ``flush`` or ``drain``
        writer.transport.set_write_buffer_limits(high=UNREAD)

    @property
    def gone(self) -> bool:
        return self.reader.at_eof() or self.writer.is_closing()

    async def _read(self, count: int) -> bytes:
        try:
            return await self.reader.readexactly(count)
        except (asyncio.IncompleteReadError, OSError):
            raise Disconnected from None

    async def _body(self, count: int) -> bytes:
        if count == 0:
            return b""
        try:
            async with asyncio.timeout(self._limits.stall):
                return await self._read(count)
        except TimeoutError:
            raise Disconnected from None

    async def read_startup_packet(self) -> tuple[int, bytes]:
        """Return the code and the body of the first message. Raise Failure if its length is invalid."""
        length, code = STARTUP.unpack(await self._read(8))
        if not 8 <= length <= self._limits.startup:
            raise Failure("08P01", "invalid length of startup packet")
        return code, await self._body(length - 8)

    async def read_message(self) -> tuple[bytes, bytes]:
        """Return the type and the body of a message. Raise Failure if its length is not allowed."""
        tag, length = HEADER.unpack(await self._read(5))
        if length < 4:
            raise Failure("08P01", "invalid message length")
        if length > self.longest:
            raise Failure("54000", f"a message may have at most {self.longest} bytes, not {length}")
        return tag, await self._body(length - 4)

    def write(self, data: bytes) -> None:
        """Keep ``data`` until the next ``flush`` or ``drain``."""
        self._out.append(data)
        self.waiting += len(data)

    def flush(self) -> None:
        """Pass all data that was written to the transport."""
        self.writer.write(b"".join(self._out))
        self._out, self.waiting = [], 0

    async def drain(self) -> None:
        """Send all data that was written, and wait until the client has read enough of it.

        Raise Disconnected if the client does not read.
        """
        self.flush()
        try:
            async with asyncio.timeout(self._limits.stall):
                await self.writer.drain()
        except (TimeoutError, OSError):
            self.writer.transport.abort()
            raise Disconnected from None

    async def close(self) -> None:
        self.writer.close()
        try:
            async with asyncio.timeout(2):
                await self.writer.wait_closed()
        except (OSError, TimeoutError):
            self.writer.transport.abort()
