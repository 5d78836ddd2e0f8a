"""README.md is true: its console blocks are run and their output compared, its Python block too."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import ftsql
from ftsql.sandbox import Sandbox
from ftsql.settings import Settings

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
CONSOLE = re.findall(r"```console\n\$ (.*?)\n(.*?)```", TEXT, re.DOTALL)


def shown(command: str, folder: Path) -> str:
    """stdout and stderr of a README command, as a reader sees them."""
    program, *arguments = shlex.split(command)
    assert program == "ftsql"
    done = subprocess.run(
        [sys.executable, "-m", "ftsql", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize(("command", "output"), CONSOLE, ids=[command[:70] for command, _ in CONSOLE])
def test_a_console_block_prints_what_the_readme_shows(tmp_path: Path, command: str, output: str) -> None:
    pattern = ".*?".join(re.escape(part) for part in output.split("…"))  # … stands for what varies
    assert re.fullmatch(pattern, shown(command, tmp_path), re.DOTALL)


def test_the_python_block_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    db = ftsql.connect("experiments.db", sandbox=True)
    model, file = db.execute("SELECT model, training_file FROM fine_tuning_jobs LIMIT 1").fetchall()[0]
    db.execute("CREATE TABLE mine AS SELECT id AS job FROM fine_tuning_jobs LIMIT 3")
    db.close()
    exec(compile(block, "README.md", "exec"), {"model": model, "file": file})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[-1].startswith("ftjob-")


def test_the_settings_that_the_readme_names_exist() -> None:
    names = set(re.findall(r"`FTSQL_([A-Z_]+)`", TEXT)) - {"CONFIG", "PROVIDERS", "STORE"}
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
    for command, output in CONSOLE:
        if "…" in output:
            continue
        text = text.replace(
            f"```console\n$ {command}\n{output}```", f"```console\n$ {command}\n{shown(command, folder)}```"
        )
    README.write_text(text, encoding="utf-8")
