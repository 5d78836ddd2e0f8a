"""The sandbox's faces beside OpenAI's over real sockets: refusals, oddities, and faults on all of them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ftsql.sandbox import Fault, Sandbox
from tests.sandbox.schemas import face_cases as cases
from tests.sandbox.schemas.asking import Ask, public

FACES = list(cases.ACCESS)
PAGED = [face for face in FACES if face not in ("telnyx", "portkey_bedrock")]


@pytest.fixture
def ask(sandbox: Sandbox) -> Iterator[Ask]:
    with Ask(sandbox) as asking:
        yield asking


@pytest.mark.parametrize("face", cases.UNKNOWN_JOB)
def test_an_unknown_job_is_refused_in_the_providers_words(ask: Ask, face: str) -> None:
    method, below = ("POST", "/cancel") if face == "anyapi" else ("GET", "")
    answer = ask(face, method, f"/{public(face, 'ftjob-none')}{below}")
    assert (answer.status_code, answer.json()) == (404, cases.UNKNOWN_JOB[face])


@pytest.mark.parametrize(("face", "headers", "status", "pattern"), cases.DENIED)
def test_credentials_that_do_not_suffice_are_refused(
    ask: Ask, face: str, headers: dict[str, str], status: int, pattern: str
) -> None:
    answer = ask(face, headers=headers)
    assert answer.status_code == status
    assert re.search(pattern, answer.text), answer.text
    assert "wrong" not in answer.text.replace("wrong API endpoint", "")


@pytest.mark.parametrize(("face", "change", "status", "pattern"), cases.REFUSED, ids=itertools.count())
def test_a_create_that_breaks_a_rule_is_refused(
    sandbox: Sandbox, ask: Ask, face: str, change: dict[str, Any], status: int, pattern: str
) -> None:
    sandbox.add_file(id="file-a")
    answer = ask(face, "POST", json={"model": "gpt-4o", "training_file": "file-a", **change})
    assert answer.status_code == status
    assert re.search(pattern, answer.text), answer.text
    assert sandbox.jobs() == []


@pytest.mark.parametrize(("face", "method", "below", "status", "pattern"), cases.ODD, ids=itertools.count())
def test_what_a_provider_does_differently(
    sandbox: Sandbox, ask: Ask, face: str, method: str, below: str, status: int, pattern: str
) -> None:
    sandbox.add_job(id="ftjob-done")
    sandbox.add_job(id="ftjob-running", status="running")
    answer = ask(face, method, below)
    assert answer.status_code == status
    assert re.search(pattern, answer.text), answer.text
    running = next(job["status"] for job in sandbox.jobs() if job["id"] == "ftjob-running")
    decided = status == 200 and method == "POST" and "running" in below
    paused = decided and face in ("azure_v1", "portkey")
    assert running == ("paused" if paused else "cancelled" if decided else "running")


@pytest.mark.parametrize(("face", "status", "pattern"), cases.FAULTS)
def test_a_faults_status_comes_out_as_the_providers_own_error(
    sandbox: Sandbox, ask: Ask, face: str, status: int, pattern: str
) -> None:
    sandbox.fault(Fault(path="/fine_tuning/jobs$", status=status))
    answer = ask(face)
    assert answer.status_code == status
    assert re.search(pattern, answer.text), answer.text
    assert ask(face).status_code == 200


@pytest.mark.parametrize("face", FACES)
def test_lies_are_told_by_every_faces_list(sandbox: Sandbox, ask: Ask, face: str) -> None:
    ids = [public(face, sandbox.add_job(created_at=1000 + number)["id"]) for number in range(5)][::-1]
    truth = ask(face).json()

    def told(lie: str, below: str = "") -> dict[str, Any]:
        sandbox.fault(Fault(path="/fine_tuning/jobs$", lie=lie))
        answer = ask(face, below=below)
        assert answer.status_code == 200
        page: dict[str, Any] = answer.json()
        assert page.keys() <= truth.keys()
        return page

    assert told("empty_page") == {**truth, "data": [], **({"has_more": True} if "has_more" in truth else {})}
    assert [job["id"] for job in told("shuffled")["data"]] != ids
    assert [job["id"] for job in told("oldest_first")["data"]] == ids[::-1]
    assert told("no_has_more") == {name: value for name, value in truth.items() if name != "has_more"}
    assert told("full_page_has_more", "?limit=5").get("has_more") == (True if face in PAGED else None)
    assert told("has_more_forever").get("has_more") == (True if face in PAGED else None)
    assert [job["id"] for job in told("repeat_page", f"?after={ids[-1]}")["data"]] == ids
    if face in PAGED:
        assert told("silent_unknown_after", "?after=ftjob-none")["data"] == []
        assert [job["id"] for job in told("restart_unknown_after", "?after=ftjob-none")["data"]] == ids


@pytest.mark.parametrize("face", FACES)
def test_a_lag_hides_a_young_job_from_every_faces_list(sandbox: Sandbox, ask: Ask, face: str) -> None:
    sandbox.add_file(id="file-a")
    sandbox.add_job(id="ftjob-old", created_at=1000)
    sandbox.fault(Fault(lag=3600.0))
    ask(face, "POST", json={"model": "gpt-4o", "training_file": "file-a"})
    assert [job["id"] for job in ask(face).json()["data"]] == [public(face, "ftjob-old")]
    assert len(ask(face).json()["data"]) == 2


@pytest.mark.parametrize(
    ("face", "header"),
    [("azure", "apim-request-id"), ("litellm", "x-litellm-call-id"), ("portkey_vertex", "x-portkey-trace-id")],
)
def test_answers_carry_the_providers_headers_also_when_they_are_errors(ask: Ask, face: str, header: str) -> None:
    assert ask(face).headers[header] != ask(face, below="/ftjob-none").headers[header]


def test_no_faces_key_is_shown_among_the_requests(sandbox: Sandbox) -> None:
    secret = "sk-secret-5f3b"
    names = ("authorization", "api-key", "x-portkey-api-key", "x-portkey-virtual-key", "x-portkey-config")
    httpx.get(sandbox.base_url("portkey") + "/fine_tuning/jobs", headers=dict.fromkeys(names, secret))
    shown = httpx.get(f"http://127.0.0.1:{sandbox.port}/_sandbox/requests")
    assert [request["path"] for request in shown.json()] == ["/portkey/v1/fine_tuning/jobs"]
    assert secret not in shown.text
    assert secret not in repr(sandbox.requests)
