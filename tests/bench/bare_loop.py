"""A loop of httpx and json.loads and nothing else: what the server, the wire and the machine take by themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.bench.asked import Ask, Asked, answer


@contextmanager
def opened(asked: Asked) -> Iterator[Ask]:
    with httpx.Client(headers={"Authorization": f"Bearer {asked.key}"}) as http:
        yield lambda: _listed(http, f"{asked.base_url}/fine_tuning/jobs")


def _listed(http: httpx.Client, url: str) -> Iterator[str]:
    query = {"limit": "100"}
    while True:
        page = json.loads(http.get(url, params=query).content)
        for job in page["data"]:
            yield job["id"]
        if not page["has_more"]:
            return
        query["after"] = page["data"][-1]["id"]


if __name__ == "__main__":
    answer(opened)
