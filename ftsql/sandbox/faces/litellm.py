"""The LiteLLM face: a proxy with OpenAI behind it.

Requests select the provider with ``custom_llm_provider``, in the query or in the body. The proxy wraps OpenAI's errors
and keeps their statuses.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ftsql.sandbox.books.books import Books
from ftsql.sandbox.faces import openai as openai_face
from ftsql.sandbox.faces import openai_jobs
from ftsql.sandbox.faces.face import Face, Refusal, Request, Response, Route, json_response
from ftsql.sandbox.faces.fastapi import DetailRefusal, read_body, read_query
from ftsql.sandbox.faces.keys import WRONG_KEY, bearer_key
from ftsql.sandbox.faces.openai_jobs import JOBS

Provider = Literal["openai", "azure"]
BODY = (*("model", "training_file", "hyperparameters", "suffix", "validation_file", "integrations", "seed"),)
NO_PROVIDER = "Invalid request, No litellm managed file id or custom_llm_provider provided."
NO_KEY = (
    "The api_key client option must be set either by passing api_key to the client or by setting the "
    "OPENAI_API_KEY environment variable"
)


class ProxyRefusal(Refusal):
    """A refusal by the proxy itself."""


class CreateBody(BaseModel):
    """The fields of a create that the proxy checks. OpenAI receives the fields in BODY."""

    model_config = ConfigDict(extra="allow")
    model: str
    training_file: str
    custom_llm_provider: Literal["openai", "azure", "vertex_ai"] | None = None


class ListQuery(BaseModel):
    """The query of a list."""

    custom_llm_provider: Provider | None = None
    target_model_names: str | None = None
    after: str | None = None
    limit: int | None = None


class RetrieveQuery(BaseModel):
    """The query of a retrieve."""

    custom_llm_provider: Provider


def list_jobs(books: Books, request: Request) -> Response:
    query = read_query(request, ListQuery)
    if query.target_model_names and "," in query.target_model_names:
        message = "target_model_names on list fine-tuning jobs must be a list of one model name. Example: ['gpt-4o']"
        raise ProxyRefusal(400, message)
    if not (query.target_model_names or query.custom_llm_provider):
        raise ProxyRefusal(400, NO_PROVIDER)
    return openai_jobs.list_jobs_unfiltered(books, request)


def create_job(books: Books, request: Request) -> Response:
    body = read_body(request, CreateBody)
    if body.custom_llm_provider is None:
        raise ProxyRefusal(500, NO_PROVIDER)
    given: dict[str, Any] = body.model_dump(exclude_none=True)
    return json_response(openai_jobs.create_from_body(books, {name: given[name] for name in BODY if name in given}))


def retrieve_job(books: Books, request: Request) -> Response:
    read_query(request, RetrieveQuery)
    return openai_jobs.retrieve_job(books, request)


def cancel_job(books: Books, request: Request) -> Response:
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or body.get("custom_llm_provider") not in ("openai", "azure"):
        raise ProxyRefusal(500, NO_KEY)
    return json_response(openai_jobs.decide_job(books, request.params["job_id"], "cancel"))


def _authenticate(headers: Mapping[str, str]) -> None:
    if not bearer_key(headers):
        raise ProxyRefusal(401, "Authentication Error, No api key passed in.", kind="auth_error")
    if bearer_key(headers) == WRONG_KEY:
        raise ProxyRefusal(401, "Authentication Error, Invalid proxy server token passed.", kind="auth_error")


def _error_body(refusal: Refusal) -> object:
    if isinstance(refusal, DetailRefusal):
        return {"detail": refusal.detail}
    message, param = refusal.message, "None"
    if not isinstance(refusal, ProxyRefusal):
        message, param = f"Error code: {refusal.status} - {openai_face.error_body(refusal)}", refusal.param or "None"
    kind = "auth_error" if refusal.kind == "auth_error" else "internal_server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": str(refusal.status)}}


LITELLM = Face(
    name="litellm",
    prefix="/litellm/v1",
    routes=(
        Route("GET", JOBS, list_jobs, lists_jobs=True),
        Route("POST", JOBS, create_job),
        Route("POST", f"{JOBS}/{{job_id:path}}/cancel", cancel_job),
        Route("GET", f"{JOBS}/{{job_id:path}}", retrieve_job),
    ),
    authenticate=_authenticate,
    headers=lambda _: {"x-litellm-call-id": str(uuid.uuid4()), "x-litellm-version": "1.80.0"},
    error_body=_error_body,
    usual_error=openai_face.usual_error,
    no_route=lambda method, path: DetailRefusal(404, "Not Found"),
    wrong_method=lambda method, path: DetailRefusal(405, "Method Not Allowed"),
)
