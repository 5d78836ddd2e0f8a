"""The AnyAPI face: list, create and cancel of jobs of seventeen fields, and errors with the status as their code."""

from __future__ import annotations

from collections.abc import Mapping

from ftsql.sandbox.books.books import Books
from ftsql.sandbox.books.lifecycle import Job
from ftsql.sandbox.faces import openai_jobs
from ftsql.sandbox.faces.checks import Rule, whole
from ftsql.sandbox.faces.face import Call, Face, Refusal, Response, Route, answer
from ftsql.sandbox.faces.keys import WRONG, bearer
from ftsql.sandbox.faces.openai_bodies import CREATE_JOB
from ftsql.sandbox.faces.openai_jobs import JOB, JOBS
from ftsql.sandbox.faces.shapes import only

FIELDS = (
    *("object", "id", "model", "created_at", "finished_at", "fine_tuned_model", "organization_id", "result_files"),
    *("status", "validation_file", "training_file", "hyperparameters", "trained_tokens", "error", "seed"),
    *("estimated_finish", "integrations"),
)
UNKNOWN = ("method", "metadata")
CREATE: Rule = {
    **CREATE_JOB,
    "properties": {name: rule for name, rule in CREATE_JOB["properties"].items() if name not in UNKNOWN},
}
TYPES = {
    400: "bad_request",
    401: "authentication_error",
    402: "payment_required",
    403: "permission_denied",
    404: "not_found",
    429: "rate_limit_exceeded",
}


def show(job: Job) -> Job:
    """A job as AnyAPI shows it."""
    return only(job, FIELDS)


def list_jobs(books: Books, call: Call) -> Response:
    limit = whole(call.query, "limit", 20, openai_jobs.MAX_LIMIT)
    texts, more = openai_jobs.page(books, call, limit, call.query.get("after"))
    return openai_jobs.listed(openai_jobs.shown(texts, show), more, ids=False)


def create_job(books: Books, call: Call) -> Response:
    return answer(show(openai_jobs.create(books, openai_jobs.read_json(call), CREATE)))


def cancel_job(books: Books, call: Call) -> Response:
    return answer(show(openai_jobs.decide(books, call.params["job_id"], "cancel")))


def _admit(headers: Mapping[str, str]) -> None:
    if bearer(headers) in ("", WRONG):
        raise Refusal(401, "Invalid or missing API key.")


def _error(refusal: Refusal) -> object:
    kind = TYPES.get(refusal.status, "server_error" if refusal.status >= 500 else "bad_request")
    return {"error": {"code": refusal.status, "message": refusal.message, "type": kind, "metadata": {}}}


ANYAPI = Face(
    name="anyapi",
    prefix="/anyapi/v1",
    routes=(
        Route("GET", JOBS, list_jobs, lists_jobs=True),
        Route("POST", JOBS, create_job),
        Route("POST", f"{JOB}/cancel", cancel_job),
    ),
    admit=_admit,
    headers=lambda _: {},
    error=_error,
    failure=lambda status: Refusal(status, f"The request failed with status {status}."),
    no_route=lambda method, path: Refusal(404, f"There is no {method} {path}."),
    wrong_method=lambda method, path: Refusal(405, f"{method} is not allowed on {path}."),
)
