"""Transactions: a write that SQL rolls back is never sent, however it is rolled back."""

from __future__ import annotations

import contextlib
import functools
import re
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql.errors import OperationalError, ProgrammingError
from ftsql.sandbox import Fault, Sandbox
from tests.conftest import Connect
from tests.write.fixtures import INSERT, ONE, alive, failing, posts

pytestmark = pytest.mark.usefixtures("files")


WITH_ONE_INSIDE = (
    "INSERT INTO fine_tuning_jobs (model, training_file) SELECT 'gpt-4o-mini', iif(column1 = 2, failing(), "
    "iif(nested('INSERT INTO k VALUES (1)') = 0, 'file-b', '')) FROM (VALUES (1), (2))"
)

# SQL scripts, one statement an item; "!" marks a statement that fails. Then the files of the created jobs.
SCRIPTS: list[tuple[list[str], list[str]]] = [
    (["BEGIN", ONE, "COMMIT"], ["file-a"]),
    (["BEGIN", ONE, "ROLLBACK"], []),
    (["BEGIN", ONE, "SAVEPOINT s", INSERT + "('gpt-4o-mini', 'file-b')", "ROLLBACK TO s", "COMMIT"], ["file-a"]),
    (["BEGIN", ONE, "SAVEPOINT s", INSERT + "('gpt-4o-mini', 'file-b')", "RELEASE s", "COMMIT"], ["file-a", "file-b"]),
    (["SAVEPOINT s", ONE, "SAVEPOINT t", INSERT + "('gpt-4o-mini', 'file-b')", "ROLLBACK TO s", "RELEASE s"], []),
    (["SAVEPOINT s", ONE, "RELEASE s"], ["file-a"]),
    (["BEGIN", "SAVEPOINT s", "INSERT INTO main.fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-b')",
      "ROLLBACK TO s", "INSERT INTO live.fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-c')",
      "COMMIT"], ["file-c"]),
    (["BEGIN", ONE, "!" + INSERT + "('gpt-4o-mini', 'file-b'), ('gpt-4o-mini', NULL)", "COMMIT"], ["file-a"]),
    (["BEGIN", ONE, "!" + INSERT + "('gpt-4o-mini', 'file-b'), ('gpt-4o-mini', failing())", "COMMIT"], ["file-a"]),
    (["BEGIN", ONE, "!INSERT INTO fine_tuning_jobs (model, training_file) SELECT 'gpt-4o-mini', "
      "iif(column1 = 2, failing(), 'file-b') FROM (VALUES (1), (2))", "COMMIT"], ["file-a"]),
    (["BEGIN", ONE, "!INSERT INTO fine_tuning_jobs (model, training_file) SELECT 'gpt-4o-mini', "
      "iif(column1 = 2, abs(-9223372036854775808), 'file-b') FROM (VALUES (1), (2))", "COMMIT"], ["file-a"]),
    (["BEGIN", ONE, "!" + INSERT + "('gpt-4o-mini', 'file-b') RETURNING failing(model)", "COMMIT"], ["file-a"]),
    (["BEGIN", ONE, "!" + INSERT + "('gpt-4o-mini', 'file-b'), ('gpt-4o-mini', json('{'))", "COMMIT"], ["file-a"]),
    (["BEGIN", INSERT + "('gpt-4o-mini', 'file-b'), ('gpt-4o-mini', 'file-c')", ONE, "COMMIT"],
     ["file-a", "file-b", "file-c"]),
    (["!" + INSERT + "('gpt-4o-mini', 'file-b'), ('gpt-4o-mini', NULL)"], []),
    (["!" + INSERT + "('gpt-4o-mini', 'file-b'), ('gpt-4o-mini', failing())", ONE], ["file-a"]),
    (["INSERT OR IGNORE INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-a'), "
      "('gpt-4o-mini', NULL), ('gpt-4o-mini', 'file-none'), ('gpt-4o-mini', 'file-b')"], ["file-a", "file-b"]),
    (["!INSERT OR FAIL INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-a'), "
      "('gpt-4o-mini', 'file-none'), ('gpt-4o-mini', 'file-b')"], ["file-a"]),
    (["!INSERT OR FAIL INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-a'), "
      "('gpt-4o-mini', NULL), ('gpt-4o-mini', 'file-b')"], ["file-a"]),
    (["BEGIN", ONE, "!INSERT OR ROLLBACK INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', NULL)"], []),
    (["!INSERT OR REPLACE INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-a')"], []),
    (["!" + INSERT + "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-none'), ('gpt-4o-mini', 'file-b')"], []),
    (["BEGIN", ONE, INSERT + "('gpt-4o-mini', 'file-none')", "!COMMIT"], []),
    (["BEGIN", ONE, "SELECT count(*) FROM fine_tuning_jobs", "COMMIT"], ["file-a"]),
    (["BEGIN", "SAVEPOINT s", INSERT + "('gpt-4o-mini', 'file-b'), ('gpt-4o-mini', 'file-c')", "ROLLBACK TO s", "COMMIT"], []),
    (["BEGIN", "SAVEPOINT s", ONE + " RETURNING model", "ROLLBACK TO s", ONE, "COMMIT"], ["file-a"]),
    (["BEGIN", "SAVEPOINT s", "SAVEPOINT t", INSERT + "('gpt-4o-mini', 'file-b'), ('gpt-4o-mini', 'file-c')",
      "ROLLBACK TO t", ONE, "RELEASE s", "COMMIT"], ["file-a"]),
    (["BEGIN", "SAVEPOINT s", "INSERT INTO fine_tuning_jobs (model, training_file) SELECT 'gpt-4o-mini', column1 FROM "
      "(VALUES ('file-b'), ('file-c'))", "ROLLBACK TO s", "COMMIT"], []),
    (["BEGIN", "-- c\nSAVEPOINT s", ONE, "COMMIT"], ["file-a"]),
    (["BEGIN", 'SAVEPOINT"s"', ONE, "COMMIT"], ["file-a"]),
    (["BEGIN", "SAVEPOINT[s t]", ONE, "ROLLBACK TO[s t]", INSERT + "('gpt-4o-mini', 'file-b')", "COMMIT"], ["file-b"]),
    (["BEGIN", "; SAVEPOINT s", ONE, "COMMIT"], ["file-a"]),
    (["BEGIN", "SAVEPOINT/**/s--x", ONE, "ROLLBACK/* */TRANSACTION TO SAVEPOINT s", "COMMIT"], []),
    (["BEGIN", ONE, "!-- c\n" + INSERT + "('gpt-4o-mini', 'file-b'), ('gpt-4o-mini', NULL)", "COMMIT"], ["file-a"]),
    (["BEGIN", ONE, "!-- c\nINSERT INTO fine_tuning_jobs (model, training_file) SELECT 'gpt-4o-mini', "
      "iif(column1 = 2, failing(), 'file-b') FROM (VALUES (1), (2))", "COMMIT"], ["file-a"]),
    (["BEGIN", "!INSERT OR FAIL INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-a'), "
      "('gpt-4o-mini', NULL)", "COMMIT"], ["file-a"]),
    (["BEGIN", "SELECT nested('" + ONE.replace("'", "''") + "')", "COMMIT"], ["file-a"]),
    (["BEGIN", ONE, "SELECT caught('" + INSERT.replace("'", "''") + "(''gpt-4o-mini'', ''file-b''), (''gpt-4o-mini'', NULL)')",
      "COMMIT"], ["file-a"]),
    (["BEGIN", "CREATE TABLE l (x)", "INSERT INTO l SELECT caught('" + INSERT.replace("'", "''")
      + "(''gpt-4o-mini'', ''file-b''), (''gpt-4o-mini'', NULL)') FROM (VALUES (1), (2))", ONE, "COMMIT"], ["file-a"]),
    *((["BEGIN", "CREATE TABLE l (x)", *first, "INSERT INTO l SELECT caught('" + INSERT.replace("'", "''")
        + f"(''gpt-4o-mini'', ''file-b''), (''gpt-4o-mini'', {last})')", "COMMIT"], [*["file-a"] * len(first), *stand])
      for last, stand in (("failing()", []), ("''file-c''", ["file-b", "file-c"])) for first in ([], [ONE])),
    (["CREATE TABLE l (x)", "CREATE VIRTUAL TABLE words USING fts5 (x)", "CREATE TEMP TRIGGER t AFTER INSERT ON l BEGIN "
      "INSERT INTO words VALUES (iif(new.x = 1, failing(), new.x)); "
      "INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', new.x); END",
      "BEGIN", ONE, "!INSERT INTO l VALUES ('file-b'), (1)", "INSERT INTO l VALUES ('file-c')", "COMMIT"],
     ["file-a", "file-c"]),
    (["BEGIN", "SAVEPOINT s", "COMMIT", "BEGIN", ONE, "!INSERT INTO fine_tuning_jobs (model, training_file) SELECT "
      "'gpt-4o-mini', iif(column1 = 2, failing(), 'file-b') FROM (VALUES (1), (2))", "COMMIT"], ["file-a"]),
    (["BEGIN", "CREATE TABLE l (x)", "CREATE TABLE k (x)", "INSERT INTO l SELECT caught('" + WITH_ONE_INSIDE.replace("'", "''")
      + "')", ONE, "COMMIT"], ["file-a"]),
]  # fmt: skip


