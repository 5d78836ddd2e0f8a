"""The log of one connection's HTTP requests: a record of each recent request, and counts.

A record is in the log as soon as its request is sent. Its fields that come from the response are None until the
response arrives.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Protocol

from ftsql.errors import redacted
from ftsql.resources.resource import Row

KEPT = 10_000  # the maximum number of records
MAX_STATEMENT = 2_000  # how many characters of a statement are kept with each of its requests
COLUMNS = (
    "at REAL",
    "provider TEXT",
    "method TEXT",
    "path TEXT",
    "status INTEGER",
    "milliseconds REAL",
    "attempt INTEGER",
    "waited REAL",
    "bytes INTEGER",
    "rows INTEGER",
    "error TEXT",
    "statement TEXT",
)
NAMES = tuple(column.split()[0] for column in COLUMNS)


class Asker(Protocol):
    """The statement that a request is sent for. An object is passed so that no traceback's frame holds the SQL text."""

    @property
    def statement(self) -> str:
        """The SQL text."""


@dataclass(slots=True)
class RequestRecord:
    """One request as it was sent, and its outcome. A retry has a record of its own.

    at: When it was sent, in Unix seconds.
    path: The path below the base URL, without the query parameters that every request to the provider has.
    attempt: The number of the attempt, from 1.
    waited: Milliseconds that a rate limit or the pause before a retry held the request back.
    milliseconds: How long the exchange took.
    bytes: The size of the response's body.
    rows: The number of objects in the response.
    """

    at: float
    provider: str
    method: str
    path: str
    attempt: int
    waited: float
    status: int | None = None
    milliseconds: float | None = None
    bytes: int | None = None
    rows: int | None = None
    error: str | None = None
    statement: str = field(default="", repr=False)


@dataclass
class Counts:
    """Counts of requests, rows and bytes since the counting began.

    kinds: The number of requests by kind: list, get, create, cancel, …
    providers: The number of requests by provider.
    rows: How many rows the API returned.
    from_store: How many rows the store returned.
    waited: How many seconds rate limits and pauses before retries took.
    held: By provider, the monotonic time at which the provider's rate limit ends.
    uploaded, to_upload: How many bytes of the current upload have been sent, and the size of its file.
    downloaded: How many bytes of file contents were saved to disk.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    providers: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    from_store: int = 0
    waited: float = 0.0
    held: dict[str, float] = field(default_factory=dict)
    uploaded: int = 0
    to_upload: int = 0
    downloaded: int = 0

    def __str__(self) -> str:
        total = self.kinds.total()
        details = f" ({_listed(self.kinds, '{1} {0}')}; {_listed(self.providers, '{0} {1}')})" if total else ""
        return (
            f"{total} {'request' if total == 1 else 'requests'}{details}, "
            f"{self.rows} {'row' if self.rows == 1 else 'rows'} from the API, {self.from_store} from the store, "
            f"waited {self.waited:.1f} s"
        )


class RequestLog:
    """The log of a connection. Safe to use from several threads."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._lock = threading.Lock()
        self._records: deque[RequestRecord] = deque(maxlen=KEPT)

    def records(self) -> list[RequestRecord]:
        """Return the records of the last requests, oldest first."""
        with self._lock:
            return list(self._records)

    def add(self, record: RequestRecord, kind: str, asker: Asker | None, counts: Counts) -> None:
        """Add the record of a request that is sent now, and count it in ``counts``."""
        record.path = redacted(record.path)
        record.statement = redacted(asker.statement)[:MAX_STATEMENT] if asker is not None else ""
        with self._lock:
            self._records.append(record)
            counts.kinds[kind] += 1
            counts.providers[record.provider] += 1
            counts.waited += record.waited / 1000

    def count_rows(self, record: RequestRecord, body: Any, counts: Counts) -> None:
        """Set in ``record`` how many objects a decoded body holds. If the request is a GET, add them to ``counts``."""
        if isinstance(body, (dict, Row)):
            data = body.get("data") if isinstance(body, dict) else None
            record.rows = len(data) if isinstance(data, list) else 1
            if record.method == "GET":
                with self._lock:
                    counts.rows += record.rows

    def take_counts(self) -> Counts:
        """Return the counts since the last call and start new ones.

        A request under way is still counted in the counts that were current when it started.
        """
        taken, self.counts = self.counts, Counts()
        return taken


def _listed(counted: Counter[str], form: str) -> str:
    return ", ".join(form.format(*pair) for pair in counted.most_common())
