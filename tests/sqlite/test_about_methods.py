"""ftsql_methods and ftsql_columns agree with the documentation of the APIs and with the plans of ftsql."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

import ftsql
from ftsql.api.methods import ENTRIES, Entry, Method
from ftsql.api.provider import load
from ftsql.read.plan import words
from ftsql.resources.definitions import JOBS
from ftsql.resources.validation import entry

# OpenAI's OpenAPI file, version 2.3.0, 2026-08-21: operationId, method, path, parameters in path and query.
OPERATIONS = {
    "listPaginatedFineTuningJobs": ("GET", "/fine_tuning/jobs", "after limit metadata"),
    "createFineTuningJob": ("POST", "/fine_tuning/jobs", ""),
    "retrieveFineTuningJob": ("GET", "/fine_tuning/jobs/{fine_tuning_job_id}", "fine_tuning_job_id"),
    "cancelFineTuningJob": ("POST", "/fine_tuning/jobs/{fine_tuning_job_id}/cancel", "fine_tuning_job_id"),
    "pauseFineTuningJob": ("POST", "/fine_tuning/jobs/{fine_tuning_job_id}/pause", "fine_tuning_job_id"),
    "resumeFineTuningJob": ("POST", "/fine_tuning/jobs/{fine_tuning_job_id}/resume", "fine_tuning_job_id"),
    "listFineTuningEvents": ("GET", "/fine_tuning/jobs/{fine_tuning_job_id}/events", "fine_tuning_job_id after limit"),
    "listFineTuningJobCheckpoints": (
        "GET", "/fine_tuning/jobs/{fine_tuning_job_id}/checkpoints", "fine_tuning_job_id after limit",
    ),
    "listFineTuningCheckpointPermissions": (
        "GET", "/fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions",
        "fine_tuned_model_checkpoint project_id after limit order",
    ),
    "createFineTuningCheckpointPermission": (
        "POST", "/fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions", "fine_tuned_model_checkpoint",
    ),
    "deleteFineTuningCheckpointPermission": (
        "DELETE", "/fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions/{permission_id}",
        "fine_tuned_model_checkpoint permission_id",
    ),
    "listFiles": ("GET", "/files", "purpose limit order after"),
    "retrieveFile": ("GET", "/files/{file_id}", "file_id"),
    "deleteFile": ("DELETE", "/files/{file_id}", "file_id"),
    "listModels": ("GET", "/models", ""),
    "retrieveModel": ("GET", "/models/{model}", "model"),
    "deleteModel": ("DELETE", "/models/{model}", "model"),
}  # fmt: skip
WITH_BODY = ("createFineTuningJob", "createFineTuningCheckpointPermission")
BY_ROUTE = {(http, path): (name, parameters.split()) for name, (http, path, parameters) in OPERATIONS.items()}
METHODS = [(entry, method) for entry in ENTRIES for method in entry.methods]
IDS = [f"{entry.name}.{method.name}" for entry, method in METHODS]


def test_every_documented_operation_is_a_method() -> None:
    assert {(method.http, method.path) for _, method in METHODS} == set(BY_ROUTE)


@pytest.mark.parametrize(("entry", "method"), METHODS, ids=IDS)
def test_a_method_has_the_parameters_of_its_operation(entry: Entry, method: Method) -> None:
    operation, parameters = BY_ROUTE[method.http, method.path]
    named = {*method.required, *method.optional}
    in_path = re.findall(r"{(\w+)}", method.path)
    assert set(parameters) <= named
    assert set(in_path) <= set(method.required)
    assert set(entry.parameters) <= {name for each in entry.methods for name in each.required}
    if operation not in WITH_BODY:
        assert named == set(parameters)
    if method.former:
        assert method.former == re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()


def test_create_has_the_columns_that_openai_takes() -> None:
    openai = load(None, {"FTSQL_CONFIG": "/dev/null"})[0]["openai"]
    (create,) = [method for entry, method in METHODS if entry.table == JOBS.table and method.name == "create"]
    fields = {name: field for name, field in openai.create_fields.items() if "." not in name}
    assert {*create.required, *create.optional} == set(fields)
    assert set(create.required) == {name for name, field in fields.items() if field.required}


def test_ftsql_methods_says_which_providers_lack_a_method(db: ftsql.Connection) -> None:
    sql = "SELECT method, sql_verb, http_method, path, required, lacking FROM ftsql_methods WHERE resource = 'jobs'"
    rows = {method: rest for method, *rest in db.execute(sql)}
    assert list(rows) == ["list", "get", "create", "cancel", "pause", "resume"]
    assert rows["create"][:4] == ["INSERT", "POST", "/fine_tuning/jobs", '["model","training_file"]']
    lacking = {method: set(json.loads(str(row[-1]))) for method, row in rows.items()}
    known = load(None, {"FTSQL_CONFIG": "/dev/null"})[0].values()
    for word, method in (("retrieve", "get"), ("pause", "pause"), ("resume", "resume"), ("cancel", "cancel")):
        assert lacking[method] == {provider.name for provider in known if word in provider.without}
    assert lacking["list"] == set()


def test_ftsql_methods_cannot_be_written(db: ftsql.Connection) -> None:
    with pytest.raises(Exception, match="may not be modified"):
        db.execute("DELETE FROM ftsql_methods")


def test_ftsql_columns_names_every_operator_that_the_plan_takes(db: ftsql.Connection) -> None:
    rows = db.execute("SELECT column_name, pushed_down FROM ftsql_columns WHERE table_name = 'fine_tuning_jobs'")
    pushed = {name: (operators or "").split(", ") for name, operators in rows}
    for column, operator in words(JOBS):
        assert operator.upper() in pushed[column]
    assert pushed["created_at"][-2:] == ["BETWEEN", "ORDER BY DESC"]
    assert pushed["fine_tuning_job_id"] == pushed["id"]
    assert pushed["seed"] == [""]


def test_the_packages_own_methods_are_what_their_types_say() -> None:
    for each in ENTRIES:
        assert entry(Entry, asdict(each), each.name) == each


def test_the_packages_own_providers_pass_the_check_that_users_entries_go_through(tmp_path: Path) -> None:
    config = tmp_path / "providers.toml"
    config.write_text('[mine]\nextends = "openai"\nbase_url = "http://127.0.0.1:1"\n')
    known, (checked, _) = load(None, {})[0], load(config, {})
    assert checked.pop("mine").page_size == known["openai"].page_size
    assert checked == known
