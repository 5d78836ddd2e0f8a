"""The subcommand writes: its journal, its open writes, and how a person decides about them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ftsql.sandbox import Fault, Sandbox
from tests.cli.test_shell import run, typed
from tests.conftest import CANARY
from tests.write.fixtures import CREATE, INSERT, ONE, posts

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("files")]

FULL = "json_object(" + ", ".join(f"'k{number}', 'v'" for number in range(16)) + ")"  # no room for a fingerprint
BLIND = (
    f"INSERT INTO fine_tuning_jobs (model, training_file, seed, metadata) VALUES ('gpt-4o-mini', 'file-a', 5, {FULL})"
)


@pytest.fixture
def environment(sandbox: Sandbox) -> dict[str, str]:
    known = {"OPENAI_BASE_URL": sandbox.base_url("openai"), "OPENAI_API_KEY": CANARY, "FTSQL_SETTLE_SECONDS": "0.1"}
    return {**os.environ, **known}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "home" / "data" / "ftsql" / "store.db"


def test_the_path_of_the_record_is_printed_once(environment: dict[str, str], store: Path) -> None:
    done = run(ONE, environment=environment)
    assert (
        done.stderr.splitlines()[0]
        == f"ftsql: created {store}: the cache, and the journal of creates, cancels and deletes"
    )
    assert stat.S_IMODE(store.stat().st_mode) == 0o600
    done = run("--mode", "csv", "SELECT state, statement FROM ftsql_writes", environment=environment)
    assert (done.stdout.splitlines()[1], done.stderr) == (f'committed,"{ONE}"', "")


def test_read_only_makes_no_record(environment: dict[str, str], store: Path) -> None:
    done = run("--read-only", "SELECT 1 AS n", environment=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "n\n1\n", "")
    assert not store.exists()


def test_a_store_that_cannot_be_used_is_said_and_done_without(environment: dict[str, str], store: Path) -> None:
    store.parent.mkdir(parents=True)
    store.write_text("no database " * 100)
    done = run("SELECT 1 AS n", environment=environment)
    assert (done.returncode, done.stdout) == (0, "n\n1\n")
    assert f"cannot use the store {store}: file is not a database" in done.stderr
    named = run("--store", str(store), "SELECT 1", environment=environment)
    assert (named.returncode, named.stdout) == (1, "")


def test_open_writes_are_listed_settled_and_decided(sandbox: Sandbox, environment: dict[str, str], store: Path) -> None:
    done = run("writes", environment=environment)
    assert (done.returncode, done.stdout) == (0, "write_id,at,state,action,provider,job_id,error,statement\n")
    assert "no write is open" in run("writes", "settle", environment=environment).stderr
    for fault in (
        Fault(method="POST", path=CREATE, drop=True, accept=True),
        Fault(method="POST", path=CREATE, drop=True),
    ):
        sandbox.clear_faults()
        sandbox.fault(fault)
        assert run(BLIND, environment=environment).returncode == 1
    (job,) = sandbox.jobs()
    listed = run("writes", environment=environment)
    assert len(listed.stdout.splitlines()) == 3
    assert "2 writes are open since earlier" in listed.stderr
    settled = run("writes", "settle", environment=environment)
    assert settled.returncode == 1
    assert f"these may be it: {job['id']}" in settled.stdout
    decided = run("writes", "settle", "1", "--job", job["id"], environment=environment)
    assert decided.stdout == f"write 1 is committed: it created {job['id']}\n"
    assert run("writes", "settle", "2", "--none", environment=environment).returncode == 0
    assert run("writes", "settle", environment=environment).returncode == 0
    assert len(posts(sandbox)) == 2


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["writes", "nope"], 1, "use: ftsql writes, ftsql writes settle, or"),
        (["writes", "settle", "x"], 1, "use: ftsql writes"),
        (["writes", "settle", "1"], 1, "go together"),
        (["writes", "settle", "--keep"], 1, "go together"),
        (["writes", "settle", "7", "--none"], 1, "write 7 is not open"),
        (["SELECT 1", "--none"], 2, "belong to: ftsql writes settle N"),
        (["writes", "settle", "7", "--none", "--keep"], 2, "not allowed with"),
        (["--max-creates-per-day", "0", "SELECT 1"], 1, "expected a number above 0"),
    ],
)
def test_a_usage_error_says_what_to_use(environment: dict[str, str], words: list[str], code: int, message: str) -> None:
    done = run(*words, environment=environment)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr


TWO = INSERT + "('gpt-4o-mini', 'file-a'), ('gpt-4o-mini', 'file-b')"


@pytest.mark.parametrize(("answer", "sent"), [("y", 2), ("n", 0), ("", 0)])
def test_the_prompt_asks_before_it_sends_more_than_one(
    sandbox: Sandbox, environment: dict[str, str], answer: str, sent: int
) -> None:
    shown = typed(f"{TWO};\n{answer}\n.quit\n", environment)
    assert "create 2 fine-tuning jobs? [y/N]" in shown
    assert len(posts(sandbox)) == sent
    assert ("not confirmed: nothing was sent" in shown) == (sent == 0)


@pytest.mark.parametrize(
    ("lines", "options"), [(f"{ONE};\n", []), (f"{TWO};\n", ["--yes"]), (f"BEGIN;{TWO};ROLLBACK;\n", [])]
)
def test_the_prompt_does_not_ask_for_one_with_yes_or_when_nothing_is_sent(
    environment: dict[str, str], lines: str, options: list[str]
) -> None:
    assert "[y/N]" not in typed(lines + ".quit\n", environment, *options)


def test_the_prompt_asks_before_a_functions_second_act(sandbox: Sandbox, environment: dict[str, str]) -> None:
    for number in range(3):
        sandbox.add_job(id=f"ftjob-{number}", status="running")
    cancel = "SELECT cancel_job(id) FROM fine_tuning_jobs;\n"
    shown = typed(f"{cancel}n\n.quit\n", environment)
    assert "1 cancel_job was done: go on with more? [y/N]" in shown
    assert len(posts(sandbox)) == 1
    typed(f"{cancel}y\n.quit\n", environment)
    assert [job["status"] for job in sandbox.jobs()] == ["cancelled"] * 3


def test_what_is_no_terminal_is_not_asked(sandbox: Sandbox, environment: dict[str, str]) -> None:
    run(TWO, environment=environment)
    run(environment=environment, stdin=TWO)
    assert len(posts(sandbox)) == 4


def test_an_abandoned_create_does_not_block_the_exit(sandbox: Sandbox, environment: dict[str, str]) -> None:
    sandbox.fault(Fault(method="POST", path=CREATE, hang=True))
    done = run("--timeout", "1", ONE, environment=environment)  # run() allows 60 s; the server never answers
    assert done.returncode == 1
    assert "the outcome of the create of a job is unknown" in done.stderr
