"""What one statement has seen of the APIs (its look), and the rows that a plan takes from it.

Within a look each object is asked for at most once; a scan may yield more than the statement wants
and never misses a row that it does.
"""

from __future__ import annotations

import heapq
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from ftsql.client import Client
from ftsql.errors import APIError, ConfigError, OperationalError, Warning
from ftsql.listing import Listing
from ftsql.plan import Plan
from ftsql.providers import Account
from ftsql.resources import JOBS, Row, SQLiteValue
from ftsql.settings import Settings

# Ids that can stand in a URL as one segment and nothing else; any other is looked for in the list.
RETRIEVABLE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._~:@-]{0,511}")
NUMERIC = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
ENCODED = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9._~:@-]|%[0-9A-Fa-f]{2}){0,511}")


class Look:
    """One statement's view of every account: its listing, the jobs got one by one, our own writes."""

    def __init__(self, clients: Mapping[Account, Client], settings: Settings, interrupted: Callable[[], bool]) -> None:
        self.clients = clients
        self.settings = settings
        self.interrupted = interrupted
        self.requests = 0
        self.statement = ""  # the SQL text, for the log of requests
        self.plan = Plan("list")
        self._listings: dict[Account, Listing] = {}
        self._got: dict[tuple[Account, str], Row | None] = {}
        self._gets: dict[Account, int] = {}

    @property
    def accounts(self) -> tuple[Account, ...]:
        return tuple(self.clients)

    def ask(self, account: Account, path: str = "", query: Mapping[str, str] | None = None) -> Any:
        """One GET of this statement; see Client.get. Raises OperationalError beyond ``max_requests``."""
        limit = self.settings.max_requests
        if self.requests >= limit:
            raise OperationalError(
                f"the statement needs more than max_requests = {limit} requests (plan: {self.plan.words}). "
                "Narrow it, by id or created_at, or allow more: connect(max_requests=…), --max-requests"
            )
        self.requests += 1
        try:
            return self.clients[account].get(path, query, self).wait(self.interrupted)
        except APIError as error:
            if len(self.clients) > 1:
                others = ",".join(other.name for other in self.clients if other is not account)
                error.hint = f"{error.hint.rstrip('.')}. " if error.hint else ""
                error.hint += (
                    f"To leave {account.name} out: WHERE provider <> '{account.name}', or FTSQL_PROVIDERS={others}"
                )
            raise

    def listing(self, account: Account) -> Listing:
        """The account's listing, which all cursors of the statement share."""
        if account not in self._listings:
            self._listings[account] = Listing(
                account,
                lambda query: self.ask(account, "", query),
                lambda id: not self._retrievable(account, id) or self._retrieve(account, id) is not None,
            )
        return self._listings[account]

    def compare(self, account: Account, rows: Sequence[Row]) -> None:
        """Warn where another provider shows the same id: one may be a gateway in front of the other."""
        for other, listing in self._listings.items():
            if other is not account and any(row.id in listing.by_id for row in rows):
                warnings.warn(
                    f"{other.name} and {account.name} show jobs of the same id: if one stands in front of the other, "
                    "jobs are counted twice; choose with WHERE provider = … or FTSQL_PROVIDERS",
                    Warning,
                    stacklevel=2,
                )

    def seen(self, row: Row, account: Account) -> Row:
        """``row`` of a listing, or the same job as this statement got it before."""
        return self._got.get((account, row.id)) or row

    def get(self, account: Account, id: str) -> Row | None:
        """One job; None where there is no such job.

        From the third unknown id on, a page of the list is read before each get, so that the cost is
        at most twice that of the cheaper way: all by gets, or one listing.
        """
        if (account, id) in self._got:
            return self._got[account, id]
        if not id:
            return None
        listing = self.listing(account)
        if not self._retrievable(account, id):
            while not listing.done and id not in listing.by_id:
                listing.read()
        elif id not in listing.by_id and not listing.done:
            gets = self._gets.get(account, 0)
            if gets >= 2 and listing.pages < gets:
                listing.read()
            if id not in listing.by_id and not listing.done:
                self._gets[account] = gets + 1
                return self._retrieve(account, id)
        return listing.row(id)

    def learn(self, account: Account, row: Row) -> None:
        """Show ``row`` from now on: our own write changed it."""
        self._got[account, row.id] = row
        if account in self._listings:
            self._listings[account].replace(row)

    def _retrievable(self, account: Account, id: str) -> bool:
        return "retrieve" not in account.provider.without and in_url(account, id)

    def _retrieve(self, account: Account, id: str) -> Row | None:
        body = self.ask(account, f"/{id}")
        row = None if body is None else JOBS.rows(account.name, [body])[0]
        self._got[account, id] = row
        return row


