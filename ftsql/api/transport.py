"""HTTP: the connections of one account, and single exchanges over them. No other module imports httpx.

The module is imported when the first request is sent, because importing httpx would take much of ftsql's start-up
time.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import re
import ssl
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from urllib.parse import urlencode

from pydantic_core import to_json

from ftsql.api import deadline, network
from ftsql.api.account import Account
from ftsql.api.request import Request
from ftsql.api.request_log import Counts
from ftsql.api.responses import Response
from ftsql.api.upload import IncompleteUpload, Upload
from ftsql.errors import APIConnectionError, APIError, ConfigError, Error, redacted
from ftsql.settings import Settings

# httpx imports its own command line, and with it rich, click and pygments, which take two thirds of the import's time
# and are not used here. httpx accepts that the import of its command line fails, so that import is made to fail.
if "httpx" not in sys.modules:
    sys.modules["httpx._main"] = None  # type: ignore[assignment]
    try:
        importlib.import_module("httpx")
    finally:
        del sys.modules["httpx._main"]
import httpx

# The response headers that ftsql reads. All others are dropped, because a server may echo a credential in them.
READ_HEADERS = re.compile(
    r"retry-after(-ms)?|x-ratelimit-.*|x-request-id|apim-request-id|x-portkey-trace-id|location|content-type"
)
HEADERS = {"User-Agent": "ftsql", "Accept": "application/json", "Accept-Encoding": "gzip, deflate"}
PROXY_REFUSES = re.compile(r"\b40[37]\b")  # not tried again: another attempt could lock the user out at the proxy
PROXY_HINT = "Not sent. Check the user and password in HTTPS_PROXY; see ftsql guide proxies"
CERTIFICATE_HINT = "Not sent. If a proxy signs certificates, name its file in SSL_CERT_FILE: see ftsql guide proxies"
MAX_HEADER = 1000  # how many characters of a header's value are kept; longer values are of no use and slow to parse
PIECE = 1024 * 1024
ENCODINGS = frozenset({"gzip", "x-gzip", "deflate"})
NOT_REQUESTED = frozenset({"br", "zstd", "compress", "x-compress"})  # encodings; any word outside both sets is ignored
GZIP = b"\x1f"  # the first byte of a gzip member
GZIP_OR_ZLIB = 47  # makes zlib accept a gzip header or a zlib header
RAW_DEFLATE = -15  # makes zlib expect no header, because some servers send raw data as deflate


class _UnreadableResponse(Exception):
    """The rest of a response cannot be read; the message says why."""


class _RedactingFilter(logging.Filter):
    """Redact the credentials of all accounts in the log messages of httpx and httpcore."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redacted(record.getMessage()), ()
        return True


for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy"):
    logging.getLogger(_name).addFilter(_RedactingFilter())


class DeadlineTransport(httpx.HTTPTransport):
    """httpx's connection pool, with connections that obey the deadline of their exchange.

    httpx's ``Client`` is not used, because its handling of cookies, redirects and credentials is not wanted here. httpx
    has no public way to replace the network backend, so this class, and no other code, sets a private attribute.
    tests/api/test_transport.py fails if a release of httpx moves the attribute.
    """

    def __init__(self, verify: ssl.SSLContext | None, proxy: httpx.Proxy | None) -> None:
        # If ``verify`` is None, no TLS context is made: http:// needs none, and making one would take a millisecond.
        super().__init__(verify=verify, proxy=proxy)  # type: ignore[arg-type]
        self._pool._network_backend = deadline.Backend()


