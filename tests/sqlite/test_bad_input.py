"""Bad input ends in one error that names the provider and the next step, or in the right rows. Nothing hangs."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

import ftsql
from ftsql.sandbox import Fault, Sandbox
from tests.answering import Response
from tests.conftest import CANARY, At, Connect, fill, gets

ALL = "SELECT id FROM fine_tuning_jobs"


def test_a_missing_key_names_the_variable_and_the_sandbox() -> None:
    db = ftsql.connect()
    assert db.execute("SELECT 1").fetchall() == [(1,)]
    with pytest.raises(ftsql.ConfigError, match="OPENAI_API_KEY.*--sandbox"):
        db.execute(ALL).fetchall()
    with pytest.raises(ftsql.ConfigError, match="OPENAI_API_KEY.*--sandbox"):
        db.execute("INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('m', 'f')")
    assert ("openai", 0, "OPENAI_API_KEY") in db.execute(
        "SELECT provider, active, missing FROM ftsql_providers"
    ).fetchall()
    db.close()
    db = ftsql.connect(providers="openai")
    with pytest.raises(ftsql.ConfigError, match="openai: OPENAI_API_KEY is not set.*--sandbox"):
        db.execute(ALL).fetchall()
    db.close()


@pytest.mark.parametrize(
    "table", ["fine_tuning_jobs", "fine_tuning_job_events('ftjob-1')", "fine_tuning_results('ftjob-1')", "files"]
)
def test_all_missing_variables_are_named_for_every_table(table: str) -> None:
    db = ftsql.connect(providers="portkey")
    with pytest.raises(
        ftsql.ConfigError, match="^portkey: PORTKEY_API_KEY and PORTKEY_VIRTUAL_KEY are not set. Set them"
    ):
        db.execute(f"SELECT count(*) FROM {table}").fetchall()
    db.close()


def test_a_wrong_key_is_one_sentence_that_names_the_provider(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    with pytest.raises(ftsql.AuthenticationError, match=r"^openai: .*HTTP 401.*Check OPENAI_API_KEY"):
        connect().execute(ALL).fetchall()


BODIES: list[tuple[Any, str]] = [
    ("<!DOCTYPE html><html>login</html>", "an HTML page.*base_url"),
    ('{"object": "list", "data": [', "invalid JSON"),
    ("", "invalid JSON"),
    (b"\xff\xfe\x00", "invalid JSON"),
    ("null", "openai: "),
    ("5", "a value of type int"),
    ({}, "an object without data"),
    ({"data": {}}, "an object without data"),
    ({"data": [5]}, "the object: "),
    ({"data": [{"object": "fine_tuning.job"}]}, "id: Field required"),
    ({"data": [{"id": None}]}, "id: "),
    ({"data": [{"id": ""}]}, "id: "),
    ({"data": [], "has_more": "perhaps"}, "has_more is 'perhaps'"),
    ('{"data": [{"id": "ftjob-\\ud800"}]}', "id: "),
    ("[" * 100_000, "invalid JSON|recursion"),
]


@pytest.mark.parametrize(("body", "words"), BODIES, ids=[str(body)[:60] for body, _ in BODIES])
def test_a_hostile_list_is_a_clear_error(sandbox: Sandbox, db: ftsql.Connection, body: Any, words: str) -> None:
    raw = body if isinstance(body, (str, bytes)) else None
    fault = Fault(times=None, body=raw, status=200) if raw is not None else Fault(times=None, body=body)
    sandbox.fault(fault)
    with pytest.raises(ftsql.Error, match=words) as caught:
        db.execute(ALL).fetchall()
    assert "openai" in str(caught.value)


# fields as sent -> SQL expression -> value
VALUES: list[tuple[dict[str, Any], str, Any]] = [
    ({}, "status IS NULL AND created_at IS NULL AND model IS NULL AND error IS NULL", 1),
    ({"new_field": {"a": 1}}, "raw ->> '$.new_field.a'", 1),
    ({"status": "teleporting"}, "status", "teleporting"),
    ({"created_at": 1_790_000_000_123}, "created_at", 1_790_000_000),
    ({"created_at": "2026-09-21T14:13:20Z"}, "created_at", 1_790_000_000),
    ({"created_at": "2026-09-21T16:13:20.5+02:00"}, "created_at", 1_790_000_000),
    ({"created_at": "1790000000"}, "created_at", 1_790_000_000),
    ({"finished_at": 0}, "finished_at", None),
    ({"error": {}}, "error", None),
    ({"error": {"code": None, "message": None}}, "error", None),
    ({"error": "it broke"}, "error ->> '$'", "it broke"),
    ({"error": {"code": "x", "message": "m"}}, "error ->> '$.message'", "m"),
    ({"metadata": {}}, "metadata", "{}"),
    ({"result_files": []}, "result_files", "[]"),
    ({"organization_id": 5}, "organization_id", "5"),
    ({"seed": 2**62}, "seed", 2**62),
    ({"hyperparameters": 2**63 - 1}, "hyperparameters", 2**63 - 1),
    ({"hyperparameters": 2**63}, "hyperparameters", str(2**63)),
    ({"hyperparameters": -(2**63)}, "hyperparameters", -(2**63)),
    ({"hyperparameters": -(2**63) - 1}, "hyperparameters", str(-(2**63) - 1)),
    ({"trained_tokens": None}, "trained_tokens", None),
    ({"model": "é\u0000\U0001f600"}, "model", "é\u0000\U0001f600"),
    ({"user_provided_suffix": "mine"}, "suffix", "mine"),
]


@pytest.mark.parametrize(("fields", "expression", "value"), VALUES)
def test_odd_but_readable_values_are_the_right_rows(
    sandbox: Sandbox, db: ftsql.Connection, fields: dict[str, Any], expression: str, value: Any
) -> None:
    sandbox.fault(Fault(times=None, body={"object": "list", "data": [{"id": "x"} | fields], "has_more": False}))
    assert db.execute(f"SELECT {expression} FROM fine_tuning_jobs").fetchall() == [(value,)]


ODD_IDS = [
    "a/b",
    "..",
    "../files",
    "a?b=c",
    "a#b",
    "a%2Fb",
    "a b",
    "😀",
    "x" * 10_000,
    "",
    "/",
    ".",
    "a\\b",
    "a\nb",
    "%",
]


@pytest.mark.parametrize("id", ODD_IDS, ids=[id[:12] for id in ODD_IDS])
@pytest.mark.parametrize("exists", [True, False])
def test_an_odd_id_is_found_or_matches_no_row_and_never_changes_the_path(
    sandbox: Sandbox, db: ftsql.Connection, id: str, exists: bool
) -> None:
    fill(sandbox, 2)
    if exists and id:
        sandbox.add_job(id=id)
    found = db.execute("SELECT id FROM fine_tuning_jobs WHERE id = ?", (id,)).fetchall()
    assert found == ([(id,)] if exists and id else [])
    assert gets(sandbox) == (["?limit=100"] if id else [])


@pytest.mark.parametrize("value", [5, 5.0, b"5", "5", "5.0", 10**18])
def test_ids_compare_as_sqlite_compares_them(sandbox: Sandbox, db: ftsql.Connection, value: Any) -> None:
    for id in ("5", "5.0", "1000000000000000000"):
        sandbox.add_job(id=id)
    db.execute("CREATE TABLE plain (id TEXT)")
    db.execute("INSERT INTO plain VALUES ('5'), ('5.0'), ('1000000000000000000')")
    for comparison in ("id = ?", "id IN (?, 'x')", "id IN (SELECT ?)", "id IS ?"):
        found = db.execute(f"SELECT id FROM fine_tuning_jobs WHERE {comparison}", (value,)).fetchall()
        assert found == db.execute(f"SELECT id FROM plain WHERE {comparison}", (value,)).fetchall(), comparison


def test_a_base_url_without_its_v1_is_an_error_about_the_url(
    sandbox: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", sandbox.base_url("openai").removesuffix("/v1"))
    db = connect()
    for sql in (ALL, ALL + " WHERE id = 'x'"):
        with pytest.raises(ftsql.APIError, match="base_url.*/v1"):
            db.execute(sql).fetchall()


URLS = [
    ("ftp://127.0.0.1/v1", ftsql.ConfigError, "is not an http:// or https://"),
    ("127.0.0.1:80", ftsql.ConfigError, "is not an http:// or https://"),
    ("http://api.example.invalid/v1", ftsql.ConfigError, "refuses to send a key to api.example.invalid over http://"),
    *(
        pytest.param(f"{start}/v1", ftsql.APIConnectionError, f"cannot connect to {host}", marks=pytest.mark.long)
        for start, host in (
            ("https://api.example.invalid", "api.example.invalid"),
            ("http://127.0.0.1:1", "127.0.0.1:1"),
        )
    ),
]


@pytest.mark.parametrize(("url", "kind", "words"), URLS)
def test_an_address_that_cannot_be_reached_is_an_error_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch, url: str, kind: type[Exception], words: str
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    db = ftsql.connect()
    with pytest.raises(kind, match=words):
        db.execute(ALL).fetchall()
    db.close()


@pytest.mark.long
def test_a_server_that_never_answers_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{listening.getsockname()[1]}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", CANARY)
        db = ftsql.connect(timeout=0.3)
        with pytest.raises(ftsql.APIConnectionError, match="no response from .* in time.*timeout"):
            db.execute(ALL).fetchall()
        db.close()


def test_a_response_that_is_too_large_is_refused(sandbox: Sandbox, connect: Connect) -> None:
    fill(sandbox, 50)
    with pytest.raises(ftsql.APIConnectionError, match="larger than max_body = 1000 bytes"):
        connect(max_body=1000).execute(ALL).fetchall()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.long
def test_retry_after_is_obeyed_up_to_a_limit(sandbox: Sandbox, db: ftsql.Connection, status: int) -> None:
    fill(sandbox, 1)
    sandbox.fault(Fault(status=status, headers={"Retry-After": "1"}))
    assert db.execute(ALL).fetchall() == [("ftjob-00000",)]
    sandbox.fault(Fault(status=status, headers={"Retry-After": "3600"}))
    with pytest.raises(ftsql.APIError, match="asks to wait 3600 s"):
        db.execute(ALL).fetchall()


CONFIGS = [
    ("[openai\n", "not valid TOML"),
    ("openai = 5", "is not a provider entry"),
    ("[mine]\nbase = 'x'", "provider mine: base_url: Field required"),
    ("[mine]\nbase_url = 'x'\nheader = {}", "provider mine: header: there is no such word"),
    ("[mine]\nextends = 'nobody'", "extends 'nobody'"),
    ("active = 5", "active should be a list"),
    ("active = ['nobody']", "unknown provider 'nobody'"),
]


@pytest.mark.parametrize(("text", "words"), CONFIGS)
def test_a_wrong_provider_file_says_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "providers.toml"
    path.write_text(text)
    with pytest.raises(ftsql.ConfigError, match=words):
        ftsql.connect(config=path)


def test_a_provider_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ftsql.ConfigError, match="cannot read the provider file .*nowhere"):
        ftsql.connect(config=tmp_path / "nowhere.toml")


def test_an_unknown_provider_or_setting_is_named_with_those_that_exist() -> None:
    with pytest.raises(ftsql.ConfigError, match="unknown provider 'opnai'; known are .*openai"):
        ftsql.connect(providers="opnai")
    with pytest.raises(ftsql.ConfigError, match="unknown setting 'max_request'; known are .*max_requests"):
        ftsql.connect(max_request=5)
    with pytest.raises(ftsql.ConfigError, match="invalid timeout 'soon' .*: expected a number"):
        ftsql.connect(timeout="soon")
    with pytest.raises(ftsql.ConfigError, match="invalid max_writes inf .*: expected an integer"):
        ftsql.connect(max_writes=float("inf"))


def test_register_inside_a_transaction_says_to_do_it_before() -> None:
    import apsw

    connection = apsw.Connection(":memory:")
    connection.execute("BEGIN")
    with pytest.raises(ftsql.Error, match="before BEGIN"):
        ftsql.register(connection)
    connection.close()


def test_null_in_place_of_a_job_is_an_error_and_not_a_missing_job(at: At) -> None:
    _, db = at(lambda asked: Response(b"null"))
    for sql in ("SELECT id FROM fine_tuning_jobs WHERE id = 'ftjob-a'", "SELECT id FROM fine_tuning_jobs"):
        with pytest.raises(ftsql.Error, match="with null, expected an object"):
            db.execute(sql).fetchall()
