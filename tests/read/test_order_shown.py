"""At a base URL that the user gave, a list must prove its order: no other job is ever returned as the newest."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

import ftsql
from ftsql.api.account import Account
from ftsql.api.provider import load
from ftsql.sandbox import Sandbox
from tests.answering import PATH, Answering, Asked, api, job, jobs, listed
from tests.conftest import CANARY, At, fill

NEWEST = "SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 1"
Jobs = list[dict[str, Any]]


def ordered(found: Jobs, change: Callable[[Jobs], Jobs]) -> Answering:
    return api(change(found))


def oldest_first(found: Jobs) -> Jobs:
    return found[::-1]


def shuffled(found: Jobs) -> Jobs:
    mixed = list(found)
    random.Random(len(found)).shuffle(mixed)
    return mixed


def newest_second(found: Jobs) -> Jobs:
    return found[1:2] + found[:1] + found[2:]


def tied_first(found: Jobs) -> Jobs:
    """Set the first thirty jobs to the oldest second; the other jobs follow, oldest first."""
    return [each | {"created_at": found[-1]["created_at"]} for each in found[:30]] + found[:29:-1]


ORDERS = [oldest_first, shuffled, newest_second, tied_first]


@pytest.mark.parametrize("change", ORDERS)
@pytest.mark.parametrize("total", [1, 2, 5, 19, 20, 21, 45, 101, 150])
def test_the_newest_is_the_newest_in_any_order_of_the_list(at: At, change: Any, total: int) -> None:
    found = change(jobs(total))
    newest = max(each["created_at"] for each in found)
    late = sorted((each["created_at"] for each in found), reverse=True)
    _, db = at(api(found))
    for sql, rows in (
        ("SELECT created_at FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 1", [(newest,)]),
        ("SELECT max(created_at) FROM fine_tuning_jobs", [(newest,)]),
        ("SELECT created_at FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 3", [(time,) for time in late[:3]]),
        ("SELECT created_at FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 2 OFFSET 1", [(time,) for time in late[1:3]]),
        (f"SELECT count(*) FROM fine_tuning_jobs WHERE created_at >= {newest}", [(late.count(newest),)]),
        (f"SELECT count(*) FROM fine_tuning_jobs WHERE created_at = {newest}", [(late.count(newest),)]),
        (f"SELECT count(*) FROM fine_tuning_jobs WHERE created_at > {newest - 61}", [(sum(time > newest - 61 for time in late),)]),
    ):  # fmt: skip
        assert db.execute(sql).fetchall() == rows, sql


def test_a_job_without_a_time_comes_last(at: At) -> None:
    _, db = at(api([job(0), job(1, created_at=None), job(2)]))
    found = db.execute("SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC").fetchall()
    assert found == [("ftjob-00000",), ("ftjob-00002",), ("ftjob-00001",)]


@pytest.mark.parametrize("change", ORDERS)
def test_a_cancel_of_the_newest_reaches_the_newest(at: At, change: Any) -> None:
    found = change([job(number, status="running", finished_at=None, fine_tuned_model=None) for number in range(45)])
    serving = api(found)
    newest = max(found, key=lambda each: each["created_at"])["created_at"]

    def answering(asked: Asked) -> Any:
        if asked.method == "POST":
            id = asked.path.removeprefix(PATH + "/").partition("/")[0]
            return next(each for each in found if each["id"] == id) | {"status": "cancelled"}
        return serving(asked)

    server, db = at(answering)
    db.execute(f"SELECT cancel_job(id) FROM ({NEWEST})").fetchall()
    (post,) = [asked for asked in server.asked if asked.method == "POST"]
    cancelled = next(each for each in found if f"/{each['id']}/" in post.path)
    assert cancelled["created_at"] == newest


def test_six_falling_times_show_an_order_and_five_do_not(at: At) -> None:
    for times, pages in ((6, ["?limit=20"]), (5, ["?limit=20", "?limit=100&after=ftjob-00019"])):
        falling = [1_790_000_000 - 60 * min(number, times - 1) for number in range(90)]
        server, db = at(api([job(number, created_at=time) for number, time in enumerate(falling)]))
        assert db.execute(NEWEST).fetchall() == [("ftjob-00000",)]
        assert server.requests == pages


def test_a_small_page_shows_no_order_until_twenty_rows_are_read(at: At) -> None:
    """The times fall seven times and then rise: the list is sorted by another field."""
    found = sorted(jobs(99), key=lambda each: str(each["id"])[::-1])

    def capped(asked: Asked) -> Any:
        page = listed(found, asked.query, cap=7)
        return {"data": page, "has_more": page[-1:] != found[-1:]}

    _, db = at(capped)
    newest = db.execute("SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 3").fetchall()
    assert newest == [("ftjob-00000",), ("ftjob-00001",), ("ftjob-00002",)]


def test_equal_times_are_read_to_the_end_at_most(at: At) -> None:
    server, db = at(api([job(number, created_at=1_790_000_000) for number in range(250)]))
    assert len(db.execute(NEWEST).fetchall()) == 1
    limits = [request.partition("&")[0] for request in server.requests]
    assert limits == ["?limit=20", "?limit=100", "?limit=100", "?limit=100"]


def test_ties_at_the_edge_of_a_limit_need_no_further_page(at: At) -> None:
    times = [1_790_000_000 - 60 * min(number, 8) for number in range(150)]
    server, db = at(api([job(number, created_at=time) for number, time in enumerate(times)]))
    assert len(db.execute("SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 20").fetchall()) == 20
    assert server.requests == ["?limit=20"]


def test_an_order_that_was_shown_is_remembered_and_a_break_forgets_it(at: At, tmp_path: Any) -> None:
    found = jobs(150)
    for number in range(1, 30):  # all of one second: such a page proves no order
        found[number]["created_at"] = found[0]["created_at"]
    server, db = at(lambda asked: api(found)(asked), store=tmp_path / "store.db")
    small = "SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT {}"
    db.execute(small.format(1)).fetchall()
    db.execute(small.format(2)).fetchall()
    assert server.requests == ["?limit=20", "?limit=100&after=ftjob-00019", "?limit=20"]
    again = ftsql.connect(store=tmp_path / "store.db")  # another connection knows it too
    server.asked.clear()
    again.execute(small.format(3)).fetchall()
    assert server.requests == ["?limit=20"]
    again.close()
    found.reverse()
    server.asked.clear()
    assert {id for (id,) in db.execute(small.format(30))} == {f"ftjob-{number:05}" for number in range(30)}
    assert server.requests[0] == "?limit=30"
    assert len(server.asked) > 2  # the break was noticed, and the whole list was read
    server.asked.clear()
    assert len(db.execute(small.format(1)).fetchall()) == 1
    assert len(server.asked) >= 2


def test_six_falling_times_are_remembered_for_a_day_after_they_were_shown(at: At, tmp_path: Any) -> None:
    found = [job(number, created_at=1_790_000_000 - 60 * min(number, 5)) for number in range(90)]
    server, db = at(lambda asked: api(found)(asked), store=tmp_path / "store.db")
    shown = "SELECT habits ->> '$.ordered_at' FROM covers"

    def hours_later(hours: int) -> tuple[list[str], bool]:
        """What is asked for the newest job after so many hours, and whether that was noted."""
        age = "json_set(habits, '$.ordered_at', habits ->> '$.ordered_at' - ? * 3600)"
        db.ftsql.store.db.execute(f"UPDATE covers SET habits = {age}", (hours,))
        before = db.ftsql.store.db.execute(shown).get
        server.asked.clear()
        other = ftsql.connect(store=tmp_path / "store.db")
        assert other.execute(NEWEST).fetchall() == [("ftjob-00000",)]
        other.close()
        return server.requests, db.ftsql.store.db.execute(shown).get != before

    assert db.execute(NEWEST).fetchall() == [("ftjob-00000",)]
    assert hours_later(10) == (["?limit=20"], False)  # twice a day is enough
    assert hours_later(3) == (["?limit=20"], True)
    for each in found:
        each["created_at"] = 1_790_000_000  # no such page shows an order by itself
    assert hours_later(23) == (["?limit=20"], False)
    assert hours_later(2) == (["?limit=20", "?limit=100&after=ftjob-00019"], False)


def test_events_out_of_order_say_nothing_of_the_jobs(at: At) -> None:
    events = [{"id": f"e{number}", "created_at": 1_790_000_000 + number} for number in range(50)]
    server, db = at(api(jobs(150), {"/ftjob-00000/events": events}))
    assert db.execute("SELECT count(*) FROM fine_tuning_job_events('ftjob-00000')").get == 50
    server.asked.clear()
    assert db.execute(NEWEST).fetchall() == [("ftjob-00000",)]
    assert server.requests == ["?limit=20"]


@pytest.mark.parametrize("where", ["", "WHERE created_at > 1790000000 - 600"])
def test_a_list_that_is_sorted_by_the_last_change_shows_its_break_in_twenty_rows(at: At, where: str) -> None:
    found = jobs(40)
    found[35].update(status="running", finished_at=None, fine_tuned_model=None)

    def answering(asked: Asked) -> Any:
        if not asked.path.endswith("/cancel"):
            return api(found)(asked)
        changed = next(each for each in found if f"/{each['id']}/" in asked.path)
        changed["status"] = "cancelled"
        found.remove(changed)
        found.insert(0, changed)
        return changed

    _, db = at(answering)
    assert db.execute(NEWEST).fetchall() == [("ftjob-00000",)]
    db.execute("SELECT cancel_job('ftjob-00035')").fetchall()
    newest = f"SELECT id FROM fine_tuning_jobs {where} ORDER BY created_at DESC LIMIT 1"
    assert db.execute(newest).fetchall() == [("ftjob-00000",)]


def test_a_small_list_that_was_read_to_its_end_shows_no_order_for_later(at: At) -> None:
    found = jobs(45)
    few = {"count": 1}
    server, db = at(lambda asked: api(found[::-1][: few["count"]])(asked))
    assert db.execute(NEWEST).fetchall() == [("ftjob-00044",)]
    few["count"] = 45
    assert db.execute(NEWEST).fetchall() == [("ftjob-00000",)]
    assert server.requests[1] == "?limit=20"


def test_a_providers_own_address_is_believed_and_checked() -> None:
    with Sandbox(jobs=0, speed=0) as sandbox:
        fill(sandbox, 45)
        db = ftsql.connect(sandbox=sandbox)
        assert db.execute(NEWEST).fetchall() == [("ftjob-00000",)]
        assert [request.query for request in sandbox.requests] == [{"limit": "1"}]
        db.close()


@pytest.mark.parametrize(
    "entry",
    [
        '[mine]\nextends = "openai"\nbase_url = "{url}"\n',
        '[mine]\nbase_url = "{url}"\nnewest_first = true\nheaders = {{ Authorization = "Bearer ${{OPENAI_API_KEY}}" }}\n',
        '[openai]\nbase_url = "{url}"\n',
    ],
)
def test_an_entry_of_the_users_has_to_show_it_too(
    at: At, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    server, _ = at(api(jobs(45)[::-1]))
    monkeypatch.delenv("OPENAI_BASE_URL")
    config = tmp_path / "providers.toml"
    config.write_text(entry.format(url=server.base_url))
    db = ftsql.connect(config=config, providers=entry[1:].partition("]")[0])
    assert db.execute(NEWEST).fetchall() == [("ftjob-00000",)]
    db.close()


def test_home_is_no_word_of_the_users(tmp_path: Any) -> None:
    config = tmp_path / "providers.toml"
    config.write_text('\ufeff[mine]\nextends = "openai"\nhome = "http://x"\n', "utf-8")
    with pytest.raises(ftsql.ConfigError, match="provider mine: home: there is no such word"):
        ftsql.connect(config=config)


@pytest.mark.parametrize("url", ["", "https://api.openai.com/v1/", "https://gateway.example/v1"])
def test_the_order_of_a_providers_own_address_needs_no_proof(url: str) -> None:
    environment = {"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": url}
    providers, _ = load(None, environment)
    assert Account(providers["openai"], environment).at_home == ("gateway" not in url)


def test_two_servers_are_merged_only_once_each_has_shown_its_order(at: At, tmp_path: Any) -> None:
    one, _ = at(api(jobs(45)))
    two, _ = at(api([each | {"id": f"b-{number}"} for number, each in enumerate(jobs(45)[::-1])]))
    config = tmp_path / "providers.toml"
    config.write_text(
        "".join(
            f'[{name}]\nextends = "openai"\nbase_url = "{server.base_url}"\n'
            for name, server in (("one", one), ("two", two))
        )
    )
    db = ftsql.connect(config=config, providers=["one", "two"])
    times = db.execute("SELECT created_at FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 4").fetchall()
    assert times == [(1_790_000_000,), (1_790_000_000,), (1_789_999_940,), (1_789_999_940,)]
    db.close()


def test_a_listing_that_shows_no_order_is_not_joined_with_what_is_known(at: At) -> None:
    """Two hundred jobs are of three seconds: known pages prove nothing about the pages below."""
    found = [job(number, created_at=1_790_000_000 - number // 100) for number in range(250)]
    server, db = at(lambda asked: {"data": (page := listed(found, asked.query)), "has_more": page[-1:] != found[-1:]})
    for _ in range(2):
        server.asked.clear()
        assert db.execute("SELECT count(*) FROM fine_tuning_jobs").get == 250
        assert len(server.asked) == 3
