"""The request body of a create, made from an INSERT's row and checked against the provider's documented limits.

A row that breaks one of these limits is refused here, before anything is queued.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from pydantic_core import from_json

from ftsql.api.account import Account
from ftsql.api.provider import CreateField
from ftsql.errors import IntegrityError
from ftsql.resources.definitions import FTSQL_KEY, JOBS
from ftsql.resources.resource import Row

# The columns that INSERT may name; the API fills every other column.
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
# The fields that ``differences`` looks for in the response, because a server may drop them.
COMPARED = (
    "method",
    "hyperparameters",
    "metadata",
    "validation_file",
    "seed",
    "suffix",
)
JSON_COLUMNS = {column.name for column in JOBS.columns if column.type == "JSON"}
ARRAYS = {"integrations"}


def body(account: Account, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of the create request for an INSERT's non-NULL ``values`` by column.

    Raises IntegrityError, which names the provider, the column and the limit.
    """
    if "create" in account.provider.without:
        raise IntegrityError(f"{account.name}: does not create {JOBS.noun}s")
    columns = {name: value for name, value in values.items() if name != "extra_body"}
    request = {name: _field_value(account, name, value) for name, value in columns.items()}
    extra = _parsed_json("extra_body", values["extra_body"]) if "extra_body" in values else {}
    for name, value in extra.items():
        if name in request:
            raise IntegrityError(f"extra_body has {name}, which the row has too: set it once")
        request[name] = value
    for name, field in account.provider.create_fields.items():
        _check_field(account, request, name, field)
    return request


def _field_value(account: Account, name: str, value: Any) -> Any:
    """Return a column's value in the API's form. Raises IntegrityError if a create does not take that column."""
    if name not in WRITABLE:
        known = any(column.name == name for column in JOBS.columns)
        reason = "is filled by the API: leave it out" if known else "is not a field of a job"
        raise IntegrityError(f"{name} {reason}. A create takes {_accepted_fields(account)}")
    if name not in account.provider.create_fields:
        raise IntegrityError(
            f"{account.name} does not take {name}: it takes {_accepted_fields(account)}. extra_body is for "
            "any other field in its documentation"
        )
    return _parsed_json(name, value) if name in JSON_COLUMNS else _string_or_seed(name, value)


def _check_field(account: Account, request: Mapping[str, Any], name: str, field: CreateField) -> None:
    """Raise IntegrityError if a field breaks a limit, or is required and missing."""
    holder, _, member = name.rpartition(".")
    within = _member(request, holder)
    value = within.get(member) if isinstance(within, dict) else None
    if value is not None and not (field.required and value == ""):
        _check_limits(account.name, name, value, field)
    elif field.required and isinstance(within, dict):
        needs = f"{holder} needs {member}" if holder else f"a {JOBS.noun} needs {_required_fields(account)}"
        raise IntegrityError(f"{account.name}: {name} is missing: {needs}")


def _member(value: Any, path: str) -> Any:
    """Return the value at a dotted path of an object, or None if the object does not have it."""
    for name in path.split(".") if path else ():
        value = value.get(name) if isinstance(value, dict) else None
    return value


def differences(account: Account, request: Mapping[str, Any], row: Row) -> list[str]:
    """Return a sentence for each field of ``request`` that the created job lacks or shows with another value.

    If ``row`` has no status, the response was not a whole job, so the result is empty.
    """
    if row.status is None:
        return []
    row.decode()
    shown = {**row.values, **{name: row.nested(name) for name in JSON_COLUMNS if name in row.values}}
    return [*_dropped(account, request, shown), *_changed(request, shown)]


def _dropped(account: Account, request: Mapping[str, Any], shown: Mapping[str, Any]) -> Iterator[str]:
    for name in COMPARED:
        field = account.provider.create_fields.get(name)
        sent = request.get(name)
        if name == "metadata" and isinstance(sent, dict):
            sent = {key: value for key, value in sent.items() if key != FTSQL_KEY}
        if field is None or not field.shown or sent in (None, {}, "") or _is_shown(name, sent, shown):
            continue
        yield f"{name} was sent and the response does not show it: the server may have dropped it"


def _changed(request: Mapping[str, Any], shown: Mapping[str, Any]) -> Iterator[str]:
    for name, same in (("model", _same_model), ("training_file", _same_file), ("method", _same_method)):
        sent, answered = request.get(name), shown.get(name)
        if sent is not None and answered not in (None, "", {}) and not same(sent, answered):
            yield f"{name} was sent as {brief(sent)}, and the response says {brief(answered)}"


def _is_shown(name: str, sent: Any, shown: Mapping[str, Any]) -> bool:
    if name == "hyperparameters":  # the API now shows hyperparameters inside the method
        method = shown.get("method")
        return bool(shown.get(name)) or (isinstance(method, dict) and any(isinstance(m, dict) for m in method.values()))
    if name == "metadata":
        answered = shown.get(name)
        return isinstance(answered, dict) and isinstance(sent, dict) and sent.items() <= answered.items()
    return shown.get(name) not in (None, "", {})


def _same_model(sent: Any, answered: Any) -> bool:
    """Whether the job's model is the one that was sent, maybe with a date or a path. Aliases are not recognized."""
    sent, answered = (str(each).rpartition("/")[2] for each in (sent, answered))
    return bool(answered.startswith(sent))


def _same_file(sent: Any, answered: Any) -> bool:
    sent, answered = unquote(str(sent)), unquote(str(answered))
    return bool(sent == answered or answered.endswith(f"/{sent}"))


