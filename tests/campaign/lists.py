"""The campaign of servers: whatever habits a server has, a statement gives all of its rows, or an error.

An error is right only if nothing on the wire tells a whole list from a cut one. It names FTSQL_PAGING then, which
gives the rows.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ftsql
from ftsql.api import retry as attempts
from ftsql.api.account import PLAIN_ID
from ftsql.api.habits import may_be_cut
from tests.answering import Asked, Server
from tests.campaign.manners import NEWEST, REGION, SENTENCE, Answers, Manner, at_random
from tests.conftest import CANARY

BATCH = 500
SETTING = "FTSQL_PAGING"
RowSpool = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Case:
    """A statement, and the rows that are right."""

    sql: str
    right: Callable[[Manner], RowSpool]
    of_events: str = ""  # the job whose events it reads
    parameters: tuple[Any, ...] = ()


@dataclass
class Result:
    servers: int = 0
    statements: int = 0
    requests: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    caught: int = 0  # the number of the server that first gave a wrong row
    seconds: float = 0.0

    def add(self, other: Result) -> None:
        if not self.caught and other.caught:
            self.caught = self.servers + other.caught
        self.servers += other.servers
        self.statements += other.statements
        self.requests += other.requests
        self.outcomes += other.outcomes
        self.wrong += other.wrong

    def __str__(self) -> str:
        told = [f"{self.servers} servers, {self.statements} statements, {self.requests} requests, {self.seconds:.0f} s"]
        for name, count in self.outcomes.most_common():
            told.append(f"{count:>8} {100 * count / max(self.statements, 1):6.2f} %  {name}")
        return "\n".join([*told, f"{len(self.wrong)} wrong"])


def campaign(count: int, seed: int, workers: int) -> Iterator[Result]:
    """``count`` servers by so many processes; what each batch saw, as it comes."""
    sizes = [BATCH] * (count // BATCH) + [count % BATCH] * (count % BATCH > 0)
    with ProcessPoolExecutor(min(workers, len(sizes)), get_context("spawn"), max_tasks_per_child=1) as pool:
        running = [pool.submit(batch, size, seed * 1000 + number) for number, size in enumerate(sizes)]
        for one in as_completed(running):
            yield one.result()


def batch(count: int, seed: int, *, stop: bool = False) -> Result:
    """``count`` servers in this process, one after the other; with ``stop``, until one gave a wrong row."""
    result, began = Result(), time.monotonic()
    answering: list[Answers] = []
    patience, attempts.RETRY_SECONDS = attempts.RETRY_SECONDS, 0.0  # what is refused is not asked again
    before = dict(os.environ)

    def answer(asked: Asked) -> Any:
        return answering[-1](asked)

    try:
        with Server(answer) as server, TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = Path(folder, "providers.toml")
            config.write_text(
                f'[mine]\nextends = "openai"\nbase_url = "{server.base_url}"\n'
                f'headers = {{ x-portkey-aws-region = "{REGION}" }}\n'
            )
            os.environ.update(OPENAI_BASE_URL=server.base_url, OPENAI_API_KEY=CANARY, FTSQL_CONFIG=os.devnull)
            for number in range(count):
                rng = random.Random(f"{seed} {number}")
                answering.append(Answers(at_random(rng)))
                asked = len(server.asked)
                _Reading(answering[-1], rng, config, f"{seed} {number}", result).run()
                result.servers += 1
                result.requests += len(server.asked) - asked
                server.asked.clear()
                if result.wrong and not result.caught:
                    result.caught = result.servers
                if result.wrong and stop:
                    break
    finally:
        attempts.RETRY_SECONDS = patience
        os.environ.clear()
        os.environ.update(before)
    result.seconds = time.monotonic() - began
    return result


class _Reading:
    """Statements at random against one server."""

    def __init__(self, answers: Answers, rng: random.Random, config: Path, name: str, result: Result) -> None:
        self.answers, self.rng, self.name, self.result = answers, rng, name, result
        self.manner = answers.manner
        self.options: dict[str, Any] = {"config": config, "providers": "mine"} if self.manner.by_entry else {}

    def run(self) -> None:
        cases = self.rng.sample(_cases(self.manner, self.rng), 4)
        if self.rng.random() < 0.3:
            with contextlib.closing(ftsql.connect(**self.options)) as db:
                self._cancel(db)
        with contextlib.closing(ftsql.connect(max_age=self.rng.choice([0, 0, 60]), **self.options)) as db:
            for case in cases:
                self._check(db, case)

    def _check(self, db: ftsql.Connection, case: Case) -> None:
        self.result.statements += 1
        right = case.right(self.manner)
        self.answers.failed = False
        try:
            rows = db.execute(case.sql, case.parameters).fetchall()
        except ftsql.Error as error:
            self._judge(case, str(error), right)
            return
        if self._are_right(case, rows, right):
            self.result.outcomes["all rows"] += 1

    def _are_right(self, case: Case, rows: RowSpool, right: RowSpool, how: str = "") -> bool:
        if CANARY in repr(rows):
            return self._wrong(case, f"{how}the key is in the rows")
        if sorted(map(repr, rows)) != sorted(map(repr, right)):
            return self._wrong(case, f"{how}{str(rows)[:200]} where {str(right)[:200]} is right")
        return True

    def _judge(self, case: Case, message: str, right: RowSpool) -> None:
        """Whether an error is right."""
        manner, count = self.manner, len(self._list(case))
        first = manner.first if not case.of_events else self._first(count)
        whole, goes_on = first >= count, _goes_on(manner, self._list(case))
        if CANARY in message:
            self._wrong(case, "the key is in the message")
        elif SENTENCE in message:
            self.result.outcomes["error: the server's own"] += 1
        elif self.answers.failed:
            self._wrong(case, f"the server's words are lost: {message}")
        elif manner.has_more == "always" and manner.envelope != "array":
            self.result.outcomes["error: has_more is always true"] += 1
        elif not whole and not goes_on:
            self.result.outcomes["error: no way to the next page"] += 1
        elif not whole or goes_on or manner.tells or not self._may_be_cut(count):
            self._wrong(case, f"no error is right: {message}")
        elif SETTING not in message:
            self._wrong(case, f"the setting is not named: {message}")
        else:
            self.result.outcomes["error: nothing tells a whole list from a cut one"] += 1
            self._mend(case, right)

    def _may_be_cut(self, count: int) -> bool:
        limit = self.manner.asked_for
        honours = self.manner.limit != "ignored" and count > limit // 2
        return may_be_cut(count, limit) or honours

    def _mend(self, case: Case, right: RowSpool) -> None:
        """The setting that the error names gives the rows."""
        os.environ[SETTING] = "none"
        try:
            with contextlib.closing(ftsql.connect(**self.options)) as db:
                self._are_right(case, db.execute(case.sql, case.parameters).fetchall(), right, "with the setting: ")
        except ftsql.Error as error:
            if not (self.manner.limit.startswith("refused") and len(self._list(case)) == self.manner.asked_for):
                self._wrong(case, f"the setting does not mend it: {error}")
        finally:
            del os.environ[SETTING]

    def _cancel(self, db: ftsql.Connection) -> None:
        """Whatever is answered: no job but one of the newest is asked to be cancelled."""
        case = Case(
            "SELECT cancel_job(id) FROM (SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 1)",
            lambda _: [],
        )
        self.result.statements += 1
        with contextlib.suppress(ftsql.Error):
            db.execute(case.sql).fetchall()
        newest = max((_known(time) for time in self.manner.created.values()), default=0)
        if any(_known(self.manner.created[id]) != newest for id in self.answers.posts):
            self._wrong(case, "not the newest job was cancelled")
        else:
            self.result.outcomes["cancelled the newest, or none"] += 1

    def _list(self, case: Case) -> list[Any]:
        return self.manner.events.get(case.of_events, []) if case.of_events else self.manner.objects

    def _first(self, count: int) -> int:
        size = count if self.manner.limit == "ignored" else min(self.manner.asked_for, count)
        return size if self.manner.cap is None else min(size, self.manner.cap)

    def _wrong(self, case: Case, what: str) -> bool:
        self.result.outcomes["WRONG"] += 1
        self.result.wrong.append(f"{self.name}: {case.sql} {case.parameters}: {what}\n    {self.manner}")
        return False


def _goes_on(manner: Manner, found: list[Any]) -> bool:
    """Whether the page after an object can be asked for."""
    ids = [each.get("id") for each in found]
    return manner.after != "ignored" and None not in ids and len(set(ids)) == len(ids)


def _known(time: int | None) -> int:
    return time or 0


def _times(manner: Manner) -> list[int]:
    """The times of the jobs that have one, newest first."""
    return sorted((time for time in manner.created.values() if time is not None), reverse=True)


def _cases(manner: Manner, rng: random.Random) -> list[Case]:
    """Statements with the rows that a plain table of the server's jobs would give."""
    count, created = rng.choice([1, 2, rng.randrange(1, 30)]), manner.created
    time = rng.choice([*[time for time in created.values() if time], NEWEST])
    one = rng.choice([*created, "nobody"])
    cases = [
        Case("SELECT count(*) FROM fine_tuning_jobs", lambda manner: [(manner.total,)]),
        Case(
            "SELECT id, created_at, status, model, fine_tuned_model FROM fine_tuning_jobs",
            lambda manner: [
                (each["id"], created[each["id"]], each["status"], each["model"], each["fine_tuned_model"])
                for each in manner.objects
            ],
        ),
        Case(
            f"SELECT created_at FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT {count}",
            lambda manner: [(time,) for time in [*_times(manner), *[None] * manner.total][: min(count, manner.total)]],
        ),
        Case(
            "SELECT max(created_at), min(created_at) FROM fine_tuning_jobs",
            lambda manner: [(max(_times(manner), default=None), min(_times(manner), default=None))],
        ),
        Case("SELECT max(created_at) FROM fine_tuning_jobs", lambda manner: [(max(_times(manner), default=None),)]),
        Case(
            f"SELECT id FROM fine_tuning_jobs WHERE created_at >= {time}",
            lambda manner: [(id,) for id, at in created.items() if at is not None and at >= time],
        ),
        Case(
            f"SELECT count(*) FROM fine_tuning_jobs WHERE created_at = {time}",
            lambda manner: [(list(created.values()).count(time),)],
        ),
        Case(
            "SELECT id, created_at FROM fine_tuning_jobs WHERE id = ?",
            lambda manner: [(one, created[one])] if one in created else [],
            parameters=(one,),
        ),
        Case(
            "SELECT count(*) FROM fine_tuning_jobs WHERE status = 'running'",
            lambda manner: [(sum(each["status"] == "running" for each in manner.objects),)],
        ),
    ]  # fmt: skip
    for parent, events in manner.events.items():
        if PLAIN_ID.fullmatch(parent):
            cases.append(
                Case(
                    "SELECT message, created_at FROM fine_tuning_job_events WHERE fine_tuning_job_id = ?",
                    lambda _, events=events: [(each["message"], _event_time(each)) for each in events],  # type: ignore[misc]
                    parent,
                    (parent,),
                )
            )
    return cases


def _event_time(event: dict[str, Any]) -> int:
    """When an event was: one of "step 3" is 9 seconds before the newest."""
    return NEWEST + 5000 - 3 * int(event["message"].split()[1])