class Transport:
    """The connections of one account. Safe to use from several threads."""

    def __init__(self, account: Account, settings: Settings) -> None:
        self.account = account
        self.settings = settings
        self._closed = False
        self._timeout = httpx.Timeout(settings.timeout, connect=settings.connect_timeout).as_dict()
        self._http = self._connections()

    def close(self) -> None:
        """Close all connections. Requests under way fail."""
        self._closed = True
        self._http.close()

    def exchange(
        self,
        request: Request,
        abandoned: Callable[[], bool],
        counts: Counts,
    ) -> Response | APIConnectionError:
        """Send ``request`` once and return the response, or the error if another attempt may succeed.

        The error is returned and not raised, so that no traceback of httpx is attached to it. Any other error is
        raised. An upload or a download stops as soon as ``abandoned()`` is true. ``counts`` counts the bytes of an
        upload.
        """
        error: Error
        try:
            if not request.own_connection:
                return self._send(self._http, request, abandoned, counts)
            with self._connections() as http:
                return self._send(http, request, abandoned, counts)
        except Error:
            raise
        except httpx.HTTPError as fault:
            connection_error, may_retry = self._error_of_httpx(fault, request)
            if may_retry:
                return connection_error
            error = connection_error
        except Exception as fault:  # from this package, or one from a library below httpx that httpx did not convert
            error = self._error_of(fault)
        raise error

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return network.certificates(self.account.name) or httpx.create_ssl_context(trust_env=False)

    def _connections(self) -> DeadlineTransport:
        """Return a new connection pool, which the caller has to close.

        Raises ConfigError if an environment variable for proxies or certificates is invalid.
        """
        url = self.account.url()
        secure = url.startswith("https://")
        self._proxy = proxy = None if self.account.loopback else network.proxy(self.account.name, url)
        self._handshakes = secure + (secure and proxy is not None and proxy.url.startswith("https://"))
        try:
            return DeadlineTransport(self._tls if secure else None, None if proxy is None else httpx.Proxy(proxy.url))
        except (ValueError, ImportError, httpx.InvalidURL) as error:
            assert proxy is not None
            raise proxy.unusable(self.account.name, str(error)) from None

    def _send(
        self,
        http: httpx.HTTPTransport,
        request: Request,
        abandoned: Callable[[], bool],
        counts: Counts,
    ) -> Response:
        """Send ``request`` over ``http`` and read the response."""
        deadline.begin(self.settings.deadline, self._handshakes)
        url = self.account.url(request.path, root=True)
        with contextlib.closing(http.handle_request(self._httpx_request(request, url, abandoned, counts))) as response:
            if self._closed:  # closed while this connection was being opened, so closing the pool did not close it
                response.extensions["network_stream"].close()
            body, saved = self._read_body(response, request, abandoned)
            headers = {
                name.lower(): redacted(value)[:MAX_HEADER]
                for name, value in response.headers.items()
                if READ_HEADERS.fullmatch(name.lower())
            }
            return Response(response.status_code, headers, body, url, saved)

    def _httpx_request(
        self,
        request: Request,
        url: str,
        abandoned: Callable[[], bool],
        counts: Counts,
    ) -> httpx.Request:
        """Return ``request`` with the headers, query parameters and body that the provider's entry adds."""
        params = {**self.account.query(), **(request.query or {})}
        headers = {"Content-Type": "application/json"} if request.method == "POST" else {}
        content: bytes | Iterator[bytes] | None
        if isinstance(request.body, Upload):
            headers = request.body.headers
            content = deadline.begin_after(request.body.chunks(abandoned, counts))
        else:
            content = request.body
            if request.method == "POST" and content is None and self.account.provider.body:
                content = to_json(self.account.body())
        return httpx.Request(
            request.method,
            f"{url}?{urlencode(params)}" if params else url,
            headers={**HEADERS, **headers, **self.account.headers()},
            content=content,
            extensions={"timeout": self._timeout},
        )

    def _read_body(
        self,
        response: httpx.Response,
        request: Request,
        abandoned: Callable[[], bool],
    ) -> tuple[bytes, int]:
        """Return the body, or b"" if it was saved to the request's file, and how many bytes were saved."""
        chunks = decompressed(response.iter_raw(), response.headers.get("content-encoding", ""))
        try:
            if request.into is not None and response.status_code == 200:
                request.into.save(deadline.restarted_by(chunks), abandoned)
                return b"", request.into.size
            received = bytearray()
            for chunk in chunks:
                received += chunk
                if len(received) > self.settings.max_body:
                    raise _UnreadableResponse(f"the response is larger than max_body = {self.settings.max_body} bytes")
        except ValueError as error:
            raise _UnreadableResponse(str(error)) from None
        return bytes(received), 0

    def _error_of(self, fault: Exception) -> Error:
        """Return the error for ``fault``, an exception that another attempt would not avoid."""
        name = self.account.name
        if isinstance(fault, (_UnreadableResponse, deadline.DeadlineExceeded)):
            return APIConnectionError(
                f"cannot read the response: {fault}",
                provider=name,
                hint="Check that base_url is the API's, and what is in between",
                ambiguous=deadline.has_sent(),
            )
        if isinstance(fault, IncompleteUpload):
            return APIError(str(fault), provider=name, hint="Nothing was stored")
        if isinstance(fault, httpx.InvalidURL):
            return ConfigError(f"{name}: base_url cannot be used: {fault}. Not sent")
        sent = deadline.has_sent()
        return APIConnectionError(
            f"the exchange failed: {type(fault).__name__}: {str(fault)[:200]}",
            provider=name,
            hint=f"{'' if sent else 'Not sent. '}Try again; if it goes on, look at base_url and what is in between",
            ambiguous=sent,
        )

    def _error_of_httpx(self, fault: httpx.HTTPError, request: Request) -> tuple[APIConnectionError, bool]:
        """Return the error for ``fault``, and whether another attempt may succeed."""
        if isinstance(fault, httpx.ProxyError):
            if PROXY_REFUSES.search(str(fault)):
                message = f"the proxy refuses: {str(fault)[:100]}"
                return APIConnectionError(message, provider=self.account.name, hint=PROXY_HINT), False
            return self._connection_error(fault), True
        error = self._connection_error(fault)
        if isinstance(request.body, Upload) and not request.body.complete:
            error.ambiguous = False  # a server cannot have stored a file whose end it did not receive
        return error, True

    def _connection_error(self, fault: httpx.HTTPError) -> APIConnectionError:
        sent = deadline.has_sent()
        host = redacted(self.account.url().split("/")[2])
        through = "" if self._proxy is None else f" by {self._proxy}"
        check = "the network and the base_url" if self._proxy is None else "that proxy: see ftsql guide proxies"
        if isinstance(fault, httpx.TimeoutException):
            message = f"no response from {host} in time" if sent else f"no connection to {host}{through} in time"
            hint = f"{'' if sent else 'Not sent. '}Check {check}, or allow more time with the setting "
            hint += "timeout" if sent else "connect_timeout"
        elif not sent:
            message = f"cannot connect to {host}{through}: {str(fault)[:200]}"
            hint = CERTIFICATE_HINT if "CERTIFICATE_VERIFY_FAILED" in str(fault) else f"Not sent. Check {check}"
        else:
            message = f"the connection to {host} broke off: {str(fault)[:200] or type(fault).__name__}"
            hint = "Try again; if it goes on, the trouble is at the provider or in between"
        return APIConnectionError(redacted(message).rstrip("."), provider=self.account.name, hint=hint, ambiguous=sent)


