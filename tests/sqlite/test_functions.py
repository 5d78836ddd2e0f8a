"""Functions with effects act once per statement and job, and never for rows that LIMIT would drop."""

from __future__ import annotations

import json
import threading
import time
import warnings
from pathlib import Path

import apsw
import pytest

import ftsql
from ftsql.sandbox import Fault, Sandbox
from tests.conftest import Connect, fill, gets
from tests.write.fixtures import ONE


def acts(sandbox: Sandbox) -> list[str]:
    return [
        request.path.removeprefix("/v1/fine_tuning/jobs") for request in sandbox.requests if request.method == "POST"
    ]


def test_cancel_pause_and_resume_return_the_status_afterwards(sandbox: Sandbox, db: ftsql.Connection) -> None:
    ids = fill(sandbox, 2, status="running")
    assert db.execute("SELECT cancel_job(?), pause_job(?)", ids).fetchall() == [("cancelled", "paused")]
    assert db.execute("SELECT resume_job(?)", ids[1:]).fetchall()[0][0] in ("queued", "running")


def test_cancelling_a_finished_job_returns_its_final_status(sandbox: Sandbox, db: ftsql.Connection) -> None:
    (id,) = fill(sandbox, 1, status="succeeded")
    assert db.execute("SELECT cancel_job(?)", (id,)).fetchall() == [("succeeded",)]


def test_cancel_accepts_an_empty_response_and_looks_up_the_job(sandbox: Sandbox, db: ftsql.Connection) -> None:
    (id,) = fill(sandbox, 1, status="running")
    sandbox.fault(Fault(method="POST", status=200, body=b"", accept=True))
    assert db.execute("SELECT cancel_job(?)", (id,)).fetchall() == [("cancelled",)]


def test_a_cancel_whose_response_was_lost_is_sent_again(sandbox: Sandbox, db: ftsql.Connection) -> None:
    (id,) = fill(sandbox, 1, status="running")
    sandbox.fault(Fault(method="POST", drop=True, accept=True))
    assert db.execute("SELECT cancel_job(?)", (id,)).fetchall() == [("cancelled",)]


def test_pause_of_a_finished_job_is_an_error(sandbox: Sandbox, db: ftsql.Connection) -> None:
    (id,) = fill(sandbox, 1, status="succeeded")
    with pytest.raises(ftsql.APIError, match="succeeded already"):
        db.execute("SELECT pause_job(?)", (id,)).fetchall()


@pytest.mark.parametrize(
    "id", ["ftjob-none", "a/../b", "", "x?y", "x#y", "ftjob-%2F", "é", "x" * 10_000, "..", 5, b"x"]
)
def test_an_unknown_or_impossible_id_is_an_error_and_never_changes_the_path(
    sandbox: Sandbox, db: ftsql.Connection, id: str | bytes | int
) -> None:
    words = "cancel_job: no such job" if id == "ftjob-none" else "cancel_job: .* is not a job id"
    with pytest.raises(ftsql.Error, match=words):
        db.execute("SELECT cancel_job(?)", (id,)).fetchall()
    assert acts(sandbox) in ([], ["/ftjob-none/cancel"])


def test_a_null_id_returns_null_and_sends_nothing(sandbox: Sandbox, db: ftsql.Connection) -> None:
    assert db.execute("SELECT cancel_job(NULL), wait_job(NULL)").fetchall() == [(None, None)]
    assert acts(sandbox) == []


