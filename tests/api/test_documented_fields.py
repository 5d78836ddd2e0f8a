"""documented_fields.toml: each documented field has a column, and a create accepts exactly the documented fields.

Every case is made of that file; where ftsql differs from it on purpose, the difference stands here with its reason.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ftsql.api.account import Account
from ftsql.api.provider import load
from ftsql.data import read_text
from ftsql.errors import IntegrityError
from ftsql.resources.definitions import JOBS
from ftsql.write import create_body as checks

Field = dict[str, Any]

FILE = Path(__file__).with_name("documented_fields.toml")
DOCUMENTED: dict[str, dict[str, dict[str, Field]]] = tomllib.loads(FILE.read_text("utf-8"))
KNOWN = tomllib.loads(read_text("providers.toml"))
SERVED = [provider for provider in DOCUMENTED if provider in KNOWN]

# The table as the README and StackQL's users know it.
VISIBLE = (
    "id created_at error estimated_finish fine_tuned_model finished_at hyperparameters integrations metadata method "
    "model object organization_id result_files seed status trained_tokens training_file validation_file provider"
).split()
COLUMNS = {column.name: column for column in JOBS.columns}
FITTING = {"string": "TEXT", "integer": "INTEGER", "object": "JSON", "array": "JSON"}
COLUMN_OF = {"suffix": "suffix", "user_provided_suffix": "suffix"}
WITHOUT_COLUMN = {"organisation_id": "Azure documents it as unused; OpenAI spells it organization_id"}
# Required by the page that is named first in the file, and by none of the others.
NOT_DEMANDED = {
    ("portkey", "suffix"): "an older edition of the page, the gateway and OpenAI behind it do without",
    ("portkey", "method"): "an older edition of the page, the gateway and OpenAI behind it do without",
}
LIMITS = (
    "minimum maximum exclusive_minimum exclusive_maximum min_length max_length max_items max_pairs max_key_length "
    "max_value_length"
).split()

JOB_FIELDS = [(provider, name) for provider, documented in DOCUMENTED.items() for name in documented["job"]]
STATUSES = [
    (provider, status) for provider, documented in DOCUMENTED.items() for status in documented["job"]["status"]["enum"]
]
with_columns = pytest.mark.parametrize(
    ("provider", "name"), [(provider, name) for provider, name in JOB_FIELDS if name not in WITHOUT_COLUMN]
)
with_nullable = pytest.mark.parametrize(
    ("provider", "name"),
    [
        (provider, name)
        for provider, name in JOB_FIELDS
        if name not in WITHOUT_COLUMN
        and name != "id"  # an object without an id is not a job
        and (DOCUMENTED[provider]["job"][name]["nullable"] or not DOCUMENTED[provider]["job"][name]["required"])
    ],
)


def example(name: str, field: Field) -> Any:
    """A value that the documentation allows."""
    if name == "error":
        return {"code": "invalid_training_file", "message": "line 3 is no JSON", "param": None}
    if "enum" in field:
        return field["enum"][0]
    return {"string": f"some {name}", "integer": 1692661190, "object": {"key": "value"}, "array": ["file-abc123"]}[
        field["type"]
    ]


def smallest(provider: str) -> Field:
    """A job with every nullable field null and every optional one absent; it has an id, because every job has one."""
    fields = DOCUMENTED[provider]["job"]
    required = {
        name: None if field["nullable"] else example(name, field) for name, field in fields.items() if field["required"]
    }
    return required | {"id": "ftjob-abc123"}


def test_the_file_covers_every_provider_that_ftsql_was_made_for() -> None:
    assert list(DOCUMENTED) == ["openai", "portkey", "telnyx", "anyapi", "azure", "azure_v1"]
    assert "openai" in SERVED


def test_the_visible_columns_stand_in_the_order_of_the_design() -> None:
    assert [column.name for column in JOBS.columns if not column.hidden] == VISIBLE


def test_the_visible_columns_are_openai_s_documented_fields_and_provider() -> None:
    assert set(VISIBLE) == {*DOCUMENTED["openai"]["job"], "provider"}


@pytest.mark.parametrize("name", VISIBLE)
def test_each_visible_column_has_a_description(name: str) -> None:
    assert COLUMNS[name].description.strip()


@with_columns
def test_each_documented_field_is_a_column(provider: str, name: str) -> None:
    column = COLUMNS[COLUMN_OF.get(name, name)]
    assert column.hidden == (name in COLUMN_OF)


@with_columns
def test_each_column_s_type_fits_the_documented_one(provider: str, name: str) -> None:
    assert COLUMNS[COLUMN_OF.get(name, name)].type == FITTING[DOCUMENTED[provider]["job"][name]["type"]]


@with_columns
def test_each_documented_field_s_value_is_shown(provider: str, name: str) -> None:
    value = example(name, DOCUMENTED[provider]["job"][name])
    [row] = JOBS.rows(provider, [smallest(provider) | {name: value}])
    assert row.values[COLUMN_OF.get(name, name)] == value


@with_nullable
def test_each_field_that_is_null_or_absent_reads_as_null(provider: str, name: str) -> None:
    field = DOCUMENTED[provider]["job"][name]
    ways = [{name: None}] if field["nullable"] else []
    ways += [] if field["required"] else [{}]
    without = {other: value for other, value in smallest(provider).items() if other != name}
    for row in JOBS.rows(provider, [without | way for way in ways]):
        assert row.values.get(COLUMN_OF.get(name, name)) is None


@pytest.mark.parametrize("name", WITHOUT_COLUMN)
def test_a_documented_field_without_a_column_stays_in_raw(name: str) -> None:
    for provider, documented in DOCUMENTED.items():
        if name in documented["job"]:
            [row] = JOBS.rows(provider, [smallest(provider) | {name: "some value"}])
            assert row.raw[name] == "some value"


@pytest.mark.parametrize("provider", DOCUMENTED)
def test_a_job_with_only_nulls_is_a_row(provider: str) -> None:
    job = dict.fromkeys(DOCUMENTED[provider]["job"]) | {"id": "ftjob-abc123"}
    [row] = JOBS.rows(provider, [job])
    assert {name: value for name, value in row.values.items() if value is not None} == {"id": "ftjob-abc123"}


@pytest.mark.parametrize(("provider", "status"), STATUSES)
def test_each_documented_status_is_shown(provider: str, status: str) -> None:
    [row] = JOBS.rows(provider, [smallest(provider) | {"status": status}])
    assert row.status == status


@pytest.mark.parametrize("provider", DOCUMENTED)
def test_an_undocumented_status_is_shown(provider: str) -> None:
    assert (provider, "on_strike") not in STATUSES
    [row] = JOBS.rows(provider, [smallest(provider) | {"status": "on_strike"}])
    assert row.status == "on_strike"


def expressible(provider: str) -> dict[str, Field]:
    """The documented fields of a create that a column, or a member of one, can hold; the others go into extra_body."""
    fields = DOCUMENTED[provider]["create"].items()
    return {name: field for name, field in fields if name.partition(".")[0] in checks.WRITABLE}


def limits(provider: str, name: str) -> dict[str, float]:
    """What the documentation limits in a create: there, or because no job can show more items."""
    field = DOCUMENTED[provider]["create"][name]
    shown = DOCUMENTED[provider]["job"].get(name, {})
    found = {limit: field[limit] for limit in LIMITS if limit in field}
    return ({"max_items": shown["max_items"]} if "max_items" in shown else {}) | found


def nested(name: str, value: Any) -> Any:
    """The value of a column whose member at the dotted rest of ``name`` is ``value``; a method has the type that it is."""
    column, *parts = name.split(".")
    if not parts:
        return value
    made: Any = value
    for part in reversed(parts):
        made = {part: made}
    if column == "method":
        made = {"type": parts[0] if parts[0] != "type" else value, **made}
        if made["type"] == "reinforcement":
            made = {**made, "reinforcement": {"grader": {"type": "multi"}, **made.get("reinforcement", {})}}
    return made


def demanded(provider: str, name: str) -> bool:
    required: bool = DOCUMENTED[provider]["create"][name]["required"]
    return required and (provider, name) not in NOT_DEMANDED


CREATE_FIELDS = [(provider, name) for provider in SERVED for name in expressible(provider)]


@pytest.mark.parametrize("provider", SERVED)
def test_a_create_takes_exactly_the_documented_fields(provider: str) -> None:
    documented, openais = set(expressible(provider)), set(expressible("openai"))
    taken = set(load(None, {})[0][provider].create_fields)
    assert {name for name in taken if "." not in name} == {name for name in documented if "." not in name}
    # What a page leaves open inside of an object is as at OpenAI, to which it leads.
    assert documented <= taken <= documented | {name for name in openais if "." in name}


@pytest.mark.parametrize(("provider", "name"), CREATE_FIELDS)
def test_each_field_of_a_create_has_the_documented_limits(provider: str, name: str) -> None:
    field = load(None, {})[0][provider].create_fields[name]
    documented = limits(provider, name)
    if demanded(provider, name) and documented.get("min_length") == 1:
        del documented["min_length"]  # a required text is never taken empty
    found = {limit: getattr(field, limit, None) for limit in LIMITS}
    assert {limit: value for limit, value in found.items() if value is not None} == documented
    assert field.required == demanded(provider, name)


class Case(NamedTuple):
    provider: str
    name: str
    edge: str
    value: Any  # of the create request
    accepted: bool


def edges(provider: str, name: str) -> Iterator[Case]:
    """Each documented limit's last accepted value and the first one refused."""
    kind = DOCUMENTED[provider]["create"][name]["type"]
    step = 1e-6 if "number" in kind else 1

    def pair(edge: str, inside: Any, outside: Any) -> Iterator[Case]:
        yield Case(provider, name, edge, inside, True)
        yield Case(provider, name, f"beyond {edge}", outside, False)

    for limit, at in limits(provider, name).items():
        match limit:
            case "minimum":
                yield from pair(limit, at, at - step)
            case "maximum":
                yield from pair(limit, at, at + step)
            case "exclusive_minimum":
                yield from pair(limit, at + step, at)
            case "exclusive_maximum":
                yield from pair(limit, at - step, at)
            case "min_length":
                yield from pair(limit, "x" * int(at), "x" * int(at - 1))
            case "max_length":
                yield from pair(limit, "x" * int(at), "x" * int(at + 1))
            case "max_items":
                item = {"type": "wandb", "wandb": {"project": "p"}}
                yield from pair(limit, [item] * int(at), [item] * int(at + 1))
            case "max_pairs":
                pairs = {f"key {number}": "value" for number in range(int(at) + 1)}
                yield from pair(limit, dict(list(pairs.items())[:-1]), pairs)
            case "max_key_length":
                yield from pair(limit, {"k" * int(at): "value"}, {"k" * int(at + 1): "value"})
            case "max_value_length":
                yield from pair(limit, {"key": "v" * int(at)}, {"key": "v" * int(at + 1)})
    if isinstance(kind, list) and "string" in kind:
        yield Case(provider, name, "auto", "auto", True)
        yield Case(provider, name, "a text", "banana", False)
        yield Case(provider, name, "true", True, False)
    if isinstance(kind, list) and "integer" in kind:
        yield Case(provider, name, "a fraction", 1.5, False)
    if kind == "integer" and "." in name:
        yield Case(provider, name, "auto", "auto", False)
    for value in DOCUMENTED[provider]["create"][name].get("enum", []) if "." in name else []:
        yield Case(provider, name, value, value, True)
        yield Case(provider, name, f"not {value}", f"{value}ly", False)


