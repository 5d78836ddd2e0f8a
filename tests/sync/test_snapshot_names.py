"""Paths of a snapshot: any name works, but a file with other tables of these names is refused."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

import pytest

import ftsql
from ftsql.errors import OperationalError, ProgrammingError
from ftsql.resources.definitions import JOBS
from ftsql.sandbox import Sandbox
from ftsql.sync.snapshot import Snapshot
from tests.conftest import Connect, as_nobody, fill
from tests.sync.fixtures import once


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("CREATE TABLE fine_tuning_jobs (id)", "has a table fine_tuning_jobs that ftsql sync did not make"),
        ("CREATE TABLE Fine_Tuning_Jobs (id)", "has a table fine_tuning_jobs that"),
        ("CREATE VIEW jobs AS SELECT 1", "has a view jobs that"),
        ("CREATE TABLE sync_state (id)", "has a table sync_state that"),
        ("CREATE TABLE _sync_schema (name, sql)", "has a table _sync_schema that"),
        ("CREATE TABLE x (y); CREATE INDEX fine_tuning_jobs_by_id ON x (y)", "has a index fine_tuning_jobs_by_id that"),
    ],
)
def test_a_file_with_a_foreign_table_of_the_same_name_is_not_changed(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path, sql: str, message: str
) -> None:
    path = tmp_path / "own.db"
    own = sqlite3.connect(path)
    own.executescript(sql)
    own.close()
    before = path.read_bytes()
    with pytest.raises(ProgrammingError, match=message):
        once(db, path)
    assert sandbox.requests == []
    assert path.read_bytes() == before


def test_a_changed_table_of_sync_is_treated_as_foreign(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    once(db, path)
    own = sqlite3.connect(path)
    own.execute("ALTER TABLE fine_tuning_jobs ADD COLUMN note")
    own.close()
    with pytest.raises(ProgrammingError, match="or that was changed since"):
        once(db, path)


def test_the_store_and_files_that_are_not_databases_are_refused(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    db = connect(store=tmp_path / "store.db")
    with pytest.raises(ftsql.ConfigError, match="is the store"):
        once(db, tmp_path / "store.db")
    with pytest.raises(ProgrammingError, match="is ftsql's own store"):
        once(connect(), tmp_path / "store.db")
    (tmp_path / "text.csv").write_text("id,status\n" * 1000)
    with pytest.raises(OperationalError, match="it is not a SQLite database"):
        once(db, tmp_path / "text.csv")
    assert (tmp_path / "text.csv").read_text() == "id,status\n" * 1000
    assert sandbox.requests == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (":memory:", "pass its path"),
        ("", "pass its path"),
        ("file:jobs.db?mode=memory", "pass its path"),
        ("/nowhere/at/all/jobs.db", "there is no directory /nowhere/at/all"),
        ("/", "is not a file"),
        ("/dev/null", "is not a file"),
    ],
)
def test_a_path_that_cannot_be_a_file_is_refused(db: ftsql.Connection, name: str, message: str) -> None:
    with pytest.raises(ProgrammingError, match=message):
        once(db, name)


@pytest.mark.parametrize("name", ["with space.db", "what?mode=memory", "100%.db", "%41.db", "a'b\"c.db", "ü☃.db", "-x"])
def test_any_other_name_is_a_file_name(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fill(sandbox, 1)
    monkeypatch.chdir(tmp_path)
    once(db, name)
    assert sorted(os.listdir(tmp_path)) == [name]


def test_a_link_is_followed(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    fill(sandbox, 1)
    (tmp_path / "real").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "real" / "jobs.db")
    once(db, tmp_path / "link.db")
    once(db, tmp_path / "link.db")
    assert (tmp_path / "link.db").is_symlink()
    assert os.listdir(tmp_path / "real") == ["jobs.db"]


def test_a_directory_that_is_not_writable_is_reported() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        with as_nobody(), pytest.raises(OperationalError, match="The file and its directory must be writable"):
            Snapshot(f"{folder}/jobs.db", [JOBS]).open()
