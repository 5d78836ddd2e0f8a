"""Requests to the jobs of any face, with the headers, query and body fields that the face requires."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import httpx

from ftsql.sandbox import Sandbox
from tests.sandbox.schemas import face_cases as cases


def public(face: str, job_id: str) -> str:
    """Return the id that a face has for a job of the books."""
    return cases.ARN + job_id if face == "portkey_bedrock" else job_id


class Ask:
    """Sends requests to a sandbox; use it in ``with``."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._http = httpx.Client(verify=False, timeout=10)

    def __enter__(self) -> Ask:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def __call__(
        self,
        face: str,
        method: str = "GET",
        below: str = "",
        *,
        json: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Return the response to one request. ``below``: the path below the jobs; ``...`` in ``json`` leaves a field out."""
        usual, query, fields = cases.ACCESS[face]
        url = httpx.URL(self._sandbox.base_url(face) + cases.JOBS[face] + below).copy_merge_params(query)
        body = {name: value for name, value in {**fields, **(json or {})}.items() if value is not ...}
        headers = usual if headers is None else headers
        return self._http.request(method, url, headers=headers, json=body if method == "POST" else None)
