"""documented_fields.toml against the sandbox's faces and ftsql_columns: documented fields are shown."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

import ftsql

DOCUMENTED: dict[str, Any] = tomllib.loads((Path(__file__).parent / "documented_fields.toml").read_text("utf-8"))
PROVIDERS = [name for name, table in DOCUMENTED.items() if isinstance(table, dict) and "job" in table]
KINDS: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": float | int,
    "object": dict,
    "array": list,
    "boolean": bool,
}

# What a face leaves out or shows otherwise although its documentation has it, with the reason.
EXCEPTED = {
    ("openai", "hyperparameters"): "absent or null but for supervised jobs, as in the specification's own examples",
    ("azure_v1", "hyperparameters"): "the same",
    ("portkey", "hyperparameters"): "passed through from OpenAI",
    ("openai", "status"): "paused is in the specification's example and not in its enum",
    ("azure_v1", "status"): "the same",
    ("portkey", "status"): "passed through from OpenAI",
    ("anyapi", "status"): "the same as OpenAI's",
    ("azure_v1", "metadata"): "its generated specification requires it where OpenAI's, which it follows, does not",
    ("anyapi", "hyperparameters"): "the same as OpenAI's",
}


@pytest.fixture(scope="module", params=PROVIDERS)
def shown(request: pytest.FixtureRequest) -> tuple[str, list[dict[str, Any]]]:
    """A provider and all jobs as its face shows them."""
    name = str(request.param)
    db = ftsql.connect(sandbox=True, providers=name)
    jobs = [json.loads(str(raw)) for (raw,) in db.execute("SELECT raw FROM fine_tuning_jobs")]
    db.close()
    assert len(jobs) == 250
    return name, jobs


def test_each_face_shows_the_documented_fields_as_documented(shown: tuple[str, list[dict[str, Any]]]) -> None:
    name, jobs = shown
    for field, told in DOCUMENTED[name]["job"].items():
        if (name, field) in EXCEPTED:
            continue
        kinds = told["type"] if isinstance(told["type"], list) else [told["type"]]
        for job in jobs:
            if field not in job:
                assert not told["required"], f"{field} is missing"
            elif job[field] is None:
                assert told["nullable"], f"{field} is null"
            else:
                assert isinstance(job[field], tuple(KINDS[kind] for kind in kinds)), f"{field}: {job[field]!r}"
                assert job[field] in told.get("enum", [job[field]]), f"{field}: {job[field]!r}"


def test_ftsql_columns_describes_every_documented_field() -> None:
    db = ftsql.connect()
    sql = "SELECT column_name, type, description FROM ftsql_columns WHERE table_name = 'fine_tuning_jobs'"
    columns = {name: (kind, description) for name, kind, description in db.execute(sql)}
    db.close()
    for name in PROVIDERS:
        for field in DOCUMENTED[name]["job"]:
            if field in ("organisation_id", "user_provided_suffix"):  # kept in raw; shown as suffix
                continue
            kind, description = columns[field]
            assert kind in ("TEXT", "INTEGER", "JSON")
            assert description
