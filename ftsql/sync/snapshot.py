"""The snapshot: a SQLite file whose plain tables have the rows of the live tables at the last successful sync.

A round gathers rows in a temporary file, which locks nothing. Then it changes the snapshot in one short transaction.

The module is longer than 400 lines because one class owns the file's connection, and every statement on it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
from pydantic_core import to_json

from ftsql.errors import OperationalError, ProgrammingError
from ftsql.resources.definitions import CHECKPOINTS, FILES, JOBS, PERMISSIONS, RESULTS, is_finished
from ftsql.resources.resource import Resource, SQLiteValue
from ftsql.store.cache import SKEW, SLACK, Cache
from ftsql.store.schema import APPLICATION_ID
from ftsql.sync import tables
from ftsql.sync.changes import Change, Fetch, apply

# Seconds after which a checkpoint's permissions are read again. They cost one request for each checkpoint, and seldom
# change.
PERMISSIONS_MAX_AGE = 86_400
LOCK_TIMEOUT = 30.0  # seconds to wait for another writer's lock
# SQL that yields a job's result files as an array. The array is empty if the column has another form.
RESULT_FILES = "iif(json_valid(job.result_files) AND json_type(job.result_files) = 'array', job.result_files, '[]')"
UNCHANGED = "Its previous content is unchanged"
Parent = tuple[str, int, int]  # the id, whether the job had finished, and the time at which its rows are read


def plain_path(path: str | Path) -> str:
    """Return the absolute path of a snapshot file. Raises ProgrammingError if ``path`` cannot be one.

    >>> plain_path("/../jobs.db")
    '/jobs.db'
    """
    text = os.fspath(path)
    if text.startswith("file:") or text in ("", ":memory:"):
        raise ProgrammingError(f"sync writes into a file: pass its path, not {text!r}")
    resolved = os.path.realpath(os.path.expanduser(text))
    if os.path.exists(resolved) and not os.path.isfile(resolved):
        raise ProgrammingError(f"{text} is not a file: choose another path")
    if not os.path.isdir(os.path.dirname(resolved)):
        raise ProgrammingError(f"there is no directory {os.path.dirname(resolved)}: make it first")
    return resolved


class Snapshot:
    """The snapshot file at ``path`` with the tables of ``resources``.

    stop: A function that returns whether to end the current work. It is called often.
    contents: Whether the file also holds file contents. If so, it is an archive, which keeps what the provider deletes.

    Every method raises OperationalError if the file cannot be used now, ProgrammingError if sync may not write to the
    file, and apsw.InterruptError if ``stop`` returns true. Changes that were committed before stay in the file.
    """

    def __init__(
        self,
        path: str | Path,
        resources: Sequence[Resource],
        stop: Callable[[], bool] = lambda: False,
        *,
        contents: bool = False,
    ) -> None:
        self.path = plain_path(path)
        self._resources = resources
        self._contents = contents
        self._stop = stop
        self._db: apsw.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._schema: int | None = None  # the version of the schema that was last checked
        self._lock_deadline = 0.0

    @property
    def db(self) -> apsw.Connection:
        """The connection to the open file. Use it inside ``translate_errors``."""
        assert self._db is not None
        return self._db

    @property
    def folder(self) -> str:
        """The folder of the file. Downloads first go into this folder, because its disk must hold them in the end."""
        return os.path.dirname(self.path)

    def open(self) -> None:
        """Open or create the file, and start a round in which no rows have been gathered yet."""
        with self.translate_errors("open"):
            if self._db is not None and self._file != _identity(self.path):
                self._close_file()
            if self._db is None:
                try:
                    self._open()
                except BaseException:
                    self._close_file()
                    raise
            assert self._db is not None
            # SQLite makes a temporary file for the schema, and deletes the file when the schema is detached.
            self._detach_gathered()
            self._db.execute("ATTACH '' AS gathered")
            for resource in self._resources:
                self._db.execute(f"CREATE TABLE gathered.{resource.table} ({tables.column_definitions(resource)})")
            self._db.execute('CREATE TABLE gathered.parents ("table", provider, parent, finished, read_at)')

    def gather(self, resource: Resource, rows: Iterable[Sequence[SQLiteValue]]) -> None:
        """Gather ``rows`` of ``resource``. If reading ``rows`` raises an error, keep no row, and raise the error."""
        with self.translate_errors("gather rows in a temporary file for"):
            db = self.db
            table = f"gathered.{resource.table}"
            placeholders = ", ".join("?" * len(tables.columns(resource)))
            db.execute("BEGIN")  # BEGIN does not lock the snapshot before a statement uses the snapshot
            try:
                db.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({placeholders})", rows)
            except BaseException:
                self._roll_back()
                raise
            db.execute("COMMIT")

    def gather_jobs(self, cache: Cache) -> bool:
        """Gather the jobs of a store's cache. SQLite copies them, in a tenth of the time that ``gather`` takes.

        Return False, and gather nothing, if the cache no longer has all jobs.
        """
        with self.translate_errors("gather rows in a temporary file for"):
            names = [column.name for column in tables.columns(JOBS)]
            return cache.copy(self.db, f"gathered.{JOBS.table}", names)

    def parents(self, resource: Resource, provider: str, most: int) -> tuple[list[str], bool]:
        """Return the ids of the parents (jobs or checkpoints) to read now, and whether no other parents are left.

        Two groups are read now: all parents that were read before and whose rows of ``resource`` may have changed, and
        the newest ``most`` of the parents that were never read.
        """
        with self.translate_errors("read"):
            db = self.db
            find = self._stale_checkpoints if resource is PERMISSIONS else self._stale_jobs
            again, never = find(resource, provider)
            values = [(resource.table, provider, *parent) for parent in again + never[:most]]
            db.executemany("INSERT INTO gathered.parents VALUES (?, ?, ?, ?, ?)", values)
        return [parent for _, _, parent, _, _ in values], len(never) <= most

    def size_of(self, provider: str, file: str) -> int | None:
        """Return the size in bytes that the provider declares for a file, or None if the size is not known."""
        with self.translate_errors("read"):
            for schema in ("gathered", "main"):
                if self.db.table_exists(schema, FILES.table):
                    found: int | None = self.db.execute(
                        f"SELECT bytes FROM {schema}.{FILES.table} WHERE key = ?", (f"{provider}/{file}",)
                    ).get
                    if found is not None:
                        return found
        return None

    def check_account(self, provider: str) -> None:
        """Raise ProgrammingError if the gathered jobs and the archive's jobs belong to different accounts.

        The archive would keep the jobs of both accounts and could not tell them apart.
        """
        with self.translate_errors("read"):
            if not (tables.is_archive(self.db) and self.db.table_exists("main", JOBS.table)):
                return
            kept, shown, both = self.db.execute(
                f"SELECT EXISTS (SELECT 1 FROM main.{JOBS.table} WHERE provider = ?1), "
                f"EXISTS (SELECT 1 FROM gathered.{JOBS.table} WHERE provider = ?1), "
                f"EXISTS (SELECT 1 FROM gathered.{JOBS.table} WHERE provider = ?1 "
                f"AND key IN (SELECT key FROM main.{JOBS.table}))",
                (provider,),
            ).fetchall()[0]
        if kept and shown and not both:
            raise ProgrammingError(
                f"{self.path} has jobs of another {provider} account, or of a sandbox: none of its jobs is among those "
                "that the API shows now. Choose another file"
            )

    def result_files(self, provider: str, jobs: Sequence[str]) -> list[str]:
        """Return the ids of the gathered jobs' result files that the archive neither holds nor lists as missing."""
        with self.translate_errors("read"):
            kept = "".join(
                f"AND NOT EXISTS (SELECT 1 FROM main.{table} AS kept WHERE kept.provider = ?1 AND kept.id = file) "
                for table in ("file_contents", "sync_missing")
            )
            found: Any = self.db.execute(
                "SELECT DISTINCT iif(each.type = 'object', each.value ->> '$.id', each.value) AS file "
                f"FROM gathered.{JOBS.table} AS job, json_each({RESULT_FILES}) AS each "
                "WHERE provider = ?1 AND job.id IN (SELECT value FROM json_each(?2)) "
                f"AND each.type IN ('text', 'object') AND file <> '' {kept if tables.is_archive(self.db) else ''}",
                (provider, to_json(jobs).decode()),
            ).fetchall()
        return [str(file) for (file,) in found]

    def reread_missing_results(self, provider: str) -> None:
        """Make the next round read the results of jobs whose result files are missing now but may still appear."""
        with self.translate_errors("gather rows in a temporary file for"):
            if not tables.is_archive(self.db):
                return
            self.db.execute(
                'UPDATE gathered.parents SET finished = 0 WHERE provider = ?1 AND "table" = ?2 AND parent IN ('
                f"SELECT job.id FROM gathered.{JOBS.table} AS job, json_each({RESULT_FILES}) AS each "
                "JOIN main.sync_missing AS missing ON missing.provider = ?1 AND NOT missing.final "
                "AND missing.id = iif(each.type = 'object', each.value ->> '$.id', each.value) "
                "WHERE job.provider = ?1)",
                (provider, RESULTS.table),
            )

    def _stale_jobs(self, resource: Resource, provider: str) -> tuple[list[Parent], list[Parent]]:
        """Return the gathered jobs whose rows may have changed, and the jobs whose rows were never read, newest first.

        A job whose rows were never read is in the first list if it may still get more rows.
        """
        known = self._has_parents() and self.db.table_exists("main", JOBS.table)
        before = (
            '(SELECT finished FROM main._sync_children AS child WHERE child."table" = ?1 '
            "AND child.provider = ?2 AND child.parent = job.id)"
        )
        same = f"(SELECT _synced_at FROM main.{JOBS.table} WHERE key = job.key AND status IS job.status)"
        found: Any = self.db.execute(
            f"SELECT id, is_settled(status, finished_at, {same if known else 'NULL'}) AS settled, "
            f"{before if known else 'NULL'} AS finished FROM gathered.{JOBS.table} AS job "
            "WHERE provider = ?2 AND (NOT settled OR finished IS NOT 1) ORDER BY created_at DESC",
            (resource.table, provider),
        ).fetchall()
        now = int(time.time())
        again = [(id, settled, now) for id, settled, finished in found if finished is not None or not settled]
        return again, [(id, settled, now) for id, settled, finished in found if finished is None and settled]

    def _stale_checkpoints(self, resource: Resource, provider: str) -> tuple[list[Parent], list[Parent]]:
        """Return the checkpoints whose permissions were read more than a day ago, and those that were never read."""
        kept = f"UNION SELECT {resource.parent} FROM main.{CHECKPOINTS.table} WHERE provider = ?2"
        known = '(SELECT read_at FROM main._sync_children WHERE "table" = ?1 AND provider = ?2 AND parent = name)'
        found: Any = self.db.execute(
            f"SELECT name, {known if self._has_parents() else 'NULL'} FROM (SELECT {resource.parent} AS name "
            f"FROM gathered.{CHECKPOINTS.table} WHERE provider = ?2 "
            f"{kept if self.db.table_exists('main', CHECKPOINTS.table) else ''}) WHERE name <> ''",
            (resource.table, provider),
        ).fetchall()
        now = int(time.time())
        again = [(name, 0, now) for name, at in found if at is not None and not now - PERMISSIONS_MAX_AGE < at <= now]
        return again, [(name, 0, now) for name, at in found if at is None]

    def _has_parents(self) -> bool:
        """Whether the file records which parents were read.

        If another version of ftsql made the table with the records, they do not count, and all parents are read again.
        """
        found = self.db.execute("SELECT sql FROM main.sqlite_schema WHERE name = '_sync_children'").get
        return bool(found == tables.CHILDREN_SQL)

    def write(self, fetches: Sequence[Fetch]) -> list[Change]:
        """Apply ``fetches`` to the file in one transaction. Return the changes."""
        with self.writing() as db:
            changes = [apply(db, fetch) for fetch in fetches]
        with self.translate_errors("write to"):
            self._detach_gathered()
            self._checkpoint()
        return changes

    @contextlib.contextmanager
    def writing(self) -> Iterator[apsw.Connection]:
        """Run the block in a transaction on the file, after creating all tables. Roll back if the block raises."""
        with self.translate_errors("write to"):
            db = self.db
            if self._file != _identity(self.path):
                raise OperationalError(
                    f"{self.path} was deleted or replaced meanwhile: the next round creates it again"
                )
            db.execute("BEGIN IMMEDIATE")
            try:
                if db.pragma("schema_version") != self._schema:
                    tables.create_schema(db, self.path, self._resources, contents=self._contents)
                yield db
                schema = db.pragma("schema_version")
                db.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
            self._schema = schema

    def close(self) -> None:
        """Close the file. Unless another process is reading it, no log file is left next to it."""
        if self._db is not None:
            with contextlib.suppress(apsw.Error):
                self._checkpoint()
            self._close_file()

    def _open(self) -> None:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        db = self._db = apsw.Connection(self.path, flags=flags)
        self._file, self._schema = _identity(self.path), None
        db.set_busy_handler(self._wait)
        db.set_progress_handler(self._stop, 50_000)  # the handler also lets Python handle signals
        # The snapshot's own triggers refuse writes, and a user's triggers on these tables could make a round fail.
        db.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        db.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, 0)
        db.create_scalar_function("is_settled", _is_settled, 3)
        if db.pragma("application_id") == APPLICATION_ID:
            raise ProgrammingError(f"{self.path} is ftsql's own store: choose another file")
        tables.check_schema(db, self.path, self._resources, contents=self._contents)
        self._enable_wal(db)
        db.execute("PRAGMA main.synchronous = NORMAL")

    def _enable_wal(self, db: apsw.Connection) -> None:
        """Turn on the write-ahead log, so that readers and writers do not block each other."""
        while True:
            try:
                mode = db.execute("PRAGMA main.journal_mode = WAL").get
            except apsw.BusyError:  # SQLite calls no busy handler for this statement
                if not self._wait(0):
                    raise
                continue
            if mode != "wal":
                raise OperationalError(
                    f"{self.path}: SQLite cannot create a write-ahead log there. Choose a file on a local disk"
                )
            return

    def _detach_gathered(self) -> None:
        db = self.db
        if any(name == "gathered" for _, name, _ in db.execute("PRAGMA database_list").fetchall()):
            db.execute("DETACH gathered")

    def _wait(self, _: int) -> bool:
        """Return whether to wait longer for another process's lock."""
        if self._stop() or time.monotonic() > self._lock_deadline:
            return False
        time.sleep(0.02)
        return True

    def _checkpoint(self) -> None:
        """Copy the log into the file itself, as far as this is possible without waiting for readers."""
        self._lock_deadline = 0.0
        with contextlib.suppress(apsw.BusyError):
            self.db.execute("PRAGMA main.wal_checkpoint(TRUNCATE)").fetchall()

    def _close_file(self) -> None:
        """Close the file. If another file has taken its place, make no checkpoint."""
        if self._db is not None:
            # If another file took this file's place, the log with that name may belong to the other file.
            moved = self._file != _identity(self.path)
            self._db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(moved))
            self._db.close(True)
            self._db = None

    def _roll_back(self) -> None:
        with contextlib.suppress(apsw.Error):
            if self._db is not None and self._db.in_transaction:
                self._db.execute("ROLLBACK")

    @contextlib.contextmanager
    def translate_errors(self, what: str) -> Iterator[None]:
        """Raise OperationalError for SQLite's errors. After such an error the file is closed; ``open`` reopens it."""
        self._lock_deadline = time.monotonic() + LOCK_TIMEOUT
        try:
            yield
        except apsw.InterruptError:
            raise
        except apsw.Error as error:
            self._close_file()
            if self._stop():
                raise apsw.InterruptError("interrupted") from None
            raise OperationalError(f"cannot {what} {self.path}: {_reason(error)}") from None