def decompressed(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the decompressed body in pieces of at most PIECE bytes. Chunks that are not compressed are yielded as is.

    ``encoding`` is the value of Content-Encoding. Raises ValueError if the body is not compressed that way.
    """
    names = [name for name in encoding.lower().replace(" ", "").split(",") if name not in ("", "identity")]
    if not_requested := NOT_REQUESTED & set(names):
        raise ValueError(f"it is compressed with {min(not_requested)}, which was not asked for")
    if not ENCODINGS & set(names):
        yield from chunks
        return
    if len(names) > 1:
        raise ValueError(f"it is compressed {len(names)} times over")
    decompressor = zlib.decompressobj(GZIP_OR_ZLIB)
    began = False
    for chunk in chunks:
        rest = chunk
        if decompressor.eof and rest[:1] == GZIP:  # gzip may have several members, one after the other
            decompressor = zlib.decompressobj(GZIP_OR_ZLIB)
        while rest and not decompressor.eof:
            try:
                piece = decompressor.decompress(rest, PIECE)
            except zlib.error as error:
                if began or names != ["deflate"]:
                    raise ValueError(f"it is not valid {names[0]}: {error}") from None
                decompressor = zlib.decompressobj(RAW_DEFLATE)
                began = True
                continue
            began = True
            rest = decompressor.unconsumed_tail
            yield piece
            if decompressor.eof and decompressor.unused_data[:1] == GZIP:
                rest, decompressor = decompressor.unused_data, zlib.decompressobj(GZIP_OR_ZLIB)
    if began and not decompressor.eof:
        raise ValueError(f"its {names[0]} breaks off")
