"""PostgreSQL's timestamps and dates, as strings in UTC such as 2026-11-21 09:30:00.5 and 2026-11-21.

A fraction never ends in zeros, so that the strings sort in the order of the times.
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ftsql.serve import errors
from ftsql.serve.functions.intervals import DAY, SECOND, Interval, interval

Value = int | float | str | bytes | None

EPOCH = datetime(1970, 1, 1)
ENDLESS = ("infinity", "-infinity")
TIME = re.compile(r"-?\d{4,}-\d\d-\d\d")
LOOSE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[ T]+(.*))?", re.DOTALL)
ZONE = re.compile(r"\s*(?:([-+])(\d\d?)(?::?(\d\d))?|Z|UTC|GMT)$", re.IGNORECASE)
COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:[ T]*(.*))?")
CLOCK = re.compile(r"(?:(\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?")
LONGEST = 200  # the maximum length of a time, because some of the patterns above take quadratic time


def is_time(text: str) -> bool:
    """Whether a string is a timestamp or a date, and not an interval."""
    return len(text) <= LONGEST and TIME.match(text) is not None


@lru_cache(maxsize=4096)
def parse(text: str, zoned: bool = True) -> datetime:
    """Return the timestamp in ``text``, parsed as in PostgreSQL. If not ``zoned``, an offset from UTC is ignored.

    Raise DataError if the timestamp is invalid.

    >>> parse("2026-11-21 10:30+01")
    datetime.datetime(2026, 11, 21, 9, 30)
    """
    if len(text) > LONGEST:
        raise _invalid(text[:60])
    words = text.strip()
    if words.lower() == "epoch":
        return EPOCH
    found = LOOSE.fullmatch(words) or COMPACT.fullmatch(words)
    if found is None:
        raise _invalid(text)
    clock, offset = _split_offset(found[4] or "")
    try:
        day = datetime(int(found[1]), int(found[2]), int(found[3]))
        return day + _time_of_day(clock, text) - (offset if zoned else timedelta())
    except (ValueError, OverflowError):
        raise errors.data(f'date/time field value out of range: "{text:.80}"', "22008") from None


def _split_offset(clock: str) -> tuple[str, timedelta]:
    """Split a time of day into the time and its offset from UTC."""
    zone = ZONE.search(clock)
    if zone is None:
        return clock, timedelta()
    offset = timedelta(hours=int(zone[2] or 0), minutes=int(zone[3] or 0))
    return clock[: zone.start()], -offset if zone[1] == "-" else offset


def _time_of_day(clock: str, text: str) -> timedelta:
    found = CLOCK.fullmatch(clock.strip())
    if found is None:
        raise _invalid(text)
    micros = round(float("0." + (found[4] or "0")) * SECOND)
    return timedelta(
        hours=int(found[1] or 0), minutes=int(found[2] or 0), seconds=int(found[3] or 0), microseconds=micros
    )


def text_of(time: datetime) -> str:
    """Return the string of a timestamp."""
    text = time.isoformat(" ")
    return text.rstrip("0") if time.microsecond else text


def timestamp(value: Value, zoned: int = 1) -> Value:
    """Return ``value::timestamptz`` if ``zoned``, otherwise ``value::timestamp``, which ignores an offset from UTC."""
    if value is None:
        return None
    lowered = str(value).strip().lower()
    if lowered in ENDLESS:
        return lowered
    if lowered in ("now", "today", "yesterday", "tomorrow"):
        now = datetime.now(UTC).replace(tzinfo=None)
        if lowered == "now":
            return text_of(now)
        shift = {"today": 0, "yesterday": -1, "tomorrow": 1}[lowered]
        return text_of(datetime(now.year, now.month, now.day) + timedelta(days=shift))
    return text_of(parse(str(value), bool(zoned)))


def date(value: Value) -> Value:
    """Return ``value::date``."""
    found = timestamp(value, 0)
    return found if found is None or found in ENDLESS else str(found)[:10]


def to_timestamp(seconds: Value) -> Value:
    """Return ``to_timestamp(seconds)``."""
    if seconds is None:
        return None
    try:
        return text_of(EPOCH + timedelta(microseconds=round(float(seconds) * SECOND)))
    except (ValueError, OverflowError):
        raise errors.data(f"timestamp out of range: {seconds!r:.40}", "22008") from None


def epoch(value: Value) -> Value:
    """Return the seconds since 1970. If they have no fraction, return an integer, because it compares exactly."""
    if value is None:
        return None
    if value in ENDLESS:
        return float("inf") if value == "infinity" else float("-inf")
    since = parse(str(value)) - EPOCH
    seconds = since.days * 86400 + since.seconds
    return seconds + since.microseconds / SECOND if since.microseconds else seconds


def plus(value: Value, step: Value, sign: int = 1) -> Value:
    """Return a timestamp plus an interval, or if ``sign`` is -1, the timestamp minus the interval.

    If the resulting month does not have the timestamp's day, the result is the month's last day, as in PostgreSQL.
    """
    if value is None or step is None:
        return None
    if value in ENDLESS:
        return value
    return text_of(later(parse(str(value)), interval(str(step)), sign))


def later(time: datetime, step: Interval, sign: int = 1) -> datetime:
    """Return ``time`` plus ``sign`` times an interval. Raise DataError if the result is out of range."""
    try:
        if step.months:
            year, month = divmod(time.year * 12 + time.month - 1 + sign * step.months, 12)
            time = time.replace(year=year, month=month + 1, day=min(time.day, calendar.monthrange(year, month + 1)[1]))
        return time + sign * timedelta(days=step.days, microseconds=step.micros)
    except (ValueError, OverflowError):
        raise errors.data("timestamp out of range", "22008") from None


def minus(left: Value, right: Value) -> Value:
    """Return the interval between two timestamps, in days and time."""
    if left is None or right is None:
        return None
    micros = (parse(str(left)) - parse(str(right))) // timedelta(microseconds=1)
    days = int(micros / DAY) if abs(micros) < 2**53 else micros // DAY
    return str(Interval(0, days, micros - days * DAY))


def days_between(left: Value, right: Value) -> Value:
    """Return ``left - right`` for two dates, which is the number of days between them."""
    if left is None or right is None:
        return None
    return (parse(str(left)) - parse(str(right))).days


def date_plus(value: Value, days: Value) -> Value:
    """Return ``date + days``."""
    if value is None or days is None:
        return None
    return text_of(later(parse(str(value)), Interval(days=int(days))))[:10]


def age(left: Value, right: Value) -> Value:
    """Return the years, months, days and time between two timestamps."""
    if left is None or right is None:
        return None
    one, two = parse(str(left)), parse(str(right))
    if one < two:
        return str(_age(two, one).times(-1))
    return str(_age(one, two))


def _age(late: datetime, early: datetime) -> Interval:
    months = (late.year - early.year) * 12 + late.month - early.month
    days = late.day - early.day
    micros = (late - late.replace(hour=0, minute=0, second=0, microsecond=0)) // timedelta(microseconds=1)
    micros -= (early - early.replace(hour=0, minute=0, second=0, microsecond=0)) // timedelta(microseconds=1)
    if micros < 0:
        micros, days = micros + DAY, days - 1
    if days < 0:
        days, months = days + calendar.monthrange(early.year, early.month)[1], months - 1
    return Interval(months, days, micros)


def at_zone(value: Value, zone: Value, direction: int) -> Value:
    """Return ``value AT TIME ZONE zone``.

    If ``direction`` is 1, convert from UTC to the zone's local time. If ``direction`` is -1, convert back to UTC.
    """
    if value is None or zone is None or value in ENDLESS:
        return value if zone is not None else None
    time = parse(str(value))
    offset = ZONE.fullmatch(str(zone)[:LONGEST])
    if offset:  # as in POSIX, a positive offset is west of Greenwich
        shift = timedelta(hours=int(offset[2] or 0), minutes=int(offset[3] or 0)) * (-1 if offset[1] == "-" else 1)
        return text_of(time - direction * shift)
    try:
        known = ZoneInfo(str(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise errors.data(f'time zone "{zone!s:.60}" not recognized', errors.INVALID_PARAMETER) from None
    if direction > 0:
        return text_of(time.replace(tzinfo=UTC).astimezone(known).replace(tzinfo=None))
    return text_of(time.replace(tzinfo=known).astimezone(UTC).replace(tzinfo=None))


def _invalid(text: str) -> Exception:
    return errors.data(f'invalid input syntax for type timestamp: "{text:.80}"', errors.INVALID_DATE)
