"""Clients' queries of PostgreSQL's catalog are translated to valid SQL for SQLite, with the same columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import apsw
import apsw.ext
import pytest

import ftsql
from ftsql.serve.functions.register import register
from ftsql.serve.text import QUERIES, statements
from ftsql.serve.translate.inference import Tables
from ftsql.serve.translate.statement import translate
from tests.serve.postgres import Postgres

CATALOG = """SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, NULL) FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v') AND NOT attisdropped AND attnum > 0
ORDER BY 1, 2, a.attnum;"""
PSQL = r"\d|\dt|\dt+|\dn|\dn+|\d jobs|\d+ fine_tuning_jobs|\d+ jobs|\l|\du|\df|\di|\dv|\dT|\dp|\dx|\ds|\db".split("|")


@pytest.fixture(scope="module")
def catalog(postgres: Postgres) -> Iterator[tuple[apsw.Connection, Tables]]:
    """Yield a SQLite connection with empty copies of PostgreSQL's catalog tables, and their columns."""
    printed, errors = postgres.run(CATALOG)
    assert not errors
    tables: dict[str, list[tuple[str, str]]] = {}
    for schema, table, column, type in list(csv.reader(io.StringIO(printed)))[1:]:
        tables.setdefault(f"{schema}.{table}", []).append((column, type))
    db = apsw.Connection(":memory:")
    db.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
    for schema in ("pg_catalog", "information_schema"):
        db.execute(f"ATTACH ':memory:' AS {schema}")
    for name, columns in tables.items():
        listed = ", ".join(f'"{column}"' for column, _ in columns)
        db.execute(f"CREATE TABLE {name} ({listed})")
    register(db)
    yield db, tables
    db.close()


def queries() -> list[tuple[str, str]]:
    """Return the queries of catalog_queries.sql with their names."""
    text = (Path(__file__).parent / "catalog_queries.sql").read_text().partition("\n")[2]
    return [
        (part.partition("\n")[0], part.partition("\n")[2].strip()) for part in re.split(r"^-- ", text, flags=re.M)[1:]
    ]


def of_psql(postgres: Postgres) -> list[tuple[str, str]]:
    """Return the queries that psql sends for its backslash commands."""
    found = []
    for command in PSQL:
        printed, _ = postgres.run(f"\\set ECHO_HIDDEN on\n{command}\n")
        texts = re.findall(r"^\*+ QUERY \*+\n(.*?)\n\*+$", printed, flags=re.MULTILINE | re.DOTALL)
        assert texts, command
        found += [(f"psql {command}", text.rstrip().removesuffix(";")) for text in texts]
    return found


def _failures(postgres: Postgres, catalog: tuple[apsw.Connection, Tables], cases: list[tuple[str, str]]) -> list[str]:
    db, tables = catalog
    failed = []
    for (name, sql), right in zip(cases, postgres.answers([sql for _, sql in cases]), strict=True):
        try:
            if next(statements(sql)).word not in QUERIES:
                continue
            found = translate(sql, tables)
            description = apsw.ext.query_info(db, found.sql).description
            db.execute(found.sql).fetchall()
            names = [column[0] for column in description]
            if right.columns and names != [column for column, _ in right.columns]:
                failed.append(f"{name}: {names}, should be {[column for column, _ in right.columns]}")
        except (ftsql.Error, apsw.Error) as error:
            failed.append(f"{name}: {error!r}\n{sql}")
    return failed


@pytest.mark.long
def test_queries_of_clients_have_postgresqls_columns(
    postgres: Postgres, catalog: tuple[apsw.Connection, Tables]
) -> None:
    cases = queries()
    failed = _failures(postgres, catalog, cases)
    assert not failed, f"{len(failed)} of {len(cases)}:\n" + "\n".join(failed)


def test_queries_of_psql_have_postgresqls_columns(postgres: Postgres, catalog: tuple[apsw.Connection, Tables]) -> None:
    cases = of_psql(postgres)
    assert len(cases) > len(PSQL)
    failed = _failures(postgres, catalog, cases)
    assert not failed, f"{len(failed)} of {len(cases)}:\n" + "\n".join(failed)
