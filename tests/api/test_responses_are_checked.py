"""Responses to writes are compared with the request: only the object itself confirms a write."""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

import ftsql
from tests.answering import PATH, Asked, Response, job
from tests.conftest import At, Connect

CREATE = "INSERT INTO fine_tuning_jobs ({}) VALUES ({})"
DPO = '{"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.1}}}'
SUPERVISED = '{"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}}'


def creating(**over: Any) -> Any:
    """Return a server whose creates return the requested job, running, changed by ``over``; ... leaves a field out."""

    def answering(asked: Asked) -> Any:
        if asked.method != "POST":
            return {"data": [], "has_more": False}
        sent = json.loads(asked.body)
        plain = {"status": "running", "finished_at": None, "fine_tuned_model": None, "created_at": int(time.time())}
        return job(1, **{**plain, **sent, **over})

    return answering


def create(db: ftsql.Connection, **values: Any) -> list[str]:
    """Return the warnings of an INSERT of these values."""
    values = {"model": "gpt-4o-mini", "training_file": "file-abc", **values}
    holes = ", ".join("?" * len(values))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        db.execute(CREATE.format(", ".join(values), holes), tuple(values.values()))
    assert db.ftsql.last_job_id == "ftjob-00001"
    return [str(warning.message) for warning in told]


@pytest.mark.parametrize(
    ("column", "sent", "answered"),
    [
        ("method", DPO, ...),
        ("method", DPO, None),
        ("method", SUPERVISED, {}),
        ("hyperparameters", '{"n_epochs": 2}', ...),
        ("metadata", '{"team": "ads"}', ...),
        ("metadata", '{"team": "ads"}', {}),
        ("metadata", '{"team": "ads"}', {"ftsql_key": "x"}),
        ("validation_file", "file-val", None),
        ("validation_file", "file-val", ...),
        ("seed", 7, ...),
        ("seed", 7, None),
    ],
)
def test_a_field_that_was_sent_and_is_missing_in_the_response_is_named(
    at: At, column: str, sent: Any, answered: Any
) -> None:
    _, db = at(creating(**{column: answered}))
    assert create(db, **{column: sent}) == [
        f"openai: ftjob-00001: {column} was sent and the response does not show it: the server may have dropped it"
    ]


@pytest.mark.parametrize(
    ("column", "sent", "answered"),
    [
        ("training_file", "file-abc", "file-other"),
        ("model", "gpt-4o-mini", "gpt-4.1-2025-04-14"),
        ("model", "llama", "accounts/fireworks/models/qwen"),
        ("method", DPO, {"type": "supervised"}),
        ("method", DPO, "supervised"),
    ],
)
def test_a_response_that_contradicts_the_request_is_named(at: At, column: str, sent: Any, answered: Any) -> None:
    _, db = at(creating(**{column: answered}))
    (told,) = create(db, **{column: sent})
    assert told.startswith(f"openai: ftjob-00001: {column} was sent as ")
    assert "and the response says" in told


