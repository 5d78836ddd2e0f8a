"""``python -m tests.tools``: its table holds every test with a program of others, and what is missing is a failure."""

from __future__ import annotations

import importlib.metadata
import os
import re
from pathlib import Path

import pytest

from tests.tools import __main__ as command
from tests.tools.checks import CHECKS, REQUIREMENTS, ROOT, SIGNS, WHOLE, Check

TESTS = re.compile(r"^def (test_\w+)\(", re.MULTILINE)
NOTHING = "tests/tools/test_checks.py::test_every_test_with_a_program_of_others_is_in_a_check"  # needs nothing


def named(test: str) -> bool:
    """Whether a test that a check names is there."""
    file, _, rest = test.partition("::")
    function = rest.partition("[")[0]
    return (ROOT / file).exists() and (not function or f"\ndef {function}(" in (ROOT / file).read_text("utf-8"))


def program(folder: Path, name: str, *lines: str) -> None:
    """A shell script ``name``, which notes each call in ``calls``."""
    path = folder / name
    path.write_text("\n".join(["#!/bin/sh", f'echo "{name} $*" >> {folder}/calls', *lines, ""]))
    path.chmod(0o755)


def test_every_test_with_a_program_of_others_is_in_a_check() -> None:
    tests = {test for check in CHECKS.values() for test in check.tests}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for name in TESTS.findall(path.read_text("utf-8")) if path != Path(__file__) else ():
            assert any(test.partition("[")[0].endswith(f"/{path.name}::{name}") for test in tests), name
    for test in tests:
        assert named(test), test
        assert any(test.startswith(whole) for whole in WHOLE), f"{test} is not among all"


def test_every_requirement_of_the_extra_is_needed_by_a_check_and_every_debian_package_has_a_sign() -> None:
    assert {name for check in CHECKS.values() for name in check.pypi} == set(REQUIREMENTS)
    assert {name for check in CHECKS.values() for name in check.debian} == set(SIGNS)


def test_without_a_name_each_check_is_a_line_with_its_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(CHECKS)
    (odbc,) = [line for line in lines if line.startswith("odbc ")]
    assert odbc.endswith("; needs Debian: unixodbc libsqliteodbc, PyPI: pyodbc")


@pytest.mark.parametrize(
    ("name", "said"), [("panda", "did you mean pandas?"), ("al", "did you mean all?"), ("x", "'x' (")]
)
def test_an_unknown_name_is_an_error(name: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main([name])
    assert said in capsys.readouterr().err


def test_a_test_that_two_checks_name_is_run_once() -> None:
    wide, narrow = (
        Check("", ("tests/a.py", "tests/b")),
        Check("", ("tests/a.py::test_x[y]", "tests/b/c.py", "tests/bc.py")),
    )
    assert command.selected([narrow, wide, wide]) == ["tests/bc.py", "tests/a.py", "tests/b"]


@pytest.mark.long
def test_what_pip_cannot_install_is_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pip")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    there = f"pytest=={importlib.metadata.version('pytest')}"
    for name, requirement in (("one", "no-such-tool>=1"), ("two", there)):
        monkeypatch.setitem(REQUIREMENTS, name, requirement)
    monkeypatch.setitem(CHECKS, "fake", Check("nothing", (NOTHING,), pypi=("one", "two")))
    assert command.main(["fake"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("cannot install no-such-tool>=1 (PyPI): ")
    assert "-m pip install --quiet --disable-pip-version-check 'no-such-tool>=1'\n" in said
    assert "pytest" not in said


def test_apt_get_update_runs_only_where_an_install_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program(tmp_path, "apt-get", f'[ "$1" = update ] && touch {tmp_path}/updated', f"[ -e {tmp_path}/updated ]")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setitem(SIGNS, "no-such-tool", "no-such-program")
    fake = Check("nothing", (NOTHING,), debian=("no-such-tool",))
    command.install([fake])
    install = "apt-get install -qq -y --no-install-recommends no-such-tool"
    assert (tmp_path / "calls").read_text().splitlines() == [install, "apt-get update -qq", install]
    command.install([fake])
    assert (tmp_path / "calls").read_text().splitlines()[3:] == [install]
    program(tmp_path, "apt-get", "echo no network", "exit 100")
    monkeypatch.setitem(CHECKS, "fake", fake)
    assert command.main(["fake"]) == 1
    assert capsys.readouterr().err == (
        f"cannot install no-such-tool (Debian): env DEBIAN_FRONTEND=noninteractive {install}\nno network\n"
        "apt-get update -qq\nno network\n"
    )


@pytest.mark.long
def test_the_exit_code_is_0_only_if_tests_ran_and_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTEST_DEBUG_TEMPROOT", str(tmp_path))  # not the folder of the run around it
    path = tmp_path / "test_some.py"
    path.write_text(
        "import os, pytest\n"
        "def test_passes(): assert os.environ['FTSQL_TOOLS'] == '1'\n"
        "def test_fails(): assert 0\n"
        "def test_skips(): pytest.skip('no tool')\n"
    )
    assert command.run([f"{path}::test_passes"]) == 0
    assert command.run([f"{path}::test_fails"]) == 1
    assert command.run([f"{path}::test_passes", f"{path}::test_skips"]) == 1
    assert "1 skipped: a test that needs a program must not skip here" in capfd.readouterr().err
    assert command.run([f"{path}::test_gone"]) == 4
    path.write_text("")
    assert command.run([str(path)]) == 5
