"""The jobs, providers and limits that decide which events are requested."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

import ftsql
from ftsql.errors import NotSupportedError, OperationalError
from ftsql.sandbox import Fault, Sandbox
from tests.read.nested_account import ASKS, EVENTS, FEW, JOBS, JOIN, LIST, account, asked, events, five, name


def test_an_unknown_job_has_no_rows_and_costs_one_request() -> None:
    with account() as (sandbox, db):
        for _ in range(2):
            assert asked(sandbox, db, f"{EVENTS}('ftjob-none')", 0) == ["/ftjob-none/events?limit=100"]
        assert asked(sandbox, db, f"{EVENTS} WHERE fine_tuning_job_id IN ('a', 'b', '{name(0)}')", 5)


def test_a_deleted_job_loses_its_rows_with_the_next_full_listing() -> None:
    with account() as (sandbox, db):
        asked(sandbox, db, JOIN, 5 * JOBS)
        sandbox.remove_job(name(3))
        assert asked(sandbox, db, f"{EVENTS}('{name(3)}')", 0) == [*events(3), f"/{name(3)}"]
        sandbox.remove_job(name(4))
        assert asked(sandbox, db, f"{EVENTS}('{name(4)}')", 5) == []
        db.ftsql.refresh()
        assert asked(sandbox, db, JOIN, 5 * (JOBS - 2))[0] == LIST
        assert asked(sandbox, db, f"{EVENTS}('{name(4)}')", 0) == [f"/{name(4)}"]


@pytest.mark.parametrize("face", ["telnyx", "anyapi", "litellm"])
@pytest.mark.parametrize("table", ["events", "checkpoints"])
def test_a_provider_without_them_says_so_without_a_request(face: str, table: str) -> None:
    sql = f"SELECT count(*) FROM fine_tuning_job_{table} WHERE fine_tuning_job_id = 'ftjob-1'"
    for providers in (face, "telnyx anyapi litellm"):
        with account(providers=providers) as (sandbox, db):
            with pytest.raises(NotSupportedError, match=f"{face} does not serve {table}|telnyx does not serve"):
                db.execute(sql).fetchall()
            assert not sandbox.requests


def test_a_provider_without_them_is_left_out_by_its_name() -> None:
    error = pytest.raises(NotSupportedError, match="leave it out with WHERE provider <> 'telnyx'")
    with account(providers="openai telnyx", jobs=12, running=[]) as (_, db), error:
        db.execute(JOIN).fetchall()
    for more in ("e.provider <> 'telnyx'", "e.provider = 'openai' AND j.provider = 'openai'"):
        with account(providers="openai telnyx", jobs=12, running=[]) as (sandbox, db):
            found = asked(sandbox, db, f"{JOIN} AND {more}", 12 * 5 * (1 + ("<>" in more)))
            assert Counter(path for path in found if "events" in path) == Counter(events(*range(12)))
            assert not any("telnyx" in request.path and "events" in request.path for request in sandbox.requests)


def test_a_provider_without_permissions_has_none_of_a_checkpoint_that_is_called_like_its_job() -> None:
    with account(providers="openai telnyx", jobs=1, running=[]) as (_, db):
        assert db.execute("SELECT count(*) FROM fine_tuning_jobs").get == 2
        sql = "SELECT count(*) FROM fine_tuning_checkpoint_permissions WHERE fine_tuned_model_checkpoint = ?"
        assert db.execute(sql, (name(0),)).get == 0


@pytest.mark.parametrize("providers", ["'openai', 'nobody'", "SELECT name FROM chosen"])
def test_of_several_providers_those_that_are_named_are_asked_alone(providers: str) -> None:
    with account(providers="openai portkey", jobs=1, running=[]) as (sandbox, db):
        db.execute("CREATE TABLE chosen (name TEXT); INSERT INTO chosen VALUES ('openai'), (NULL)")
        files = db.execute("SELECT count(*) FROM files WHERE provider = 'openai'").get
        asked(sandbox, db, f"SELECT count(*) FROM files WHERE provider IN ({providers})", files)
        assert [request.path for request in sandbox.requests] == ["/v1/files"]
        asked(sandbox, db, f"{EVENTS} WHERE fine_tuning_job_id = '{name(0)}' AND provider IN ({providers})", 5)
        assert [request.path for request in sandbox.requests] == [f"/v1/fine_tuning/jobs/{name(0)}/events"]


@pytest.mark.parametrize("more", ["", " AND e.provider = j.provider"])
@pytest.mark.long
def test_two_providers_are_each_asked_for_their_own_jobs(more: str) -> None:
    with (
        Sandbox(jobs=0, speed=0) as other,
        account(jobs=130, running=[]) as (sandbox, _),
        pytest.MonkeyPatch.context() as patch,
    ):
        for place in range(5):
            other.add_job(id=f"ftjob-other-{place}", created_at=1_790_000_000 - 3000 * place, status="succeeded")
        other.fault(Fault(path=FEW, times=None, transform=five))
        patch.setenv("PORTKEY_BASE_URL", other.base_url("portkey"))
        with closing(ftsql.connect(providers=["openai", "portkey"])) as db:
            for cost in ((130 + 2, 5 + 1), (1, 1)):
                other.requests.clear()
                found = asked(sandbox, db, JOIN + more, 5 * 135)
                assert (len(found), len(other.requests)) == cost


@pytest.mark.long
def test_max_requests_stops_before_one_more_and_names_the_plan() -> None:
    for limit in (1, 2, 20, JOBS):
        with account(max_requests=limit) as (sandbox, db):
            with pytest.raises(OperationalError, match=f"more than max_requests = {limit} "):
                db.execute(JOIN).fetchall()
            assert len(sandbox.requests) <= limit
    with account(max_requests=JOBS + 1) as (sandbox, db):
        assert len(asked(sandbox, db, JOIN, 5 * JOBS)) == JOBS + 1


def test_max_age_shows_what_was_read_within_it() -> None:
    with account(max_age=60) as (sandbox, db):
        for sql in (ASKS["an IN list"][0], JOIN):
            asked(sandbox, db, sql, 5 * JOBS)
            assert asked(sandbox, db, sql, 5 * JOBS) == []
        assert asked(sandbox, db, f"{EVENTS}('{name(3)}')", 5) == []


def test_verify_order_trusts_no_list_of_events() -> None:
    with account(jobs=1, running=[0], verify_order=True) as (sandbox, db):
        sandbox.clear_faults()
        asked(sandbox, db, "SELECT count(*) FROM fine_tuning_jobs")
        for _ in range(2):
            assert len(asked(sandbox, db, f"{EVENTS}('{name(0)}')")) == 2


@pytest.mark.long
def test_the_store_of_another_account_is_not_used(tmp_path: Path) -> None:
    with account() as (sandbox, _), pytest.MonkeyPatch.context() as patch:
        for key, cost in (("one-key-of-mine", 41), ("one-key-of-mine", 3), ("another-key-0123", 41)):
            patch.setenv("OPENAI_API_KEY", key)
            with ftsql.connect(providers="openai", store=tmp_path / "store.db") as db:
                assert len(asked(sandbox, db, JOIN, 5 * JOBS)) == cost
            db.close()
