"""The Portkey faces with Bedrock, Vertex AI and Fireworks behind them, as the open-source gateway presents them.

The gateway rebuilds a job's path from its id, so any POST below a job's path cancels the job.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from ftsql.sandbox.books.books import Books
from ftsql.sandbox.books.lifecycle import Job
from ftsql.sandbox.faces import openai_jobs
from ftsql.sandbox.faces import portkey as portkey_face
from ftsql.sandbox.faces.checks import Rule, check, query_integer
from ftsql.sandbox.faces.face import Face, Refusal, Request, Response, Route, json_response
from ftsql.sandbox.faces.openai_bodies import CREATE_JOB
from ftsql.sandbox.faces.openai_jobs import JOB, JOBS
from ftsql.sandbox.faces.shapes import (
    failure_message,
    hyperparameter,
    pick,
    to_milliseconds,
    with_status,
    without_nulls,
)

ARN = "arn:aws:bedrock:us-east-1:123456789012:model-customization-job/amazon.nova-lite-v1:0:300k/"
MODEL_ARN = "arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.nova-lite-v1:0:300k/"
S3 = "s3://ftsql-sandbox/"
GS = "gs://ftsql-sandbox/"
BEDROCK_STATUSES = dict.fromkeys(("validating_files", "queued", "paused"), "running")
QUEUED = dict.fromkeys(("validating_files", "paused"), "queued")
ADAPTERS = {1: "ONE", 2: "TWO", 4: "FOUR", 8: "EIGHT", 16: "SIXTEEN", 32: "THIRTY_TWO"}


def encoded(text: str) -> str:
    """Return the string with the percent-encoding of JavaScript's encodeURIComponent."""
    return quote(text, safe="-_.!~*'()")


def _uri(storage: str, name: object) -> str:
    if not isinstance(name, str) or not name:
        return ""
    return name if "://" in name else storage + name


def bedrock(job: Job) -> Job:
    """Return a job of Bedrock as the gateway shows it. Until there is a model, the suffix is shown as its name."""
    succeeded = job.get("status") == "succeeded"
    suffix = job.get("user_provided_suffix")
    shown: Job = {
        "id": encoded(ARN + str(job["id"])),
        "job_name": job.get("job_name") or f"portkey-finetune-{job['id']}",
        "object": "finetune",
        "status": job.get("status"),
        "created_at": to_milliseconds(job.get("created_at")),
        "finished_at": to_milliseconds(job.get("finished_at")),
        "fine_tuned_model": MODEL_ARN + str(job["id"]) if succeeded else suffix,
        "suffix": suffix,
        "training_file": encoded(_uri(S3, job.get("training_file"))),
        "validation_file": encoded(_uri(S3, job.get("validation_file"))),
        "hyperparameters": {
            name: hyperparameter(job, name) for name in ("learning_rate_multiplier", "batch_size", "n_epochs")
        },
        "error": failure_message(job) or {} if job.get("status") == "failed" else {},
    }
    if shown["fine_tuned_model"] is None:
        del shown["fine_tuned_model"]
    if suffix is None:
        del shown["suffix"]
    return with_status(shown, BEDROCK_STATUSES)


def bedrock_summary(job: Job) -> Job:
    """Return a job as it is shown in a list. Bedrock's summaries lack files, hyperparameters and failure messages."""
    shown = bedrock(job)
    nothing = dict.fromkeys(shown["hyperparameters"])
    shown |= {"training_file": "", "validation_file": "", "hyperparameters": nothing, "error": {}}
    if shown["status"] != "succeeded":
        shown.pop("fine_tuned_model", None)
    return shown


def vertex(job: Job) -> Job:
    """Return a job of Vertex AI as the gateway shows it. Google writes 64-bit integers as strings."""
    epochs, tokens = hyperparameter(job, "n_epochs"), job.get("trained_tokens")
    given = {
        "batch_size": f"ADAPTER_SIZE_{ADAPTERS.get(hyperparameter(job, 'batch_size'), 'FOUR')}",
        "learning_rate_multiplier": hyperparameter(job, "learning_rate_multiplier"),
        "n_epochs": None if epochs is None else str(epochs),
    }
    validation = _uri(GS, job.get("validation_file"))
    shown = {
        "id": job["id"],
        "object": "finetune",
        "status": job.get("status"),
        "created_at": to_milliseconds(job.get("created_at")),
        "error": {"code": 3, "message": failure_message(job)} if job.get("status") == "failed" else None,
        "fine_tuned_model": job.get("fine_tuned_model"),
        "finished_at": to_milliseconds(job.get("finished_at")),
        "hyperparameters": without_nulls(given),
        "model": job.get("model"),
        "trained_tokens": None if tokens is None else str(tokens),
        "training_file": encoded(_uri(GS, job.get("training_file"))),
        "validation_file": encoded(validation) if validation else None,
    }
    return with_status(without_nulls(shown), QUEUED)


