"""Uploads: a file is stored whole and once, or the error says what happened to it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql.api import upload as multipart
from ftsql.api.request_log import Counts
from ftsql.cli.progress import progress_text
from ftsql.sandbox import Fault, Sandbox
from tests.answering import Asked, Response
from tests.conftest import At, Connect, as_nobody
from tests.write.test_files import kept, sent

LINES = b'{"messages": []}\n' * 40
UPLOAD = r"/files$"


@pytest.fixture
def train(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_bytes(LINES)
    return path


def test_an_upload_gives_the_id_of_a_file_that_is_the_same(sandbox: Sandbox, db: ftsql.Connection, train: Path) -> None:
    ((id,),) = db.execute("SELECT upload_file(?)", (str(train),)).fetchall()
    sql = "SELECT filename, bytes, purpose, CAST(file_content(id) AS BLOB) FROM files WHERE id = ?"
    assert db.execute(sql, (id,)).fetchall() == [("train.jsonl", len(LINES), "fine-tune", LINES)]
    found = db.execute("SELECT state, action, method, path, job_id, body FROM ftsql_writes").fetchall()
    body = f'{{"filename":"train.jsonl","bytes":{len(LINES)},"purpose":"fine-tune"}}'
    assert found == [("committed", "upload", "POST", "/files", id, body)]


def test_upload_file_acts_once_per_statement_and_is_refused_where_rows_drop(
    sandbox: Sandbox, db: ftsql.Connection, train: Path
) -> None:
    db.execute("CREATE TABLE mine (path, n); INSERT INTO mine VALUES (?1, 1), (?1, 2)", (str(train),))
    assert len(set(db.execute("SELECT upload_file(path), upload_file(path) FROM mine").fetchall())) == 1
    assert len(sent(sandbox)) == 1
    for sql in (
        "SELECT upload_file(path) FROM mine ORDER BY n LIMIT 1",
        "SELECT n FROM mine WHERE upload_file(path) = 'x'",
    ):
        with pytest.raises(ftsql.Error, match="was not called"):
            db.execute(sql).fetchall()
    db.execute("CREATE VIEW evil AS SELECT upload_file(path) FROM mine")
    with pytest.raises(apsw.SQLError, match="unsafe use"):
        db.execute("SELECT * FROM evil").fetchall()
    assert len(sent(sandbox)) == 1
    assert db.execute("SELECT upload_file(NULL)").fetchall() == [(None,)]


@pytest.mark.parametrize(
    "kind", ["directory", "missing", "empty", "pipe", "unreadable", "large", "link to a pipe", "zero"]
)
def test_what_is_no_file_is_refused_before_anything_is_sent(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "thing"
    if kind == "directory":
        path.mkdir()
    elif "pipe" in kind:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe")
    elif kind != "missing":
        path.touch(mode=0o000 if kind == "unreadable" else 0o600)
    if kind == "large":
        os.truncate(path, multipart.MAX_BYTES + 1)
    words = {"directory": "is a directory", "pipe": "is not a regular file"}.get(kind, "")
    with as_nobody(kind == "unreadable"), pytest.raises(ftsql.Error, match=f"{words}.*[nN]othing was sent"):
        db.execute("SELECT upload_file(?)", (f"{path}\0x" if kind == "zero" else str(path),)).fetchall()
    assert sandbox.requests == []


NAMES = ['a"b.jsonl', "a\r\nX-Evil: 1\r\n\r\nb.jsonl", "träining ✓.jsonl", "a\\b;c=d.jsonl", "a%22b", "'; DROP.jsonl"]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_name_stays_a_name(sandbox: Sandbox, connect: Connect, tmp_path: Path, name: str) -> None:
    db = connect(settle_seconds=1)
    (tmp_path / name).write_bytes(LINES)
    sandbox.fault(Fault(method="POST", path=UPLOAD, drop=True, accept=True))
    (tmp_path / "link").symlink_to(tmp_path / name)
    ((id,),) = db.execute("SELECT upload_file(?)", (str(tmp_path / name),)).fetchall()
    ((shown, size),) = db.execute("SELECT filename, bytes FROM files WHERE id = ?", (id,)).fetchall()
    assert size == len(LINES)
    assert shown in (name, name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A").replace("\\", "%5C"))
    assert "x-evil" not in sandbox.requests[0].headers
    ((linked,),) = db.execute("SELECT upload_file(?)", (str(tmp_path / "link"),)).fetchall()
    assert db.execute("SELECT filename, bytes FROM files WHERE id = ?", (linked,)).fetchall() == [("link", len(LINES))]


LOST_UPLOADS = {
    "dropped after it was stored": Fault(method="POST", path=UPLOAD, drop=True, accept=True),
    "500 after it was stored": Fault(method="POST", path=UPLOAD, status=500, accept=True),
    "truncated": Fault(method="POST", path=UPLOAD, truncate=20),
    "HTML after it was stored": Fault(method="POST", path=UPLOAD, status=200, body="<html>", accept=True),
    "an answer without an id": Fault(method="POST", path=UPLOAD, status=200, body={}, accept=True),
}


@pytest.mark.parametrize("how", LOST_UPLOADS)
def test_an_upload_whose_answer_is_lost_is_found_again_and_never_sent_twice(
    sandbox: Sandbox, connect: Connect, train: Path, how: str
) -> None:
    db = connect(settle_seconds=2)
    sandbox.add_file(id="file-a", filename="train.jsonl", content=LINES, purpose="batch")
    ((before,),) = db.execute("SELECT upload_file(?)", (str(train),)).fetchall()  # an equal file by another write
    sandbox.fault(LOST_UPLOADS[how])
    ((id,),) = db.execute("SELECT upload_file(?)", (str(train),)).fetchall()
    assert len(sent(sandbox, "POST")) == 2
    assert set(kept(db)) == {"file-a", before, id}
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("committed",)] * 2


@pytest.mark.parametrize("twins", [0, 2])
def test_an_upload_that_none_or_several_may_be_is_unknown(
    sandbox: Sandbox, connect: Connect, train: Path, twins: int
) -> None:
    db = connect(settle_seconds=0.5)
    for number in range(twins):
        sandbox.add_file(id=f"file-{number}", filename="train.jsonl", content=LINES, purpose="fine-tune")
    sandbox.fault(Fault(method="POST", path=UPLOAD, drop=True))
    with pytest.raises(ftsql.OutcomeUnknown, match="the outcome of the upload of a file is unknown") as caught:
        db.execute("SELECT upload_file(?)", (str(train),)).fetchall()
    assert len(caught.value.candidates) == twins
    assert f"filename = 'train.jsonl' AND bytes = {len(LINES)} AND purpose = 'fine-tune'" in str(caught.value)
    assert db.execute("SELECT state, open FROM ftsql_writes").fetchall() == [("unknown", 1)]
    assert len(sent(sandbox, "POST")) == 1


@pytest.mark.parametrize(
    ("ages", "taken"),
    [([30], 0), ([None], 0), ([3600, 30], 1), ([3600, None], 1), ([3600], None), ([3600, 7200], None)],
    ids=str,
)
def test_a_file_that_was_there_long_before_is_not_the_one_uploaded(
    at: At, train: Path, ages: list[int | None], taken: int | None
) -> None:
    now = int(time.time())
    stored = [
        {"id": f"file-{number}", "filename": "train.jsonl", "bytes": len(LINES), "purpose": "fine-tune",
         **({} if age is None else {"created_at": now - age})}
        for number, age in enumerate(ages)
    ]  # fmt: skip
    page = {"data": stored, "has_more": False}
    _, db = at(lambda asked: Response(b"<html>") if asked.method == "POST" else page, settle_seconds=0.1)
    if taken is not None:
        assert db.execute("SELECT upload_file(?)", (str(train),)).get == f"file-{taken}"
    else:
        with pytest.raises(ftsql.OutcomeUnknown, match="No file like it is in the list so far") as caught:
            db.execute("SELECT upload_file(?)", (str(train),)).fetchall()
        assert caught.value.candidates == ()


def test_twins_that_appeared_since_are_never_called_never_accepted(at: At, train: Path) -> None:
    stored: list[dict[str, Any]] = []
    page = {"data": stored, "has_more": False}
    _, db = at(
        lambda asked: Response(b"<html>") if asked.method == "POST" else page, settle_seconds=0.1, absent_seconds=0.1
    )
    with pytest.raises(ftsql.OutcomeUnknown):
        db.execute("SELECT upload_file(?)", (str(train),)).fetchall()
    db.ftsql.store.db.execute("UPDATE writes SET at = at - 60")
    one = {"filename": "train.jsonl", "bytes": len(LINES), "purpose": "fine-tune", "created_at": int(time.time())}
    stored += [{**one, "id": "file-1"}, {**one, "id": "file-2"}, {**one, "id": "file-3", "bytes": 1}]
    (said,) = db.ftsql.settle()
    assert "is unknown: these may be it: file-1, file-2. Look again" in said
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("unknown",)]
    del stored[1]
    (said,) = db.ftsql.settle()
    assert said.endswith("made the file file-1, which stays")
    assert db.execute("SELECT state, job_id FROM ftsql_writes").fetchall() == [("committed", "file-1")]


def test_a_rate_limited_upload_is_sent_again_and_whole(sandbox: Sandbox, db: ftsql.Connection, train: Path) -> None:
    sandbox.fault(Fault(method="POST", path=UPLOAD, status=429, headers={"Retry-After": "0.1"}))
    ((id,),) = db.execute("SELECT upload_file(?)", (str(train),)).fetchall()
    assert db.execute("SELECT bytes FROM files").fetchall() == [(len(LINES),)]
    assert kept(db) == [id]


@pytest.mark.parametrize("how", ["longer", "shorter", "other"])
def test_a_file_that_changes_while_it_is_read_is_not_stored(
    sandbox: Sandbox, db: ftsql.Connection, train: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multipart, "CHUNK", 100)
    content = bytes(300_000)
    train.write_bytes(content)
    honest = multipart.Upload.chunks

    def slow(self: multipart.Upload, *arguments: Any) -> Any:
        for number, chunk in enumerate(honest(self, *arguments)):
            if number == 20:
                change = {"longer": content + b"x", "shorter": content[:500], "other": b"y" + content[1:]}
                train.write_bytes(change[how])
                os.utime(train, (1, 1))
            yield chunk

    monkeypatch.setattr(multipart.Upload, "chunks", slow)
    with pytest.raises(ftsql.APIError, match="while it was read.*Nothing was stored"):
        db.execute("SELECT upload_file(?)", (str(train),)).fetchall()
    assert kept(db) == []
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("refused",)]


def test_an_interrupt_breaks_an_upload_off_and_nothing_is_stored(
    sandbox: Sandbox, db: ftsql.Connection, train: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multipart, "CHUNK", 100)
    train.write_bytes(bytes(100_000))
    honest = multipart.Upload.chunks

    def slow(self: multipart.Upload, *arguments: Any) -> Any:
        for chunk in honest(self, *arguments):
            time.sleep(0.01)
            yield chunk

    monkeypatch.setattr(multipart.Upload, "chunks", slow)
    timer = threading.Timer(0.4, db.interrupt)
    timer.start()
    began = time.monotonic()
    with pytest.raises(apsw.InterruptError, match="was broken off, and nothing was stored"):
        db.execute("SELECT upload_file(?)", (str(train),)).fetchall()
    timer.join()
    assert time.monotonic() - began < 3
    assert kept(db) == []
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("refused",)]


def test_an_interrupt_waits_for_the_answer_to_what_has_left_whole(
    at: At, train: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftsql.write.sender.STOP_SECONDS", 0.01)
    connections: list[ftsql.Connection] = []

    def answering(asked: Asked) -> Any:
        connections[0].interrupt()
        time.sleep(0.3)
        return {"id": "file-1", "filename": "train.jsonl", "bytes": len(LINES), "purpose": "fine-tune"}

    server, db = at(answering)
    connections.append(db)
    with pytest.raises(apsw.InterruptError, match="interrupt"):
        db.execute("SELECT upload_file(?)", (str(train),)).fetchall()
    assert server.requests == ["POST /files"]
    assert db.execute("SELECT state, job_id FROM ftsql_writes").fetchall() == [("committed", "file-1")]


@pytest.mark.parametrize("how", ["interrupt", "Ctrl-C"])
def test_an_interrupt_once_the_file_is_there_lets_it_stay_and_sends_no_other(
    sandbox: Sandbox, db: ftsql.Connection, train: Path, how: str
) -> None:
    def struck(answer: dict[str, Any]) -> dict[str, Any]:
        if how == "interrupt":
            db.interrupt()
            time.sleep(0.3)  # it is asked for now and then
        else:
            os.kill(os.getpid(), signal.SIGINT)
        return answer

    sandbox.fault(Fault(method="POST", path=UPLOAD, transform=struck))
    error = KeyboardInterrupt if how == "Ctrl-C" else apsw.InterruptError
    with pytest.raises(error, match=r"^interrupted: file-\w+ was uploaded and stays$"):
        db.execute("SELECT upload_file(?1, column1) FROM (VALUES ('batch'), ('evals'))", (str(train),)).fetchall()
    assert db.execute("SELECT count(*), min(purpose) FROM files").fetchall() == [(1, "batch")]
    assert len(sent(sandbox)) == 1
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("committed",)]


@pytest.mark.parametrize("answer", ["none", "early", "closed"])
@pytest.mark.long
def test_a_server_that_does_not_read_on_never_has_the_file(
    train: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    os.truncate(train, 60_000_000)
    listening = socket.create_server(("127.0.0.1", 0))
    open_ones = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                open_ones.append(connection)
                connection.recv(1000)
                if answer == "early":
                    connection.sendall(b'HTTP/1.1 413 X\r\ncontent-length: 22\r\n\r\n{"error": "too large"}\n')
                elif answer == "closed":
                    connection.close()

    threading.Thread(target=serve, daemon=True).start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{listening.getsockname()[1]}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-any-key-at-all")
    db = ftsql.connect(timeout=0.7 if answer == "early" else 60)
    timer = threading.Timer(0.5 if answer == "none" else 60, db.interrupt)
    timer.start()
    began = time.monotonic()
    with pytest.raises((ftsql.APIError, apsw.InterruptError)):
        db.execute("SELECT upload_file(?)", (str(train),)).fetchall()
    timer.cancel()
    assert time.monotonic() - began < 15
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("refused",)]
    listening.close()
    for connection in open_ones:
        connection.close()
    db.close()


def test_a_large_file_is_not_held_in_memory(sandbox: Sandbox, train: Path) -> None:
    os.truncate(train, 300_000_000)
    upload = multipart.Upload(str(train), {"purpose": "fine-tune"})
    counts = Counts()
    sizes = [len(chunk) for chunk in upload.chunks(lambda: False, counts)]
    assert max(sizes) <= multipart.CHUNK
    assert sum(sizes) == int(upload.headers["Content-Length"])
    assert "300 of 300 MB uploaded" in progress_text(counts, 1.0)
    assert counts.uploaded == counts.to_upload == 300_000_000
    upload.close()
