"""Writes that a crash or a lost response left open: they are looked up, reported, and never sent again."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ftsql
from ftsql.errors import ProgrammingError
from ftsql.sandbox import Fault, Sandbox
from ftsql.store.journal import Journal
from tests.answering import PATH, Asked, Response, Server, job
from tests.conftest import At, Connect, fill
from tests.write.fixtures import CREATE, INSERT, ONE, posts

pytestmark = pytest.mark.usefixtures("files")

SEEDED = "INSERT INTO fine_tuning_jobs (model, training_file, seed, metadata) VALUES ('gpt-4o-mini', 'file-a', 5, ?)"
FULL = {f"k{number}": "v" for number in range(16)}  # no room for a fingerprint


@contextmanager
def told() -> Iterator[list[str]]:
    """Collect the warnings of ftsql."""
    lines: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield lines
    lines += [str(warning.message) for warning in caught if issubclass(warning.category, ftsql.Warning)]


def _die(store: Path, sql: str, where: str, after: int, options: dict[str, Any]) -> None:
    """Run ``sql`` in a process that dies in ``where``, at the ``after``-th call."""
    from ftsql.store.journal import Journal
    from ftsql.write import actions
    from ftsql.write.sender import Sender

    holder: Any = {"create": actions, "change": actions, "undo": Sender}.get(where, Journal)
    honest = getattr(holder, where)
    left = [after]

    def dying(self: Any, *arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            os._exit(9)
        return honest(self, *arguments, **named)

    setattr(holder, where, dying)
    ftsql.connect(store=store, **options).execute(sql).fetchall()
    os._exit(0)


def killed(store: Path, sql: str, where: str, after: int = 1, **options: Any) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_die, args=(store, sql, where, after, options))
    process.start()
    process.join(60)
    assert process.exitcode == 9


def states(db: ftsql.Connection) -> list[tuple[Any, ...]]:
    return db.execute("SELECT action, state, job_id IS NOT NULL, open FROM ftsql_writes").fetchall()


def writes(db: ftsql.Connection) -> list[Any]:
    return db.execute("SELECT write_id, job_id FROM ftsql_writes").fetchall()


THREE = INSERT + "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-b'), ('gpt-4o-mini', 'file-c')"

# Where the process dies (the n-th call), then each row's state, whether its job is known, whether it is open.
DEATHS = {
    "before anything is sent": ("record", 1, ["refused 0 0"] * 3),
    "before the second is sent": ("record", 3, ["created 1 1", "refused 0 0", "refused 0 0"]),
    "as the first is to be sent": ("create", 1, ["unknown 0 1", "refused 0 0", "refused 0 0"]),
    "before the first answer is recorded": ("record", 2, ["created 1 1", "refused 0 0", "refused 0 0"]),
    "before the last answer is recorded": ("record", 6, ["created 1 1"] * 3),
    "before the commit is recorded": ("record", 7, ["created 1 1"] * 3),
}


@pytest.mark.usefixtures("connect")
@pytest.mark.parametrize("how", DEATHS)
@pytest.mark.long
def test_after_a_crash_the_next_opening_tells_of_every_row_and_sends_nothing(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, how: str
) -> None:
    store = tmp_path / "store.db"
    where, after, expected = DEATHS[how]
    killed(store, THREE, where, after)
    sent = len(posts(sandbox))
    with told() as lines:
        db = connect(store=store)
    assert [f"{state} {known} {open}" for _, state, known, open in states(db)] == expected
    assert len(posts(sandbox)) == sent
    named = {id for (id,) in db.execute("SELECT job_id FROM ftsql_writes WHERE job_id IS NOT NULL")}
    assert named == {job["id"] for job in sandbox.jobs()}
    assert len(lines) == 3
    for id in named:
        assert any(f"SELECT cancel_job('{id}')" in line for line in lines)
    db.close()
    with told() as lines:
        connect(store=store)  # reported once in full, then in one line
    count = sum(" 1" in row[-2:] for row in expected)
    assert [line.partition(":")[0] for line in lines] == (
        [f"{count} {'write is' if count == 1 else 'writes are'} open since earlier"] if count else []
    )


def test_what_the_opening_names_can_be_cancelled_by_sql_or_kept(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    store = tmp_path / "store.db"
    killed(store, THREE, "record", 7)
    with told():
        db = connect(store=store)
    ((one, first), (two, second), (three, _)) = writes(db)
    db.execute("SELECT cancel_job(?)", (first,)).fetchall()
    assert db.ftsql.decide(two, "keep") == f"write {two} is committed: {second} stays"
    assert "is cancelled now" in db.ftsql.decide(three, "cancel")
    found = db.execute("SELECT state FROM ftsql_writes WHERE action = 'create' ORDER BY write_id").fetchall()
    assert found == [("cancelled",), ("committed",), ("cancelled",)]
    assert db.execute("SELECT count(*) FROM ftsql_writes WHERE open").get == 0
    assert [job["status"] == "cancelled" for job in reversed(sandbox.jobs())] == [True, False, True]
    with pytest.raises(ProgrammingError, match=f"write {one} is not open"):
        db.ftsql.decide(one, "keep")


def test_a_job_cancelled_elsewhere_is_no_longer_open(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    killed(store, ONE, "record", 3)
    sandbox.update_job(sandbox.jobs()[0]["id"], status="cancelled")
    with told() as lines:
        db = connect(store=store)
    assert states(db) == [("create", "cancelled", 1, 0)]
    assert "is closed" in lines[0]


@pytest.mark.long
def test_a_cancel_that_was_under_way_is_looked_at(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    for name in ("one", "two"):
        sandbox.add_job(id=f"ftjob-{name}", status="running")
    killed(store, "SELECT cancel_job('ftjob-one')", "change")
    killed(store, "SELECT cancel_job('ftjob-two')", "record", 3)  # the first call settles ftjob-one at opening
    with told() as lines:
        db = connect(store=store)
    assert states(db) == [("cancel", "refused", 1, 0), ("cancel", "committed", 1, 0)]
    assert lines == ["write 2 (cancel ftjob-two at openai) took effect: the job is cancelled"]


def test_a_write_of_a_process_at_work_is_not_open(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    one = connect(store=store)
    seen: list[Any] = []

    def look() -> bool:
        with told() as lines:
            other = connect(store=store)
        seen.extend([*states(other), *lines])
        other.close()
        return False

    one.execute("BEGIN; CREATE TABLE mine (x); " + ONE)
    one.set_commit_hook(look)
    one.execute("COMMIT")
    assert seen == [("create", "created", 1, 0)]
    assert states(one) == [("create", "committed", 1, 0)]


@pytest.mark.long
def test_settle_looks_again_until_time_proves_that_it_was_never_accepted(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    db = connect(store=tmp_path / "store.db", settle_seconds=0.1, absent_seconds=2)
    sandbox.fault(Fault(method="POST", path=CREATE, drop=True))
    with pytest.raises(ftsql.OutcomeUnknown, match="ftsql writes settle"):
        db.execute(ONE)
    (line,) = db.ftsql.settle()
    assert "is unknown: no similar job is in the list" in line
    assert states(db) == [("create", "unknown", 0, 1)]
    time.sleep(3.1)
    (line,) = db.ftsql.settle()
    assert "never accepted" in line
    assert states(db) == [("create", "refused", 0, 0)]
    assert db.ftsql.settle() == []
    assert len(posts(sandbox)) == 1


@pytest.mark.long
def test_settle_finds_a_job_that_the_list_showed_too_late(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    db = connect(store=tmp_path / "store.db", settle_seconds=0.1)
    sandbox.fault(Fault(method="GET", path=CREATE, times=None, lag=1.5))
    sandbox.fault(Fault(method="POST", path=CREATE, drop=True, accept=True))
    with pytest.raises(ftsql.OutcomeUnknown):
        db.execute(ONE)
    time.sleep(1.6)
    (line,) = db.ftsql.settle()
    assert f"created {sandbox.jobs()[0]['id']}" in line
    assert states(db) == [("create", "created", 1, 1)]


@pytest.mark.long
def test_without_a_fingerprint_only_the_user_decides(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    db = connect(store=tmp_path / "store.db", settle_seconds=0.1, absent_seconds=0.1)
    for fault in (
        Fault(method="POST", path=CREATE, drop=True, accept=True),
        Fault(method="POST", path=CREATE, drop=True),
    ):
        sandbox.clear_faults()
        sandbox.fault(fault)
        with pytest.raises(ftsql.OutcomeUnknown):
            db.execute(SEEDED, (FULL,))
    (job,) = sandbox.jobs()
    time.sleep(1.2)
    for line in db.ftsql.settle():
        assert f"these may be it: {job['id']}" in line
    assert states(db) == [("create", "unknown", 0, 1)] * 2
    with pytest.raises(ProgrammingError, match="say --none or --job ID"):
        db.ftsql.decide(1, "keep")
    for id in ("ftjob-none", "", None):
        with pytest.raises(ProgrammingError, match=f"no such job: '{id or ''}'"):
            db.ftsql.decide(1, "job", id)
    assert db.ftsql.decide(1, "job", job["id"]) == f"write 1 is committed: it created {job['id']}"
    assert db.ftsql.decide(2, "none") == "write 2 is closed: no job came of it"
    assert states(db) == [("create", "committed", 1, 0), ("create", "refused", 0, 0)]


@pytest.mark.long
def test_another_key_may_find_the_job_but_never_proves_that_there_is_none(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store.db"
    db = connect(store=store, settle_seconds=0.1)
    sandbox.fault(Fault(method="POST", path=CREATE, drop=True))
    with pytest.raises(ftsql.OutcomeUnknown):
        db.execute(ONE)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another-0123456789")
    time.sleep(1.2)
    with told():
        other = connect(store=store, absent_seconds=0.1)
    assert "is unknown" in other.ftsql.settle()[0]
    monkeypatch.delenv("OPENAI_API_KEY")
    with told():
        nobody = connect(store=store)
    assert "the account that sent it is not active here" in nobody.ftsql.settle()[0]


@pytest.mark.parametrize("what", ["an upload", "a delete"])
@pytest.mark.parametrize("key", ["the same key", "another key"])
def test_what_another_key_sees_of_files_proves_nothing(
    at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, key: str
) -> None:
    (tmp_path / "a").write_text("{}")
    size = (tmp_path / "a").stat().st_size
    one = {"id": "file-1", "filename": "a", "bytes": size, "purpose": "fine-tune", "created_at": int(time.time())}
    broken = False

    def answering(asked: Asked) -> Any:
        if asked.method != "GET":
            return Response(b"<html>")
        if broken:
            return Response({"error": {"message": "not now"}}, 403)
        if asked.path == "/files":
            return {"data": [one], "has_more": False}
        return Response({"error": {"message": "No such File object: file-1"}}, 404) if deleted else one

    deleted: list[bool] = []
    _, db = at(answering, store=tmp_path / "store.db", settle_seconds=0.1)
    db.execute("BEGIN; DELETE FROM files WHERE id = 'file-1'" if what == "a delete" else "BEGIN").fetchall()
    broken = True
    with pytest.raises(ftsql.APIError, match="is unknown"):
        db.execute("COMMIT" if what == "a delete" else f"SELECT upload_file('{tmp_path / 'a'}')").fetchall()
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("unknown",)]
    db.close()
    broken = False
    deleted.append(True)
    if key == "another key":
        monkeypatch.setenv("OPENAI_API_KEY", "sk-another-0123456789")
    with told(), ftsql.connect(store=tmp_path / "store.db", absent_seconds=0.1) as db:
        (said,) = db.ftsql.settle()
        words = {
            ("an upload", "the same key"): "made the file file-1, which stays",
            ("an upload", "another key"): "is unknown: these may be it: file-1. Look again",
            ("a delete", "the same key"): "took effect: the file is gone",
            (
                "a delete",
                "another key",
            ): "stays open: the file is not found here, which does not prove that it is gone",
        }
        assert words[what, key] in said
        state = "unknown" if key == "another key" else "committed"
        assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [(state,)]
    db.close()


@pytest.mark.long
def test_the_opening_survives_a_dead_network_and_looks_the_next_time(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    store = tmp_path / "store.db"
    killed(store, ONE, "record", 2)
    sandbox.stop()
    with told() as lines, pytest.MonkeyPatch.context() as patch:
        patch.setattr("ftsql.write.recovery.OPENING_SECONDS", 1.0)
        connect(store=store)
    assert "stays open, because it could not be looked up" in lines[0]
    sandbox.start()
    with told() as lines:
        assert states(connect(store=store)) == [("create", "created", 1, 1)]


def test_a_read_only_connection_only_counts_what_is_open(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    killed(store, ONE, "record", 2)
    before = len(sandbox.requests)
    with told() as lines:
        assert states(connect(store=store, read_only=True)) == [("create", "sent", 0, 1)]
    assert len(lines) == 1
    assert len(sandbox.requests) == before


def test_a_compensation_that_failed_stays_open(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    db = connect(store=tmp_path / "store.db")
    sandbox.fault(Fault(method="POST", path="/cancel$", status=400, body={"error": {"message": "not now"}}))
    with pytest.raises(ftsql.APIError, match="exists and could not be cancelled"):
        db.execute(INSERT + "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-none')")
    assert states(db)[0] == ("create", "created", 1, 1)
    db.execute("SELECT cancel_job(?)", (sandbox.jobs()[0]["id"],)).fetchall()
    assert states(db)[0] == ("create", "cancelled", 1, 0)


@pytest.mark.parametrize("retrieves", [True, False])
def test_a_job_that_is_not_to_be_seen_is_gone_only_where_its_absence_proves_it(
    at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retrieves: bool
) -> None:
    made: list[dict[str, Any]] = []

    def answering(asked: Asked) -> Any:
        if asked.method == "POST":
            if asked.path.endswith("/cancel") or b"file-none" in asked.body:
                return Response({"error": {"message": "not now"}}, 400)
            made.append(job(1, **{**json.loads(asked.body), "created_at": int(time.time()), "status": "running"}))
            return made[0]
        if asked.path == PATH:
            return {"data": made, "has_more": False}
        return made[0] if made and retrieves else None

    config = tmp_path / "providers.toml"
    config.write_text("" if retrieves else '[openai]\nwithout = ["retrieve"]\n')
    monkeypatch.setenv("FTSQL_CONFIG", str(config))
    _, db = at(answering)
    with pytest.raises(ftsql.APIError, match="ftjob-00001 exists and could not be cancelled"):
        db.execute(INSERT + "('m', 'file-a'), ('m', 'file-none')")
    assert [state for _, state, *_ in states(db)] == ["created", "refused", "refused"]
    made.clear()
    what = "write 1 (create ftjob-00001 at openai) "
    if retrieves:
        assert db.ftsql.settle() == [f"{what}is closed: ftjob-00001 is gone"]
        assert states(db)[0] == ("create", "cancelled", 1, 0)
    else:  # a list may lag
        lags = "created ftjob-00001, which the list does not show now, and its transaction did not end"
        for _ in range(2):
            assert db.ftsql.settle() == [what + lags]
            assert states(db)[0] == ("create", "created", 1, 1)


@pytest.mark.parametrize("retrieves", [True, False])
@pytest.mark.parametrize(("shown", "state", "words"), [
    ("cancelled", "committed", "took effect: the job is cancelled"),
    ("running", "refused", "did not take effect: the job is running"),
    (None, None, None),
])  # fmt: skip
def test_a_cancel_of_which_nobody_knew_is_what_the_job_shows(
    at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retrieves: bool, shown: str, state: str, words: str
) -> None:
    found = [job(1, status="running", finished_at=None, fine_tuned_model=None)]
    broken = [Response(b"<html>"), Response({"error": {"message": "not yours"}}, 403)]

    def answering(asked: Asked) -> Any:
        if broken:
            return broken[asked.method == "GET"]
        if asked.path == PATH:
            return {"data": found, "has_more": False}
        return found[0] if found and retrieves else None

    config = tmp_path / "providers.toml"
    config.write_text("" if retrieves else '[openai]\nwithout = ["retrieve"]\n')
    monkeypatch.setenv("FTSQL_CONFIG", str(config))
    _, db = at(answering)
    with pytest.raises(ftsql.APIError, match="not yours"):
        db.execute("SELECT cancel_job('ftjob-00001')").fetchall()
    assert states(db) == [("cancel", "unknown", 1, 1)]
    broken.clear()
    for decision in ("keep", "cancel", "job"):
        with pytest.raises(ProgrammingError, match="write 1 is unknown: say --none$"):
            db.ftsql.decide(1, decision, "ftjob-00001")
    found[:] = [{**found[0], "status": shown}] if shown else []
    if not shown:
        state, words = "refused", "did not take effect: the job is gone"
    if not shown and not retrieves:  # a list may lag
        state, words = "unknown", "stays open: the job is not found, which does not prove here that it is gone"
    assert db.ftsql.settle() == [f"write 1 (cancel ftjob-00001 at openai) {words}"]
    assert db.execute("SELECT state, open FROM ftsql_writes").fetchall() == [(state, int(state == "unknown"))]


def test_a_long_history_costs_an_opening_nothing(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    fill(sandbox, 3)
    store = tmp_path / "store.db"
    db = connect(store=store)
    db.execute(ONE)
    before = len(sandbox.requests)
    with told() as lines:
        connect(store=store)
    assert lines == []
    assert len(sandbox.requests) == before


@pytest.mark.parametrize("where", ["record", "create"])
def test_two_processes_that_find_the_same_open_write_settle_it_once(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    path = tmp_path / "store.db"
    killed(path, ONE, where, after=2 if where == "record" else 1, providers="openai")
    honest = Journal.open
    first = [True]

    def slow(self: Journal) -> list[Any]:
        entries = honest(self)
        if first[0]:
            first[0] = False
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                connect(store=path).close()  # another process, faster
        return entries

    monkeypatch.setattr(Journal, "open", slow)
    with told() as lines:
        db = connect(store=path)
    assert any("was settled by another process meanwhile" in line for line in lines), lines
    assert len(states(db)) == 1


@pytest.mark.parametrize("shows", [[True], [False], [True, False]], ids=["it does", "it does not", "not always"])
@pytest.mark.parametrize("kind", ["seed", "metadata"])
def test_a_job_that_is_only_alike_is_ruled_out_where_the_list_shows_what_was_sent(
    at: At, shows: list[bool], kind: str
) -> None:
    listed: list[dict[str, Any]] = []
    accepts = True

    def answering(asked: Asked) -> Any:
        if asked.method == "GET":
            return {"data": listed, "has_more": False}
        if not accepts:
            return Response(b"<html>")
        sent = json.loads(asked.body)
        now = {"created_at": int(time.time()), "status": "running", "finished_at": None}
        number = len(listed)
        listed.append(job(number, **{**sent, **now, **({} if shows[number] else {kind: None})}))
        return {**listed[number], kind: sent[kind]}

    columns, values = ("seed, ", "5, ") if kind == "metadata" else ("", "")
    create = f"INSERT INTO fine_tuning_jobs ({columns}model, training_file) VALUES ({values}'gpt-4o-mini', 'file-a')"
    _, db = at(answering, settle_seconds=0.1, absent_seconds=0.1)
    for _ in shows:
        db.execute(create)
    accepts = False
    with pytest.raises(ftsql.OutcomeUnknown):
        db.execute(create)
    listed.insert(0, {**listed[0], "id": "ftjob-other", "seed": 7, "metadata": {"of": "another"}})
    db.ftsql.store.db.execute("UPDATE writes SET at = at - 60 WHERE state = 'unknown'")
    (said,) = db.ftsql.settle()
    if all(shows):
        assert said.endswith("is closed: it was never accepted, because no job carries its fingerprint")
    else:
        assert "is unknown: these may be it: ftjob-other. Look again" in said
    made = ["committed" for _ in shows]
    assert [state for _, state, *_ in states(db)] == [*made, "refused" if all(shows) else "unknown"]


def test_a_lost_write_is_looked_for_at_its_own_provider_only(at: At, tmp_path: Path) -> None:
    config, store = tmp_path / "providers.toml", tmp_path / "store.db"
    config.write_text('[other]\nextends = "openai"\n')
    server, db = at(lambda asked: Response(b"<html>"), store=store, settle_seconds=0.1)
    with pytest.raises(ftsql.OutcomeUnknown):
        db.execute(ONE)
    server.asked.clear()
    with told(), ftsql.connect(config=config, store=store, providers=["other"]) as other:
        (said,) = other.ftsql.settle()
    other.close()
    assert "the account that sent it is not active here" in said
    assert server.requests == []


def test_what_another_providers_create_made_may_still_be_the_one_that_was_lost(
    at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway may show the ids of the server behind it."""
    made = job(1, model="gpt-4o-mini", training_file="file-a", seed=None, created_at=int(time.time()))

    def gateway(asked: Asked) -> Any:
        return made if asked.method == "POST" else {"data": [made], "has_more": False}

    def answering(asked: Asked) -> Any:
        return Response(b"<html>") if asked.method == "POST" else {"data": [made], "has_more": False}

    with Server(gateway) as server:
        config = tmp_path / "providers.toml"
        config.write_text(f'[gateway]\nextends = "openai"\nbase_url = "{server.base_url}"\n')
        _, db = at(answering, config=config, providers=["openai", "gateway"], settle_seconds=0.1, absent_seconds=0.1)
        create = "INSERT INTO fine_tuning_jobs (model, training_file, provider) VALUES ('gpt-4o-mini', 'file-a', ?)"
        db.execute(create, ("gateway",))
        with pytest.raises(ftsql.OutcomeUnknown):
            db.execute(create, ("openai",))
        db.ftsql.store.db.execute("UPDATE writes SET at = at - 60")
        (said,) = db.ftsql.settle()
        assert "is unknown: these may be it: ftjob-00001. Look again" in said


