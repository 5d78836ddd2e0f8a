"""The OpenAI face: its paths under /v1 and its errors; the fine-tuning jobs' handlers.

The books hold jobs in OpenAI's own shape, so this face sends them as they are.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from ftsql.sandbox import openai_files
from ftsql.sandbox.books import Books
from ftsql.sandbox.checks import check, one_of, whole
from ftsql.sandbox.face import Answer, Call, Face, Refusal, Route, answer
from ftsql.sandbox.jobs import NotAllowed, UnknownCursor
from ftsql.sandbox.lifecycle import FINAL, Job
from ftsql.sandbox.openai_bodies import CREATE_JOB, CREATE_PERMISSION
from ftsql.sandbox.training import checkpoints, events

JOB = "/fine_tuning/jobs/{fine_tuning_job_id}"
AUTO = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}
DEFAULTS: dict[str, dict[str, str]] = {
    "supervised": {},
    "dpo": {"beta": "auto"},
    "reinforcement": {"reasoning_effort": "default"},
}
PERMISSIONS = "/fine_tuning/checkpoints/{checkpoint}/permissions"


def read_json(call: Call) -> dict[str, Any]:
    """The request's JSON object. Raises Refusal for anything else."""
    try:
        value = json.loads(call.body)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()  # Python reads NaN and half a surrogate pair
    except (ValueError, RecursionError):
        raise Refusal(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(value, dict):
        raise Refusal(400, "Expected the body to be a JSON object.")
    return value


def create_job(books: Books, call: Call) -> Answer:
    body = read_json(call)
    check(body, CREATE_JOB)
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
    return answer(books.jobs.create({**_requested(body), "model": model}))


def _requested(body: Mapping[str, Any]) -> Job:
    """What the new job shows of the request; ``...`` stands for a field that it does not show."""
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


def list_jobs(books: Books, call: Call) -> Answer:
    limit = whole(call.query, "limit", 20, 100)
    pairs = {
        name[len("metadata[") : -1]: value
        for name, value in call.query.items()
        if name.startswith("metadata[") and name.endswith("]")
    }
    literal = call.query.get("metadata")
    if literal not in (None, "null") or (pairs and literal):
        raise Refusal(400, "Invalid 'metadata': use metadata[key]=value, or metadata=null.", param="metadata")
    filters: dict[str, Any] = {
        "metadata": pairs,
        "without_metadata": literal == "null",
        "accepted_by": call.accepted_by,
    }
    after = None if call.lie == "repeat_page" else call.query.get("after")
    try:
        texts, more = books.jobs.page(after, limit, oldest_first=call.lie == "oldest_first", **filters)
    except UnknownCursor:
        if call.lie == "silent_unknown_after":
            texts, more = [], False
        elif call.lie == "restart_unknown_after":
            texts, more = books.jobs.page(None, limit, **filters)
        else:
            raise unknown_cursor("fine-tuning job", after) from None
    body = f'{{"object":"list","data":[{",".join(texts)}],"has_more":{"true" if more else "false"}}}'
    return Answer(200, body.encode())


def retrieve_job(books: Books, call: Call) -> Answer:
    job = books.jobs.get(call.params["fine_tuning_job_id"])
    if job is None:
        raise _unknown_job(call)
    return answer(job)


def _decide(what: str) -> Any:
    def handler(books: Books, call: Call) -> Answer:
        job_id = call.params["fine_tuning_job_id"]
        try:
            job = books.jobs.decide(job_id, what)
        except NotAllowed as error:
            status = str(error)
            if status in FINAL:
                message = f"Job has already completed: {job_id}"
            else:
                message = f"Cannot {what} a job that is {status}: {job_id}"
            raise Refusal(400, message, param="fine_tune_id") from None
        if job is None:
            raise _unknown_job(call)
        return answer(job)

    return handler


def list_events(books: Books, call: Call) -> Answer:
    return _listed_of_job(books, call, events, 20, ids=False)


def list_checkpoints(books: Books, call: Call) -> Answer:
    return _listed_of_job(books, call, checkpoints, 10, ids=True)


def _listed_of_job(books: Books, call: Call, things: Any, limit: int, *, ids: bool) -> Answer:
    limit = whole(call.query, "limit", limit, 100)
    lived = books.jobs.lived(call.params["fine_tuning_job_id"])
    if lived is None:
        raise _unknown_job(call)
    job, life = lived
    shown = things(job, life, time.time())
    after = call.query.get("after")
    if after is not None:
        names = [thing["id"] for thing in shown]
        if after not in names:
            raise unknown_cursor("object", after)
        shown = shown[names.index(after) + 1 :]
    return listed(shown[:limit], len(shown) > limit, ids=ids)


def _checkpoint(books: Books, call: Call) -> str:
    """The path's checkpoint or fine-tuned model. Raises Refusal when no job has made it."""
    name = call.params["checkpoint"]
    books.jobs.settle()
    if books.models.get(name.partition(":ckpt-step-")[0]) is None:
        raise Refusal(404, f"Could not find checkpoint: {name}", param="fine_tuned_model_checkpoint")
    return name


def list_permissions(books: Books, call: Call) -> Answer:
    query = call.query
    limit = whole(query, "limit", 10, 100)
    oldest_first = one_of(query, "order", ("descending", "ascending")) == "ascending"
    checkpoint = _checkpoint(books, call)
    found = books.permissions.page(
        checkpoint, query.get("project_id"), query.get("after"), limit, oldest_first=oldest_first
    )
    if found is None:
        raise unknown_cursor("permission", query.get("after"))
    return listed(*found, ids=True)


def create_permission(books: Books, call: Call) -> Answer:
    body = read_json(call)
    check(body, CREATE_PERMISSION)
    return listed(books.permissions.grant(_checkpoint(books, call), body["project_ids"]), False, ids=True)


def delete_permission(books: Books, call: Call) -> Answer:
    name = call.params["permission_id"]
    if not books.permissions.revoke(call.params["checkpoint"], name):
        raise Refusal(404, f"Could not find permission: {name}", param="permission_id")
    return answer({"object": "checkpoint.permission", "id": name, "deleted": True})


def listed(things: list[dict[str, Any]], more: bool, *, ids: bool) -> Answer:
    """A list in OpenAI's form; ``ids`` adds the first and the last."""
    ends = {"first_id": things[0]["id"], "last_id": things[-1]["id"]} if things else {"first_id": None, "last_id": None}
    return answer({"object": "list", "data": things, **(ends if ids else {}), "has_more": more})


def unknown_cursor(noun: str, after: str | None) -> Refusal:
    return Refusal(404, f"Could not find {noun} for cursor: {after}", param="after")


def _unknown_job(call: Call) -> Refusal:
    job_id = call.params["fine_tuning_job_id"]
    return Refusal(404, f"Could not find fine tune: {job_id}", param="fine_tune_id", code="fine_tune_not_found")


def admit(headers: Mapping[str, str]) -> None:
    """Lets any key in but ``wrong``. Raises Refusal (401)."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        message = "You didn't provide an API key. Provide it in an Authorization header: Bearer YOUR_KEY."
        raise Refusal(401, message)
    if key.strip() == "wrong":
        message = "Incorrect API key provided: *****. Any other key is accepted by the sandbox."
        raise Refusal(401, message, code="invalid_api_key")


def _headers(milliseconds: float) -> dict[str, str]:
    return {
        "x-request-id": f"req_{uuid.uuid4().hex}",
        "openai-processing-ms": str(round(milliseconds)),
        "openai-version": "2020-10-01",
        "openai-organization": "org-sandbox",
        "x-ratelimit-limit-requests": "5000",
        "x-ratelimit-remaining-requests": "4999",
        "x-ratelimit-reset-requests": "12ms",
    }


def _failure(status: int) -> Refusal:
    known = {
        401: Refusal(401, "Incorrect API key provided: *****.", code="invalid_api_key"),
        429: Refusal(429, "Rate limit reached for requests.", code="rate_limit_exceeded", kind="requests"),
        503: Refusal(503, "The engine is currently overloaded, please try again later.", kind="server_error"),
    }
    if status in known:
        return known[status]
    if status >= 500:
        message = "The server had an error while processing your request. Sorry about that!"
        return Refusal(status, message, kind="server_error")
    return Refusal(status, f"The request was refused with status {status}.")


def _error(refusal: Refusal) -> object:
    error = {"message": refusal.message, "type": refusal.kind, "param": refusal.param, "code": refusal.code}
    return {"error": error}


def _wrong_method(method: str, path: str) -> Refusal:
    hint = "(HINT: Perhaps you meant to use a different HTTP method?)"
    return Refusal(405, f"Not allowed to {method} on {path} {hint}", code="method_not_supported")


OPENAI = Face(
    name="openai",
    prefix="/v1",
    routes=(
        Route("GET", "/fine_tuning/jobs", list_jobs, lists_jobs=True),
        Route("POST", "/fine_tuning/jobs", create_job),
        Route("GET", JOB, retrieve_job),
        *(Route("POST", f"{JOB}/{what}", _decide(what)) for what in ("cancel", "pause", "resume")),
        Route("GET", f"{JOB}/events", list_events),
        Route("GET", f"{JOB}/checkpoints", list_checkpoints),
        Route("GET", PERMISSIONS, list_permissions),
        Route("POST", PERMISSIONS, create_permission),
        Route("DELETE", f"{PERMISSIONS}/{{permission_id}}", delete_permission),
        *openai_files.ROUTES,
    ),
    admit=admit,
    headers=_headers,
    error=_error,
    failure=_failure,
    no_route=lambda method, path: Refusal(404, f"Invalid URL ({method} {path})"),
    wrong_method=_wrong_method,
)
