"""Writes through PEP 249: the requests of a commit, the counts, and the state after a failure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ftsql import dbapi
from ftsql.sandbox import Sandbox
from tests.conftest import Connect, fill
from tests.write.fixtures import INSERT, ONE, alive, posts

pytestmark = pytest.mark.usefixtures("files")

NEW = INSERT + "(?, ?)"


@pytest.fixture
def db(sandbox: Sandbox, connect: Connect) -> Iterator[dbapi.Connection]:
    connection = dbapi.connect(read_only=False)
    yield connection
    connection.close()


def values(db: dbapi.Connection, sql: str, parameters: Any = ()) -> list[Any]:
    return db.cursor().execute(sql, parameters).fetchall()


def test_nothing_is_sent_before_commit_and_nothing_after_rollback(sandbox: Sandbox, db: dbapi.Connection) -> None:
    cursor = db.cursor()
    cursor.execute(NEW, ("gpt-4o-mini", "file-a"))
    assert (cursor.rowcount, cursor.lastrowid, db.last_job_id) == (1, None, None)
    ((state, body),) = values(db, "SELECT state, body FROM ftsql_writes")
    assert (state, json.loads(body)["training_file"]) == ("queued", "file-a")
    db.rollback()
    db.commit()
    assert posts(sandbox) == []
    cursor.execute(NEW, ("gpt-4o-mini", "file-a"))
    assert posts(sandbox) == []
    db.commit()
    db.commit()
    assert len(posts(sandbox)) == 1
    assert db.last_job_id == sandbox.jobs()[0]["id"]
    assert values(db, "SELECT last_job_id()") == [(db.last_job_id,)]


@pytest.mark.parametrize("leave", ["close", "drop", "raise"])
def test_a_connection_left_without_commit_sends_nothing(sandbox: Sandbox, db: dbapi.Connection, leave: str) -> None:
    other = dbapi.connect(read_only=False)
    if leave == "raise":
        with pytest.raises(ZeroDivisionError), other:
            other.cursor().execute(ONE)
            raise ZeroDivisionError
        other.commit()
        other.close()
    else:
        other.cursor().execute(ONE)
        if leave == "close":
            other.close()
        del other
    assert posts(sandbox) == []


def test_with_commits_at_its_end(sandbox: Sandbox, db: dbapi.Connection) -> None:
    with db as same:
        same.cursor().execute(ONE)
    assert same is db
    assert len(posts(sandbox)) == 1


def test_counts_and_rowids_are_those_of_the_statement(sandbox: Sandbox, db: dbapi.Connection) -> None:
    cursor = db.cursor()
    cursor.execute("CREATE TABLE own (id INTEGER PRIMARY KEY, a)")
    assert (cursor.rowcount, cursor.lastrowid) == (-1, None)
    cursor.execute("INSERT INTO own (a) VALUES (1), (2)")
    assert (cursor.rowcount, cursor.lastrowid) == (2, 2)
    cursor.execute("INSERT INTO own (a) VALUES (3) RETURNING id, a")
    assert (cursor.rowcount, cursor.lastrowid, cursor.fetchall()) == (1, 3, [(3, 3)])
    cursor.execute(ONE)
    assert (cursor.rowcount, cursor.lastrowid) == (1, None)
    cursor.execute("INSERT OR IGNORE INTO fine_tuning_jobs (model) VALUES ('m')")
    assert (cursor.rowcount, cursor.lastrowid) == (-1, None)
    cursor.execute("UPDATE own SET a = 0 WHERE id > 1")
    assert cursor.rowcount == 2
    cursor.executemany("INSERT INTO own (a) VALUES (:a)", ({"a": number} for number in range(4)))
    assert (cursor.rowcount, cursor.lastrowid, cursor.description) == (4, None, None)
    assert values(db, "SELECT count(*) FROM own") == [(7,)]
    cursor.execute("DELETE FROM own")
    assert cursor.rowcount == 7
    cursor.executemany("DELETE FROM own WHERE id = ?", [])
    assert cursor.rowcount == 0
    with pytest.raises(dbapi.ProgrammingError, match="return no rows"):
        cursor.executemany("SELECT ?", [(1,)])
    db.rollback()
    assert posts(sandbox) == []


@pytest.mark.parametrize("autocommit", [False, True])
def test_executemany_is_one_transaction_under_max_writes(sandbox: Sandbox, connect: Connect, autocommit: bool) -> None:
    db = dbapi.connect(read_only=False, max_writes=3, autocommit=autocommit)
    cursor = db.cursor()
    with pytest.raises(dbapi.ProgrammingError, match="max_writes = 3"):
        cursor.executemany(NEW, [("gpt-4o-mini", f"file-{name}") for name in "abcd"])
    db.rollback()
    assert posts(sandbox) == []
    assert cursor.executemany(NEW, [("gpt-4o-mini", f"file-{name}") for name in "abc"]).rowcount == 3
    db.commit()
    assert alive(sandbox) == ["file-a", "file-b", "file-c"]
    db.close()


def test_executemany_succeeds_completely_or_not_at_all(sandbox: Sandbox, db: dbapi.Connection) -> None:
    cursor = db.cursor()
    cursor.execute("CREATE TABLE own (id INTEGER PRIMARY KEY)")
    for _ in range(2):  # in one transaction, then each in its own
        with pytest.raises(dbapi.IntegrityError):
            cursor.executemany("INSERT INTO own VALUES (?)", [(1,), (2,), (2,), (3,)])
        with pytest.raises(dbapi.IntegrityError):
            cursor.executemany(NEW, [("gpt-4o-mini", "file-a"), ("gpt-4o-mini", None)])
        with pytest.raises(ZeroDivisionError):
            cursor.executemany("INSERT INTO own VALUES (?)", ((1 // (9 - number),) for number in (10, 9)))
        assert (db.ftsql.queued, values(db, "SELECT * FROM own")) == (0, [])
        db.commit()
        assert not db.in_transaction
        db.autocommit = True
    assert posts(sandbox) == []


def test_a_partly_failed_transaction_is_not_sent_by_a_program_that_commits_anyway(
    sandbox: Sandbox, db: dbapi.Connection
) -> None:
    cursor = db.cursor()
    for commit in (db.commit, lambda: cursor.execute("COMMIT")):
        cursor.execute(ONE)
        with pytest.raises(dbapi.IntegrityError):
            cursor.execute(NEW, ("gpt-4o-mini", None))
        with pytest.raises(dbapi.ProgrammingError, match="1 other queued writes were not sent: it is rolled back"):
            commit()
        assert not db.in_transaction
        db.commit()
    assert posts(sandbox) == []
    cursor.execute(ONE)
    cursor.execute("SAVEPOINT row")
    with pytest.raises(dbapi.IntegrityError):
        cursor.execute(NEW, ("gpt-4o-mini", None))
    cursor.execute("ROLLBACK TO row")
    db.commit()
    assert alive(sandbox) == ["file-a"]
    with pytest.raises(dbapi.IntegrityError):
        cursor.execute(NEW, ("gpt-4o-mini", None))
    db.rollback()
    cursor.execute(ONE)
    db.commit()
    assert len(posts(sandbox)) == 2


@pytest.mark.parametrize("sql", [ONE, "CREATE TABLE t (a)", "UPDATE fine_tuning_jobs SET status = 'cancelled'",
                                 "SELECT cancel_job('x')", "ATTACH 'new.db' AS new", "PRAGMA user_version = 2"])  # fmt: skip
def test_a_connection_is_read_only_unless_asked(sandbox: Sandbox, connect: Connect, sql: str) -> None:
    fill(sandbox, 2)
    db = dbapi.connect()
    with pytest.raises(dbapi.ProgrammingError, match="read-only|no such function|may not be modified"):
        db.cursor().execute(sql)
    assert not db.in_transaction
    db.commit()
    db.rollback()
    db.close()
    assert posts(sandbox) == []


def test_a_select_with_effects_acts_for_every_row_without_a_fetch(sandbox: Sandbox, db: dbapi.Connection) -> None:
    ids = [sandbox.add_job(status="running")["id"] for _ in range(3)]
    cursor = db.cursor().execute("SELECT id, cancel_job(id) FROM fine_tuning_jobs WHERE status = 'running'")
    assert len(posts(sandbox)) == 3
    assert not db.in_transaction
    assert sorted(cursor.fetchall()) == sorted((id, "cancelled") for id in ids)
