"""INSERT, UPDATE, DELETE: what SQL undoes is never sent, and what is sent is sent once."""

from __future__ import annotations

import functools
import json
import time
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql.sandbox import Fault, Sandbox
from tests.conftest import Connect, fill

CREATE = r"/fine_tuning/jobs$"
INSERT = "INSERT INTO fine_tuning_jobs (model, training_file) VALUES "
ONE = INSERT + "('gpt-4o-mini', 'file-a')"


@pytest.fixture(autouse=True)
def _files(sandbox: Sandbox) -> None:
    for name in "abcdefgh":
        sandbox.add_file(id=f"file-{name}")


def posts(sandbox: Sandbox) -> list[tuple[str, Any]]:
    prefix = "/v1/fine_tuning/jobs"
    return [
        (request.path.removeprefix(prefix), json.loads(request.body) if request.body else None)
        for request in sandbox.requests
        if request.method == "POST"
    ]


def alive(sandbox: Sandbox) -> list[str]:
    return sorted(job["training_file"] for job in sandbox.jobs() if job["status"] != "cancelled")


def test_an_insert_creates_one_job_with_what_it_says(sandbox: Sandbox, db: ftsql.Connection) -> None:
    db.execute(
        "INSERT INTO fine_tuning_jobs (model, training_file, validation_file, suffix, seed, hyperparameters, metadata) "
        "VALUES ('gpt-4o-mini', 'file-a', 'file-b', 'mine', 7, json_object('n_epochs', 3), '{\"team\":\"ads\"}')"
    )
    ((path, body),) = posts(sandbox)
    assert path == ""
    assert body.pop("metadata").items() >= {"team": "ads"}.items()
    assert body == {
        "model": "gpt-4o-mini", "training_file": "file-a", "validation_file": "file-b", "suffix": "mine",
        "seed": 7, "hyperparameters": {"n_epochs": 3},
    }  # fmt: skip
    (job,) = sandbox.jobs()
    assert db.execute("SELECT last_job_id()").fetchall() == [(job["id"],)]
    shown = db.execute("SELECT seed, suffix, metadata FROM fine_tuning_jobs WHERE id = last_job_id()").fetchall()
    assert shown == [(7, "mine", '{"team":"ads"}')]
    assert [row.id for row in db.ftsql.take_created()] == [job["id"]]


def test_insert_select_from_a_local_table_creates_a_job_a_row_in_order(sandbox: Sandbox, db: ftsql.Connection) -> None:
    db.execute("CREATE TABLE sweep (file TEXT, epochs INT)")
    db.execute("INSERT INTO sweep VALUES ('file-a', 1), ('file-b', 2), ('file-c', 3)")
    db.execute(
        "INSERT INTO fine_tuning_jobs (model, training_file, method) SELECT 'gpt-4o-mini', file, "
        "json_object('type', 'supervised', 'supervised', json_object('hyperparameters', json_object('n_epochs', epochs)))"
        " FROM sweep ORDER BY file"
    )
    assert [body["training_file"] for _, body in posts(sandbox)] == ["file-a", "file-b", "file-c"]
    assert posts(sandbox)[2][1]["method"]["supervised"]["hyperparameters"] == {"n_epochs": 3}


def failing(*_: Any) -> str:
    raise ZeroDivisionError("a function failed")


# SQL scripts, a statement an item; "!" means that it fails. Then the files of the jobs that stand.
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


def _nested(db: ftsql.Connection, sql: Any) -> int:
    return len(db.execute(sql).fetchall())


def _caught(db: ftsql.Connection, sql: Any) -> str:
    try:
        _nested(db, sql)
    except ftsql.Error:
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


