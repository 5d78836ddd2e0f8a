"""A face: one provider's paths, shapes and errors over the books, as data.

A handler answers with something to send or raises Refusal; only the face knows how either looks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import unquote

from ftsql.sandbox.books.books import Books
from ftsql.sandbox.books.jobs import dumps


@dataclass(frozen=True, slots=True)
class Upload:
    """A file in a multipart form."""

    filename: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as a handler sees it. ``lie`` and ``accepted_by`` come from faults, for job lists only."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    params: Mapping[str, str] = field(default_factory=dict)  # what the path's {names} matched
    form: Mapping[str, str | Upload] | None = None
    lie: str | None = None
    accepted_by: float | None = None  # Unix time


@dataclass(frozen=True, slots=True)
class Response:
    """One response, body and all."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


class Refusal(Exception):
    """An error answer, before the face gives it its form."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.kind = kind
        self.headers = headers or {}


Handler = Callable[[Books, Request], Response]


@dataclass(frozen=True)
class Route:
    """A method and a path below the face's prefix, with its handler. ``lists_jobs``: lies and lag apply.

    ``{name}`` in the path matches one segment, ``{name:path}`` any number of them; the first route that fits is taken.
    """

    method: str
    path: str
    handler: Handler
    lists_jobs: bool = False

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches a path as it was sent, still percent-encoded."""
        whole = re.sub(r"\{(\w+):path\}", r"(?P<\1>.+)", self.path)
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", whole) + r"\Z")


@dataclass(frozen=True)
class Face:
    """One provider's API. ``admit`` raises Refusal for credentials that are not accepted."""

    name: str
    prefix: str
    routes: tuple[Route, ...]
    authenticate: Callable[[Mapping[str, str]], None]
    headers: Callable[[float], dict[str, str]]  # of every answer, from the milliseconds that it took
    error_body: Callable[[Refusal], object]  # the body of an error answer
    usual_error: Callable[[int], Refusal]  # the usual error of an HTTP status
    no_route: Callable[[str, str], Refusal]  # from method and path
    wrong_method: Callable[[str, str], Refusal]

    def route(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route of a path as it was sent, and its parameters decoded. Raises Refusal."""
        known = False
        for route in self.routes if path.startswith(f"{self.prefix}/") else ():
            if match := route.pattern.match(path, len(self.prefix)):
                if route.method == method:
                    return route, {name: unquote(value) for name, value in match.groupdict().items()}
                known = True
        raise (self.wrong_method if known else self.no_route)(method, path)

    def error_response(self, refusal: Refusal) -> Response:
        """A refusal in the face's form."""
        return json_response(self.error_body(refusal), refusal.status, refusal.headers)


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with a JSON body."""
    return Response(status, dumps(value).encode(), headers or {})
