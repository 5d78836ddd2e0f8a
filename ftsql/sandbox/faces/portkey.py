"""The Portkey face with OpenAI behind it, and the gateway's own credentials, headers and errors.

The gateway passes requests on, but silently drops fields of a create that it does not know.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping

from ftsql.sandbox.books.books import Books
from ftsql.sandbox.faces import openai as openai_face
from ftsql.sandbox.faces import openai_jobs
from ftsql.sandbox.faces.face import Face, Refusal, Request, Response, Route, json_response
from ftsql.sandbox.faces.keys import WRONG_KEY, bearer_key
from ftsql.sandbox.faces.openai import OPENAI

BODY = (*("model", "suffix", "hyperparameters", "training_file", "validation_file", "integrations", "seed", "method"),)


class GatewayRefusal(Refusal):
    """A refusal by the gateway itself, before it sends the request to a provider."""


def authenticate(headers: Mapping[str, str]) -> None:
    """Raise GatewayRefusal if the headers lack the gateway's key or a provider."""
    if headers.get("x-portkey-api-key", "") in ("", WRONG_KEY):
        raise GatewayRefusal(401, "Unauthorized: a valid x-portkey-api-key header is required")
    config = headers.get("x-portkey-config", "")
    if config.lstrip().startswith("{"):
        try:
            json.loads(config)
        except ValueError:
            raise GatewayRefusal(400, "Invalid config passed. You need to pass a valid json") from None
    if not (config or headers.get("x-portkey-provider") or headers.get("x-portkey-virtual-key")):
        message = "Either x-portkey-config or x-portkey-provider header is required"
        raise GatewayRefusal(400, message)


def headers(provider: str) -> Callable[[float], dict[str, str]]:
    """Return a function that returns the headers which the gateway adds to each response."""
    return lambda _: {
        "x-portkey-last-used-option-index": "config",
        "x-portkey-trace-id": str(uuid.uuid4()),
        "x-portkey-retry-attempt-count": "0",
        "x-portkey-cache-status": "DISABLED",
        "x-portkey-provider": provider,
    }


def with_gateway_errors(form: Callable[[Refusal], object]) -> Callable[[Refusal], object]:
    """Return a function that makes error bodies: the gateway's own errors have its form, all others use ``form``."""

    def formed(refusal: Refusal) -> object:
        if isinstance(refusal, GatewayRefusal):
            return {"status": "failure", "message": refusal.message}
        return form(refusal)

    return formed


def _authenticate(headers: Mapping[str, str]) -> None:
    authenticate(headers)
    kept = headers.get("x-portkey-virtual-key") or headers.get("x-portkey-config")
    if not kept or bearer_key(headers) == WRONG_KEY:
        openai_face.authenticate(headers)


def _error_body(refusal: Refusal) -> object:
    shown = openai_face.error_body(refusal)["error"]
    return {"error": {**shown, "message": f"openai error: {refusal.message}"}, "provider": "openai"}


def create_job(books: Books, request: Request) -> Response:
    body = openai_jobs.read_json(request)
    return json_response(openai_jobs.create_from_body(books, {name: body[name] for name in BODY if name in body}))


PORTKEY = Face(
    name="portkey",
    prefix="/portkey/v1",
    routes=tuple(
        Route("POST", route.path, create_job) if (route.method, route.path) == ("POST", openai_jobs.JOBS) else route
        for route in OPENAI.routes
    ),
    authenticate=_authenticate,
    headers=lambda spent: {**openai_face.headers(spent), **headers("openai")(spent)},
    error_body=with_gateway_errors(_error_body),
    usual_error=openai_face.usual_error,
    no_route=openai_face.no_route,
    wrong_method=openai_face.wrong_method,
)
