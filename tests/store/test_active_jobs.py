"""The requests for jobs that had not finished: which there are, and that finding them costs no pass over the store."""

from __future__ import annotations

import random

import apsw
import pytest

from ftsql.api.account import Account
from ftsql.api.provider import Provider
from ftsql.resources.definitions import JOBS
from ftsql.settings import Settings
from ftsql.store.cache import Cache
from ftsql.store.database import Store


@pytest.fixture
def cache() -> Cache:
    """A cache of 500 jobs; some have equal times, so that the id decides their order."""
    cache = Cache(Store(), Account(Provider("example", "http://localhost"), {}), Settings())
    objects = [
        {"object": "fine_tuning.job", "id": f"ftjob-{number:03}", "created_at": 1_700_000_000 - number // 3 * 60}
        | {"status": "running"}
        for number in range(500)
    ]
    cache.save(JOBS.rows("example", objects))
    cache.coverage()  # as a listing does first
    return cache


def test_each_request_shows_the_first_job_left_and_all_that_its_page_has(cache: Cache) -> None:
    order = [id for _, id in cache.active(float(2**62), None)]
    assert order == [f"ftjob-{number:03}" for number in range(500)]
    rng = random.Random(19)
    for count in (1, 2, 7, 60, 500):
        active = [job for job in cache.active(float(2**62), None) if job[1] in rng.sample(order, count)]
        shown = []
        for before, inside in cache.plan_requests(active, 20):
            first = order.index(inside[0])
            if before is None:
                assert len(inside) == 1
            else:
                assert before == order[first - 1]
                assert inside == [id for _, id in active if id in order[first : first + 20]]
                assert len(inside) > 1
            shown += inside
        assert shown == [id for _, id in active]


def test_a_page_of_active_jobs_is_found_by_the_index_and_not_by_a_pass_over_it(cache: Cache) -> None:
    asked: list[str] = []
    db = cache._store.db

    def traced(cursor: apsw.Cursor, sql: str, bindings: object) -> bool:
        asked.append(sql)
        return True

    active = cache.active(float(2**62), None)
    db.exec_trace = traced
    assert len(list(cache.plan_requests(active, 20))) == 26  # the first job has none before it
    db.exec_trace = None
    pages = {sql for sql in asked if "place, id" in sql or "place = ?2" in sql}
    assert len(pages) == 2
    for sql in pages:
        plan = " ".join(str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", (1, 0, "x")))
        assert "cover=? AND place<?" in plan or "cover=? AND place>?" in plan, plan
