"""The server: it listens, authenticates clients, limits their number, and routes cancel requests.

Until a client has logged in, it uses a socket for a few seconds, but no thread and no SQLite connection.
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
from ftsql.serve.wire.client_session import ClientSession
from ftsql.serve.wire.conversation import Conversation
from ftsql.serve.wire.stream import Disconnected, Stream

REPORTED = ("server_version", "server_encoding", "client_encoding", "DateStyle", "IntervalStyle", "integer_datetimes",
        "standard_conforming_strings", "TimeZone", "is_superuser", "session_authorization",
        "default_transaction_read_only")  # fmt: skip
PENDING = 50  # how many connections are allowed in addition to the sessions, for clients that log in or cancel
WRONG_PASSWORD = 0.5  # seconds of delay after a wrong password


class Password(IdentityProvider):  # type: ignore[misc]
    """An identity provider with the same password for all users."""

    def __init__(self, password: str) -> None:
        self._password = password

    async def get_password(self, username: str) -> str:
        return self._password


class Server:
    """A server for clients of PostgreSQL. Create it in the event loop in which it runs."""

    def __init__(
        self,
        shared: Shared,
        password: str,
        *,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._shared = shared
        self._identity = Password(password)
        self._limits = limits or Limits()
        self._tls = tls
        self._numbers = itertools.count(1)
        self._clients: dict[int, tuple[bytes, ClientSession]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        # This logger would log a traceback for each wrong password.
        logging.getLogger("pg_mimic.auth").disabled = True

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port. Raise OSError."""
        self._listener = await asyncio.start_server(self._accept, host, port, backlog=256)
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening, end the statement of each client, and disconnect it with an error."""
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
        if len(self._tasks) >= self._limits.connections + PENDING:
            await self._refuse(stream, Failure("53300", "sorry, too many clients already"))
            return
        self._tasks.add(task)
        try:
            await self._serve(stream)
        except Disconnected:
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
        except (Disconnected, OSError, RuntimeError, TimeoutError):
            pass
        stream.writer.close()

    async def _serve(self, stream: Stream) -> None:
        try:
            async with asyncio.timeout(self._limits.login):
                parameters = await self._startup(stream)
                if parameters is None:
                    return
                await self._authenticate(stream, parameters.get("user", ""))
        except TimeoutError:
            raise Disconnected from None
        stream.longest = self._limits.message
        if len(self._clients) >= self._limits.connections:
            raise Failure("53300", "sorry, too many clients already", hint="ftsql serve --max-connections allows more.")
        number, secret = next(self._numbers), os.urandom(4)
        session = ClientSession(self._shared, self._limits, lambda: stream.gone)
        self._clients[number] = (secret, session)
        try:
            await session.open()
            for name in ("client_encoding", "application_name"):
                if name in parameters:
                    session.settings.set(name, parameters[name])
            for name in REPORTED:
                stream.write(messages.make_parameter_status(name, SETTINGS.get(name, "")))
            stream.write(messages.make_backend_key_data(number, struct.unpack("!i", secret)[0]))
            stream.write(messages.make_ready_for_query(b"I"))
            await stream.drain()
            await Conversation(stream, session, self._limits).run()
        finally:
            try:
                await session.close()
            finally:
                del self._clients[number]

    async def _startup(self, stream: Stream) -> dict[str, str] | None:
        """Return the client's startup parameters, or None after a cancel request."""
        secure = False
        for _ in range(3):
            code, body = await stream.read_startup_packet()
            if code == messages.SSL_REQUEST_CODE and not secure:
                secure = await self._offer_tls(stream)
            elif code == messages.GSSENC_REQUEST_CODE:
                stream.write(b"N")
                await stream.drain()
            elif code == messages.CANCEL_REQUEST_CODE:
                if len(body) == 8:
                    self._cancel(struct.unpack("!i", body[:4])[0], body[4:])
                return None
            else:
                return self._startup_parameters(stream, code, body, secure)
        raise Failure("08P01", "too many requests before the startup packet")

    async def _offer_tls(self, stream: Stream) -> bool:
        """Answer a request for TLS. Return whether the connection is encrypted from now on."""
        stream.write(b"S" if self._tls is not None else b"N")
        await stream.drain()
        if self._tls is None:
            return False
        if getattr(stream.reader, "_buffer", b""):  # an attacker's plain text would count as encrypted
            raise Failure("08P01", "received unencrypted data after SSL request")
        try:
            await stream.writer.start_tls(self._tls)
        except (OSError, ssl.SSLError):
            raise Disconnected from None
        return True

    def _startup_parameters(self, stream: Stream, code: int, body: bytes, secure: bool) -> dict[str, str]:
        if code >> 16 != 3:
            raise Failure("0A000", f"unsupported frontend protocol {code >> 16}.{code & 0xFFFF}: ftsql speaks 3.0")
        try:
            parameters = messages.parse_startup_message(body)
        except (ValueError, IndexError):
            raise Failure("08P01", "invalid startup packet layout") from None
        peer = stream.writer.get_extra_info("peername")
        if not secure and self._tls is not None and not ipaddress.ip_address(peer[0]).is_loopback:
            raise Failure("28000", "ftsql serve requires TLS", hint="Connect with sslmode=require.")
        if parameters.get("replication", "false").lower() not in ("false", "off", "no", "0"):
            raise Failure("0A000", "ftsql serve does not support replication")
        unknown = [name for name in parameters if name.startswith("_pq_.")]
        if code & 0xFFFF or unknown:
            # NegotiateProtocolVersion: version 3.0 without these options.
            names = b"".join(name.encode() + b"\0" for name in unknown)
            body = struct.pack("!ii", 3 << 16, len(unknown)) + names
            stream.write(b"v" + struct.pack("!i", len(body) + 4) + body)
        return dict(parameters)

    def _cancel(self, number: int, secret: bytes) -> None:
        known = self._clients.get(number)
        if known is not None and hmac.compare_digest(known[0], secret):
            known[1].cancel()

    async def _authenticate(self, stream: Stream, user: str) -> None:
        try:
            ok = await ScramSha256AuthPlugin().authenticate(stream, user, self._identity)
        except (Disconnected, Failure, asyncio.CancelledError):
            raise
        except Exception:  # the client's response is not SCRAM
            ok = False
        if not ok:
            await asyncio.sleep(WRONG_PASSWORD)
            raise Failure("28P01", f'password authentication failed for user "{user[:63]}"')
        stream.write(messages.make_authentication_ok())
