"""Tests with programs of others: ``python -m tests.tools NAME...`` installs what they need and runs them.

Without a name it lists the checks. A program that is missing is a failure, never a skipped test.
"""

from __future__ import annotations

import argparse
import difflib
import glob
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree

from tests.tools.checks import CHECKS, REQUIREMENTS, ROOT, SIGNS, WHOLE, Check

NODE = Path(sys.prefix) / "node"  # where npm installs: it goes away with the venv
ALL = "all"


class Missing(Exception):
    """Something cannot be installed; the text says what, how it was tried, and what that printed."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools", description="Tests with programs of others.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"a check, or {ALL}; without a name they are listed")
    names = parser.parse_args(arguments).names
    for name in names:
        if name not in CHECKS and name != ALL:
            parser.error(f"there is no check {name!r}{_meant(name)} (python -m tests.tools lists all)")
    if not names:
        print(listed())
        return 0
    checks = list(CHECKS.values()) if ALL in names else [CHECKS[name] for name in names]
    try:
        install(checks)
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 1
    return run(WHOLE if ALL in names else selected(checks))


def _meant(name: str) -> str:
    return "".join(f": did you mean {close}?" for close in difflib.get_close_matches(name, [*CHECKS, ALL], 1))


def listed() -> str:
    """Return a line for each check: its name, what it drives, and what it needs."""
    width = max(map(len, CHECKS))
    return "\n".join(f"{name:{width}}  {check.drives}; needs {_needs(check)}" for name, check in CHECKS.items())


def _needs(check: Check) -> str:
    kinds = (("Debian", check.debian), ("PyPI", check.pypi), ("npm", check.npm))
    return ", ".join(f"{kind}: {' '.join(packages)}" for kind, packages in kinds if packages)


def selected(checks: Iterable[Check]) -> list[str]:
    """Return the tests of ``checks`` for pytest, each once."""
    tests = dict.fromkeys(test for check in checks for test in check.tests)
    return [test for test in tests if not any(test.startswith(f"{other}{end}") for other in tests for end in "/:[")]


def install(checks: Sequence[Check]) -> None:
    """Install what ``checks`` need and what is not there. Raises Missing."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    npm = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(NODE)]
    debian = {name for check in checks for name in check.debian if not is_there(SIGNS[name])}
    pypi = {REQUIREMENTS[name] for check in checks for name in check.pypi}  # pip finds out which are there
    node = {name for check in checks for name in check.npm if not (NODE / "node_modules" / name).exists()}
    _each("Debian", sorted(debian), _apt_get)
    _each("PyPI", sorted(pypi), lambda names: _ran([*pip, *names]))
    _each("npm", sorted(node), lambda names: _ran([*npm, *names]))


def is_there(sign: str) -> bool:
    """Whether a program, or a file of that pattern, is on this machine."""
    return bool(glob.glob(sign)) if sign.startswith("/") else shutil.which(sign) is not None


def _each(kind: str, names: Sequence[str], installs: Callable[[Sequence[str]], str]) -> None:
    """Install all packages, and where that fails each alone, to know which. Raises Missing with those that fail."""
    if not names or not (said := installs(names)):
        return
    tried = {names[0]: said} if len(names) == 1 else {name: installs([name]) for name in names}
    if failed := [f"cannot install {name} ({kind}): {said}" for name, said in tried.items() if said]:
        raise Missing("\n".join(failed))


def _apt_get(names: Sequence[str]) -> str:
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    command = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-qq", "-y"]
    command += ["--no-install-recommends", *names]
    if failed := _ran(command):  # perhaps the lists of packages are missing, or old
        updated = _ran([*as_root, "apt-get", "update", "-qq"])
        return f"{failed}\n{updated}" if updated else _ran(command)
    return ""


def _ran(command: Sequence[str]) -> str:
    """Run a command. Return "", or if it fails the command and what it printed."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    except OSError as error:
        return f"{shlex.join(command)}\n{error}"
    return f"{shlex.join(command)}\n{done.stdout.strip()}" if done.returncode else ""


def run(tests: Sequence[str]) -> int:
    """Run tests and return the exit code: 0 if there were some, all passed, and none was skipped."""
    node_path = os.pathsep.join(filter(None, [os.environ.get("NODE_PATH"), str(NODE / "node_modules")]))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        # -P: ftsql is the installed one, as for the command pytest.
        command = [sys.executable, "-P", "-m", "pytest", "-q", "-m", "", f"--junitxml={report}", *tests]
        environment = {**os.environ, "FTSQL_TOOLS": "1", "NODE_PATH": node_path}
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
        if done.returncode:
            return done.returncode
        skipped = sum(int(suite.get("skipped", 0)) for suite in ElementTree.parse(report).iter("testsuite"))
    if skipped:
        print(f"{skipped} skipped: a test that needs a program must not skip here", file=sys.stderr)
    return 1 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
