"""The sandbox against OpenAI: its own client uses it, and each response follows the published schemas."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
from openai.types.fine_tuning import FineTuningJob

from ftsql.sandbox import Sandbox
from tests.sandbox.schemas import openai_cases as cases
from tests.sandbox.schemas.openai import breaches, checked_client, wait_until


@pytest.fixture(scope="module")
def seeded() -> Iterator[Sandbox]:
    with Sandbox(speed=0) as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[openai.OpenAI]:
    sandbox.add_file(id="file-a")
    sandbox.add_file(id="file-b")
    with checked_client(sandbox) as client:
        yield client


@pytest.mark.parametrize(("given", "shown"), cases.CREATES.values(), ids=cases.CREATES)
def test_a_create_shows_what_it_was_given(client: openai.OpenAI, given: dict[str, Any], shown: dict[str, Any]) -> None:
    job = client.fine_tuning.jobs.create(**{"model": "gpt-4o-mini", "training_file": "file-a", **given})
    assert job.status == "validating_files"
    assert job.to_dict() == {**job.to_dict(), "model": "gpt-4o-mini-2024-07-18", "training_file": "file-a", **shown}
    assert client.fine_tuning.jobs.retrieve(job.id).to_dict() == job.to_dict()


def test_a_job_without_a_seed_gets_one_of_its_own(client: openai.OpenAI) -> None:
    seeds = {client.fine_tuning.jobs.create(model="gpt-4o", training_file="file-a").seed for _ in range(3)}
    assert len(seeds) == 3


@pytest.mark.parametrize(
    ("change", "param", "message"), cases.REFUSED, ids=lambda value: json.dumps(value, default=str)[:50]
)
def test_a_create_that_breaks_a_rule_is_refused_by_its_name(
    sandbox: Sandbox, change: dict[str, Any], param: str | None, message: str
) -> None:
    sandbox.add_file(id="file-a")
    sandbox.add_file(id="file-image", purpose="vision")
    body = {"model": "gpt-4o", "training_file": "file-a", **change}
    body = {name: value for name, value in body.items() if value is not ...}
    with checked_client(sandbox) as client, pytest.raises(openai.BadRequestError) as caught:
        client.post("/fine_tuning/jobs", body=body, cast_to=object)
    assert (caught.value.param, caught.value.type) == (param, "invalid_request_error")
    assert message in caught.value.message
    assert breaches("error", caught.value.response.json()) == []
    assert sandbox.jobs() == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff", b'{"seed": NaN}', b'{"suffix": "\\ud800"}', b"[" * 99999]
)
def test_a_body_that_is_not_a_json_object_is_refused(sandbox: Sandbox, body: bytes) -> None:
    with checked_client(sandbox) as client, pytest.raises(openai.BadRequestError):
        client.post("/fine_tuning/jobs", content=body, cast_to=object)


def test_every_seeded_job_is_listed_once_newest_first_and_valid(seeded: Sandbox) -> None:
    with checked_client(seeded) as client:
        listed = [job.to_dict() for job in client.fine_tuning.jobs.list(limit=37)]
    assert listed == seeded.jobs()
    times = [int(job["created_at"]) for job in seeded.jobs()]
    assert times == sorted(times, reverse=True)
    assert len(set(times)) < len(times) == 250
    assert time.time() - 91 * 86400 < times[-1] < times[0] < time.time()


def test_seeded_jobs_have_every_shape_and_are_consistent(seeded: Sandbox) -> None:
    jobs = seeded.jobs()
    assert [name for name, shape in cases.SHAPES.items() if not any(map(shape, jobs))] == []
    assert len({job["model"] for job in jobs}) >= 5
    assert len({job["error"]["message"] for job in jobs if job["status"] == "failed"}) >= 5
    assert len({job["training_file"] for job in jobs}) < len(jobs)
    with checked_client(seeded) as client:
        files = {file.id: file for file in client.files.list()}
        models = {model.id for model in client.models.list()}
    for job in jobs:
        done = job["status"] == "succeeded"
        final = done or job["status"] in ("failed", "cancelled")
        assert final == (job["finished_at"] is not None), job
        assert done == bool(job["fine_tuned_model"]) == bool(job["trained_tokens"]) == bool(job["result_files"]), job
        assert (job["status"] == "failed") == bool((job["error"] or {}).get("message")), job
        assert job["created_at"] <= (job["finished_at"] or time.time()) <= time.time(), job
        assert files[job["training_file"]].purpose == "fine-tune"
        assert {files[file].purpose for file in job["result_files"]} <= {"fine-tune-results"}
        assert job["fine_tuned_model"] in models | {None}


@pytest.mark.long
def test_every_files_size_is_that_of_its_content(seeded: Sandbox) -> None:
    with checked_client(seeded) as client:
        for file in client.files.list():
            assert len(client.files.content(file.id).read()) == file.bytes, file


def test_a_result_file_is_base64_of_the_metrics(seeded: Sandbox) -> None:
    job = next(job for job in seeded.jobs() if job["result_files"] and job["validation_file"])
    with checked_client(seeded) as client:
        lines = base64.b64decode(client.files.content(job["result_files"][0]).read()).decode().splitlines()
    assert lines[0] == "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"
    first, last = ([float(cell) for cell in line.split(",")] for line in (lines[1], lines[-1]))
    assert (first[0], last[0]) == (1, len(lines) - 1)
    assert first[1] > last[1] > 0


def test_a_job_runs_to_its_end_with_events_checkpoints_and_a_model() -> None:
    with Sandbox(jobs=0, speed=100) as sandbox, checked_client(sandbox) as client:
        jobs, seen = client.fine_tuning.jobs, list[str]()
        sandbox.add_file(id="file-a")
        job = jobs.create(model="gpt-4o", training_file="file-a", validation_file="file-a", suffix="mine")
        while job.status not in ("succeeded", "failed"):
            job = jobs.retrieve(job.id)
            if job.status not in seen:
                seen.append(job.status)
                assert (job.estimated_finish is not None) == (job.status == "running")
        order = ["validating_files", "queued", "running", "succeeded"]
        assert seen == [status for status in order if status in seen]
        assert seen[-2:] == order[-2:]
        assert job.fine_tuned_model
        assert job.fine_tuned_model.startswith("ft:gpt-4o-2024-08-06:org-sandbox:mine:")
        assert job.trained_tokens
        assert isinstance(job.hyperparameters.n_epochs, int)
        assert client.models.retrieve(job.fine_tuned_model).owned_by == "org-sandbox"
        assert client.files.retrieve(job.result_files[0]).purpose == "fine-tune-results"
        _check_checkpoints(client, job)
        _check_events(client, job)


def _check_checkpoints(client: openai.OpenAI, job: FineTuningJob) -> None:
    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id, limit=1))
    assert [point.step_number for point in checkpoints] == sorted(
        {point.step_number for point in checkpoints}, reverse=True
    )
    assert len(checkpoints) == job.hyperparameters.n_epochs
    assert checkpoints[0].fine_tuned_model_checkpoint == job.fine_tuned_model
    assert checkpoints[0].metrics.valid_loss


def _check_events(client: openai.OpenAI, job: FineTuningJob) -> None:
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=7))
    assert len({event.id for event in events}) == len(events) > 20
    assert [event.created_at for event in events] == sorted((event.created_at for event in events), reverse=True)
    assert events[0].message == "The job has successfully completed"
    assert events[-1].message == f"Created fine-tuning job: {job.id}"
    assert {event.type for event in events} == {"message", "metrics"}


@pytest.mark.parametrize(("content", "code", "message"), cases.BAD_FILES, ids=lambda value: str(value)[-20:])
def test_a_job_on_a_bad_file_fails_and_says_why(content: bytes, code: str, message: str) -> None:
    with Sandbox(jobs=0, speed=1000) as sandbox, checked_client(sandbox) as client:
        file = client.files.create(file=("bad.jsonl", content), purpose="fine-tune")
        job = client.fine_tuning.jobs.create(model="gpt-4o", training_file=file.id)
        wait_until(lambda: client.fine_tuning.jobs.retrieve(job.id).status == "failed")
        job = client.fine_tuning.jobs.retrieve(job.id)
        assert job.error
        assert (job.error.code, job.error.param) == (code, "training_file")
        assert message in job.error.message
        assert next(iter(client.fine_tuning.jobs.list_events(job.id))).level == "error"
        assert list(client.fine_tuning.jobs.checkpoints.list(job.id)) == []


@pytest.mark.parametrize("added", [False, True], ids=["seeded", "added"])
@pytest.mark.parametrize(("what", "before", "after"), cases.DECISIONS)
def test_a_decision_is_applied_or_refused(added: bool, what: str, before: str, after: str | None) -> None:
    with Sandbox(jobs=0 if added else 7, speed=0) as sandbox, checked_client(sandbox) as client:
        if added:
            sandbox.add_job(status=before)
        job_id = next(job["id"] for job in sandbox.jobs() if job["status"] == before)
        act: Callable[[str], Any] = getattr(client.fine_tuning.jobs, what)
        if after is None:
            with pytest.raises(openai.BadRequestError, match=job_id):
                act(job_id)
        else:
            job = act(job_id)
            assert job.status == after
            assert (job.finished_at is not None) == (after == "cancelled")
        assert client.fine_tuning.jobs.retrieve(job_id).status == (after or before)


@pytest.mark.long
def test_a_paused_job_stops_and_a_resumed_one_continues() -> None:
    with Sandbox(jobs=0, speed=100) as sandbox, checked_client(sandbox) as client:
        jobs = client.fine_tuning.jobs
        sandbox.add_file(id="file-a")
        job_id = jobs.create(model="gpt-4o", training_file="file-a").id

        def status() -> str:
            return jobs.retrieve(job_id).status

        wait_until(lambda: status() == "running")
        assert str(jobs.pause(job_id).status) == "paused"
        events = [event.id for event in jobs.list_events(job_id)]
        time.sleep(0.7)
        assert status() == "paused"
        assert [event.id for event in jobs.list_events(job_id)] == events
        assert jobs.resume(job_id).status == "queued"
        wait_until(lambda: status() == "succeeded")
        assert [event.id for event in jobs.list_events(job_id)][-len(events) :] == events


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 100])
def test_pages_are_exact(client: openai.OpenAI, sandbox: Sandbox, limit: int) -> None:
    ids = [sandbox.add_job(created_at=1_790_000_000 + number // 2)["id"] for number in range(4)][::-1]
    page = client.fine_tuning.jobs.list(limit=limit)
    assert page.has_more is (limit < 4)
    assert [job.id for job in page.data] == ids[:limit]
    assert [job.id for job in page] == ids


@pytest.mark.parametrize(("query", "expected"), cases.FILTERS, ids=str)
def test_jobs_are_filtered_by_metadata(
    client: openai.OpenAI, sandbox: Sandbox, query: dict[str, str], expected: list[int]
) -> None:
    ids = [sandbox.add_job(metadata=metadata)["id"] for metadata in reversed(cases.METADATA)][::-1]
    assert [job.id for job in client.fine_tuning.jobs.list(extra_query=query, limit=2)] == [ids[n] for n in expected]
    nested = {name[9:-1]: value for name, value in query.items() if "[" in name}
    if nested:
        assert [job.id for job in client.fine_tuning.jobs.list(metadata=nested)] == [ids[n] for n in expected]


@pytest.mark.parametrize(("path", "query", "status"), cases.BAD_QUERIES)
def test_an_invalid_query_is_refused_by_its_name(
    client: openai.OpenAI, sandbox: Sandbox, path: str, query: dict[str, str], status: int
) -> None:
    sandbox.add_job(id="ftjob-1")
    with pytest.raises(openai.APIStatusError) as caught:
        client.get(path, options={"params": query}, cast_to=object)
    assert caught.value.status_code == status
    assert caught.value.param == next(iter(query))


@pytest.mark.parametrize(("method", "path", "status", "error"), cases.REFUSALS)
def test_an_unknown_object_is_refused_with_the_apis_message(
    sandbox: Sandbox, method: str, path: str, status: int, error: dict[str, Any]
) -> None:
    answer = httpx.request(method, sandbox.base_url() + path, headers={"Authorization": "Bearer test"})
    assert answer.status_code == status
    assert breaches("error", answer.json()) == []
    assert answer.json()["error"] == answer.json()["error"] | {"type": "invalid_request_error"} | error


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic eDp5", "Bearer wrong"])
def test_a_request_without_a_good_key_is_refused_and_the_key_not_repeated(sandbox: Sandbox, header: str | None) -> None:
    answer = httpx.get(sandbox.base_url() + "/models", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert breaches("error", answer.json()) == []
    assert "wrong" not in answer.text
    assert (answer.json()["error"]["code"] == "invalid_api_key") == (header == "Bearer wrong")


def test_a_file_is_uploaded_listed_read_and_deleted(client: openai.OpenAI) -> None:
    content = b'{"messages": []}\n' * 3
    file = client.files.create(
        file=("mine.jsonl", content), purpose="fine-tune", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert (file.bytes, file.filename, file.expires_at) == (len(content), "mine.jsonl", file.created_at + 3600)
    image = client.files.create(file=("a.png", b"\x89PNG"), purpose="vision")
    assert [found.id for found in client.files.list(limit=1)] == [image.id, file.id, "file-b", "file-a"]
    assert [found.id for found in client.files.list(order="asc")] == ["file-a", "file-b", file.id, image.id]
    assert [found.id for found in client.files.list(purpose="vision")] == [image.id]
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == content
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)
    assert client.files.list(purpose="batch").data == []


@pytest.mark.parametrize(("change", "param"), cases.BAD_UPLOADS)
def test_an_upload_that_breaks_a_rule_is_refused(sandbox: Sandbox, change: dict[str, Any], param: str) -> None:
    data = {"purpose": "fine-tune", **{name: value for name, value in change.items() if value}}
    files = {"other" if "file" in change else "file": ("a.jsonl", b"{}")}
    url, headers = sandbox.base_url() + "/files", {"Authorization": "Bearer test"}
    answer = httpx.post(url, data=data, files=files, headers=headers)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    headers["Content-Type"] = "multipart/form-data"
    assert httpx.post(url, content=b"no boundary", headers=headers).status_code == 400


def test_a_fine_tuned_model_can_be_trained_on_shared_and_deleted(client: openai.OpenAI, sandbox: Sandbox) -> None:
    model = sandbox.add_job()["fine_tuned_model"]
    permissions = client.fine_tuning.checkpoints.permissions
    assert client.fine_tuning.jobs.create(model=model, training_file="file-a").model == model
    given = [entry.id for entry in permissions.create(model, project_ids=["proj_a", "proj_b", "proj_c"])]
    assert [entry.id for entry in permissions.list(model, limit=2)] == given[::-1]
    assert [entry.id for entry in permissions.list(model, order="ascending")] == given
    assert [entry.id for entry in permissions.list(model, project_id="proj_b")] == [given[1]]
    assert permissions.delete(given[1], fine_tuned_model_checkpoint=model).deleted
    assert [entry.project_id for entry in permissions.list(model)] == ["proj_c", "proj_a"]
    with pytest.raises(openai.BadRequestError):
        permissions.create(model, project_ids="proj_a")  # type: ignore[arg-type]
    assert model in [entry.id for entry in client.models.list()]
    assert client.models.delete(model).deleted
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve(model)
