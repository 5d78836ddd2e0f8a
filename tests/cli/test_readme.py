"""README.md is true: its console and Python blocks are run, and their output is compared."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import ftsql
from ftsql.sandbox import Sandbox
from ftsql.settings import Settings
from tests.documents import ROOT, Block, absent, blocks, commands, matches, missing, needed, shown

README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
CONSOLE = [block for block in blocks(TEXT) if block.language == "console"]
PYTHON = [block.text for block in blocks(TEXT) if block.language == "python"]


@pytest.mark.parametrize("block", CONSOLE, ids=[block.text[2:72] for block in CONSOLE])
def test_a_console_block_prints_what_the_readme_shows(tmp_path: Path, block: Block) -> None:
    for command, output in commands(block):
        if name := missing(command):
            absent(f"there is no {name}")
        printed = shown(command, tmp_path)
        assert matches(output, printed), printed  # … matches parts that vary


# The output of each Python block: the number of lines, and the start of the last one.
PRINTED = {
    "import ftsql\n": (4, "ftjob-"),
    "import pandas\n": (1, "ftjob-"),
    "from ftsql import dbapi\n": (1, "ftjob-"),
}


@pytest.mark.parametrize("block", PYTHON, ids=[block.partition("\n")[0] for block in PYTHON])
def test_a_python_block_runs(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "import pandas" in block:
        needed("pandas")
    monkeypatch.chdir(tmp_path)
    db = ftsql.connect("experiments.db", sandbox=True)
    model, file = db.execute("SELECT model, training_file FROM fine_tuning_jobs LIMIT 1").fetchall()[0]
    db.execute("CREATE TABLE mine AS SELECT id AS job FROM fine_tuning_jobs LIMIT 3")
    db.close()
    names: dict[str, Any] = {"model": model, "file": file}
    exec(compile(block, "README.md", "exec"), names)
    if "engine" in names:
        names["engine"].dispose()
    lines = capsys.readouterr().out.splitlines()
    count, start = PRINTED[block[: block.index("\n") + 1]]
    assert len(lines) == count
    assert lines[-1].startswith(start)


def test_the_settings_that_the_readme_names_exist() -> None:
    names = set(re.findall(r"`FTSQL_([A-Z_]+)`", TEXT)) - {"CONFIG", "PROVIDERS", "SERVE_PASSWORD", "STORE"}
    assert names
    assert names <= {name.upper() for name in Settings.__slots__}


def test_the_provider_entry_works(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    path = tmp_path / "providers.toml"
    path.write_text(block.replace("https://llm.example.com/v1", sandbox.base_url("openai")))
    monkeypatch.setenv("SECOND_KEY", "k" * 20)
    db = ftsql.connect(config=path)
    assert db.execute("SELECT active FROM ftsql_providers WHERE provider = 'second'").fetchall() == [(1,)]
    assert db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall() == [(0,)]
    db.close()


if __name__ == "__main__":  # write the outputs into the README
    os.environ.pop("OPENAI_API_KEY", None)
    folder = Path(sys.argv[1])
    text = TEXT
    for block in CONSOLE:
        for command, output in commands(block):
            if "…" not in output:
                text = text.replace(f"$ {command}\n{output}", f"$ {command}\n{shown(command, folder)}")
    README.write_text(text, encoding="utf-8")
