"""The command ``ftsql sync``: its output, its exit codes, its end, and consistent files even if it is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ftsql.sandbox import Fault, Sandbox
from tests.cli.test_shell import run
from tests.conftest import CANARY, fill, gets
from tests.sync.fixtures import WHOLE, Service, read, stamp, wait_for

pytestmark = pytest.mark.long

KILLS = int(os.environ.get("SYNC_KILLS", "20"))
READERS_SECONDS = float(os.environ.get("SYNC_READERS_SECONDS", "4"))


@pytest.fixture
def environment(sandbox: Sandbox, tmp_path: Path) -> dict[str, str]:
    known = {"OPENAI_BASE_URL": sandbox.base_url("openai"), "OPENAI_API_KEY": CANARY}
    return {**os.environ, **known, "FTSQL_STORE": str(tmp_path / "store" / "store.db")}


def test_a_run_creates_the_file_and_the_next_run_requests_only_new_rows(
    sandbox: Sandbox, environment: dict[str, str], tmp_path: Path
) -> None:
    fill(sandbox, 250)
    path = tmp_path / "jobs.db"
    done = run("sync", str(path), "--tables", "jobs", environment=environment)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.endswith("openai: 250 jobs (250 new), 3 requests\n")
    assert not list(tmp_path.glob("jobs.db-*"))
    sandbox.requests.clear()
    done = run("sync", str(path), "--tables", "jobs", environment=environment)
    assert done.stderr.endswith("openai: 250 jobs (unchanged), 1 request\n")
    assert gets(sandbox) == ["?limit=100"]
    shown = run("--db", str(path), "SELECT count(*) AS n FROM jobs", environment=environment)
    assert shown.stdout == "n\n250\n"
    assert f"{path} is a snapshot of 20" in shown.stderr
    assert "The API is live.fine_tuning_jobs" in shown.stderr


def test_a_provider_that_fails_is_exit_code_1(sandbox: Sandbox, environment: dict[str, str], tmp_path: Path) -> None:
    sandbox.fault(Fault(times=None, status=401, body={"error": {"message": f"Incorrect key {CANARY}"}}))
    done = run("sync", str(tmp_path / "jobs.db"), environment=environment)
    assert done.returncode == 1
    assert "openai: FAILED (no jobs yet; no events yet; no checkpoints yet): openai: Incorrect key ***" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["sync"], 2, "use: ftsql sync FILE"),
        (["sync", "a.db", "b.db"], 2, "use: ftsql sync FILE"),
        (["sync", "a.db", "--db", "b.db"], 2, "without --db"),
        (["sync", "a.db", "--read-only"], 2, "without --db"),
        (["sync", "a.db", "--every", "0"], 2, "--every takes seconds above 0"),
        (["sync", "a.db", "--every", "nan"], 2, "--every takes seconds above 0"),
        (["sync", "a.db", "--tables", "jobs,nope"], 1, "no table 'nope' to sync; there are: jobs, events"),
        (["SELECT 1", "--every", "5"], 2, "belong to: ftsql sync FILE"),
        (["sync", "/nowhere/a.db"], 1, "there is no directory /nowhere: make it first"),
        (["sync", "a.db", "--store", "a.db"], 1, "is the store"),
        (["sync", "a.db", "--provider", "nope"], 1, "unknown provider 'nope'"),
    ],
)
def test_a_usage_error_says_what_to_use(
    environment: dict[str, str], tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    done = run(*words, environment=environment, folder=tmp_path)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert not (tmp_path / "a.db").exists()


def test_a_missing_provider_is_an_error_with_advice_also_for_a_service(tmp_path: Path) -> None:
    for options in ([], ["--every", "1"]):
        done = run("sync", str(tmp_path / "jobs.db"), *options)
        assert done.returncode == 1
        assert "OPENAI_API_KEY" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("hanging", [False, True], ids=["between rounds", "in a read"])
def test_a_service_ends_at_once_and_leaves_the_file_alone(
    sandbox: Sandbox, environment: dict[str, str], tmp_path: Path, number: int, hanging: bool
) -> None:
    fill(sandbox, 3)
    path = tmp_path / "jobs.db"
    with Service(path, environment, "--every", "0.2" if hanging else "60", "--timeout", "2") as service:
        service.line("3 jobs (3 new)")
        if hanging:
            before = len(sandbox.requests)
            sandbox.fault(Fault(times=None, hang=True))
            wait_for(lambda: len(sandbox.requests) > before + 1)
        code, _, seconds = service.end(number)
    assert (code, seconds < 1) == (0, True)
    assert not list(tmp_path.glob("jobs.db-*"))
    assert read(path, "SELECT count(*) FROM fine_tuning_jobs") == [(3,)]


def test_ctrl_c_ends_a_single_round_with_130(sandbox: Sandbox, environment: dict[str, str], tmp_path: Path) -> None:
    sandbox.fault(Fault(times=None, hang=True))
    with Service(tmp_path / "jobs.db", environment) as service:
        wait_for(lambda: len(sandbox.requests) > 0)
        code, errors, _ = service.end(signal.SIGINT)
    assert (code, errors.splitlines()[-1]) == (130, "ftsql: interrupted: run the same command again to continue")


def test_a_service_outlives_an_outage_and_the_deletion_of_its_file(
    sandbox: Sandbox, environment: dict[str, str], tmp_path: Path
) -> None:
    fill(sandbox, 3)
    path = tmp_path / "jobs.db"
    with Service(path, environment, "--every", "0.2", "--timeout", "0.5") as service:
        service.line("3 jobs (3 new)")
        sandbox.stop()
        service.line("FAILED (its jobs are of 20")
        state = "SELECT rows, error LIKE 'openai: %' FROM sync_state"
        assert read(path, state) == [(3, 1)]
        sandbox.start()
        service.line("3 jobs (unchanged)")
        path.unlink()
        service.line("3 jobs (3 new)")
        assert service.end()[0] == 0
    assert read(path, "SELECT rows, error FROM sync_state") == [(3, None)]


def test_a_killed_service_leaves_a_complete_round(
    sandbox: Sandbox, environment: dict[str, str], tmp_path: Path
) -> None:
    stamp(sandbox, 80)
    path = tmp_path / "jobs.db"
    rng = random.Random(1)
    looks = set()
    for number in range(KILLS):
        with Service(path, environment, "--every", "0.001") as service:
            if number % 4:
                service.line()
            else:  # during its start
                time.sleep(0.3)
            time.sleep(rng.random() * 0.2)
        if not path.exists() or not read(path, "SELECT 1 FROM sqlite_schema WHERE name = 'fine_tuning_jobs'"):
            continue
        assert read(path, WHOLE) == [(1, 80, 80)]
        assert read(path, "PRAGMA integrity_check") == [("ok",)]
        looks |= set(read(path, "SELECT DISTINCT seed FROM fine_tuning_jobs"))
    assert len(looks) > KILLS / 2


# An open connection is never refused. A new one may wait, because a closing one checks whether it is the last:
# the 5 s that Python's library waits by default are enough.
READER = """
import sqlite3, sys, time
path, seconds, sql, stays = *sys.argv[1:4], sys.argv[4] == "stays"
end, reads = time.monotonic() + float(seconds), 0
db = sqlite3.connect(path)
db.execute(sql).fetchall()  # opens the file, which has to wait for a moment while another connection closes it
if stays:
    db.execute("PRAGMA busy_timeout = 0").fetchall()
