"""A join with the events of many jobs needs little memory, with any store."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.answering import PATH, Asked, Server, job

pytestmark = pytest.mark.long

JOBS, EVENTS = 1000, 66
READER = """
import resource, sys
import ftsql
db = ftsql.connect(store={store!r}, max_requests=100_000)
db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(*db.execute("SELECT count(*), sum(length(e.raw)) FROM fine_tuning_jobs j JOIN fine_tuning_job_events e ON e.fine_tuning_job_id = j.id").fetchone())
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def _event(parent: str, number: int) -> dict[str, Any]:
    return {
        "object": "fine_tuning.job.event", "id": f"ftevent-{parent[-5:]}-{number:04}", "created_at": 1_790_000_000 - number,
        "level": "info", "message": f"Step {number}/66: training loss=0.{number:04}, validation loss=0.{number:04}",
        "type": "metrics", "data": {"step": number, "train_loss": 0.123456, "train_mean_token_accuracy": 0.98765},
    }  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
@pytest.mark.parametrize("store", [None, "store.db"])
def test_the_events_of_a_thousand_jobs_need_less_than_a_kilobyte_each_at_once(
    tmp_path: Path, store: str | None
) -> None:
    found = [job(number) for number in range(JOBS)]
    places = {each["id"]: number for number, each in enumerate(found)}

    def answering(asked: Asked) -> Any:
        if asked.path != PATH:
            return {"data": [_event(asked.path.split("/")[-2], number) for number in range(EVENTS)], "has_more": False}
        begin = places[asked.query["after"]] + 1 if "after" in asked.query else 0
        page = found[begin : begin + int(asked.query["limit"])]
        return {"data": page, "has_more": begin + len(page) < JOBS}

    with Server(answering) as server:
        known = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "k" * 20}
        script = READER.format(store=None if store is None else str(tmp_path / store))
        done = subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, **known}, capture_output=True, text=True, timeout=120
        )
    assert done.returncode == 0, done.stderr
    rows, megabytes = done.stdout.splitlines()
    count, length = map(int, rows.split())
    assert count == JOBS * EVENTS
    assert length > 15_000_000  # bytes of all events
    assert int(megabytes) < 40  # before, 66,000 events took 150
