"""Lists are complete or an error: every way in which a server's pages can lie or break."""

from __future__ import annotations

import time
from typing import Any

import pytest

import ftsql
from ftsql.sandbox import Fault, Sandbox
from tests.answering import PATH, Asked, api, job, jobs
from tests.conftest import At, Connect, fill, gets

LIST = r"/fine_tuning/jobs$"


@pytest.fixture(autouse=True)
def _nothing_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes while a list is read changes between two known pages."""
    monkeypatch.setattr("ftsql.read.listing.SLOW_PAGE", float("inf"))


COUNT = "SELECT count(*), count(DISTINCT id) FROM fine_tuning_jobs"


def count(db: ftsql.Connection) -> int:
    ((total, distinct),) = db.execute(COUNT).fetchall()
    assert total == distinct
    assert isinstance(total, int)
    return total


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 200, 250])
@pytest.mark.parametrize("lie", [None, "no_has_more", "full_page_has_more"])
def test_a_listing_is_complete_for_every_way_to_signal_its_end(
    sandbox: Sandbox, db: ftsql.Connection, size: int, lie: str | None
) -> None:
    fill(sandbox, size)
    if lie:
        sandbox.fault(Fault(path=LIST, times=None, lie=lie))
    assert count(db) == size


@pytest.mark.parametrize("lie", ["has_more_forever", "repeat_page", "empty_page"])
def test_a_list_that_never_ends_is_an_error_not_a_hang(sandbox: Sandbox, db: ftsql.Connection, lie: str) -> None:
    fill(sandbox, 250)
    sandbox.fault(Fault(path=LIST, times=None, lie=lie))
    with pytest.raises(ftsql.Error, match="openai: .*says that there is more, but shows nothing new"):
        count(db)
    assert len(sandbox.requests) < 10


def test_has_more_absent_costs_one_more_page(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 137)
    sandbox.fault(Fault(path=LIST, times=None, lie="no_has_more"))
    pages = ["?limit=100", "?limit=100&after=ftjob-00099"]
    assert count(db) == 137
    assert gets(sandbox) == [*pages, "?limit=100&after=ftjob-00136"]
    db.ftsql.store.db.execute("UPDATE covers SET full_at = 0")
    sandbox.requests.clear()
    assert count(db) == 137
    assert gets(sandbox) == [*pages, "?limit=100&after=ftjob-00136"]


@pytest.mark.parametrize("lie", [None, "silent_unknown_after", "restart_unknown_after"])
def test_a_cursor_deleted_while_the_list_is_read_loses_no_job(
    sandbox: Sandbox, db: ftsql.Connection, lie: str | None
) -> None:
    ids = fill(sandbox, 250)
    if lie:
        sandbox.fault(Fault(path=LIST, times=None, lie=lie))
    found: list[Any] = []
    for (id,) in db.execute("SELECT id FROM fine_tuning_jobs"):
        if len(found) == 50:
            sandbox.remove_job(ids[99])
        found.append(id)
    assert sorted(found) == ids  # the deleted one was read before


@pytest.mark.parametrize("lie", ["shuffled", "oldest_first"])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT created_at FROM fine_tuning_jobs ORDER BY created_at DESC",
        "SELECT created_at FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 30",
        "SELECT max(created_at) FROM fine_tuning_jobs",
        "SELECT count(*) FROM fine_tuning_jobs WHERE created_at >= 1790000000 - 60 * 40",
        "SELECT count(*) FROM fine_tuning_jobs WHERE created_at = 1790000000 - 60 * 240",
    ],
)
def test_a_list_out_of_order_gives_the_right_rows(sandbox: Sandbox, db: ftsql.Connection, sql: str, lie: str) -> None:
    fill(sandbox, 250)
    expected = db.execute(sql).fetchall()
    sandbox.fault(Fault(path=LIST, times=None, lie=lie))
    assert db.execute(sql).fetchall() == expected


def test_an_order_that_breaks_after_rows_were_returned_in_it_is_an_error_once(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    ids = fill(sandbox, 150)
    sandbox.fault(Fault(path=LIST, times=None, transform=_displaced))
    sql = "SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC"
    with pytest.raises(ftsql.Error, match="not newest-first"):
        db.execute(sql).fetchall()
    assert len(db.execute(sql).fetchall()) == 150
    assert db.execute(sql).fetchall()[0] == (ids[120],)


def test_a_broken_order_is_trusted_again_a_day_later(
    sandbox: Sandbox, db: ftsql.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sandbox, 250)
    sandbox.fault(Fault(path=LIST, times=3, transform=_displaced))
    newest = "SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT {}"  # a new statement each time
    assert db.execute("SELECT count(*) FROM fine_tuning_jobs").get == 250
    for days, pages, limit in ((0.0, 3, 5), (1.1, 1, 6)):
        sandbox.requests.clear()
        now = time.time() + days * 86_400
        with monkeypatch.context() as patch:
            patch.setattr("ftsql.api.account.time.time", lambda now=now: now)
            assert len(db.execute(newest.format(limit)).fetchall()) == limit
        assert len(sandbox.requests) == pages


def _displaced(body: dict[str, Any]) -> dict[str, Any]:
    """Makes one job far down the list the newest of all."""
    changed = [job | {"created_at": 1_800_000_000} if job["id"] == "ftjob-00120" else job for job in body["data"]]
    return body | {"data": changed}


def test_verify_order_lists_in_full(sandbox: Sandbox, connect: Connect) -> None:
    fill(sandbox, 250)
    db = connect(verify_order=True)
    assert len(db.execute("SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 5").fetchall()) == 5
    assert len(sandbox.requests) == 3


def test_an_inclusive_cursor_neither_doubles_nor_loses_a_job(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 250)
    seen: list[Any] = []

    def inclusive(body: dict[str, Any]) -> dict[str, Any]:
        data = seen[-1:] + body["data"]
        seen.extend(body["data"])
        return body | {"data": data}

    sandbox.fault(Fault(path=LIST, times=None, transform=inclusive))
    assert count(db) == 250


def test_a_second_pass_that_ends_early_is_an_error(sandbox: Sandbox, db: ftsql.Connection) -> None:
    ids = fill(sandbox, 350)
    cursor = db.execute("SELECT id FROM fine_tuning_jobs")
    next(cursor)
    sandbox.remove_job(ids[99])
    short = lambda body: body | {"data": body["data"][:5], "has_more": False}  # noqa: E731
    sandbox.fault(Fault(path=LIST, after=1, times=None, transform=short))
    with pytest.raises(ftsql.Error, match="which it showed and which still exists"):
        list(cursor)


def test_a_job_created_while_the_list_is_read_does_not_disturb_it(sandbox: Sandbox, db: ftsql.Connection) -> None:
    ids = fill(sandbox, 250)
    cursor = db.execute("SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC")
    found = [next(cursor)[0]]
    sandbox.add_job(id="ftjob-new", created_at=1_790_000_500)
    found += [id for (id,) in cursor]
    assert found == ids


@pytest.mark.long
def test_a_page_that_fails_for_a_while_is_requested_again(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 250)
    sandbox.fault(Fault(path=LIST, after=1, times=1, status=500))
    sandbox.fault(Fault(path=LIST, after=2, times=1, drop=True))
    assert count(db) == 250


def test_a_page_that_keeps_failing_is_an_error_and_never_a_short_list(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 250)
    sandbox.fault(Fault(path=LIST, after=1, times=None, status=400, body={"error": {"message": "no"}}))
    with pytest.raises(ftsql.APIError, match="no"):
        count(db)


def _capped(**words: Any) -> Any:
    """Return an editor of lists: 20 objects a page for any limit, no has_more, and the counts in ``words``."""

    def shown(body: dict[str, Any]) -> dict[str, Any]:
        return {"object": "list", "data": body["data"][:20], **words}

    return shown


@pytest.mark.parametrize("words", [{"total_count": 60}, {"total": 60}, {"meta": {"total_results": 60}}])
def test_a_list_that_counts_more_than_it_shows_is_read_on(
    sandbox: Sandbox, db: ftsql.Connection, words: dict[str, Any]
) -> None:
    fill(sandbox, 60)
    sandbox.fault(Fault(path=LIST, times=None, transform=_capped(**words)))
    assert count(db) == 60


@pytest.mark.parametrize("words", [{"total_count": 61}, {"has_more": False, "total_count": 60}, {"next": "/x?page=2"}])
def test_a_list_that_ends_before_its_own_count_is_an_error(
    sandbox: Sandbox, db: ftsql.Connection, words: dict[str, Any]
) -> None:
    fill(sandbox, 60)
    sandbox.fault(Fault(path=LIST, times=None, transform=_capped(**words)))
    with pytest.raises(ftsql.Error, match="counts more jobs than it shows"):
        count(db)


def test_a_page_with_only_known_rows_is_not_the_end(at: At) -> None:
    found = jobs(150)

    def answering(asked: Asked) -> Any:
        if asked.path != PATH or "after" not in asked.query:
            return api(found)(asked)
        return {"data": found[40:60], "has_more": False}

    _, db = at(answering)
    with pytest.raises(ftsql.Error, match="changed again and again|Nothing is shown rather than a short list"):
        db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall()


@pytest.mark.parametrize("has_more", [False, True])
def test_a_list_whose_order_changes_between_two_pages_is_read_again(at: At, has_more: bool) -> None:
    found = jobs(250)
    moved = [0]

    def answering(asked: Asked) -> Any:
        if asked.path == PATH and "after" in asked.query and not moved[0]:
            moved[0] += 1
            rest = found[101:200] if has_more else found[101:]
            return {"data": [found[50], *rest], "has_more": has_more}  # the job after the first page went up
        return api(found)(asked)

    _, db = at(answering)
    assert db.execute("SELECT count(DISTINCT id) FROM fine_tuning_jobs").get == 250
    assert moved == [1]


def test_a_job_created_between_two_readings_of_a_list_is_not_put_among_older_ones(at: At) -> None:
    found = jobs(250)
    new = [job(-1, id="ftjob-new")]

    def answering(asked: Asked) -> Any:
        if asked.query.get("after") == "ftjob-00199" and new:
            found.remove(job(199))  # so that the list is read again
            found.insert(0, new.pop())
            return None
        return api(found)(asked)

    server, db = at(answering)
    rows = db.execute("SELECT created_at, id FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 245").fetchall()
    assert new == []
    assert server.requests.count("?limit=100") > 1
    assert rows == sorted(rows, reverse=True)
    assert len(rows) == 245
