"""One PostgreSQL for all tests that compare with it, and a SQLite connection with the same rows."""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import pytest

from tests.serve import rows
from tests.serve.postgres import Postgres, running


@pytest.fixture(scope="session")
def _jobs() -> list[tuple[object, ...]]:
    return rows.jobs()


@pytest.fixture(scope="session")
def postgres(_jobs: list[tuple[object, ...]]) -> Iterator[Postgres]:
    """Yield a PostgreSQL with the jobs."""
    with running() as started:
        rows.load(started, _jobs)
        yield started


@pytest.fixture(scope="session")
def sqlite(_jobs: list[tuple[object, ...]]) -> apsw.Connection:
    """Return a SQLite connection with the same jobs."""
    return rows.sqlite(_jobs)
