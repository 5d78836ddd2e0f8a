"""Random statements: the shell and ``ftsql serve`` neither crash nor hang, and write only if they may.

``python -m tests.campaign statements --count 50000`` is the long run.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pg_mimic")

from ftsql.cli.shell import Shell
from ftsql.sqlite import authorizer
from ftsql.store.journal import Journal
from tests.campaign import servers, shells, statements
from tests.campaign.grammar import Grammar
from tests.campaign.spoiling import WAYS

pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # the shell's messages on stderr, and files that other tests left open

SIZES = {"the shell, read-only": 500, "the shell": 900, "serve": 400}


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_no_statement_crashes_hangs_or_writes_where_it_may_not(tmp_path: Path, name: str) -> None:
    result = statements.batch(name, SIZES[name], 20261121, tmp_path / "inside")
    assert result.violations == []
    assert result.statements == SIZES[name]
    assert result.errors["no error"] > SIZES[name] / 10
    assert set(WAYS) - set(result.kinds) == set()
    if name == "the shell":
        assert result.writes > 5


def _internal(*_: Any) -> None:
    raise AttributeError("a mistake")


PLANTED: dict[str, tuple[object, str, Any, bool, str]] = {
    "read-only writes": (authorizer, "_creates_file", lambda path, uri: False, True, "it wrote"),
    "a mistake of ftsql's own": (Shell, "_write_empty", _internal, True, "AttributeError"),
    "writes without a record": (Journal, "queue", lambda self, entries, limit: None, False, "not recorded"),
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.long
def test_a_bug_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    where, attribute, bug, read_only, by = PLANTED[name]
    monkeypatch.setattr(where, attribute, bug)
    if name == "read-only writes":
        monkeypatch.setattr(Grammar, "sql", Grammar.other)  # otherwise few statements would create a file
    result = shells.shell(300, 1, tmp_path / "inside", read_only=read_only)
    assert any(by in violation for violation in result.violations), result.violations


def test_a_server_that_says_internal_error_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "INTERNAL", ("42601",))
    assert any("42601" in violation for violation in servers.serve(20, 1, tmp_path / "inside").violations)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('.print "a', "No closing quotation"),
        ("SELECT :a", "No binding present for 'a'"),
        ("SELECT '\0'", "null"),
        (".connection 99999999999999999999", ""),
    ],
)
def test_the_shell_prints_a_message_and_not_a_traceback(text: str, words: str) -> None:
    command = [sys.executable, "-m", "ftsql", "--sandbox"]
    ran = subprocess.run(command, input=text + "\n", capture_output=True, text=True)
    assert ran.returncode == 1
    assert words in ran.stderr
    assert "Traceback" not in ran.stderr


def test_no_command_opens_a_connection_without_the_authorizer(tmp_path: Path) -> None:
    path = shells.own_file(tmp_path)
    text = f".connection 1\nATTACH '{path}' AS o;\nDELETE FROM o.notes;\n"
    command = [sys.executable, "-m", "ftsql", "--sandbox", "--read-only", "--db", str(path)]
    before = path.read_bytes()
    ran = subprocess.run(command, input=text, capture_output=True, text=True)
    assert ran.returncode == 1
    assert "connection is refused" in ran.stderr
    assert path.read_bytes() == before


def test_the_mode_fit_works_without_a_terminal() -> None:
    command = [sys.executable, "-m", "ftsql", "--sandbox", "--mode", "fit", "SELECT 'a' AS one"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert "│ one │" in ran.stdout, ran
