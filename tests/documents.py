"""Markdown that is run: its fenced blocks, and what a console block prints for a reader.

``python -m tests.documents`` writes the outputs into README.md and the guide's pages, except those that contain "…".
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

import ftsql
from ftsql.cli.documents import all_topics

ROOT = Path(__file__).parent.parent
PACKAGE = Path(ftsql.__file__).parent  # as it is installed, which need not be the checkout's
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PROGRAMS = {"ftsql", "sqlite3", "isql", "echo"}  # what a console block may run
REQUIRED = os.environ.get("FTSQL_TOOLS") == "1"  # read before a fixture takes FTSQL_… away


@dataclass(frozen=True)
class Block:
    """A fenced block: its language and its text."""

    language: str
    text: str


def blocks(text: str) -> list[Block]:
    return [Block(*match) for match in FENCED.findall(text)]


def commands(block: Block) -> list[tuple[str, str]]:
    """Each command of a console block with its output."""
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert parts[0] == "", "a console block begins with a command"
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in parts[1:]]


def programs(command: str) -> list[str]:
    """The programs of a pipeline, without the variables that stand before one."""
    bare = re.sub(r"'[^']*'|\"(?:\\.|[^\"\\])*\"", "…", command)
    words = [part.split() for part in re.split(r"\||&&|;", bare)]
    return [next(word for word in part if not re.match(r"[A-Z_]+=", word)) for part in words]


def missing(command: str) -> str | None:
    """A program of ``command`` that is not on this machine."""
    return next((name for name in programs(command) if name != "ftsql" and shutil.which(name) is None), None)


def shown(command: str, folder: Path, variables: Mapping[str, str] | None = None) -> str:
    """stdout and stderr of a command, as a reader sees them."""
    assert set(programs(command)) <= PROGRAMS, command
    inside = folder / ".programs"
    inside.mkdir(exist_ok=True)
    program = inside / "ftsql"
    if not program.exists():
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ftsql "$@"\n')
        program.chmod(0o755)
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # as a reader has it
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, timeout=120,
        env={**plain, **(variables or {}), "PATH": f"{inside}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout  # 1 with an error, which the text has to show
    return done.stdout


def matches(expected: str, output: str) -> bool:
    """Whether a command printed what stands in the text, where … is anything."""
    pattern = ".*?".join(re.escape(part) for part in expected.split("…"))
    return re.fullmatch(pattern, output, re.DOTALL) is not None


# What each Python block of README and of the page ``python`` prints: how many lines, and how the last one begins.
PRINTED = {
    "import ftsql": (4, "ftjob-"),
    "import apsw": (1, "3"),
    "import pandas": (1, "ftjob-"),
    "from ftsql import dbapi": (1, "ftjob-"),
}


def names_of_a_reader(folder: Path) -> dict[str, Any]:
    """The names that Python blocks take for granted: ``experiments.db`` with its table, a model and a file."""
    db = ftsql.connect(folder / "experiments.db", sandbox=True)
    model, file = db.execute("SELECT model, training_file FROM fine_tuning_jobs LIMIT 1").fetchall()[0]
    db.execute("CREATE TABLE mine AS SELECT id AS job FROM fine_tuning_jobs LIMIT 3")
    db.close()
    return {"model": model, "file": file}


def prints(block: str, names: dict[str, Any], name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a Python block that is in PRINTED, and check what it prints."""
    names = dict(names)
    exec(compile(block, name, "exec"), names)
    if "engine" in names:
        names["engine"].dispose()
    lines = capsys.readouterr().out.splitlines()
    count, start = PRINTED[block.partition("\n")[0]]
    assert len(lines) == count
    assert lines[-1].startswith(start)


def needed(module: str) -> None:
    """Skip the test where ``module`` cannot be imported; fail it under FTSQL_TOOLS=1."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        absent(f"{module} is not installed: {error}")


def absent(reason: str) -> NoReturn:
    """A tool is missing: skip the test, or fail it under FTSQL_TOOLS=1."""
    if REQUIRED:
        pytest.fail(reason)
    pytest.skip(reason)


@contextlib.contextmanager
def notebook(folder: Path) -> Iterator[Any]:
    """IPython's shell as a notebook has it, without a history, which it would write after the folder is gone."""
    for module in ("IPython", "sql"):
        needed(module)
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    before = os.environ.get("IPYTHONDIR")
    os.environ["IPYTHONDIR"] = str(folder)
    os.environ.pop("VIRTUAL_ENV", None)  # of whoever runs the tests: IPython warns of another one than its own
    try:
        yield InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    finally:
        InteractiveShell.clear_instance()
        os.environ.pop("IPYTHONDIR")
        if before is not None:
            os.environ["IPYTHONDIR"] = before


def _written(text: str, folder: Path) -> str:
    """``text`` with the outputs that its console blocks have now."""
    for block in blocks(text):
        for command, output in commands(block) if block.language == "console" else ():
            printed = shown(command, folder) if missing(command) is None else output
            if "…" not in output:
                text = text.replace(f"$ {command}\n{output}", f"$ {command}\n{printed}")
    return text


if __name__ == "__main__":
    os.environ.pop("OPENAI_API_KEY", None)
    for path in [ROOT / "README.md", *(PACKAGE / "guide" / f"{page.name}.md" for page in all_topics())]:
        if len(sys.argv) == 1 or path.stem in sys.argv[1:]:
            with tempfile.TemporaryDirectory() as name:
                path.write_text(_written(path.read_text("utf-8"), Path(name)), "utf-8")
