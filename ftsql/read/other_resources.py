"""The resources other than jobs, for one statement: events, checkpoints, permissions, files and models.

The events and checkpoints of a finished job are read once and stay in the store. For an active job, only new ones are
requested.
"""

from __future__ import annotations

import marshal
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

from pydantic_core import from_json

from ftsql.api.account import Account
from ftsql.read.listing import Listing, ListingRequests
from ftsql.read.spool import Spill
from ftsql.read.statement_cache import StatementCache
from ftsql.resources.definitions import is_finished
from ftsql.resources.resource import Resource, Row
from ftsql.store.cache import CHUNK, SKEW, SLACK, Cache

Parent = tuple[Account, str]
PREFETCH_COUNT = 32  # the number of parents whose objects are requested at once, before the objects are read
RECENT = 64  # the number of parents whose rows a statement keeps in memory


def job_row(cache: StatementCache, parent: Parent) -> Row | None:
    """Return a job's row from this statement or the store, or None if neither knows the job's present state."""
    account, id = parent
    stored, listing = cache.stored(account), cache.listings.get(account)
    row = cache.fetched[account].get(id) or (None if listing is None else listing.row(id))
    return row or (None if stored is None else stored.row(id))


def known_job(cache: StatementCache, parent: Parent) -> Row | bool:
    """Return the job's row if the job is known to have finished; otherwise return whether the job is known to exist.

    The row may lack fields that the API fills in late.
    """
    account, id = parent
    stored = cache.stored(account)
    row = job_row(cache, parent) or (None if stored is None else stored.row(id, ended=True))
    if row is not None:
        return row if is_finished(row.status) else True
    return stored is not None and stored.holds_any([id])


def is_absent(cache: StatementCache, parent: Parent) -> bool:
    """Whether the job is known not to exist, because the API said so or the whole list lacks the job.

    If the statement will read the whole list anyway, this function reads pages until one has the job.
    """
    account, id = parent
    listing, stored, fetched = cache.listings.get(account), cache.stored(account), cache.fetched[account]
    if id in fetched:
        return fetched[id] is None
    if listing is None:
        return False
    while id not in listing.by_id and listing.reads_all and not (listing.done or listing.store_has_rest):
        read = len(listing.rows)
        listing.read()
        cache.warn_of_shared_ids(account, listing.rows[read:])
    if id in listing.by_id:
        return False
    return listing.done or (listing.store_has_rest and stored is not None and stored.has_no(id))


def job_exists(cache: StatementCache, parent: Parent) -> bool:
    """Whether a known job still exists. If it does, "not found" cannot be right for the list of its objects."""
    account, id = parent
    listing = cache.listings.get(account)
    if id not in cache.fetched[account] and listing is not None and id in listing.by_id:
        return True
    if known_job(cache, parent):
        cache.get_many([parent])
    return cache.fetched[account].get(id) is not None


class ParentObjects:
    """The objects of one parent, or of one account if the resource has no parent.

    The objects come from a listing and from the store.
    """

    def __init__(self, cache: StatementCache, resource: Resource, parent: Parent) -> None:
        account, id = parent
        path = resource.path.format(id)
        self._cache = cache
        self._parent = parent
        requests = ListingRequests(
            lambda query, required: cache.start(account, path, query, required, kind="list", resource=resource),
            partial(cache.finish, account),
            lambda id: resource.kept and job_exists(cache, parent),
            cache.tell,
        )
        self.stored: Cache | None = None
        if resource.kept and cache.store is not None and cache.stored(account) is not None:
            self.stored = Cache(cache.store, account, cache.settings, resource, id)
        self.listing = Listing(account, requests, self.stored, resource=resource, parent=id)
        if cache.settings.verify_order:
            self.listing.ordered = False
        self.looked_at = 0.0 if self.stored is None else self.stored.looked_at()
        self.job: Row | None = None  # the job, if it had finished before its objects were requested
        self._resource = resource
        self._spilled: tuple[int, int] | None = None  # the position of the listing's rows in the file
        self._file: Spill | None = None
        self._shown: set[str] = set()  # the ids of the spilled rows, if the store has the rest

    def rows(self, *, placed: bool = False) -> Iterator[Row]:
        """Return all objects. If ``placed``, each row has its position, so all rows are read before one is returned."""
        if placed:
            rows = list(self._all())
            for number, row in enumerate(rows):
                row.position = len(rows) - 1 - number
            return iter(rows)
        return self._all()

    def spill(self, file: Spill) -> None:
        """Move the rows into ``file`` if all of them were read, because a statement seldom needs them again."""
        listing = self.listing
        if self._spilled is not None or not (listing.done or listing.store_has_rest):
            return
        self._shown = {*listing.by_id} if listing.store_has_rest else set()
        self._spilled = file.write(marshal.dumps([(row.id, row.text) for row in listing.rows]))
        if self._spilled is not None:
            self._file = file
            listing.forget()

    def _all(self) -> Iterator[Row]:
        """Yield the rows of the listing, then the rows that only the store has."""
        listing, read = self.listing, 0
        if self._spilled is not None:
            yield from self._read_spilled(self._spilled)
        while self._spilled is None:
            yield from islice(listing.rows, read, None)
            read = len(listing.rows)
            if listing.done or listing.store_has_rest:
                break
            listing.read()
            self._keep_end()
            if not self._cache.may_stop:
                listing.prefetch()
        if listing.store_has_rest:
            yield from self._rows_from_store()

    def _rows_from_store(self) -> Iterator[Row]:
        """Yield the stored rows that the listing did not show."""
        assert self.stored is not None
        listing = self.listing
        below: int | None = None
        while found := self.stored.ranked(listing.tail, below, CHUNK):
            below = found[-1][0]
            shown = self._shown if self._spilled is not None else listing.by_id
            rows = [row for _, row in found if row.id not in shown]
            self._cache.count(len(rows))
            yield from rows

    def _read_spilled(self, position: tuple[int, int]) -> Iterator[Row]:
        account, parent = self._parent
        assert self._file is not None
        kept = marshal.loads(self._file.read(position))  # noqa: S302 - our own data
        objects = [from_json(text) for _, text in kept]
        rows = self._resource.rows(account.name, objects, parent, lambda _: None)
        for row, (id, _) in zip(rows, kept, strict=True):
            row.id = id
        return iter(rows)

    def _keep_end(self) -> None:
        """Record that the list is complete, if the job's lists no longer lagged behind when the listing began.

        A job's lists may lag behind for a while after the job has finished.
        """
        listing, job = self.listing, self.job
        if job is None or self.stored is None or not (listing.done or listing.store_has_rest):
            return
        if is_absent(self._cache, self._parent):
            return
        finished_at = job.values.get("finished_at")  # may be missing, for example if the job was cancelled
        quiet = max([job.created_at or 0, *(row.created_at or 0 for row in listing.rows)]) + SKEW
        if listing.began > (finished_at + SLACK if finished_at else quiet):
            self.stored.mark_complete()


