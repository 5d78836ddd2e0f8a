"""The command: rows on stdout, all else on stderr, exit codes, and never a traceback."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from ftsql.sandbox import Fault, Sandbox
from tests.conftest import CANARY, fill


@pytest.fixture
def environment(sandbox: Sandbox) -> dict[str, str]:
    known = {"OPENAI_BASE_URL": sandbox.base_url("openai"), "OPENAI_API_KEY": CANARY, "FTSQL_STORE": ":memory:"}
    return {**os.environ, **known}


def run(
    *arguments: str, environment: dict[str, str] | None = None, stdin: str = "", folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "ftsql", *arguments],
        capture_output=True, text=True, input=stdin, env=environment, cwd=folder, timeout=60,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    assert CANARY not in done.stdout + done.stderr
    return done


def test_the_first_command_of_the_readme_works_with_no_key() -> None:
    done = run(
        "--sandbox", "SELECT id, model, status, created_at FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 5"
    )
    assert done.returncode == 0
    table = list(csv.reader(io.StringIO(done.stdout)))
    assert table[0] == ["id", "model", "status", "created_at"]
    assert len(table) == 6
    assert done.stderr == ""


def test_a_statement_without_requests_loads_no_client_and_no_models() -> None:
    loaded = "print(sorted({'httpx', 'pydantic.fields', 'ftsql.api.transport', 'ftsql.resources.validation'} & set(sys.modules)))"
    code = f"import atexit, sys; atexit.register(lambda: {loaded}); from ftsql.cli.main import main; main()"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    done = subprocess.run(
        [sys.executable, "-c", code, "SELECT 1"], capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.stdout.splitlines() == ["1", "1", "[]"], done.stderr


@pytest.mark.long
def test_sql_comes_from_an_argument_a_file_or_a_pipe(
    sandbox: Sandbox, environment: dict[str, str], tmp_path: Path
) -> None:
    fill(sandbox, 3)
    sql = "SELECT count(*) AS n FROM fine_tuning_jobs;"
    (tmp_path / "q.sql").write_text(sql)
    for done in (
        run(sql, environment=environment),
        run("-f", str(tmp_path / "q.sql"), environment=environment),
        run(environment=environment, stdin=sql + "\n"),
    ):
        assert (done.returncode, done.stdout, done.stderr) == (0, "n\n3\n", "")


@pytest.mark.parametrize(
    ("mode", "start"), [("json", '[{"id":'), ("csv", "id,status\n"), ("line", "id="), ("box", "[╭┌]─")]
)
def test_the_output_mode_can_be_chosen(sandbox: Sandbox, environment: dict[str, str], mode: str, start: str) -> None:
    fill(sandbox, 1)
    done = run("--mode", mode, "SELECT id, status FROM fine_tuning_jobs", environment=environment)
    pattern = start if mode == "box" else re.escape(start)
    assert re.match(pattern, done.stdout.replace(" ", "")), done


def test_an_insert_prints_the_new_job_on_stderr(sandbox: Sandbox, environment: dict[str, str]) -> None:
    sandbox.add_file(id="file-a")
    sql = "INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-a')"
    done = run(sql, environment=environment)
    (job,) = sandbox.jobs()
    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr.startswith(f"created {job['id']} (provider openai, model {job['model']}, status ")


# arguments, exit code, part of stderr
MISTAKES = [
    (["SELECT nope FROM fine_tuning_jobs"], 1, "no such column: nope"),
    (["SELEC 1"], 1, "syntax error"),
    (["SELECT * FROM jobz"], 1, "no such table: jobz"),
    (["SELECT", "1"], 2, "put the SQL into quotes"),
    (["--mode", "nope", "SELECT 1"], 2, "Expected a valid output mode"),
    (["--provider", "nope", "SELECT 1"], 1, "unknown provider 'nope'"),
    (["--config", "/nowhere.toml", "SELECT 1"], 1, "cannot read the provider file /nowhere.toml"),
    (["-f", "/nowhere.sql"], 1, "/nowhere.sql"),
    (["--db", "/nowhere/x.db", "SELECT 1"], 1, "unable to open database file"),
    (["--db", "/nowhere.db", "--read-only", "SELECT 1"], 1, "there is no file /nowhere.db"),
    (["queries", "nope"], 1, "no query 'nope'; there are: "),
    (["INSERT INTO fine_tuning_jobs (model) VALUES ('m')"], 1, "training_file is missing"),
    (["SELECT cancel_job('ftjob-none')"], 1, "no such job"),
    (["--read-only", "SELECT cancel_job('x')"], 1, "no such function: cancel_job"),
    (["SELECT 1", "-f"], 2, "expected one argument"),
    ([".nope"], 1, "Unknown command"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), MISTAKES, ids=[" ".join(case[0])[:60] for case in MISTAKES])
def test_an_error_is_a_message_and_an_exit_code(
    environment: dict[str, str], arguments: list[str], code: int, words: str
) -> None:
    done = run(*arguments, environment=environment)
    assert done.returncode == code
    assert words in done.stderr
    assert done.stdout == ""


def test_a_providers_refusal_is_a_message_and_exit_code_1(sandbox: Sandbox, environment: dict[str, str]) -> None:
    sandbox.fault(Fault(times=None, status=401, body={"error": {"message": f"Incorrect key {CANARY}"}}))
    done = run("SELECT * FROM fine_tuning_jobs", environment=environment)
    assert done.returncode == 1
    assert "openai: Incorrect key ***" in done.stderr


def test_a_missing_key_says_how_to_try_without_one() -> None:
    done = run("SELECT * FROM fine_tuning_jobs")
    assert done.returncode == 1
    assert "OPENAI_API_KEY" in done.stderr
    assert "ftsql --sandbox" in done.stderr


def test_the_first_error_ends_a_script(sandbox: Sandbox, environment: dict[str, str]) -> None:
    done = run(environment=environment, stdin="SELECT 1;\nSELECT nope;\nSELECT 3;\n")
    assert done.returncode == 1
    assert done.stdout == "1\n1\n"


@pytest.mark.long
def test_db_opens_the_users_file_and_reports_a_table_that_hides_ours(
    environment: dict[str, str], tmp_path: Path
) -> None:
    path = str(tmp_path / "own.db")
    assert (
        run("--db", path, "CREATE TABLE mine (id); INSERT INTO mine VALUES (5)", environment=environment).returncode
        == 0
    )
    assert run("--db", path, "SELECT * FROM mine", environment=environment).stdout == "id\n5\n"
    run("--db", path, "CREATE TABLE main.fine_tuning_jobs (id)", environment=environment)
    assert "live.fine_tuning_jobs" in run("--db", path, "SELECT 1", environment=environment).stderr


def test_tables_lists_ours_and_the_users(environment: dict[str, str], tmp_path: Path) -> None:
    path = str(tmp_path / "own.db")
    done = run("--db", path, environment=environment, stdin="CREATE TABLE mine (id);\n.tables\n")
    assert done.stdout.split() == [
        "checkpoints",
        "files",
        "fine_tuning_checkpoint_permissions",
        "fine_tuning_job_checkpoints",
        "fine_tuning_job_events",
        "fine_tuning_jobs",
        "fine_tuning_results",
        "ftsql_columns",
        "ftsql_methods",
        "ftsql_providers",
        "ftsql_requests",
        "ftsql_writes",
        "jobs",
        "mine",
        "models",
    ]


def test_open_keeps_the_tables(sandbox: Sandbox, environment: dict[str, str], tmp_path: Path) -> None:
    fill(sandbox, 2)
    done = run(environment=environment, stdin=f".open {tmp_path}/x.db\nSELECT count(*) AS n FROM fine_tuning_jobs;\n")
    assert done.stdout == "n\n2\n"


def test_a_reader_of_the_pipe_may_stop_early(environment: dict[str, str]) -> None:
    sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200000) SELECT i FROM n"
    command = f'{sys.executable} -m ftsql "{sql}" | head -1'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment, timeout=60)
    assert done.stdout == "i\n"
    assert done.stderr == ""


def test_ctrl_c_ends_a_command_with_130(sandbox: Sandbox, environment: dict[str, str]) -> None:
    sandbox.fault(Fault(times=None, hang=True))
    process = subprocess.Popen(
        [sys.executable, "-m", "ftsql", "SELECT * FROM fine_tuning_jobs"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    while not sandbox.requests:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - began < 30
    assert process.returncode == 130
    assert "Traceback" not in errors


def typed(lines: str, environment: dict[str, str], *options: str, columns: int = 200) -> str:
    """Return the output of the prompt when ``lines`` are typed."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "ftsql", *options],
        stdin=slave, stdout=slave, stderr=slave, env={**environment, "TERM": "dumb"},
    )  # fmt: skip
    termios.tcsetwinsize(slave, (50, columns))
    os.close(slave)
    os.write(master, lines.encode())
    shown = b""
    while select.select([master], [], [], 20)[0]:
        try:
            shown += os.read(master, 65536)
        except OSError:
            break
    assert process.wait(20) == 0, shown
    os.close(master)
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())  # without colours
    assert "Traceback" not in text
    return text


