"""The contenders, each in a process of its own, so that none carries what another one imports.

Shillelagh's runs in this Python where it is installed, else in a venv made for the run.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import venv
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from tests.bench.asked import Asked
from tests.bench.server import Server

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Entry:
    """Who is in the table: ``module`` answers, in its ``way``; ``slow`` ones are left out of the largest lists."""

    name: str
    module: str
    way: str = ""
    only: str = ""  # the one shape that it answers
    events: bool = False  # whether it answers questions about events too
    slow: bool = False


FLOOR, HTTPX, OPENAI = "http.client + json.loads", "httpx + json.loads", "openai-python"
MODULE, TABLE, SNAPSHOT = "apsw.ext.make_virtual_module", "a plain table", "the snapshot"
COLD, WARM, YOUNG = "**ftsql, cold**", "**ftsql, warm**", "**ftsql, warm, max_age**"
KEPT = "**ftsql, cold**, until all is kept"
SHILLELAGH = "Shillelagh"

ENTRIES = [
    Entry(FLOOR, "floor_jobs", events=True),
    Entry(HTTPX, "httpx_jobs", events=True),
    Entry(OPENAI, "openai_jobs", slow=True, events=True),
    Entry(f"{OPENAI}, 8 threads", "openai_jobs", "8 threads", only="ids", slow=True),
    Entry(SHILLELAGH, "shillelagh_jobs", slow=True),
    Entry(COLD, "ftsql_jobs", events=True),
    Entry(KEPT, "ftsql_jobs", "kept", only="list"),
    Entry(WARM, "ftsql_jobs", "warm"),
    Entry(YOUNG, "ftsql_jobs", "max_age"),
    Entry(SNAPSHOT, "local_jobs", "snapshot"),
    Entry(MODULE, "local_jobs", "module"),
    Entry(TABLE, "local_jobs", "table"),
]


@dataclass(frozen=True)
class Answered:
    """One answer: its first column, sorted; ``peak``: bytes of memory above what was there before, 0 if unknown;
    and what the server counted.
    """

    seconds: float
    peak: int
    found: list[str]
    requests: int
    bytes: int


class Contender:
    """A process that runs ``module``."""

    def __init__(self, module: str, python: str = sys.executable) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [python, "-m", f"tests.bench.{module}"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Contender:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._process.communicate()

    def wait(self) -> None:
        """Until it has started, so that what it loads takes no time of another's."""
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def ask(self, asked: Asked, server: Server) -> Answered:
        """What it answers. Raises SystemExit where it does not."""
        ready = self._said(json.dumps(asdict(asked)))
        server.counted()
        line = ready and self._said("go")
        if not line:
            raise SystemExit(f"{self._module} ended without an answer to {asked.way} {asked.sql[:80]}")
        seconds, peak, found = json.loads(line)
        return Answered(seconds, peak, found, *server.counted())

    def _said(self, word: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(word, file=self._process.stdin, flush=True)
        return self._process.stdout.readline()


def python_with_shillelagh(folder: str) -> tuple[str, str]:
    """A Python that has it, in ``folder`` if need be; or why there is none."""
    if importlib.util.find_spec("shillelagh"):
        return sys.executable, ""
    venv.create(folder, with_pip=True)
    python = str(Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    done = subprocess.run([python, "-m", "pip", "install", "-q", "shillelagh"], capture_output=True, text=True)
    return python, (done.stderr.strip().splitlines() or ["pip failed"])[-1] if done.returncode else ""


def versions(python: str) -> str:
    """The versions of ftsql's peers, of SQLite's binding and of Python; ``python`` has Shillelagh, if it is given."""
    names = ["httpx", "openai", "apsw", "msgspec", "pydantic"]
    found = [f"{name} {importlib.metadata.version(name)}" for name in names if importlib.util.find_spec(name)]
    if python:
        show = "import importlib.metadata as m; print(m.version('shillelagh'))"
        told = subprocess.run([python, "-c", show], capture_output=True, text=True, check=False).stdout.strip()
        found.append(f"shillelagh {told}")
    return ", ".join([f"Python {sys.version.split()[0]}", *found])
