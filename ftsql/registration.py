"""The function ``register``, which adds ftsql's tables to a connection. It returns a Registration, which controls them.

The registration must be closed before the connection, or together with it.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw

from ftsql.api.account import Account, accounts
from ftsql.api.client import Client
from ftsql.api.provider import Provider, load
from ftsql.api.request_log import Counts
from ftsql.errors import ConfigError, InterfaceError, ProgrammingError, Warning
from ftsql.read.cost import Cost
from ftsql.resources.resource import Row
from ftsql.settings import Environment, Settings
from ftsql.sqlite import explain
from ftsql.sqlite.install import install, uninstall
from ftsql.sqlite.session import Session
from ftsql.store.cache import Cache
from ftsql.store.database import Store
from ftsql.store.process_lock import MEMORY
from ftsql.write import recovery

if TYPE_CHECKING:
    from ftsql.sandbox import Sandbox


SANDBOX_KEY = "sk-ftsql-sandbox"


class Registration:
    """ftsql's tables on a connection. ``close``, or the end of a ``with`` block, removes them.

    >>> connection = apsw.Connection(":memory:")
    >>> registration = register(connection, sandbox=True)
    >>> registration.accounts, registration.settings.max_writes
    (('openai',), 20)
    >>> registration.close()
    """

    def __init__(self, session: Session, sandbox: Sandbox | None) -> None:
        self._session = session
        self._sandbox = sandbox
        self._closed = False

    @property
    def accounts(self) -> tuple[str, ...]:
        """The names of the active providers."""
        return tuple(account.name for account in self._session.accounts)

    @property
    def clients(self) -> Mapping[str, Client]:
        """The clients of the active providers, by provider name."""
        return {account.name: client for account, client in self._session.clients.items()}

    @property
    def settings(self) -> Settings:
        """The settings of the connection."""
        return self._session.settings

    def read_contents_from(self, kept: Callable[[str, str], bytes | None]) -> None:
        """Let statements take file contents from ``kept(provider, id)``, which returns None if it lacks the file."""
        self._session.kept_content = kept

    @property
    def providers(self) -> Mapping[str, Provider]:
        """All providers by name, active or not."""
        return self._session.providers

    @property
    def last_job_id(self) -> str | None:
        """The id of the last job that this connection created, or None if it has created no job."""
        return self._session.last_job_id

    def take_created(self) -> list[Row]:
        """Return the jobs created since the last call, oldest first.

        >>> import ftsql
        >>> db = ftsql.connect(sandbox=True)
        >>> insert = "INSERT INTO fine_tuning_jobs (model, training_file)"
        >>> cursor = db.execute(f"{insert} SELECT model, training_file FROM fine_tuning_jobs LIMIT 1")
        >>> [job.id for job in db.ftsql.take_created()] == [db.ftsql.last_job_id]
        True
        >>> db.close()
        """
        return self._session.take_created()

    def current_cache(self, provider: str) -> Cache | None:
        """Bring the cache of a provider's jobs up to date and return it.

        Return None if the store is in memory, or if it is not certain that the cache has every job as it is now. Raises
        the same errors as a SELECT.
        """
        session, began = self._session, time.time()
        store = session.journal.store
        if store.path == MEMORY:
            return None
        # This statement reads the list and requests the active jobs, but returns hardly any row.
        session.connection.execute(
            "SELECT id FROM live.fine_tuning_jobs WHERE provider = ? AND status = ''", (provider,)
        ).fetchall()
        account = next(account for account in session.accounts if account.name == provider)
        cache = Cache(store, account, session.settings)
        cover = cache.coverage()
        return cache if cover is not None and cover.looked_at >= began else None

    def announce(self, sql: str, bound: Any = None) -> None:
        """Announce that the user is about to run ``sql`` with the parameters ``bound``.

        The call is needed if the cursor has an execution trace of its own, because the cursor's trace hides the
        statement from ftsql's trace.
        """
        self._session.statements.announce(sql, bound)

    @property
    def counts(self) -> Counts:
        """The requests and rows since the last ``take_counts``."""
        return self._session.counts

    def take_counts(self) -> Counts:
        """Return the requests and rows since the last call, and start new counts.

        >>> import ftsql
        >>> db = ftsql.connect(sandbox=True)
        >>> rows = db.execute("SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 3").fetchall()
        >>> print(db.ftsql.take_counts())
        1 request (1 list; openai 1), 3 rows from the API, 0 from the store, waited 0.0 s
        >>> db.close()
        """
        return self._session.requests.take_counts()

    def take_notes(self) -> list[str]:
        """Return the outcomes of the writes since the last call, one line for each. The shell prints these lines.

        >>> import ftsql
        >>> db = ftsql.connect(sandbox=True)
        >>> cursor = db.execute("UPDATE fine_tuning_jobs SET status = 'cancelled' WHERE status = 'paused'")
        >>> [note.partition(" ")[2] for note in db.ftsql.take_notes()]  # without the ids
        ['is cancelled now (provider openai)', 'is cancelled now (provider openai)']
        >>> db.close()
        """
        return self._session.take_notes()

    @property
    def queued(self) -> int:
        """The number of writes that wait for COMMIT."""
        return self._session.queue.waiting

    @property
    def store(self) -> Store:
        """The store: the cache and the write journal."""
        return self._session.journal.store

    def settle(self) -> list[str]:
        """Look up every open write in the store. Return the outcomes, one line for each write.

        ``SELECT * FROM ftsql_writes WHERE open`` shows the writes that stay open.

        >>> import ftsql
        >>> db = ftsql.connect(sandbox=True)
        >>> db.ftsql.settle()  # no write is open
        []
        >>> db.close()
        """
        return recovery.settle(self._session)

    def decide(self, write_id: int, decision: recovery.Decision, job_id: str | None = None) -> str:
        """Close an open write by the user's decision. Return a sentence about its new state.

        decision: "keep" (the job that the write created stays), "cancel" (cancel that job), "none" (the write created
            no job), or "job" (the write created the job ``job_id``).

        Raises ProgrammingError if the write is not open or the decision does not fit its state.

        >>> import ftsql
        >>> db = ftsql.connect(sandbox=True)
        >>> try:
        ...     db.ftsql.decide(1, "none")
        ... except ProgrammingError as error:
        ...     print(error)
        write 1 is not open: ftsql writes lists the open ones
        >>> db.close()
        """
        return recovery.decide(self._session, write_id, decision, job_id or "")

    def refresh(self) -> None:
        """Make the next listing of every account read all pages, so that jobs deleted elsewhere disappear."""
        self._session.refresh()

    def explain(self, sql: str) -> list[Cost]:
        """Return how many requests ``sql`` would send, first for each part, and then in total. Nothing is sent.

        >>> import ftsql
        >>> db = ftsql.connect(sandbox=True)
        >>> for cost in db.ftsql.explain("SELECT id FROM fine_tuning_jobs LIMIT 100"):
        ...     print(cost.what, cost.number, cost.why, sep="; ")
        fine_tuning_jobs, list limit (openai); 1 request; pages of 100 for 100 rows
        in all; 1 request; at most max_requests = 10000
        >>> db.close()
        """
        return explain.explain(self._session, sql)

    def confirm_comparisons(self, is_sure: Callable[[str], bool] | None) -> None:
        """Call ``is_sure`` before a write that compares a time with a value that may not be a number.

        If ``is_sure`` is None, such a write is refused.
        """
        self._session.statements.is_sure = is_sure or (lambda _: False)

    def confirm_writes(self, confirm: Callable[[str], bool] | None) -> None:
        """Call ``confirm`` before a statement or transaction sends more than one write.

        If ``confirm`` returns False, nothing more is sent. If ``confirm`` is None, no question is asked.

        >>> import ftsql
        >>> db = ftsql.connect(sandbox=True)
        >>> db.ftsql.confirm_writes(lambda question: bool(print(question)))  # no, always
        >>> try:
        ...     db.execute("UPDATE fine_tuning_jobs SET status = 'cancelled' WHERE status = 'paused'")
        ... except ftsql.Error as error:
        ...     print(error)
        cancel 2 fine-tuning jobs?
        not confirmed: nothing was sent, and the transaction is rolled back
        >>> db.close()
        """
        self._session.confirm = confirm

    def close(self) -> None:
        """Remove the tables, and close ftsql's sockets and the embedded sandbox. The connection stays open."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(apsw.Error, ReferenceError):  # the connection is closed or runs a statement
                uninstall(self._session)
            self._session.close()
            if self._sandbox is not None:
                self._sandbox.stop()

    def end(self) -> None:
        """Close ftsql's sockets after the connection was dropped without ``close``."""
        self._session.end()

    def __enter__(self) -> Registration:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
    """Add ftsql's tables to an apsw.Connection that is not in a transaction.

    The arguments are those of ``connect``. ``environment`` replaces os.environ. Close the registration before the
    connection.

    Raises InterfaceError if ``connection`` is not APSW's. Raises ProgrammingError if the connection is in a transaction
    or has a schema called ``live``. Also raises the same errors as ``connect``.

    >>> connection = apsw.Connection(":memory:")
    >>> with register(connection, sandbox=True):
    ...     connection.execute("SELECT count(*) > 0 FROM fine_tuning_jobs").get
    1
    """
    _check_connection(connection)
    environment = Environment(os.environ if environment is None else environment)
    chosen = Settings.resolve(settings, environment)
    names = [providers] if isinstance(providers, str) else providers
    with contextlib.ExitStack() as undo:
        store_path = store or (not sandbox and environment.get("FTSQL_STORE")) or MEMORY
        opened_store = _open_store(store_path, connection.filename, read_only=read_only)
        undo.callback(opened_store.close)
        own_sandbox: Sandbox | None = None
        if sandbox:
            running, known, active = _start_sandbox(names, sandbox)
            if running is not sandbox:
                own_sandbox = running
                undo.callback(running.stop)
        else:
            known, listed = load(config, environment)
            active = accounts(known, names, listed, environment)
        for account in active:
            account.order_broke_at = math.inf if chosen.verify_order else account.order_broke_at
            account.single_response = chosen.paging == "none"
        session = Session(connection, active, known, environment, chosen, opened_store, read_only=read_only)
        undo.callback(session.close)
        install(connection, session, trust_file=trust_file)
        for line in recovery.at_opening(session):
            warnings.warn(line, Warning, stacklevel=3)
        undo.pop_all()
    return Registration(session, own_sandbox)


