"""The classes that describe a face: one provider's routes, authentication, headers and errors, as data.

A handler returns a response or raises Refusal. The face turns a refusal into the provider's error response.
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
    """One request, as a handler sees it. Faults set ``lie`` and ``accepted_by``, but only for lists of jobs."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    params: Mapping[str, str] = field(default_factory=dict)  # the parts of the path that matched {names}
    form: Mapping[str, str | Upload] | None = None
    lie: str | None = None
    accepted_by: float | None = None  # a Unix time; a list hides jobs that were accepted later


@dataclass(frozen=True, slots=True)
class Response:
    """One response with its whole body."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


class Refusal(Exception):
    """An error that a handler raises. The face turns it into a response."""

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
    """A method and a path below the face's prefix, with its handler.

    In the path, ``{name}`` matches one segment, and ``{name:path}`` matches one or more. The first matching route is
    taken. ``lists_jobs`` says whether the lies and lags of faults apply to the route.
    """

    method: str
    path: str
    handler: Handler
    lists_jobs: bool = False

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The pattern for a path as it was sent, still percent-encoded."""
        whole = re.sub(r"\{(\w+):path\}", r"(?P<\1>.+)", self.path)
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", whole) + r"\Z")


@dataclass(frozen=True)
class Face:
    """One provider's API. ``authenticate`` takes the request's headers and raises Refusal if it rejects the key."""

    name: str
    prefix: str
    routes: tuple[Route, ...]
    authenticate: Callable[[Mapping[str, str]], None]
    headers: Callable[[float], dict[str, str]]  # returns a response's headers, for the milliseconds that it took
    error_body: Callable[[Refusal], object]  # returns the body of an error response
    usual_error: Callable[[int], Refusal]  # returns the provider's usual error for an HTTP status
    no_route: Callable[[str, str], Refusal]  # returns the refusal for a method and a path; so does wrong_method
    wrong_method: Callable[[str, str], Refusal]

    def route(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """Return the route for a path as it was sent, and the decoded parameters. Raises Refusal if none matches."""
        known = False
        for route in self.routes if path.startswith(f"{self.prefix}/") else ():
            if match := route.pattern.match(path, len(self.prefix)):
                if route.method == method:
                    return route, {name: unquote(value) for name, value in match.groupdict().items()}
                known = True
        raise (self.wrong_method if known else self.no_route)(method, path)

    def error_response(self, refusal: Refusal) -> Response:
        """Return the provider's response for a refusal."""
        return json_response(self.error_body(refusal), refusal.status, refusal.headers)


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response with a JSON body."""
    return Response(status, dumps(value).encode(), headers or {})
