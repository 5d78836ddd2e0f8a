"""The server's own message reaches the user, from every common shape of an error body."""

from __future__ import annotations

from typing import Any

import pytest

import ftsql
from tests.answering import Response
from tests.conftest import At

WORDS = "the training file is too small"
SHAPES: list[Any] = [
    {"error": {"message": WORDS, "type": "invalid_request_error", "param": "training_file", "code": "small"}},
    {"error": {"message": f"openai error: {WORDS}", "code": None}, "provider": "openai"},
    {"error": {"Message": WORDS}},
    {"error": WORDS},
    {"error": {"code": "Bad", "message": "", "details": [{"code": "Small", "message": WORDS}]}},
    {"error": {"code": "Bad", "message": "Invalid", "details": [{"code": "Small", "target": "x", "message": WORDS}]}},
    {"error": {"code": "Bad", "innererror": {"code": "Small", "message": WORDS}}},
    {"error": {"message": "Invalid", "innererror": {"innererror": {"message": WORDS}}}},
    {"errors": [{"code": "10011", "title": "Invalid", "detail": WORDS}]},
    {"errors": [{"title": WORDS}]},
    {"errors": {"training_file": [WORDS]}},
    {"errors": {"training_file": WORDS}, "title": "One or more validation errors occurred."},
    {"errors": [WORDS]},
    {"error": [{"message": WORDS}]},
    {"detail": WORDS},
    {"detail": {"message": WORDS}},
    {"detail": {"error": WORDS}},
    {"detail": {"error": {"message": WORDS}}},
    {"detail": [{"loc": ["body", "training_file"], "msg": WORDS, "type": "value_error"}]},
    {"detail": [{"msg": WORDS}]},
    {"details": WORDS},
    {"details": [{"message": WORDS}]},
    {"message": WORDS},
    {"message": {"error": WORDS}},
    {"Message": WORDS},
    {"msg": WORDS},
    {"status": "failure", "message": WORDS},
    {"error": "Bad Request", "message": WORDS, "status": 400, "path": "/v1/fine_tuning/jobs"},
    {"error": "invalid_request", "error_description": WORDS},
    {"type": "about:blank", "title": "Bad Request", "detail": WORDS},
    {"fault": {"faultstring": WORDS}},
    {"code": 400, "reason": WORDS},
    [{"error": {"message": WORDS}}],
    WORDS,
]
SQL = "SELECT id FROM fine_tuning_jobs"
CREATE = "INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('m', 'f')"


@pytest.mark.parametrize("body", SHAPES, ids=lambda body: str(body)[:80])
@pytest.mark.parametrize("sql", [SQL, CREATE])
def test_the_message_of_an_error_response_is_shown(at: At, body: Any, sql: str) -> None:
    _, db = at(lambda asked: Response(body, 400))
    with pytest.raises(ftsql.APIError, match=f"^openai: .*{WORDS}.*HTTP 400"):
        db.execute(sql).fetchall()


@pytest.mark.parametrize(
    "body", [shape for shape in SHAPES if isinstance(shape, dict)], ids=lambda body: str(body)[:80]
)
def test_the_message_of_an_error_in_a_list_with_status_200_is_shown(at: At, body: Any) -> None:
    _, db = at(lambda asked: body)
    with pytest.raises(ftsql.Error, match=f"^openai: answered the list of fine-tuning jobs with an error: .*{WORDS}"):
        db.execute(SQL).fetchall()


@pytest.mark.parametrize("wrapped", [lambda inner: {"error": inner}, lambda inner: {"errors": [inner]}])
def test_words_are_found_below_a_few_others_and_else_the_body_is_shown(at: At, wrapped: Any) -> None:
    shown = []
    for levels in (0, 1, 2, 5, 6, 30):
        body: Any = {"message": WORDS, "code": "small"}
        for _ in range(levels):
            body = wrapped(body)
        _, db = at(lambda asked, body=body: Response(body, 400))
        with pytest.raises(ftsql.APIError) as caught:
            db.execute(SQL).fetchall()
        shown.append((caught.value.message == WORDS, caught.value.code))
    lists = isinstance(wrapped({})[next(iter(wrapped({})))], list)
    assert shown == [(number < (3 if lists else 4), "small" if number < 4 else None) for number in range(6)]


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (SHAPES[0], "small", "training_file"),
        ({"error": {"code": "Bad", "innererror": {"code": "Inner"}}, "code": 400}, "Bad", None),
        ({"errors": [{"code": "10011"}]}, "10011", None),
        ({"code": 7, "message": "x"}, "7", None),
        ({"error": {"code": True, "param": ["x"]}}, None, None),
    ],
    ids=str,
)
def test_the_code_and_the_parameter_of_an_error_response_are_shown(
    at: At, body: Any, code: str | None, param: str | None
) -> None:
    _, db = at(lambda asked: Response(body, 400))
    with pytest.raises(ftsql.APIError) as caught:
        db.execute(SQL).fetchall()
    assert (caught.value.code, caught.value.param) == (code, param)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Response({}, 400), "answered with an empty body"),
        (Response(b"", 500), "answered with an empty body"),
        (Response(b"<html>Bad gateway", 502), "answered with an HTML page"),
        (Response(b"<html>login", 200), "an HTML page .HTTP 200.*login page"),
        (Response(b"data: {}\n\n", 200, {"Content-Type": "text/event-stream"}), "invalid JSON .HTTP 200, text/event-stream"),
        (Response(b"PK\x03\x04", 200, {"Content-Type": "application/zip"}), "invalid JSON .HTTP 200, application/zip"),
    ],
    ids=str,
)  # fmt: skip
def test_a_response_without_a_message_is_described(
    at: At, monkeypatch: pytest.MonkeyPatch, answer: Response, words: str
) -> None:
    monkeypatch.setattr("ftsql.api.retry.RETRY_SECONDS", 0.01)
    _, db = at(lambda asked: answer)
    with pytest.raises(ftsql.Error, match=words) as caught:
        db.execute(SQL).fetchall()
    assert ("login page" in str(caught.value)) == (answer.body == b"<html>login")


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (307, "It redirects, and a key is never sent after a redirect: set base_url to the right address"),
        (400, ""),
        (402, "The account is out of credits"),
        (422, ""),
        (501, "The trouble is at the provider: try again later"),
    ],
)
def test_a_hint_fits_the_status_and_what_no_retry_can_mend_is_sent_once(at: At, status: int, hint: str) -> None:
    server, db = at(lambda asked: Response({"error": {"message": WORDS}}, status))
    with pytest.raises(ftsql.APIError) as caught:
        db.execute(SQL).fetchall()
    assert caught.value.hint == hint
    assert len(server.requests) == 1
