"""Validate, with pydantic, the objects in responses and the entries in a user's provider file.

The module is imported only when there is something to validate, because importing pydantic takes a third of ftsql's
start-up time.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Required, TypeVar, cast, get_args, get_origin, get_type_hints

from pydantic import AliasChoices, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # before Python 3.12, pydantic does not accept typing.TypedDict

from ftsql.errors import ConfigError
from ftsql.resources.fields import Rule

T = TypeVar("T")


def adapter(model: type) -> TypeAdapter[Any]:
    """Return the validator for a list of ``model``, a TypedDict whose fields carry Rules.

    The validator converts numbers to strings where the model has a string, and drops fields that the model lacks.
    """
    fields: Any = {name: _field(hint) for name, hint in get_type_hints(model, include_extras=True).items()}
    make: Any = TypedDict
    made: Any = with_config(ConfigDict(coerce_numbers_to_str=True, extra="ignore"))(
        make(model.__name__, fields, total=False)
    )
    return TypeAdapter(list[made])


def entry(kind: type[T], table: Mapping[str, Any], name: str) -> T:
    """Return an object of the dataclass ``kind`` from ``table``, which the user wrote.

    Raises ConfigError for an unknown or invalid field. ``name`` is the name of the table in that error's message.
    """
    try:
        return cast("T", _strict(cast("Any", kind)).validate_python(dict(table)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        word = ".".join(str(part) for part in first["loc"])
        unknown = first["type"] == "unexpected_keyword_argument"
        raise ConfigError(f"{name}: {word}: {'there is no such word' if unknown else first['msg']}") from None


# An id in which a character was replaced with U+FFFD would not be the id that the server has.
ALL_CHARACTERS = "^[^\ufffd]+$"


@cache
def _strict(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(with_config(ConfigDict(extra="forbid"))(kind))


def _field(hint: Any) -> Any:
    if get_origin(hint) is Required:
        return Required[_field(get_args(hint)[0])]
    if get_origin(hint) is not Annotated:
        return hint
    kind, *markers = get_args(hint)
    for rule in (marker for marker in markers if isinstance(marker, Rule)):
        kind = _with_rule(kind, rule)
    return kind


def _with_rule(kind: Any, rule: Rule) -> Any:
    if rule.before is not None:
        kind = Annotated[kind, BeforeValidator(rule.before)]
    if rule.valid_up_to is not None:
        valid = Annotated[int, Field(strict=True, gt=0, le=rule.valid_up_to)]
        kind = Annotated[valid | kind, Field(union_mode="left_to_right")]
    if rule.not_empty:
        kind = Annotated[kind, Field(min_length=1, pattern=ALL_CHARACTERS)]
    if rule.names:
        kind = Annotated[kind, Field(validation_alias=AliasChoices(*rule.names))]
    return kind