@pytest.mark.parametrize(
    ("column", "sent", "answered"),
    [
        ("model", "gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
        ("model", "llama", "accounts/fireworks/models/llama"),
        ("model", "@openai-prod/gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
        ("model", "gpt-4o-mini", None),
        ("training_file", "file-abc", None),
        ("training_file", "s3%3A%2F%2Fbucket%2Ftrain.jsonl", "s3://bucket/train.jsonl"),
        ("method", DPO, "dpo"),
        ("method", SUPERVISED, json.loads(SUPERVISED)),
        ("hyperparameters", '{"n_epochs": 2}', {"n_epochs": 2}),
        ("metadata", '{"team": "ads"}', {"team": "ads", "more": "1"}),
        ("suffix", "mine", ...),
        ("seed", 7, 7),
    ],
)
def test_an_equal_value_in_another_form_is_not_warned_about(at: At, column: str, sent: Any, answered: Any) -> None:
    _, db = at(creating(**{column: answered}))
    assert create(db, **{column: sent}) == []


def test_hyperparameters_may_be_shown_inside_the_method(at: At) -> None:
    _, db = at(creating(hyperparameters=..., method=json.loads(SUPERVISED)))
    assert create(db, hyperparameters='{"n_epochs": 2}') == []


def test_a_dropped_seed_of_ftsql_is_not_warned_about(at: At) -> None:
    _, db = at(creating(seed=...))
    assert create(db) == []


def creating_only_an_id(asked: Asked) -> Any:
    return {"id": "ftjob-00001"} if asked.method == "POST" else {"data": []}


def test_a_response_with_only_an_id_is_not_warned_about(at: At) -> None:
    _, db = at(creating_only_an_id)
    assert create(db, method=DPO, seed=7) == []
    assert db.ftsql.take_notes() == ["created ftjob-00001 (provider openai)"]


def test_a_warning_about_a_paid_write_never_raises(at: At) -> None:
    _, db = at(creating(method=...))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        db.execute(CREATE.format("model, training_file, method", f"'gpt-4o-mini', 'file-abc', '{DPO}'"))
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("committed",)]


FILES: list[dict[str, Any]] = [{"id": "file-1", "filename": "a.jsonl"}, {"id": "file-2"}]


def deleting(answer: Any, *, gone: bool) -> Any:
    asked_for: list[str] = []

    def answering(asked: Asked) -> Any:
        if asked.method == "DELETE":
            asked_for.append(asked.path)
            return answer
        if asked.path == "/files":
            return {"data": FILES, "has_more": False}
        here = next((file for file in FILES if asked.path == f"/files/{file['id']}"), None)
        away = here is None or (gone and asked.path in asked_for)
        return Response({"error": {"message": "No such file: x"}}, 404) if away else here

    return answering


DELETE = "DELETE FROM files WHERE id = 'file-1'"


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"message": "The file is in use", "code": "file_in_use"}},
        {"error": "The file is in use"},
        {"message": "The file is in use"},
        {"id": "file-1", "object": "file", "deleted": False, "message": "The file is in use"},
    ],
    ids=str,
)
def test_a_delete_with_an_error_in_a_200_is_refused_with_its_message(at: At, answer: Any) -> None:
    _, db = at(deleting(answer, gone=False))
    with pytest.raises(ftsql.APIError, match="openai: The file is in use"):
        db.execute(DELETE)
    assert db.execute("SELECT state, error FROM ftsql_writes").fetchall()[0][0] == "refused"


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"deleted": "true"},
        {"deleted": 1},
        {"id": "file-2", "deleted": True},
        [],
        None,
        Response(b""),
        Response(b"gone"),
    ],
    ids=str,
)
@pytest.mark.parametrize("gone", [True, False])
def test_a_delete_is_confirmed_by_the_absence_of_its_object(at: At, answer: Any, gone: bool) -> None:
    server, db = at(deleting(Response(b"null") if answer is None else answer, gone=gone))
    if gone:
        db.execute(DELETE)
    else:
        with pytest.raises(ftsql.APIError, match="was not deleted|still exists"):
            db.execute(DELETE)
    state = "committed" if gone else "refused"
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [(state,)]
    assert (
        server.requests.count("/files/file-1") == 2
    )  # one request finds the file for the DELETE, one checks that it is gone


@pytest.mark.parametrize("answer", [{"id": "file-1", "deleted": True}, {"deleted": True}, Response(b"", 204)], ids=str)
def test_a_delete_that_the_response_confirms_is_not_checked_again(at: At, answer: Any) -> None:
    server, db = at(deleting(answer, gone=False))
    db.execute(DELETE)
    assert server.requests.count("/files/file-1") == 1


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_delete_that_is_refused_is_not_looked_at_again(at: At, status: int) -> None:
    refused = Response({"error": {"message": "No such File object: file-1"}}, status)
    server, db = at(deleting(refused, gone=True))
    with pytest.raises(ftsql.APIError, match="^openai: No such File object: file-1"):
        db.execute(DELETE)
    assert server.requests == ["/files/file-1", "DELETE /files/file-1"]
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("refused",)]


OTHER, NO_JSON = Response({"error": {"message": "another project's"}}, 403), Response(b"<html>")


