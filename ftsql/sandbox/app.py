"""The ASGI application: a request goes through the record, the faults and a face to its answer.

Handlers run one at a time on the event loop; what waits (latency, a hang) waits beside them.
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
    """One request as it arrived. ``status`` is None until it is answered, and stays so if it never is."""

    method: str
    path: str  # as it was sent, without the query
    query: dict[str, str]
    body: bytes
    headers: dict[str, str] = field(repr=False)  # names in lower case
    status: int | None = None


class App:
    """Serves the faces over one set of books; the first also answers what is below no face's prefix.

    ``latency``: seconds before every answer.
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
        body = await _body(receive)
        if body is None:
            return
        record = RequestRecord(
            method=scope["method"],
            path=scope["raw_path"].decode("ascii"),
            query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
            body=body,
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        )
        if record.path.startswith("/_sandbox/"):
            await _send(handle_control(self._books(), self._faults, self.records, record), send)
            return
        self.records.append(record)
        face = next((face for face in self._faces if record.path.startswith(face.prefix + "/")), self._fallback)
        try:
            route, params = face.route(record.method, record.path)
        except Refusal as refusal:
            route, params, refused = None, {}, refusal
        hits = self._faults.hit(record.method, record.path, lists_jobs=route is not None and route.lists_jobs)
        await self._wait(self._latency + sum(fault.latency for fault in hits))
        if self.stopping.is_set():
            await _disconnect(receive)
            return
        decisive = next((fault for fault in hits if fault.answers), None)
        sent: Response | None = None
        if decisive is None or decisive.handles:
            if route is None:
                sent = face.error_response(refused)
            else:
                form = await _form(scope, record)
                sent = self._handled(face, route, _request(record, params, form, hits), hits)
        if decisive is not None and decisive.replaces:
            sent = _replacement(face, decisive)
        if sent is None or (decisive is not None and (decisive.drop or decisive.hang)):
            await self._unanswered(scope, receive, drop=decisive is not None and decisive.drop)
            return
        record.status = sent.status
        headers = face.headers((time.perf_counter() - began) * 1000)
        sent = replace(sent, headers={**headers, **sent.headers})
        if decisive is not None and decisive.truncate is not None:
            await _send(sent, send, decisive.truncate)
            scope["transport"].close()
            await _disconnect(receive)
        else:
            await _send(sent, send)

    def _handled(self, face: Face, route: Route, request: Request, hits: Sequence[Fault]) -> Response:
        """The handler's answer, with the lies of the faults."""
        try:
            face.authenticate(request.headers)
            with self._books().transaction() as books:
                handled = route.handler(books, request)
        except Refusal as refusal:
            return face.error_response(refusal)
        transforms = [fault.transform for fault in hits if fault.transform is not None]
        if not 200 <= handled.status < 300 or not (request.lie or transforms):
            return handled
        try:
            value = json.loads(handled.body)
        except ValueError:
            return handled  # a file's content
        if request.lie:
            limit = request.query.get("limit", "")
            apply_lie(request.lie, value, int(limit) if limit.isdecimal() else 20)
        for transform in transforms:
            value = transform(value)
        return replace(handled, body=json_response(value).body)

    async def _wait(self, seconds: float) -> None:
        if seconds > 0:
            try:
                await asyncio.wait_for(self.stopping.wait(), seconds)
            except TimeoutError:
                return

    async def _unanswered(self, scope: Message, receive: Receive, *, drop: bool) -> None:
        if drop:
            scope["transport"].abort()
        await _disconnect(receive)


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


def _replacement(face: Face, fault: Fault) -> Response:
    """What a fault sends in the place of the real answer."""
    headers = {name.lower(): value for name, value in (fault.headers or {}).items()}
    if fault.redirect is not None:
        return Response(fault.status or 307, b"", {"location": fault.redirect, **headers})
    status = 200 if fault.status is None else fault.status
    body = fault.body
    if status in (204, 304):
        sent = Response(status, b"")  # HTTP allows no body here
    elif body is None:
        sent = face.error_response(face.usual_error(status))
    elif isinstance(body, (dict, list)):
        sent = json_response(body, status)
    else:
        sent = Response(status, body.encode() if isinstance(body, str) else body)
    return replace(sent, headers=headers, content_type=fault.content_type or sent.content_type)


async def _body(receive: Receive) -> bytes | None:
    """The whole request body; None when the client left before its end."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _form(scope: Message, record: RequestRecord) -> dict[str, str | Upload] | None:
    """The fields of a multipart body; None where there is none that can be read."""
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


async def _disconnect(receive: Receive) -> None:
    """Waits for the connection's end: uvicorn complains about a request that ends earlier unanswered."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(sent: Response, send: Send, only: int | None = None) -> None:
    """Sends an answer, or its head and so many bytes of its body."""
    headers = {"content-type": sent.content_type, "content-length": str(len(sent.body)), **sent.headers}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": sent.status, "headers": raw})
    if only is None:
        await send({"type": "http.response.body", "body": sent.body})
    else:
        await send({"type": "http.response.body", "body": sent.body[:only], "more_body": True})
