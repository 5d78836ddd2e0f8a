"""The sandbox's faults, each over a real socket, and its controls: jobs, clock, state, start and stop."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from ftsql.sandbox import Fault, Sandbox
from tests.sandbox.schemas import fault_cases as cases
from tests.sandbox.schemas.openai import checked_client, wait_until
from tests.sandbox.schemas.openai_cases import ERRORS

JOBS = "/fine_tuning/jobs"
BODY = {"model": "gpt-4o", "training_file": "file-a"}


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    sandbox.add_file(id="file-a")
    with httpx.Client(
        base_url=sandbox.base_url(), headers={"Authorization": "Bearer test"}, timeout=10, verify=False
    ) as client:
        yield client


@pytest.mark.parametrize(("status", "kind"), ERRORS)
def test_a_status_comes_out_as_the_vendors_own_error(
    sandbox: Sandbox, status: int, kind: type[openai.APIStatusError]
) -> None:
    sandbox.fault(Fault(status=status))
    with checked_client(sandbox) as client:
        with pytest.raises(kind):
            client.models.list()
        assert client.models.list().data


@pytest.mark.parametrize(("fault", "status", "content", "headers"), cases.ANSWERS, ids=itertools.count())
def test_a_fault_s_response_is_sent_unchanged(
    sandbox: Sandbox, http: httpx.Client, fault: Fault, status: int, content: bytes, headers: dict[str, str]
) -> None:
    sandbox.fault(fault)
    answer = http.get(JOBS)
    assert (answer.status_code, answer.content) == (status, content)
    assert headers.items() <= dict(answer.headers).items()


@pytest.mark.parametrize("accept", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("how", cases.LOST)
def test_a_lost_answer_leaves_a_job_only_when_it_was_accepted(
    sandbox: Sandbox, http: httpx.Client, how: str, accept: bool
) -> None:
    sandbox.fault(Fault(method="POST", accept=accept, **cases.LOST[how]))
    seen: object
    try:
        seen = http.post(JOBS, json=BODY, timeout=0.3).status_code
    except httpx.TransportError as error:
        seen = type(error)
    assert seen in cases.LOST_AS[how]
    assert len(sandbox.jobs()) == accept
    (record,) = sandbox.requests
    assert (record.method, json.loads(record.body)) == ("POST", BODY)
    assert (record.status is None) == (how in ("drop", "a hang"))
    assert http.post(JOBS, json=BODY).status_code == 200


@pytest.mark.parametrize("size", [0, 1, 40])
def test_a_truncated_answer_promises_all_and_breaks_off(sandbox: Sandbox, http: httpx.Client, size: int) -> None:
    sandbox.fault(Fault(truncate=size))
    with http.stream("POST", JOBS, json=BODY) as answer:
        received = b""
        with pytest.raises(httpx.RemoteProtocolError):
            for chunk in answer.iter_raw():
                received += chunk
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) > 100
    assert len(received) == size
    assert len(sandbox.jobs()) == 1


def test_latency_delays_one_request_and_no_other(sandbox: Sandbox, http: httpx.Client) -> None:
    sandbox.fault(Fault(method="POST", latency=0.5))
    began = time.monotonic()
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(http.post, JOBS, json=BODY)
        wait_until(lambda: len(sandbox.requests) == 1)
        assert http.get(JOBS).json()["data"] == []
        assert time.monotonic() - began < 0.4
        assert slow.result().status_code == 200
    assert time.monotonic() - began > 0.5


def test_a_request_is_handled_even_if_its_client_gives_up(sandbox: Sandbox, http: httpx.Client) -> None:
    sandbox.fault(Fault(latency=0.3))
    with pytest.raises(httpx.ReadTimeout):
        http.post(JOBS, json=BODY, timeout=0.1)
    assert sandbox.jobs() == []
    wait_until(lambda: len(sandbox.jobs()) == 1)


@pytest.mark.parametrize("lie", cases.PAGES)
def test_a_lie_is_told_by_lists_and_by_nothing_else(sandbox: Sandbox, http: httpx.Client, lie: str) -> None:
    for number in range(5):
        sandbox.add_job(id=f"ftjob-{number}", created_at=1000 - number)
    sandbox.fault(Fault(lie=lie, times=None))
    query, pages = {"limit": "3"}, list[str]()
    for _ in range(4):
        page = http.get(JOBS, params=query).json()
        pages.append("".join(job["id"][-1] for job in page["data"]))
        if not page.get("has_more") or not page["data"]:
            break
        query["after"] = page["data"][-1]["id"]
    assert pages == cases.PAGES[lie]
    assert ("has_more" in page) == (lie != "no_has_more")
    full = http.get(JOBS, params={"limit": 5}).json()
    assert full.get("has_more", False) == (
        lie in ("has_more_forever", "repeat_page", "empty_page", "full_page_has_more")
    )
    assert http.get(f"{JOBS}/ftjob-0").json() == sandbox.jobs()[0]


@pytest.mark.parametrize(("lie", "status", "count"), cases.UNKNOWN_AFTER)
def test_an_unknown_cursor_is_answered_as_the_lie_says(
    sandbox: Sandbox, http: httpx.Client, lie: str, status: int, count: int
) -> None:
    sandbox.add_job()
    sandbox.fault(Fault(lie=lie))
    answer = http.get(JOBS, params={"after": "ftjob-gone"})
    assert (answer.status_code, len(answer.json().get("data", []))) == (status, count)


def test_a_lag_hides_a_young_job_from_lists_only(sandbox: Sandbox, http: httpx.Client) -> None:
    sandbox.add_job(id="ftjob-old", created_at=1000)
    sandbox.fault(Fault(lag=0.4, times=None))
    job = http.post(JOBS, json=BODY).json()
    assert [entry["id"] for entry in http.get(JOBS).json()["data"]] == ["ftjob-old"]
    assert http.get(f"{JOBS}/{job['id']}").json() == job
    wait_until(lambda: len(http.get(JOBS).json()["data"]) == 2)


def test_a_transform_changes_one_answer(sandbox: Sandbox, http: httpx.Client) -> None:
    sandbox.add_job(id="ftjob-1")
    sandbox.fault(Fault(path="ftjob-1", transform=lambda job: {**job, "status": "odd"}))
    assert http.get(JOBS).json()["data"][0]["status"] == "succeeded"
    assert [http.get(f"{JOBS}/ftjob-1").json()["status"] for _ in range(2)] == ["odd", "succeeded"]


@pytest.mark.parametrize(("faults", "statuses"), cases.SELECTED, ids=itertools.count())
def test_faults_hit_what_they_select(
    sandbox: Sandbox, http: httpx.Client, faults: list[Fault], statuses: list[int]
) -> None:
    for fault in faults:
        sandbox.fault(fault)
    answers = [http.get(JOBS), http.post(JOBS, json=BODY), http.get(JOBS), http.get(JOBS), http.get(JOBS)]
    assert [answer.status_code for answer in answers] == statuses
    assert [record.status for record in sandbox.requests] == statuses
    sandbox.fault(Fault(status=500))
    sandbox.clear_faults()
    assert http.get(JOBS).status_code == 200


def test_a_probability_is_drawn_from_the_seed() -> None:
    def drawn(seed: int) -> list[int]:
        with Sandbox(jobs=0, seed=seed) as sandbox, httpx.Client(base_url=sandbox.base_url()) as client:
            sandbox.fault(Fault(status=418, times=None, probability=0.5))
            return [client.get(JOBS).status_code for _ in range(30)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert set(drawn(1)) == {401, 418}


def test_faults_books_and_requests_are_served_to_other_processes(sandbox: Sandbox, http: httpx.Client) -> None:
    control = sandbox.base_url().removesuffix("/v1") + "/_sandbox/"
    assert http.post(control + "faults", json={"status": 503, "times": 2, "path": "jobs"}).status_code == 200
    assert http.get(JOBS).status_code == 503
    assert http.delete(control + "faults").status_code == 200
    assert http.get(JOBS, params={"limit": 1}).status_code == 200
    sandbox.add_job()
    assert http.get(control + "jobs").json() == sandbox.jobs()
    shown = http.get(control + "requests").json()
    assert [(entry["status"], entry["query"]) for entry in shown] == [(503, {}), (200, {"limit": "1"})]
    assert "test" not in json.dumps(shown)
    assert http.get(control + "nothing").status_code == 404


@pytest.mark.parametrize("fields", cases.WRONG, ids=str)
def test_an_invalid_fault_is_refused(sandbox: Sandbox, http: httpx.Client, fields: Any) -> None:
    answer = http.post(f"http://127.0.0.1:{sandbox.port}/_sandbox/faults", json=fields)
    assert answer.status_code == 400
    assert answer.json()["error"]


def _timeless(sandbox: Sandbox) -> list[dict[str, Any]]:
    times = ("created_at", "finished_at", "estimated_finish")
    return [{name: value for name, value in job.items() if name not in times} for job in sandbox.jobs()]


def test_the_same_seed_gives_the_same_jobs_and_another_others() -> None:
    first, second, third = (Sandbox(jobs=50, seed=seed, speed=0) for seed in (1, 1, 2))
    assert _timeless(first) == _timeless(second)
    assert {job["id"] for job in first.jobs()}.isdisjoint(job["id"] for job in third.jobs())


def test_a_frozen_sandbox_repeats_its_response_and_a_running_one_moves_on() -> None:
    with (
        Sandbox(speed=0) as frozen,
        Sandbox(jobs=5) as other,
        httpx.Client(headers={"Authorization": "Bearer x"}) as http,
    ):
        first = http.get(frozen.base_url() + JOBS, params={"limit": 100}).content
        time.sleep(0.5)
        assert http.get(frozen.base_url() + JOBS, params={"limit": 100}).content == first
        assert len(http.get(other.base_url() + JOBS).json()["data"]) == 5


def test_state_in_a_file_outlives_the_sandbox(tmp_path: Path) -> None:
    with Sandbox(jobs=20, state=tmp_path / "state", speed=0) as sandbox:
        sandbox.add_job(id="ftjob-mine")
        sandbox.add_file(id="file-a", content=b"{}")
        jobs = sandbox.jobs()
    with Sandbox(jobs=99, state=tmp_path / "state", speed=0) as sandbox, checked_client(sandbox) as client:
        assert sandbox.jobs() == jobs
        assert client.files.content("file-a").read() == b"{}"
    with Sandbox(state=tmp_path / "state", speed=100_000) as sandbox:
        assert sum(job != before for job, before in zip(sandbox.jobs(), jobs, strict=True)) < len(jobs)
        wait_until(lambda: {job["status"] for job in sandbox.jobs()} <= {"succeeded", "cancelled", "failed", "paused"})
        assert all((job["finished_at"] or 0) <= time.time() for job in sandbox.jobs())


def test_a_stopped_sandbox_refuses_and_starts_again_where_it_was(sandbox: Sandbox, http: httpx.Client) -> None:
    sandbox.add_job(id="ftjob-1")
    port = sandbox.port
    sandbox.stop()
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            http.get(JOBS)
    sandbox.start()
    assert sandbox.port == port
    assert http.get(JOBS).json()["data"] == sandbox.jobs()


def test_stopping_breaks_open_connections_at_once_and_leaves_no_thread() -> None:
    before = threading.active_count()
    with ThreadPoolExecutor() as pool, httpx.Client(timeout=20) as idle:
        sandbox = Sandbox(jobs=0).start()
        idle.get(sandbox.base_url() + JOBS)
        sandbox.fault(Fault(path="hang", hang=True))
        sandbox.fault(Fault(path="late", latency=20))
        stuck = [pool.submit(httpx.get, f"{sandbox.base_url()}/{name}", timeout=20) for name in ("hang", "late")]
        wait_until(lambda: len(sandbox.requests) == 3)
        began = time.monotonic()
        sandbox.stop()
        assert time.monotonic() - began < 1
        for call in stuck:
            with pytest.raises(httpx.TransportError):
                call.result()
    assert threading.active_count() == before
    assert [record.status for record in sandbox.requests] == [401, None, None]


def test_jobs_and_files_can_be_added_changed_and_removed(sandbox: Sandbox, http: httpx.Client) -> None:
    job = sandbox.add_job(id="ftjob-1", status="running", created_at=1000, metadata=..., odd=[1])
    assert (job["status"], job["created_at"], job["odd"], "metadata" in job) == ("running", 1000, [1], False)
    assert http.get(f"{JOBS}/ftjob-1").json() == job == sandbox.jobs()[0]
    with pytest.raises(ValueError, match="ftjob-1"):
        sandbox.add_job(id="ftjob-1")
    changed = sandbox.update_job("ftjob-1", status="failed", error={"code": "c", "message": "m", "param": None})
    assert sandbox.jobs() == [changed] == [{**job, "status": "failed", "error": changed["error"]}]
    sandbox.remove_job("ftjob-1")
    assert sandbox.jobs() == []
    with pytest.raises(KeyError):
        sandbox.remove_job("ftjob-1")


def test_requests_are_recorded_as_they_arrived(sandbox: Sandbox, http: httpx.Client) -> None:
    http.get(f"{JOBS}/a%2Fb", params={"metadata[a b]": "c&d", "after": ""}, headers={"X-Odd": "Yes"})
    (record,) = sandbox.requests
    assert (record.method, record.path, record.status, record.body) == ("GET", f"/v1{JOBS}/a%2Fb", 404, b"")
    assert record.query == {"metadata[a b]": "c&d", "after": ""}
    assert record.headers["x-odd"] == "Yes"
    assert "Bearer" not in repr(record)
    sandbox.requests.clear()
    assert sandbox.requests == []


def test_a_missing_extra_is_named() -> None:
    code = "import sys; sys.modules['uvicorn'] = None; import ftsql.sandbox"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip().endswith("ImportError: the sandbox needs: pip install 'ftsql[sandbox]'")
