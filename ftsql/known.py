"""What the store knows of one account's jobs: the rows that the API showed, and the cover.

A finished row is never asked for again; any other is only known to exist, and its state must be asked for.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import apsw

from ftsql.errors import StoreError, Warning
from ftsql.providers import Account
from ftsql.resources import JOBS, Row, SQLiteValue, is_finished
from ftsql.settings import Settings
from ftsql.store import Store

T = TypeVar("T")

SLACK = 120  # seconds that a list may lag behind what was created
SKEW = 86_400  # seconds by which the provider's clock and ours may differ
# The columns that the store keeps beside the object's text; nested ones are decoded from it when asked for.
_DOCUMENTED = [column.name for column in JOBS.columns if column.type != "JSON" and column not in JOBS.extra]
PLAIN = (*_DOCUMENTED, "suffix")
FIELDS = ("cover", *PLAIN, "raw", "finished", "checked_at", "listing")
SAVE = (
    f"INSERT INTO objects ({', '.join(FIELDS)}) VALUES ({', '.join('?' * len(FIELDS))}) "
    "ON CONFLICT (cover, id) DO UPDATE SET "
    + ", ".join(f"{name} = iif(finished, {name}, excluded.{name})" for name in (*PLAIN[1:], "raw", "finished"))
    + ", checked_at = excluded.checked_at, listing = coalesce(excluded.listing, listing)"
)


@dataclass(frozen=True, slots=True)
class Cover:
    """Every job created before ``horizon`` is in the store: listings that reached their end have shown it.

    Rows of gets and of listings that were broken off are in the store too and move no horizon.
    ``looked_at``: when all of it was last known to be as the API has it.
    """

    horizon: float
    looked_at: float


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of the known rows a scan wants: ``status`` and ``model`` exactly, ``since`` for created_at.

    It narrows and never decides: SQLite checks every row again.
    """

    since: float | None = None
    status: str | None = None
    model: str | None = None
    raw: bool = True  # with the objects' texts


