"""One account's place in the store, and its cover: how far listings that reached their end have shown its jobs.

Where the file fails, the place knows nothing more, and that is said once; what a listing relies on already
is an error instead.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any, TypeVar

import apsw
from pydantic_core import from_json, to_json

from ftsql.account import Account
from ftsql.errors import StoreError, Warning
from ftsql.habits import Habits, is_recent
from ftsql.resource import Resource
from ftsql.resources import JOBS
from ftsql.settings import Settings
from ftsql.store import Store

T = TypeVar("T")

SLACK = 120  # seconds that a list may lag behind what was created
SKEW = 86_400  # seconds by which the provider's clock and ours may differ
FOREVER = float(2**62)  # the horizon of what will never be more


@dataclass(frozen=True, slots=True)
class Cover:
    """Every job created before ``horizon`` is in the store: listings that reached their end have shown it.

    Rows of gets and of listings that were broken off are in the store too and move no horizon.
    ``looked_at``: when all of it was last known to be as the API has it.
    """

    horizon: float
    looked_at: float


class Shelf:
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
