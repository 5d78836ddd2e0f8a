"""A store with many, few or old rows never changes a result: the plain table is the oracle.

``FTSQL_DIFFERENTIAL=50000`` makes a longer run, ``FTSQL_SEED`` another one.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql.resources.cells import ALL, NAMES, cells
from ftsql.resources.definitions import JOBS
from ftsql.sandbox import Fault, Sandbox
from tests.conftest import fill
from tests.read.statements import PLAIN_COLUMNS, World, is_right_to_refuse, statements
from tests.read.test_differential import NEWEST

COUNT = int(os.environ.get("FTSQL_DIFFERENTIAL", "2000"))
SEED = int(os.environ.get("FTSQL_SEED", "20261121"))
LIST = r"/fine_tuning/jobs$"
ACTIVE = ("validating_files", "queued", "running", "paused")
OVER = ("succeeded", "failed", "cancelled")


@dataclass
class Moving:
    """Providers whose jobs change between statements, a connection with a store, and the plain table."""

    db: ftsql.Connection
    sandboxes: dict[str, Sandbox]
    random: random.Random
    newest: int
    ids: list[str] = field(default_factory=list)

    def fill(self, count: int) -> None:
        for sandbox in self.sandboxes.values():
            created_at = self.newest
            for number in reversed(range(count)):
                self._add(sandbox, f"ftjob-{number:04}", created_at)
                created_at -= self.random.choice([0, 0, 60, 60, 3600])
        self.ids = [f"ftjob-{number:04}" for number in range(count)]
        self._remember()

    def _add(self, sandbox: Sandbox, id: str, created_at: int) -> None:
        status = self.random.choice([*OVER, *OVER, *ACTIVE])
        sandbox.add_job(
            id=id, created_at=created_at, status=status, metadata=self.random.choice([None, {"team": "ads"}]),
            finished_at=created_at + 900 if status in OVER else None, training_file=f"file-{self.random.randint(0, 9)}",
            model=self.random.choice(["gpt-4o-mini-2024-07-18", "gpt-4.1-mini-2025-04-14"]),
        )  # fmt: skip

    def move(self) -> None:
        """Change jobs at the provider between two statements."""
        for sandbox in self.sandboxes.values():
            active = [job for job in sandbox.jobs() if job["status"] in ACTIVE]
            for job in self.random.sample(active, min(len(active), self.random.choice([0, 1, 1, 3]))):
                status = self.random.choice([*OVER, *ACTIVE])
                over = {"finished_at": job["created_at"] + 1000} if status in OVER else {}
                sandbox.update_job(job["id"], status=status, **over)
            for _ in range(self.random.choice([0, 0, 0, 1, 1, 2, 5, 12])):
                self.newest += self.random.choice([0, 0, 1, 60])
                self.ids.append(f"ftjob-n{len(self.ids):04}")
                self._add(sandbox, self.ids[-1], self.newest)
            if active and self.random.random() < 0.1:
                sandbox.remove_job(self.random.choice(active)["id"])
        self._remember()

    def _remember(self) -> None:
        """Fill the plain table with the jobs that the providers have now."""
        self.db.execute("BEGIN; DELETE FROM plain")
        for name, sandbox in self.sandboxes.items():
            for row in JOBS.rows(name, sandbox.jobs()):
                values = [cells(row, ALL)[NAMES.index(column)] for column in PLAIN_COLUMNS]
                self.db.execute(f"INSERT INTO plain VALUES ({', '.join('?' * len(values))})", values)
        self.db.execute("COMMIT")

    def world(self) -> World:
        times = [time for (time,) in self.db.execute("SELECT DISTINCT created_at FROM plain ORDER BY 1")]
        return World(self.ids, times, list(self.sandboxes))

    def wrong(self, sql: str, *, ordered: bool) -> str | None:
        """Return the difference from the plain table, if there is one."""
        try:
            live = self.db.execute(sql.replace("{jobs}", "live.fine_tuning_jobs")).fetchall()
        except (ftsql.Error, apsw.Error, AssertionError) as error:
            return None if is_right_to_refuse(sql, error) else f"{sql}: {error!r}"
        plain = self.db.execute(sql.replace("{jobs}", "plain")).fetchall()
        if live == plain if ordered else Counter(live) == Counter(plain):
            return None
        return f"{sql}: {len(live)} rows, should be {len(plain)}: {live[:3]} … {plain[:3]}"


@contextmanager
def moving(folder: Path, providers: Sequence[str], newest: int, seed: int = 0, **options: Any) -> Iterator[Moving]:
    with ExitStack() as stack:
        sandboxes = {name: stack.enter_context(Sandbox(jobs=0, speed=0)) for name in providers}
        config = folder / "providers.toml"
        config.write_text(
            "\n".join(
                f'[{name}]\nextends = "openai"\nbase_url = "{sandbox.base_url("openai")}"\npage_size = 20\n'
                f'headers = {{ Authorization = "Bearer key-of-{name}" }}'
                for name, sandbox in sandboxes.items()
            )
        )
        db = ftsql.connect(config=config, providers=providers, **options)
        stack.callback(db.close)
        columns = {column.name: column.type for column in JOBS.columns}
        db.execute(
            f"CREATE TABLE plain ({', '.join(f'{name} {columns[name]}' for name in PLAIN_COLUMNS)}, PRIMARY KEY (key))"
        )
        db.execute("CREATE TABLE mine (id TEXT, status TEXT, time INTEGER, note TEXT)")
        made = Moving(db, sandboxes, random.Random(f"{SEED}/{seed}/{providers}"), newest)
        made.fill(90)
        db.execute(
            "INSERT INTO mine SELECT id, status, created_at, iif(rowid % 2, 'a', 'b') FROM plain WHERE rowid % 7 = 0"
        )
        yield made


def _compare(made: Moving, count: int, changes: float = 0.5) -> list[str]:
    failed = []
    cases: list[Any] = []
    for _ in range(count):
        if not cases or made.random.random() < changes:
            made.move()
        if not cases:
            cases = list(statements(made.world(), 40, made.random.randrange(10**9)))
        case = cases.pop()
        if (wrong := made.wrong(case.sql, ordered=case.ordered)) is not None:
            failed.append(wrong)
    return failed


pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore:.*is a Unix time in seconds:ftsql.errors.Warning"),
]


@pytest.mark.parametrize(
    ("providers", "newest", "share"),
    [
        pytest.param(["one"], NEWEST, 0.4, id="old jobs", marks=pytest.mark.slow),
        pytest.param(["one"], 0, 0.2, id="new jobs"),
        pytest.param(["one", "two"], NEWEST, 0.25, id="two providers", marks=pytest.mark.slow),
    ],
)
def test_a_store_that_lags_behind_gives_the_same_rows(
    tmp_path: Path, providers: list[str], newest: int, share: float
) -> None:
    failed = []
    for number in range(max(1, int(COUNT * share / 80))):  # a new world for every 80 statements, because a world grows
        with moving(tmp_path, providers, newest or int(time.time()) - 3600, seed=number) as made:
            failed += _compare(made, 80)
    assert not failed, f"{len(failed)}: " + "\n".join(failed[:10])


@pytest.mark.slow
def test_a_store_that_others_fill_at_the_same_time_gives_the_same_rows(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    with moving(tmp_path, ["one"], NEWEST, store=store) as made:
        over = threading.Event()
        broken: list[BaseException] = []

        def fill(seed: int) -> None:
            random_ = random.Random(seed)
            db = ftsql.connect(config=tmp_path / "providers.toml", providers=["one"], store=store)
            try:
                while not over.is_set():
                    sql = random_.choice(
                        ["SELECT count(*) FROM fine_tuning_jobs", "SELECT id FROM fine_tuning_jobs LIMIT 7",
                         "SELECT id FROM fine_tuning_jobs WHERE id = ?1", "SELECT max(created_at) FROM fine_tuning_jobs",
                         "SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 45"]
                    )  # fmt: skip
                    db.execute(sql, (random_.choice(made.ids),) if "?1" in sql else ()).fetchall()
            except BaseException as error:
                broken.append(error)
            finally:
                db.close()

        threads = [threading.Thread(target=fill, args=(seed,)) for seed in range(2)]
        for thread in threads:
            thread.start()
        try:
            failed = _compare(made, min(int(COUNT * 0.15), 120))
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert broken == []
        assert not failed, f"{len(failed)}: " + "\n".join(failed[:10])


READER = """
import random, sys, time, warnings, ftsql
warnings.simplefilter("error")
end = time.monotonic() + 5
while time.monotonic() < end:
    db = ftsql.connect()
    for sql, right in random.sample(
        [("SELECT count(*) FROM fine_tuning_jobs", 350), ("SELECT count(*) FROM (SELECT 1 FROM fine_tuning_jobs LIMIT 7)", 7),
         ("SELECT count(*) FROM fine_tuning_jobs WHERE status = 'running'", 10),
         ("SELECT count(*) FROM fine_tuning_jobs WHERE id IN ('ftjob-00000', 'ftjob-00035')", 2)], 4):
        found = db.execute(sql).get
        assert found == right, (sql, found)
    if random.random() < 0.2:
        db.ftsql.refresh()
    db.close()
