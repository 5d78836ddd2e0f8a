"""The same SELECT on a plain table is the oracle: generated statements, rows compared exactly.

``FTSQL_DIFFERENTIAL=50000`` makes a longer run, ``FTSQL_SEED`` another one.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql.read import listing, plan, scan
from ftsql.resources.definitions import JOBS
from ftsql.resources.resource import Resource
from ftsql.sandbox import Sandbox
from ftsql.sqlite import best_index, jobs_table
from tests.read.statements import PLAIN_COLUMNS, STATUSES, Statement, World, is_right_to_refuse, statements

# If SQLite offers a comparison to no table, it is a warning in a SELECT.
pytestmark = pytest.mark.filterwarnings("ignore:.*is a Unix time in seconds:ftsql.errors.Warning")

COUNT = int(os.environ.get("FTSQL_DIFFERENTIAL", "1200"))
SEED = int(os.environ.get("FTSQL_SEED", "20261121"))
NEWEST = 1_790_000_000


@dataclass(frozen=True)
class Bench:
    """A connection with the live table and the plain table, and the world of the generator."""

    db: ftsql.Connection
    world: World

    def failures(self, cases: Sequence[Statement]) -> list[str]:
        """Return the statements that fail, or whose rows differ from those of the plain table."""
        failed = []
        for case in cases:
            try:
                live = self.db.execute(case.sql.replace("{jobs}", "live.fine_tuning_jobs")).fetchall()
            except (ftsql.Error, apsw.Error, AssertionError) as error:
                if not is_right_to_refuse(case.sql, error):
                    failed.append(f"{case.sql}: {error}")
                continue
            plain = self.db.execute(case.sql.replace("{jobs}", "plain")).fetchall()
            same = live == plain if case.ordered else Counter(live) == Counter(plain)
            if not same:
                failed.append(f"{case.sql}: {len(live)} rows, should be {len(plain)}: {live[:3]} … {plain[:3]}")
        return failed


def _fill(sandbox: Sandbox, count: int, seed: int) -> None:
    random_ = random.Random(seed)
    created_at = NEWEST - 60 * count
    for number in reversed(range(count)):
        created_at += random_.choice([0, 0, 60, 60, 3600])
        status = random_.choice(STATUSES)
        failed = {"code": "bad", "message": "it's bad", "param": None}
        fields: dict[str, Any] = {
            "id": f"ftjob-{number:04}",
            "created_at": created_at,
            "status": status,
            "error": failed if status == "failed" else random_.choice([None, {}]),
            "finished_at": created_at + 900 if status in ("succeeded", "failed", "cancelled") else None,
            "metadata": random_.choice([None, {}, {"team": "ads"}, {"team": "search", "run": "1"}]),
            "model": random_.choice(["gpt-4o-mini-2024-07-18", "gpt-4.1-2025-04-14", "gpt-4.1-mini-2025-04-14"]),
            "training_file": f"file-{random_.randint(0, 9)}",
            "trained_tokens": random_.choice([None, 0, 5000, 10**12]),
        }
        sandbox.add_job(**fields)


@contextmanager
def bench(folder: Path, providers: Sequence[str], count: int) -> Iterator[Bench]:
    """Yield a bench: providers with ``count`` jobs each and equal ids, and a file with the local and the plain tables."""
    sandboxes = [Sandbox(jobs=0, speed=0) for _ in providers]
    for number, sandbox in enumerate(sandboxes):
        sandbox.start()
        _fill(sandbox, count, seed=number)
    config = folder / "providers.toml"
    config.write_text(
        "\n".join(
            f'[{name}]\nextends = "openai"\nbase_url = "{sandbox.base_url("openai")}"\n'
            f'headers = {{ Authorization = "Bearer key-{name}" }}'
            for name, sandbox in zip(providers, sandboxes, strict=True)
        )
    )
    os.environ["OPENAI_API_KEY"] = "unused-here"
    # The store serves no rows: see test_warm.
    db = ftsql.connect(config=config, providers=providers, refresh_seconds=1e-6)
    try:
        columns = ", ".join(f"{column.name} {column.type}" for column in JOBS.columns if column.name in PLAIN_COLUMNS)
        names = ", ".join(PLAIN_COLUMNS)
        db.execute(f"CREATE TABLE plain ({columns}, PRIMARY KEY (key))")
        db.execute(f"INSERT INTO plain ({names}) SELECT {names} FROM live.fine_tuning_jobs")
        db.execute("CREATE TABLE mine (id TEXT, status TEXT, time INTEGER, note TEXT)")
        db.execute(
            "INSERT INTO mine VALUES (NULL, NULL, NULL, 'n'), ('ftjob-none', 'running', 0, 'a'), ('a/b', 'x', 1, 'b');"
            "INSERT INTO mine SELECT id, status, created_at, iif(rowid % 2, 'a', 'b') FROM plain WHERE rowid % 7 = 0"
        )
        ids = [id for (id,) in db.execute("SELECT DISTINCT id FROM plain ORDER BY id")]
        times = [time for (time,) in db.execute("SELECT DISTINCT created_at FROM plain ORDER BY 1")]
        yield Bench(db, World(ids, times, list(providers)))
    finally:
        db.close()
        for sandbox in sandboxes:
            sandbox.stop()


# providers, jobs each, share of the statements
SETTINGS = [
    (["one"], 0, 0.05),
    (["one"], 1, 0.05),
    pytest.param(["one"], 100, 0.2, marks=pytest.mark.long),
    pytest.param(["one"], 250, 0.35, marks=pytest.mark.long),
    pytest.param(["one", "two"], 130, 0.25, marks=pytest.mark.long),
    pytest.param(["one", "two", "three"], 70, 0.1, marks=pytest.mark.long),
]


@pytest.mark.parametrize(("providers", "count", "share"), SETTINGS, ids=lambda value: str(value))
def test_every_select_equals_that_on_a_plain_table(
    tmp_path: Path, providers: list[str], count: int, share: float
) -> None:
    with bench(tmp_path, providers, count) as made:
        cases = list(statements(made.world, int(COUNT * share), SEED + count))
        failed = made.failures(cases)
        assert not failed, f"{len(failed)} of {len(cases)}: " + "\n".join(failed[:10])


# The bugs that this test must catch. Each is planted by a patch.


def _limit_cuts(patch: pytest.MonkeyPatch) -> None:
    def cut(look: Any, plan: Any, arguments: Sequence[Any], columns: int) -> Iterator[Any]:
        limit = dict(zip(plan.arguments, arguments, strict=True)).get("limit", -1)
        for number, row in enumerate(scan.scan(look, plan, arguments, columns)):
            if number == limit:
                return
            yield row

    patch.setattr(jobs_table, "scan", cut)


def _order_always_claimed(patch: pytest.MonkeyPatch) -> None:
    def claimed(resource: Resource, constraints: Any, order: Sequence[Any], *, newest_first: bool) -> plan.Plan:
        made = plan.plan(resource, constraints, order, newest_first=newest_first)
        return replace(made, newest_first=True) if order and made.access == "list" else made

    patch.setattr(best_index, "plan", claimed)


def _slots_misaligned(patch: pytest.MonkeyPatch) -> None:
    def shifted(
        resource: Resource, constraints: Sequence[plan.Constraint], order: Any, *, newest_first: bool
    ) -> plan.Plan:
        usable = [constraint for constraint in constraints if constraint.usable]
        numbered = [replace(constraint, slot=number) for number, constraint in enumerate(usable)]
        return plan.plan(resource, numbered, order, newest_first=newest_first)

    patch.setattr(best_index, "plan", shifted)


def _unusable_used(patch: pytest.MonkeyPatch) -> None:
    def all_usable(
        resource: Resource, constraints: Sequence[plan.Constraint], order: Any, *, newest_first: bool
    ) -> plan.Plan:
        taken = [replace(constraint, usable=True) for constraint in constraints]
        return plan.plan(resource, taken, order, newest_first=newest_first)

    patch.setattr(best_index, "plan", all_usable)


def _stops_early(patch: pytest.MonkeyPatch) -> None:
    honest = listing.Listing.older_than
    patch.setattr(listing.Listing, "older_than", lambda self, time, *, inclusive: honest(self, time, inclusive=True))


def _id_claimed_unique(patch: pytest.MonkeyPatch) -> None:
    schema = JOBS.schema.replace(" PRIMARY KEY NOT NULL", "").replace("(id TEXT", "(id TEXT PRIMARY KEY NOT NULL")
    assert schema != JOBS.schema
    patch.setitem(JOBS.__dict__, "schema", schema)


def _collation_ignored(patch: pytest.MonkeyPatch) -> None:
    def binary(
        resource: Resource, constraints: Sequence[plan.Constraint], order: Any, *, newest_first: bool
    ) -> plan.Plan:
        taken = [replace(constraint, binary=True) for constraint in constraints]
        return plan.plan(resource, taken, order, newest_first=newest_first)

    patch.setattr(best_index, "plan", binary)


PLANTED: list[Callable[[pytest.MonkeyPatch], None]] = [
    _limit_cuts, _order_always_claimed, _slots_misaligned, _unusable_used, _stops_early, _id_claimed_unique,
    _collation_ignored,
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__.strip("_"))
def test_a_planted_bug_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Any, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(listing.Listing, "__init__", _page_of_ten(listing.Listing.__init__))
        plant(patch)
        with bench(tmp_path, ["one", "two"], 60) as planted:
            cases = list(statements(planted.world, 600, SEED))
            failed = planted.failures(cases)
    record_property("failed", len(failed))
    print(f"planted {plant.__name__.strip('_')}: {len(failed)} of {len(cases)} statements failed")
    assert failed


@pytest.mark.slow
def test_without_a_planted_bug_the_same_statements_are_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing.Listing, "__init__", _page_of_ten(listing.Listing.__init__))
    with bench(tmp_path, ["one", "two"], 60) as honest:
        assert honest.failures(list(statements(honest.world, 600, SEED))) == []


def _page_of_ten(honest: Callable[..., None]) -> Callable[..., None]:
    """Make pages small, so that few jobs fill many pages."""

    def small(self: listing.Listing, account: Any, *arguments: Any) -> None:
        account.provider = replace(account.provider, page_size=10)
        honest(self, account, *arguments)

    return small
