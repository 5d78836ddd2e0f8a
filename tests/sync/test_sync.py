"""A round of sync: its requests, its writes, and the rows that stay if a provider fails."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql import sync as package
from ftsql.cli.documents import all_queries
from ftsql.errors import ConfigError, OperationalError
from ftsql.sandbox import Fault, Sandbox
from ftsql.sync.rounds import Round, Sync, sync
from tests.conftest import CANARY, Connect, fill, gets
from tests.sync.fixtures import FACE, changed, once, read, wait_for

COUNTS = "SELECT rows, error, synced_at IS NOT NULL, tried_at >= synced_at FROM sync_state"


def counted(done: Round) -> tuple[int, int, int, int]:
    (change,) = done.changes
    return change.new, change.changed, change.deleted, change.rows


def test_the_file_has_the_live_tables_columns_and_rows(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    fill(sandbox, 250, metadata={"team": "ads"}, hyperparameters={"n_epochs": 3}, error={"code": "x", "message": "y"})
    assert counted(once(db, tmp_path / "jobs.db")) == (250, 0, 0, 250)
    visible = [name for (name,) in db.execute("SELECT name FROM pragma_table_info('fine_tuning_jobs', 'live')")]
    hidden = ["fine_tuning_job_id", "suffix", "raw", "key"]
    kept = read(tmp_path / "jobs.db", "SELECT name, type FROM pragma_table_info('fine_tuning_jobs')")
    assert [name for name, _ in kept] == [*visible, *hidden, "_synced_at"]
    live = db.execute(
        f"SELECT {', '.join(visible + hidden)} FROM live.fine_tuning_jobs ORDER BY created_at DESC"
    ).fetchall()
    sql = f"SELECT {', '.join(visible + hidden)} FROM fine_tuning_jobs ORDER BY created_at DESC"
    assert read(tmp_path / "jobs.db", sql) == live
    assert read(tmp_path / "jobs.db", COUNTS) == [(250, None, 1, 1)]


def test_the_first_round_lists_and_the_second_requests_one_page_and_the_active_jobs(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    fill(sandbox, 250)
    sandbox.update_job("ftjob-00150", status="running", finished_at=None)
    first = once(connect(store=tmp_path / "store.db"), tmp_path / "jobs.db")
    assert len(gets(sandbox)) == first.counts.kinds.total() == 3
    sandbox.requests.clear()
    again = once(connect(store=tmp_path / "store.db"), tmp_path / "jobs.db")
    assert gets(sandbox) == ["?limit=100", "/ftjob-00150"]
    assert counted(again) == (0, 0, 0, 250)
    assert str(again).partition("openai: ")[2] == "250 jobs (unchanged), 2 requests"


def test_rounds_of_one_connection_need_no_store_file(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    fill(sandbox, 250)
    once(db, tmp_path / "jobs.db")
    sandbox.requests.clear()
    once(db, tmp_path / "jobs.db")
    assert gets(sandbox) == ["?limit=100"]


def test_a_round_writes_only_the_rows_that_differ(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    fill(sandbox, 120, status="running", finished_at=None)
    once(db, path)
    changed(path, "UPDATE fine_tuning_jobs SET _synced_at = 1")
    sandbox.update_job("ftjob-00007", status="succeeded", trained_tokens=5)
    sandbox.add_job(id="ftjob-new", status="queued")
    assert counted(once(db, path)) == (1, 1, 0, 121)
    written = read(path, "SELECT id FROM fine_tuning_jobs WHERE _synced_at > 1 ORDER BY 1")
    assert written == [("ftjob-00007",), ("ftjob-new",)]
    before = path.read_bytes()
    once(db, path)
    after = path.read_bytes()
    assert (
        sum(before[at : at + 4096] != after[at : at + 4096] for at in range(0, len(before), 4096)) <= 2
    )  # the pages of the file's header and of sync_state


def test_a_deleted_job_goes_with_the_next_full_listing(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    fill(sandbox, 250)
    once(db, path)
    sandbox.remove_job("ftjob-00200")
    once(db, path)
    db.ftsql.refresh()
    assert counted(once(db, path)) == (0, 0, 1, 249)
    assert read(path, "SELECT count(*), (SELECT rows FROM sync_state) FROM fine_tuning_jobs") == [(249, 249)]


def test_max_age_does_not_reach_sync(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTSQL_MAX_AGE", "3600")
    path, store = tmp_path / "jobs.db", tmp_path / "store.db"
    connect()
    fill(sandbox, 1)
    sync(path, tables=["jobs"], store=store)
    sandbox.add_job(id="ftjob-new")
    (done,) = sync(path, tables=["jobs"], store=store)
    assert counted(done) == (1, 0, 0, 2)


def test_a_provider_that_fails_keeps_its_rows_and_the_others_are_synced(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "jobs.db"
    for name, value in (("API_KEY", CANARY), ("VIRTUAL_KEY", CANARY), ("BASE_URL", sandbox.base_url("portkey"))):
        monkeypatch.setenv(f"PORTKEY_{name}", value)
    fill(sandbox, 3)
    db = connect()
    once(db, path)
    assert read(path, "SELECT provider, count(*) FROM fine_tuning_jobs GROUP BY 1") == [("openai", 3), ("portkey", 3)]
    sandbox.add_job(id="ftjob-new")
    sandbox.fault(Fault(times=None, path="^/v1/", status=401, body={"error": {"message": f"Incorrect key {CANARY}"}}))
    done = once(db, path)
    assert done.failed
    assert "FAILED (its jobs are of 20" in str(done)
    state = {
        name: rest for name, *rest in read(path, "SELECT provider, rows, error, tried_at, synced_at FROM sync_state")
    }
    assert state["portkey"][:2] == [4, None]
    assert state["openai"][0] == 3
    assert "Incorrect key ***" in state["openai"][1]
    assert state["openai"][2] >= state["openai"][3]
    sandbox.clear_faults()
    assert not once(db, path).failed
    assert read(path, "SELECT rows, error FROM sync_state") == [(4, None)] * 2
    assert all(CANARY.encode() not in file.read_bytes() for file in tmp_path.iterdir() if file.is_file())


@pytest.mark.long
def test_an_outage_from_the_start_is_recorded_in_the_file(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    sandbox.fault(Fault(times=None, drop=True))
    done = once(db, tmp_path / "jobs.db")
    assert "FAILED (no jobs yet): openai: the connection to" in str(done)
    assert read(tmp_path / "jobs.db", "SELECT synced_at, rows, error IS NULL FROM sync_state") == [(None, None, 0)]
    assert read(tmp_path / "jobs.db", "SELECT * FROM jobs") == []


@pytest.mark.long
def test_a_fetch_that_is_older_than_the_files_writes_nothing(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.db"
    fill(sandbox, 1, status="running", finished_at=None)
    slow: list[Round] = []
    thread = threading.Thread(target=lambda: slow.append(once(ftsql.connect(), path)))
    connect()
    sandbox.fault(Fault(latency=1.5))
    thread.start()
    wait_for(lambda: len(sandbox.requests) == 1)
    assert counted(once(connect(), path)) == (1, 0, 0, 1)
    sandbox.update_job("ftjob-00000", suffix="changed")
    thread.join()
    assert "another sync was faster" in str(slow[0])
    assert read(path, "SELECT suffix FROM fine_tuning_jobs") == [(None,)]
    assert counted(once(connect(), path)) == (0, 1, 0, 1)


def test_a_clock_that_was_set_back_does_not_stop_the_sync(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.db"
    fill(sandbox, 1)
    once(db, path)
    changed(path, "UPDATE sync_state SET looked_at = looked_at + 10000")
    sandbox.add_job(id="ftjob-new")
    assert counted(once(db, path)) == (1, 0, 0, 2)


def test_nothing_is_locked_while_requests_are_under_way(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    fill(sandbox, 250)
    once(db, path)
    found: list[object] = []

    def look(page: dict[str, Any]) -> dict[str, Any]:
        other = apsw.Connection(str(path))
        other.execute("CREATE TABLE IF NOT EXISTS mine (x); INSERT INTO mine VALUES (1)")
        found.extend(other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        other.close()
        return page

    db.ftsql.refresh()
    sandbox.fault(Fault(times=None, path=FACE + "$", transform=look))
    once(db, path)
    assert found == [(0, 0, 0)] * 3


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[list[str], list[str]]]:
    """Return the rows of each query, live and on the snapshot, as sorted strings."""
    path = tmp_path_factory.mktemp("snapshot") / "jobs.db"
    found = {}
    with Sandbox(speed=0) as sandbox, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", sandbox.base_url("openai"))
        patch.setenv("OPENAI_API_KEY", CANARY)
        db, own = (
            ftsql.connect(providers="openai"),
            apsw.Connection(str(path)),
        )  # the same SQLite library, so round() is the same
        for query in all_queries():
            for need in query.needs + query.optional:
                for connection in (db, own):
                    connection.execute(need.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))
        id = db.execute("SELECT min(id) FROM fine_tuning_jobs").get
        for connection in (db, own):
            connection.execute("INSERT INTO experiments VALUES ('none', 'ftjob-none'), ('one', ?)", (id,))
        once(db, path, tables=["all"])
        for query in all_queries():
            for _ in range(3):  # hours until now may differ in the last digit
                live = sorted(map(repr, db.execute(query.sql).fetchall()))
                kept = sorted(map(repr, own.execute(query.sql).fetchall()))
                if live == kept:
                    break
            found[query.name] = live, kept
        db.close()
        own.close()
    return found


@pytest.mark.parametrize("name", [query.name for query in all_queries()])
@pytest.mark.long
def test_every_query_gives_the_same_rows_on_the_snapshot_as_live(
    answers: dict[str, tuple[list[str], list[str]]], name: str
) -> None:
    live, kept = answers[name]
    assert kept
    assert kept == live


STRANGE: list[dict[str, Any]] = [
    {"suffix": "nul \0 inside"},
    {"suffix": "\U0001f600 ☃ '\"; DROP TABLE x"},
    {"trained_tokens": 2**63 - 1},
    {"seed": -(2**63)},
    {"metadata": {"n": 10**30}, "hyperparameters": 2**64},
    {"error": 12.0, "method": "text", "integrations": [], "result_files": {}},
]


@pytest.mark.parametrize("fields", STRANGE, ids=lambda fields: ",".join(fields))
def test_strange_values_are_kept_and_not_written_twice(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path, fields: dict[str, Any]
) -> None:
    sandbox.add_job(id="ftjob-1", **fields)
    path = tmp_path / "jobs.db"
    once(db, path)
    assert counted(once(db, path)) == (0, 0, 0, 1)
    columns = ", ".join(fields)
    kept = read(path, f"SELECT {columns} FROM fine_tuning_jobs")
    assert [float(v) if str(v)[:1].isdigit() else v for v in kept[0]] == [
        float(str(v)) if str(v)[:1].isdigit() else v
        for v in db.execute(f"SELECT {columns} FROM fine_tuning_jobs").fetchall()[0]
    ]


@pytest.mark.parametrize("place", ["suffix", "id"])
def test_a_lone_surrogate_becomes_a_replacement_character_except_in_an_id(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path, place: str
) -> None:
    sandbox.add_job(id="ftjob-1")
    text = json.dumps({"object": "list", "has_more": False, "data": [{**sandbox.jobs()[0], place: "SUR"}]})
    sandbox.fault(Fault(times=None, body=text.replace("SUR", "\\ud800"), content_type="application/json"))
    done = once(db, tmp_path / "jobs.db")
    assert done.failed == (place == "id")
    if place == "suffix":
        assert read(tmp_path / "jobs.db", "SELECT suffix FROM fine_tuning_jobs") == [("\ufffd",)]


def test_invalid_arguments_are_reported_before_any_request(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no table 'permission' to sync; there are: jobs"):
        sync(tmp_path / "jobs.db", tables=["permission"])
    with pytest.raises(ConfigError, match="is the store"):
        sync(tmp_path / "jobs.db", store=tmp_path / "jobs.db")
    with pytest.raises(ConfigError, match="is the store"):
        (tmp_path / "link.db").symlink_to(tmp_path / "jobs.db")
        sync(tmp_path / "link.db", store=tmp_path / "jobs.db")
    assert not (tmp_path / "jobs.db").exists()
    assert sandbox.requests == []


def test_a_full_disk_is_reported_and_the_previous_state_stays(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.db"
    fill(sandbox, 5)
    syncing = Sync(db, path, ["jobs"])
    syncing.round()
    for number in range(200):
        sandbox.add_job(id=f"ftjob-new-{number}")
    assert syncing._snapshot._db is not None
    syncing._snapshot._db.execute("PRAGMA max_page_count = 40").fetchall()
    with pytest.raises(OperationalError, match="the disk is full. Its previous content is unchanged"):
        syncing.round()
    assert read(path, "SELECT count(*), (SELECT rows FROM sync_state) FROM fine_tuning_jobs") == [(5, 5)]
    assert counted(syncing.round()) == (200, 0, 0, 205)
    syncing.close()


def test_a_column_from_null_to_a_value_is_a_change(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    (id,) = fill(sandbox, 1, status="running", finished_at=None, estimated_finish=None)
    path = tmp_path / "jobs.db"
    once(db, path)
    for value, shown in ((1_790_000_500, 1_790_000_500), (None, None), (1_790_000_600, 1_790_000_600)):
        sandbox.update_job(id, estimated_finish=value)
        assert counted(once(db, path)) == (0, 1, 0, 1)
        assert read(path, "SELECT estimated_finish FROM fine_tuning_jobs") == [(shown,)]


def test_providers_whose_names_begin_alike_keep_their_rows(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    fill(sandbox, 3)
    config = tmp_path / "providers.toml"
    names = ["openai", "openai-eu", "openai.eu", "openai0"]
    entries = [f"['{name}']\nextends = 'openai'\nbase_url = '{sandbox.base_url('openai')}'\n" for name in names[1:]]
    config.write_text("\n".join(entries))
    path = tmp_path / "jobs.db"
    for _ in range(2):
        done = once(connect(config=config, providers=names), path)
        assert [change.deleted for change in done.changes] == [0] * 4
        assert [change.rows for change in done.changes] == [3] * 4
    counts = read(path, "SELECT provider, count(*) FROM fine_tuning_jobs GROUP BY 1 ORDER BY 1")
    assert counts == [(name, 3) for name in sorted(names)]


def test_the_package_exports_what_users_call() -> None:
    assert [getattr(package, name).__name__ for name in package.__all__] == package.__all__
    assert package.sync is sync
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        package.nothing  # noqa: B018
