"""ftsql_requests and .requests: every HTTP request of a connection, and no key in any of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from typing import Any

import pytest

import ftsql
from ftsql.api.request_log import KEPT, Counts, RequestLog, RequestRecord
from ftsql.sandbox import Fault, Sandbox
from tests.answering import Response
from tests.conftest import CANARY, At, Connect, fill

JOBS = "/fine_tuning/jobs"
INSERT = "INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-a')"


def log(db: ftsql.Connection, columns: str = "method, path, status, attempt, rows") -> list[tuple[Any, ...]]:
    return db.execute(f"SELECT {columns} FROM ftsql_requests").fetchall()


def test_each_request_is_a_row_with_its_path_and_its_response(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 150, status="running")
    before = time.time()
    db.execute("SELECT id FROM fine_tuning_jobs").fetchall()
    db.execute("SELECT id FROM fine_tuning_jobs WHERE id = 'ftjob-00007'").fetchall()
    db.execute("SELECT id FROM fine_tuning_jobs WHERE id = 'ftjob-none'").fetchall()
    assert log(db) == [
        ("GET", f"{JOBS}?limit=100", 200, 1, 100),
        ("GET", f"{JOBS}?limit=100&after=ftjob-00099", 200, 1, 50),
        ("GET", f"{JOBS}/ftjob-00007", 200, 1, 1),
        ("GET", f"{JOBS}/ftjob-none", 404, 1, None),
    ]
    assert {provider for (provider,) in log(db, "provider")} == {"openai"}
    for at, milliseconds, waited, size in log(db, "at, milliseconds, waited, bytes"):
        assert before <= at <= time.time()
        assert milliseconds > 0
        assert waited == 0
        assert size > 50
    errors = [error for (error,) in log(db, "error")]
    assert errors[:3] == [None] * 3
    assert "ftjob-none" in errors[3]


@pytest.mark.long
def test_a_retry_is_a_row_of_its_own_with_its_pause(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 1)
    sandbox.fault(Fault(status=500, body={"error": {"message": "out of order"}}))
    sandbox.fault(Fault(drop=True))
    db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall()
    first, second, third = log(db, "attempt, status, rows, waited, error")
    assert first == (1, 500, None, 0, "out of order")
    assert second[:3] == (2, None, None)
    assert "broke off" in second[4]
    assert third[:3] == (3, 200, 1)
    assert third[3] > second[3] > 100


@pytest.mark.usefixtures("files")
def test_a_request_says_that_its_body_is_json_where_it_may_have_one(sandbox: Sandbox, db: ftsql.Connection) -> None:
    db.execute("INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-a')")
    db.execute("SELECT cancel_job(id) FROM fine_tuning_jobs").fetchall()
    said = {(request.method, request.headers.get("content-type")) for request in sandbox.requests}
    assert said == {("GET", None), ("POST", "application/json")}


def test_what_is_refused_again_and_again_is_tried_four_times(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.fault(Fault(times=None, status=429, headers={"Retry-After": "0"}))
    with pytest.raises(ftsql.RateLimitError, match="Gave up after 4 tries"):
        db.execute("SELECT id FROM fine_tuning_jobs").fetchall()
    assert db.execute("SELECT attempt, status FROM ftsql_requests").fetchall() == [(n, 429) for n in (1, 2, 3, 4)]


def test_a_body_that_is_no_json_is_an_error_of_its_row(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.fault(Fault(body="<html>log in</html>"))
    with pytest.raises(ftsql.Error, match="an HTML page"):
        db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall()
    ((status, rows, error),) = log(db, "status, rows, error")
    assert (status, rows) == (200, None)
    assert "an HTML page" in error


@pytest.mark.long
def test_a_request_without_a_response_is_a_row_without_a_status(connect: Connect, sandbox: Sandbox) -> None:
    db = connect(timeout=0.2)
    sandbox.fault(Fault(times=None, hang=True))
    with pytest.raises(ftsql.APIConnectionError):
        db.execute("SELECT count(*) FROM fine_tuning_jobs WHERE id = 'ftjob-a'").fetchall()
    assert {row[:3] for row in log(db, "status, bytes, rows, error")} == {(None, None, None)}
    assert all("in time" in error for (error,) in log(db, "error"))


def test_each_request_names_the_statement_that_it_was_sent_for(
    sandbox: Sandbox, db: ftsql.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftsql.read.listing.SLOW_PAGE", 1e9)  # on a busy machine a page would be requested ahead
    sandbox.add_file(id="file-a")
    fill(sandbox, 250, status="running")
    pages = "SELECT id FROM fine_tuning_jobs"
    get = "SELECT status FROM fine_tuning_jobs WHERE id = 'ftjob-00001'"
    cursor = db.execute(pages)
    next(cursor)
    db.execute(get).fetchall()  # in the middle of the other one
    list(cursor)
    db.execute(INSERT)
    cancel = "SELECT cancel_job(last_job_id())"
    db.execute(cancel).fetchall()
    wait = "SELECT wait_job(last_job_id())"
    db.execute(wait).fetchall()
    with db:
        db.execute(INSERT)
    assert log(db, "method, statement") == [
        ("GET", pages),
        ("GET", get),
        ("GET", pages),
        ("GET", pages),
        ("POST", INSERT),
        ("POST", cancel),
        ("GET", wait),
        ("POST", INSERT),
    ]


def test_looking_for_a_lost_create_names_the_insert(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.add_file(id="file-a")
    sandbox.fault(Fault(method="POST", drop=True, accept=True))
    db.execute(INSERT)
    assert log(db, "method, statement") == [("POST", INSERT), ("GET", INSERT)]


def test_each_connection_shows_its_own_requests_and_sends_none_for_them(sandbox: Sandbox, connect: Connect) -> None:
    one, other = connect(), connect()
    one.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall()
    assert len(log(one)) == 1
    assert log(other) == []
    assert len(sandbox.requests) == 1


def test_no_key_shows_in_the_log(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.fault(Fault(status=401, body={"error": {"message": f"Incorrect key {CANARY}"}}))
    with pytest.raises(ftsql.AuthenticationError):
        db.execute(f"SELECT '{CANARY}' FROM fine_tuning_jobs").fetchall()
    db.execute(f"SELECT * FROM fine_tuning_jobs WHERE id = '{CANARY}'").fetchall()
    text = repr(log(db, "*"))
    assert CANARY not in text
    assert f"{JOBS}/***" in text
    assert "Incorrect key ***" in text
    assert "SELECT '***' FROM" in text


@pytest.mark.slow
def test_the_last_ten_thousand_are_kept() -> None:
    kept = RequestLog()
    for number in range(KEPT + 5):
        kept.add(RequestRecord(0.0, "openai", "GET", f"/{number}", 1, 0.0), "get", None, kept.counts)
    records = kept.records()
    assert len(records) == 10_000
    assert (records[0].path, records[-1].path) == ("/5", "/10004")


def test_a_request_left_under_way_does_not_count_for_the_next_statement() -> None:
    requests = RequestLog()
    first = requests.counts
    record = RequestRecord(0.0, "openai", "GET", "", 1, 0.0)
    requests.add(record, "list", None, first)
    assert requests.take_counts() is first
    requests.count_rows(record, {"data": [{}, {}]}, first)
    assert first.rows == 2
    assert requests.counts == Counts()


def shell(sandbox: Sandbox, script: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OPENAI_BASE_URL": sandbox.base_url("openai"), "OPENAI_API_KEY": CANARY}
    return subprocess.run(
        [sys.executable, "-m", "ftsql"],
        capture_output=True, text=True, input=script, env={**environment, "FTSQL_STORE": ":memory:"}, timeout=60,
    )  # fmt: skip


def test_requests_on_prints_the_cost_after_each_statement(sandbox: Sandbox) -> None:
    fill(sandbox, 150)
    sandbox.add_file(id="file-a")
    done = shell(
        sandbox,
        "SELECT count(*) AS n FROM fine_tuning_jobs;\n.requests on\nSELECT count(*) AS n FROM fine_tuning_jobs;\n"
        "SELECT count(*) AS n FROM fine_tuning_jobs WHERE id = 'ftjob-00001'; SELECT 1;\n"
        f"{INSERT};\n.requests off\nSELECT count(*) AS n FROM fine_tuning_jobs WHERE id IN ('a', 'b');\n",
    )
    assert done.returncode == 0
    assert done.stdout == "n\n150\nn\n150\nn\n1\n1\n1\nn\n0\n"
    lines = [re.sub(r"\d+ ms$", "N ms", line) for line in done.stderr.splitlines()]
    assert lines[:3] == [
        "1 request (1 list; openai 1), 100 rows from the API, 50 from the store, waited 0.0 s, N ms",
        "0 requests, 0 rows from the API, 1 from the store, waited 0.0 s, N ms",
        "0 requests, 0 rows from the API, 0 from the store, waited 0.0 s, N ms",
    ]
    assert lines[3].startswith("created ftjob-")
    assert lines[4] == "1 request (1 create; openai 1), 0 rows from the API, 0 from the store, waited 0.0 s, N ms"
    assert len(lines) == 5


def test_requests_on_also_prints_the_cost_of_a_failed_statement_and_of_an_opened_file(sandbox: Sandbox) -> None:
    sandbox.fault(Fault(times=None, status=400, body={"error": {"message": "no"}}))
    done = shell(sandbox, ".requests on\n.open\nSELECT count(*) FROM fine_tuning_jobs;\n")
    assert done.returncode == 1
    assert "1 request (1 list; openai 1), 0 rows from the API" in done.stderr


def test_requests_on_prints_nothing_after_an_empty_statement(sandbox: Sandbox) -> None:
    assert shell(sandbox, ".requests on\nSELECT 1;\n;\n").stderr.count("requests,") == 1


@pytest.mark.long
def test_requests_has_a_help_and_takes_on_and_off_only(sandbox: Sandbox) -> None:
    done = shell(sandbox, ".help requests\n")
    assert done.stderr.strip().startswith(".requests ON|OFF")
    assert "ftsql_requests" in done.stderr
    assert ".requests ON|OFF" in shell(sandbox, ".help\n").stderr
    done = shell(sandbox, ".requests maybe\n")
    assert done.returncode == 1
    assert "requests expected ON or OFF" in done.stderr


def test_the_bytes_of_a_response_are_counted_without_its_headers(at: At) -> None:
    body = b'{"data": [], "has_more": false}'
    _, db = at(lambda asked: Response(body))
    db.execute("SELECT id FROM fine_tuning_jobs").fetchall()
    assert log(db, "bytes") == [(len(body),)]


def test_slow_pages_cost_no_more_time_than_the_server_takes(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 450)
    sandbox.fault(Fault(path=f"{JOBS}$", times=None, latency=0.03))
    began = time.monotonic()
    assert db.execute("SELECT count(*) FROM fine_tuning_jobs").get == 450
    assert time.monotonic() - began < 2  # five pages of 0.03 s
