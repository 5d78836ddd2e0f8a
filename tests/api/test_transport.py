"""The transport: what it relies on in httpx, and nothing else of its private parts."""

from __future__ import annotations

import importlib.util
from typing import Any

import httpcore
import httpx
import pytest

from ftsql.api import deadline
from ftsql.api.transport import DeadlineTransport

PROXIES = [None, "http://127.0.0.1:1", *(["socks5://127.0.0.1:1"] if importlib.util.find_spec("socksio") else [])]


@pytest.mark.parametrize("proxy", PROXIES)
def test_httpx_opens_connections_with_the_network_backend_of_its_pool(proxy: str | None) -> None:
    """DeadlineTransport sets ``_pool._network_backend``; if this fails, a new httpx calls that something else."""
    plain = httpx.HTTPTransport(proxy=proxy)
    assert isinstance(plain._pool, httpcore.ConnectionPool)
    assert isinstance(plain._pool._network_backend, httpcore.NetworkBackend)
    http = DeadlineTransport(verify=None, proxy=None if proxy is None else httpx.Proxy(proxy))
    connection: Any = http._pool.create_connection(httpcore.Origin(b"http", b"127.0.0.1", 1))
    opener = connection if hasattr(connection, "_network_backend") else connection._connection
    assert isinstance(opener._network_backend, deadline.Backend)
    http.close()
    plain.close()
