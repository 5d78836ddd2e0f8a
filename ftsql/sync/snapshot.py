"""A snapshot: the SQLite file in which plain tables show what the live ones showed at the last good look.

Looks are gathered in a temporary file, which locks nothing; then the file changes in one short transaction.
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
from ftsql.store.cache import SKEW, SLACK
from ftsql.store.schema import APPLICATION_ID
from ftsql.sync import tables as layout
from ftsql.sync.changes import Change, Fetch, apply

READ_AGAIN = 86_400  # seconds after which a checkpoint's permissions are: one request each, and they seldom change
PATIENCE = 30.0  # seconds for which another writer's lock is waited for
# Those of a job, as an array; nothing where they are of another form.
RESULT_FILES = "iif(json_valid(job.result_files) AND json_type(job.result_files) = 'array', job.result_files, '[]')"
Parent = tuple[str, int, int]  # its id, whether it had finished, and when its rows are read


def plain_path(path: str | Path) -> str:
    """The absolute path of a snapshot's file. Raises ProgrammingError for what cannot be one."""
    text = os.fspath(path)
    if text.startswith("file:") or text in ("", ":memory:"):
        raise ProgrammingError(f"sync writes into a file: give its path, not {text!r}")
    resolved = os.path.realpath(os.path.expanduser(text))
    if os.path.exists(resolved) and not os.path.isfile(resolved):
        raise ProgrammingError(f"{text} is no file: name another one")
    if not os.path.isdir(os.path.dirname(resolved)):
        raise ProgrammingError(f"there is no directory {os.path.dirname(resolved)}: make it first")
    return resolved