def test_or_ignore_does_not_swallow_a_wrong_key(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    with pytest.raises(ftsql.AuthenticationError):
        connect().execute(ONE.replace("INSERT", "INSERT OR IGNORE"))


def test_a_file_cannot_hold_the_table_under_another_name(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "hostile.db"
    plain = apsw.Connection(str(path))
    plain.execute(
        "CREATE TABLE sweep (f); CREATE TRIGGER t AFTER INSERT ON sweep BEGIN "
        "INSERT INTO results (model, training_file) VALUES ('gpt-4o-mini', new.f); END;"
        "PRAGMA writable_schema = on; INSERT INTO sqlite_schema VALUES ('table', 'results', 'results', 0, "
        "'CREATE VIRTUAL TABLE results USING fine_tuning_jobs')"
    )
    plain.close()
    with pytest.raises((ftsql.Error, apsw.Error), match="is called fine_tuning_jobs"):
        connect(path).execute("INSERT INTO sweep VALUES ('file-a')")
    assert posts(sandbox) == []


@pytest.mark.parametrize("attached", [False, True])
def test_a_temp_trigger_does_not_lend_its_name_to_one_in_a_file(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, attached: bool
) -> None:
    path = tmp_path / "hostile.db"
    maker = connect(path, trust_file=True)
    maker.execute(f"CREATE TABLE mine (id); CREATE TRIGGER T AFTER INSERT ON mine BEGIN {ONE}; END")
    db = connect() if attached else connect(path)
    if attached:
        db.execute(f"ATTACH '{path}' AS other")
    db.execute("CREATE TEMP TABLE own (id); CREATE TEMP TRIGGER t AFTER INSERT ON own BEGIN SELECT 1; END")
    with pytest.raises(ftsql.Error, match="lives in the file"):
        db.execute("INSERT INTO mine VALUES (1)")
    assert posts(sandbox) == []


def test_a_dry_run_shows_what_commit_would_send_and_sends_nothing(sandbox: Sandbox, db: ftsql.Connection) -> None:
    db.execute("BEGIN; " + ONE)
    body: Any
    ((state, method, path, body),) = db.execute("SELECT state, method, path, body FROM ftsql_writes").fetchall()
    db.execute("ROLLBACK")
    assert (state, method, path) == ("queued", "POST", "/fine_tuning/jobs")
    assert json.loads(body).items() >= {"model": "gpt-4o-mini", "training_file": "file-a"}.items()
    assert posts(sandbox) == []
    assert db.execute("SELECT * FROM ftsql_writes").fetchall() == []
    db.execute("BEGIN; " + ONE)
    ((body,),) = db.execute("SELECT body FROM ftsql_writes").fetchall()
    db.execute("COMMIT")
    assert posts(sandbox) == [("", json.loads(body))]


def test_the_journal_tells_what_became_of_each_write(sandbox: Sandbox, db: ftsql.Connection) -> None:
    db.execute(ONE)
    with pytest.raises(ftsql.APIError):
        db.execute(INSERT + "('gpt-4o-mini', 'file-b'), ('gpt-4o-mini', 'file-none')")
    db.execute("SELECT cancel_job(last_job_id())").fetchall()
    found = db.execute("SELECT state, action, http_status FROM ftsql_writes").fetchall()
    assert found == [
        ("committed", "create", 200), ("cancelled", "create", 200), ("refused", "create", 400),
        ("done", "cancel", 200), ("done", "cancel", 200),
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


# columns and values that are refused before anything is sent, with words of the error
REFUSED = [
    ("(training_file) VALUES ('file-a')", "model is missing"),
    ("(model, training_file) VALUES ('', 'file-a')", "model is missing"),
    ("(model) VALUES ('gpt-4o-mini')", "training_file is missing"),
    ("(model, training_file, id) VALUES ('m', 'f', 'x')", "id is filled by the API"),
    ("(model, training_file, status) VALUES ('m', 'f', 'x')", "status is filled by the API"),
    ("(model, training_file, key) VALUES ('m', 'f', 'x')", "key is filled by the API"),
    ("(model, training_file, provider) VALUES ('m', 'f', 'x')", "provider 'x' is not active: active are openai"),
    ("(model, training_file, suffix) VALUES ('m', 'f', '')", "suffix has from 1 to 64 characters"),
    ("(model, training_file, suffix) VALUES ('m', 'f', hex(zeroblob(33)))", "suffix has from 1 to 64 characters"),
    ("(model, training_file, seed) VALUES ('m', 'f', -1)", "seed is a number from 0 to 2147483647"),
    ("(model, training_file, seed) VALUES ('m', 'f', 2147483648)", "seed is a number from 0 to 2147483647"),
    ("(model, training_file, seed) VALUES ('m', 'f', 'x')", "seed takes an integer"),
    ("(model, training_file) VALUES (5, 'f')", "model takes a text"),
    ("(model, training_file, metadata) VALUES ('m', 'f', '{')", "metadata is no valid JSON"),
    ("(model, training_file, metadata) VALUES ('m', 'f', '[1]')", "metadata takes a JSON object"),
    ("(model, training_file, metadata) VALUES ('m', 'f', 5)", "metadata takes a JSON object"),
    ("(model, training_file, metadata) VALUES ('m', 'f', '{\"a\":5}')", "takes texts as values"),
    ("(model, training_file, metadata) SELECT 'm', 'f', json_object('a', hex(zeroblob(257)))", "at most 512"),
    ("(model, training_file, metadata) SELECT 'm', 'f', json_object(hex(zeroblob(33)), 'a')", "at most 64"),
    ("(model, training_file, metadata) SELECT 'm', 'f', json_group_object('k' || value, 'v') "
     "FROM generate_series(1, 17)", "at most 16 pairs"),
    ("(model, training_file, integrations) VALUES ('m', 'f', '{}')", "integrations takes a JSON array"),
    ("(model, training_file, hyperparameters) VALUES ('m', 'f', 'auto')", "hyperparameters is no valid JSON"),
    ("(model, training_file, extra_body) VALUES ('m', 'f', '{\"model\":\"x\"}')", "which the row has too"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_a_row_that_cannot_be_right_is_refused_before_it_is_sent(
    sandbox: Sandbox, db: ftsql.Connection, row: str, words: str
) -> None:
    series = json.dumps(list(range(1, 18)))
    row = row.replace("generate_series(1, 17)", f"json_each('{series}')")
    with pytest.raises(ftsql.Error, match=words):
        db.execute(f"INSERT INTO fine_tuning_jobs {row}")
    assert sandbox.requests == []


def test_an_unknown_column_is_sqlites_own_error(db: ftsql.Connection) -> None:
    with pytest.raises(apsw.SQLError, match="no column named modell"):
        db.execute("INSERT INTO fine_tuning_jobs (modell) VALUES ('x')")


def test_limits_hold_at_their_edges(sandbox: Sandbox, db: ftsql.Connection) -> None:
    pairs = json.dumps({f"{number:064}": "v" * 512 for number in range(16)})
    sql = "INSERT INTO fine_tuning_jobs (model, training_file, suffix, seed, metadata) VALUES (?, ?, ?, ?, ?)"
    db.execute(sql, ("gpt-4o-mini", "file-a", "s" * 64, 2147483647, pairs))
    db.execute(sql, ("gpt-4o-mini", "file-a", "s", 0, None))
    assert len(sandbox.jobs()) == 2


def test_extra_body_is_merged_into_the_request(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.fault(Fault(method="POST", path=CREATE, status=400, body={"error": {"message": "no such field"}}))
    with pytest.raises(ftsql.APIError, match="no such field"):
        db.execute(
            "INSERT INTO fine_tuning_jobs (model, training_file, extra_body) VALUES ('m', 'f', '{\"role_arn\":\"x\"}')"
        )
    assert posts(sandbox)[0][1]["role_arn"] == "x"


@pytest.mark.parametrize("begin", ["", "BEGIN; "])
def test_max_writes_refuses_before_anything_is_sent(sandbox: Sandbox, db: ftsql.Connection, begin: str) -> None:
    rows = ", ".join(["('gpt-4o-mini', 'file-a')"] * 21)
    with pytest.raises(ftsql.Error, match=r"more than max_writes = 20 .*nothing was sent.*connect\(max_writes"):
        db.execute(begin + INSERT + rows)
    if begin:
        db.execute("COMMIT")
    assert posts(sandbox) == []


def test_max_writes_can_be_raised(sandbox: Sandbox, connect: Connect) -> None:
    connect(max_writes=30).execute(INSERT + ", ".join(["('gpt-4o-mini', 'file-a')"] * 25))
    assert len(sandbox.jobs()) == 25


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


def test_a_trigger_in_the_file_may_not_write_jobs_unless_trusted(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.db"
    trigger = f"TRIGGER evil AFTER INSERT ON mine BEGIN {ONE}; END"
    maker = connect(path, trust_file=True)
    maker.execute("CREATE TABLE mine (id); CREATE " + trigger)
    db = connect(path)
    with pytest.raises((ftsql.Error, apsw.Error), match="trust_file|not authorized"):
        db.execute("INSERT INTO mine VALUES (1)")
    assert posts(sandbox) == []
    maker.execute("INSERT INTO mine VALUES (1)")
    assert alive(sandbox) == ["file-a"]
    db.execute("CREATE TABLE own (id); CREATE TEMP " + trigger.replace("evil", "good").replace("ON mine", "ON own"))
    db.execute("INSERT INTO own VALUES (1)")
    assert alive(sandbox) == ["file-a", "file-a"]


READ_ONLY = [
    ONE, "UPDATE fine_tuning_jobs SET status = 'cancelled'", "DELETE FROM fine_tuning_jobs", "SELECT cancel_job('x')",
    "SELECT create_job('m', 'f')", "INSERT INTO mine VALUES (2)", "CREATE TABLE other (id)", "DROP TABLE mine",
    "CREATE TEMP TABLE other (id)", "PRAGMA user_version = 5", "PRAGMA query_only = 0", "PRAGMA writable_schema = 1",
    "INSERT INTO live.fine_tuning_jobs (model, training_file) VALUES ('m', 'f')", "PRAGMA journal_mode = DELETE",
    "VACUUM INTO '{tmp}/copy.db'", "ATTACH '{tmp}/more.db' AS more; CREATE TABLE more.t (id)",
    "DROP VIEW live.jobs", "ANALYZE", "REINDEX", "ALTER TABLE mine ADD COLUMN x",
]  # fmt: skip


@pytest.mark.parametrize("sql", READ_ONLY)
def test_read_only_writes_nothing(sandbox: Sandbox, connect: Connect, tmp_path: Path, sql: str) -> None:
    path = tmp_path / "own.db"
    connect(path).execute("CREATE TABLE mine (id); CREATE INDEX by_id ON mine (id); INSERT INTO mine VALUES (1)")
    fill(sandbox, 1, status="running")
    before = path.read_bytes()
    db = connect(path, read_only=True)
    with pytest.raises((ftsql.Error, apsw.Error)):
        db.execute(sql.replace("{tmp}", str(tmp_path))).fetchall()
    assert path.read_bytes() == before
    assert posts(sandbox) == []
    assert not (tmp_path / "copy.db").exists() or (tmp_path / "copy.db").stat().st_size == 0
    assert db.execute("SELECT count(*) FROM fine_tuning_jobs JOIN mine").fetchall() == [(1,)]


def test_read_only_works_in_memory_too(sandbox: Sandbox, connect: Connect) -> None:
    fill(sandbox, 2)
    assert connect(read_only=True).execute("SELECT count(*) FROM jobs").fetchall() == [(2,)]