EDGES = [case for provider, name in CREATE_FIELDS for case in edges(provider, name)]


def row(provider: str) -> dict[str, Any]:
    """An INSERT's values with all that the provider documents as required."""
    kinds = {"string": "some text", "object": '{"type": "supervised"}'}
    fields = expressible(provider).items()
    return {name: kinds[field["type"]] for name, field in fields if field["required"] and "." not in name}


def account(provider: str) -> Account:
    return Account(load(None, {})[0][provider], {})


@pytest.mark.parametrize("case", EDGES, ids=lambda case: f"{case.provider}-{case.name}-{case.edge}")
def test_a_create_is_refused_from_just_beyond_each_documented_limit(case: Case) -> None:
    column, value = case.name.partition(".")[0], nested(case.name, case.value)
    values = row(case.provider) | {column: value if isinstance(value, (str, int)) else json.dumps(value)}
    if case.accepted:
        assert checks.body(account(case.provider), values)[column] == value
    else:
        with pytest.raises(IntegrityError, match=f"{case.provider}.*{column}"):
            checks.body(account(case.provider), values)


@pytest.mark.parametrize(
    ("provider", "name", "value", "words"),
    [
        ("openai", "hyperparameters.learning_rate_multiplier", 0, "is a number above 0"),
        ("openai", "hyperparameters.learning_rate_multiplier", -0.5, "is a number above 0"),
        ("openai", "hyperparameters.n_epochs", 51, "is a number from 1 to 50"),
        ("openai", "method.reinforcement.hyperparameters.compute_multiplier", 1e-05, "is a number above 0.00001"),
        ("openai", "method.reinforcement.hyperparameters.compute_multiplier", 10.5, "is a number up to 10"),
        ("openai", "method.reinforcement.hyperparameters.eval_interval", 0, "is a number of 1 or more"),
        ("openai", "suffix", "", "has from 1 to 64 characters"),
        ("portkey", "seed", 0, "is a number above 0 and below 2147483647"),
        ("portkey", "seed", 2147483647, "is a number above 0 and below 2147483647"),
    ],
)
def test_a_refusal_names_the_limit_as_it_is_documented(provider: str, name: str, value: Any, words: str) -> None:
    column, made = name.partition(".")[0], nested(name, value)
    values = row(provider) | {column: made if isinstance(made, (str, int)) else json.dumps(made)}
    with pytest.raises(IntegrityError) as caught:
        checks.body(account(provider), values)
    assert str(caught.value) == f"{provider}: {name} {words}, not {value!r}"


