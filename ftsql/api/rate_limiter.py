"""Rate limits: when the next request of an account may be sent. All clients in the process share an account's limiter.

A limiter acts only on header values that are clear. A value that makes no sense delays no request.
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

MAX_RETRY_AFTER = 120.0  # seconds; a longer wait is for the user to decide
LIMITED = frozenset({429, 503})  # the statuses whose Retry-After applies to all requests of the account
NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+", re.ASCII)
DURATION = re.compile(r"(\d+(?:\.\d+)?)(d|h|ms|m|us|µs|ns|s)", re.ASCII)
SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
UNIX_TIMES = 1e9  # no limit resets so many seconds from now, so a number of at least this size is a Unix time


class Limiter:
    """The rate limit of one account, as its responses state it. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._not_before = 0.0  # monotonic time

    def seconds_left(self) -> float:
        """Return how many seconds requests of the account have to wait; 0 if the next request may be sent now."""
        return max(0.0, self._not_before - time.monotonic())

    def update(self, status: int, headers: Mapping[str, str]) -> float | None:
        """Update the limit from a response. Return how many seconds its Retry-After asks the client to wait, or None.

        A wait longer than MAX_RETRY_AFTER delays no request: the next request is sent, and its response decides.
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
    """Return the limiter of ``account``, which accounts with equal credentials share.

    A limiter lives as long as a client holds it.
    """
    sent = to_json([account.query(), account.body(), account.headers()])
    key = (account.name, account.address(), hmac.new(_SALT, sent, hashlib.sha256).hexdigest())
    with _lock:
        found = _limiters.get(key)
        if found is None:
            found = _limiters[key] = Limiter()
        return found


def _number(text: str | None) -> float | None:
    """Return ``text`` as a number if it is a plain one without a sign, or None.

    float() alone would also accept nan, inf and 1_000.
    """
    if text is None or not NUMBER.fullmatch(text.strip()):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds a response asks the client to wait.

    The header is retry-after-ms, or Retry-After with seconds or a date.
    """
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
        # HTTP dates are in UTC. Python would take a date without a zone as local time.
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _seconds_to_reset(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until the request limit resets, or None if it is not used up.

    Token limits do not apply to jobs, so their headers are ignored.
    """
    for suffix in ("-requests", ""):
        remaining = _number(headers.get(f"x-ratelimit-remaining{suffix}"))
        limit = headers.get(f"x-ratelimit-limit{suffix}")
        if remaining == 0 and (limit is None or _number(limit)):  # a limit of 0 or -1 means that there is no limit
            return _parse_reset(headers.get(f"x-ratelimit-reset{suffix}", ""))
    return None


def _parse_reset(text: str) -> float | None:
    """Return how many seconds from now ``text`` means, or None if it is invalid.

    ``text`` is a number of seconds, a Unix time in seconds or milliseconds, or a duration such as 1h2m3.5s.
    """
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
