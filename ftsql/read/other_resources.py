"""The other resources as one statement sees them: what belongs to jobs, of many at once, and the files and models.

What a job has left behind is read once and stays in the store; of a job at work what is new is asked for.
"""

from __future__ import annotations

import marshal
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

from pydantic_core import from_json

from ftsql.api.account import Account
from ftsql.read.listing import Ask, Listing
from ftsql.read.spool import Spill
from ftsql.read.statement_cache import StatementCache
from ftsql.resources.definitions import is_finished
from ftsql.resources.resource import Resource, Row
from ftsql.store.cache import CHUNK, SKEW, SLACK, Cache

Parent = tuple[Account, str]
AHEAD = 32  # parents that are asked for before they are read
RECENT = 64  # parents whose rows a statement keeps at hand


def seen(cache: StatementCache, parent: Parent) -> Row | None:
    """A job as this statement was told of it, or as the store has it for good."""
    account, id = parent
    stored, listing = cache.stored(account), cache.listings.get(account)
    row = cache.got[account].get(id) or (None if listing is None else listing.row(id))
    return row or (None if stored is None else stored.row(id))


def heard(cache: StatementCache, parent: Parent) -> Row | bool:
    """What is known of a job: its row where it has ended, which may lack what is filled in late, else whether it was
    heard of.
    """
    account, id = parent
    stored = cache.stored(account)
    row = seen(cache, parent) or (None if stored is None else stored.row(id, ended=True))
    if row is not None:
        return row if is_finished(row.status) else True
    return stored is not None and stored.holds_any([id])


def lacks(cache: StatementCache, parent: Parent) -> bool:
    """Whether there is no such job: the statement was told so, or has read the whole list."""
    account, id = parent
    listing, stored, got = cache.listings.get(account), cache.stored(account), cache.got[account]
    if id in got:
        return got[id] is None
    if listing is None:
        return False
    while id not in listing.by_id and listing.wanted and not (listing.done or listing.joined):
        read = len(listing.rows)  # which the statement reads anyway: no need to ask a provider that lacks the job
        listing.read()
        cache.compare(account, listing.rows[read:])
    if id in listing.by_id:
        return False
    return listing.done or (listing.joined and stored is not None and stored.has_no(id))


def exists(cache: StatementCache, parent: Parent) -> bool:
    """Whether a job that was heard of is still there, so that what belongs to it cannot be "not found"."""
    account, id = parent
    listing = cache.listings.get(account)
    if id not in cache.got[account] and listing is not None and id in listing.by_id:
        return True
    if heard(cache, parent):
        cache.retrieve([parent])
    return cache.got[account].get(id) is not None


class Part:
    """One parent's objects, or all of an account's: the listing, and the store's place for them."""

    def __init__(self, cache: StatementCache, resource: Resource, parent: Parent) -> None:
        account, id = parent
        path = resource.path.format(id)
        self._cache = cache
        self._parent = parent
        ask = Ask(
            lambda query, must: cache.start(account, path, query, must, kind="list", resource=resource),
            partial(cache.finish, account),
            lambda id: resource.kept and exists(cache, parent),
            cache.tell,
        )
        self.stored: Cache | None = None
        if resource.kept and cache.store is not None and cache.stored(account) is not None:
            self.stored = Cache(cache.store, account, cache.settings, resource, id)
        self.listing = Listing(account, ask, self.stored, resource=resource, parent=id)
        if cache.settings.verify_order:
            self.listing.ordered = False
        self.looked_at = 0.0 if self.stored is None else self.stored.looked_at()
        self.job: Row | None = None  # where it had finished before it was asked what it has
        self._resource = resource
        self._away: tuple[int, int] | None = None  # where in the file its listing's rows are
        self._spill: Spill | None = None
        self._shown: set[str] = set()  # the ids of those, where the store has the rest

    def rows(self, *, placed: bool = False) -> Iterator[Row]:
        """All objects of the parent; ``placed``: with their positions, for which all have to be read first."""
        if placed:
            rows = list(self._all())
            for number, row in enumerate(rows):
                row.position = len(rows) - 1 - number
            return iter(rows)
        return self._all()

    def put_away(self, spill: Spill) -> None:
        """Move what was read in full into the file: the statement hardly comes back to it."""
        listing = self.listing
        if self._away is not None or not (listing.done or listing.joined):
            return
        self._shown = {*listing.by_id} if listing.joined else set()
        self._away = spill.write(marshal.dumps([(row.id, row.text) for row in listing.rows]))
        if self._away is not None:
            self._spill = spill
            listing.forget()

    def _all(self) -> Iterator[Row]:
        listing, read = self.listing, 0
        if self._away is not None:
            yield from self._back(self._away)
        while self._away is None:
            yield from islice(listing.rows, read, None)
            read = len(listing.rows)
            if listing.done or listing.joined:
                break
            listing.read()
            self._keep_end()
            if not self._cache.may_stop:
                listing.ahead()
        if not listing.joined:
            return
        assert self.stored is not None
        below: int | None = None
        while found := self.stored.ranked(listing.tail, below, CHUNK):
            below = found[-1][0]
            shown = self._shown if self._away is not None else listing.by_id
            rest = [row for _, row in found if row.id not in shown]
            self._cache.count(len(rest))
            yield from rest

    def _back(self, place: tuple[int, int]) -> Iterator[Row]:
        account, parent = self._parent
        assert self._spill is not None
        kept = marshal.loads(self._spill.read(place))  # noqa: S302 - what we wrote ourselves
        objects = [from_json(text) for _, text in kept]
        rows = self._resource.rows(account.name, objects, parent, lambda _: None)
        for row, (id, _) in zip(rows, kept, strict=True):
            row.id = id
        return iter(rows)

    def _keep_end(self) -> None:
        """Note that nothing more will come, where the job had finished and its lists no longer lag behind."""
        listing, job = self.listing, self.job
        if (
            job is None
            or self.stored is None
            or not (listing.done or listing.joined)
            or lacks(self._cache, self._parent)
        ):
            return
        finished_at = job.values.get("finished_at")  # which need not be said, of a cancelled one say
        quiet = max([job.created_at or 0, *(row.created_at or 0 for row in listing.rows)]) + SKEW
        if listing.began > (finished_at + SLACK if finished_at else quiet):
            self.stored.mark_complete()


