"""One request with its retries: how often, after which pause, and never before the account's limit allows it.

What is not ``safe`` to repeat is tried again only where it cannot have been accepted.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from ftsql.account import Account
from ftsql.answers import NEVER_DONE, Answer, refusal
from ftsql.errors import APIConnectionError, DataError, Error, RateLimitError
from ftsql.limiter import LIMITED, MAX_RETRY_AFTER, Limiter
from ftsql.requests import Asker, Request, Requests
from ftsql.workers import Call

RETRIES = 3
RETRY_SECONDS = 15.0  # in all, and what the provider asks to wait is not counted
RETRY_STATUS = frozenset({408, 409, 429})

Once = Callable[[], Answer | APIConnectionError]  # one try; a connection's error is returned


class Attempts:
    """The attempts at one request. ``kind`` is what the counts call it; ``unclear``: one may have been carried out."""

    def __init__(
        self,
        account: Account,
        limiter: Limiter,
        log: Requests,
        kind: str,
        path: str,
        query: Mapping[str, str] | None = None,
        asker: Asker | None = None,
    ) -> None:
        self._account = account
        self._limiter = limiter
        self._log = log
        self._kind = kind
        self._method = {"list": "GET", "get": "GET", "download": "GET", "delete": "DELETE"}.get(kind, "POST")
        self._path = path + (f"?{urlencode(query)}" if query else "")
        self._asker = asker
        self._counts = log.counts
        self._record: Request | None = None  # of the last attempt
        self.unclear = False

    def answer(self, call: Call[Any], once: Once, *, safe: bool) -> Answer:
        """The answer, whatever it says, after the retries that it allows.

        Raises APIError and its kinds when they are used up, and what ``once`` raises.
        """
        began = time.monotonic()
        attempt = 0
        pause = 0.0
        while True:
            call.sleep(pause)
            held = self._held_back(call)
            began += held
            if call.abandoned.is_set():
                name = self._account.name
                raise APIConnectionError("abandoned before it was sent", provider=name, ambiguous=self.unclear)
            attempt += 1
            record = self._record = self._sent(attempt, pause + held)
            outcome = self._tried(once, record)
            pause = 0.5 * 2 ** (attempt - 1) * random.uniform(0.75, 1.0)
            if isinstance(outcome, Answer):
                error = None if outcome.ok else refusal(self._account, outcome)
                record.error = None if error is None else error.message
                quota = error is not None and error.code == "daily_rate_limit_exceeded"
                # A day's quota is one of creates: it says nothing of other requests.
                asked = None if quota else self._limiter.heard(outcome.status, outcome.headers)
                again = outcome.status == 429 or (safe and _passes(outcome.status))
                if error is None or not again:
                    return outcome
                if quota:
                    raise error
                if asked is not None and asked > MAX_RETRY_AFTER:
                    error.hint = f"It asks to wait {asked:.0f} s: try again then"
                    error.ambiguous = self.unclear
                    raise error
                if asked is not None:
                    pause = 0.0 if outcome.status in LIMITED else asked  # the limiter holds it back
                    began += pause
            else:
                error = outcome
                if not safe and error.ambiguous:
                    raise error
            self.unclear = self.unclear or error.ambiguous
            if attempt > RETRIES or time.monotonic() - began + pause > RETRY_SECONDS:
                if isinstance(error, RateLimitError):
                    error.hint = f"Gave up after {attempt} tries: try again later"
                error.ambiguous = self.unclear
                raise error

    def value(self, answer: Answer) -> Any:
        """The decoded body of an answer that succeeded. Raises DataError for anything but JSON."""
        assert self._record is not None
        try:
            value = answer.json(self._account)
        except DataError as error:
            self._record.error = str(error)
            raise
        self._log.received(self._record, value, self._counts)
        return value

    def _held_back(self, call: Call[Any]) -> float:
        """Wait until the limiter lets a request go, which others may put off meanwhile; gives the seconds."""
        seconds = 0.0
        while (left := self._limiter.seconds_left()) > 0 and not call.abandoned.is_set():
            began = time.monotonic()
            self._counts.held[self._account.name] = began + left
            call.sleep(left)
            seconds += time.monotonic() - began
        return seconds

    def _sent(self, attempt: int, waited: float) -> Request:
        waited = round(waited * 1000, 1)
        record = Request(time.time(), self._account.name, self._method, self._path, attempt, waited)
        self._log.add(record, self._kind, self._asker, self._counts)
        return record

    def _tried(self, once: Once, record: Request) -> Answer | APIConnectionError:
        began = time.monotonic()
        try:
            outcome = once()
        except Error as error:
            record.error = str(error)
            raise
        finally:
            record.milliseconds = round((time.monotonic() - began) * 1000, 1)
        if isinstance(outcome, Answer):
            record.status, record.bytes = outcome.status, len(outcome.body) + outcome.kept
        else:
            record.error = outcome.message
        return outcome


def _passes(status: int) -> bool:
    """Whether the same request may succeed later."""
    return status in RETRY_STATUS or (status >= 500 and status not in NEVER_DONE)
