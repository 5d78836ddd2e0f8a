"""Stored rows are used, checked and dropped as the API changes, and no row is ever wrong."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql.resources import cells
from ftsql.resources.definitions import JOBS
from ftsql.resources.resource import Row
from ftsql.sandbox import Fault, Sandbox
from ftsql.store.cache import Cache
from tests.answering import api, job
from tests.conftest import At, Connect, fill, gets

COUNT = "SELECT count(*) FROM fine_tuning_jobs"
LIST = r"/fine_tuning/jobs$"


@pytest.fixture(autouse=True)
def _nothing_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftsql.read.listing.SLOW_PAGE", float("inf"))


def test_a_finished_job_is_served_as_it_was_received(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"metadata": {"team": "ads", "ftsql_key": "k"}, "error": {}, "unknown": {"x": [1, None, 1.5, "é"]},
              "result_files": ["file-1"], "seed": 2**31 - 1, "estimated_finish": 0, "trained_tokens": 10**12}  # fmt: skip
    fill(sandbox, 130, **fields)
    store = tmp_path / "store.db"
    columns = "*, suffix, raw, key, fine_tuning_job_id"
    sql = f"SELECT {columns} FROM fine_tuning_jobs ORDER BY key"
    received = connect(store=store).execute(sql).fetchall()
    sandbox.requests.clear()
    assert connect(store=store).execute(sql).fetchall() == received
    assert len(gets(sandbox)) == 1
    by_id = connect(store=store).execute(f"SELECT {columns} FROM fine_tuning_jobs WHERE id = 'ftjob-00120'").fetchall()
    assert by_id == [row for row in received if row[-2:] == ("openai/ftjob-00120", "ftjob-00120")]
    assert len(gets(sandbox)) == 1
    for name in ("metadata", "raw", "seed", "result_files", "error"):
        one = f"SELECT {name} FROM fine_tuning_jobs WHERE id = 'ftjob-00120'"
        by_get = connect().execute(one).fetchall()
        assert connect(store=store).execute(one).fetchall() == by_get, name


def test_a_state_is_never_older_than_the_statement(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 250)
    for place in (3, 150, 249):
        sandbox.update_job(f"ftjob-{place:05}", status="running", finished_at=None)
    shapes = ["SELECT id, status FROM fine_tuning_jobs WHERE status = '{}'",
              "SELECT id, status FROM fine_tuning_jobs WHERE id = 'ftjob-00150' AND status = '{}'",
              "SELECT id, status FROM fine_tuning_jobs WHERE created_at > 1 AND status = '{}'",
              "SELECT id, status FROM (SELECT * FROM fine_tuning_jobs ORDER BY created_at DESC) WHERE status = '{}'",
              "SELECT a.id, b.status FROM fine_tuning_jobs a JOIN fine_tuning_jobs b USING (id) WHERE b.status = '{}'"]  # fmt: skip
    db.execute(COUNT).fetchall()
    for number, shape in enumerate(shapes * 2):
        status = f"status-{number}"
        sandbox.update_job("ftjob-00150", status=status)
        assert db.execute(shape.format(status)).fetchall() == [("ftjob-00150", status)], shape
        assert db.execute(shape.format(f"status-{number - 1}")).fetchall() == []


def test_a_job_that_appears_or_ends_while_a_known_list_is_read_disturbs_nothing(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    ids = fill(sandbox, 350)
    sandbox.update_job("ftjob-00300", status="running", finished_at=None)
    db.execute(COUNT).fetchall()
    for sql in ("SELECT id FROM fine_tuning_jobs", "SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC"):
        cursor = db.execute(sql)
        found = [next(cursor)[0]]
        sandbox.add_job(id=f"ftjob-new-{len(sandbox.jobs())}", created_at=1_790_000_500 + len(sandbox.jobs()))
        db.execute("SELECT * FROM fine_tuning_jobs WHERE id = 'ftjob-00300'").fetchall()  # nested, in between
        found += [id for (id,) in cursor]
        assert sorted(found) == sorted(ids)
        ids.append(sandbox.jobs()[0]["id"])


def test_an_active_job_that_was_deleted_is_gone_and_its_page_is_read_by_others(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    fill(sandbox, 350)
    for place in (199, 200, 201, 202):
        sandbox.update_job(f"ftjob-{place:05}", status="running", finished_at=None)
    db.execute(COUNT).fetchall()
    sandbox.remove_job("ftjob-00198")  # the page with the active jobs starts after it
    sandbox.remove_job("ftjob-00201")
    assert db.execute("SELECT id FROM fine_tuning_jobs WHERE status = 'running' ORDER BY id").fetchall() == [
        ("ftjob-00199",), ("ftjob-00200",), ("ftjob-00202",)
    ]  # fmt: skip


def test_jobs_at_work_of_one_second_are_asked_for_one_by_one_where_nothing_newer_is_left(at: At) -> None:
    """The list has the jobs in another order than the store."""
    newest = [job(number, id=f"ftjob-newest-{number}", created_at=1_700_000_900 - number) for number in range(3)]
    same = [job(number, id=f"ftjob-{number:03}", created_at=1_700_000_000) for number in reversed(range(150))]
    older = [job(number, id=f"ftjob-older-{number}", created_at=1_600_000_000 - number) for number in range(10)]
    found = [*newest, *same, *older]
    work = {"ftjob-000", "ftjob-001", "ftjob-005"}

    def become(status: str) -> None:
        for each in same:
            if each["id"] in work:
                each |= {"status": status, "finished_at": None, "fine_tuned_model": None}

    become("running")
    server, db = at(lambda asked: api(found)(asked))
    states = "SELECT id, status FROM fine_tuning_jobs WHERE status <> 'succeeded' ORDER BY id"
    assert db.execute(states).fetchall() == [(id, "running") for id in sorted(work)]
    become("paused")
    del found[:3]
    server.asked.clear()
    assert db.execute(states).fetchall() == [(id, "paused") for id in sorted(work)]
    singles = [f"/ftjob-newest-{number}" for number in range(3)] + [f"/{id}" for id in work]
    assert sorted(server.requests) == sorted([*singles, "?limit=100", "?limit=100&after=ftjob-000"])


@pytest.mark.parametrize("tied", [False, True])
def test_a_job_that_the_statement_asked_for_before_is_counted_once_with_the_known_list(
    sandbox: Sandbox, db: ftsql.Connection, tied: bool
) -> None:
    """This holds also if the job was created in the second at which the newest page ends."""
    ids = fill(sandbox, 250)
    sandbox.update_job(ids[100], status="running", finished_at=None, fine_tuned_model=None)
    if tied:
        sandbox.update_job(ids[100], created_at=1_790_000_000 - 60 * 99)
    db.execute(COUNT).fetchall()
    sandbox.update_job(ids[100], status="paused")
    one = f"SELECT status FROM fine_tuning_jobs WHERE id = '{ids[100]}'"
    counts = "SELECT count(*), count(DISTINCT id), sum(status = 'paused') FROM fine_tuning_jobs"
    sandbox.requests.clear()
    assert db.execute(f"SELECT * FROM ({one}) JOIN ({counts})").fetchall() == [("paused", 250, 250, 1)]
    assert gets(sandbox) == [f"/{ids[100]}", "?limit=100"]


@pytest.mark.parametrize("status", [403, 500])
def test_a_job_at_work_that_cannot_be_asked_for_is_an_error_and_shown_no_older(
    sandbox: Sandbox, db: ftsql.Connection, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr("ftsql.api.retry.RETRY_SECONDS", 0.0)
    fill(sandbox, 250)
    sandbox.update_job("ftjob-00150", status="running", finished_at=None)
    db.execute(COUNT).fetchall()
    sandbox.fault(Fault(path="/ftjob-00150$", status=status))
    sandbox.requests.clear()
    with pytest.raises(ftsql.APIError, match=f"HTTP {status}"):
        db.execute(COUNT).fetchall()
    assert gets(sandbox) == ["?limit=100", "/ftjob-00150"]
    assert db.execute(COUNT).get == 250


def test_a_job_that_the_newest_pages_no_longer_show_is_asked_for_and_forgotten(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    fill(sandbox, 250)
    db.execute(COUNT).fetchall()
    sandbox.remove_job("ftjob-00007")
    sandbox.requests.clear()
    assert db.execute(COUNT).get == 249
    assert gets(sandbox) == ["?limit=100", "/ftjob-00007"]
    sandbox.requests.clear()
    assert db.execute(COUNT).get == 249
    assert gets(sandbox) == ["?limit=100"]


def test_a_list_that_changes_while_its_new_jobs_are_read_is_read_anew_to_its_end(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    fill(sandbox, 250)
    db.execute(COUNT).fetchall()
    for number in range(150):
        sandbox.add_job(id=f"ftjob-new-{number:03}", created_at=1_790_000_001 + number)
    reading = db.execute("SELECT id FROM fine_tuning_jobs")
    found = [next(reading)]
    sandbox.remove_job("ftjob-new-050")  # the last job of the first page
    sandbox.requests.clear()
    found += reading
    assert len(set(found)) == len(found) == 400
    pages = [f"?limit=100&after={id}" for id in ("ftjob-new-049", "ftjob-00050", "ftjob-00150")]
    gone = "/ftjob-new-050"  # requested when the page after it is odd, and when the end of the list lacks it
    assert gets(sandbox) == ["?limit=100&after=ftjob-new-050", gone, "?limit=100", *pages, gone]


def test_a_list_that_shows_nothing_of_what_is_known_is_read_to_its_end(sandbox: Sandbox, db: ftsql.Connection) -> None:
    """An example is a job of another project, once the key may see it."""
    newest = [sandbox.add_job(created_at=1_790_001_000 + number, status="succeeded")["id"] for number in range(3)]
    assert db.execute(COUNT).get == 3
    for id in newest:
        sandbox.remove_job(id)
    fill(sandbox, 250)
    assert db.execute(COUNT).get == 250


def test_a_job_of_the_future_hides_no_new_ones(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 250)
    sandbox.add_job(id="ftjob-future", created_at=4_000_000_000)
    db.execute(COUNT).fetchall()
    for number in range(150):
        sandbox.add_job(id=f"ftjob-new-{number}", created_at=int(time.time()) + number)
    assert db.execute(COUNT).get == 401


def test_a_job_that_turns_up_late_is_found(sandbox: Sandbox, db: ftsql.Connection) -> None:
    now = int(time.time())
    fill(sandbox, 150, newest=now - 5)
    db.execute(COUNT).fetchall()
    sandbox.add_job(id="ftjob-late", created_at=now - 100)  # older than the newest job on the page
    assert db.execute(COUNT).get == 151


def test_a_list_whose_order_broke_is_read_in_full_for_a_day(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    fill(sandbox, 250)
    store = tmp_path / "store.db"
    connect(store=store).execute(COUNT).fetchall()
    sandbox.fault(Fault(path=LIST, lie="shuffled"))
    assert connect(store=store).execute(COUNT).get == 250
    newest = "SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 3"
    for hours, pages in ((0, 3), (23, 3), (2, 1)):
        connect(store=store).ftsql.store.db.execute("UPDATE covers SET broke_at = broke_at - ? * 3600", (hours,))
        sandbox.clear_faults()
        sandbox.requests.clear()
        assert connect(store=store).execute(newest).fetchall() == [(f"ftjob-{place:05}",) for place in range(3)]
        assert len(gets(sandbox)) == pages
        sandbox.fault(Fault(path=LIST, lie="shuffled"))
        # A list that was not trusted does not delay the full listing.
        assert connect(store=store).execute(COUNT).get == 250


def test_a_full_list_out_of_order_is_known_up_to_its_newest(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    fill(sandbox, 250)
    db = connect(store=tmp_path / "store.db")
    sandbox.fault(Fault(path=LIST, times=None, lie="oldest_first"))
    assert db.execute(COUNT).get == 250
    sandbox.clear_faults()
    db.ftsql.store.db.execute("UPDATE covers SET broke_at = NULL")
    sandbox.requests.clear()
    assert connect(store=tmp_path / "store.db").execute(COUNT).get == 250
    assert gets(sandbox) == ["?limit=100"]


def test_what_one_statement_read_others_know_once_it_is_over(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    fill(sandbox, 30)
    one, other = (connect(store=tmp_path / "store.db") for _ in range(2))
    sql = "SELECT id FROM fine_tuning_jobs WHERE id = 'ftjob-00007'"
    for db in (one, other):
        assert db.execute(sql).fetchall() == [("ftjob-00007",)]
    assert gets(sandbox) == ["/ftjob-00007"]


@pytest.mark.parametrize("damage", ["", "DROP TABLE kept", "DROP TABLE covers"])
def test_the_order_of_a_list_is_believed_though_the_store_fails(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, damage: str
) -> None:
    fill(sandbox, 250)
    db = connect(store=tmp_path / "store.db")
    other = apsw.Connection(str(tmp_path / "store.db"))
    other.execute(damage)
    other.close()
    sandbox.requests.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        newest = db.execute("SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 3").fetchall()
        db.close()  # or the next statement says that the rows could not be kept
    assert newest == [(f"ftjob-{place:05}",) for place in range(3)]
    assert gets(sandbox) == ["?limit=20"]


@pytest.mark.long
def test_a_store_that_is_cleared_while_it_is_read_is_an_error_and_no_short_list(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    fill(sandbox, 2500)
    store = tmp_path / "store.db"
    db, other = connect(store=store), connect(store=store)
    db.execute(COUNT).fetchall()
    cursor = db.execute("SELECT id FROM fine_tuning_jobs")
    for _ in range(500):
        next(cursor)
    other.ftsql.store.clear()
    with pytest.raises(ftsql.StoreError, match="was cleared while it was read: run the statement again"):
        list(cursor)
    assert db.execute(COUNT).get == 2500
    other.ftsql.store.clear()
    cursor = db.execute("SELECT id FROM fine_tuning_jobs WHERE created_at > 0")
    other.ftsql.store.clear()  # in the middle of a full listing
    assert len(list(cursor)) == 2500
    assert db.execute(COUNT).get == 2500


def test_two_listings_at_once_forget_nothing_of_each_other(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = connect(store=tmp_path / "store.db").ftsql._session
    (account,) = session.accounts
    one, two = (Cache(session.journal.store, account, session.settings) for _ in range(2))
    rows = JOBS.rows("openai", [{"id": "ftjob-a", "created_at": 5, "status": "running"}])
    for known in (one, two):
        known.coverage()

    def at(seconds: float) -> None:
        monkeypatch.setattr("ftsql.store.cache.time.time", lambda: seconds)

    at(10.2)
    one.save(rows, "one")
    at(10.0)
    two.save(rows, "two")  # it had read its page before, and waited for the file
    one.extend_coverage("one", 5, 10.1, full=True, shown={"ftjob-a"})
    assert one.count() == 1
    at(10.3)
    one.save(rows, "one")
    # ``one`` saw the job after ``two`` began, so the job may be new.
    two.extend_coverage("two", 5, 10.0, full=True, shown=set())
    assert two.count() == 1
    two.extend_coverage("three", 5, 11.0, full=True, shown=set())
    assert two.count() == 0


def test_the_store_tells_what_it_knows_and_forgets_it_when_it_is_cleared(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    fill(sandbox, 249)
    sandbox.add_job(id="ftjob-runs", status="running", created_at=1_780_000_000)
    db = connect(store=tmp_path / "store.db")
    store = db.ftsql.store
    assert store.contents() == []
    began = time.time()
    db.execute(COUNT).fetchall()
    db.execute("SELECT count(*) FROM fine_tuning_job_events('ftjob-00000')").fetchall()  # of a job: not told of
    ((provider, jobs, finished, horizon, full_at),) = store.contents()
    assert (provider, jobs, finished, horizon) == ("openai", 250, 249, 1_790_000_000)
    assert began <= full_at <= time.time()
    full = store.size()
    store.clear()
    assert store.contents() == []
    assert store.size() < full / 2
    cursor = db.execute("SELECT id FROM fine_tuning_jobs")
    next(cursor)
    assert [jobs for _, jobs, *_ in store.contents()] == [100]
    assert len([next(cursor) for _ in range(100)]) == 100
    store.clear()  # what was read and waits to be kept is forgotten, too
    assert store.contents() == []
    assert len(list(cursor)) == 149
    sandbox.requests.clear()
    assert db.execute(COUNT).get == 250
    assert len(gets(sandbox)) == 3


def test_clearing_keeps_open_writes_and_those_of_the_day(sandbox: Sandbox, connect: Connect) -> None:
    sandbox.add_file(id="file-a")
    db = connect(settle_seconds=0.1)
    insert = "INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-a')"
    sandbox.fault(Fault(method="POST", path=LIST, drop=True))
    with pytest.raises(ftsql.OutcomeUnknown):
        db.execute(insert)
    db.execute(insert)
    db.execute(insert)
    db.ftsql.store.db.execute("UPDATE writes SET at = at - 90000 WHERE write_id <> 3")
    db.ftsql.store.clear()
    assert db.execute("SELECT write_id, state FROM ftsql_writes").fetchall() == [(1, "unknown"), (3, "committed")]


@pytest.mark.parametrize("how", ["locked", "broken"])
def test_a_store_that_fails_is_said_and_everything_is_asked_for(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("ftsql.store.database.BUSY_MILLISECONDS", 100)
    fill(sandbox, 250)
    path = tmp_path / "store.db"
    db = connect(store=path)
    db.execute(COUNT).fetchall()
    db.ftsql.store.flush()
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE" if how == "locked" else "DROP TABLE kept")
    sandbox.add_job(id="ftjob-new", created_at=1_790_000_100)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert db.execute("SELECT count(*), count(DISTINCT id) FROM fine_tuning_jobs").fetchall() == [(251, 251)]
    assert len([warning for warning in caught if "cannot be used" in str(warning.message)]) == 1
    if how == "locked":
        other.execute("ROLLBACK")
    assert db.execute(COUNT).get == 251


def test_what_json_or_sqlite_cannot_keep_is_asked_for_again(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 130)
    odd = lambda body: body | {"data": [job | {"unknown": float("nan")} for job in body["data"]]}  # noqa: E731
    sandbox.fault(Fault(path=LIST, times=None, transform=odd))
    for _ in range(2):
        assert db.execute(COUNT).get == 130


def test_a_job_of_a_list_that_is_read_to_its_end_anyway_is_not_asked_for_by_itself(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    fill(sandbox, 250)
    found = db.execute(
        "SELECT (SELECT count(*) FROM fine_tuning_jobs WHERE created_at >= 1790000000 - 60 * j.number), "
        "(SELECT created_at FROM fine_tuning_jobs WHERE id = 'ftjob-00150') "
        "FROM (SELECT 9 AS number, id FROM fine_tuning_jobs) AS j WHERE j.id || '' <> ''"
    ).fetchall()
    assert found == [(10, 1_790_000_000 - 60 * 150)] * 250
    assert gets(sandbox) == ["?limit=100", "?limit=100&after=ftjob-00099", "?limit=100&after=ftjob-00199"]


def test_max_requests_holds_for_what_goes_side_by_side(sandbox: Sandbox, connect: Connect) -> None:
    db = connect(max_requests=4)
    fill(sandbox, 350)
    for place in (0, 150, 250, 349):
        sandbox.update_job(f"ftjob-{place:05}", status="running", finished_at=None)
    db.execute(COUNT).fetchall()
    db.execute(COUNT).fetchall()
    sandbox.requests.clear()
    db.close()
    tight = connect(max_requests=3)
    with pytest.raises(ftsql.Error, match="max_requests = 3"):
        tight.execute(COUNT).fetchall()
    assert len(gets(sandbox)) == 3


def test_pages_are_sent_for_ahead_only_where_all_of_them_are_read(
    sandbox: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftsql.read.listing.SLOW_PAGE", -1.0)
    fill(sandbox, 350)
    for sql, pages in [("SELECT id FROM fine_tuning_jobs", 4),
                       ("SELECT id FROM fine_tuning_jobs LIMIT 100", 1),
                       ("SELECT EXISTS (SELECT 1 FROM fine_tuning_jobs WHERE status = 'succeeded')", 1),
                       ("SELECT id FROM fine_tuning_jobs WHERE created_at > 1790000000 - 60 * 50", 1),
                       ("SELECT max(created_at) FROM fine_tuning_jobs", 1),
                       ("SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC", 4)]:  # fmt: skip
        db = connect()
        sandbox.requests.clear()
        db.execute(sql).fetchall()
        assert len(gets(sandbox)) == pages, sql
        db.close()


def test_after_a_refresh_even_a_finished_job_is_what_the_api_shows(sandbox: Sandbox, db: ftsql.Connection) -> None:
    ids = fill(sandbox, 150)
    count = "SELECT count(*), sum(trained_tokens IS 7), sum(status = 'running') FROM fine_tuning_jobs"
    db.execute(count).fetchall()
    sandbox.update_job(ids[120], trained_tokens=7)
    sandbox.update_job(ids[121], status="running", finished_at=None)
    assert db.execute(count).fetchall() == [(150, 0, 0)]
    db.ftsql.refresh()
    for _ in range(2):
        assert db.execute(count).fetchall() == [(150, 1, 1)]


def test_what_was_read_of_one_list_says_nothing_of_another(sandbox: Sandbox, connect: Connect) -> None:
    """The lists of jobs and of two jobs' events each have their own state in the store: read in full, complete, up to date."""
    fill(sandbox, 250)
    sandbox.update_job("ftjob-00000", status="running", finished_at=None, fine_tuned_model=None)
    db = connect(max_age=3600)
    sql = "SELECT count(*) FROM fine_tuning_job_events('{}')"
    assert db.execute("SELECT status FROM fine_tuning_jobs WHERE id = 'ftjob-00050'").get == "succeeded"
    events = db.execute(sql.format("ftjob-00000")).get
    assert events
    assert db.execute(COUNT).get == 250  # one of them was known
    db.ftsql.store.db.execute("UPDATE covers SET looked_at = looked_at - 4000")
    sandbox.add_job(id="ftjob-new", created_at=1_790_000_100)
    sandbox.requests.clear()
    for _ in range(2):
        assert db.execute(sql.format("ftjob-00000")).get == events
    assert gets(sandbox) == ["/ftjob-00000/events?limit=100"]  # max_age begins anew
    assert db.execute(COUNT).get == 251
    assert db.execute(sql.format("ftjob-00050")).get  # the job had finished, so its events are complete
    sandbox.update_job("ftjob-00000", status="succeeded", finished_at=int(time.time()), fine_tuned_model="ft:x")
    db.ftsql.store.db.execute("UPDATE covers SET looked_at = looked_at - 4000")
    assert db.execute(COUNT).get == 251
    sandbox.requests.clear()
    assert db.execute(sql.format("ftjob-00000")).get == events
    assert gets(sandbox) == ["/ftjob-00000/events?limit=100"]  # there may be new events


