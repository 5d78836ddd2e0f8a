"""What the store knows of one account's jobs, or of one job's events and the like: the rows that the API showed.

A finished row is never asked for again; any other is only known to exist, and its state must be asked for.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeVar

import apsw
from pydantic_core import from_json, to_json

from ftsql.api.account import Account
from ftsql.api.habits import Habits, is_recent
from ftsql.errors import StoreError, Warning
from ftsql.resources.cells import NAMES, NESTED, Cells, layout, whole
from ftsql.resources.definitions import JOBS, is_finished
from ftsql.resources.resource import EQUAL, Resource, Row, SQLiteValue
from ftsql.settings import Settings
from ftsql.store.database import Store
from ftsql.store.schema import STORED

T = TypeVar("T")

SLACK = 120  # seconds that a list may lag behind what was created
SKEW = 86_400  # seconds by which the provider's clock and ours may differ
FOREVER = float(2**62)  # the horizon of what will never be more
NEVER = -(2**62)
CHUNK = 1000  # rows read at once
MOST = 2**63 - 1
PLAIN = tuple(name for name in STORED if name not in NESTED)
FIELDS = ("place", *STORED, "finished", "terminal_at", "checked_at", "listing", "rank", "raw")
FINAL_AFTER = 300  # seconds after which a job in a terminal status changes no more, whatever it lacks
SUCCEEDED = frozenset({"succeeded", "completed", "success"})
NOW = f"?{len(FIELDS) + 1}"
# An answer that comes late must not make a finished job run again, nor take the place of a younger one. A time of
# the future was noted by a clock that was wrong: nothing was looked at then.
STAYS = f"(finished OR (checked_at > excluded.checked_at AND checked_at <= {NOW})) AND NOT excluded.finished"
LONG_ENDED = f"excluded.terminal_at IS NOT NULL AND terminal_at <= excluded.checked_at - {FINAL_AFTER}"
ADD = (
    f"INSERT INTO kept (cover, {', '.join(FIELDS)}) VALUES ({{cover}}, {', '.join('?' * len(FIELDS))}) "
    "ON CONFLICT (cover, id) DO "
)
NEW = f"{ADD}NOTHING"  # takes two thirds of the time of SAVE
SAVE = (
    f"{ADD}UPDATE SET "
    + ", ".join(f"{name} = iif({STAYS}, {name}, excluded.{name})" for name in ("place", *STORED[1:], "raw", "rank"))
    + f", finished = iif({STAYS}, finished, excluded.finished OR ({LONG_ENDED})), "
    f"terminal_at = iif(excluded.terminal_at IS NULL, NULL, iif(terminal_at <= {NOW}, terminal_at, "
    "excluded.terminal_at)), "
    f"checked_at = iif(checked_at <= {NOW}, max(checked_at, excluded.checked_at), excluded.checked_at), "
    "listing = coalesce(excluded.listing, listing)"
)
_stored = itemgetter(*map(NAMES.index, STORED))


@dataclass(frozen=True, slots=True)
class Cover:
    """Every job created before ``horizon`` is in the store: listings that reached their end have shown it.

    Rows of gets and of listings that were broken off are in the store too and move no horizon.
    ``looked_at``: when all of it was last known to be as the API has it.
    """

    horizon: float
    looked_at: float


def is_final(row: Row) -> bool:
    """Whether a job never changes again: it has ended, and all that its end brings is filled in."""
    status = (row.status or "").lower()
    return (
        is_finished(status)
        and row.values.get("finished_at") is not None
        and (status not in SUCCEEDED or row.values.get("fine_tuned_model") is not None)
    )


def place(created_at: Any, id: Any) -> tuple[int, str]:
    """Where a row stands among its account's, newest first: its time (of none: after all others), then its id."""
    return (NEVER if created_at is None else created_at), id


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of the known rows a scan wants: ``status`` and ``model`` exactly, ``since`` for created_at.

    It narrows and never decides: SQLite checks every row again.
    """

    since: float | None = None
    status: str | None = None
    model: str | None = None


class Cache:
    """The place of one account's jobs, or of one ``parent``'s objects of another resource."""

    def __init__(
        self, store: Store, account: Account, settings: Settings, resource: Resource = JOBS, parent: str = ""
    ) -> None:
        self.name = account.name
        self._store = store
        self._max_age = settings.max_age
        self._refresh_seconds = settings.refresh_seconds
        self._cover_id = 0
        self._rolled_back = 0  # how often the store had, when the number was read
        self._generation = -1  # of what the store knew when it was first asked
        self._broken = False
        self._failure: Exception | None = None  # of what was to be saved later
        self._lacking = False  # a row could not be kept, so that no listing is covered
        self._account = account
        self._resource = resource
        self._parent = parent

    def cover(self) -> Cover | None:
        """The cover, unless there is none or it is due for a full listing."""

        def read(db: apsw.Connection) -> Cover | None:
            sql = "SELECT horizon, looked_at, full_at, generation FROM covers WHERE cover = ?"
            row: Any = db.execute(sql, (self._cover(db),)).fetchone() or (None, 0, None, 0)
            self._generation = row[3]
            due = not row[2] or not is_recent(row[2], self._refresh_seconds)
            return None if due else Cover(row[0], row[1])

        return self._safe(read, None)

    def looked_at(self) -> float:
        """When all was last known to be as the API has it, however long ago; 0 where there is no cover."""

        def read(db: apsw.Connection) -> float:
            sql = "SELECT looked_at FROM covers WHERE cover = ? AND horizon IS NOT NULL AND looked_at <= ?"
            row: Any = db.execute(sql, (self._cover(db), time.time())).fetchone()
            return 0.0 if row is None else float(row[0])

        return self._safe(read, 0.0)

    def trusts_order(self) -> bool:
        """Whether the provider's order was not seen to break since the last time for a full listing."""

        def read(db: apsw.Connection) -> bool:
            # Two-sided as all of them, but a break that a wrong clock noted in the future is a break.
            sql = "SELECT 1 FROM covers WHERE cover = ? AND broke_at > ?"
            return db.execute(sql, (self._cover(db), time.time() - self._refresh_seconds)).fetchone() is None

        return self._safe(read, True)

    def order_broke(self) -> None:
        """The provider's list is not in the order that it declares."""

        def write(db: apsw.Connection) -> None:
            db.execute("UPDATE covers SET broke_at = ? WHERE cover = ?", (time.time(), self._cover(db, make=True)))

        self._safe(write, None, writes=True)

    def reached(
        self, listing: str, newest: float | None, began: float, *, full: bool, shown: Container[str] = ()
    ) -> None:
        """The listing reached its end, or what was covered before: the cover reaches up to ``newest`` now.

        ``full``: it showed everything, so what is not among the ids ``shown`` is gone, unless others saw it since.
        """
        # Of jobs created just before the list was read some may turn up later, older than its newest.
        newest = min(newest or 0, began)  # a job of the future says nothing of those that are still to come
        horizon = newest - SLACK if newest > began - SKEW else newest

        def write(db: apsw.Connection) -> None:
            cover = self._cover(db, make=True)
            if full:
                older = "SELECT id FROM kept WHERE cover = ? AND listing IS NOT ? AND checked_at < ?"
                gone = [(cover, id) for (id,) in db.execute(older, (cover, listing, began)) if id not in shown]
                db.executemany("DELETE FROM kept WHERE cover = ? AND id = ?", gone)
            db.execute(
                "UPDATE covers SET horizon = ?1, full_at = iif(?2, ?3, full_at), looked_at = iif(?2, ?3, looked_at) "
                "WHERE cover = ?4 AND generation = ?5",
                (horizon, full, began, cover, self._generation),
            )

        self._safe(write, None, writes=True, whole=True)

    def looked(self, at: float) -> None:
        """Everything covered was as the API had it then."""

        def write(db: apsw.Connection) -> None:
            db.execute(
                "UPDATE covers SET looked_at = iif(looked_at <= ?1, max(looked_at, ?2), ?2) "
                "WHERE cover = ?3 AND generation = ?4",
                (time.time(), at, self._cover(db), self._generation),
            )

        self._safe(write, None, writes=True, whole=True)

    def settle(self) -> None:
        """Everything is in the store, and nothing more will come."""

        def write(db: apsw.Connection) -> None:
            db.execute(
                "UPDATE covers SET horizon = ? WHERE cover = ? AND generation = ?",
                (FOREVER, self._cover(db, make=True), self._generation),
            )

        self._safe(write, None, writes=True, whole=True)

    def settled(self) -> bool:
        """Whether nothing more will come."""

        def read(db: apsw.Connection) -> bool:
            sql = "SELECT 1 FROM covers WHERE cover = ? AND horizon >= ? AND looked_at <= ?"
            return db.execute(sql, (self._cover(db), FOREVER, time.time())).fetchone() is not None

        return self._safe(read, False)

    def habits(self) -> Habits:
        """How the account's lists of this resource behave, as far as they have shown."""

        def read(db: apsw.Connection) -> Habits:
            cover = self._store.cover(db, self._account, self._resource.table, make=False)
            text: Any = db.execute("SELECT habits FROM covers WHERE cover = ?", (cover,)).get
            return Habits(**from_json(text)) if text else Habits()

        return self._safe(read, Habits())

    def keep_habits(self, habits: Habits) -> None:
        """Remember them."""

        def write(db: apsw.Connection) -> None:
            cover = self._store.cover(db, self._account, self._resource.table, make=True)
            db.execute("UPDATE covers SET habits = ? WHERE cover = ?", (to_json(habits).decode(), cover))

        self._safe(write, None, writes=True)

    def refresh(self) -> None:
        """Have the next listing read everything, and take nothing for finished that it does not show so."""

        def write(db: apsw.Connection) -> None:
            cover = (self._cover(db),)
            db.execute("UPDATE covers SET full_at = 0, looked_at = 0, habits = NULL WHERE cover = ?", cover)
            db.execute("UPDATE kept SET finished = 0, checked_at = 0 WHERE cover = ?", cover)

        self._safe(write, None, writes=True)

    def is_fresh(self, looked_at: float) -> bool:
        """Whether something seen then is young enough to be shown again without asking."""
        return is_recent(looked_at, self._max_age)

    def row(self, id: str, *, ended: bool = False) -> Row | None:
        """The row of a job that need not be asked for again; ``ended``: or that was seen in a status which ends it."""

        def read(db: apsw.Connection) -> Row | None:
            now = time.time()
            row = db.execute(
                f"SELECT {', '.join(PLAIN)}, raw FROM kept WHERE cover = ? AND id = ? "
                "AND (finished OR (checked_at > ? AND checked_at <= ?) OR (? AND terminal_at <= ?))",
                (self._cover(db), id, now - self._max_age, now, ended, now),
            ).fetchone()
            return None if row is None else self._row(row)

        return self._safe(read, None)

    def save(
        self, rows: Sequence[Row], listing: str | None = None, at: float | None = None, rank: int | None = None
    ) -> None:
        """Keep what the API showed when it was asked ``at`` (now); what is finished, or was asked later, stays.

        ``rank``: that of the first row; those after it have lower ones.
        """
        values = list(self._values(rows, time.time() if at is None else at, listing, rank))

        def write(db: apsw.Connection) -> None:
            cover = self._cover(db, make=True)
            before = db.total_changes()
            try:
                # The last is the likeliest to be new: a list grows at its other end.
                db.execute(NEW.format(cover=cover), values[-1][:-1])
                if db.total_changes() > before:
                    db.executemany(NEW.format(cover=cover), [value[:-1] for value in values[:-1]])
                if db.total_changes() - before < len(values):
                    db.executemany(SAVE.format(cover=cover), values)
            except (UnicodeError, OverflowError):
                for value in values:
                    try:
                        db.execute(SAVE.format(cover=cover), value)
                    except (UnicodeError, OverflowError):
                        self._lacking = True

        if values:
            self._later(write)

    def _values(
        self, rows: Sequence[Row], at: float, listing: str | None, rank: int | None
    ) -> Iterator[tuple[Any, ...]]:
        """What is kept of each row that JSON can say, and the time; the row itself keeps no more than that."""
        of_jobs = self._resource is JOBS
        now = time.time()
        for number, row in enumerate(rows):
            try:
                stored = _stored(whole(row)) if of_jobs else self._plain(row)
                text = row.text
            except ValueError:
                self._lacking = True
                continue
            ended = is_finished(row.status)
            final = is_final(row) if of_jobs else ended
            behind = None if rank is None else rank - number
            first = place(row.created_at, row.id)[0]
            yield (first, *stored, final, at if ended else None, at, listing, behind, text, now)
            if of_jobs:
                row.compact(text, JOBS)

    def changed(self, row: Row) -> None:
        """Our own write changed the job; its answer may come before all is filled in, so it is asked for again."""

        def write(db: apsw.Connection) -> None:
            sql = "UPDATE kept SET status = ?, checked_at = 0 WHERE cover = ? AND id = ? AND NOT finished"
            db.execute(sql, (row.status, self._cover(db), row.id))
            db.execute("UPDATE covers SET looked_at = 0 WHERE cover = ?", (self._cover(db),))  # whatever max_age says

        self._safe(write, None, writes=True)

    def forget(self, id: str) -> None:
        """The API no longer has the job."""

        def write(db: apsw.Connection) -> None:
            db.execute("DELETE FROM kept WHERE cover = ? AND id = ?", (self._cover(db), id))

        self._safe(write, None, writes=True)

    def holds_any(self, ids: Sequence[str]) -> bool:
        """Whether one of ``ids`` is known."""

        def read(db: apsw.Connection) -> bool:
            marks = ", ".join("?" * len(ids))
            sql = f"SELECT 1 FROM kept WHERE cover = ? AND id IN ({marks}) LIMIT 1"
            return db.execute(sql, (self._cover(db), *ids)).fetchone() is not None

        return bool(ids) and self._safe(read, False)

    def lacks(self, id: str) -> bool:
        """Whether it is not known. Raises StoreError where nobody can tell."""

        def read(db: apsw.Connection) -> bool:
            return db.execute("SELECT 1 FROM kept WHERE cover = ? AND id = ?", (self._cover(db), id)).fetchone() is None

        return self._read(read)

    def missing(self, listing: str, tail: float) -> list[str]:
        """What is known and newer than ``tail``, and was not shown by the listing that read down to there."""

        def read(db: apsw.Connection) -> list[str]:
            sql = "SELECT id FROM kept WHERE cover = ? AND place > ? AND listing IS NOT ?"
            return [str(id) for (id,) in db.execute(sql, (self._cover(db), tail, listing))]

        return self._read(read)

    def ranked(self, tail: float, below: int | None, count: int) -> list[tuple[int, Row]]:
        """The next ``count`` objects created at ``tail`` or before, in the order of their list, ``below`` that rank."""

        def read(db: apsw.Connection) -> list[tuple[int, Row]]:
            sql = (
                "SELECT rank, id, raw FROM kept WHERE cover = ? AND place <= ? AND rank < ? ORDER BY rank DESC LIMIT ?"
            )
            values = (self._cover(db), tail, MOST if below is None else below, count)
            found: list[Any] = db.execute(sql, values).fetchall()
            return [(rank, self._of(id, raw)) for rank, id, raw in found]

        return self._read(read)

    def top(self) -> int:
        """The highest rank of all that is kept."""

        def read(db: apsw.Connection) -> int:
            return db.execute("SELECT max(rank) FROM kept WHERE cover = ?", (self._cover(db),)).get or 0

        return self._safe(read, 0)

    def counts_equals(self) -> bool:
        """Whether objects without an id of their own are among them."""

        def read(db: apsw.Connection) -> bool:
            sql = "SELECT 1 FROM kept WHERE cover = ? AND id GLOB ? LIMIT 1"
            return db.execute(sql, (self._cover(db), f"{EQUAL}*")).fetchone() is not None

        return self._safe(read, False)

    def cells(
        self, choice: Choice, tail: float, after: tuple[int, str] | None, count: int, columns: int
    ) -> list[Cells]:
        """The next ``count`` jobs created at ``tail`` or before, newest first, ``after`` the last one; see cells.py."""
        conditions, values = self._conditions(choice, tail)
        if after is not None:
            conditions += " AND (place < :before OR (place = :before AND id > :id))"
            values |= {"before": after[0], "id": after[1]}
        names = ", ".join(_selected(columns))
        sql = f"SELECT {names} FROM kept WHERE {conditions} ORDER BY place DESC, id LIMIT {count}"

        def read(db: apsw.Connection) -> list[Cells]:
            found: list[Any] = db.execute(sql, {**values, "cover": self._cover(db)}).fetchall()
            return found

        return self._read(read)

    def active(self, tail: float, since: float | None) -> list[tuple[int, str]]:
        """The places of the jobs whose state must be asked for, newest first."""
        conditions, values = self._conditions(Choice(since), tail)

        def read(db: apsw.Connection) -> list[tuple[int, str]]:
            sql = (
                f"SELECT place, id FROM kept WHERE {conditions} AND NOT finished "
                "AND (checked_at <= :seen OR checked_at > :now) "
                "ORDER BY place DESC, id"
            )
            now = time.time()
            times = {"seen": now - self._max_age, "now": now}
            found: list[Any] = db.execute(sql, {**values, **times, "cover": self._cover(db)}).fetchall()
            return found

        return self._read(read)

    def count(self) -> int:
        """How many jobs are known."""

        def read(db: apsw.Connection) -> int:
            return int(db.execute("SELECT count(*) FROM kept WHERE cover = ?", (self._cover(db),)).get)

        return self._safe(read, 0)

    def tail(self, size: int) -> float:
        """The place of the last job on the newest page of ``size``, as far as is known."""

        def read(db: apsw.Connection) -> float:
            sql = f"SELECT place FROM kept WHERE cover = ? ORDER BY place DESC, id LIMIT 1 OFFSET {size - 1}"
            row: Any = db.execute(sql, (self._cover(db),)).fetchone()
            return float(NEVER if row is None else row[0])

        return self._safe(read, float(NEVER))

    def requests(self, left: Sequence[tuple[int, str]], size: int) -> Iterator[tuple[str | None, list[str]]]:
        """The fewest requests that tell of the jobs at those places: each with the ids that it answers for.

        A page begins with the first job left and is asked for after the id before it; a job that has no other
        on that page is got by itself (no id). Every request answers for the first one left, so fewer cannot do.
        """
        while left:
            before, last = self._window(left[0], size)
            inside = [id for time, id in left if time > last[0] or (time == last[0] and id <= last[1])]
            if len(inside) < 2 or before is None:
                before, inside = None, inside[:1]
            yield before, inside
            left = left[len(inside) :]

    def _cover(self, db: apsw.Connection, *, make: bool = False) -> int:
        """How the store numbers this account's jobs; 0, which nothing has, until it keeps one.

        It is remembered until a transaction fails, which may have been the one that made it.
        """
        if not self._cover_id or self._rolled_back != self._store.rolled_back:
            self._rolled_back = self._store.rolled_back
            self._cover_id = self._store.cover(db, self._account, self._resource.table, self._parent, make=make)
        return self._cover_id

    def _read(self, work: Callable[[apsw.Connection], T]) -> T:
        """What a listing already relies on: it must not come short. Raises StoreError."""
        try:
            with self._store.rows(writes=False) as db:
                found = work(db)
                generation = db.execute("SELECT generation FROM covers WHERE cover = ?", (self._cover(db),)).get
        except apsw.Error as error:
            raise StoreError(
                f"the store {self._store.path} broke while it was read ({error}): run the statement again with "
                "another one (--store, FTSQL_STORE)"
            ) from None
        if generation != self._generation:
            raise StoreError(f"the store {self._store.path} was cleared while it was read: run the statement again")
        return found

    def _later(self, work: Callable[[apsw.Connection], None]) -> None:
        """Have a change made before anybody looks; whoever looks next is told where it failed."""

        def failed(error: apsw.Error) -> None:
            self._failure = error

        if not self._broken:
            self._store.later(work, failed)

    def _safe(
        self, work: Callable[[apsw.Connection], T], otherwise: T, *, writes: bool = False, whole: bool = False
    ) -> T:
        """``whole``: it says that everything shown is kept, and must not where something could not be."""
        if self._broken:
            return otherwise
        try:
            with self._store.rows(writes=writes) as db:
                if self._failure is not None:
                    raise self._failure
                return otherwise if whole and self._lacking else work(db)
        except (apsw.Error, StoreError) as error:
            self._broken = True
            if self._store.complained:
                return otherwise
            self._store.complained = True
            warnings.warn(
                f"the store {self._store.path} cannot be used ({error}): everything is asked for again. Mend it or "
                "name another file: store=, --store, FTSQL_STORE",
                Warning,
                stacklevel=2,
            )
            return otherwise

    def _window(self, place: tuple[int, str], size: int) -> tuple[str | None, tuple[int, str]]:
        """The page of ``size`` that begins with the job at ``place``: the id to ask after, and its last place.

        No id where nothing is known before it.
        """

        def read(db: apsw.Connection) -> tuple[str | None, tuple[int, str]]:
            values = (self._cover(db), place[0], place[0], place[1])
            row = db.execute(
                "SELECT id FROM kept WHERE cover = ? AND (place > ? OR (place = ? AND id < ?)) "
                "ORDER BY place, id DESC LIMIT 1",
                values,
            ).fetchone()
            last = db.execute(
                "SELECT place, id FROM kept WHERE cover = ? "
                "AND (place < ? OR (place = ? AND id >= ?)) ORDER BY place DESC, id "
                f"LIMIT 1 OFFSET {size - 1}",
                values,
            ).fetchone()
            return (None if row is None else row[0]), last or (NEVER, "")

        return self._read(read)

    def _conditions(self, choice: Choice, tail: float) -> tuple[str, dict[str, SQLiteValue]]:
        conditions = "cover = :cover AND place <= :tail"
        values: dict[str, SQLiteValue] = {"tail": tail, "provider": self.name}
        for condition, name in (("place >=", "since"), ("status =", "status"), ("model =", "model")):
            value = getattr(choice, name)
            if value is not None:
                conditions += f" AND {condition} :{name}"
                values[name] = value
        return conditions, values

    def _of(self, id: str, text: str) -> Row:
        """The row of another resource, of which the store has the object."""
        row = self._resource.rows(self.name, [from_json(text)], self._parent, lambda _: None)[0]
        row.id = id
        return row

    def _row(self, values: tuple[Any, ...]) -> Row:
        if self._resource is not JOBS:  # which have the one plain column that the store has names for
            return self._of(values[0], values[-1])
        return Row(self.name, dict(zip(PLAIN, values, strict=False)), values[-1], bare=JOBS)

    def _plain(self, row: Row) -> list[SQLiteValue]:
        return [row.id, *(None if name in NESTED else row.values.get(name) for name in STORED[1:])]


def _selected(columns: int) -> list[str]:
    """The SQL of each column that SQLite reads: what an index has is read there."""
    made = {
        "created_at": f"nullif(place, {NEVER})",
        "provider": ":provider",
        "fine_tuning_job_id": "id",
        "extra_body": "NULL",
        "key": ":provider || '/' || id",
    }
    names = [NAMES[number] for number in layout(columns).numbers]
    return [made.get(name, name) for name in names]
