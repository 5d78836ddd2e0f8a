"""Telnyx' and Portkey's published schemas, and their own clients, whose responses are checked against the schemas.

``telnyx.json`` and ``portkey.json`` are the vendors' OpenAPI files as JSON Schema, in the form of ``openai.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import telnyx
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from portkey_ai import Portkey

from ftsql.sandbox import Sandbox
from tests.sandbox.schemas import openai

Deviation = Callable[[ValidationError], bool]


class Published:
    """One vendor's schemas. ``known``: the known deviations of its API from them."""

    def __init__(self, name: str, prefix: str, headers: tuple[str, ...], known: Mapping[str, Deviation]) -> None:
        self.schemas = json.loads(Path(__file__).with_name(f"{name}.json").read_text("utf-8"))
        self.prefix = prefix
        self.headers = headers
        self.known = known

    def breaches(self, schema: object, value: object) -> list[str]:
        """Return the errors of a body against a schema, without the known deviations."""
        assert isinstance(schema, dict)
        return [
            f"{breach.json_path}: {breach.message[:200]}"
            for breach in Draft202012Validator({**self.schemas, **schema}).iter_errors(value)
            if not any(known(breach) for known in self.known.values())
        ]

    def check(self, found: list[str], response: httpx.Response) -> None:
        """Add the errors of a response to ``found``."""
        response.read()
        method, path = response.request.method, response.url.path.removeprefix(self.prefix)
        found += [f"{method} {path}: no {name}" for name in self.headers if name not in response.headers]
        key = next((key for key in self.schemas["answers"] if _fits(key, method, path)), None)
        if key is None:
            return  # the vendor publishes no schema for it
        if response.is_success:
            value = response.text if key.endswith("/content") else response.json()
            breaches = self.breaches(self.schemas["answers"][key], value)
        else:
            breaches = self._error_breaches(key, response)
        found += [f"{key}: {breach}" for breach in breaches]
        if response.is_success and key in self.schemas["requests"]:
            asked = self.breaches(self.schemas["requests"][key], json.loads(response.request.content))
            found += [f"body of {key}: {breach}" for breach in asked]

    def _error_breaches(self, key: str, response: httpx.Response) -> list[str]:
        schema = self.schemas["answers"].get(f"{key} {response.status_code}")
        if schema is None and "ErrorResponse" in self.schemas["components"]["schemas"]:
            schema = {"$ref": "#/components/schemas/ErrorResponse"}
        return [] if schema is None else self.breaches(schema, response.json())


def _fits(key: str, method: str, path: str) -> bool:
    known, _, template = key.partition(" ")
    return known == method and bool(re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path))


TELNYX = Published("telnyx", "/telnyx/v2", ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"), {})
PORTKEY = Published(
    "portkey",
    "/portkey/v1",
    ("x-portkey-trace-id", "x-portkey-provider", "x-portkey-retry-attempt-count", "x-request-id"),
    {
        **openai.DEVIATIONS,  # the gateway passes OpenAI's responses on
        "an error of nulls, where OpenAI's own schema has no null either": lambda breach: (
            breach.instance is None and "error" in breach.path
        ),
        "the gateway takes OpenAI's creates, though the schema wants more of them": lambda breach: (
            breach.validator == "anyOf" and breach.json_path == "$"
        ),
        "the gateway's own errors": lambda breach: (
            breach.validator == "required" and isinstance(breach.instance, dict) and "status" in breach.instance
        ),
    },
)


@contextmanager
def on_telnyx(sandbox: Sandbox, key: str = "test") -> Iterator[telnyx.Telnyx]:
    """Yield Telnyx' client on a sandbox, and fail at the end if a response was invalid."""
    found: list[str] = []
    http = telnyx.DefaultHttpxClient(verify=False, event_hooks={"response": [partial(TELNYX.check, found)]})
    with telnyx.Telnyx(api_key=key, base_url=sandbox.base_url("telnyx"), max_retries=0, http_client=http) as client:
        yield client
    assert not found, found


@contextmanager
def on_portkey(sandbox: Sandbox, **credentials: Any) -> Iterator[Portkey]:
    """Yield Portkey's client on a sandbox, and fail at the end if a response was invalid."""
    found: list[str] = []
    given: dict[str, Any] = credentials or {"api_key": "test", "virtual_key": "openai-123"}
    with httpx.Client(verify=False, event_hooks={"response": [partial(PORTKEY.check, found)]}) as http:
        yield Portkey(base_url=sandbox.base_url("portkey"), http_client=http, **given)
    assert not found, found
