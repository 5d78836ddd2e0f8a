"""Books against journal against what SQL promised: every way in which a paid write can go wrong, by name.

``final`` checks hold when all is settled; the others hold as soon as a transaction has ended.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import ftsql
from tests.campaign.model import Row, Transaction
from tests.campaign.world import KEY, World

DOUBLE, TWICE, LOST, ALIVE = "double", "sent twice", "lost", "alive though rolled back"
NEVER, UNKNOWN, OPEN, KEPT = "sent though dropped", "unknown left", "left open", "journal keeps what SQL dropped"
SECRET, CRASH = "key in the store", "crash"


@dataclass(frozen=True)
class Violation:
    kind: str
    tag: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.tag}: {self.text}"


@dataclass(frozen=True)
class Line:
    """One create in the journal."""

    state: str
    job_id: str | None
    http_status: int | None
    error: str


@dataclass
class Journal:
    """The creates in a store's journal by tag, and the ids that any entry names."""

    creates: defaultdict[str, list[Line]] = field(default_factory=lambda: defaultdict(list))
    ids: set[str] = field(default_factory=set)
    found_again: int = 0
    undecided: list[Violation] = field(default_factory=list)  # cancels of which nobody says what became of them

    @classmethod
    def read(cls, db: ftsql.Connection, world: World) -> Journal:
        journal = cls()
        sql = "SELECT state, action, job_id, http_status, body, error FROM ftsql_writes"
        for state, action, job_id, http_status, body, error in db.execute(sql).fetchall():
            if job_id is not None:
                journal.ids.add(str(job_id))
            if action == "create":
                tag = world.tag_in(json.loads(str(body))) or "?"
                status = http_status if isinstance(http_status, int) else None
                line = Line(str(state), None if job_id is None else str(job_id), status, str(error or ""))
                journal.creates[tag].append(line)
                journal.found_again += job_id is not None and http_status is None
            elif state in ("queued", "sent", "unknown"):
                journal.undecided.append(Violation(OPEN, str(job_id), f"the journal says of its {action}: {state}"))
        return journal

    def add(self, other: Journal) -> None:
        """Take in what another store's journal says."""
        for tag, lines in other.creates.items():
            self.creates[tag] += lines
        self.ids |= other.ids

    def states(self, tag: str) -> set[str]:
        return {line.state for line in self.creates.get(tag, ())}