@pytest.mark.parametrize("provider", SERVED)
def test_a_create_of_the_required_fields_is_sent_as_it_is(provider: str) -> None:
    values = row(provider)
    sent = {name: json.loads(value) if COLUMNS[name].type == "JSON" else value for name, value in values.items()}
    assert checks.body(account(provider), values) == sent


@pytest.mark.parametrize(("provider", "name"), [case for case in CREATE_FIELDS if demanded(*case)])
def test_a_create_without_a_required_field_is_refused(provider: str, name: str) -> None:
    values = row(provider)
    if "." in name:
        values["method"] = '{"type": "reinforcement", "reinforcement": {}}' if name.endswith("grader") else "{}"
    else:
        del values[name]
    with pytest.raises(IntegrityError, match=f"{provider}: {name} is missing"):
        checks.body(account(provider), values)


@pytest.mark.parametrize(("provider", "name"), NOT_DEMANDED)
def test_a_field_that_only_one_page_requires_may_be_left_out(provider: str, name: str) -> None:
    assert DOCUMENTED[provider]["create"][name]["required"]
    if provider in SERVED:
        values = row(provider)
        del values[name]
        assert name not in checks.body(account(provider), values)


@pytest.mark.parametrize(
    ("provider", "name"),
    [(provider, name) for provider in SERVED for name in checks.WRITABLE if name not in expressible(provider)],
)
def test_a_field_that_a_provider_does_not_document_is_refused(provider: str, name: str) -> None:
    given = {"TEXT": "some text", "INTEGER": 7, "JSON": "[]" if name == "integrations" else "{}"}[COLUMNS[name].type]
    with pytest.raises(IntegrityError, match=f"{provider} does not take {name}"):
        checks.body(account(provider), row(provider) | {name: given})