def fireworks(job: Job) -> Job:
    """Return a job of Fireworks as the gateway shows it.

    The job's output model, which has a name before it exists, is shown both as the suffix and as the fine-tuned model.
    """
    output = f"accounts/sandbox/models/{job.get('user_provided_suffix') or job['id']}"
    given = {
        "n_epochs": hyperparameter(job, "n_epochs"),
        "learning_rate": hyperparameter(job, "learning_rate_multiplier"),
    }
    error = {"code": "INTERNAL", "message": failure_message(job) or ""}
    shown = {
        "id": job["id"],
        "model": job.get("model"),
        "suffix": output,
        "training_file": job.get("training_file"),
        "validation_file": job.get("validation_file"),
        "hyperparameters": without_nulls(given),
        "created_at": to_milliseconds(job.get("created_at")),
        "completed_at": to_milliseconds(job.get("finished_at")),
        "status": job.get("status"),
        "error": error if job.get("status") == "failed" else None,
        "fine_tuned_model": output,
    }
    return with_status(without_nulls(shown), QUEUED)


FIELDS = ("model", "suffix", "hyperparameters", "training_file", "validation_file", "method")
BEDROCK_PAGE = 100
GOOGLE = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


@dataclass(frozen=True)
class Backend:
    """One provider behind the gateway, as data.

    ``storage``: the prefix that file names have at the provider, but not in the books; "" if they have no prefix.
    """

    name: str  # the name of the face
    provider: str  # the gateway's name for the provider
    storage: str
    fields: tuple[str, ...]  # the fields of a create; the gateway drops all others
    required: tuple[str, ...]
    show: Callable[[Job], Job]
    created: Callable[[Job], Job]
    list: Callable[[Books, Request], Job]
    cancelled: Callable[[Job], Response]
    error_body: Callable[[Refusal], object]
    book_id: Callable[[str], str] = str  # returns the id in the books for an id in a path
    cancel_failure: int | None = None  # the status of every cancel that fails, if it is always the same


def _bedrock_list(books: Books, request: Request) -> Job:
    """Return the first page for every request, because neither ``after`` nor ``limit`` reaches Bedrock."""
    texts, more = openai_jobs.job_page(books, request, BEDROCK_PAGE, None)
    jobs = openai_jobs.show_jobs(texts, bedrock_summary)
    shown: Job = {"data": jobs, "object": "list", "total_count": len(jobs)}
    if more:
        shown["last_id"] = base64.b64encode(unquote(jobs[-1]["id"]).encode()).decode()
    return shown


def _bedrock_error_body(refusal: Refusal) -> object:
    shown = {"message": f"bedrock error: {refusal.message}", "type": None, "param": None, "code": None}
    return {"error": shown, "provider": "bedrock"}


def _vertex_error_body(refusal: Refusal) -> object:
    status = GOOGLE.get(refusal.status, "INTERNAL" if refusal.status >= 500 else "FAILED_PRECONDITION")
    return {
        "error": {"code": refusal.status, "message": refusal.message, "status": status},
        "provider": "vertex-ai",
    }


def _fireworks_error_body(refusal: Refusal) -> object:
    """Return the error body, which names the provider only if a cancel failed."""
    shown: Job = {"error": {"message": refusal.message}}
    return {**shown, "provider": "fireworks-ai"} if refusal.status == 500 else shown