class Snapshot:
    """The file at ``path`` with the tables of ``resources``; ``stop`` says that nobody wants to wait any longer.

    ``contents``: it has the contents of files too, which makes it an archive: what its provider deletes stays in it.

    Every method raises OperationalError where the file cannot be used now, ProgrammingError where it is
    not sync's to write to, and apsw.InterruptError after ``stop``. What was committed before stays.
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
        self._schema: int | None = None  # the schema's version that was checked last
        self._patience = 0.0

    @property
    def db(self) -> apsw.Connection:
        """The file, while it is open. To be used within ``doing``."""
        assert self._db is not None
        return self._db

    @property
    def folder(self) -> str:
        """Where the file is, and has room for what is to go into it."""
        return os.path.dirname(self.path)

    def open(self) -> None:
        """Open the file, which is made where there is none, and begin to look: what was gathered is forgotten."""
        with self.doing("open"):
            if self._db is not None and self._file != _identity(self.path):
                self._leave()
            if self._db is None:
                try:
                    self._open()
                except BaseException:
                    self._leave()
                    raise
            assert self._db is not None
            # A file of its own, which SQLite keeps where temporary files are and takes away with the name.
            self._forget()
            self._db.execute("ATTACH '' AS gathered")
            for resource in self._resources:
                self._db.execute(f"CREATE TABLE gathered.{resource.table} ({layout.declared(resource)})")
            self._db.execute('CREATE TABLE gathered.parents ("table", provider, parent, finished, read_at)')

    def gather(self, resource: Resource, rows: Iterable[Sequence[SQLiteValue]]) -> None:
        """Keep what a look shows. What ``rows`` raises passes, and nothing is kept then."""
        with self.doing("keep what was asked in a temporary file for"):
            db = self.db
            table = f"gathered.{resource.table}"
            holes = ", ".join("?" * len(layout.columns(resource)))
            db.execute("BEGIN")  # which locks no file until the file is touched
            try:
                db.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({holes})", rows)
            except BaseException:
                self._roll_back()
                raise
            db.execute("COMMIT")

    def parents(self, resource: Resource, provider: str, most: int) -> tuple[list[str], bool]:
        """The ids of the parents (jobs, or checkpoints) whose rows of ``resource`` need to be read, and whether these
        are all.

        All that may have changed, and the newest ``most`` of those that were never read.
        """
        with self.doing("read"):
            db = self.db
            wanted = self._checkpoints if resource is PERMISSIONS else self._jobs
            again, never = wanted(resource, provider)
            values = [(resource.table, provider, *parent) for parent in again + never[:most]]
            db.executemany("INSERT INTO gathered.parents VALUES (?, ?, ?, ?, ?)", values)
        return [parent for _, _, parent, _, _ in values], len(never) <= most

    def size_of(self, provider: str, file: str) -> int | None:
        """How many bytes the provider says that a file has, as far as the files were read."""
        with self.doing("read"):
            for schema in ("gathered", "main"):
                if self.db.table_exists(schema, FILES.table):
                    found: int | None = self.db.execute(
                        f"SELECT bytes FROM {schema}.{FILES.table} WHERE key = ?", (f"{provider}/{file}",)
                    ).get
                    if found is not None:
                        return found
        return None

    def check_account(self, provider: str) -> None:
        """Raise ProgrammingError if the gathered jobs are of another account than those of the archive.

        It would keep both, and nothing would tell them apart.
        """
        with self.doing("read"):
            if not (layout.is_archive(self.db) and self.db.table_exists("main", JOBS.table)):
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
                "that the API shows now. Name another file"
            )

    def result_files(self, provider: str, jobs: Sequence[str]) -> list[str]:
        """The ids of the result files of gathered jobs of which the file says nothing."""
        with self.doing("read"):
            kept = "".join(
                f"AND NOT EXISTS (SELECT 1 FROM main.{table} AS kept WHERE kept.provider = ?1 AND kept.id = file) "
                for table in ("file_contents", "sync_missing")
            )
            found: Any = self.db.execute(
                "SELECT DISTINCT iif(each.type = 'object', each.value ->> '$.id', each.value) AS file "
                f"FROM gathered.{JOBS.table} AS job, json_each({RESULT_FILES}) AS each "
                "WHERE provider = ?1 AND job.id IN (SELECT value FROM json_each(?2)) "
                f"AND each.type IN ('text', 'object') AND file <> '' {kept if layout.is_archive(self.db) else ''}",
                (provider, to_json(jobs).decode()),
            ).fetchall()
        return [str(file) for (file,) in found]

    def read_again(self, provider: str) -> None:
        """Have the results of jobs read again in the next round whose result files are missing for now."""
        with self.doing("keep what was asked in a temporary file for"):
            if not layout.is_archive(self.db):
                return
            self.db.execute(
                'UPDATE gathered.parents SET finished = 0 WHERE provider = ?1 AND "table" = ?2 AND parent IN ('
                f"SELECT job.id FROM gathered.{JOBS.table} AS job, json_each({RESULT_FILES}) AS each "
                "JOIN main.sync_missing AS missing ON missing.provider = ?1 AND NOT missing.final "
                "AND missing.id = iif(each.type = 'object', each.value ->> '$.id', each.value) "
                "WHERE job.provider = ?1)",
                (provider, RESULTS.table),
            )

    def _jobs(self, resource: Resource, provider: str) -> tuple[list[Parent], list[Parent]]:
        """The gathered jobs whose rows may have changed, and those whose rows were never read, newest first."""
        known = self._knows_parents() and self.db.table_exists("main", JOBS.table)
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

    def _checkpoints(self, resource: Resource, provider: str) -> tuple[list[Parent], list[Parent]]:
        """The checkpoints whose permissions were read a day ago, and those whose were never read."""
        kept = f"UNION SELECT {resource.parent} FROM main.{CHECKPOINTS.table} WHERE provider = ?2"
        known = '(SELECT read_at FROM main._sync_children WHERE "table" = ?1 AND provider = ?2 AND parent = name)'
        found: Any = self.db.execute(
            f"SELECT name, {known if self._knows_parents() else 'NULL'} FROM (SELECT {resource.parent} AS name "
            f"FROM gathered.{CHECKPOINTS.table} WHERE provider = ?2 "
            f"{kept if self.db.table_exists('main', CHECKPOINTS.table) else ''}) WHERE name <> ''",
            (resource.table, provider),
        ).fetchall()
        now = int(time.time())
        again = [(name, 0, now) for name, at in found if at is not None and not now - READ_AGAIN < at <= now]
        return again, [(name, 0, now) for name, at in found if at is None]

    def _knows_parents(self) -> bool:
        """Whether the file knows whose rows it has: one that another version made is read anew."""
        found = self.db.execute("SELECT sql FROM main.sqlite_schema WHERE name = '_sync_children'").get
        return bool(found == layout.CHILDREN)

    def write(self, fetches: Sequence[Fetch]) -> list[Change]:
        """Bring the file to what the looks showed, in one transaction."""
        with self.writing() as db:
            changes = [apply(db, fetch) for fetch in fetches]
        with self.doing("write to"):
            self._forget()
            self._checkpoint()
        return changes

    @contextlib.contextmanager
    def writing(self) -> Iterator[apsw.Connection]:
        """A transaction on the file with all its tables, committed unless something is raised."""
        with self.doing("write to"):
            db = self.db
            if self._file != _identity(self.path):
                raise OperationalError(f"{self.path} was deleted or replaced meanwhile: the next round makes it again")
            db.execute("BEGIN IMMEDIATE")
            try:
                if db.pragma("schema_version") != self._schema:
                    layout.make(db, self.path, self._resources, contents=self._contents)
                yield db
                schema = db.pragma("schema_version")
                db.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
            self._schema = schema

    def close(self) -> None:
        """Close the file, which holds everything by itself then, unless somebody reads it just now."""
        if self._db is not None:
            with contextlib.suppress(apsw.Error):
                self._checkpoint()
            self._leave()

    def _open(self) -> None:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        db = self._db = apsw.Connection(self.path, flags=flags)
        self._file, self._schema = _identity(self.path), None
        db.set_busy_handler(self._wait)
        db.set_progress_handler(self._stop, 50_000)  # which lets Python hear of a signal, too
        # The triggers that refuse everybody else; a user's own on these tables would make a round fail.
        db.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        db.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, 0)
        db.create_scalar_function("is_settled", _is_settled, 3)
        if db.pragma("application_id") == APPLICATION_ID:
            raise ProgrammingError(f"{self.path} is ftsql's own store: name another file")
        layout.check(db, self.path, self._resources, contents=self._contents)
        self._log_ahead(db)
        db.execute("PRAGMA main.synchronous = NORMAL")

    def _log_ahead(self, db: apsw.Connection) -> None:
        """Turn the write-ahead log on, with which readers and we do not block each other."""
        while True:
            try:
                mode = db.execute("PRAGMA main.journal_mode = WAL").get
            except apsw.BusyError:  # SQLite asks no busy handler here
                if not self._wait(0):
                    raise
                continue
            if mode != "wal":
                raise OperationalError(f"{self.path}: SQLite can keep no log there. Name a file on a local disk")
            return

    def _forget(self) -> None:
        db = self.db
        if any(name == "gathered" for _, name, _ in db.execute("PRAGMA database_list").fetchall()):
            db.execute("DETACH gathered")

    def _wait(self, _: int) -> bool:
        """Whether to wait for somebody else's lock a little longer."""
        if self._stop() or time.monotonic() > self._patience:
            return False
        time.sleep(0.02)
        return True

    def _checkpoint(self) -> None:
        """Bring what was committed into the file itself, as far as readers allow it at once."""
        self._patience = 0.0
        with contextlib.suppress(apsw.BusyError):
            self.db.execute("PRAGMA main.wal_checkpoint(TRUNCATE)").fetchall()

    def _leave(self) -> None:
        """Close the file as it is."""
        if self._db is not None:
            # Where another file has taken its place, the log of its name may be the other's by now.
            moved = self._file != _identity(self.path)
            self._db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(moved))
            self._db.close(True)
            self._db = None

    def _roll_back(self) -> None:
        with contextlib.suppress(apsw.Error):
            if self._db is not None and self._db.in_transaction:
                self._db.execute("ROLLBACK")

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Turns SQLite's errors into ours; after one the file is opened anew."""
        self._patience = time.monotonic() + PATIENCE
        try:
            yield
        except apsw.InterruptError:
            raise
        except apsw.Error as error:
            self._leave()
            if self._stop():
                raise apsw.InterruptError("interrupted") from None
            raise OperationalError(f"cannot {what} {self.path}: {_reason(error)}") from None


