"""PostgreSQL's functions for strings (other than patterns), arrays and JSON. In SQLite an array is a JSON string.

The length of a result is checked before the result is computed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from functools import partial

from ftsql.serve import errors
from ftsql.serve.functions.patterns import (
    LONGEST,
    check_length,
    like,
    regexp_ilike,
    regexp_like,
    regexp_match,
    regexp_replace,
    regexp_split_to_array,
    regexp_substr,
    similar,
)
from ftsql.serve.functions.timestamps import Value


def string_to_array(value: Value, separator: Value, null: Value = None) -> Value:
    if value is None:
        return None
    parts = list(str(value)) if separator is None else str(value).split(str(separator)) if value else []
    return json.dumps([None if null is not None and part == null else part for part in parts])


def split_part(value: Value, separator: Value, position: Value) -> Value:
    if value is None or separator is None or position is None:
        return None
    parts, number = str(value).split(str(separator)) if separator else [str(value)], int(position)
    if number == 0:
        raise errors.data("field position must not be zero", errors.INVALID_PARAMETER)
    at = number - 1 if number > 0 else len(parts) + number
    return parts[at] if 0 <= at < len(parts) else ""


def left(value: Value, count: Value) -> Value:
    return None if value is None or count is None else str(value)[: int(count)]


def right(value: Value, count: Value) -> Value:
    if value is None or count is None:
        return None
    number = int(count)
    return str(value)[-number:] if number else ""


def pad(value: Value, size: Value, filler: Value = " ", before: bool = True) -> Value:
    """Return ``lpad(value, size, filler)`` if ``before``, otherwise ``rpad(value, size, filler)``."""
    if value is None or size is None or filler is None:
        return None
    text, wide = str(value)[: max(int(size), 0)], min(int(size), LONGEST)
    more = max(wide - len(text), 0)
    made = (str(filler) * (more // max(len(str(filler)), 1) + 1))[:more] if filler else ""
    return made + text if before else text + made


def initcap(value: Value) -> Value:
    if value is None:
        return None
    return re.sub(r"[^\W_]+", lambda word: word[0][0].upper() + word[0][1:].lower(), str(value))


def substring(value: Value, start: Value, size: Value = LONGEST) -> Value:
    if value is None or start is None or size is None:
        return None
    if int(size) < 0:
        raise errors.data("negative substring length not allowed", "22011")
    begin = int(start) - 1
    return str(value)[max(begin, 0) : max(begin + int(size), 0)]


def overlay(value: Value, part: Value, start: Value, size: Value = None) -> Value:
    if value is None or part is None or start is None:
        return None
    text, at = str(value), int(start) - 1
    return text[:at] + str(part) + text[at + (len(str(part)) if size is None else int(size)) :]


def repeat(value: Value, count: Value) -> Value:
    if value is None or count is None:
        return None
    if len(str(value)) * int(count) > LONGEST:
        raise errors.data("requested length too large", "54000")
    return str(value) * int(count)


def text(value: Value, _: Value = "") -> Value:
    """Return the string that PostgreSQL prints for a value."""
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return None if value is None else str(value)


def array(value: Value) -> Value:
    """Return an array as JSON. ``value`` may be JSON, PostgreSQL's form ``{a,b}``, or an int2vector such as ``1 2``.

    >>> array('{1,"a b",NULL}')
    '[1, "a b", null]'
    """
    if value is None:
        return "[]"
    words = str(value).strip()
    if words.startswith("["):
        return words
    if words.startswith("{"):
        parts = re.findall(r'"((?:[^"\\]|\\.)*)"|([^,{}]+)', words)
        items = [re.sub(r"\\(.)", r"\1", quoted) if not plain else None if plain.strip().upper() == "NULL"
                 else _number(plain.strip()) for quoted, plain in parts]  # fmt: skip
        return json.dumps(items, ensure_ascii=False)
    return json.dumps([_number(part) for part in words.split()], ensure_ascii=False)


def _number(word: str) -> str | int:
    return int(word) if re.fullmatch(r"-?(0|[1-9]\d{0,17})", word) else word


def element(value: Value, position: Value) -> Value:
    items = json.loads(str(array(value))) if value is not None and position is not None else []
    return items[int(position)] if position is not None and 0 <= int(position) < len(items) else None


def array_to_string(value: Value, separator: Value, null: Value = None) -> Value:
    if value is None or separator is None:
        return None
    items = [null if item is None else item for item in json.loads(str(array(value)))]
    words = [str(text(item)) for item in items if item is not None]
    check_length(sum(map(len, words)) + len(words) * len(str(separator)))
    return str(separator).join(words)


def joined(value: Value, separator: Value) -> Value:
    """Return the result of ``string_agg`` for the values in a JSON array, or NULL if there are no values."""
    items = [item for item in json.loads(str(value or "[]")) if item is not None]
    words, between = [str(text(item)) for item in items], str(separator) if separator is not None else ""
    check_length(sum(map(len, words)) + len(words) * len(between))
    return between.join(words) if items else None


def array_cat(left: Value, right: Value, which: Value) -> Value:
    """Return ``left || right``. ``which`` names the sides that are arrays: "left", "right" or "both"."""
    if left is None and right is None:
        return None
    sides = []
    for side, value in (("left", left), ("right", right)):
        if which in (side, "both"):
            sides.append([] if value is None else json.loads(str(array(value))))
        else:
            sides.append([value])
    return json.dumps(sides[0] + sides[1])


def array_length(value: Value, _: Value = 1) -> Value:
    return (len(json.loads(str(array(value)))) or None) if value is not None else None


def cardinality(value: Value) -> Value:
    return len(json.loads(str(array(value)))) if value is not None else None


def json_text(value: Value) -> Value:
    """Return a JSON value as text, like the operator ``->>``."""
    words = None if value is None else str(value)
    return None if words in (None, "null") else json.loads(words) if words and words[0] == '"' else words


def json_path(value: Value, path: Value, as_text: int) -> Value:
    """Return ``value #>> path`` if ``as_text``, otherwise ``value #> path``."""
    if value is None or path is None:
        return None
    found = json.loads(str(value))
    for key in json.loads(str(array(path))):
        if isinstance(found, dict):
            found = found.get(str(key))
        elif isinstance(found, list) and isinstance(key, int) and -len(found) <= key < len(found):
            found = found[key]
        else:
            return None
    made = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    return json_text(made) if as_text else made if found is not None else None