@pytest.mark.long
def test_two_jobs_of_one_fingerprint_are_named_and_neither_is_taken(sandbox: Sandbox, connect: Connect) -> None:
    db = connect(settle_seconds=0.1)
    sandbox.fault(Fault(method="GET", path=CREATE, times=None, status=500))
    sandbox.fault(Fault(method="POST", path=CREATE, drop=True, accept=True))
    with pytest.raises(ftsql.OutcomeUnknown):
        db.execute(ONE)
    sandbox.clear_faults()
    (first,) = sandbox.jobs()
    same = {name: first[name] for name in ("model", "training_file", "seed", "created_at", "status")}
    second = sandbox.add_job(id="ftjob-double", **same)  # a gateway sent it twice
    with told():
        (said,) = db.ftsql.settle()
    assert first["id"] in said
    assert second["id"] in said
    assert states(db) == [("create", "unknown", False, 1)]
    assert {job["status"] for job in sandbox.jobs()} == {first["status"]}


def test_settle_closes_a_lost_create_whose_job_was_cancelled_meanwhile(at: At) -> None:
    listed: list[dict[str, Any]] = []
    sent: list[dict[str, Any]] = []

    def answering(asked: Asked) -> Any:
        if asked.method == "GET":
            return {"data": listed, "has_more": False}
        sent.append(json.loads(asked.body))
        return Response(b"<html>")

    _, db = at(answering, settle_seconds=0.1)
    with pytest.raises(ftsql.OutcomeUnknown):
        db.execute(ONE)
    listed.append(job(1, **sent[0], created_at=int(time.time()), status="cancelled"))
    assert db.ftsql.settle() == ["write 1 (create at openai) is closed: ftjob-00001 is cancelled"]
    assert states(db) == [("create", "cancelled", 1, 0)]
