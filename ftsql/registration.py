"""ftsql's tables on a connection, as those who put them there hold them.

It ends before the connection does, or with it.
"""

from __future__ import annotations

import contextlib
import math
import os
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
from ftsql.resources.resource import Row
from ftsql.settings import Environment, Settings
from ftsql.sqlite import explain
from ftsql.sqlite.install import install, uninstall
from ftsql.sqlite.session import Session
from ftsql.store.database import Store
from ftsql.store.process_lock import MEMORY
from ftsql.write import recovery

if TYPE_CHECKING:
    from ftsql.sandbox import Sandbox


SANDBOX_KEY = "sk-ftsql-sandbox"


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
    def providers(self) -> Mapping[str, Provider]:
        """The providers by name, active or not."""
        return self._session.providers

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
                uninstall(self._session)
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
        install(connection, session, trust_file=trust_file)
        for line in recovery.at_opening(session):
            warnings.warn(line, Warning, stacklevel=3)
        undo.pop_all()
    return Registration(session, started)


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
