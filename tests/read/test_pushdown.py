"""The exact requests of every statement: SQL in; method, path and query out; with an empty and with a full store.

The table of the guide's page `costs` is this module's: it is computed here and compared there.
"""

from __future__ import annotations

import math
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ftsql
from ftsql.cli.documents import find_topic
from ftsql.sandbox import Sandbox
from tests.answering import Asked, api, jobs
from tests.conftest import At, fill

NEWEST = 1_790_000_000
SIZES = (0, 1, 20, 100, 101, pytest.param(1250, marks=pytest.mark.long))
JOBS = "SELECT * FROM fine_tuning_jobs"


def place(id: str) -> int:
    return int(id.rpartition("-")[2])


def spread(count: int, size: int) -> list[int]:
    """Return the indices of ``count`` active jobs, spread over ``size``."""
    return sorted({number * size // count for number in range(count)}) if count and size else []


@contextmanager
def account(
    size: int, active: Sequence[int] = (), providers: int = 1, *, home: bool = True, **settings: Any
) -> Iterator[tuple[Sandbox, ftsql.Connection]]:
    """``size`` jobs a minute apart, those at the ``active`` places running, at each of so many providers.

    ``home``: asked as at the providers' own addresses, of which the order of their lists is known.
    """
    with Sandbox(jobs=0, speed=0) as sandbox, pytest.MonkeyPatch.context() as patch:
        fill(sandbox, size)
        for number in active:
            sandbox.update_job(f"ftjob-{number:05}", status="running", finished_at=None)
        patch.setattr("ftsql.read.listing.SLOW_PAGE", float("inf"))
        patch.setenv("OPENAI_API_KEY", "k" * 20)
        patch.setenv("OPENAI_BASE_URL", sandbox.base_url("openai"))
        patch.setenv("PORTKEY_API_KEY", "k" * 20)
        patch.setenv("PORTKEY_VIRTUAL_KEY", "v" * 20)
        patch.setenv("PORTKEY_BASE_URL", sandbox.base_url("portkey"))
        chosen = ["openai", "portkey"][:providers]
        db = ftsql.connect(providers=chosen, sandbox=sandbox if home else False, **settings)
        try:
            yield sandbox, db
        finally:
            db.close()


def asked(sandbox: Sandbox, db: ftsql.Connection, sql: str) -> list[str]:
    """Return the method, path and query of each request that ``sql`` sends, without their common parts."""
    sandbox.requests.clear()
    db.execute(sql).fetchall()
    return [
        f"{'' if request.method == 'GET' else request.method + ' '}"
        + re.sub(r"^/(portkey/)?v1/fine_tuning/jobs", "", request.path)
        + "".join(f"{'&' if number else '?'}{key}={value}" for number, (key, value) in enumerate(request.query.items()))
        for request in sandbox.requests
    ]


def pages(count: int, size: int) -> list[str]:
    """Return the requests for the first ``count`` pages of ``size`` jobs."""
    return [
        "?limit=100" + (f"&after=ftjob-{number * 100 - 1:05}" if number else "")
        for number in range(max(min(count, math.ceil(size / 100)), 1))
    ]


def again(active: Sequence[int], size: int) -> list[str]:
    """Return the requests of a full scan with a full store: the newest page, then the fewest for the active jobs.

    From the first active job that no page has shown yet: a page where more than one stand in the next hundred.
    """
    if size <= 100:
        return ["?limit=100"]
    requests = ["?limit=100"]
    left = [number for number in active if number >= 100]
    while left:
        inside = [number for number in left if number < left[0] + 100]
        if len(inside) > 1:
            requests.append(f"?limit=100&after=ftjob-{left[0] - 1:05}")
        else:
            requests.append(f"/ftjob-{left[0]:05}")
        left = [number for number in left if number not in inside]
    return requests


@dataclass(frozen=True)
class Case:
    """A row of the table of costs: ``sql`` with its requests the first time and again, and both in words."""

    title: str
    sql: str
    cold: Callable[[int], list[str]]
    warm: Callable[[list[int], int], list[str]]
    first: str
    then: str


def _everything(size: int) -> list[str]:
    return pages(10**6, size)


SINCE = NEWEST - 60 * 250

CASES = [
    Case("`WHERE id = 'x'`", f"{JOBS} WHERE id = 'ftjob-00000'", lambda n: ["/ftjob-00000"],
         lambda k, n: ["/ftjob-00000"] if 0 in k or not n else [], "1", "0 if the job has finished, else 1"),
    Case("`WHERE id IN (…)` with m ids, `JOIN mine ON id = …`", f"{JOBS} WHERE id IN ('ftjob-00000', 'ftjob-00001')",
         lambda n: ["/ftjob-00000", "/ftjob-00001"],
         lambda k, n: [f"/ftjob-{number:05}" for number in (0, 1) if number in k or number >= n],
         "at most 4c + 32, where c is the smaller of m and one listing; with `max_parallel = 1` at most 2c + 1",
         "one for each unfinished job"),
    Case("no WHERE, `count(*)`, `GROUP BY`", "SELECT status, count(*) FROM fine_tuning_jobs GROUP BY 1", _everything,
         again, "⌈N/100⌉", "1 page, and at most one request for each of the k active jobs that the page does not "
         "have: by id, or one page for several within 100 places"),
    Case("a self-join", "SELECT count(*) FROM fine_tuning_jobs a JOIN fine_tuning_jobs b USING (id)", _everything,
         again, "⌈N/100⌉", "as above"),
    Case("`status = 'running'`, `model = …`", f"{JOBS} WHERE status = 'running'", _everything, again, "⌈N/100⌉", "as above"),
    Case("`ORDER BY created_at DESC LIMIT n OFFSET m`", f"{JOBS} ORDER BY created_at DESC LIMIT 20 OFFSET 5",
         lambda n: ["?limit=25"], lambda k, n: ["?limit=25"], "⌈(n+m)/100⌉, one small page below 100", "the same or fewer"),
    Case("`max(created_at)`", "SELECT max(created_at) FROM fine_tuning_jobs", lambda n: ["?limit=100"],
         lambda k, n: ["?limit=100"], "1", "1"),
    Case("`created_at >= t`", f"{JOBS} WHERE created_at >= {SINCE}", lambda n: pages(3, n),
         lambda k, n: again([number for number in k if number <= 250], n), "pages until a job is older than t",
         "1 page, and the active jobs created since t as above"),
    Case("""`metadata_has(metadata, '{"team": "ads"}')`""", f"""{JOBS} WHERE metadata_has(metadata, '{{"team": "ads"}}')""",
         lambda n: ["?metadata[team]=ads&limit=100"], lambda k, n: ["?metadata[team]=ads&limit=100"],
         "only the pages of these jobs, if the API has this filter", "the same"),
    Case("`provider = …`, `IN`, `<>`", f"{JOBS} WHERE provider <> 'openai'", lambda n: [], lambda k, n: [],
         "only the providers that the condition selects get requests", "the same"),
    Case("`id IS NULL`, `id = NULL`, `LIMIT 0`", f"{JOBS} WHERE id IS NULL", lambda n: [], lambda k, n: [], "0", "0"),
]  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [0, 3, 150])
def test_every_statement_sends_exactly_these_requests_cold_and_warm(size: int, count: int) -> None:
    active = spread(min(count, size), size)
    for case in CASES:
        with account(size, active) as (sandbox, db):
            assert asked(sandbox, db, case.sql) == case.cold(size), (case.sql, "cold")
            if case.cold(size) != _everything(size):
                asked(sandbox, db, "SELECT count(*) FROM fine_tuning_jobs")  # now the store has all jobs
            found = asked(sandbox, db, case.sql)
            assert sorted(found) == sorted(case.warm(active, size)), (case.sql, "warm")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [0, 3])
