"""A snapshot's file: which tables are sync's, who may write to them, and that the user's own tables stay unchanged."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from pathlib import Path

import apsw
import pytest

import ftsql
from ftsql.errors import OperationalError, ProgrammingError
from ftsql.sandbox import Sandbox
from ftsql.sync.rounds import Sync
from tests.conftest import Connect, fill, gets
from tests.sync.fixtures import changed, once, read

JOBS = "SELECT count(*) FROM fine_tuning_jobs"


MESSAGE = r"this is a snapshot: write to live\.fine_tuning_jobs in ftsql"
OWN = r"this is a snapshot: only ftsql sync writes to \w+"


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO fine_tuning_jobs (key) VALUES ('x')",
        "REPLACE INTO fine_tuning_jobs SELECT * FROM fine_tuning_jobs",
        "UPDATE fine_tuning_jobs SET status = 'cancelled'",
        "DELETE FROM fine_tuning_jobs",
        "DELETE FROM sync_state",
        "UPDATE sync_state SET error = NULL",
        "DELETE FROM _sync_schema",
    ],
)
def test_writes_of_other_connections_are_refused_with_advice(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path, sql: str
) -> None:
    fill(sandbox, 2)
    path = tmp_path / "jobs.db"
    once(db, path)
    other = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match=MESSAGE if "fine_tuning_jobs" in sql else OWN):
        other.execute(sql)
    with pytest.raises(sqlite3.OperationalError, match="cannot modify jobs because it is a view"):
        other.execute("DELETE FROM jobs")
    other.close()
    assert read(path, JOBS) == [(2,)]


def test_the_shell_reads_the_snapshot_and_the_api_by_their_names(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    fill(sandbox, 2)
    path = tmp_path / "jobs.db"
    once(connect(), path)
    fill(sandbox, 1, id="ftjob-new", status="running")
    db = connect(path)
    counts = "SELECT (SELECT count(*) FROM {0}fine_tuning_jobs), (SELECT count(*) FROM {0}jobs)"
    assert db.execute(counts.format("")).fetchall() == [(2, 2)]
    assert db.execute(counts.format("live.")).fetchall() == [(3, 3)]
    with pytest.raises(
        ProgrammingError, match="main.fine_tuning_jobs belongs to a snapshot: write to live.fine_tuning"
    ):
        db.execute("UPDATE fine_tuning_jobs SET status = 'cancelled'")
    db.execute("UPDATE live.fine_tuning_jobs SET status = 'cancelled' WHERE status = 'running'")
    assert [job["status"] for job in sandbox.jobs()] == ["cancelled", "succeeded", "succeeded"]


def test_a_users_own_tables_stay_unchanged(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    fill(sandbox, 3)
    path = tmp_path / "own.db"
    own = sqlite3.connect(path)
    own.executescript(
        "CREATE TABLE mine (job TEXT, note TEXT); INSERT INTO mine VALUES ('ftjob-00001', 'good');"
        "CREATE VIEW noted AS SELECT note, status FROM mine JOIN fine_tuning_jobs ON id = job; PRAGMA user_version = 7;"
    )
    own.close()
    once(db, path)
    assert read(path, "SELECT * FROM noted") == [("good", "succeeded")]
    assert read(path, "PRAGMA user_version") == [(7,)]
    assert read(path, "PRAGMA journal_mode") == [("wal",)]


def test_a_users_triggers_indexes_and_keys_on_our_tables_do_not_stop_the_sync(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    fill(sandbox, 3)
    path = tmp_path / "own.db"
    once(db, path)
    own = sqlite3.connect(path)
    own.executescript(
        "CREATE TRIGGER mine AFTER INSERT ON fine_tuning_jobs BEGIN SELECT RAISE(ABORT, 'no'); END;"
        "CREATE INDEX by_model ON fine_tuning_jobs (model);"
        "CREATE TABLE notes (job TEXT REFERENCES fine_tuning_jobs (key) ON DELETE CASCADE);"
        "INSERT INTO notes VALUES ('openai/ftjob-00000');"
    )
    own.close()
    sandbox.remove_job("ftjob-00000")
    sandbox.add_job(id="ftjob-new")
    db.ftsql.refresh()
    (change,) = once(db, path).changes
    assert (change.new, change.deleted) == (1, 1)
    assert read(path, "SELECT * FROM notes") == [("openai/ftjob-00000",)]


def test_a_dropped_object_is_created_again(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    fill(sandbox, 2)
    path = tmp_path / "jobs.db"
    syncing = Sync(db, path, ["jobs"])
    syncing.round()
    changed(path, "DROP TABLE fine_tuning_jobs; DROP VIEW jobs")
    syncing.round()
    assert read(path, "SELECT count(*) FROM jobs") == [(2,)]
    with pytest.raises(apsw.ConstraintError, match="this is a snapshot"):
        read(path, "DELETE FROM fine_tuning_jobs")
    syncing.close()


def test_a_table_of_another_version_is_rebuilt_and_keeps_its_rows_until_the_next_fetch(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    fill(sandbox, 3)
    path = tmp_path / "jobs.db"
    once(db, path)
    changed(
        path,
        "CREATE INDEX by_model ON fine_tuning_jobs (model); ALTER TABLE fine_tuning_jobs DROP COLUMN seed;"
        "ALTER TABLE fine_tuning_jobs ADD COLUMN extinct TEXT;"
        "UPDATE fine_tuning_jobs SET provider = 'other', key = 'other/' || id WHERE id = 'ftjob-00002';"
        "UPDATE _sync_schema SET sql = (SELECT sql FROM sqlite_schema WHERE name = 'fine_tuning_jobs') "
        "WHERE name = 'fine_tuning_jobs'",
    )
    once(db, path)
    found = read(path, "SELECT provider, count(*), count(seed) FROM fine_tuning_jobs GROUP BY 1 ORDER BY 1")
    assert found == [("openai", 3, 3), ("other", 1, 0)]
    columns = [name for (name,) in read(path, "SELECT name FROM pragma_table_info('fine_tuning_jobs')")]
    assert "extinct" not in columns
    assert columns.index("seed") < columns.index("status")
    indexes = read(path, "SELECT count(*) FROM pragma_index_list('fine_tuning_jobs')")
    assert indexes == [(5,)]  # created_at, status, id, the primary key's index, the user's index


def test_the_umask_decides_who_may_read_it(db: ftsql.Connection, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        once(db, tmp_path / "jobs.db")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "jobs.db").stat().st_mode) == 0o640


def test_a_reader_stops_neither_a_round_nor_the_next(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    fill(sandbox, 2)
    path = tmp_path / "jobs.db"
    syncing = Sync(db, path, ["jobs"])
    syncing.round()
    reader = apsw.Connection(str(path))
    reader.execute("BEGIN")
    assert reader.execute(JOBS).get == 2
    for number in range(3):
        sandbox.add_job(id=f"ftjob-new-{number}")
        syncing.round()
    assert reader.execute(JOBS).get == 2
    reader.execute("COMMIT")
    assert reader.execute(JOBS).get == 5
    reader.close()
    syncing.round()
    assert (tmp_path / "jobs.db-wal").stat().st_size == 0
    syncing.close()
    assert os.listdir(tmp_path) == ["jobs.db"]


@pytest.mark.long
def test_a_round_waits_for_another_writer_and_then_reports_it(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sandbox, 2)
    path = tmp_path / "jobs.db"
    syncing = Sync(db, path, ["jobs"])
    syncing.round()
    writer = apsw.Connection(str(path))
    writer.execute("CREATE TABLE mine (x); BEGIN IMMEDIATE")
    timer = threading.Timer(0.5, writer.execute, ["COMMIT"])
    timer.start()
    syncing.round()
    timer.join()
    monkeypatch.setattr("ftsql.sync.snapshot.LOCK_TIMEOUT", 0.3)
    writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(OperationalError, match="another program has kept it locked for 0.3 s"):
        syncing.round()
    writer.execute("COMMIT")
    writer.close()
    syncing.round()
    syncing.close()


def test_stop_ends_the_wait_for_another_writer(db: ftsql.Connection, tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    once(db, path)
    end = time.monotonic() + 0.5
    syncing = Sync(db, path, ["jobs"], stop=lambda: time.monotonic() > end)
    writer = apsw.Connection(str(path))
    writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(apsw.InterruptError):
        syncing.round()
    assert time.monotonic() < end + 1
    writer.close()
    syncing.close()


def test_a_deleted_file_is_created_again_completely(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    fill(sandbox, 150)
    path = tmp_path / "jobs.db"
    syncing = Sync(db, path, ["jobs"])
    syncing.round()
    path.unlink()
    syncing.round()
    assert read(path, JOBS) == [(150,)]
    for file in tmp_path.iterdir():
        file.unlink()
    sandbox.requests.clear()
    syncing.round()
    assert gets(sandbox) == ["?limit=100"]
    syncing.close()
    assert read(path, JOBS) == [(150,)]
    assert read(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_file_that_another_sync_created_meanwhile_is_not_harmed(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    fill(sandbox, 150)
    path = tmp_path / "jobs.db"
    one, two = Sync(connect(), path, ["jobs"]), Sync(connect(), path, ["jobs"])
    one.round()
    two.round()
    path.unlink()
    one.round()
    two.close()  # its log had the name of the new file's log
    one.round()
    assert read(path, JOBS) == [(150,)]
    assert read(path, "PRAGMA integrity_check") == [("ok",)]
    one.close()
