"""PostgreSQL's intervals of months, days and microseconds. In SQLite, an interval is the string that PostgreSQL prints.

A month is a calendar month, but in comparisons it counts as 30 days.
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
    """An interval of months, days and microseconds, each with its own sign.

    >>> str(Interval(months=14, days=-3, micros=5_400_000_000))
    '1 year 2 mons -3 days +01:30:00'
    """

    months: int = 0
    days: int = 0
    micros: int = 0

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.months + other.months, self.days + other.days, self.micros + other.micros)

    def times(self, factor: float) -> Interval:
        """Return the interval multiplied by ``factor``.

        A fraction of a month becomes days, with 30 days to a month. A fraction of a day becomes a time.
        """
        months, days = self.months * factor, self.days * factor
        days += (months - int(months)) * 30
        whole = int(round(days, 9))
        return Interval(int(months), whole, round(self.micros * factor + (days - whole) * DAY))

    @property
    def order(self) -> int:
        """The key by which intervals are sorted: the number of microseconds, with 30 days to a month."""
        return (self.months * 30 + self.days) * DAY + self.micros

    @property
    def epoch(self) -> float:
        """The seconds that ``extract(epoch from …)`` returns, with 365.25 days to a year."""
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
    """Return the fraction of a second with its point, or an empty string if ``micros`` is zero."""
    return f".{micros:06}".rstrip("0") if micros else ""


@lru_cache(maxsize=1024)
def interval(text: str) -> Interval:
    """Return the interval in ``text``, parsed as in PostgreSQL. Raise DataError if ``text`` is invalid.

    >>> interval("1 day 02:00"), interval("3 mons ago").months
    (Interval(months=0, days=1, micros=7200000000), -3)
    """
    lowered = text.strip().lower()
    iso = ISO.fullmatch(lowered)
    if iso and len(lowered) > 1:
        units = ("year", "month", "week", "day", "hour", "minute", "second")
        return _sum([(part, unit) for part, unit in zip(iso.groups(), units, strict=True) if part], text)
    ago = lowered.endswith(" ago")
    rest, at = lowered.removesuffix(" ago").removeprefix("@ "), 0
    found = Interval()
    while at < len(rest):
        part = PART.match(rest, at)
        if part is None:
            raise _invalid(text)
        at = part.end()
        found += _part(part, text)
    if not rest.strip():
        raise _invalid(text)
    return found.times(-1) if ago else found


def _part(part: re.Match[str], text: str) -> Interval:
    if part["hours"]:
        seconds = int(part["hours"]) * 3600 + int(part["minutes"]) * 60
        micros = seconds * SECOND + round(float(part["seconds"] or 0) * SECOND)
        return Interval(micros=-micros if part["sign"] == "-" else micros)
    if part["years"]:
        sign = -1 if part["years"].startswith("-") else 1
        return Interval(12 * int(part["years"]) + sign * int(part["months"]))
    return _sum([(part["number"], UNITS.get(part["unit"] or "second", ""))], text)


def _sum(parts: list[tuple[str, str]], text: str) -> Interval:
    found = Interval()
    for number, unit in parts:
        try:
            count = float(number.replace(" ", ""))
        except ValueError:
            raise _invalid(text) from None
        if unit in MONTHS:
            months = count * MONTHS[unit]
            if unit != "month":  # PostgreSQL rounds a fraction of a year to months
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
