"""The sandbox against Portkey: its own client uses it, and each response follows the published schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from portkey_ai import Portkey
from portkey_ai._vendor import openai as vendored

from ftsql.sandbox import Sandbox
from tests.sandbox.schemas.vendors import PORTKEY, on_portkey

SUPERVISED = {
    "type": "supervised",
    "supervised": {"hyperparameters": {"n_epochs": 2, "learning_rate_multiplier": 0.5, "batch_size": 4}},
}
BODY: dict[str, Any] = {"model": "gpt-4o-mini", "training_file": "file-a", "suffix": "mine", "method": SUPERVISED}
GATEWAY = {"api_key": "test"}
CREDENTIALS: list[dict[str, Any]] = [
    {"virtual_key": "openai-123"},
    {"provider": "openai", "Authorization": "Bearer test"},
    {"config": "pc-mine-123"},
    {"config": {"provider": "openai", "api_key": "test"}},
    {"provider": "openai", "Authorization": "Bearer test", "custom_host": "https://llm.example.com/v1"},
]
REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({}, 400, "Either x-portkey-config or x-portkey-provider header is required"),
    ({"virtual_key": "openai-123", "api_key": "wrong"}, 401, "x-portkey-api-key"),
    ({"provider": "openai", "Authorization": "Bearer wrong"}, 401, "openai error: Incorrect API key"),
    ({"config": "{"}, 400, "valid json"),
]


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Portkey]:
    sandbox.add_file(id="file-a")
    with on_portkey(sandbox) as client:
        yield client


def test_a_create_keeps_what_the_gateway_knows_and_drops_the_rest(sandbox: Sandbox, client: Portkey) -> None:
    job = client.fine_tuning.jobs.create(**BODY, seed=7, metadata={"team": "ads"}, nonsense=1)
    sent = json.loads(sandbox.requests[-1].body)
    assert (sent["metadata"], sent["nonsense"]) == ({"team": "ads"}, 1)
    (kept,) = sandbox.jobs()
    assert (kept["id"], kept["seed"], kept["metadata"]) == (job.id, 7, None)
    assert kept["method"] == SUPERVISED
    assert "nonsense" not in kept
    assert json.loads(client.fine_tuning.jobs.retrieve(kept["id"]).model_dump_json())["seed"] == 7


def test_jobs_are_paged_like_openais(client: Portkey, sandbox: Sandbox) -> None:
    ids = [sandbox.add_job(created_at=1_790_000_000 + number)["id"] for number in range(5)][::-1]
    first = client.fine_tuning.jobs.list(limit=3)
    second = client.fine_tuning.jobs.list(limit=3, after=ids[2])
    assert [[job.id for job in page.data or ()] for page in (first, second)] == [ids[:3], ids[3:]]
    assert [page.has_more for page in (first, second)] == [True, False]  # type: ignore[attr-defined]


def test_every_seeded_job_is_valid() -> None:
    with Sandbox(speed=0) as seeded, on_portkey(seeded) as client:
        page = client.fine_tuning.jobs.list(limit=100)
        assert [job.id for job in page.data or ()] == [job["id"] for job in seeded.jobs()][:100]
        done = next(job["id"] for job in seeded.jobs() if job["status"] == "succeeded")
        assert client.fine_tuning.jobs.list_events(done, limit=5).data
        assert client.fine_tuning.jobs.checkpoints.list(done).data


def test_a_job_is_cancelled_once(client: Portkey) -> None:
    job = client.fine_tuning.jobs.create(**BODY)
    assert client.fine_tuning.jobs.cancel(str(job.id)).status == "cancelled"
    with pytest.raises(vendored.BadRequestError, match=f"openai error: Job has already completed: {job.id}"):
        client.fine_tuning.jobs.cancel(str(job.id))


def test_pause_and_resume_reach_openai_though_portkey_does_not_have_them(client: Portkey, sandbox: Sandbox) -> None:
    job_id = sandbox.add_job(status="running")["id"]
    jobs = client.openai_client.fine_tuning.jobs
    assert str(jobs.pause(job_id).status) == "paused"
    assert jobs.resume(job_id).status == "queued"


def test_files_go_through(client: Portkey) -> None:
    file = client.files.create(file=("a.jsonl", b"{}\n"), purpose="fine-tune")
    assert file.id in [found["id"] for found in json.loads(client.files.list().model_dump_json())["data"]]
    assert client.files.retrieve(str(file.id)).filename == "a.jsonl"


@pytest.mark.parametrize(
    ("change", "param"),
    [({"model": ...}, "model"), ({"training_file": "file-x"}, "training_file"), ({"suffix": "s" * 65}, "suffix")],
)
def test_a_create_that_breaks_a_rule_is_openais_error_in_the_gateways_wrapping(
    client: Portkey, sandbox: Sandbox, change: dict[str, Any], param: str
) -> None:
    body = {name: value for name, value in {**BODY, **change}.items() if value is not ...}
    with pytest.raises(vendored.BadRequestError) as caught:
        client.openai_client.post("/fine_tuning/jobs", body=body, cast_to=object)
    shown = caught.value.response.json()
    assert shown.keys() == {"error", "provider"}
    assert shown["provider"] == "openai"
    assert (shown["error"]["param"], shown["error"]["type"]) == (param, "invalid_request_error")
    assert shown["error"]["message"].startswith("openai error: ")
    assert sandbox.jobs() == []


def test_an_unknown_job_is_openais_404(client: Portkey) -> None:
    with pytest.raises(vendored.NotFoundError) as caught:
        client.fine_tuning.jobs.retrieve("ftjob-none")
    assert caught.value.code == "fine_tune_not_found"


@pytest.mark.parametrize("given", CREDENTIALS, ids=lambda given: "+".join(given))
def test_each_way_to_name_a_provider_is_accepted(sandbox: Sandbox, given: dict[str, Any]) -> None:
    with on_portkey(sandbox, **{**GATEWAY, **given}) as client:
        assert client.fine_tuning.jobs.list().data == []


@pytest.mark.parametrize(("given", "status", "message"), REFUSED)
def test_credentials_that_do_not_suffice_are_refused(
    sandbox: Sandbox, given: dict[str, Any], status: int, message: str
) -> None:
    with on_portkey(sandbox, **{**GATEWAY, **given}) as client, pytest.raises(vendored.APIStatusError) as caught:
        client.fine_tuning.jobs.list()
    shown = caught.value.response.json()
    assert caught.value.status_code == status
    assert message in (shown.get("message") or shown["error"]["message"])
    assert ("status" in shown) == ("error" not in shown)


def test_the_schemas_find_errors() -> None:
    job = {"$ref": "#/components/schemas/FineTuningJob"}
    with Sandbox(jobs=7, speed=0) as seeded:
        shown = seeded.jobs()[0]
    assert PORTKEY.breaches(job, shown) == []
    assert PORTKEY.breaches(job, {**shown, "status": "baked", "seed": "7"}) != []