class OtherResources:
    """One statement's view of one resource; every parent is asked for at most once in it."""

    def __init__(self, cache: StatementCache, resource: Resource) -> None:
        self._cache = cache
        self._resource = resource
        self._parts: dict[Parent, Part] = {}
        self._recent: OrderedDict[Parent, Part] = OrderedDict()  # whose rows are in memory
        self._spill = Spill()
        self._got: dict[Parent, Row | None] = {}

    def rows(self, parents: Sequence[Parent], *, placed: bool = False) -> Iterator[Row]:
        """The objects of each parent in turn; of several they are asked for side by side. ``placed``: see Part."""
        parents = [parent for parent in parents if self._in_url(parent)]
        for number, parent in enumerate(parents):
            if number % AHEAD == 0 and not self._cache.may_stop:
                self.ask(parents[number : number + 2 * AHEAD])
            part = self._parts.get(parent)
            if part is None:
                self.ask([parent])
                part = self._parts[parent]
            yield from part.rows(placed=placed)
            self._recent[parent] = part
            self._recent.move_to_end(parent)
            if len(self._recent) > RECENT:
                self._recent.popitem(last=False)[1].put_away(self._spill)

    def get(self, account: Account, id: str) -> Row | None:
        """One object by its id; None where there is none. From the third on pages of the list are read in turn."""
        one = (account, id)
        if one not in self._got:
            self.ask([(account, "")], ahead=False)
            listing = self._parts[account, ""].listing
            while not listing.done and id not in listing.by_id:
                if one[0].accepts_id(one[1]) and (len(self._got) < 2 or listing.pages >= len(self._got)):
                    path = f"{self._resource.path}/{id}"
                    body = self._cache.finish(account, self._cache.start(account, path, resource=self._resource))
                    self._got[one] = (
                        None if body is None else self._resource.one(account.name, body, id, self._cache.tell)
                    )
                    return self._got[one]
                listing.read()
            self._got[one] = listing.row(id)
        return self._got[one]

    def _in_url(self, parent: Parent) -> bool:
        return not self._resource.parent or parent[0].accepts_id(parent[1])

    def ask(self, parents: Sequence[Parent], *, ahead: bool = True) -> None:
        """Send for what these parents have, without waiting for it; or only make ready to."""
        parents = [parent for parent in dict.fromkeys(parents) if parent not in self._parts and self._in_url(parent)]
        parts = {parent: Part(self._cache, self._resource, parent) for parent in parents}
        # All was read before, and the job was never seen: it may have finished meanwhile, or long ago.
        self._cache.retrieve(
            [
                parent
                for parent, part in parts.items()
                if part.looked_at and not part.listing.joined and not heard(self._cache, parent)
            ]
        )
        for parent, part in parts.items():
            if self._resource.kept:
                part.listing.done = lacks(self._cache, parent)
                self._settle(parent, part)
            if ahead:
                part.listing.ahead()
        self._parts |= parts

    def _settle(self, parent: Parent, part: Part) -> None:
        """Take everything from the store where nothing can be new.

        That all was read counts only where the job was seen to have finished before, or long before by its own
        word: two clocks may differ, and a job need not say when it finished.
        """
        job = heard(self._cache, parent)
        if part.stored is None or not isinstance(job, Row):
            return
        part.job, finished_at = job, job.values.get("finished_at")
        if part.stored.is_complete() or (finished_at and part.looked_at > finished_at + SKEW):
            part.listing.joined = True
