"""The cache of rows that the APIs showed: one account's jobs, or one job's events, checkpoints and other objects.

A finished row is never requested again. About any other row, the cache only knows that the job exists. The job's state
has to be requested.

The module is longer than most because one class owns every SQL statement on the tables ``covers`` and ``kept``.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeVar

import apsw
from pydantic_core import from_json, to_json

from ftsql.api.account import Account
from ftsql.api.habits import Habits, is_recent
from ftsql.errors import StoreError
from ftsql.resources.cells import NAMES, NESTED, Cells, layout, whole
from ftsql.resources.definitions import JOBS, is_finished
from ftsql.resources.resource import EQUAL, Resource, Row, SQLiteValue
from ftsql.settings import Settings
from ftsql.store.database import Store
from ftsql.store.schema import STORED

T = TypeVar("T")

SLACK = 120  # seconds for which a new object may be absent from the list
SKEW = 86_400  # seconds by which the provider's clock and the local one may differ
FOREVER = float(2**62)  # the horizon of a list that will not grow any more
NEVER = -(2**62)  # the place of a row without created_at; such a row is sorted after all others
CHUNK = 1000  # how many rows are read at once
MAX_INTEGER = 2**63 - 1
PLAIN = tuple(name for name in STORED if name not in NESTED)
FIELDS = ("place", *STORED, "finished", "terminal_at", "checked_at", "listing", "rank", "raw")
FINAL_AFTER = 300  # seconds after which a job in a terminal status is final even if fields are missing
SUCCEEDED = frozenset({"succeeded", "completed", "success"})
NOW = f"?{len(FIELDS) + 1}"
TEXT = FIELDS.index("raw")
# A late response must not make a finished job run again, nor replace a newer response. A checked_at in the future was
# written by a wrong clock, so it does not count.
KEEPS_OLD_ROW = f"(finished OR (checked_at > excluded.checked_at AND checked_at <= {NOW})) AND NOT excluded.finished"
LONG_ENDED = f"excluded.terminal_at IS NOT NULL AND terminal_at <= excluded.checked_at - {FINAL_AFTER}"
ADD = (
    f"INSERT INTO kept (cover, {', '.join(FIELDS)}) VALUES ({{cover}}, {', '.join('?' * len(FIELDS))}) "
    "ON CONFLICT (cover, id) DO "
)
INSERT_NEW = f"{ADD}NOTHING"  # takes two thirds of the time that UPSERT takes
UPSERT = (
    f"{ADD}UPDATE SET "
    + ", ".join(
        f"{name} = iif({KEEPS_OLD_ROW}, {name}, excluded.{name})" for name in ("place", *STORED[1:], "raw", "rank")
    )
    + f", finished = iif({KEEPS_OLD_ROW}, finished, excluded.finished OR ({LONG_ENDED})), "
    f"terminal_at = iif(excluded.terminal_at IS NULL, NULL, iif(terminal_at <= {NOW}, terminal_at, "
    "excluded.terminal_at)), "
    f"checked_at = iif(checked_at <= {NOW}, max(checked_at, excluded.checked_at), excluded.checked_at), "
    "listing = coalesce(excluded.listing, listing)"
)
_stored = itemgetter(*map(NAMES.index, STORED))
_end: Callable[[Cells], tuple[Any, ...]] = itemgetter(*map(NAMES.index, ("status", "finished_at", "fine_tuned_model")))


@dataclass(frozen=True, slots=True)
class Coverage:
    """The time before which the cache has every row.

    horizon: Every job created before this time is in the store, because complete listings have shown it. Rows from gets
        and from listings that broke off are in the store too, but do not move the horizon.
    looked_at: The last time at which all covered rows were known to be up to date.
    """

    horizon: float
    looked_at: float


def is_final(cells: Cells) -> bool:
    """Whether a job never changes again, because it has ended and the fields that are filled in at its end are set."""
    status, finished_at, fine_tuned_model = _end(cells)
    if finished_at is None or not is_finished(status):
        return False
    return fine_tuned_model is not None or status.lower() not in SUCCEEDED


def sort_key(created_at: Any, id: Any) -> tuple[int, str]:
    """Return the place and the id of a row. Rows are sorted by place, newest first, and then by id.

    The place is created_at. A row without created_at comes last.

    >>> sort_key(1_700_000_000, "ftjob-a")
    (1700000000, 'ftjob-a')
    """
    return (NEVER if created_at is None else created_at), id


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice of the cache's rows for a scan. It may include too many rows, because SQLite checks each one again.

    since: The earliest created_at.
    status, model: The values that the rows must have.
    """

    since: float | None = None
    status: str | None = None
    model: str | None = None


