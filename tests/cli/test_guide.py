"""``ftsql guide`` and its pages: all examples that can run here are run, on the sandbox and on a snapshot of it."""

from __future__ import annotations

import configparser
import dataclasses
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql.api.provider import VARIABLE, Provider
from ftsql.cli.documents import Topic, all_topics
from ftsql.cli.main import WITH_OPTIONS, _parser
from ftsql.sandbox import Sandbox
from tests.cli.test_shell import run
from tests.conftest import CANARY
from tests.documents import (
    FENCED,
    PACKAGE,
    ROOT,
    Block,
    absent,
    blocks,
    commands,
    matches,
    missing,
    names_of_a_reader,
    needed,
    notebook,
    prints,
    shown,
)

PAGES = {page.name: page for page in all_topics()}
BUILT_IN: dict[str, Any] = tomllib.loads((PACKAGE / "data" / "providers.toml").read_text("utf-8"))
# The pages about ftsql alone; the others say which tools and providers were not run.
OWN = {
    "costs", "events", "measured", "providers", "python", "sandbox", "settings", "shell", "snapshot", "sql", "stackql",
    "times", "writes",
}  # fmt: skip
LINES = 200
SHELL = {
    "pip", "sqlite3", "apt-get", "export", "ftsql", "datasette", "grafana-cli", "systemctl", "journalctl", "psql",
}  # fmt: skip
DATA = {"yaml", "cron", "bat"}  # read by other programs alone
IN_THE_GUIDE = "/srv/ftsql/jobs.db"
NOT_RUN = re.compile(r"Not\s+run\s+by\s+us:")


def of(*languages: str) -> list[Any]:
    """Return the pages with blocks of a language as test parameters."""
    found = [page for page in PAGES.values() if any(block.language in languages for block in blocks(page.text))]
    return [pytest.param(page, id=page.name) for page in found]


@pytest.fixture(scope="module")
def still() -> Iterator[dict[str, str]]:
    """Return the URL of a sandbox whose jobs do not progress, and a key, as environment variables."""
    with Sandbox(jobs=250, speed=0) as sandbox:
        yield {"OPENAI_BASE_URL": sandbox.base_url("openai"), "OPENAI_API_KEY": CANARY}


