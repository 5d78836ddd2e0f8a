"""queries/: each file answers its question, on the sandbox, with the tables that it says it needs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import ftsql
from ftsql.queries import Query, all_queries
from tests.test_shell import run

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
    for need in query.needs:
        seeded.execute(need)
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


def test_a_query_that_needs_a_table_says_so() -> None:
    done = run("--sandbox", "queries", "experiments")
    assert done.returncode == 1
    assert "CREATE TABLE experiments (name TEXT, job_id TEXT)" in done.stderr
