"""The rounds of a sync. Each round reads the live tables and brings the snapshot up to date.

A round first sends all requests, provider by provider, without locking the file. If a provider fails, its previous rows
stay.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
from pydantic_core import from_json, to_json

from ftsql.api.request_log import Counts
from ftsql.connection import Connection, connect
from ftsql.errors import ConfigError, Error, ProgrammingError
from ftsql.resources.definitions import CHECKPOINTS, FILES, JOBS, PERMISSIONS, RESULTS
from ftsql.resources.resource import Resource, SQLiteValue
from ftsql.sync.archive import Archive, ContentsReport
from ftsql.sync.changes import Change, Fetch
from ftsql.sync.snapshot import Snapshot, plain_path
from ftsql.sync.tables import DEFAULT_TABLES, SYNCABLE, column_names, is_archive, short_name

# The number of jobs whose events one round reads for the first time. Because of this limit, the jobs themselves appear
# in the snapshot soon.
NEW_PARENTS_PER_ROUND = 500
PARENTS_PER_STATEMENT = 100  # the number of jobs whose events one statement reads
STOP_CHECK_SECONDS = 0.1  # the seconds between two calls of ``stop`` while a sync waits


class _ProviderFailed(Exception):
    """Raised if a provider's requests failed. The message says why. The snapshot file is not the cause."""