@pytest.mark.parametrize(("script", "standing"), SCRIPTS, ids=[" ; ".join(script)[:110] for script, _ in SCRIPTS])
def test_only_what_sql_keeps_becomes_a_job(
    sandbox: Sandbox, db: ftsql.Connection, script: list[str], standing: list[str]
) -> None:
    db.create_scalar_function("failing", failing)
    db.create_scalar_function("nested", functools.partial(_nested, db))
    db.create_scalar_function("caught", functools.partial(_caught, db))
    for sql in script:
        if sql.startswith("!"):
            with pytest.raises((ftsql.Error, apsw.Error, ZeroDivisionError)):
                db.execute(sql[1:]).fetchall()
        else:
            db.execute(sql).fetchall()
    assert not db.in_transaction
    assert alive(sandbox) == standing


MORE = """
    CREATE TABLE o (x); CREATE TABLE u (x PRIMARY KEY); CREATE TABLE l (x); CREATE VIEW shown AS SELECT 1 AS x;
    CREATE TEMP TRIGGER a AFTER INSERT ON l BEGIN INSERT INTO o VALUES (5);
        INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', iif(new.x = 1, failing(), new.x)); END;
    CREATE TEMP TRIGGER b BEFORE INSERT ON u BEGIN
        INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-c'); END;
    CREATE TEMP TRIGGER c INSTEAD OF INSERT ON shown BEGIN
        INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-d');
        SELECT iif(new.x = 1, failing(), 0); END
"""