@pytest.mark.parametrize(
    ("answer", "look", "words"),
    [
        (Response({"error": {"message": "down"}}, 499), OTHER, "down"),
        (Response({"deleted": False}), NO_JSON, "it was not deleted"),
        (NO_JSON, OTHER, "another project's"),
        (NO_JSON, NO_JSON, "answered http.*/files/file-1 with an HTML page"),
    ],
)
def test_a_delete_that_cannot_be_checked_is_unknown(at: At, answer: Response, look: Response, words: str) -> None:
    deleted: list[Asked] = []

    def answering(asked: Asked) -> Any:
        if asked.method == "DELETE":
            deleted.append(asked)
            return answer
        return look if deleted else FILES[0]

    _, db = at(answering)
    said = f"^openai: it is unknown whether the file file-1 was deleted: {words}.*SELECT id, . FROM files WHERE id = 'file-1'"
    with pytest.raises(ftsql.APIError, match=said):
        db.execute(DELETE)
    assert db.execute("SELECT state, open FROM ftsql_writes").fetchall() == [("unknown", 1)]


def acting(answer: Any, after: Any) -> Any:
    """A server with the running job ftjob-00001, which ``after`` a cancel answered so shows that."""
    state = {"shown": running()}

    def answering(asked: Asked) -> Any:
        if asked.method == "POST":
            state["shown"] = after
            return answer
        if asked.path == PATH:
            return {"data": [running()], "has_more": False}
        return state["shown"] if asked.path.startswith(f"{PATH}/ftjob-00001") else None

    return answering


def running(**over: Any) -> dict[str, Any]:
    return job(1, **{"status": "running", "finished_at": None, "fine_tuned_model": None, **over})


@pytest.mark.parametrize(
    "answer",
    [
        job(2, status="cancelled"),
        {"id": "ftjob-00001"},
        {"id": "ftjob-00001", "status": None},
        {"id": "ftjob-00001", "status": {"a": 1}},
        {},
        [],
        Response(b""),
        Response(b"<html>"),
        {"data": [running(status="cancelled")]},
    ],
    ids=str,
)
def test_a_cancel_whose_response_is_not_the_job_is_checked(at: At, answer: Any) -> None:
    server, db = at(acting(answer, running(status="cancelling")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert db.execute("SELECT cancel_job('ftjob-00001')").fetchall() == [("cancelling",)]
    assert server.requests == ["POST /ftjob-00001/cancel", "/ftjob-00001"]


@pytest.mark.parametrize("action", ["cancel", "pause", "resume"])
@pytest.mark.parametrize("status", ["unchanged", ""])
def test_an_action_that_was_accepted_and_changed_nothing_is_named(at: At, action: str, status: str) -> None:
    before = running(status="paused" if action == "resume" else "running")
    shown = before if status else {**before, "status": status}
    server, db = at(acting(shown, before))
    with pytest.warns(ftsql.Warning, match=f"{action} of ftjob-00001 was accepted, and the job is {before['status']} "):
        db.execute(f"SELECT {action}_job('ftjob-00001')").fetchall()
    assert server.requests == [f"POST /ftjob-00001/{action}", "/ftjob-00001"]


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ("cancel", "cancelling"),
        ("cancel", "canceled"),
        ("pause", "pausing"),
        ("resume", "queued"),
        ("resume", "running"),
    ],
)
def test_an_action_under_way_is_accepted_at_once(at: At, action: str, status: str) -> None:
    server, db = at(acting(running(status=status), running(status=status)))
    assert db.execute(f"SELECT {action}_job('ftjob-00001')").fetchall() == [(status,)]
    assert server.requests == [f"POST /ftjob-00001/{action}"]


def test_a_create_whose_cancel_changed_nothing_is_reported_as_standing(at: At) -> None:
    served = creating()

    def answering(asked: Asked) -> Any:
        if asked.method == "GET" or asked.path.endswith("/cancel"):
            return running()
        if b"file-refused" in asked.body:
            return Response({"error": {"message": "no such file"}}, 400)
        return served(asked)

    _, db = at(answering)
    insert = "INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('m', 'file-abc'), ('m', 'file-refused')"
    stays = r"ftjob-00001 exists and could not be cancelled \(it is running all the same\)"
    with (
        pytest.raises(ftsql.Error, match=stays),
        pytest.warns(ftsql.Warning, match="cancel of ftjob-00001 was accepted"),
    ):
        db.execute(insert)
    assert db.execute("SELECT state FROM ftsql_writes WHERE action = 'create'").fetchall() == [
        ("created",),
        ("refused",),
    ]


