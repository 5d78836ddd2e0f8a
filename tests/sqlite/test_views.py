"""The view jobs shows the message of an error and the name of a method, in every form that servers use."""

from __future__ import annotations

from typing import Any

import pytest

import ftsql
from ftsql.resources.definitions import TABLES
from ftsql.sync.rounds import sync
from tests.answering import api, job
from tests.conftest import At

ERRORS: list[tuple[Any, str | None]] = [
    (None, None),
    ({}, None),
    ("", None),
    ({"code": None, "message": None, "param": None}, None),
    ({"code": "x", "message": "it broke", "param": None}, "it broke"),
    ("it broke", "it broke"),
    ({"Message": "it broke"}, "it broke"),
    ({"detail": "it broke"}, "it broke"),
    ({"msg": "it broke"}, "it broke"),
    ({"description": "it broke"}, "it broke"),
    ({"reason": "it broke"}, "it broke"),
    ({"error": "it broke"}, "it broke"),
    ({"code": "out_of_memory", "message": None}, "out_of_memory"),
    ({"other": "it broke"}, '{"other":"it broke"}'),
    ([{"message": "it broke"}], "it broke"),
    ([{"msg": "it broke", "loc": ["a"]}], "it broke"),
    (["it broke", "twice"], "it broke"),
]
METHODS: list[tuple[Any, str | None]] = [
    (..., None),
    (None, None),
    ({}, None),
    ({"type": "dpo", "dpo": {}}, "dpo"),
    ({"type": "supervised"}, "supervised"),
    ("dpo", "dpo"),
    ({"supervised": {}}, None),
    (["dpo"], None),
]


@pytest.mark.parametrize(("error", "message"), ERRORS, ids=str)
def test_error_message_is_the_message_in_any_form(at: At, error: Any, message: str | None) -> None:
    _, db = at(api([job(0, status="failed", error=error)]))
    for _ in range(2):
        assert db.execute("SELECT error_message FROM jobs").fetchall() == [(message,)]


@pytest.mark.parametrize(("method", "word"), METHODS, ids=str)
def test_method_is_null_if_the_job_does_not_name_one(at: At, tmp_path: Any, method: Any, word: str | None) -> None:
    _, db = at(api([job(0, method=method)]))
    assert db.execute("SELECT method FROM jobs").fetchall() == [(word,)]
    import sqlite3

    sync(tmp_path / "jobs.db", tables=["jobs"])
    with sqlite3.connect(tmp_path / "jobs.db") as plain:
        assert plain.execute("SELECT method FROM jobs").fetchall() == [(word,)]
    plain.close()


@pytest.mark.parametrize("table", [*TABLES, "ftsql_columns"])
def test_a_view_in_the_users_file_may_read_every_table(db: ftsql.Connection, table: str) -> None:
    columns = [name for (name,) in db.execute("SELECT name FROM pragma_table_info(?)", (table,))]
    parent = TABLES[table].parent if table in TABLES else ""
    where = f"WHERE {parent} = 'none'" if parent else ""
    db.execute(f"CREATE VIEW main.mine AS SELECT * FROM {table} {where}")
    assert [name for (name,) in db.execute("SELECT name FROM pragma_table_info('mine')")] == columns
    db.execute("SELECT * FROM mine").fetchall()
