"""A table that needs a job, joined in a way that gives it none: rows, or a sentence that says what to write."""

from __future__ import annotations

import pytest

import ftsql
from ftsql.sandbox import Sandbox

SENTENCE = "fine_tuning_job_id"
JOINS = [
    "SELECT count(*) FROM fine_tuning_job_events e WHERE EXISTS (SELECT 1 FROM mine WHERE mine.job = e.fine_tuning_job_id)",
    "SELECT count(*) FROM fine_tuning_job_events e WHERE e.fine_tuning_job_id IN (SELECT job FROM mine)",
    "SELECT count(*) FROM mine JOIN fine_tuning_job_events e ON mine.job = e.fine_tuning_job_id",
    "SELECT count(*) FROM fine_tuning_job_events NATURAL JOIN fine_tuning_job_checkpoints",
    "SELECT count(*) FROM fine_tuning_jobs NATURAL JOIN fine_tuning_job_events",
    "SELECT count(*) FROM fine_tuning_job_events e JOIN fine_tuning_job_checkpoints c USING (fine_tuning_job_id)",
    "SELECT count(*) FROM fine_tuning_job_events e, fine_tuning_job_events f WHERE e.fine_tuning_job_id = f.fine_tuning_job_id",
    "SELECT count(*) FROM fine_tuning_job_events e WHERE NOT EXISTS (SELECT 1 FROM mine WHERE mine.job = e.fine_tuning_job_id)",
    "SELECT count(*) FROM mine LEFT JOIN fine_tuning_job_events e ON mine.job = e.fine_tuning_job_id",
    "SELECT count(*) FROM fine_tuning_job_events e FULL JOIN mine ON mine.job = e.fine_tuning_job_id",
    "SELECT count(*) FROM fine_tuning_job_events",
    "SELECT count(*) FROM fine_tuning_job_events e WHERE message IN (SELECT job FROM mine)",
    "SELECT count(*) FROM fine_tuning_job_events e WHERE fine_tuning_job_id > 'f'",
    "DELETE FROM mine WHERE job IN (SELECT fine_tuning_job_id FROM fine_tuning_job_events)",
]


@pytest.mark.parametrize("sql", JOINS)
def test_there_are_rows_or_the_sentence_that_says_what_to_write(
    sandbox: Sandbox, db: ftsql.Connection, sql: str
) -> None:
    id = sandbox.add_job(status="succeeded")["id"]
    db.execute("CREATE TEMP TABLE mine (job TEXT)")
    db.execute("INSERT INTO mine VALUES (?)", (id,))
    try:
        assert db.execute(sql).fetchall()[0][0] > 0  # type: ignore[operator]
    except ftsql.Error as error:
        assert "events belong to a job" in str(error) or SENTENCE in str(error), error
    db.execute("DROP TABLE mine")


def test_the_forms_that_name_a_job_give_its_rows(sandbox: Sandbox, db: ftsql.Connection) -> None:
    id = sandbox.add_job(status="succeeded")["id"]
    db.execute("CREATE TEMP TABLE mine (job TEXT)")
    db.execute("INSERT INTO mine VALUES (?)", (id,))
    events = db.execute("SELECT count(*) FROM fine_tuning_job_events WHERE fine_tuning_job_id = ?", (id,)).get
    for sql in (JOINS[1], JOINS[2], JOINS[8]):
        assert db.execute(sql).get == events, sql
    db.execute("DROP TABLE mine")
