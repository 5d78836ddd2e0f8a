"""The deadline of one exchange, enforced at the socket, where bytes arrive.

httpx limits only the pause between two reads. A server that sends one byte now and then could keep a request alive
forever: within the response's head, after a 100 Continue, or between two chunks.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore

RESTART_AFTER = 1024 * 1024  # bytes


class DeadlineExceeded(Exception):
    """The deadline has passed."""


class _Exchange(threading.local):
    """The exchange of this thread: a request and its response. One thread handles an exchange from start to end.

    seconds: How long the exchange may take.
    end: The monotonic time at which the exchange has to end; None while the request's body is being sent.
    handshakes: How many TLS handshakes a new connection needs before a request can be sent on it.
    handshakes_left: How many of those handshakes the connection that this exchange opened still needs.
    has_sent: Whether a byte of the request may have left.
    """

    seconds = 0.0
    end: float | None = None
    handshakes = 0
    handshakes_left = 0
    has_sent = False


_exchange = _Exchange()


def begin(seconds: float, handshakes: int = 0) -> None:
    """Begin an exchange on this thread. Its reads raise DeadlineExceeded after ``seconds``.

    ``handshakes`` is how many TLS handshakes a new connection needs: one with an HTTPS proxy, one with the server.
    """
    _exchange.seconds = seconds
    _exchange.end = time.monotonic() + seconds
    _exchange.handshakes, _exchange.handshakes_left, _exchange.has_sent = handshakes, 0, False


def has_sent() -> bool:
    """Whether a byte of this thread's request may have left."""
    return _exchange.has_sent


def begin_after(body: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the request's ``body``. The time limit starts when all of it has been sent, because sending may be slow."""
    _exchange.end = None
    yield from body
    _exchange.end = time.monotonic() + _exchange.seconds


def restarted_by(body: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a large response's ``body``. The time limit starts anew with each megabyte."""
    size = 0
    for chunk in body:
        size += len(chunk)
        if size >= RESTART_AFTER:
            _exchange.end, size = time.monotonic() + _exchange.seconds, 0
        yield chunk


class _Stream(httpcore.NetworkStream):
    """A network stream whose reads end at the deadline."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if _exchange.end is None:
            return self._stream.read(max_bytes, timeout)
        left = _exchange.end - time.monotonic()
        if left > 0:
            try:
                return self._stream.read(max_bytes, left if timeout is None else min(left, timeout))
            except httpcore.ReadTimeout:
                if time.monotonic() < _exchange.end:
                    raise
        raise DeadlineExceeded(f"the response took longer than {_exchange.seconds:g} s") from None

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # Before the last handshake, the bytes are a CONNECT request to the proxy.
        _exchange.has_sent = _exchange.has_sent or not _exchange.handshakes_left
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        stream = _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout))
        _exchange.handshakes_left = max(_exchange.handshakes_left - 1, 0)
        return stream

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class Backend(httpcore.SyncBackend):
    """A network backend whose connections obey the deadline of the thread that reads from them."""

    def connect_tcp(self, host: str, *arguments: Any, **named: Any) -> httpcore.NetworkStream:
        _exchange.handshakes_left = _exchange.handshakes
        name = host.lower().rstrip(".")
        if name.endswith(".localhost") or name == "localhost":  # some systems do not resolve names such as a.localhost
            host = "localhost"
        return _Stream(super().connect_tcp(host, *arguments, **named))
