"""The sandbox against Telnyx: its own client uses it, and each response follows the published schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import telnyx

from ftsql.sandbox import Sandbox
from tests.sandbox.schemas.vendors import on_telnyx

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
FIELDS = {
    *("id", "created_at", "finished_at", "hyperparameters", "model", "organization_id", "status"),
    *("trained_tokens", "training_file"),
}


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[telnyx.Telnyx]:
    with on_telnyx(sandbox) as client:
        yield client


@pytest.mark.parametrize(("given", "epochs"), [({}, 3), ({"n_epochs": 1}, 1), ({"n_epochs": 10}, 10)])
def test_a_create_shows_nine_fields_and_is_the_books_job(
    sandbox: Sandbox, client: telnyx.Telnyx, given: dict[str, Any], epochs: int
) -> None:
    extra: dict[str, Any] = {"hyperparameters": given} if given else {}
    job = client.ai.fine_tuning.jobs.create(model=MODEL, training_file="bucket/a.jsonl", suffix="mine", **extra)
    assert job.to_dict().keys() == FIELDS
    assert (job.status, job.model, job.training_file) == ("queued", MODEL, "bucket/a.jsonl")
    assert job.hyperparameters.n_epochs == epochs
    assert client.ai.fine_tuning.jobs.retrieve(job.id) == job
    (kept,) = sandbox.jobs()
    assert (kept["id"], kept["status"], kept["user_provided_suffix"]) == (job.id, "validating_files", "mine")
    assert kept["hyperparameters"]["n_epochs"] == epochs


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        *(("validating_files", "queued"), ("queued", "queued"), ("paused", "queued"), ("running", "running")),
        *(("succeeded", "succeeded"), ("failed", "failed"), ("cancelled", "cancelled")),
    ],
)
def test_a_status_is_one_of_telnyx_five(sandbox: Sandbox, client: telnyx.Telnyx, kept: str, shown: str) -> None:
    job_id = sandbox.add_job(status=kept)["id"]
    assert client.ai.fine_tuning.jobs.retrieve(job_id).status == shown


def test_the_list_has_all_jobs_on_one_page() -> None:
    with Sandbox(speed=0) as seeded, on_telnyx(seeded) as client:
        listed = client.ai.fine_tuning.jobs.list(extra_query={"limit": 2, "after": "ftjob-none"})
        assert listed.to_dict().keys() == {"data"}
        assert [job.id for job in listed.data] == [job["id"] for job in seeded.jobs()]
        assert len(listed.data) == 250
        assert {job.status for job in listed.data} == {"queued", "running", "succeeded", "failed", "cancelled"}


def test_a_job_is_cancelled_once(client: telnyx.Telnyx) -> None:
    job = client.ai.fine_tuning.jobs.create(model=MODEL, training_file="bucket/a.jsonl")
    cancelled = client.ai.fine_tuning.jobs.cancel(job.id)
    assert (cancelled.status, cancelled.finished_at is None) == ("cancelled", False)
    with pytest.raises(telnyx.BadRequestError, match=job.id):
        client.ai.fine_tuning.jobs.cancel(job.id)


@pytest.mark.parametrize(
    ("change", "place", "kind"),
    [
        ({"model": ...}, ["body", "model"], "missing"),
        ({"training_file": ...}, ["body", "training_file"], "missing"),
        ({"model": 4}, ["body", "model"], "string_type"),
        ({"hyperparameters": {"n_epochs": 0}}, ["body", "hyperparameters", "n_epochs"], "greater_than_equal"),
        ({"hyperparameters": {"n_epochs": 11}}, ["body", "hyperparameters", "n_epochs"], "less_than_equal"),
        ({"hyperparameters": {"n_epochs": "auto"}}, ["body", "hyperparameters", "n_epochs"], "int_parsing"),
    ],
)
def test_a_create_that_breaks_a_rule_is_a_422_with_its_place(
    sandbox: Sandbox, client: telnyx.Telnyx, change: dict[str, Any], place: list[str], kind: str
) -> None:
    body = {"model": MODEL, "training_file": "bucket/a.jsonl", **change}
    body = {name: value for name, value in body.items() if value is not ...}
    with pytest.raises(telnyx.UnprocessableEntityError) as caught:
        client.post("/ai/fine_tuning/jobs", body=body, cast_to=object)
    (breach,) = caught.value.response.json()["detail"]
    assert (breach["loc"], breach["type"]) == (place, kind)
    assert sandbox.jobs() == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"[" * 99999])
def test_a_body_that_is_not_a_json_object_is_a_422(client: telnyx.Telnyx, body: bytes) -> None:
    with pytest.raises(telnyx.UnprocessableEntityError):
        client.post("/ai/fine_tuning/jobs", content=body, cast_to=object)


def test_unknown_fields_of_a_create_are_ignored(sandbox: Sandbox, client: telnyx.Telnyx) -> None:
    extra = {"metadata": {"a": "b"}, "validation_file": "bucket/b.jsonl"}
    client.ai.fine_tuning.jobs.create(model=MODEL, training_file="bucket/a.jsonl", extra_body=extra)
    (kept,) = sandbox.jobs()
    assert (kept["metadata"], kept["validation_file"]) == (None, None)


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "title"),
    [
        ("GET", "/ai/fine_tuning/jobs/ftjob-none", 404, "10005", "Resource not found"),
        ("POST", "/ai/fine_tuning/jobs/ftjob-none/cancel", 404, "10005", "Resource not found"),
        ("POST", "/ai/fine_tuning/jobs/ftjob-none/pause", 404, "10005", "Resource not found"),
        ("GET", "/ai/fine_tuning/jobs/ftjob-none/events", 404, "10005", "Resource not found"),
        ("GET", "/fine_tuning/jobs", 404, "10005", "Resource not found"),
        ("DELETE", "/ai/fine_tuning/jobs", 405, "10015", "Bad Request"),
    ],
)
def test_an_unknown_object_is_refused_with_telnyx_message(
    sandbox: Sandbox, method: str, path: str, status: int, code: str, title: str
) -> None:
    answer = httpx.request(method, sandbox.base_url("telnyx") + path, headers={"Authorization": "Bearer test"})
    assert answer.status_code == status
    (error,) = answer.json()["errors"]
    assert error.keys() == {"code", "title", "detail"}
    assert (error["code"], error["title"]) == (code, title)


def test_a_wrong_key_is_refused(sandbox: Sandbox) -> None:
    with on_telnyx(sandbox, "wrong") as client, pytest.raises(telnyx.AuthenticationError) as caught:
        client.ai.fine_tuning.jobs.list()
    assert caught.value.response.json()["errors"][0]["code"] == "10009"
