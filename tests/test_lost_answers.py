"""A create is sent at most once: lost answers, limits and quotas."""

from __future__ import annotations

import json
import time

import pytest

import ftsql
from ftsql.sandbox import Fault, Sandbox
from tests.conftest import Connect, fill
from tests.writing import CREATE, INSERT, ONE, alive, posts

pytestmark = pytest.mark.usefixtures("files")


LOST = {
    "dropped after it was accepted": Fault(method="POST", path=CREATE, drop=True, accept=True),
    "500 after it was accepted": Fault(method="POST", path=CREATE, status=500, accept=True),
    "truncated answer": Fault(method="POST", path=CREATE, truncate=40),
    "HTML answer after it was accepted": Fault(method="POST", path=CREATE, status=200, body="<html>", accept=True),
    "an answer without an id": Fault(method="POST", path=CREATE, status=200, body={}, accept=True),
}


@pytest.mark.parametrize("seeded", [False, True])
@pytest.mark.parametrize("how", LOST)
def test_a_create_whose_answer_is_lost_is_found_again_and_never_sent_twice(
    sandbox: Sandbox, connect: Connect, how: str, seeded: bool
) -> None:
    fill(sandbox, 3, newest=int(time.time()), training_file="file-a", model="gpt-4o-mini-2024-07-18", seed=7)
    db = connect(settle_seconds=3)
    sandbox.fault(LOST[how])
    sql = "INSERT INTO fine_tuning_jobs (model, training_file, seed) VALUES ('gpt-4o-mini', 'file-a', ?)"
    db.execute(sql, (7 if seeded else None,))
    assert len(posts(sandbox)) == 1
    assert len(sandbox.jobs()) == 4
    assert db.execute("SELECT last_job_id()").fetchall() == [(sandbox.jobs()[0]["id"],)]


def test_a_list_that_lags_is_looked_at_again(sandbox: Sandbox, connect: Connect) -> None:
    db = connect(settle_seconds=8)
    sandbox.fault(Fault(path=CREATE, method="GET", times=None, lag=2.0))
    sandbox.fault(Fault(method="POST", path=CREATE, drop=True, accept=True))
    db.execute(ONE)
    assert len(sandbox.jobs()) == 1
    assert len(posts(sandbox)) == 1


def test_what_cannot_be_found_is_unknown_and_never_sent_again(sandbox: Sandbox, connect: Connect) -> None:
    db = connect(settle_seconds=1)
    sandbox.fault(Fault(method="POST", path=CREATE, after=1, drop=True))
    with pytest.raises(ftsql.OutcomeUnknown, match="row 2 of 3: nobody can say what became of a job") as caught:
        db.execute(INSERT + "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-b'), ('gpt-4o-mini', 'file-c')")
    assert len([path for path, _ in posts(sandbox) if path == ""]) == 2
    assert alive(sandbox) == []
    assert "was created and is cancelled now" in str(caught.value)
    assert ("unknown",) in db.execute("SELECT state FROM ftsql_writes").fetchall()


def test_without_a_fingerprint_nothing_is_adopted(sandbox: Sandbox, connect: Connect) -> None:
    db = connect(settle_seconds=3)
    metadata = json.dumps({f"k{number}": "v" for number in range(16)})
    sandbox.fault(Fault(method="POST", path=CREATE, drop=True, accept=True))
    with pytest.raises(ftsql.OutcomeUnknown) as caught:
        db.execute(
            "INSERT INTO fine_tuning_jobs (model, training_file, seed, metadata) VALUES ('gpt-4o-mini', 'file-a', 5, ?)",
            (metadata,),
        )
    assert caught.value.candidates == (sandbox.jobs()[0]["id"],)


@pytest.mark.parametrize("status", [429, 503])
def test_a_rate_limited_create_is_sent_again_and_a_failed_one_is_not(
    sandbox: Sandbox, connect: Connect, status: int
) -> None:
    db = connect(settle_seconds=1)
    sandbox.fault(Fault(method="POST", path=CREATE, status=status, headers={"Retry-After": "0.1"}))
    if status == 429:
        db.execute(ONE)
    else:
        with pytest.raises(ftsql.OutcomeUnknown):
            db.execute(ONE)
    assert len(posts(sandbox)) == (2 if status == 429 else 1)
    assert len(sandbox.jobs()) == (1 if status == 429 else 0)


def test_the_days_quota_is_not_retried(sandbox: Sandbox, db: ftsql.Connection) -> None:
    body = {"error": {"message": "quota", "type": "invalid_request_error", "code": "daily_rate_limit_exceeded"}}
    sandbox.fault(Fault(method="POST", path=CREATE, status=429, body=body, times=None))
    with pytest.raises(ftsql.RateLimitError, match="try again tomorrow"):
        db.execute(ONE)
    assert len(posts(sandbox)) == 1