@pytest.fixture(scope="module")
def snapshot(still: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a snapshot of that sandbox."""
    path = tmp_path_factory.mktemp("guide") / "jobs.db"
    variables = {**os.environ, **still, "FTSQL_STORE": ":memory:"}
    done = run("sync", str(path), "--tables", "jobs", environment=variables)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def live(still: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[ftsql.Connection]:
    for name, value in still.items():
        monkeypatch.setenv(name, value)
    db = ftsql.connect(providers="openai")
    yield db
    db.close()


def test_guide_lists_every_page_with_its_first_line() -> None:
    done = run("guide")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == sorted(PAGES)
    assert [line.split(maxsplit=1)[1] for line in lines] == [PAGES[name].title for name in sorted(PAGES)]


def test_a_page_is_printed_as_it_is_and_a_name_may_be_in_capitals() -> None:
    done = run("guide", "Superset")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (PACKAGE / "guide" / "superset.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["guide", "looker"], 1, f"no guide to 'looker'; there are: {', '.join(PAGES)}"),
        (["guide", "superset", "metabase"], 2, "use: ftsql guide, or ftsql guide TOPIC"),
    ],
)
def test_an_unknown_topic_lists_all_topics(words: list[str], code: int, message: str) -> None:
    done = run(*words)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr


@pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))
def test_a_page_is_short_names_untested_parts_and_is_linked_in_the_readme(page: Topic) -> None:
    lines = page.text.splitlines()
    assert lines[0] == f"# {page.title}"
    assert len(lines) <= LINES
    fenced = FENCED.sub("", page.text).splitlines()
    assert [line for line in fenced if len(line) > 122 and not line.startswith("|")] == []
    assert page.name in OWN or NOT_RUN.search(page.text)
    assert f"(ftsql/guide/{page.name}.md)" in (ROOT / "README.md").read_text("utf-8")
    assert set(re.findall(r"`ftsql guide ([\w-]+)`", page.text)) <= set(PAGES)
    known = {"console", "sh", "python", "ipython", "sql", "ini", "json", "toml", *DATA}
    assert {block.language for block in blocks(page.text)} <= known


@pytest.mark.parametrize("page", of("console"))
@pytest.mark.long
def test_a_console_block_prints_what_the_page_shows(page: Topic, tmp_path: Path, snapshot: Path) -> None:
    for block in blocks(page.text):
        if block.language == "ini":
            text = block.text.replace(IN_THE_GUIDE, str(tmp_path / "jobs.db"))
            (tmp_path / "odbc.ini").write_text(text)
            shutil.copy(snapshot, tmp_path)
        for command, output in commands(block) if block.language == "console" else ():
            if name := missing(command):
                absent(f"there is no {name}")
            printed = shown(command, tmp_path, {"ODBCINI": str(tmp_path / "odbc.ini")})
            assert matches(output, printed), printed


@pytest.mark.parametrize("page", of("sh"))
def test_a_sh_block_is_shell_and_its_ftsql_takes_these_options(page: Topic) -> None:
    for block in blocks(page.text):
        if block.language != "sh":
            continue
        assert subprocess.run(["bash", "-n", "-c", block.text], check=False).returncode == 0
        for line in block.text.splitlines():
            words = line.split()
            assert words[0] in SHELL, line
            if words[0] == "ftsql" and words[1] not in WITH_OPTIONS:
                bare = re.sub(r'"[^"]*"', "SQL", line).partition(">")[0]
                _parser().parse_intermixed_args(bare.split()[1:])


WRITES = re.compile(r"^(INSERT|DELETE|UPDATE)\b", re.MULTILINE)


@pytest.mark.parametrize("page", of("sql"))
def test_sql_that_writes_runs_on_a_sandbox_of_its_own(page: Topic) -> None:
    for block in blocks(page.text):
        if block.language == "sql" and WRITES.search(block.text):
            db = ftsql.connect(sandbox=True, max_writes=1000)
            rows = db.execute(block.text.replace("-1 year", "-1 day")).fetchall()  # the sandbox's files are younger
            assert rows or db.ftsql.take_created()
            db.close()


@pytest.mark.parametrize("page", of("sql"))
def test_sql_gives_the_same_rows_live_and_on_a_snapshot(page: Topic, snapshot: Path, live: ftsql.Connection) -> None:
    db = apsw.Connection(str(snapshot))
    for block in blocks(page.text):
        if block.language != "sql" or WRITES.search(block.text):
            continue
        sql = block.text.replace("$__from", "0").replace("$__to", "9999999999999")
        rows = db.execute(sql).fetchall()
        assert rows
        if "sync_state" not in sql:
            assert sorted(rows, key=repr) == sorted(live.execute(sql).fetchall(), key=repr)
    db.close()


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "block", [block.text for block in blocks(PAGES["python"].text) if block.language == "python"],
    ids=lambda block: str(block).partition("\n")[0],
)  # fmt: skip
def test_a_block_of_the_page_python_prints_what_it_should(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "import pandas" in block:
        needed("pandas")
    monkeypatch.chdir(tmp_path)
    prints(block, names_of_a_reader(tmp_path), "python.md", capsys)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", [page for page in of("python") if page.id != "python"])
def test_python_blocks_run_one_after_the_other(
    page: Topic, tmp_path: Path, snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(block.text for block in blocks(page.text) if block.language == "python")
    for module in re.findall(r"^import (\w+)|^from (\w+)", text, re.MULTILINE):
        needed("".join(module))
    if "import duckdb" in text:
        needed("duckdb_extensions")
        import duckdb_extensions

        (tmp_path / "home").mkdir()
        duckdb_extensions.import_extension("sqlite_scanner")  # otherwise INSTALL would use the network
    shutil.copy(snapshot, tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(compile(text, f"{page.name}.md", "exec"), {})


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", of("ipython"))
def test_cells_run_one_after_the_other(page: Topic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed("pandas")
    monkeypatch.chdir(tmp_path)
    with notebook(tmp_path) as shell:
        for block in blocks(page.text):
            if block.language == "ipython":
                shell.run_cell(block.text).raise_error()
        assert shell.user_ns["frame"].shape == (250, 13)
        shell.run_cell("%sql --close jobs").raise_error()


@pytest.mark.parametrize("page", of("ini", "json", "toml", "cron"))
def test_files_for_other_programs_are_valid(page: Topic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for block in blocks(page.text):
        match block.language:
            case "json":
                assert json.loads(block.text)
            case "cron":
                *times, command = block.text.split(maxsplit=5)
                assert len(times) == 5
                assert "ftsql sync" in command
            case "toml":
                _is_a_provider(block, tmp_path, monkeypatch)
            case "ini":
                parsed = configparser.ConfigParser(interpolation=None)
                parsed.optionxform = str  # type: ignore[assignment,method-assign]
                parsed.read_string(block.text)
                if "Service" in parsed:
                    _is_a_unit(block, parsed["Service"]["ExecStart"], tmp_path)


def _is_a_provider(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "providers.toml"
    path.write_text(block.text)
    (name,) = tomllib.loads(block.text)
    for variable in ("LAB_KEY", "LITELLM_API_KEY", "SECOND_KEY"):
        monkeypatch.setenv(variable, "k" * 20)
    monkeypatch.setenv("LITELLM_BASE_URL", "http://127.0.0.1:4000/v1")
    db = ftsql.connect(config=path)
    assert db.execute("SELECT active FROM ftsql_providers WHERE provider = ?", (name,)).get == 1
    db.close()


def _is_a_unit(block: Block, start: str, tmp_path: Path) -> None:
    program, *words = start.split()
    assert _parser().parse_intermixed_args(words).every == 60
    if shutil.which("systemd-analyze") is None:
        return
    unit = tmp_path / "ftsql-sync.service"
    unit.write_text(block.text.replace(program, "/bin/true").replace("User=ftsql\n", "User=root\n"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ftsql-sync.service" not in done.stderr, done.stderr


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_providers_page_has_its_variables_its_address_and_what_it_lacks(name: str) -> None:
    entry = BUILT_IN[name]
    text = PAGES[name.partition("_")[0]].text
    assert f"`{name}`" in text
    for variable, default in VARIABLE.findall(str(entry)):
        assert variable in text
        assert default in text
    for lack in set(entry.get("without", [])):
        assert lack in text
    longest = entry.get("create_fields", {}).get("suffix") or {}
    assert "azure" not in name or not longest or str(longest["max_length"]) in text


def test_the_settings_page_has_each_setting_with_its_argument_and_its_default() -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGES["settings"].text.splitlines()]
    shown_defaults = {row[0].strip("`"): (row[1].strip("`"), row[3]) for row in rows if len(row) == 5}
    for field in dataclasses.fields(ftsql.Settings):
        argument, default = shown_defaults[f"FTSQL_{field.name.upper()}"]
        assert argument == field.name
        match field.default:
            case None:
                assert default == "none"
            case bool():
                assert default == ("on" if field.default else "off")
            case str():
                assert default == f"`{field.default}`"
            case _:
                assert float(default.split()[0]) == field.default
    assert len(shown_defaults) == len(dataclasses.fields(ftsql.Settings)) + 2  # the table's head and its line


def test_the_settings_page_has_each_word_of_a_provider_entry() -> None:
    words = {field.name for field in dataclasses.fields(Provider)} - {"name", "home"}
    assert words <= set(re.findall(r"`(\w+)`", PAGES["settings"].text))


def test_every_variable_that_a_page_names_is_on_the_settings_page() -> None:
    known = set(re.findall(r"`(FTSQL_[A-Z_]+)`", PAGES["settings"].text))
    for text in [(ROOT / "README.md").read_text("utf-8"), *(page.text for page in PAGES.values())]:
        assert set(re.findall(r"\bFTSQL_[A-Z_]+\b", text)) <= known


def test_the_provider_entry_of_the_settings_page_works(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = [block.text for block in blocks(PAGES["settings"].text) if block.language == "toml"]
    path = tmp_path / "providers.toml"
    path.write_text(block.replace("https://llm.example.com/v1", sandbox.base_url("openai")))
    monkeypatch.setenv("SECOND_KEY", "k" * 20)
    db = ftsql.connect(config=path)
    assert db.execute("SELECT active FROM ftsql_providers WHERE provider = 'second'").fetchall() == [(1,)]
    assert db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall() == [(0,)]
    db.close()


@pytest.mark.long
def test_the_commands_of_the_page_measured_exist() -> None:
    text = PAGES["measured"].text + PAGES["writes"].text
    for module in set(re.findall(r"`python -m (tests\.\w+)", text)):
        assert importlib.util.find_spec(module) is not None, module
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaign", "--help"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    (listed,) = re.findall(r"\{([\w,]+)\}", done.stdout.split("\n\n")[0].replace("\n", ""))
    names = [name for line in text.splitlines() if line.startswith("| `") for name in line.split("|")[1].split(",")]
    campaigns = {name.strip().strip("`").split()[0] for name in names} & set(listed.split(","))
    assert campaigns == set(listed.split(","))
