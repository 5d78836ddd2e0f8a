"""SQL at random as clients of PostgreSQL send it: casts, its functions, its catalog, its own statements."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

COLUMNS = [
    "id",
    "status",
    "model",
    "created_at",
    "provider",
    "metadata",
    "trained_tokens",
    "seed",
    "raw",
    "error",
    "training_file",
    "finished_at",
]
TABLES = [
    "fine_tuning_jobs", "fine_tuning_jobs", "live.fine_tuning_jobs", "jobs", "notes", "mixed", "files", "models", "pg_catalog.pg_class", "pg_type",
    "information_schema.tables", "information_schema.columns", "pg_attribute", "ftsql_providers", "public.noted", "generate_series(1, 3)", "pg_settings",
]  # fmt: skip
TYPES = [
    "int",
    "text",
    "bigint",
    "numeric(10,2)",
    "timestamp",
    "date",
    "json",
    "jsonb",
    "boolean",
    "regclass",
    "oid",
    "interval",
    "uuid",
    "text[]",
    "char(3)",
    "float8",
    "name",
    "bytea",
]
CALLS = [
    "date_trunc({t}, to_timestamp(created_at))", "extract({w} FROM to_timestamp(created_at))", "to_char(now(), {t})", "count(*)", "sum({e})", "avg({e})",
    "string_agg({e}::text, {t})", "array_agg({e})", "coalesce({e}, {e})", "now() - interval {t}", "age(now(), now())", "regexp_replace({e}::text, {t}, {t})",
    "split_part({e}::text, {t}, {n})", "generate_series(1, {n})", "current_schema()", "version()", "pg_backend_pid()", "pg_sleep({n})", "lower({e}::text)",
    "pg_get_expr({e}, 1)", "format({t}, {e})", "left({e}::text, {n})", "greatest({e}, {e})", "nullif({e}, {e})", "row_number() OVER (ORDER BY {c})",
    "metadata ->> {t}", "metadata #>> '{{a,b}}'", "({e})::{y}", "CAST({e} AS {y})", "{e} = ANY(ARRAY[{e}, {e}])", "json_build_object({t}, {e})", "md5({t})",
    "percentile_cont(0.5) WITHIN GROUP (ORDER BY {c})", "count(DISTINCT {e}) FILTER (WHERE {e} IS NOT NULL)", "to_timestamp({n})", "make_date({n}, 1, 1)",
    "repeat({t}, {n})", "lpad({t}, {n})", "cancel_job({t})", "create_job({t}, {t})", "upload_file({t})", "position({t} IN {e}::text)", "width_bucket({e}, 1, 2, 3)",
    "{e} SIMILAR TO {t}", "{e} ~ {t}", "{e} ILIKE {t}", "{e} BETWEEN {e} AND {e}", "array_length(ARRAY[{e}], 1)", "bool_and({e} IS NULL)", "lag({c}) OVER ()",
]  # fmt: skip
TEXTS = [
    "",
    "day",
    "month",
    "succeeded",
    "a",
    "%a_",
    "1 day",
    "2026-01-01",
    "YYYY-MM",
    "(a+)+$",
    "[",
    "x' || 'y",
    "é😀",
    "a" * 2000,
    "\\",
    "infinity",
    "{1,2}",
    "NaN",
    "{",
    "%s %I",
    "$1",
]
UTILITY = [
    "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a", "ROLLBACK TO a", "RELEASE a", "SET statement_timeout = {n}", "SHOW ALL", "SHOW search_path", "SET TimeZone = {t}",
    "RESET ALL", "DISCARD ALL", "DEALLOCATE ALL", "DECLARE c CURSOR FOR {s}", "FETCH 2 FROM c", "CLOSE c", "CLOSE ALL", "EXPLAIN {s}", "EXPLAIN (FORMAT JSON) {s}",
    "PREPARE p AS {s}", "EXECUTE p", "LISTEN a", "NOTIFY a, {t}", "COPY ({s}) TO STDOUT", "COPY notes FROM STDIN", "LOCK TABLE notes", "TABLE notes", "VALUES ({e}, 1)",
    "DO $$ BEGIN {s}; END $$", "CREATE TEMP TABLE x AS {s}", "INSERT INTO notes VALUES (9, {t}) RETURNING id", "DELETE FROM files", "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SELECT set_config({t}, {t}, false)", "SELECT * FROM pg_catalog.pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE relname ~ {t}", "SET ROLE postgres", "ANALYZE notes",
    "SELECT randomblob({n})", "SELECT zeroblob(999999999)", "PRAGMA hard_heap_limit = 1", "WITH x AS (DELETE FROM notes RETURNING *) {s}", "UPDATE fine_tuning_jobs SET status = 'cancelled'",
]  # fmt: skip


@dataclass
class Postgres:
    """Statements drawn from ``rng``; ``ids``: of jobs and models that exist."""

    rng: random.Random
    ids: Sequence[str] = ()

    def sql(self) -> str:
        """One statement."""
        return self.select() if self.rng.random() < 0.7 else self.filled(self.rng.choice(UTILITY))

    def filled(self, form: str) -> str:
        """``form`` with its places filled: e an expression, t a text, n a number, c a column, y a type, w a field of a time, s a SELECT."""
        rng = self.rng
        makers: dict[str, Callable[[], str]] = {
            "e": lambda: self.expression(1), "t": self.text, "c": lambda: rng.choice(COLUMNS), "y": lambda: rng.choice(TYPES),
            "n": lambda: rng.choice(["0", "1", "-1", "3", "100", "2147483648", "1e308", "'x'", "NULL", "99999999999999999999"]),
            "w": lambda: rng.choice(["year", "day", "epoch", "dow", "week", "nothing"]), "s": lambda: self.select(1),
        }  # fmt: skip
        parts = form.replace("{{", "\0").replace("}}", "\1").split("{")
        found = [parts[0]]
        for part in parts[1:]:
            kind, _, rest = part.partition("}")
            found.append(makers[kind]() + rest)
        return "".join(found).replace("\0", "{").replace("\1", "}")

    def text(self) -> str:
        value = self.rng.choice([*self.ids, *TEXTS]) if self.rng.random() < 0.4 else self.rng.choice(TEXTS)
        return "'" + value.replace("'", "''") + "'"

    def expression(self, depth: int = 2) -> str:
        rng = self.rng
        how = rng.randrange(8)
        if depth == 0 or how < 3:
            return rng.choice(
                [
                    rng.choice(COLUMNS),
                    self.text(),
                    str(rng.randrange(-9, 99)),
                    "NULL",
                    "true",
                    "$1",
                    "now()",
                    rng.choice(COLUMNS),
                ]
            )
        if how == 3:
            return f"({self.expression(depth - 1)} {rng.choice(['=', '<>', '<', '+', '-', '*', '/', '||', 'AND', 'OR', 'IS DISTINCT FROM', '^', '%'])} {self.expression(depth - 1)})"
        if how == 4:
            return rng.choice(
                [
                    f"({self.select(0)})",
                    f"EXISTS ({self.select(0)})",
                    f"{rng.choice(COLUMNS)} IN ({self.select(0)})",
                    f"NOT {self.expression(0)}",
                ]
            )
        return self.filled(rng.choice(CALLS)) if depth > 1 else self.filled(rng.choice(CALLS).replace("{e}", "{c}"))

    def select(self, depth: int = 2) -> str:
        rng = self.rng
        columns = ", ".join(
            rng.choice([rng.choice([*COLUMNS, "*"]), f'{self.expression(depth)} AS "{rng.choice("abc")}"'])
            for _ in range(rng.choice([1, 1, 2, 3]))
        )
        sql = f"SELECT {rng.choice(['', '', '', 'DISTINCT ', 'DISTINCT ON (id) '])}{columns} FROM {rng.choice(TABLES[:3] if rng.random() < 0.7 else TABLES)}"
        if rng.random() < 0.15:
            sql += f" AS a {rng.choice(['JOIN', 'LEFT JOIN', 'CROSS JOIN', 'FULL JOIN'])} {rng.choice(TABLES)} AS b USING (id)"
        if rng.random() < 0.5:
            sql += f" WHERE {self.expression(depth)}"
        if rng.random() < 0.2:
            sql += f" GROUP BY {rng.choice(['1', '1, 2', *COLUMNS, 'ROLLUP (status)'])}" + rng.choice(
                ["", " HAVING count(*) > 1"]
            )
        if rng.random() < 0.3:
            sql += f" ORDER BY {rng.choice(['1', '1 DESC NULLS LAST', *COLUMNS, 'random()'])}"
        if rng.random() < 0.4:
            sql += f" LIMIT {rng.choice(['1', '5', 'ALL', '0', '$1'])}" + rng.choice(
                ["", " OFFSET 1", " FETCH FIRST 1 ROW ONLY"]
            )
        return f"WITH c AS ({sql}) SELECT * FROM c" if rng.random() < 0.05 else sql