def test_another_job_is_never_taken_for_the_requested_one(at: At) -> None:
    _, db = at(acting(job(2), job(2, status="cancelled")))
    with pytest.raises(ftsql.Error, match="asked for the fine-tuning job 'ftjob-00001' it answered with another one"):
        db.execute("SELECT cancel_job('ftjob-00001')").fetchall()
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("unknown",)]
    with pytest.raises(ftsql.Error, match="answered with another one, 'ftjob-00002'"):
        db.execute("SELECT wait_job('ftjob-00001')").fetchall()


def test_a_cancel_with_an_error_in_a_200_is_refused_with_its_message(at: At) -> None:
    _, db = at(acting({"error": {"message": "Cancelling is not enabled"}}, running()))
    with pytest.raises(ftsql.APIError, match="openai: Cancelling is not enabled"):
        db.execute("SELECT cancel_job('ftjob-00001')").fetchall()
    _, db = at(acting({"error": {"message": "It was cancelled before"}}, running(status="cancelled")))
    assert db.execute("SELECT cancel_job('ftjob-00001')").fetchall() == [("cancelled",)]


REFUSED = [
    Response({"error": {"message": "Fine-tuning is not implemented"}}, 501),
    Response(b"HTTP Version Not Supported", 505),
    Response({"error": {"message": "You must be a LiteLLM Enterprise user to use this feature. Get a license"}}, 500),
    Response({"detail": {"error": "Only premium users can do this"}}, 500),
]


@pytest.mark.parametrize("answer", REFUSED, ids=lambda answer: str(answer.status))
def test_a_refusal_that_cannot_have_been_accepted_is_never_unknown(at: At, answer: Response) -> None:
    server, db = at(lambda asked: answer)
    began = time.monotonic()
    with pytest.raises(ftsql.APIError) as caught:
        db.execute(CREATE.format("model, training_file", "'m', 'f'"))
    assert not isinstance(caught.value, ftsql.OutcomeUnknown)
    assert time.monotonic() - began < 5
    assert server.requests == ["POST "]
    assert db.execute("SELECT state, open FROM ftsql_writes").fetchall() == [("refused", 0)]


LICENSE_FAQ = Response({"error": {"message": "Worker lost while copying enterprise-license-faq.jsonl"}}, 500)


def test_a_failure_that_only_mentions_a_license_is_looked_for(at: At) -> None:
    made: list[dict[str, Any]] = []

    def answering(asked: Asked) -> Any:
        if asked.method != "POST":
            return {"data": made, "has_more": False}
        made.append(
            job(7, **{**running(), **json.loads(asked.body), "id": "ftjob-00007", "created_at": int(time.time())})
        )
        return LICENSE_FAQ

    _, db = at(answering)
    db.execute(CREATE.format("model, training_file", "'m', 'f'"))
    assert db.ftsql.last_job_id == "ftjob-00007"


def test_an_older_job_is_never_taken_for_the_one_created(at: At) -> None:
    old = running(model="m", training_file="f", seed=1, created_at=int(time.time()) - 86_400)
    server, db = at(
        lambda asked: old if asked.method == "POST" else {"data": [old], "has_more": False}, settle_seconds=0.2
    )
    with pytest.raises(ftsql.OutcomeUnknown, match="the response shows another job, ftjob-00001"):
        db.execute(CREATE.format("model, training_file", "'m', 'f'"))
    assert not any("cancel" in request for request in server.requests)
    assert db.execute("SELECT state, open FROM ftsql_writes").fetchall() == [("unknown", 1)]


@pytest.mark.parametrize("age", [3000, 9000, 10**9])
@pytest.mark.parametrize("column", ["seed", "metadata"])
def test_a_job_with_the_fingerprint_is_the_one_created_at_any_age(at: At, column: str, age: int) -> None:
    server, db = at(creating(created_at=int(time.time()) - age), settle_seconds=0.1)
    assert create(db, **({"seed": 5} if column == "metadata" else {})) == []
    assert server.requests == ["POST "]
    assert column in json.loads(server.asked[0].body)
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("committed",)]


