"""PostgreSQL's timestamps and dates, as texts in UTC: 2026-11-21 09:30:00.5 and 2026-11-21.

A text never ends in zeros after its point, so that texts compare as the times do.
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


LONGEST = 200  # characters of a time; some of these patterns take the square of it


def is_time(text: str) -> bool:
    """Whether a text is a timestamp or date, and not an interval."""
    return len(text) <= LONGEST and TIME.match(text) is not None


@lru_cache(maxsize=4096)
def parse(text: str, zoned: bool = True) -> datetime:
    """A timestamp as PostgreSQL reads one. ``zoned``: an offset counts; else it is passed over."""
    if len(text) > LONGEST:
        raise _invalid(text[:60])
    words = text.strip()
    lowered = words.lower()
    if lowered == "epoch":
        return EPOCH
    found = LOOSE.fullmatch(words)
    if found is None:
        compact = re.fullmatch(r"(\d{4})(\d\d)(\d\d)(?:[ T]*(.*))?", words)
        if compact is None:
            raise _invalid(text)
        found = compact
    clock, offset = found[4] or "", timedelta()
    zone = ZONE.search(clock)
    if zone:
        clock = clock[: zone.start()]
        if zone[1] and zoned:
            shift = timedelta(hours=int(zone[2]), minutes=int(zone[3] or 0))
            offset = shift if zone[1] == "+" else -shift
    try:
        day = datetime(int(found[1]), int(found[2]), int(found[3]))
        hours = re.fullmatch(r"(?:(\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?", clock.strip())
        if hours is None:
            raise _invalid(text)
        micros = round(float("0." + (hours[4] or "0")) * SECOND)
        time = timedelta(
            hours=int(hours[1] or 0), minutes=int(hours[2] or 0), seconds=int(hours[3] or 0), microseconds=micros
        )
        return day + time - offset
    except (ValueError, OverflowError):
        raise errors.data(f'date/time field value out of range: "{text:.80}"', "22008") from None


def text_of(time: datetime) -> str:
    """The text of a timestamp."""
    text = time.isoformat(" ")
    return text.rstrip("0") if time.microsecond else text


def timestamp(value: Value, zoned: int = 1) -> Value:
    """``value::timestamptz``, or ``::timestamp`` where an offset is passed over."""
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
    """``value::date``."""
    found = timestamp(value, 0)
    return found if found is None or found in ENDLESS else str(found)[:10]


def to_timestamp(seconds: Value) -> Value:
    """``to_timestamp(seconds)``."""
    if seconds is None:
        return None
    try:
        return text_of(EPOCH + timedelta(microseconds=round(float(seconds) * SECOND)))
    except (ValueError, OverflowError):
        raise errors.data(f"timestamp out of range: {seconds!r:.40}", "22008") from None


def epoch(value: Value) -> Value:
    """Seconds since 1970: whole ones as an integer, which compares exactly."""
    if value is None:
        return None
    if value in ENDLESS:
        return float("inf") if value == "infinity" else float("-inf")
    since = parse(str(value)) - EPOCH
    whole = since.days * 86400 + since.seconds
    return whole + since.microseconds / SECOND if since.microseconds else whole


def plus(value: Value, step: Value, sign: int = 1) -> Value:
    """A timestamp, an interval later; a month's end stays within its month."""
    if value is None or step is None:
        return None
    if value in ENDLESS:
        return value
    return text_of(later(parse(str(value)), interval(str(step)), sign))


def later(time: datetime, step: Interval, sign: int = 1) -> datetime:
    """``time`` and an interval."""
    try:
        if step.months:
            year, month = divmod(time.year * 12 + time.month - 1 + sign * step.months, 12)
            time = time.replace(year=year, month=month + 1, day=min(time.day, calendar.monthrange(year, month + 1)[1]))
        return time + sign * timedelta(days=step.days, microseconds=step.micros)
    except (ValueError, OverflowError):
        raise errors.data("timestamp out of range", "22008") from None


def minus(left: Value, right: Value) -> Value:
    """The interval between two timestamps: days and time."""
    if left is None or right is None:
        return None
    micros = (parse(str(left)) - parse(str(right))) // timedelta(microseconds=1)
    days = int(micros / DAY) if abs(micros) < 2**53 else micros // DAY
    return str(Interval(0, days, micros - days * DAY))


def days_between(left: Value, right: Value) -> Value:
    """``date - date``."""
    if left is None or right is None:
        return None
    return (parse(str(left)) - parse(str(right))).days


def date_plus(value: Value, days: Value) -> Value:
    """``date + integer``."""
    if value is None or days is None:
        return None
    return text_of(later(parse(str(value)), Interval(days=int(days))))[:10]


def age(left: Value, right: Value) -> Value:
    """Years, months and days between two timestamps, as a person counts them."""
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


def at_zone(value: Value, zone: Value, towards: int) -> Value:
    """``AT TIME ZONE``: ``towards`` 1 from UTC to the zone's clock, -1 back."""
    if value is None or zone is None or value in ENDLESS:
        return value if zone is not None else None
    time = parse(str(value))
    offset = ZONE.fullmatch(str(zone)[:LONGEST])
    if offset:  # POSIX: a positive offset is west of Greenwich
        shift = timedelta(hours=int(offset[2] or 0), minutes=int(offset[3] or 0)) * (-1 if offset[1] == "-" else 1)
        return text_of(time - towards * shift)
    try:
        known = ZoneInfo(str(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise errors.data(f'time zone "{zone!s:.60}" not recognized', errors.INVALID_PARAMETER) from None
    if towards > 0:
        return text_of(time.replace(tzinfo=UTC).astimezone(known).replace(tzinfo=None))
    return text_of(time.replace(tzinfo=known).astimezone(UTC).replace(tzinfo=None))


def _invalid(text: str) -> Exception:
    return errors.data(f'invalid input syntax for type timestamp: "{text:.80}"', errors.INVALID_DATE)
