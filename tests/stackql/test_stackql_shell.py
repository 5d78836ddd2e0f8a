"""StackQL's statements in the shell: from an argument, a file, a pipe and the prompt."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftsql.sandbox import Sandbox
from tests.cli.test_shell import environment, run
from tests.conftest import fill
from tests.stackql.cases import EXEC_2026, INSERT_2024_REQUIRED, INSERT_2026, SELECT_2026

__all__ = ["environment"]  # a fixture

SHOW = "SHOW METHODS IN openai.fine_tuning.jobs LIKE 'canc%'"


@pytest.mark.long
def test_an_argument_a_file_and_a_pipe_run_them(
    sandbox: Sandbox,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    fill(sandbox, 3)
    text = f"{SHOW};\nSELECT id FROM openai.fine_tuning.jobs\nWHERE fine_tuning_job_id = 'ftjob-00001' -- required\n"
    (tmp_path / "q.iql").write_text(text)
    expected = "MethodName,RequiredParams,SQLVerb\ncancel_fine_tuning_job,fine_tuning_job_id,EXEC\ncancel,fine_tuning_job_id,EXEC\nid\nftjob-00001\n"
    for done in (
        run(text, environment=environment),
        run("-f", str(tmp_path / "q.iql"), environment=environment),
        run(environment=environment, stdin=text),
    ):
        assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


@pytest.mark.long
def test_the_output_modes_apply(sandbox: Sandbox, environment: dict[str, str]) -> None:
    fill(sandbox, 3)
    done = run("--mode", "json", "SELECT count(*) AS n FROM openai.fine_tuning.jobs", environment=environment)
    assert done.stdout.replace(" ", "") == '[{"n":3}]\n'
    done = run("--mode", "json", SELECT_2026.replace("00002", "none"), environment=environment)
    assert done.stdout == "[]\n"


@pytest.mark.long
def test_an_insert_prints_the_new_job_and_its_returned_columns(
    sandbox: Sandbox,
    environment: dict[str, str],
) -> None:
    for name in "ab":
        sandbox.add_file(id=f"file-{name}")
    done = run(INSERT_2024_REQUIRED, environment=environment)
    assert done.stdout == ""
    assert done.stderr.startswith("created ftjob-")
    done = run(environment=environment, stdin=INSERT_2026)
    newest = sandbox.jobs()[0]["id"]
    assert done.stdout == f"id,status,seed,team\n{newest},{sandbox.jobs()[0]['status']},42,ads\n"
    assert done.stderr.startswith(f"created {newest} ")


def test_exec_acts_and_prints_the_new_status(sandbox: Sandbox, environment: dict[str, str]) -> None:
    sandbox.add_job(id="ftjob-1", status="running")
    done = run(environment=environment, stdin=EXEC_2026.format(method="cancel", id="ftjob-1"))
    assert done.stdout == "id,status,provider\nftjob-1,cancelled,openai\n"
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("EXEC openai.fine_tuning.jobs.cancel @nope = 1", "cancel has no parameter @nope"),
        ("SELECT 1; SELECT * FROM nobody.fine_tuning.jobs", "unknown provider 'nobody'"),
        ("EXEC portkey.fine_tuning.jobs.pause @fine_tuning_job_id = 'x'", "provider 'portkey' is not active"),
        ("SELECT * FROM telnyx.fine_tuning.jobs", "provider 'telnyx' is not active; active providers: openai"),
        ("EXEC openai.fine_tuning.jobs.cancel @fine_tuning_job_id = 'ftjob-none'", "no such job"),
    ],
)
def test_a_mistake_is_a_message_and_exit_code_1(environment: dict[str, str], sql: str, words: str) -> None:
    done = run(sql, environment=environment)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stdout == ""


def test_explain_says_what_it_would_cost(environment: dict[str, str]) -> None:
    sql = "SELECT * FROM openai.fine_tuning.jobs WHERE fine_tuning_job_id = 'x'"
    done = run("explain", sql, environment=environment)
    assert "get provider id (openai): 1 request" in done.stdout
