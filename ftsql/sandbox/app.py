"""The ASGI application: it records each request, applies the faults, and lets a face answer.

A face is the API of one provider. Handlers run one at a time on the event loop. A request that waits (because of
latency or a hang) does not block other requests.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request as StarletteRequest

from ftsql.sandbox.books.books import Books
from ftsql.sandbox.control import handle_control
from ftsql.sandbox.faces.face import Face, Refusal, Request, Response, Route, Upload, json_response
from ftsql.sandbox.faults import Fault, Faults, apply_lie

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass
class RequestRecord:
    """One request as it arrived. ``status`` is the status of the response, or None until there is one.

    >>> import ftsql
    >>> from ftsql.sandbox import Sandbox
    >>> with Sandbox(jobs=3) as sandbox:
    ...     db = ftsql.connect(sandbox=sandbox)
    ...     rows = db.execute("SELECT id FROM fine_tuning_jobs WHERE id = 'ftjob-1'").fetchall()
    ...     db.close()
    >>> [(request.method, request.path, request.status) for request in sandbox.requests]
    [('GET', '/v1/fine_tuning/jobs/ftjob-1', 404)]
    """

    method: str
    path: str  # the path as sent, without the query
    query: dict[str, str]
    body: bytes
    headers: dict[str, str] = field(repr=False)  # names in lower case
    status: int | None = None


class App:
    """The application that serves all faces from the same books, which hold the sandbox's state.

    The first face also serves paths that are not below any face's prefix. ``books`` is a function that returns the
    books. ``latency`` is the delay of each response, in seconds.
    """

    def __init__(self, books: Callable[[], Books], faces: Sequence[Face], faults: Faults, latency: float) -> None:
        self.records: list[RequestRecord] = []
        self.stopping = asyncio.Event()
        self._books = books
        self._faces = sorted(faces, key=lambda face: len(face.prefix), reverse=True)
        self._fallback = faces[0]
        self._faults = faults
        self._latency = latency

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        body = await _read_body(receive)
        if body is None:
            return
        record = _record(scope, body)
        if record.path.startswith("/_sandbox/"):
            await _send(handle_control(self._books(), self._faults, self.records, record), send)
            return
        self.records.append(record)
        face = self._face(record.path)
        found = _find_route(face, record)
        lists_jobs = not isinstance(found, Refusal) and found[0].lists_jobs
        hits = self._faults.hit(record.method, record.path, lists_jobs=lists_jobs)
        await self._wait(self._latency + sum(fault.latency for fault in hits))
        if self.stopping.is_set():
            await _wait_for_disconnect(receive)
            return
        decisive = next((fault for fault in hits if fault.answers), None)
        response = await self._respond(scope, record, face, found, hits, decisive)
        if response is None:
            if decisive is not None and decisive.drop:
                scope["transport"].abort()
            await _wait_for_disconnect(receive)
            return
        record.status = response.status
        headers = face.headers((time.perf_counter() - began) * 1000)
        response = replace(response, headers={**headers, **response.headers})
        if decisive is None or decisive.truncate is None:
            await _send(response, send)
            return
        await _send(response, send, decisive.truncate)
        scope["transport"].close()
        await _wait_for_disconnect(receive)

    def _face(self, path: str) -> Face:
        """Return the face whose prefix ``path`` begins with, or the first face if there is none."""
        return next((face for face in self._faces if path.startswith(face.prefix + "/")), self._fallback)

    async def _respond(
        self,
        scope: Message,
        record: RequestRecord,
        face: Face,
        found: tuple[Route, dict[str, str]] | Refusal,
        hits: Sequence[Fault],
        decisive: Fault | None,
    ) -> Response | None:
        """Handle the request, unless a fault prevents that. Return the response to send, or None to send none."""
        response: Response | None = None
        if decisive is None or decisive.handles:
            if isinstance(found, Refusal):
                response = face.error_response(found)
            else:
                route, params = found
                form = await _read_form(scope, record)
                response = self._handle(face, route, _request(record, params, form, hits), hits)
        if decisive is not None and decisive.replaces:
            response = _replacement(face, decisive)
        return None if decisive is not None and (decisive.drop or decisive.hang) else response

    def _handle(self, face: Face, route: Route, request: Request, hits: Sequence[Fault]) -> Response:
        """Return the handler's response, changed by the lies and transforms of the faults."""
        try:
            face.authenticate(request.headers)
            with self._books().transaction() as books:
                response = route.handler(books, request)
        except Refusal as refusal:
            return face.error_response(refusal)
        return _changed(response, request, hits)

    async def _wait(self, seconds: float) -> None:
        if seconds > 0:
            try:
                await asyncio.wait_for(self.stopping.wait(), seconds)
            except TimeoutError:
                return


