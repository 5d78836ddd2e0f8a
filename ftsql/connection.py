"""Connections with ftsql's tables: ``connect`` makes one, ``register`` adds them to one.

Nothing is written into the user's file: the tables stand in an attached in-memory schema, ``live``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import apsw
import platformdirs
from pydantic_core import to_json

from ftsql.errors import StoreError
from ftsql.registration import Registration, register
from ftsql.store.database import Store
from ftsql.store.process_lock import MEMORY

if TYPE_CHECKING:
    from ftsql.sandbox import Sandbox


class Connection(apsw.Connection):
    """An apsw.Connection with ftsql's tables; ``with`` is a transaction, as APSW has it; ``close`` ends all."""

    ftsql: Registration
    _depth = 0

    def __enter__(self) -> Connection:
        # Not APSW's own: it rolls back while the error is pending, at which any authorizer in Python seems to
        # refuse, so that the error is lost and the transaction stays open.
        self._depth += 1
        self.execute(f'SAVEPOINT "ftsql {self._depth}"')
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> Literal[False]:
        name = f'"ftsql {self._depth}"'
        self._depth -= 1
        if kind is None:
            try:
                self.execute(f"RELEASE {name}")
            except BaseException:
                self._undo(name)
                raise
        else:
            self._undo(name)
        return False

    def _undo(self, name: str) -> None:
        if self.in_transaction:  # else SQLite has rolled back already
            with contextlib.suppress(apsw.SQLError):  # no such savepoint: rolled back, and begun anew
                self.execute(f"ROLLBACK TO {name}; RELEASE {name}")

    def close(self, force: bool = False) -> None:
        """Close the connection, ftsql's sockets and the embedded sandbox."""
        registration = self.__dict__.get("ftsql")
        super().close(force)
        if registration is not None:
            registration.close()

    def __del__(self) -> None:
        registration = self.__dict__.get("ftsql")
        if registration is not None:
            with contextlib.suppress(Exception):  # the interpreter may be going, too
                registration.end()


def connect(
    path: str | Path = ":memory:",
    *,
    providers: Iterable[str] | str | None = None,
    config: str | Path | None = None,
    sandbox: bool | str | Sandbox = False,
    read_only: bool = False,
    trust_file: bool = False,
    store: str | Path | None = None,
    **settings: Any,
) -> Connection:
    """A connection to the SQLite file ``path`` with ftsql's tables.

    ``providers``: names to ask, instead of all whose variables are set. ``config``: the user's provider
    file. ``sandbox``: serve everything from a local server inside this process, seeded; no key needed. A Sandbox
    that runs already is one that several connections share, and stays when they close.
    ``read_only``: no table can be written, and the functions with effects do not exist. ``trust_file``:
    let triggers that live in the file write to ftsql's tables. ``store``: the file that keeps the journal of
    writes, which several processes may share (FTSQL_STORE; else, and with the sandbox, it ends with the
    connection). ``settings``: see ftsql.Settings.

    Raises ConfigError for a provider or setting that does not exist, StoreError for a store that cannot be
    used; a missing key is an error of the first statement that needs it. Warns of writes that a crash left open.
    """
    flags = apsw.SQLITE_OPEN_URI
    flags |= apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    text = str(path)
    if read_only and text == ":memory:":
        flags |= apsw.SQLITE_OPEN_MEMORY
    connection = Connection(text, flags=flags)
    try:
        connection.set_busy_timeout(5000)
        connection.convert_binding = _as_json
        connection.ftsql = register(
            connection,
            providers=providers,
            config=config,
            sandbox=sandbox,
            read_only=read_only,
            trust_file=trust_file,
            store=store,
            **settings,
        )
    except BaseException:
        connection.close(True)
        raise
    return connection


def connect_with_usual_store(
    path: str | Path,
    *,
    say: Callable[[str], None],
    store: str | Path | None = None,
    make: bool = False,
    **options: Any,
) -> Connection:
    """As ``connect``; but without ``store``, FTSQL_STORE and sandbox the store is the platform's file.

    Where that file cannot be used ``say`` is told why, and the store is memory. ``make``: make the store's file
    for a read-only connection too, so that the next one is warm.
    """
    usual = None
    if not (store or options.get("sandbox") or os.environ.get("FTSQL_STORE")):
        usual = store = platformdirs.user_data_path("ftsql") / "store.db"
    try:
        named = store or (not options.get("sandbox") and os.environ.get("FTSQL_STORE"))
        if make and named and not os.path.exists(named) and os.path.realpath(named) != os.path.realpath(path):
            Store(named).close()
        return connect(path, store=store, **options)
    except StoreError as error:
        if usual is None:
            raise
        say(str(error).rstrip("."))
    return connect(path, store=MEMORY, **options)


def _as_json(_: object, number: int, value: object) -> str:
    """A dict or list bound to a parameter is the JSON text that it stands for."""
    if isinstance(value, (dict, list)):
        return to_json(value).decode()
    raise TypeError(f"parameter {number} is a {type(value).__name__}, which SQLite has no type for")
