"""The resources beside the jobs: each field that OpenAI's schema documents is a column of a fitting type."""

from __future__ import annotations

from typing import Any

import pytest

from ftsql.resources.definitions import CHECKPOINTS, EVENTS, FILES, MODELS, PERMISSIONS
from ftsql.resources.resource import Resource
from tests.sandbox.schemas.openai import SCHEMAS

DOCUMENTED: dict[str, Resource] = {
    "FineTuningJobEvent": EVENTS,
    "FineTuningJobCheckpoint": CHECKPOINTS,
    "FineTuningCheckpointPermission": PERMISSIONS,
    "OpenAIFile": FILES,
    "Model": MODELS,
}
FIELDS = [
    (name, field, schema)
    for name in DOCUMENTED
    for field, schema in SCHEMAS["components"]["schemas"][name]["properties"].items()
]
FITTING = {"string": "TEXT", "integer": "INTEGER", "number": "INTEGER", "object": "JSON", "array": "JSON"}


@pytest.mark.parametrize(("name", "field", "schema"), FIELDS, ids=[f"{name}.{field}" for name, field, _ in FIELDS])
def test_a_documented_field_is_a_column_of_its_type(name: str, field: str, schema: dict[str, Any]) -> None:
    columns = {column.name: column for column in DOCUMENTED[name].columns}
    assert field in columns
    types = {part.get("type") for part in (schema, *schema.get("anyOf", []), *schema.get("oneOf", []))} - {None, "null"}
    assert {FITTING[kind] for kind in types} <= {columns[field].type}
    assert columns[field].description.endswith(".")
    assert not columns[field].hidden


@pytest.mark.parametrize("name", DOCUMENTED)
def test_no_column_claims_to_be_the_apis_that_it_does_not_document(name: str) -> None:
    documented = SCHEMAS["components"]["schemas"][name]["properties"]
    assert {column.name for column in DOCUMENTED[name].documented} <= set(documented)
