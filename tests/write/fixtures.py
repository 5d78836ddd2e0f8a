"""Shared by the tests of writes: statements, and the requests and objects in the sandbox."""

from __future__ import annotations

import json
from typing import Any

from ftsql.sandbox import Sandbox

CREATE = r"/fine_tuning/jobs$"
INSERT = "INSERT INTO fine_tuning_jobs (model, training_file) VALUES "
ONE = INSERT + "('gpt-4o-mini', 'file-a')"


def posts(sandbox: Sandbox) -> list[tuple[str, Any]]:
    prefix = "/v1/fine_tuning/jobs"
    return [
        (request.path.removeprefix(prefix), json.loads(request.body) if request.body else None)
        for request in sandbox.requests
        if request.method == "POST"
    ]


def alive(sandbox: Sandbox) -> list[str]:
    return sorted(job["training_file"] for job in sandbox.jobs() if job["status"] != "cancelled")


def failing(*_: Any) -> str:
    raise ZeroDivisionError("a function failed")
