"""What one SQLite connection has of ftsql: its accounts, its statements' looks, its write queue.

A look belongs to a statement: SQLite's trace events tell which statements are under way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import apsw
import apsw.ext

from ftsql.client import Client
from ftsql.errors import ConfigError, IntegrityError
from ftsql.providers import Account, Provider
from ftsql.resources import Row
from ftsql.savepoints import Savepoints
from ftsql.scan import Look
from ftsql.sending import Sender, Write
from ftsql.settings import Settings
from ftsql.store import Journal
from ftsql.writes import Queue


@dataclass(eq=False)
class Statement:
    """A statement under way. ``results``: of its functions with effects, by name and arguments."""

    sql: str
    look: Look
    in_transaction: bool = False  # when it began
    changes_before: int = 0  # the connection's changes when it began
    changes_inside: int = 0  # those of statements that ran inside it
    results: dict[tuple[object, ...], apsw.SQLiteValue] = field(default_factory=dict)
    acts: int = 0
    sorts_and_limits: frozenset[str] | None = None  # functions that it calls before it sorts and limits
    savepoints: set[tuple[int, int]] = field(default_factory=set)  # (table, level) opened, not released


class Session:
    """One connection's accounts, looks and writes. Not for use by two threads at once, as the connection."""

    def __init__(
        self,
        connection: apsw.Connection,
        accounts: Sequence[Account],
        known: Mapping[str, Provider],
        environment: Mapping[str, str],
        settings: Settings,
        *,
        read_only: bool,
    ) -> None:
        self.connection = connection
        self.known = known
        self.environment = environment
        self.settings = settings
        self.read_only = read_only
        self.clients = {account: Client(account, settings) for account in accounts}
        self.journal = Journal()
        self.sender = Sender(self.journal, settings, self.interrupted)
        self.queue = Queue(self.sender, self.learn, self.stands)
        self.created: list[Row] = []  # jobs that stand, since somebody last took them: what the shell prints
        self.last_job_id: str | None = None
        self.savepoints = Savepoints()
        self._statements: dict[int, Statement] = {}
        self._loose = Statement("", self._look())  # before any trace event, or after the last
        self._tracing = True
        mask = apsw.SQLITE_TRACE_STMT | apsw.SQLITE_TRACE_PROFILE
        connection.trace_v2(mask, self._trace, id=self)

    @property
    def accounts(self) -> tuple[Account, ...]:
        return tuple(self.clients)

    @property
    def statement(self) -> Statement:
        """The statement that SQLite works on: the one that began last and has not ended."""
        return next(reversed(self._statements.values()), self._loose)

    def interrupted(self) -> bool:
        return self.connection.is_interrupted

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

    def program(self, sql: str) -> list[tuple[int, str, str]]:
        """Address, opcode and P4 of a statement's program; looking at it does not count as a statement."""
        self._tracing = False
        try:
            steps = apsw.ext.query_info(self.connection, sql, explain=True).explain or []
            return [(number, step.opcode, str(step.p4 or "")) for number, step in enumerate(steps)]
        finally:
            self._tracing = True

    def take_created(self) -> list[Row]:
        """The jobs created since the last call."""
        taken, self.created = self.created, []
        return taken

    def learn(self, write: Write) -> None:
        """Show the job of ``write`` as it is now to every statement under way."""
        assert write.row is not None
        for statement in self._statements.values():
            statement.look.learn(write.client.account, write.row)

    def stands(self, write: Write) -> None:
        """Note the job that ``write`` created and that no ROLLBACK undoes any more."""
        assert write.row is not None
        self.last_job_id = write.row.id
        self.created.append(write.row)

    def savepoint(self, table: int, level: int) -> None:
        self.queue.savepoint(table, level)
        self.statement.savepoints.add((table, level))

    def release(self, table: int, level: int) -> None:
        self.queue.release(table, level)
        for statement in self._statements.values():
            statement.savepoints = {point for point in statement.savepoints if point[0] != table or point[1] < level}

    def close(self) -> None:
        """Stop following the connection and close every socket. The connection itself stays as it is."""
        with contextlib.suppress(apsw.ConnectionClosedError):
            self.connection.trace_v2(0, None, id=self)
        for client in self.clients.values():
            client.close()
        self.journal.close()

    def _look(self) -> Look:
        return Look(self.clients, self.settings, self.interrupted)

    def _trace(self, event: dict[str, object]) -> None:
        id, sql = event["id"], str(event["sql"])
        assert isinstance(id, int)
        if not self._tracing or event.get("trigger"):
            return
        if event["code"] == apsw.SQLITE_TRACE_STMT:
            self._statements.pop(id, None)
            began = Statement(sql, self._look(), self.connection.in_transaction, self.connection.total_changes())
            self._statements[id] = began
        elif id in self._statements and self._statements[id].sql == sql:  # queries of FTS5 share the id
            self._ended(self._statements.pop(id))

    def _ended(self, statement: Statement) -> None:
        """Leave nothing of a failed statement in the queue.

        A statement that ends well releases its savepoints, and one that fails in SQLite rolls them back.
        Where a Python exception ended it APSW delivers neither: then its own savepoint is still open, and
        it changed nothing. A savepoint of the user's that a table saw late is open too, but below its own.
        """
        changes = self.connection.total_changes() - statement.changes_before
        if self._statements:
            next(reversed(self._statements.values())).changes_inside += changes
        own = any(level >= self.savepoints.depth for _, level in statement.savepoints)
        if statement.savepoints and (own or changes == statement.changes_inside):
            self.queue.drop_from(min(self.queue.mark(*point) for point in statement.savepoints))
        self.savepoints.ran(
            statement.sql,
            in_transaction_before=statement.in_transaction,
            in_transaction_after=self.connection.in_transaction,
        )
