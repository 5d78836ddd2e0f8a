"""The LiteLLM face, with OpenAI behind it: ``custom_llm_provider`` says so, at another place for each request.

Errors from behind come wrapped, with their status kept.
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
from ftsql.sandbox.faces.face import Call, Face, Refusal, Response, Route, answer
from ftsql.sandbox.faces.fastapi import Detailed, read_body, read_query
from ftsql.sandbox.faces.keys import WRONG, bearer
from ftsql.sandbox.faces.openai_jobs import JOBS

Provider = Literal["openai", "azure"]
BODY = (*("model", "training_file", "hyperparameters", "suffix", "validation_file", "integrations", "seed"),)
NO_PROVIDER = "Invalid request, No litellm managed file id or custom_llm_provider provided."
NO_KEY = (
    "The api_key client option must be set either by passing api_key to the client or by setting the "
    "OPENAI_API_KEY environment variable"
)


class ProxyRefusal(Refusal):
    """A refusal of the proxy itself."""


class CreateBody(BaseModel):
    """What the proxy checks of a create; of all else, OpenAI gets the fields in BODY."""

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


def list_jobs(books: Books, call: Call) -> Response:
    query = read_query(call, ListQuery)
    if query.target_model_names and "," in query.target_model_names:
        message = "target_model_names on list fine-tuning jobs must be a list of one model name. Example: ['gpt-4o']"
        raise ProxyRefusal(400, message)
    if not (query.target_model_names or query.custom_llm_provider):
        raise ProxyRefusal(400, NO_PROVIDER)
    return openai_jobs.list_jobs_unfiltered(books, call)


def create_job(books: Books, call: Call) -> Response:
    body = read_body(call, CreateBody)
    if body.custom_llm_provider is None:
        raise ProxyRefusal(500, NO_PROVIDER)
    given: dict[str, Any] = body.model_dump(exclude_none=True)
    return answer(openai_jobs.create(books, {name: given[name] for name in BODY if name in given}))


def retrieve_job(books: Books, call: Call) -> Response:
    read_query(call, RetrieveQuery)
    return openai_jobs.retrieve_job(books, call)


def cancel_job(books: Books, call: Call) -> Response:
    try:
        body = json.loads(call.body)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or body.get("custom_llm_provider") not in ("openai", "azure"):
        raise ProxyRefusal(500, NO_KEY)
    return answer(openai_jobs.decide(books, call.params["job_id"], "cancel"))


def _admit(headers: Mapping[str, str]) -> None:
    if not bearer(headers):
        raise ProxyRefusal(401, "Authentication Error, No api key passed in.", kind="auth_error")
    if bearer(headers) == WRONG:
        raise ProxyRefusal(401, "Authentication Error, Invalid proxy server token passed.", kind="auth_error")


def _error(refusal: Refusal) -> object:
    if isinstance(refusal, Detailed):
        return {"detail": refusal.detail}
    message, param = refusal.message, "None"
    if not isinstance(refusal, ProxyRefusal):
        message, param = f"Error code: {refusal.status} - {openai_face.error(refusal)}", refusal.param or "None"
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
    admit=_admit,
    headers=lambda _: {"x-litellm-call-id": str(uuid.uuid4()), "x-litellm-version": "1.80.0"},
    error=_error,
    failure=openai_face.failure,
    no_route=lambda method, path: Detailed(404, "Not Found"),
    wrong_method=lambda method, path: Detailed(405, "Method Not Allowed"),
)