@dataclass(frozen=True)
class Round:
    """The result of one round. ``complete`` says that nothing is left for another round to read.

    >>> (done,) = sync("one.db", tables=["jobs"], sandbox=True)
    >>> done.complete, done.failed, [(change.new, change.changed) for change in done.changes]
    (True, False, [(250, 0)])
    """

    began: float
    changes: tuple[Change, ...]
    counts: Counts
    complete: bool
    contents: tuple[ContentsReport, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether a provider failed, or the content of a file is missing."""
        return any(change.error for change in self.changes) or any(
            contents.error or contents.missing for contents in self.contents
        )

    def problems(self) -> Iterator[str]:
        """Yield a line for each thing that an archive lacks."""
        for contents in self.contents:
            yield from contents.problems()
        missing = sum(len(contents.missing) for contents in self.contents)
        final = sum(contents.final for contents in self.contents)
        if missing and missing == final and not any(contents.error for contents in self.contents):
            yield f"the archive is NOT whole, and cannot be: {missing:,} contents are gone for good (sync_missing)"
        elif self.contents and self.failed:
            yield "the archive is NOT whole: run it again, or see sync_missing and sync_state in it for the reasons"

    def __str__(self) -> str:
        providers = dict.fromkeys(change.provider for change in self.changes)
        return f"{_local_time(self.began)} {'; '.join(self._summary(provider) for provider in providers)}"

    def _summary(self, provider: str) -> str:
        """Return a line that says what the round did for ``provider``."""
        changes = [change for change in self.changes if change.provider == provider]
        # If more rounds follow, tables without a change are left out.
        parts = [
            _change_text(change)
            for change in changes
            if change.error is None and (self.complete or _has_changes(change) or not change.complete)
        ]
        for error in dict.fromkeys(change.error for change in changes if change.error is not None):
            ages = "; ".join(_age_text(change) for change in changes if change.error == error)
            parts.append(f"FAILED ({ages}): {error.rstrip('.')}")
        parts += [str(contents) for contents in self.contents if contents.provider == provider]
        requests = self.counts.providers[provider]
        parts.append(f"{requests} {'request' if requests == 1 else 'requests'}")
        parts += [] if self.complete else ["more to come"]
        return f"{provider}: {', '.join(dict.fromkeys(parts))}"


class Sync:
    """A snapshot file, and the connection whose live tables it copies. ``close`` closes the file.

    stop: A function that returns whether to end the current work with an apsw.InterruptError. It is called often.

    >>> connection = connect(sandbox=True)
    >>> syncing = Sync(connection, "jobs.db", ["jobs", "files"])
    >>> [(change.table, change.rows) for done in syncing.rounds() for change in done.changes]
    [('fine_tuning_jobs', 250), ('files', 382)]
    >>> syncing.close()
    >>> connection.close()
    """

    def __init__(
        self,
        connection: Connection,
        path: str | Path,
        tables: Iterable[str] = (),
        stop: Callable[[], bool] = lambda: False,
        *,
        contents: bool = False,
    ) -> None:
        self._connection = connection
        self._resources = resources_named(tables, contents=contents)
        self._stop = stop
        self._snapshot = Snapshot(path, self._resources, stop, contents=contents)
        self._archive: Archive | None = None
        if contents:
            max_body = connection.ftsql.settings.max_body
            self._archive = Archive(self._snapshot, connection.ftsql.clients, stop, max_body)
        self._retry_refused = True  # if False, refused files are retried only once a day, not in every round
        refuse_store(self._snapshot.path, connection.ftsql.store.path)
        if self._archive is not None:
            connection.ftsql.read_contents_from(self._archive.find_content)

    def round(self) -> Round:
        """Run one round, which changes the file completely or not at all. The result lists the providers that failed.

        Raises OperationalError if the file cannot be written now, ProgrammingError if sync may not write to the file,
        and apsw.InterruptError.
        """
        began = time.time()
        self._snapshot.open()
        fetches: list[Fetch] = []
        counts = self._connection.ftsql.counts
        contents: list[ContentsReport] = []
        try:
            for provider, without in self._providers():
                fetches += self._fetches(provider, without)
            changes = self._snapshot.write(fetches)
            complete = all(fetch.complete for fetch in fetches)
            if self._archive is not None and complete:
                contents = [
                    self._archive.update(fetch.provider, retry_refused=self._retry_refused)
                    for fetch in fetches
                    if fetch.resource is JOBS and fetch.error is None
                ]
        finally:
            self._connection.ftsql.take_counts()
        return Round(began, tuple(changes), counts, complete, tuple(contents))

    def rounds(self) -> Iterator[Round]:
        """Yield rounds until the file has everything that can be read."""
        while True:
            done = self.round()
            yield done
            if done.complete:
                return

    def serve(self, every: float, say: Callable[[str], None]) -> None:
        """Run one round immediately, and then a round every ``every`` seconds until ``stop`` returns true.

        The seconds are counted from the start of one round to the start of the next. A failed round is reported with
        ``say``, and the next round tries again. Raises ProgrammingError or ConfigError if the first round raises such
        an error, because no later round could succeed.
        """
        first = True
        while not self._stop():
            self._retry_refused = first
            began = time.monotonic()
            try:
                say(str(self.round()))
            except apsw.InterruptError:
                return
            except (Error, apsw.Error) as error:
                if first and isinstance(error, (ProgrammingError, ConfigError)):
                    raise
                say(f"{_local_time(time.time())} nothing was written: {error}")
            first = False
            while not self._stop() and (left := began + every - time.monotonic()) > 0:
                time.sleep(min(left, STOP_CHECK_SECONDS))

    @property
    def is_archive(self) -> bool:
        """Whether the file is an archive, which has the contents of files."""
        return is_archive(self._snapshot.db)

    def close(self) -> None:
        """Close the file. The connection stays open."""
        self._snapshot.close()

    def _providers(self) -> list[tuple[str, list[str]]]:
        """Return the name of each active provider, with the names of the operations that it lacks."""
        active = "SELECT provider, without FROM live.ftsql_providers WHERE active"
        found = [(str(provider), from_json(str(without))) for provider, without in self._connection.execute(active)]
        if not found:
            self._connection.execute(f"SELECT id FROM live.{JOBS.table}").fetchall()  # raises an error with advice
        return found

    def _fetches(self, provider: str, without: Sequence[str]) -> list[Fetch]:
        """Gather all tables of one provider."""
        fetches: list[Fetch] = []
        for resource in self._resources:
            if resource.served_as in without:
                continue
            began = time.time()
            complete = True
            # Tables with parents need the list of jobs, so they fail if that list could not be read.
            error = fetches[0].error if fetches and resource.parent else None
            if error is None:
                try:
                    if resource.parent:
                        complete = self._gather_children(resource, provider)
                    elif resource is JOBS:
                        self._gather_jobs(provider)
                        self._snapshot.check_account(provider)
                    else:
                        self._gather(resource, "", (provider,))
                except _ProviderFailed as failure:
                    error = str(failure)
            fetches.append(Fetch(provider, resource, began, error, complete))
        return fetches

    def _gather_children(self, resource: Resource, provider: str) -> bool:
        """Gather the rows of jobs (or checkpoints) that may have new rows. Return whether no other parent is left."""
        ids, complete = self._snapshot.parents(resource, provider, NEW_PARENTS_PER_ROUND)
        for start in range(0, len(ids), PARENTS_PER_STATEMENT):
            # The files are stored first, so that no file is downloaded twice.
            if self._archive is not None and resource is RESULTS:
                files = self._snapshot.result_files(provider, ids[start : start + PARENTS_PER_STATEMENT])
                if error := self._archive.download(provider, files):
                    raise _ProviderFailed(error)
            self._gather(resource, "(?)", (to_json(ids[start : start + PARENTS_PER_STATEMENT]).decode(), provider))
        if self._archive is not None and resource is RESULTS and ids:
            self._snapshot.reread_missing_results(provider)
        return complete

    def _gather_jobs(self, provider: str) -> None:
        """Gather a provider's jobs: from the store's file if it has all jobs as they are now, or else from the API."""
        try:
            if self._stop():
                raise apsw.InterruptError("interrupted")
            cache = self._connection.ftsql.current_cache(provider)
        except apsw.InterruptError:
            raise
        except (Error, apsw.Error) as error:
            raise _ProviderFailed(str(error)) from None
        if cache is None or not self._snapshot.gather_jobs(cache):
            self._gather(JOBS, "", (provider,))

    def _gather(self, resource: Resource, parents: str, values: Sequence[str]) -> None:
        sql = f"SELECT {column_names(resource)} FROM live.{resource.table}{parents} WHERE provider = ?"
        self._snapshot.gather(resource, self._rows(sql, values))

    def _rows(self, sql: str, values: Sequence[str]) -> Iterator[Sequence[SQLiteValue]]:
        """Yield the rows of a statement on the live tables. Raises _ProviderFailed and apsw.InterruptError."""
        try:
            if self._stop():
                raise apsw.InterruptError("interrupted")
            yield from self._connection.execute(sql, tuple(values))
        except apsw.InterruptError:
            raise
        except (Error, apsw.Error) as error:
            raise _ProviderFailed(str(error)) from None


def sync(
    path: str | Path,
    *,
    tables: Iterable[str] = (),
    contents: bool = False,
    store: str | Path | None = None,
    **options: Any,
) -> list[Round]:
    """Create the snapshot file ``path`` or bring it up to date. Return the rounds that were needed.

    tables: The short names of the tables to keep ("events", "files", …), or "all". Jobs are always kept. The default is
        jobs, events and checkpoints.
    contents: Whether to keep training, validation and result files too. If so, the file is an archive.
    store, options: As in ``ftsql.connect``. If the store is a file, a later call reads only objects that may have
        changed.

    If a provider fails, its previous rows stay, and the error is in the ``changes`` of the round. While ``sync`` runs,
    do not open the file with Python's own sqlite3 in the same process. Python's module has a second SQLite library, and
    when that library closes the file, ftsql's locks on the file are lost. Other processes may read the file at any
    time.

    Raises OperationalError if the file cannot be written, and ProgrammingError if the file has other tables with these
    names. Raises ConfigError if a table is unknown or the file is the store.

    >>> import os, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> rounds = sync(os.path.join(folder.name, "jobs.db"), tables=["jobs"], sandbox=True)
    >>> [(change.table, change.error) for change in rounds[0].changes]
    [('fine_tuning_jobs', None)]
    >>> folder.cleanup()
    """
    refuse_store(plain_path(path), store or (not options.get("sandbox") and os.environ.get("FTSQL_STORE")) or "")
    resources = resources_named(tables, contents=contents)
    connection = connect(store=store, **{**options, "max_age": 0.0})
    try:
        syncing = Sync(connection, path, (short_name(one.table) for one in resources), contents=contents)
        try:
            return list(syncing.rounds())
        finally:
            syncing.close()
    finally:
        connection.close()


def refuse_store(path: str, store: str | Path) -> None:
    """Raise ConfigError if the snapshot file is also the store."""
    if store and os.path.realpath(os.path.expanduser(store)) == path:
        raise ConfigError(f"{path} is the store (--store, FTSQL_STORE): choose another file for the snapshot")


def resources_named(tables: Iterable[str], *, contents: bool = False) -> tuple[Resource, ...]:
    """Return the jobs, the resources with the short names ``tables``, and the resources on which these depend.

    If no name is given, the default tables are returned. If ``contents``, the files are returned too, because the
    contents depend on them. Raises ConfigError for an unknown name.
    """
    known = {short_name(resource.table): resource for resource in SYNCABLE}
    names = {name.strip() for name in tables} or {*DEFAULT_TABLES}
    for name in names:
        if name not in known and name != "all":
            raise ConfigError(f"no table {name!r} to sync; there are: {', '.join(known)}, and all")
    if short_name(PERMISSIONS.table) in names:
        names.add(short_name(CHECKPOINTS.table))
    if contents:
        names.add(short_name(FILES.table))
    return tuple(resource for name, resource in known.items() if resource is JOBS or name in names or "all" in names)


def _age_text(change: Change) -> str:
    """Return words that say how old the rows are that a failed fetch left unchanged."""
    name = short_name(change.table)
    return f"its {name} are of {_local_time(change.synced_at)}" if change.synced_at else f"no {name} yet"


def _change_text(change: Change) -> str:
    name = short_name(change.table)
    if change.superseded:
        return f"{change.rows:,} {name} (another sync was faster)"
    counts = [f"{count:,} {word}" for word, count in (
        ("new", change.new), ("changed", change.changed), ("deleted", change.deleted),
        ("gone at the provider", change.gone)) if count]  # fmt: skip
    so_far = "" if change.complete else " so far"
    return f"{change.rows:,} {name}{so_far} ({', '.join(counts) or 'unchanged'})"


def _has_changes(change: Change) -> bool:
    return bool(change.new or change.changed or change.deleted or change.superseded)


def _local_time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