def inside(sql: str, around: str = "INSERT INTO o SELECT {}") -> str:
    """A statement that runs another one as it is under way."""
    return around.format("caught('" + sql.replace("'", "''") + "')")


THEN_FAILS = "INSERT INTO o SELECT iif({} = 'done', failing(), 1)"
ALONE = "INSERT INTO o VALUES (iif({} = 'done', failing(), 1))"  # of one row SQLite has nothing to undo
INSIDE = [
    inside("INSERT INTO l VALUES ('file-b'), (1)"), inside("INSERT INTO l VALUES ('file-b'), ('file-c')"),
    inside("INSERT INTO shown VALUES (1)"), inside("INSERT INTO shown VALUES (2)"),
    inside("INSERT OR IGNORE INTO u VALUES ('k'), ('k')"), inside("INSERT INTO u VALUES ('k'), ('k')"),
    inside(ONE, THEN_FAILS), inside(ONE, ALONE), inside(inside(ONE, ALONE)), inside(inside(ONE, THEN_FAILS)),
    inside("INSERT INTO l VALUES ('file-b')", THEN_FAILS), inside(inside("INSERT INTO l VALUES ('file-b')", THEN_FAILS)),
    inside(inside(ONE, "WITH a AS (SELECT 1) SELECT {} FROM a"), "INSERT INTO o SELECT {} FROM (VALUES (1), (2))"),
    inside(inside(inside("INSERT INTO shown VALUES (2)"), THEN_FAILS)),
    inside(inside("INSERT INTO shown VALUES (2)", THEN_FAILS), "CREATE TABLE made AS SELECT {}"),
    inside(inside(ONE, "CREATE TABLE made AS SELECT iif({} = 'done', failing(), 1)")),
    inside(inside(ONE, "CREATE TABLE made AS SELECT iif({} = 'done' AND column1 = 2, failing(), 1) FROM (VALUES (1), (2))")),
]  # fmt: skip


