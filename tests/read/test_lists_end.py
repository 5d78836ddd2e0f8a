"""Lists end complete or with an error, however a server handles limit, after, has_more and totals."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

import ftsql
from tests.answering import PATH, Answering, Asked, Response, Server, api, job, jobs, listed
from tests.conftest import At

COUNT = "SELECT count(*), count(DISTINCT id) FROM fine_tuning_jobs"


def count(db: ftsql.Connection) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ((total, distinct),) = db.execute(COUNT).fetchall()
    assert total == distinct
    assert isinstance(total, int)
    return total


def serving(
    total: int,
    *,
    cap: int | None = 100,
    after: bool = True,
    limit: bool = True,
    inclusive: bool = False,
    envelope: Any = lambda page, found: {"object": "list", "data": page},
) -> Answering:
    """Serve ``total`` jobs, at most ``cap`` a page; the server may ignore ``after`` or ``limit``."""
    found = jobs(total)
    ids = [each["id"] for each in found]

    def answering(asked: Asked) -> Any:
        if asked.path != PATH:
            return next((each for each in found if asked.path == f"{PATH}/{each['id']}"), None)
        cursor = asked.query.get("after")
        begin = ids.index(cursor) + (not inclusive) if after and cursor in ids else 0
        size = int(asked.query.get("limit", 20)) if limit else total
        page = found[begin : begin + min(size, total if cap is None else cap)]
        return envelope(page, found)

    return answering


SIZES = [0, 1, 7, 19, 20, 21, 45, 99, 100, 101, 200, 250]


@pytest.mark.parametrize("total", SIZES)
@pytest.mark.parametrize("cap", [10, 20, 37, 50, 100, None])
@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.long
def test_without_has_more_a_list_is_read_to_its_end_whatever_the_server_caps(
    at: At, total: int, cap: int | None, inclusive: bool
) -> None:
    server, db = at(serving(total, cap=cap, inclusive=inclusive))
    for _ in range(2):
        assert count(db) == total
    assert len(server.asked) < 2 * (total / min(cap or 100, 100) + 4) + total / 8


@pytest.mark.parametrize("total", [0, 1, 7, 19, 21, 45, 99, 101])
def test_a_server_that_ignores_after_is_asked_twice_more_and_its_list_is_whole(at: At, total: int) -> None:
    server, db = at(serving(total, cap=None, after=False, limit=False))
    if total <= 1:
        assert count(db) == total
        return
    with pytest.warns(ftsql.Warning, match=rf"has no pages: one response, of {total}, is taken for all.*FTSQL_PAGING"):
        assert db.execute("SELECT count(*) FROM fine_tuning_jobs").get == total
    last = f"ftjob-{total - 1:05}"
    assert server.requests == ["?limit=100", f"?limit=100&after={last}", "?limit=50"]
    server.asked.clear()
    assert count(db) == total  # without a warning: the habit is remembered
    assert server.requests == ["?limit=100"]


@pytest.mark.parametrize("total", [20, 100, 250])
@pytest.mark.parametrize("limit", [False, True])
def test_a_whole_list_that_may_be_cut_is_an_error_that_names_the_setting_that_mends_it(
    at: At, total: int, limit: bool
) -> None:
    _, db = at(serving(total, cap=None, after=False, limit=limit))
    with pytest.raises(ftsql.Error, match=r"shows its first page again.*FTSQL_PAGING=none"):
        count(db)
    _, db = at(serving(total, cap=None, after=False, limit=limit), paging="none")
    assert count(db) == total


@pytest.mark.parametrize("cap", [20, 50, 100])
def test_a_server_that_caps_and_ignores_after_is_an_error(at: At, cap: int) -> None:
    _, db = at(serving(250, cap=cap, after=False))
    with pytest.raises(ftsql.Error, match="shows its first page again"):
        count(db)


def test_the_setting_works_with_the_variables_alone(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTSQL_PAGING", "none")
    server, db = at(serving(20, cap=None, after=False, limit=False))
    assert count(db) == 20
    assert server.requests == ["?limit=1000"]
    server, db = at(lambda asked: {"data": [{"id": "one"}, {"id": "two"}]})
    assert db.execute("SELECT id FROM models").fetchall() == [("one",), ("two",)]
    assert server.requests == ["/models"]  # the list of models takes no limit


def test_the_setting_does_not_make_a_cut_list_whole(at: At) -> None:
    _, db = at(serving(1200, cap=None, after=False), paging="none")
    with pytest.raises(ftsql.Error, match="shows 1000 rows, as many as were requested"):
        count(db)


@pytest.mark.parametrize("value", ["x", "", "cursor"])
def test_the_setting_takes_two_words(value: str) -> None:
    if value:
        with pytest.raises(ftsql.ConfigError, match="invalid paging .* expected 'after' or 'none'"):
            ftsql.connect(paging=value)


def _in_meta(name: str, value: Any) -> Any:
    return lambda page, found: {"data": page, "meta": {name: value(found)}}


TOTALS: list[Any] = [
    lambda page, found: {"data": page, "total": len(found)},
    lambda page, found: {"data": page, "total_count": len(found)},
    lambda page, found: {"data": page, "totalCount": str(len(found))},
    lambda page, found: {"data": page, "pagination": {"total_results": len(found), "page_size": len(page)}},
    lambda page, found: {"data": page, "meta": {"page": {"total_items": len(found)}}},
    lambda page, found: {"data": page, "meta": {"total_pages": -(-len(found) // 20) if found else 0}},
]


@pytest.mark.parametrize("total", [21, 45, 60])
def test_a_count_of_pages_is_not_reached_by_a_page_that_repeats(at: At, total: int) -> None:
    envelope = _in_meta("total_pages", lambda found: -(-len(found) // 20))
    _, db = at(serving(total, cap=20, after=False, envelope=envelope))
    with pytest.raises(ftsql.Error, match="counts more jobs than it shows"):
        count(db)


@pytest.mark.parametrize("envelope", TOTALS, ids=range(len(TOTALS)))
@pytest.mark.parametrize("total", [0, 7, 20, 45, 120])
def test_totals_are_read_wherever_the_envelope_has_them(at: At, envelope: Any, total: int) -> None:
    _, db = at(serving(total, cap=20, envelope=envelope))
    assert count(db) == total
    _, db = at(serving(total, cap=20, after=False, envelope=envelope))
    if total <= 20:
        assert count(db) == total
    else:
        with pytest.raises(ftsql.Error, match="counts more jobs than it shows"):
            count(db)


@pytest.mark.parametrize("cap", [5, 15, 20, 37, 40, 47, 75, 100, None])
@pytest.mark.parametrize(
    "envelope",
    [
        lambda page, found: {"data": page, "total": len(page)},
        lambda page, found: {"data": page, "last_id": None},
        lambda page, found: page,
    ],
    ids=["total of the page", "no last_id", "array"],
)
def test_what_an_envelope_says_of_a_page_does_not_end_a_list(at: At, cap: int | None, envelope: Any) -> None:
    for total in (47, 120):
        _, db = at(serving(total, cap=cap, envelope=envelope))
        for _ in range(2):
            assert count(db) == total


def test_a_server_that_filters_its_pages_after_it_cut_them_loses_nothing(at: At) -> None:
    found = jobs(150)

    def answering(asked: Asked) -> Any:
        if asked.path != PATH:
            return api(found)(asked)
        return {"data": [each for each in listed(found, asked.query) if each["organization_id"] == "org-acme"]}

    _, db = at(answering)
    assert count(db) == 150
    found[:0] = [job(number - 60, id=f"theirs-{number}", organization_id="org-other") for number in range(60)]
    assert count(db) == 150


def test_two_different_jobs_of_one_id_are_an_error_and_one_listed_twice_is_one(at: At) -> None:
    twice = [job(0), job(1), job(1), job(2)]
    _, db = at(lambda asked: {"data": twice, "has_more": False})
    assert db.execute("SELECT count(*) FROM fine_tuning_jobs").get == 3
    other = [job(0), job(1), job(1, training_file="file-other"), job(2)]
    _, db = at(lambda asked: {"data": other, "has_more": False})
    with pytest.raises(ftsql.Error, match="has two different fine-tuning jobs with the id 'ftjob-00001'"):
        db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall()


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        ({"data": None}, 0),
        ({"object": "list", "data": None, "has_more": False}, 0),
        ({"code": 0, "message": "success", "data": None}, 0),
        ({"has_more": False}, 0),
        ([], 0),
        ({"data": jobs(7), "has_more": "false"}, 7),
        ({"data": jobs(7), "hasMore": False}, 7),
        (b'\xef\xbb\xbf{"data": [], "has_more": false}', 0),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_list_of_an_odd_form_is_read_in_one_request(at: At, body: Any, ids: int) -> None:
    server, db = at(lambda asked: Response(body) if isinstance(body, bytes) else body)
    assert count(db) == ids
    assert len(server.asked) == 1


@pytest.mark.parametrize("total", [7, 20, 45, 120])
@pytest.mark.parametrize("cap", [20, 100, None])
def test_a_bare_array_that_may_be_cut_is_read_on(at: At, total: int, cap: int | None) -> None:
    _, db = at(serving(total, cap=cap, envelope=lambda page, found: page))
    assert count(db) == total


@pytest.mark.parametrize("body", [{"object": "list"}, {}, {"jobs": []}, {"data": {}}, {"data": "x"}, 5, "x", None])
def test_what_is_no_list_is_an_error(at: At, body: Any) -> None:
    _, db = at(lambda asked: Response(b"null") if body is None else body)
    with pytest.raises(ftsql.Error, match="^openai: "):
        count(db)


@pytest.mark.parametrize("allowed", [20, 50, 99])
@pytest.mark.parametrize(
    "refusal",
    [
        Response({"error": {"message": "limit must be at most 50", "param": "limit"}}, 400),
        Response({"detail": [{"loc": ["query", "limit"], "msg": "Input should be less than or equal to 50"}]}, 422),
        Response({}, 400),
        Response(b"<html>Bad Request</html>", 400),
    ],
    ids=str,
)
def test_a_refused_limit_is_made_smaller_and_remembered(at: At, allowed: int, refusal: Response) -> None:
    honest = serving(45, envelope=lambda page, found: {"data": page, "has_more": page[-1:] != found[-1:]})

    def answering(asked: Asked) -> Any:
        return refusal if int(asked.query.get("limit", 20)) > allowed else honest(asked)

    server, db = at(answering)
    assert count(db) == 45
    assert server.requests == ["?limit=100", "?limit=20", "?limit=20&after=ftjob-00019", "?limit=20&after=ftjob-00039"]
    server.asked.clear()
    assert count(db) == 45
    assert "?limit=100" not in server.requests


def test_the_limit_of_files_is_made_smaller_too(at: At) -> None:
    def answering(asked: Asked) -> Any:
        if int(asked.query["limit"]) > 100:
            return Response({"error": {"message": "limit is out of range"}}, 400)
        return {"data": [{"id": "file-1"}], "has_more": False}

    server, db = at(answering)
    assert db.execute("SELECT id FROM files").fetchall() == [("file-1",)]
    assert server.requests == ["/files?limit=10000", "/files?limit=1000", "/files?limit=100"]


def test_a_refusal_of_another_kind_is_not_asked_again(at: At) -> None:
    server, db = at(lambda asked: Response({"error": {"message": "This project is archived"}}, 400))
    with pytest.raises(ftsql.APIError, match="archived"):
        count(db)
    assert len(server.asked) == 1


def test_a_refusal_of_a_limit_that_was_taken_before_is_not_about_it(at: At) -> None:
    serving = api(jobs(250))
    refused = Response({"error": {"message": "invalid request: after is out of range"}}, 400)
    server, db = at(lambda asked: refused if "after" in asked.query else serving(asked))
    with pytest.raises(ftsql.APIError, match="after is out of range"):
        count(db)
    assert server.requests == ["?limit=100", "?limit=100&after=ftjob-00099", "/ftjob-00099"]


def test_a_limit_in_the_statement_is_satisfied_without_another_page(at: At) -> None:
    server, db = at(serving(100, cap=20))
    assert len(db.execute("SELECT id FROM fine_tuning_jobs LIMIT 10").fetchall()) == 10
    assert server.requests == ["?limit=10"]


def test_a_page_that_is_smaller_than_the_largest_ends_a_list_once_an_empty_page_has_shown_it(at: At) -> None:
    """Some jobs have few events, others have more than one page holds."""
    events = {f"ftjob-{number:05}": number for number in (5, 30, 7, 29, 30, 45, 3)}

    def answering(asked: Asked) -> Any:
        path = asked.path.removeprefix(PATH)
        if not path:
            return {"data": [job(number) for number in (3, 5, 7, 29, 30, 45)], "has_more": False}
        parent, _, kind = path.lstrip("/").partition("/")
        if kind != "events":
            return job(int(parent[-5:]))
        ids = [f"{parent}-{number}" for number in range(events[parent])]
        begin = ids.index(asked.query["after"]) + 1 if "after" in asked.query else 0
        return {"data": [{"id": id, "created_at": 1_790_000_000} for id in ids[begin : begin + 30]]}

    server, db = at(answering)
    for number, requests in ((5, 2), (30, 2), (7, 1), (29, 1), (45, 3), (3, 1)):
        server.asked.clear()
        sql = f"SELECT count(*) FROM fine_tuning_job_events WHERE fine_tuning_job_id = 'ftjob-{number:05}'"
        assert db.execute(sql).get == number
        asked = [request for request in server.requests if "/events" in request]
        assert len(asked) == requests, (number, asked)
        if number == 45:
            break  # a short page was followed by more, so short pages no longer count as the end


def test_a_full_page_that_goes_on_says_nothing_of_short_ones(at: At) -> None:
    events = {0: 5, 1: 130, 2: 7, 3: 100, 4: 99}

    def answering(asked: Asked) -> Any:
        if not asked.path.endswith("/events"):
            return {"data": jobs(5), "has_more": False}
        parent = int(asked.path.split("/")[-2][-5:])
        things = [{"id": f"ev-{parent}-{number}", "created_at": 1_790_000_000} for number in range(events[parent])]
        return {"data": listed(things, asked.query)}

    server, db = at(answering)
    for number, requests in ((0, 2), (1, 2), (2, 1), (3, 2), (4, 1)):
        server.asked.clear()
        assert db.execute(f"SELECT count(*) FROM fine_tuning_job_events('ftjob-{number:05}')").get == events[number]
        assert len([request for request in server.requests if "/events" in request]) == requests, number


def test_pages_that_were_short_and_went_on_are_never_believed(at: At) -> None:
    server, db = at(serving(45, cap=20))
    assert count(db) == 45
    server.asked.clear()
    db.ftsql.store.db.execute("UPDATE covers SET full_at = 0")
    assert count(db) == 45
    assert server.requests[-1] == "?limit=100&after=ftjob-00044"


def test_events_of_a_job_that_is_gone_before_all_were_read_are_an_error(at: At) -> None:
    events = [{"id": f"e{number}", "created_at": 1_790_000_000 - number} for number in range(150)]

    def answering(asked: Asked) -> Any:
        first = asked.path.endswith("/events") and "after" not in asked.query
        return {"data": listed(events, asked.query), "has_more": True} if first else None

    server, db = at(answering)
    with pytest.raises(ftsql.Error, match='says "not found"'):
        db.execute("SELECT count(*) FROM fine_tuning_job_events('ftjob-00000')").fetchall()
    assert server.requests == ["/ftjob-00000/events?limit=100", "/ftjob-00000/events?limit=100&after=e99"]


def test_has_more_that_never_ends_is_an_error(at: At) -> None:
    _, db = at(serving(45, after=False, envelope=lambda page, found: {"data": page, "has_more": True}))
    with pytest.raises(ftsql.Error, match="says that there is more, but shows nothing new"):
        count(db)


def test_an_empty_page_that_announces_more_is_an_error(at: At) -> None:
    _, db = at(lambda asked: {"data": [], "has_more": True})
    with pytest.raises(ftsql.Error, match="says that there is more, but shows nothing new"):
        count(db)


@pytest.mark.parametrize(
    "link",
    [{"next": "/x?page=2"}, {"next_cursor": "abc"}, {"links": {"next": "/x"}}, {"paging": {"has_next": True}},
     {"meta": {"next_page": 2}}],
)  # fmt: skip
def test_a_way_of_its_own_to_the_next_page_is_an_error_where_after_is_ignored(at: At, link: dict[str, Any]) -> None:
    _, db = at(serving(45, cap=19, after=False, envelope=lambda page, found: {"data": page, **link}))
    with pytest.raises(ftsql.Error, match="counts more jobs than it shows"):
        count(db)


def test_what_was_found_out_is_kept_in_the_store(at: At, tmp_path: Any) -> None:
    answering = serving(45, cap=None, after=False, limit=False)
    with Server(answering) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", server.base_url)
        patch.setenv("OPENAI_API_KEY", "k" * 20)
        for requests in (3, 1):
            db = ftsql.connect(store=tmp_path / "store.db")
            server.asked.clear()
            assert count(db) == 45
            assert len(server.asked) == requests
            db.close()


def test_a_total_that_stays_where_fewer_are_asked_for_is_one_of_all(at: At) -> None:
    of_all: Any = lambda page, found: {"data": page, "total": len(found)}  # noqa: E731
    of_page: Any = lambda page, found: {"data": page, "total": len(page)}  # noqa: E731
    for total, cap in ((20, None), (20, 50), (100, None)):
        server, db = at(serving(total, cap=cap, after=False, envelope=of_all))
        assert count(db) == total
        assert server.requests[2:] == [f"?limit={total // 2}"]
    for total, cap in ((20, 10), (250, None)):
        _, db = at(serving(total, cap=cap, after=False, envelope=of_page))
        with pytest.raises(ftsql.Error, match="shows its first page again.*FTSQL_PAGING=none"):
            count(db)


@pytest.mark.parametrize(("total", "requests"), [(1, 1), (45, 1), (145, 2), (199, 2)])
def test_a_count_of_pages_ends_a_list_at_a_page_that_is_not_full(at: At, total: int, requests: int) -> None:
    server, db = at(serving(total, envelope=lambda page, found: {"data": page, "total_pages": -(-len(found) // 100)}))
    assert count(db) == total
    assert len(server.asked) == requests


@pytest.mark.parametrize("cap", [20, 37, 50, 100])
def test_a_count_of_pages_is_believed_only_for_pages_of_one_size(at: At, cap: int) -> None:
    found = jobs(99)

    def answering(asked: Asked) -> Any:
        begin = next((1 + number for number, each in enumerate(found) if each["id"] == asked.query.get("after")), 0)
        size = min(int(asked.query["limit"]), cap)
        return {"data": found[begin : begin + size], "total_pages": -(-len(found) // size)}

    _, db = at(
        serving(99, cap=cap, inclusive=True, envelope=_in_meta("total_pages", lambda found: -(-len(found) // cap)))
    )
    assert count(db) == 99
    found.reverse()  # the first page, of 20, proves no order, so the next pages are larger
    _, db = at(answering)
    newest = db.execute("SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 30").fetchall()
    assert newest == [(f"ftjob-{number:05}",) for number in range(30)]


def test_a_limit_that_is_refused_on_a_later_page_is_made_smaller_too(at: At) -> None:
    honest = api(jobs(45, created_at=1_790_000_000))

    def answering(asked: Asked) -> Any:
        too_large = int(asked.query.get("limit", 20)) > 50
        return Response({"error": {"message": "limit is too large"}}, 400) if too_large else honest(asked)

    server, db = at(answering)
    sql = "SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 15"
    assert len(db.execute(sql).fetchall()) == 15  # all have one created_at: the whole list is read
    assert server.requests[:3] == ["?limit=20", "?limit=100&after=ftjob-00019", "?limit=20&after=ftjob-00019"]


def test_the_setting_asks_for_all_though_the_statement_wants_few(at: At) -> None:
    server, db = at(serving(100, cap=None, after=False), paging="none")
    newest = "SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 2"
    assert db.execute(newest).fetchall() == [("ftjob-00000",), ("ftjob-00001",)]
    assert server.requests == ["?limit=1000"]


@pytest.mark.parametrize(("total", "limit"), [(45, False), (45, True), (130, False), (20, False)])
@pytest.mark.parametrize("id", [None, "ev"])
def test_events_that_cannot_be_asked_after_are_whole_or_an_error(
    at: At, total: int, limit: bool, id: str | None
) -> None:
    """The server sends no has_more, and the events have no id of their own, so it seems to ignore ``after``."""
    events = [{"id": id, "created_at": 1_790_000_000 - number, "message": str(number)} for number in range(total)]

    def answering(asked: Asked) -> Any:
        if not asked.path.endswith("/events"):
            return job(0)
        begin = 1 if "after" in asked.query else 0
        return {"data": events[begin : begin + (int(asked.query["limit"]) if limit else total)], "last_id": id or ""}

    sql = "SELECT count(*) FROM fine_tuning_job_events WHERE fine_tuning_job_id = 'ftjob-00000'"
    server, db = at(answering)
    if total in (45, 130) and not (limit and total > 50):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert db.execute(sql).get == total
    else:
        with pytest.raises(ftsql.Error, match="has events without an id of their own.*FTSQL_PAGING=none"):
            db.execute(sql).fetchall()
    _, db = at(answering, paging="none")
    assert db.execute(sql).get == total
    assert [asked.query.get("limit") for asked in server.asked if "events" in asked.path] == ["100", "50"]


@pytest.mark.parametrize(("total", "half"), [(1, "50"), (2, "1"), (3, "1"), (4, "2"), (5, "2")])
@pytest.mark.parametrize(
    ("counted", "believed"),
    [
        (lambda found, size: {"total": len(found)}, True),
        (lambda found, size: {"total": min(len(found), size)}, False),
    ],
    ids=["of all", "of the page"],
)
@pytest.mark.parametrize("limited", [True, False])
def test_a_count_of_events_without_ids_is_tested_by_half_of_them(
    at: At, total: int, half: str, counted: Any, believed: bool, limited: bool
) -> None:
    """A server that always returns all objects, whatever the limit, is believed too."""
    events = [{"created_at": 1_790_000_000 - number, "message": str(number)} for number in range(total)]

    def answering(asked: Asked) -> Any:
        if not asked.path.endswith("/events"):
            return {"data": [job(0)], "has_more": False}
        size = int(asked.query["limit"]) if limited else total
        return {"data": events[:size], **counted(events, size)}

    sql = "SELECT message FROM fine_tuning_job_events('ftjob-00000')"
    server, db = at(answering)
    with pytest.warns(ftsql.Warning, match=rf"has no pages: one response, of {total}, is taken for all"):
        assert db.execute(sql).fetchall() == [(str(number),) for number in range(total)]
    limits = ["100", half] if believed or total == 1 or not limited else ["100", half, "50"]
    assert [asked.query["limit"] for asked in server.asked] == limits


@pytest.mark.parametrize("pages", ["right", "always 1", "1 of all, whatever the limit"])
def test_a_count_of_pages_of_events_without_ids_is_tested_too(at: At, pages: str) -> None:
    def answering(asked: Asked) -> Any:
        size = 100 if pages.startswith("1 of all") else int(asked.query["limit"])
        events = [{"created_at": 1_790_000_000 - number} for number in range(size)]
        return {"data": events, "total_pages": 100 // size if pages == "right" else 1}

    server, db = at(answering)
    sql = "SELECT count(*) FROM fine_tuning_job_events('ftjob-00000')"
    if pages == "always 1":
        with pytest.raises(
            ftsql.Error, match="has events without an id of their own, and fewer rows if asked for fewer"
        ):
            db.execute(sql).fetchall()
    else:
        with pytest.warns(ftsql.Warning, match="has no pages: one response, of 100, is taken for all"):
            assert db.execute(sql).get == 100
        assert server.requests == ["/ftjob-00000/events?limit=100", "/ftjob-00000/events?limit=50"]


def test_a_count_that_grows_while_it_is_tested_is_read_anew(at: At) -> None:
    sizes = iter([2, 3, 3, 3, 3])

    def answering(asked: Asked) -> Any:
        events = [{"created_at": 1_790_000_000 - number} for number in range(next(sizes))]
        return {"data": events, "total": len(events)}

    _, db = at(answering)
    with pytest.warns(ftsql.Warning, match=r"has no pages: one response, of 3, is taken for all"):
        assert db.execute("SELECT count(*) FROM fine_tuning_job_events('ftjob-00000')").get == 3


def test_a_single_event_without_an_id_is_not_whole_where_one_was_asked_for(at: At, tmp_path: Path) -> None:
    (tmp_path / "providers.toml").write_text("[openai]\npage_size = 1\n")
    event = {"created_at": 1_790_000_000, "message": "one of many"}
    _, db = at(lambda asked: {"data": [event], "total": 1}, config=tmp_path / "providers.toml")
    with pytest.raises(
        ftsql.Error, match="has events without an id of their own, and 1 rows may be the most that one response holds"
    ):
        db.execute("SELECT message FROM fine_tuning_job_events('ftjob-00000')").fetchall()


FAILED: list[dict[str, Any]] = [
    {"success": False, "message": "Backend is down", "data": []},
    {"success": False, "message": "Backend is down", "data": None},
    {"ok": False, "msg": "Backend is down", "data": [], "has_more": False},
    {"code": 50001, "msg": "Backend is down", "data": []},
    {"code": "internal", "message": "Backend is down", "data": None},
    {"error": {"message": "Backend is down"}, "data": [], "has_more": False},
    {"errors": [{"message": "Backend is down"}], "data": []},
    {"status": "error", "message": "Backend is down", "data": []},
    {"error": {"message": "Backend is down"}, "data": [job(1)], "has_more": False},
]


@pytest.mark.parametrize("envelope", FAILED, ids=str)
def test_an_envelope_that_says_it_failed_is_no_empty_list(at: At, envelope: dict[str, Any]) -> None:
    _, db = at(lambda asked: envelope)
    with pytest.raises(ftsql.Error, match="Backend is down"):
        db.execute(COUNT).fetchall()


@pytest.mark.parametrize(
    "envelope",
    [
        {"success": True, "code": 0, "message": "OK", "data": []},
        {"code": "200", "msg": "success", "data": []},
        {"error": None, "errors": [], "ok": True, "status": "success", "data": [], "has_more": False},
        {"object": "list", "data": None, "has_more": False},
        {"object": "list", "data": None},
    ],
    ids=str,
)
def test_an_envelope_that_says_it_went_well_is_an_empty_list(at: At, envelope: dict[str, Any]) -> None:
    _, db = at(lambda asked: envelope)
    assert db.execute(COUNT).fetchall() == [(0, 0)]


def test_a_provider_may_have_pages_of_a_single_job(at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "providers.toml"
    config.write_text("[openai]\npage_size = 1\n")
    monkeypatch.setenv("FTSQL_CONFIG", str(config))
    server, db = at(api(jobs(3)))
    assert count(db) == 3
    assert server.requests == ["?limit=1", "?limit=1&after=ftjob-00000", "?limit=1&after=ftjob-00001"]
