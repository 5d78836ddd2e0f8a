"""``ftsql sync --contents`` and ``ftsql export``: all data of an account in one file that outlives it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql.cli.documents import all_queries
from ftsql.errors import ConfigError, OperationalError, ProgrammingError
from ftsql.sandbox import Fault, Sandbox
from ftsql.sync.rounds import Round, Sync, sync
from tests.answering import Asked, Response, api, job
from tests.cli.test_shell import run
from tests.conftest import CANARY, At, Connect
from tests.sync.fixtures import changed, once, read

KILLS = int(os.environ.get("ARCHIVE_KILLS", "20"))
LARGE = int(os.environ.get("ARCHIVE_MEGABYTES", "96"))
TABLES = (
    "fine_tuning_jobs", "fine_tuning_job_events", "fine_tuning_job_checkpoints", "fine_tuning_checkpoint_permissions",
    "fine_tuning_results", "files", "models", "file_contents", "sync_missing",
)  # fmt: skip
OF_A_RUN = {"_synced_at", "tried_at", "position"}  # columns with times of the sync, not data


@pytest.fixture
def environment(sandbox: Sandbox, tmp_path: Path) -> dict[str, str]:
    return variables(sandbox, tmp_path)


def variables(sandbox: Sandbox, folder: Path) -> dict[str, str]:
    known = {"OPENAI_BASE_URL": sandbox.base_url("openai"), "OPENAI_API_KEY": CANARY}
    return {**os.environ, **known, "FTSQL_STORE": str(folder / "store.db")}


def archive(db: ftsql.Connection, path: Path, **options: Any) -> Round:
    """Run one round with contents; only the jobs unless ``tables`` names more."""
    return once(db, path, **{"contents": True, **options})


def with_files(sandbox: Sandbox, **contents: bytes) -> None:
    """Add a finished job with these contents: its training file first, then its result files."""
    for name, content in contents.items():
        sandbox.add_file(f"file-{name}", filename=f"{name}.jsonl", content=content)
    names = [f"file-{name}" for name in contents]
    sandbox.add_job(id="ftjob-1", training_file=names[0], validation_file=None, result_files=names[1:])


def kept(path: Path) -> dict[str, bytes]:
    return dict(read(path, "SELECT id, content FROM file_contents"))


def missing(path: Path) -> dict[str, str]:
    return dict(read(path, "SELECT id, reason FROM sync_missing"))


def asked_contents(sandbox: Sandbox) -> Counter[str]:
    """Return how often the content of each file was requested."""
    paths = [request.path.partition("?")[0] for request in sandbox.requests]
    return Counter(path.split("/")[-2] for path in paths if path.endswith("/content"))


ODD = {
    "plain": b'{"messages": []}\n',
    "empty": b"",
    "zeros": bytes(100_000),
    "no_text": bytes(range(256)) * 300,
    "no_end": b"no line end",
    "bom": b"\xef\xbb\xbfa\r\nb",
    "json": b'"a JSON text"',
    "canary": CANARY.encode(),
}


def test_every_content_is_kept_byte_for_byte(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    with_files(sandbox, **ODD)
    path = tmp_path / "all.db"
    done = archive(db, path)
    assert not done.failed
    assert kept(path) == {f"file-{name}": content for name, content in ODD.items()}
    for sha256, size, content in read(path, "SELECT sha256, bytes, content FROM file_contents"):
        assert (sha256, size) == (hashlib.sha256(content).hexdigest(), len(content))
        assert isinstance(content, bytes)
    assert "8 contents of 0.2 MB (8 new)" in str(done)
    assert "8 contents of 0.2 MB (unchanged)" in str(archive(db, path))
    assert set(asked_contents(sandbox).values()) == {1}


def test_files_that_no_job_uses_are_kept_if_they_are_for_jobs(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    for purpose in ("fine-tune", "fine-tune-results", "assistants", "batch", "user_data"):
        sandbox.add_file(f"file-{purpose}", purpose=purpose, content=purpose.encode())
    sandbox.add_job(id="ftjob-1", training_file="file-user_data", validation_file="file-fine-tune", result_files=[])
    path = tmp_path / "all.db"
    archive(db, path)
    assert set(kept(path)) == {"file-user_data", "file-fine-tune", "file-fine-tune-results"}


@pytest.fixture(scope="module")
def large() -> Iterator[Sandbox]:
    with Sandbox(jobs=250, speed=0) as started:
        yield started


def everything(path: Path) -> dict[str, list[Any]]:
    found = {}
    for table in TABLES:
        columns = [name for (name,) in read(path, "SELECT name FROM pragma_table_info(?)", table)]
        plain = ", ".join(f'"{name}"' for name in columns if name not in OF_A_RUN)
        found[table] = sorted(read(path, f"SELECT {plain} FROM {table}"), key=repr)
    return found


@pytest.mark.slow
def test_an_archive_costs_each_request_once_and_the_next_time_almost_none(large: Sandbox, tmp_path: Path) -> None:
    environment = variables(large, tmp_path)
    path = tmp_path / "all.db"
    large.requests.clear()
    done = run("sync", str(path), "--tables", "all", "--contents", environment=environment)
    assert done.returncode == 0, done.stderr
    requests = [(request.path, request.query.get("after")) for request in large.requests]
    twice = [request for request, times in Counter(requests).items() if times > 1]
    assert twice == [("/v1/fine_tuning/jobs", None)]  # the newest page, in which the results find their jobs
    (files,) = read(path, "SELECT count(*) FROM files WHERE purpose GLOB 'fine-tune*'")[0]
    assert asked_contents(large).total() == files == len(kept(path)) > 300
    last = Counter(path.rpartition("/")[2] for path, _ in requests)
    (checkpoints,) = read(path, "SELECT count(*) FROM fine_tuning_job_checkpoints")[0]
    (events,) = read(path, "SELECT sum(pages) FROM (SELECT (count(*) + 99) / 100 AS pages "
                           "FROM fine_tuning_job_events GROUP BY fine_tuning_job_id)")[0]  # fmt: skip
    assert last["events"] == events
    assert (last["checkpoints"], last["permissions"]) == (250, checkpoints)
    assert (last["jobs"], last["files"], last["models"]) == (4, 1, 1)
    singles = sum(times for name, times in last.items() if name.startswith("ftjob-"))  # active ones on other pages
    assert len(requests) == 4 + singles + 1 + 1 + events + 250 + checkpoints + files
    states = "status NOT IN ('succeeded', 'failed', 'cancelled')"
    (active,) = read(path, f"SELECT count(*) FROM fine_tuning_jobs WHERE {states}")[0]
    assert singles <= active

    large.requests.clear()
    done = run("sync", str(path), "--tables", "all", "--contents", environment=environment)
    assert done.returncode == 0, done.stderr
    assert asked_contents(large).total() == 0
    again = Counter(request.path.rpartition("/")[2] for request in large.requests)
    # A page of jobs (the results read it too), of files and of models, and the rows of unfinished jobs.
    assert {name: times for name, times in again.items() if not name.startswith("ftjob-")} == {
        "jobs": 2, "files": 1, "models": 1, "events": active, "checkpoints": active,
    }  # fmt: skip
    assert again.total() <= 4 + 4 * active


@pytest.mark.slow
def test_an_archive_that_is_killed_repeatedly_ends_complete(large: Sandbox, tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.db", tmp_path / "killed.db"
    calm = variables(large, tmp_path)
    assert run("sync", str(whole), "--tables", "all", "--contents", environment=calm).returncode == 0
    environment = {**calm, "FTSQL_STORE": str(tmp_path / "other.db")}
    chance = random.Random(16)
    large.requests.clear()
    for _ in range(KILLS):
        command = [sys.executable, "-m", "ftsql", "sync", str(path), "--tables", "all", "--contents"]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.3, 2.5))
        process.kill()
        process.wait()
    done = run("sync", str(path), "--tables", "all", "--contents", environment=environment)
    assert done.returncode == 0, done.stderr
    assert everything(path) == everything(whole)
    for sha256, content in read(path, "SELECT sha256, content FROM file_contents"):
        assert hashlib.sha256(content).hexdigest() == sha256
    # Only the downloads that were running when it was killed are repeated.
    again = asked_contents(large).total() - len(kept(path))
    assert again <= 4 * KILLS
    assert not list(tmp_path.glob("*-wal"))
    assert {file.name for file in tmp_path.iterdir()} <= {"whole.db", "killed.db", "store.db", "other.db", "home"}


@pytest.mark.long
def test_the_archive_answers_every_query(large: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "all.db"
    assert (
        run("sync", str(path), "--tables", "all", "--contents", environment=variables(large, tmp_path)).returncode == 0
    )
    db = apsw.Connection(str(path))
    for query in all_queries():
        for need in query.needs + query.optional:
            db.execute(need.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))
        if query.name == "experiments":
            db.execute("INSERT INTO experiments SELECT 'run ' || rank() OVER (ORDER BY id), id FROM jobs LIMIT 3")
        assert db.execute(query.sql).fetchall(), query.name
    db.close()


REFUSALS: list[tuple[Fault, str, bool]] = [
    (Fault(status=403, body={"error": {"message": "Not allowed to download files of purpose: assistants"}}), "Not allowed to download", False),
    (Fault(status=400, body={"error": {"message": "This file has expired"}}), "This file has expired", False),
    (Fault(status=404, body={"error": {"message": "No such File object: file-a"}}), r"no such file \(HTTP 404\)", False),
    (Fault(status=404, body="<html>"), "HTTP 404", False),
    (Fault(status=410, body={"error": {"message": "The file is gone"}}), "The file is gone", True),
    (Fault(status=206, body=b"part"), "HTTP 206, which is not a whole file", False),
    (Fault(status=204, body=b""), "HTTP 204, which is not a whole file", False),
    (Fault(status=200, truncate=3), "broke off", False),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "words", "final"), REFUSALS, ids=[words for _, words, _ in REFUSALS])
def test_a_refused_file_is_listed_with_its_reason_and_the_others_are_kept(
    sandbox: Sandbox,
    db: ftsql.Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    words: str,
    final: bool,
) -> None:
    monkeypatch.setattr("ftsql.api.retry.RETRY_SECONDS", 0.2)
    with_files(sandbox, a=b"a", b=b"b", c=b"c")
    values = {name: getattr(fault, name) for name in ("status", "body", "truncate")}
    if fault.truncate is not None:
        values = {"truncate": 0}
    sandbox.fault(Fault(path="/files/file-a/content", times=None, **values))
    path = tmp_path / "all.db"
    done = archive(db, path)
    assert done.failed
    assert kept(path) == {"file-b": b"b", "file-c": b"c"}
    assert list(missing(path)) == ["file-a"]
    assert re.search(words, missing(path)["file-a"])
    assert "2 contents of 0.0 MB (2 new, 1 MISSING)" in str(done)
    told = list(done.problems())
    assert re.search(f"openai: no content of file-a: .*{words}", told[0])
    assert told[-1].startswith("the archive is NOT whole")
    sandbox.clear_faults()
    sandbox.requests.clear()
    done = archive(db, path)
    assert done.failed == final
    assert asked_contents(sandbox) == ({} if final else {"file-a": 1})
    assert set(kept(path)) == ({"file-b", "file-c"} if final else {"file-a", "file-b", "file-c"})
    assert list(missing(path)) == (["file-a"] if final else [])


@pytest.mark.long
def test_a_deleted_file_is_requested_once_and_stays_missing(
    sandbox: Sandbox, environment: dict[str, str], tmp_path: Path
) -> None:
    sandbox.add_job(id="ftjob-1", training_file="file-deleted", validation_file=None, result_files=[])
    path = str(tmp_path / "all.db")
    for times in (1, 0):
        sandbox.requests.clear()
        done = run("sync", path, "--tables", "jobs", "--contents", environment=environment)
        assert done.returncode == 1
        assert "openai: no content of file-deleted: the provider has no such file (HTTP 404)\n" in done.stderr
        assert "the archive is NOT whole" in done.stderr
        assert asked_contents(sandbox).total() == times


def test_a_service_requests_a_refused_file_once_a_day(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    with_files(sandbox, a=b"a")
    sandbox.fault(Fault(path="/content", times=None, status=403, body={"error": {"message": "no"}}))
    rounds: list[str] = []
    path = tmp_path / "all.db"
    syncing = Sync(db, path, ["jobs"], lambda: len(rounds) >= 4, contents=True)

    def say(text: str) -> None:
        rounds.append(text)
        if len(rounds) == 3:
            changed(path, "UPDATE sync_missing SET tried_at = tried_at - 90000")

    syncing.serve(0.01, say)
    syncing.close()
    assert [("1 MISSING" in text) for text in rounds] == [True] * 4
    assert asked_contents(sandbox) == {"file-a": 2}


@pytest.mark.long
def test_an_interrupted_download_starts_again(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    with_files(sandbox, a=content)
    sandbox.fault(Fault(path="/content", times=1, truncate=100_000))
    sandbox.fault(Fault(path="/content", times=1, status=503, body="busy"))
    path = tmp_path / "all.db"
    assert not archive(db, path).failed
    assert kept(path) == {"file-a": content}
    tries = db.execute("SELECT status, bytes FROM ftsql_requests WHERE path LIKE '%/content'").fetchall()
    assert tries == [(None, None), (503, 4), (200, 300_000)]


@pytest.mark.parametrize("times", [1, None])
def test_a_content_of_the_wrong_size_is_requested_again_then_kept_and_reported(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path, times: int | None
) -> None:
    with_files(sandbox, a=b"all of it")
    sandbox.fault(Fault(path="/content", times=times, status=200, body=b"half"))
    path = tmp_path / "all.db"
    done = archive(db, path)
    assert done.failed == (times is None)
    assert kept(path) == {"file-a": b"half" if times is None else b"all of it"}
    assert asked_contents(sandbox) == {"file-a": 2}
    if times is None:
        assert missing(path)["file-a"] == "the provider declares 9 bytes but returned 4, which are kept"
        archive(db, path)
        assert asked_contents(sandbox) == {"file-a": 3}
        sandbox.clear_faults()
        assert not archive(db, path).failed  # the right content replaces it
        assert kept(path) == {"file-a": b"all of it"}
        assert missing(path) == {}


def test_a_content_that_differs_each_time_is_not_kept(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    with_files(sandbox, a=b"all of it")
    sandbox.fault(Fault(path="/content", status=200, body=b"half"))
    sandbox.fault(Fault(path="/content", status=200, body=b"third"))
    path = tmp_path / "all.db"
    assert archive(db, path).failed
    assert kept(path) == {}
    assert missing(path)["file-a"] == "the provider declares 9 bytes but returned 5, different ones each time"


def test_base64_of_the_declared_size_is_accepted(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    with_files(sandbox, a=b"step,train_loss\n1,2\n")
    packed = base64.b64encode(b"step,train_loss\n1,2\n")
    sandbox.fault(Fault(path="/content", times=None, status=200, body=packed))
    path = tmp_path / "all.db"
    assert not archive(db, path).failed
    assert kept(path) == {"file-a": packed}


@pytest.mark.parametrize("status", [401, 500])
def test_a_provider_that_is_down_gets_no_request_for_every_file(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr("ftsql.api.retry.RETRY_SECONDS", 0.0)
    with_files(sandbox, **{f"f{number:02}": b"x" for number in range(40)})
    sandbox.fault(Fault(path="/content", times=None, status=status, body={"error": {"message": f"down {CANARY}"}}))
    path = tmp_path / "all.db"
    done = archive(db, path)
    assert done.failed
    assert "ended early: openai: down ***" in str(done)
    assert len(asked_contents(sandbox)) < 10
    sandbox.clear_faults()
    assert not archive(db, path).failed
    assert len(kept(path)) == 40


def test_ids_that_no_url_can_contain_are_missing_without_a_request(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    sandbox.add_job(id="ftjob-1", training_file="s3://bucket/train.jsonl", validation_file="a b", result_files=["../x"])
    path = tmp_path / "all.db"
    assert archive(db, path).failed
    assert set(missing(path)) == {"s3://bucket/train.jsonl", "a b", "../x"}
    assert not asked_contents(sandbox)


@pytest.mark.long
def test_rows_that_the_provider_deletes_stay_in_an_archive(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    with_files(sandbox, a=b"a")
    sandbox.add_job(id="ftjob-2", training_file="file-a", validation_file=None, result_files=[])
    path = tmp_path / "all.db"
    archive(connect(), path, tables=["all"])
    before = everything(path)
    for id in ("ftjob-1", "ftjob-2"):
        sandbox.remove_job(id)
    db = connect()
    db.execute("DELETE FROM files")
    gone = read(path, "SELECT count(*) FROM sync_gone")
    assert gone == [(0,)]
    for contents in (True, False):  # a round without --contents treats the file as an archive
        done = once(connect(), path, tables=["all"], contents=contents)
        assert "2 jobs (2 gone at the provider)" in str(done)
        assert everything(path) == before
        assert read(path, "SELECT key FROM sync_gone WHERE \"table\" = 'fine_tuning_jobs' ORDER BY 1") == [
            ("openai/ftjob-1",), ("openai/ftjob-2",),
        ]  # fmt: skip
    plain = tmp_path / "plain.db"
    once(connect(), plain)
    assert read(plain, "SELECT count(*) FROM fine_tuning_jobs") == [(0,)]


def test_result_files_are_downloaded_once_for_their_rows_and_their_content(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    with_files(sandbox, train=b"x", results=b"step,train_loss\n1,0.5\n2,0.25\n", lost=b"step,train_loss\n1,1\n")
    sandbox.fault(
        Fault(path="/files/file-lost/content", times=None, status=403, body={"error": {"message": "expired"}})
    )
    path = tmp_path / "all.db"
    done = archive(db, path, tables=["all"])
    assert [change.error for change in done.changes] == [None] * 7
    assert asked_contents(sandbox) == {"file-train": 1, "file-results": 1, "file-lost": 1}
    assert read(path, "SELECT step, train_loss FROM fine_tuning_results ORDER BY 1") == [(1, 0.5), (2, 0.25)]
    assert missing(path) == {"file-lost": "expired (HTTP 403)"} or "expired" in missing(path)["file-lost"]


@pytest.mark.long
def test_ctrl_c_ends_a_long_download_and_what_was_kept_stays(
    sandbox: Sandbox, environment: dict[str, str], tmp_path: Path
) -> None:
    with_files(sandbox, a=b"a", b=b"b")
    sandbox.fault(Fault(path="/files/file-b/content", times=None, hang=True))
    path = tmp_path / "all.db"
    process = subprocess.Popen(
        [sys.executable, "-m", "ftsql", "sync", str(path), "--tables", "jobs", "--contents"],
        stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    end = time.monotonic() + 20
    while time.monotonic() < end and not (path.exists() and asked_contents(sandbox)["file-b"]):
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, "Traceback" in errors) == (130, False)
    assert "interrupted: run the same command again to continue" in errors
    assert kept(path) == {"file-a": b"a"}


def test_a_full_disk_is_reported_and_no_content_is_incomplete(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    with_files(sandbox, a=os.urandom(2_000_000), b=b"b")
    path = tmp_path / "all.db"
    once(db, path)
    syncing = Sync(db, path, ["jobs"], contents=True)
    syncing._snapshot.open()
    pages = syncing._snapshot.db.pragma("page_count")
    syncing._snapshot.db.execute(f"PRAGMA main.max_page_count = {pages + 100}")
    with pytest.raises(OperationalError, match="the disk is full. Its previous content is unchanged"):
        syncing.round()
    syncing.close()
    assert not archive(db, path).failed
    assert set(kept(path)) == {"file-a", "file-b"}


def test_a_temporary_file_that_cannot_be_written_is_reported(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_files(sandbox, a=b"a")

    def none(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", none)
    with pytest.raises(OperationalError, match=r"cannot write a temporary file in .*: the disk is full"):
        archive(db, tmp_path / "all.db")


class Stream(BaseHTTPRequestHandler):
    """A server with one job whose training file is larger than the memory that the command may use."""

    protocol_version = "HTTP/1.1"
    size = LARGE * 1024 * 1024

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.endswith("/content"):
            self.send_response(200)
            self.send_header("Content-Length", str(self.size))
            self.end_headers()
            for _ in range(LARGE):
                self.wfile.write(bytes(1024 * 1024))
            return
        job = {"id": "ftjob-1", "status": "cancelled", "created_at": 1_790_000_000, "training_file": "file-a"}
        file = {"id": "file-a", "bytes": self.size, "purpose": "fine-tune", "created_at": 1_790_000_000}
        body = json.dumps({"data": [job if path.endswith("/jobs") else file], "has_more": False}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.slow
def test_a_large_file_needs_no_memory(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        **os.environ,
        "OPENAI_BASE_URL": f"http://127.0.0.1:{server.server_port}/v1",
        "OPENAI_API_KEY": CANARY,
        "FTSQL_STORE": ":memory:",
    }
    path = tmp_path / "all.db"

    def peak(*words: str) -> int:
        """Return the peak memory of the command in megabytes."""
        script = (
            "import resource, sys\nfrom ftsql.cli.main import main\ntry: main(sys.argv[1:])\n"
            "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
        )
        done = subprocess.run([sys.executable, "-c", script, *words], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return int(done.stdout.splitlines()[-1])

    without = peak("sync", str(path), "--tables", "jobs")
    assert peak("sync", str(path), "--tables", "jobs", "--contents") < without + 40
    assert peak("export", str(path), "file-a", "-o", str(tmp_path / "out")) < without + 40
    assert (tmp_path / "out").stat().st_size == Stream.size
    server.shutdown()
    server.server_close()


@pytest.fixture
def archived(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> Path:
    with_files(sandbox, **ODD)
    path = tmp_path / "all.db"
    assert not archive(db, path).failed
    return path


@pytest.mark.long
def test_export_writes_each_content_as_it_was(archived: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    for name, content in ODD.items():
        target = tmp_path / f"{name}.out"
        done = run("export", str(archived), f"file-{name}", "-o", str(target))
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert target.read_bytes() == content
        to_stdout = subprocess.run(
            [sys.executable, "-m", "ftsql", "export", str(archived), f"openai/file-{name}"], capture_output=True
        )
        assert (to_stdout.returncode, to_stdout.stdout, to_stdout.stderr) == (0, content, b"")
    done = run("export", str(archived), *(f"file-{name}" for name in ODD), "-o", str(folder))
    assert done.returncode == 0, done.stderr
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        f"file-{name}-{name}.jsonl": content for name, content in ODD.items()
    }


def test_export_overwrites_only_with_force(archived: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("mine")
    done = run("export", str(archived), "file-plain", "-o", str(target))
    assert (done.returncode, target.read_text()) == (1, "mine")
    assert f"{target} exists already: choose another file, or use --force" in done.stderr
    assert run("export", str(archived), "file-plain", "-o", str(target), "--force").returncode == 0
    assert target.read_bytes() == ODD["plain"]


@pytest.mark.long
def test_export_refuses_damaged_contents(archived: Path, tmp_path: Path) -> None:
    assert (
        run("export", str(archived), "--check").stdout
        == "8 contents of 0.2 MB, 0 damaged, 0 missing, 0 not downloaded yet\n"
    )
    changed(archived, "UPDATE file_contents SET content = x'00' || substr(content, 2) WHERE id = 'file-plain'")
    done = run("export", str(archived), "file-plain", "-o", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "the content of file-plain is damaged" in done.stderr
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".ftsql-*"))
    done = run("export", str(archived), "--check")
    assert (done.returncode, done.stdout) == (1, "8 contents of 0.2 MB, 1 damaged, 0 missing, 0 not downloaded yet\n")
    assert "openai: file-plain: its content is damaged" in done.stderr


def test_export_reads_a_file_that_cannot_be_written(archived: Path, tmp_path: Path) -> None:
    copy = tmp_path / "read only" / "all?#%.db"
    copy.parent.mkdir()
    copy.write_bytes(archived.read_bytes())
    copy.chmod(0o444)
    copy.parent.chmod(0o555)
    try:
        done = run("export", str(copy), "file-plain")
        assert (done.returncode, done.stdout) == (0, ODD["plain"].decode())
    finally:
        copy.parent.chmod(0o755)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["export"], 2, "required: FILE"),
        (
            ["export", "all.db"],
            2,
            "use: ftsql export FILE ID -o PATH, ftsql export FILE --all -o DIRECTORY, or FILE --check",
        ),
        (["export", "all.db", "file-plain", "--check"], 2, "use: ftsql export FILE ID"),
        (["export", "all.db", "file-plain", "file-bom"], 2, "-o DIRECTORY"),
        (["export", "none.db", "file-plain"], 1, "there is no file none.db"),
        (["export", "all.db", "file-none"], 1, "all.db has no content of file-none. ftsql --db all.db"),
        (["export", "all.db", "file-plain", "-o", "nowhere/x"], 1, "there is no directory nowhere: make it first"),
        (
            ["export", "all.db", "file-plain", "-o", "all.db", "--force"],
            1,
            "all.db is the archive: choose another file",
        ),
        (["export", "all.db", "plain.jsonl"], 1, "that is a name. Use the id: file-plain"),
        (["export", "all.db", "ftjob-1"], 1, "that is a job. Its training file is file-plain"),
        (["export", "all.db", "azure/file-none"], 1, "all.db has no content of azure/file-none"),
        (["export", "all.db", "--all"], 2, "several files are written into a directory: -o DIRECTORY"),
        (["export", "plain.db", "file-plain"], 1, "has no contents of files: ftsql sync plain.db --contents"),
        (["export", "text.db", "file-plain"], 1, "cannot be read"),
        (["SELECT 1", "--contents"], 2, "belong to: ftsql sync FILE"),
        (["--sandbox", "export", "all.db", "x"], 2, "put export first: ftsql export"),
    ],
)
@pytest.mark.long
def test_a_usage_error_says_what_to_use(
    archived: Path, db: ftsql.Connection, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    once(db, tmp_path / "plain.db")
    (tmp_path / "text.db").write_text("no database, but a text that is long enough to be read as a head of one " * 9)
    done = run(*words, folder=tmp_path)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_export_reports_why_a_content_is_missing(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    sandbox.add_job(id="ftjob-1", training_file="file-deleted", validation_file=None, result_files=[])
    archive(db, tmp_path / "all.db")
    done = run("export", str(tmp_path / "all.db"), "file-deleted")
    assert done.returncode == 1
    assert "has no content of file-deleted: the provider has no such file (HTTP 404)" in done.stderr
    done = run("export", str(tmp_path / "all.db"), "--check")
    assert (done.returncode, done.stdout) == (1, "0 contents of 0.0 MB, 0 damaged, 1 missing, 0 not downloaded yet\n")


def test_an_id_of_two_providers_needs_the_providers_name(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    with_files(sandbox, a=b"a")
    path = tmp_path / "all.db"
    archive(db, path)
    changed(path, "INSERT INTO file_contents SELECT 'other', id, 'x', bytes, content FROM file_contents")
    done = run("export", str(path), "file-a")
    assert done.returncode == 1
    assert "several providers have a file file-a: use openai/file-a or other/file-a" in done.stderr
    assert run("export", str(path), "openai/file-a").stdout == "a"


def test_the_tables_of_an_archive_refuse_writes(archived: Path) -> None:
    other = apsw.Connection(str(archived))
    for sql in ("DELETE FROM file_contents", "UPDATE file_contents SET content = x''", "DELETE FROM sync_missing"):
        if "missing" in sql:
            changed(archived, "INSERT INTO sync_missing VALUES ('openai', 'file_contents', 'x', 'y', 1, 1)")
        with pytest.raises(apsw.ConstraintError, match="this is a snapshot"):
            other.execute(sql)
    other.close()


def test_from_python(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    connect()
    with_files(sandbox, a=b"a")
    (done,) = sync(tmp_path / "all.db", tables=["jobs"], contents=True)
    assert (done.contents[0].files, done.contents[0].missing, done.failed) == (1, {}, False)
    with pytest.raises(ConfigError, match="no table 'everything' to sync; there are: jobs.*, and all"):
        sync(tmp_path / "all.db", tables=["everything"])


@pytest.mark.long
def test_permissions_are_read_with_their_checkpoints_and_again_a_day_later(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    with Sandbox(jobs=30, speed=0) as full, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", full.base_url("openai"))
        db = connect()
        name = db.execute(
            "SELECT c.fine_tuned_model_checkpoint FROM fine_tuning_jobs j JOIN fine_tuning_job_checkpoints c "
            "ON c.fine_tuning_job_id = j.id WHERE j.status = 'succeeded' LIMIT 1"
        ).get
        grant = "INSERT INTO fine_tuning_checkpoint_permissions (fine_tuned_model_checkpoint, project_id) VALUES (?, ?)"
        db.execute(grant, (name, "proj-1"))
        path = tmp_path / "jobs.db"
        shown = "SELECT fine_tuned_model_checkpoint, project_id FROM fine_tuning_checkpoint_permissions"
        done = once(db, path, tables=["permissions"])
        assert read(path, shown) == [(name, "proj-1")]
        assert [change.table for change in done.changes if change.rows] == [
            "fine_tuning_jobs", "fine_tuning_job_checkpoints", "fine_tuning_checkpoint_permissions",
        ]  # fmt: skip
        db.execute("DELETE FROM fine_tuning_checkpoint_permissions WHERE fine_tuned_model_checkpoint = ?", (name,))
        once(db, path, tables=["permissions"])
        assert read(path, shown) == [(name, "proj-1")]
        changed(path, "UPDATE _sync_children SET read_at = read_at - 90000")
        once(db, path, tables=["permissions"])
        assert read(path, shown) == []


def test_a_provider_that_is_down_gets_no_requests_for_contents(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftsql.api.retry.RETRY_SECONDS", 0.0)
    with_files(sandbox, a=b"a", b=b"b")
    path = tmp_path / "all.db"
    archive(db, path)
    changed(path, "DELETE FROM file_contents WHERE id = 'file-b'")
    sandbox.requests.clear()
    sandbox.fault(Fault(times=None, status=500))
    assert archive(db, path).failed
    assert not asked_contents(sandbox)
    assert set(kept(path)) == {"file-a"}


def test_each_active_provider_has_its_contents_and_one_without_files_is_reported(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_files(sandbox, a=b"a")
    monkeypatch.setenv("PORTKEY_API_KEY", CANARY)
    monkeypatch.setenv("PORTKEY_BASE_URL", sandbox.base_url("portkey"))
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY", "key")
    monkeypatch.setenv("TELNYX_API_KEY", CANARY)
    monkeypatch.setenv("TELNYX_BASE_URL", sandbox.base_url("telnyx"))
    path = tmp_path / "all.db"
    done = archive(connect(providers=["openai", "portkey", "telnyx"]), path)
    assert {one.provider for one in done.contents} == {"openai", "portkey", "telnyx"}
    found = read(path, "SELECT provider, id FROM file_contents UNION SELECT provider, id FROM sync_missing ORDER BY 1")
    assert found == [("openai", "file-a"), ("portkey", "file-a"), ("telnyx", "file-a")]


def test_events_that_a_provider_drops_stay_in_an_archive(at: At, tmp_path: Path) -> None:
    running = job(0, status="running", finished_at=None, fine_tuned_model=None, training_file=None, result_files=[])
    events = [{"id": f"ev-{number}", "created_at": 1_790_000_000 - number} for number in range(3)]
    serving = api([running], {"/ftjob-00000/events": events, "/ftjob-00000/checkpoints": []})

    def answering(asked: Asked) -> Any:
        return {"data": [], "has_more": False} if asked.path == "/files" else serving(asked)

    _, db = at(answering)
    path = tmp_path / "all.db"
    once(db, path, tables=["events"], contents=True)
    del events[1:]
    done = once(db, path, tables=["events"], contents=True)
    assert "2 gone at the provider)" in str(done)
    assert read(path, "SELECT id FROM fine_tuning_job_events ORDER BY 1") == [("ev-0",), ("ev-1",), ("ev-2",)]


def test_a_result_file_is_checked_by_size_though_its_rows_are_read_first(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    whole = b"step,train_loss\n1,0.5\n2,0.25\n"
    with_files(sandbox, train=b"x", results=whole)
    sandbox.fault(Fault(path="/files/file-results/content", status=200, body=whole[:22]))
    path = tmp_path / "all.db"
    assert not archive(db, path, tables=["all"]).failed
    assert kept(path)["file-results"] == whole
    assert asked_contents(sandbox)["file-results"] == 2


def test_the_rows_of_a_result_file_come_with_its_content(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    with_files(sandbox, train=b"x", results=b"step,train_loss\n1,0.5\n2,0.25\n")
    sandbox.update_job("ftjob-1", finished_at=int(time.time()) - 100_000)
    refused = Fault(path="/files/file-results/content", times=None, status=403, body={"error": {"message": "not now"}})
    sandbox.fault(refused)
    path = tmp_path / "all.db"
    for _ in range(2):
        assert archive(db, path, tables=["all"]).failed
        assert read(path, "SELECT count(*) FROM fine_tuning_results") == [(0,)]
    sandbox.clear_faults()
    assert not archive(db, path, tables=["all"]).failed
    assert read(path, "SELECT count(*) FROM fine_tuning_results") == [(2,)]


def test_a_content_is_compared_once_the_files_can_be_listed(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    with_files(sandbox, a=b"all of it")
    sandbox.fault(Fault(path="/files$", status=403, body={"error": {"message": "no"}}))
    sandbox.fault(Fault(path="/files/file-a/content", status=200, body=b"<html>maintenance"))
    path = tmp_path / "all.db"
    assert archive(db, path).failed
    assert kept(path) == {"file-a": b"<html>maintenance"}
    assert not archive(db, path).failed
    assert kept(path) == {"file-a": b"all of it"}


def test_a_listed_file_that_returned_404_is_requested_again(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    with_files(sandbox, a=b"a", results=b"step,train_loss\n1,1\n")
    missing_now = Fault(path="/content", times=2, status=404, body={"error": {"message": "No such File object: x"}})
    sandbox.fault(missing_now)
    path = tmp_path / "all.db"
    assert archive(db, path, tables=["all"]).failed
    assert not archive(db, path, tables=["all"]).failed
    assert set(kept(path)) == {"file-a", "file-results"}


def test_failed_files_do_not_stop_the_others(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftsql.api.retry.RETRY_SECONDS", 0.0)
    with_files(sandbox, **{f"f{number}": b"x" for number in range(8)})
    sandbox.fault(Fault(path="/file-f[012]/content", times=None, status=500))
    path = tmp_path / "all.db"
    for _ in range(2):
        assert archive(db, path).failed
    assert set(kept(path)) == {f"file-f{number}" for number in range(3, 8)}
    assert set(missing(path)) == {f"file-f{number}" for number in range(3)}


@pytest.mark.long
def test_two_syncs_do_not_list_a_stored_content_as_missing(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    with_files(sandbox, a=b"a")
    path = tmp_path / "all.db"
    sandbox.fault(Fault(path="/content", latency=1.5, status=403, body={"error": {"message": "no"}}))
    slow = threading.Thread(target=lambda: archive(connect(), path))
    slow.start()
    while not asked_contents(sandbox):
        time.sleep(0.02)
    assert not archive(connect(), path).failed
    slow.join()
    assert (kept(path), missing(path)) == ({"file-a": b"a"}, {})


@pytest.mark.parametrize(
    ("shown", "asked", "listed"),
    [
        (["file-r", "file-r", {"id": "file-r", "bytes": 1}], {"file-r"}, False),
        ([["file-r"]], set(), True),
        ([123], set(), True),
        ([{"file_id": "file-r"}], set(), True),
        ({"data": [{"id": "file-r"}]}, set(), True),
        ({"id": "file-r", "object": "file"}, set(), True),
        ("file-r", set(), True),
        ([None], set(), True),
        (None, set(), False),
        ([], set(), False),
    ],
    ids=str,
)
def test_result_files_of_unknown_forms_are_listed_and_do_not_stop_the_sync(
    at: At, tmp_path: Path, shown: Any, asked: set[str], listed: bool
) -> None:
    requests: list[str] = []

    def answering(one: Asked) -> Any:
        if one.path.endswith("/content"):
            requests.append(one.path.split("/")[-2])
            return Response(b"step,train_loss\n1,1\n")
        if one.path in ("/files", "/models"):
            return {"data": [], "has_more": False}
        if "/events" in one.path or "/checkpoints" in one.path:
            return {"data": [], "has_more": False}
        return api([job(0, training_file=None, validation_file=None, result_files=shown)])(one)

    _, db = at(answering)
    path = tmp_path / "all.db"
    archive(db, path, tables=["jobs", "results"])
    assert set(requests) == asked
    assert list(missing(path)) == (["ftjob-00000"] if listed else [])
    if listed:
        assert "in a form that is not known" in missing(path)["ftjob-00000"]
    if listed:
        shown = []  # the server's responses from now on
        db.ftsql.refresh()
        archive(db, path, tables=["jobs", "results"])
        assert missing(path) == {}


def test_an_archive_refuses_another_account(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_files(sandbox, a=b"a")
    path = tmp_path / "all.db"
    archive(connect(), path, tables=["all"])
    before = everything(path)
    with Sandbox(jobs=5, speed=0) as other:
        monkeypatch.setenv("OPENAI_BASE_URL", other.base_url("openai"))
        for contents in (True, False):
            with pytest.raises(ProgrammingError, match="has jobs of another openai account, or of a sandbox"):
                once(connect(), path, tables=["all"], contents=contents)
        assert not asked_contents(other)
    assert everything(path) == before


def test_a_users_table_file_contents_does_not_make_an_archive(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    with_files(sandbox, a=b"a")
    path = tmp_path / "jobs.db"
    changed(path, "CREATE TABLE file_contents (mine)")
    once(connect(), path)
    sandbox.remove_job("ftjob-1")
    once(connect(), path)
    assert read(path, "SELECT count(*) FROM fine_tuning_jobs") == [(0,)]
    assert "has no contents of files" in run("export", str(path), "x").stderr
    with pytest.raises(ProgrammingError, match="has a table file_contents that ftsql sync did not make"):
        archive(connect(), path)


def test_damaged_contents_are_downloaded_again(archived: Path, sandbox: Sandbox, db: ftsql.Connection) -> None:
    changed(archived, "UPDATE file_contents SET content = x'00' || substr(content, 2) WHERE id = 'file-plain'")
    assert not archive(db, archived).failed  # not checked yet
    done = run("export", str(archived), "--check")
    assert (done.returncode, f"ftsql sync {archived} --tables all --contents downloads" in done.stderr) == (1, True)
    assert not archive(db, archived).failed
    assert kept(archived)["file-plain"] == ODD["plain"]
    assert run("export", str(archived), "--check").returncode == 0


@pytest.mark.long
def test_a_check_detects_an_incomplete_archive(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    with_files(sandbox, a=b"a", b=b"b", c=b"c")
    path = tmp_path / "all.db"
    archive(db, path)
    changed(path, "DELETE FROM file_contents WHERE id IN ('file-a', 'file-b')")
    done = run("export", str(path), "--check")
    assert (done.returncode, "openai: 2 contents were not downloaded yet" in done.stderr) == (1, True)
    assert done.stdout == "1 contents of 0.0 MB, 0 damaged, 0 missing, 2 not downloaded yet\n"
    done = run("export", str(path), "file-a")
    assert f"it was not downloaded yet. ftsql sync {path} --contents downloads it" in done.stderr
    archive(db, path)
    changed(path, "UPDATE sync_state SET synced_at = NULL WHERE \"table\" = 'files'")
    done = run("export", str(path), "--check")
    assert (done.returncode, "openai: not read to the end yet: files" in done.stderr) == (1, True)
    changed(path, "DELETE FROM sync_state")
    done = run("export", str(path), "--check")
    assert (done.returncode, "no sync into it has finished yet" in done.stderr) == (1, True)


def test_a_whole_archive_stays_whole_once_the_provider_is_gone(
    archived: Path, sandbox: Sandbox, db: ftsql.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftsql.api.retry.RETRY_SECONDS", 0.0)
    sandbox.fault(Fault(times=None, status=401, body={"error": {"message": "This account is closed"}}))
    assert archive(db, archived).failed
    done = run("export", str(archived), "--check")
    assert done.returncode == 0
    assert done.stderr.count("the last sync failed") == 1
    assert "This account is closed" in done.stderr


@pytest.mark.long
def test_export_writes_all_files_each_under_its_own_name(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    contents = {"a": b"1", "b": b"2", "c": b"3"}
    for name, content in contents.items():
        sandbox.add_file(f"file-{name}", filename="x" + "训练数据" * 25 + ".jsonl", content=content)
    sandbox.add_job(id="ftjob-1", training_file="file-a", validation_file="file-b", result_files=["file-c"])
    path, out = tmp_path / "all.db", tmp_path / "new" / "out"
    archive(db, path)
    changed(
        path, "INSERT INTO file_contents SELECT 'other', id, 'x', bytes, content FROM file_contents WHERE id = 'file-a'"
    )
    changed(
        path,
        "UPDATE file_contents SET sha256 = (SELECT sha256 FROM file_contents WHERE id = 'file-a' LIMIT 1) WHERE provider = 'other'",
    )
    done = run("export", str(path), "--all", "-o", str(out))
    assert done.returncode == 0, done.stderr
    made = {file.name: file.read_bytes() for file in out.iterdir()}
    assert len(made) == 4
    assert sorted(made.values()) == [b"1", b"1", b"2", b"3"]
    assert all(name.endswith(".jsonl") or name == "other-file-a" for name in made)
    assert run("export", str(path), "--all", "-o", str(out)).returncode == 1
    assert run("export", str(path), "--all", "-o", str(out), "--force").returncode == 0


@pytest.mark.long
def test_export_follows_links_and_writes_into_pipes(archived: Path, tmp_path: Path) -> None:
    target, link, dangling, pipe = (tmp_path / name for name in ("target", "link", "dangling", "pipe"))
    target.write_text("mine")
    link.symlink_to(target)
    dangling.symlink_to(tmp_path / "made")
    assert run("export", str(archived), "file-plain", "-o", str(link), "--force").returncode == 0
    assert (link.is_symlink(), target.read_bytes()) == (True, ODD["plain"])
    assert run("export", str(archived), "file-plain", "-o", str(dangling)).returncode == 0
    assert (dangling.is_symlink(), (tmp_path / "made").read_bytes()) == (True, ODD["plain"])
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    assert run("export", str(archived), "file-plain", "-o", str(pipe)).returncode == 0
    assert reader.communicate(timeout=20)[0] == ODD["plain"]
    other = tmp_path / "other"
    other.symlink_to(archived)
    done = run("export", str(archived), "file-plain", "-o", str(other), "--force")
    assert (done.returncode, "is the archive" in done.stderr) == (1, True)


def test_base64_with_line_ends_of_the_declared_size_is_accepted(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    content = os.urandom(3000)
    with_files(sandbox, a=content)
    sandbox.fault(Fault(path="/content", times=None, status=200, body=base64.encodebytes(content)))
    path = tmp_path / "all.db"
    for _ in range(2):
        assert not archive(db, path).failed
    assert asked_contents(sandbox) == {"file-a": 1}


@pytest.mark.parametrize("parts", [1, 3])
def test_a_packed_content_is_unpacked_with_all_its_members(at: At, tmp_path: Path, parts: int) -> None:
    content = os.urandom(40_000)
    step = len(content) // parts
    packed = b"".join(gzip.compress(content[at : at + step]) for at in range(0, step * parts, step))

    def answering(asked: Asked) -> Any:
        if asked.path.endswith("/content"):
            return Response(packed, headers={"Content-Encoding": "gzip"})
        if asked.path == "/files":
            return {"data": [{"id": "file-a", "purpose": "fine-tune"}], "has_more": False}
        return api([])(asked)

    _, db = at(answering)
    path = tmp_path / "all.db"
    assert not archive(db, path).failed
    assert kept(path) == {"file-a": content[: step * parts]}


def test_a_content_far_larger_than_declared_is_abandoned(
    sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path
) -> None:
    with_files(sandbox, a=b"ten bytes!")
    sandbox.fault(Fault(path="/content", times=None, status=200, body=bytes(3_000_000)))
    path = tmp_path / "all.db"
    assert archive(db, path).failed
    assert "its content goes on after" in missing(path)["file-a"]
    assert kept(path) == {}


def test_a_signed_url_is_never_written(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    with_files(sandbox, a=b"a")
    signed = "http://127.0.0.1:1/x?sig=SECRETSIGNATURE"
    sandbox.fault(Fault(path="/content", times=None, redirect=signed))
    done = archive(db, tmp_path / "all.db")
    assert done.failed
    assert "It redirects to http://127.0.0.1:1/x, and a key is never sent" in missing(tmp_path / "all.db")["file-a"]
    assert b"SECRETSIGNATURE" not in (tmp_path / "all.db").read_bytes()
    assert "SECRETSIGNATURE" not in "".join(done.problems())


def test_ids_from_a_server_are_escaped_for_the_terminal(sandbox: Sandbox, db: ftsql.Connection, tmp_path: Path) -> None:
    sandbox.add_job(id="ftjob-1", training_file="file-\x1b[31m\nevil", validation_file=None, result_files=[])
    (told, _) = archive(db, tmp_path / "all.db").problems()
    assert told.startswith("openai: no content of file-\\x1b[31m\\x0aevil: ")


@pytest.mark.long
def test_a_write_to_a_snapshot_is_refused_also_if_no_row_matches(
    archived: Path, sandbox: Sandbox, environment: dict[str, str]
) -> None:
    for sql, words in (
        ("UPDATE fine_tuning_jobs SET status = 'cancelled' WHERE id = 'none'", "write to live.fine_tuning_jobs"),
        ("DELETE FROM files WHERE id = 'none'", "write to live.files"),
        ("DELETE FROM file_contents WHERE id = 'none'", "only ftsql sync writes to it"),
    ):
        done = run("--db", str(archived), sql, environment=environment)
        assert (done.returncode, words in done.stderr) == (1, True), done.stderr
    sandbox.add_job(id="ftjob-2", status="running", finished_at=None)
    live = "UPDATE live.fine_tuning_jobs SET status = 'cancelled' WHERE id = 'ftjob-2'"
    assert run("--db", str(archived), live, environment=environment).returncode == 0
    assert (
        run("--db", str(archived), "CREATE TABLE mine AS SELECT id FROM files", environment=environment).returncode == 0
    )


def test_sync_of_an_archive_without_contents_recommends_the_option(archived: Path, environment: dict[str, str]) -> None:
    done = run("sync", str(archived), environment=environment)
    assert (done.returncode, f"{archived} is an archive: add --contents" in done.stderr) == (0, True)
