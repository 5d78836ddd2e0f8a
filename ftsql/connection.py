"""Connections with ftsql's tables: ``connect`` makes one, ``register`` adds them to one.

Nothing is written into the user's file: the tables stand in an attached in-memory schema, ``live``.
"""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import apsw
import platformdirs
from pydantic_core import to_json

from ftsql.api.account import Account, accounts
from ftsql.api.provider import Provider, load
from ftsql.data import read_text
from ftsql.errors import ConfigError, InterfaceError, ProgrammingError, StoreError, Warning
from ftsql.registration import Registration
from ftsql.resources.definitions import JOBS, OTHERS, TABLES
from ftsql.settings import Environment, Settings
from ftsql.sqlite import about_tables as about
from ftsql.sqlite import authorizer as guard
from ftsql.sqlite import functions, writable
from ftsql.sqlite import jobs_table as vtab
from ftsql.sqlite import resource_tables as tables
from ftsql.sqlite.session import Session
from ftsql.store.database import Store
from ftsql.store.process_lock import MEMORY
from ftsql.write import recovery

if TYPE_CHECKING:
    from ftsql.sandbox import Sandbox

SANDBOX_KEY = "sk-ftsql-sandbox"


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


def register(
    connection: apsw.Connection,
    *,
    providers: Iterable[str] | str | None = None,
    config: str | Path | None = None,
    sandbox: bool | str | Sandbox = False,
    read_only: bool = False,
    trust_file: bool = False,
    store: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
    **settings: Any,
) -> Registration:
    """Add ftsql's tables to an apsw.Connection that is in no transaction; arguments as in ``connect``.

    ``environment`` stands in for os.environ. Close the registration before the connection's end.
    """
    if not isinstance(connection, apsw.Connection):
        raise InterfaceError(f"register takes an apsw.Connection, not a {type(connection).__module__} one")
    if "live" in (name for _, name, _ in connection.execute("PRAGMA database_list")):
        raise ProgrammingError("this connection has a schema named live already: is ftsql registered on it?")
    if connection.in_transaction:
        raise ProgrammingError("register ftsql before BEGIN: SQLite attaches no schema inside a transaction")
    environment = Environment(os.environ if environment is None else environment)
    chosen = Settings.chosen(settings, environment)
    names = [providers] if isinstance(providers, str) else providers
    with contextlib.ExitStack() as undo:
        chosen_store = store or (not sandbox and environment.get("FTSQL_STORE")) or MEMORY
        if connection.filename and os.path.realpath(chosen_store) == os.path.realpath(connection.filename):
            raise ConfigError(f"{connection.filename} is your own file: let another one be the store (--store)")
        kept = Store(MEMORY if read_only and not os.path.exists(chosen_store) else chosen_store)
        undo.callback(kept.close)
        started: Sandbox | None = None
        if sandbox:
            started, known, active = _sandbox(names, sandbox)
            if started is sandbox:
                started = None  # somebody else's
            else:
                undo.callback(started.stop)
        else:
            known, listed = load(config, environment)
            active = accounts(known, names, listed, environment)
        for account in active:
            account.broke_at = math.inf if chosen.verify_order else account.broke_at
            account.in_one = chosen.paging == "none"
        session = Session(connection, active, known, environment, chosen, kept, read_only=read_only)
        undo.callback(session.close)
        _tables(connection, session)
        functions.register(session)
        session.authorizer = guard.install(connection, read_only=read_only, trust_file=trust_file)
        for line in recovery.at_opening(session):
            warnings.warn(line, Warning, stacklevel=3)
        undo.pop_all()
    return Registration(session, started)


def _tables(connection: apsw.Connection, session: Session) -> None:
    jobs: Any = vtab.Module(session)
    connection.create_module(
        JOBS.table,
        jobs,
        use_bestindex_object=True,
        use_no_change=True,
        iVersion=2,  # has savepoints; 3 would take one of the 33 slots that APSW has for a whole process
        eponymous=True,
        read_only=session.read_only,
    )
    module: Any
    for resource in OTHERS:
        fixed = session.read_only or not resource.deletes
        module = tables.Module(session, resource) if fixed else writable.Module(session, resource)
        connection.create_module(
            resource.table, module, use_bestindex_object=True, eponymous=True, iVersion=2, read_only=fixed
        )
    for name, module in about.modules(session).items():
        connection.create_module(name, module, use_bestindex_object=True, eponymous=True, read_only=True)
    # On a read-only connection ':memory:' would be read-only too, and take no table.
    read_only = connection.open_flags & apsw.SQLITE_OPEN_READONLY
    connection.execute(f"ATTACH '{'file::memory:?mode=memory' if read_only else ':memory:'}' AS live")
    for name in (*TABLES, *about.modules(session)):
        connection.execute(f"CREATE VIRTUAL TABLE live.{name} USING {name}")
    views = read_text("views.sql")
    connection.execute(views.replace("CREATE VIEW ", "CREATE VIEW live."))


def _sandbox(names: Iterable[str] | None, sandbox: object) -> tuple[Sandbox, dict[str, Provider], list[Account]]:
    from ftsql.sandbox import Sandbox

    started = sandbox if isinstance(sandbox, Sandbox) else Sandbox()
    if started is not sandbox:
        started.start()
    known, _ = load(None, {"FTSQL_CONFIG": os.devnull})
    faces = started.faces()
    active = []
    for name in names or ["openai"]:
        if name not in faces or name not in known:
            if started is not sandbox:
                started.stop()
            raise ConfigError(f"the sandbox has no face {name!r}; it has {', '.join(sorted(faces))}")
        provider = replace(known[name], base_url=faces[name], home=faces[name])
        environment = {variable: SANDBOX_KEY for variable, needed in provider.variables.items() if needed}
        active.append(Account(provider, environment))
    return started, known, active