def test_at_an_address_of_the_users_a_first_page_has_20_jobs_at_least(size: int, count: int) -> None:
    active = spread(min(count, size), size)
    newest = f"{JOBS} ORDER BY created_at DESC LIMIT {{}}"
    for case in CASES:
        with account(size, active, home=False) as (sandbox, db):
            assert asked(sandbox, db, case.sql) == case.cold(size), (case.sql, "cold")
    for limit, page in ((1, 20), (19, 20), (20, 20), (25, 25)):
        with account(size, active, home=False) as (sandbox, db):
            assert asked(sandbox, db, newest.format(limit)) == [f"?limit={page}"]
            assert asked(sandbox, db, newest.format(3)) == ["?limit=20"]  # a page that would show a broken order


@pytest.mark.parametrize("size", [0, 20, 101])
def test_two_providers_cost_what_each_costs(size: int) -> None:
    for case in CASES[2:8]:
        with account(size, providers=2) as (sandbox, db):
            assert sorted(asked(sandbox, db, case.sql)) == sorted(case.cold(size) * 2), case.sql
            asked(sandbox, db, "SELECT count(*) FROM fine_tuning_jobs")
            assert sorted(asked(sandbox, db, case.sql)) == sorted(case.warm([], size) * 2), case.sql


@pytest.mark.parametrize(
    ("rest", "page"),
    [
        ("LIMIT 5", 5),
        ("LIMIT 5 OFFSET 3", 8),
        ("WHERE provider = 'openai' LIMIT 5", 5),
        ("ORDER BY created_at DESC LIMIT 5", 5),
        ("WHERE status = 'succeeded' LIMIT 5", 100),
        ("WHERE model = 'gpt-4o-mini-2024-07-18' LIMIT 5", 100),
        ("WHERE status = 'succeeded' ORDER BY created_at DESC LIMIT 5", 100),
        ("ORDER BY model LIMIT 5", None),
        ("ORDER BY created_at LIMIT 5", None),
        ("ORDER BY created_at DESC, id LIMIT 5", None),
        ("LIMIT '5' OFFSET '2'", 7),
        ("LIMIT 5 OFFSET -3", 5),
        ("LIMIT -1", None),
        ("LIMIT -1 OFFSET 3", None),
        ("ORDER BY created_at DESC LIMIT -1", None),
    ],
)
def test_a_limit_makes_the_first_page_small_only_where_its_rows_are_those(rest: str, page: int | None) -> None:
    with account(250) as (sandbox, db):
        assert asked(sandbox, db, f"{JOBS} {rest}") == (_everything(250) if page is None else [f"?limit={page}"])