"""


def test_processes_that_fill_and_refresh_one_store_see_every_job(sandbox: Sandbox, tmp_path: Path) -> None:
    fill(sandbox, 350)
    for place in range(0, 350, 35):
        sandbox.update_job(f"ftjob-{place:05}", status="running", finished_at=None)
    known = {
        "OPENAI_BASE_URL": sandbox.base_url("openai"),
        "OPENAI_API_KEY": "k" * 20,
        "FTSQL_STORE": str(tmp_path / "s.db"),
    }
    readers = [
        subprocess.Popen([sys.executable, "-c", READER], env={**os.environ, **known}, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for reader in readers:
        _, errors = reader.communicate(timeout=120)
        assert reader.returncode == 0, errors


@pytest.mark.parametrize("lie", ["shuffled", "oldest_first", "repeat_page", "empty_page", "silent_unknown_after"])
def test_a_list_that_lies_at_times_gives_the_right_rows_or_an_error(tmp_path: Path, lie: str) -> None:
    with moving(tmp_path, ["one"], NEWEST) as made:
        sandbox = made.sandboxes["one"]
        errors = 0
        for number, case in enumerate(statements(made.world(), 60, SEED)):
            sandbox.clear_faults()
            made.db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall()
            sandbox.fault(Fault(path=LIST, method="GET", times=None, probability=0.4, lie=lie))
            sandbox.fault(
                Fault(path="jobs", method="GET", times=2, probability=0.3, status=500, headers={"Retry-After": "0"})
            )
            wrong = made.wrong(case.sql, ordered=case.ordered)
            if wrong is not None:
                assert "Error(" in wrong, wrong  # an error is right; a missing or extra row is not
                errors += 1
            if number % 5 == 4:
                sandbox.clear_faults()
                made.move()
        assert errors < 40
