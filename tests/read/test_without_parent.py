"""A table that needs a job, joined without one: the error says what to write."""

from __future__ import annotations

import pytest

import ftsql
from ftsql.sandbox import Sandbox

EVENTS = "SELECT count(*) FROM fine_tuning_job_events"
NAMED = [
    f"{EVENTS} e WHERE e.fine_tuning_job_id IN (SELECT job FROM mine)",
    "SELECT count(*) FROM mine JOIN fine_tuning_job_events e ON mine.job = e.fine_tuning_job_id",
    "SELECT count(*) FROM mine LEFT JOIN fine_tuning_job_events e ON mine.job = e.fine_tuning_job_id",
    f"{EVENTS} e JOIN fine_tuning_jobs j ON j.id = e.fine_tuning_job_id AND j.created_at <= e.created_at",
    f"{EVENTS} e JOIN fine_tuning_jobs j ON j.id = e.fine_tuning_job_id WHERE e.fine_tuning_job_id IN (SELECT job FROM mine)",
]
NOT_NAMED = [
    f"{EVENTS} e WHERE EXISTS (SELECT 1 FROM mine WHERE mine.job = e.fine_tuning_job_id)",
    f"{EVENTS} e WHERE NOT EXISTS (SELECT 1 FROM mine WHERE mine.job = e.fine_tuning_job_id)",
    f"{EVENTS} NATURAL JOIN fine_tuning_job_checkpoints",
    "SELECT count(*) FROM fine_tuning_jobs NATURAL JOIN fine_tuning_job_events",
    f"{EVENTS} e JOIN fine_tuning_job_checkpoints c USING (fine_tuning_job_id)",
    f"{EVENTS} e, fine_tuning_job_events f WHERE e.fine_tuning_job_id = f.fine_tuning_job_id",
    f"{EVENTS} e FULL JOIN mine ON mine.job = e.fine_tuning_job_id",
    EVENTS,
    f"{EVENTS} e WHERE message IN (SELECT job FROM mine)",
    f"{EVENTS} e WHERE fine_tuning_job_id > 'f'",
    "DELETE FROM mine WHERE job IN (SELECT fine_tuning_job_id FROM fine_tuning_job_events)",
]


@pytest.fixture
def job(sandbox: Sandbox, db: ftsql.Connection) -> str:
    """Return the id of a job, which is also in a local table."""
    id = str(sandbox.add_job(status="succeeded")["id"])
    db.execute("CREATE TEMP TABLE mine (job TEXT)")
    db.execute("INSERT INTO mine VALUES (?)", (id,))
    return id


@pytest.mark.parametrize("sql", NAMED)
def test_the_events_of_the_jobs_that_are_named(db: ftsql.Connection, job: str, sql: str) -> None:
    events = db.execute(f"{EVENTS} WHERE fine_tuning_job_id = ?", (job,)).get
    assert events > 0
    assert db.execute(sql).get == events


@pytest.mark.parametrize("sql", NOT_NAMED)
def test_without_a_job_the_error_says_what_to_write(sandbox: Sandbox, db: ftsql.Connection, job: str, sql: str) -> None:
    with pytest.raises(ftsql.Error, match=r"^fine_tuning_job_events can only be read by fine_tuning_job_id: write"):
        db.execute(sql).fetchall()
    assert sandbox.requests == []
