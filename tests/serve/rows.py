"""The same rows in PostgreSQL and in SQLite, and how their values are compared.

A float may differ in its last digits; everything else is equal as PostgreSQL prints it.
"""

from __future__ import annotations

import json
import math
import re
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
NOW = 1_800_000_000  # where the view asks the clock
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
    """The rows of a sandbox's jobs."""
    db = ftsql.connect(sandbox=True)
    try:
        return db.execute(f"SELECT {', '.join(name for name, _ in COLUMNS)} FROM fine_tuning_jobs").fetchall()
    finally:
        db.close()


def sqlite(rows: list[tuple[Any, ...]]) -> apsw.Connection:
    """A connection with the rows, as a snapshot has them."""
    db = apsw.Connection(":memory:")
    db.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
    db.execute(f"CREATE TABLE fine_tuning_jobs ({', '.join(f'{name} {type}' for name, type in COLUMNS)})")
    db.executemany(f"INSERT INTO fine_tuning_jobs VALUES ({', '.join('?' * len(COLUMNS))})", rows)
    db.execute((packaged.files("ftsql.data") / "views.sql").read_text().partition("CREATE VIEW checkpoints")[0]
               .replace("unixepoch()", str(NOW)))  # fmt: skip
    register(db)
    return db


def load(postgres: Postgres, rows: list[tuple[Any, ...]]) -> None:
    """The rows in PostgreSQL."""

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
    """How SQLite's answer differs from PostgreSQL's; None where it does not."""
    if right.error:
        return f"PostgreSQL itself: {right.error[-300:]}"
    try:
        found = translate(sql, TABLES)
        rows = db.execute(found.sql.replace("UNIXEPOCH()", str(NOW))).fetchall()
    except (ftsql.Error, apsw.Error, ValueError, TypeError) as error:
        return f"{error!r}"
    assert found.columns is not None
    names = [name for name, _ in found.columns]
    if names != [name for name, _ in right.columns]:
        return f"columns {names}, should be {[name for name, _ in right.columns]}"
    for (name, type), (_, wanted) in zip(found.columns, right.columns, strict=True):
        wanted = NAMES.get(wanted, re.sub(r"\(.*\)", "", wanted))
        if type != NAMES.get(wanted, wanted) and type is not None and (type, wanted) != ("bpchar", "character"):
            return f"type of {name}: {type}, should be {wanted}"
    shown = [[_shown(value, kind[1]) for value, kind in zip(row, right.columns, strict=True)] for row in rows]
    wanted_rows = [
        [_shown(value, kind[1]) for value, kind in zip(row, right.columns, strict=True)] for row in right.rows
    ]
    if "order by" not in sql.lower():
        shown.sort(key=repr)
        wanted_rows.sort(key=repr)
    if len(shown) != len(wanted_rows):
        return f"{len(shown)} rows, should be {len(wanted_rows)}\n{found.sql}"
    for one, two in zip(shown, wanted_rows, strict=True):
        for name, left, value in zip(names, one, two, strict=True):
            if not _same(left, value):
                return f"{name}: {left!r}, should be {value!r}\n{found.sql}"
    return None


def _shown(value: Any, type: str) -> Any:
    """A value of either side as the same thing."""
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
