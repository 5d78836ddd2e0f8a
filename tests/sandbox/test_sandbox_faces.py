"""The sandbox's faces beside OpenAI's over real sockets: the fields that each shows, accepts and drops."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from ftsql.sandbox import Sandbox
from tests.sandbox.schemas import face_cases as cases
from tests.sandbox.schemas.asking import Ask, public
from tests.sandbox.schemas.openai import wait_until

FACES = list(cases.ACCESS)


@pytest.fixture
def ask(sandbox: Sandbox) -> Iterator[Ask]:
    with Ask(sandbox) as asking:
        yield asking


def test_every_face_has_its_own_address(sandbox: Sandbox) -> None:
    base = f"http://127.0.0.1:{sandbox.port}"
    assert sandbox.faces() == {name: base + path for name, path in cases.URLS.items()}
    assert next(iter(sandbox.faces())) == "openai"
    with pytest.raises(KeyError):
        sandbox.base_url("none")


@pytest.mark.parametrize("face", FACES)
def test_a_list_is_of_the_providers_shape_and_newest_first(sandbox: Sandbox, ask: Ask, face: str) -> None:
    assert ask(face).json()["data"] == []
    ids = [sandbox.add_job(created_at=1_790_000_000 + number)["id"] for number in range(3)][::-1]
    page = ask(face).json()
    assert page.keys() == cases.LIST_KEYS[face]
    assert [job["id"] for job in page["data"]] == [public(face, job_id) for job_id in ids]


@pytest.mark.parametrize("face", ["azure", "azure_v1", "anyapi", "litellm", "portkey"])
def test_pages_follow_each_other_by_the_last_id(sandbox: Sandbox, ask: Ask, face: str) -> None:
    ids = [sandbox.add_job(created_at=1_790_000_000 + number)["id"] for number in range(25)][::-1]
    assert len(ask(face).json()["data"]) == 20
    seen = list[str]()
    for _ in range(4):
        page = ask(face, below=f"?limit=7&after={seen[-1]}" if seen else "?limit=7").json()
        seen += [job["id"] for job in page["data"]]
        assert page["has_more"] == (len(seen) < 25)
    assert seen == ids


@pytest.mark.parametrize("face", ["portkey_vertex", "portkey_fireworks"])
def test_a_list_of_page_tokens_has_no_second_page(sandbox: Sandbox, ask: Ask, face: str) -> None:
    for _ in range(3):
        sandbox.add_job()
    page = ask(face, below="?limit=2").json()
    assert (len(page["data"]), page["has_more"]) == (2, True)
    assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][1]["id"])
    assert ask(face, below=f"?limit=2&after={page['last_id']}").status_code == 400


def test_bedrocks_list_is_always_its_first_page() -> None:
    with Sandbox(speed=0) as seeded:
        url = seeded.base_url("portkey_bedrock") + "/fine_tuning/jobs"
        page = httpx.get(url, headers=cases.GATEWAY).json()
        again = httpx.get(url, headers=cases.GATEWAY, params={"limit": 3, "after": page["data"][-1]["id"]}).json()
    assert page == again
    assert len(page["data"]) == page["total_count"] == 100
    assert page["last_id"] not in [job["id"] for job in page["data"]]
    assert {job["training_file"] for job in page["data"]} == {""}
    assert {value for job in page["data"] for value in job["hyperparameters"].values()} == {None}


@pytest.mark.parametrize("face", cases.SHOWN)
def test_a_job_is_shown_in_the_providers_words(sandbox: Sandbox, ask: Ask, face: str) -> None:
    sandbox.add_job(**cases.FULL)
    assert ask(face, below=f"/{public(face, 'ftjob-full')}").json() == cases.SHOWN[face]


@pytest.mark.parametrize("face", cases.BARE)
def test_fields_without_a_value_are_absent(sandbox: Sandbox, ask: Ask, face: str) -> None:
    job_id = public(face, sandbox.add_job(status="validating_files")["id"])
    job = ask(face, below=f"/{job_id}").json()
    assert job.keys() == cases.BARE[face]
    assert job["hyperparameters"].get("n_epochs") == {"azure": -1}.get(face)


@pytest.mark.parametrize("face", ["azure_v1", "litellm", "portkey"])
def test_openais_jobs_pass_through(sandbox: Sandbox, ask: Ask, face: str) -> None:
    job = sandbox.add_job(**cases.FULL)
    assert ask(face, below="/ftjob-full").json() == job == ask(face).json()["data"][0]


def test_anyapis_jobs_have_seventeen_fields(sandbox: Sandbox, ask: Ask) -> None:
    job = sandbox.add_job(**cases.FULL)
    (shown,) = ask("anyapi").json()["data"]
    assert shown.keys() == cases.ANYAPI_FIELDS
    assert len(shown) == 17
    assert shown.items() <= job.items()


@pytest.mark.parametrize("face", cases.STATUSES)
def test_statuses_are_the_providers(sandbox: Sandbox, ask: Ask, face: str) -> None:
    kept = ("validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled")
    ids = [public(face, sandbox.add_job(status=status)["id"]) for status in kept]
    shown = [ask(face, below=f"/{job_id}").json()["status"] for job_id in ids]
    assert shown == cases.STATUSES[face].split()
    assert {job["id"]: job["status"] for job in ask(face).json()["data"]} == dict(zip(ids, shown, strict=True))


@pytest.mark.parametrize("face", cases.REASONS)
def test_a_failed_job_says_why_in_the_providers_way(sandbox: Sandbox, ask: Ask, face: str) -> None:
    job_id = public(face, sandbox.add_job(status="failed", error=cases.REASON)["id"])
    assert ask(face, below=f"/{job_id}").json()["error"] == cases.REASONS[face]
    for error in (None, {}, {"code": None, "message": None, "param": None}):
        sandbox.update_job(sandbox.jobs()[0]["id"], status="succeeded", error=error)
        shown = ask(face, below=f"/{job_id}").json()
        expected = error if face in ("azure_v1", "portkey", "litellm") else {} if face == "portkey_bedrock" else ...
        assert shown.get("error", ...) == expected


@pytest.mark.parametrize("face", FACES)
def test_a_create_is_a_job_in_the_books_and_a_cancel_ends_it(sandbox: Sandbox, ask: Ask, face: str) -> None:
    sandbox.add_file(id="file-a")
    answer = ask(face, "POST", json={"model": "gpt-4o", "training_file": "file-a", "suffix": "mine"})
    (kept,) = sandbox.jobs()
    job_id = public(face, kept["id"])
    assert answer.status_code == (201 if face == "azure" else 200)
    assert answer.json()["id"] == job_id
    assert (answer.json().keys() == {"id"}) == (face == "portkey_bedrock")
    assert (kept["model"], kept["training_file"], kept["user_provided_suffix"]) == (
        *("gpt-4o-2024-08-06", "file-a", "mine"),
    )
    if face == "azure":
        url = f"{sandbox.base_url(face)}/fine_tuning/jobs/{job_id}"
        assert answer.headers["location"] == url
    cancelled = ask(face, "POST", f"/{job_id}/cancel")
    assert cancelled.status_code == 200
    assert sandbox.jobs()[0]["status"] == "cancelled"
    if face in ("portkey_bedrock", "portkey_vertex"):
        assert cancelled.content == b""
    else:
        assert (cancelled.json()["id"], cancelled.json()["status"]) == (job_id, "cancelled")
    again = ask(face, "POST", f"/{job_id}/cancel")
    assert again.status_code == {"azure": 409, "portkey_fireworks": 500}.get(face, 400)
    assert job_id.rpartition("%2F")[2] in again.text


@pytest.mark.parametrize(
    "face", ["litellm", "portkey", "portkey_bedrock", "portkey_vertex", "portkey_fireworks", "telnyx"]
)
def test_a_gateway_drops_metadata_silently(sandbox: Sandbox, ask: Ask, face: str) -> None:
    sandbox.add_file(id="file-a")
    body = {"model": "gpt-4o", "training_file": "file-a", "metadata": {"a": "b"}, "nonsense": 1}
    assert ask(face, "POST", json=body).status_code == 200
    (kept,) = sandbox.jobs()
    assert kept["metadata"] is None
    assert "nonsense" not in kept


@pytest.mark.parametrize("face", ["portkey_bedrock", "portkey_vertex", "portkey_fireworks", "telnyx"])
def test_files_in_the_users_own_storage_need_no_upload(face: str) -> None:
    uri = {"portkey_bedrock": "s3%3A%2F%2Fmine%2Fa.jsonl", "portkey_vertex": "gs%3A%2F%2Fmine%2Fa.jsonl"}.get(
        face, "mine-a"
    )
    headers, _, fields = cases.ACCESS[face]
    body = {**fields, "model": "amazon.nova-lite-v1:0", "training_file": uri}
    with Sandbox(jobs=0, speed=1000) as sandbox:
        url = sandbox.base_url(face) + cases.JOBS[face]
        job_id = httpx.post(url, headers=headers, json=body).json()["id"]
        wait_until(lambda: sandbox.jobs()[0]["status"] == "succeeded")
        assert httpx.get(f"{url}/{job_id}", headers=headers).json()["training_file"] == uri
        assert sandbox.jobs()[0]["model"] == "amazon.nova-lite-v1:0"


def test_bedrock_keeps_the_job_name_that_it_was_given(sandbox: Sandbox, ask: Ask) -> None:
    body = {"model": "amazon.nova-lite-v1:0", "training_file": "s3%3A%2F%2Fmine%2Fa", "job_name": "mine"}
    job_id = ask("portkey_bedrock", "POST", json=body).json()["id"]
    assert ask("portkey_bedrock", below=f"/{job_id}").json()["job_name"] == "mine"


def test_azures_minus_one_is_auto(sandbox: Sandbox, ask: Ask) -> None:
    sandbox.add_file(id="file-a")
    body = {"model": "gpt-4o", "training_file": "file-a", "hyperparameters": {"n_epochs": -1, "batch_size": 4}}
    assert ask("azure", "POST", json=body).json()["hyperparameters"] == {"n_epochs": -1, "batch_size": 4}
    assert sandbox.jobs()[0]["hyperparameters"]["n_epochs"] == "auto"


@pytest.mark.parametrize("version", ["", "2024", "v1", "latest"])
def test_the_dated_azure_requires_its_version(sandbox: Sandbox, version: str) -> None:
    url = f"{sandbox.base_url('azure')}/fine_tuning/jobs"
    answer = httpx.get(url, headers={"api-key": "test"}, params={"api-version": version} if version else {})
    assert (answer.status_code, answer.json()) == (404, {"error": {"code": "404", "message": "Resource not found"}})


def test_azure_deletes_jobs(sandbox: Sandbox, ask: Ask) -> None:
    job_id = sandbox.add_job()["id"]
    answer = ask("azure", "DELETE", f"/{job_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert sandbox.jobs() == []


@pytest.mark.parametrize("header", [{"api-key": "test"}, cases.BEARER], ids=["api-key", "bearer"])
def test_azures_v1_takes_either_key(ask: Ask, header: dict[str, str]) -> None:
    answer = ask("azure_v1", headers=header)
    assert answer.status_code == 200
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["apim-request-id"])


def test_litellm_requires_the_provider_in_the_query_or_the_body(sandbox: Sandbox) -> None:
    job_id = sandbox.add_job(status="running")["id"]
    url = f"{sandbox.base_url('litellm')}/fine_tuning/jobs"
    with httpx.Client(headers=cases.BEARER, verify=False) as http:
        assert (http.get(url).status_code, http.get(f"{url}?target_model_names=gpt-4o").status_code) == (400, 200)
        missing = http.get(f"{url}/{job_id}")
        assert missing.status_code == 422
        assert missing.json() == {
            "detail": [
                {"type": "missing", "loc": ["query", "custom_llm_provider"], "msg": "Field required", "input": None}
            ]
        }
        assert http.get(f"{url}/{job_id}?custom_llm_provider=mistral").json()["detail"][0]["type"] == "literal_error"
        assert http.post(f"{url}/{job_id}/cancel?custom_llm_provider=openai").status_code == 500
        assert sandbox.jobs()[0]["status"] == "running"
        assert http.post(f"{url}/{job_id}/cancel", json={"custom_llm_provider": "openai"}).status_code == 200