while time.monotonic() < end:
    assert db.execute(sql).fetchall() == [(1, 80, 80)]
    reads += 1
    if not stays and reads % 20 == 0:
        db.close()
        db = sqlite3.connect(path)
print(reads)
"""


def test_readers_and_two_services_never_block_each_other(
    sandbox: Sandbox, environment: dict[str, str], tmp_path: Path
) -> None:
    stamp(sandbox, 80)
    path = tmp_path / "jobs.db"
    assert run("sync", str(path), "--tables", "jobs", environment=environment).returncode == 0
    with (
        Service(path, environment, "--every", "0.001") as one,
        Service(path, environment, "--every", "0.001") as two,
    ):
        one.line()
        two.line()
        command = [sys.executable, "-c", READER, str(path), str(READERS_SECONDS), WHOLE]
        readers = [
            subprocess.Popen([*command, kind], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for kind in ("stays", "stays", "comes and goes", "comes and goes")
        ]
        for reader in readers:
            printed, errors = reader.communicate(timeout=READERS_SECONDS + 60)
            assert errors == ""
            assert int(printed) > 100
        ended = [one.end(), two.end()]
    told = "".join(errors for _, errors, _ in ended)
    assert [code for code, _, _ in ended] == [0, 0]
    assert "nothing was written" not in told
    assert told.count("80 jobs (80 changed)") > 10
    assert read(path, "PRAGMA integrity_check") == [("ok",)]
