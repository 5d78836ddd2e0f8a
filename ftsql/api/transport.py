"""HTTP itself: one account's connections, and one exchange. The only module that imports httpx.

It is imported when the first request leaves: httpx is a good part of what a start takes.
"""

from __future__ import annotations

import contextlib
import logging
import re
import ssl
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import httpx
from pydantic_core import to_json

from ftsql.api import deadline, network
from ftsql.api.account import Account
from ftsql.api.responses import Response
from ftsql.api.upload import Unsent, Upload
from ftsql.errors import APIConnectionError, APIError, ConfigError, Error, redacted
from ftsql.settings import Settings

if TYPE_CHECKING:
    from ftsql.api.download import Download


# The response headers that anybody needs; the rest is dropped, whatever a server echoes in it.
TOLD = re.compile(
    r"retry-after(-ms)?|x-ratelimit-.*|x-request-id|apim-request-id|x-portkey-trace-id|location|content-type"
)
ACCEPTED = "gzip, deflate"
HEADERS = {"User-Agent": "ftsql", "Accept": "application/json", "Accept-Encoding": ACCEPTED}
PROXY_REFUSES = re.compile(r"\b40[37]\b")  # asking again could lock an account of the user's
PROXY_HINT = "Not sent. Check the user and password in HTTPS_PROXY; see ftsql guide proxies"
MAX_HEADER = 1000  # characters of one: what is longer says nothing, and would take long to read
PIECE = 1024 * 1024
PACKED = frozenset({"gzip", "x-gzip", "deflate"})
UNASKED = frozenset({"br", "zstd", "compress", "x-compress"})  # other words are no packing, whatever they mean
GZIP = b"\x1f"  # the first byte of a member of gzip
EITHER = 47  # what tells zlib to take gzip's head or its own
BARE = -15  # without a head, which some servers call deflate


class _Unreadable(Exception):
    """An answer that is given up, in words."""


