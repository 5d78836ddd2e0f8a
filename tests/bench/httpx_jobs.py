"""httpx and json.loads, by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.bench.asked import Ask, Asked, answer
from tests.bench.floor_jobs import asked_by_hand


@contextmanager
def opened(asked: Asked) -> Iterator[Ask]:
    jobs = f"{asked.base_url}/fine_tuning/jobs"
    with httpx.Client(headers={"Authorization": f"Bearer {asked.key}"}) as client:
        yield lambda: asked_by_hand(lambda path: json.loads(client.get(jobs + path).content), asked)


if __name__ == "__main__":
    answer(opened)
