"""connect and register: options, closing, threads, and the hooks of other code on the same connection."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import apsw
import pytest

import ftsql
from ftsql.sandbox import Sandbox
from tests.conftest import CANARY, Connect, fill
from tests.write.fixtures import ONE


def test_register_adds_the_tables_to_a_connection_and_close_removes_only_ftsql(
    sandbox: Sandbox, connect: Connect
) -> None:
    fill(sandbox, 2)
    connection = apsw.Connection(":memory:")
    with ftsql.register(connection) as registration:
        assert registration.accounts == ("openai",)
        assert connection.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall() == [(2,)]
    with pytest.raises(apsw.SQLError, match="no such table"):
        connection.execute("SELECT * FROM fine_tuning_jobs")
    with pytest.raises(apsw.SQLError, match="no such function: metadata_has"):
        connection.execute("SELECT metadata_has('{}', '{}')")
    registration.close()
    with ftsql.register(connection):
        assert connection.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall() == [(2,)]
    connection.close()


def test_the_connections_own_authorizer_and_traces_stay_in_force(sandbox: Sandbox, connect: Connect) -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE secret (x); INSERT INTO secret VALUES (1)")
    seen: list[str] = []

    def authorizer(code: int, first: str | None, *_: str | None) -> int:
        return apsw.SQLITE_DENY if code == apsw.SQLITE_READ and first == "secret" else apsw.SQLITE_OK

    def own_trace(cursor: apsw.Cursor, sql: str, bindings: object) -> bool:
        seen.append(sql)
        return True

    connection.authorizer = authorizer
    connection.exec_trace = own_trace
    connection.trace_v2(apsw.SQLITE_TRACE_STMT, lambda event: seen.append(event["sql"]), id="own")
    with ftsql.register(connection):
        with pytest.raises(apsw.AuthError):
            connection.execute("SELECT x FROM secret")
        connection.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall()
    assert seen.count("SELECT count(*) FROM fine_tuning_jobs") == 2
    assert connection.exec_trace is own_trace
    connection.close()


def test_a_statement_that_a_trace_refuses_lends_the_next_one_neither_its_text_nor_its_parameters(
    sandbox: Sandbox, connect: Connect
) -> None:
    sandbox.add_file(id="file-a")
    connection = apsw.Connection(":memory:")
    connection.exec_trace = lambda cursor, sql, bindings: "refused" not in sql
    with ftsql.register(connection):
        with pytest.raises(apsw.ExecTraceAbort):
            connection.execute("SELECT 'refused', ?", ("2020-01-01",))
        cursor = connection.cursor()
        cursor.exec_trace = lambda *_: True  # so that nothing of its statements is known but what SQLite says
        cursor.execute(ONE)
        assert connection.execute("SELECT statement FROM ftsql_writes").fetchall() == [(ONE,)]
        with pytest.raises(apsw.ExecTraceAbort):
            connection.execute("SELECT 'refused', ?", (5,))
        with pytest.raises(ftsql.Error, match="created_at is compared with something that may be a string"):
            cursor.execute("DELETE FROM files WHERE NOT (created_at > ?)", (6,))
    connection.close()


def test_a_statement_that_runs_anew_since_the_schema_changed_is_a_new_one(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    sandbox.add_file(id="file-a")
    db, other = connect(tmp_path / "own.db"), apsw.Connection(str(tmp_path / "own.db"))
    other.execute("CREATE TABLE mine (x); INSERT INTO mine VALUES ('file-a')")
    count = "SELECT count(*) FROM fine_tuning_jobs, mine"
    made = "SELECT create_job('gpt-4o-mini', x) IS NOT NULL FROM mine"
    inserted = "INSERT INTO fine_tuning_jobs (model, training_file) SELECT 'gpt-4o-mini', x FROM mine WHERE x = ?"
    for number in range(3):
        assert db.execute(made).fetchall() == [(1,)]
        db.execute(inserted, ("file-a",))
        assert db.execute(count).get == 2 * (number + 1)
        other.execute(f"CREATE TABLE more_{number} (x)")
    assert db.execute("SELECT statement FROM ftsql_writes").fetchall() == [(made,), (inserted,)] * 3
    other.close()


def test_what_is_explained_between_two_statements_is_none_that_runs(sandbox: Sandbox, db: ftsql.Connection) -> None:
    first, second = fill(sandbox, 2, status="running")
    assert db.execute("SELECT cancel_job(?)", (first,)).get == "cancelled"
    assert db.ftsql.explain("SELECT * FROM fine_tuning_jobs")[-1].low == 1
    assert db.execute("SELECT cancel_job(?) AS status", (second,)).get == "cancelled"


@pytest.mark.long
def test_several_threads_work_with_a_connection_each(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    fill(sandbox, 150)
    path = tmp_path / "own.db"
    connect(path).execute("CREATE TABLE mine (n); PRAGMA journal_mode = WAL")
    found: list[int] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            db = ftsql.connect(path)
            try:
                for _ in range(5):
                    found.extend(n for (n,) in db.execute("SELECT count(*) FROM fine_tuning_jobs LEFT JOIN mine"))
            finally:
                db.close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert found == [150] * 40


@pytest.mark.long
def test_many_connections_can_be_open_and_one_that_is_dropped_is_closed(sandbox: Sandbox, connect: Connect) -> None:
    fill(sandbox, 1)
    held = [connect() for _ in range(40)]
    assert held[-1].execute("SELECT count(*) FROM fine_tuning_jobs").fetchall() == [(1,)]
    before = threading.active_count()
    db = ftsql.connect()
    assert db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall() == [(1,)]
    reference = weakref.ref(db)
    del db
    gc.collect()
    assert reference() is None
    end = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.05)
    assert threading.active_count() <= before


def test_closing_twice_is_no_error_and_ends_the_embedded_sandbox() -> None:
    before = set(threading.enumerate())
    db = ftsql.connect(sandbox=True)
    assert db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall() == [(250,)]
    serving = [thread for thread in set(threading.enumerate()) - before if thread.name == "ftsql-sandbox"]
    assert len(serving) == 1
    db.close()
    db.close()
    with pytest.raises(apsw.ConnectionClosedError):
        db.execute("SELECT 1")
    assert not serving[0].is_alive()


def test_the_sandbox_needs_no_key_and_ignores_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.example.invalid/v1")
    db = ftsql.connect(sandbox=True)
    assert db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall() == [(250,)]
    db.close()


@pytest.mark.parametrize("variable", ["FTSQL_PROVIDERS", "active"])
def test_the_active_providers_can_be_chosen(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    fill(sandbox, 3)
    text = "".join(
        f'[{name}]\nextends = "openai"\nbase_url = "{sandbox.base_url("openai")}"\n' for name in ("one", "two", "three")
    )
    path = tmp_path / "providers.toml"
    path.write_text(('active = ["one", "two"]\n' if variable == "active" else "") + text)
    monkeypatch.setenv("FTSQL_CONFIG", str(path))
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    if variable == "FTSQL_PROVIDERS":
        monkeypatch.setenv("FTSQL_PROVIDERS", "one, two")
    with ftsql.connect() as db:
        assert db.execute("SELECT DISTINCT provider FROM fine_tuning_jobs ORDER BY 1").fetchall() == [
            ("one",),
            ("two",),
        ]
        assert db.execute("SELECT count(*) FROM fine_tuning_jobs WHERE id = 'ftjob-00001'").fetchall() == [(2,)]
        with pytest.raises(ftsql.Error, match=r"at several providers \(one, two\)"):
            db.execute("SELECT cancel_job('ftjob-00001')").fetchall()
        with pytest.raises(ftsql.Error, match="several providers are active"):
            db.execute("INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('m', 'f')")
    db.close()


@pytest.mark.long
def test_one_provider_that_fails_is_named_with_the_way_around_it(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sandbox, 3)
    path = tmp_path / "providers.toml"
    path.write_text(
        f'[good]\nextends = "openai"\nbase_url = "{sandbox.base_url("openai")}"\n'
        '[bad]\nextends = "openai"\nbase_url = "http://127.0.0.1:1/v1"\n'
    )
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    db = ftsql.connect(config=path, providers=["good", "bad"])
    with pytest.raises(ftsql.APIError, match=r"^bad: .*WHERE provider <> 'bad', or FTSQL_PROVIDERS=good"):
        db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall()
    assert db.execute("SELECT count(*) FROM fine_tuning_jobs WHERE provider <> 'bad'").fetchall() == [(3,)]
    db.close()


DROPPED = """
import gc, threading
import ftsql
from ftsql.sandbox import Sandbox
import os

def drop():
    next(ftsql.connect().execute("SELECT * FROM fine_tuning_jobs"))

with Sandbox(jobs=120) as sandbox:
    os.environ.update(OPENAI_BASE_URL=sandbox.base_url(), OPENAI_API_KEY="any")
    for _ in range(30):
        threads = [threading.Thread(target=drop) for _ in range(3)]
        for thread in threads:
            thread.start()
        gc.collect()
        for thread in threads:
            thread.join()
"""


@pytest.mark.long
def test_connections_that_threads_drop_without_close_corrupt_no_memory() -> None:
    environment = {**os.environ, "PYTHONMALLOC": "debug"}  # overwrites freed memory
    done = subprocess.run(
        [sys.executable, "-c", DROPPED], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
