"""INSERT: the values of a row are sent as they are; a row that cannot be right is refused before."""

from __future__ import annotations

import json
from typing import Any

import apsw
import pytest

import ftsql
from ftsql.errors import IntegrityError
from ftsql.sandbox import Fault, Sandbox
from tests.conftest import Connect
from tests.write.fixtures import CREATE, INSERT, ONE, posts

pytestmark = pytest.mark.usefixtures("files")


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


def test_or_ignore_does_not_swallow_a_wrong_key(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    with pytest.raises(ftsql.AuthenticationError):
        connect().execute(ONE.replace("INSERT", "INSERT OR IGNORE"))


TAKEN = (
    "model, training_file, validation_file, suffix, seed, hyperparameters, method, metadata, integrations, provider, "
    "extra_body"
)
# Columns and values that are refused before anything is sent, with words of the error.
REFUSED = [
    ("(training_file) VALUES ('file-a')", "^openai: model is missing: a fine-tuning job needs model and training_file$"),
    ("(model, training_file) VALUES ('', 'file-a')", "model is missing"),
    ("(model) VALUES ('gpt-4o-mini')", "training_file is missing"),
    ("(model, training_file, method) VALUES ('m', 'f', '{}')", "method.type is missing: method needs type$"),
    ("(model, training_file, id) VALUES ('m', 'f', 'x')", f"^id is filled by the API: leave it out. A create takes {TAKEN}$"),
    ("(model, training_file, status) VALUES ('m', 'f', 'x')", "status is filled by the API"),
    ("(model, training_file, key) VALUES ('m', 'f', 'x')", "key is filled by the API"),
    ("(model, training_file, provider) VALUES ('m', 'f', 'x')", "provider 'x' is not active; active providers: openai"),
    ("(model, training_file, suffix) VALUES ('m', 'f', '')", "suffix has from 1 to 64 characters"),
    ("(model, training_file, suffix) VALUES ('m', 'f', hex(zeroblob(33)))", "suffix has from 1 to 64 characters"),
    ("(model, training_file, seed) VALUES ('m', 'f', -1)", "seed is a number from 0 to 2147483647"),
    ("(model, training_file, seed) VALUES ('m', 'f', 2147483648)", "seed is a number from 0 to 2147483647"),
    ("(model, training_file, seed) VALUES ('m', 'f', 'x')", "seed takes an integer"),
    ("(model, training_file) VALUES (5, 'f')", "model takes a string"),
    ("(model, training_file, metadata) VALUES ('m', 'f', '{')", "metadata is not valid JSON"),
    ("(model, training_file, metadata) VALUES ('m', 'f', '[1]')", "metadata takes a JSON object"),
    ("(model, training_file, metadata) VALUES ('m', 'f', 5)", "metadata takes a JSON object"),
    ("(model, training_file, metadata) VALUES ('m', 'f', '{\"a\":5}')", "takes strings as values"),
    ("(model, training_file, metadata) SELECT 'm', 'f', json_object('a', hex(zeroblob(257)))", "at most 512"),
    ("(model, training_file, metadata) SELECT 'm', 'f', json_object(hex(zeroblob(33)), 'a')", "at most 64"),
    ("(model, training_file, metadata) SELECT 'm', 'f', json_group_object('k' || value, 'v') "
     "FROM generate_series(1, 17)", "at most 16 pairs"),
    ("(model, training_file, integrations) VALUES ('m', 'f', '{}')", "integrations takes a JSON array"),
    ("(model, training_file, hyperparameters) VALUES ('m', 'f', 'auto')", "hyperparameters is not valid JSON"),
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


@pytest.mark.parametrize(("items", "passes"), [(4, True), (5, True), (6, False)])
def test_as_many_items_as_the_api_takes_are_sent(
    sandbox: Sandbox, db: ftsql.Connection, files: None, items: int, passes: bool
) -> None:
    wandb = json.dumps([{"type": "wandb", "wandb": {"project": f"p{number}"}} for number in range(items)])
    sql = "INSERT INTO fine_tuning_jobs (model, training_file, integrations) VALUES ('gpt-4o-mini', 'file-a', ?)"
    if passes:
        db.execute(sql, (wandb,))
        assert len(sandbox.jobs()[0]["integrations"]) == items
    else:
        with pytest.raises(IntegrityError, match="integrations has at most 5 items"):
            db.execute(sql, (wandb,))
        assert sandbox.jobs() == []
