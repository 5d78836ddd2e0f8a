"""Statements are refused with PostgreSQL's SQLSTATE before SQLite sees them, and hostile strings stay values."""

from __future__ import annotations

import threading
import time

import apsw
import pytest

import ftsql
from ftsql.serve.functions import formats, patterns
from ftsql.serve.functions.register import register
from ftsql.serve.text import statements
from ftsql.serve.translate.statement import translate
from tests.serve.rows import TABLES

JOBS = "fine_tuning_jobs"
REFUSED = {  # by PostgreSQL's code
    "25006": [
        "INSERT INTO fine_tuning_jobs (model) VALUES ('x')",
        "UPDATE fine_tuning_jobs SET status = 'cancelled'",
        "DELETE FROM fine_tuning_jobs",
        "MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE",
        "WITH x AS (DELETE FROM fine_tuning_jobs RETURNING *) SELECT * FROM x",
        "WITH x AS (INSERT INTO fine_tuning_jobs (model) VALUES ('a') RETURNING id) SELECT id FROM x",
        "WITH x AS (SELECT 1) DELETE FROM fine_tuning_jobs",
        "WITH x AS (SELECT 1) INSERT INTO fine_tuning_jobs SELECT * FROM x",
        "SELECT * INTO copy FROM fine_tuning_jobs",
        "SELECT * FROM fine_tuning_jobs FOR UPDATE",
        "CREATE TABLE t AS SELECT 1", "DROP TABLE fine_tuning_jobs", "ALTER TABLE x ADD y int", "TRUNCATE x",
        "COPY fine_tuning_jobs TO '/tmp/x'", "COPY (SELECT 1) TO STDOUT", "DO $$BEGIN DELETE FROM x; END$$", "CALL f()",
        "GRANT ALL ON x TO y", "VACUUM", "ATTACH DATABASE 'x' AS y", "PRAGMA table_info(x)",
        "SELECT 1; DROP TABLE fine_tuning_jobs", "/* c */ -- d\n delete from fine_tuning_jobs",
    ],
    "42601": [
        "", "SELECT 1; SELECT 2", "SET x = 1", "SELEC 1", "SELECT FROM WHERE", "SELECT 'open", 'SELECT "open', "SELECT $tag$ open", "SELECT /* open", "SELECT (1",
        "SELECT ?", "SELECT :name", "SELECT 1 +", "SELECT 'a' 5 'b'", "EXPLAIN", "SELECT \0", "foo bar", "SELECT * EXCEPT (a) FROM x",
    ],
    "42P02": ["SELECT $0", "SELECT $99999999999999999999"],
    "0A000": [
        "SELECT * FROM fine_tuning_jobs, LATERAL (SELECT 1) AS x", "SELECT 1 FROM fine_tuning_jobs TABLESAMPLE SYSTEM (1)",
        "SELECT status FROM fine_tuning_jobs GROUP BY ROLLUP (status)", "SELECT 1 EXCEPT ALL SELECT 1",
        "SELECT id FROM fine_tuning_jobs ORDER BY id FETCH FIRST 1 ROW WITH TIES",
        "PREPARE p AS SELECT 1", "SELECT pg_sleep(100)", "SELECT status COLLATE \"de_DE\" FROM fine_tuning_jobs",
        "SELECT load_extension('x')", "SELECT pg_read_file('/etc/passwd')", "SELECT @ -5",
        "SELECT count(*) OVER (ORDER BY to_timestamp(created_at) RANGE BETWEEN interval '1 day' PRECEDING AND CURRENT ROW) FROM fine_tuning_jobs",
        "SELECT metadata @> '{}' FROM fine_tuning_jobs",
    ],
    "42P01": ["SELECT * FROM sqlite_schema", "SELECT * FROM main.sqlite_master", "SELECT * FROM pragma_database_list"],
    "42883": ["SELECT date_trunc('day', created_at) FROM fine_tuning_jobs", "SELECT extract(year FROM status) FROM fine_tuning_jobs",
              "SELECT to_char(status, 'YYYY') FROM fine_tuning_jobs"],
    "22007": ["SELECT 'x'::timestamp", "SELECT interval 'soon'", "SELECT count(*) FROM fine_tuning_jobs WHERE to_timestamp(created_at) > 'x'"],
    "22P02": ["SELECT 'x'::int", "SELECT count(*) FROM fine_tuning_jobs WHERE created_at = 'x'", "SELECT 'maybe'::bool"],
    "22023": ["SELECT date_trunc('fortnight', now())"],
    "54001": [f"SELECT {'(' * 10_000}1{')' * 10_000}", f"SELECT {'NOT ' * 10_000}true", f"SELECT {'-' * 1}{'+1' * 10_000}",
              f"SELECT {'CASE WHEN true THEN ' * 10_000}1{' END' * 10_000}", f"SELECT 1{' || 1' * 10_000}",
              "SELECT " + "1," * 600_000 + "1"],
    "54011": ["SELECT " + "1, " * 20_000 + "1", "SELECT 1 FROM jobs" + ", jobs" * 20_000, "SELECT 1 GROUP BY " + "1, " * 20_000 + "1",
              "SELECT coalesce(" + "1, " * 20_000 + "1)", "WITH " + ", ".join(f"c{n} AS (SELECT 1)" for n in range(10_000)) + " SELECT 1"],
}  # fmt: skip
LONG = {"54001", "54011"}  # of statements that are too long or too deep
CASES = [
    pytest.param(code, sql, id=f"{code}-{sql[:40]!r}", marks=pytest.mark.long if code in LONG else ())
    for code, statements in REFUSED.items()
    for sql in statements
]


