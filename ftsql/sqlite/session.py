"""``Session``: the state that ftsql keeps for one SQLite connection.

A session owns the clients of the accounts, the running statements, and the queue of writes. Each statement has its own
cache. A queued write belongs to the connection's transaction.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import apsw

from ftsql.api.account import Account
from ftsql.api.client import Client
from ftsql.api.provider import Provider
from ftsql.api.request_log import Counts, RequestLog
from ftsql.errors import ConfigError, IntegrityError, InterfaceError, ProgrammingError
from ftsql.interrupts import HeldInterrupt, finish
from ftsql.read.statement_cache import StatementCache, no_content
from ftsql.resources.definitions import JOBS, OTHERS
from ftsql.resources.resource import Row
from ftsql.settings import Settings
from ftsql.sqlite import foresight
from ftsql.sqlite.statements import Statement, Statements
from ftsql.store.cache import Cache
from ftsql.store.database import Store
from ftsql.store.journal import Journal
from ftsql.write.queue import Queue
from ftsql.write.sender import Sender
from ftsql.write.write import ACTIONS, Write


class Session:
    """The accounts, statements and writes of one connection. Like the connection, it is not thread-safe."""

    def __init__(
        self,
        connection: apsw.Connection,
        accounts: Sequence[Account],
        providers: Mapping[str, Provider],
        environment: Mapping[str, str],
        settings: Settings,
        store: Store,
        *,
        read_only: bool,
    ) -> None:
        # A proxy, because the connection holds the tables, functions and traces, and they hold the session.
        self.connection: apsw.Connection = weakref.proxy(connection)
        self._process = os.getpid()
        self.providers = providers
        self.environment = environment
        self.settings = settings
        self.read_only = read_only
        self.requests = RequestLog()
        self.clients = {account: Client(account, settings, self.requests) for account in accounts}
        self.created: list[Row] = []  # jobs created since the last ``take_created``, which ROLLBACK can no longer undo
        self.notes: list[str] = []  # the outcomes of writes since the last ``take_notes``, as the shell prints them
        self.confirm: Callable[[str], bool] | None = None  # asks the user before more than one write is sent
        self.journal = Journal(store)
        self.sender = Sender(self.journal, settings, self.interrupted, self.note)
        self.queue = Queue(self.sender, self.update_statements, self.note_outcome, self.approve, self.sent_by_functions)
        self.held_interrupt = HeldInterrupt()  # a Ctrl-C that came during the last write of a transaction
        self.last_job_id: str | None = None
        self.last_jobs: list[str] = []  # keys of the jobs that the last transaction created
        # The plans that BestIndex has returned, each with the constants among its arguments. ``explain`` reads them.
        self.constants_by_plan: dict[str, list[Any]] = {}
        # Returns the content of a file, or None. Statements call this function before they send a request.
        self.kept_content: Callable[[str, str], bytes | None] = no_content
        self.authorizer: Any = None  # the connection's authorizer before ftsql installed its own
        self.statements = Statements(self.connection, self.queue, self.new_cache)
        # The finalizer closes sockets and threads if the connection is dropped without ``close``. A subclass of
        # Connection has to do so in its __del__, because APSW 3.54 calls a weak reference's callback while the garbage
        # collector of another thread still sees the dying connection, and the call then corrupts memory.
        self._store = store
        if type(connection) is apsw.Connection:
            weakref.finalize(connection, _end, list(self.clients.values()), store)

    @property
    def accounts(self) -> tuple[Account, ...]:
        return tuple(self.clients)

    @property
    def counts(self) -> Counts:
        """The requests and rows since the counts were last taken."""
        return self.requests.counts

    @property
    def statement(self) -> Statement:
        """The statement that SQLite runs now. Raises InterfaceError in a process forked after the connection opened."""
        if os.getpid() != self._process:
            raise InterfaceError(
                "this connection was opened before a fork, and its threads do not exist in this process: connect again"
            )
        return self.statements.current

    def interrupted(self) -> bool:
        """Whether ``interrupt`` was called on the connection and the statement has not ended yet."""
        return self.connection.is_interrupted

    def sent_by_functions(self) -> int:
        """Return how many writes SQL functions sent in the open transaction, or in this statement if none is open."""
        return self.statements.sent_by_functions if self.connection.in_transaction else self.statement.sent_by_functions

    def approve(self, writes: Sequence[Write]) -> None:
        """Ask the user to confirm more than one write. Raises ProgrammingError if the user declines."""
        self.held_interrupt.raise_now()
        if len(writes) < 2 or self.confirm is None:
            return
        kinds = [(action, resource) for action in ACTIONS for resource in (JOBS, *OTHERS)]
        counts = {kind: sum((write.action, write.resource) == kind for write in writes) for kind in kinds}
        asked = " and ".join(
            f"{action} {count} {resource.noun}{'s' if count > 1 else ''}"
            for (action, resource), count in counts.items()
            if count
        )
        if not self.confirm(f"{asked}?"):
            raise ProgrammingError("not confirmed: nothing was sent, and the transaction is rolled back")

    def client(self, provider: str | None, purpose: str) -> Client:
        """Return the client for ``provider``, or the only client if ``provider`` is None.

        purpose: The action in the words of an error message, such as "create a job".

        Raises ConfigError if the provider is not active, or if no provider is. Raises IntegrityError if several
        providers are active and ``provider`` is None.
        """
        active = ", ".join(account.name for account in self.accounts)
        if provider is not None:
            for account, client in self.clients.items():
                if account.name == provider:
                    return client
            raise ConfigError(f"provider {provider!r} is not active; active providers: {active or 'none'}")
        if len(self.clients) == 1:
            return next(iter(self.clients.values()))
        if not self.clients:
            raise ConfigError(
                f"no provider is active to {purpose}: set OPENAI_API_KEY, or try ftsql without a key: "
                "ftsql --sandbox, in Python connect(sandbox=True)"
            )
        raise IntegrityError(f"several providers are active ({active}): name one in the column provider to {purpose}")

    def take_created(self) -> list[Row]:
        """Return the jobs created since the last call, oldest first."""
        taken, self.created = self.created, []
        return taken

    def note(self, text: str) -> None:
        """Add a line about a write that no error message contains. The next ``take_notes`` returns the line."""
        self.notes.append(text)

    def take_notes(self) -> list[str]:
        """Return the outcomes of writes since the last call, one line for each."""
        taken, self.notes = self.notes, []
        return taken

    def refresh(self) -> None:
        """Forget how far the stored listings reach, so that the next listing of every account reads all pages."""
        for account in self.accounts:
            if not account.missing():
                Cache(self.journal.store, account, self.settings).refresh()

    def update_statements(self, write: Write) -> None:
        """Put the new state of the job that ``write`` changed into the cache of every running statement."""
        assert write.row is not None
        if write.resource is not JOBS:
            return  # running statements show other resources as they read them
        for statement in self.statements.running:
            statement.cache.update(write.client.account, write.row)

    def note_outcome(self, write: Write) -> None:
        """Add the note for a write that ROLLBACK can no longer undo."""
        if write.row is None:  # INSERT OR IGNORE skipped it
            self.notes.append(f"skipped a row: {write.error}")
        elif write.makes and write.resource is not JOBS:
            done = "uploaded" if write.action == "upload" else "granted"
            self.notes.append(f"{done} {write.row.id}, a {write.resource.noun} (provider {write.provider})")
        elif write.action == "create":
            self.last_job_id = write.row.id
            self.created.append(write.row)
            shown = {"model": write.row.values.get("model"), "status": write.row.status}
            facts = "".join(f", {name} {value}" for name, value in shown.items() if value is not None)
            self.notes.append(f"created {write.row.id} (provider {write.provider}{facts})")
        else:
            self.notes.append(f"{write.row.id} is {write.row.state} now (provider {write.provider})")

    def begin(self, table: int) -> None:
        """Let ``table`` join the transaction. A table is known by the ``id`` of its object."""
        if not self.queue.writes:  # the first table of a transaction
            self.last_jobs = []
        self.queue.begin(table)

    def savepoint(self, table: int, level: int) -> None:
        """Open savepoint ``level`` for ``table``."""
        self.statements.open_savepoint(table, level)
        self.queue.savepoint(table, level)

    def release(self, table: int, level: int) -> None:
        """Release the savepoints of ``table`` from ``level`` on."""
        self.statements.release_savepoints(level)
        self.queue.release(table, level)

    def roll_back_to(self, table: int, level: int) -> None:
        """Drop the writes queued since savepoint ``level`` of ``table``."""
        self.statements.drop_failed_writes()
        self.queue.roll_back_to(table, level)

    def add(self, write: Write) -> None:
        """Queue ``write``. Raises what Queue.add raises."""
        self.statements.drop_failed_writes()
        self.queue.add(write)

    def sync(self) -> None:
        """Send the queued writes. Raises what Queue.sync raises."""
        self.statements.drop_failed_writes()
        self.queue.sync()

    def commit(self) -> None:
        """End the transaction after SQLite has committed it.

        If a Ctrl-C comes meanwhile, or came during the last write, KeyboardInterrupt is raised soon, but not here.
        """
        held = [write for write in self.queue.writes if write.interrupted_by is KeyboardInterrupt]
        creates = [write for write in self.queue.writes if write.action == "create" and write.state == "created"]
        keys = [write.row.key for write in creates if write.row]
        interrupts: list[object] = [*held]
        # If an interrupt ended this method here, the next transaction would undo these writes.
        finish(self.queue.commit, interrupts.append)
        self.last_jobs += keys
        if interrupts:
            self.held_interrupt.hold(lambda: self.statements.running)

    def close(self) -> None:
        """Stop tracing the connection and close every socket. The connection stays open."""
        with contextlib.suppress(apsw.ConnectionClosedError, ReferenceError):
            self.statements.close()
        self.end()

    def end(self) -> None:
        """Close every socket and the store. The connection is not used, because it may be gone."""
        _end(list(self.clients.values()), self._store)

    def new_cache(self) -> StatementCache:
        """Return the cache with which a new statement begins."""
        cache = StatementCache(self.clients, self.settings, self.interrupted, self.journal.store, self._count_stored)
        cache.kept_content = self.kept_content
        cache.foresee = self._foresee
        return cache

    def _foresee(self, cache: StatementCache) -> Sequence[foresight.Id]:
        """Return the ids that the statement with this cache will ask for, as far as they can be known."""
        statement = next((each for each in self.statements.running if each.cache is cache), None)
        return () if statement is None else foresight.foresee(self.connection, self.statements, statement)

    def _count_stored(self, rows: int) -> None:
        self.counts.from_store += rows


def _end(clients: Sequence[Client], store: Store) -> None:
    for client in clients:
        client.close()
    store.close()
