"""The same rows in PostgreSQL and in SQLite, and the comparison of their results.

A float may differ in its last digits. Everything else must be equal as PostgreSQL prints it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from importlib import resources as packaged
from typing import Any

import apsw

import ftsql
from ftsql.resources.definitions import JOBS
from ftsql.serve.functions import texts
from ftsql.serve.functions.register import register
from ftsql.serve.translate.inference import Tables
from ftsql.serve.translate.statement import translate
from tests.serve.postgres import Postgres, Response

COLUMNS = [(column.name, column.type) for column in JOBS.columns if not column.hidden]
VIEW = [("id", "TEXT"), ("provider", "TEXT"), ("model", "TEXT"), ("status", "TEXT"), ("fine_tuned_model", "TEXT"),
        ("created", "TIMESTAMP"), ("finished", "TIMESTAMP"), ("minutes", "REAL"), ("trained_tokens", "INTEGER"),
        ("training_file", "TEXT"), ("method", "TEXT"), ("error_message", "TEXT"), ("metadata", "JSON")]  # fmt: skip
TABLES: Tables = {"fine_tuning_jobs": COLUMNS, "live.fine_tuning_jobs": COLUMNS, "jobs": VIEW}
TYPES = {"INTEGER": "bigint", "JSON": "json", "TEXT": "text"}
NAMES = {"bigint": "int8", "integer": "int4", "smallint": "int2", "boolean": "bool", "double precision": "float8",
         "timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz", "real": "float4",
         "character varying": "varchar", "time without time zone": "time"}  # fmt: skip
NOW = 1_800_000_000  # the time of the view's clock
IN_POSTGRES = f"""
CREATE VIEW jobs AS SELECT id, provider, model, status, fine_tuned_model,
  to_timestamp(created_at) AT TIME ZONE 'UTC' AS created, to_timestamp(finished_at) AT TIME ZONE 'UTC' AS finished,
  ((coalesce(finished_at, {NOW}) - created_at + 3) / 6 / 10.0)::float8 AS minutes,
  trained_tokens, training_file,
  CASE json_typeof(method) WHEN 'string' THEN method #>> '{{}}' ELSE method ->> 'type' END AS method,
  CASE json_typeof(error)
    WHEN 'object' THEN coalesce(error ->> 'message', error ->> 'Message', error ->> 'detail', error ->> 'msg',
      error ->> 'description', error ->> 'reason', error ->> 'error', error ->> 'code', error::text)
    WHEN 'array' THEN coalesce(error -> 0 ->> 'message', error -> 0 ->> 'msg', error -> 0 ->> 'detail', error ->> 0)
    ELSE error #>> '{{}}'
  END AS error_message, metadata FROM fine_tuning_jobs;
"""


def jobs() -> list[tuple[Any, ...]]:
    """Return the rows of a sandbox's jobs."""
    db = ftsql.connect(sandbox=True)
    try:
        return db.execute(f"SELECT {', '.join(name for name, _ in COLUMNS)} FROM fine_tuning_jobs").fetchall()
    finally:
        db.close()


def sqlite(rows: list[tuple[Any, ...]]) -> apsw.Connection:
    """Return a connection with the rows in a table, as in a snapshot."""
    db = apsw.Connection(":memory:")
    db.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
    db.execute(f"CREATE TABLE fine_tuning_jobs ({', '.join(f'{name} {type}' for name, type in COLUMNS)})")
    db.executemany(f"INSERT INTO fine_tuning_jobs VALUES ({', '.join('?' * len(COLUMNS))})", rows)
    db.execute((packaged.files("ftsql.data") / "views.sql").read_text().partition("CREATE VIEW checkpoints")[0]
               .replace("unixepoch()", str(NOW)))  # fmt: skip
    register(db)
    return db


def load(postgres: Postgres, rows: list[tuple[Any, ...]]) -> None:
    """Create the tables with the rows in PostgreSQL."""

    def quoted(value: Any) -> str:
        if value is None or isinstance(value, int):
            return "NULL" if value is None else str(value)
        return "'" + str(value).replace("'", "''") + "'"

    values = ",\n".join(f"({', '.join(map(quoted, row))})" for row in rows)
    made = ", ".join(f"{name} {TYPES[type]}" for name, type in COLUMNS)
    _, errors = postgres.run(
        f"CREATE TABLE fine_tuning_jobs ({made});\nINSERT INTO fine_tuning_jobs VALUES {values};\n{IN_POSTGRES}"
    )
    assert not errors, errors


def difference(db: apsw.Connection, sql: str, right: Response) -> str | None:
    """Return how SQLite's result differs from PostgreSQL's, or None if they are equal."""
    if right.error:
        return f"PostgreSQL itself: {right.error[-300:]}"
    try:
        found = translate(sql, TABLES)
        rows = db.execute(found.sql.replace("UNIXEPOCH()", str(NOW))).fetchall()
    except (ftsql.Error, apsw.Error, ValueError, TypeError) as error:
        return f"{error!r}"
    assert found.columns is not None
    difference = _difference_of_columns(found.columns, right.columns)
    if difference is None:
        ordered = "order by" in sql.lower()
        difference = _difference_of_rows(_normal(rows, right, ordered), _normal(right.rows, right, ordered))
        difference = difference and f"{difference}\n{found.sql}"
    return difference


def _difference_of_columns(
    columns: Sequence[tuple[str, str | None]], expected: Sequence[tuple[str, str]]
) -> str | None:
    names, expected_names = [name for name, _ in columns], [name for name, _ in expected]
    if names != expected_names:
        return f"columns {names}, should be {expected_names}"
    for (name, type), (_, declared) in zip(columns, expected, strict=True):
        wanted = NAMES.get(declared, re.sub(r"\(.*\)", "", declared))
        if type != NAMES.get(wanted, wanted) and type is not None and (type, wanted) != ("bpchar", "character"):
            return f"type of {name}: {type}, should be {wanted}"
    return None


def _normal(rows: Sequence[Sequence[Any]], right: Response, ordered: bool) -> list[list[Any]]:
    normal = [[_shown(value, kind) for value, (_, kind) in zip(row, right.columns, strict=True)] for row in rows]
    return normal if ordered else sorted(normal, key=repr)


def _difference_of_rows(rows: list[list[Any]], expected: list[list[Any]]) -> str | None:
    if len(rows) != len(expected):
        return f"{len(rows)} rows, should be {len(expected)}"
    for number, (row, wanted) in enumerate(zip(rows, expected, strict=True)):
        for left, right in zip(row, wanted, strict=True):
            if not _same(left, right):
                return f"row {number}: {left!r}, should be {right!r}"
    return None


def _shown(value: Any, type: str) -> Any:
    """Convert a value of either side, so that both sides can be compared."""
    if value is None:
        return None
    if type == "boolean":
        return value in (1, "t", "true")
    if type in ("bigint", "integer", "smallint", "numeric", "double precision", "real") or type.startswith("numeric"):
        return float(value)
    if type == "timestamp with time zone":
        return str(value).removesuffix("+00")
    if type.endswith("[]"):
        return [str(item) for item in json.loads(str(texts.array(value)))]
    return json.loads(value) if type in ("json", "jsonb") else str(value)


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-9)
    return bool(left == right)
