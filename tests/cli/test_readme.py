"""README.md is true: its console blocks are run and their output compared, its Python block too. It stays short."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents import (
    ROOT,
    Block,
    absent,
    blocks,
    commands,
    matches,
    missing,
    names_of_a_reader,
    prints,
    shown,
)

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
CONSOLE = [block for block in blocks(TEXT) if block.language == "console"]
PYTHON = [block.text for block in blocks(TEXT) if block.language == "python"]
LINES = 250  # the rest is in the guide's pages
SCREEN = 40


def test_it_has_at_most_250_lines() -> None:
    assert len(TEXT.splitlines()) <= LINES


def test_the_first_screen_has_a_command_with_its_output() -> None:
    first = "".join(TEXT.splitlines(keepends=True)[:SCREEN])
    assert any(block.language == "console" and block.text.count("\n") > 1 for block in blocks(first))


@pytest.mark.parametrize("block", CONSOLE, ids=[block.text[2:72] for block in CONSOLE])
@pytest.mark.long
def test_a_console_block_prints_what_the_readme_shows(tmp_path: Path, block: Block) -> None:
    for command, output in commands(block):
        if name := missing(command):
            absent(f"there is no {name}")
        printed = shown(command, tmp_path)
        assert matches(output, printed), printed  # … matches parts that vary


@pytest.mark.parametrize("block", PYTHON, ids=[block.partition("\n")[0] for block in PYTHON])
def test_a_python_block_runs(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    prints(block, names_of_a_reader(tmp_path), "README.md", capsys)
