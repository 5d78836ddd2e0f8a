"""Whether a row may be sent to create a job, and the request body that it makes.

Everything that a provider documents is refused here, before anything is queued.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from pydantic_core import from_json

from ftsql.api.account import Account
from ftsql.api.provider import CreateField
from ftsql.errors import IntegrityError
from ftsql.resources.definitions import FTSQL_KEY, JOBS
from ftsql.resources.resource import Row

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
COMPARED = ("method", "hyperparameters", "metadata", "validation_file", "seed", "suffix")  # what a server may drop
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
        holder, _, member = name.rpartition(".")
        within = _member(request, holder)
        value = within.get(member) if isinstance(within, dict) else None
        if value is not None and not (field.required and value == ""):
            _check(account.name, name, value, field)
        elif field.required and isinstance(within, dict):
            needs = f"{holder} needs {member}" if holder else f"a {JOBS.noun} needs {_required(account)}"
            raise IntegrityError(f"{account.name}: {name} is missing: {needs}")
    return request


def _member(value: Any, path: str) -> Any:
    """What stands at a dotted path of an object."""
    for name in path.split(".") if path else ():
        value = value.get(name) if isinstance(value, dict) else None
    return value


def unlike(account: Account, request: Mapping[str, Any], row: Row) -> list[str]:
    """What of ``request`` the job that a create was answered with does not show, or shows otherwise, in words.

    An answer that is not a whole job says nothing.
    """
    if row.status is None:
        return []
    shown = {**row.values, **{name: row.nested(name) for name in JSON_COLUMNS if name in row.values}}
    found = []
    for name in COMPARED:
        field = account.provider.create_fields.get(name)
        sent = request.get(name)
        if name == "metadata" and isinstance(sent, dict):
            sent = {key: value for key, value in sent.items() if key != FTSQL_KEY}
        if field is None or not field.shown or sent in (None, {}, "") or _is_shown(name, sent, shown):
            continue
        found.append(f"{name} was sent and the answer does not show it: the server may have dropped it")
    for name, same in (("model", _same_model), ("training_file", _same_file), ("method", _same_method)):
        sent, answered = request.get(name), shown.get(name)
        if sent is not None and answered not in (None, "", {}) and not same(sent, answered):
            found.append(f"{name} was sent as {brief(sent)}, and the answer says {brief(answered)}")
    return found


def _is_shown(name: str, sent: Any, shown: Mapping[str, Any]) -> bool:
    if name == "hyperparameters":  # which a job of today shows inside its method
        method = shown.get("method")
        return bool(shown.get(name)) or (isinstance(method, dict) and any(isinstance(m, dict) for m in method.values()))
    if name == "metadata":
        answered = shown.get(name)
        return isinstance(answered, dict) and isinstance(sent, dict) and sent.items() <= answered.items()
    return shown.get(name) not in (None, "", {})


def _same_model(sent: Any, answered: Any) -> bool:
    """Whether an answer's model is the one that was sent, dated or below a path: an alias is none that we can tell."""
    sent, answered = (str(each).rpartition("/")[2] for each in (sent, answered))
    return bool(answered.startswith(sent))


def _same_file(sent: Any, answered: Any) -> bool:
    sent, answered = unquote(str(sent)), unquote(str(answered))
    return bool(sent == answered or answered.endswith(f"/{sent}"))


def _same_method(sent: Any, answered: Any) -> bool:
    kinds = [each.get("type") if isinstance(each, dict) else each for each in (sent, answered)]
    return None in kinds or kinds[0] == kinds[1]


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
    fields = account.provider.create_fields.items()
    return " and ".join(name for name, field in fields if field.required and "." not in name)


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
    if field.auto and value == "auto":
        return
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    right = {"integer": number and whole, "number": number, "text": isinstance(value, str), None: True}
    if not right[field.kind]:
        article = "an" if field.kind == "integer" else "a"
        raise refuse(f"""is {article} {field.kind}{' or "auto"' if field.auto else ""}""")
    if field.values and value not in field.values:
        raise refuse(f"is one of {', '.join(map(repr, field.values))}")
    if number and _outside(value, field.minimum, field.maximum):
        raise refuse(f"is a number {_range(field.minimum, field.maximum)}")
    low, high = field.exclusive_minimum, field.exclusive_maximum
    if number and ((low is not None and value <= low) or (high is not None and value >= high)):
        above = f"above {_written(low)}" if low is not None else ""
        below = f"below {_written(high)}" if high is not None else ""
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
        return f"up to {_written(high)}" if high is not None else f"of {_written(low)} or more"
    return f"from {_written(low)} to {_written(high)}"


def _written(limit: float | None) -> str:
    return f"{limit:.12f}".rstrip("0").rstrip(".")
