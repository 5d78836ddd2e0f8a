"""The server: it listens, lets clients in by TLS and password, counts them, and stops.

Until a client has logged in it costs a socket and a few seconds, and gets no thread and no connection.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import itertools
import logging
import os
import ssl
import struct

from pg_mimic import messages
from pg_mimic.auth import IdentityProvider, ScramSha256AuthPlugin

from ftsql.serve import errors
from ftsql.serve.backend import Shared
from ftsql.serve.catalog.build import SETTINGS
from ftsql.serve.errors import Failure
from ftsql.serve.limits import Limits
from ftsql.serve.wire.client_session import Session
from ftsql.serve.wire.conversation import Wire
from ftsql.serve.wire.stream import Gone, Stream

TOLD = ("server_version", "server_encoding", "client_encoding", "DateStyle", "IntervalStyle", "integer_datetimes",
        "standard_conforming_strings", "TimeZone", "is_superuser", "session_authorization",
        "default_transaction_read_only")  # fmt: skip
WAITING = 50  # clients that may be about to log in, or want to cancel, beside those that are in
WRONG = 0.5  # seconds that a wrong password costs


class Password(IdentityProvider):  # type: ignore[misc]
    """One password, whatever the user's name."""

    def __init__(self, password: str) -> None:
        self._password = password

    async def get_password(self, username: str) -> str:
        return self._password


class Server:
    """Made in the loop that it runs in."""

    def __init__(
        self, shared: Shared, password: str, *, limits: Limits | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._shared = shared
        self._identity = Password(password)
        self._limits = limits or Limits()
        self._tls = tls
        self._numbers = itertools.count(1)
        self._clients: dict[int, tuple[bytes, Session]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        # A wrong password would be a traceback in the log.
        logging.getLogger("pg_mimic.auth").disabled = True

    async def start(self, host: str, port: int) -> int:
        """Listen; gives the port. Raises OSError."""
        self._listener = await asyncio.start_server(self._accept, host, port, backlog=256)
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Tell each client, end what it runs, and close."""
        if self._listener is not None:
            self._listener.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=10)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        stream = Stream(reader, writer, self._limits)
        if len(self._tasks) >= self._limits.connections + WAITING:
            await self._refuse(stream, Failure("53300", "sorry, too many clients already"))
            return
        self._tasks.add(task)
        try:
            await self._serve(stream)
        except Gone:
            pass
        except asyncio.CancelledError:
            await self._refuse(stream, Failure("57P01", "terminating connection: ftsql serve ends"))
        except Exception as error:
            await self._refuse(stream, error)
        finally:
            self._tasks.discard(task)
            await stream.close()

    async def _refuse(self, stream: Stream, error: BaseException) -> None:
        try:
            stream.write(errors.message(error, "FATAL"))
            stream.flush()
            async with asyncio.timeout(2):
                await stream.writer.drain()
        except (Gone, OSError, RuntimeError, TimeoutError):
            pass
        stream.writer.close()

    async def _serve(self, stream: Stream) -> None:
        try:
            async with asyncio.timeout(self._limits.login):
                wanted = await self._startup(stream)
                if wanted is None:
                    return
                await self._authenticate(stream, wanted.get("user", ""))
        except TimeoutError:
            raise Gone from None
        stream.longest = self._limits.message
        if len(self._clients) >= self._limits.connections:
            raise Failure(
                "53300", "sorry, too many clients already", hint="ftsql serve --max-connections lets more in."
            )
        number, secret = next(self._numbers), os.urandom(4)
        session = Session(self._shared, self._limits, lambda: stream.gone)
        self._clients[number] = (secret, session)
        try:
            await session.open()
            for name in ("client_encoding", "application_name"):
                if name in wanted:
                    session.settings.set(name, wanted[name])
            for name in TOLD:
                stream.write(messages.make_parameter_status(name, SETTINGS.get(name, "")))
            stream.write(messages.make_backend_key_data(number, struct.unpack("!i", secret)[0]))
            stream.write(messages.make_ready_for_query(b"I"))
            await stream.drain()
            await Wire(stream, session, self._limits).run()
        finally:
            try:
                await session.close()
            finally:
                del self._clients[number]

    async def _startup(self, stream: Stream) -> dict[str, str] | None:
        """What the client wants, as it says first; None where that was to cancel a statement."""
        secure = False
        for _ in range(3):
            code, body = await stream.read_startup_packet()
            if code == messages.SSL_REQUEST_CODE and not secure:
                stream.write(b"S" if self._tls is not None else b"N")
                await stream.drain()
                if self._tls is not None:
                    if getattr(stream.reader, "_buffer", b""):  # said in the clear, to be read as if it were not
                        raise Failure("08P01", "received unencrypted data after SSL request")
                    try:
                        await stream.writer.start_tls(self._tls)
                    except (OSError, ssl.SSLError):
                        raise Gone from None
                    secure = True
            elif code == messages.GSSENC_REQUEST_CODE:
                stream.write(b"N")
                await stream.drain()
            elif code == messages.CANCEL_REQUEST_CODE:
                if len(body) == 8:
                    self._cancel(struct.unpack("!i", body[:4])[0], body[4:])
                return None
            else:
                return self._wanted(stream, code, body, secure)
        raise Failure("08P01", "too many requests before the startup packet")

    def _wanted(self, stream: Stream, code: int, body: bytes, secure: bool) -> dict[str, str]:
        if code >> 16 != 3:
            raise Failure("0A000", f"unsupported frontend protocol {code >> 16}.{code & 0xFFFF}: ftsql speaks 3.0")
        try:
            wanted = messages.parse_startup_message(body)
        except (ValueError, IndexError):
            raise Failure("08P01", "invalid startup packet layout") from None
        peer = stream.writer.get_extra_info("peername")
        if not secure and self._tls is not None and not ipaddress.ip_address(peer[0]).is_loopback:
            raise Failure("28000", "ftsql serve wants TLS", hint="Connect with sslmode=require.")
        if wanted.get("replication", "false").lower() not in ("false", "off", "no", "0"):
            raise Failure("0A000", "ftsql serve has no replication")
        unknown = [name for name in wanted if name.startswith("_pq_.")]
        if code & 0xFFFF or unknown:
            said = b"".join(name.encode() + b"\0" for name in unknown)
            body = struct.pack("!ii", 3 << 16, len(unknown)) + said
            stream.write(b"v" + struct.pack("!i", len(body) + 4) + body)
        return dict(wanted)

    def _cancel(self, number: int, secret: bytes) -> None:
        known = self._clients.get(number)
        if known is not None and hmac.compare_digest(known[0], secret):
            known[1].cancel()

    async def _authenticate(self, stream: Stream, user: str) -> None:
        try:
            ok = await ScramSha256AuthPlugin().authenticate(stream, user, self._identity)
        except (Gone, Failure, asyncio.CancelledError):
            raise
        except Exception:  # an answer that is no SCRAM
            ok = False
        if not ok:
            await asyncio.sleep(WRONG)
            raise Failure("28P01", f'password authentication failed for user "{user[:63]}"')
        stream.write(messages.make_authentication_ok())
