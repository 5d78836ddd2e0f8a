"""Checkpoint permissions and models: granted once, deleted on ROLLBACK, deleted by SQL."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql.errors import IntegrityError, ProgrammingError
from ftsql.sandbox import Fault, Sandbox
from ftsql.stackql import translate
from tests.answering import Asked, Response
from tests.conftest import CANARY, At, Connect, fill
from tests.write.fixtures import INSERT
from tests.write.test_files import sent
from tests.write.test_recovery import killed, told

CKPT = "ft:gpt-4o-mini:org:one:abc:ckpt-step-8"
GRANT = f"INSERT INTO fine_tuning_checkpoint_permissions (fine_tuned_model_checkpoint, project_id) VALUES ('{CKPT}', "
PATH = r"/permissions$"


@pytest.fixture(autouse=True)
def _checkpoint(sandbox: Sandbox) -> None:
    sandbox.add_job(id="ftjob-made", fine_tuned_model=CKPT.partition(":ckpt")[0], created_at=1_700_000_000)


def projects(db: ftsql.Connection) -> list[Any]:
    sql = f"SELECT project_id FROM fine_tuning_checkpoint_permissions('{CKPT}') ORDER BY project_id"
    return [project for (project,) in db.execute(sql)]


SCRIPTS: list[tuple[list[str], str]] = [
    ([GRANT + "'a')"], "a"),
    ([GRANT + f"'a'), ('{CKPT}', 'b')"], "ab"),
    (["INSERT INTO fine_tuning_checkpoint_permissions (checkpoint, project_id, provider) "
      f"SELECT '{CKPT}', column1, 'openai' FROM (VALUES ('a'), ('b'))"], "ab"),
    (["BEGIN", GRANT + "'a')", "ROLLBACK"], ""),
    (["BEGIN", GRANT + "'a')", "SAVEPOINT s", GRANT + "'b')", "ROLLBACK TO s", "COMMIT"], "a"),
    (["!" + GRANT + f"'a'), ('{CKPT}', NULL)"], ""),
    (["!" + GRANT + "'a'), ('a/../b', 'b')"], ""),
    (["INSERT OR IGNORE" + GRANT.removeprefix("INSERT") + f"'a'), ('{CKPT}', NULL), ('{CKPT}', 'b')"], "ab"),
    (["!INSERT OR FAIL" + GRANT.removeprefix("INSERT") + f"'a'), ('{CKPT}', NULL), ('{CKPT}', 'b')"], "a"),
    (["!INSERT OR REPLACE" + GRANT.removeprefix("INSERT") + "'a')"], ""),
    (["BEGIN", GRANT + "'a')", "!" + INSERT + "('gpt-4o-mini', NULL)", "COMMIT"], "a"),
    (["BEGIN", GRANT + "'a')", INSERT + "('gpt-4o-mini', 'file-none')", "!COMMIT"], ""),
    (["!UPDATE fine_tuning_checkpoint_permissions SET project_id = 'x' WHERE checkpoint = '" + CKPT + "' OR 1",
      "!INSERT INTO fine_tuning_checkpoint_permissions (id, checkpoint, project_id) VALUES ('cp', 'c', 'p')"], ""),
    ([GRANT + f"'a'), ('{CKPT}', 'b')", "DELETE FROM fine_tuning_checkpoint_permissions WHERE fine_tuned_model_checkpoint = "
      f"'{CKPT}' AND project_id = 'a'"], "b"),
    ([GRANT + f"'a'), ('{CKPT}', 'b')", f"DELETE FROM fine_tuning_checkpoint_permissions WHERE key IN (SELECT key FROM "
      f"fine_tuning_checkpoint_permissions('{CKPT}') WHERE project_id = 'b')"], "a"),
    ([GRANT + "'a')", "!DELETE FROM fine_tuning_checkpoint_permissions WHERE project_id = 'a'"], "a"),
]  # fmt: skip


@pytest.mark.parametrize(("script", "granted"), SCRIPTS, ids=[" ; ".join(script)[:110] for script, _ in SCRIPTS])
def test_only_what_sql_keeps_is_granted(
    sandbox: Sandbox, db: ftsql.Connection, script: list[str], granted: str
) -> None:
    for sql in script:
        if sql.startswith("!"):
            with pytest.raises((ftsql.Error, apsw.Error)):
                db.execute(sql[1:]).fetchall()
        else:
            db.execute(sql).fetchall()
    assert not db.in_transaction
    assert projects(db) == list(granted)


def test_a_grant_is_shown_before_it_is_sent_with_its_body(sandbox: Sandbox, db: ftsql.Connection) -> None:
    db.execute("BEGIN; " + GRANT + "'a')")
    found = db.execute("SELECT state, action, method, path, body FROM ftsql_writes").fetchall()
    path = f"/fine_tuning/checkpoints/{CKPT}/permissions"
    assert found == [("queued", "grant", "POST", path, '{"project_ids":["a"]}')]
    assert sandbox.requests == []
    db.execute("COMMIT")
    assert [request.body for request in sandbox.requests] == [b'{"project_ids":["a"]}']


def test_last_jobs_are_the_jobs_of_the_last_transaction_and_nothing_else_that_it_made(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    for name in ("file-a", "file-b"):
        sandbox.add_file(id=name)
    create = INSERT.replace("INSERT", "INSERT OR IGNORE") + "('gpt-4o-mini', '{}')"
    db.execute("BEGIN; " + "; ".join([create.format("file-a"), GRANT + "'a')", create.format("file-none")]))
    with pytest.raises(ProgrammingError, match="^3 queued: COMMIT creates the jobs"):
        db.execute("SELECT last_jobs()").fetchall()
    db.execute(create.format("file-b") + "; COMMIT")
    made = {job["training_file"]: f"openai/{job['id']}" for job in sandbox.jobs() if job["id"] != "ftjob-made"}
    assert json.loads(str(db.execute("SELECT last_jobs()").get)) == [made["file-a"], made["file-b"]]
    assert projects(db) == ["a"]
    db.execute(GRANT + "'b')")
    assert db.execute("SELECT last_jobs()").get == "[]"


LOST: dict[str, Fault] = {
    "dropped after it was accepted": Fault(method="POST", path=PATH, drop=True, accept=True),
    "500 after it was accepted": Fault(method="POST", path=PATH, status=500, accept=True),
    "HTML after it was accepted": Fault(method="POST", path=PATH, status=200, body="<html>", accept=True),
    "an empty list": Fault(method="POST", path=PATH, transform=lambda page: {**page, "data": []}),
}


@pytest.mark.parametrize("how", LOST)
def test_a_grant_whose_answer_is_lost_is_found_again_and_never_sent_twice(
    sandbox: Sandbox, connect: Connect, how: str
) -> None:
    db = connect(settle_seconds=2)
    db.execute(GRANT + f"'a'), ('{CKPT}', 'b')")  # an equal grant by another write
    sandbox.fault(LOST[how])
    db.execute(GRANT + "'a')")
    assert len(sent(sandbox, "POST")) == 3
    assert projects(db) == ["a", "a", "b"]
    assert db.execute("SELECT count(DISTINCT job_id), min(state), max(state) FROM ftsql_writes").fetchall() == [
        (3, "committed", "committed")
    ]


def test_a_grant_that_is_not_found_is_unknown_and_what_was_granted_before_it_is_taken_back(
    sandbox: Sandbox, connect: Connect
) -> None:
    db = connect(settle_seconds=0.5)
    sandbox.fault(Fault(method="POST", path=PATH, after=1, drop=True))
    with pytest.raises(ftsql.OutcomeUnknown, match="the outcome of the grant") as caught:
        db.execute(GRANT + f"'a'), ('{CKPT}', 'b')")
    assert "was created and is deleted now" in str(caught.value)
    shown = f"WHERE fine_tuned_model_checkpoint = '{CKPT}' AND project_id = 'b'"
    assert f"SELECT id, * FROM fine_tuning_checkpoint_permissions {shown}" in str(caught.value)
    assert projects(db) == []
    assert [state for (state,) in db.execute("SELECT state FROM ftsql_writes")] == ["cancelled", "unknown", "committed"]


def test_a_permission_that_was_there_before_survives_the_rollback(sandbox: Sandbox, db: ftsql.Connection) -> None:
    db.execute(GRANT + "'a')")
    ((id,),) = db.execute(f"SELECT id FROM fine_tuning_checkpoint_permissions('{CKPT}')").fetchall()
    old = {"object": "list", "has_more": False, "data": [{"id": id, "created_at": int(time.time()), "project_id": "a"}]}
    sandbox.fault(Fault(method="POST", path=PATH, body=old))
    with pytest.raises(ftsql.APIError, match=r"row 2 of 2: invalid training_file: file-none \([^)]*\)$"):
        db.execute("BEGIN; " + GRANT + "'a'); " + INSERT + "('gpt-4o-mini', 'file-none'); COMMIT")
    assert projects(db) == ["a"]


@pytest.mark.parametrize("age", [3600, 0])
def test_a_permission_that_is_older_than_its_grant_survives_the_rollback(
    sandbox: Sandbox, db: ftsql.Connection, age: int
) -> None:
    shown = {"id": "cp-1", "created_at": int(time.time()) - age, "project_id": "a"}
    sandbox.fault(Fault(method="POST", path=PATH, body={"object": "list", "has_more": False, "data": [shown]}))
    with pytest.raises(ftsql.APIError, match="file-none"):
        db.execute("BEGIN; " + GRANT + "'a'); " + INSERT + "('gpt-4o-mini', 'file-none'); COMMIT")
    taken_back = [f"DELETE /fine_tuning/checkpoints/{CKPT}/permissions/cp-1"]
    assert sent(sandbox, "DELETE") == ([] if age else taken_back)


@pytest.mark.parametrize("newest", [0, 1])
def test_of_two_permissions_in_the_response_to_a_grant_the_newer_one_is_its_own(
    sandbox: Sandbox, db: ftsql.Connection, newest: int
) -> None:
    now = int(time.time())
    shown = [{"id": f"cp-{n}", "created_at": now - (0 if n == newest else 7200), "project_id": "a"} for n in (0, 1)]
    sandbox.fault(Fault(method="POST", path=PATH, body={"object": "list", "has_more": False, "data": shown}))
    with pytest.raises(ftsql.APIError, match="file-none"):
        db.execute("BEGIN; " + GRANT + "'a'); " + INSERT + "('gpt-4o-mini', 'file-none'); COMMIT")
    assert sent(sandbox, "DELETE") == [f"DELETE /fine_tuning/checkpoints/{CKPT}/permissions/cp-{newest}"]


def test_a_permission_that_could_not_be_taken_back_and_is_gone_later_is_closed(
    sandbox: Sandbox, connect: Connect
) -> None:
    db, elsewhere = connect(), connect()
    sandbox.fault(Fault(method="DELETE", status=400, body={"error": {"message": "not now"}}))
    with pytest.raises(ftsql.APIError, match="exists and could not be deleted"):
        db.execute("BEGIN; " + GRANT + "'a'); " + INSERT + "('gpt-4o-mini', 'file-none'); COMMIT")
    ((id,),) = db.execute(f"SELECT id FROM fine_tuning_checkpoint_permissions('{CKPT}')").fetchall()
    sql = "DELETE FROM fine_tuning_checkpoint_permissions WHERE fine_tuned_model_checkpoint = ? AND id = ?"
    elsewhere.execute(sql, (CKPT, id))
    assert db.ftsql.settle() == [f"write 1 (grant {id} at openai) is closed: {id} is gone"]
    assert db.execute("SELECT state, open FROM ftsql_writes").fetchall()[0] == ("cancelled", 0)


def test_a_fine_tuned_model_is_deleted_and_another_is_not(sandbox: Sandbox, db: ftsql.Connection) -> None:
    fill(sandbox, 3)
    made = [id for (id,) in db.execute("SELECT id FROM models WHERE id LIKE 'ft:%' ORDER BY id")]
    db.execute("DELETE FROM models WHERE id = ?", made[:1])
    with pytest.raises(ftsql.APIError, match="does not belong to your organization"):
        db.execute("DELETE FROM models WHERE model = 'gpt-4o-mini-2024-07-18'")
    with pytest.raises(ftsql.Error, match=r"1 of 4 models could not be deleted: gpt-4o-mini.*is deleted now"):
        db.execute("DELETE FROM models WHERE id LIKE 'ft:%' OR id = 'gpt-4o-mini-2024-07-18'")
    assert db.execute("SELECT count(*) FROM models WHERE id LIKE 'ft:%'").get == 0


def test_a_row_goes_to_its_own_provider(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    with Sandbox(jobs=0, speed=0) as other:
        (tmp_path / "more.toml").write_text(f"[second]\nextends = 'openai'\nbase_url = '{other.base_url('openai')}'\n")
        db = connect(providers=["openai", "second"], config=tmp_path / "more.toml", max_writes=3)
        for one in (sandbox, other):
            one.add_file(id="file-a", content=b"of " + one.base_url().encode())
        db.execute("DELETE FROM files WHERE provider = 'second'")
        assert (sent(sandbox), sent(other)) == ([], ["DELETE /files/file-a"])
        assert db.execute("SELECT file_content('file-a')").fetchall() == [(f"of {sandbox.base_url()}",)]
        for sql in (GRANT + "'a')", f"SELECT upload_file('{__file__}')"):
            with pytest.raises(ftsql.Error, match="several providers are active"):
                db.execute(sql).fetchall()
        other.add_file(id="file-a")
        with pytest.raises(ftsql.Error, match="several providers have 'file-a'"):
            db.execute("SELECT file_content('file-a')").fetchall()
        db.execute(f"SELECT upload_file('{__file__}', 'batch', 'second')").fetchall()
        assert sent(other, "POST") == ["POST /files"]
        db.execute("DELETE FROM files WHERE id = 'file-a'")
        assert len(sent(sandbox)) + len(sent(other)) == 4


LACKING = [
    "DELETE FROM files WHERE id = 'file-a'", "DELETE FROM models", GRANT + "'a')", "SELECT file_content('file-a')",
    f"SELECT upload_file('{__file__}')", "SELECT * FROM fine_tuning_results('ftjob-a')",
    f"DELETE FROM fine_tuning_checkpoint_permissions WHERE checkpoint = '{CKPT}'",
]  # fmt: skip


@pytest.mark.parametrize("sql", LACKING)
def test_a_provider_that_lacks_it_is_a_clear_error_and_no_request(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    monkeypatch.setenv("TELNYX_BASE_URL", sandbox.base_url("telnyx"))
    monkeypatch.setenv("TELNYX_API_KEY", CANARY)
    db = ftsql.connect(providers="telnyx")
    with pytest.raises(ftsql.Error, match="telnyx does not serve (file|model|checkpoint permission|result)s"):
        db.execute(sql).fetchall()
    assert sandbox.requests == []
    db.close()


UPLOADED = f"SELECT upload_file('{__file__}')"

# SQL, the function in which the process dies (the n-th call), then the state and the message at the next opening
DEATHS: dict[str, tuple[str, int, str, str]] = {
    "a delete before it is sent": ("DELETE FROM files WHERE id = 'file-a'", 1, "refused", "was not sent"),
    "a delete before its answer is recorded": ("DELETE FROM files WHERE id = 'file-a'", 2, "committed", "took effect"),
    "a grant before it is sent": (GRANT + "'a')", 1, "refused", "was not sent"),
    "a grant before its answer is recorded": (GRANT + "'a')", 2, "created", "its transaction did not end"),
    "a grant before its commit is recorded": (GRANT + "'a')", 3, "created", "its transaction did not end"),
    "an upload before its answer is recorded": (UPLOADED, 2, "committed", "made the file file-"),
}


@pytest.mark.usefixtures("connect")
@pytest.mark.parametrize("how", DEATHS)
@pytest.mark.long
def test_after_a_crash_the_next_opening_tells_and_sends_nothing(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, how: str
) -> None:
    sql, after, state, words = DEATHS[how]
    sandbox.add_file(id="file-a")
    store = tmp_path / "store.db"
    killed(store, sql, "record", after)
    before = sent(sandbox)
    with told() as lines:
        db = connect(store=store)
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [(state,)]
    assert any(words in line for line in lines), lines
    assert sent(sandbox) == before
    if state == "created":
        assert projects(db) == ["a"]
        assert "is deleted now" in db.ftsql.decide(1, "cancel")
        assert projects(db) == []
        assert db.execute("SELECT count(*) FROM ftsql_writes WHERE open").get == 0


@pytest.mark.parametrize("gone", [True, False])
def test_a_permission_whose_delete_was_answered_oddly_is_looked_for_in_the_list(at: At, gone: bool) -> None:
    granted = [{"id": f"cp-{number}", "project_id": "a", "created_at": 1_790_000_000 - number} for number in range(3)]

    def answering(asked: Asked) -> Any:
        if asked.method == "DELETE":
            if gone:
                del granted[1]
            return Response(b"<html>")
        return {"data": granted, "has_more": False}

    server, db = at(answering)
    sql = f"DELETE FROM fine_tuning_checkpoint_permissions WHERE fine_tuned_model_checkpoint = '{CKPT}' AND id = 'cp-1'"
    if gone:
        db.execute(sql)
    else:
        with pytest.raises(ftsql.APIError, match="the checkpoint permission cp-1 still exists"):
            db.execute(sql)
    path = f"/fine_tuning/checkpoints/{CKPT}/permissions"
    assert [asked.path for asked in server.asked] == [path, f"{path}/cp-1", path]
    state = "committed" if gone else "refused"
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [(state,)]


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.long
def test_a_delete_of_which_nothing_is_heard_stays_open_until_somebody_looks(
    sandbox: Sandbox, db: ftsql.Connection, accepted: bool
) -> None:
    sandbox.add_file(id="file-a", filename="one")
    sandbox.fault(Fault(method="DELETE", times=None, drop=True, accept=accepted))
    sandbox.fault(Fault(method="GET", path="/files/file-a", times=None, drop=True))
    with pytest.raises(ftsql.APIConnectionError, match="it is unknown whether the file file-a was deleted"):
        db.execute("DELETE FROM files WHERE filename = 'one'")
    assert db.execute("SELECT state, open FROM ftsql_writes").fetchall() == [("unknown", 1)]
    sandbox.clear_faults()
    assert ("took effect" if accepted else "did not take effect") in db.ftsql.settle()[0]
    assert db.execute("SELECT count(*) FROM ftsql_writes WHERE open").get == 0


@pytest.mark.long
def test_an_upload_that_never_came_is_closed_when_the_list_proves_it(sandbox: Sandbox, connect: Connect) -> None:
    db = connect(settle_seconds=0.1, absent_seconds=0.1)
    for _ in range(2):
        sandbox.fault(Fault(method="POST", path="/files$", drop=True))
        with pytest.raises(ftsql.OutcomeUnknown):
            db.execute(UPLOADED).fetchall()
    assert "is unknown" in db.ftsql.settle()[0]
    for id in ("file-none", "", None):
        with pytest.raises(ProgrammingError, match=f"no such file: '{id or ''}'"):
            db.ftsql.decide(1, "job", id)
    sandbox.add_file(id="file-late")
    assert db.ftsql.decide(1, "job", "file-late") == "write 1 is committed: it made file-late"
    time.sleep(1.3)
    assert "it was never accepted" in db.ftsql.settle()[0]
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("committed",), ("refused",)]


def test_the_key_is_nowhere(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    db = connect(store=store, settle_seconds=0.1)
    sandbox.add_file(id="file-a", content=b"a file")
    (tmp_path / CANARY).write_text("x")
    sandbox.fault(Fault(method="DELETE", times=None, status=400, body={"error": {"message": f"no {CANARY}"}}))
    written = []
    for sql in ("DELETE FROM files", f"SELECT upload_file('{tmp_path / CANARY}'), '{CANARY}' > ''", GRANT + f"'{CANARY}')",
                "SELECT file_content('file-a')", "SELECT * FROM ftsql_writes", "SELECT * FROM ftsql_requests"):  # fmt: skip
        try:
            written.append(repr(db.execute(sql).fetchall()))
        except ftsql.Error as error:
            written.append(str(error))
    db.close()
    written += [path.read_bytes().decode("latin-1") for path in tmp_path.glob("store*") if os.path.isfile(path)]
    assert [text for text in written if CANARY in text] == []


def test_stackqls_array_of_projects_is_a_grant_each(db: ftsql.Connection) -> None:
    db.execute(
        translate(
            "INSERT INTO openai.fine_tuning.checkpoint_permissions (fine_tuned_model_checkpoint, data__project_ids) "
            f"SELECT '{CKPT}', '[\"a\", \"b\"]'"
        )
    )
    assert projects(db) == ["a", "b"]


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("project_id", 5, "5"),
        ("project_id", "", "''"),
        ("project_id", b"p", "b'p'"),
        ("checkpoint", 5, "5"),
        ("checkpoint", "", "''"),
    ],
)
def test_a_grant_takes_texts(sandbox: Sandbox, db: ftsql.Connection, column: str, value: Any, shown: str) -> None:
    row = {"checkpoint": CKPT, "project_id": "proj-1", column: value}
    with pytest.raises(
        IntegrityError, match=f"^{'fine_tuned_model_' * (column == 'checkpoint')}{column} takes a string, not {shown}$"
    ):
        db.execute(
            "INSERT INTO fine_tuning_checkpoint_permissions (checkpoint, project_id) VALUES (:checkpoint, :project_id)",
            row,
        )
    assert sandbox.requests == []


def test_a_parent_that_is_given_twice_has_to_be_the_same(sandbox: Sandbox, db: ftsql.Connection) -> None:
    insert = (
        "INSERT INTO fine_tuning_checkpoint_permissions (fine_tuned_model_checkpoint, checkpoint, project_id) "
        "VALUES (?, ?, 'proj-1')"
    )
    with pytest.raises(IntegrityError, match="are the same column: set one of them"):
        db.execute(insert, (CKPT, "another"))
    db.execute("BEGIN")
    db.execute(insert, (CKPT, CKPT))
    assert db.execute("SELECT count(*) FROM ftsql_writes WHERE state = 'queued'").get == 1
    db.execute("ROLLBACK")
