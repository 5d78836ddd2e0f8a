"""Files: contents, and deletes, which are not sent for a row that SQL rolls back."""

from __future__ import annotations

import functools
import gzip
import multiprocessing
import os
import threading
import time
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql.api.transport import decompressed
from ftsql.errors import OperationalError
from ftsql.sandbox import Fault, Sandbox
from tests.conftest import Connect
from tests.write.fixtures import failing
from tests.write.test_recovery import told
from tests.write.test_transactions import _caught, _nested


def sent(sandbox: Sandbox, *methods: str) -> list[str]:
    return [
        f"{request.method} {request.path.removeprefix('/v1')}"
        for request in sandbox.requests
        if request.method in (methods or ("POST", "DELETE"))
    ]


def kept(db: ftsql.Connection) -> list[Any]:
    return [id for (id,) in db.execute("SELECT id FROM files ORDER BY id")]


# SQL scripts, one statement an item; "!" marks a statement that fails. Then the files left of a, b, c.
SCRIPTS: list[tuple[list[str], str]] = [
    (["DELETE FROM files WHERE id = 'file-a'"], "bc"),
    (["DELETE FROM files WHERE file_id IN ('file-a', 'file-c')"], "b"),
    (["DELETE FROM live.files WHERE key = 'openai/file-b'"], "ac"),
    (["DELETE FROM main.files WHERE filename LIKE '%a.jsonl' OR bytes < 0"], "bc"),
    (["DELETE FROM files"], ""),
    (["BEGIN", "DELETE FROM files", "ROLLBACK"], "abc"),
    (["BEGIN", "DELETE FROM files WHERE id = 'file-a'", "SAVEPOINT s", "DELETE FROM files", "ROLLBACK TO s", "COMMIT"], "bc"),
    (["BEGIN", "DELETE FROM files WHERE id = 'file-a'", "DELETE FROM files WHERE id = 'file-a'", "COMMIT"], "bc"),
    (["BEGIN", "DELETE FROM files WHERE id = 'file-a'", "DELETE FROM live.files WHERE id < 'file-c'", "COMMIT"], "c"),
    (["DELETE FROM files WHERE id IN (SELECT id FROM mine)"], "c"),
    (["DELETE FROM files WHERE id NOT IN (SELECT id FROM mine)"], "ab"),
    (["DELETE FROM files WHERE EXISTS (SELECT 1 FROM mine WHERE mine.id = files.id)"], "c"),
    (["DELETE FROM files WHERE id = (SELECT max(id) FROM files)"], "ab"),
    (["DELETE FROM files WHERE id IN (SELECT f.id FROM files f JOIN files g ON f.bytes = g.bytes)"], ""),
    (["BEGIN", "DELETE FROM files WHERE id = 'file-a'", "!DELETE FROM files WHERE iif(id = 'file-c', failing(), 1)", "COMMIT"], "bc"),
    (["!DELETE FROM files WHERE id = 'file-a' AND failing() OR id = 'file-b'"], "abc"),
    (["!DELETE FROM files WHERE iif(id = 'file-a', abs(-9223372036854775808), 1)"], "abc"),
    (["SELECT nested('DELETE FROM files WHERE id = ''file-a''')"], "bc"),
    (["BEGIN", "SELECT caught('DELETE FROM files')", "ROLLBACK"], "abc"),
    (["CREATE TEMP TRIGGER t AFTER DELETE ON mine BEGIN DELETE FROM files WHERE id = old.id; END", "DELETE FROM mine"], "c"),
    (["DELETE FROM files WHERE id IS NULL", "DELETE FROM files WHERE id = 'file-none'"], "abc"),
    (["!UPDATE files SET filename = 'x'", "!INSERT INTO files (filename) VALUES ('x')"], "abc"),
    (["!INSERT OR REPLACE INTO files (id) VALUES ('file-a')", "!REPLACE INTO models (id) VALUES ('x')"], "abc"),
]  # fmt: skip


