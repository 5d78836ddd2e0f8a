"""The sandbox's own endpoints under /_sandbox, with which other processes arm faults and read jobs and requests.

Requests to these endpoints need no key and are not recorded, and no fault hits them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

from ftsql.sandbox.books.books import Books
from ftsql.sandbox.faces.face import Response, json_response
from ftsql.sandbox.faults import Faults, fault_from_json


class Recorded(Protocol):
    """The fields of a recorded request that this module reads."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    headers: dict[str, str]
    status: int | None


def handle_control(books: Books, faults: Faults, records: Sequence[Recorded], request: Recorded) -> Response:
    """Return the response to a request below /_sandbox."""
    match request.method, request.path:
        case "POST", "/_sandbox/faults":
            return _arm_fault(faults, request.body)
        case "DELETE", "/_sandbox/faults":
            faults.clear()
            return json_response({"armed": 0})
        case "GET", "/_sandbox/jobs":
            with books.transaction():
                texts, _ = books.jobs.page()
            return json_response([json.loads(text) for text in texts])
        case "GET", "/_sandbox/requests":
            return json_response([_record_as_json(record) for record in list(records)])
    return json_response({"error": f"the sandbox has no {request.method} {request.path}"}, 404)


def _arm_fault(faults: Faults, body: bytes) -> Response:
    try:
        value = json.loads(body)
        if not isinstance(value, dict):
            raise ValueError("expected a JSON object with the fields of a fault")
        faults.arm(fault_from_json(value))
    except (ValueError, TypeError) as error:
        return json_response({"error": str(error)}, 400)
    return json_response(value)


def _record_as_json(record: Recorded) -> dict[str, Any]:
    secret = {"authorization", "api-key", "x-api-key", "x-portkey-api-key", "x-portkey-virtual-key", "x-portkey-config"}
    return {
        "method": record.method,
        "path": record.path,
        "query": record.query,
        "body": record.body.decode("utf-8", "replace"),
        "status": record.status,
        "headers": {name: "***" if name in secret else value for name, value in record.headers.items()},
    }
