"""The OpenAI face: its routes below /v1, keys, headers and errors, and the handlers of checkpoint permissions."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from ftsql.sandbox.books.books import Books
from ftsql.sandbox.faces import openai_files
from ftsql.sandbox.faces.checks import check, query_choice, query_integer
from ftsql.sandbox.faces.face import Face, Refusal, Request, Response, Route, json_response
from ftsql.sandbox.faces.keys import WRONG_KEY, bearer_key
from ftsql.sandbox.faces.openai_bodies import CREATE_PERMISSION
from ftsql.sandbox.faces.openai_jobs import (
    JOB_ROUTES,
    JOBS,
    create_job,
    list_jobs,
    list_response,
    read_json,
    unknown_cursor,
)

PERMISSIONS = "/fine_tuning/checkpoints/{checkpoint}/permissions"


def _checkpoint(books: Books, request: Request) -> str:
    """Return the name of the checkpoint or fine-tuned model in the path. Raises Refusal if no job has created it."""
    name = request.params["checkpoint"]
    books.jobs.store_finished()
    if books.models.get(name.partition(":ckpt-step-")[0]) is None:
        raise Refusal(404, f"Could not find checkpoint: {name}", param="fine_tuned_model_checkpoint")
    return name


def list_permissions(books: Books, request: Request) -> Response:
    query = request.query
    limit = query_integer(query, "limit", 10, 100)
    oldest_first = query_choice(query, "order", ("descending", "ascending")) == "ascending"
    checkpoint = _checkpoint(books, request)
    found = books.permissions.page(
        checkpoint, query.get("project_id"), query.get("after"), limit, oldest_first=oldest_first
    )
    if found is None:
        raise unknown_cursor("permission", query.get("after"))
    return list_response(*found, ids=True)


def create_permission(books: Books, request: Request) -> Response:
    body = read_json(request)
    check(body, CREATE_PERMISSION)
    return list_response(books.permissions.grant(_checkpoint(books, request), body["project_ids"]), False, ids=True)


def delete_permission(books: Books, request: Request) -> Response:
    name = request.params["permission_id"]
    if not books.permissions.revoke(request.params["checkpoint"], name):
        raise Refusal(404, f"Could not find permission: {name}", param="permission_id")
    return json_response({"object": "checkpoint.permission", "id": name, "deleted": True})


def authenticate(headers: Mapping[str, str]) -> None:
    """Raise Refusal (401) if there is no key, or the key is ``wrong``."""
    key = bearer_key(headers)
    if not key:
        message = "You didn't provide an API key. Provide it in an Authorization header: Bearer YOUR_KEY."
        raise Refusal(401, message)
    if key == WRONG_KEY:
        message = "Incorrect API key provided: *****. Any other key is accepted by the sandbox."
        raise Refusal(401, message, code="invalid_api_key")


def headers(milliseconds: float) -> dict[str, str]:
    """Return the headers that each response of OpenAI's API has."""
    return {
        "x-request-id": f"req_{uuid.uuid4().hex}",
        "openai-processing-ms": str(round(milliseconds)),
        "openai-version": "2020-10-01",
        "openai-organization": "org-sandbox",
        "x-ratelimit-limit-requests": "5000",
        "x-ratelimit-remaining-requests": "4999",
        "x-ratelimit-reset-requests": "12ms",
    }


def usual_error(status: int) -> Refusal:
    """Return OpenAI's usual error for a status."""
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


def error_body(refusal: Refusal) -> dict[str, dict[str, object]]:
    """Return an error body in the form of OpenAI's API."""
    shown: dict[str, object] = {
        "message": refusal.message,
        "type": refusal.kind,
        "param": refusal.param,
        "code": refusal.code,
    }
    return {"error": shown}


def no_route(method: str, path: str) -> Refusal:
    """Return the refusal for a path that the API does not have."""
    return Refusal(404, f"Invalid URL ({method} {path})")


def wrong_method(method: str, path: str) -> Refusal:
    """Return the refusal for a path that the API has, but not with this method."""
    hint = "(HINT: Perhaps you meant to use a different HTTP method?)"
    return Refusal(405, f"Not allowed to {method} on {path} {hint}", code="method_not_supported")


OPENAI = Face(
    name="openai",
    prefix="/v1",
    routes=(
        Route("GET", JOBS, list_jobs, lists_jobs=True),
        Route("POST", JOBS, create_job),
        *JOB_ROUTES,
        Route("GET", PERMISSIONS, list_permissions),
        Route("POST", PERMISSIONS, create_permission),
        Route("DELETE", f"{PERMISSIONS}/{{permission_id}}", delete_permission),
        *openai_files.ROUTES,
    ),
    authenticate=authenticate,
    headers=headers,
    error_body=error_body,
    usual_error=usual_error,
    no_route=no_route,
    wrong_method=wrong_method,
)
