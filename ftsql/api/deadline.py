"""The deadline of one exchange, kept where bytes arrive: at the socket.

httpx limits the pause between two of them only, so that a server which sends one now and then is read for ever:
in a head, after a 100 Continue, between two chunks.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore

RENEWS = 1024 * 1024  # bytes


class Late(Exception):
    """The deadline has passed."""


class _Due(threading.local):
    seconds = 0.0
    end: float | None = None
    handshakes = 0  # of TLS, that a new connection needs before a request can leave on it
    left = 0  # of those, on the connection that this exchange opened
    sent = False  # a byte of the request may have left


_due = _Due()  # an exchange is one thread's from its first byte to its last


def begin(seconds: float, handshakes: int = 0) -> None:
    """From now on this thread's reads end after ``seconds``, in Late.

    ``handshakes``: how many of TLS a new connection needs before a request can leave on it: with a proxy, and with the
    server behind it.
    """
    _due.seconds = seconds
    _due.end = time.monotonic() + seconds
    _due.handshakes, _due.left, _due.sent = handshakes, 0, False


def has_sent() -> bool:
    """Whether a byte of this thread's request may have left."""
    return _due.sent


def after(body: Iterable[bytes]) -> Iterator[bytes]:
    """``body`` as it is sent, which may take long: the seconds begin anew when it has left."""
    _due.end = None
    yield from body
    _due.end = time.monotonic() + _due.seconds


def renewed(body: Iterable[bytes]) -> Iterator[bytes]:
    """A large ``body`` as it comes: the seconds begin anew with each megabyte of it."""
    size = 0
    for chunk in body:
        size += len(chunk)
        if size >= RENEWS:
            _due.end, size = time.monotonic() + _due.seconds, 0
        yield chunk


class _Stream(httpcore.NetworkStream):
    """A connection whose reads end with the deadline."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if _due.end is None:
            return self._stream.read(max_bytes, timeout)
        left = _due.end - time.monotonic()
        if left > 0:
            try:
                return self._stream.read(max_bytes, left if timeout is None else min(left, timeout))
            except httpcore.ReadTimeout:
                if time.monotonic() < _due.end:
                    raise
        raise Late(f"the answer took longer than {_due.seconds:g} s") from None

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        _due.sent = _due.sent or not _due.left  # else it is for a proxy
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout))
        _due.left = max(_due.left - 1, 0)
        return stream

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class Backend(httpcore.SyncBackend):
    """Opens connections that keep the deadline of the thread that reads from them."""

    def connect_tcp(self, host: str, *arguments: Any, **named: Any) -> httpcore.NetworkStream:
        _due.left = _due.handshakes
        name = host.lower().rstrip(".")
        if name.endswith(".localhost") or name == "localhost":  # not every system looks these up
            host = "localhost"
        return _Stream(super().connect_tcp(host, *arguments, **named))
