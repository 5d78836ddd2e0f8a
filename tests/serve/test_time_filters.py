"""Time filters as BI tools write them cause no more requests to a live table than created_at >= … does."""

from __future__ import annotations

import pytest

import ftsql
from ftsql.sandbox import Sandbox
from ftsql.serve.functions.register import register
from ftsql.serve.translate.inference import Tables
from ftsql.serve.translate.statement import translate
from tests.conftest import CANARY
from tests.read.test_pushdown import account, asked, pages
from tests.serve.rows import COLUMNS, VIEW

pytestmark = pytest.mark.long

SIZE = 1250
TABLES: Tables = {"fine_tuning_jobs": COLUMNS, "jobs": VIEW}
T = "2026-09-21 10:00:00"  # 15,200 seconds, or 253 jobs, before the newest
DAY = "2026-09-21"
JOBS = "fine_tuning_jobs"
NARROW = 3  # pages of 100 that hold the jobs since T
FILTERS = [
    f"SELECT count(*) FROM {JOBS} WHERE to_timestamp(created_at) >= '{T}'",
    f"SELECT count(*) FROM {JOBS} WHERE to_timestamp(created_at) >= '2026-09-21T10:00:00Z' AND status = 'failed'",
    f"SELECT count(*) FROM {JOBS} WHERE '{T}'::timestamptz < to_timestamp(created_at)",
    f"SELECT count(*) FROM {JOBS} WHERE to_timestamp(created_at)::timestamp >= timestamp '{T}'",
    f"SELECT count(*) FROM {JOBS} WHERE (to_timestamp(created_at) AT TIME ZONE 'UTC') >= '{T}'",
    f"SELECT count(*) FROM {JOBS} WHERE to_timestamp(created_at) BETWEEN '{T}' AND '2030-01-01'",
    f"SELECT count(*) FROM {JOBS} WHERE created_at >= extract(epoch from timestamp '{T}')",
    f"SELECT count(*) FROM {JOBS} WHERE created_at >= extract(epoch from timestamp '2026-09-28 10:00' - interval '7 days')",
    f"SELECT count(*) FROM {JOBS} WHERE extract(epoch from to_timestamp(created_at)) >= 1789984800",
    f"SELECT count(*) FROM {JOBS} WHERE date_trunc('hour', to_timestamp(created_at)) >= '{T}'",
    f"SELECT count(*) FROM {JOBS} WHERE date_trunc('hour', to_timestamp(created_at)) BETWEEN '{T}' AND '{T}'",
    f"SELECT count(*) FROM {JOBS} WHERE timestamp 'epoch' + created_at * interval '1 second' >= '{T}'",
    f"SELECT count(*) FROM (SELECT *, to_timestamp(created_at) AS ts FROM {JOBS}) AS v WHERE ts >= '{T}'",
    f"SELECT count(*) FROM (SELECT to_timestamp(created_at) AS ts FROM {JOBS}) AS v WHERE ts >= '{T}' AND ts < now()",
    f"WITH v AS (SELECT to_timestamp(created_at) AS ts, status FROM {JOBS}) SELECT status FROM v WHERE v.ts >= '{T}'",
    f"SELECT * FROM (SELECT date_trunc('hour', to_timestamp(created_at)) AS h, count(*) AS n FROM {JOBS} GROUP BY 1) AS v WHERE h >= '{T}'",
    f"SELECT count(*) FROM (SELECT ts AS t FROM (SELECT to_timestamp(created_at) AS ts FROM {JOBS}) a) b WHERE t >= '{T}'",
    f"SELECT id FROM {JOBS} WHERE to_timestamp(created_at) >= '{T}' ORDER BY created_at DESC",
]
VIEWS = [
    f"SELECT count(*) FROM jobs WHERE created >= '{T}'",
    f"SELECT date_trunc('hour', j.created) AS h, count(*) FROM public.jobs j WHERE j.created >= '{T}' GROUP BY 1",
    f'SELECT "public"."jobs"."id" FROM "public"."jobs" WHERE "public"."jobs"."created" BETWEEN timestamp \'{T}\' AND now()',
    f"SELECT count(*) FROM (SELECT * FROM jobs) AS v WHERE date_trunc('hour', v.created) >= '{T}'",
]
NOT_PUSHED = [
    f"SELECT (SELECT 1 WHERE v.ts >= '{T}') FROM (SELECT to_timestamp(created_at) AS ts FROM {JOBS}) AS v",
    f"SELECT 1 FROM (SELECT to_timestamp(created_at) AS ts FROM {JOBS}) v WHERE EXISTS (SELECT 1 WHERE v.ts >= '{T}')",
    f"SELECT 1 FROM (SELECT to_timestamp(created_at) AS ts FROM {JOBS}) v LEFT JOIN (VALUES (1)) w(a) ON v.ts >= '{T}'",
    f"SELECT count(*) FROM {JOBS} WHERE NOT (to_timestamp(created_at) >= '{T}')",
    f"SELECT count(*) FROM {JOBS} WHERE to_timestamp(created_at) >= '{T}' OR status = 'failed'",
    f"SELECT count(*) FROM (SELECT to_timestamp(created_at) AS ts, row_number() OVER () AS n FROM {JOBS}) v WHERE ts >= '{T}'",
    f"SELECT count(*) FROM (SELECT to_timestamp(created_at) AS ts FROM {JOBS} ORDER BY id LIMIT 10) v WHERE ts >= '{T}'",
    f"SELECT count(*) FROM (SELECT max(to_timestamp(created_at)) AS ts FROM {JOBS}) v WHERE ts >= '{T}'",
    f"WITH v AS (SELECT to_timestamp(created_at) AS ts FROM {JOBS}) SELECT (SELECT count(*) FROM v), count(*) FROM v WHERE ts >= '{T}'",
]


