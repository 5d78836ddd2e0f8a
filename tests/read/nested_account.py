"""An account whose jobs have five events each, and the requests that statements on them send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import ftsql
from ftsql.sandbox import Fault, Sandbox
from tests.conftest import fill
from tests.read.nested import wait_for_workers

EVENTS = "SELECT count(*) FROM fine_tuning_job_events"
JOIN = "SELECT count(e.id) FROM fine_tuning_jobs j JOIN fine_tuning_job_events e ON e.fine_tuning_job_id = j.id"
LIST = "?limit=100"
JOBS = 40
RUNNING = [3, 17]
FEW = r"/events$"


@contextmanager
def account(
    jobs: int = JOBS, running: list[int] = RUNNING, providers: str = "openai", latency: float = 0.0, **options: Any
) -> Iterator[tuple[Sandbox, ftsql.Connection]]:
    """Yield an account with ``jobs`` a minute apart, five events each; the jobs at the indices ``running`` are running."""
    with Sandbox(jobs=0, speed=0, latency=latency) as sandbox, pytest.MonkeyPatch.context() as patch:
        fill(sandbox, jobs)
        for place in running:
            sandbox.update_job(name(place), status="running", finished_at=None)
        sandbox.fault(Fault(path=FEW, times=None, transform=five))
        if not latency:
            patch.setattr("ftsql.read.listing.SLOW_PAGE", float("inf"))
        for variable, value in {"OPENAI_API_KEY": "k" * 20, "OPENAI_BASE_URL": sandbox.base_url("openai"),
                                "PORTKEY_API_KEY": "k" * 20, "PORTKEY_VIRTUAL_KEY": "v" * 20,
                                "PORTKEY_BASE_URL": sandbox.base_url("portkey"), "TELNYX_API_KEY": "k" * 20,
                                "TELNYX_BASE_URL": sandbox.base_url("telnyx"), "ANYAPI_API_KEY": "k" * 20,
                                "ANYAPI_BASE_URL": sandbox.base_url("anyapi"), "LITELLM_API_KEY": "k" * 20,
                                "LITELLM_BASE_URL": sandbox.base_url("litellm")}.items():  # fmt: skip
            patch.setenv(variable, value)
        db = ftsql.connect(providers=providers.split(), **options)
        db.execute("CREATE TABLE mine (id TEXT)")
        db.executemany("INSERT INTO mine VALUES (?)", [(name(place),) for place in range(jobs)])
        try:
            yield sandbox, db
        finally:
            db.close()
            wait_for_workers()


def five(page: dict[str, Any]) -> dict[str, Any]:
    return {**page, "data": page["data"][-5:], "has_more": False}


def name(place: int) -> str:
    return f"ftjob-{place:05}"


def asked(sandbox: Sandbox, db: ftsql.Connection, sql: str, count: int | None = None) -> list[str]:
    """Return the requests of ``sql`` below the jobs' URL. Its only value must be ``count``."""
    sandbox.requests.clear()
    rows: list[Any] = db.execute(sql).fetchall()
    if count is not None:
        assert rows == [(count,)]
    paths = [request.path.partition("/fine_tuning/jobs")[2] for request in sandbox.requests if request.method == "GET"]
    queries = ["".join(f"&{key}={value}" for key, value in request.query.items()) for request in sandbox.requests]
    return [path + "?" * bool(query) + query[1:] for path, query in zip(paths, queries, strict=True)]


def events(*places: int) -> list[str]:
    return [f"/{name(place)}/events{LIST}" for place in places]


ALL = range(JOBS)
LISTED = ", ".join(f"'{name(place)}'" for place in ALL)
ARRAY = json.dumps([name(place) for place in ALL])
ASKS = {  # the statement; its requests beside events; its requests when it runs again
    "a join": (JOIN, [LIST], [LIST]),
    "IN (SELECT)": (f"{EVENTS} WHERE fine_tuning_job_id IN (SELECT id FROM fine_tuning_jobs)", [LIST], [LIST]),
    "an IN list": (f"{EVENTS} WHERE fine_tuning_job_id IN ({LISTED})", [], []),
    "an array": (f"{EVENTS}('{ARRAY}')", [], []),
    "a join with a local table": (f"{EVENTS} JOIN mine ON fine_tuning_job_id = mine.id", [], []),
    "a left join": (JOIN.replace("JOIN", "LEFT JOIN"), [LIST], [LIST]),
    "a self join": (f"{JOIN} JOIN fine_tuning_job_events f ON f.key = e.key", [LIST], [LIST]),
}
