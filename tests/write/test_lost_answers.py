"""A create is sent at most once: lost responses, limits and quotas."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql.sandbox import Fault, Sandbox
from ftsql.store.journal import Journal, State
from ftsql.write.lookup import listed_ids
from tests.answering import Asked, Response, api, job
from tests.conftest import At, Connect, fill
from tests.write.fixtures import CREATE, INSERT, ONE, alive, posts

pytestmark = pytest.mark.usefixtures("files")


LOST = {
    "dropped after it was accepted": Fault(method="POST", path=CREATE, drop=True, accept=True),
    "500 after it was accepted": Fault(method="POST", path=CREATE, status=500, accept=True),
    "truncated answer": Fault(method="POST", path=CREATE, truncate=40),
    "HTML answer after it was accepted": Fault(method="POST", path=CREATE, status=200, body="<html>", accept=True),
    "an answer without an id": Fault(method="POST", path=CREATE, status=200, body={}, accept=True),
}


@pytest.mark.parametrize("seeded", [False, True])
@pytest.mark.parametrize("how", LOST)
def test_a_create_whose_answer_is_lost_is_found_again_and_never_sent_twice(
    sandbox: Sandbox, connect: Connect, how: str, seeded: bool
) -> None:
    fill(sandbox, 3, newest=int(time.time()), training_file="file-a", model="gpt-4o-mini-2024-07-18", seed=7)
    db = connect(settle_seconds=3)
    sandbox.fault(LOST[how])
    sql = "INSERT INTO fine_tuning_jobs (model, training_file, seed) VALUES ('gpt-4o-mini', 'file-a', ?)"
    db.execute(sql, (7 if seeded else None,))
    assert len(posts(sandbox)) == 1
    assert len(sandbox.jobs()) == 4
    assert db.execute("SELECT last_job_id()").fetchall() == [(sandbox.jobs()[0]["id"],)]


@pytest.mark.long
def test_a_list_that_lags_is_looked_at_again(sandbox: Sandbox, connect: Connect) -> None:
    db = connect(settle_seconds=8)
    sandbox.fault(Fault(path=CREATE, method="GET", times=None, lag=2.0))
    sandbox.fault(Fault(method="POST", path=CREATE, drop=True, accept=True))
    db.execute(ONE)
    assert len(sandbox.jobs()) == 1
    assert len(posts(sandbox)) == 1


def test_what_cannot_be_found_is_unknown_and_never_sent_again(sandbox: Sandbox, connect: Connect) -> None:
    db = connect(settle_seconds=1)
    sandbox.fault(Fault(method="POST", path=CREATE, after=1, drop=True))
    with pytest.raises(
        ftsql.OutcomeUnknown, match="row 2 of 3: the outcome of the create of a job is unknown"
    ) as caught:
        db.execute(INSERT + "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-b'), ('gpt-4o-mini', 'file-c')")
    assert len([path for path, _ in posts(sandbox) if path == ""]) == 2
    assert alive(sandbox) == []
    assert "was created and is cancelled now" in str(caught.value)
    assert ("unknown",) in db.execute("SELECT state FROM ftsql_writes").fetchall()


def test_without_a_fingerprint_nothing_is_adopted(sandbox: Sandbox, connect: Connect) -> None:
    db = connect(settle_seconds=3)
    metadata = json.dumps({f"k{number}": "v" for number in range(16)})
    sandbox.fault(Fault(method="POST", path=CREATE, drop=True, accept=True))
    with pytest.raises(ftsql.OutcomeUnknown) as caught:
        db.execute(
            "INSERT INTO fine_tuning_jobs (model, training_file, seed, metadata) VALUES ('gpt-4o-mini', 'file-a', 5, ?)",
            (metadata,),
        )
    assert caught.value.candidates == (sandbox.jobs()[0]["id"],)


@pytest.mark.parametrize("status", [429, 503])
def test_a_rate_limited_create_is_sent_again_and_a_failed_one_is_not(
    sandbox: Sandbox, connect: Connect, status: int
) -> None:
    db = connect(settle_seconds=1)
    sandbox.fault(Fault(method="POST", path=CREATE, status=status, headers={"Retry-After": "0.1"}))
    if status == 429:
        db.execute(ONE)
    else:
        with pytest.raises(ftsql.OutcomeUnknown):
            db.execute(ONE)
    assert len(posts(sandbox)) == (2 if status == 429 else 1)
    assert len(sandbox.jobs()) == (1 if status == 429 else 0)


def test_the_days_quota_is_not_retried(sandbox: Sandbox, db: ftsql.Connection) -> None:
    body = {"error": {"message": "quota", "type": "invalid_request_error", "code": "daily_rate_limit_exceeded"}}
    sandbox.fault(Fault(method="POST", path=CREATE, status=429, body=body, times=None))
    with pytest.raises(ftsql.RateLimitError, match="try again tomorrow"):
        db.execute(ONE)
    assert len(posts(sandbox)) == 1


def _sigint() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("how", ["interrupt", "Ctrl-C"])
def test_the_first_interrupt_of_a_commit_stops_further_sends_and_cancels_what_was_created(
    sandbox: Sandbox, db: ftsql.Connection, how: str
) -> None:
    sandbox.fault(Fault(method="POST", path=CREATE, times=None, latency=0.6))
    timer = threading.Timer(0.3, db.interrupt if how == "interrupt" else _sigint)
    timer.start()
    with pytest.raises(apsw.InterruptError) as caught:
        db.execute(INSERT + "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-b'), ('gpt-4o-mini', 'file-c')")
    timer.join()
    assert "was created and is cancelled now" in str(caught.value)
    assert "2 more rows were not sent" in str(caught.value)
    assert alive(sandbox) == []
    assert [path for path, _ in posts(sandbox)] == ["", f"/{sandbox.jobs()[0]['id']}/cancel"]


def test_an_interrupt_while_the_last_row_is_under_way_lets_the_commit_stand(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    sandbox.fault(Fault(method="POST", path=CREATE, latency=0.6))
    timer = threading.Timer(0.3, db.interrupt)
    timer.start()
    with contextlib.suppress(apsw.InterruptError):  # SQLite may still report the interrupt
        db.execute(ONE)
    timer.join()
    committed = db.execute("SELECT count(*) FROM ftsql_writes WHERE state = 'committed'").fetchall() == [(1,)]
    assert alive(sandbox) == (["file-a"] if committed else [])
    assert len([path for path, _ in posts(sandbox) if path == ""]) == 1


@pytest.mark.long
def test_a_second_ctrl_c_gives_up_and_says_that_the_outcome_is_unknown(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.fault(Fault(method="POST", path=CREATE, hang=True))
    timers = [threading.Timer(seconds, _sigint) for seconds in (0.3, 0.8)]
    for timer in timers:
        timer.start()
    with pytest.raises(ftsql.OutcomeUnknown, match="interrupted before the response came"):
        db.execute(ONE)
    for timer in timers:
        timer.join()
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("unknown",)]
    assert [request.method for request in sandbox.requests] == ["POST"]


@pytest.mark.parametrize("what", ["the grant of a checkpoint permission", "the upload of a file"])
def test_a_second_ctrl_c_gives_up_other_writes_too_and_looks_for_nothing(at: At, tmp_path: Path, what: str) -> None:
    def answering(_: Asked) -> object:
        _sigint()
        time.sleep(0.3)
        _sigint()
        time.sleep(0.3)
        return {}

    server, db = at(answering)
    (tmp_path / "train.jsonl").write_text("{}")
    insert = "INSERT INTO fine_tuning_checkpoint_permissions (checkpoint, project_id) VALUES ('ft:x', 'proj-1')"
    with pytest.raises(
        ftsql.OutcomeUnknown, match=f"the outcome of {what} is unknown: .* interrupted before the response came"
    ):
        db.execute(insert if "grant" in what else f"SELECT upload_file('{tmp_path / 'train.jsonl'}')").fetchall()
    assert [asked.method for asked in server.asked] == ["POST"]
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("unknown",)]


def test_ctrl_c_while_a_delete_is_looked_at_is_what_the_record_says(at: At) -> None:
    def answering(asked: Asked) -> object:
        if asked.method == "DELETE":
            return Response(b"<html>")
        if any(asked.method == "DELETE" for asked in server.asked):
            _sigint()
            time.sleep(0.3)
        return {"id": "file-1"}

    server, db = at(answering)
    with pytest.raises((KeyboardInterrupt, ftsql.Error)):
        db.execute("DELETE FROM files WHERE id = 'file-1'")
    assert db.execute("SELECT state, error FROM ftsql_writes").fetchall() == [("unknown", "KeyboardInterrupt")]


def test_a_cancel_that_was_interrupted_and_then_lost_is_never_said_not_to_be_sent(
    sandbox: Sandbox, db: ftsql.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftsql.api.retry.RETRY_SECONDS", 0.0)
    sandbox.add_job(id="ftjob-runs", status="running")
    sandbox.fault(Fault(method="POST", path="/cancel$", latency=0.4, drop=True, times=None))
    sandbox.fault(Fault(method="GET", status=403, times=None))
    timer = threading.Timer(0.1, _sigint)
    timer.start()
    with pytest.raises(ftsql.APIConnectionError) as caught:
        db.execute("SELECT cancel_job('ftjob-runs')").fetchall()
    timer.join()
    assert caught.value.ambiguous
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("unknown",)]


def test_ctrl_c_while_a_response_is_recorded_stops_further_sends(
    sandbox: Sandbox, db: ftsql.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Journal.record
    interrupted: list[State] = []

    def recording(journal: Journal, write_ids: Iterable[int], state: State, **named: Any) -> int:
        if state == "created" and not interrupted:
            interrupted.append(state)
            _sigint()
        return honest(journal, write_ids, state, **named)

    monkeypatch.setattr(Journal, "record", recording)
    with pytest.raises((KeyboardInterrupt, apsw.InterruptError)):
        db.execute(INSERT + "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-b')")
    assert interrupted
    assert [path for path, _ in posts(sandbox)] == ["", f"/{sandbox.jobs()[0]['id']}/cancel"]
    assert alive(sandbox) == []


def test_a_job_is_taken_back_though_nobody_interrupted_for_long(
    sandbox: Sandbox, db: ftsql.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftsql.write.sender.IN_FLIGHT_SECONDS", 0.0)
    sandbox.fault(Fault(method="POST", path="/cancel$", latency=0.2))
    with pytest.raises(ftsql.APIError, match="was created and is cancelled now"):
        db.execute(INSERT + "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-none')")
    assert alive(sandbox) == []


@pytest.mark.parametrize("what", ["the create of a job", "the upload of a file"])
@pytest.mark.parametrize("how", ["Ctrl-C", "interrupt", "Ctrl-C between two looks"])
def test_an_interrupt_ends_the_search_for_what_was_lost_and_it_is_unknown(
    at: At, tmp_path: Path, how: str, what: str
) -> None:
    connections: list[ftsql.Connection] = []

    def answering(asked: Asked) -> object:
        if asked.method == "POST":
            return Response(b"<html>")
        if "between" in how:
            threading.Timer(0.2, _sigint).start()
        else:
            connections[0].interrupt() if how == "interrupt" else _sigint()
            time.sleep(0.3)  # ftsql waits for the response until then
        return {"data": [], "has_more": False}

    server, db = at(answering, settle_seconds=20)
    connections.append(db)
    (tmp_path / "train.jsonl").write_text("{}")
    sql = ONE if what == "the create of a job" else f"SELECT upload_file('{tmp_path / 'train.jsonl'}')"
    with pytest.raises(ftsql.OutcomeUnknown, match=f"the outcome of {what} is unknown: .*Nothing was sent again"):
        db.execute(sql).fetchall()
    assert [asked.method for asked in server.asked] == ["POST", "GET"]
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("unknown",)]


def test_a_job_of_that_seed_with_another_model_or_file_is_not_taken(at: At) -> None:
    made: list[dict[str, object]] = []

    def answering(asked: Asked) -> object:
        if asked.method != "POST":
            return {"data": made, "has_more": False}
        sent = json.loads(asked.body)
        now = int(time.time())
        made[:] = [
            job(1, **{**sent, "model": "another", "created_at": now, "status": "running", "finished_at": None}),
            job(2, **{**sent, "training_file": "file-other", "created_at": now - 1, "status": "running"}),
        ]
        return Response(b"", 500)

    server, db = at(answering, settle_seconds=3)
    with pytest.raises(ftsql.OutcomeUnknown, match="These may be it: ftjob-00001, ftjob-00002") as caught:
        db.execute(ONE)
    assert server.requests == ["POST ", "?limit=100"]  # a second look-up could not be certain either
    assert caught.value.candidates == ("ftjob-00001", "ftjob-00002")
    assert db.ftsql.last_job_id is None


@pytest.mark.parametrize(("apart", "pages"), [(60, 1), (20, 2), (0, 3)])
def test_a_lost_create_is_looked_for_among_the_jobs_of_the_last_hour(at: At, apart: int, pages: int) -> None:
    now = int(time.time())
    serving = api([job(number, created_at=now - apart * number) for number in range(300)])
    server, db = at(lambda asked: Response(b"<html>") if asked.method == "POST" else serving(asked), settle_seconds=0.1)
    with pytest.raises(ftsql.OutcomeUnknown, match="No job like it is in the list so far"):
        db.execute(ONE)
    read = ["?limit=100", "?limit=100&after=ftjob-00099", "?limit=100&after=ftjob-00199"]
    assert server.requests == ["POST ", *read[:pages]]


def test_a_lost_create_is_found_at_the_very_end_of_that_hour(at: At) -> None:
    found: list[dict[str, object]] = []
    serving = api(found)
    server, db = at(lambda asked: serving(asked) if found else Response(b"<html>"), settle_seconds=0.1)
    with pytest.raises(ftsql.OutcomeUnknown, match="The list could not be read either"):
        db.execute(ONE)
    ((sent_at, body),) = db.execute("SELECT at, body FROM ftsql_writes").fetchall()
    found += [job(number, created_at=int(str(sent_at)) - 36 * (number + 1)) for number in range(100)]
    sent = json.loads(str(body))
    found += [job(100, **{**sent, "created_at": found[-1]["created_at"], "status": "running", "finished_at": None})]
    server.asked.clear()
    (said,) = db.ftsql.settle()
    assert "created ftjob-00100, which is running" in said
    assert server.requests == ["?limit=100", "?limit=100&after=ftjob-00099"]


def test_an_alike_job_without_a_time_or_of_the_very_end_of_that_hour_may_be_the_lost_one(at: At) -> None:
    found: list[dict[str, object]] = []
    _, db = at(lambda asked: api(found)(asked) if found else Response(b"<html>"), settle_seconds=0.1)
    with pytest.raises(ftsql.OutcomeUnknown, match="The list could not be read either"):
        db.execute(ONE)
    ((sent_at, body),) = db.execute("SELECT at, body FROM ftsql_writes").fetchall()
    sent = {name: json.loads(str(body))[name] for name in ("model", "training_file")}
    for created_at, is_candidate in ((..., True), (int(str(sent_at)) - 3600, True), (int(str(sent_at)) - 3601, False)):
        found[:] = [job(1, **{**sent, "created_at": created_at, "status": "running", "finished_at": None})]
        (said,) = db.ftsql.settle()
        assert ("these may be it: ftjob-00001" in said) == is_candidate


def test_what_a_first_look_said_stays_if_the_second_fails(at: At) -> None:
    answers = iter([Response(b"<html>"), {"data": [], "has_more": False}])
    server, db = at(lambda asked: next(answers, Response({"error": {"message": "not now"}}, 403)), settle_seconds=0.7)
    with pytest.raises(ftsql.OutcomeUnknown, match=r"No job like it is in the list so far\. Nothing was sent again"):
        db.execute(ONE)
    assert server.requests == ["POST ", "?limit=100", "?limit=100"]


@pytest.mark.parametrize(
    ("count", "ending"), [(1, "id-0"), (10, "id-9"), (11, "id-9 and 1 more"), (25, "id-9 and 15 more")]
)
def test_of_many_ids_a_message_names_ten(count: int, ending: str) -> None:
    told = listed_ids([f"id-{number}" for number in range(count)])
    assert told.endswith(ending)
    assert told.count("id-") == min(count, 10)
