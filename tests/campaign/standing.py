"""The jobs that never change while a campaign runs, and what every kind of read must show of them."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from ftsql.sandbox import Sandbox

MODELS = ("standing-a", "standing-b", "standing-c")
FINISHED = ("succeeded", "succeeded", "failed", "cancelled")
WITH_EVENTS = 16  # jobs whose events are read

Shown = tuple[str, int, str, str, str]  # COLUMNS of one job
COLUMNS = "id, created_at, model, status, training_file"


@dataclass(frozen=True)
class Standing:
    """``count`` jobs a minute apart, the ``active`` newest of them running; ``events``: the ids of some jobs' events."""

    newest: int
    count: int
    active: int
    events: dict[str, list[str]]

    @classmethod
    def put(cls, sandbox: Sandbox, newest: int, count: int, active: int) -> Standing:
        """Enter them into the sandbox, which serves already and has no faults yet."""
        bare = cls(newest, count, active, {})
        for id, created_at, model, status, file in reversed(bare.rows()):
            sandbox.add_job(id=id, created_at=created_at, model=model, status=status, training_file=file)
        step = max(1, count // WITH_EVENTS)
        return cls(newest, count, active, {id: _events(sandbox, id) for id, *_ in bare.rows()[::step]})

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def row(self, number: int) -> Shown:
        status = "running" if number < self.active else FINISHED[number % len(FINISHED)]
        return (
            f"ftjob-standing-{number:05}",
            self.newest - 60 * number,
            MODELS[number % len(MODELS)],
            status,
            "file-standing",
        )

    def rows(self) -> list[Shown]:
        """All of them, newest first."""
        return [self.row(number) for number in range(self.count)]

    def groups(self) -> dict[tuple[str, str], int]:
        """How many there are of each model and status."""
        return dict(Counter((model, status) for _, _, model, status, _ in self.rows()))


def _events(sandbox: Sandbox, id: str) -> list[str]:
    """The ids of a job's events, sorted, as the server has them."""
    ids: list[str] = []
    more = True
    while more:
        after = f"&after={ids[-1]}" if ids else ""
        url = f"{sandbox.base_url()}/fine_tuning/jobs/{id}/events?limit=100{after}"
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": "Bearer any"})) as answer:
            page = json.load(answer)
        ids += [event["id"] for event in page["data"]]
        more = page["has_more"]
    return sorted(ids)
