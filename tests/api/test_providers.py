"""Every provider's entry against its own face: rows, requests, writes, refusals, several at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql.api.account import Account
from ftsql.api.provider import Provider, load
from ftsql.sandbox import Fault, Sandbox
from tests.conftest import CANARY, fill

KNOWN = load(None, {})[0]
FACES = ["openai", "azure", "azure_v1", "portkey", "telnyx", "anyapi", "litellm"]
BEHIND = ["portkey_bedrock", "portkey_vertex", "portkey_fireworks"]
INSERT = "INSERT INTO fine_tuning_jobs (provider, model, training_file) VALUES "


@contextmanager
def asking(sandbox: Sandbox, folder: Path, *names: str, **options: Any) -> Iterator[ftsql.Connection]:
    """A connection to faces of ``sandbox``, by the entries as they are but for their addresses."""
    text = "".join(f'[{name}]\nbase_url = "{sandbox.base_url(name)}"\n' for name in names)
    config = folder / "providers.toml"
    config.write_text(text)
    db = ftsql.connect(config=config, providers=names, **options)
    try:
        yield db
    finally:
        db.close()


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for provider in KNOWN.values():
        for number, variable in enumerate(provider.variables):
            if provider.variables[variable]:
                monkeypatch.setenv(variable, f"{CANARY}-{number}")


def model(name: str) -> str:
    return "amazon.nova-lite-v1:0:300k" if name == "portkey_bedrock" else "gpt-4o-mini-2024-07-18"


@pytest.mark.parametrize("name", [*FACES, *BEHIND])
def test_a_list_and_a_get_of_each_face_show_the_same_job(sandbox: Sandbox, tmp_path: Path, name: str) -> None:
    fill(sandbox, 25, training_file="file-a", trained_tokens=5000, fine_tuned_model="ft:x")
    with asking(sandbox, tmp_path, name) as db:
        listed = db.execute("SELECT id, created_at, status FROM fine_tuning_jobs ORDER BY created_at DESC").fetchall()
        assert len(listed) == 25
        assert [created_at for _, created_at, _ in listed] == [1_790_000_000 - 60 * number for number in range(25)]
        assert {status for *_, status in listed} == {"succeeded"}
        id = listed[7][0]
    with asking(sandbox, tmp_path, name) as db:
        sandbox.requests.clear()
        assert db.execute("SELECT id, created_at, status FROM fine_tuning_jobs WHERE id = ?", (id,)).fetchall() == [
            listed[7]
        ]
        assert len(sandbox.requests) == 1
        assert db.execute("SELECT id FROM fine_tuning_jobs WHERE id = 'ftjob-none'").fetchall() == []


@pytest.mark.parametrize("name", FACES)
def test_a_long_list_of_each_face_is_complete(sandbox: Sandbox, tmp_path: Path, name: str) -> None:
    ids = fill(sandbox, 230)
    with asking(sandbox, tmp_path, name) as db:
        assert sorted(id for (id,) in db.execute("SELECT id FROM fine_tuning_jobs")) == ids
        assert len(sandbox.requests) == (1 if KNOWN[name].paging == "none" else 3)


@pytest.mark.parametrize("name", BEHIND)
def test_a_gateway_that_hides_the_second_page_is_an_error_not_a_short_list(
    sandbox: Sandbox, tmp_path: Path, name: str
) -> None:
    fill(sandbox, 130)
    told = pytest.raises(ftsql.Error, match=f"{name}: .*has more rows than one response holds")
    with asking(sandbox, tmp_path, name) as db, told:
        db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall()


@pytest.mark.parametrize("name", [*FACES, *BEHIND])
def test_insert_and_cancel_work_at_each_face(sandbox: Sandbox, tmp_path: Path, name: str) -> None:
    sandbox.add_file(id="file-a")
    with asking(sandbox, tmp_path, name) as db:
        extra = {"role_arn": "arn:aws:iam::1:role/x", "job_name": "one", "output_file": "s3%3A%2F%2Fb%2Fo"}
        db.execute(
            "INSERT INTO fine_tuning_jobs (model, training_file, suffix, extra_body) VALUES (?, 'file-a', ?, ?)",
            (model(name), None if name == "anyapi" else "mine", json.dumps(extra) if name in BEHIND else None),
        )
        (job,) = sandbox.jobs()
        ((id,),) = db.execute("SELECT last_job_id()").fetchall()
        assert job["id"] in str(id)
        assert len(sandbox.requests) == 1
        assert db.execute("SELECT cancel_job(?)", (id,)).fetchall() == [("cancelled",)]
        assert sandbox.jobs()[0]["status"] == "cancelled"


@pytest.mark.parametrize("name", [*FACES, *BEHIND])
@pytest.mark.parametrize("action", ["pause", "resume"])
def test_an_operation_that_a_provider_lacks_is_refused_and_nothing_is_sent(
    sandbox: Sandbox, tmp_path: Path, name: str, action: str
) -> None:
    """Through Portkey a POST to …/pause cancels the job at Bedrock, Vertex and Fireworks."""
    fill(sandbox, 1, status="running")
    with asking(sandbox, tmp_path, name) as db:
        ((id,),) = db.execute("SELECT id FROM fine_tuning_jobs").fetchall()
        if action in KNOWN[name].without:
            for sql in ("SELECT {}_job('{}')", "UPDATE fine_tuning_jobs SET status = '{}d' WHERE id = '{}'"):
                with pytest.raises(ftsql.Error, match=f"{name} has no way to {action} a job|status cannot be set"):
                    db.execute(sql.format(action, id)).fetchall()
            assert {request.method for request in sandbox.requests} == {"GET"}
            assert sandbox.jobs()[0]["status"] == "running"
        elif action == "pause":
            assert db.execute("SELECT pause_job(?), resume_job(?)", (id, id)).fetchall()[0][0] == "paused"


@pytest.mark.parametrize("name", [*FACES, *BEHIND])
def test_a_field_that_a_provider_does_not_take_is_refused_before_it_is_sent(
    sandbox: Sandbox, tmp_path: Path, name: str
) -> None:
    values = {
        "validation_file": "file-b", "suffix": "s", "seed": 7, "hyperparameters": "{}", "method": "{}",
        "metadata": '{"a":"b"}', "integrations": "[]",
    }  # fmt: skip
    with asking(sandbox, tmp_path, name) as db:
        for column, value in values.items():
            if column in KNOWN[name].create_fields:
                continue
            with pytest.raises(ftsql.Error, match=f"{name} does not take {column}"):
                db.execute(
                    f"INSERT INTO fine_tuning_jobs (model, training_file, {column}) VALUES ('m', 'f', ?)", (value,)
                )
        assert sandbox.requests == []


@pytest.mark.parametrize("name", FACES)
def test_a_wrong_key_is_an_authentication_error_of_that_provider(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    provider: Provider = KNOWN[name]
    for variable, needed in provider.variables.items():
        if needed:
            monkeypatch.setenv(variable, "wrong")
    with asking(sandbox, tmp_path, name) as db, pytest.raises(ftsql.AuthenticationError, match=f"^{name}: .*HTTP 401"):
        db.execute("SELECT * FROM fine_tuning_jobs").fetchall()


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.long if name == "portkey_fireworks" else ()) for name in (*FACES, *BEHIND)],
)
def test_no_key_of_any_provider_shows_in_an_error_a_table_or_the_journal(
    sandbox: Sandbox, tmp_path: Path, name: str
) -> None:
    keys = sorted(Account(KNOWN[name], os.environ).secrets())
    fill(sandbox, 1, status="running")
    with asking(sandbox, tmp_path, name, settle_seconds=0.1) as db:
        told: list[Any] = []
        faults: list[Fault | None] = [None]
        message = {"error": {"message": f"bad key {' or '.join(keys)}", "code": keys[0]}}
        faults += [Fault(times=None, status=status, body=message) for status in (400, 401)]
        for fault in faults:
            if fault is not None:
                sandbox.fault(fault)
            for sql in (
                "SELECT * FROM fine_tuning_jobs", "SELECT * FROM ftsql_providers", "SELECT * FROM ftsql_writes",
                "INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('m', 'f')", "SELECT cancel_job('x')",
            ):  # fmt: skip
                try:
                    told.append(db.execute(sql).fetchall())
                except (ftsql.Error, apsw.Error) as error:
                    told += [str(error), repr(error), vars(error)]
            sandbox.clear_faults()
        assert keys
        for key in keys:
            assert any(key in str(request.headers) for request in sandbox.requests)
            assert key not in repr(told)


def _header_values(name: str) -> list[str]:
    return list(Account(KNOWN[name], os.environ).headers().values())


# Portkey's other ways to say who is behind it, and the headers that each sends.
WAYS = {
    "portkey": {"x-portkey-api-key", "x-portkey-virtual-key"},
    "portkey_provider": {"x-portkey-api-key", "x-portkey-provider", "authorization"},
    "portkey_config": {"x-portkey-api-key", "x-portkey-config"},
    "portkey_azure": {"x-portkey-api-key", "x-portkey-virtual-key"},
}


@pytest.mark.parametrize("name", WAYS)
def test_each_way_through_portkey_sends_its_own_headers(sandbox: Sandbox, tmp_path: Path, name: str) -> None:
    fill(sandbox, 3)
    config = tmp_path / "providers.toml"
    config.write_text(f'[{name}]\nbase_url = "{sandbox.base_url("portkey")}"\n')
    db = ftsql.connect(config=config, providers=name)
    assert db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall() == [(3,)]
    db.close()
    (request,) = sandbox.requests
    sent = {header for header in request.headers if header.startswith("x-portkey") or header == "authorization"}
    assert sent == WAYS[name]


def test_an_inactive_provider_names_the_variable_that_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for provider in KNOWN.values():
        for variable in provider.variables:
            monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PORTKEY_API_KEY", CANARY)
    monkeypatch.setenv("TELNYX_API_KEY", CANARY)
    db = ftsql.connect()
    found = {
        name: (active, missing)
        for name, active, missing in db.execute("SELECT provider, active, missing FROM ftsql_providers")
    }
    db.close()
    assert found["telnyx"] == (1, None)
    assert found["portkey"] == (0, "PORTKEY_VIRTUAL_KEY")
    assert found["azure"] == (0, "AZURE_OPENAI_ENDPOINT, AZURE_OPENAI_API_KEY")


def test_ftsql_providers_shows_the_address_that_is_asked_or_the_variables_that_make_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.delenv("AZURE_OPENAI_ENDPOINT", raising=False)
    db = ftsql.connect()
    found = {row[0]: row[1] for row in db.execute("SELECT provider, base_url FROM ftsql_providers")}
    db.close()
    assert (found["openai"], found["azure"]) == ("http://127.0.0.1:1/v1", "${AZURE_OPENAI_ENDPOINT}/openai")


def test_an_entry_by_name_is_used_only_if_it_is_named() -> None:
    db = ftsql.connect()
    active = {name for (name,) in db.execute("SELECT provider FROM ftsql_providers WHERE active")}
    db.close()
    assert active == {name for name, provider in KNOWN.items() if not provider.by_name}


def test_five_providers_side_by_side_are_one_table(sandbox: Sandbox, tmp_path: Path) -> None:
    fill(sandbox, 120)
    names = ["openai", "azure", "portkey", "telnyx", "anyapi"]
    with asking(sandbox, tmp_path, *names) as db:
        counts = db.execute(
            "SELECT provider, count(*) FROM fine_tuning_jobs GROUP BY provider ORDER BY provider"
        ).fetchall()
        assert counts == [(name, 120) for name in sorted(names)]
        assert db.execute("SELECT count(*), count(DISTINCT id) FROM fine_tuning_jobs").fetchall() == [(600, 120)]
        newest = db.execute("SELECT created_at FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 7").fetchall()
        assert newest == [(1_790_000_000,)] * 5 + [(1_789_999_940,)] * 2
        sandbox.requests.clear()
        db.execute("SELECT * FROM fine_tuning_jobs WHERE provider IN ('telnyx', 'nobody')").fetchall()
        assert [request.path for request in sandbox.requests] == ["/telnyx/v2/ai/fine_tuning/jobs"]
        sandbox.requests.clear()
        assert len(db.execute("SELECT * FROM fine_tuning_jobs WHERE id = 'ftjob-00005'").fetchall()) == 5
        # Known everywhere but at Telnyx, which never shows the fine-tuned model: final after five minutes.
        assert [request.path for request in sandbox.requests] == ["/telnyx/v2/ai/fine_tuning/jobs/ftjob-00005"]
    with asking(sandbox, tmp_path, *names) as db:
        sandbox.requests.clear()
        assert len(db.execute("SELECT * FROM fine_tuning_jobs WHERE id = 'ftjob-00005'").fetchall()) == 5
        assert len(sandbox.requests) == 4 + 1  # anyapi has no retrieve: its list is read, as far as the job


def test_two_ordered_providers_are_merged_and_only_first_pages_are_read(sandbox: Sandbox, tmp_path: Path) -> None:
    fill(sandbox, 250)
    with asking(sandbox, tmp_path, "openai", "portkey") as db:
        found = db.execute("SELECT created_at FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 6").fetchall()
        assert [time for (time,) in found] == [1_790_000_000 - 60 * number for number in (0, 0, 1, 1, 2, 2)]
        assert len(sandbox.requests) == 2


def test_an_update_and_a_cancel_reach_the_provider_that_is_meant(sandbox: Sandbox, tmp_path: Path) -> None:
    ids = fill(sandbox, 2, status="running")
    with asking(sandbox, tmp_path, "openai", "telnyx") as db:
        db.execute("UPDATE fine_tuning_jobs SET status = 'cancelled' WHERE id = ? AND provider = 'telnyx'", ids[:1])
        assert db.execute("SELECT cancel_job(?, 'openai')", ids[1:]).fetchall() == [("cancelled",)]
        posts = [request.path for request in sandbox.requests if request.method == "POST"]
        assert posts == [
            f"/telnyx/v2/ai/fine_tuning/jobs/{ids[0]}/cancel", f"/v1/fine_tuning/jobs/{ids[1]}/cancel",
        ]  # fmt: skip


def test_an_insert_goes_to_the_provider_that_the_row_names(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.add_file(id="file-a")
    with asking(sandbox, tmp_path, "openai", "telnyx") as db:
        db.execute(INSERT + "('telnyx', 'gpt-4o-mini', 'file-a'), ('openai', 'gpt-4o-mini', 'file-a')")
        prefixes = [request.path.split("/")[1] for request in sandbox.requests]
        assert prefixes == ["telnyx", "v1"]


def test_two_accounts_at_one_provider_are_two_entries(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sandbox, 3)
    config = tmp_path / "providers.toml"
    config.write_text(
        f'[first]\nextends = "openai"\nbase_url = "{sandbox.base_url("openai")}"\n'
        '[second]\nextends = "first"\nheaders = { Authorization = "Bearer ${SECOND_KEY}" }\n'
    )
    monkeypatch.setenv("SECOND_KEY", "sk-of-the-second-account")
    db = ftsql.connect(config=config, providers=["first", "second"])
    db.execute("SELECT * FROM fine_tuning_jobs").fetchall()
    db.close()
    sent = sorted(request.headers["authorization"] for request in sandbox.requests)  # side by side
    assert sent == [f"Bearer {CANARY}-1", "Bearer sk-of-the-second-account"]


@pytest.mark.parametrize("templates", [("${X}", "${X:-}"), ("${X:-}", "${X}"), ("${X}", "${X:-a}")])
def test_a_variable_that_is_needed_once_is_needed(templates: tuple[str, str]) -> None:
    provider = Provider("lab", "http://127.0.0.1/v1", headers=dict(zip(("A", "B"), templates, strict=True)))
    assert provider.variables["X"] is True