def _record(scope: Message, body: bytes) -> RequestRecord:
    return RequestRecord(
        method=scope["method"],
        path=scope["raw_path"].decode("ascii"),
        query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        body=body,
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
    )


def _find_route(face: Face, record: RequestRecord) -> tuple[Route, dict[str, str]] | Refusal:
    """Return the request's route and path parameters, or a refusal if there is no such route."""
    try:
        return face.route(record.method, record.path)
    except Refusal as refusal:
        return refusal


def _request(
    record: RequestRecord,
    params: Mapping[str, str],
    form: Mapping[str, str | Upload] | None,
    hits: Sequence[Fault],
) -> Request:
    lags = [fault.lag for fault in hits if fault.lag is not None]
    return Request(
        method=record.method,
        path=record.path,
        query=record.query,
        headers=record.headers,
        body=record.body,
        params=params,
        form=form,
        lie=next((fault.lie for fault in hits if fault.lie), None),
        accepted_by=time.time() - max(lags) if lags else None,
    )


def _changed(response: Response, request: Request, hits: Sequence[Fault]) -> Response:
    """Return a 2xx JSON response with the lie and the transforms applied. Any other response is returned unchanged."""
    transforms = [fault.transform for fault in hits if fault.transform is not None]
    if not 200 <= response.status < 300 or not (request.lie or transforms):
        return response
    try:
        value = json.loads(response.body)
    except ValueError:
        return response  # the content of a file
    if request.lie:
        limit = request.query.get("limit", "")
        apply_lie(request.lie, value, int(limit) if limit.isdecimal() else 20)
    for transform in transforms:
        value = transform(value)
    return replace(response, body=json_response(value).body)


def _replacement(face: Face, fault: Fault) -> Response:
    """Return the response that a fault sends instead of the real one."""
    headers = {name.lower(): value for name, value in (fault.headers or {}).items()}
    if fault.redirect is not None:
        return Response(fault.status or 307, b"", {"location": fault.redirect, **headers})
    status = 200 if fault.status is None else fault.status
    body = fault.body
    if status in (204, 304):
        response = Response(status, b"")  # HTTP allows no body here
    elif body is None:
        response = face.error_response(face.usual_error(status))
    elif isinstance(body, (dict, list)):
        response = json_response(body, status)
    else:
        response = Response(status, body.encode() if isinstance(body, str) else body)
    return replace(response, headers=headers, content_type=fault.content_type or response.content_type)


async def _read_body(receive: Receive) -> bytes | None:
    """Return the whole request body, or None if the client disconnected before sending all of it."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _read_form(scope: Message, record: RequestRecord) -> dict[str, str | Upload] | None:
    """Return the fields of a multipart body, or None if the body is not multipart or cannot be parsed."""
    if not record.headers.get("content-type", "").startswith("multipart/form-data"):
        return None

    async def replay() -> Message:
        return {"type": "http.request", "body": record.body, "more_body": False}

    try:
        async with StarletteRequest(scope, replay).form() as form:
            return {
                name: Upload(value.filename or "", await value.read()) if isinstance(value, UploadFile) else value
                for name, value in form.multi_items()
            }
    except MultiPartException:
        return None


async def _wait_for_disconnect(receive: Receive) -> None:
    """Wait until the connection ends, because uvicorn logs an error if the handler returns without a response."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(response: Response, send: Send, only: int | None = None) -> None:
    """Send a response, or its head and only the first ``only`` bytes of its body."""
    headers = {"content-type": response.content_type, "content-length": str(len(response.body)), **response.headers}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": raw})
    if only is None:
        await send({"type": "http.response.body", "body": response.body})
    else:
        await send({"type": "http.response.body", "body": response.body[:only], "more_body": True})
