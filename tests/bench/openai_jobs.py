"""openai-python as a contender: every question by hand, in the ways that people write it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from openai import OpenAI
from openai.resources.fine_tuning.jobs import Jobs

from tests.bench.asked import Ask, Asked, answer

WAYS: dict[str, Callable[[Jobs, list[str]], Iterable[object]]] = {
    "`list` loop": lambda jobs, ids: [job.id for job in list(jobs.list(limit=100))],
    "`list` loop and a dict": lambda jobs, ids: _matching(jobs, dict.fromkeys(ids, "a note")),
    "`list` loop and an if": lambda jobs, ids: [job.id for job in jobs.list(limit=100) if job.status == "running"],
    "`list` loop and a sum": lambda jobs, ids: [sum(1 for _ in jobs.list(limit=100))],
    "`list(limit=5)`": lambda jobs, ids: [job.id for job in jobs.list(limit=5).data],
    "`retrieve` each": lambda jobs, ids: [jobs.retrieve(id).id for id in ids],
    "`retrieve` each, 8 threads": lambda jobs, ids: _threaded(jobs, ids),
}


def _matching(jobs: Jobs, notes: dict[str, str]) -> list[str]:
    return [job.id for job in jobs.list(limit=100) if job.id in notes]


def _threaded(jobs: Jobs, ids: list[str]) -> list[str]:
    with ThreadPoolExecutor(8) as pool:
        return [job.id for job in pool.map(jobs.retrieve, ids)]


@contextmanager
def opened(asked: Asked) -> Iterator[Ask]:
    with OpenAI(api_key=asked.key, base_url=asked.base_url) as client:
        yield lambda: WAYS[asked.way](client.fine_tuning.jobs, asked.ids)


if __name__ == "__main__":
    answer(opened)
