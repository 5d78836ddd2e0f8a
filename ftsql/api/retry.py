"""Retries: how often a request is sent, and after which pause. No attempt is made before the rate limit allows it.

A request that is not repeatable is sent again only if the server cannot have accepted it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ftsql.api.account import Account
from ftsql.api.calls import Call
from ftsql.api.rate_limiter import LIMITED, MAX_RETRY_AFTER, Limiter
from ftsql.api.request import Request
from ftsql.api.request_log import Asker, RequestLog, RequestRecord
from ftsql.api.responses import UNSUPPORTED, Response, error_from
from ftsql.errors import APIConnectionError, APIError, DataError, Error, RateLimitError
from ftsql.resources.definitions import JOBS

if TYPE_CHECKING:
    from ftsql.api.transport import Transport

RETRIES = 3
RETRY_SECONDS = 15.0  # the maximum for all attempts together; waits that the provider asks for do not count
RETRY_STATUS = frozenset({408, 409, 429})


class RetriedRequest:
    """One request and its attempts.

    request: The request that is sent.
    asker: The statement that the request is sent for.
    ambiguous: Whether the server may have carried out an attempt that failed.
    """

    def __init__(
        self,
        request: Request,
        account: Account,
        limiter: Limiter,
        log: RequestLog,
        asker: Asker | None = None,
    ) -> None:
        self.request = request
        self.ambiguous = False
        self._account = account
        self._limiter = limiter
        self._log = log
        self._logged_path = request.path + (f"?{urlencode(request.query)}" if request.query else "")
        self.asker = asker
        self._counts = log.counts
        self._record: RequestRecord | None = None  # of the last attempt

    def run(self, call: Call[Any], transport: Transport) -> Response:
        """Send the request until a response needs no retry. Return that response, whatever its status.

        Raises APIError or a subclass if the retries are used up or would not help, and ConfigError.
        """
        began = time.monotonic()
        attempt = 0
        pause = 0.0
        while True:
            call.sleep(pause)
            held = self._wait_for_limiter(call)
            began += held
            if call.abandoned.is_set():
                name = self._account.name
                raise APIConnectionError("abandoned before it was sent", provider=name, ambiguous=self.ambiguous)
            attempt += 1
            outcome = self._attempt(attempt, pause + held, call, transport)
            pause = 0.5 * 2 ** (attempt - 1) * random.uniform(0.75, 1.0)
            if isinstance(outcome, Response):
                error, asked = self._error_to_retry(outcome)
                if error is None:
                    return outcome
                if asked is not None:
                    pause = 0.0 if outcome.status in LIMITED else asked  # the limiter makes the next attempt wait
                    began += pause
            else:
                error = outcome
                if error.ambiguous and not self.request.repeatable:
                    raise error
            self.ambiguous = self.ambiguous or error.ambiguous
            if attempt > RETRIES or time.monotonic() - began + pause > RETRY_SECONDS:
                if isinstance(error, RateLimitError):
                    error.hint = f"Gave up after {attempt} tries: try again later"
                error.ambiguous = self.ambiguous
                raise error

    def decode(self, response: Response) -> Any:
        """Return the decoded body of a successful response and count its rows. Raises DataError if it is not JSON."""
        assert self._record is not None
        try:
            value = response.json(self._account, self._reader())
        except DataError as error:
            self._record.error = str(error)
            raise
        self._log.count_rows(self._record, value, self._counts)
        return value

    def _reader(self) -> Callable[[str, bytes], Any] | None:
        """Return the quick reader of what a GET of jobs returns; None for another request."""
        request = self.request
        if request.resource is not JOBS or request.method != "GET":
            return None
        from ftsql.resources import quick_reader  # imports msgspec, so only with the first response

        return {"list": quick_reader.page, "get": quick_reader.one}.get(request.kind)

    def _error_to_retry(self, response: Response) -> tuple[APIError | None, float | None]:
        """Return the error that a retry may avoid, and how many seconds the response asks the client to wait.

        The error is None if the response is final. If the response calls for a retry that would not help, the
        response's error is raised.
        """
        assert self._record is not None
        error = None if response.ok else error_from(self._account, response)
        self._record.error = None if error is None else error.message
        over_quota = error is not None and error.code == "daily_rate_limit_exceeded"
        # The day's quota is for creates; other requests need not wait for it.
        asked = None if over_quota else self._limiter.update(response.status, response.headers)
        retried = response.status == 429 or (self.request.repeatable and _may_succeed_later(response.status))
        if error is None or not retried:
            return None, None
        if over_quota:
            raise error
        if asked is not None and asked > MAX_RETRY_AFTER:
            error.hint = f"It asks to wait {asked:.0f} s: try again then"
            error.ambiguous = self.ambiguous
            raise error
        return error, asked

    def _wait_for_limiter(self, call: Call[Any]) -> float:
        """Wait until the limiter allows a request. Return how many seconds the wait took.

        Responses to other requests may extend the wait.
        """
        seconds = 0.0
        while (left := self._limiter.seconds_left()) > 0 and not call.abandoned.is_set():
            began = time.monotonic()
            self._counts.held[self._account.name] = began + left
            call.sleep(left)
            seconds += time.monotonic() - began
        return seconds

    def _attempt(
        self, attempt: int, waited: float, call: Call[Any], transport: Transport
    ) -> Response | APIConnectionError:
        """Send the request once and log it. Return the response, or the error if a retry may avoid it."""
        milliseconds = round(waited * 1000, 1)
        record = RequestRecord(
            time.time(), self._account.name, self.request.method, self._logged_path, attempt, milliseconds
        )
        self._record = record
        self._log.add(record, self.request.kind, self.asker, self._counts)
        began = time.monotonic()
        try:
            outcome = transport.exchange(self.request, call.abandoned.is_set, self._counts)
        except Error as error:
            record.error = str(error)
            raise
        finally:
            record.milliseconds = round((time.monotonic() - began) * 1000, 1)
        if isinstance(outcome, Response):
            record.status, record.bytes = outcome.status, len(outcome.body) + outcome.saved
        else:
            record.error = outcome.message
        return outcome


def _may_succeed_later(status: int) -> bool:
    """Whether the same request may succeed later."""
    return status in RETRY_STATUS or (status >= 500 and status not in UNSUPPORTED)