def synced_at(db: apsw.Connection) -> int | None:
    """How old the jobs are that a connection's own file shows, in Unix seconds; None where it is no snapshot."""
    if not layout.is_snapshot(db):
        return None
    with contextlib.suppress(apsw.Error):
        return int(db.execute('SELECT min(synced_at) FROM main.sync_state WHERE "table" = ?', (JOBS.table,)).get or 0)
    return None


def _is_settled(*job: Any) -> int:
    """Whether a job (status, finished_at, since when its row is the same here) leaves nothing more behind.

    By its own word only where that is long ago: two clocks may differ, and not every API says when a job finished.
    """
    status, finished_at, same_since = job
    now = time.time()
    over = (finished_at or now) + SKEW < now or (same_since or now) + SLACK < now
    return int(is_finished(status) and over)


def _identity(path: str) -> tuple[int, int] | None:
    """Which file stands at a path. Never opens it: closing it would drop the locks that SQLite holds on it."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _reason(error: apsw.Error) -> str:
    if isinstance(error, apsw.BusyError):
        return f"another program has kept it locked for {PATIENCE:g} s. What it held before stays"
    if isinstance(error, apsw.FullError):
        return "the disk is full. What it held before stays"
    if isinstance(error, (apsw.CantOpenError, apsw.ReadOnlyError)):
        return f"{error}. The file and its directory must be writable: SQLite keeps a log beside it"
    if isinstance(error, apsw.NotADBError):
        return "it is no SQLite database. Name another file"
    return f"{error}. What it held before stays"
