"""A round of sync: what it asks of the live tables, and when the next one begins.

Requests come first, provider by provider, and hold no lock on the file; a provider that fails keeps its last good rows.
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
from ftsql.sync import tables as layout
from ftsql.sync.archive import Archive, Contents
from ftsql.sync.changes import Change, Fetch
from ftsql.sync.snapshot import Snapshot, plain_path
from ftsql.sync.tables import RESOURCES, USUAL, short

PARENTS = 500  # jobs whose events are read for the first time in one round, so that its jobs show soon
AT_ONCE = 100  # jobs whose events one statement asks for
TICK = 0.1  # seconds between two looks at whether to stop


class _Failed(Exception):
    """A provider's look failed, in words; the file has nothing to do with it."""


@dataclass(frozen=True)
class Round:
    """What one round did. ``complete``: nothing is left for the next one to read."""

    began: float
    changes: tuple[Change, ...]
    counts: Counts
    complete: bool
    contents: tuple[Contents, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether a provider failed, or a content is missing."""
        return any(change.error for change in self.changes) or any(one.error or one.missing for one in self.contents)

    def complaints(self) -> Iterator[str]:
        """What an archive lacks, a line each."""
        for one in self.contents:
            yield from one.complaints()
        missing = sum(len(one.missing) for one in self.contents)
        if (
            missing
            and missing == sum(one.final for one in self.contents)
            and not any(one.error for one in self.contents)
        ):
            yield f"the archive is NOT whole, and cannot be: {missing:,} contents are gone for good (sync_missing)"
        elif self.contents and self.failed:
            yield "the archive is NOT whole: run it again, or see sync_missing and sync_state in it for the reasons"

    def __str__(self) -> str:
        told = []
        for provider in dict.fromkeys(change.provider for change in self.changes):
            mine = [change for change in self.changes if change.provider == provider]
            good = [change for change in mine if change.error is None]
            # Of a round that others follow only what it brought.
            parts = [_words(change) for change in good if self.complete or _brings(change) or not change.complete]
            for error in dict.fromkeys(change.error for change in mine if change.error is not None):
                ages = "; ".join(_age(change) for change in mine if change.error == error)
                parts.append(f"FAILED ({ages}): {error.rstrip('.')}")
            parts += [str(one) for one in self.contents if one.provider == provider]
            requests = self.counts.providers[provider]
            parts.append(f"{requests} {'request' if requests == 1 else 'requests'}")
            parts += [] if self.complete else ["more to come"]
            told.append(f"{provider}: {', '.join(dict.fromkeys(parts))}")
        return f"{_clock(self.began)} {'; '.join(told)}"


class Sync:
    """A snapshot file and the connection whose live tables it shows. ``close`` closes the file.

    ``stop``: asked now and then whether to end what is under way, with an apsw.InterruptError.
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
        self._resources = chosen(tables, contents=contents)
        self._stop = stop
        self._snapshot = Snapshot(path, self._resources, stop, contents=contents)
        self._archive: Archive | None = None
        if contents:
            most = connection.ftsql.settings.max_body
            self._archive = Archive(self._snapshot, connection.ftsql.clients, stop, most)
        self._patient = False  # what was refused is not asked for again in every round
        refuse_store(self._snapshot.path, connection.ftsql.store.path)
        if self._archive is not None:
            connection.ftsql.read_contents_from(self._archive.content)

    def round(self) -> Round:
        """Bring the file up to date, all of it or nothing. A provider's failure is in what this gives.

        Raises OperationalError where the file cannot be written now, ProgrammingError where it is not
        sync's to write to, apsw.InterruptError.
        """
        began = time.time()
        self._snapshot.open()
        fetches: list[Fetch] = []
        counts = self._connection.ftsql.counts
        contents: list[Contents] = []
        try:
            for provider, without in self._providers():
                fetches += self._fetches(provider, without)
            changes = self._snapshot.write(fetches)
            complete = all(fetch.complete for fetch in fetches)
            if self._archive is not None and complete:
                contents = [
                    self._archive.complete(fetch.provider, patient=self._patient)
                    for fetch in fetches
                    if fetch.resource is JOBS and fetch.error is None
                ]
        finally:
            self._connection.ftsql.take_counts()
        return Round(began, tuple(changes), counts, complete, tuple(contents))

    def rounds(self) -> Iterator[Round]:
        """Rounds until everything that can be had is in the file."""
        while True:
            done = self.round()
            yield done
            if done.complete:
                return

    def serve(self, every: float, say: Callable[[str], None]) -> None:
        """A round at once and then every so many seconds, from start to start, until ``stop``.

        Whatever fails is said, and the next round tries again. Raises ProgrammingError, ConfigError where the
        first one shows that none will do.
        """
        first = True
        while not self._stop():
            self._patient = not first
            began = time.monotonic()
            try:
                say(str(self.round()))
            except apsw.InterruptError:
                return
            except (Error, apsw.Error) as error:
                if first and isinstance(error, (ProgrammingError, ConfigError)):
                    raise
                say(f"{_clock(time.time())} nothing was written: {error}")
            first = False
            while not self._stop() and (left := began + every - time.monotonic()) > 0:
                time.sleep(min(left, TICK))

    @property
    def is_archive(self) -> bool:
        """Whether the file keeps the contents of files."""
        return layout.is_archive(self._snapshot.db)

    def close(self) -> None:
        """Close the file; the connection stays open."""
        self._snapshot.close()

    def _providers(self) -> list[tuple[str, list[str]]]:
        """Each active provider with what it lacks."""
        active = "SELECT provider, without FROM live.ftsql_providers WHERE active"
        found = [(str(provider), from_json(str(without))) for provider, without in self._connection.execute(active)]
        if not found:
            self._connection.execute(f"SELECT id FROM live.{JOBS.table}").fetchall()  # which says what to do
        return found

    def _fetches(self, provider: str, without: Sequence[str]) -> list[Fetch]:
        """Gather everything of one provider."""
        fetches: list[Fetch] = []
        for resource in self._resources:
            if resource.lacks in without:
                continue
            began = time.time()
            complete = True
            # Without its jobs nobody knows what else to ask for.
            error = fetches[0].error if fetches and resource.parent else None
            if error is None:
                try:
                    if resource.parent:
                        complete = self._gather_children(resource, provider)
                    else:
                        self._gather(resource, "", (provider,))
                        if resource is JOBS:
                            self._snapshot.check_account(provider)
                except _Failed as failure:
                    error = str(failure)
            fetches.append(Fetch(provider, resource, began, error, complete))
        return fetches

    def _gather_children(self, resource: Resource, provider: str) -> bool:
        """Gather what the jobs (or checkpoints) that may have something new have; whether none is left."""
        ids, complete = self._snapshot.parents(resource, provider, PARENTS)
        for start in range(0, len(ids), AT_ONCE):
            if self._archive is not None and resource is RESULTS:  # so that nothing is asked for twice
                files = self._snapshot.result_files(provider, ids[start : start + AT_ONCE])
                if error := self._archive.bring(provider, files):
                    raise _Failed(error)
            self._gather(resource, "(?)", (to_json(ids[start : start + AT_ONCE]).decode(), provider))
        if self._archive is not None and resource is RESULTS and ids:
            self._snapshot.read_again(provider)
        return complete

    def _gather(self, resource: Resource, parents: str, values: Sequence[str]) -> None:
        sql = f"SELECT {layout.names(resource)} FROM live.{resource.table}{parents} WHERE provider = ?"
        self._snapshot.gather(resource, self._rows(sql, values))

    def _rows(self, sql: str, values: Sequence[str]) -> Iterator[Sequence[SQLiteValue]]:
        """The rows of a statement on the live tables. Raises _Failed, apsw.InterruptError."""
        try:
            if self._stop():
                raise apsw.InterruptError("interrupted")
            yield from self._connection.execute(sql, tuple(values))
        except apsw.InterruptError:
            raise
        except (Error, apsw.Error) as error:
            raise _Failed(str(error)) from None


def sync(
    path: str | Path,
    *,
    tables: Iterable[str] = (),
    contents: bool = False,
    store: str | Path | None = None,
    **options: Any,
) -> list[Round]:
    """Bring the snapshot file ``path`` up to date, or make it; gives the rounds that it took.

    ``tables``: the short names of those to keep, or "all"; jobs are always kept. ``contents``: keep the training,
    validation and result files too, which makes the file an archive. ``store`` and ``options``: as in
    ``ftsql.connect``; with a file for a store, a later call asks only for what may have changed. A provider
    that fails keeps the rows that it had: see each round's ``changes``.

    While it runs, do not open the file with Python's own sqlite3 in the same process: that is a second SQLite,
    and when it closes the file, the locks of the first are gone. Other processes may do as they like.

    Raises OperationalError where the file cannot be written, ProgrammingError where it holds tables of these
    names that are not sync's.
    """
    refuse_store(plain_path(path), store or (not options.get("sandbox") and os.environ.get("FTSQL_STORE")) or "")
    with_tables = chosen(tables, contents=contents)
    connection = connect(store=store, **{**options, "max_age": 0.0})
    try:
        syncing = Sync(connection, path, (short(one.table) for one in with_tables), contents=contents)
        try:
            return list(syncing.rounds())
        finally:
            syncing.close()
    finally:
        connection.close()


def refuse_store(path: str, store: str | Path) -> None:
    """Raises ConfigError where the snapshot's file is to be the store as well."""
    if store and os.path.realpath(os.path.expanduser(store)) == path:
        raise ConfigError(f"{path} is the store (--store, FTSQL_STORE): let another file be the snapshot")


def chosen(tables: Iterable[str], *, contents: bool = False) -> tuple[Resource, ...]:
    """The resources of these names (the usual ones unless there are any), the jobs, and what they are found by.

    ``contents`` are found by the files. Raises ConfigError.
    """
    known = {short(resource.table): resource for resource in RESOURCES}
    asked = {name.strip() for name in tables} or {*USUAL}
    for name in asked:
        if name not in known and name != "all":
            raise ConfigError(f"no table {name!r} to sync; there are: {', '.join(known)}, and all")
    if short(PERMISSIONS.table) in asked:
        asked.add(short(CHECKPOINTS.table))
    if contents:
        asked.add(short(FILES.table))
    return tuple(resource for name, resource in known.items() if resource is JOBS or name in asked or "all" in asked)


def _age(change: Change) -> str:
    """How old the rows are that a failed look left as they are."""
    name = short(change.table)
    return f"its {name} are of {_clock(change.synced_at)}" if change.synced_at else f"no {name} yet"


def _words(change: Change) -> str:
    name = short(change.table)
    if change.superseded:
        return f"{change.rows:,} {name} (another sync was faster)"
    counts = [f"{count:,} {word}" for word, count in (
        ("new", change.new), ("changed", change.changed), ("deleted", change.deleted),
        ("gone at the provider", change.gone)) if count]  # fmt: skip
    so_far = "" if change.complete else " so far"
    return f"{change.rows:,} {name}{so_far} ({', '.join(counts) or 'unchanged'})"


def _brings(change: Change) -> bool:
    return bool(change.new or change.changed or change.deleted or change.superseded)


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
