"""HTTP to one account: connections, and what its answers mean. The only module that imports httpx.

A GET is retried; a create is sent once and tells by ``ambiguous`` whether it may have been accepted.
"""

from __future__ import annotations

import logging
import re
import ssl
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import cached_property, partial
from typing import Any, ClassVar, TypeVar

import httpx
from pydantic_core import to_json

from ftsql.answers import Answer, Reply, is_not_found, refusal
from ftsql.attempts import Attempts
from ftsql.errors import APIConnectionError, APIError, ConfigError, DataError, Error
from ftsql.limiter import Limiter, limiter
from ftsql.multipart import Unsent, Upload
from ftsql.providers import Account, missing_key
from ftsql.requests import Asker, Requests
from ftsql.resource import Resource
from ftsql.resources import JOBS
from ftsql.settings import Settings
from ftsql.workers import Call, Workers

T = TypeVar("T")

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
    """One account's requests. Safe to use from several threads; ``close`` when done.

    ``asker`` of a request: what it is sent for, by whose statement the log shows it.
    """

    def __init__(self, account: Account, settings: Settings, log: Requests) -> None:
        self.account = account
        self.settings = settings
        self._log = log
        _Redacting.accounts.add(account)
        self._workers = Workers(8)
        self._closed = False

    def get(
        self,
        path: str = "",
        query: Mapping[str, str] | None = None,
        asker: Asker | None = None,
        *,
        kind: str | None = None,
        resource: Resource = JOBS,
        plain: bool = False,
    ) -> Call[Any]:
        """GET ``path`` below the jobs' URL, or where ``resource`` is: the decoded JSON, None for "no such job".

        ``kind`` is what the counts call it: get, or list; ``plain``: the body's bytes as they are. The call raises
        APIError (and its kinds), DataError for a body that is no JSON.
        """
        path = path if resource.root else self.account.provider.path + path

        def run(call: Call[Any], attempts: Attempts) -> Any:
            once = partial(self._tried, lambda: self._send(self._http, "GET", path, query))
            answer = attempts.answer(call, once, safe=True)
            if is_not_found(self.account, answer, resource):
                return None
            if not answer.ok:
                raise refusal(self.account, answer)
            value = answer.body if plain else attempts.value(answer)
            if value is None:
                raise DataError(f"{self.account.name}: answered {answer.url} with null where an object belongs")
            return value

        listed = path == self.account.provider.path
        return self._start(run, kind or ("list" if listed else "get"), path, query, asker)

    def act(self, path: str, asker: Asker | None = None) -> Call[Reply]:
        """POST without a body to ``path`` below the jobs' URL (cancel, pause, resume).

        Such a call may be repeated without harm, so it is retried like a GET. Raises as ``get`` does,
        APIError with status 404 for an unknown job included.
        """
        path = self.account.provider.path + path

        def run(call: Call[Reply], attempts: Attempts) -> Reply:
            once = partial(self._tried, lambda: self._send(self._http, "POST", path))
            return self._reply(attempts, attempts.answer(call, once, safe=True))

        return self._start(run, path.rpartition("/")[2], path, None, asker)

    def delete(self, path: str, resource: Resource, asker: Asker | None = None) -> Call[Reply]:
        """DELETE ``path`` below base_url, retried like ``act``; "no such …" after a lost answer is no error."""

        def run(call: Call[Reply], attempts: Attempts) -> Reply:
            once = partial(self._tried, lambda: self._send(self._http, "DELETE", path))
            answer = attempts.answer(call, once, safe=True)
            if attempts.unclear and is_not_found(self.account, answer, resource):
                return Reply(None, answer.status, answer.request_id)
            return self._reply(attempts, answer, resource)

        return self._start(run, "delete", path, None, asker)

    def create(
        self, body: bytes | Upload, asker: Asker | None = None, path: str = "", of: Resource = JOBS
    ) -> Call[Reply]:
        """POST ``body`` to the jobs' URL, or to ``path`` where ``of`` is, at most once, on a connection of its own.

        Sent again only where it cannot have been accepted: a refused connection, a file that broke off, a 429 that
        is no day's quota. Raises APIError; ``ambiguous`` tells that the job may exist all the same.
        """
        kind = "upload" if isinstance(body, Upload) else "grant" if path else "create"
        path = path or self.account.provider.path

        def run(call: Call[Reply], attempts: Attempts) -> Reply:
            def once() -> Answer:
                with self._new_http() as http:
                    if not isinstance(body, Upload):
                        return self._send(http, "POST", path, None, body)
                    chunks = body.chunks(call.abandoned.is_set, self._log.counts)
                    return self._send(http, "POST", path, None, chunks, body.headers)

            answer = attempts.answer(call, partial(self._tried, once, body), safe=False)
            if not answer.ok:
                raise refusal(self.account, answer, of)
            try:
                return Reply(attempts.value(answer), answer.status, answer.request_id)
            except DataError as error:
                message = str(error).removeprefix(f"{self.account.name}: ")
                raise APIError(message, provider=self.account.name, status=answer.status, ambiguous=True) from None

        return self._start(run, kind, path, None, asker)

    def _reply(self, attempts: Attempts, answer: Answer, resource: Resource = JOBS) -> Reply:
        if not answer.ok:
            error = refusal(self.account, answer, resource)
            error.ambiguous = error.ambiguous or attempts.unclear
            raise error
        value = attempts.value(answer) if answer.body.strip() else None
        return Reply(value, answer.status, answer.request_id)

    def close(self) -> None:
        """Close all connections; requests under way end by themselves."""
        self._closed = True
        self._workers.close()
        if "_http" in self.__dict__:
            self._http.close()

    def _start(
        self,
        run: Callable[[Call[T], Attempts], T],
        kind: str,
        path: str,
        query: Mapping[str, str] | None,
        asker: Asker | None,
    ) -> Call[T]:
        if missing := self.account.missing():
            raise ConfigError(missing_key(self.account.name, missing))
        self.account.url()
        self.account.headers()
        attempts = Attempts(self.account, self._limiter, self._log, kind, path, query, asker)
        return self._workers.start(lambda call: run(call, attempts))

    @cached_property
    def _limiter(self) -> Limiter:
        return limiter(self.account)

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
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One exchange. Raises httpx's errors, and DataError for an answer that is too large or slow."""
        end = time.monotonic() + self.settings.deadline
        headers = headers or ({"Content-Type": "application/json"} if method == "POST" else {})
        url = self.account.url(path, root=True)
        params = {**self.account.query(), **(query or {})}
        if method == "POST" and body is None and self.account.provider.body:
            body = to_json(self.account.body())
        with http.stream(method, url, params=params, content=body, headers=headers) as response:
            if self._closed:  # while it connected: httpx knows of this connection no more
                response.extensions["network_stream"].close()
            if isinstance(body, Iterator):  # which may take long: the deadline is the answer's
                end = time.monotonic() + self.settings.deadline
            received = bytearray()
            for chunk in response.iter_bytes():
                received += chunk
                if len(received) > self.settings.max_body:
                    raise _Unreadable(f"the answer is larger than max_body = {self.settings.max_body} bytes")
                if time.monotonic() > end:
                    raise _Unreadable(f"the answer took longer than {self.settings.deadline:g} s")
            headers = {
                name.lower(): self.account.redact(value)
                for name, value in response.headers.items()
                if TOLD.fullmatch(name.lower())
            }
            return Answer(response.status_code, headers, self.account.redact_body(bytes(received)), url)

    def _tried(self, once: Callable[[], Answer], body: object = None) -> Answer | APIConnectionError:
        """One try. Its error is returned and not raised, so that no frame of httpx hangs on it.

        Raises what another try would not mend. Of an upload whose ``body`` did not leave whole nothing can come.
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
        except Unsent as fault:
            error = APIError(str(fault), provider=self.account.name, hint="Nothing was stored")
        except httpx.HTTPError as fault:
            broken = self._connection_error(fault)
            broken.ambiguous = broken.ambiguous and not (isinstance(body, Upload) and not body.complete)
            return broken
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
