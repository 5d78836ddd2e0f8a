"""to_char, to_date and to_timestamp, with the usual template patterns of PostgreSQL, such as YYYY.

As in PostgreSQL, a character that belongs to no template pattern stands for itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

import regex

from ftsql.serve import errors
from ftsql.serve.functions.intervals import SECOND, Interval, interval
from ftsql.serve.functions.patterns import with_timeout
from ftsql.serve.functions.timestamps import Value, is_time, parse, text_of
from ftsql.serve.text import words

MONTHS = words("January February March April May June July August September October November December")
DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
ROMAN = words("I II III IV V VI VII VIII IX X XI XII")
LONGEST = 200  # the maximum length of a pattern, and of the string that is parsed with it
PATTERN = re.compile(
    r"(FM)?(Y,YYY|IYYY|YYYY|YYY|YY|Y|IY|MONTH|Month|month|MON|Mon|mon|MM|MI|MS|DAY|Day|day|DY|Dy|dy|DDD|DD|D|IDDD|ID|"
    r'IW|WW|W|HH24|HH12|HH|SSSS|SS|US|AM|PM|am|pm|A\.M\.|P\.M\.|Q|CC|J|RM|TZH|TZM|TZ|OF|FF[1-6])(TH|th)?|"([^"]*)"|(.)',
    re.DOTALL,
)
Field = Callable[[datetime], str]
FIELDS: dict[str, Field] = {
    "YYYY": lambda time: f"{time.year:04}", "YYY": lambda time: f"{time.year % 1000:03}",
    "YY": lambda time: f"{time.year % 100:02}", "Y": lambda time: str(time.year % 10),
    "Y,YYY": lambda time: f"{time.year // 1000},{time.year % 1000:03}",
    "IYYY": lambda time: f"{time.isocalendar().year:04}", "IY": lambda time: f"{time.isocalendar().year % 100:02}",
    "MM": lambda time: f"{time.month:02}", "DD": lambda time: f"{time.day:02}",
    "DDD": lambda time: f"{time.timetuple().tm_yday:03}", "D": lambda time: str(time.isoweekday() % 7 + 1),
    "IDDD": lambda time: f"{(time.isocalendar().week - 1) * 7 + time.isoweekday():03}",
    "ID": lambda time: str(time.isoweekday()), "IW": lambda time: f"{time.isocalendar().week:02}",
    "WW": lambda time: f"{(time.timetuple().tm_yday - 1) // 7 + 1:02}", "W": lambda time: str((time.day - 1) // 7 + 1),
    "HH24": lambda time: f"{time.hour:02}", "HH12": lambda time: f"{(time.hour + 11) % 12 + 1:02}",
    "HH": lambda time: f"{(time.hour + 11) % 12 + 1:02}", "MI": lambda time: f"{time.minute:02}",
    "SS": lambda time: f"{time.second:02}", "MS": lambda time: f"{time.microsecond // 1000:03}",
    "US": lambda time: f"{time.microsecond:06}", "Q": lambda time: str((time.month + 2) // 3),
    "SSSS": lambda time: str(time.hour * 3600 + time.minute * 60 + time.second),
    "CC": lambda time: f"{(time.year + 99) // 100:02}", "J": lambda time: str(time.toordinal() + 1721425),
    "RM": lambda time: f"{ROMAN[time.month - 1]:4}", "TZ": lambda time: "UTC", "OF": lambda time: "+00",
    "TZH": lambda time: "+00", "TZM": lambda time: "00",
    "MONTH": lambda time: f"{MONTHS[time.month - 1]:9}", "MON": lambda time: MONTHS[time.month - 1][:3],
    "DAY": lambda time: f"{DAYS[time.weekday()]:9}", "DY": lambda time: DAYS[time.weekday()][:3],
    "AM": lambda time: "AM" if time.hour < 12 else "PM", "A.M.": lambda time: "A.M." if time.hour < 12 else "P.M.",
}  # fmt: skip


def to_char(value: Value, pattern: Value) -> Value:
    """Return ``to_char(timestamp, interval or number, pattern)``.

    >>> to_char("2026-11-21 09:30:00", "DD Mon YYYY, HH12:MI AM"), to_char(1234.5, "FM9,999.00")
    ('21 Nov 2026, 09:30 AM', '1,234.50')
    """
    if value is None or pattern is None:
        return None
    if isinstance(value, (int, float)):
        return _format_number(value, str(pattern))
    if is_time(str(value)):
        return _format_time(parse(str(value)), str(pattern))
    return _format_interval(interval(str(value)), str(pattern))


def _format_interval(step: Interval, pattern: str) -> str:
    hours, rest = divmod(abs(step.micros), 3600 * SECOND)
    words = {"HH24": f"{hours:02}", "HH": f"{(hours + 11) % 12 + 1:02}", "MI": f"{rest // (60 * SECOND):02}",
             "SS": f"{rest % (60 * SECOND) // SECOND:02}", "DD": f"{step.days:02}",
             "MM": f"{step.months % 12:02}", "YYYY": f"{step.months // 12:04}"}  # fmt: skip
    return "".join(
        words.get(found[2], found[0]) if found[2] else found[4] or found[0] for found in PATTERN.finditer(pattern)
    )


def _format_time(time: datetime, pattern: str) -> str:
    made = []
    for found in PATTERN.finditer(pattern):
        fill, name, ordinal, quoted, other = found.groups()
        if name is None:
            made.append(quoted if other is None else other)
            continue
        upper = {"PM": "AM", "P.M.": "A.M."}.get(name.upper(), name.upper())
        word = f"{time.microsecond:06}"[: int(upper[2])] if upper.startswith("FF") else FIELDS[upper](time)
        if name in ("MONTH", "MON", "DAY", "DY"):
            word = word.upper()
        elif name[:1].islower():
            word = word.lower()
        if fill:
            word = word.strip().lstrip("0") or "0" if word.strip().isdigit() else word.strip()
        if ordinal:
            word += _ordinal(int(word), ordinal)
        made.append(word)
    return "".join(made)


def _ordinal(number: int, like: str) -> str:
    word = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return word.upper() if like == "TH" else word


def _format_number(value: float, pattern: str) -> str:
    """Format a number with a pattern of 9, 0, a point, commas and FM. Other characters may stand around the pattern."""
    trim = pattern.upper().startswith("FM")
    body = pattern[2:] if trim else pattern
    found = re.search(r"[09,.DG]+", body)
    if found is None:
        return body
    before, after = body[: found.start()], body[found.end() :]
    digits = found.group().replace("D", ".").replace("G", ",")
    whole, point, part = digits.partition(".")
    places = sum(mark in "09" for mark in part)
    number = abs(Decimal(repr(value))).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    integer, _, decimals = f"{number:f}".partition(".")
    integer = integer.lstrip("0")
    if len(integer) > sum(mark in "09" for mark in whole):  # the number does not fit the pattern
        filled = re.sub("[09]", "#", digits)
        return before + filled + after if trim else " " + filled
    shown = _integer_digits(integer, whole, trim, without_decimals=places == 0)
    if trim:
        decimals = _trimmed_decimals(decimals, part)
        if not shown and not part:
            shown = "0"
    sign = "-" if value < 0 and number else ""
    bare = shown.lstrip(" ")
    shown = shown[: len(shown) - len(bare)] + sign + bare  # the sign stands before the first digit
    text = before + shown + point + (decimals if point else "") + after
    return text if trim or sign else f" {text}"


def _integer_digits(integer: str, pattern: str, trim: bool, *, without_decimals: bool) -> str:
    """Return the digits before the point, each in its place in the pattern."""
    digits = iter(integer.rjust(sum(mark in "09" for mark in pattern)))
    made, begun, zeros = [], False, False
    for mark in pattern:
        if mark == ",":
            made.append("," if begun else "" if trim else " ")
            continue
        zeros = zeros or mark == "0"
        digit = next(digits)
        if digit == " " and zeros:
            digit = "0"
        begun = begun or digit != " "
        made.append("" if trim and digit == " " else digit)
    if made and not trim and not begun and without_decimals:
        made[-1] = "0"
    return "".join(made)


def _trimmed_decimals(decimals: str, pattern: str) -> str:
    """Drop trailing zeros after the last 0 of the pattern. With FM, a 9 prints no trailing zero."""
    kept = len(pattern) if "0" not in pattern else pattern.rindex("0") + 1
    decimals = decimals[:kept] + decimals[kept:].rstrip("0")
    return decimals.ljust(pattern.rindex("0") + 1, "0") if "0" in pattern else decimals


READ = {"YYYY": r"(?P<year>\d{4})", "MM": r"(?P<month>\d\d?)", "DD": r"(?P<day>\d\d?)", "HH24": r"(?P<hour>\d\d?)",
        "HH12": r"(?P<hour>\d\d?)", "HH": r"(?P<hour>\d\d?)", "MI": r"(?P<minute>\d\d?)", "SS": r"(?P<second>\d\d?)",
        "MS": r"(?P<milli>\d{1,3})", "US": r"(?P<micro>\d{1,6})", "AM": r"(?P<half>[aApP][mM])",
        "PM": r"(?P<half>[aApP][mM])", "MON": r"(?P<name>[A-Za-z]{3})", "MONTH": r"(?P<name>[A-Za-z]+)\s*",
        "DDD": r"(?P<days>\d{1,3})", "YY": r"(?P<short>\d\d)"}  # fmt: skip


def parse_time(value: Value, pattern: Value) -> Value:
    """Return ``to_timestamp(text, pattern)``.

    >>> parse_time("21 Nov 2026 9:30 pm", "DD Mon YYYY HH12:MI AM")
    '2026-11-21 21:30:00'
    """
    if value is None or pattern is None:
        return None
    if len(str(pattern)) > LONGEST or len(str(value)) > LONGEST:
        raise errors.data(f"to_timestamp takes strings of up to {LONGEST} characters", errors.TOO_COMPLEX)
    try:
        found = with_timeout(regex.compile(_reading_pattern(str(pattern))).match, str(value))
    except regex.error:
        raise errors.unsupported("the same part twice in a pattern of to_timestamp", "write it once") from None
    if found is None:
        raise errors.data(f'invalid value "{value!s:.60}" for "{pattern!s:.60}"', errors.INVALID_DATE)
    try:
        return text_of(_time_of_parts(found.groupdict()))
    except ValueError:
        raise errors.data(f'date/time field value out of range: "{value!s:.60}"', "22008") from None


def _reading_pattern(pattern: str) -> str:
    """Return the regular expression for a template pattern."""
    made = [r"\s*+"]
    for found in PATTERN.finditer(pattern):
        name = (found[2] or "").upper()
        if name and name not in READ:
            raise errors.unsupported(
                f"the pattern {name} in to_timestamp", "write YYYY-MM-DD HH24:MI:SS, or ::timestamp"
            )
        part = READ[name] if name else r"\s*" if (found[5] or "").isspace() else re.escape(found[4] or found[5] or "")
        # If several parts for blanks came in a row, every way to divide the blanks among the parts would be tried.
        if part != r"\s*" or made[-1] != part:
            made.append(part)
    return "".join(made)


def _time_of_parts(parts: dict[str, str | None]) -> datetime:
    """Return the time for the parts that were read. Raise ValueError if there is no such time."""
    number = {name: int(text) for name, text in parts.items() if text and text.isdigit()}
    month = number.get("month", 1)
    if name := parts.get("name"):
        short = [month[:3].lower() for month in MONTHS]
        month = short.index(name[:3].lower()) + 1
    hour = number.get("hour", 0)
    if half := parts.get("half"):
        hour = hour % 12 + (12 if half.lower() == "pm" else 0)
    year = number.get("year", 1)
    if "short" in number and "year" not in number:
        year = number["short"] + (2000 if number["short"] < 70 else 1900)
    micros = number.get("milli", 0) * 1000 + number.get("micro", 0)
    time = datetime(year, month, number.get("day", 1), hour, number.get("minute", 0), number.get("second", 0), micros)
    return time + timedelta(days=number.get("days", 1) - 1)
