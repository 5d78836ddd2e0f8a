"""PostgreSQL's intervals: months, days and microseconds, as the text that PostgreSQL prints.

A month is a calendar month; only in comparisons is it 30 days.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from ftsql.serve import errors

SECOND = 1_000_000
DAY = 86_400 * SECOND
MONTHS = {"month": 1, "year": 12, "decade": 120, "century": 1200, "millennium": 12000}
DAYS = {"day": 1, "week": 7}
TIMES = {"hour": 3600 * SECOND, "minute": 60 * SECOND, "second": SECOND, "millisecond": 1000, "microsecond": 1}
NAMES = {
    "year": "y yr yrs year years",
    "month": "mon mons month months",
    "week": "w week weeks",
    "day": "d day days",
    "hour": "h hr hrs hour hours",
    "minute": "m min mins minute minutes",
    "second": "s sec secs second seconds",
    "millisecond": "ms msec msecs millisecond milliseconds",
    "microsecond": "us usec usecs microsecond microseconds",
    "decade": "decade decades",
    "century": "c century centuries",
    "millennium": "mil millennium millennia",
}
UNITS = {name: unit for unit, names in NAMES.items() for name in names.split()}
PART = re.compile(
    r"\s*(?:(?P<sign>[-+]?)(?P<hours>\d+):(?P<minutes>\d+)(?::(?P<seconds>\d+(?:\.\d*)?))?"
    r"|(?P<years>[-+]?\d+)-(?P<months>\d+)"
    r"|(?P<number>[-+]?\s*(?:\d+\.?\d*|\.\d+))\s*(?P<unit>[a-z]*))\s*"
)
ISO = re.compile(r"p(?:(-?[\d.]+)y)?(?:(-?[\d.]+)m)?(?:(-?[\d.]+)w)?(?:(-?[\d.]+)d)?"
                 r"(?:t(?:(-?[\d.]+)h)?(?:(-?[\d.]+)m)?(?:(-?[\d.]+)s)?)?")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Interval:
    """``months``, ``days`` and ``micros``, each with its own sign."""

    months: int = 0
    days: int = 0
    micros: int = 0

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.months + other.months, self.days + other.days, self.micros + other.micros)

    def times(self, factor: float) -> Interval:
        """Fractions of months become days of a 30-day month, fractions of days become time."""
        months, days = self.months * factor, self.days * factor
        days += (months - int(months)) * 30
        whole = int(round(days, 9))
        return Interval(int(months), whole, round(self.micros * factor + (days - whole) * DAY))

    @property
    def order(self) -> int:
        """Microseconds, a month being 30 days: how intervals compare."""
        return (self.months * 30 + self.days) * DAY + self.micros

    @property
    def epoch(self) -> float:
        """Seconds as ``extract(epoch from …)`` gives them: a year is 365.25 days there."""
        years, months = int(self.months / 12), self.months - 12 * int(self.months / 12)
        return (years * 365.25 + months * 30 + self.days) * 86400 + self.micros / SECOND

    def __str__(self) -> str:
        years = int(self.months / 12)
        words, negative = [], False
        for number, word in ((years, "year"), (self.months - 12 * years, "mon"), (self.days, "day")):
            if number:
                words.append(f"{'+' if negative and number > 0 else ''}{number} {word}{'' if number == 1 else 's'}")
                negative = number < 0
        if self.micros or not words:
            sign = "-" if self.micros < 0 else "+" if negative else ""
            minutes, rest = divmod(abs(self.micros), 60 * SECOND)
            words.append(f"{sign}{minutes // 60:02}:{minutes % 60:02}:{rest // SECOND:02}{fraction(rest % SECOND)}")
        return " ".join(words)


def fraction(micros: int) -> str:
    """The part of a second after the point, or nothing."""
    return f".{micros:06}".rstrip("0") if micros else ""


@lru_cache(maxsize=1024)
def interval(text: str) -> Interval:
    """An interval as PostgreSQL reads one: '1 day 02:00', '3 mons ago', 'P1DT2H'."""
    lowered = text.strip().lower()
    iso = ISO.fullmatch(lowered)
    if iso and len(lowered) > 1:
        units = ("year", "month", "week", "day", "hour", "minute", "second")
        return _sum([(part, unit) for part, unit in zip(iso.groups(), units, strict=True) if part], text)
    ago = lowered.endswith(" ago")
    rest, place = lowered.removesuffix(" ago").removeprefix("@ "), 0
    found = Interval()
    while place < len(rest):
        part = PART.match(rest, place)
        if part is None:
            raise _invalid(text)
        place = part.end()
        if part["hours"]:
            seconds = int(part["hours"]) * 3600 + int(part["minutes"]) * 60
            micros = seconds * SECOND + round(float(part["seconds"] or 0) * SECOND)
            found += Interval(micros=-micros if part["sign"] == "-" else micros)
        elif part["years"]:
            sign = -1 if part["years"].startswith("-") else 1
            found += Interval(12 * int(part["years"]) + sign * int(part["months"]))
        else:
            found += _sum([(part["number"], UNITS.get(part["unit"] or "second", ""))], text)
    if not rest.strip():
        raise _invalid(text)
    return found.times(-1) if ago else found


def _sum(parts: list[tuple[str, str]], text: str) -> Interval:
    found = Interval()
    for number, unit in parts:
        try:
            count = float(number.replace(" ", ""))
        except ValueError:
            raise _invalid(text) from None
        if unit in MONTHS:
            months = count * MONTHS[unit]
            if unit != "month":  # a fraction of a year is whole months
                months = float(round(months))
            found += Interval(months=1).times(months)
        elif unit in DAYS:
            found += Interval(days=1).times(count * DAYS[unit])
        elif unit in TIMES:
            found += Interval(micros=round(count * TIMES[unit]))
        else:
            raise _invalid(text)
    return found


def _invalid(text: str) -> Exception:
    return errors.data(f'invalid input syntax for type interval: "{text:.80}"', errors.INVALID_DATE)
