"""The two Azure OpenAI faces: the dated API, which has its own shapes and errors, and v1, which is almost OpenAI's."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from ftsql.sandbox.books.books import Books
from ftsql.sandbox.books.lifecycle import Job
from ftsql.sandbox.faces import openai as openai_face
from ftsql.sandbox.faces import openai_files, openai_jobs
from ftsql.sandbox.faces.checks import Rule, check, query_integer
from ftsql.sandbox.faces.face import Face, Handler, Refusal, Request, Response, Route, json_response
from ftsql.sandbox.faces.keys import WRONG_KEY, bearer_key
from ftsql.sandbox.faces.openai_bodies import CREATE_JOB, OPTIONAL_TEXT
from ftsql.sandbox.faces.openai_jobs import JOB, JOB_ROUTES, JOBS
from ftsql.sandbox.faces.shapes import failure_message, hyperparameter, pick, rename, with_status, without_nulls

VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")
SUFFIX = re.compile(r"[A-Za-z0-9_-]{1,40}")
FIELDS = (
    *("object", "created_at", "id", "status", "model", "fine_tuned_model", "training_file", "validation_file"),
    *(
        "result_files",
        "finished_at",
        "trained_tokens",
        "error",
        "estimated_finish",
        "hyperparameters",
        "suffix",
        "seed",
    ),
)
# Azure's schema has the status ``created`` for compatibility; the service never returns it.
STATUSES = {"validating_files": "pending", "queued": "pending", "paused": "pending"}
CREATE: Rule = {
    "type": "object",
    "required": ("model", "training_file"),
    "properties": {
        **{name: CREATE_JOB["properties"][name] for name in ("model", "training_file", "validation_file", "seed")},
        "suffix": OPTIONAL_TEXT,
        "hyperparameters": {
            "type": "object",
            "nullable": True,
            "properties": {
                "n_epochs": {"type": "integer", "minimum": -1, "maximum": 50},
                "batch_size": {"type": "integer", "minimum": -1, "maximum": 256},
                "learning_rate_multiplier": {"type": "number", "minimum": -1},
            },
        },
    },
}
CODES = {
    400: "invalidPayload",
    401: "401",  # not one of the service's codes: this response comes from the gateway in front of the service
    403: "forbidden",
    404: "notFound",
    409: "conflict",
    429: "tooManyRequests",
    503: "serviceUnavailable",
}
DENIED = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an "
    "active subscription and use a correct regional API endpoint for your resource."
)


def show(job: Job) -> Job:
    """Return a job in the form of the dated API: null fields are absent, and -1 stands for "auto"."""
    names = ("n_epochs", "batch_size", "learning_rate_multiplier")
    numbers = {"n_epochs": -1} | without_nulls({name: hyperparameter(job, name) for name in names})
    plain = rename(job, {"user_provided_suffix": "suffix"}) | {"hyperparameters": numbers}
    plain["error"] = job.get("error") if failure_message(job) else None
    return without_nulls(
        pick(with_status({**plain, "result_files": plain.get("result_files") or None}, STATUSES), FIELDS)
    )


def _dated(handler: Handler) -> Handler:
    """Return ``handler`` wrapped for the dated API.

    The wrapper checks api-version first, and answers 409 if the job's status does not allow a cancel.
    """

    def checked(books: Books, request: Request) -> Response:
        if not VERSION.fullmatch(request.query.get("api-version", "")):
            raise Refusal(404, "Resource not found", code="404")
        try:
            return handler(books, request)
        except openai_jobs.WrongState as refusal:
            raise Refusal(409, refusal.message) from None

    return checked


def list_jobs(books: Books, request: Request) -> Response:
    limit = query_integer(request.query, "limit", 20, openai_jobs.MAX_LIMIT)
    texts, more = openai_jobs.job_page(books, request, limit, request.query.get("after"))
    return json_response({"has_more": more, "data": openai_jobs.show_jobs(texts, show), "object": "list"})


def create_job(books: Books, request: Request) -> Response:
    body = openai_jobs.read_json(request)
    check(body, CREATE)
    if body.get("suffix") is not None and not SUFFIX.fullmatch(body["suffix"]):
        message = "The suffix can contain up to 40 characters (a-z, A-Z, 0-9, - and _)."
        raise Refusal(400, message, param="suffix")
    given: dict[str, Any] = body.get("hyperparameters") or {}
    given = {name: "auto" if value == -1 else value for name, value in given.items()}
    job = openai_jobs.create_from_body(books, {**body, "hyperparameters": given})
    location = f"http://{request.headers.get('host', '')}{request.path}/{job['id']}"
    return json_response(show(job), 201, {"location": location})


def retrieve_job(books: Books, request: Request) -> Response:
    return json_response(show(openai_jobs.find_job(books, request.params["job_id"])))


def cancel_job(books: Books, request: Request) -> Response:
    return json_response(show(openai_jobs.decide_job(books, request.params["job_id"], "cancel")))


def delete_job(books: Books, request: Request) -> Response:
    openai_jobs.find_job(books, request.params["job_id"])
    books.jobs.remove(request.params["job_id"])
    return Response(204, b"")


def _authenticate(find: Callable[[Mapping[str, str]], str]) -> Callable[[Mapping[str, str]], None]:
    def authenticate(headers: Mapping[str, str]) -> None:
        if find(headers) in ("", WRONG_KEY):
            raise Refusal(401, DENIED)

    return authenticate


def _error_body(refusal: Refusal) -> object:
    known = CODES.get(refusal.status, "internalFailure" if refusal.status >= 500 else "invalidPayload")
    code = "404" if refusal.code == "404" else known
    return {"error": {"code": code, "message": refusal.message}}


def _headers(_: float) -> dict[str, str]:
    return {"apim-request-id": str(uuid.uuid4()), "x-ms-region": "Sandbox"}


AZURE = Face(
    name="azure",
    prefix="/azure/openai",
    routes=tuple(
        Route(method, path, _dated(handler), lists_jobs=path == JOBS and method == "GET")
        for method, path, handler in (
            ("GET", JOBS, list_jobs),
            ("POST", JOBS, create_job),
            ("GET", JOB, retrieve_job),
            ("DELETE", JOB, delete_job),
            ("POST", f"{JOB}/cancel", cancel_job),
            ("GET", f"{JOB}/events", openai_jobs.list_events),
            ("GET", f"{JOB}/checkpoints", openai_jobs.list_checkpoints),
        )
    ),
    authenticate=_authenticate(lambda headers: headers.get("api-key", "")),
    headers=_headers,
    error_body=_error_body,
    usual_error=lambda status: Refusal(status, f"The request failed with status {status}."),
    no_route=lambda method, path: Refusal(404, "Resource not found", code="404"),
    wrong_method=lambda method, path: Refusal(405, f"{method} is not allowed on {path}."),
)
AZURE_V1 = Face(
    name="azure_v1",
    prefix="/azure/openai/v1",
    routes=(
        Route("GET", JOBS, openai_jobs.list_jobs_unfiltered, lists_jobs=True),
        Route("POST", JOBS, openai_jobs.create_job),
        *JOB_ROUTES,
        *openai_files.ROUTES,
    ),
    authenticate=_authenticate(lambda headers: headers.get("api-key", "") or bearer_key(headers)),
    headers=_headers,
    error_body=openai_face.error_body,
    usual_error=openai_face.usual_error,
    no_route=lambda method, path: Refusal(404, "Resource not found", code="404"),
    wrong_method=openai_face.wrong_method,
)
