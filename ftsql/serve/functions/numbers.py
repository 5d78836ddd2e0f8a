"""PostgreSQL's functions for numbers and booleans: casts, rounding, division and powers.

If PostgreSQL raises an error, these functions raise one too. For example, a division by zero is an error and not NULL.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, InvalidOperation
from functools import partial

from ftsql.serve import errors
from ftsql.serve.functions.timestamps import Value

TRUE = ("t", "tr", "tru", "true", "y", "ye", "yes", "on", "1")
FALSE = ("f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0")


def numeric(value: Value) -> int | float | None:
    """Return ``value::numeric``: an int if the number is written as an integer, otherwise a float."""
    if value is None or isinstance(value, (int, float)):
        return value
    text = str(value).strip()
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise errors.data(f'invalid input syntax for type numeric: "{text:.60}"', errors.INVALID_TEXT) from None
    if "_" in text or not number.is_finite():
        return float(number)
    return int(number) if number == number.to_integral_value() and "." not in text and abs(number) < 2**63 else float(
        number
    )  # fmt: skip


def to_float(value: Value) -> float | None:
    """Return ``value::float8``."""
    found = numeric(value)
    return None if found is None else float(found)


def to_int(value: Value, even: bool = False) -> int | None:
    """Return ``value::int8``, rounded as in PostgreSQL. If ``even``, halves are rounded to the even neighbour."""
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise errors.data("integer out of range", errors.OUT_OF_RANGE)
        return round(value) if even else int(Decimal(repr(value)).to_integral_value(ROUND_HALF_UP))
    try:
        return int(str(value).strip())
    except ValueError:
        raise errors.data(f'invalid input syntax for type integer: "{value!s:.60}"', errors.INVALID_TEXT) from None


def to_bool(value: Value) -> int | None:
    """Return ``value::bool`` as 0 or 1."""
    if value is None or isinstance(value, (int, float)):
        return None if value is None else int(value != 0)
    word = str(value).strip().lower()
    if word in TRUE or word in FALSE:
        return int(word in TRUE)
    raise errors.data(f'invalid input syntax for type boolean: "{value!s:.60}"', errors.INVALID_TEXT)


def rounded(value: Value, places: Value = 0, rounding: str = ROUND_HALF_UP) -> Value:
    """Return ``round(value, places)`` of a numeric value. Halves are rounded away from zero."""
    number = numeric(value)
    if number is None or places is None:
        return None
    if isinstance(number, int) and int(places) >= 0:
        return number
    if not math.isfinite(number):
        return number
    made = Decimal(repr(number)).quantize(Decimal(1).scaleb(-int(places)), rounding) if abs(number) < 1e15 else number
    return float(made)


def round_even(value: Value) -> Value:
    """Return ``round(value)`` of a float8 value. Halves are rounded to the even neighbour."""
    return None if value is None else float(round(float(value)))


def divide(left: Value, right: Value, as_integers: int) -> Value:
    """Return ``left / right``. If ``as_integers``, the quotient of two integers is truncated to an integer."""
    if left is None or right is None:
        return None
    one, two = numeric(left), numeric(right)
    assert one is not None
    assert two is not None
    if two == 0:
        raise errors.data("division by zero", errors.ZERO_DIVISION)
    if as_integers and isinstance(one, int) and isinstance(two, int):
        return abs(one) // abs(two) * (1 if (one < 0) == (two < 0) else -1)
    return one / two


def mod(left: Value, right: Value) -> Value:
    """Return ``left % right``, with the sign of ``left``."""
    one, two = numeric(left), numeric(right)
    if one is None or two is None:
        return None
    if two == 0:
        raise errors.data("division by zero", errors.ZERO_DIVISION)
    if isinstance(one, int) and isinstance(two, int):
        return int(math.copysign(1, one)) * (abs(one) % abs(two))
    return float(Decimal(repr(one)) % Decimal(repr(two)))


def power(left: Value, right: Value) -> Value:
    """Return ``left ^ right``."""
    one, two = to_float(left), to_float(right)
    if one is None or two is None:
        return None
    try:
        found: float | complex = one**two
    except (OverflowError, ZeroDivisionError):
        raise errors.data("value out of range: overflow", errors.OUT_OF_RANGE) from None
    if isinstance(found, complex):
        raise errors.data("a negative number raised to a non-integer power yields a complex result", "2201F")
    return found


def greatest(*values: Value) -> Value:
    """Return the largest value that is not NULL."""
    return max((value for value in values if value is not None), default=None)


def least(*values: Value) -> Value:
    """Return the smallest value that is not NULL."""
    return min((value for value in values if value is not None), default=None)


def width_bucket(value: Value, low: Value, high: Value, count: Value) -> Value:
    """Return the number of the bucket that has ``value``, among ``count`` equal buckets between ``low`` and ``high``.

    The buckets are counted from 1.
    """
    if None in (value, low, high, count):
        return None
    operand, one, two, buckets = (float(part) for part in (value, low, high, count) if part is not None)
    if one == two or buckets < 1:
        raise errors.data("lower bound cannot equal upper bound", "2201G")
    if one < two:
        bucket = math.floor((operand - one) / (two - one) * buckets) + 1
    else:
        bucket = math.floor((one - operand) / (one - two) * buckets) + 1
    return max(0, min(int(buckets) + 1, bucket))


def div(left: Value, right: Value) -> Value:
    """Return ``div(left, right)``, the quotient truncated to an integer."""
    found = divide(left, right, 0)
    return None if found is None else int(float(found))


def factorial(value: Value) -> Value:
    number = to_int(value)
    return None if number is None or number > 20 else math.factorial(number)


def cbrt(value: Value) -> Value:
    return None if value is None else math.copysign(round(abs(float(value)) ** (1 / 3), 15), float(value))


FUNCTIONS: dict[str, tuple[Callable[..., Value], int]] = {
    "numeric": (numeric, 1), "float": (to_float, 1), "int": (to_int, 1), "int_even": (partial(to_int, even=True), 1),
    "bool": (to_bool, 1), "round": (rounded, 2), "round_even": (round_even, 1),
    "trunc": (partial(rounded, rounding=ROUND_DOWN), 2), "divide": (divide, 3), "mod": (mod, 2), "power": (power, 2),
    "greatest": (greatest, -1), "least": (least, -1),
    "width_bucket": (width_bucket, 4), "div": (div, 2), "factorial": (factorial, 1), "cbrt": (cbrt, 1),
}  # fmt: skip
VOLATILE: dict[str, tuple[Callable[..., Value], int]] = {"random": (random.random, 0)}
