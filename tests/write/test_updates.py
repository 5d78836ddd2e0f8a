"""UPDATE and DELETE: a new status changes the job; any other change is refused by name."""

from __future__ import annotations

import contextlib

import pytest

import ftsql
from ftsql.errors import IntegrityError, ProgrammingError
from ftsql.sandbox import Sandbox
from tests.answering import PATH, job
from tests.conftest import At, fill
from tests.write.fixtures import posts

pytestmark = pytest.mark.usefixtures("files")


def test_update_of_status_cancels_pauses_and_resumes(sandbox: Sandbox, db: ftsql.Connection) -> None:
    ids = fill(sandbox, 6, status="running")
    db.execute("UPDATE fine_tuning_jobs SET status = 'cancelled' WHERE id IN (?, ?)", ids[:2])
    db.execute("UPDATE fine_tuning_jobs SET status = 'paused' WHERE id = ?", ids[2:3])
    db.execute("UPDATE fine_tuning_jobs SET status = 'paused' WHERE id = ?", ids[3:4])
    db.execute("UPDATE fine_tuning_jobs SET status = 'running' WHERE status = 'paused' AND id = ?", ids[3:4])
    found = db.execute("SELECT status FROM fine_tuning_jobs ORDER BY created_at DESC").fetchall()
    assert [status for (status,) in found[:3]] == ["cancelled", "cancelled", "paused"]
    assert found[3][0] in ("queued", "running")
    assert [path.rpartition("/")[2] for path, _ in posts(sandbox)] == ["cancel", "cancel", "pause", "pause", "resume"]


def test_update_waits_for_commit_and_rollback_drops_it(sandbox: Sandbox, db: ftsql.Connection) -> None:
    ids = fill(sandbox, 2, status="running")
    db.execute("BEGIN; UPDATE fine_tuning_jobs SET status = 'cancelled'")
    assert posts(sandbox) == []
    db.execute("ROLLBACK")
    assert posts(sandbox) == []
    db.execute("BEGIN; UPDATE fine_tuning_jobs SET status = 'cancelled'; COMMIT")
    assert sorted(path for path, _ in posts(sandbox)) == [f"/{id}/cancel" for id in ids]


def test_update_tries_every_row_and_lists_those_refused(sandbox: Sandbox, db: ftsql.Connection) -> None:
    ids = fill(sandbox, 3, status="running")
    sandbox.update_job(ids[1], status="succeeded")
    with pytest.raises(ftsql.Error) as caught:
        db.execute("UPDATE fine_tuning_jobs SET status = 'cancelled'")
    assert f"1 of 3 jobs could not be changed: {ids[1]}" in str(caught.value)
    assert f"{ids[2]} is cancelled now" in str(caught.value)
    assert [job["status"] for job in sandbox.jobs()] == ["cancelled", "succeeded", "cancelled"]


@pytest.mark.parametrize("in_transaction", [False, True])
@pytest.mark.parametrize(("clause", "cancelled"), [("", 0), ("OR IGNORE", 0), ("OR FAIL", 2)])
def test_of_an_update_that_fails_only_or_fail_keeps_the_rows_before(
    sandbox: Sandbox, db: ftsql.Connection, clause: str, cancelled: int, in_transaction: bool
) -> None:
    ids = fill(sandbox, 4, status="running", finished_at=None)
    if in_transaction:
        db.execute("BEGIN")
    with pytest.raises(IntegrityError, match="status cannot be set to 'bad'"):
        db.execute(f"UPDATE {clause} fine_tuning_jobs SET status = iif(id = ?, 'bad', 'cancelled')", ids[2:3])
    if in_transaction:
        db.execute("COMMIT")
    assert [path for path, _ in posts(sandbox)] == [f"/{id}/cancel" for id in ids[:cancelled]]


def test_a_cancelled_job_that_shows_no_status_is_said_to_be_of_unknown_status(at: At) -> None:
    _, db = at(lambda asked: {"data": [job(1, status=...)]} if asked.path == PATH else job(1, status=...))
    with pytest.warns(ftsql.Warning, match="ftjob-00001 was accepted, and the job is of unknown status all the same"):
        db.execute("SELECT cancel_job('ftjob-00001')").fetchall()


def test_an_update_that_changes_nothing_sends_nothing(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 3, status="cancelled")
    db.execute("UPDATE fine_tuning_jobs SET status = 'cancelled', model = model")
    assert posts(sandbox) == []


CHANGES = [
    ("UPDATE fine_tuning_jobs SET model = 'x'", "model cannot be changed"),
    ("UPDATE fine_tuning_jobs SET status = 'succeeded'", "status cannot be set to 'succeeded'"),
    ("UPDATE fine_tuning_jobs SET status = NULL", "status cannot be set to NULL"),
    ("UPDATE fine_tuning_jobs SET key = 'x'", "key cannot be changed"),
    ("DELETE FROM fine_tuning_jobs WHERE id = 'ftjob-00000'", r"SELECT cancel_job\('ftjob-00000'\)"),
]


@pytest.mark.parametrize(("sql", "words"), CHANGES)
def test_any_other_change_is_refused_by_name(sandbox: Sandbox, db: ftsql.Connection, sql: str, words: str) -> None:
    fill(sandbox, 2, status="running")
    with pytest.raises(ftsql.Error, match=words):
        db.execute(sql)
    assert posts(sandbox) == []


@pytest.mark.long
def test_an_update_that_reads_the_steps_of_every_job_is_one_like_any_other() -> None:
    with contextlib.closing(ftsql.connect(sandbox=True)) as db:
        with pytest.raises(ProgrammingError, match="more than max_writes"):
            db.execute("UPDATE fine_tuning_jobs SET status = 'paused' FROM checkpoints WHERE 1")
        assert db.execute("SELECT count(*) FROM ftsql_writes").get == 0
