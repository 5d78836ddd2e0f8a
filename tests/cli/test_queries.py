"""queries/: each file answers its question on the sandbox, with the tables that it declares."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import ftsql
from ftsql.cli.documents import Query, all_queries
from tests.answering import Asked, Response, api, job
from tests.cli.test_shell import run
from tests.conftest import At

QUERIES = all_queries()


@pytest.fixture(scope="module")
def seeded() -> Iterator[ftsql.Connection]:
    connection = ftsql.connect(sandbox=True)
    yield connection
    connection.close()


def test_there_are_at_least_ten_and_each_begins_with_its_question() -> None:
    assert len(QUERIES) >= 10
    for query in QUERIES:
        assert query.sql.startswith("-- ")
        assert query.question.endswith("?")


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: str(query.name))
def test_each_query_answers_with_rows_and_changes_nothing(seeded: ftsql.Connection, query: Query) -> None:
    for need in query.needs + query.optional:
        seeded.execute(need.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))
    if query.name == "experiments":
        seeded.execute("INSERT INTO experiments SELECT 'run ' || rank() OVER (ORDER BY id), id FROM jobs LIMIT 3")
    before = seeded.total_changes()
    assert seeded.execute(query.sql).fetchall()
    assert seeded.total_changes() == before


def test_the_command_lists_and_runs_them() -> None:
    listed = run("queries").stdout.splitlines()
    assert [line.split()[0] for line in listed] == [query.name for query in QUERIES]
    done = run("queries", "success_rate", "--sandbox")
    assert done.returncode == 0
    assert done.stdout.startswith("model,finished,succeeded,")
    assert done.stderr.startswith("-- How often do jobs succeed")


def test_a_query_that_needs_a_table_names_it() -> None:
    done = run("--sandbox", "queries", "experiments")
    assert done.returncode == 1
    assert "CREATE TABLE experiments (name TEXT, job_id TEXT)" in done.stderr


OPTIONAL = [query for query in QUERIES if query.optional]


def test_the_end_dates_are_the_same_in_each_query() -> None:
    """Each query file is self-contained, so three files repeat this part."""
    parts = {query.sql[query.sql.index("WITH ends AS (") : query.sql.index("\n)\nSELECT")] for query in OPTIONAL}
    assert (len(OPTIONAL), len(parts)) == (3, 1)


@pytest.mark.parametrize("query", OPTIONAL, ids=lambda query: str(query.name))
def test_an_optional_table_may_be_missing_also_read_only(query: Query) -> None:
    assert query.optional == ["CREATE TABLE shutdown_dates (model TEXT, shutdown_date TEXT)"]
    done = run("--sandbox", "--read-only", "queries", query.name)
    assert (done.returncode, done.stdout.splitlines()[0].split(",")[0]) == (0, "shutdown_date"), done.stderr


def _made_again(db: ftsql.Connection, job: str) -> tuple[object, ...]:
    """Return the settings of a job's create, as far as the API shows them."""
    shown = db.execute(
        "SELECT model, training_file, validation_file, seed, json(method), metadata, "
        "(SELECT group_concat(value ->> '$.wandb.project') FROM json_each(integrations)) "
        "FROM fine_tuning_jobs WHERE id = ?",
        (job,),
    ).fetchall()
    return tuple(shown[0])


def test_each_insert_of_remake_makes_the_same_job(seeded: ftsql.Connection) -> None:
    names = {query.name: query for query in QUERIES}
    at_risk = seeded.execute(names["models_at_risk"].runnable(lambda _: False)).fetchall()
    inserts = seeded.execute(names["remake"].runnable(lambda _: False)).fetchall()
    assert len(at_risk) == len(inserts) > 100
    assert {row[3] for row in at_risk} == {row[1] for row in inserts}
    for row, (_, model, insert) in zip(at_risk[::9], inserts[::9], strict=True):
        assert row[3] == model
        seeded.execute(str(insert))
        made = seeded.ftsql.last_job_id
        assert made is not None
        assert _made_again(seeded, made) == _made_again(seeded, str(row[5]))
        suffix = str(model).split(":")[3]
        body = seeded.execute("SELECT body FROM ftsql_writes ORDER BY write_id DESC LIMIT 1").get
        assert (json.loads(str(body)).get("suffix") or "") == suffix


