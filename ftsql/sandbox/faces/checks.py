"""Check request bodies and queries against rules, with the error messages of OpenAI's API.

A rule is a dict with a few of JSON Schema's keywords. A check ends at the first error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ftsql.sandbox.faces.face import Refusal

Rule = Mapping[str, Any]
NOUNS = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "a boolean",
    "object": "an object",
    "array": "an array",
    "null": "null",
}


def check(value: object, rule: Rule, path: str = "") -> None:
    """Raise Refusal (400) if ``value`` violates ``rule``. ``path`` is the value's position in the body, as in a.b[0].

    A rule may have keys that JSON Schema lacks: ``auto`` also allows "auto"; ``nullable`` allows null; ``extra``
    allows unknown keys; ``variants`` has a rule for each ``type`` of an object; ``above`` is an exclusive minimum;
    ``values`` is the rule for each value of an object, and ``maxKey`` is the maximum length of the object's keys.
    """
    if value is None and rule.get("nullable"):
        return
    if value == "auto" and rule.get("auto"):
        return
    _check_type(value, rule, path)
    if isinstance(value, dict):
        _check_object(value, rule, path)
    elif isinstance(value, list):
        _check_size(len(value), rule.get("minItems"), rule.get("maxItems"), path, "array", "an array")
        for place, item in enumerate(value):
            check(item, rule["items"], f"{path}[{place}]")
    elif isinstance(value, str):
        _check_string(value, rule, path)
    elif isinstance(value, (int, float)):
        _check_range(value, rule, path)


def _check_type(value: object, rule: Rule, path: str) -> None:
    kind, wanted = _json_type(value), rule["type"]
    if kind != wanted and not (wanted == "number" and kind == "integer"):
        expected = f"one of {NOUNS[wanted]} or 'auto'" if rule.get("auto") else NOUNS[wanted]
        raise _invalid(path, "type", f"expected {expected}, but got {NOUNS[kind]} instead.", "invalid_type")


def _check_string(value: str, rule: Rule, path: str) -> None:
    if "enum" in rule and value not in rule["enum"]:
        raise Refusal(400, f"Invalid value: '{value}'. {_supported(rule['enum'])}", param=path, code="invalid_value")
    _check_size(len(value), rule.get("minLength"), rule.get("maxLength"), path, "string", "a string")


def _check_object(value: dict[str, Any], rule: Rule, path: str) -> None:
    prefix = f"{path}." if path else ""
    if "variants" in rule:
        variants: Mapping[str, Rule] = rule["variants"]
        check(value.get("type"), {"type": "string", "enum": tuple(variants)}, f"{prefix}type")
        rule = variants[value["type"]]
    for name in rule.get("required", ()):
        if name not in value:
            raise Refusal(
                400,
                f"Missing required parameter: '{prefix}{name}'.",
                param=prefix + name,
                code="missing_required_parameter",
            )
    fields: Mapping[str, Rule] = rule.get("properties", {})
    values: Rule | None = rule.get("values")
    for name, item in value.items():
        if name in fields:
            check(item, fields[name], prefix + name)
        elif values is not None:
            _check_size(len(name), None, rule["maxKey"], path, "string", "a key")
            check(item, values, prefix + name)
        elif not rule.get("extra"):
            word = (
                f"Unknown parameter: '{prefix}{name}'." if path else f"Unrecognized request argument supplied: {name}"
            )
            raise Refusal(400, word, param=prefix + name if path else None, code="unknown_parameter" if path else None)
    _check_size(len(value), None, rule.get("maxProperties"), path, "object", "an object")


def _check_size(size: int, least: int | None, most: int | None, path: str, kind: str, noun: str) -> None:
    unit = {"string": "length", "array": "length", "object": "number of properties"}[kind]
    if least is not None and size < least:
        detail = f"Expected {noun} with minimum {unit} {least}, but got {noun} with {unit} {size} instead."
        raise Refusal(400, f"Invalid '{path}': {kind} too short. {detail}", param=path, code=f"{kind}_below_min_length")
    if most is not None and size > most:
        much = "too many properties" if kind == "object" else f"{kind} too long"
        detail = f"Expected {noun} with maximum {unit} {most}, but got {noun} with {unit} {size} instead."
        raise Refusal(400, f"Invalid '{path}': {much}. {detail}", param=path, code=f"{kind}_above_max_length")


def _check_range(value: float, rule: Rule, path: str) -> None:
    least, above, most = rule.get("minimum"), rule.get("above"), rule.get("maximum")
    kind = "integer" if rule["type"] == "integer" else "decimal"
    if least is not None and value < least:
        side, expected = "below_min", f">= {least}"
    elif above is not None and value <= above:
        side, expected = "below_min", f"> {above}"
    elif most is not None and value > most:
        side, expected = "above_max", f"<= {most}"
    else:
        return
    words = f"{side.replace('_', ' ')}imum value"
    detail = f"Expected a value {expected}, but got {value} instead."
    raise Refusal(400, f"Invalid '{path}': {kind} {words}. {detail}", param=path, code=f"{kind}_{side}_value")


def query_integer(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    """Return an integer from the query, or ``default`` if the query has none.

    Raises Refusal if the value is not an integer, or is not between 1 and ``most``.
    """
    text = query.get(name)
    if text is None:
        return default
    try:
        value = int(text)
    except ValueError:
        raise _invalid(name, "type", "expected an integer, but got a string instead.", "invalid_type") from None
    check(value, {"type": "integer", "minimum": 1, "maximum": most}, name)
    return value


def query_choice(query: Mapping[str, str], name: str, values: Sequence[str]) -> str:
    """Return a string from the query, or the first of ``values`` if there is none. Raises Refusal for other values."""
    value = query.get(name, values[0])
    check(value, {"type": "string", "enum": values}, name)
    return value


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return {float: "number", str: "string", list: "array", dict: "object"}[type(value)]


def _invalid(path: str, what: str, detail: str, code: str) -> Refusal:
    where = f" for '{path}'" if path else ""
    return Refusal(400, f"Invalid {what}{where}: {detail}", param=path or None, code=code)


def _supported(values: Sequence[str]) -> str:
    quoted = [f"'{value}'" for value in values]
    return f"Supported values are: {', '.join(quoted[:-1])}{', and ' if len(quoted) > 1 else ''}{quoted[-1]}."