def in_url(account: Account, id: str) -> bool:
    """Whether ``id`` can stand in a URL of this account as it is."""
    if account.provider.encoded_ids and ENCODED.fullmatch(id):
        return ".." not in unquote(id)
    return RETRIEVABLE.fullmatch(id) is not None


def scan(look: Look, plan: Plan, arguments: Sequence[Any]) -> Iterator[Row]:
    """The rows that ``plan`` takes from ``look``; ``arguments`` are Filter's, in the plan's order.

    Raises ConfigError when no provider is active, and what a listing or a get raises.
    """
    look.plan = plan
    values = dict(zip(plan.arguments, arguments, strict=True))
    if plan.access == "nothing" or any(value is None for value in values.values()):
        return iter(())
    if not look.clients:
        raise ConfigError(
            "no provider is active: set OPENAI_API_KEY, or any server's key and OPENAI_BASE_URL, or try "
            "ftsql without a key: ftsql --sandbox, in Python connect(sandbox=True). "
            "SELECT * FROM ftsql_providers shows what each provider waits for"
        )
    accounts = _accounts(look.accounts, values)
    if plan.access == "get":
        provider, id = _wanted(values)
        if id is not None:
            return _got(look, accounts, provider, id)
    since, inclusive = _since(values)
    size = _size(values)
    streams = [_listed(look, account, since, inclusive, size, plan.newest_first) for account in accounts]
    if plan.newest_first:
        return heapq.merge(*streams, key=_newest_first) if len(streams) > 1 else (streams or [iter(())])[0]
    return (row for stream in streams for row in stream)


def _accounts(accounts: Sequence[Account], values: Mapping[str, Any]) -> list[Account]:
    chosen = list(accounts)
    if "provider" in values:
        chosen = [account for account in chosen if account.name == str(values["provider"])]
    if "not-provider" in values:
        chosen = [account for account in chosen if account.name != str(values["not-provider"])]
    return chosen


def _wanted(values: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The provider and the id asked for; no id when only a listing can answer."""
    if "key" in values:
        provider, _, id = str(values["key"]).partition("/")
        return provider, id
    value = values["id"]
    # SQLite compares an integer with a text column as text, and so does every other number in its way.
    return None, str(value) if isinstance(value, (str, int)) else None


def _since(values: Mapping[str, Any]) -> tuple[float | None, bool]:
    """The oldest created_at of interest, and whether that very second is of no interest."""
    for word in ("at", "since", "newer"):
        value = values.get(word)
        if isinstance(value, str) and NUMERIC.fullmatch(value):
            value = float(value)  # as SQLite compares such a text with an integer column
        if isinstance(value, (int, float)):
            return value, word == "newer"
    return None, False


def _size(values: Mapping[str, SQLiteValue]) -> int | None:
    """The first page's size by LIMIT and OFFSET: a hint, never a cut."""
    limit, offset = values.get("limit"), values.get("offset", 0)
    if not isinstance(limit, int) or not isinstance(offset, int) or limit < 0:
        return None
    return max(limit + max(offset, 0), 1)


def _got(look: Look, accounts: Sequence[Account], provider: str | None, id: str) -> Iterator[Row]:
    for account in accounts:
        row = look.get(account, id) if provider in (None, account.name) else None
        if row is not None:
            yield row


def _listed(
    look: Look, account: Account, since: float | None, inclusive: bool, size: int | None, in_order: bool
) -> Iterator[Row]:
    listing = look.listing(account)
    index = 0
    while True:
        if in_order and not listing.ordered:
            if index:
                raise OperationalError(
                    f"{account.name}: its list is not newest-first as it was so far, and rows were already "
                    "given in that order. Run the statement again: from now on the whole list is sorted"
                )
            while not listing.done:
                listing.read()
            yield from sorted((look.seen(row, account) for row in listing.rows), key=_newest_first)
            return
        while index < len(listing.rows):
            index += 1
            yield look.seen(listing.rows[index - 1], account)
        if listing.done or (since is not None and listing.older_than(since, inclusive=inclusive)):
            return
        read = len(listing.rows)
        listing.read(size if not listing.pages else None)
        look.compare(account, listing.rows[read:])


def _newest_first(row: Row) -> tuple[bool, int]:
    created_at = row.created_at
    return created_at is None, -(created_at or 0)
