"""What SQL promises of each row: the transactions of a campaign, as their own model sees them.

Nothing here asks ftsql: what must exist follows from the statements and from whether COMMIT raised.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Rule = Literal["all", "prefix", "ignore"]
Outcome = Literal["open", "committed", "failed", "unknown", "rolled back", "killed"]
Cancel = Literal["", "tried", "done"]
Bad = Literal["", "null", "file"]  # no model, which ftsql refuses; a file that the API does not know


@dataclass(eq=False)
class Row:
    """One row to be inserted. ``cancel``: what became of a cancel of its job, once somebody asked for one."""

    tag: str
    model: str
    file: str
    seed: int | None
    fingerprinted: bool
    bad: Bad = ""
    cancel: Cancel = ""


@dataclass(eq=False)
class Transaction:
    """One transaction. ``kept``: rows in the queue at COMMIT; ``never``: rows that must never be sent.

    ``rule``: what COMMIT does with ``kept``: all or nothing, the rows before a refused one, or all but those.
    """

    shape: str
    rule: Rule = "all"
    kept: list[Row] = field(default_factory=list)
    never: list[Row] = field(default_factory=list)
    outcome: Outcome = "open"
    error: str = ""
    checked: bool = False

    @property
    def rows(self) -> list[Row]:
        return [*self.kept, *self.never]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Transaction:
        rows = {name: [Row(**row) for row in values[name]] for name in ("kept", "never")}
        return cls(**{**values, **rows})

    def describe(self) -> str:
        kept = " ".join(f"{row.tag}{f'({row.bad})' if row.bad else ''}" for row in self.kept)
        never = " ".join(row.tag for row in self.never)
        return f"{self.shape} ({self.rule}), {self.outcome}, rows {kept}; dropped {never or 'none'}; {self.error[:300]}"


class Ledger:
    """All transactions of a campaign, from all threads, until somebody calls ``stop``."""

    def __init__(self, rows: int) -> None:
        self.wanted = rows
        self.began = time.monotonic()
        self.transactions: list[Transaction] = []
        self.rows = 0
        self.surprises: Counter[str] = Counter()
        self.stopped = threading.Event()
        self._lock = threading.Lock()

    def done(self) -> bool:
        return self.stopped.is_set() or self.rows >= self.wanted

    def add(self, transaction: Transaction) -> None:
        with self._lock:
            self.transactions.append(transaction)
            self.rows += len(transaction.rows)

    def cancels(self, row: Row, how: Cancel) -> None:
        """The job of a row that stands is being cancelled, or is."""
        row.cancel = how

    def surprise(self, shape: str, error: BaseException) -> None:
        """Count an error of a kind that no fault explains."""
        with self._lock:
            self.surprises[f"{shape}: {type(error).__name__}: {str(error)[:160]}"] += 1

    def unchecked(self) -> list[Transaction]:
        with self._lock:
            return [transaction for transaction in self.transactions if not transaction.checked]

    def seconds(self) -> float:
        return time.monotonic() - self.began