class Cache:
    """The cached rows of one account's jobs, or of the objects of another resource that belong to one ``parent``.

    If the store fails, the cache warns once and then behaves as if it were empty. If a listing already relies on the
    cache's rows, an error is raised instead.
    """

    def __init__(
        self,
        store: Store,
        account: Account,
        settings: Settings,
        resource: Resource = JOBS,
        parent: str = "",
    ) -> None:
        self.name = account.name
        self.path = store.path
        self._store = store
        self._max_age = settings.max_age
        self._refresh_seconds = settings.refresh_seconds
        self._known_coverage_id = 0
        self._rollbacks = 0  # the store's count of rollbacks when the coverage's id was read
        self._generation = -1  # the generation of the rows when the coverage was read
        self._broken = False
        self._failure: Exception | None = None  # the error of a deferred save
        self._incomplete = False  # whether a row could not be saved, so that no listing may be recorded as complete
        # The id is made now, because the credentials may be others when deferred rows are written.
        self._account_id = store.account_id(account)
        self._resource = resource
        self._parent = parent
        # Deferred work is dropped if the store was cleared or refreshed since: it is about what was read before.
        self._epoch = store.present_epoch

    def coverage(self) -> Coverage | None:
        """Return the coverage, or None if nothing is covered or a full listing is due."""

        def read(db: apsw.Connection) -> Coverage | None:
            sql = "SELECT horizon, looked_at, full_at, generation FROM covers WHERE cover = ?"
            row: Any = db.execute(sql, (self._coverage_id(db),)).fetchone() or (None, 0, None, 0)
            self._generation = row[3]
            due = not row[2] or not is_recent(row[2], self._refresh_seconds)
            return None if due else Coverage(row[0], row[1])

        return self._safe(read, None)

    def looked_at(self) -> float:
        """Return the last time at which all covered rows were known to be up to date, or 0 if nothing is covered.

        Unlike ``coverage``, this function ignores whether a full listing is due.
        """

        def read(db: apsw.Connection) -> float:
            sql = "SELECT looked_at FROM covers WHERE cover = ? AND horizon IS NOT NULL AND looked_at <= ?"
            row: Any = db.execute(sql, (self._coverage_id(db), time.time())).fetchone()
            return 0.0 if row is None else float(row[0])

        return self._safe(read, 0.0)

    def trusts_order(self) -> bool:
        """Whether no page broke the provider's declared order within the last ``refresh_seconds``."""

        def read(db: apsw.Connection) -> bool:
            # A broke_at in the future, which a wrong clock wrote, counts. Other times in the future do not.
            sql = "SELECT 1 FROM covers WHERE cover = ? AND broke_at > ?"
            return db.execute(sql, (self._coverage_id(db), time.time() - self._refresh_seconds)).fetchone() is None

        return self._safe(read, True)

    def record_broken_order(self) -> None:
        """Record that the provider's list is not in its declared order."""

        def write(db: apsw.Connection) -> None:
            sql = "UPDATE covers SET broke_at = ? WHERE cover = ?"
            db.execute(sql, (time.time(), self._coverage_id(db, make=True)))

        self._safe(write, None, writes=True)

    def extend_coverage(
        self,
        listing: str,
        newest: float | None,
        began: float,
        *,
        full: bool,
        shown: Container[str] = (),
    ) -> None:
        """Record that a listing reached its end or the covered rows, so that the coverage extends to ``newest``.

        ``full`` says that the listing showed everything. If so, rows that are not among the ids ``shown`` are deleted,
        unless another connection saw them after the listing ``began``.
        """
        # A job created just before the list was read may appear in the list later, with a created_at below ``newest``.
        newest = min(newest or 0, began)  # a created_at in the future says nothing about jobs created from now on
        horizon = newest - SLACK if newest > began - SKEW else newest

        def write(db: apsw.Connection) -> None:
            cover = self._coverage_id(db, make=True)
            if full:
                older = "SELECT id FROM kept WHERE cover = ? AND listing IS NOT ? AND checked_at < ?"
                gone = [(cover, id) for (id,) in db.execute(older, (cover, listing, began)) if id not in shown]
                db.executemany("DELETE FROM kept WHERE cover = ? AND id = ?", gone)
            db.execute(
                "UPDATE covers SET horizon = ?1, full_at = iif(?2, ?3, full_at), looked_at = iif(?2, ?3, looked_at) "
                "WHERE cover = ?4 AND generation = ?5",
                (horizon, full, began, cover, self._generation),
            )

        self._defer(write, claims_all=True)

    def confirm_coverage(self, at: float) -> None:
        """Record that all covered rows were up to date at the time ``at``."""

        def write(db: apsw.Connection) -> None:
            db.execute(
                "UPDATE covers SET looked_at = iif(looked_at <= ?1, max(looked_at, ?2), ?2) "
                "WHERE cover = ?3 AND generation = ?4",
                (time.time(), at, self._coverage_id(db), self._generation),
            )

        self._defer(write, claims_all=True)

    def mark_complete(self) -> None:
        """Record that the store has all rows and that the list will not grow any more."""

        def write(db: apsw.Connection) -> None:
            db.execute(
                "UPDATE covers SET horizon = ? WHERE cover = ? AND generation = ?",
                (FOREVER, self._coverage_id(db, make=True), self._generation),
            )

        self._defer(write, claims_all=True)

    def is_complete(self) -> bool:
        """Whether the store has all rows and the list will not grow any more."""

        def read(db: apsw.Connection) -> bool:
            sql = "SELECT 1 FROM covers WHERE cover = ? AND horizon >= ? AND looked_at <= ?"
            return db.execute(sql, (self._coverage_id(db), FOREVER, time.time())).fetchone() is not None

        return self._safe(read, False)

    def habits(self) -> Habits:
        """Return the habits that the account's lists of this resource have shown so far."""

        def read(db: apsw.Connection) -> Habits:
            cover = self._store.coverage_id(db, self.name, self._account_id, self._resource.table, make=False)
            text: Any = db.execute("SELECT habits FROM covers WHERE cover = ?", (cover,)).get
            return Habits(**from_json(text)) if text else Habits()

        return self._safe(read, Habits())

    def save_habits(self, habits: Habits) -> None:
        """Save the habits of the account's lists of this resource."""

        def write(db: apsw.Connection) -> None:
            cover = self._store.coverage_id(db, self.name, self._account_id, self._resource.table, make=True)
            db.execute("UPDATE covers SET habits = ? WHERE cover = ?", (to_json(habits).decode(), cover))

        self._defer(write)

    def refresh(self) -> None:
        """Make the next listing read everything again. Until then no row counts as finished."""

        def write(db: apsw.Connection) -> None:
            self._store.begin_epoch(db)
            self._epoch = self._store.epoch(db)
            cover = (self._coverage_id(db),)
            db.execute("UPDATE covers SET full_at = 0, looked_at = 0, habits = NULL WHERE cover = ?", cover)
            db.execute("UPDATE kept SET finished = 0, checked_at = 0 WHERE cover = ?", cover)

        self._safe(write, None, writes=True)

    def is_fresh(self, looked_at: float) -> bool:
        """Whether the setting ``max_age`` allows ftsql to show rows seen at ``looked_at`` without a request."""
        return is_recent(looked_at, self._max_age)

    def row(self, id: str, *, ended: bool = False) -> Row | None:
        """Return the row with ``id`` if it is finished or fresh, so that no request is needed. Otherwise return None.

        If ``ended``, also return a row that was seen in a terminal status but is not final yet.
        """

        def read(db: apsw.Connection) -> Row | None:
            now = time.time()
            row = db.execute(
                f"SELECT {', '.join(PLAIN)}, raw FROM kept WHERE cover = ? AND id = ? "
                "AND (finished OR (checked_at > ? AND checked_at <= ?) OR (? AND terminal_at <= ?))",
                (self._coverage_id(db), id, now - self._max_age, now, ended, now),
            ).fetchone()
            return None if row is None else self._row(row)

        return self._safe(read, None)

    def save(
        self,
        rows: Sequence[Row],
        listing: str | None = None,
        at: float | None = None,
        rank: int | None = None,
    ) -> None:
        """Save rows that the API showed in response to a request sent at the time ``at``. The default is now.

        A row in the store stays as it is if it is finished or was requested later. ``rank`` is the rank of the first
        row. The rank of each later row is one lower than that of the row before.
        """
        at = time.time() if at is None else at
        # The rows of the quick reader do not change any more, so their values can be made later, when they are written.
        made = None if all(row.is_compact for row in rows) else list(self._values(rows, at, listing, rank))
        for row, value in zip(rows, made or (), strict=False):
            if self._resource is JOBS and not self._incomplete:
                row.compact(value[TEXT], JOBS)

        def write(db: apsw.Connection) -> None:
            values = list(self._values(rows, at, listing, rank)) if made is None else made
            if not values:
                return
            cover = self._coverage_id(db, make=True)
            insert_new, upsert = INSERT_NEW.format(cover=cover), UPSERT.format(cover=cover)
            before = db.total_changes()
            try:
                # New jobs appear at the top of a list. If the last row of a page is new, the others probably are too.
                db.execute(insert_new, values[-1][:-1])
                if db.total_changes() > before:
                    db.executemany(insert_new, [value[:-1] for value in values[:-1]])
                if db.total_changes() - before < len(values):
                    db.executemany(upsert, values)
            except (UnicodeError, OverflowError):
                for value in values:
                    try:
                        db.execute(upsert, value)
                    except (UnicodeError, OverflowError):
                        self._incomplete = True

        if rows:
            self._defer(write)

    def _values(
        self,
        rows: Sequence[Row],
        at: float,
        listing: str | None,
        rank: int | None,
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the values of FIELDS and NOW for each row that JSON can express."""
        of_jobs = self._resource is JOBS
        now = time.time()
        for number, row in enumerate(rows):
            try:
                cells = whole(row) if of_jobs else None
                stored = self._plain(row) if cells is None else _stored(cells)
                text = row.text
            except ValueError:
                self._incomplete = True
                continue
            ended = is_finished(row.status)
            final = ended if cells is None else is_final(cells)
            row_rank = None if rank is None else rank - number
            place = NEVER if row.created_at is None else row.created_at
            yield (place, *stored, final, at if ended else None, at, listing, row_rank, text, now)

    def mark_changed(self, row: Row) -> None:
        """Record that one of ftsql's writes changed the job, so that the job is requested again.

        The response to the write may have come before all fields were filled in.
        """

        def write(db: apsw.Connection) -> None:
            cover = self._coverage_id(db)
            sql = "UPDATE kept SET status = ?, checked_at = 0 WHERE cover = ? AND id = ? AND NOT finished"
            db.execute(sql, (row.status, cover, row.id))
            # If looked_at is 0, max_age does not hide the change.
            db.execute("UPDATE covers SET looked_at = 0 WHERE cover = ?", (cover,))

        self._safe(write, None, writes=True)

    def forget(self, id: str) -> None:
        """Delete the row of an object that the API no longer has."""

        def write(db: apsw.Connection) -> None:
            db.execute("DELETE FROM kept WHERE cover = ? AND id = ?", (self._coverage_id(db), id))

        self._safe(write, None, writes=True)

    def holds_any(self, ids: Sequence[str]) -> bool:
        """Whether the store has a row with one of ``ids``."""

        def read(db: apsw.Connection) -> bool:
            marks = ", ".join("?" * len(ids))
            sql = f"SELECT 1 FROM kept WHERE cover = ? AND id IN ({marks}) LIMIT 1"
            return db.execute(sql, (self._coverage_id(db), *ids)).fetchone() is not None

        return bool(ids) and self._safe(read, False)

    def has_no(self, id: str) -> bool:
        """Whether the store has no row with ``id``. Raises StoreError if the store cannot be read."""

        def read(db: apsw.Connection) -> bool:
            return (
                db.execute("SELECT 1 FROM kept WHERE cover = ? AND id = ?", (self._coverage_id(db), id)).fetchone()
                is None
            )

        return self._read(read)

    def not_shown_by(self, listing: str, tail: float) -> list[str]:
        """Return the ids of rows newer than ``tail`` that a listing did not show, although it read back to ``tail``."""

        def read(db: apsw.Connection) -> list[str]:
            sql = "SELECT id FROM kept WHERE cover = ? AND place > ? AND listing IS NOT ?"
            return [str(id) for (id,) in db.execute(sql, (self._coverage_id(db), tail, listing))]

        return self._read(read)

    def ranked(self, tail: float, below: int | None, count: int) -> list[tuple[int, Row]]:
        """Return the next ``count`` rows with their ranks, in the order of the API's list.

        Only rows that were created at ``tail`` or earlier, and whose rank is below ``below``, are returned.
        """

        def read(db: apsw.Connection) -> list[tuple[int, Row]]:
            sql = (
                "SELECT rank, id, raw FROM kept WHERE cover = ? AND place <= ? AND rank < ? ORDER BY rank DESC LIMIT ?"
            )
            values = (self._coverage_id(db), tail, MAX_INTEGER if below is None else below, count)
            found: list[Any] = db.execute(sql, values).fetchall()
            return [(rank, self._decoded_row(id, raw)) for rank, id, raw in found]

        return self._read(read)

    def highest_rank(self) -> int:
        """Return the highest rank of the rows, or 0 if there are no rows."""

        def read(db: apsw.Connection) -> int:
            return db.execute("SELECT max(rank) FROM kept WHERE cover = ?", (self._coverage_id(db),)).get or 0

        return self._safe(read, 0)

    def has_made_ids(self) -> bool:
        """Whether one of the rows has an id that ftsql made, because the API gave the object no id of its own."""

        def read(db: apsw.Connection) -> bool:
            sql = "SELECT 1 FROM kept WHERE cover = ? AND id GLOB ? LIMIT 1"
            return db.execute(sql, (self._coverage_id(db), f"{EQUAL}*")).fetchone() is not None

        return self._safe(read, False)

    def cells(
        self,
        choice: Choice,
        tail: float,
        after: tuple[int, str] | None,
        count: int,
        columns: int,
    ) -> list[Cells]:
        """Return the cells of the next ``count`` jobs, newest first.

        Only jobs that were created at ``tail`` or earlier, and come after the job with the sort key ``after``, are
        returned.
        """
        conditions, values = self._conditions(choice, tail)
        if after is not None:
            conditions += " AND (place < :before OR (place = :before AND id > :id))"
            values |= {"before": after[0], "id": after[1]}
        names = ", ".join(_selected(NAMES[number] for number in layout(columns).numbers))
        sql = f"SELECT {names} FROM kept WHERE {conditions} ORDER BY place DESC, id LIMIT {count}"

        def read(db: apsw.Connection) -> list[Cells]:
            found: list[Any] = db.execute(sql, {**values, "cover": self._coverage_id(db)}).fetchall()
            return found

        return self._read(read)

    def active(self, tail: float, since: float | None) -> list[tuple[int, str]]:
        """Return the sort keys of the jobs whose state has to be requested, newest first.

        Only jobs created between ``since`` (if given) and ``tail``, both inclusive, are returned.
        """
        conditions, values = self._conditions(Choice(since), tail)

        def read(db: apsw.Connection) -> list[tuple[int, str]]:
            sql = (
                f"SELECT place, id FROM kept WHERE {conditions} AND NOT finished "
                "AND (checked_at <= :seen OR checked_at > :now) "
                "ORDER BY place DESC, id"
            )
            now = time.time()
            times = {"seen": now - self._max_age, "now": now}
            found: list[Any] = db.execute(sql, {**values, **times, "cover": self._coverage_id(db)}).fetchall()
            return found

        return self._read(read)

    def copy(self, db: apsw.Connection, table: str, names: Sequence[str]) -> bool:
        """Copy columns of all jobs from the store's file into a table of another connection.

        Return False, without a copy, if the store no longer has all jobs, because another process cleared it.
        """

        def read(own: apsw.Connection) -> tuple[int, int, float]:
            found: Any = own.execute(
                "SELECT cover, generation, looked_at FROM covers WHERE cover = ?", (self._coverage_id(own),)
            ).fetchone()
            return (0, 0, 0.0) if found is None else found

        known = self._read(read)
        db.execute("ATTACH ? AS store", (self.path,))
        try:
            db.execute("BEGIN")  # one state of the store's file for both statements
            try:
                sql = "SELECT 1 FROM store.covers WHERE (cover, generation, looked_at) = (?, ?, ?) AND horizon NOTNULL"
                if db.execute(sql, known).fetchone() is None:
                    return False
                values = {"cover": known[0], "provider": self.name}
                selected = ", ".join(_selected(names))
                db.execute(
                    f"INSERT OR REPLACE INTO {table} SELECT {selected} FROM store.kept WHERE cover = :cover", values
                )
                return True
            finally:
                db.execute("COMMIT")
        finally:
            db.execute("DETACH store")

    def count(self) -> int:
        """Return the number of rows."""

        def read(db: apsw.Connection) -> int:
            return int(db.execute("SELECT count(*) FROM kept WHERE cover = ?", (self._coverage_id(db),)).get)

        return self._safe(read, 0)

    def end_of_first_page(self, size: int) -> float:
        """Return the place of the last job on the newest page of ``size`` jobs, according to the store."""

        def read(db: apsw.Connection) -> float:
            sql = f"SELECT place FROM kept WHERE cover = ? ORDER BY place DESC, id LIMIT 1 OFFSET {size - 1}"
            row: Any = db.execute(sql, (self._coverage_id(db),)).fetchone()
            return float(NEVER if row is None else row[0])

        return self._safe(read, float(NEVER))

    def plan_requests(self, left: Sequence[tuple[int, str]], size: int) -> Iterator[tuple[str | None, list[str]]]:
        """Yield the fewest requests that show the jobs with the sort keys ``left``, each with the ids that it shows.

        A request is a cursor: the id after which a page of ``size`` jobs is read. The page begins with the first of the
        jobs that no earlier request shows, so no plan needs fewer requests. If the page would show only one of the jobs
        in ``left``, the request is None, and the job is read by its id.
        """
        start = 0
        while start < len(left):
            before, (place, id) = self._page_from(left[start], size)
            end = bisect_right(left, (-place, id), start, key=lambda job: (-job[0], job[1]))
            if end - start < 2 or before is None:
                before, end = None, start + 1
            yield before, [id for _, id in left[start:end]]
            start = end

    def _coverage_id(self, db: apsw.Connection, *, make: bool = False) -> int:
        """Return the id of this cache's rows in the tables ``covers`` and ``kept``. If there is none, return 0.

        No row has the id 0. The id is remembered until a transaction fails, because the failed transaction may have
        inserted the id.
        """
        if not self._known_coverage_id or self._rollbacks != self._store.rollbacks:
            self._rollbacks = self._store.rollbacks
            self._known_coverage_id = self._store.coverage_id(
                db, self.name, self._account_id, self._resource.table, self._parent, make=make
            )
        return self._known_coverage_id

    def _read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Return the result of ``work``, which reads rows on which a listing already relies.

        Raises StoreError if the store fails or was cleared, because too few rows would be returned otherwise.
        """
        try:
            with self._store.rows(writes=False) as db:
                found = work(db)
                generation = db.execute("SELECT generation FROM covers WHERE cover = ?", (self._coverage_id(db),)).get
        except apsw.Error as error:
            raise StoreError(
                f"the store {self._store.path} broke while it was read ({error}): run the statement again with "
                "another one (--store, FTSQL_STORE)"
            ) from None
        if generation != self._generation:
            raise StoreError(f"the store {self._store.path} was cleared while it was read: run the statement again")
        return found

    def _defer(self, work: Callable[[apsw.Connection], None], *, claims_all: bool = False) -> None:
        """Defer a change until the statement waits or has ended, or the store is read. A failure is reported then.

        ``claims_all`` says that the change records that the store has all rows. Such a change is left out if a row
        could not be saved.
        """

        def change(db: apsw.Connection) -> None:
            if self._store.epoch(db) == self._epoch and not (claims_all and self._incomplete):
                work(db)

        def failed(error: Exception) -> None:
            self._failure = self._store.failure = error
            self._incomplete = True

        if not self._broken:
            self._store.defer(change, failed)

    def _safe(
        self,
        work: Callable[[apsw.Connection], T],
        otherwise: T,
        *,
        writes: bool = False,
    ) -> T:
        """Return the result of ``work``, or ``otherwise`` if the store fails or has failed before."""
        if self._broken:
            return otherwise
        try:
            with self._store.rows(writes=writes) as db:
                if (failure := self._failure or self._store.failure) is not None:
                    self._store.failure = None
                    raise failure
                return work(db)
        except (apsw.Error, StoreError) as error:
            self._broken = True
            self._store.warn(error)
            return otherwise

    def _page_from(self, key: tuple[int, str], size: int) -> tuple[str | None, tuple[int, str]]:
        """Find the page of ``size`` jobs that begins with the job with the sort key ``key``.

        Return the id of the job before that page (None if the store has none) and the sort key of the page's last job.
        """

        def read(db: apsw.Connection) -> tuple[str | None, tuple[int, str]]:
            # The parameters are numbered. If the place were bound twice, SQLite would read the whole index.
            values = (self._coverage_id(db), *key)
            row = db.execute(
                "SELECT id FROM kept WHERE cover = ?1 AND (place > ?2 OR (place = ?2 AND id < ?3)) "
                "ORDER BY place, id DESC LIMIT 1",
                values,
            ).fetchone()
            last = db.execute(
                "SELECT place, id FROM kept WHERE cover = ?1 "
                "AND (place < ?2 OR (place = ?2 AND id >= ?3)) ORDER BY place DESC, id "
                f"LIMIT 1 OFFSET {size - 1}",
                values,
            ).fetchone()
            return (None if row is None else row[0]), last or (NEVER, "")

        return self._read(read)

    def _conditions(self, choice: Choice, tail: float) -> tuple[str, dict[str, SQLiteValue]]:
        """Return the WHERE clause for a choice of rows, and the values of all its parameters except :cover."""
        conditions = "cover = :cover AND place <= :tail"
        values: dict[str, SQLiteValue] = {"tail": tail, "provider": self.name}
        for condition, name in (("place >=", "since"), ("status =", "status"), ("model =", "model")):
            value = getattr(choice, name)
            if value is not None:
                conditions += f" AND {condition} :{name}"
                values[name] = value
        return conditions, values

    def _decoded_row(self, id: str, text: str) -> Row:
        """Return the row of an object of another resource, decoded from JSON."""
        row = self._resource.rows(self.name, [from_json(text)], self._parent, lambda _: None)[0]
        row.id = id
        return row

    def _row(self, values: tuple[Any, ...]) -> Row:
        """Build the row of a job or another object. ``values`` has the values of the columns in PLAIN, then ``raw``."""
        if self._resource is not JOBS:  # the columns of the table ``kept`` are those of jobs
            return self._decoded_row(values[0], values[-1])
        return Row(self.name, dict(zip(PLAIN, values, strict=False)), values[-1], bare=JOBS)

    def _plain(self, row: Row) -> list[SQLiteValue]:
        """Return the values of STORED for an object of another resource."""
        return [row.id, *(None if name in NESTED else row.values.get(name) for name in STORED[1:])]


def _selected(names: Iterable[str]) -> list[str]:
    """Return the SQL expression for each column. If an index contains the value, the expression uses the index."""
    made = {
        "created_at": f"nullif(place, {NEVER})",
        "provider": ":provider",
        "fine_tuning_job_id": "id",
        "extra_body": "NULL",
        "key": ":provider || '/' || id",
    }
    return [made.get(name, name) for name in names]