def synced_at(db: apsw.Connection) -> int | None:
    """Return the Unix time at which the jobs in the main database were synced, or None if it is no snapshot.

    >>> synced_at(apsw.Connection(":memory:")) is None
    True
    """
    if not tables.is_snapshot(db):
        return None
    with contextlib.suppress(apsw.Error):
        return int(db.execute('SELECT min(synced_at) FROM main.sync_state WHERE "table" = ?', (JOBS.table,)).get or 0)
    return None


def _is_settled(*job: Any) -> int:
    """Whether a job will get no more rows. The arguments are its status, its finished_at and its row's _synced_at.

    A job counts as settled only some time after it finished, because clocks may differ, and not every API says when a
    job finished.
    """
    status, finished_at, same_since = job
    now = time.time()
    long_ago = (finished_at or now) + SKEW < now or (same_since or now) + SLACK < now
    return int(is_finished(status) and long_ago)


def _identity(path: str) -> tuple[int, int] | None:
    """Return the device and inode of the file at ``path``, or None if there is no file.

    The function does not open the file, because closing it would drop SQLite's locks in this process.
    """
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _reason(error: apsw.Error) -> str:
    """Return the message of ``error``, and say what the user can do."""
    if isinstance(error, apsw.BusyError):
        return f"another program has kept it locked for {LOCK_TIMEOUT:g} s. {UNCHANGED}"
    if isinstance(error, apsw.FullError):
        return f"the disk is full. {UNCHANGED}"
    if isinstance(error, (apsw.CantOpenError, apsw.ReadOnlyError)):
        return f"{error}. The file and its directory must be writable: SQLite keeps a log beside the file"
    if isinstance(error, apsw.NotADBError):
        return "it is not a SQLite database. Choose another file"
    return f"{error}. {UNCHANGED}"
