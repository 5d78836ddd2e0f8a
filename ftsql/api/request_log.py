"""The HTTP requests of one connection: a record of each, the last ones kept, and counts.

A record is in the log from the moment its request leaves; what only the answer tells is None until then.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Protocol

from ftsql.errors import redacted

KEPT = 10_000
MAX_STATEMENT = 2_000  # characters of a statement's text that are kept with each of its requests
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
    """What a request is sent for. An object, so that no frame of a traceback holds the SQL text itself."""

    @property
    def statement(self) -> str:
        """The SQL text."""


@dataclass(slots=True)
class Request:
    """One request as it was sent, and what came of it. A retry is a request of its own.

    ``path`` is below the base URL and lacks the query that goes with all of a provider's requests.
    ``waited``: milliseconds that a rate limit or a retry's pause held it back.
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
    """What was asked since the counting began. ``held``: by provider, the monotonic time that a limit ends."""

    kinds: Counter[str] = field(default_factory=Counter)  # list, get, create, cancel, …
    providers: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    from_store: int = 0
    waited: float = 0.0  # seconds
    held: dict[str, float] = field(default_factory=dict)
    uploaded: int = 0  # bytes of files, of ``to_upload``
    to_upload: int = 0
    downloaded: int = 0  # bytes of files that are kept on the disk

    def __str__(self) -> str:
        total = self.kinds.total()
        which = f" ({_listed(self.kinds, '{1} {0}')}; {_listed(self.providers, '{0} {1}')})" if total else ""
        return (
            f"{total} {'request' if total == 1 else 'requests'}{which}, "
            f"{self.rows} {'row' if self.rows == 1 else 'rows'} from the API, {self.from_store} from the store, "
            f"waited {self.waited:.1f} s"
        )


class RequestLog:
    """The log of a connection. Safe to use from several threads."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._lock = threading.Lock()
        self._records: deque[Request] = deque(maxlen=KEPT)

    def records(self) -> list[Request]:
        """The last requests, oldest first."""
        with self._lock:
            return list(self._records)

    def add(self, record: Request, kind: str, asker: Asker | None, counts: Counts) -> None:
        """Keep the record of a request that leaves now, and count it in ``counts``."""
        record.path = redacted(record.path)
        record.statement = redacted(asker.statement)[:MAX_STATEMENT] if asker is not None else ""
        with self._lock:
            self._records.append(record)
            counts.kinds[kind] += 1
            counts.providers[record.provider] += 1
            counts.waited += record.waited / 1000

    def received(self, record: Request, value: Any, counts: Counts) -> None:
        """Note what an answer's decoded body holds: rows are counted where they were asked for."""
        if isinstance(value, dict):
            data = value.get("data")
            record.rows = len(data) if isinstance(data, list) else 1
            if record.method == "GET":
                with self._lock:
                    counts.rows += record.rows

    def take_counts(self) -> Counts:
        """What was counted since the last call. A request under way goes on counting for what it was sent for."""
        taken, self.counts = self.counts, Counts()
        return taken


def _listed(counted: Counter[str], form: str) -> str:
    return ", ".join(form.format(*pair) for pair in counted.most_common())
