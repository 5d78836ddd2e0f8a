"""StackQL's statements, as its own pages show them, run unchanged on a real connection."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ftsql
from ftsql.errors import ProgrammingError
from ftsql.sandbox import Sandbox
from ftsql.stackql import translate
from tests.conftest import Connect, fill, gets
from tests.stackql import cases


def run(db: ftsql.Connection, sql: str, bindings: Any = None) -> list[tuple[Any, ...]]:
    return db.execute(translate(sql), bindings).fetchall()


@pytest.mark.parametrize(("sql", "translated"), cases.TEXTS, ids=[sql[:60] for sql, _ in cases.TEXTS])
def test_a_stackql_statement_is_translated(sql: str, translated: str) -> None:
    assert translate(sql) == translated
    assert translate(f"SELECT 1; {sql}") == f"SELECT 1; {translated}"


@pytest.mark.parametrize(("sql", "words"), cases.REFUSED, ids=[sql[:70] for sql, _ in cases.REFUSED])
def test_a_statement_that_ftsql_cannot_run_is_refused_with_a_reason(sql: str, words: str) -> None:
    with pytest.raises(ProgrammingError) as caught:
        translate(sql)
    assert words in str(caught.value)


def test_the_select_of_2024_lists_every_job(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 230)
    assert len(run(db, cases.SELECT_2024)) == 230
    assert len(gets(sandbox)) == 3


def test_a_retrieve_costs_one_request(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 230)
    assert [row[0] for row in run(db, cases.SELECT_2026)] == ["ftjob-00002"]
    assert gets(sandbox) == ["/ftjob-00002"]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT * FROM openai.fine_tuning.jobs WHERE fine_tuning_job_id = 'x'", "get provider id"),
        ("SELECT * FROM openai.fine_tuning.jobs ORDER BY created_at DESC LIMIT 5", "list newest-first provider limit"),
        ("SELECT count(*) FROM openai.fine_tuning.jobs j WHERE j.created_at >= 5", "list provider since"),
        ("SELECT 1 FROM mine LEFT JOIN openai.fine_tuning.jobs j ON j.id = mine.job", "get provider id"),
        (
            "SELECT DISTINCT j.status FROM mine LEFT JOIN openai.fine_tuning.jobs j ON j.id = mine.job",
            "get provider id",
        ),
        ("SELECT 1 FROM mine, openai.fine_tuning.jobs j WHERE j.id = mine.job", "get provider id"),
        ("SELECT (SELECT status FROM openai.fine_tuning.jobs WHERE id = job) FROM mine", "get provider id"),
    ],
)
def test_conditions_are_still_pushed_down(db: ftsql.Connection, sql: str, words: str) -> None:
    db.execute("CREATE TABLE mine (job)")
    plan = " ".join(str(line[3]) for line in run(db, f"EXPLAIN QUERY PLAN {sql}"))
    assert words.split()[0] in plan
    assert set(words.split()) <= set(plan.replace(":", " ").split()), plan


def test_a_distinct_left_join_still_reads_the_events_of_each_job(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 2)
    sql = """SELECT DISTINCT j.id, e.level FROM openai.fine_tuning.jobs j
        LEFT JOIN openai.fine_tuning.events e ON e.fine_tuning_job_id = j.id ORDER BY 1"""
    assert run(db, sql) == [("ftjob-00000", "info"), ("ftjob-00001", "info")]


def test_a_star_shows_no_hidden_column_that_the_statement_names(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 2)
    plain = db.execute("SELECT * FROM fine_tuning_jobs WHERE id = 'ftjob-00001'").fetchall()
    sql = "SELECT * FROM openai.fine_tuning.jobs WHERE fine_tuning_job_id = 'ftjob-00001' AND suffix IS NULL"
    assert run(db, sql) == plain


JOINS = [
    "SELECT m.job, j.id FROM mine m LEFT JOIN {} j ON j.id = m.job ORDER BY 1, 2",
    "SELECT m.job, j.id FROM mine m LEFT JOIN {} j ON j.id = m.job AND 1 OR j.id = 'o-1' WHERE m.job > '' ORDER BY 1, 2",
    "SELECT m.job, j.id FROM {} j LEFT JOIN mine m ON j.id = m.job OR 0 ORDER BY 1, 2",
    "SELECT m.job, j.id FROM {} j RIGHT JOIN mine m ON j.id = m.job ORDER BY 1, 2",
    "SELECT m.job, j.id FROM mine m RIGHT JOIN {} j ON j.id = m.job ORDER BY 1, 2",
    "SELECT m.job, j.id FROM mine m FULL JOIN {} j ON j.id = m.job ORDER BY 1, 2",
    "SELECT m.job, j.id FROM mine m JOIN {} j ON j.id = m.job RIGHT JOIN mine n ON n.job = m.job ORDER BY 1, 2",
    "SELECT j.id, k.id FROM {} j, {} k WHERE j.id <= k.id OR j.id IS NULL ORDER BY 1, 2",
    "SELECT * FROM (SELECT id AS job FROM {} j) NATURAL LEFT JOIN mine ORDER BY 1",
    "SELECT job FROM mine m WHERE EXISTS (SELECT 1 FROM {} j WHERE j.id = m.job OR j.id = 'x') OR 0 ORDER BY 1",
    "SELECT id FROM {} j UNION SELECT job FROM mine EXCEPT SELECT id FROM {} j WHERE 1 OR 1 ORDER BY 1",
    "SELECT id FROM mine m LEFT JOIN (SELECT id, id AS job FROM {} j) USING (job) ORDER BY 1",
    "SELECT job, id FROM mine m LEFT JOIN ({} j CROSS JOIN (SELECT 1)) ON id = job ORDER BY 1",
    "SELECT count(*) FILTER (WHERE id <> 'x') OVER w FROM {} j WINDOW w AS (ORDER BY id) LIMIT 9 OFFSET ?1",
]


@pytest.mark.parametrize("sql", JOINS)
def test_a_provider_s_rows_are_those_of_a_table_that_holds_no_others(
    sandbox: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    monkeypatch.setenv("PORTKEY_API_KEY", "k" * 12)
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY", "v" * 12)
    monkeypatch.setenv("PORTKEY_BASE_URL", sandbox.base_url("portkey"))
    for number in range(3):
        sandbox.add_job(id=f"o-{number}", status="succeeded")
    db = connect(providers=["openai", "portkey"])
    db.execute("CREATE TABLE mine (job); INSERT INTO mine VALUES ('o-1'), ('o-9'), ('p-1')")
    db.execute("CREATE TABLE plain AS SELECT * FROM fine_tuning_jobs WHERE provider = 'openai'")
    bindings = (0,) if "?1" in sql else None
    assert db.execute("SELECT count(*) FROM fine_tuning_jobs WHERE provider = 'portkey'").get == 3
    expected = db.execute(sql.replace("{}", "plain"), bindings).fetchall()
    assert run(db, sql.replace("{}", "openai.fine_tuning.jobs"), bindings) == expected


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("sql", [cases.INSERT_2024_REQUIRED, cases.INSERT_2024_ALL])
def test_an_insert_of_2024_creates_the_job(sandbox: Sandbox, db: ftsql.Connection, sql: str) -> None:
    assert run(db, sql) == []
    (job,) = sandbox.jobs()
    assert job["training_file"] == "file-a"
    assert ("data__seed" in sql) == (job["seed"] == 42)


@pytest.mark.usefixtures("files")
def test_returning_gives_the_jobs_as_the_api_answered(sandbox: Sandbox, db: ftsql.Connection) -> None:
    ((id, status, seed, team),) = run(db, cases.INSERT_2026)
    (job,) = sandbox.jobs()
    assert (id, status, seed, team) == (job["id"], job["status"], 42, "ads")


@pytest.mark.usefixtures("files")
def test_returning_gives_each_row_in_order_and_of_its_own_statement_alone(db: ftsql.Connection) -> None:
    sql = """INSERT INTO openai.fine_tuning.jobs (training_file, model, suffix)
        SELECT 'file-a', 'gpt-4o-mini', column1 FROM (VALUES ('c'), ('a'), ('b')) WHERE column1 < :last
        RETURNING suffix, id"""
    first = run(db, sql, {"last": "z"})
    assert [suffix for suffix, _ in first] == ["c", "a", "b"]
    again = run(db, sql, {"last": "b"})
    assert [suffix for suffix, _ in again] == ["a"]
    assert not {id for _, id in first} & {id for _, id in again}
    assert run(db, sql, {"last": ""}) == []


@pytest.mark.usefixtures("files")
def test_returning_leaves_out_what_was_skipped_or_not_created(sandbox: Sandbox, db: ftsql.Connection) -> None:
    insert = "INSERT {} INTO openai.fine_tuning.jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-a'), {} RETURNING id"
    assert len(run(db, insert.format("OR IGNORE", "('gpt-4o-mini', 'file-none')"))) == 1
    with pytest.raises(ftsql.Error, match="row 2 of 2"):
        run(db, insert.format("", "('gpt-4o-mini', 'file-none')"))
    assert db.execute("SELECT last_jobs()").get == "[]"
    assert [job["status"] for job in sandbox.jobs()] == ["cancelled", "validating_files"]


def test_two_providers_resources_of_one_name_are_told_apart(
    sandbox: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTKEY_API_KEY", "k" * 12)
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY", "v" * 12)
    monkeypatch.setenv("PORTKEY_BASE_URL", sandbox.base_url("portkey"))
    fill(sandbox, 1)
    db = connect(providers=["openai", "portkey"])
    both = """SELECT openai.fine_tuning.jobs.provider, portkey.fine_tuning.jobs.provider
        FROM openai.fine_tuning.jobs, portkey.fine_tuning.jobs"""
    assert run(db, both) == [("openai", "portkey")]
    nested = """SELECT jobs.provider FROM openai.fine_tuning.jobs
        WHERE id IN (SELECT jobs.id FROM portkey.fine_tuning.jobs)"""
    assert run(db, nested) == [("openai",)]


def test_a_view_in_a_file_keeps_the_provider(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    fill(sandbox, 3)
    db = connect(tmp_path / "own.db")
    run(db, "CREATE VIEW mine AS SELECT id FROM openai.fine_tuning.jobs WHERE status = 'succeeded' OR 0")
    assert connect(tmp_path / "own.db").execute("SELECT count(*) FROM mine").get == 3


def test_a_schema_of_the_user_named_like_a_provider_stays_theirs(db: ftsql.Connection) -> None:
    db.execute(
        "ATTACH ':memory:' AS openai; CREATE TABLE openai.fine_tuning (jobs); INSERT INTO openai.fine_tuning VALUES (7)"
    )
    assert run(db, "SELECT openai.fine_tuning.jobs FROM openai.fine_tuning") == [(7,)]
    assert run(
        db, "SELECT openai.fine_tuning.jobs, (SELECT count(*) FROM openai.fine_tuning.jobs) FROM openai.fine_tuning"
    ) == [(7, 0)]


@pytest.mark.usefixtures("files")
def test_returning_inside_a_transaction_says_when_jobs_get_their_ids(sandbox: Sandbox, db: ftsql.Connection) -> None:
    with pytest.raises(ProgrammingError, match="COMMIT creates the jobs"), db:
        run(
            db, "INSERT INTO openai.fine_tuning.jobs (model, training_file) SELECT 'gpt-4o-mini', 'file-a' RETURNING id"
        )
    assert sandbox.jobs() == []


@pytest.mark.parametrize(
    ("method", "before", "after"),
    [
        ("cancel", "running", "cancelled"),
        ("cancel_fine_tuning_job", "running", "cancelled"),
        ("pause", "running", "paused"),
        ("resume", "paused", None),
    ],
)
def test_exec_acts_on_the_job(
    sandbox: Sandbox, db: ftsql.Connection, method: str, before: str, after: str | None
) -> None:
    sandbox.add_job(id="ftjob-1", status=before)
    sql = cases.EXEC_2026.format(method=method, id="ftjob-1")
    cursor = db.execute(translate(sql))
    assert [column[0] for column in cursor.get_description()] == ["id", "status", "provider"]
    ((id, status, provider),) = cursor.fetchall()
    assert (id, provider) == ("ftjob-1", "openai")
    assert status == sandbox.jobs()[0]["status"]
    assert status == after or (after is None and status != before)


def test_exec_of_a_reading_method_reads(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 5)
    assert len(run(db, "EXEC openai.fine_tuning.jobs.list_paginated_fine_tuning_jobs @limit = '3'")) == 3
    (row,) = run(db, "EXEC openai.fine_tuning.jobs.retrieve_fine_tuning_job @fine_tuning_job_id = ?", ("ftjob-00004",))
    assert row[0] == "ftjob-00004"


def test_show_methods_is_the_page_s_table_then_today_s(db: ftsql.Connection) -> None:
    cursor = db.execute(translate("SHOW METHODS IN openai.fine_tuning.jobs;"))
    assert [column[0] for column in cursor.get_description()] == ["MethodName", "RequiredParams", "SQLVerb"]
    assert cursor.fetchall() == [*cases.METHODS_2024, *cases.METHODS_2026]
    shown = [name for name, *_ in run(db, "SHOW METHODS IN portkey.fine_tuning.jobs")]
    assert "cancel" in shown
    assert "pause" not in shown


def test_describe_extended_is_the_page_s_fields_then_the_newer_ones(db: ftsql.Connection) -> None:
    rows = run(db, "DESCRIBE EXTENDED openai.fine_tuning.jobs")
    documented = list(zip(cases.FIELDS_2024, cases.TYPES_2024, strict=True))
    assert [(name, type) for name, type, _ in rows] == [*documented, *cases.NEWER]
    assert all(description for *_, description in rows)
    assert run(db, "DESCRIBE openai.fine_tuning.jobs") == [row[:2] for row in rows]


def test_show_names_providers_services_and_resources(db: ftsql.Connection) -> None:
    providers = {name for name, *_ in run(db, "SHOW PROVIDERS")}
    assert {"openai", "portkey", "telnyx"} <= providers
    assert [name for name, *_ in run(db, "SHOW PROVIDERS LIKE 'open%'")] == ["openai"]
    assert ("openai.fine_tuning", "fine_tuning", "Fine tuning") in run(db, "SHOW SERVICES IN openai")
    assert ("jobs", "openai.fine_tuning.jobs", "Jobs") in run(db, "SHOW RESOURCES IN openai.fine_tuning")
    assert run(db, "SHOW RESOURCES IN openai.fine_tuning LIKE 'nope%'") == []


def test_a_provider_of_the_user_s_own_may_stand_first(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.toml").write_text('[second-one]\nextends = "openai"\n')
    monkeypatch.setenv("FTSQL_CONFIG", str(tmp_path / "own.toml"))
    db = connect(providers="second-one")
    assert run(db, 'SELECT count(*) FROM "second-one".fine_tuning.jobs') == [(0,)]


def test_plain_sql_never_imports_sqlglot_and_stackql_names_the_missing_extra() -> None:
    program = """
import sys
sys.modules["sqlglot"] = None
from ftsql.stackql import translate
translate("SELECT main.a.b FROM a; SELECT 1 ORDER BY 1 DESC")
translate("SHOW METHODS IN openai.fine_tuning.jobs; EXEC openai.fine_tuning.jobs.cancel @fine_tuning_job_id = 'x'")
try:
    translate("SELECT 1 FROM openai.fine_tuning.jobs")
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("StackQL's statements need: pip install 'ftsql[stackql]'\n", "")
