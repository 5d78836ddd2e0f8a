"""The command ``ftsql serve``: it parses the options, runs the server, and stops the server at a signal.

An address that other machines can reach requires TLS.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import os
import secrets
import signal
import ssl
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import apsw

from ftsql.connection import Connection, connect_with_default_store
from ftsql.errors import ConfigError, ProgrammingError
from ftsql.serve.backend import Backend, Shared
from ftsql.serve.catalog.build import DATABASE
from ftsql.serve.limits import Limits
from ftsql.serve.wire.server import Server

PASSWORD = "FTSQL_SERVE_PASSWORD"  # noqa: S105 - the name of a variable


def _number(least: float, kind: Callable[[str], Any], most: float = 2**31 - 1) -> Callable[[str], Any]:
    def number(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = -1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"invalid value {text!r}: expected a number from {least} to {most}")
        return value

    return number


def _parser() -> argparse.ArgumentParser:
    usual = Limits()
    parser = argparse.ArgumentParser(
        prog="ftsql serve",
        description="Serve the tables, read-only, to clients of PostgreSQL. Schema live has the live tables. Schema "
        "public has the tables of FILE, and the live tables of other names. The password is FTSQL_SERVE_PASSWORD; if "
        "that is not set, one is generated and shown.",
    )
    add = parser.add_argument
    add("file", nargs="?", metavar="FILE", default=":memory:", help="a SQLite file, such as a snapshot of ftsql sync")
    add("--host", default="127.0.0.1", help="address to listen on (127.0.0.1); others require --tls-cert, --tls-key")
    add("--port", type=_number(0, int, 65535), default=5433, help="port to listen on (5433); 0 chooses a free one")
    add("--tls-cert", metavar="FILE", help="certificate chain (PEM)")
    add("--tls-key", metavar="FILE", help="its key (PEM)")
    add("--statement-timeout", type=_number(0.001, float), default=usual.statement, metavar="SECONDS",
        help=f"time limit of a statement ({usual.statement:.0f})")  # fmt: skip
    add("--max-connections", type=_number(1, int), default=usual.connections, metavar="N",
        help=f"maximum number of clients ({usual.connections})")  # fmt: skip
    add("--max-rows", type=_number(1, int), default=usual.rows, metavar="N",
        help=f"maximum number of rows of a statement ({usual.rows})")  # fmt: skip
    add("--max-memory", type=_number(16, int), default=usual.memory >> 20, metavar="MB",
        help=f"memory of SQLite in total ({usual.memory >> 20})")  # fmt: skip
    add("--max-age", type=_number(0, float), default=30.0, metavar="SECONDS",
        help="maximum age of the rows of live tables (30)")  # fmt: skip
    add("--sandbox", action="store_true", help="serve a local sandbox with made-up jobs; needs no API key")
    add("--provider", action="append", metavar="NAME", help="query this provider only; may be repeated")
    add("--config", metavar="FILE", help="your own provider file (TOML)")
    add("--store", metavar="FILE", help="the cache (default: $FTSQL_STORE, else the platform's data folder)")
    add("--max-requests", type=int, metavar="N", help="maximum number of requests of a statement (10000)")
    add("--timeout", type=float, metavar="SECONDS", help="time limit of a request (60)")
    return parser


def serve(words: Sequence[str], say: Callable[[str], None]) -> int:
    """Serve until Ctrl-C or SIGTERM, and return the exit code. ``words`` are the command's arguments.

    Raise ProgrammingError if the file or the address cannot be used, and ConfigError for invalid settings.
    """
    given = _parser().parse_args(words)
    tls = _tls(given)
    password = os.environ.get(PASSWORD, "")
    if not password.isascii() or not password.isprintable():
        raise ConfigError(f"{PASSWORD} must be printable ASCII: clients do not agree on how to send other characters")
    generated = "" if password else secrets.token_urlsafe(18)
    is_path = given.file != ":memory:" and not given.file.startswith("file:")
    if is_path and not os.path.exists(given.file):
        raise ProgrammingError(f"there is no file {given.file}: ftsql sync {given.file} creates it")
    limits = Limits(statement=given.statement_timeout, connections=given.max_connections, rows=given.max_rows)
    with contextlib.ExitStack() as end:
        options = _options(given, end)

        def connect() -> Connection:
            return connect_with_default_store(given.file, say=shared.log, make=True, **options)

        shared = Shared(connect, say)
        try:
            Backend(shared).close()  # raises errors of the file, the options and the store before a client connects
        except (apsw.CantOpenError, apsw.NotADBError) as error:
            raise ProgrammingError(f"cannot open {given.file}: {error}") from None
        _allow_files()
        apsw.hard_heap_limit(given.max_memory << 20)
        asyncio.run(_run(Server(shared, password or generated, limits=limits, tls=tls), given, generated, say))
    return 0


async def _run(server: Server, given: argparse.Namespace, shown: str, say: Callable[[str], None]) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    def stop(*_: object) -> None:
        loop.call_soon_threadsafe(stopped.set)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        try:
            port = await server.start(given.host, given.port)
        except OSError as error:
            words = error.strerror or str(error)
            raise ProgrammingError(
                f"cannot listen on {given.host} port {given.port}: {words}. Choose another --port or --host"
            ) from None
        host = f"[{given.host}]" if ":" in given.host else given.host
        secret = f":{shown}" if shown else ""
        mode = "?sslmode=require" if given.tls_cert else ""
        where = f"postgresql://ftsql{secret}@{host}:{port}/{DATABASE}{mode}"
        say(f"serving {where}{'' if shown else f' (password: {PASSWORD})'}; Ctrl-C ends")
        await stopped.wait()
    finally:
        await server.stop()
        for number, handler in before.items():
            signal.signal(number, handler)


def _tls(given: argparse.Namespace) -> ssl.SSLContext | None:
    """Return the TLS context, or None without TLS.

    Raise ConfigError if the address requires TLS but no certificate is given, or if a file cannot be used.
    """
    if bool(given.tls_cert) != bool(given.tls_key):
        raise ConfigError("--tls-cert and --tls-key go together")
    if not given.tls_cert:
        try:
            loopback = given.host == "localhost" or ipaddress.ip_address(given.host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise ConfigError(
                f"other machines can reach {given.host}: give --tls-cert and --tls-key, or listen on 127.0.0.1"
            )
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(given.tls_cert, given.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot use {given.tls_cert} and {given.tls_key} for TLS: {error}") from None
    return context


def _options(given: argparse.Namespace, end: contextlib.ExitStack) -> dict[str, Any]:
    """Return the arguments of ``connect``. All sessions share one sandbox and one cache."""
    names = [name for listed in given.provider or [] for name in listed.split(",")]
    options: dict[str, Any] = {"providers": names or None, "config": given.config, "store": given.store}
    options |= {"read_only": True, "max_age": given.max_age, "sandbox": False}
    options |= {"max_requests": given.max_requests, "timeout": given.timeout}
    if given.sandbox:
        from ftsql.sandbox import Sandbox  # the import needs the extra sandbox

        options["sandbox"] = end.enter_context(Sandbox())
        folder = end.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        options["store"] = given.store or os.path.join(folder, "store.db")
    return options


def _allow_files() -> None:
    """Raise the limit of open files as far as the system allows, because each client needs several."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
