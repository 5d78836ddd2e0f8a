"""PostgreSQL's patterns: LIKE, SIMILAR TO and regular expressions, with a time limit.

The package regex matches regular expressions. PostgreSQL's character classes and word boundaries are translated for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import regex

from ftsql.serve import errors
from ftsql.serve.functions.timestamps import Value

BOUNDARIES = {r"\m": r"\b(?=\w)", r"\M": r"\b(?<=\w)", r"\y": r"\b", r"\Y": r"\B"}
CLASSES = {"alpha": "a-zA-Z", "digit": "0-9", "alnum": "a-zA-Z0-9", "space": r"\s", "upper": "A-Z", "lower": "a-z",
           "punct": r"!-/:-@\[-`{-~", "xdigit": "0-9A-Fa-f", "word": r"\w", "blank": r" \t"}  # fmt: skip
TIMEOUT = 1.0  # how many seconds it may take to match a pattern against one value
LONGEST = 10_000_000  # the maximum length of a value, in characters


def check_length(length: int) -> None:
    """Raise DataError if a string of this length would be too long. Call this before making the string."""
    if length > LONGEST:
        raise errors.data(f"a string may have at most {LONGEST:,} characters", errors.TOO_COMPLEX)


@lru_cache(maxsize=512)
def _like_expression(pattern: str, escape: str, folded: bool) -> regex.Pattern[str]:
    made, at = [], 0
    while at < len(pattern):
        mark = pattern[at]
        if escape and mark == escape:
            at += 1
            if at == len(pattern):
                raise errors.data("LIKE pattern must not end with escape character", "22025")
            made.append(re.escape(pattern[at]))
        else:
            made.append({"%": ".*", "_": "."}.get(mark) or re.escape(mark))
        at += 1
    return regex.compile("".join(made), regex.DOTALL | (regex.IGNORECASE if folded else 0))


def with_timeout(search: Callable[..., Any], *arguments: Any) -> Any:
    """Call a method of a regular expression with a time limit, because some patterns take practically forever.

    Other threads can run meanwhile.
    """
    try:
        return search(*arguments, timeout=TIMEOUT, concurrent=True)
    except TimeoutError:
        raise errors.data(f"the pattern takes more than {TIMEOUT:g} s on one value", errors.TOO_COMPLEX) from None


def like(value: Value, pattern: Value, escape: Value = "\\", folded: bool = False) -> Value:
    """Return ``value LIKE pattern``. If ``folded``, return ``value ILIKE pattern``, which ignores case."""
    if value is None or pattern is None or escape is None:
        return None
    if len(str(pattern)) > 10_000:
        raise errors.data("a LIKE pattern may have at most 10,000 characters", errors.TOO_COMPLEX)
    return int(with_timeout(_like_expression(str(pattern), str(escape), folded).fullmatch, str(value)) is not None)


@lru_cache(maxsize=512)
def compiled(pattern: str, flags: str = "") -> regex.Pattern[str]:
    """Return the compiled form of a PostgreSQL regular expression. Raise DataError if the expression is invalid."""
    made = re.sub(r"\[:(\w+):\]", lambda found: CLASSES.get(found[1], found[0]), pattern)
    made = re.sub(r"\\[mMyY]", lambda found: BOUNDARIES[found[0]], made)
    wanted = regex.IGNORECASE if "i" in flags else 0
    wanted |= regex.MULTILINE if "n" in flags or "m" in flags else regex.DOTALL
    try:
        return regex.compile(made.removeprefix("***:"), wanted)
    except (regex.error, RecursionError, OverflowError) as error:
        raise errors.data(f"invalid regular expression: {error}", errors.INVALID_PATTERN) from None


def regexp_like(value: Value, pattern: Value, flags: Value = "") -> Value:
    """Return ``value ~ pattern``."""
    if value is None or pattern is None or flags is None:
        return None
    return int(with_timeout(compiled(str(pattern), str(flags)).search, str(value)) is not None)


def regexp_ilike(value: Value, pattern: Value) -> Value:
    return regexp_like(value, pattern, "i")


def similar(value: Value, pattern: Value) -> Value:
    """Return ``value SIMILAR TO pattern``."""
    if value is None or pattern is None:
        return None
    made = re.sub(r"[%_.^$]", lambda found: {"%": ".*", "_": "."}.get(found[0], "\\" + found[0]), str(pattern))
    return int(with_timeout(compiled(f"(?:{made})").fullmatch, str(value)) is not None)


def regexp_replace(value: Value, pattern: Value, replacement: Value, flags: Value = "") -> Value:
    if None in (value, pattern, replacement, flags):
        return None
    wanted = compiled(str(pattern), str(flags))

    def written(found: re.Match[str]) -> str:
        word = found[1]
        if word == "&" or word in tuple("123456789"):
            number = 0 if word == "&" else int(word)
            return f"\\g<{number}>" if number <= wanted.groups else ""
        return "\\\\" + ("" if word == "\\" else word)  # PostgreSQL keeps a backslash before other characters

    made = re.sub(r"\\(.|\Z)", written, str(replacement), flags=re.DOTALL)
    count = 0 if "g" in str(flags) else 1
    check_length((len(str(value)) + 1 if count == 0 else 1) * len(made) + len(str(value)))
    return str(with_timeout(wanted.sub, made, str(value), count))


def regexp_substr(value: Value, pattern: Value) -> Value:
    """Return ``substring(value from pattern)``: the first group if the pattern has groups, otherwise the match."""
    if value is None or pattern is None:
        return None
    found = with_timeout(compiled(str(pattern)).search, str(value))
    return None if found is None else found[1] if found.re.groups else found[0]


def regexp_match(value: Value, pattern: Value, flags: Value = "") -> Value:
    if None in (value, pattern, flags):
        return None
    found = with_timeout(compiled(str(pattern), str(flags)).search, str(value))
    return None if found is None else json.dumps(list(found.groups()) or [found[0]])


def regexp_split_to_array(value: Value, pattern: Value) -> Value:
    return (
        None if value is None or pattern is None else json.dumps(with_timeout(compiled(str(pattern)).split, str(value)))
    )