def _first_page(show: Callable[[Job], Job]) -> Callable[[Books, Request], Job]:
    """Return the handler for a list with page tokens.

    The gateway sends ``after`` to the provider as a page token. But the gateway never returns such a token, so only the
    first page can be read.
    """

    def list_jobs(books: Books, request: Request) -> Job:
        after = request.query.get("after")
        try:
            limit = query_integer(request.query, "limit", 20, 1000)
            texts, more = openai_jobs.job_page(books, request, limit, after and f"page token {after}")
        except Refusal:
            raise Refusal(400, f"Invalid page token or size: {after}") from None
        jobs = openai_jobs.show_jobs(texts, show)
        ends = {"first_id": jobs[0]["id"], "last_id": jobs[-1]["id"]} if jobs else {}
        return {"object": "list", "data": jobs, **ends, "has_more": more}

    return list_jobs


def _face(backend: Backend) -> Face:
    """Return the face of a backend."""
    rule: Rule = {
        "type": "object",
        "extra": True,
        "required": backend.required,
        "properties": {name: CREATE_JOB["properties"][name] for name in FIELDS},
    }

    def list_jobs(books: Books, request: Request) -> Response:
        return json_response(backend.list(books, request))

    def create_job(books: Books, request: Request) -> Response:
        given = openai_jobs.read_json(request)
        body: dict[str, Any] = {name: given[name] for name in backend.fields if name in given}
        check(body, rule)
        for name in ("training_file", "validation_file"):
            if backend.storage and body.get(name):
                body[name] = unquote(body[name]).removeprefix(backend.storage)
        kept = pick(body, ("job_name",))
        return json_response(backend.created(openai_jobs.create_on_storage(books, body, **kept)))

    def retrieve_job(books: Books, request: Request) -> Response:
        return json_response(backend.show(openai_jobs.find_job(books, backend.book_id(request.params["job_id"]))))

    def cancel_job(books: Books, request: Request) -> Response:
        try:
            job = openai_jobs.decide_job(books, backend.book_id(request.params["job_id"]), "cancel")
        except Refusal as refusal:
            raise Refusal(backend.cancel_failure or refusal.status, refusal.message) from None
        return backend.cancelled(job)

    return Face(
        name=backend.name,
        prefix=f"/{backend.name.replace('_', '-')}/v1",
        routes=(
            Route("GET", JOBS, list_jobs, lists_jobs=True),
            Route("POST", JOBS, create_job),
            Route("GET", JOB, retrieve_job),
            Route(
                "GET", f"{JOBS}/{{ignored}}/{{job_id}}", retrieve_job
            ),  # so that /events reads the job with the id events
            Route("POST", JOB, cancel_job),
            Route("POST", f"{JOB}/{{ignored}}", cancel_job),
        ),
        authenticate=portkey_face.authenticate,
        headers=portkey_face.headers(backend.provider),
        error_body=portkey_face.with_gateway_errors(backend.error_body),
        usual_error=lambda status: Refusal(status, f"The request failed with status {status}."),
        no_route=lambda method, path: portkey_face.GatewayRefusal(404, f"Not found: {method} {path}"),
        wrong_method=lambda method, path: portkey_face.GatewayRefusal(405, f"{method} is not allowed on {path}"),
    )


BEDROCK = _face(
    Backend(
        name="portkey_bedrock",
        provider="bedrock",
        storage=S3,
        fields=(*FIELDS, "job_name"),
        required=("model", "training_file", "suffix"),
        show=bedrock,
        created=lambda job: {"id": encoded(ARN + str(job["id"]))},
        list=_bedrock_list,
        cancelled=lambda job: Response(200, b""),
        error_body=_bedrock_error_body,
        book_id=lambda name: name.removeprefix(ARN) if name.startswith(ARN) else "",
    )
)
VERTEX = _face(
    Backend(
        name="portkey_vertex",
        provider="vertex-ai",
        storage=GS,
        fields=FIELDS,
        required=("model", "training_file"),
        show=vertex,
        created=vertex,
        list=_first_page(vertex),
        cancelled=lambda job: Response(200, b""),
        error_body=_vertex_error_body,
    )
)
FIREWORKS = _face(
    Backend(
        name="portkey_fireworks",
        provider="fireworks-ai",
        storage="",
        fields=FIELDS,
        required=("model", "training_file"),
        show=fireworks,
        created=fireworks,
        list=_first_page(fireworks),
        cancelled=lambda job: json_response(fireworks(job)),
        error_body=_fireworks_error_body,
        cancel_failure=500,
    )
)
