"""The pieces of a job's look that differ from provider to provider; everything here is pure.

A field that the job in the books does not have stays absent in every shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ftsql.sandbox.books.lifecycle import Job
from ftsql.sandbox.books.plans import hyperparameters


def pick(job: Job, fields: Iterable[str]) -> Job:
    """Those of the fields that the job has."""
    return {name: job[name] for name in fields if name in job}


def rename(job: Job, names: Mapping[str, str]) -> Job:
    """The job with some fields under other names."""
    return {names.get(name, name): value for name, value in job.items()}


def with_status(job: Job, statuses: Mapping[str, str]) -> Job:
    """The job with its status in the provider's words; one that they do not have stays."""
    status = job.get("status")
    return {**job, "status": statuses[status]} if isinstance(status, str) and status in statuses else job


def to_milliseconds(seconds: object) -> int | None:
    """A Unix time in milliseconds; None for what is no time."""
    return int(seconds * 1000) if isinstance(seconds, (int, float)) else None


def hyperparameter(job: Job, name: str) -> Any:
    """A hyperparameter, None where it is absent or "auto"."""
    value = _hyperparameters(job).get(name)
    return None if value == "auto" else value


def _hyperparameters(job: Job) -> dict[str, Any]:
    """The hyperparameters, wherever the job has them; empty where a job was put into the books without any."""
    method = job.get("method")
    found = hyperparameters(job if isinstance(method, dict) else {**job, "method": None})
    return found if isinstance(found, dict) else {}


def without_nulls(values: Mapping[str, Any]) -> Job:
    """The values without those that are null."""
    return {name: value for name, value in values.items() if value is not None}


def failure_message(job: Job) -> str | None:
    """Why the job failed; None when no reason is known."""
    error = job.get("error")
    return error.get("message") if isinstance(error, dict) else None