def json_typeof(value: Value) -> Value:
    if value is None:
        return None
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(json.loads(str(value))), "number")


def translate(value: Value, old: Value, new: Value) -> Value:
    """Return ``translate(value, old, new)``. A character of ``old`` that has no counterpart in ``new`` is removed."""
    replaced: dict[int, str | None] = {}
    for position, character in enumerate(str(old)):
        replaced.setdefault(ord(character), str(new)[position : position + 1] or None)
    return str(value).translate(replaced)


def null_safe(function: Callable[..., Value]) -> Callable[..., Value]:
    """Wrap ``function`` so that it returns NULL if one of its arguments is NULL."""
    return lambda *values: None if None in values else function(*values)


FUNCTIONS: dict[str, tuple[Callable[..., Value], int]] = {
    "like": (like, -1), "ilike": (partial(like, folded=True), -1), "regexp_like": (regexp_like, -1),
    "regexp_ilike": (regexp_ilike, 2), "similar": (similar, 2), "regexp_replace": (regexp_replace, -1),
    "regexp_substr": (regexp_substr, 2), "regexp_match": (regexp_match, -1), "split_part": (split_part, 3),
    "regexp_split_to_array": (regexp_split_to_array, 2), "string_to_array": (string_to_array, -1), "left": (left, 2),
    "right": (right, 2), "lpad": (pad, -1), "rpad": (partial(pad, before=False), -1), "initcap": (initcap, 1),
    "substring": (substring, -1), "overlay": (overlay, -1), "repeat": (repeat, 2), "text": (text, -1),
    "array": (array, 1), "element": (element, 2), "array_to_string": (array_to_string, -1), "joined": (joined, 2),
    "array_length": (array_length, -1), "array_cat": (array_cat, 3),
    "cardinality": (cardinality, 1), "array_upper": (array_length, -1),
    "json_text": (json_text, 1), "json_typeof": (json_typeof, 1),
    "jsonb_typeof": (json_typeof, 1), "json_path": (json_path, 3),
    "array_lower": (lambda value, _=1: None if value is None else 1, -1),
    "md5": (null_safe(lambda value: hashlib.md5(str(value).encode(), usedforsecurity=False).hexdigest()), 1),
    "reverse": (null_safe(lambda value: str(value)[::-1]), 1),
    "lower": (null_safe(lambda value: str(value).lower()), 1),
    "upper": (null_safe(lambda value: str(value).upper()), 1),
    "ascii": (null_safe(lambda value: ord(str(value)[0]) if value else 0), 1),
    "starts_with": (null_safe(lambda value, start: int(str(value).startswith(str(start)))), 2),
    "translate": (null_safe(translate), 3),
    "quote_ident": (null_safe(lambda name: name if re.fullmatch("[a-z_][a-z0-9_$]*", name)
                              else '"' + name.replace('"', '""') + '"'), 1),
    "quote_literal": (null_safe(lambda value: "'" + str(value).replace("'", "''") + "'"), 1),
}  # fmt: skip
