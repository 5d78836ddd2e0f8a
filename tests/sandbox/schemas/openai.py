"""OpenAI's published schemas, and its own client, whose requests and responses are checked against the schemas.

``openai.json`` is OpenAI's OpenAPI file as JSON Schema. DEVIATIONS are the known deviations of the API from it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError

from ftsql.sandbox import Sandbox


def _last(breach: ValidationError) -> object:
    return breach.path[-1] if breach.path else None


SCHEMAS = json.loads((Path(__file__).with_suffix(".json")).read_text("utf-8"))
NO_ERROR: tuple[dict[str, None], ...] = ({}, {"code": None, "message": None, "param": None})

# The deviations of OpenAI's API from its schema, as the examples in the same file show, unless noted otherwise.
DEVIATIONS: dict[str, Callable[[ValidationError], bool]] = {
    "the example of pause answers with the status paused": lambda breach: (
        _last(breach) == "status" and breach.instance == "paused"
    ),
    "the example of a DPO job shows hyperparameters: null": lambda breach: (
        _last(breach) == "hyperparameters" and breach.instance is None
    ),
    "the example of a reinforcement job has no hyperparameters": lambda breach: (
        breach.validator == "required" and breach.message.startswith("'hyperparameters' is")
    ),
    "jobs without an error show {} (seen in the wild) or an error of nulls": lambda breach: (
        _last(breach) == "error" and breach.instance in NO_ERROR
    ),
}
ROUTES = [(re.compile("/v1" + re.sub(r"\{\w+\}", "[^/]+", key.partition(" ")[2])), key) for key in SCHEMAS["answers"]]
VALIDATORS = {
    key: Draft202012Validator({**SCHEMAS, **schema}, format_checker=FormatChecker())
    for key, schema in {
        **SCHEMAS["answers"],
        **{f"body of {key}": schema for key, schema in SCHEMAS["requests"].items()},
        "error": {"$ref": "#/components/schemas/ErrorResponse"},
    }.items()
}


def breaches(key: str, value: object) -> list[str]:
    """Return the errors of a body against the schema with that key, without the known deviations."""
    return [
        f"{key}: {breach.json_path}: {breach.message[:200]}"
        for breach in VALIDATORS[key].iter_errors(value)
        if not any(known(breach) for known in DEVIATIONS.values())
    ]


def check(response: Any, found: list[str]) -> None:
    """Add the errors of a response to ``found``."""
    response.read()
    path, method = response.url.path, response.request.method
    if "x-request-id" not in response.headers or "openai-processing-ms" not in response.headers:
        found.append(f"{method} {path}: headers are missing")
    if response.is_error:
        found += breaches("error", response.json())
        return
    (key,) = (key for pattern, key in ROUTES if pattern.fullmatch(path) and key.startswith(f"{method} "))
    found += breaches(key, response.text if key.endswith("/content") else response.json())
    if f"body of {key}" in VALIDATORS:
        found += breaches(f"body of {key}", json.loads(response.request.content))


@contextmanager
def checked_client(sandbox: Sandbox, key: str = "test") -> Iterator[openai.OpenAI]:
    """Yield OpenAI's client on a sandbox, and fail at the end if a request or response was invalid."""
    found: list[str] = []
    http = openai.DefaultHttpxClient(verify=False, event_hooks={"response": [lambda response: check(response, found)]})
    with openai.OpenAI(
        base_url=sandbox.base_url("openai"), api_key=key, admin_api_key=key, max_retries=0, http_client=http
    ) as client:
        yield client
    assert not found


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; fail after ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