@pytest.mark.parametrize(("code", "sql"), CASES)
def test_a_statement_is_refused_with_postgresqls_code(code: str, sql: str) -> None:
    begun = time.monotonic()
    with pytest.raises(ftsql.Error) as raised:
        translate(sql, TABLES)
    assert getattr(raised.value, "sqlstate", None) == code, raised.value
    assert len(str(raised.value)) < 400
    assert time.monotonic() - begun < 30


@pytest.mark.long
def test_a_deeply_nested_statement_is_refused_in_a_thread_too() -> None:
    found: list[str] = []

    def ask() -> None:
        for sql in REFUSED["54001"]:
            try:
                translate(sql, TABLES)
            except ftsql.Error as error:
                found.append(getattr(error, "sqlstate", ""))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert found == ["54001"] * len(REFUSED["54001"])


HOSTILE = ["a'b", "a\"b", "'; DROP TABLE fine_tuning_jobs; --", "*/ x /*", "\\", "\\'", "a%b_c*?[d", "?1", "$1", "@1", ":a",
           "ü'ñ", "\n--\n", "{a,b}", "a\u2028b", "%s"]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE)
def test_a_string_is_not_changed(value: str) -> None:
    db = apsw.Connection(":memory:")
    register(db)
    quoted = "'" + value.replace("'", "''") + "'"
    escaped = "E'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    name = '"' + value.replace('"', '""') + '"'
    sql = f"SELECT {quoted}, {escaped}, $q${value}$q$, {quoted} = {escaped} AS {name}, {quoted} LIKE {quoted} ESCAPE ''"
    found = translate(sql, {})
    assert found.parameters == 0
    assert db.execute(found.sql).fetchall()[0][:4] == (value, value, value, 1)
    (column, _) = (found.columns or ())[3]
    assert column == value


def test_a_text_is_split_into_its_statements() -> None:
    text = "BEGIN; SET x = 'a;b'; SELECT ';' AS a /* ; */; SHOW TimeZone;; ROLLBACK -- ;\n; SELECT $1::int"
    found = list(statements(text))
    assert [statement.word for statement in found] == ["BEGIN", "SET", "SELECT", "SHOW", "ROLLBACK", "SELECT"]
    assert found[1].text == "SET x = 'a;b'"
    assert found[-1].parameters == 1
    assert list(statements(" ; -- nothing\n")) == []