def _check_connection(connection: object) -> None:
    """Raise InterfaceError or ProgrammingError if ftsql cannot be registered on ``connection``."""
    if not isinstance(connection, apsw.Connection):
        raise InterfaceError(f"register takes an apsw.Connection, not a {type(connection).__module__} connection")
    if "live" in (name for _, name, _ in connection.execute("PRAGMA database_list")):
        raise ProgrammingError("this connection already has a schema named live: is ftsql registered on it?")
    if connection.in_transaction:
        raise ProgrammingError("register ftsql before BEGIN: SQLite attaches no schema inside a transaction")


def _open_store(path: str | Path, filename: str, *, read_only: bool) -> Store:
    """Open the store at ``path``. If there is no file, a read-only connection creates none and uses memory.

    Raises ConfigError if ``path`` is ``filename``, the user's own file.
    """
    if filename and os.path.realpath(path) == os.path.realpath(filename):
        raise ConfigError(f"{filename} is your own file: choose another file for the store (--store)")
    return Store(MEMORY if read_only and not os.path.exists(path) else path)


def _start_sandbox(names: Iterable[str] | None, sandbox: object) -> tuple[Sandbox, dict[str, Provider], list[Account]]:
    """Return a running sandbox, all providers, and the accounts for ``names`` at that sandbox.

    If ``sandbox`` is not a Sandbox, a new one is started. Raises ConfigError for a provider that the sandbox lacks.
    """
    from ftsql.sandbox import Sandbox

    running = sandbox if isinstance(sandbox, Sandbox) else Sandbox()
    if running is not sandbox:
        running.start()
    known, _ = load(None, {"FTSQL_CONFIG": os.devnull})
    faces = running.faces()
    active = []
    for name in names or ["openai"]:
        if name not in faces or name not in known:
            if running is not sandbox:
                running.stop()
            raise ConfigError(f"the sandbox has no provider {name!r}; it has {', '.join(sorted(faces))}")
        provider = replace(known[name], base_url=faces[name], home=faces[name])
        environment = {variable: SANDBOX_KEY for variable, needed in provider.variables.items() if needed}
        active.append(Account(provider, environment))
    return running, known, active
