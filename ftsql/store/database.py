"""The store's SQLite file: how it is opened and upgraded, its transactions, and the ids of accounts in it.

Several processes may share the file. The file contains no credential, because an account is identified by a keyed hash.
A process that records paid writes holds a lock for as long as the process lives. So other processes can tell whether
the process has crashed or a write is under way.

The module is longer than 400 lines because one class owns the connection, its locks and the work that waits for them.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import stat
import threading
import time
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
from pydantic_core import to_json

from ftsql.api.account import Account, missing_key
from ftsql.errors import ConfigError, StoreError, Warning
from ftsql.store.process_lock import ADVICE, BUSY_MILLISECONDS, MEMORY, ProcessLock, reason
from ftsql.store.schema import APPLICATION_ID, MARK_AS_STORE, RECREATE_ROWS, ROWS_HASH, SCHEMA, UPGRADE, VERSION

_write_locks: weakref.WeakValueDictionary[str, threading.RLock] = weakref.WeakValueDictionary()
_lock = threading.Lock()
MAX_DEFERRED = 40  # how many changes may be deferred; each change is one page of rows
TOGETHER = 8  # how many changes one transaction has; they take a few milliseconds, so that others need not wait
TURN = 0.005  # seconds until the other thread tries again to take the locks
AT_EXIT = 2.0  # how many seconds deferred work may take at the end of the process
MOST_PAGES = 20_000  # of 8 kB in the write-ahead log, beyond which SQLite itself writes it back
CHECKPOINT_BYTES = 16_000_000  # if the write-ahead log is larger, it is written back between two statements
Work = Callable[[apsw.Connection], None]


def write_lock(path: str) -> threading.RLock:
    """Return the lock that every thread of this process holds while it writes to the file at ``path``."""
    with _lock:
        return _write_locks.setdefault(path, threading.RLock())


_stores: weakref.WeakSet[Store] = weakref.WeakSet()
_held: list[Store] = []  # the stores whose locks are held for a fork: others may be opened meanwhile
_writing = threading.local()  # the paths of the files to which this thread is writing, as a Counter named paths


def _hold_stores() -> None:
    """Hold every store's lock during a fork, because the child has no thread that could release another's lock."""
    for store in list(_stores):
        store.lock.acquire()
        _held.append(store)


def _release_stores() -> None:
    while _held:
        _held.pop().lock.release()


def _forget_parent() -> None:
    """Forget locks of threads that the child of a fork does not have, and deferred work that the parent will do."""
    global _lock
    _lock = threading.Lock()
    _write_locks.clear()
    while _held:
        store = _held.pop()
        store.drop_deferred()
        store.lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_stores, after_in_parent=_release_stores, after_in_child=_forget_parent)


class Store:
    """One connection to the store's file. Safe to use from several threads.

    path: The file's real path, or ":memory:".
    lock: Held while the connection is used.
    owner: The lock by which other processes know that this process is alive.
    failure: The error of deferred work that has not been reported yet.
    rollbacks: How many transactions failed. Rows that these transactions inserted may be gone.
    is_new: Whether the file did not exist before.

    Raises StoreError, naming the file, if the file cannot be opened or is not a store.

    >>> store = Store()
    >>> store.path, store.size()
    (':memory:', 0)
    >>> store.close()
    """

    def __init__(self, path: str | Path = MEMORY) -> None:
        # The real path is used, because two names of one file must lead to the same lock files.
        text = os.path.expanduser(path)
        if str(text).startswith("~"):
            raise StoreError(f"cannot use the store {path}: there is no such user. {ADVICE}")
        self.path = MEMORY if str(path) == MEMORY else os.path.realpath(text)
        self.lock = threading.RLock()
        self._write_lock = threading.RLock() if self.path == MEMORY else write_lock(self.path)
        self.owner = ProcessLock(self.path)
        self._process = os.getpid()
        _stores.add(self)
        self._has_warned = False
        self.failure: Exception | None = None
        self.rollbacks = 0
        self._closed = False
        self._keeper: threading.Thread | None = None  # does the deferred work between two statements
        self._deferred: list[tuple[Work, Callable[[Exception], None]]] = []  # changes, and what to call on failure
        self.is_new = self.path == MEMORY or not os.path.exists(self.path)
        try:
            # A thread that creates the file also closes it. Without the write lock, closing it would drop another
            # thread's locks.
            with self._write_lock:
                self._db = self._open()
                self._salt = bytes(self._db.execute("SELECT value FROM meta WHERE name = 'salt'").get or b"")
        except (apsw.Error, OSError) as error:
            raise StoreError(f"cannot use the store {self.path}: {reason(error)}. {ADVICE}") from None

    def _open(self) -> apsw.Connection:
        if self.path != MEMORY:
            Path(self.path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # An existing file is not opened here, because closing it would drop this process's SQLite locks on it.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            if not stat.S_ISREG(os.stat(self.path).st_mode):
                raise StoreError(f"{self.path} is not a file: name another one (store=, --store)")
        # An empty name makes a database in memory that moves into a temporary file when it grows large.
        name = "" if self.path == MEMORY else self.path
        db = apsw.Connection(name, flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
        try:
            db.set_busy_timeout(BUSY_MILLISECONDS)
            db.execute("PRAGMA page_size = 8192")  # more than the default, because rows are long; only for new files
            self._create_or_upgrade(db)
            if self.path != MEMORY:
                # Other users must not read the store. SQLite gives the log files the same mode as the file.
                if os.stat(self.path).st_mode & 0o077:
                    os.chmod(self.path, 0o600)
                _turn_on_wal(db)
                # ``keep`` makes the checkpoints, because one inside a statement would hold it up. This limit is for a
                # process that only writes.
                db.execute(f"PRAGMA wal_autocheckpoint = {MOST_PAGES}")
        except BaseException:
            db.close()
            raise
        return db

    def _create_or_upgrade(self, db: apsw.Connection) -> None:
        """Create the tables in a new file, or upgrade an older version. Raises StoreError for any other database."""
        if db.pragma("application_id") == 0:
            with contextlib.closing(db.execute("BEGIN IMMEDIATE")):
                tables = db.execute("SELECT count(*) FROM sqlite_schema").get
                if db.pragma("application_id") == 0 and not tables:
                    db.execute(SCHEMA + RECREATE_ROWS + MARK_AS_STORE)
                db.execute("COMMIT")
        if db.pragma("application_id") != APPLICATION_ID:
            raise StoreError(
                f"{self.path} is a database, but not a store of ftsql: name another file with store=, --store"
            )
        if db.pragma("user_version") > VERSION:
            raise StoreError(f"the store {self.path} was made by a newer ftsql: update ftsql, or name another file")
        rows_hash = "SELECT value FROM meta WHERE name = 'kept'"
        if db.pragma("user_version") < VERSION or db.execute(rows_hash).get != ROWS_HASH:
            with contextlib.closing(db.execute("BEGIN IMMEDIATE")):
                if db.pragma("user_version") < VERSION:
                    db.execute(UPGRADE)
                if db.execute(rows_hash).get != ROWS_HASH:
                    db.execute(RECREATE_ROWS)
                db.execute("COMMIT")

    @property
    def db(self) -> apsw.Connection:
        """The connection, with all deferred work done."""
        self.flush()
        return self._db

    @contextlib.contextmanager
    def transaction(self) -> Iterator[apsw.Connection]:
        """Open a write transaction that is durable at its end. Raises StoreError if the file cannot be written."""
        try:
            with self.lock, self._begin("FULL"):
                yield self._db
        except apsw.Error as error:
            raise StoreError(f"cannot write to the store {self.path}: {reason(error)}. {ADVICE}") from None

    @contextlib.contextmanager
    def rows(self, *, writes: bool) -> Iterator[apsw.Connection]:
        """Return the connection, for reading or writing rows that can be requested again.

        A crash may lose the last changes. Raises apsw.Error.
        """
        with self.lock:
            self.flush()
            if not writes:
                yield self._db
                return
            with self._begin("NORMAL"):
                yield self._db

    @contextlib.contextmanager
    def _begin(self, synchronous: str) -> Iterator[None]:
        """Open a transaction that takes SQLite's write lock at once.

        Without that lock, a transaction that first reads and then writes would fail if another process wrote in
        between. If ``synchronous`` is "FULL", the changes are on disk before the transaction ends.
        """
        paths: Counter[str] = _writing.__dict__.setdefault("paths", Counter())
        with self._write_lock:
            paths[self.path] += 1
            try:  # this covers all three steps, because a Ctrl-C may arrive between any two lines
                self._db.execute(f"PRAGMA synchronous = {synchronous}; BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self.rollbacks += 1
                with contextlib.suppress(apsw.Error):
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                raise
            finally:
                paths[self.path] -= 1

    def defer(self, work: Work, failed: Callable[[Exception], None]) -> None:
        """Do ``work`` later: while a statement waits for a response, after its last row, or before the store is read.

        Deferred work is done in the order in which it came. ``failed`` is called with the error if the file cannot be
        written. If the process is killed before the work is done, the work is lost. So the work may only change rows
        that can be requested again.
        """
        with self.lock:
            self._deferred.append((work, failed))
            if len(self._deferred) >= MAX_DEFERRED:
                self._flush(TOGETHER)

    def use_idle_time(self) -> None:
        """Do some of the deferred work, because the statement waits for a response."""
        with self.lock:
            if len(self._deferred) >= TOGETHER:
                self._flush(TOGETHER)

    def flush(self) -> None:
        """Do the deferred work."""
        with self.lock:
            while self._deferred:
                self._flush(TOGETHER)

    def keep(self) -> None:
        """Do the deferred work on another thread, because the statement has returned its last row.

        The work is not done while rows are returned, because doing both at once would take longer than one after the
        other.
        """
        with self.lock:
            if self._deferred and self._keeper is None:
                # Not a daemon, because a daemon would stop at the end of the process while it holds the lock.
                self._keeper = threading.Thread(target=self._keep, name="ftsql-store")
                try:
                    self._keeper.start()
                except RuntimeError:  # the process is ending; closing the store then does the work
                    self._keeper = None

    def _keep(self) -> None:
        end = 0.0
        while True:
            if not threading.main_thread().is_alive():  # the process waits for this thread
                end = end or time.monotonic() + AT_EXIT
            with self._locks() as held:
                if self._closed or (held and not self._deferred) or (end and time.monotonic() > end):
                    self._keeper = None
                    break
                if held:
                    self._flush(TOGETHER)
            time.sleep(0.001 if held else TURN)  # whoever waits for a lock goes first
        with self.lock:
            if not self._closed and self._log_size() > CHECKPOINT_BYTES:
                with contextlib.suppress(apsw.Error):
                    self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def wait_for_others(self) -> None:
        """Do the deferred work of this process's other connections to the same file, so that it has all that they read.

        The caller must not hold a lock.
        """
        for other in list(_stores):
            if other is not self and other.path == self.path != MEMORY and other._deferred and not other._closed:
                other.flush()

    def drop_deferred(self) -> None:
        """Forget the deferred work: another process does it, or it cannot be done now. Its rows are requested again."""
        self._deferred.clear()
        self._keeper = None

    def _flush(self, count: int) -> None:
        """Do the first ``count`` pieces of deferred work in one transaction."""
        deferred = self._deferred[:count]
        try:
            with self._begin("NORMAL"):
                for work, _ in deferred:
                    work(self._db)
        except Exception as error:  # a Ctrl-C is not caught here, so the work then stays deferred for the next caller
            for _, failed in deferred:
                failed(error)
        del self._deferred[: len(deferred)]

    @contextlib.contextmanager
    def _locks(self) -> Iterator[bool]:
        """Take the write lock and ``lock`` for the block if both are free, and say whether they were.

        This thread never waits for a lock. After a Ctrl-C, the main thread may hold the write lock as long as the
        traceback lives, and a statement must not wait for this thread then.
        """
        if not self._write_lock.acquire(blocking=False):
            yield False
            return
        try:
            if not self.lock.acquire(blocking=False):
                yield False
                return
            try:
                yield True
            finally:
                self.lock.release()
        finally:
            self._write_lock.release()

    def warn(self, error: Exception) -> None:
        """Warn that the store cannot be used, but only once."""
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"the store {self.path} cannot be used ({error}): everything is requested again. Mend it or name "
                "another file: store=, --store, FTSQL_STORE",
                Warning,
                stacklevel=2,
            )

    def _log_size(self) -> int:
        with contextlib.suppress(OSError):
            return 0 if self.path == MEMORY else os.path.getsize(self.path + "-wal")
        return 0

    def coverage_id(
        self,
        db: apsw.Connection,
        provider: str,
        account_id: str,
        resource: str,
        parent: str = "",
        *,
        make: bool,
    ) -> int:
        """Return the id of an account's objects of one resource (and parent) in the tables ``covers`` and ``kept``.

        If there is none, make an id if ``make`` is set, and return 0 otherwise. Raises apsw.Error.
        """
        key = (account_id, f"{resource}/{parent}" if parent else resource)
        if make:
            sql = "INSERT INTO covers (provider, account, resource) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
            db.execute(sql, (provider, *key))
        found: Any = db.execute("SELECT cover FROM covers WHERE account = ? AND resource = ?", key).fetchone()
        return 0 if found is None else int(found[0])

    def contents(self) -> list[Any]:
        """Return a tuple for each account: provider, jobs, finished jobs, horizon, and time of the last full listing.

        The horizon is the creation time before which the store has every job. Times are Unix seconds.
        """
        self.flush()
        with self.lock:
            return self._db.execute(
                "SELECT provider, count(id), ifnull(sum(finished), 0), horizon, full_at FROM covers "
                "LEFT JOIN kept USING (cover) WHERE instr(resource, '/') = 0 "
                "GROUP BY cover HAVING count(id) OR full_at ORDER BY cover"
            ).fetchall()

    @property
    def present_epoch(self) -> int:
        """How often the store was cleared or refreshed; 0 if it cannot be read. No deferred work is done for this."""
        with self.lock, contextlib.suppress(apsw.Error):
            return self.epoch(self._db)
        return 0

    def epoch(self, db: apsw.Connection) -> int:
        """Return how often the store was cleared or refreshed. Raises apsw.Error."""
        return int(db.execute("SELECT value FROM meta WHERE name = 'epoch'").get or 0)

    def begin_epoch(self, db: apsw.Connection) -> None:
        """Let no work that other statements have deferred so far change the store any more."""
        db.execute("INSERT OR REPLACE INTO meta VALUES ('epoch', ?)", (self.epoch(db) + 1,))

    def writes(self) -> list[Any]:
        """Return the number of writes in each state, as tuples (state, count)."""
        with self.lock:
            return self._db.execute("SELECT state, count(*) FROM writes GROUP BY state").fetchall()

    def size(self) -> int:
        """Return the size of the file and its log in bytes, or 0 for a store in memory."""
        return sum(
            os.path.getsize(self.path + end)
            for end in ("", "-wal")
            if self.path != MEMORY and os.path.exists(self.path + end)
        )

    def clear(self) -> None:
        """Delete everything except the writes of the last day and open writes. Raises StoreError."""
        self.flush()
        with self.transaction() as db:
            self.begin_epoch(db)
            db.execute("DELETE FROM kept")
            # The ids stay valid, because another process may be using one. That process sees from the new generation
            # that the rows are gone.
            db.execute(
                "UPDATE covers SET horizon = NULL, looked_at = 0, full_at = NULL, broke_at = NULL, "
                "generation = generation + 1"
            )
            db.execute(
                "DELETE FROM writes WHERE state IN ('committed', 'refused', 'cancelled') AND at < unixepoch() - 86400"
            )
        with self.lock:
            self._db.execute("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def account_id(self, account: Account) -> str:
        """Return the id of ``account`` in this store: a keyed hash of provider, address, routing and credentials."""
        if missing := account.missing():
            raise ConfigError(missing_key(account.name, missing))
        parts = [account.name, account.url(), account.query(), account.body(), account.headers()]
        return hmac.new(self._salt, to_json(parts), hashlib.sha256).hexdigest()[:32]

    def close(self) -> None:
        """Do the deferred work, release the process lock and close the file."""
        if os.getpid() != self._process:
            return  # in the child of a fork: the file and the lock belong to the parent
        if _writing.__dict__.get("paths", {}).get(self.path):
            self.drop_deferred()  # the garbage collector came here from a transaction, for which this would wait
        self.flush()
        if self.failure is not None:
            self.warn(self.failure)
        with self.lock:
            self._closed = True
            self.owner.release()
            self._db.close()


def _turn_on_wal(db: apsw.Connection) -> None:
    """Turn the write-ahead log on. Wait for other processes that do the same now, because SQLite does not wait."""
    end = time.monotonic() + BUSY_MILLISECONDS / 1000
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL").fetchall()
            return
        except apsw.BusyError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