@pytest.mark.parametrize("sql", [*FILTERS, *VIEWS])
def test_a_time_filter_reads_only_the_pages_after_that_time(sql: str) -> None:
    with account(SIZE) as (sandbox, db):
        register(db)
        found = translate(sql, TABLES)
        assert asked(sandbox, db, found.sql) == pages(NARROW, SIZE)


@pytest.mark.parametrize("sql", NOT_PUSHED)
def test_other_filters_read_all_pages(sql: str) -> None:
    with account(SIZE) as (sandbox, db):
        register(db)
        found = translate(sql, TABLES)
        assert asked(sandbox, db, found.sql) == pages(13, SIZE)


def test_the_newest_jobs_are_one_page_where_created_at_is_never_null() -> None:
    tables = {
        "fine_tuning_jobs": [(name, f"{type} NOT NULL" if name == "created_at" else type) for name, type in COLUMNS]
    }
    with account(SIZE) as (sandbox, db):
        register(db)
        found = translate(f"SELECT id FROM {JOBS} ORDER BY created_at DESC LIMIT 10", tables)
        assert asked(sandbox, db, found.sql) == ["?limit=10"]
        found = translate(f"SELECT id FROM {JOBS} WHERE id = ANY('{{ftjob-00001,ftjob-00002}}')", tables)
        assert len(asked(sandbox, db, found.sql)) <= 2


def test_a_parameter_pushes_down_as_a_written_time_does() -> None:
    found = translate(f"SELECT count(*) FROM {JOBS} WHERE to_timestamp(created_at) >= $1", TABLES)
    assert found.types == ("timestamptz",)
    for value in (T, "2026-09-21T10:00:00Z", "2026-09-21 12:00:00+02"):
        with account(SIZE) as (sandbox, db):
            register(db)
            sandbox.requests.clear()
            assert db.execute(found.sql, (value,)).get == 254
            assert len(sandbox.requests) == NARROW


def test_explain_shows_the_plan_of_the_live_table() -> None:
    found = translate(f"SELECT id FROM {JOBS} WHERE to_timestamp(created_at) > '{T}'", TABLES)
    with account(1) as (_, db):
        register(db)
        assert "newer" in str(db.execute(f"EXPLAIN QUERY PLAN {found.sql}").fetchall())


@pytest.mark.parametrize(
    ("shift", "bound", "found"),
    [
        ("+ interval '500 milliseconds'", 10.5, 11),
        ("+ interval '500 milliseconds'", 10.4, 11),
        ("+ interval '500 milliseconds'", 10.6, 10),
        ("- interval '500 milliseconds'", 9.5, 11),
        ("- interval '500 milliseconds'", 9.6, 10),
        ("+ interval '1 second'", 11, 11),
        ("+ interval '1500 milliseconds'", 11.5, 11),
        ("+ interval '1 microsecond'", 10.000001, 11),
    ],
)
def test_a_shift_of_less_than_a_second_loses_no_row(shift: str, bound: float, found: int) -> None:
    base = 1_790_000_000
    at = f"to_timestamp({base + bound:.6f})"
    with Sandbox(jobs=0, speed=0) as sandbox, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", sandbox.base_url("openai"))
        patch.setenv("OPENAI_API_KEY", CANARY)
        for second in range(21):
            sandbox.add_job(id=f"ftjob-{second:02}", created_at=base + second)
        db = ftsql.connect(providers=["openai"])
        register(db)
        sql = translate(f"SELECT count(*) FROM {JOBS} WHERE to_timestamp(created_at) {shift} >= {at}", TABLES)
        assert db.execute(sql.sql).get == found
        db.close()
