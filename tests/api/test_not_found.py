"""A 404 means "no such job" only if the API says so; any other 404 is an error about the address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ftsql
from ftsql.sandbox import Fault, Sandbox
from tests.answering import PATH, Asked, Response, api, job, jobs, listed
from tests.conftest import At

NO_SUCH_JOB: list[Any] = [
    {"error": {"message": "Could not find fine tune: ftjob-1", "param": "fine_tune_id", "code": "fine_tune_not_found"}},
    {"error": {"message": "openai error: Could not find fine tune: ftjob-1", "code": None}, "provider": "openai"},
    {"error": {"message": "Error code: 404 - Could not find fine tune: ftjob-1", "code": "404"}},
    {"detail": "Fine-tuning job ftjob-1 not found"},
    {"detail": {"message": "Job ftjob-1 not found"}},
    {"detail": {"error": {"message": "job not found", "code": "not_found"}}},
    [{"error": {"message": "Job ftjob-1 does not exist"}}],
    {"error": {"code": "resourceNotFound", "message": "The specified job could not be found."}},
    {"error": {"message": "No fine-tuning job with id ftjob-1", "param": "fine_tuning_job_id"}},
    {"error": "job not found"},
]
ANOTHER_ADDRESS: list[Any] = [
    "<html>404</html>",
    "",
    {"detail": "Not Found"},
    {"error": {"code": "404", "message": "Resource not found"}},
    {"error": {"message": "Invalid URL (GET /v1/fine_tuning/jobs/ftjob-1)"}},
    {"message": "The requested URL /v1/fine_tuning/jobs/ftjob-1 was not found on this server."},
    {"error": 'path "/api/v1/fine_tuning/jobs/ftjob-1" not found'},
    {"error": {"code": "not_found", "message": "The route /v1/fine_tuning/jobs/ftjob-1 could not be found"}},
    {"error": {"code": "not_found", "message": "The requested resource was not found"}},
    {"error": {"message": "Cannot GET /fine_tuning/jobs/x: not found", "code": "NOT_FOUND"}},
    {"error": {"message": "Fine-tuning is not enabled: endpoint not found"}},
]
SQL = "SELECT id FROM fine_tuning_jobs WHERE id = 'ftjob-1'"


@pytest.mark.parametrize("body", NO_SUCH_JOB, ids=lambda body: str(body)[:70])
def test_an_unknown_job_yields_no_row(sandbox: Sandbox, db: ftsql.Connection, body: Any) -> None:
    sandbox.fault(Fault(status=404, body=body))
    assert db.execute(SQL).fetchall() == []


@pytest.mark.parametrize("body", ANOTHER_ADDRESS, ids=lambda body: str(body)[:70])
def test_an_unknown_address_is_an_error(sandbox: Sandbox, db: ftsql.Connection, body: Any) -> None:
    sandbox.fault(Fault(status=404, body=body, times=None))
    for sql in (SQL, "SELECT wait_job('ftjob-1')", "SELECT cancel_job('ftjob-1')", "SELECT id FROM fine_tuning_jobs"):
        with pytest.raises(ftsql.Error, match=r"404.*base_url") as caught:
            db.execute(sql).fetchall()
        assert "no such job" not in str(caught.value)


@pytest.mark.parametrize("body", [{}, *ANOTHER_ADDRESS], ids=lambda body: str(body)[:70])
def test_any_404_means_no_such_job_if_single_jobs_have_addresses(at: At, body: Any) -> None:
    found = jobs(30, status="running", finished_at=None, fine_tuned_model=None)
    serving = api(found)

    def answering(asked: Asked) -> Any:
        answer = serving(asked)
        content = body.encode() if isinstance(body, str) else body
        return Response(content, 404) if answer is None or asked.path.endswith("/cancel") else answer

    server, db = at(answering)
    assert db.execute(SQL).fetchall() == []
    assert server.requests == ["/ftjob-1", "?limit=2", "/ftjob-00000"]
    server.asked.clear()
    listed = "SELECT id FROM fine_tuning_jobs WHERE id IN ('ftjob-00003', 'ftjob-none')"
    assert db.execute(listed).fetchall() == [("ftjob-00003",)]
    assert server.requests == ["/ftjob-00003", "/ftjob-none"]  # the result is remembered
    with pytest.raises(ftsql.Error, match="cancel_job: no such job"):
        db.execute("SELECT cancel_job('ftjob-none')").fetchall()
    with pytest.raises(
        ftsql.Error, match=r"HTTP 404.*No such address"
    ) as caught:  # the job exists, its cancel does not
        db.execute("SELECT cancel_job('ftjob-00003')").fetchall()
    assert "no such job" not in str(caught.value)


@pytest.mark.parametrize("id", ["ftjob-00003", "ftjob-none"])
def test_the_list_is_read_of_a_server_that_returns_no_job_by_its_id(at: At, id: str) -> None:
    found = jobs(130)
    serving = api(found)
    server, db = at(lambda asked: serving(asked) if asked.path == PATH else Response({"detail": "Not Found"}, 404))
    right = [(id,)] if id == "ftjob-00003" else []
    with pytest.warns(ftsql.Warning, match=r'HTTP 404.*without = \["retrieve"\].*The list of jobs is read instead'):
        assert db.execute("SELECT id FROM fine_tuning_jobs WHERE id = ?", (id,)).fetchall() == right
    pages = ["?limit=100", "?limit=100&after=ftjob-00099"][: 1 if right else 2]
    assert server.requests == [f"/{id}", "?limit=2", "/ftjob-00000", *pages]
    server.asked.clear()
    assert db.execute("SELECT id FROM fine_tuning_jobs WHERE id = ?", (id,)).fetchall() == right
    assert server.requests == ([] if right else pages)  # a job that has ended is known
    del found[3]
    assert db.execute("SELECT count(*) FROM fine_tuning_jobs").get == 129


def test_a_list_that_is_read_for_a_job_is_read_no_further_than_to_that_job(at: At) -> None:
    serving = api(jobs(130, status="running", finished_at=None, fine_tuned_model=None))
    server, db = at(lambda asked: serving(asked) if asked.path == PATH else Response({"detail": "Not Found"}, 404))
    with pytest.warns(ftsql.Warning, match="The list of jobs is read instead"):
        assert db.execute("SELECT id FROM fine_tuning_jobs WHERE id = 'none'").fetchall() == []
    pages = ["?limit=100", "?limit=100&after=ftjob-00099"]
    for ids, requests in (("'ftjob-00003', 'ftjob-00099'", pages[:1]), ("'ftjob-00003', 'ftjob-00100'", pages)):
        server.asked.clear()
        db.ftsql.store.clear()
        assert len(db.execute(f"SELECT id FROM fine_tuning_jobs WHERE id IN ({ids})").fetchall()) == 2
        assert server.requests == requests


def test_a_server_that_gives_no_job_by_its_id_shows_how_known_ones_are(at: At) -> None:
    """The store has them, and their state was to be asked for one by one."""
    found = jobs(250)
    for place in (120, 240):
        found[place] |= {"status": "running", "finished_at": None, "fine_tuned_model": None}
    serving = api(found)
    server, db = at(lambda asked: serving(asked) if asked.path == PATH else Response({"detail": "Not Found"}, 404))
    states = "SELECT id, status FROM fine_tuning_jobs WHERE status <> 'succeeded'"
    assert db.execute(states).fetchall() == [("ftjob-00120", "running"), ("ftjob-00240", "running")]
    found[120]["status"] = found[240]["status"] = "paused"
    with pytest.warns(ftsql.Warning, match="The list of jobs is read instead"):
        assert sorted(db.execute(states).fetchall()) == [("ftjob-00120", "paused"), ("ftjob-00240", "paused")]
    pages = ["?limit=100", "?limit=100&after=ftjob-00099", "?limit=100&after=ftjob-00199"]
    assert [request for request in server.requests if "limit=100" in request][-3:] == pages
    assert server.requests.count("?limit=2") == 1  # both jobs were requested at once, and one of them found out


def test_a_page_that_may_be_the_last_is_so_where_no_job_can_be_asked_for_by_its_id(at: At) -> None:
    found = jobs(100)

    def answering(asked: Asked) -> Any:
        return {"data": listed(found, asked.query)} if asked.path == PATH else Response({"detail": "Not Found"}, 404)

    server, db = at(answering)
    assert db.execute("SELECT count(*) FROM fine_tuning_jobs").get == 100
    assert server.requests[:3] == ["?limit=100", "?limit=100&after=ftjob-00099", "/ftjob-00099"]
    assert all(
        request in ("?limit=2", "/ftjob-00000") for request in server.requests[3:]
    )  # whether it gives single ones


@pytest.mark.parametrize("id", ["a/b", "jöb"])
def test_the_list_is_read_of_a_server_whose_ids_cannot_be_addresses(at: At, id: str) -> None:
    one = job(id=id)
    server, db = at(lambda asked: {"data": [one], "has_more": False} if asked.path == PATH else Response({}, 404))
    with pytest.warns(ftsql.Warning, match="The list of jobs is read instead"):
        assert db.execute("SELECT id FROM fine_tuning_jobs WHERE id = 'x'").fetchall() == []
    assert server.requests == ["/x", "?limit=2", "?limit=100"]
    assert db.execute("SELECT id FROM fine_tuning_jobs WHERE id = ?", (id,)).fetchall() == [(id,)]


def test_a_404_raises_the_error_of_the_list_if_the_list_fails(at: At) -> None:
    refused = Response({"error": {"message": "This project is archived"}}, 403)
    _, db = at(lambda asked: refused if asked.path == PATH else Response({}, 404))
    with pytest.raises(ftsql.APIError, match="This project is archived"):
        db.execute("SELECT id FROM fine_tuning_jobs WHERE id = 'x'").fetchall()


@pytest.mark.parametrize(
    ("entry", "body"),
    [
        ("not_found_message = 'kein Auftrag'", {"fehler": {}, "message": "Kein Auftrag dieser Nummer"}),
        ("not_found = ['4711']", {"code": "4711"}),
        ("not_found = ['4711', 'x']", {"errors": [{"code": 4711, "title": "Kein Auftrag"}]}),
    ],
)
def test_an_entry_may_define_the_message_of_its_server(
    at: At, tmp_path: Path, entry: str, body: dict[str, Any]
) -> None:
    config = tmp_path / "providers.toml"
    config.write_text(f"[openai]\n{entry}\n")
    server, db = at(lambda asked: Response(body, 404), config=config)
    assert db.execute(SQL).fetchall() == []
    assert server.requests == ["/ftjob-1"]
    other = {"fehler": {}, "message": "Nichts", "code": "4712"}
    _, db = at(lambda asked: Response(other, 404), config=config)
    with pytest.raises(ftsql.APIError, match=r"Nichts.*HTTP 404"):
        db.execute(SQL).fetchall()


@pytest.mark.parametrize("table", ["files", "models"])
def test_unknown_files_and_models_are_found_out_in_the_same_way(at: At, table: str) -> None:
    def answering(asked: Asked) -> Any:
        if asked.path == f"/{table}":
            return {"data": [{"id": "one"}], "has_more": False}
        return {"id": "one"} if asked.path == f"/{table}/one" else Response({}, 404)

    _, db = at(answering)
    assert db.execute(f"SELECT id FROM {table} WHERE id = 'none'").fetchall() == []
    _, db = at(lambda asked: Response({}, 404))
    with pytest.raises(ftsql.APIError, match=f"404.*No such address.*/{table}/none"):
        db.execute(f"SELECT id FROM {table} WHERE id = 'none'").fetchall()


@pytest.mark.parametrize(
    ("sql", "asked"),
    [
        ("SELECT id FROM fine_tuning_jobs", "?limit=100"),
        ("SELECT id FROM fine_tuning_job_events('ftjob-00000')", "/ftjob-00000/events?limit=100"),
        ("SELECT id FROM files", "/files?limit=10000"),
        ("SELECT id FROM models", "/models"),
        ("SELECT file_content('file-a')", "/files/file-a/content"),
    ],
)
def test_a_404_for_a_list_or_an_action_sends_no_further_request(at: At, sql: str, asked: str) -> None:
    path = asked.partition("?")[0]
    serving = api(jobs(3))
    server, db = at(lambda one: Response({}, 404) if str(one).startswith(asked) else serving(one))
    with pytest.raises(ftsql.APIError, match=rf"HTTP 404.*No such address: {server.base_url}.*{path}\. Check base_url"):
        db.execute(sql).fetchall()
    assert server.requests == [asked]
