"""The store: the SQLite file that keeps what outlives a connection, shared by several processes.

It holds no credential: an account is known in it by a keyed hash. Whoever writes paid writes into it
holds a lock for as long as it lives, so that others can tell a crash from a write under way.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import stat
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
from pydantic_core import to_json

from ftsql.api.account import Account
from ftsql.errors import StoreError
from ftsql.store.process_lock import ADVICE, BUSY_MILLISECONDS, MEMORY, ProcessLock, reason
from ftsql.store.schema import ANEW, APPLICATION_ID, KEPT_OF, MADE, OLDER, SCHEMA, VERSION

_turns: weakref.WeakValueDictionary[str, threading.RLock] = weakref.WeakValueDictionary()
_lock = threading.Lock()
PAGES = 8  # that may wait to be kept
Work = Callable[[apsw.Connection], None]


def turn_at(path: str) -> threading.RLock:
    """The lock that everybody in this process holds while writing to the file at ``path``."""
    with _lock:
        return _turns.setdefault(path, threading.RLock())


def _forked() -> None:
    """A fork has the locks of threads that it does not have."""
    global _lock
    _lock = threading.Lock()
    _turns.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Store:
    """One connection to the store's file. Safe to use from several threads.

    Raises StoreError, naming the file, for one that cannot be opened or is no store.
    """

    def __init__(self, path: str | Path = MEMORY) -> None:
        # Resolved: whoever comes by another name must find the same lock files.
        text = os.path.expanduser(path)
        if str(text).startswith("~"):
            raise StoreError(f"cannot use the store {path}: there is no such user. {ADVICE}")
        self.path = MEMORY if str(path) == MEMORY else os.path.realpath(text)
        self.lock = threading.RLock()
        self._turn = threading.RLock() if self.path == MEMORY else turn_at(self.path)
        self.owner = ProcessLock(self.path)
        self._process = os.getpid()
        self.complained = False  # that it cannot be used was said
        self.rolled_back = 0  # how often: what a transaction made may be gone since
        self._waiting: list[tuple[Work, Callable[[apsw.Error], None]]] = []  # what is to be kept soon
        self.is_new = self.path == MEMORY or not os.path.exists(self.path)
        try:
            with (
                self._turn
            ):  # or a thread that makes the file would drop, as it closes it, the locks of another's SQLite
                self.db = self._opened()
        except (apsw.Error, OSError) as error:
            raise StoreError(f"cannot use the store {self.path}: {reason(error)}. {ADVICE}") from None

    def _opened(self) -> apsw.Connection:
        if self.path != MEMORY:
            Path(self.path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Never open and close a file that exists: that drops the locks which SQLite holds on it in this process.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            if not stat.S_ISREG(os.stat(self.path).st_mode):
                raise StoreError(f"{self.path} is no file: name another one (store=, --store)")
        # In memory as far as it has room there: a long list goes into a temporary file.
        name = "" if self.path == MEMORY else self.path
        db = apsw.Connection(name, flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
        try:
            db.set_busy_timeout(BUSY_MILLISECONDS)
            db.execute("PRAGMA page_size = 8192")  # of a new file: rows are long
            self._make(db)
            if self.path != MEMORY:
                # SQLite gives the files beside it the same mode. A store that others could read is closed to them.
                if os.stat(self.path).st_mode & 0o077:
                    os.chmod(self.path, 0o600)
                _log_ahead(db)
                # 16 MB of log, then it goes to the file and the disk: often enough, and not with every few pages.
                db.execute("PRAGMA wal_autocheckpoint = 2000")
        except BaseException:
            db.close()
            raise
        return db

    def _make(self, db: apsw.Connection) -> None:
        if db.pragma("application_id") == 0:
            with contextlib.closing(db.execute("BEGIN IMMEDIATE")):
                tables = db.execute("SELECT count(*) FROM sqlite_schema").get
                if db.pragma("application_id") == 0 and not tables:
                    db.execute(SCHEMA + ANEW + MADE)
                db.execute("COMMIT")
        if db.pragma("application_id") != APPLICATION_ID:
            raise StoreError(
                f"{self.path} is a database, but no store of ftsql: name another file with store=, --store"
            )
        if db.pragma("user_version") > VERSION:
            raise StoreError(f"the store {self.path} was made by a newer ftsql: update ftsql, or name another file")
        kept = "SELECT value FROM meta WHERE name = 'kept'"
        if db.pragma("user_version") < VERSION or db.execute(kept).get != KEPT_OF:
            with contextlib.closing(db.execute("BEGIN IMMEDIATE")):
                if db.pragma("user_version") < VERSION:
                    db.execute(OLDER)
                if db.execute(kept).get != KEPT_OF:
                    db.execute(ANEW)
                db.execute("COMMIT")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[apsw.Connection]:
        """One write transaction, durable at its end. Raises StoreError where the file cannot take it."""
        try:
            with self.lock, self._begun("FULL"):
                yield self.db
        except apsw.Error as error:
            raise StoreError(f"cannot write to the store {self.path}: {reason(error)}. {ADVICE}") from None

    @contextlib.contextmanager
    def rows(self, *, writes: bool) -> Iterator[apsw.Connection]:
        """The connection for what can be asked for again: a crash may cost its last changes. Raises apsw.Error."""
        with self.lock:
            if self._waiting:
                self._keep()
            if not writes:
                yield self.db
                return
            with self._begun("NORMAL"):
                yield self.db

    @contextlib.contextmanager
    def _begun(self, synchronous: str) -> Iterator[None]:
        """A transaction that is at once a writer's: one that reads first fails where another process wrote meanwhile.

        Only where it is FULL the disk has it before it ends.
        """
        with self._turn:
            try:  # from the first line to the last: a Ctrl-C may come between any two
                self.db.execute(f"PRAGMA synchronous = {synchronous}; BEGIN IMMEDIATE")
                yield
                self.db.execute("COMMIT")
            except BaseException:
                self.rolled_back += 1
                with contextlib.suppress(apsw.Error):
                    if self.db.in_transaction:
                        self.db.execute("ROLLBACK")
                raise

    def later(self, work: Work, failed: Callable[[apsw.Error], None]) -> None:
        """Have ``work`` done before anybody looks into the store, and soon: pages together take less than one by one.

        Not on a thread of its own: beside one that hands rows to SQLite that takes longer than both in turn.
        ``failed`` is told where the file cannot take it.
        """
        with self.lock:
            self._waiting.append((work, failed))
            if len(self._waiting) >= PAGES:
                self.keep()

    def keep(self) -> None:
        """Do what was left for later."""
        with self.lock:
            if self._waiting:
                self._keep()

    def _keep(self) -> None:
        waiting = list(self._waiting)
        try:
            with self._begun("NORMAL"):
                for work, _ in waiting:
                    work(self.db)
        except apsw.Error as error:  # after a Ctrl-C whoever comes next does it
            for _, failed in waiting:
                failed(error)
        del self._waiting[: len(waiting)]

    def cover(self, db: apsw.Connection, account: Account, resource: str, parent: str = "", *, make: bool) -> int:
        """The number by which the store knows an account's objects of one resource (and parent).

        0 where there is none yet and none is to be made. Raises apsw.Error.
        """
        known = (self.account(account), f"{resource}/{parent}" if parent else resource)
        if make:
            sql = "INSERT INTO covers (provider, account, resource) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
            db.execute(sql, (account.name, *known))
        found: Any = db.execute("SELECT cover FROM covers WHERE account = ? AND resource = ?", known).fetchone()
        return 0 if found is None else int(found[0])

    def contents(self) -> list[Any]:
        """For each account: its provider, the jobs known and those of them that have finished, how far
        listings reached (created_at), and when all was read last.
        """
        self.keep()
        with self.lock:
            return self.db.execute(
                "SELECT provider, count(id), ifnull(sum(finished), 0), horizon, full_at FROM covers "
                "LEFT JOIN kept USING (cover) WHERE instr(resource, '/') = 0 "
                "GROUP BY cover HAVING count(id) OR full_at ORDER BY cover"
            ).fetchall()

    def writes(self) -> list[Any]:
        """How many writes there are of each state."""
        with self.lock:
            return self.db.execute("SELECT state, count(*) FROM writes GROUP BY state").fetchall()

    def size(self) -> int:
        """Bytes on the disk; 0 in memory."""
        return sum(
            os.path.getsize(self.path + end)
            for end in ("", "-wal")
            if self.path != MEMORY and os.path.exists(self.path + end)
        )

    def clear(self) -> None:
        """Forget everything but the writes of the last day and those that are open. Raises StoreError."""
        self.keep()
        with self.transaction() as db:
            db.execute("DELETE FROM kept")
            # The numbers stay: another process may hold one. What it reads or writes now is of an old generation.
            db.execute(
                "UPDATE covers SET horizon = NULL, looked_at = 0, full_at = NULL, broke_at = NULL, "
                "generation = generation + 1"
            )
            db.execute(
                "DELETE FROM writes WHERE state IN ('committed', 'refused', 'cancelled') AND at < unixepoch() - 86400"
            )
        with self.lock:
            self.db.execute("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def account(self, account: Account) -> str:
        """How the store knows ``account``: provider, address, routing and a hash of its credentials."""
        with self.lock:
            salt = self.db.execute("SELECT value FROM meta WHERE name = 'salt'").get
        parts = [account.name, account.url(), account.query(), account.body(), account.headers()]
        return hmac.new(salt, to_json(parts), hashlib.sha256).hexdigest()[:32]

    def close(self) -> None:
        """Close the file and give the lock up."""
        if os.getpid() != self._process:
            return  # a fork: the files and the lock are its parent's
        self.keep()
        with self.lock:
            self.owner.release()
            self.db.close()


def _log_ahead(db: apsw.Connection) -> None:
    """Turn the write-ahead log on. SQLite does not wait here for others who open the file at the same time."""
    end = time.monotonic() + BUSY_MILLISECONDS / 1000
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL").fetchall()
            return
        except apsw.BusyError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
