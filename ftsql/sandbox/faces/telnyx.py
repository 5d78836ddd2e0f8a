"""The Telnyx face: jobs have nine fields, the list has no pages, and errors come in two forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, Field

from ftsql.sandbox.books.books import Books
from ftsql.sandbox.books.lifecycle import Job
from ftsql.sandbox.faces import openai_jobs
from ftsql.sandbox.faces.face import Face, Refusal, Request, Response, Route, json_response
from ftsql.sandbox.faces.fastapi import DetailRefusal, read_body
from ftsql.sandbox.faces.keys import WRONG_KEY, bearer_key
from ftsql.sandbox.faces.shapes import hyperparameter, pick, with_status

JOBS = "/ai/fine_tuning/jobs"
JOB = f"{JOBS}/{{job_id}}"
FIELDS = (
    *("id", "created_at", "finished_at", "hyperparameters", "model", "organization_id", "status"),
    *("trained_tokens", "training_file"),
)
STATUSES = {"validating_files": "queued", "paused": "queued"}
EPOCHS = 3
MAX_EPOCHS = 10
# The code, title and detail of the error for each status. If the detail is None, the refusal's message is used.
ERRORS: dict[int, tuple[str, str, str | None]] = {
    401: ("10009", "Authentication failed", "Could not find any usable credentials in the request."),
    403: ("10010", "Authorization failed", "You do not have permission to perform the requested action."),
    404: ("10005", "Resource not found", "The requested resource or URL could not be found."),
    429: ("10011", "Too many requests", "You have exceeded the maximum number of allowed requests."),
}


class Hyperparameters(BaseModel):
    """The hyperparameters of a create."""

    n_epochs: Annotated[int, Field(ge=1, le=MAX_EPOCHS)] = EPOCHS


class CreateFineTuningJobRequest(BaseModel):
    """The body of a create. Other fields are ignored."""

    model: str
    training_file: str
    suffix: str | None = None
    hyperparameters: Hyperparameters = Hyperparameters()


def show(job: Job) -> Job:
    """Return a job in Telnyx's form. Telnyx's limits on epochs also apply to jobs that other faces created."""
    epochs = hyperparameter(job, "n_epochs")
    epochs = min(MAX_EPOCHS, max(1, epochs)) if isinstance(epochs, int) else EPOCHS
    return pick(with_status({**job, "hyperparameters": {"n_epochs": epochs}}, STATUSES), FIELDS)


def list_jobs(books: Books, request: Request) -> Response:
    return json_response({"data": openai_jobs.show_jobs(openai_jobs.job_page(books, request, None, None)[0], show)})


def create_job(books: Books, request: Request) -> Response:
    body = read_body(request, CreateFineTuningJobRequest)
    return json_response(show(openai_jobs.create_on_storage(books, body.model_dump())))


def retrieve_job(books: Books, request: Request) -> Response:
    return json_response(show(openai_jobs.find_job(books, request.params["job_id"])))


def cancel_job(books: Books, request: Request) -> Response:
    return json_response(show(openai_jobs.decide_job(books, request.params["job_id"], "cancel")))


def _authenticate(headers: Mapping[str, str]) -> None:
    if bearer_key(headers) in ("", WRONG_KEY):
        raise Refusal(401, "")


def _error_body(refusal: Refusal) -> object:
    if isinstance(refusal, DetailRefusal):
        return {"detail": refusal.detail}
    usual = ("10007", "Unexpected error", None) if refusal.status >= 500 else ("10015", "Bad Request", None)
    code, title, detail = ERRORS.get(refusal.status, usual)
    return {"errors": [{"code": code, "title": title, "detail": detail or refusal.message}]}


TELNYX = Face(
    name="telnyx",
    prefix="/telnyx/v2",
    routes=(
        Route("GET", JOBS, list_jobs, lists_jobs=True),
        Route("POST", JOBS, create_job),
        Route("GET", JOB, retrieve_job),
        Route("POST", f"{JOB}/cancel", cancel_job),
    ),
    authenticate=_authenticate,
    headers=lambda _: {"x-ratelimit-limit": "40", "x-ratelimit-remaining": "39", "x-ratelimit-reset": "1"},
    error_body=_error_body,
    usual_error=lambda status: Refusal(status, "The request could not be processed."),
    no_route=lambda method, path: Refusal(404, ""),
    wrong_method=lambda method, path: Refusal(405, f"{method} is not allowed here."),
)
