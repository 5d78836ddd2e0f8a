"""APSW connections with ftsql's tables, which ``connect`` opens.

The tables are in an attached schema in memory, ``live``. Nothing is written into the user's file.
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
    """An apsw.Connection with ftsql's tables. The attribute ``ftsql`` is their Registration.

    A ``with`` block is a transaction, as in APSW. It does not close the connection.

    >>> db = connect(sandbox=True)
    >>> with db:
    ...     cursor = db.execute("UPDATE fine_tuning_jobs SET status = 'cancelled' WHERE status = 'paused'")
    ...     db.ftsql.queued  # sent at the end of the block
    2
    >>> db.close()
    """

    ftsql: Registration
    _depth = 0

    def __enter__(self) -> Connection:
        # APSW's own __exit__ rolls back while the error is pending. Any authorizer in Python then seems to refuse the
        # rollback, so the error is lost and the transaction stays open.
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
                self._roll_back_to(name)
                raise
        else:
            self._roll_back_to(name)
        return False

    def _roll_back_to(self, name: str) -> None:
        if self.in_transaction:  # SQLite may have rolled back itself
            # The savepoint is missing if SQLite rolled back and a new transaction began.
            with contextlib.suppress(apsw.SQLError):
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
            with contextlib.suppress(Exception):  # the interpreter may be shutting down
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
    """Open the SQLite file ``path`` with ftsql's tables.

    providers: The names of the providers to use; by default all whose variables are set.
    config: The user's provider file (TOML).
    sandbox: Serve everything from a local server inside this process, with made-up jobs; no key is needed. Several
        connections may share a running ``Sandbox``, which keeps running when they close.
    read_only: Refuse writes to all tables, and do not define the functions with effects.
    trust_file: Let triggers that are stored in the file write to ftsql's tables.
    store: The file of the cache and of the write journal, which several processes may share. Default: FTSQL_STORE, else
        memory, which ends with the connection. With the sandbox the default is memory.
    settings: See ``ftsql.Settings``.

    Raises ConfigError for an unknown provider or setting, and StoreError if the store cannot be used. If a key is
    missing, the first statement that needs it raises the error. Issues a Warning for each write that a crash left open.

    >>> db = connect(sandbox=True)
    >>> db.execute("SELECT count(*) > 0 FROM fine_tuning_jobs").get
    1
    >>> db.close()
    """
    flags = apsw.SQLITE_OPEN_URI
    flags |= apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    text = str(path)
    if read_only and text == ":memory:":
        flags |= apsw.SQLITE_OPEN_MEMORY
    connection = Connection(text, flags=flags)
    try:
        connection.set_busy_timeout(5000)
        connection.convert_binding = _convert_binding
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


def connect_with_default_store(
    path: str | Path,
    *,
    say: Callable[[str], None],
    store: str | Path | None = None,
    make: bool = False,
    **options: Any,
) -> Connection:
    """Open ``path`` as ``connect`` does, but by default keep the store in the platform's data folder.

    The default applies if neither ``store`` nor FTSQL_STORE nor ``sandbox`` is set. If the default file cannot be used,
    ``say`` receives the reason, and the store is in memory. With ``make``, the store's file is created for a read-only
    connection too, so that later connections find a filled cache.

    >>> db = connect_with_default_store(":memory:", say=print, sandbox=True)
    >>> db.execute("SELECT count(*) FROM fine_tuning_jobs WHERE status = 'paused'").get
    2
    >>> db.close()
    """
    default = None
    if not (store or options.get("sandbox") or os.environ.get("FTSQL_STORE")):
        default = store = platformdirs.user_data_path("ftsql") / "store.db"
    try:
        named = store or (not options.get("sandbox") and os.environ.get("FTSQL_STORE"))
        if make and named and not os.path.exists(named) and os.path.realpath(named) != os.path.realpath(path):
            Store(named).close()
        return connect(path, store=store, **options)
    except StoreError as error:
        if default is None:
            raise
        say(str(error).rstrip("."))
    return connect(path, store=MEMORY, **options)


def _convert_binding(_: object, number: int, value: object) -> str:
    """Return the JSON text for a dict or list that is bound to a parameter. Raises TypeError for other types."""
    if isinstance(value, (dict, list)):
        return to_json(value).decode()
    raise TypeError(f"parameter {number} is a {type(value).__name__}: SQLite has no type for it")