@pytest.mark.parametrize("first", [[], ["BEGIN"], ["BEGIN", ONE]], ids=["alone", "first", "second"])
@pytest.mark.parametrize("sql", INSIDE)
def test_what_runs_inside_a_statement_stays_where_it_would_in_a_plain_table(
    sandbox: Sandbox, db: ftsql.Connection, sql: str, first: list[str]
) -> None:
    plain = apsw.Connection(":memory:")
    plain.execute("CREATE TABLE fine_tuning_jobs (model, training_file)")
    for one in (plain, db):
        one.create_scalar_function("failing", failing)
        one.create_scalar_function("caught", functools.partial(_caught, one))
        one.execute(MORE)
        for each in [*first, sql, *(["COMMIT"] if first else [])]:
            with contextlib.suppress(ZeroDivisionError):
                one.execute(each).fetchall()
    standing = plain.execute("SELECT training_file FROM fine_tuning_jobs ORDER BY 1")
    assert alive(sandbox) == [file for (file,) in standing]
    plain.close()


def _nested(db: apsw.Connection, sql: Any) -> int:
    return len(db.execute(sql).fetchall())


def _caught(db: apsw.Connection, sql: Any) -> str:
    try:
        _nested(db, sql)
    except (ftsql.Error, apsw.Error, ZeroDivisionError):
        return "failed"
    return "done"


@pytest.mark.parametrize("other", [False, True])
def test_a_returning_left_unfinished_loses_nothing(sandbox: Sandbox, db: ftsql.Connection, other: bool) -> None:
    db.execute("BEGIN")
    cursor = db.execute(INSERT + "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-b') RETURNING model")
    assert cursor.fetchone() == ("gpt-4o-mini",)
    if other:
        db.execute(INSERT + "('gpt-4o-mini', 'file-c')")
    cursor.close()
    db.execute("COMMIT")
    assert alive(sandbox) == ["file-a", "file-b", *(["file-c"] if other else [])]


