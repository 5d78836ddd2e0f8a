"""The statement cache: everything that one statement has read from the APIs and the store.

A statement requests each object at most once, and never requests a job that is finished according to the store.
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
from ftsql.read.gets import Gets
from ftsql.read.listing import Listing, ListingRequests, Query
from ftsql.read.plan import Plan
from ftsql.read.prefetch import Feeds
from ftsql.resources.cells import ID, PROVIDER, Cells, cells, layout
from ftsql.resources.definitions import JOBS
from ftsql.resources.resource import Row
from ftsql.settings import Settings
from ftsql.store.cache import Cache
from ftsql.store.database import Store


def no_content(provider: str, id: str) -> None:
    """Return None. This is the default of ``StatementCache.kept_content``, and means that no file contents are kept."""


class StatementCache:
    """One statement's view of every account: the list of jobs, jobs fetched by id, and ftsql's own writes.

    All of SQLite's cursors in the statement share the cache. If there is no ``store``, every job is requested.
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
        self.plan = Plan("", "list")
        self.may_stop = False  # the statement may end before it has read all rows of its tables
        self.store = store
        self.count = count  # called with the number of rows that came from the store
        # Incremented when a job's state arrives outside a scan, so that scans know that buffered rows may be stale.
        self.version = 0
        self._stored: dict[Account, Cache] = {}
        self.listings: dict[Account, Listing] = {}
        self._filtered: dict[tuple[Account, str], Listing] = {}
        # The jobs whose state the statement knows, but not from a page. None means that the job does not exist.
        self.fetched: dict[Account, dict[str, Row | None]] = {account: {} for account in clients}
        self._gets = Gets(self)
        self.nested: dict[str, Any] = {}  # the statement's OtherResources and Contents, by name
        self.kept_content: Callable[[str, str], bytes | None] = no_content  # a file's content, by provider and id
        # Returns what is known of the objects that the statement will ask for: a table, a provider (None means any) and
        # an id for each.
        self.foresee: Callable[[StatementCache], Sequence[tuple[str, str | None, str]]] = lambda _: ()
        self._foreseen: dict[str, list[tuple[str | None, str]]] | None = None
        self.feeds = Feeds()
        self._told = False  # whether tell() has warned
        self._calls: weakref.WeakSet[Call[Any]] = weakref.WeakSet()

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The active accounts. Raises ConfigError if no account is active."""
        if not self.clients:
            raise ConfigError(
                "no provider is active: set OPENAI_API_KEY, or any server's key and OPENAI_BASE_URL, or try "
                "ftsql without a key: ftsql --sandbox, in Python connect(sandbox=True). "
                "SELECT * FROM ftsql_providers shows what each provider waits for"
            )
        return tuple(self.clients)

    def start(
        self, account: Account, path: str, query: Query | None = None, required: bool = True, **how: Any
    ) -> Call[Any] | None:
        """Send a GET for this statement. ``how`` is passed to Client.get.

        If ``max_requests`` is used up, raise OperationalError, or return None if the request is not ``required``.
        """
        limit = self.settings.max_requests
        if self.requests >= limit:
            if not required:
                return None
            raise OperationalError(
                f"the statement needs more than max_requests = {limit} requests (plan: {self.plan.words}). "
                "Narrow it, by id or created_at, or allow more: connect(max_requests=…), --max-requests"
            )
        self.requests += 1
        call = self.clients[account].get(path, query, self, **how)
        self._calls.add(call)
        _prepare()
        return call

    def finish(self, account: Account, call: Call[Any] | None) -> Any:
        """Wait for a GET and return its decoded body. Raises the same errors as ``Client.get``."""
        assert call is not None
        if self.store is not None and not call.future.done():
            self.store.use_idle_time()
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
        """Return the stored jobs of an account, or None if there is no store or the account has no key."""
        if self.store is None or account.missing():
            return None
        if account not in self._stored:
            self.store.wait_for_others()
            self._stored[account] = Cache(self.store, account, self.settings)
        return self._stored[account]

    def listing(self, account: Account, pairs: Mapping[str, str] | None = None) -> Listing:
        """Return the account's listing.

        If ``pairs`` are given and the API can filter by metadata, the listing has only the jobs with these metadata.
        """
        if not pairs or not account.provider.filters_metadata:
            if account not in self.listings:
                self.listings[account] = Listing(account, self._listing_requests(account), self.stored(account))
            return self.listings[account]
        filter = {f"metadata[{key}]": value for key, value in sorted(pairs.items())}
        name = account, repr(filter)
        if name not in self._filtered:
            self._filtered[name] = Listing(account, self._listing_requests(account), self.stored(account), filter)
        return self._filtered[name]

    def _listing_requests(self, account: Account) -> ListingRequests:
        return ListingRequests(
            lambda query, required: self.start(account, "", query, required),
            partial(self.finish, account),
            partial(self._exists, account),
            self.tell,
        )

    def current(self, row: Cells, columns: int) -> Cells:
        """Return the newer state of a job if the statement knows one, otherwise ``row``, which a scan has buffered."""
        for account, fetched in self.fetched.items():
            job = fetched.get(str(row[ID])) if account.name == row[layout(columns).positions[PROVIDER]] else None
            if job is not None:
                return cells(job, columns)
        return row

    def tell(self, text: str) -> None:
        """Warn about an unexpected value, at most once in a statement."""
        if not self._told:
            self._told = True
            warnings.warn(text, Warning, stacklevel=2)

    def close(self) -> None:
        """End the statement. Have the store save the statement's rows, and abandon the requests that are under way."""
        if self.store is not None:
            self.store.keep()
        for call in self._calls:
            if not call.future.done():
                call.abandoned.set()

    def warn_of_shared_ids(self, account: Account, rows: Sequence[Row]) -> None:
        """Warn if another provider has a job with the same id, because one may be a gateway in front of the other."""
        for other, listing in self.listings.items():
            if other is not account and any(row.id in listing.by_id for row in rows):
                warnings.warn(
                    f"{other.name} and {account.name} show jobs of the same id: if one is a gateway to the other, "
                    "jobs are counted twice; choose with WHERE provider = … or FTSQL_PROVIDERS",
                    Warning,
                    stacklevel=2,
                )

    def foreseen(self, table: str) -> list[tuple[str | None, str]]:
        """Return what is known of the rows of ``table`` that the statement will ask for.

        Each is a pair of a provider and an id. The provider is None if it may be any.
        """
        if self._foreseen is None:
            self._foreseen = {}
            for name, provider, id in self.foresee(self):
                self._foreseen.setdefault(name, []).append((provider, id))
        return self._foreseen.get(table, [])

    def get(self, account: Account, id: str) -> Row | None:
        """Return a job, or None if the job does not exist. ``gets.py`` says which requests are sent."""
        fetched = self.fetched[account]
        if id in fetched:
            return fetched[id]
        if not id:
            return None
        stored = self.stored(account)
        row = None if stored is None else stored.row(id)
        if row is not None:
            fetched[id] = row
            self.count(1)
            return row
        return self._gets.row(account, id)

    def get_many(self, jobs: Sequence[tuple[Account, str]]) -> None:
        """Request jobs in parallel, to know whether they have finished. Jobs that cannot be read by id are left out."""
        self.version += 1
        calls = [
            (account, id, self.start(account, f"/{id}", required=False))
            for account, id in jobs
            if self.can_get(account, id) and id not in self.fetched[account]
        ]
        for account, id, call in calls:
            if call is not None:
                self._is_there(account, id, call)

    def update(self, account: Account, row: Row) -> None:
        """Replace a job with ``row``, because a write of ftsql changed the job."""
        self.version += 1
        self.fetched[account][row.id] = row
        stored = self.stored(account)
        if stored is not None:
            stored.mark_changed(row)

    def can_get(self, account: Account, id: str) -> bool:
        """Whether the provider serves jobs by id, and ``id`` can be part of a URL."""
        return account.retrieves and account.accepts_id(id)

    def whole_list(self, account: Account, error: APIError) -> Listing:
        """Return a new listing, because ``error`` has shown that the server serves no job by its id."""
        self.tell(f"{error}. The list of jobs is read instead")
        listing = Listing(account, self._listing_requests(account), self.stored(account))
        listing.remember(listed_only_at=time.time())
        return listing

    def _exists(self, account: Account, id: str) -> bool:
        """Whether the job still exists. Return True if the provider cannot tell."""
        if not self.can_get(account, id):
            return True
        self.version += 1
        return self._is_there(account, id, self.start(account, f"/{id}"))

    def _is_there(self, account: Account, id: str, call: Call[Any] | None) -> bool:
        try:
            return self.finish_get(account, id, call) is not None
        except APIError:
            if account.retrieves:
                raise
            return True

    def finish_get(self, account: Account, id: str, call: Call[Any] | None) -> Row | None:
        """Wait for a job's get and keep the result. Return the job's row, or None if the job does not exist."""
        assert call is not None
        body = self.finish(account, call)
        row = None if body is None else JOBS.one(account.name, body, id, self.tell)
        self.fetched[account][id] = row
        stored = self.stored(account)
        if stored is not None:
            if row is None:
                stored.forget(id)
            else:
                stored.save([row], at=call.began)
        return row


def _prepare() -> None:
    """Import the reader of jobs while a request is on its way, because the first import is slow."""
    from ftsql.resources import quick_reader  # noqa: F401
