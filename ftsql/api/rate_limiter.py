"""Rate limits: when the next request of an account may be sent. All clients of the process share its limiter.

A limiter believes only values that are clear; one that makes no sense delays no request.
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

MAX_RETRY_AFTER = 120.0  # whether to wait longer is for the user to decide
LIMITED = frozenset({429, 503})  # the statuses whose Retry-After is for all requests of the account
NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+", re.ASCII)
DURATION = re.compile(r"(\d+(?:\.\d+)?)(d|h|ms|m|us|µs|ns|s)", re.ASCII)
SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
UNIX_TIMES = 1e9  # no limit resets so many seconds from now: a number from here on is a Unix time


class Limiter:
    """The rate limit of one account, as its responses state it. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._not_before = 0.0  # monotonic time

    def seconds_left(self) -> float:
        """Return how many seconds requests of the account have to wait; 0 if the next one may be sent."""
        return max(0.0, self._not_before - time.monotonic())

    def update(self, status: int, headers: Mapping[str, str]) -> float | None:
        """Update the limit from a response; return the seconds that its Retry-After asks to wait, or None.

        A wait beyond MAX_RETRY_AFTER delays no request: the next one may be sent and find out.
        """
        asked = _retry_after(headers)
        if asked is not None and status in LIMITED:
            self._hold_back(asked)
        elif (reset := _seconds_to_reset(headers)) is not None:
            self._hold_back(reset)
        return asked

    def _hold_back(self, seconds: float) -> None:
        if seconds <= MAX_RETRY_AFTER:
            with self._lock:
                self._not_before = max(self._not_before, time.monotonic() + seconds)


_SALT = secrets.token_bytes(32)  # makes the hashes of credentials useless outside this process
_lock = threading.Lock()
_limiters: weakref.WeakValueDictionary[tuple[str, str, str], Limiter] = weakref.WeakValueDictionary()


def limiter(account: Account) -> Limiter:
    """Return the limiter of ``account``; accounts with equal credentials share it. It lives while a client holds it."""
    sent = to_json([account.query(), account.body(), account.headers()])
    key = (account.name, account.address(), hmac.new(_SALT, sent, hashlib.sha256).hexdigest())
    with _lock:
        found = _limiters.get(key)
        if found is None:
            found = _limiters[key] = Limiter()
        return found


def _number(text: str | None) -> float | None:
    """Return a plain number that is not negative, or None; float() would also accept nan, inf and 1_000."""
    if text is None or not NUMBER.fullmatch(text.strip()):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a response asks to wait: retry-after-ms, or Retry-After in seconds or as a date."""
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
        # HTTP's dates are UTC; one without a zone would be taken for this machine's local time.
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _seconds_to_reset(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until the limit of requests resets, if it is used up; token limits do not apply to jobs."""
    for suffix in ("-requests", ""):
        remaining = _number(headers.get(f"x-ratelimit-remaining{suffix}"))
        limit = headers.get(f"x-ratelimit-limit{suffix}")
        if remaining == 0 and (limit is None or _number(limit)):  # a limit of 0 or -1 means that there is no limit
            return _parse_reset(headers.get(f"x-ratelimit-reset{suffix}", ""))
    return None


def _parse_reset(text: str) -> float | None:
    """Return seconds from now. ``text`` is a number of seconds, a Unix time in seconds or milliseconds, or 1h2m3.5s."""
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