def _same_method(sent: Any, answered: Any) -> bool:
    kinds = [each.get("type") if isinstance(each, dict) else each for each in (sent, answered)]
    return None in kinds or kinds[0] == kinds[1]


def brief(value: Any) -> str:
    """Return a short form of a value for a message, with NULL for None.

    >>> brief(None)
    'NULL'
    >>> brief("x" * 70)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…'"
    """
    if value is None:
        return "NULL"
    text = repr(value)
    return text if len(text) <= 60 else text[:50] + "…" + text[-1]


def _accepted_fields(account: Account) -> str:
    names = [name for name in account.provider.create_fields if "." not in name]
    return ", ".join([*names, "provider", "extra_body"])


def _required_fields(account: Account) -> str:
    fields = account.provider.create_fields.items()
    return " and ".join(name for name, field in fields if field.required and "." not in name)


def _string_or_seed(name: str, value: Any) -> Any:
    """Return a plain column's value: an integer for seed, otherwise a string. Raises IntegrityError for other types."""
    if name == "seed":
        if isinstance(value, int):
            return value
        raise IntegrityError(f"seed takes an integer, not {brief(value)}")
    if isinstance(value, str):
        return value
    raise IntegrityError(f"{name} takes a string, not {brief(value)}")


def _parsed_json(name: str, value: Any) -> Any:
    """Parse the value of a JSON column. Raises IntegrityError if it is not the object or array that the API takes."""
    kind = list if name in ARRAYS else dict
    form = "a JSON array" if kind is list else "a JSON object"
    if not isinstance(value, str):
        raise IntegrityError(f"{name} takes {form} as a string, not {brief(value)}")
    try:
        parsed = from_json(value, allow_inf_nan=False)
    except ValueError as error:
        raise IntegrityError(f"{name} is not valid JSON: {str(error)[:120]}: {brief(value)}") from None
    if not isinstance(parsed, kind):
        raise IntegrityError(f"{name} takes {form}, such as json_object('key', 'value'), not {brief(value)}")
    return parsed


def _check_limits(provider: str, name: str, value: Any, field: CreateField) -> None:
    """Raise IntegrityError for the first limit that a value breaks."""
    if field.auto and value == "auto":
        return
    for broken_limit in LIMITS:
        limit = broken_limit(value, field)
        if limit is not None:
            raise IntegrityError(f"{provider}: {name} {limit}, not {brief(value)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _kind(value: Any, field: CreateField) -> str | None:
    integer = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    fits = {
        "integer": _is_number(value) and integer,
        "number": _is_number(value),
        "text": isinstance(value, str),
        None: True,
    }
    if fits[field.kind]:
        return None
    kind = {"integer": "an integer", "number": "a number", "text": "a string", None: ""}[field.kind]
    return f"""is {kind}{' or "auto"' if field.auto else ""}"""


def _allowed_values(value: Any, field: CreateField) -> str | None:
    return f"is one of {', '.join(map(repr, field.values))}" if field.values and value not in field.values else None


def _number_range(value: Any, field: CreateField) -> str | None:
    if _is_number(value) and _outside(value, field.minimum, field.maximum):
        return f"is a number {_range(field.minimum, field.maximum)}"
    return None


def _open_range(value: Any, field: CreateField) -> str | None:
    low, high = field.exclusive_minimum, field.exclusive_maximum
    if not _is_number(value):
        return None
    if not ((low is not None and value <= low) or (high is not None and value >= high)):
        return None
    above = f"above {_number_text(low)}" if low is not None else ""
    below = f"below {_number_text(high)}" if high is not None else ""
    return f"is a number {' and '.join(filter(None, (above, below)))}"


def _length(value: Any, field: CreateField) -> str | None:
    if isinstance(value, str) and _outside(len(value), field.min_length, field.max_length):
        return f"has {_range(field.min_length, field.max_length)} characters"
    return None


def _item_count(value: Any, field: CreateField) -> str | None:
    if isinstance(value, list) and _outside(len(value), None, field.max_items):
        return f"has at most {field.max_items} items"
    return None


def _pair_count(value: Any, field: CreateField) -> str | None:
    if isinstance(value, dict) and _outside(len(value), None, field.max_pairs):
        return f"has at most {field.max_pairs} pairs"
    return None


def _pairs(value: Any, field: CreateField) -> str | None:
    for key, member in value.items() if isinstance(value, dict) else ():
        if _outside(len(key), None, field.max_key_length):
            return f"has keys of at most {field.max_key_length} characters"
        if field.max_value_length is None:
            continue
        if not isinstance(member, str):
            return f"takes strings as values: {key} has {brief(member)}"
        if len(member) > field.max_value_length:
            return f"has values of at most {field.max_value_length} characters: {key} has {len(member)}"
    return None


# Each function returns, in words, the limit that a value breaks, or None. The first broken limit is reported.
LIMITS: tuple[Callable[[Any, CreateField], str | None], ...] = (
    _kind,
    _allowed_values,
    _number_range,
    _open_range,
    _length,
    _item_count,
    _pair_count,
    _pairs,
)


def _outside(value: float, low: float | None, high: float | None) -> bool:
    return (low is not None and value < low) or (high is not None and value > high)


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"up to {_number_text(high)}" if high is not None else f"of {_number_text(low)} or more"
    return f"from {_number_text(low)} to {_number_text(high)}"


def _number_text(limit: float | None) -> str:
    return f"{limit:.12f}".rstrip("0").rstrip(".")
