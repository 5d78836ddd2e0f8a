"""ftsql's tables on a connection, as those who put them there hold them.

It ends before the connection does, or with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import apsw

from ftsql import about, explain, functions, recovery
from ftsql.client import Client
from ftsql.providers import Provider
from ftsql.requests import Counts
from ftsql.resource import Row
from ftsql.resources import TABLES
from ftsql.session import Session
from ftsql.settings import Settings
from ftsql.store import Store

if TYPE_CHECKING:
    from ftsql.sandbox import Sandbox


class Registration:
    """ftsql's tables on a connection. ``close`` (or leaving the ``with`` block) takes them off again."""

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
        """What asks the active providers, by their names."""
        return {account.name: client for account, client in self._session.clients.items()}

    @property
    def settings(self) -> Settings:
        return self._session.settings

    def keep_contents(self, kept: Callable[[str, str], bytes | None]) -> None:
        """Have statements take the contents of files (by provider and id) from ``kept`` where it has them."""
        self._session.kept_content = kept

    @property
    def known(self) -> Mapping[str, Provider]:
        """The providers by name, active or not."""
        return self._session.known

    @property
    def last_job_id(self) -> str | None:
        """The id of the job that this connection created last."""
        return self._session.last_job_id

    def take_created(self) -> list[Row]:
        """The jobs created since the last call, oldest first."""
        return self._session.take_created()

    def announce(self, sql: str) -> None:
        """Say that ``sql`` runs next, from a cursor whose own execution trace hides it."""
        self._session.statements.announce(sql)

    @property
    def counts(self) -> Counts:
        """The requests and rows since the last ``take_counts``."""
        return self._session.counts

    def take_counts(self) -> Counts:
        """The requests and rows since the last call."""
        return self._session.requests.take_counts()

    def take_notes(self) -> list[str]:
        """What became of writes since the last call, a line each: what the shell prints."""
        return self._session.take_notes()

    @property
    def queued(self) -> int:
        """How many writes wait for COMMIT."""
        return self._session.queue.waiting

    @property
    def store(self) -> Store:
        """What keeps the journal."""
        return self._session.journal.store

    def settle(self) -> list[str]:
        """Look again for every write that is open in the store; gives what became of each, a line each.

        Those that stay open are ``SELECT * FROM ftsql_writes WHERE open``.
        """
        return recovery.settle(self._session)

    def decide(self, write_id: int, decision: recovery.Decision, job_id: str | None = None) -> str:
        """Close an open write by your word: "keep", "cancel", "none", or "job" with its id; gives what it is now.

        Raises ProgrammingError where the write is not open or the decision does not fit its state.
        """
        return recovery.decide(self._session, write_id, decision, job_id or "")

    def refresh(self) -> None:
        """Have the next listing of every account read all of it, which finds what was deleted elsewhere."""
        self._session.refresh()

    def explain(self, sql: str) -> list[explain.Cost]:
        """What ``sql`` would cost in requests, part by part and last in all. Nothing is sent."""
        return explain.explain(self._session, sql)

    def when_in_doubt(self, is_sure: Callable[[str], bool] | None) -> None:
        """Have ``is_sure`` confirm a write whose comparison of a time nothing shows to be one with a number.

        Without it such a write is refused.
        """
        self._session.statements.is_sure = is_sure or (lambda _: False)

    def ask_before(self, confirm: Callable[[str], bool] | None) -> None:
        """Have ``confirm`` answer before a statement or transaction sends more than one write."""
        self._session.confirm = confirm

    def close(self) -> None:
        """Close ftsql's sockets and, where it runs, the embedded sandbox. The connection stays open."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(apsw.Error, ReferenceError):  # closed already, or in the middle of a statement
                _take_off(self._session)
            self._session.close()
            if self._sandbox is not None:
                self._sandbox.stop()

    def end(self) -> None:
        """Close ftsql's sockets where the connection was dropped without being closed."""
        self._session.end()

    def __enter__(self) -> Registration:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _take_off(session: Session) -> None:
    """The reverse of ``_tables`` and ``functions.register``."""
    connection = session.connection
    connection.authorizer = session.authorizer
    connection.execute("DETACH live")
    for name in (*TABLES, *about.modules(session)):
        connection.create_module(name, None)
    functions.unregister(session)