@pytest.mark.parametrize(("script", "left"), SCRIPTS, ids=[" ; ".join(script)[:110] for script, _ in SCRIPTS])
@pytest.mark.long
def test_only_what_sql_keeps_is_deleted(sandbox: Sandbox, db: ftsql.Connection, script: list[str], left: str) -> None:
    for name in "abc":
        sandbox.add_file(id=f"file-{name}", filename=f"{name}.jsonl")
    db.create_scalar_function("failing", failing)
    db.create_scalar_function("nested", functools.partial(_nested, db))
    db.create_scalar_function("caught", functools.partial(_caught, db))
    db.execute("CREATE TABLE mine (id); INSERT INTO mine VALUES ('file-a'), ('file-b')")
    for sql in script:
        if sql.startswith("!"):
            with pytest.raises((ftsql.Error, apsw.Error, ZeroDivisionError)):
                db.execute(sql[1:]).fetchall()
        else:
            db.execute(sql).fetchall()
    assert not db.in_transaction
    assert kept(db) == [f"file-{name}" for name in left]
    assert sorted(sent(sandbox)) == [f"DELETE /files/file-{name}" for name in "abc" if name not in left]


@pytest.mark.long
def test_a_delete_while_the_same_table_is_read_leaves_the_reader_its_rows(sandbox: Sandbox, connect: Connect) -> None:
    db = connect(max_writes=100)
    ids = [sandbox.add_file(id=f"file-{number:02}")["id"] for number in range(30)]
    found = []
    for (id,) in db.execute("SELECT id FROM files"):
        db.execute("DELETE FROM files WHERE id = ?", (id,))
        found.append(id)
    assert sorted(found) == ids
    assert kept(db) == []
    assert len(sent(sandbox, "DELETE")) == 30


