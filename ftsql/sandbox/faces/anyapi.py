"""The AnyAPI face. It can list, create and cancel. Jobs have seventeen fields, and an error's code is its status."""

from __future__ import annotations

from collections.abc import Mapping

from ftsql.sandbox.books.books import Books
from ftsql.sandbox.books.lifecycle import Job
from ftsql.sandbox.faces import openai_jobs
from ftsql.sandbox.faces.checks import Rule, query_integer
from ftsql.sandbox.faces.face import Face, Refusal, Request, Response, Route, json_response
from ftsql.sandbox.faces.keys import WRONG_KEY, bearer_key
from ftsql.sandbox.faces.openai_bodies import CREATE_JOB
from ftsql.sandbox.faces.openai_jobs import JOB, JOBS
from ftsql.sandbox.faces.shapes import pick

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
    """Return a job as AnyAPI shows it."""
    return pick(job, FIELDS)


def list_jobs(books: Books, request: Request) -> Response:
    limit = query_integer(request.query, "limit", 20, openai_jobs.MAX_LIMIT)
    texts, more = openai_jobs.job_page(books, request, limit, request.query.get("after"))
    return openai_jobs.list_response(openai_jobs.show_jobs(texts, show), more, ids=False)


def create_job(books: Books, request: Request) -> Response:
    return json_response(show(openai_jobs.create_from_body(books, openai_jobs.read_json(request), CREATE)))


def cancel_job(books: Books, request: Request) -> Response:
    return json_response(show(openai_jobs.decide_job(books, request.params["job_id"], "cancel")))


def _authenticate(headers: Mapping[str, str]) -> None:
    if bearer_key(headers) in ("", WRONG_KEY):
        raise Refusal(401, "Invalid or missing API key.")


def _error_body(refusal: Refusal) -> object:
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
    authenticate=_authenticate,
    headers=lambda _: {},
    error_body=_error_body,
    usual_error=lambda status: Refusal(status, f"The request failed with status {status}."),
    no_route=lambda method, path: Refusal(404, f"There is no {method} {path}."),
    wrong_method=lambda method, path: Refusal(405, f"{method} is not allowed on {path}."),
)