def test_a_returning_left_unfinished_by_its_transaction_touches_no_later_one(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    db.execute("CREATE TABLE mine (x); BEGIN")
    cursor = db.execute(INSERT + "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-b') RETURNING model")
    assert cursor.fetchone() == ("gpt-4o-mini",)
    db.execute("ROLLBACK; BEGIN")
    db.execute(INSERT + "('gpt-4o-mini', 'file-c')")
    db.execute("UPDATE mine SET x = 1")
    cursor.close()
    db.execute("COMMIT")
    assert alive(sandbox) == ["file-c"]


def test_a_comment_before_a_statement_changes_nothing(sandbox: Sandbox, db: ftsql.Connection) -> None:
    for _ in range(2):
        db.execute("-- a comment\nSELECT create_job('gpt-4o-mini', 'file-a')").fetchall()
        count = len(sandbox.jobs())
        assert db.execute("-- look\nSELECT count(*) FROM fine_tuning_jobs").fetchall() == [(count,)]
    assert alive(sandbox) == ["file-a", "file-a"]


def test_a_nested_transaction_block_rolls_back_alone(sandbox: Sandbox, db: ftsql.Connection) -> None:
    with db:
        db.execute(ONE)
        with pytest.raises(ZeroDivisionError), db:
            db.execute(INSERT + "('gpt-4o-mini', 'file-b'), ('gpt-4o-mini', 'file-c')")
            failing()
    assert alive(sandbox) == ["file-a"]


def test_the_journal_tells_what_became_of_each_write(sandbox: Sandbox, db: ftsql.Connection) -> None:
    db.execute(ONE)
    with pytest.raises(ftsql.APIError):
        db.execute(INSERT + "('gpt-4o-mini', 'file-b'), ('gpt-4o-mini', 'file-none')")
    db.execute("SELECT cancel_job(last_job_id())").fetchall()
    found = db.execute("SELECT state, action, http_status FROM ftsql_writes").fetchall()
    assert found == [
        ("committed", "create", 200), ("cancelled", "create", 200), ("refused", "create", 400),
        ("committed", "cancel", 200), ("committed", "cancel", 200),
    ]  # fmt: skip


def test_a_refused_row_fails_the_transaction_and_the_error_says_what_became_of_all(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    with pytest.raises(ftsql.APIError) as caught:
        db.execute(INSERT + "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-none'), ('gpt-4o-mini', 'file-b')")
    (job,) = sandbox.jobs()
    text = str(caught.value)
    assert "row 2 of 3" in text
    assert "file-none" in text
    assert f"{job['id']} was created and is cancelled now" in text
    assert "1 more row was not sent" in text
    assert db.ftsql.take_created() == []


def test_the_error_of_a_single_row_is_the_apis_own(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.add_job(id="ftjob-over", status="succeeded")
    with pytest.raises(ftsql.APIError, match=r"^openai: invalid training_file: file-none \([^()]*\)$"):
        db.execute(INSERT + "('gpt-4o-mini', 'file-none')")
    with pytest.raises(ftsql.APIError, match=r"^openai: Job has already .*\. The job is succeeded already$"):
        db.execute("UPDATE fine_tuning_jobs SET status = 'cancelled' WHERE id = 'ftjob-over'")


def test_the_error_of_a_row_says_what_became_of_every_other_write(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.add_job(id="ftjob-over", status="succeeded")
    sandbox.add_job(id="ftjob-runs", status="running")
    sandbox.add_file(id="file-gone")
    sandbox.add_file(id="file-used")
    used = {"error": {"message": "File is in use"}}
    sandbox.fault(Fault(method="DELETE", path="file-used", status=400, body=used))
    with pytest.raises(ftsql.APIError) as caught, db:
        db.execute("UPDATE fine_tuning_jobs SET status = 'cancelled' WHERE id IN ('ftjob-over', 'ftjob-runs')")
        db.execute("DELETE FROM files WHERE id IN ('file-gone', 'file-used')")
        db.execute(INSERT + "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-none'), ('gpt-4o-mini', 'file-b')")
    made = next(job["id"] for job in sandbox.jobs() if job["training_file"] == "file-a")
    first, _, fates = re.sub(r" \(HTTP 400.*?\)", "", str(caught.value)).partition(". ")
    assert first == "openai: row 6 of 7: invalid training_file: file-none"
    assert fates == (
        f"{made} was created and is cancelled now; ftjob-runs is cancelled now; file-gone is deleted now; "
        "ftjob-over could not be changed (openai: Job has already completed: ftjob-over. The job is succeeded already); "
        "file-used could not be deleted (openai: File is in use); 1 more row was not sent."
    )
    told = db.execute("SELECT state, error FROM ftsql_writes WHERE action = 'create'").fetchall()
    assert [state for state, _ in told] == ["cancelled", "refused", "refused"]
    assert told[2][1] == "not sent: a row before it failed"


def test_the_error_of_changes_says_what_became_of_every_other_write(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.add_job(id="ftjob-over", status="succeeded")
    sandbox.add_job(id="ftjob-runs", status="running")
    with pytest.raises(OperationalError) as caught, db:
        db.execute("UPDATE fine_tuning_jobs SET status = 'cancelled' WHERE id IN ('ftjob-over', 'ftjob-runs')")
        db.execute(ONE)
    made = next(job["id"] for job in sandbox.jobs() if job["training_file"] == "file-a")
    assert re.sub(r" \(HTTP 400.*?\)", "", str(caught.value)) == (
        "1 of 3 jobs could not be changed: ftjob-over: openai: Job has already completed: ftjob-over. "
        f"The job is succeeded already. ftjob-runs is cancelled now; {made} was created and is cancelled now."
    )


def test_what_or_fail_keeps_is_told_like_what_a_commit_made(sandbox: Sandbox, db: ftsql.Connection) -> None:
    rows = "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-none')"
    with pytest.raises(ftsql.APIError, match="row 2 of 2: .* was created and stays"):
        db.execute(INSERT.replace("INSERT", "INSERT OR FAIL") + rows)
    (job,) = sandbox.jobs()
    assert db.ftsql.take_notes() == [
        f"created {job['id']} (provider openai, model {job['model']}, status {job['status']})"
    ]
    assert [row.id for row in db.ftsql.take_created()] == [db.ftsql.last_job_id] == [job["id"]]
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("committed",), ("refused",)]


def test_more_than_one_write_is_sent_only_once_somebody_confirmed(sandbox: Sandbox, db: ftsql.Connection) -> None:
    asked: list[str] = []
    answers = iter([False, True, True])

    def confirm(question: str) -> bool:
        asked.append(question)
        return next(answers)

    db.ftsql.confirm_writes(confirm)
    db.execute(ONE)
    assert asked == []
    several = f"BEGIN; DELETE FROM files WHERE id IN ('file-g', 'file-h'); {ONE}; COMMIT"
    with pytest.raises(ProgrammingError, match="not confirmed: nothing was sent, and the transaction is rolled back"):
        db.execute(several)
    assert not db.in_transaction
    assert alive(sandbox) == ["file-a"]
    db.execute(several)
    db.execute(INSERT + "('gpt-4o-mini', 'file-b'), ('gpt-4o-mini', 'file-c')")
    assert asked == ["create 1 fine-tuning job and delete 2 files?"] * 2 + ["create 2 fine-tuning jobs?"]
    assert alive(sandbox) == ["file-a", "file-a", "file-b", "file-c"]
    assert db.execute("SELECT count(*) FROM files WHERE id IN ('file-g', 'file-h')").get == 0


def test_a_busy_commit_sends_once_and_a_rollback_after_it_cancels(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "own.db"
    db = connect(path)
    db.set_busy_timeout(0)
    db.execute("CREATE TABLE mine (id)")
    for ending, standing in (("COMMIT", ["file-a"]), ("ROLLBACK", ["file-a"])):
        reader = apsw.Connection(str(path))
        reader.execute("BEGIN; SELECT * FROM mine").fetchall()
        db.execute("BEGIN; INSERT INTO mine VALUES (1); " + ONE)
        for _ in range(2):
            with pytest.raises(apsw.BusyError):
                db.execute("COMMIT")
        reader.close()
        db.execute(ending)
        assert alive(sandbox) == standing
    assert sum(1 for path, _ in posts(sandbox) if path == "") == 2


def test_a_commit_hook_that_refuses_leaves_no_job_alive(sandbox: Sandbox, db: ftsql.Connection) -> None:
    db.execute("CREATE TABLE mine (id)")
    db.set_commit_hook(lambda: True)
    with pytest.raises(apsw.ConstraintError):
        db.execute("BEGIN; INSERT INTO mine VALUES (1); " + ONE + "; COMMIT")
    db.set_commit_hook(None)
    assert alive(sandbox) == []


def test_with_is_a_transaction(sandbox: Sandbox, db: ftsql.Connection) -> None:
    with pytest.raises(ZeroDivisionError), db:
        db.execute(ONE)
        failing()
    assert posts(sandbox) == []
    with db:
        db.execute(ONE)
    assert alive(sandbox) == ["file-a"]