def test_max_age_begins_anew_with_a_look_at_all_jobs_and_not_with_one_at_the_newer(
    sandbox: Sandbox, connect: Connect
) -> None:
    fill(sandbox, 250)
    db = connect(max_age=3600)
    assert db.execute(COUNT).get == 250
    db.ftsql.store.db.execute("UPDATE covers SET looked_at = looked_at - 4000")
    newer = f"{COUNT} WHERE created_at > 1790000000 - 60 * 150"
    for sql, count, requests in ((newer, 150, ["?limit=100"]), (COUNT, 250, ["?limit=100"]), (COUNT, 250, [])):
        sandbox.requests.clear()
        assert db.execute(sql).get == count
        assert gets(sandbox) == requests


def test_a_look_at_the_newest_page_makes_its_newest_job_the_end_of_the_next_look(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    fill(sandbox, 250)
    db.execute(COUNT).fetchall()
    sandbox.add_job(id="ftjob-newer", created_at=1_790_000_060)
    assert db.execute(COUNT).get == 251
    for number in range(98):
        sandbox.add_job(id=f"ftjob-newest-{number}", created_at=1_790_000_100 + number)
    sandbox.requests.clear()
    assert db.execute(COUNT).get == 349
    assert gets(sandbox) == ["?limit=100"]  # its last job is older than the newest of the look before


@pytest.mark.usefixtures("files")
def test_our_own_writes_are_shown_whatever_max_age_says(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    fill(sandbox, 3, status="running", finished_at=None)
    db = connect(store=tmp_path / "store.db", max_age=60)
    states = "SELECT status, count(*) FROM fine_tuning_jobs GROUP BY status ORDER BY status"
    assert db.execute(states).fetchall() == [("running", 3)]
    db.execute("INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-a')")
    assert db.execute(COUNT).get == 4
    db.execute("SELECT cancel_job('ftjob-00001')").fetchall()
    one = "SELECT id, status FROM fine_tuning_jobs WHERE id = ?"
    sandbox.requests.clear()
    assert db.execute(one, ("ftjob-00001",)).fetchall() == [("ftjob-00001", "cancelled")]
    assert db.execute(one, ("ftjob-00002",)).fetchall() == [("ftjob-00002", "running")]
    assert gets(sandbox) == ["/ftjob-00001"]  # max_age holds for the other job
    assert ("cancelled", 1) in db.execute(states).fetchall()
    assert db.execute(COUNT).get == 4


def test_a_job_that_turns_up_late_pages_below_the_newest_is_found(sandbox: Sandbox, db: ftsql.Connection) -> None:
    newest = int(time.time()) - 5
    for number in range(420):  # four a second
        sandbox.add_job(id=f"ftjob-{number:05}", created_at=newest - number // 4)
    assert db.execute(COUNT).get == 420
    # On the fourth page, and within the time that a list may lag.
    sandbox.add_job(id="ftjob-late", created_at=newest - 90)
    assert db.execute(COUNT).get == 421


def test_what_cannot_be_kept_below_the_first_page_is_shown_each_time(
    sandbox: Sandbox, db: ftsql.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = fill(sandbox, 250)
    honest = cells.whole

    def refusing(row: Row) -> Any:
        if row.id == ids[150]:
            raise ValueError("nothing that JSON can say")
        return honest(row)

    monkeypatch.setattr("ftsql.store.cache.whole", refusing)
    for _ in range(3):
        assert db.execute("SELECT count(DISTINCT id) FROM fine_tuning_jobs").get == 250
