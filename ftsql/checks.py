"""Whether a row may be sent to create a job, and the request body that it makes.

Everything that a provider documents is refused here, before anything is queued.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from ftsql.account import Account
from ftsql.errors import IntegrityError
from ftsql.providers import CreateField
from ftsql.resources import JOBS

# What INSERT may name; every other column is the API's to fill.
WRITABLE = (
    "model",
    "training_file",
    "validation_file",
    "suffix",
    "seed",
    "hyperparameters",
    "method",
    "metadata",
    "integrations",
)
JSON_COLUMNS = {column.name for column in JOBS.columns if column.type == "JSON"}
ARRAYS = {"integrations"}


def body(account: Account, values: Mapping[str, Any]) -> dict[str, Any]:
    """The create request's body of an INSERT's non-NULL ``values`` by column.

    Raises IntegrityError naming provider, column and limit.
    """
    provider = account.provider
    if "create" in provider.without:
        raise IntegrityError(f"{account.name}: does not create {JOBS.noun}s")
    fields = provider.create_fields
    request: dict[str, Any] = {}
    for name, value in values.items():
        if name == "extra_body":
            continue
        if name not in WRITABLE:
            known = any(column.name == name for column in JOBS.columns)
            what = "is filled by the API: leave it out" if known else "is no field of a job"
            raise IntegrityError(f"{name} {what}. A create takes {_takes(account)}")
        if name not in fields:
            raise IntegrityError(
                f"{account.name} does not take {name}: it takes {_takes(account)}, where extra_body is for "
                "whatever else its documentation has"
            )
        request[name] = _decoded(name, value) if name in JSON_COLUMNS else _plain(name, value)
    for name, value in (_decoded("extra_body", values["extra_body"]) if "extra_body" in values else {}).items():
        if name in request:
            raise IntegrityError(f"extra_body has {name}, which the row has too: give it once")
        request[name] = value
    for name, field in fields.items():
        holder, _, member = name.partition(".")
        value = request.get(holder)
        if member:
            value = value.get(member) if isinstance(value, dict) else None
        if value is None or (field.required and value == ""):
            if field.required:
                raise IntegrityError(f"{account.name}: {name} is missing: a {JOBS.noun} needs {_required(account)}")
        else:
            _check(account.name, name, value, field)
    return request


def brief(value: Any) -> str:
    """A value for a message, short and as SQL has it."""
    if value is None:
        return "NULL"
    text = repr(value)
    return text if len(text) <= 60 else text[:50] + "…" + text[-1]


def _takes(account: Account) -> str:
    names = [name for name in account.provider.create_fields if "." not in name]
    return ", ".join([*names, "provider", "extra_body"])


def _required(account: Account) -> str:
    return " and ".join(name for name, field in account.provider.create_fields.items() if field.required)


def _plain(name: str, value: Any) -> Any:
    """A column's value as the API's type: seed an integer, all else text."""
    if name == "seed":
        if isinstance(value, int):
            return value
        raise IntegrityError(f"seed takes an integer, not {brief(value)}")
    if isinstance(value, str):
        return value
    raise IntegrityError(f"{name} takes a text, not {brief(value)}")


def _decoded(name: str, value: Any) -> Any:
    """A JSON column's text as what it holds."""
    kind = list if name in ARRAYS else dict
    wanted = "a JSON array" if kind is list else "a JSON object"
    if not isinstance(value, str):
        raise IntegrityError(f"{name} takes {wanted} as text, not {brief(value)}")
    try:
        decoded = from_json(value, allow_inf_nan=False)
    except ValueError as error:
        raise IntegrityError(f"{name} is no valid JSON: {str(error)[:120]}: {brief(value)}") from None
    if not isinstance(decoded, kind):
        raise IntegrityError(f"{name} takes {wanted}, such as json_object('key', 'value'), not {brief(value)}")
    return decoded


def _check(provider: str, name: str, value: Any, field: CreateField) -> None:
    def refuse(limit: str) -> IntegrityError:
        return IntegrityError(f"{provider}: {name} {limit}, not {brief(value)}")

    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and _outside(value, field.minimum, field.maximum):
        raise refuse(f"is a number {_range(field.minimum, field.maximum)}")
    low, high = field.exclusive_minimum, field.exclusive_maximum
    if number and ((low is not None and value <= low) or (high is not None and value >= high)):
        above = f"above {low:.0f}" if low is not None else ""
        below = f"below {high:.0f}" if high is not None else ""
        raise refuse(f"is a number {' and '.join(filter(None, (above, below)))}")
    if isinstance(value, str) and _outside(len(value), field.min_length, field.max_length):
        raise refuse(f"has {_range(field.min_length, field.max_length)} characters")
    if isinstance(value, list) and field.max_items is not None and len(value) > field.max_items:
        raise refuse(f"has at most {field.max_items} items")
    if isinstance(value, dict):
        if field.max_pairs is not None and len(value) > field.max_pairs:
            raise refuse(f"has at most {field.max_pairs} pairs")
        for key, member in value.items():
            if field.max_key_length is not None and len(key) > field.max_key_length:
                raise refuse(f"has keys of at most {field.max_key_length} characters")
            if field.max_value_length is not None:
                if not isinstance(member, str):
                    raise refuse(f"takes texts as values: {key} has {brief(member)}")
                if len(member) > field.max_value_length:
                    raise refuse(f"has values of at most {field.max_value_length} characters: {key} has {len(member)}")


def _outside(value: float, low: float | None, high: float | None) -> bool:
    return (low is not None and value < low) or (high is not None and value > high)


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"up to {high:.0f}" if high is not None else f"of {low:.0f} or more"
    return f"from {low:.0f} to {high:.0f}"
