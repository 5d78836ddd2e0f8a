"""openai-python, by hand, in the ways that people write it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from openai import OpenAI
from openai.resources.fine_tuning.jobs import Jobs

from tests.bench.asked import Ask, Asked, answer


def _answer(jobs: Jobs, asked: Asked) -> Iterable[tuple[object, ...]]:
    if asked.way == "8 threads":
        with ThreadPoolExecutor(8) as pool:
            return [(job.id,) for job in pool.map(jobs.retrieve, asked.ids)]
    if asked.shape == "ids":
        return [(jobs.retrieve(id).id,) for id in asked.ids]
    if asked.shape == "events":
        return [(event.id,) for id in asked.ids for event in jobs.list_events(id, limit=100).data]
    if asked.shape == "newest":
        return [(job.id,) for job in jobs.list(limit=5).data]
    if asked.shape == "count":
        return [(sum(1 for _ in jobs.list(limit=100)),)]
    if asked.shape == "groups":
        return list(Counter(_models(jobs, asked.since)).items())
    if asked.shape == "running":
        return [(job.id,) for job in jobs.list(limit=100) if job.status == "running"]
    wanted = set(asked.ids) if asked.shape == "join" else None
    return [(job.id,) for job in jobs.list(limit=100) if wanted is None or job.id in wanted]


def _models(jobs: Jobs, since: int) -> Iterator[str]:
    for job in jobs.list(limit=100):
        if job.created_at < since:
            return
        yield job.model


@contextmanager
def opened(asked: Asked) -> Iterator[Ask]:
    with OpenAI(api_key=asked.key, base_url=asked.base_url) as client:
        yield lambda: _answer(client.fine_tuning.jobs, asked)


if __name__ == "__main__":
    answer(opened)