class Known:
    """The store's rows of one account. Where the file fails it knows nothing more, and says so once."""

    def __init__(self, store: Store, account: Account, settings: Settings) -> None:
        self.name = account.name
        self._store = store
        self._max_age = settings.max_age
        self._refresh_seconds = settings.refresh_seconds
        self._cover_id = 0
        self._broken = False
        self._lacking = False  # a row could not be kept, so that no listing is covered
        self._account = account

    def cover(self) -> Cover | None:
        """The cover, unless there is none or it is due for a full listing."""

        def read(db: apsw.Connection) -> Cover | None:
            row = db.execute(
                "SELECT horizon, looked_at FROM covers WHERE cover = ? AND horizon IS NOT NULL AND full_at > ?",
                (self._cover(), time.time() - self._refresh_seconds),
            ).fetchone()
            return None if row is None else Cover(*row)

        return self._safe(read, None)

    def is_fresh(self, looked_at: float) -> bool:
        """Whether something seen then is young enough to be shown again without asking."""
        return looked_at > time.time() - self._max_age

    def row(self, id: str) -> Row | None:
        """The row of a job that need not be asked for again."""

        def read(db: apsw.Connection) -> Row | None:
            row = db.execute(
                f"SELECT {', '.join(PLAIN)}, raw FROM objects WHERE cover = ? AND id = ? "
                "AND (finished OR checked_at > ?)",
                (self._cover(), id, time.time() - self._max_age),
            ).fetchone()
            return None if row is None else self._row(row)

        return self._safe(read, None)

    def save(self, rows: Iterable[Row], listing: str | None = None) -> None:
        """Keep what the API just showed; a row that is finished already stays as it is."""
        now = time.time()
        values = []
        for row in rows:
            try:
                plain = [row.values.get(name) for name in PLAIN]
                plain[0] = row.id
                values.append((*plain, row.text, is_finished(row.status), now, listing))
            except ValueError:  # what JSON cannot say is not kept
                self._lacking = True

        def write(db: apsw.Connection) -> None:
            cover = self._cover()
            for value in values:
                try:
                    db.execute(SAVE, (cover, *value))
                except (UnicodeError, OverflowError):
                    self._lacking = True

        if values:
            self._safe(write, None, writes=True)

    def changed(self, row: Row) -> None:
        """Our own write changed the job; its answer may come before all is filled in, so it is asked for again."""

        def write(db: apsw.Connection) -> None:
            sql = "UPDATE objects SET status = ? WHERE cover = ? AND id = ? AND NOT finished"
            db.execute(sql, (row.status, self._cover(), row.id))

        self._safe(write, None, writes=True)

    def forget(self, id: str) -> None:
        """The API no longer has the job."""

        def write(db: apsw.Connection) -> None:
            db.execute("DELETE FROM objects WHERE cover = ? AND id = ?", (self._cover(), id))

        self._safe(write, None, writes=True)

    def holds_any(self, ids: Sequence[str]) -> bool:
        """Whether one of ``ids`` is known."""

        def read(db: apsw.Connection) -> bool:
            marks = ", ".join("?" * len(ids))
            sql = f"SELECT 1 FROM objects WHERE cover = ? AND id IN ({marks}) LIMIT 1"
            return db.execute(sql, (self._cover(), *ids)).fetchone() is not None

        return bool(ids) and self._safe(read, False)

    def missing(self, listing: str, tail: float) -> list[str]:
        """What is known and newer than ``tail``, and was not shown by the listing that read down to there."""

        def read(db: apsw.Connection) -> list[str]:
            sql = "SELECT id FROM objects WHERE cover = ? AND created_at > ? AND listing IS NOT ?"
            return [str(id) for (id,) in db.execute(sql, (self._cover(), tail, listing))]

        return self._read(read)

    def trusts_order(self) -> bool:
        """Whether the provider's order was not seen to break since the last time for a full listing."""

        def read(db: apsw.Connection) -> bool:
            sql = "SELECT 1 FROM covers WHERE cover = ? AND broke_at > ?"
            return db.execute(sql, (self._cover(), time.time() - self._refresh_seconds)).fetchone() is None

        return self._safe(read, True)

    def order_broke(self) -> None:
        """The provider's list is not in the order that it declares."""

        def write(db: apsw.Connection) -> None:
            db.execute("UPDATE covers SET broke_at = ? WHERE cover = ?", (time.time(), self._cover()))

        self._safe(write, None, writes=True)

    def rest(self, choice: Choice, tail: float, after: tuple[int, str] | None, count: int) -> list[Row]:
        """The next ``count`` rows created at ``tail`` or before, newest first, ``after`` the last one."""
        columns = (*PLAIN, "raw") if choice.raw else PLAIN
        conditions, values = self._conditions(choice, tail)
        if after is not None:
            conditions += " AND (created_at < ? OR (created_at = ? AND id > ?))"
            values += [after[0], *after]

        def read(db: apsw.Connection) -> list[Row]:
            sql = (
                f"SELECT {', '.join(columns)} FROM objects WHERE {conditions} ORDER BY created_at DESC, id "
                f"LIMIT {count}"
            )
            return [self._row(row) for row in db.execute(sql, (self._cover(), *values))]

        return self._read(read)

    def active(self, tail: float, since: float | None) -> list[tuple[int, str]]:
        """(created_at, id) of the jobs whose state must be asked for, newest first."""
        conditions, values = self._conditions(Choice(since), tail)

        def read(db: apsw.Connection) -> list[tuple[int, str]]:
            sql = (
                f"SELECT created_at, id FROM objects WHERE {conditions} AND NOT finished AND checked_at <= ? "
                "ORDER BY created_at DESC, id"
            )
            found: list[Any] = db.execute(sql, (self._cover(), *values, time.time() - self._max_age)).fetchall()
            return found

        return self._read(read)

    def window(self, place: tuple[int, str], size: int) -> tuple[str | None, tuple[int, str]]:
        """The page of ``size`` that begins with the job at ``place``: the id to ask after, and its last place.

        No id where nothing is known before it.
        """

        def read(db: apsw.Connection) -> tuple[str | None, tuple[int, str]]:
            values = (self._cover(), place[0], place[0], place[1])
            row = db.execute(
                "SELECT id FROM objects WHERE cover = ? AND (created_at > ? OR (created_at = ? AND id < ?)) "
                "ORDER BY created_at, id DESC LIMIT 1",
                values,
            ).fetchone()
            last = db.execute(
                "SELECT created_at, id FROM objects WHERE cover = ? "
                "AND (created_at < ? OR (created_at = ? AND id >= ?)) ORDER BY created_at DESC, id "
                f"LIMIT 1 OFFSET {size - 1}",
                values,
            ).fetchone()
            return (None if row is None else row[0]), last or (-(2**62), "")

        return self._read(read)

    def reached(self, listing: str, newest: float | None, began: float, *, full: bool) -> None:
        """The listing reached its end, or what was covered before: the cover reaches up to ``newest`` now.

        ``full``: it showed everything, so what it did not show is gone.
        """
        # Of jobs created just before the list was read some may turn up later, older than its newest.
        horizon = 0 if newest is None else newest - SLACK if newest > began - SKEW else newest

        def write(db: apsw.Connection) -> None:
            cover = self._cover()
            if full:
                db.execute(
                    "DELETE FROM objects WHERE cover = ? AND listing IS NOT ? AND checked_at < ?",
                    (cover, listing, began),
                )
            db.execute(
                "UPDATE covers SET horizon = ?, full_at = iif(?, ?, full_at) WHERE cover = ?",
                (horizon, full, began, cover),
            )

        if not self._lacking:
            self._safe(write, None, writes=True)

    def looked(self, at: float) -> None:
        """Everything covered was as the API had it then."""

        def write(db: apsw.Connection) -> None:
            db.execute("UPDATE covers SET looked_at = max(looked_at, ?) WHERE cover = ?", (at, self._cover()))

        self._safe(write, None, writes=True)

    def refresh(self) -> None:
        """Have the next listing read everything."""

        def write(db: apsw.Connection) -> None:
            db.execute("UPDATE covers SET horizon = NULL, looked_at = 0 WHERE cover = ?", (self._cover(),))

        self._safe(write, None, writes=True)

    def _conditions(self, choice: Choice, tail: float) -> tuple[str, list[SQLiteValue]]:
        conditions, values = "cover = ? AND created_at <= ?", [tail]
        more: list[tuple[str, SQLiteValue]] = [
            ("created_at >=", choice.since), ("status =", choice.status), ("model =", choice.model)
        ]  # fmt: skip
        for condition, value in more:
            if value is not None:
                conditions += f" AND {condition} ?"
                values.append(value)  # type: ignore[arg-type]
        return conditions, list(values)

    def _row(self, values: tuple[Any, ...]) -> Row:
        raw = values[len(PLAIN)] if len(values) > len(PLAIN) else "{}"
        return Row(self.name, dict(zip(PLAIN, values, strict=False)), raw, bare=True)

    def _cover(self) -> int:
        """How the store numbers this account's jobs."""
        if not self._cover_id:
            self._cover_id = self._store.cover(self._account, JOBS.table)
        return self._cover_id

    def _read(self, work: Callable[[apsw.Connection], T]) -> T:
        """What a listing already relies on: it must not come short. Raises StoreError."""
        try:
            with self._store.rows(writes=False) as db:
                return work(db)
        except apsw.Error as error:
            raise StoreError(
                f"the store {self._store.path} broke while it was read ({error}): run the statement again with "
                "another one (--store, FTSQL_STORE)"
            ) from None

    def _safe(self, work: Callable[[apsw.Connection], T], otherwise: T, *, writes: bool = False) -> T:
        if self._broken:
            return otherwise
        try:
            with self._store.rows(writes=writes) as db:
                return work(db)
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
