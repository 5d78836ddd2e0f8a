"""A 404 is "no such job" only in the API's own words; any other is an error about the address."""

from __future__ import annotations

from typing import Any

import pytest

import ftsql
from ftsql.sandbox import Fault, Sandbox

NO_SUCH_JOB: list[Any] = [
    {"error": {"message": "Could not find fine tune: ftjob-1", "param": "fine_tune_id", "code": "fine_tune_not_found"}},
    {"error": {"message": "openai error: Could not find fine tune: ftjob-1", "code": None}, "provider": "openai"},
    {"error": {"message": "Error code: 404 - Could not find fine tune: ftjob-1", "code": "404"}},
    {"detail": "Fine-tuning job ftjob-1 not found"},
    {"detail": {"message": "Job ftjob-1 not found"}},
    {"detail": {"error": {"message": "job not found", "code": "not_found"}}},
    [{"error": {"message": "Job ftjob-1 does not exist"}}],
    {"error": {"code": "resourceNotFound", "message": "The specified job could not be found."}},
    {"error": {"message": "No fine-tuning job with id ftjob-1", "param": "fine_tuning_job_id"}},
    {"error": "job not found"},
]
ANOTHER_ADDRESS: list[Any] = [
    "<html>404</html>",
    "",
    {"detail": "Not Found"},
    {"error": {"code": "404", "message": "Resource not found"}},
    {"error": {"message": "Invalid URL (GET /v1/fine_tuning/jobs/ftjob-1)"}},
    {"message": "The requested URL /v1/fine_tuning/jobs/ftjob-1 was not found on this server."},
    {"error": 'path "/api/v1/fine_tuning/jobs/ftjob-1" not found'},
    {"error": {"code": "not_found", "message": "The route /v1/fine_tuning/jobs/ftjob-1 could not be found"}},
    {"error": {"code": "not_found", "message": "The requested resource was not found"}},
    {"error": {"message": "Cannot GET /fine_tuning/jobs/x: not found", "code": "NOT_FOUND"}},
    {"error": {"message": "Fine-tuning is not enabled: endpoint not found"}},
]
SQL = "SELECT id FROM fine_tuning_jobs WHERE id = 'ftjob-1'"


@pytest.mark.parametrize("body", NO_SUCH_JOB, ids=lambda body: str(body)[:70])
def test_an_unknown_job_is_no_row(sandbox: Sandbox, db: ftsql.Connection, body: Any) -> None:
    sandbox.fault(Fault(status=404, body=body))
    assert db.execute(SQL).fetchall() == []


@pytest.mark.parametrize("body", ANOTHER_ADDRESS, ids=lambda body: str(body)[:70])
def test_an_unknown_address_is_an_error(sandbox: Sandbox, db: ftsql.Connection, body: Any) -> None:
    sandbox.fault(Fault(status=404, body=body))
    with pytest.raises(ftsql.APIError, match="404.*base_url"):
        db.execute(SQL).fetchall()
