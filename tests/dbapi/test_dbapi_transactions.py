"""Transactions through PEP 249: which statements begin one, and the state after a failed commit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql import dbapi
from ftsql.sandbox import Fault, Sandbox
from tests.conftest import Connect, fill
from tests.write.fixtures import CREATE, INSERT, ONE, alive, posts

pytestmark = pytest.mark.usefixtures("files")

NEW = INSERT + "(?, ?)"


@pytest.fixture
def db(sandbox: Sandbox, connect: Connect) -> Iterator[dbapi.Connection]:
    connection = dbapi.connect(read_only=False)
    yield connection
    connection.close()


def values(db: dbapi.Connection, sql: str, parameters: Any = ()) -> list[Any]:
    return db.cursor().execute(sql, parameters).fetchall()


BEGINS = [
    ("SELECT 1", False), ("SELECT * FROM fine_tuning_jobs", False), ("PRAGMA user_version", False),
    ("PRAGMA user_version = 5", False), ("VACUUM", False), ("ATTACH ':memory:' AS more", False),
    ("EXPLAIN INSERT INTO own VALUES (2)", False), ("EXPLAIN QUERY PLAN DELETE FROM own", False),
    ("INSERT INTO own VALUES (2)", True), ("/* a */ -- b\n update own set a = 1", True), ("DELETE FROM own", True),
    ("WITH one AS (SELECT 7 AS a) INSERT INTO own SELECT a FROM one", True), ("REPLACE INTO own VALUES (3)", True),
    ("CREATE TABLE more (a)", True), ("DROP TABLE own", True), ("ALTER TABLE own ADD COLUMN b", True),
    ("CREATE TEMP TABLE t AS SELECT 1", True), ("SAVEPOINT mine", True), ("BEGIN", True), ("BEGIN IMMEDIATE", True),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "begins"), BEGINS, ids=[sql for sql, _ in BEGINS])
def test_a_transaction_begins_before_the_first_statement_that_writes(
    db: dbapi.Connection, sql: str, begins: bool
) -> None:
    db.cursor().execute("CREATE TABLE own (a)")
    db.commit()
    db.cursor().execute(sql).close()
    assert db.in_transaction is begins
    db.rollback()
    db.autocommit = True
    db.cursor().execute(sql.replace("AS more", "AS other")).close()
    assert db.in_transaction is sql.startswith(("BEGIN", "SAVEPOINT"))


def test_transactions_in_sql_work_beside_commit_and_rollback(sandbox: Sandbox, db: dbapi.Connection) -> None:
    run = db.cursor().execute
    run("BEGIN")
    run(ONE)
    run("SAVEPOINT a")
    run(NEW, ("gpt-4o-mini", "file-b"))
    run("ROLLBACK TO a")
    run("RELEASE a")
    assert posts(sandbox) == []
    run("COMMIT")
    assert alive(sandbox) == ["file-a"]
    run("SAVEPOINT outermost")
    run(NEW, ("gpt-4o-mini", "file-c"))
    run("RELEASE outermost")
    assert len(posts(sandbox)) == 1
    db.rollback()
    run(NEW, ("gpt-4o-mini", "file-d"))
    run("ROLLBACK")
    db.commit()
    assert len(posts(sandbox)) == 1
    with pytest.raises(dbapi.ProgrammingError, match="no transaction is active"):
        run("COMMIT")


def test_autocommit_sends_at_the_end_of_each_statement(sandbox: Sandbox, db: dbapi.Connection) -> None:
    db.autocommit = True
    cursor = db.cursor().execute(ONE)
    assert (len(posts(sandbox)), cursor.rowcount, cursor.lastrowid) == (1, 1, None)
    assert db.last_job_id is not None
    db.rollback()
    assert alive(sandbox) == ["file-a"]
    cursor.execute("BEGIN")
    cursor.execute(ONE)
    with pytest.raises(dbapi.ProgrammingError, match="commit or roll back first"):
        db.autocommit = False
    db.rollback()
    assert len(posts(sandbox)) == 1


def test_a_commit_that_fails_is_rolled_back_and_what_it_created_cancelled(
    sandbox: Sandbox, db: dbapi.Connection
) -> None:
    db.cursor().execute("CREATE TABLE own (a)")
    db.commit()
    db.cursor().execute("INSERT INTO own VALUES (1)")
    db.cursor().executemany(NEW, [("gpt-4o-mini", "file-a"), ("gpt-4o-mini", "file-none")])
    with pytest.raises(ftsql.APIError, match="row 2 of 2.*cancelled"):
        db.commit()
    assert not db.in_transaction
    assert (alive(sandbox), values(db, "SELECT * FROM own")) == ([], [])
    db.rollback()
    db.cursor().execute(ONE)
    db.commit()
    assert alive(sandbox) == ["file-a"]


def test_an_unknown_outcome_passes_unchanged(sandbox: Sandbox, connect: Connect) -> None:
    db = dbapi.connect(read_only=False, settle_seconds=0.2)
    sandbox.fault(Fault(method="POST", path=CREATE, drop=True))
    db.cursor().execute(ONE)
    with pytest.raises(ftsql.OutcomeUnknown):
        db.commit()
    assert not db.in_transaction
    db.close()


def test_commit_with_unfinished_cursors_sends_once_and_they_go_on(sandbox: Sandbox, db: dbapi.Connection) -> None:
    ids = fill(sandbox, 250)
    reading = db.cursor().execute("SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC")
    assert reading.fetchone() == (ids[0],)
    other = db.cursor().execute("SELECT value FROM json_each('[1, 2, 3]')")
    assert other.fetchone() == (1,)
    returning = db.cursor().execute("CREATE TABLE own (a)").execute("INSERT INTO own VALUES (1), (2) RETURNING a")
    assert returning.fetchone() == (1,)
    db.cursor().execute(ONE)
    db.commit()
    assert len(posts(sandbox)) == 1
    assert {id for (id,) in reading.fetchall()} >= set(ids[1:])
    assert (other.fetchall(), returning.fetchall()) == ([(2,), (3,)], [(2,)])
    again = db.cursor().execute("SELECT a FROM own")
    assert again.fetchone() == (1,)
    db.cursor().execute("INSERT INTO own VALUES (3)")
    db.rollback()
    assert again.fetchall() == [(2,)]


def test_executing_again_ends_the_previous_statement(sandbox: Sandbox, db: dbapi.Connection) -> None:
    fill(sandbox, 250)
    cursor = db.cursor().execute("SELECT id FROM fine_tuning_jobs")
    cursor.fetchone()
    with pytest.raises(dbapi.ProgrammingError):
        cursor.execute("SELEC")
    with pytest.raises(dbapi.ProgrammingError, match="no rows"):
        cursor.fetchone()
    assert cursor.description is None
    assert cursor.execute("SELECT 5").fetchall() == [(5,)]


def test_a_busy_file_is_an_operational_error_and_sends_nothing(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "own.db"
    holder = apsw.Connection(str(path))
    holder.execute("CREATE TABLE own (a); BEGIN IMMEDIATE")
    db = dbapi.connect(path, read_only=False)
    db.native.set_busy_timeout(50)
    db.cursor().execute(ONE)
    with pytest.raises(dbapi.OperationalError, match="locked"):
        db.cursor().execute("INSERT INTO own VALUES (1)")
    db.rollback()
    assert posts(sandbox) == []
    db.close()
    holder.close()


def test_a_commit_into_a_file_that_others_read_cancels_what_it_created(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "own.db"
    reader = apsw.Connection(str(path))
    reader.execute("CREATE TABLE own (a); INSERT INTO own VALUES (1), (2)")
    db = dbapi.connect(path, read_only=False)
    db.native.set_busy_timeout(50)
    reading = reader.execute("SELECT a FROM own")
    assert next(reading) == (1,)
    db.cursor().execute("INSERT INTO own VALUES (3)")
    db.cursor().execute(ONE)
    with pytest.raises(dbapi.OperationalError, match="locked"):
        db.commit()
    assert not db.in_transaction
    assert (len(posts(sandbox)), alive(sandbox)) == (2, [])  # a create, and its cancel
    db.close()
    reader.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_is_refused_and_leaves_its_parents_transaction_alone(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    db = dbapi.connect(tmp_path / "own.db", read_only=False)
    cursor = db.cursor().execute("CREATE TABLE own (a)")
    child = os.fork()
    if not child:
        try:
            cursor.execute("INSERT INTO own VALUES (1)")
        except dbapi.InterfaceError:
            db.close()
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    db.commit()
    assert values(db, "SELECT count(*) FROM own") == [(0,)]
    db.close()
