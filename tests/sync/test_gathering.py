"""A round takes jobs from the store's file if it has them all, and writes what reading them from the API would."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql.sandbox import Fault, Sandbox
from ftsql.store.cache import Cache
from ftsql.store.database import Store
from ftsql.sync import Sync
from ftsql.sync.snapshot import Snapshot
from tests.conftest import Connect, fill


def rows(path: Path) -> list[Any]:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        names = [name for _, name, *_ in db.execute("PRAGMA table_info(fine_tuning_jobs)") if name != "_synced_at"]
        return db.execute(f"SELECT {', '.join(names)} FROM fine_tuning_jobs ORDER BY key").fetchall()
    finally:
        db.close()


@pytest.fixture
def gathered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where each round's jobs came from."""
    ways: list[str] = []
    for name in ("gather", "gather_jobs"):
        honest = getattr(Snapshot, name)

        def noted(self: Snapshot, *arguments: Any, name: str = name, honest: Any = honest) -> Any:
            ways.append(name)
            return honest(self, *arguments)

        monkeypatch.setattr(Snapshot, name, noted)
    return ways


def test_both_ways_write_the_same_rows_through_all_that_happens_to_jobs(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, gathered: list[str]
) -> None:
    fill(sandbox, 250, metadata={"team": "ads", "ftsql_key": "k"}, unknown={"x": [1, None, 1.5, "é"]}, seed=2**31 - 1)
    for place in (3, 150, 240):
        sandbox.update_job(f"ftjob-{place:05}", status="running", finished_at=None, fine_tuned_model=None)
    kept, plain = connect(store=tmp_path / "store.db"), connect()
    one, other = Sync(kept, tmp_path / "one.db", ["jobs"]), Sync(plain, tmp_path / "other.db", ["jobs"])
    try:
        for step in range(4):
            if step == 1:
                sandbox.add_job(id="ftjob-new", created_at=int(time.time()))
                sandbox.update_job(
                    "ftjob-00150", status="succeeded", finished_at=1_790_000_100, fine_tuned_model="ft:x"
                )
            if step == 2:
                sandbox.remove_job("ftjob-00003")
            if step == 3:
                sandbox.remove_job("ftjob-00100")
                kept.ftsql.refresh()
                plain.ftsql.refresh()
            first, second = one.round(), other.round()
            assert rows(tmp_path / "one.db") == rows(tmp_path / "other.db")
            shown = [(each.new, each.changed, each.deleted) for each in (*first.changes, *second.changes)]
            assert shown[0] == shown[1], step
        assert len(rows(tmp_path / "one.db")) == 249
    finally:
        one.close()
        other.close()
    assert gathered == ["gather_jobs", "gather"] * 4


def test_rows_that_the_store_could_not_keep_are_read_from_the_api(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, gathered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sandbox, 130)
    db = connect(store=tmp_path / "store.db")
    syncing = Sync(db, tmp_path / "one.db", ["jobs"])
    honest = Store._flush

    def fails(store: Store, count: int) -> None:
        for work, told in store._deferred[:count]:
            assert work is not None
            told(apsw.FullError("database or disk is full"))
        del store._deferred[:count]

    monkeypatch.setattr(Store, "_flush", fails)
    with pytest.warns(ftsql.Warning, match="cannot be used"):
        (change,) = syncing.round().changes
    assert (change.new, change.error) == (130, None)
    monkeypatch.setattr(Store, "_flush", honest)
    assert gathered == ["gather"]
    syncing.close()


def test_a_provider_that_fails_keeps_its_rows(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    fill(sandbox, 130)
    db = connect(store=tmp_path / "store.db")
    syncing = Sync(db, tmp_path / "one.db", ["jobs"])
    assert syncing.round().changes[0].new == 130
    sandbox.fault(Fault(status=401, times=None))
    (change,) = syncing.round().changes
    assert change.error is not None
    assert len(rows(tmp_path / "one.db")) == 130
    syncing.close()


def test_a_store_that_is_cleared_before_it_is_copied_costs_no_job(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, gathered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sandbox, 130)
    db, other = connect(store=tmp_path / "store.db"), Store(tmp_path / "store.db")
    syncing = Sync(db, tmp_path / "one.db", ["jobs"])
    honest = Snapshot.gather_jobs

    def cleared(self: Snapshot, cache: Cache) -> bool:
        known = cache._read

        def read(work: Any) -> Any:
            found = known(work)
            other.clear()
            return found

        monkeypatch.setattr(cache, "_read", read)
        return honest(self, cache)

    monkeypatch.setattr(Snapshot, "gather_jobs", cleared)
    (change,) = syncing.round().changes
    assert (change.new, change.error) == (130, None)
    assert gathered == ["gather_jobs", "gather"]
    syncing.close()
    other.close()