def test_a_delete_is_shown_before_it_is_sent_and_told_after(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.add_file(id="file-a")
    look = "SELECT state, action, method, path, job_id FROM ftsql_writes"
    db.execute("BEGIN; DELETE FROM files")
    assert db.execute(look).fetchall() == [("queued", "delete", "DELETE", "/files/file-a", "file-a")]
    assert sent(sandbox) == []
    db.execute("COMMIT")
    assert db.execute(look).fetchall() == [("committed", "delete", "DELETE", "/files/file-a", "file-a")]
    assert db.ftsql.take_notes() == ["file-a is deleted now (provider openai)"]


def test_every_row_is_tried_and_one_error_lists_those_refused(sandbox: Sandbox, db: ftsql.Connection) -> None:
    for name in "abc":
        sandbox.add_file(id=f"file-{name}")
    body = {"error": {"message": "File is in use", "type": "invalid_request_error"}}
    sandbox.fault(Fault(method="DELETE", path="file-b", status=400, body=body))
    with pytest.raises(
        OperationalError, match="1 of 3 files could not be deleted: file-b: openai: File is in use"
    ) as caught:
        db.execute("DELETE FROM files")
    assert "file-a is deleted now" in str(caught.value)
    assert kept(db) == ["file-b"]


def test_the_first_interrupt_stops_further_deletes_and_says_what_is_deleted(
    sandbox: Sandbox, db: ftsql.Connection
) -> None:
    for name in "abc":
        sandbox.add_file(id=f"file-{name}")
    sandbox.fault(Fault(method="DELETE", times=None, latency=0.6))
    timer = threading.Timer(0.3, db.interrupt)
    timer.start()
    with pytest.raises(apsw.InterruptError, match="file-. is deleted now; 2 more rows were not sent"):
        db.execute("DELETE FROM files")
    timer.join()
    assert len(sent(sandbox, "DELETE")) == 1
    assert len(kept(db)) == 2


@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK"])
def test_a_busy_commit_deletes_once_and_a_rollback_after_it_says_so(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / "own.db"
    sandbox.add_file(id="file-a")
    db = connect(path)
    db.set_busy_timeout(0)
    db.execute("CREATE TABLE mine (id)")
    reader = apsw.Connection(str(path))
    reader.execute("BEGIN; SELECT * FROM mine").fetchall()
    db.execute("BEGIN; INSERT INTO mine VALUES (1); DELETE FROM files")
    with pytest.raises(apsw.BusyError):
        db.execute("COMMIT")
    reader.close()
    db.execute(ending)
    same = " all the same" if ending == "ROLLBACK" else " now"
    assert db.ftsql.take_notes() == [f"file-a is deleted{same} (provider openai)"]
    assert sent(sandbox) == ["DELETE /files/file-a"]


def _run(store: Path, sql: str) -> None:
    ftsql.connect(store=store).execute(sql).fetchall()


@pytest.mark.usefixtures("connect")
@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("sql", ["DELETE FROM files", f"SELECT upload_file({__file__!r})"])
@pytest.mark.long
def test_after_kill_9_between_send_and_answer_nothing_is_sent_again(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, sql: str, accepted: bool
) -> None:
    sandbox.add_file(id="file-a")
    sandbox.fault(Fault(method="DELETE" if "DELETE" in sql else "POST", hang=True, accept=accepted))
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(tmp_path / "store.db", sql))
    process.start()
    while not sent(sandbox) and process.is_alive():
        time.sleep(0.05)
    time.sleep(0.2)
    process.kill()
    process.join(10)
    with told() as lines:
        db = connect(store=tmp_path / "store.db", absent_seconds=1)
    states = {
        (True, True): "committed",
        (True, False): "refused",
        (False, True): "committed",
        (False, False): "unknown",
    }
    state = states["DELETE" in sql, accepted]
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [(state,)]
    assert len(lines) == 1
    if state == "unknown":
        time.sleep(2.2)
        assert "it was never accepted" in db.ftsql.settle()[0]
    assert len(sent(sandbox)) == 1


def test_contents_can_say_what_is_deleted(sandbox: Sandbox, db: ftsql.Connection) -> None:
    for name in "abc":
        sandbox.add_file(id=f"file-{name}", content=f"of {name}".encode())
    db.execute("DELETE FROM files WHERE file_content(id) IN ('of a', 'of c')")
    assert kept(db) == ["file-b"]


def test_the_content_of_a_file_can_be_asked_of_a_provider_by_name(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.add_file(id="file-a", content=b"of a")
    assert db.execute("SELECT file_content('file-a', 'openai')").get == "of a"
    with pytest.raises(ftsql.ConfigError, match="provider 'other' is not active"):
        db.execute("SELECT file_content('file-a', 'other')").fetchall()


def test_max_writes_counts_deletes(sandbox: Sandbox, connect: Connect) -> None:
    for name in "abc":
        sandbox.add_file(id=f"file-{name}")
    with pytest.raises(ftsql.Error, match="max_writes = 2"):
        connect(max_writes=2).execute("DELETE FROM files")
    assert sent(sandbox) == []


LOST: dict[str, tuple[Fault, str, int]] = {  # the state of the write, and how many DELETEs it took
    "dropped after it was done": (Fault(method="DELETE", drop=True, accept=True), "committed", 2),
    "500 after it was done": (Fault(method="DELETE", status=500, accept=True), "committed", 2),
    "truncated": (Fault(method="DELETE", truncate=5), "committed", 2),
    "HTML after it was done": (Fault(method="DELETE", status=200, body="<html>", accept=True), "committed", 1),
    "an empty answer": (Fault(method="DELETE", status=204, body=b"", accept=True), "committed", 1),
    "not deleted": (Fault(method="DELETE", body={"id": "file-a", "deleted": False}), "refused", 1),
    "HTML and nothing done": (Fault(method="DELETE", status=200, body="<html>"), "refused", 1),
    "done, and then refused": (Fault(method="DELETE", drop=True, accept=True), "committed", 2),
    "gone before": (Fault(method="DELETE", status=404, body={"error": {"message": "No such File object: file-a"}}), "refused", 1),
    "no such address": (Fault(method="DELETE", status=404, body="<html>"), "refused", 1),
}  # fmt: skip


@pytest.mark.parametrize("how", LOST)
def test_a_delete_whose_answer_is_lost_is_known_all_the_same(sandbox: Sandbox, db: ftsql.Connection, how: str) -> None:
    fault, state, times = LOST[how]
    sandbox.add_file(id="file-a")
    sandbox.fault(fault)
    if how == "done, and then refused":
        sandbox.fault(Fault(method="DELETE", status=400))
    if state == "committed":
        db.execute("DELETE FROM files")
    else:
        with pytest.raises(ftsql.APIError):
            db.execute("DELETE FROM files")
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [(state,)]
    assert len(sent(sandbox, "DELETE")) == times
    assert kept(db) == ([] if state == "committed" else ["file-a"])


def test_file_content_is_text_or_a_blob_and_asked_for_once(sandbox: Sandbox, db: ftsql.Connection) -> None:
    sandbox.add_file(id="file-a", content="é\n".encode())
    sandbox.add_file(id="file-b", content=b"\xff\x00")
    sandbox.add_file(id="file-c", content=b"a\x00b")
    found = db.execute("SELECT a.id, file_content(a.id) FROM files a JOIN files b ORDER BY 1").fetchall()
    assert found == [("file-a", "é\n")] * 3 + [("file-b", b"\xff\x00")] * 3 + [("file-c", b"a\x00b")] * 3
    assert len([line for line in sent(sandbox, "GET") if line.endswith("/content")]) == 3
    assert db.execute("SELECT file_content(NULL)").fetchall() == [(None,)]
    db.execute("CREATE VIEW v AS SELECT file_content(id) FROM files WHERE id = 'file-a'")
    assert db.execute("SELECT * FROM v").fetchall() == [("é\n",)]


@pytest.mark.parametrize("id", ["file-none", "a/../b", "", "x?y", "x" * 10_000, 7])
def test_the_content_of_no_file_is_an_error(sandbox: Sandbox, db: ftsql.Connection, id: Any) -> None:
    with pytest.raises(ftsql.Error, match="no such file|is not a file id"):
        db.execute("SELECT file_content(?)", (id,)).fetchall()
    assert sent(sandbox, "GET") in ([], ["GET /files/file-none/content"])


def test_a_content_that_is_too_large_is_an_error_that_names_the_setting(sandbox: Sandbox, connect: Connect) -> None:
    sandbox.add_file(id="file-a", content=bytes(2000))
    with pytest.raises(ftsql.Error, match="larger than max_body = 1000 bytes"):
        connect(max_body=1000).execute("SELECT file_content('file-a')").fetchall()


def test_a_table_of_the_users_own_named_files_is_no_business_of_the_guard(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    sandbox.add_file(id="file-a")
    path = tmp_path / "own.db"
    trigger = "CREATE TRIGGER t AFTER INSERT ON mine BEGIN DELETE FROM files; END"
    connect(path).execute("CREATE TABLE mine (id); CREATE TABLE files (id); INSERT INTO files VALUES (1);" + trigger)
    db = connect(path)
    db.execute("INSERT INTO mine VALUES (1)")
    assert db.execute("SELECT count(*) FROM main.files").get == 0
    db.execute("DROP TABLE files")
    with pytest.raises(ftsql.Error, match="lives in the file"):
        db.execute("INSERT INTO mine VALUES (1)")
    db.execute("CREATE VIRTUAL TABLE main.files USING files")
    with pytest.raises(ftsql.Error, match="lives in the file"):
        db.execute("INSERT INTO mine VALUES (1)")
    assert kept(db) == ["file-a"]


@pytest.mark.parametrize("table", ["files", "models", "fine_tuning_checkpoint_permissions"])
def test_read_only_and_a_trigger_in_a_file_write_nothing(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, table: str
) -> None:
    sandbox.add_file(id="file-a")
    path = tmp_path / "own.db"
    connect(path).execute(
        f"CREATE TABLE mine (id); CREATE TRIGGER t AFTER INSERT ON mine BEGIN DELETE FROM {table}; END"
    )
    for sql in ("INSERT INTO mine VALUES (1)", "DROP TABLE live." + table):
        with pytest.raises((ftsql.Error, apsw.Error)):
            connect(path).execute(sql)
    for sql in (
        f"DELETE FROM {table}",
        f"DELETE FROM live.{table} WHERE key = 'openai/x/y'",
        "SELECT upload_file('/etc/hosts')",
    ):
        with pytest.raises((ftsql.Error, apsw.Error)):
            connect(path, read_only=True).execute(sql).fetchall()
    assert sent(sandbox) == []


@pytest.mark.parametrize("cut", [1, 8, 20])
def test_gzip_that_breaks_off_is_no_content_and_none_at_all_is_empty(cut: int) -> None:
    packed = gzip.compress(os.urandom(100))
    assert b"".join(decompressed([packed], "gzip")) == gzip.decompress(packed)
    with pytest.raises(ValueError, match="its gzip breaks off"):
        list(decompressed([packed[:-cut]], "gzip"))
    assert list(decompressed([], "gzip")) == []
    assert b"".join(decompressed([b""], "gzip")) == b""
