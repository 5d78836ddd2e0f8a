"""http.client and json.loads and nothing else: what the server, the wire and the machine take by themselves.

``pages`` and ``one`` take how an answer is got, so that another client can be put in.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.bench.asked import Ask, Asked, answer

Get = Callable[[str], Any]  # the decoded answer to a path below the list of jobs
NEWEST = 5


def asked_by_hand(get: Get, asked: Asked) -> Iterator[tuple[object, ...]]:
    """The rows that ``asked`` wants, with as few requests as its shape allows."""
    if asked.shape == "ids":
        for id in asked.ids:
            yield (get(f"/{id}")["id"],)
    elif asked.shape == "events":
        for id in asked.ids:
            for event in get(f"/{id}/events?limit=100")["data"]:
                yield (event["id"],)
    elif asked.shape == "newest":
        for job in get(f"?limit={NEWEST}")["data"]:
            yield (job["id"],)
    elif asked.shape == "count":
        yield (sum(1 for _ in listed(get)),)
    elif asked.shape == "groups":
        counts: dict[str, int] = {}
        for job in listed(get, asked.since):
            counts[job["model"]] = counts.get(job["model"], 0) + 1
        yield from counts.items()
    else:
        wanted = set(asked.ids) if asked.shape == "join" else None
        for job in listed(get):
            if (wanted is None or job["id"] in wanted) and (asked.shape != "running" or job["status"] == "running"):
                yield (job["id"],)


def listed(get: Get, since: int = 0) -> Iterator[Any]:
    """Every job created at ``since`` or later."""
    query = {"limit": "100"}
    while True:
        page = get(f"?{urlencode(query)}")
        for job in page["data"]:
            if job["created_at"] < since:
                return
            yield job
        if not page["has_more"]:
            return
        query["after"] = page["data"][-1]["id"]


@contextmanager
def bare(asked: Asked) -> Iterator[Get]:
    """The barest client that Python has."""
    url = urlsplit(f"{asked.base_url}/fine_tuning/jobs")
    headers = {"Authorization": f"Bearer {asked.key}"}
    with closing(http.client.HTTPConnection(url.netloc)) as connection:

        def get(path: str) -> Any:
            connection.request("GET", url.path + path, headers=headers)
            return json.loads(connection.getresponse().read())

        yield get


@contextmanager
def opened(asked: Asked) -> Iterator[Ask]:
    with bare(asked) as get:
        yield lambda: asked_by_hand(get, asked)


if __name__ == "__main__":
    answer(opened)
