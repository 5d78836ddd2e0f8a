"""A gateway in front of a sandbox that lies: byte for byte, whatever HTTP says of what may be sent.

Everything but the one armed lie is the sandbox's own answer.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO

from ftsql.sandbox import Sandbox

Piece = bytes | float  # what is sent, or the seconds of a pause
ENOUGH = 10.0  # seconds after which a lie ends, however patient the client is
HOP = ("connection", "keep-alive", "transfer-encoding", "content-length")


@dataclass(frozen=True)
class Lie:
    """What one request is answered. ``accept``: the sandbox carries it out all the same; ``tell`` gets its answer.
    When the pieces end, the connection stays unless the last one is empty.
    """

    method: str
    path: str
    tell: Callable[[bytes], Iterator[Piece]]
    accept: bool = False


@dataclass(frozen=True)
class Asked:
    """One request as it arrived, and the sandbox's answer, where it was asked."""

    method: str
    path: str
    answer: bytes


class Gateway(Sandbox):
    """A sandbox whose addresses are the gateway's. ``asked``: the requests since ``arm``."""

    def __init__(self, jobs: int, seed: int) -> None:
        super().__init__(jobs=jobs, seed=seed, speed=0)
        self.asked: list[Asked] = []
        self.lying = 0  # answers under way
        self.hung_up = False  # a lie ended its connection
        self._lie: Lie | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def start(self) -> Gateway:
        super().start()
        self._listener_socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._front = self._listener_socket.getsockname()[1]
        threading.Thread(target=self._accept, name="gateway", daemon=True).start()
        return self

    def stop(self) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener_socket.shutdown(socket.SHUT_RDWR)
        self._listener_socket.close()
        super().stop()

    def __enter__(self) -> Gateway:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def faces(self) -> dict[str, str]:
        return {name: url.replace(f":{self.port}", f":{self._front}") for name, url in super().faces().items()}

    def arm(self, lie: Lie | None) -> None:
        """Tell this lie from now on, and no other."""
        with self._lock:
            self._lie = lie
            self.asked = []
            self.hung_up = False
        self.requests.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener_socket.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(client,), name="gateway-client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        upstream = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with client, contextlib.closing(upstream), contextlib.suppress(OSError):
            reader = client.makefile("rb")
            while (request := _request(reader)) is not None:
                if not self._answer(client, upstream, *request):
                    return

    def _answer(
        self, client: socket.socket, upstream: http.client.HTTPConnection, head: list[bytes], body: bytes
    ) -> bool:
        """Answer one request; whether the connection stays."""
        method, target, _ = head[0].decode("latin-1").split(" ", 2)
        path = target.partition("?")[0]
        lie = self._lie
        if lie is not None and not (lie.method == method and re.search(lie.path, path)):
            lie = None
        received, lines = b"", []
        if lie is None or lie.accept:
            headers = dict(line.decode("latin-1").split(": ", 1) for line in head[1:])
            upstream.request(method, target, body or None, headers)
            answer = upstream.getresponse()
            received = answer.read()
            kept = [f"{name}: {value}" for name, value in answer.getheaders() if name.lower() not in HOP]
            lines = [f"HTTP/1.1 {answer.status} {answer.reason}", *kept, f"Content-Length: {len(received)}", "", ""]
        with self._lock:
            self.asked.append(Asked(method, path, received))
        if lie is None:
            client.sendall("\r\n".join(lines).encode("latin-1") + received)
            return True
        with self._lock:
            self.lying += 1
        try:
            stays = self._told(client, lie.tell(received))
            self.hung_up = self.hung_up or not stays
            return stays
        finally:
            with self._lock:
                self.lying -= 1

    def _told(self, client: socket.socket, pieces: Iterator[Piece]) -> bool:
        """Send them until the client hangs up; whether the connection stays."""
        end = time.monotonic() + ENOUGH
        stays = True
        for piece in pieces:
            if time.monotonic() > end:
                return False
            stays = piece != b""
            if isinstance(piece, bytes):
                client.sendall(piece)
                continue
            until = time.monotonic() + piece
            while (left := until - time.monotonic()) > 0:
                if self._stop.wait(min(left, 0.05)) or _gone(client):
                    return False
        return stays


def _request(reader: BinaryIO) -> tuple[list[bytes], bytes] | None:
    """The lines of a request's head, and its body; None at the connection's end."""
    lines: list[bytes] = []
    while line := reader.readline(65536).rstrip(b"\r\n"):
        lines.append(line)
    if not lines:
        return None
    lengths = [int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:")]
    return lines, reader.read(lengths[0]) if lengths else b""


def _gone(client: socket.socket) -> bool:
    """Whether the other end hung up."""
    client.setblocking(False)
    try:
        return client.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    finally:
        client.setblocking(True)
