"""A key appears in nothing that is written, printed, raised, logged or stored."""

from __future__ import annotations

import gc
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest

import ftsql
from ftsql.sandbox import Fault, Sandbox
from tests.conftest import CANARY, Connect, fill

STATEMENTS = [
    "SELECT * FROM fine_tuning_jobs",
    "SELECT raw FROM fine_tuning_jobs WHERE id = 'ftjob-00000'",
    "SELECT * FROM ftsql_providers",
    "SELECT * FROM ftsql_writes",
    "SELECT * FROM ftsql_requests",
    "SELECT * FROM sqlite_schema UNION ALL SELECT * FROM live.sqlite_schema",
    "INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-a')",
    "SELECT cancel_job('ftjob-00000')",
    f"SELECT '{CANARY}', cancel_job('ftjob-00000')",
]
FAULTS = [
    None,
    Fault(times=None, status=401, body={"error": {"message": f"Incorrect API key provided: {CANARY}", "code": CANARY}}),
    pytest.param(Fault(times=None, status=500, body=f"<html>{CANARY}</html>"), marks=pytest.mark.long),
    Fault(times=None, status=400, body={"detail": [{"loc": ["header"], "msg": CANARY}]}),
    pytest.param(Fault(times=None, drop=True), marks=pytest.mark.long),
    Fault(times=None, redirect="http://localhost:9/elsewhere"),
    Fault(times=None, body={"data": [{"id": "x", "created_at": CANARY}]}),
]


def _everything(error: BaseException) -> str:
    """An error with its chain, its frames' locals and its attributes."""
    seen, chain = [repr(error), str(error), repr(vars(error))], [error]
    while chain:
        one = chain.pop()
        seen += [*traceback.format_exception_only(one), repr(one.args)]
        chain += [other for other in (one.__cause__, one.__context__) if other is not None]
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if frame.f_code.co_filename != __file__:
                seen += [f"{name} = {value!r}" for name, value in frame.f_locals.items()]
    return "\n".join(seen)


@pytest.mark.parametrize("fault", FAULTS, ids=["none", "401", "500", "422", "drop", "redirect", "hostile"])
def test_the_key_is_shown_nowhere(
    sandbox: Sandbox,
    connect: Connect,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault | None,
) -> None:
    monkeypatch.setattr("ftsql.api.retry.RETRY_SECONDS", 1.0)  # one more try says as much as four
    caplog.set_level(logging.DEBUG)
    fill(sandbox, 2, status="running")
    sandbox.add_file(id="file-a")
    db = connect(tmp_path / "own.db", settle_seconds=0.1)
    db.execute("CREATE TABLE mine (x)")
    if fault is not None:
        sandbox.fault(fault)
    written: list[Any] = []
    for sql in STATEMENTS:
        try:
            written.append([row for row in db.execute(sql).fetchall() if row[0] != CANARY])
        except Exception as error:
            written.append(_everything(error).replace(sql, ""))
    for table in ("ftsql_writes", "ftsql_requests"):
        written.append(db.execute(f"SELECT * FROM {table}").fetchall())
    written.append(vars(db.ftsql))
    sandbox.clear_faults()
    db.close()
    written += [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    written += [caplog.text, *capfd.readouterr()]
    assert any(CANARY in request.headers["authorization"] for request in sandbox.requests)
    for text in map(repr, written):
        assert CANARY not in text


def test_a_redirect_never_carries_the_key_anywhere(sandbox: Sandbox, db: ftsql.Connection) -> None:
    with Sandbox(jobs=0, speed=0) as other:
        sandbox.fault(Fault(times=None, redirect=other.base_url("openai") + "/fine_tuning/jobs"))
        with pytest.raises(ftsql.APIError, match="redirects.*base_url"):
            db.execute("SELECT * FROM fine_tuning_jobs").fetchall()
        assert other.requests == []


@pytest.mark.parametrize("key", ["sk-\nabc", "schlüssel-1234567", "sk-\x00abc"])
def test_a_key_that_no_header_can_carry_is_named_but_not_shown(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    if "\x00" not in key:
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(ftsql.ConfigError, match="OPENAI_API_KEY holds (a character that|characters)") as caught:
            connect().execute("SELECT * FROM fine_tuning_jobs").fetchall()
        assert key not in str(caught.value)


def test_white_space_around_a_key_is_not_sent(
    sandbox: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f" {CANARY}\n")
    connect().execute("SELECT * FROM fine_tuning_jobs").fetchall()
    assert sandbox.requests[0].headers["authorization"] == f"Bearer {CANARY}"


@pytest.mark.long
def test_http_off_loopback_needs_the_entrys_consent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "providers.toml"
    path.write_text(
        "[mine]\nbase_url = 'http://api.example.invalid/v1'\nheaders = { Authorization = 'Bearer ${MINE_KEY}' }\n"
        "allow_http = true\n"
    )
    monkeypatch.setenv("MINE_KEY", CANARY)
    db = ftsql.connect(config=path, providers="mine")
    with pytest.raises(ftsql.APIConnectionError, match="cannot connect"):
        db.execute("SELECT * FROM fine_tuning_jobs").fetchall()
    db.close()


def test_closing_leaves_no_socket_open(sandbox: Sandbox, connect: Connect) -> None:
    fill(sandbox, 1)
    db = connect()
    db.execute("SELECT * FROM fine_tuning_jobs").fetchall()
    db.close()
    del db
    gc.collect()  # an unclosed socket would be a ResourceWarning here, which is an error


@pytest.mark.parametrize("function", ["cancel_job", "pause_job", "resume_job", "wait_job", "file_content"])
def test_a_key_that_is_used_as_an_id_is_in_no_message(sandbox: Sandbox, connect: Connect, function: str) -> None:
    db = connect()
    with pytest.raises(ftsql.Error) as caught:
        db.execute(f"SELECT {function}(?)", (CANARY,)).fetchall()
    assert CANARY not in str(caught.value)
    assert CANARY not in repr(caught.value.args)
    assert db.ftsql.take_notes() == []


def test_a_traceback_that_prints_local_variables_shows_no_data(sandbox: Sandbox, connect: Connect) -> None:
    fill(sandbox, 1, status="running")
    sandbox.add_job(id="ftjob-private", status="running")
    cancels = "SELECT cancel_job(column1) FROM (VALUES ('ftjob-private'), ('ftjob-00000'))"
    with pytest.raises(ftsql.Error, match="max_writes") as caught:
        connect(max_writes=1).execute(cancels).fetchall()
    assert "ftjob-private" not in _everything(caught.value)
    sandbox.fault(Fault(path="/models$", body={"data": [{"id": "private-model"}], "has_more": True}))
    with pytest.raises(ftsql.Error, match="has more rows than one response holds") as caught:
        connect().execute("SELECT count(*) FROM models").fetchall()
    assert "private-model" not in _everything(caught.value)
