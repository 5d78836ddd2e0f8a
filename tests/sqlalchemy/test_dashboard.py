"""The requests of a dashboard's refresh: none on a snapshot, many live, very few live with ``max_age``.

The guide's page `snapshot` shows the figures; they are counted here, where requests arrive. Each chart has a connection of its own.
"""

from __future__ import annotations

import functools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ftsql
from ftsql.cli.documents import find_topic
from ftsql.sandbox import Sandbox
from tests.conftest import fill
from tests.sync.fixtures import once, read

SIZE = 1000
ACTIVE = (0, 1, 2, 150, 400)  # the positions of running jobs in the list
SINCE = 1_790_000_000 - 60 * 400

CHARTS = [
    "SELECT status, count(*) FROM fine_tuning_jobs GROUP BY status",
    f"SELECT date(created_at, 'unixepoch') AS day, count(*) FROM fine_tuning_jobs WHERE created_at >= {SINCE} GROUP BY day",
    "SELECT model, sum(trained_tokens) FROM fine_tuning_jobs GROUP BY model",
    "SELECT error ->> '$.code' AS code, count(*) FROM fine_tuning_jobs WHERE status = 'failed' GROUP BY code",
    "SELECT id, model, created_at FROM fine_tuning_jobs WHERE status = 'running'",
    "SELECT id, model, status FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 10",
]


def _refreshed(sandbox: Sandbox, ask: Callable[[str], object]) -> int:
    """Return the number of requests of a refresh, in which every chart runs once."""
    sandbox.requests.clear()
    for sql in CHARTS:
        ask(sql)
    return len(sandbox.requests)


def _live(store: Path, sql: str, **options: Any) -> None:
    db = ftsql.connect(providers="openai", store=store, **options)
    db.execute(sql).fetchall()
    db.close()


@functools.cache
def figures() -> dict[str, tuple[int, int]]:
    """Return the requests of the first refresh and of the next one, by the kind of connection."""
    with (
        tempfile.TemporaryDirectory() as name,
        Sandbox(jobs=0, speed=0) as sandbox,
        pytest.MonkeyPatch.context() as patch,
    ):
        folder = Path(name)
        fill(sandbox, SIZE)
        for place in ACTIVE:
            sandbox.update_job(f"ftjob-{place:05}", status="running", finished_at=None)
        patch.setattr("ftsql.read.listing.SLOW_PAGE", float("inf"))
        patch.setenv("OPENAI_BASE_URL", sandbox.base_url("openai"))
        patch.setenv("OPENAI_API_KEY", "k" * 20)
        asks: dict[str, Callable[[str], object]] = {
            "a snapshot": lambda sql: read(folder / "jobs.db", sql),
            "live": lambda sql: _live(folder / "live.store", sql),
            "live, `max_age=60`": lambda sql: _live(folder / "aged.store", sql, max_age=60),
        }
        db = ftsql.connect(providers="openai")
        once(db, folder / "jobs.db", tables=["jobs"])
        db.close()
        return {name: (_refreshed(sandbox, ask), _refreshed(sandbox, ask)) for name, ask in asks.items()}


def table() -> str:
    """The table of the guide's page `snapshot`."""
    lines = ["| six charts on | the first time | again |", "|---|--:|--:|"]
    return "\n".join([*lines, *(f"| {name} | {first} | {again} |" for name, (first, again) in figures().items())])


@pytest.mark.long
def test_the_guide_shows_these_figures() -> None:
    assert table() in find_topic("snapshot").text


def test_a_snapshot_sends_nothing_and_max_age_at_most_one_listing() -> None:
    pages = SIZE // 100
    assert figures()["a snapshot"] == (0, 0)
    assert figures()["live, `max_age=60`"][0] <= pages + len(ACTIVE)
    assert figures()["live, `max_age=60`"][1] == 0
    assert figures()["live"][1] > 6


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
