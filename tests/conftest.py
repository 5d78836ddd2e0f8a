"""Fixtures: a clean environment, a guarded network, sandboxes and connections to them."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ftsql
from ftsql.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.answering import Answering, Server

# For processes that tests start: pytest does not put the checkout on the path, and ftsql is the installed one.
sys.path.append(str(Path(__file__).parent.parent))

# A shell that runs the tests in the background has Ctrl-C ignored, and they mean it.
signal.signal(signal.SIGINT, signal.default_int_handler)

CANARY = "sk-canary-7f3a9b52c4d1e860"

Connect = Callable[..., ftsql.Connection]
At = Callable[..., "tuple[Server, ftsql.Connection]"]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, proxy, setting or provider file of the machine reaches a test."""
    for name in os.environ:
        if name.upper().startswith(("OPENAI_", "FTSQL_", "PORTKEY_", "TELNYX_", "ANYAPI_", "AZURE_")):
            monkeypatch.delenv(name)
        if name.upper() in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home" / "data"))


@pytest.fixture(autouse=True)
def _only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to any address but loopback fails the test at once."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not ipaddress.ip_address(address[0]).is_loopback:
            raise AssertionError(f"a test may not connect to {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def in_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Lets this process live in another time zone."""

    def moved(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield moved
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Empty books on a frozen clock."""
    with Sandbox(jobs=0, speed=0) as started:
        yield started


@pytest.fixture
def connect(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Makes connections to ``sandbox`` with the canary key; they are closed at the test's end."""
    monkeypatch.setenv("OPENAI_BASE_URL", sandbox.base_url("openai"))
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    with ExitStack() as stack:

        def made(path: str | Path = ":memory:", **options: Any) -> ftsql.Connection:
            connection = ftsql.connect(path, **options)
            stack.callback(connection.close)
            return connection

        yield made


@pytest.fixture
def db(connect: Connect) -> ftsql.Connection:
    return connect()


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Iterator[At]:
    """Makes a server that answers so, and a connection to it by OPENAI_BASE_URL alone."""
    from tests.answering import Server

    with ExitStack() as stack:

        def made(answering: Answering, **options: Any) -> tuple[Server, ftsql.Connection]:
            server = stack.enter_context(Server(answering))
            monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
            monkeypatch.setenv("OPENAI_API_KEY", CANARY)
            db = ftsql.connect(**options)
            stack.callback(db.close)
            return server, db

        yield made


@pytest.fixture
def files(sandbox: Sandbox) -> None:
    """Training files file-a to file-h."""
    for name in "abcdefgh":
        sandbox.add_file(id=f"file-{name}")


def fill(sandbox: Sandbox, count: int, *, newest: int = 1_790_000_000, **fields: Any) -> list[str]:
    """``count`` finished jobs a minute apart, newest first; gives their ids in list order."""
    ids = [f"ftjob-{number:05}" for number in range(count)]
    for number in reversed(range(count)):
        sandbox.add_job(**{"id": ids[number], "created_at": newest - 60 * number, "status": "succeeded", **fields})
    return ids


def gets(sandbox: Sandbox) -> list[str]:
    """The GETs that the sandbox received, as path and query, below the base URL."""
    prefix = "/v1/fine_tuning/jobs"
    found = []
    for request in sandbox.requests:
        if request.method == "GET":
            query = "&".join(f"{key}={value}" for key, value in request.query.items())
            found.append(request.path.removeprefix(prefix) + (f"?{query}" if query else ""))
    return found


@pytest.fixture
def engine(connect: Connect) -> Iterator[Callable[..., Any]]:
    """Makes SQLAlchemy engines whose connections ask ``sandbox``; they are disposed of at the test's end."""
    import sqlalchemy

    with ExitStack() as stack:

        def made(url: str = "ftsql://", **options: Any) -> Any:
            # 1.4 as 2 is; else it commits each INSERT by itself.
            one = sqlalchemy.create_engine(url, future=True, **options)
            stack.callback(one.dispose)
            return one

        yield made


@pytest.fixture
def own(tmp_path: Path) -> str:
    """The address of a local file that may be written to."""
    return f"ftsql:///{tmp_path}/own.db?read_only=false"


@contextmanager
def as_nobody(when: bool = True) -> Iterator[None]:
    """Without root's rights, with which everything can be read and written; in this process, so not beside others."""
    root = when and os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
