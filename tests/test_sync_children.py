"""Tables whose rows belong to jobs: which jobs' rows a round reads, and which it deletes.

They stand here as plain tables in ``live``; what they cost in requests is those tables' own tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from typing_extensions import TypedDict

import ftsql
from ftsql.resource import Column, Resource, SQLiteValue
from ftsql.resources import JOBS
from ftsql.sandbox import Sandbox
from ftsql.sync import Sync
from tests.conftest import Connect, fill
from tests.syncing import once, read


class Event(TypedDict, total=False):
    id: Annotated[str, Column("TEXT", "")]
    fine_tuning_job_id: Annotated[str, Column("TEXT", "")]
    created_at: Annotated[int, Column("INTEGER", "")]
    provider: Annotated[str, Column("TEXT", "")]


EVENTS = Resource("fine_tuning_job_events", "event", Event, (Column("TEXT", "", "key", True),))
ASKED: list[str] = []


def note(*values: SQLiteValue) -> SQLiteValue:
    """Note whose row is read."""
    ASKED.append(str(values[0]))
    return values[1]


@pytest.fixture
def db(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> ftsql.Connection:
    monkeypatch.setattr("ftsql.sync.RESOURCES", (JOBS, EVENTS))
    db = connect()
    db.create_scalar_function("note", note, 2)
    db.execute(
        "CREATE TABLE live.events (id, fine_tuning_job_id, created_at, provider, key);"
        "CREATE VIEW live.fine_tuning_job_events AS "
        "SELECT id, fine_tuning_job_id, note(fine_tuning_job_id, created_at) AS created_at, provider, key FROM events"
    )
    return db


def happen(db: ftsql.Connection, job: str, count: int = 1) -> None:
    """Give a job so many more events."""
    for _ in range(count):
        number = db.execute("SELECT count(*) + 1 FROM live.events").get
        row = (f"ev-{number}", job, number, "openai", f"openai/ev-{number}")
        db.execute("INSERT INTO live.events VALUES (?, ?, ?, ?, ?)", row)


def asked(db: ftsql.Connection, path: Path) -> list[str]:
    """The jobs whose events the next round reads."""
    ASKED.clear()
    assert not once(db, path, tables=["events"]).failed
    return sorted(set(ASKED))


def test_a_finished_jobs_events_are_read_once_and_an_active_ones_until_it_has_finished(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.db"
    ids = fill(sandbox, 3)
    sandbox.update_job(ids[0], status="running", finished_at=None)
    for id in ids:
        happen(db, id, 2)
    assert asked(db, path) == ids
    assert asked(db, path) == ids[:1]
    happen(db, ids[0])
    assert asked(db, path) == ids[:1]
    sandbox.update_job(ids[0], status="succeeded")
    happen(db, ids[0])
    assert asked(db, path) == ids[:1]
    assert asked(db, path) == []
    counts = "SELECT fine_tuning_job_id, count(*) FROM fine_tuning_job_events GROUP BY 1 ORDER BY 1"
    assert read(path, counts) == [(ids[0], 4), (ids[1], 2), (ids[2], 2)]
    state = 'SELECT "table", rows, error FROM sync_state ORDER BY 1'
    assert read(path, state) == [("fine_tuning_job_events", 8, None), ("fine_tuning_jobs", 3, None)]


def test_what_a_job_no_longer_has_goes_and_all_that_a_deleted_job_had(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.db"
    ids = fill(sandbox, 2, status="running")
    for id in ids:
        happen(db, id, 2)
    asked(db, path)
    db.execute("DELETE FROM live.events WHERE id = 'ev-1'")
    asked(db, path)
    assert read(path, "SELECT id FROM fine_tuning_job_events ORDER BY 1") == [("ev-2",), ("ev-3",), ("ev-4",)]
    sandbox.remove_job(ids[1])
    asked(db, path)
    assert read(path, "SELECT id FROM fine_tuning_job_events") == [("ev-2",)]
    assert read(path, "SELECT fine_tuning_job_id FROM _sync_children") == [(ids[0],)]


def test_a_round_reads_some_jobs_for_the_first_time_and_the_rest_comes_with_the_next(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftsql.sync.PARENTS", 4)
    path = tmp_path / "jobs.db"
    ids = fill(sandbox, 10)
    sandbox.update_job(ids[9], status="running", finished_at=None)
    for id in ids:
        happen(db, id)
    ASKED.clear()
    syncing = Sync(db, path, ["events"])
    rounds = syncing.rounds()
    first = next(rounds)
    assert sorted(set(ASKED)) == [*ids[:4], ids[9]]
    assert not first.complete
    assert read(path, "SELECT count(*) FROM jobs") == [(10,)]
    assert read(path, "SELECT synced_at FROM sync_state WHERE \"table\" LIKE '%events'") == [(None,)]
    assert len(list(rounds)) == 2
    assert read(path, "SELECT count(*), count(DISTINCT id) FROM fine_tuning_job_events") == [(10, 10)]
    assert read(path, "SELECT count(*) FROM sync_state WHERE synced_at > 0") == [(2,)]
    syncing.close()


def test_jobs_are_synced_where_their_events_fail_and_a_provider_without_events_is_no_failure(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.db"
    fill(sandbox, 2)
    db.execute("DROP VIEW live.fine_tuning_job_events")
    done = once(db, path, tables=["events"])
    assert [change.error is None for change in done.changes] == [True, False]
    assert read(path, "SELECT count(*) FROM jobs") == [(2,)]
    assert "events" not in str(once(db, path, tables=["jobs"]))


def test_a_file_of_jobs_gets_events_later_and_none_of_its_jobs_is_forgotten(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.db"
    ids = fill(sandbox, 2)
    happen(db, ids[1])
    once(db, path)
    assert asked(db, path) == [ids[1]]
    assert read(path, "SELECT id FROM fine_tuning_job_events") == [("ev-1",)]
