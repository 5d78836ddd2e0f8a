"""Reads of all kinds on one connection, each compared with what it must show.

A standing job is shown exactly once and as it is; a job that somebody was promised is shown, and one that was
cancelled is shown so; a row that SQL dropped never is. Each read gives what was wrong, in words.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import ftsql
from tests.campaign.promises import Promises
from tests.campaign.standing import COLUMNS, MODELS, Shown, Standing

JOBS = "fine_tuning_jobs"


class Reads:
    """``age``: how many seconds ago what ``db`` shows may have been so (its max_age)."""

    def __init__(
        self, db: ftsql.Connection, standing: Standing, promises: Promises, rng: random.Random, age: float = 0.0
    ) -> None:
        self.db = db
        self.standing = standing
        self.promises = promises
        self.rng = rng
        self.age = age

    def any(self) -> Callable[[], list[str]]:
        """One of them, by chance."""
        reads = (self.listing, self.groups, self.by_id, self.joined, self.events, self.by_status, self.newest)
        return self.rng.choices(reads, (4, 2, 3, 2, 2, 3, 2))[0]

    def listing(self) -> list[str]:
        """Everything."""
        before = self.promises.before(self.age)
        rows = self._rows(f"SELECT {COLUMNS}, suffix FROM {JOBS}")
        wrong = self._standing(rows, self.standing.rows())
        wrong += self._others(rows)
        shown = {tag: (model, status) for _, _, model, status, _, tag in rows}
        for tag, model in before.made.items():
            if tag not in shown:
                wrong.append(f"{tag} was created before and is not shown")
            elif not shown[tag][0].startswith(model):  # the API names the version
                wrong.append(f"{tag} is shown with the model {shown[tag][0]}, not {model}")
        wrong += [f"{tag} was cancelled before and is {shown[tag][1]}" for tag in before.cancelled & shown.keys()
                  if shown[tag][1] != "cancelled"]  # fmt: skip
        after = self.promises.before()
        wrong += [f"{tag} is cancelled, and nobody asked for it" for tag in before.made.keys() & shown.keys()
                  if shown[tag][1] == "cancelled" and tag not in after.tried]  # fmt: skip
        return wrong + [f"{tag} was dropped by SQL and is shown" for tag in before.never & shown.keys()]

    def groups(self) -> list[str]:
        """Counts."""
        before = self.promises.before(self.age)
        sql = f"SELECT model, status, count(*), count(DISTINCT id) FROM {JOBS} GROUP BY model, status"
        rows = self._rows(sql)
        wrong = [f"{model}, {status}: {count} rows of {ids} jobs" for model, status, count, ids in rows if count != ids]
        groups = {(model, status): count for model, status, count, _ in rows if model in MODELS}
        if groups != self.standing.groups():
            wrong.append(f"counts {groups}, not {self.standing.groups()}")
        others = sum(count for model, _, count, _ in rows if model not in MODELS)
        if others < len(before.made):
            wrong.append(f"counts {others} new jobs of {len(before.made)}")
        return wrong

    def by_id(self) -> list[str]:
        """One job, twice in one statement."""
        wanted = self._some(1)[0]
        rows = self._rows(f"SELECT {COLUMNS} FROM {JOBS} WHERE id = ?1 UNION ALL SELECT ?1, 0, '', '', ''", wanted[0])
        return [] if rows == [wanted, (wanted[0], 0, "", "", "")] else [f"by id: {rows}, not {wanted}"]

    def joined(self) -> list[str]:
        """Jobs that a local table names, with one that does not exist."""
        wanted = self._some(self.rng.choice((2, 5, 60)))
        self.db.execute("CREATE TEMP TABLE IF NOT EXISTS wanted (id); DELETE FROM temp.wanted")
        self.db.executemany("INSERT INTO temp.wanted VALUES (?)", [(id,) for id, *_ in wanted] + [("ftjob-none",)])
        join = self.rng.choice(("JOIN", "LEFT JOIN"))
        names = ", ".join(f"job.{name}" for name in COLUMNS.split(", "))
        rows = self._rows(f"SELECT {names} FROM temp.wanted {join} {JOBS} AS job USING (id)")
        absent: list[Any] = [(None, None, None, None, None)] if join == "LEFT JOIN" else []
        right = Counter(rows) == Counter([*wanted, *absent])
        return [] if right else [f"{join}: {_difference(rows, [*wanted, *absent])}"]

    def events(self) -> list[str]:
        """The events of one job, or of several."""
        ids = self.rng.sample(list(self.standing.events), self.rng.choice((1, 1, 3, len(self.standing.events))))
        marks = ", ".join("?" * len(ids))
        sql = self.rng.choice(
            (
                f"SELECT fine_tuning_job_id, id FROM fine_tuning_job_events WHERE fine_tuning_job_id IN ({marks})",
                f"SELECT job.id, event.id FROM {JOBS} AS job JOIN fine_tuning_job_events AS event "
                f"ON event.fine_tuning_job_id = job.id WHERE job.id IN ({marks})",
            )
        )
        rows = self._rows(sql, *ids)
        wrong = []
        for id in ids:
            found = sorted(event for job, event in rows if job == id)
            if found != self.standing.events[id]:
                wrong.append(f"events of {id}: {len(found)} rows, not {len(self.standing.events[id])}")
        return wrong if {job for job, _ in rows} <= set(ids) else [*wrong, "events of other jobs"]

    def by_status(self) -> list[str]:
        """Those of one status."""
        before = self.promises.before(self.age)
        status = self.rng.choice(("running", "failed", "cancelled", "succeeded"))
        rows = self._rows(f"SELECT {COLUMNS}, suffix FROM {JOBS} WHERE status = ?", status)
        wrong = self._standing(rows, [row for row in self.standing.rows() if row[3] == status])
        wrong += self._others(rows)
        shown = {tag for *_, tag in rows}
        if status == "cancelled":
            wrong += [f"{tag} was cancelled before and is not shown" for tag in before.cancelled - shown]
        return wrong + [f"{tag} was cancelled and is {status}" for tag in before.cancelled & shown
                        if status != "cancelled"]  # fmt: skip

    def newest(self) -> list[str]:
        """The first rows in the list's own order."""
        limit = min(self.rng.choice((3, 30, 150)), self.standing.count)
        rows = self._rows(f"SELECT created_at, id FROM {JOBS} ORDER BY created_at DESC LIMIT {limit}")
        times = [created_at for created_at, _ in rows]
        wrong = [] if times == sorted(times, reverse=True) else ["newest first: out of order"]
        standing = [id for _, id in rows if id.startswith("ftjob-standing")]
        if standing != [id for id, *_ in self.standing.rows()[: len(standing)]]:
            wrong.append("newest first: a standing job is left out")
        if len(rows) != limit or len({id for _, id in rows}) != limit:
            wrong.append(f"newest first: {len(rows)} rows of {limit}")
        return wrong

    def _rows(self, sql: str, *values: object) -> list[Any]:
        return self.db.execute(sql, values).fetchall()

    def _some(self, count: int) -> list[Shown]:
        return [self.standing.row(number) for number in self.rng.sample(range(self.standing.count), count)]

    def _standing(self, rows: Iterable[tuple[Any, ...]], wanted: list[Shown]) -> list[str]:
        found = [row[:5] for row in rows if row[2] in MODELS]
        return [] if Counter(found) == Counter(wanted) else [f"standing jobs: {_difference(found, wanted)}"]

    def _others(self, rows: Iterable[tuple[Any, ...]]) -> list[str]:
        tags = Counter(row[5] for row in rows if row[2] not in MODELS)
        return [f"{tag} is shown {count} times" for tag, count in tags.items() if count > 1 or tag is None]


def _difference(found: list[Any], wanted: list[Any]) -> str:
    more, less = Counter(found) - Counter(wanted), Counter(wanted) - Counter(found)
    return f"{less.total()} rows lack, {more.total()} too many, such as {[*less, *more][:3]}"
