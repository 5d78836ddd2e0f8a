"""A user of a campaign: one connection, rows that are alike but for their tags, statements of several forms.

It changes a transaction's model by SQL's rules and in no other way.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import apsw

import ftsql
from ftsql.errors import APIError, Error, IntegrityError, OutcomeUnknown
from tests.campaign.model import Bad, Ledger, Row, Transaction
from tests.campaign.world import FILES, MODELS, TIMES, Place, connect

SIZES = (1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6, 8, 12, 20)


class Busy(Exception):
    """COMMIT was busy, and the transaction is still open."""


class Writer:
    """One user: a connection with a file of its own, and transactions drawn from ``rng``."""

    def __init__(
        self,
        place: Place,
        name: str,
        rng: random.Random,
        folder: Path,
        store: Path,
        ledger: Ledger,
        settings: Mapping[str, float] = TIMES,
        most: int = 20,
    ) -> None:
        self.place = place
        self.face = place.face
        self.name = name
        self.rng = rng
        self.path = folder / f"{name}.db"
        self.store = store
        self.ledger = ledger
        self.count = 0
        self.most = most
        self.settings = settings
        self.committed: list[tuple[Row, str]] = []
        self.db = self._open()
        self.db.execute("CREATE TABLE IF NOT EXISTS mine (x)")

    def _open(self) -> ftsql.Connection:
        db = connect(self.face.name, self.path, self.store, self.settings)
        db.create_scalar_function("failing", _failing)
        return db

    def reopen(self) -> None:
        """Close the connection and open another."""
        self.db.close()
        self.db = self._open()

    # what shapes are made of

    def row(self, bad: Bad = "") -> Row:
        """A row like all others, but for its tag."""
        self.count += 1
        tag = f"{self.name}-{self.count}"
        own_seed = "seed" in self.face.keeps and self.rng.random() < 0.15
        file = self.rng.choice(FILES)
        if not self.face.suffix:
            file = tag
            if bad != "file":
                self.place.add_file(tag)
        elif bad == "file":
            file = "file-none"
        seed = self.rng.randrange(1, 4) if own_seed else None
        return Row(tag, self.rng.choice(MODELS), file, seed, self.face.fingerprinted(own_seed), bad)

    def rows(self, most: int = 20) -> list[Row]:
        """1 to ``most`` rows, more often few."""
        count = min(most, self.most, self.rng.choice(SIZES))
        return [self.row("file" if self.rng.random() < 0.003 else "") for _ in range(count)]

    def values(self, row: Row) -> tuple[Any, ...]:
        model = None if row.bad == "null" else row.model
        return (model, row.file, row.tag, row.seed) if self.face.suffix else (model, row.file)

    def insert(self, rows: list[Row], *, conflict: str = "", model: str = "column1") -> None:
        """INSERT ``rows`` in one statement, of one of several forms."""
        names = "(model, training_file, suffix, seed)" if self.face.suffix else "(model, training_file)"
        schema = self.rng.choice(("", "", "main.", "live."))  # main's and live's are two tables to SQLite
        head = f"INSERT {conflict} INTO {schema}fine_tuning_jobs {names}"
        literals = [f"({', '.join(_literal(value) for value in self.values(row))})" for row in rows]
        form = self.rng.choice(("values", "bound", "select", "returning"))
        if model != "column1" or form == "select":
            last = len(self.values(rows[0]))
            numbered = [f"{text[:-1]}, {number})" for number, text in enumerate(literals)]
            columns = [model.replace("NUMBER", f"column{last + 1}"), *(f"column{n}" for n in range(2, last + 1))]
            self.db.execute(f"{head} SELECT {', '.join(columns)} FROM (VALUES {', '.join(numbered)})").fetchall()
        elif form == "bound":
            marks = ", ".join(f"({', '.join('?' * len(self.values(row)))})" for row in rows)
            self.db.execute(f"{head} VALUES {marks}", [value for row in rows for value in self.values(row)]).fetchall()
        else:
            returning = " RETURNING model" if form == "returning" and not conflict else ""
            self.db.execute(f"{head} VALUES {', '.join(literals)}{returning}").fetchall()

    def broken(self, transaction: Transaction) -> None:
        """A statement inside BEGIN that fails in the middle; none of its rows may ever be sent."""
        rows = [self.row() for _ in range(self.rng.randint(1, 4))]
        at = self.rng.randrange(len(rows))
        how = self.rng.choice(("NULL", "failing()", "abs(-9223372036854775808)"))
        transaction.never += rows
        try:
            self.insert(rows, model=f"iif(NUMBER = {at}, {how}, column1)")
        except (Error, apsw.Error, ZeroDivisionError):
            return
        raise AssertionError(f"a statement with {how} did not fail")

    def ends(self, transaction: Transaction, end: Callable[[], object]) -> None:
        """Run what ends the transaction, and note how it ended."""
        try:
            end()
        except (Error, apsw.Error) as error:
            unknown = _within(error, OutcomeUnknown)
            transaction.outcome = "failed" if unknown is None else "unknown"
            transaction.error = f"{type(error).__name__}: {unknown or error}"
            expected = isinstance(error, apsw.ConstraintError) and transaction.shape == "commit hook"
            if not (expected or isinstance(error, (APIError, IntegrityError))):
                self.ledger.surprise(transaction.shape, error)
        else:
            transaction.outcome = "committed"

    def commit(self, transaction: Transaction) -> None:
        self.ends(transaction, lambda: self.db.execute("COMMIT"))

    def roll_back(self, transaction: Transaction) -> None:
        self.db.execute("ROLLBACK")
        transaction.never += transaction.kept
        transaction.kept = []
        transaction.outcome = "rolled back"


def _within(error: BaseException | None, kind: type[Exception]) -> BaseException | None:
    """The error of that kind that led to ``error``."""
    while error is not None and not isinstance(error, kind):
        error = error.__context__
    return error


def _failing(*_: object) -> str:
    raise ZeroDivisionError("a function failed")


def _literal(value: Any) -> str:
    return "NULL" if value is None else apsw.format_sql_value(value)
