"""What one SQLite connection has of ftsql: its accounts, its statements' looks, its write queue.

A look belongs to a statement, a write to the connection's transaction.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import apsw

from ftsql.api.account import Account
from ftsql.api.client import Client
from ftsql.api.provider import Provider
from ftsql.api.request_log import Counts, RequestLog
from ftsql.errors import ConfigError, IntegrityError, InterfaceError, ProgrammingError
from ftsql.read.statement_cache import StatementCache, no_content
from ftsql.resources.definitions import JOBS, OTHERS
from ftsql.resources.resource import Row
from ftsql.settings import Settings
from ftsql.sqlite.statements import Statement, Statements
from ftsql.store.cache import Cache
from ftsql.store.database import Store
from ftsql.store.journal import Journal
from ftsql.write.queue import Queue
from ftsql.write.sender import Sender
from ftsql.write.write import ACTIONS, Write


class Session:
    """One connection's accounts, looks and writes. Not for use by two threads at once, as the connection."""

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
        # Weak: the connection holds the tables, functions and traces that hold the session.
        self.connection: apsw.Connection = weakref.proxy(connection)
        self._process = os.getpid()
        self.providers = providers
        self.environment = environment
        self.settings = settings
        self.read_only = read_only
        self.requests = RequestLog()
        self.clients = {account: Client(account, settings, self.requests) for account in accounts}
        self.created: list[Row] = []  # jobs that stand, since somebody last took them
        self.notes: list[str] = []  # what became of writes, in words: what the shell prints
        self.confirm: Callable[[str], bool] | None = None  # asks a person about more than one write at once
        self.journal = Journal(store)
        self.sender = Sender(self.journal, settings, self.interrupted, self.note)
        self.queue = Queue(self.sender, self.learn, self.stands, self.approve, self.acted)
        self._held = threading.Event()  # a Ctrl-C that came while the last write of a transaction was under way
        self.last_job_id: str | None = None
        self.last_jobs: list[str] = []  # keys of what the last transaction created
        self.considered: dict[str, list[Any]] = {}  # plans of late by their words, with the constants they compare
        self.kept_content: Callable[[str, str], bytes | None] = (
            no_content  # where statements find the contents of files before they ask for them
        )
        self.authorizer: Any = None  # the connection's own, which the guard stands before
        self.statements = Statements(self.connection, self.queue, self._cache)
        # Where nobody closes: when the connection is gone, so are its sockets and threads. A subclass must see to it
        # itself (__del__): APSW 3.54 calls a weak reference's callback while the garbage collector of another thread
        # still sees the dying connection, which corrupts memory.
        self._store = store
        if type(connection) is apsw.Connection:
            weakref.finalize(connection, _end, list(self.clients.values()), store)

    @property
    def accounts(self) -> tuple[Account, ...]:
        return tuple(self.clients)

    @property
    def counts(self) -> Counts:
        """What was asked since somebody last took the counts."""
        return self.requests.counts

    @property
    def statement(self) -> Statement:
        """The statement that SQLite works on. Raises InterfaceError in a process that was forked off since."""
        if os.getpid() != self._process:
            raise InterfaceError("this connection was made before a fork, which takes no threads along: connect again")
        return self.statements.current

    def interrupted(self) -> bool:
        return self.connection.is_interrupted

    def acted(self) -> int:
        """The writes that functions sent already, in this transaction or else in this statement."""
        return self.statements.acted if self.connection.in_transaction else self.statement.acts

    def approve(self, writes: Sequence[Write]) -> None:
        """Let a person confirm more than one write. Raises ProgrammingError where the answer is no."""
        self.stop_if_held()
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
        """The client for ``provider``, or the only one. Raises ConfigError, IntegrityError."""
        active = ", ".join(account.name for account in self.accounts)
        if provider is not None:
            for account, client in self.clients.items():
                if account.name == provider:
                    return client
            raise ConfigError(f"provider {provider!r} is not active: active are {active or 'none'}")
        if len(self.clients) == 1:
            return next(iter(self.clients.values()))
        if not self.clients:
            raise ConfigError(
                f"no provider is active to {purpose}: set OPENAI_API_KEY, or try ftsql without a key: "
                "ftsql --sandbox, in Python connect(sandbox=True)"
            )
        raise IntegrityError(
            f"several providers are active ({active}): say which, in the column provider, to {purpose}"
        )

    def take_created(self) -> list[Row]:
        """The jobs created since the last call."""
        taken, self.created = self.created, []
        return taken

    def note(self, text: str) -> None:
        """Say something about a write that no error says."""
        self.notes.append(text)

    def take_notes(self) -> list[str]:
        """What became of the writes since the last call, a line each."""
        taken, self.notes = self.notes, []
        return taken

    def refresh(self) -> None:
        """Forget how far listings reached, so that the next ones read everything."""
        for account in self.accounts:
            if not account.missing():
                Cache(self.journal.store, account, self.settings).refresh()

    def learn(self, write: Write) -> None:
        """Show the job of ``write`` as it is now to every statement under way."""
        assert write.row is not None
        if write.resource is not JOBS:
            return  # a statement under way shows them as they were when it looked
        for statement in self.statements.running:
            statement.cache.update(write.client.account, write.row)

    def stands(self, write: Write) -> None:
        """Note a write that no ROLLBACK undoes any more."""
        if write.row is None or write.state == "refused":
            self.notes.append(f"skipped a row: {write.error}")
        elif write.makes and write.resource is not JOBS:
            done = "uploaded" if write.action == "upload" else "granted"
            self.notes.append(f"{done} {write.row.id}, a {write.resource.noun} (provider {write.provider})")
        elif write.action == "create":
            self.last_job_id = write.row.id
            self.created.append(write.row)
            known = {"model": write.row.values.get("model"), "status": write.row.status}
            facts = "".join(f", {name} {value}" for name, value in known.items() if value is not None)
            self.notes.append(f"created {write.row.id} (provider {write.provider}{facts})")
        else:
            self.notes.append(f"{write.row.id} is {write.row.state} now (provider {write.provider})")

    def begin(self, table: int) -> None:
        if not self.queue.writes:  # the first table of a transaction
            self.last_jobs = []
        self.queue.begin(table)

    def savepoint(self, table: int, level: int) -> None:
        self.statements.opened(table, level)
        self.queue.savepoint(table, level)

    def release(self, table: int, level: int) -> None:
        self.statements.released(level)
        self.queue.release(table, level)

    def roll_back_to(self, table: int, level: int) -> None:
        self.statements.settle()
        self.queue.roll_back_to(table, level)

    def add(self, write: Write) -> None:
        self.statements.settle()
        self.queue.add(write)

    def sync(self) -> None:
        self.statements.settle()
        self.queue.sync()

    def commit(self) -> None:
        """The transaction stands. A Ctrl-C that came while its last write was under way comes now."""
        held = any(write.interrupted_by is KeyboardInterrupt for write in self.queue.writes)
        creates = [write for write in self.queue.writes if write.action == "create" and write.state == "created"]
        self.last_jobs += [write.row.key for write in creates if write.row]
        self.queue.commit()
        if held:
            self._held.set()
            threading.Thread(target=_interrupt_later, args=(self._held, self.statements), daemon=True).start()

    def stop_if_held(self) -> None:
        """Raises the KeyboardInterrupt that a write before this one held back, so that nothing more is sent."""
        if self._held.is_set():
            self._held.clear()
            raise KeyboardInterrupt("interrupted: nothing more was sent")

    def close(self) -> None:
        """Stop following the connection and close every socket. The connection itself stays as it is."""
        with contextlib.suppress(apsw.ConnectionClosedError, ReferenceError):
            self.statements.close()
        self.end()

    def end(self) -> None:
        """Close every socket and the store; the connection may be going."""
        _end(list(self.clients.values()), self._store)

    def _cache(self) -> StatementCache:
        cache = StatementCache(self.clients, self.settings, self.interrupted, self.journal.store, self._from_store)
        cache.kept_content = self.kept_content
        return cache

    def _from_store(self, rows: int) -> None:
        self.counts.from_store += rows


def _interrupt_later(held: threading.Event, statements: Statements) -> None:
    """Ctrl-C once SQLite has ended the statement: inside its callbacks Python can only print it."""
    end = time.monotonic() + 1.0
    while statements.running and time.monotonic() < end:
        time.sleep(0.005)
    if held.is_set():
        held.clear()
        _thread.interrupt_main()


def _end(clients: Sequence[Client], store: Store) -> None:
    for client in clients:
        client.close()
    store.close()
