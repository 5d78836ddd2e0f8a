"""Statements have the same columns, types, rows and order in SQLite as in PostgreSQL."""

from __future__ import annotations

import apsw
import pytest

from tests.serve.postgres import Postgres
from tests.serve.rows import difference
from tests.serve.statements import STATEMENTS, generated

pytestmark = pytest.mark.long


def _failures(postgres: Postgres, sqlite: apsw.Connection, statements: list[str]) -> list[str]:
    answers = postgres.answers(statements)
    failed = []
    for sql, right in zip(statements, answers, strict=True):
        wrong = difference(sqlite, sql, right)
        if wrong is not None:
            failed.append(f"{sql}\n    {wrong}")
    return failed


def test_statements_of_bi_tools_have_postgresqls_results(postgres: Postgres, sqlite: apsw.Connection) -> None:
    failed = _failures(postgres, sqlite, [sql for _, sql in STATEMENTS])
    assert not failed, f"{len(failed)} of {len(STATEMENTS)}:\n" + "\n".join(failed)


def test_every_time_unit_filter_and_order_of_nulls_has_postgresqls_result(
    postgres: Postgres, sqlite: apsw.Connection
) -> None:
    times = [sqlite.execute("SELECT strftime('%Y-%m-%d %H:%M:%S', created_at, 'unixepoch') FROM fine_tuning_jobs "
                            f"ORDER BY created_at LIMIT 1 OFFSET {place}").get for place in (5, 60, 120, 200)]  # fmt: skip
    statements = generated([*times, *(time[:10] for time in times)])
    failed = _failures(postgres, sqlite, statements)
    assert not failed, f"{len(failed)} of {len(statements)}:\n" + "\n".join(failed[:10])
