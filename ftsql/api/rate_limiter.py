"""When an account may be asked again: one limiter per account, shared by everything in the process that asks it.

It believes only what an answer says clearly; a value that makes no sense holds nobody back.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import threading
import time
import weakref
from collections.abc import Mapping
from datetime import UTC

from pydantic_core import to_json

from ftsql.api.account import Account

MAX_RETRY_AFTER = 120.0  # a longer wait is the user's decision
LIMITED = frozenset({429, 503})
NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+", re.ASCII)
DURATION = re.compile(r"(\d+(?:\.\d+)?)(d|h|ms|m|us|µs|ns|s)", re.ASCII)
SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
UNIX_TIMES = 1e9  # no limit resets that many seconds from now: from here on a number is a time


class Limiter:
    """What the answers of one account said of its limits. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._not_before = 0.0  # monotonic time

    def seconds_left(self) -> float:
        """How long requests of the account have to wait from now on; 0 where they may go."""
        return max(0.0, self._not_before - time.monotonic())

    def heard(self, status: int, headers: Mapping[str, str]) -> float | None:
        """Take in an answer; gives the seconds that its Retry-After asks to wait.

        A wait beyond MAX_RETRY_AFTER holds nobody back: the next request may go and see.
        """
        asked = _retry_after(headers)
        if asked is not None and status in LIMITED:
            self._hold(asked)
        elif (reset := _used_up(headers)) is not None:
            self._hold(reset)
        return asked

    def _hold(self, seconds: float) -> None:
        if seconds <= MAX_RETRY_AFTER:
            with self._lock:
                self._not_before = max(self._not_before, time.monotonic() + seconds)


_SALT = secrets.token_bytes(32)  # so that a hash of credentials means nothing outside this process
_lock = threading.Lock()
_limiters: weakref.WeakValueDictionary[tuple[str, str, str], Limiter] = weakref.WeakValueDictionary()


def limiter(account: Account) -> Limiter:
    """The limiter of ``account``, the same for equal credentials; it lasts as long as somebody holds it."""
    sent = to_json([account.query(), account.body(), account.headers()])
    key = (account.name, account.address(), hmac.new(_SALT, sent, hashlib.sha256).hexdigest())
    with _lock:
        found = _limiters.get(key)
        if found is None:
            found = _limiters[key] = Limiter()
        return found


def _number(text: str | None) -> float | None:
    """A plain number that is not negative; float() would also take nan, inf and 1_000."""
    if text is None or not NUMBER.fullmatch(text.strip()):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait: retry-after-ms, Retry-After in seconds or as a date."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after", "")
    seconds = _number(text)
    if seconds is not None:
        return seconds
    if not text:
        return None
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(text)
        # Without a zone it would be read as this machine's time; HTTP's dates are UTC.
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _used_up(headers: Mapping[str, str]) -> float | None:
    """Seconds until the limit of requests resets, where none is left. The limits of tokens are not for jobs."""
    for suffix in ("-requests", ""):
        remaining = _number(headers.get(f"x-ratelimit-remaining{suffix}"))
        limit = headers.get(f"x-ratelimit-limit{suffix}")
        if remaining == 0 and (limit is None or _number(limit)):  # a limit of 0 or -1 stands for none
            return _reset(headers.get(f"x-ratelimit-reset{suffix}", ""))
    return None


def _reset(text: str) -> float | None:
    """Seconds from now: a number of seconds, a Unix time in seconds or milliseconds, or 1h2m3.5s."""
    text = text.strip()
    value = _number(text)
    if value is None:
        parts = DURATION.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            return None
        return sum(float(number) * SECONDS[unit] for number, unit in parts)
    if value >= UNIX_TIMES * 1000:
        value /= 1000
    return max(0.0, value - time.time()) if value >= UNIX_TIMES else value
