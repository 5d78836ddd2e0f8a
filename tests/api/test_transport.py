"""The transport: what it relies on in httpx, and nothing else of its private parts."""

from __future__ import annotations

import importlib.util
import socket
from typing import Any

import httpcore
import httpx
import pytest

import ftsql
from ftsql.api import deadline
from ftsql.api.transport import DeadlineTransport
from ftsql.sandbox import Sandbox
from tests.conftest import fill
from tests.write.fixtures import ONE

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


@pytest.mark.parametrize(
    ("host", "reached"),
    [("127.0.0.1", "127.0.0.1"), ("localhost", "localhost"), ("LOCALHOST.", "localhost"), ("a.localhost", "localhost")],
)
def test_only_names_that_end_with_localhost_are_looked_up_as_localhost(
    monkeypatch: pytest.MonkeyPatch, host: str, reached: str
) -> None:
    asked: list[str] = []
    honest = socket.getaddrinfo

    def asking(name: str, *arguments: Any, **named: Any) -> Any:
        asked.append(name)
        return honest(name, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", asking)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        deadline.Backend().connect_tcp(host, listener.getsockname()[1]).close()
    assert asked == [reached]


@pytest.mark.usefixtures("files")
def test_reads_and_cancels_share_a_connection_and_each_create_has_one_of_its_own(
    sandbox: Sandbox, db: ftsql.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sandbox, 3, status="running")
    made: list[Any] = []
    honest = socket.socket.connect

    def counting(self: socket.socket, address: Any) -> None:
        made.append(address)
        honest(self, address)

    monkeypatch.setattr(socket.socket, "connect", counting)
    for id in ("ftjob-00000", "ftjob-00001"):
        db.execute("SELECT status FROM fine_tuning_jobs WHERE id = ?", (id,)).fetchall()
        db.execute("SELECT cancel_job(?)", (id,)).fetchall()
    assert len(made) == 1
    for number in (2, 3):
        db.execute(ONE)
        assert len(made) == number
