"""The store's file: durable, private, shared, and an error if it cannot be used."""

from __future__ import annotations

import multiprocessing
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest

import ftsql
from ftsql.errors import ProgrammingError, StoreError
from ftsql.sandbox import Sandbox
from ftsql.store.database import Store
from ftsql.store.journal import Entry, Journal
from tests.conftest import CANARY, Connect, fill
from tests.write.fixtures import INSERT, ONE, posts

pytestmark = pytest.mark.usefixtures("files")


def test_the_journal_outlives_the_connection_and_only_the_user_can_read_it(connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "new" / "store.db"
    db = connect(store=path)
    db.execute(ONE)
    db.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = connect(store=path).execute("SELECT state, action, statement, open FROM ftsql_writes").fetchall()
    assert found == [("committed", "create", ONE, 0)]
    assert sorted(other.name for other in path.parent.iterdir() if "owner" in other.name) == []


def test_the_journal_is_synced_to_the_disk(connect: Connect, tmp_path: Path) -> None:
    store = connect(store=tmp_path / "store.db").ftsql.store
    assert store.db.pragma("journal_mode") == "wal"
    with store.rows(writes=True) as db:
        assert db.pragma("synchronous") == 1
    with store.transaction() as db:
        assert db.pragma("synchronous") == 2


def test_a_store_that_others_could_read_is_closed_to_them(connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    connect(store=path).close()
    path.chmod(0o644)
    connect(store=path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_its_size_is_that_of_the_files_that_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store.db")
    with store.transaction() as db:
        db.execute("INSERT INTO meta VALUES ('more', 1)")
    both = [(tmp_path / name).stat().st_size for name in ("store.db", "store.db-wal")]
    assert store.size() == sum(both) > max(both) > 0
    store.db.pragma("journal_mode", "delete")  # as on a file system without shared memory
    assert store.size() == (tmp_path / "store.db").stat().st_size > 0
    store.close()
    monkeypatch.chdir(tmp_path)
    (tmp_path / ":memory:").write_text("a file of that name")
    assert Store().size() == 0


def test_a_cancel_counts_for_no_limit_of_creates(connect: Connect, tmp_path: Path) -> None:
    connect(store=tmp_path / "store.db").execute(f"{ONE}; {ONE}")
    db = connect(store=tmp_path / "store.db", max_creates_per_day=1)
    with pytest.raises(ProgrammingError, match="max_creates_per_day = 1: 2 were sent"):
        db.execute(ONE)
    db.execute("UPDATE fine_tuning_jobs SET status = 'cancelled'")
    assert db.execute("SELECT action, state FROM ftsql_writes").fetchall()[-1] == ("cancel", "committed")


def test_what_a_store_knows_is_read_while_another_process_writes_to_it(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    fill(sandbox, 3)
    sql = "SELECT count(*), max(id) FROM fine_tuning_jobs"
    first = connect(store=tmp_path / "store.db")
    first.execute(sql).fetchall()
    first.close()
    db = connect(store=tmp_path / "store.db", max_age=3600)
    db.ftsql.store.db.set_busy_timeout(0)
    other = apsw.Connection(str(tmp_path / "store.db"))
    other.set_busy_timeout(10_000)
    other.execute("BEGIN IMMEDIATE")
    before = len(sandbox.requests)
    assert db.execute(sql).fetchall() == [(3, "ftjob-00002")]
    assert len(sandbox.requests) == before
    other.close()


def test_no_credential_is_in_the_file(connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    db = connect(store=path)
    suffix = "CANARY"
    with pytest.raises(ftsql.APIError):
        db.execute(f"{INSERT} ('gpt-4o-mini', '{CANARY}')")
    db.execute(
        f"INSERT INTO fine_tuning_jobs (model, training_file, suffix) VALUES ('gpt-4o-mini', 'file-a', '{suffix}')"
    )
    db.execute(f"{ONE} -- {CANARY}")
    for file in tmp_path.glob("store.db*"):
        assert CANARY.encode() not in file.read_bytes()
    assert suffix.encode() in b"".join(file.read_bytes() for file in tmp_path.glob("store.db*"))


def _text(path: Path) -> None:
    path.write_text("no database " * 100)


def _foreign(path: Path) -> None:
    apsw.Connection(str(path)).execute("CREATE TABLE mine (x)")


def _newer(path: Path) -> None:
    store = Store(path)
    store.db.execute("PRAGMA user_version = 99")
    store.close()


def _cut(path: Path) -> None:
    store = Store(path)
    store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    path.write_bytes(path.read_bytes()[:5000])


BROKEN = {"text": (_text, "is not a database"), "foreign": (_foreign, "not a store of ftsql"),
          "newer": (_newer, "made by a newer ftsql"), "cut": (_cut, "malformed")}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_a_file_that_is_not_a_store_is_an_error_that_names_it_and_stays_unchanged(
    connect: Connect, tmp_path: Path, how: str
) -> None:
    path = tmp_path / "store.db"
    breaks, words = BROKEN[how]
    breaks(path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=words) as caught:
        connect(store=path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


def test_a_write_that_cannot_be_recorded_is_not_sent(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftsql.store.database.BUSY_MILLISECONDS", 100)
    path = tmp_path / "store.db"
    db = connect(store=path)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="cannot write to the store"):
        db.execute(ONE)
    with pytest.raises(StoreError):
        db.execute("SELECT create_job('gpt-4o-mini', 'file-a')").fetchall()
    other.execute("ROLLBACK")
    assert posts(sandbox) == []
    db.execute(ONE)
    assert len(posts(sandbox)) == 1


def test_a_full_disk_after_the_send_is_reported_and_the_job_is_cancelled(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    db = connect(store=tmp_path / "store.db")
    store = db.ftsql.store
    bad = INSERT + "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-none')"
    db.execute("BEGIN")
    db.execute(bad)
    store.db.execute("CREATE TEMP TRIGGER full BEFORE UPDATE ON main.writes WHEN new.state IN ('created', 'cancelled') "
                     "BEGIN SELECT raise(ABORT, 'database or disk is full'); END")  # fmt: skip
    with pytest.raises(ftsql.APIError, match="is cancelled now"):
        db.execute("COMMIT")
    assert [job["status"] for job in sandbox.jobs()] == ["cancelled"]
    assert any("the write journal could not be updated" in note for note in db.ftsql.take_notes())


def test_a_live_owner_is_distinguished_from_a_dead_one(tmp_path: Path) -> None:
    one, two = Store(tmp_path / "store.db"), Store(tmp_path / "store.db")
    assert not two.owner.is_alive(one.owner.name)
    one.owner.claim()
    assert two.owner.is_alive(one.owner.name)
    assert one.owner.is_alive(one.owner.name)
    one.close()
    assert not two.owner.is_alive(one.owner.name)
    two.close()


def _queue_many(path: Path, count: int, limit: int | None) -> None:
    store = Store(path)
    for _ in range(count):
        try:
            Journal(store).queue([Entry(provider="openai")], limit)
        except ProgrammingError:
            break
    os._exit(0)  # as a killed process: nothing is closed


@pytest.mark.parametrize("limit", [None, 30])
@pytest.mark.long
def test_several_processes_share_one_store(tmp_path: Path, limit: int | None) -> None:
    path = tmp_path / "store.db"
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=_queue_many, args=(path, 20, limit)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    store = Store(path)
    assert store.db.execute("SELECT count(*) FROM writes").get == (limit or 60)
    assert len(Journal(store).open()) == (limit or 60)
    store.close()


def test_the_days_limit_holds_for_all_connections_of_a_store(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "store.db"
    one, two = (connect(store=path, max_creates_per_day=3) for _ in range(2))
    one.execute(INSERT + "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-b')")
    with pytest.raises(ProgrammingError, match="max_creates_per_day = 3: 2 were sent in the last 24 hours"):
        two.execute(INSERT + "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-b')")
    with pytest.raises(ftsql.APIError):
        two.execute(INSERT + "('gpt-4o-mini', 'file-none')")  # refused: it does not count
    two.execute("SELECT create_job('gpt-4o-mini', 'file-c')").fetchall()
    for db in (one, two):
        with pytest.raises(ProgrammingError, match="nothing was sent"):
            db.execute("SELECT create_job('gpt-4o-mini', 'file-d')").fetchall()
    assert len(sandbox.jobs()) == 3
    one.ftsql.store.db.execute("UPDATE writes SET at = at - 90000")
    one.execute(ONE)


def test_the_days_limit_counts_creates_that_others_sent_before_the_commit(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    one, two = (connect(store=tmp_path / "store.db", max_creates_per_day=3) for _ in range(2))
    one.execute("BEGIN; " + INSERT + "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-b')")
    two.execute(INSERT + "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-b')")
    with pytest.raises(ProgrammingError, match="2 were sent in the last 24 hours, and 2 more would be too many"):
        one.execute("COMMIT")
    assert len(sandbox.jobs()) == 2
    one.execute(ONE)
    assert len(sandbox.jobs()) == 3


def test_creates_that_wait_for_their_commit_count_for_the_days_limit(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    db = connect(store=tmp_path / "store.db", max_creates_per_day=3)
    db.execute(ONE)
    db.execute("BEGIN")
    for _ in range(2):
        db.execute(ONE)
    with pytest.raises(ProgrammingError, match="max_creates_per_day = 3: 1 were sent in the last 24 hours, and 3 more"):
        db.execute(ONE)
    db.execute("UPDATE fine_tuning_jobs SET status = 'cancelled' WHERE status <> 'cancelled'")  # not a create
    db.execute("COMMIT")
    assert len(sandbox.jobs()) == 3


def test_the_sandbox_inside_the_process_leaves_the_users_store_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTSQL_STORE", str(tmp_path / "store.db"))
    db = ftsql.connect(sandbox=True)
    assert db.ftsql.store.path == ":memory:"
    db.close()
    assert not (tmp_path / "store.db").exists()


def test_accounts_differ_by_provider_address_and_credentials(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    one = connect()
    store = one.ftsql.store
    known = {store.account_id(account) for account in one.ftsql._session.accounts}
    for name, value in (("OPENAI_API_KEY", "sk-other-0123456789"), ("OPENAI_PROJECT_ID", "proj_1")):
        monkeypatch.setenv(name, value)
        known |= {store.account_id(account) for account in connect().ftsql._session.accounts}
    assert len(known) == 3
    assert all(CANARY not in account for account in known)


def test_threads_may_share_a_store_object(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    journal = Journal(store)

    def work() -> None:
        for _ in range(20):
            entry = Entry()
            journal.queue([entry])
            journal.record([entry.write_id], "refused")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.db.execute("SELECT count(*) FROM writes WHERE state = 'refused'").get == 80
    store.close()


OBJECTS_1 = """
    cover INTEGER, place INTEGER, id, created_at, estimated_finish, fine_tuned_model, finished_at, model, object,
    organization_id, seed, status, trained_tokens, training_file, validation_file, suffix, raw, finished INTEGER,
    checked_at REAL, listing TEXT, UNIQUE (cover, id)
"""


@pytest.mark.parametrize("version", [1, 2])
def test_a_store_of_an_older_version_keeps_its_writes_and_requests_the_rest_again(
    sandbox: Sandbox, connect: Connect, files: None, tmp_path: Path, version: int
) -> None:
    path = tmp_path / "store.db"
    db = connect(store=path)
    db.execute(ONE)
    db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall()
    db.close()
    older = apsw.Connection(str(path))
    older.execute("DELETE FROM meta WHERE name = 'kept'; ALTER TABLE covers DROP COLUMN habits")
    if version == 1:
        older.execute(f"DROP TABLE kept; CREATE TABLE objects ({OBJECTS_1})")
    older.pragma("user_version", version)
    older.close()
    db = connect(store=path)
    sandbox.requests.clear()
    assert [row[0] for row in db.execute("SELECT state FROM ftsql_writes")] == ["committed"]
    assert db.execute("SELECT count(*), count(method) FROM fine_tuning_jobs").fetchall() == [(1, 1)]
    assert len(sandbox.requests) == 1
    sandbox.requests.clear()
    db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall()
    assert len(sandbox.requests) == 1


COLUMN = """
import sys
from typing import Annotated
from ftsql.resources import fields
from ftsql.resources import definitions as resources
resources.FineTuningJob.__annotations__["priority"] = Annotated[fields.Text, fields.Column("TEXT", "A column more.")]
for name in [name for name in sys.modules if name.startswith("ftsql") and name not in ("ftsql.resources.fields", "ftsql.errors",
             "ftsql.resources.resource", "ftsql.resources.definitions", "ftsql.interrupts")]:
    del sys.modules[name]
for cached in ("documented", "columns", "schema", "_adapter"):
    resources.JOBS.__dict__.pop(cached, None)
import warnings
warnings.simplefilter("error")
import ftsql
db = ftsql.connect(store=sys.argv[1])
for _ in range(2):
    print(db.execute("SELECT priority, count(*) FROM fine_tuning_jobs GROUP BY 1").fetchall())
print([row for row in db.execute("SELECT type, pushed_down FROM ftsql_columns WHERE column_name = 'priority'")])
print(db.execute("SELECT count(*) FROM ftsql_requests").get)
print(db.execute("SELECT count(*) FROM ftsql_writes").get)
"""


def test_a_new_column_in_the_model_is_one_line_and_the_store_has_it_too(
    sandbox: Sandbox, connect: Connect, files: None, tmp_path: Path
) -> None:
    fill(sandbox, 150, priority="high")
    path = tmp_path / "store.db"
    db = connect(store=path)
    db.execute(ONE)
    db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall()
    db.close()  # a store without the column
    done = subprocess.run([sys.executable, "-c", COLUMN, str(path)], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "[(None, 1), ('high', 150)]", "[(None, 1), ('high', 150)]", "[('TEXT', None)]", "3", "1"
    ]  # fmt: skip
    again = connect(store=path)  # and back: the rows are requested again, the journal stays
    assert again.execute("SELECT count(*) FROM fine_tuning_jobs").get == 151
    assert again.execute("SELECT count(*) FROM ftsql_writes").get == 1