@pytest.mark.parametrize("comment", ["/* + */", "/*-- */", "/**/", "--\n"])
def test_a_comment_may_follow_an_operator_at_once(comment: str) -> None:
    (found,) = statements(f"SELECT 1 +{comment} 2")
    assert found.text.split() == ["SELECT", "1", "+", "2"]


TYPED = {
    "SELECT * FROM fine_tuning_jobs WHERE created_at >= $1 AND status = $2 LIMIT $3": ("int8", "text", "int8"),
    "SELECT $1::int, $2::date, $3": ("int4", "date", None),
    "SELECT id FROM fine_tuning_jobs WHERE to_timestamp(created_at) BETWEEN $1 AND $2": ("timestamptz", "timestamptz"),
    "SELECT id FROM fine_tuning_jobs WHERE id = ANY($1) AND model IN ($2, $3)": ("text[]", "text", "text"),
    "SELECT id FROM jobs WHERE created > $2 AND model ILIKE $1": ("text", "timestamp"),
    "SELECT date_trunc($1, created) FROM jobs WHERE minutes / $2 > 1": ("text", "float8"),
}


@pytest.mark.parametrize("sql", TYPED)
def test_the_types_of_parameters_are_inferred(sql: str) -> None:
    found = translate(sql, TABLES)
    assert found.types == TYPED[sql]
    assert found.parameters == len(found.types)
    db = apsw.Connection(":memory:")
    db.execute(
        f"CREATE TABLE {JOBS} (id, created_at INTEGER, status, model); CREATE TABLE jobs (id, model, created, minutes)"
    )
    register(db)
    db.execute(found.sql, [None] * found.parameters).fetchall()


def test_a_table_keeps_its_schema_unless_that_is_public() -> None:
    found = translate(
        "WITH jobs AS (SELECT * FROM live.fine_tuning_jobs) SELECT * FROM jobs, public.mine, pg_catalog.pg_class c",
        TABLES,
    )
    assert '"live"."fine_tuning_jobs"' in found.sql
    assert "public" not in found.sql


def test_a_misspelled_name_is_an_error() -> None:
    db = apsw.Connection(":memory:")
    db.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
    db.execute(f"CREATE TABLE {JOBS} (id, status)")
    found = translate("SELECT Statsu FROM Fine_Tuning_Jobs", TABLES)
    with pytest.raises(apsw.SQLError, match="no such column"):
        db.execute(found.sql)


def test_shadowed_names_keep_their_own_columns() -> None:
    db = apsw.Connection(":memory:")
    register(db)
    db.execute(f"CREATE TABLE {JOBS} (id, created_at INTEGER); INSERT INTO {JOBS} VALUES ('a', 1790000000)")
    sql = (
        f"WITH {JOBS} AS (SELECT '2026-01-01'::timestamp AS created_at) "
        f"SELECT date_trunc('year', created_at) AS y, extract(year FROM created_at) AS n FROM {JOBS}"
    )
    found = translate(sql, TABLES)
    assert db.execute(found.sql).fetchall() == [("2026-01-01 00:00:00", 2026)]
    assert found.columns == (("y", "timestamp"), ("n", "numeric"))


def test_a_long_list_is_quick() -> None:
    ids = ", ".join(f"'ftjob-{number}'" for number in range(5_000))
    begun = time.monotonic()
    found = translate(f"SELECT id FROM {JOBS} WHERE id IN ({ids})", TABLES)
    assert found.sql.count("ftjob-") == 5_000
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    ("replacement", "wanted"),
    [
        ("x\\", "ax\\c"), ("\\n", "a\\nc"), ("\\\\", "a\\c"), ("\\0", "a\\0c"), ("\\5", "ac"), ("[\\1\\&]", "a[bb]c"),
        ("\\\n", "a\\\nc"), ("\\g<1>", "a\\g<1>c"),
    ],
)  # fmt: skip
def test_a_backslash_in_a_replacement_is_postgresqls(replacement: str, wanted: str) -> None:
    assert patterns.regexp_replace("abc", "(b)", replacement) == wanted


def test_a_number_pattern_without_digits_before_the_point_formats_zero() -> None:
    assert formats.to_char(0, "D") == formats.to_char(1, ".") == " ."
