"""A provider that creates no more jobs: the error of a create says so, does not blame the key, and names the guide."""

from __future__ import annotations

from typing import Any

import pytest

import ftsql
from ftsql.cli.documents import find_topic
from ftsql.sandbox import TRAINING_NOT_AVAILABLE, Sandbox
from tests.answering import Response, api, job
from tests.conftest import At, fill

CREATE = "INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-abc')"


def test_an_ended_create_does_not_blame_the_key(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 2)
    sandbox.fault(TRAINING_NOT_AVAILABLE)
    with pytest.raises(ftsql.APIError, match="OpenAI is winding down the fine-tuning platform") as caught:
        db.execute(CREATE)
    assert not isinstance(caught.value, ftsql.AuthenticationError)
    assert caught.value.code == "training_not_available"
    assert "see ftsql guide leaving-openai" in str(caught.value)
    assert "OPENAI_API_KEY" not in str(caught.value)
    assert db.execute("SELECT state, open FROM ftsql_writes").fetchall() == [("refused", 0)]
    assert db.execute("SELECT count(*) FROM fine_tuning_jobs").get == 2
    db.execute("SELECT cancel_job('ftjob-00000')").fetchall()
    assert find_topic("leaving-openai").title


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (403, {"message": "Not now", "code": "training_not_available"}),
        (403, {"message": "You can no longer create new fine-tuning jobs"}),
        (400, {"message": "Fine-tuning was discontinued on 2026-05-20"}),
        (410, {"message": "Fine-tuning is no longer supported"}),
        (404, {"message": "The fine-tuning API has been sunset"}),
    ],
    ids=str,
)
def test_other_wordings_of_the_refusal_are_recognised(at: At, status: int, error: dict[str, Any]) -> None:
    _, db = at(lambda asked: Response({"error": error}, status))
    with pytest.raises(ftsql.APIError, match="see ftsql guide leaving-openai"):
        db.execute(CREATE)


@pytest.mark.parametrize(
    "message",
    [
        "Incorrect API key provided",
        "You have insufficient permissions for this operation",
        "Fine-tuning is not enabled",
    ],
)
def test_a_refused_key_is_still_a_refused_key(at: At, message: str) -> None:
    _, db = at(lambda asked: Response({"error": {"message": message}}, 403))
    with pytest.raises(ftsql.AuthenticationError, match="Check OPENAI_API_KEY"):
        db.execute(CREATE)


def test_a_refused_cancel_does_not_mean_the_end_of_fine_tuning(at: At) -> None:
    refused = Response({"error": {"message": "Fine-tuning is no longer supported"}}, 400)
    running = job(0, status="running", finished_at=None)
    _, db = at(lambda asked: refused if asked.method == "POST" else api([running])(asked))
    with pytest.raises(ftsql.APIError) as caught:
        db.execute("SELECT cancel_job('ftjob-00000')").fetchall()
    assert "leaving-openai" not in str(caught.value)
