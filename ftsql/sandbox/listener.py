"""The listener: uvicorn on a real port, in a thread of its own that can be stopped at once.

Only this module imports uvicorn.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ftsql.sandbox.app import App, Message, Receive, Send

ACCEPTING = 5  # steps of the loop until a connection that was just accepted is among the server's connections
KEEP_ALIVE = 3600  # seconds; tests would be flaky if the server closed idle connections


class _Protocol(H11Protocol):
    """HTTP/1.1 that passes the connection to the application, so that a fault can break the connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        app = cast(Any, self.app)

        async def with_transport(scope: Message, receive: Receive, send: Send) -> None:
            scope["transport"] = transport
            await app(scope, receive, send)

        self.app = cast(Any, with_transport)


class _Server(uvicorn.Server):
    """uvicorn without its periodic tick. It sleeps until the application stops, and then breaks all connections."""

    def __init__(self, app: App) -> None:
        super().__init__(
            uvicorn.Config(
                cast(Any, app),
                http=_Protocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=KEEP_ALIVE,
            )
        )
        self.ready = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._sandbox = app

    async def main_loop(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ready.set()
        await self._sandbox.stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        while self.server_state.connections or self.server_state.tasks:
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            await asyncio.sleep(0.001)
        # Connections that were accepted just now are not among the server's yet.
        for _ in range(ACCEPTING):
            for transport in list(getattr(asyncio.get_running_loop(), "_transports", {}).values()):
                transport.abort()
            await asyncio.sleep(0)
        for server in self.servers:
            await server.wait_closed()


class Listener:
    """Serves an application on ``host`` and ``port``, from its creation until ``stop``. Port 0 means any free port.

    Raises OSError if it cannot listen on the port.
    """

    def __init__(self, app: App, host: str, port: int) -> None:
        self._app = app
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # asyncio sets TCP_NODELAY only on sockets created with IPPROTO_TCP; without it, small responses take 40 ms.
        self._socket = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
            self._socket.listen(512)
        except OSError:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        app.stopping = asyncio.Event()
        self._server = _Server(app)
        self._thread = threading.Thread(target=self._run, name="ftsql-sandbox", daemon=True)
        self._thread.start()
        self._server.ready.wait()

    def _run(self) -> None:
        try:
            asyncio.run(self._server.serve(sockets=[self._socket]))
        finally:
            self._socket.close()
            self._server.ready.set()

    def stop(self) -> None:
        """Break all connections, free the port and wait for the thread to end."""
        if self._server.loop is not None and not self._server.loop.is_closed():
            self._server.loop.call_soon_threadsafe(self._app.stopping.set)
        self._thread.join(5)
