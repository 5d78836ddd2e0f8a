"""Functions that turn a job of the books into a provider's shape. All are pure.

If the job in the books lacks a field, the field is absent in every shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ftsql.sandbox.books.lifecycle import Job
from ftsql.sandbox.books.plans import hyperparameters


def pick(job: Job, fields: Iterable[str]) -> Job:
    """Return those of ``fields`` that the job has, with their values."""
    return {name: job[name] for name in fields if name in job}


def rename(job: Job, names: Mapping[str, str]) -> Job:
    """Return the job with some fields renamed."""
    return {names.get(name, name): value for name, value in job.items()}


def with_status(job: Job, statuses: Mapping[str, str]) -> Job:
    """Return the job with its status translated. A status that is not in ``statuses`` stays."""
    status = job.get("status")
    return {**job, "status": statuses[status]} if isinstance(status, str) and status in statuses else job


def to_milliseconds(seconds: object) -> int | None:
    """Return a Unix time in milliseconds, or None if ``seconds`` is not a number."""
    return int(seconds * 1000) if isinstance(seconds, (int, float)) else None


def hyperparameter(job: Job, name: str) -> Any:
    """Return a hyperparameter, or None if it is absent or "auto"."""
    value = _hyperparameters(job).get(name)
    return None if value == "auto" else value


def _hyperparameters(job: Job) -> dict[str, Any]:
    """Return the hyperparameters of a job. A job that a test added may have none, or invalid ones."""
    method = job.get("method")
    found = hyperparameters(job if isinstance(method, dict) else {**job, "method": None})
    return found if isinstance(found, dict) else {}


def without_nulls(values: Mapping[str, Any]) -> Job:
    """Return the values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def failure_message(job: Job) -> str | None:
    """Return the message of the job's error, or None if there is none."""
    error = job.get("error")
    return error.get("message") if isinstance(error, dict) else None