class Check:
    """One comparison. ``status``: of every job, where the books were asked; else what cancels were answered."""

    def __init__(
        self, world: World, journal: Journal, *, final: bool = False, status: Mapping[str, str] | None = None
    ) -> None:
        self.world = world
        self.journal = journal
        self.final = final
        self.status = status
        self.found: list[Violation] = []
        world.read()

    def transactions(self, transactions: Iterable[Transaction]) -> list[Violation]:
        """What is wrong with ``transactions``."""
        for transaction in transactions:
            before = len(self.found)
            for row in transaction.rows:
                self._row(row)
            for row in transaction.never:
                if self.world.seen[row.tag].posts:
                    self._say(NEVER, row.tag, "SQL dropped the row before COMMIT, and it was sent")
            self._promise(transaction)
            told = transaction.describe() if len(self.found) > before else ""
            self.found[before:] = [
                Violation(one.kind, one.tag, f"{one.text}. {self._facts(one.tag)}. In: {told}")
                for one in self.found[before:]
            ]
        return self.found

    def _say(self, kind: str, tag: str, text: str) -> None:
        self.found.append(Violation(kind, tag, text))

    def _facts(self, tag: str) -> str:
        seen = self.world.seen[tag]
        posts = [record.status for record in seen.posts]
        return f"books: {seen.jobs}, POSTs answered {posts}, journal: {self.journal.creates.get(tag, [])}"

    def _live(self, tag: str) -> list[str]:
        jobs = self.world.seen[tag].jobs
        if self.status is not None:
            return [id for id in jobs if self.status.get(id, "cancelled") != "cancelled"]
        return [id for id in jobs if id not in self.world.cancelled]

    def _row(self, row: Row) -> None:
        """What holds of every row, whatever became of its transaction."""
        seen = self.world.seen[row.tag]
        states = self.journal.states(row.tag)
        if len(seen.jobs) > 1:
            self._say(DOUBLE, row.tag, f"{len(seen.jobs)} jobs of one row")
        if sum(record.status != 429 for record in seen.posts) > 1:
            self._say(TWICE, row.tag, "a POST that may have been accepted was sent again")
        for id in seen.jobs:
            if id not in self.journal.ids and not states & {"unknown", "sent"}:
                self._say(LOST, row.tag, f"no entry of the journal names {id}")
        if self.final:
            if "unknown" in states and row.fingerprinted:
                self._say(UNKNOWN, row.tag, "nothing settled it")
            if left := states & {"queued", "sent", "created"}:
                self._say(OPEN, row.tag, f"the journal says {', '.join(left)}")

    def _promise(self, transaction: Transaction) -> None:
        """What SQL promised of the transaction's rows."""
        kept = transaction.kept
        sent = [row for row in kept if self.world.seen[row.tag].posts]
        unsure = sent[-1:] if transaction.outcome == "unknown" else []
        if transaction.rule == "prefix" and transaction.outcome != "rolled back":
            standing = 0
            while standing < len(kept) and self._stands(kept[standing]):
                standing += 1
            if transaction.outcome == "committed":
                standing = len(kept)
            for row in kept[:standing]:
                self._must_exist(row)
            for row in kept[standing : standing + 1]:
                self._must_not(row, unsure)
                if not self.world.seen[row.tag].posts and "unknown" not in self.journal.states(row.tag):
                    self._refused_connection(row)
            for row in kept[standing + 1 :]:
                if self.world.seen[row.tag].posts:
                    self._say(NEVER, row.tag, "sent after the row that was refused")
        elif transaction.outcome == "committed":
            for row in kept:
                refused = "refused" in self.journal.states(row.tag) and not self.world.seen[row.tag].jobs
                if transaction.rule != "ignore" or not refused:
                    self._must_exist(row)
        else:
            for row in kept:
                self._must_not(row, unsure)

    def _stands(self, row: Row) -> bool:
        return len(self._live(row.tag)) == 1 and "committed" in self.journal.states(row.tag)

    def _refused_connection(self, row: Row) -> None:
        if "refused" not in self.journal.states(row.tag):
            self._say(LOST, row.tag, "OR FAIL stopped before a row that was never tried")

    def _must_exist(self, row: Row) -> None:
        jobs, live = self.world.seen[row.tag].jobs, self._live(row.tag)
        if not jobs:
            self._say(LOST, row.tag, "COMMIT succeeded and there is no job")
        elif row.cancel == "done" and live:
            self._say(ALIVE, row.tag, "cancelling it succeeded, and it lives")
        elif not row.cancel and not live:
            self._say(LOST, row.tag, "COMMIT succeeded and the job is cancelled")
        elif ("committed", jobs[0]) not in {(line.state, line.job_id) for line in self.journal.creates[row.tag]}:
            self._say(LOST, row.tag, f"COMMIT succeeded and the journal does not say that {jobs[0]} is committed")

    def _must_not(self, row: Row, unsure: list[Row]) -> None:
        states = self.journal.states(row.tag)
        if "committed" in states:
            self._say(KEPT, row.tag, "the journal says committed")
        for id in self._live(row.tag):
            if "unknown" in states:
                continue
            if not self.final and (row in unsure or self.world.cancels.get(id)):
                continue  # reported; the end shows whether it could be settled
            asked = "" if self.world.cancels.get(id) else ", and nobody asked to cancel it"
            self._say(ALIVE, row.tag, f"{id} is alive{asked}")


def secrets(store: Path) -> list[Violation]:
    """The key, where the store or a file beside it has it."""
    files = store.parent.glob(store.name + "*")
    return [
        Violation(SECRET, path.name, "the key is in the file") for path in files if KEY.encode() in path.read_bytes()
    ]
