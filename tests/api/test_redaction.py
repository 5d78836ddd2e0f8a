"""Redaction never changes data: only credentials are hidden, in messages and as whole strings in ``raw``."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

import ftsql
from ftsql.api.account import Account
from ftsql.api.provider import VARIABLE, Provider, load, names_a_credential
from tests.answering import PATH, Asked, Response, Server, job
from tests.conftest import CANARY, At

KNOWN = load(None, {"FTSQL_CONFIG": "/dev/null"})[0]
HEADERS = [(name, header) for name, provider in KNOWN.items() for header in provider.headers]
VALUE = "us-east-1.prod"  # of a header, and inside of ids, models, owners, files and errors


def things() -> dict[str, Any]:
    return job(
        0,
        id=f"arn%3Aaws%3A{VALUE}%3Ajob",
        model=f"@{VALUE}/gpt-5",
        organization_id=VALUE,
        training_file=f"s3-{VALUE}-train.jsonl",
        result_files=[f"file-{VALUE}"],
        status="failed",
        fine_tuned_model=f"ft:{VALUE}",
        error={"message": f"no {VALUE} here", "code": VALUE},
        metadata={"region": VALUE, VALUE: "x"},
        suffix=VALUE,
    )


def answering(asked: Asked) -> Any:
    if asked.path == PATH:
        return {"data": [things()], "has_more": False}
    if asked.path == "/files":
        return {"data": [{"id": f"file-{VALUE}", "filename": VALUE, "purpose": VALUE}], "has_more": False}
    if asked.path.startswith("/files/"):
        return Response(f"step,train_loss\n1,0.5\n{VALUE}".encode())
    return things()


@pytest.mark.filterwarnings("ignore:.*holds a credential of the account")
@pytest.mark.parametrize(("name", "header"), HEADERS)
def test_the_value_of_any_header_that_occurs_in_rows_comes_through_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, header: str
) -> None:
    provider = KNOWN[name]
    for variable in provider.variables:
        monkeypatch.setenv(variable, "k" * 20)
    for variable, _ in VARIABLE.findall(provider.headers[header]):
        monkeypatch.setenv(variable, VALUE)
    _all_comes_through(tmp_path, name, "", secret=provider.is_secret(header))


def test_the_value_of_a_header_of_ones_own_comes_through_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTKEY_API_KEY", "k" * 20)
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY", "bedrock-prod")
    _all_comes_through(tmp_path, "portkey_bedrock", f'x-portkey-aws-region = "{VALUE}"', secret=False)


def _hidden(value: Any) -> Any:
    """What raw has if VALUE is a credential: no other column is touched, and no part of a text."""
    if isinstance(value, dict):
        return {_hidden(name): _hidden(each) for name, each in value.items()}
    return [_hidden(each) for each in value] if isinstance(value, list) else "***" if value == VALUE else value


def _all_comes_through(folder: Path, extends: str, header: str, *, secret: bool) -> None:
    config = folder / "providers.toml"
    with Server(answering) as server:
        config.write_text(
            f'[b]\nextends = "{extends}"\nbase_url = "{server.base_url}"\npath = "{PATH}"\nheaders = {{ {header} }}\n'
        )
        db = ftsql.connect(config=config, providers="b")
        expected = things()
        for _ in range(2):  # from the API, and from the store
            ((raw, *values),) = db.execute(
                "SELECT raw, id, model, organization_id, training_file, fine_tuned_model, suffix FROM fine_tuning_jobs"
            ).fetchall()
            assert json.loads(str(raw)) == (_hidden(expected) if secret else expected)
            names = ("id", "model", "organization_id", "training_file", "fine_tuned_model", "suffix")
            assert values == [expected[name] for name in names]
            ((error, metadata, files),) = db.execute(
                "SELECT error, metadata, result_files FROM fine_tuning_jobs"
            ).fetchall()
            assert json.loads(str(error)) == expected["error"]
            assert json.loads(str(metadata)) == expected["metadata"]
            assert json.loads(str(files)) == expected["result_files"]
        if "files" not in KNOWN[extends].without:
            assert db.execute("SELECT id, filename, purpose FROM files").fetchall() == [(f"file-{VALUE}", VALUE, VALUE)]
            assert str(db.execute(f"SELECT file_content('file-{VALUE}')").get).endswith(VALUE)
        db.close()


def test_a_create_whose_id_holds_a_region_is_recorded_found_cancelled_and_compensated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Amodel-customization-job%2Fa"
    state: dict[str, Any] = {"status": "running", "refuse": False, "made": 0, "id": id}

    def bedrock(asked: Asked) -> Any:
        shown = {"id": state["id"], "object": "finetune", "status": state["status"], "created_at": 1_790_000_000_000}
        if asked.method == "POST" and asked.path == PATH:
            if state["refuse"] and json.loads(asked.body)["model"] == "bad":
                return Response({"error": {"message": "no such model"}}, 400)
            state["status"] = "running"
            state["id"] = f"{id}{state['made']}"
            state["made"] += 1
            return {"id": state["id"]}
        if asked.method == "POST":
            state["status"] = "cancelled"
            return {}
        return {"data": [shown], "object": "list", "total_count": 1} if asked.path == PATH else shown

    monkeypatch.setenv("PORTKEY_API_KEY", "k" * 20)
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY", "bedrock-prod")
    create = "INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('m', 'f')"
    with Server(bedrock) as server:
        config = tmp_path / "providers.toml"
        config.write_text(
            f'[b]\nextends = "portkey_bedrock"\nbase_url = "{server.base_url}"\n'
            'headers = { x-portkey-aws-region = "us-east-1" }\n'
        )
        db = ftsql.connect(config=config, providers="b")
        db.execute(create)
        made = f"{id}0"
        assert db.ftsql.last_job_id == made
        assert db.execute("SELECT job_id, path FROM ftsql_writes").fetchall() == [(made, PATH)]
        assert db.execute("SELECT status FROM fine_tuning_jobs WHERE id = ?", (made,)).get == "running"
        assert db.execute("SELECT cancel_job(?)", (made,)).get == "cancelled"
        assert server.requests[-2:] == [f"POST /{made}/cancel", f"/{made}"]
        state["refuse"] = True
        made = f"{id}1"
        with pytest.raises(ftsql.Error, match=f"no such model.*{made} was created and is cancelled now"):
            db.execute(f"{create}, ('bad', 'f')")
        assert state["status"] == "cancelled"
        writes = db.execute("SELECT action, state, job_id, path FROM ftsql_writes ORDER BY write_id").fetchall()
        assert ("cancel", "committed", made, f"{PATH}/{made}/cancel") in writes
        db.close()


ECHOES: list[Any] = [
    CANARY,
    [CANARY],
    {"headers": {"Authorization": f"Bearer {CANARY}"}},
    {CANARY: 1},
]


@pytest.mark.parametrize("echo", ECHOES, ids=["a text", "in a list", "with Bearer", "as a name"])
@pytest.mark.parametrize("escaped", [False, True])
def test_a_credential_that_a_server_echoes_in_a_row_is_shown_nowhere(
    at: At, tmp_path: Path, echo: Any, escaped: bool
) -> None:
    body = json.dumps({"data": [job(0, debug=echo), job(1)], "has_more": False})
    if escaped:
        body = body.replace(CANARY, "".join(f"\\u{ord(each):04x}" for each in CANARY))
    _, db = at(lambda asked: Response(body.encode()), store=tmp_path / "store.db")
    with pytest.warns(ftsql.Warning, match="holds a credential of the account, and raw has .* there instead"):
        found = db.execute("SELECT id, raw ->> '$.debug' FROM fine_tuning_jobs").fetchall()
    assert [row[0] for row in found] == ["ftjob-00000", "ftjob-00001"]
    assert "***" in str(found[0][1])
    told = [*found, *db.execute("SELECT * FROM ftsql_requests").fetchall()]
    told += db.execute("SELECT raw FROM fine_tuning_jobs WHERE id = 'ftjob-00000'").fetchall()  # from the store
    db.close()
    written = [path.read_bytes() for path in tmp_path.rglob("store*") if path.is_file()]
    assert CANARY not in repr(told)
    assert written
    assert all(CANARY.encode() not in each for each in written)


def test_a_credential_that_is_the_default_of_a_variable_is_hidden_too(
    at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "providers.toml"
    config.write_text(f"[openai.headers]\nx-team = 'team ${{TEAM_KEY:-{CANARY}}}'\n")
    monkeypatch.setenv("FTSQL_CONFIG", str(config))
    server, db = at(lambda asked: Response({"error": {"message": f"no team has {CANARY}"}}, 400))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another-7f3a9b52c4d1e860")
    db = ftsql.connect()
    with pytest.raises(ftsql.APIError, match=r"no team has \*\*\*"):
        db.execute("SELECT id FROM fine_tuning_jobs").fetchall()
    assert server.asked[0].headers["x-team"] == f"team {CANARY}"
    db.close()


@pytest.mark.parametrize("sign", ["/", '"', "\\"])
def test_a_key_that_json_writes_otherwise_is_hidden_too(at: At, monkeypatch: pytest.MonkeyPatch, sign: str) -> None:
    key = f"sk-canary{sign}7f3a9b52{sign}c4d1"
    body = json.dumps({"data": [job(0, debug=key)], "has_more": False}).replace("/", "\\/").encode()
    assert key.encode() not in body
    at(lambda asked: Response(body))
    monkeypatch.setenv("OPENAI_API_KEY", key)
    db = ftsql.connect()
    with pytest.warns(ftsql.Warning, match="holds a credential of the account"):
        assert db.execute("SELECT raw ->> '$.debug' FROM fine_tuning_jobs").fetchall() == [("***",)]
    db.close()


def test_a_key_that_was_set_with_the_word_bearer_is_nowhere_either(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {"debug": CANARY, "header": f"Bearer {CANARY}", "sent": f"Bearer Bearer {CANARY}"}
    refused = Response({"error": {"message": f"Incorrect API key provided: {CANARY}"}}, 401)
    server, _ = at(lambda asked: refused if asked.path != PATH else {"data": [job(0, **shown)], "has_more": False})
    monkeypatch.setenv("OPENAI_API_KEY", f"Bearer {CANARY}")
    db = ftsql.connect()
    with pytest.warns(ftsql.Warning, match="holds a credential of the account"):
        (raw,) = db.execute("SELECT raw FROM fine_tuning_jobs").fetchall()[0]
    assert {name: json.loads(str(raw))[name] for name in shown} == dict.fromkeys(shown, "***")
    with pytest.raises(ftsql.AuthenticationError, match=r"Incorrect API key provided: \*\*\* "):
        db.execute("SELECT raw FROM fine_tuning_jobs WHERE id = 'ftjob-x'").fetchall()
    assert server.asked[-1].headers["Authorization"] == shown["sent"]
    assert CANARY not in repr(db.execute("SELECT * FROM ftsql_requests").fetchall())
    db.close()


def test_a_string_that_only_contains_a_credential_is_data(at: At) -> None:
    """A value is hidden as a whole, in raw alone: half a row is never rewritten."""
    text = f"Incorrect API key provided: {CANARY}"
    _, db = at(lambda asked: {"data": [job(0, status="failed", error={"message": text})], "has_more": False})
    assert db.execute("SELECT error ->> '$.message', raw ->> '$.error.message' FROM fine_tuning_jobs").fetchall() == [
        (text, text)
    ]


@pytest.mark.parametrize("key", ["none", "ollama", "1234567", "dummy"])
def test_a_key_that_is_a_word_hides_nothing(at: At, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    server, _ = at(lambda asked: {"data": [job(0, model=key, note=key)], "has_more": False})
    monkeypatch.setenv("OPENAI_API_KEY", key)
    db = ftsql.connect()
    assert db.execute("SELECT model, raw ->> '$.note' FROM fine_tuning_jobs").fetchall() == [(key, key)]
    assert server.asked[-1].headers["Authorization"] == f"Bearer {key}"
    db.close()


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *((each, True) for each in ("Authorization", "x-api-key", "api-key", "apikey", "X-Auth-Token", "x-portkey-api-key",
                                    "Ocp-Apim-Subscription-Key", "OPENAI_API_KEY", "x-portkey-aws-secret-access-key",
                                    "x-portkey-aws-session-token", "Proxy-Authorization", "Cookie", "X-Auth", "clientSecret")),
        *((each, False) for each in ("x-portkey-aws-region", "x-portkey-virtual-key", "PORTKEY_VIRTUAL_KEY", "x-portkey-config",
                                     "x-portkey-provider", "OpenAI-Organization", "OpenAI-Project", "X-Author", "x-monkey",
                                     "x-portkey-aws-access-key-id", "max-tokens", "x-keyboard", "X-Auth-Email", "api-version")),
    ],
)  # fmt: skip
def test_a_credential_is_known_by_the_words_of_its_name(name: str, secret: bool) -> None:
    assert names_a_credential(name) is secret


@pytest.mark.parametrize(
    ("words", "environment", "secrets"),
    [
        ({"headers": {"Authorization": "Bearer ${A}"}}, {"A": "secret-a-value"}, {"secret-a-value"}),
        ({"headers": {"Authorization": "Bearer ${A}"}}, {"A": "Bearer  secret-a-value"}, {"Bearer  secret-a-value", "secret-a-value"}),
        ({"headers": {"Authorization": "Bearer ${A:-a-default-key}"}}, {}, {"a-default-key"}),
        ({"headers": {"Authorization": "Bearer literal-key"}}, {}, {"literal-key"}),
        ({"headers": {"Authorization": "Token token=${A}"}}, {"A": "secret-a-value"}, {"secret-a-value", "token=secret-a-value"}),
        ({"headers": {"x-mine": "${MY_API_KEY}"}}, {"MY_API_KEY": "secret-a-value"}, {"secret-a-value"}),
        ({"headers": {"x-mine": "${A}"}}, {"A": "secret-a-value"}, set()),
        ({"headers": {"x-mine": "${A}"}, "credentials": frozenset({"X-Mine"})}, {"A": "secret-a-value"}, {"secret-a-value"}),
        ({"query": {"key": "${A}"}}, {"A": "secret-a-value"}, {"secret-a-value"}),
        ({"query": {"api-version": "2024-10-21"}}, {}, set()),
        ({"headers": {"x-portkey-config": '{"targets": [{"api_key": "inner-secret-1", "name": "not-secret"}]}'}}, {}, {"inner-secret-1"}),
        ({"headers": {"x-portkey-config": "pc-production"}}, {}, set()),
        ({"headers": {"Authorization": "short"}}, {}, set()),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)  # fmt: skip
def test_the_credentials_of_an_entry(words: dict[str, Any], environment: dict[str, str], secrets: set[str]) -> None:
    account = Account(Provider("mine", "https://example.invalid", **words), environment)
    assert account.secrets() == secrets


def test_of_two_credentials_the_one_that_contains_the_other_is_redacted_first(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"Authorization": "Bearer ${A}", "x-api-key": "${B}"}
    account = Account(Provider("mine", "https://example.invalid", headers), {"A": "abcdefgh", "B": "abcdefgh-and-more"})
    assert str(ftsql.Error("x abcdefgh-and-more y abcdefgh z")) == "x *** y *** z"
    assert account.secrets() == {"abcdefgh", "abcdefgh-and-more"}


def test_every_message_and_warning_hides_the_credentials_of_all_accounts(at: At) -> None:
    _, db = at(lambda asked: {"data": [job(0, seed=CANARY)], "has_more": False} if asked.path == PATH else None)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        db.execute("SELECT id FROM fine_tuning_jobs").fetchall()
    assert "seed of the fine-tuning job 'ftjob-00000' is '***'" in str(told[0].message)
    for error in (
        ftsql.Error(CANARY),
        ftsql.APIError(CANARY, provider="x", code=CANARY, param=CANARY, request_id=CANARY, hint=CANARY),
        ftsql.Warning(CANARY),
        ftsql.OutcomeUnknown(CANARY, provider="x", hint=CANARY),
    ):
        assert CANARY not in f"{error} {error!r} {vars(error)}"
    grown = ftsql.APIError("x", provider="x")
    grown.hint = CANARY
    assert CANARY not in str(grown)
    for sql in (f"SELECT cancel_job('{CANARY}')", f"SELECT wait_job('{CANARY}')", f"SELECT file_content('{CANARY}')"):
        with pytest.raises(ftsql.Error) as caught:
            db.execute(sql).fetchall()
        assert CANARY not in str(caught.value)
