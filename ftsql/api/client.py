"""What is asked of one account, and what its answers mean.

A GET is retried; a create is sent once and tells by ``ambiguous`` whether it may have been accepted.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from ftsql import interrupts
from ftsql.api.account import Account, in_url, missing_key
from ftsql.api.calls import Call, Workers
from ftsql.api.pages import decoded
from ftsql.api.rate_limiter import Limiter, limiter
from ftsql.api.request_log import Asker, Counts, RequestLog
from ftsql.api.responses import GONE, Reply, Response, is_not_found, refusal
from ftsql.api.retry import RetriedRequest
from ftsql.api.upload import Upload
from ftsql.errors import APIError, ConfigError, DataError, InterfaceError
from ftsql.resources.definitions import FILES, JOBS
from ftsql.resources.resource import Resource
from ftsql.settings import Settings

if TYPE_CHECKING:
    from ftsql.api.download import Download
    from ftsql.api.transport import Transport

T = TypeVar("T")


class Client:
    """One account's requests. Safe to use from several threads; ``close`` when done.

    ``asker`` of a request: what it is sent for, by whose statement the log shows it.
    """

    def __init__(self, account: Account, settings: Settings, log: RequestLog) -> None:
        self.account = account
        self.settings = settings
        self._log = log
        self._workers = Workers(8)
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._opened: Transport | None = None

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

        listed = path == (resource.path if resource.root else self.account.provider.path)
        single = kind is None and not (plain or listed)

        def run(call: Call[Any], attempts: RetriedRequest) -> Any:
            once = partial(self._transport.tried, lambda: self._transport.send("GET", path, query))
            answer = attempts.answer(call, once, safe=True)
            if is_not_found(self.account, answer, resource, sure=single):
                return None
            if single and answer.status in GONE:
                error = refusal(self.account, answer)
                if self._gives_single(call, path.rpartition("/")[2], error, resource, asker):
                    return None
                if self.account.single.get(resource.table) is False:
                    error.hint = (
                        f"{self.account.url(path, root=True)} answers nothing, and neither does the address of a "
                        f'{resource.noun} that is in the list: say so in its entry, without = ["retrieve"]'
                    )
                raise error
            if not answer.ok:
                raise refusal(self.account, answer)
            if plain and answer.status != 200:
                words = f"answered {answer.url} with HTTP {answer.status}, which is no whole file"
                raise DataError(f"{self.account.name}: {words}")
            value = answer.body if plain else attempts.value(answer)
            if value is None:
                raise DataError(f"{self.account.name}: answered {answer.url} with null where an object belongs")
            return value

        return self._start(run, kind or ("list" if listed else "get"), path, query, asker)

    def download(self, path: str, into: Download, asker: Asker | None = None) -> Call[bool]:
        """GET ``path``, whose body goes ``into`` a file; the call gives whether there is such a file.

        It raises as ``get`` does, and OperationalError if the disk cannot take it.
        """

        def run(call: Call[bool], attempts: RetriedRequest) -> bool:
            def once() -> Response:
                return self._transport.send("GET", path, into=into, stopped=call.abandoned.is_set)

            answer = attempts.answer(call, partial(self._transport.tried, once), safe=True)
            if is_not_found(self.account, answer, FILES):
                return False
            if not answer.ok:
                raise refusal(self.account, answer, FILES)
            if answer.status != 200:
                words = f"answered {answer.url} with HTTP {answer.status}, which is no whole file"
                raise DataError(f"{self.account.name}: {words}")
            return True

        return self._start(run, "download", path, None, asker)

    @property
    def counts(self) -> Counts:
        """What is counted of its requests now."""
        return self._log.counts

    def _gives_single(
        self, call: Call[Any], missed: str, error: APIError, resource: Resource, asker: Asker | None
    ) -> bool:
        """Whether the server has the address of a single job (or file, …), so that ``error``, a 404, means the id.

        Many gateways say neither: another object of the list than ``missed`` is asked for, once.
        Without any there is none to miss.
        Raises what the list is answered with, but ``error`` itself if that is a 404 too.
        """
        if resource.table in self.account.single:
            return self.account.single[resource.table]
        path = resource.path if resource.root else self.account.provider.path

        def asked(kind: str, path: str, query: Mapping[str, str] | None) -> Any:
            attempts = RetriedRequest(self.account, self._limiter, self._log, kind, path, query, asker)
            once = partial(self._transport.tried, lambda: self._transport.send("GET", path, query))
            answer = attempts.answer(call, once, safe=True)
            if not answer.ok and answer.status not in GONE:
                raise refusal(self.account, answer)
            return attempts.value(answer) if answer.ok else None

        body = asked("list", path, {"limit": "2"})
        if body is None:
            raise error
        data = decoded(self.account.name, resource.noun, body).objects
        if not data:
            return True
        ids = [each["id"] for each in data if isinstance(each, dict) and isinstance(each.get("id"), str)]
        known = next((id for id in ids if in_url(self.account, id) and id != missed), None)
        one = None if known is None else asked("get", f"{path}/{known}", None)
        found = isinstance(one, dict) and one.get("id") == known
        if known is not None or missed not in ids:
            self.account.single[resource.table] = found
        return found

    def act(self, path: str, asker: Asker | None = None) -> Call[Reply]:
        """POST without a body to ``path`` below the jobs' URL (cancel, pause, resume).

        Such a call may be repeated without harm, so it is retried like a GET. Raises as ``get`` does,
        APIError with status 404 for an unknown job included.
        """
        path = self.account.provider.path + path

        def run(call: Call[Reply], attempts: RetriedRequest) -> Reply:
            once = partial(self._transport.tried, lambda: self._transport.send("POST", path))
            return self._reply(attempts, attempts.answer(call, once, safe=True))

        return self._start(run, path.rpartition("/")[2], path, None, asker)

    def delete(self, path: str, resource: Resource, asker: Asker | None = None) -> Call[Reply]:
        """DELETE ``path`` below base_url, retried like ``act``; "no such …" after a lost answer is no error."""

        def run(call: Call[Reply], attempts: RetriedRequest) -> Reply:
            once = partial(self._transport.tried, lambda: self._transport.send("DELETE", path))
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

        def run(call: Call[Reply], attempts: RetriedRequest) -> Reply:
            def once() -> Response:
                with self._transport.new() as http:
                    if not isinstance(body, Upload):
                        return self._transport.send("POST", path, None, body, http=http)
                    chunks = body.chunks(call.abandoned.is_set, self._log.counts)
                    return self._transport.send("POST", path, None, chunks, body.headers, http)

            answer = attempts.answer(call, partial(self._transport.tried, once, body), safe=False)
            if not answer.ok:
                raise refusal(self.account, answer, of, creates=of is JOBS)
            try:
                return Reply(attempts.value(answer), answer.status, answer.request_id)
            except DataError as error:
                message = str(error).removeprefix(f"{self.account.name}: ")
                raise APIError(message, provider=self.account.name, status=answer.status, ambiguous=True) from None

        return self._start(run, kind, path, None, asker)

    def _reply(self, attempts: RetriedRequest, answer: Response, resource: Resource = JOBS) -> Reply:
        if not answer.ok:
            error = refusal(self.account, answer, resource)
            error.ambiguous = error.ambiguous or attempts.unclear
            raise error
        value = attempts.value(answer) if answer.body.strip() else None
        return Reply(value, answer.status, answer.request_id)

    def close(self) -> None:
        """Close all connections; requests under way end by themselves."""
        self._workers.close()
        if self._opened is not None:
            self._opened.close()

    def _start(
        self,
        run: Callable[[Call[T], RetriedRequest], T],
        kind: str,
        path: str,
        query: Mapping[str, str] | None,
        asker: Asker | None,
    ) -> Call[T]:
        if missing := self.account.missing():
            raise ConfigError(missing_key(self.account.name, missing))
        self.account.url()
        self.account.headers()
        assert self._transport  # made here, where an error of its own is the statement's
        attempts = RetriedRequest(self.account, self._limiter, self._log, kind, path, query, asker)
        return self._workers.start(lambda call: run(call, attempts))

    @cached_property
    def _limiter(self) -> Limiter:
        return limiter(self.account)

    def prepare(self) -> None:
        """Load what requests need, httpx among it, before one is sent that must not be disturbed.

        Raises ConfigError where nothing can be sent: an address, a proxy or certificates that cannot be used.
        """
        if not self.account.missing():
            self._transport  # noqa: B018 - which is made when it is first looked at

    @property
    def _transport(self) -> Transport:
        """The connections, opened when they are first needed."""
        if os.getpid() != self._process:
            raise InterfaceError("this connection was made before a fork, which takes no threads along: connect again")
        with self._lock:
            if self._opened is None:
                with interrupts.keep_keyboard_interrupt():
                    from ftsql.api.transport import Transport

                self._opened = Transport(self.account, self.settings)
            return self._opened