@pytest.mark.parametrize("age", [3000, 9000])
def test_without_a_fingerprint_an_older_job_is_another_one(at: At, age: int) -> None:
    full = json.dumps({f"k{number}": "v" for number in range(16)})
    serving = creating(created_at=int(time.time()) - age)
    server, db = at(serving, settle_seconds=0.1)
    if age < 3600:
        assert create(db, seed=5, metadata=full) == []
        assert server.requests == ["POST "]
    else:
        with pytest.raises(ftsql.OutcomeUnknown, match="the response shows another job, ftjob-00001"):
            create(db, seed=5, metadata=full)
        assert server.requests == ["POST ", "?limit=100"]


def test_a_create_with_an_error_in_a_200_is_looked_for_and_shows_its_message(connect: Connect, at: At) -> None:
    error = {"error": {"message": "The dataset is being scanned", "code": "scan"}}
    _, db = at(lambda asked: error if asked.method == "POST" else {"data": [], "has_more": False}, settle_seconds=0.2)
    with pytest.raises(ftsql.OutcomeUnknown, match="the response is an error: The dataset is being scanned"):
        db.execute(CREATE.format("model, training_file", "'m', 'f'"))


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("method", '{"type": "banana"}', "method.type is one of 'supervised', 'dpo', 'reinforcement', not 'banana'"),
        ("method", "{}", "method.type is missing"),
        (
            "method",
            SUPERVISED.replace("2", '"banana"'),
            "hyperparameters.n_epochs is an integer or \"auto\", not 'banana'",
        ),
        ("method", SUPERVISED.replace("2", "0"), "n_epochs is a number from 1 to 50"),
        ("method", DPO.replace("0.1", "true"), 'beta is a number or "auto", not True'),
        ("hyperparameters", '{"n_epochs": 1.5}', 'n_epochs is an integer or "auto", not 1.5'),
    ],
)
def test_a_value_that_the_documentation_excludes_is_not_sent(at: At, column: str, value: str, words: str) -> None:
    server, db = at(lambda asked: None)
    with pytest.raises(ftsql.Error) as caught:
        db.execute(CREATE.format(f"model, training_file, {column}", f"'m', 'f', '{value}'"))
    assert words in str(caught.value)
    assert server.requests == []


@pytest.mark.parametrize("answer", [{}, {"status": "ok"}, {"success": True}, b"", {"object": "fine_tuning.job"}])
@pytest.mark.parametrize("works", [True, False])
def test_without_retrieve_the_list_shows_the_outcome_of_a_cancel(
    at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Any, works: bool
) -> None:
    one = job(1, status="running", finished_at=None, fine_tuned_model=None)

    def answering(asked: Asked) -> Any:
        if asked.method == "POST":
            one["status"] = "cancelled" if works else "running"
            return Response(answer)
        return {"data": [one], "has_more": False} if asked.path == PATH else None

    config = tmp_path / "providers.toml"
    config.write_text('[openai]\nwithout = ["retrieve"]\n')
    monkeypatch.setenv("FTSQL_CONFIG", str(config))
    server, db = at(answering)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        status = db.execute("SELECT cancel_job('ftjob-00001')").get
    assert status == one["status"]
    assert server.requests[-2:] == ["POST /ftjob-00001/cancel", "?limit=100"]


def test_telnyx_does_not_accept_auto(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    server, _ = at(lambda asked: None)
    monkeypatch.setenv("TELNYX_API_KEY", "k" * 20)
    monkeypatch.setenv("TELNYX_BASE_URL", server.base_url)
    db = ftsql.connect(providers="telnyx")
    sql = CREATE.format("model, training_file, hyperparameters", "'m', 'f', '{\"n_epochs\": \"auto\"}'")
    with pytest.raises(ftsql.Error, match="telnyx: hyperparameters.n_epochs is an integer, not 'auto'"):
        db.execute(sql)
    db.close()
    assert server.requests == []


@pytest.mark.parametrize("provider", ["portkey_bedrock", "portkey_fireworks", "portkey_azure", "azure", "telnyx"])
def test_a_method_that_a_gateway_drops_is_refused(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORTKEY_API_KEY", "PORTKEY_VIRTUAL_KEY", "AZURE_OPENAI_API_KEY", "TELNYX_API_KEY"):
        monkeypatch.setenv(name, "k" * 20)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://example.invalid")
    db = ftsql.connect(providers=provider)
    with pytest.raises(ftsql.Error, match=f"{provider} does not take method"):
        db.execute(CREATE.format("model, training_file, method", f"'m', 'f', '{SUPERVISED}'"))
    db.close()
