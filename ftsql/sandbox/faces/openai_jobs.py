"""The OpenAI face's handlers for fine-tuning jobs, and the functions that they share with other faces.

The books store jobs in OpenAI's shape, so these handlers send jobs unchanged. Refusals have OpenAI's messages.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ftsql.sandbox.books.books import Books
from ftsql.sandbox.books.jobs import NotAllowed, UnknownCursor
from ftsql.sandbox.books.lifecycle import FINAL, Job
from ftsql.sandbox.books.training import checkpoints, events
from ftsql.sandbox.faces.checks import Rule, check, query_integer
from ftsql.sandbox.faces.face import Handler, Refusal, Request, Response, Route, json_response
from ftsql.sandbox.faces.openai_bodies import CREATE_JOB

JOBS = "/fine_tuning/jobs"
JOB = f"{JOBS}/{{job_id}}"
AUTO = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}
DEFAULTS: dict[str, dict[str, str]] = {
    "supervised": {},
    "dpo": {"beta": "auto"},
    "reinforcement": {"reasoning_effort": "default"},
}
MAX_LIMIT = 100


class WrongState(Refusal):
    """The refusal of a cancel, pause or resume that the job's status does not allow."""


def read_json(request: Request) -> dict[str, Any]:
    """Return the request's JSON object. Raises Refusal if the body is anything else."""
    try:
        value = json.loads(request.body)
        json.dumps(
            value, ensure_ascii=False, allow_nan=False
        ).encode()  # json.loads accepts NaN and unpaired surrogates
    except (ValueError, RecursionError):
        raise Refusal(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(value, dict):
        raise Refusal(400, "Expected the body to be a JSON object.")
    return value


def create_from_body(books: Books, body: Mapping[str, Any], rule: Rule = CREATE_JOB) -> Job:
    """Create the job that a body asks for. Raises Refusal if the body, the model or a file is not valid."""
    check(body, rule)
    model = books.models.trainable(body["model"])
    if model is None:
        raise Refusal(
            400,
            f"Model {body['model']} is not available for fine-tuning or does not exist.",
            param="model",
            code="model_not_available",
        )
    for name in ("training_file", "validation_file"):
        if body.get(name) is None:
            continue
        file = books.files.get(body[name])
        if file is None:
            raise Refusal(400, f"invalid {name}: {body[name]}", param=name)
        if file["purpose"] != "fine-tune":
            message = f"invalid {name}: {body[name]} has purpose '{file['purpose']}', expected 'fine-tune'"
            raise Refusal(400, message, param=name)
    return books.jobs.create({**_job_fields(body), "model": model})


def create_on_storage(books: Books, body: Mapping[str, Any], **shown: Any) -> Job:
    """Create a job with any model, and with files of any name.

    The files stand for valid examples in the user's own storage. ``shown`` has more fields that the job keeps.
    """
    kind = (body.get("method") or {}).get("type", "supervised")
    for name in ("training_file", "validation_file"):
        if body.get(name):
            filename = body[name].rpartition("/")[2]
            books.files.add_examples(body[name], int(time.time()), filename, 100, kind)
    model = books.models.trainable(body["model"]) or body["model"]
    return books.jobs.create({**_job_fields(body), **shown, "model": model})


def _job_fields(body: Mapping[str, Any]) -> Job:
    """Return the fields of the new job that the request determines. ``...`` stands for a field that is absent."""
    method = body.get("method") or {"type": "supervised"}
    kind = method["type"]
    inner = method.get(kind) or {}
    given = inner.get("hyperparameters") or (None if body.get("method") else body.get("hyperparameters")) or {}
    hyperparameters = {**AUTO, **DEFAULTS[kind], **given}
    return {
        "training_file": body["training_file"],
        "validation_file": body.get("validation_file"),
        "user_provided_suffix": body.get("suffix"),
        "seed": body.get("seed"),
        "metadata": body.get("metadata"),
        "integrations": body.get("integrations") or [],
        "method": {"type": kind, kind: {**inner, "hyperparameters": hyperparameters}},
        "hyperparameters": {"supervised": hyperparameters, "dpo": None, "reinforcement": ...}[kind],
    }


def job_page(
    books: Books, request: Request, limit: int | None, after: str | None, filters: Mapping[str, Any] | None = None
) -> tuple[list[str], bool]:
    """Return the jobs of one page as JSON, and whether there are more. The lies of faults apply.

    ``filters`` has more arguments for ``Jobs.page``. Raises Refusal for an unknown cursor.
    """
    wanted = {**(filters or {}), "accepted_by": request.accepted_by}
    after = None if request.lie == "repeat_page" else after
    try:
        return books.jobs.page(after, limit, oldest_first=request.lie == "oldest_first", **wanted)
    except UnknownCursor:
        if request.lie == "silent_unknown_after":
            return [], False
        if request.lie == "restart_unknown_after":
            return books.jobs.page(None, limit, **wanted)
        raise unknown_cursor("fine-tuning job", after) from None


def show_jobs(texts: Iterable[str], show: Callable[[Job], Job]) -> list[Job]:
    """Return the jobs of a page in another provider's shape."""
    return [show(json.loads(text)) for text in texts]


def find_job(books: Books, job_id: str) -> Job:
    """Return the job with that id. Raises Refusal (404) if there is none."""
    job = books.jobs.get(job_id)
    if job is None:
        raise _unknown_job(job_id)
    return job


def decide_job(books: Books, job_id: str, what: str) -> Job:
    """Cancel, pause or resume a job, and return it. Raises Refusal (404) for an unknown job, and WrongState."""
    try:
        job = books.jobs.decide(job_id, what)
    except NotAllowed as error:
        status = str(error)
        if status in FINAL:
            message = f"Job has already completed: {job_id}"
        else:
            message = f"Cannot {what} a job that is {status}: {job_id}"
        raise WrongState(400, message, param="fine_tune_id") from None
    if job is None:
        raise _unknown_job(job_id)
    return job


def _unknown_job(job_id: str) -> Refusal:
    return Refusal(404, f"Could not find fine tune: {job_id}", param="fine_tune_id", code="fine_tune_not_found")


def unknown_cursor(noun: str, after: str | None) -> Refusal:
    """Return the refusal for an unknown cursor, ``after``."""
    return Refusal(404, f"Could not find {noun} for cursor: {after}", param="after")


def list_response(things: list[dict[str, Any]], more: bool, *, ids: bool) -> Response:
    """Return a list in the form of OpenAI's API. ``ids`` adds the first and the last id."""
    ends = {"first_id": things[0]["id"], "last_id": things[-1]["id"]} if things else {"first_id": None, "last_id": None}
    return json_response({"object": "list", "data": things, **(ends if ids else {}), "has_more": more})


def create_job(books: Books, request: Request) -> Response:
    return json_response(create_from_body(books, read_json(request)))


def list_jobs(books: Books, request: Request) -> Response:
    limit = query_integer(request.query, "limit", 20, MAX_LIMIT)
    pairs = {
        name[len("metadata[") : -1]: value
        for name, value in request.query.items()
        if name.startswith("metadata[") and name.endswith("]")
    }
    literal = request.query.get("metadata")
    if literal not in (None, "null") or (pairs and literal):
        raise Refusal(400, "Invalid 'metadata': use metadata[key]=value, or metadata=null.", param="metadata")
    filters = {"metadata": pairs, "without_metadata": literal == "null"}
    return job_list_response(*job_page(books, request, limit, request.query.get("after"), filters))


def list_jobs_unfiltered(books: Books, request: Request) -> Response:
    """Return OpenAI's job list, for APIs that take only ``after`` and ``limit``."""
    return job_list_response(
        *job_page(books, request, query_integer(request.query, "limit", 20, MAX_LIMIT), request.query.get("after"))
    )


def job_list_response(texts: list[str], more: bool) -> Response:
    """Return a job list in the form of OpenAI's API, from the JSON of each job."""
    body = f'{{"object":"list","data":[{",".join(texts)}],"has_more":{"true" if more else "false"}}}'
    return Response(200, body.encode())


def retrieve_job(books: Books, request: Request) -> Response:
    return json_response(find_job(books, request.params["job_id"]))


def decision_handler(what: str) -> Handler:
    """Return the handler for cancel, pause or resume."""
    return lambda books, request: json_response(decide_job(books, request.params["job_id"], what))


def list_events(books: Books, request: Request) -> Response:
    return _list_of_job(books, request, events, 20, ids=False)


def list_checkpoints(books: Books, request: Request) -> Response:
    return _list_of_job(books, request, checkpoints, 10, ids=True)


def _list_of_job(books: Books, request: Request, things: Any, limit: int, *, ids: bool) -> Response:
    limit = query_integer(request.query, "limit", limit, MAX_LIMIT)
    lived = books.jobs.with_life(request.params["job_id"])
    if lived is None:
        raise _unknown_job(request.params["job_id"])
    job, life = lived
    shown = things(job, life, time.time())
    after = request.query.get("after")
    if after is not None:
        names = [thing["id"] for thing in shown]
        if after not in names:
            raise unknown_cursor("object", after)
        shown = shown[names.index(after) + 1 :]
    return list_response(shown[:limit], len(shown) > limit, ids=ids)


# The routes for one job, for all faces that have the same routes as OpenAI.
JOB_ROUTES = (
    Route("GET", JOB, retrieve_job),
    *(Route("POST", f"{JOB}/{what}", decision_handler(what)) for what in ("cancel", "pause", "resume")),
    Route("GET", f"{JOB}/events", list_events),
    Route("GET", f"{JOB}/checkpoints", list_checkpoints),
)