@pytest.mark.parametrize(("operator", "count"), [(">", 1), (">=", 2), ("=", 2)])
def test_a_page_that_ends_at_the_time_of_the_condition_is_the_last_if_that_time_is_excluded(
    operator: str, count: int
) -> None:
    with account(250) as (sandbox, db):
        assert asked(sandbox, db, f"{JOBS} WHERE created_at {operator} {NEWEST - 60 * 99}") == pages(count, 250)


def test_a_job_that_a_scan_has_read_is_not_asked_for_again() -> None:
    one = "(SELECT k.status FROM fine_tuning_jobs AS k WHERE k.id = j.id)"
    with account(250, range(60)) as (sandbox, db):
        sql = f"SELECT j.id, {one} FROM fine_tuning_jobs AS j WHERE j.created_at >= {NEWEST - 60 * 50}"
        assert asked(sandbox, db, sql) == ["?limit=100"]
        assert {status for _, status in db.execute(sql)} == {"running"}


def test_rows_out_of_the_store_are_counted_though_a_join_stops_in_their_middle() -> None:
    join = "fine_tuning_jobs AS j JOIN fine_tuning_job_events AS e ON e.fine_tuning_job_id = j.id"
    with account(250) as (_, db):
        db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall()
        db.ftsql.take_counts()
        assert len(db.execute(f"SELECT e.id FROM {join} WHERE j.id > 'ftjob-00120' LIMIT 3").fetchall()) == 3
        assert db.ftsql.take_counts().from_store == 22  # those after the newest page, up to the first that passes