ODD_JOBS: list[dict[str, Any]] = [
    {"fine_tuned_model": 'ft:small:o:it\'s "odd" \\ ü:a'},
    {"fine_tuned_model": "ft:small:o::a"},
    {"fine_tuned_model": "no colons"},
    {"fine_tuned_model": "ft:small:o:a:b:c:d"},
    {"integrations": ["wandb"]},
    {"integrations": {"wandb": {"project": "x"}}},
    {"integrations": "wandb"},
    {"integrations": [{"type": "wandb", "wandb": {"project": "x", "run_id": "r"}}, "other"]},
    {"method": None, "hyperparameters": {"n_epochs": 2}},
    {"method": {"type": "dpo"}, "metadata": {"quote": "it's"}},
    {"seed": None, "validation_file": None},
]


@pytest.mark.parametrize("fields", ODD_JOBS, ids=str)
def test_odd_values_make_an_insert_too(at: At, fields: dict[str, Any]) -> None:
    one = job(0, **{"model": "small", "fine_tuned_model": "ft:small:o::a", **fields})

    def answering(asked: Asked) -> Any:
        if asked.path == "/models":
            return {"data": [{"id": "small", "shutdown_date": "2027-01-01"}]}
        if asked.path == "/models/small":
            return {"id": "small", "shutdown_date": "2027-01-01"}
        if asked.path.startswith("/models/"):
            return Response({"error": {"message": "The model does not exist"}}, 404)
        return api([one])(asked)

    _, db = at(answering)
    query = next(query for query in QUERIES if query.name == "remake")
    ((_, model, insert),) = db.execute(query.runnable(lambda _: False)).fetchall()
    assert model == one["fine_tuned_model"]
    db.execute("BEGIN")
    db.execute(str(insert))
    body = json.loads(str(db.execute("SELECT body FROM ftsql_writes WHERE state = 'queued'").get))
    db.execute("ROLLBACK")
    assert body["model"] == "small"
    assert body.get("metadata", {}).get("quote") == (one.get("metadata") or {}).get("quote")
    parts = str(model).split(":")
    assert body.get("suffix", "") == (parts[3] if len(parts) >= 5 else "")


def test_the_soonest_end_comes_first_and_a_users_date_fills_a_gap(at: At) -> None:
    found = [
        job(1, model="big-2024-01-01", fine_tuned_model="ft:big-2024-01-01:o::a"),
        job(2, model="small", fine_tuned_model="ft:small:o::b"),
        job(3, model="ft:small:o::b", fine_tuned_model="ft:small:o:more:c"),
        job(4, model="other", fine_tuned_model="ft:other:o::d"),
        job(5, model="small", fine_tuned_model="ft:small:o::deleted"),
        job(6, model="small", fine_tuned_model=None),
        job(7, model="big", fine_tuned_model="ft:big:o::e"),
        job(8, model="ft:big-2024-01-01:o::a", fine_tuned_model="ft:big-2024-01-01:o::f"),
    ]
    models: list[dict[str, Any]] = [{"id": each["fine_tuned_model"]} for each in found if each["fine_tuned_model"]]
    del models[4]
    models[5 - 1]["shutdown_date"] = "2027-03-03"
    models.append({"id": "small", "shutdown_date": "2027-01-01"})

    def answering(asked: Asked) -> Any:
        if asked.path == "/models":
            return {"data": models}
        if asked.path.startswith("/models/"):
            name = asked.path.removeprefix("/models/")
            missing = Response({"error": {"message": f"The model '{name}' does not exist"}}, 404)
            return next((model for model in models if model["id"] == name), missing)
        if asked.path == "/files":
            return {"data": [{"id": "file-abc123"}], "has_more": False}
        return api(found)(asked)

    _, db = at(answering)
    db.execute("CREATE TABLE shutdown_dates (model, shutdown_date)")
    db.execute("INSERT INTO shutdown_dates VALUES ('big', '2026-12-31'), ('small', '2030-01-01')")
    query = next(query for query in QUERIES if query.name == "models_at_risk")
    assert [(row[0], row[3]) for row in db.execute(query.sql)] == [
        ("2026-12-31", "ft:big-2024-01-01:o::a"),
        ("2026-12-31", "ft:big-2024-01-01:o::f"),
        ("2027-01-01", "ft:small:o::b"),
        ("2027-01-01", "ft:small:o:more:c"),
        ("2027-03-03", "ft:big:o::e"),
    ]
