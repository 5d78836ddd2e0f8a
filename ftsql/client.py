"""HTTP to one account: connections, retries, rate limits. The only module that imports httpx.

A GET is retried; a write is sent once and tells by ``ambiguous`` whether it may have been accepted.
"""

from __future__ import annotations

import email.utils
import logging
import random
import re
import ssl
import time
import weakref
from collections.abc import Callable, Generator, Mapping
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import httpx
from pydantic_core import to_json

from ftsql.answers import Answer, Reply, is_not_found, refusal
from ftsql.errors import APIConnectionError, APIError, ConfigError, DataError, Error, RateLimitError
from ftsql.providers import Account, missing_key
from ftsql.settings import Settings
from ftsql.workers import Call, Workers

T = TypeVar("T")

RETRIES = 3
RETRY_SECONDS = 15.0  # in all, unless Retry-After asks for more
MAX_RETRY_AFTER = 120.0  # a longer wait is the user's decision
RETRY_STATUS = frozenset({408, 409, 429})
# The response headers that anybody needs; the rest is dropped, whatever a server echoes in it.
TOLD = re.compile(r"retry-after(-ms)?|x-ratelimit-.*|x-request-id|apim-request-id|x-portkey-trace-id|location")
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class _Unreadable(Exception):
    """An answer that is given up, in words."""


class _Redacting(logging.Filter):
    """Keeps the keys of all accounts out of what httpx and httpcore log of a server's answers."""

    accounts: ClassVar[weakref.WeakSet[Account]] = weakref.WeakSet()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        for account in list(self.accounts):
            text = account.redact(text)
        record.msg, record.args = text, ()
        return True


for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy"):
    logging.getLogger(_name).addFilter(_Redacting())


