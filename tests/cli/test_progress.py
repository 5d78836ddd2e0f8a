"""The progress line: it appears on the terminal of stderr for a slow statement, and is removed without a trace."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable

import pytest

from ftsql.api.request_log import Counts
from ftsql.cli.progress import progress_text
from ftsql.sandbox import Fault, Sandbox
from tests.conftest import CANARY, fill

pytestmark = pytest.mark.long

COUNT = "SELECT count(*) AS n FROM fine_tuning_jobs"
ALL = "SELECT id FROM fine_tuning_jobs"
UNLIMITED: Callable[[bytes], bool] = lambda shown: False  # noqa: E731


def environment(sandbox: Sandbox) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")},
        "OPENAI_BASE_URL": sandbox.base_url("openai"),
        "OPENAI_API_KEY": CANARY,
        "FTSQL_STORE": ":memory:",
        "TERM": "xterm",
    }


def run(
    sandbox: Sandbox,
    *arguments: str,
    on_terminal: bool = True,
    rows_too: bool = False,
    interrupt_when: Callable[[bytes], bool] = UNLIMITED,
) -> tuple[int, str, str]:
    """Run the command with stderr (and stdout if ``rows_too``) on a terminal. Return exit code, stdout and stderr."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (50, 100))
    process = subprocess.Popen(
        [sys.executable, "-m", "ftsql", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=slave if rows_too else subprocess.PIPE,
        stderr=slave if on_terminal else subprocess.STDOUT,
        env=environment(sandbox),
    )
    os.close(slave)
    shown = b""
    interrupted = False
    while select.select([master], [], [], 30)[0]:
        try:
            shown += os.read(master, 65536)
        except OSError:  # Linux reports a closed other end this way
            break
        if not interrupted and interrupt_when(shown):
            interrupted = True
            process.send_signal(signal.SIGINT)
    rows = b"" if process.stdout is None else process.stdout.read()
    if process.stdout is not None:
        process.stdout.close()
    os.close(master)
    code = process.wait(30)
    assert b"Traceback" not in shown + rows
    return code, rows.decode(), shown.decode()


def left_on_screen(shown: str) -> str:
    """Return what a terminal shows in the end; emulate only what the progress line needs."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x1b]", shown):
        if token == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif token == "\r":
            column = 0
        elif token.endswith("A"):
            row -= int(token[2:-1])
        elif token == "\x1b[2K":
            lines[row] = ""
        elif len(token) == 1:
            lines[row] = lines[row].ljust(column)[:column] + token + lines[row][column + 1 :]
            column += 1
    return "\n".join(lines).strip()


def test_a_slow_listing_shows_pages_rows_and_rate_and_leaves_nothing(sandbox: Sandbox) -> None:
    fill(sandbox, 500)
    sandbox.fault(Fault(times=None, latency=0.4))
    code, rows, shown = run(sandbox, COUNT)
    assert (code, rows) == (0, "n\n500\n")
    assert "pages, " in shown
    assert " rows, " in shown
    assert " rows/s" in shown
    assert "rate limit" not in shown
    assert left_on_screen(shown) == ""
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is visible again


def test_rows_on_the_same_terminal_are_never_mixed_with_it(sandbox: Sandbox) -> None:
    fill(sandbox, 300)
    sandbox.fault(Fault(times=None, latency=0.6))
    code, _, shown = run(sandbox, "--mode", "csv", f"SELECT count(*) AS n FROM fine_tuning_jobs; {ALL}", rows_too=True)
    assert code == 0
    assert " rows/s" in shown
    assert left_on_screen(shown).split() == ["n", "300", "id", *(f"ftjob-{number:05}" for number in range(300))]


def test_a_rate_limit_is_shown_during_the_wait(sandbox: Sandbox) -> None:
    fill(sandbox, 1)
    sandbox.fault(Fault(status=429, headers={"Retry-After": "3"}))
    code, rows, shown = run(sandbox, COUNT)
    assert (code, rows) == (0, "n\n1\n")
    assert "waiting for openai's rate limit, 2 s left" in shown
    assert left_on_screen(shown) == ""


def test_it_is_silent_without_a_terminal_and_for_quick_statements(sandbox: Sandbox) -> None:
    fill(sandbox, 300)
    assert run(sandbox, COUNT) == (0, "n\n300\n", "")
    slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000000) SELECT max(i) AS n FROM n"
    assert run(sandbox, slow) == (0, "n\n5000000\n", "")  # it sends no request
    sandbox.fault(Fault(times=None, latency=0.5))
    code, output, _ = run(sandbox, COUNT, on_terminal=False)
    assert (code, output) == (0, "n\n300\n")


def test_ctrl_c_ends_it_and_leaves_the_terminal_as_it_was(sandbox: Sandbox) -> None:
    fill(sandbox, 1)
    sandbox.fault(Fault(times=None, hang=True))
    began = time.monotonic()
    code, rows, shown = run(sandbox, COUNT, interrupt_when=lambda shown: b"rows/s" in shown)
    assert time.monotonic() - began < 20
    assert (code, rows) == (130, "")
    assert left_on_screen(shown) == "ftsql: interrupted"
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (Counts(), "0 rows, 0 rows/s"),
        ({"list": 12}, "12 pages, 1,200 rows, 600 rows/s"),
        ({"list": 1, "get": 3}, "1 page, 3 get, 1,200 rows, 600 rows/s"),
        ({"create": 2}, "2 create, 1,200 rows, 600 rows/s"),
    ],
)
def test_the_line_shows_requests_and_rows(counts: Counts | dict[str, int], said: str) -> None:
    if isinstance(counts, dict):
        kinds, counts = counts, Counts(rows=1000, from_store=200)
        counts.kinds.update(kinds)
    assert progress_text(counts, 2.0) == said


def test_a_finished_wait_is_no_longer_shown() -> None:
    counts = Counts(held={"openai": time.monotonic() - 1, "azure": time.monotonic() + 9.6})
    assert progress_text(counts, 2.0) == "0 rows, 0 rows/s, waiting for azure's rate limit, 10 s left"


def test_it_is_hidden_while_the_user_is_asked(sandbox: Sandbox) -> None:
    sandbox.add_file(id="file-a")
    fill(sandbox, 300)
    sandbox.fault(Fault(times=None, latency=0.6))
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (50, 100))
    process = subprocess.Popen(
        [sys.executable, "-m", "ftsql"], stdin=slave, stdout=slave, stderr=slave, env=environment(sandbox)
    )
    os.close(slave)
    sql = (
        "INSERT INTO fine_tuning_jobs (model, training_file) SELECT 'gpt-4o-mini', 'file-a' FROM "
        "(SELECT id FROM fine_tuning_jobs WHERE status = 'succeeded' AND id > 'ftjob-00297');"
    )
    os.write(master, sql.encode() + b"\n")
    shown = b""
    answered = False
    while select.select([master], [], [], 30)[0]:
        try:
            shown += os.read(master, 65536)
        except OSError:
            break
        if b"[y/N]" in shown and not answered:
            answered = True
            asked_at = len(shown)
            time.sleep(0.5)
            while select.select([master], [], [], 0)[0]:
                shown += os.read(master, 65536)
            assert shown[asked_at:].strip() == b""
            os.write(master, b"n\n.quit\n")
    os.close(master)
    process.wait(30)
    assert answered, shown
    assert b"rows/s" in shown[:asked_at]