def test_the_prompt_shows_a_box_and_goes_on_after_an_error(sandbox: Sandbox, environment: dict[str, str]) -> None:
    fill(sandbox, 1)
    lines = "SELECT nope;\nSELECT id, status FROM fine_tuning_jobs;\nSELECT * FROM fine_tuning_jobs;\n.quit\n"
    text = typed(lines, environment, columns=80)
    assert "no such column: nope" in text
    assert "│ ftjob-00000 │ succeeded │" in text
    assert "training_file = " in text  # one column a line if a row is wider than the screen


@pytest.mark.long
def test_the_sandbox_serves_other_clients(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ftsql", "sandbox", "--port", "0", "--jobs", "3"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    name, url = process.stdout.readline().split()
    assert name == "openai"
    done = run(
        "--mode", "json", "SELECT count(*) AS n FROM fine_tuning_jobs",
        environment={**os.environ, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "any"},
    )  # fmt: skip
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    process.stdout.close()
    assert json.loads(done.stdout) == [{"n": 3}]


@pytest.mark.long
def test_version_and_help_print_and_exit_with_0() -> None:
    assert run("--version").stdout.startswith("ftsql ")
    assert "--sandbox" in run("--help").stdout
    assert "--port" in run("sandbox", "--help").stdout


@pytest.mark.parametrize("end", [".quit", ".exit", "SELECT nope;", ""])
@pytest.mark.long
def test_unsent_writes_are_reported_however_it_ends(environment: dict[str, str], end: str) -> None:
    insert = "INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('gpt-4o-mini', 'file-a');"
    done = run(environment=environment, stdin=f"BEGIN;\n{insert}\n{end}\n")
    assert "1 queued write was not sent: there was no COMMIT" in done.stderr


@pytest.mark.long
def test_a_mistyped_subcommand_is_not_run_as_sql(environment: dict[str, str]) -> None:
    done = run("queires", environment=environment)
    assert (done.returncode, "did you mean ftsql queries?" in done.stderr) == (2, True)
    assert run("Vacuum", environment=environment).returncode == 0