class _Credentials(httpx.Auth):
    """Adds the account's headers as a request leaves, so that no frame or object above holds them."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers.update(self._account.headers())
        yield request


class Client:
    """One account's requests. Safe to use from several threads; ``close`` when done."""

    def __init__(self, account: Account, settings: Settings) -> None:
        self.account = account
        self.settings = settings
        _Redacting.accounts.add(account)
        self._workers = Workers(8)
        self._not_before = 0.0  # monotonic time before which a rate limit forbids requests

    def get(self, path: str = "", query: Mapping[str, str] | None = None) -> Call[Any]:
        """GET ``path`` below the jobs' URL: the decoded JSON, or None where the API says "no such job".

        The call raises APIError (and its kinds), DataError for a body that is no JSON.
        """

        def run(call: Call[Any]) -> Any:
            answer = self._retried(call, lambda: self._send(self._http, "GET", path, query), safe=True)
            if is_not_found(self.account, answer):
                return None
            if not answer.ok:
                raise refusal(self.account, answer)
            value = answer.json(self.account)
            if value is None:
                raise DataError(f"{self.account.name}: answered {answer.url} with null where an object belongs")
            return value

        return self._start(run)

    def act(self, path: str) -> Call[Reply]:
        """POST without a body to ``path`` (cancel, pause, resume).

        Such a call may be repeated without harm, so it is retried like a GET. Raises as ``get`` does,
        APIError with status 404 for an unknown job included.
        """

        def run(call: Call[Reply]) -> Reply:
            answer = self._retried(call, lambda: self._send(self._http, "POST", path), safe=True)
            if not answer.ok:
                raise refusal(self.account, answer)
            value = answer.json(self.account) if answer.body.strip() else None
            return Reply(value, answer.status, answer.request_id)

        return self._start(run)

    def create(self, body: bytes) -> Call[Reply]:
        """POST ``body`` to the jobs' URL at most once, on a connection of its own.

        Sent again only where it cannot have been accepted: a refused connection, or a 429 that is no
        day's quota. Raises APIError; ``ambiguous`` tells that the job may exist all the same.
        """

        def run(call: Call[Reply]) -> Reply:
            def once() -> Answer:
                with self._new_http() as http:
                    return self._send(http, "POST", "", None, body)

            answer = self._retried(call, once, safe=False)
            if not answer.ok:
                raise refusal(self.account, answer)
            try:
                return Reply(answer.json(self.account), answer.status, answer.request_id)
            except DataError as error:
                message = str(error).removeprefix(f"{self.account.name}: ")
                raise APIError(message, provider=self.account.name, status=answer.status, ambiguous=True) from None

        return self._start(run)

    def close(self) -> None:
        """Close all connections; requests under way end by themselves."""
        self._workers.close()
        if "_http" in self.__dict__:
            self._http.close()

    def _start(self, run: Callable[[Call[T]], T]) -> Call[T]:
        if missing := self.account.missing():
            raise ConfigError(missing_key(self.account.name, missing))
        self.account.url()
        self.account.headers()
        return self._workers.start(run)

    @cached_property
    def _http(self) -> httpx.Client:
        return self._new_http()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx.create_ssl_context()

    def _new_http(self) -> httpx.Client:
        plain = self.account.url().startswith("http://")
        return httpx.Client(
            timeout=httpx.Timeout(self.settings.timeout, connect=self.settings.connect_timeout),
            verify=False if plain else self._tls,
            trust_env=not self.account.loopback,
            auth=_Credentials(self.account),
            follow_redirects=False,
            headers={"User-Agent": "ftsql", "Accept": "application/json"},
        )

    def _send(
        self,
        http: httpx.Client,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """One exchange. Raises httpx's errors, and DataError for an answer that is too large or slow."""
        end = time.monotonic() + self.settings.deadline
        headers = {"Content-Type": "application/json"} if method == "POST" else {}
        url = self.account.url(path)
        params = {**self.account.query(), **(query or {})}
        if method == "POST" and body is None and self.account.provider.body:
            body = to_json(self.account.body())
        with http.stream(method, url, params=params, content=body, headers=headers) as response:
            received = bytearray()
            for chunk in response.iter_bytes():
                received += chunk
                if len(received) > self.settings.max_body:
                    raise _Unreadable(f"the answer is larger than {self.settings.max_body} bytes")
                if time.monotonic() > end:
                    raise _Unreadable(f"the answer took longer than {self.settings.deadline:g} s")
            headers = {
                name.lower(): self.account.redact(value)
                for name, value in response.headers.items()
                if TOLD.fullmatch(name.lower())
            }
            return Answer(response.status_code, headers, self.account.redact_body(bytes(received)), url)

    def _retried(self, call: Call[T], once: Callable[[], Answer], *, safe: bool) -> Answer:
        """``once`` with retries: all of them when ``safe``, else only where nothing was accepted."""
        began = time.monotonic()
        attempt = 0
        while True:
            call.sleep(max(0.0, self._not_before - time.monotonic()))
            if call.abandoned.is_set():
                raise APIConnectionError("abandoned before it was sent", provider=self.account.name)
            pause = min(0.5 * 2**attempt, 8.0) * random.uniform(0.75, 1.0)
            attempt += 1
            outcome = self._tried(once)
            if isinstance(outcome, Answer):
                again = outcome.status == 429 or (safe and (outcome.status in RETRY_STATUS or outcome.status >= 500))
                if not again:
                    return outcome
                error: APIError = refusal(self.account, outcome)
                asked = _retry_after(outcome)
                if error.code == "daily_rate_limit_exceeded":
                    raise error
                if asked is not None and asked > MAX_RETRY_AFTER:
                    error.hint = f"It asks to wait {asked:.0f} s: try again then"
                    raise error
                if asked is not None:
                    pause = asked
                    if outcome.status in (429, 503):
                        self._not_before = max(self._not_before, time.monotonic() + asked)
                    began += asked  # waiting that the provider asked for does not count
            else:
                error = outcome
                if not safe and error.ambiguous:
                    raise error
            if attempt > RETRIES or time.monotonic() - began + pause > RETRY_SECONDS:
                if isinstance(error, RateLimitError):
                    error.hint = f"Gave up after {attempt} tries: try again later"
                raise error
            call.sleep(pause)

    def _tried(self, once: Callable[[], Answer]) -> Answer | APIConnectionError:
        """One try. Its error is returned and not raised, so that no frame of httpx hangs on it.

        Raises what another try would not mend.
        """
        try:
            return once()
        except (_Unreadable, httpx.DecodingError) as fault:
            reason = str(fault)
            error: Error = APIConnectionError(
                f"cannot read the answer: {reason}",
                provider=self.account.name,
                hint="Check that base_url is the API's, and what is in between",
                ambiguous=True,
            )
        except httpx.HTTPError as fault:
            return self._connection_error(fault)
        except httpx.InvalidURL as fault:
            error = ConfigError(f"{self.account.name}: base_url cannot be used: {fault}")
        raise error

    def _connection_error(self, fault: httpx.HTTPError) -> APIConnectionError:
        sent = not isinstance(fault, NOT_SENT)
        host = self.account.redact(self.account.url().split("/")[2])
        if isinstance(fault, httpx.TimeoutException):
            what = f"no answer from {host} in time" if sent else f"no connection to {host} in time"
            hint = "Check the network and the base_url, or allow more time with the setting timeout"
        elif not sent:
            what = f"cannot connect to {host}: {fault}"
            hint = "Check the network, a proxy in between, and the base_url"
        else:
            what = f"the connection to {host} broke off: {str(fault) or type(fault).__name__}"
            hint = "Try again; if it goes on, the trouble is at the provider or in between"
        return APIConnectionError(
            self.account.redact(what).rstrip("."), provider=self.account.name, hint=hint, ambiguous=sent
        )


def _retry_after(answer: Answer) -> float | None:
    """Seconds that the answer asks to wait: retry-after-ms, Retry-After in seconds or as a date."""
    try:
        return max(0.0, float(answer.headers["retry-after-ms"]) / 1000)
    except (KeyError, ValueError):
        pass
    value = answer.headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return max(0.0, seconds) if seconds == seconds else None