def test_a_provider_that_filters_no_metadata_is_asked_for_all_jobs() -> None:
    sql = """SELECT id FROM fine_tuning_jobs WHERE provider = 'portkey' AND metadata_has(metadata, '{"team": "ads"}')"""
    with account(150, providers=2) as (sandbox, db):
        sandbox.update_job("ftjob-00120", metadata={"team": "ads", "more": "1"})
        assert asked(sandbox, db, sql) == pages(2, 150)
        assert db.execute(sql).fetchall() == [("ftjob-00120",)]


def test_of_many_ids_that_nobody_knows_a_page_is_read_before_each_from_the_third_on() -> None:
    ids = [f"ftjob-{number:05}" for number in range(240, 246)]
    with account(250, max_parallel=1) as (sandbox, db):
        found = asked(sandbox, db, f"{JOBS} WHERE id IN ({', '.join(map(repr, ids))})")
        first, second, third = pages(3, 250)
        assert found == [f"/{ids[0]}", f"/{ids[1]}", first, f"/{ids[2]}", second, f"/{ids[3]}", third]


def test_two_lists_of_which_one_lost_its_order_are_read_without_a_page_too_many() -> None:
    newest = f"{JOBS} ORDER BY created_at DESC LIMIT 3"
    with account(250, providers=2) as (sandbox, db):
        asked(sandbox, db, "SELECT count(*) FROM fine_tuning_jobs")
        assert asked(sandbox, db, newest) == ["?limit=3"] * 2
        db.ftsql.store.db.execute("UPDATE covers SET broke_at = 1e12 WHERE account = (SELECT min(account) FROM covers)")
        assert sorted(asked(sandbox, db, newest)) == sorted([*_everything(250), "?limit=3"])