REFUSED = [
    "SELECT cancel_job(id) FROM fine_tuning_jobs ORDER BY model LIMIT 1",
    "SELECT id, cancel_job(id) AS c FROM fine_tuning_jobs ORDER BY created_at LIMIT 1 OFFSET 1",
    "SELECT cancel_job(id) FROM mine ORDER BY id DESC LIMIT 1",
    "SELECT * FROM (SELECT cancel_job(id) FROM mine ORDER BY id LIMIT 1)",
    "WITH c AS (SELECT cancel_job(id) FROM mine ORDER BY id LIMIT 1) SELECT * FROM c",
    "SELECT cancel_job(id) FROM mine UNION ALL SELECT 'x' ORDER BY 1 LIMIT 1",
    "-- a comment first\nSELECT cancel_job(id) FROM fine_tuning_jobs ORDER BY model LIMIT 1",
    "SELECT id FROM fine_tuning_jobs j WHERE status = 'running' AND cancel_job(id) = 'x' AND id NOT IN (SELECT id FROM mine)",
    "SELECT id FROM fine_tuning_jobs j WHERE NOT EXISTS (SELECT 1 FROM mine WHERE mine.id = j.id) AND cancel_job(id) = 'x'",
    "SELECT j.id FROM fine_tuning_jobs j JOIN mine ON mine.id = j.model AND cancel_job(j.id) = 'cancelled'",
    "WITH x AS MATERIALIZED (SELECT id, cancel_job(id) s FROM fine_tuning_jobs) SELECT * FROM x LIMIT 1",
    "SELECT * FROM (SELECT id, cancel_job(id) s, row_number() OVER (ORDER BY created_at) r FROM fine_tuning_jobs) WHERE r = 1",
    "SELECT DISTINCT cancel_job(id) FROM mine LIMIT 1",
    "SELECT max(cancel_job(id)) FROM mine",
    "SELECT cancel_job(id) AS c FROM mine WHERE c = 'x'",
    "SELECT cancel_job(id) AS c FROM mine WHERE c = 'x' ORDER BY id",
    "SELECT * FROM a_view LIMIT 1",
    "UPDATE mine SET id = cancel_job(id)",
    "SELECT n FROM pk WHERE id = 'ftjob-00000' AND n = 99 AND cancel_job(id) = 'cancelled'",
    "DELETE FROM pk WHERE id = 'ftjob-00000' AND n = 99 AND cancel_job(id) = 'cancelled'",
    "SELECT cancel_job(max(id)) AS c FROM mine HAVING c = 'x'",
    "INSERT OR IGNORE INTO pk SELECT cancel_job(id), 1 FROM mine",
    "INSERT INTO pk SELECT id, cancel_job(id) FROM mine WHERE true ON CONFLICT DO NOTHING",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_a_statement_that_sorts_and_limits_after_the_call_is_refused(
    sandbox: Sandbox, db: ftsql.Connection, sql: str
) -> None:
    ids = fill(sandbox, 3, status="running")
    db.execute("CREATE TABLE mine (id)")
    db.execute("CREATE TABLE pk (id TEXT PRIMARY KEY, n); INSERT INTO pk VALUES ('ftjob-00000', 0)")
    db.execute("CREATE TEMP VIEW a_view AS SELECT cancel_job(id) FROM mine ORDER BY id DESC LIMIT 1")
    db.executemany("INSERT INTO mine VALUES (?)", [(id,) for id in ids])
    with pytest.raises(ftsql.Error, match=r"FROM \(SELECT id … ORDER BY … LIMIT …\)"):
        db.execute(sql).fetchall()
    assert acts(sandbox) == []


ALLOWED = [
    ("SELECT cancel_job(id) FROM (SELECT id FROM fine_tuning_jobs ORDER BY model, id LIMIT 1)", 1),
    ("SELECT cancel_job(id) FROM (SELECT id FROM mine ORDER BY id DESC LIMIT 2) ORDER BY id", 2),
    ("SELECT cancel_job(id) FROM mine WHERE id = (SELECT id FROM mine ORDER BY id LIMIT 1)", 1),
    ("SELECT cancel_job(id) FROM mine LIMIT 2", 2),
    ("SELECT cancel_job(id) FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 1", 1),
    ("SELECT cancel_job(id) FROM mine ORDER BY id", 3),
    ("SELECT iif(id > '', cancel_job(id), 'x'), CASE WHEN id < 'b' THEN 1 ELSE 2 END FROM mine", 3),
    ("INSERT INTO log SELECT id, cancel_job(id) FROM mine", 3),
    ("CREATE TABLE made AS SELECT cancel_job(id) FROM mine", 3),
    ("INSERT INTO log SELECT id, cancel_job(id) FROM (SELECT id FROM fine_tuning_jobs ORDER BY model, id LIMIT 2)", 2),
    ("CREATE TABLE made AS SELECT id, cancel_job(id) FROM (SELECT id FROM mine ORDER BY id LIMIT 2)", 2),
    ("SELECT cancel_job((SELECT id FROM mine ORDER BY id LIMIT 1))", 1),
    ("SELECT cancel_job(mine.id) FROM json_each('[1]') JOIN mine", 3),
    ("SELECT cancel_job(id) FROM mine LEFT JOIN log USING (id)", 3),
    ("WITH few AS (SELECT id FROM mine ORDER BY id LIMIT 2) SELECT cancel_job(id) FROM few", 2),
    ("/* c */ SELECT cancel_job(id) FROM mine WHERE id LIKE '%1' OR id LIKE '%2'", 2),
    ("SELECT cancel_job(id), cancel_job(id) FROM mine", 3),
    ("SELECT cancel_job(a.id) FROM mine a JOIN mine b", 3),
]


@pytest.mark.parametrize(("sql", "count"), ALLOWED)
def test_a_call_is_sent_once_per_statement_and_job(
    sandbox: Sandbox, db: ftsql.Connection, sql: str, count: int
) -> None:
    ids = fill(sandbox, 3, status="running")
    db.execute("CREATE TABLE mine (id)")
    db.execute("CREATE TABLE log (id, status)")
    db.executemany("INSERT INTO mine VALUES (?)", [(id,) for id in ids])
    db.execute(sql).fetchall()
    assert len(acts(sandbox)) == count
    assert sum(1 for job in sandbox.jobs() if job["status"] == "cancelled") == count


def test_a_view_that_calls_is_judged_by_its_own_program(sandbox: Sandbox, db: ftsql.Connection) -> None:
    ids = fill(sandbox, 3, status="running")
    db.execute("CREATE TABLE mine (id)")
    db.executemany("INSERT INTO mine VALUES (?)", [(id,) for id in ids])
    db.execute("CREATE TEMP VIEW one AS SELECT cancel_job(id) FROM mine ORDER BY id DESC LIMIT 1")
    mentions = db.execute("SELECT 'cancel_job' FROM mine")
    next(mentions)
    with pytest.raises(ftsql.Error, match="was not called"):
        db.execute("SELECT * FROM one").fetchall()
    assert acts(sandbox) == []
    for _ in mentions:
        assert db.execute("SELECT cancel_job(?)", ids[:1]).fetchall() == [("cancelled",)]
    kept = [db.execute("SELECT cancel_job(?)", (id,)) for id in ids]
    assert [next(cursor) for cursor in kept] == [("cancelled",)] * 3


def test_of_two_statements_under_way_that_may_call_the_second_has_to_wait(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    ids = fill(sandbox, 4, status="running")
    second = "SELECT cancel_job(id) FROM fine_tuning_jobs WHERE id IN (?, ?)"
    first = db.execute(f"{second} AND 1", ids[:2])
    assert next(first) == ("cancelled",)
    with pytest.raises(ftsql.Error, match="^several running statements call cancel_job"):
        db.execute(second, ids[2:]).fetchall()
    assert db.execute("SELECT pause_job(?)", ids[2:3]).fetchall() == [("paused",)]  # another function may be called
    assert first.fetchall() == [("cancelled",)]
    assert db.execute(second, ids[2:]).fetchall() == [("cancelled",)] * 2
    assert acts(sandbox) == [f"/{ids[0]}/cancel", f"/{ids[2]}/pause", *(f"/{id}/cancel" for id in ids[1:])]
    told = [statement for (statement,) in db.execute("SELECT statement FROM ftsql_writes")]
    assert told == [f"{second} AND 1", "SELECT pause_job(?)", f"{second} AND 1", second, second]


def test_create_job_creates_once_however_often_sqlite_calls_it(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.add_file(id="file-a")
    options = json.dumps({"suffix": "s", "metadata": {"team": "ads"}, "hyperparameters": {"n_epochs": 2}})
    sql = "SELECT create_job('gpt-4o-mini', 'file-a', ?) AS made WHERE made IS NOT NULL"
    ((id,),) = db.execute(sql, (options,)).fetchall()
    (job,) = sandbox.jobs()
    assert job["id"] == id == db.execute("SELECT last_job_id()").fetchall()[0][0]
    assert job["metadata"]["team"] == "ads"
    assert acts(sandbox) == [""]


def test_calls_of_one_function_with_the_same_model_and_other_files_act_once_each(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    for name in ("file-a", "file-b"):
        sandbox.add_file(id=name)
    creates = "create_job('gpt-4o-mini', 'file-a'), create_job('gpt-4o-mini', 'file-b')"
    first, second = db.execute(f"SELECT {creates} FROM (VALUES (1), (2))").fetchall()
    assert first == second
    assert sorted(str(job["training_file"]) for job in sandbox.jobs()) == ["file-a", "file-b"]


def test_a_transaction_counts_all_that_its_functions_and_its_inserts_send(sandbox: Sandbox, connect: Connect) -> None:
    sandbox.add_file(id="file-a")
    db = connect(max_writes=3)
    create = "SELECT create_job('gpt-4o-mini', 'file-a', json_object('suffix', ?))"
    db.execute("BEGIN")
    for suffix in ("a", "b"):
        db.execute(create, (suffix,)).fetchall()
    db.execute(ONE)
    for sql in (create, ONE):
        with pytest.raises(ftsql.Error, match="max_writes = 3 .* 2 were sent, and no more"):
            db.execute(sql, ("c",) if sql == create else ()).fetchall()
    db.execute("COMMIT")
    assert len(sandbox.jobs()) == 3
    for suffix in "defgh":  # outside a transaction, each statement has its own limit
        db.execute(create, (suffix,)).fetchall()
    assert len(sandbox.jobs()) == 8


def test_the_functions_obey_max_writes(sandbox: Sandbox, connect: Connect) -> None:
    fill(sandbox, 5, status="running")
    db = connect(max_writes=3)
    with pytest.raises(ftsql.Error, match="max_writes = 3"):
        db.execute("SELECT cancel_job(id) FROM fine_tuning_jobs").fetchall()
    assert len(acts(sandbox)) == 3


def test_our_own_writes_show_in_the_same_statement(sandbox: Sandbox, db: ftsql.Connection) -> None:
    (id,) = fill(sandbox, 1, status="running")
    sql = (
        "SELECT cancel_job(mine.id), (SELECT status FROM fine_tuning_jobs WHERE id = mine.id) "
        "FROM (SELECT ? AS id) AS mine"
    )
    assert db.execute(sql, (id,)).fetchall() == [("cancelled", "cancelled")]


def test_functions_with_effects_do_not_run_from_a_view_in_the_file(connect: Connect, tmp_path: object) -> None:
    db = connect(f"{tmp_path}/own.db")
    db.execute("CREATE VIEW evil AS SELECT cancel_job('ftjob-x')")
    with pytest.raises(apsw.SQLError, match="unsafe use"):
        db.execute("SELECT * FROM evil").fetchall()


@pytest.mark.long
def test_wait_job_returns_when_the_job_has_finished(sandbox: Sandbox, db: ftsql.Connection) -> None:
    (id,) = fill(sandbox, 1, status="running")
    assert db.execute("SELECT wait_job(?, 0)", (id,)).fetchall() == [("running",)]
    timer = threading.Timer(0.3, lambda: sandbox.update_job(id, status="succeeded"))
    timer.start()
    assert db.execute("SELECT wait_job(?, 20)", (id,)).fetchall() == [("succeeded",)]
    timer.join()


def test_the_statement_shows_the_status_that_wait_job_read_without_another_request(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    (id,) = fill(sandbox, 1, status="running")
    sql = "SELECT wait_job(column1, 0), (SELECT status FROM fine_tuning_jobs WHERE id = column1) FROM (VALUES (?))"
    assert db.execute(sql, (id,)).fetchall() == [("running", "running")]
    assert gets(sandbox) == [f"/{id}"]


@pytest.mark.parametrize(
    "sql", ["SELECT wait_job('ftjob-00000')", "SELECT count(*) FROM fine_tuning_jobs WHERE status = 'x'"]
)
def test_interrupt_ends_a_wait_quickly_and_the_connection_works_on(
    sandbox: Sandbox, db: ftsql.Connection, sql: str
) -> None:
    fill(sandbox, 1, status="running")
    if "count" in sql:
        sandbox.fault(Fault(latency=5.0))
    timer = threading.Timer(0.5, db.interrupt)
    timer.start()
    began = time.monotonic()
    with pytest.raises(apsw.InterruptError):
        db.execute(sql).fetchall()
    assert time.monotonic() - began < 2.0
    timer.join()
    assert db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall() == [(1,)]


@pytest.mark.parametrize("status", [401, 403, 429])
def test_a_cancel_that_is_refused_for_its_credentials_is_not_retried(
    sandbox: Sandbox, db: ftsql.Connection, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr("ftsql.api.retry.RETRY_SECONDS", 0.0)
    fill(sandbox, 1, status="running", finished_at=None)
    sandbox.fault(Fault(method="POST", times=None, status=status))
    sandbox.requests.clear()
    with pytest.raises(ftsql.APIError, match=f"HTTP {status}"):
        db.execute("SELECT cancel_job('ftjob-00000')").fetchall()
    assert [request.method for request in sandbox.requests] == ["POST"]


@pytest.mark.parametrize("order", ["", " ORDER BY created_at DESC"])
def test_a_running_scan_shows_our_own_write_of_a_later_job(sandbox: Sandbox, db: ftsql.Connection, order: str) -> None:
    ids = fill(sandbox, 3, status="running", finished_at=None)
    for changed, others in ((ids[2], "running"), (ids[1], "cancelled")):  # first the list is read, then it is stored
        reading = db.execute(f"SELECT id, status FROM fine_tuning_jobs{order}")
        assert next(reading) == (ids[0], "running")
        db.execute("SELECT cancel_job(?)", (changed,)).fetchall()
        assert dict(reading) == {**dict.fromkeys(ids[1:], others), changed: "cancelled"}


def test_a_running_statement_shows_our_own_write_and_keeps_accounts_apart(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    fill(sandbox, 3, status="running", finished_at=None)
    with Sandbox(jobs=0, speed=0) as second:
        fill(second, 3, status="running", finished_at=None)
        config = tmp_path / "providers.toml"
        config.write_text(f"[other]\nextends = 'openai'\nbase_url = '{second.base_url('openai')}'\n")
        db = connect(config=config, providers=["openai", "other"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # two providers show the same id
            reading = db.execute(
                "SELECT a.provider, a.id, b.provider, b.status FROM fine_tuning_jobs a, fine_tuning_jobs b "
                "WHERE b.id || '' = 'ftjob-00002'"
            )
            assert next(reading)[3] == "running"  # both lists have been read
            db.execute("SELECT cancel_job('ftjob-00002', 'openai')").fetchall()
            rest = {(provider, id, other): status for provider, id, other, status in reading}
        assert rest["other", "ftjob-00001", "openai"] == "cancelled"
        assert rest["other", "ftjob-00001", "other"] == "running"
