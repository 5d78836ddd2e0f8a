"""The server that the attacks are aimed at, and the checks after each attack."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.pgwire import Client, Served, own_file


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_file(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def served(path: Path) -> Iterator[Served]:
    words = ("--statement-timeout", "5", "--max-connections", "40", "--max-memory", "256")
    with Served(str(path), "--sandbox", *words) as started:
        yield started
        assert started.memory() < 600


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with Client(served.port) as connected:
        yield connected
        assert connected.query("SELECT 1") == [("1",)]


@pytest.fixture(autouse=True)
def _unharmed(served: Served, path: Path) -> Iterator[None]:
    """Check after each attack that the file is unchanged, that no file was created, and that new clients are served."""
    before = hashlib.sha256(path.read_bytes()).digest()
    yield
    with Client(served.port) as later:
        assert later.query("SELECT count(*) FROM notes") == [("2",)]
        assert later.query("SELECT count(*) FROM live.ftsql_writes") == [("0",)]
    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert [one.name for one in path.parent.iterdir()] == [path.name]