@pytest.mark.parametrize(
    ("sql", "asks"),
    [
        ("SELECT count(*) FROM fine_tuning_jobs", 2),
        ("SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 3", 2),
        ("SELECT id FROM fine_tuning_jobs LIMIT 3", 1),
    ],
)
def test_two_providers_are_asked_at_the_same_time_where_both_are_needed(
    at: At, tmp_path: Path, sql: str, asks: int
) -> None:
    both = threading.Barrier(asks)
    serving = api(jobs(30))

    def answering(asked: Asked) -> Any:
        both.wait(10)
        return serving(asked)

    server, _ = at(answering)
    entry = f"extends = 'openai'\nbase_url = '{server.base_url}'\n"
    (tmp_path / "providers.toml").write_text(f"[one]\n{entry}[two]\n{entry}")
    db = ftsql.connect(config=tmp_path / "providers.toml", providers=["one", "two"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both providers show the same ids
        assert len(db.execute(sql).fetchall()) in (1, 3)
    assert len(server.asked) == asks
    db.close()


@pytest.mark.parametrize("providers", [1, 2])
def test_a_second_scan_of_few_jobs_sends_for_nothing_more(providers: int) -> None:
    since = f"(SELECT count(*) FROM fine_tuning_jobs WHERE created_at >= {NEWEST - 60 * 50} + {{}})"
    with account(250, providers=providers) as (sandbox, db), pytest.MonkeyPatch.context() as patch:
        patch.setattr("ftsql.read.listing.SLOW_PAGE", -1.0)  # every page counts as slow, so pages are prefetched
        found = asked(sandbox, db, f"SELECT {since.format(0)}, {since.format(60)}")
        assert found == ["?limit=100"] * providers


def test_a_provider_or_a_time_out_of_a_table_is_looked_up_before_the_jobs_are_read() -> None:
    join = "SELECT count(*) FROM mine JOIN fine_tuning_jobs AS j ON {} WHERE mine.id = 1"
    with account(250, providers=2) as (sandbox, db):
        db.execute("CREATE TABLE mine (id INTEGER PRIMARY KEY, name TEXT, time INTEGER)")
        db.execute("INSERT INTO mine VALUES (1, 'portkey', ?)", (NEWEST - 60 * 50,))
        assert asked(sandbox, db, join.format("j.provider = mine.name AND j.created_at >= mine.time")) == ["?limit=100"]
        for condition in ("j.created_at >= mine.time", "j.created_at > mine.time", "j.created_at = mine.time"):
            assert asked(sandbox, db, join.format(condition)) == ["?limit=100"] * 2
        assert asked(sandbox, db, join.format("j.provider = mine.name")) == pages(3, 250)
        assert {request.path for request in sandbox.requests} == {"/portkey/v1/fine_tuning/jobs"}


@pytest.mark.parametrize("active", [[], [1, 2, 3], [100], [100, 101], [150, 249], [150, 250], [150, 251, 1249],
                                    list(range(1250)), list(range(0, 1250, 60)), list(range(0, 1250, 200))],
                         ids=lambda active: f"{len(active)} active")  # fmt: skip
def test_active_jobs_cost_the_fewer_of_gets_and_pages(active: list[int]) -> None:
    with account(1250, active) as (sandbox, db):
        asked(sandbox, db, "SELECT count(*) FROM fine_tuning_jobs")
        found = asked(sandbox, db, "SELECT status, count(*) FROM fine_tuning_jobs GROUP BY 1")
        assert sorted(found) == sorted(again(active, 1250))
        assert len(found) <= min(1 + len(active), 13)
        rows: dict[Any, Any] = dict(db.execute("SELECT status, count(*) FROM fine_tuning_jobs GROUP BY 1").fetchall())  # type: ignore[arg-type]
        assert rows == {
            status: count
            for status, count in {"running": len(active), "succeeded": 1250 - len(active)}.items()
            if count
        }


@pytest.mark.parametrize("new", [0, 1, 99, 100, 250])
def test_partial_knowledge_costs_the_pages_that_are_new(new: int) -> None:
    with account(1250) as (sandbox, db):
        assert asked(sandbox, db, f"{JOBS} ORDER BY created_at DESC LIMIT 5") == ["?limit=5"]
        assert asked(sandbox, db, f"{JOBS} WHERE id = 'ftjob-00700'") == ["/ftjob-00700"]
        assert asked(sandbox, db, f"{JOBS} WHERE id = 'ftjob-00002'") == []  # the five returned jobs had finished
        assert asked(sandbox, db, "SELECT count(*) FROM fine_tuning_jobs") == pages(13, 1250)
        for number in range(new):
            sandbox.add_job(id=f"ftjob-new-{number:05}", created_at=NEWEST + 60 * number + 60, status="succeeded")
        found = asked(sandbox, db, "SELECT count(*) FROM fine_tuning_jobs")
        assert len(found) == (new + 1) // 100 + 1  # back beyond the newest known job
        assert db.execute("SELECT count(*) FROM fine_tuning_jobs").get == 1250 + new


def test_a_page_that_was_broken_off_covers_nothing() -> None:
    with account(1250) as (sandbox, db):
        cursor = db.execute("SELECT id FROM fine_tuning_jobs")
        for _ in range(150):
            next(cursor)
        cursor.close()
        assert asked(sandbox, db, "SELECT count(*) FROM fine_tuning_jobs") == pages(13, 1250)


def test_a_join_asks_only_for_what_has_not_finished() -> None:
    with account(1250, [7, 300], max_parallel=1) as (sandbox, db):
        db.execute("CREATE TABLE mine (id TEXT)")
        db.executemany("INSERT INTO mine VALUES (?)", [(f"ftjob-{number:05}",) for number in (5, 7, 300, 301, 900)])
        join = "SELECT job.id, job.status FROM mine JOIN fine_tuning_jobs AS job ON job.id = mine.id"
        asked(sandbox, db, join)
        assert asked(sandbox, db, join) == ["/ftjob-00007", "/ftjob-00300"]
        listed = ", ".join(f"'ftjob-{number:05}'" for number in (5, 7, 300, 301, 900))
        assert asked(sandbox, db, f"{JOBS} WHERE id IN ({listed})") == ["/ftjob-00007", "/ftjob-00300"]


def test_metadata_has_asks_the_api_for_those_jobs_alone() -> None:
    with account(250) as (sandbox, db):
        for number in range(0, 250, 50):
            sandbox.update_job(f"ftjob-{number:05}", metadata={"team": "ads"})
        sql = """SELECT count(*) FROM fine_tuning_jobs WHERE metadata_has(metadata, '{"team": "ads"}')"""
        for _ in range(2):
            assert asked(sandbox, db, sql) == ["?metadata[team]=ads&limit=100"]
            assert db.execute(sql).get == 5


def test_max_age_answers_many_statements_with_one_look() -> None:
    with account(250, [3, 120]) as (sandbox, db):
        db.close()
        db = ftsql.connect(providers="openai", max_age=60, sandbox=sandbox)
        asked(sandbox, db, "SELECT count(*) FROM fine_tuning_jobs")
        for case in CASES[:5]:
            assert asked(sandbox, db, case.sql) == []
        assert asked(sandbox, db, f"{JOBS} WHERE id = 'ftjob-00003'") == []
        db.close()


def test_refresh_reads_everything_and_finds_what_was_deleted() -> None:
    with account(250) as (sandbox, db):
        asked(sandbox, db, "SELECT count(*) FROM fine_tuning_jobs")
        sandbox.remove_job("ftjob-00200")
        # Known as finished, so not requested again.
        assert db.execute("SELECT count(*) FROM fine_tuning_jobs").get == 250
        db.ftsql.refresh()
        assert asked(sandbox, db, "SELECT count(*) FROM fine_tuning_jobs") == [
            *pages(2, 250),
            "?limit=100&after=ftjob-00199",
        ]
        assert db.execute("SELECT count(*) FROM fine_tuning_jobs").get == 249


def test_a_full_listing_is_due_after_refresh_seconds() -> None:
    with account(250) as (sandbox, db):
        db.close()
        db = ftsql.connect(providers="openai", refresh_seconds=0.001)
        for _ in range(2):
            assert asked(sandbox, db, "SELECT count(*) FROM fine_tuning_jobs") == pages(3, 250)
        db.close()


def test_verify_order_always_lists_in_full() -> None:
    with account(250) as (sandbox, db):
        db.close()
        db = ftsql.connect(providers="openai", verify_order=True)
        for sql in ("SELECT count(*) FROM fine_tuning_jobs", f"{JOBS} ORDER BY created_at DESC LIMIT 5"):
            assert asked(sandbox, db, sql) == pages(3, 250)
        db.close()


def test_the_knowledge_is_shared_through_the_file_by_connections_of_one_account_only(tmp_path: Path) -> None:
    with account(250) as (sandbox, db), pytest.MonkeyPatch.context() as patch:
        db.close()
        store = tmp_path / "store.db"
        for key, cost in (
            ("one-key-of-mine", 3),
            ("one-key-of-mine", 1),
            ("another-key-0123", 3),
            ("another-key-0123", 1),
        ):
            patch.setenv("OPENAI_API_KEY", key)
            db = ftsql.connect(providers="openai", store=store)
            assert len(asked(sandbox, db, "SELECT count(*) FROM fine_tuning_jobs")) == cost
            db.close()


def table() -> str:
    """Return the table on the guide's page `costs`."""
    lines = ["| SQL | the first time | again, with k jobs still active |", "|---|---|---|"]
    lines += [f"| {case.title} | {case.first} | {case.then} |" for case in CASES]
    return "\n".join(lines)


def test_the_guide_shows_this_table() -> None:
    assert table() in find_topic("costs").text


if __name__ == "__main__":
    print(table())
