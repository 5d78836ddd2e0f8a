"""The client of one account: it sends the requests of the rest of ftsql, and reads their responses.

A GET is retried. A create is sent again only if the server cannot have accepted it. If a create fails, the attribute
``ambiguous`` of the error says whether the server may have accepted the create.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from ftsql import interrupts
from ftsql.api.account import Account, missing_key
from ftsql.api.calls import Call, Workers
from ftsql.api.pages import decode_page
from ftsql.api.rate_limiter import Limiter, limiter
from ftsql.api.request import Request
from ftsql.api.request_log import Asker, Counts, RequestLog
from ftsql.api.responses import GONE, Reply, Response, error_from, is_not_found
from ftsql.api.retry import RetriedRequest
from ftsql.api.upload import Upload
from ftsql.errors import APIError, ConfigError, DataError, InterfaceError
from ftsql.resources.definitions import FILES, JOBS
from ftsql.resources.resource import Resource, Row
from ftsql.settings import Settings

if TYPE_CHECKING:
    from ftsql.api.download import Download
    from ftsql.api.transport import Transport

T = TypeVar("T")

# A function that makes a call's result from the response. With the call and the RetriedRequest, it can send further
# requests.
Reader = Callable[[Call[T], RetriedRequest, Response], T]


class Client:
    """The requests of one account. A client is safe to use from several threads, and must be closed after use.

    Each method that sends a request starts a call and returns at once. ``asker`` holds the statement that the request
    log shows.
    """

    def __init__(self, account: Account, settings: Settings, log: RequestLog) -> None:
        self.account = account
        self.settings = settings
        self._log = log
        self._workers = Workers(settings.max_parallel)
        self._lock = threading.Lock()
        self._probing = threading.Lock()  # one call at a time finds out whether single objects can be read by id
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
        """GET ``path`` below the jobs' URL, or below base_url if ``resource`` is served there.

        The call returns the decoded JSON, or, if ``plain``, the body as bytes. It returns None if the object does not
        exist. ``kind`` is the name by which the request is counted: get or list. The call raises APIError or a
        subclass, and DataError for a body that is not JSON.
        """
        path = path if resource.root else self.account.provider.path + path
        listed = path == self._list_path(resource)
        request = Request(
            "GET",
            path,
            kind or ("list" if listed else "get"),
            resource,
            query,
            by_id=kind is None and not (plain or listed),
        )
        return self._start(request, asker, self._read_bytes if plain else self._read_json)

    def download(self, path: str, into: Download, asker: Asker | None = None) -> Call[bool]:
        """GET ``path`` and save the body in ``into``. The call returns whether the file exists at the provider.

        The call raises the same errors as ``get``, and OperationalError if the disk cannot take the file.
        """
        return self._start(Request("GET", path, "download", FILES, into=into), asker, self._read_download)

    def act(self, path: str, asker: Asker | None = None) -> Call[Reply]:
        """POST to ``path`` below the jobs' URL: cancel, pause or resume.

        The body has only the members that the provider's entry adds. These requests may be repeated without harm, so
        they are retried. The call raises the same errors as ``get``, and APIError with status 404 for an unknown job.
        """
        request = Request("POST", self.account.provider.path + path, path.rpartition("/")[2])
        return self._start(request, asker, self._read_reply)

    def delete(self, path: str, resource: Resource, asker: Asker | None = None) -> Call[Reply]:
        """DELETE ``path`` below base_url, retried like ``act``.

        The response "no such …" to a retry is not an error: an earlier attempt may have deleted the object.
        """
        return self._start(Request("DELETE", path, "delete", resource), asker, self._read_deletion)

    def create(
        self,
        body: bytes | Upload,
        asker: Asker | None = None,
        path: str = "",
        of: Resource = JOBS,
    ) -> Call[Reply]:
        """POST ``body`` on a new connection: to the jobs' URL, or to ``path`` for an object ``of`` another resource.

        The request is sent again only if the server cannot have accepted it: after a refused connection, an upload
        that broke off, or a 429 that is not about the day's quota. The call raises APIError. If the error's
        ``ambiguous`` is true, the object may exist nevertheless.
        """
        kind = "upload" if isinstance(body, Upload) else "grant" if path else "create"
        path = path or self.account.provider.path
        request = Request("POST", path, kind, of, body=body, repeatable=False, own_connection=True)
        return self._start(request, asker, self._read_created)

    @property
    def counts(self) -> Counts:
        """The counts to which the next request of this client will be added."""
        return self._log.counts

    def prepare(self) -> None:
        """Load httpx and open the connection pool, before a request is sent that must not be interrupted.

        Raises ConfigError if base_url, a proxy or a certificate file is invalid.
        """
        if not self.account.missing():
            self._transport  # noqa: B018 - the property opens it

    def close(self) -> None:
        """Close all connections. Requests under way end by themselves."""
        self._workers.close()
        if self._opened is not None:
            self._opened.close()

    def _start(self, request: Request, asker: Asker | None, read: Reader[T]) -> Call[T]:
        """Send ``request`` on a worker thread. The call returns the result of ``read`` for the response.

        Raises ConfigError if an environment variable is missing or invalid.
        """
        if missing := self.account.missing():
            raise ConfigError(missing_key(self.account.name, missing))
        self.account.url()
        self.account.headers()
        transport = self._transport  # opened now, so that the statement's own thread raises an error in opening it
        attempts = self._attempts(request, asker)
        return self._workers.start(lambda call: read(call, attempts, attempts.run(call, transport)))

    def _attempts(self, request: Request, asker: Asker | None) -> RetriedRequest:
        return RetriedRequest(request, self.account, self._limiter, self._log, asker)

    def _list_path(self, resource: Resource) -> str:
        return resource.path if resource.root else self.account.provider.path

    def _read_json(self, call: Call[Any], attempts: RetriedRequest, response: Response) -> Any:
        """Return the decoded body, or None if the object does not exist."""
        request = attempts.request
        if is_not_found(self.account, response, request.resource, strict=request.by_id):
            return None
        if request.by_id and response.status in GONE:
            return self._read_unclear_404(call, attempts, response)
        if not response.ok:
            raise error_from(self.account, response)
        value = attempts.decode(response)
        if value is None:
            raise DataError(f"{self.account.name}: answered {response.url} with null, expected an object")
        return value

    def _read_unclear_404(self, call: Call[Any], attempts: RetriedRequest, response: Response) -> None:
        """Decide what a 404 means that does not name the id.

        Return None if it means that the object does not exist. Otherwise raise it as an APIError.
        """
        request = attempts.request
        error = error_from(self.account, response)
        with self._probing:
            serves_single = self._serves_single(call, attempts, error)
        if serves_single:
            return
        if self.account.serves_single.get(request.resource.table) is False:
            error.hint = (
                f"{self.account.url(request.path, root=True)} does not exist, and neither does the address of a "
                f'{request.resource.noun} that is in the list: say so in its entry, without = ["retrieve"]'
            )
        raise error

    def _serves_single(self, call: Call[Any], attempts: RetriedRequest, error: APIError) -> bool:
        """Whether the server returns single objects by their ids. If it does, ``error`` (a 404) is about the id.

        Many gateways answer with a 404 that does not say whether the id or the URL is unknown. To find out, the client
        lists objects and gets one of them, once for each resource. If the list is empty, the object does not exist
        either. Raises the error of the list, or ``error`` itself if the list is a 404 too.
        """
        request = attempts.request
        resource = request.resource
        if resource.table in self.account.serves_single:
            return self.account.serves_single[resource.table]
        path = self._list_path(resource)
        body = self._probe(call, attempts, Request("GET", path, "list", resource, {"limit": "2"}))
        if body is None:
            raise error
        objects = decode_page(self.account.name, resource.noun, body).objects
        if not objects:
            return True
        missed = request.path.rpartition("/")[2]
        ids = [each.id for each in objects if isinstance(each, Row)]
        ids += [each["id"] for each in objects if isinstance(each, dict) and isinstance(each.get("id"), str)]
        listed = next((id for id in ids if self.account.accepts_id(id) and id != missed), None)
        one = None
        if listed is not None:
            one = self._probe(call, attempts, Request("GET", f"{path}/{listed}", "get", resource))
        shown = one.id if isinstance(one, Row) else one.get("id") if isinstance(one, dict) else None
        found = listed is not None and shown == listed
        if listed is not None or missed not in ids:
            self.account.serves_single[resource.table] = found
        return found

    def _probe(self, call: Call[Any], attempts: RetriedRequest, request: Request) -> Any:
        """Send ``request`` on behalf of the statement of ``attempts``. Return the decoded body, or None for a 404."""
        probe = self._attempts(request, attempts.asker)
        response = probe.run(call, self._transport)
        if response.status in GONE:
            return None
        if not response.ok:
            raise error_from(self.account, response)
        return probe.decode(response)

    def _read_bytes(self, call: Call[Any], attempts: RetriedRequest, response: Response) -> Any:
        """Return the body as bytes, or None if the file does not exist."""
        if is_not_found(self.account, response, attempts.request.resource):
            return None
        if not response.ok:
            raise error_from(self.account, response)
        self._check_whole(response)
        return response.body

    def _read_download(self, call: Call[bool], attempts: RetriedRequest, response: Response) -> bool:
        """Return whether the file exists. If it does, its content has been saved."""
        if is_not_found(self.account, response, FILES):
            return False
        if not response.ok:
            raise error_from(self.account, response, FILES)
        self._check_whole(response)
        return True

    def _check_whole(self, response: Response) -> None:
        """Raise DataError if a successful response is not the whole file, such as a 206."""
        if response.status != 200:
            text = f"answered {response.url} with HTTP {response.status}, which is not a whole file"
            raise DataError(f"{self.account.name}: {text}")

    def _read_reply(self, call: Call[Reply], attempts: RetriedRequest, response: Response) -> Reply:
        if not response.ok:
            error = error_from(self.account, response, attempts.request.resource)
            error.ambiguous = error.ambiguous or attempts.ambiguous
            raise error
        value = attempts.decode(response) if response.body.strip() else None
        return Reply(value, response.status, response.request_id)

    def _read_deletion(self, call: Call[Reply], attempts: RetriedRequest, response: Response) -> Reply:
        if attempts.ambiguous and is_not_found(self.account, response, attempts.request.resource):
            return Reply(None, response.status, response.request_id)
        return self._read_reply(call, attempts, response)

    def _read_created(self, call: Call[Reply], attempts: RetriedRequest, response: Response) -> Reply:
        resource = attempts.request.resource
        if not response.ok:
            raise error_from(self.account, response, resource, creates=resource is JOBS)
        try:
            return Reply(attempts.decode(response), response.status, response.request_id)
        except DataError as error:
            message = str(error).removeprefix(f"{self.account.name}: ")
            raise APIError(message, provider=self.account.name, status=response.status, ambiguous=True) from None

    @cached_property
    def _limiter(self) -> Limiter:
        return limiter(self.account)

    @property
    def _transport(self) -> Transport:
        """The connection pool, opened when it is first needed. Raises InterfaceError after a fork."""
        if os.getpid() != self._process:
            raise InterfaceError("this connection was made before a fork, which takes no threads along: connect again")
        with self._lock:
            if self._opened is None:
                with interrupts.keep_keyboard_interrupt():
                    from ftsql.api.transport import Transport

                self._opened = Transport(self.account, self.settings)
            return self._opened