class _Redacting(logging.Filter):
    """Keeps the keys of all accounts out of what httpx and httpcore log of a server's answers."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redacted(record.getMessage()), ()
        return True


for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy"):
    logging.getLogger(_name).addFilter(_Redacting())


class Transport:
    """One account's connections. Safe to use from several threads."""

    def __init__(self, account: Account, settings: Settings) -> None:
        self.account = account
        self.settings = settings
        self._closed = False
        self._timeout = httpx.Timeout(settings.timeout, connect=settings.connect_timeout).as_dict()
        self._http = self.new()

    def close(self) -> None:
        """Close all connections; requests under way end by themselves."""
        self._closed = True
        self._http.close()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return network.certificates(self.account.name) or httpx.create_ssl_context(trust_env=False)

    def new(self) -> httpx.HTTPTransport:
        """Connections of their own; close them. Raises ConfigError where a variable of the network is wrong.

        Of httpx this is enough: what its Client does besides (cookies, redirects, credentials) is not wanted here.
        """
        url = self.account.url()
        secure = url.startswith("https://")
        self._proxy = proxy = None if self.account.loopback else network.proxy(self.account.name, url)
        self._handshakes = secure + (secure and proxy is not None and proxy.url.startswith("https://"))
        try:
            made = httpx.HTTPTransport(
                verify=self._tls if secure else False, proxy=None if proxy is None else httpx.Proxy(proxy.url)
            )
        except (ValueError, ImportError, httpx.InvalidURL) as error:
            assert proxy is not None
            raise proxy.unusable(self.account.name, str(error)) from None
        made._pool._network_backend = deadline.Backend()  # httpx has no word for it
        return made

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        http: httpx.HTTPTransport | None = None,
        into: Download | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Response:
        """One exchange, over ``http`` or the connections that are there. To be called within ``tried``.

        ``into`` takes the body of an answer that succeeded, of any size, until ``stopped()``.
        """
        http = http or self._http
        deadline.begin(self.settings.deadline, self._handshakes)
        headers = headers or ({"Content-Type": "application/json"} if method == "POST" else {})
        url = self.account.url(path, root=True)
        params = {**self.account.query(), **(query or {})}
        if method == "POST" and body is None and self.account.provider.body:
            body = to_json(self.account.body())
        request = httpx.Request(
            method,
            f"{url}?{urlencode(params)}" if params else url,
            headers={**HEADERS, **headers, **self.account.headers()},
            content=deadline.after(body) if isinstance(body, Iterator) else body,
            extensions={"timeout": self._timeout},
        )
        with contextlib.closing(http.handle_request(request)) as response:
            if self._closed:  # while it connected: httpx knows of this connection no more
                response.extensions["network_stream"].close()
            received = bytearray()
            chunks = unpacked(response.iter_raw(), response.headers.get("content-encoding", ""))
            keeper = into if response.status_code == 200 else None
            try:
                if keeper is not None:
                    keeper.take(deadline.renewed(chunks), stopped)
                    chunks = iter(())
                for chunk in chunks:
                    received += chunk
                    if len(received) > self.settings.max_body:
                        raise _Unreadable(f"the answer is larger than max_body = {self.settings.max_body} bytes")
            except ValueError as error:
                raise _Unreadable(str(error)) from None
            headers = {
                name.lower(): redacted(value)[:MAX_HEADER]
                for name, value in response.headers.items()
                if TOLD.fullmatch(name.lower())
            }
            kept = 0 if keeper is None else keeper.size
            return Response(response.status_code, headers, bytes(received), url, kept)

    def tried(self, once: Callable[[], Response], body: object = None) -> Response | APIConnectionError:
        """One try. Its error is returned and not raised, so that no frame of httpx hangs on it.

        Raises what another try would not mend. Of an upload whose ``body`` did not leave whole nothing can come.
        """
        try:
            return once()
        except (_Unreadable, deadline.Late) as fault:
            error: Error = APIConnectionError(
                f"cannot read the answer: {fault}",
                provider=self.account.name,
                hint="Check that base_url is the API's, and what is in between",
                ambiguous=deadline.has_sent(),
            )
        except Unsent as fault:
            error = APIError(str(fault), provider=self.account.name, hint="Nothing was stored")
        except httpx.ProxyError as fault:
            if not PROXY_REFUSES.search(str(fault)):
                return self._connection_error(fault)
            words = str(fault)[:100]
            error = APIConnectionError(f"the proxy refuses: {words}", provider=self.account.name, hint=PROXY_HINT)
        except httpx.HTTPError as fault:
            broken = self._connection_error(fault)
            broken.ambiguous = broken.ambiguous and not (isinstance(body, Upload) and not body.complete)
            return broken
        except httpx.InvalidURL as fault:
            error = ConfigError(f"{self.account.name}: base_url cannot be used: {fault}. Not sent")
        except Error:
            raise
        except Exception as fault:  # of the libraries below httpx, which it did not turn into its own
            sent = deadline.has_sent()
            error = APIConnectionError(
                f"the exchange failed: {type(fault).__name__}: {str(fault)[:200]}",
                provider=self.account.name,
                hint=f"{'' if sent else 'Not sent. '}Try again; if it goes on, look at base_url and what is in between",
                ambiguous=sent,
            )
        raise error

    def _connection_error(self, fault: httpx.HTTPError) -> APIConnectionError:
        sent = deadline.has_sent()
        host = redacted(self.account.url().split("/")[2])
        by = "" if self._proxy is None else f" by {self._proxy}"
        check = "the network and the base_url" if self._proxy is None else "that proxy: see ftsql guide proxies"
        if isinstance(fault, httpx.TimeoutException):
            what = f"no answer from {host} in time" if sent else f"no connection to {host}{by} in time"
            hint = f"{'' if sent else 'Not sent. '}Check {check}, or allow more time with the setting "
            hint += "timeout" if sent else "connect_timeout"
        elif not sent:
            what = f"cannot connect to {host}{by}: {str(fault)[:200]}"
            hint = f"Not sent. Check {check}"
            if "CERTIFICATE_VERIFY_FAILED" in str(fault):
                hint = (
                    "Not sent. If a proxy signs certificates, name its file in SSL_CERT_FILE: see ftsql guide proxies"
                )
        else:
            what = f"the connection to {host} broke off: {str(fault)[:200] or type(fault).__name__}"
            hint = "Try again; if it goes on, the trouble is at the provider or in between"
        return APIConnectionError(redacted(what).rstrip("."), provider=self.account.name, hint=hint, ambiguous=sent)


def unpacked(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The body's bytes, at most PIECE of them at once; as they come where ``encoding`` is no packing.

    Raises ValueError for what is not packed as ``encoding`` says.
    """
    names = [name for name in encoding.lower().replace(" ", "").split(",") if name not in ("", "identity")]
    if unasked := UNASKED & set(names):
        raise ValueError(f"it is packed by {min(unasked)}, which was not asked for")
    if not PACKED & set(names):
        yield from chunks
        return
    if len(names) > 1:
        raise ValueError(f"it is packed {len(names)} times over")
    unpacker = zlib.decompressobj(EITHER)
    began = False
    for chunk in chunks:
        rest = chunk
        if unpacker.eof and rest[:1] == GZIP:  # gzip may have several members, one after the other
            unpacker = zlib.decompressobj(EITHER)
        while rest and not unpacker.eof:
            try:
                piece = unpacker.decompress(rest, PIECE)
            except zlib.error as error:
                if began or names != ["deflate"]:
                    raise ValueError(f"it is no {names[0]}: {error}") from None
                unpacker = zlib.decompressobj(BARE)
                began = True
                continue
            began = True
            rest = unpacker.unconsumed_tail
            yield piece
            if unpacker.eof and unpacker.unused_data[:1] == GZIP:
                rest, unpacker = unpacker.unused_data, zlib.decompressobj(EITHER)
    if began and not unpacker.eof:
        raise ValueError(f"its {names[0]} breaks off")