class OtherResources:
    """One statement's view of one resource. The objects of each parent are requested at most once."""

    def __init__(self, cache: StatementCache, resource: Resource) -> None:
        self._cache = cache
        self._resource = resource
        self._parts: dict[Parent, ParentObjects] = {}
        self._recent: OrderedDict[Parent, ParentObjects] = OrderedDict()  # the parts whose rows are in memory
        self._file = Spill()
        self._got: dict[Parent, Row | None] = {}

    def rows(self, parents: Sequence[Parent], *, placed: bool = False) -> Iterator[Row]:
        """Yield the objects of each parent in turn. The lists of several parents are requested in parallel.

        If ``placed``, the rows have their positions: see ParentObjects.rows.
        """
        parents = [parent for parent in parents if self._in_url(parent)]
        for number, parent in enumerate(parents):
            if number % PREFETCH_COUNT == 0 and not self._cache.may_stop:
                self.prepare(parents[number : number + 2 * PREFETCH_COUNT])
            part = self._parts.get(parent)
            if part is None:
                self.prepare([parent])
                part = self._parts[parent]
            yield from part.rows(placed=placed)
            self._recent[parent] = part
            self._recent.move_to_end(parent)
            if len(self._recent) > RECENT:
                self._recent.popitem(last=False)[1].spill(self._file)

    def get(self, account: Account, id: str) -> Row | None:
        """Return the object with ``id``, or None if it does not exist.

        From the third object on, requests for single objects alternate with pages of the list.
        """
        key = (account, id)
        if key not in self._got:
            self.prepare([(account, "")], send=False)
            listing = self._parts[account, ""].listing
            while not listing.done and id not in listing.by_id:
                if key[0].accepts_id(key[1]) and (len(self._got) < 2 or listing.pages >= len(self._got)):
                    self._got[key] = row = self._get(account, id)
                    return row
                listing.read()
            self._got[key] = listing.row(id)
        return self._got[key]

    def _get(self, account: Account, id: str) -> Row | None:
        """Request an object by its id."""
        call = self._cache.start(account, f"{self._resource.path}/{id}", resource=self._resource)
        body = self._cache.finish(account, call)
        return None if body is None else self._resource.one(account.name, body, id, self._cache.tell)

    def _in_url(self, parent: Parent) -> bool:
        return not self._resource.parent or parent[0].accepts_id(parent[1])

    def prepare(self, parents: Sequence[Parent], *, send: bool = True) -> None:
        """Prepare to read the objects of ``parents``. If ``send``, request the first page of each without waiting.

        Nothing is done for a parent that was prepared before.
        """
        parents = [parent for parent in dict.fromkeys(parents) if parent not in self._parts and self._in_url(parent)]
        parts = {parent: ParentObjects(self._cache, self._resource, parent) for parent in parents}
        # Request each job whose objects an earlier statement read, if the job itself is unknown. The job may have
        # finished since that statement, or long before it.
        self._cache.get_many(
            [
                parent
                for parent, part in parts.items()
                if part.looked_at and not part.listing.store_has_rest and not known_job(self._cache, parent)
            ]
        )
        for parent, part in parts.items():
            if self._resource.kept:
                part.listing.done = is_absent(self._cache, parent)
                self._use_stored(parent, part)
            if send:
                part.listing.prefetch()
        self._parts |= parts

    def _use_stored(self, parent: Parent, part: ParentObjects) -> None:
        """Take all objects from the store if no object can be new.

        An earlier complete reading counts only if it came after the job was seen to have finished, or long after the
        job's finished_at. The margin is needed because two clocks may differ. A job may lack a finished_at.
        """
        job = known_job(self._cache, parent)
        if part.stored is None or not isinstance(job, Row):
            return
        part.job, finished_at = job, job.values.get("finished_at")
        if part.stored.is_complete() or (finished_at and part.looked_at > finished_at + SKEW):
            part.listing.store_has_rest = True
