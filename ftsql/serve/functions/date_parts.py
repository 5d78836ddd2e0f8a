"""date_trunc, date_part, extract and date_bin, which work with the units of timestamps and intervals.

A unit is one of PostgreSQL's words, such as month. An unknown unit is an error, never NULL.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from ftsql.serve import errors
from ftsql.serve.functions.intervals import SECOND, UNITS, Interval, interval
from ftsql.serve.functions.timestamps import ENDLESS, EPOCH, Value, at_zone, is_time, parse, text_of

LONG = {"decade": 10, "century": 100, "millennium": 1000}  # the length of each unit, in years
SHORT = {"hour": 3600 * SECOND, "minute": 60 * SECOND, "second": SECOND, "millisecond": 1000, "microsecond": 1}
ONLY_OF_TIMES = ("epoch", "quarter", "dow", "isodow", "doy", "isoyear", "julian", "timezone")


def unit_name(word: Value) -> str:
    """Return the name of a unit for one of its spellings.

    >>> unit_name("MONS"), unit_name("qtr")
    ('month', 'quarter')
    """
    lowered = str(word).strip().lower()
    if lowered in ONLY_OF_TIMES or lowered.startswith("timezone_"):
        return lowered
    found = {"dec": "decade", "qtr": "quarter", "decades": "decade"}.get(lowered) or UNITS.get(lowered)
    if found is None:
        raise errors.data(f'unit "{lowered:.40}" not recognized', errors.INVALID_PARAMETER)
    return found


def date_trunc(word: Value, value: Value, zone: Value = "UTC") -> Value:
    """Return ``date_trunc(unit, timestamp or interval[, zone])``."""
    if word is None or value is None or zone is None:
        return None
    unit, text = unit_name(word), str(value)
    if text in ENDLESS:
        return text
    if not is_time(text):
        return str(_truncated_interval(unit, interval(text)))
    if str(zone).upper() not in ("UTC", "GMT"):
        local = date_trunc(unit, at_zone(text, zone, 1))
        return at_zone(local, zone, -1)
    if unit == "day":
        return text[:10] + " 00:00:00"
    if unit == "hour":
        return (text[:13] if len(text) > 10 else text + " 00") + ":00:00"
    return text_of(_truncated_time(unit, parse(text)))


def _truncated_time(unit: str, time: datetime) -> datetime:
    midnight = datetime(time.year, time.month, time.day)
    if unit in SHORT:
        micros = (time - midnight) // timedelta(microseconds=1)
        return midnight + timedelta(microseconds=micros - micros % SHORT[unit])
    if unit == "week":
        return midnight - timedelta(days=midnight.weekday())
    if unit == "month":
        return datetime(time.year, time.month, 1)
    if unit == "quarter":
        return datetime(time.year, (time.month - 1) // 3 * 3 + 1, 1)
    if unit == "year":
        return datetime(time.year, 1, 1)
    if unit == "decade":
        return datetime(max(time.year // 10 * 10, 1), 1, 1)
    if unit in LONG:
        return datetime((time.year - 1) // LONG[unit] * LONG[unit] + 1, 1, 1)
    raise errors.data(f'unit "{unit}" not supported for type timestamp', errors.UNSUPPORTED)


def _truncated_interval(unit: str, step: Interval) -> Interval:
    if unit in SHORT:
        return Interval(step.months, step.days, int(step.micros / SHORT[unit]) * SHORT[unit])
    if unit == "day":
        return Interval(step.months, step.days)
    size = {"month": 1, "quarter": 3, "year": 12, "decade": 120, "century": 1200, "millennium": 12000}.get(unit)
    if size is None:
        raise errors.data(f'unit "{unit}" not supported for type interval', errors.UNSUPPORTED)
    return Interval(int(step.months / size) * size)


def date_part(word: Value, value: Value) -> Value:
    """Return ``extract(unit from value)``. If the result has no fraction, it is an integer."""
    if word is None or value is None:
        return None
    unit, text = unit_name(word), str(value)
    if text in ENDLESS:
        return None if unit not in ("epoch", "year") else float(text.replace("inity", ""))
    found = _of_time(unit, parse(text)) if is_time(text) else _of_interval(unit, interval(text))
    return int(found) if found == int(found) else found


def _of_time(unit: str, time: datetime) -> float:
    micros = time.second * SECOND + time.microsecond
    iso = time.isocalendar()
    if unit == "epoch":
        since = time - EPOCH
        return since.days * 86400 + since.seconds + since.microseconds / SECOND
    found: dict[str, float] = {
        "year": time.year, "month": time.month, "day": time.day, "hour": time.hour, "minute": time.minute,
        "second": micros / SECOND, "millisecond": micros / 1000, "microsecond": micros,
        "quarter": (time.month + 2) // 3, "week": iso.week, "isoyear": iso.year, "isodow": iso.weekday,
        "dow": iso.weekday % 7, "doy": time.timetuple().tm_yday, "decade": time.year // 10,
        "century": (time.year + 99) // 100, "millennium": (time.year + 999) // 1000, "timezone": 0,
        "timezone_hour": 0, "timezone_minute": 0,
        "julian": time.toordinal() + 1721425 + (time.hour * 3600 + time.minute * 60 + micros / SECOND) / 86400,
    }  # fmt: skip
    return found[unit]


def _of_interval(unit: str, step: Interval) -> float:
    if unit == "epoch":
        return step.epoch
    years = int(step.months / 12)
    months = step.months - 12 * years
    sign = -1 if step.micros < 0 else 1
    micros = abs(step.micros)
    found: dict[str, float] = {
        "year": years, "month": months, "day": step.days, "quarter": months // 3 + 1,
        "hour": sign * (micros // (3600 * SECOND)), "minute": sign * (micros // (60 * SECOND) % 60),
        "second": sign * (micros % (60 * SECOND)) / SECOND, "millisecond": sign * (micros % (60 * SECOND)) / 1000,
        "microsecond": sign * (micros % (60 * SECOND)), "decade": int(years / 10), "century": int(years / 100),
        "millennium": int(years / 1000),
    }  # fmt: skip
    if unit not in found:
        raise errors.data(f'unit "{unit}" not supported for type interval', errors.UNSUPPORTED)
    return found[unit]


def date_bin(step: Value, value: Value, origin: Value) -> Value:
    """Return ``date_bin(interval, timestamp, origin)``."""
    if step is None or value is None or origin is None:
        return None
    size = interval(str(step))
    if size.months or size.order <= 0:
        raise errors.data("date_bin takes an interval of days and time that is longer than zero", errors.UNSUPPORTED)
    start = parse(str(origin))
    micros = (parse(str(value)) - start) // timedelta(microseconds=1)
    return text_of(start + timedelta(microseconds=micros - micros % size.order))
