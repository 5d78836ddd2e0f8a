"""What one statement has seen of the APIs and of the store: its look.

Within a look each object is asked for at most once, and what the store knows as finished never.
"""

from __future__ import annotations

import time
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ftsql.api.account import Account
from ftsql.api.calls import Call
from ftsql.api.client import Client
from ftsql.errors import APIError, ConfigError, OperationalError, Warning
from ftsql.read.listing import Ask, Listing, Query
from ftsql.read.plan import Plan
from ftsql.read.prefetch import Feeds
from ftsql.resources.cells import ID, PROVIDER, Cells, cells, layout
from ftsql.resources.definitions import JOBS
from ftsql.resources.resource import Row
from ftsql.settings import Settings
from ftsql.store.cache import Cache
from ftsql.store.database import Store


def keeps_none(provider: str, id: str) -> None:
    """The contents of files that are kept: none."""


class StatementCache:
    """One statement's view of every account: its listing, the jobs got one by one, our own writes.

    Without a ``store`` everything is asked for.
    """

    def __init__(
        self,
        clients: Mapping[Account, Client],
        settings: Settings,
        interrupted: Callable[[], bool],
        store: Store | None = None,
        count: Callable[[int], None] = lambda rows: None,
    ) -> None:
        self.clients = clients
        self.settings = settings
        self.interrupted = interrupted
        self.requests = 0
        self.statement = ""  # the SQL text, for the log of requests
        self.plan = Plan("list")
        self.may_stop = False  # the statement may end before it has read all that it reads from
        self.store = store
        self.count = count  # told of rows that come from the store
        self.news = 0  # how often it came to know a job otherwise than by scans, which may hold an older state
        self._stored: dict[Account, Cache] = {}
        self.listings: dict[Account, Listing] = {}
        self._filtered: dict[tuple[Account, str], Listing] = {}
        self.got: dict[Account, dict[str, Row | None]] = {account: {} for account in clients}
        self._gets: dict[Account, int] = {}
        self.nested: dict[str, Any] = {}  # what belongs to jobs, by table
        self.kept_content: Callable[[str, str], bytes | None] = keeps_none  # of a file, by its provider and id
        self.feeds = Feeds()
        self._told = False  # of an odd value
        self._calls: weakref.WeakSet[Call[Any]] = weakref.WeakSet()

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts to ask. Raises ConfigError where there are none."""
        if not self.clients:
            raise ConfigError(
                "no provider is active: set OPENAI_API_KEY, or any server's key and OPENAI_BASE_URL, or try "
                "ftsql without a key: ftsql --sandbox, in Python connect(sandbox=True). "
                "SELECT * FROM ftsql_providers shows what each provider waits for"
            )
        return tuple(self.clients)

    def start(
        self, account: Account, path: str, query: Query | None = None, must: bool = True, **how: Any
    ) -> Call[Any] | None:
        """Send one GET of this statement; ``how`` and the rest: see Client.get.

        Beyond ``max_requests`` it raises OperationalError, or gives None where it is no ``must``.
        """
        limit = self.settings.max_requests
        if self.requests >= limit:
            if not must:
                return None
            raise OperationalError(
                f"the statement needs more than max_requests = {limit} requests (plan: {self.plan.words}). "
                "Narrow it, by id or created_at, or allow more: connect(max_requests=…), --max-requests"
            )
        self.requests += 1
        call = self.clients[account].get(path, query, self, **how)
        self._calls.add(call)
        JOBS.prepare()  # while the request is on its way
        return call

    def finish(self, account: Account, call: Call[Any] | None) -> Any:
        """What a GET was answered. Raises what Client.get does."""
        assert call is not None
        try:
            return call.wait(self.interrupted)
        except APIError as error:
            if len(self.clients) > 1:
                others = ",".join(other.name for other in self.clients if other is not account)
                error.hint = f"{error.hint.rstrip('.')}. " if error.hint else ""
                error.hint += (
                    f"To leave {account.name} out: WHERE provider <> '{account.name}', or FTSQL_PROVIDERS={others}"
                )
            raise

    def stored(self, account: Account) -> Cache | None:
        """What the store knows of the account's jobs."""
        if self.store is None or account.missing():
            return None
        if account not in self._stored:
            self._stored[account] = Cache(self.store, account, self.settings)
        return self._stored[account]

    def listing(self, account: Account, pairs: Mapping[str, str] | None = None) -> Listing:
        """The account's listing, or that of the jobs whose metadata has ``pairs``; all cursors share it."""
        if not pairs or not account.provider.filters_metadata:
            if account not in self.listings:
                self.listings[account] = Listing(account, self._ask(account), self.stored(account))
            return self.listings[account]
        filter = {f"metadata[{key}]": value for key, value in sorted(pairs.items())}
        name = account, repr(filter)
        if name not in self._filtered:
            self._filtered[name] = Listing(account, self._ask(account), self.stored(account), filter)
        return self._filtered[name]

    def _ask(self, account: Account) -> Ask:
        return Ask(
            lambda query, must: self.start(account, "", query, must),
            partial(self.finish, account),
            partial(self._exists, account),
            self.tell,
        )

    def now(self, row: Cells, columns: int) -> Cells:
        """A job that a scan has ahead, as this statement knows it by now."""
        for account, got in self.got.items():
            stored = got.get(str(row[ID])) if account.name == row[layout(columns).positions[PROVIDER]] else None
            if stored is not None:
                return cells(stored, columns)
        return row

    def tell(self, text: str) -> None:
        """Warn of an odd value, and only once in a statement."""
        if not self._told:
            self._told = True
            warnings.warn(text, Warning, stacklevel=2)

    def close(self) -> None:
        """The statement is over: nobody waits any more for what was asked for ahead, and others want what it read."""
        if self.store is not None:
            self.store.flush()
        for call in self._calls:
            if not call.future.done():
                call.abandoned.set()

    def compare(self, account: Account, rows: Sequence[Row]) -> None:
        """Warn where another provider shows the same id: one may be a gateway in front of the other."""
        for other, listing in self.listings.items():
            if other is not account and any(row.id in listing.by_id for row in rows):
                warnings.warn(
                    f"{other.name} and {account.name} show jobs of the same id: if one stands in front of the other, "
                    "jobs are counted twice; choose with WHERE provider = … or FTSQL_PROVIDERS",
                    Warning,
                    stacklevel=2,
                )

    def get(self, account: Account, id: str) -> Row | None:
        """One job; None where there is no such job.

        From the third unknown id on, a page of the list is read before each get, so that the cost is
        at most twice that of the cheaper way: all by gets, or one listing.
        """
        got = self.got[account]
        if id in got:
            return got[id]
        if not id:
            return None
        stored = self.stored(account)
        row = None if stored is None else stored.row(id)
        if row is not None:
            got[id] = row
            self.count(1)
            return row
        listing = self.listing(account)
        by_get, has_read = self.retrievable(account, id), False
        while id not in listing.by_id and not listing.done:
            if listing.joined:
                return self._retrieve(account, id) if stored is not None and stored.holds_any([id]) else None
            gets = self._gets.get(account, 0)
            if by_get and not listing.wanted and (gets < 2 or listing.pages >= gets or has_read):
                self._gets[account] = gets + 1
                return self._retrieve(account, id)
            listing.read()
            has_read = True
        return listing.row(id)

    def retrieve(self, jobs: Sequence[tuple[Account, str]]) -> None:
        """Ask for the jobs side by side, where that can be done, so that it is known whether they have finished."""
        self.news += 1
        calls = [
            (account, id, self.start(account, f"/{id}", must=False))
            for account, id in jobs
            if self.retrievable(account, id) and id not in self.got[account]
        ]
        for account, id, call in calls:
            if call is not None:
                self._is_there(account, id, call)

    def learn(self, account: Account, row: Row) -> None:
        """Show ``row`` from now on: our own write changed it."""
        self.news += 1
        self.got[account][row.id] = row
        stored = self.stored(account)
        if stored is not None:
            stored.mark_changed(row)

    def retrievable(self, account: Account, id: str) -> bool:
        """Whether the provider can be asked for that job by itself."""
        return account.retrieves and account.accepts_id(id)

    def _retrieve(self, account: Account, id: str) -> Row | None:
        self.news += 1
        try:
            return self.answered(account, id, self.start(account, f"/{id}"))
        except APIError as error:
            if account.retrieves:
                raise
            listing = self.listings[account] = self.whole_list(account, error)
        while id not in listing.by_id and not listing.done:
            listing.read()
        return listing.row(id)

    def whole_list(self, account: Account, error: APIError) -> Listing:
        """A listing from the start, of a server that gives no job by its id, as ``error`` has shown."""
        self.tell(f"{error}. The list of jobs is read instead")
        listing = Listing(account, self._ask(account), self.stored(account))
        listing.notice(listed_only_at=time.time())
        return listing

    def _exists(self, account: Account, id: str) -> bool:
        """Whether the job is still there; True where the provider cannot tell."""
        if not self.retrievable(account, id):
            return True
        self.news += 1
        return self._is_there(account, id, self.start(account, f"/{id}"))

    def _is_there(self, account: Account, id: str, call: Call[Any] | None) -> bool:
        try:
            return self.answered(account, id, call) is not None
        except APIError:
            if account.retrieves:
                raise
            return True

    def answered(self, account: Account, id: str, call: Call[Any] | None) -> Row | None:
        """Wait for what a get of ``id`` is answered, and note it; gives its row."""
        assert call is not None
        body = self.finish(account, call)
        row = None if body is None else JOBS.one(account.name, body, id, self.tell)
        self.got[account][id] = row
        stored = self.stored(account)
        if stored is not None:
            if row is None:
                stored.forget(id)
            else:
                stored.save([row], at=call.began)
        return row
