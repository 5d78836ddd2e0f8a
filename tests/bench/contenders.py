"""The contenders, each in a process of its own, so that none carries what another one imports.

Shillelagh's runs in this Python where it is installed, else in a venv made for the run.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import venv
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from tests.bench.asked import Asked

ROOT = Path(__file__).parent.parent.parent


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

    def ask(self, asked: Asked) -> tuple[float, list[str]]:
        """How many seconds it took, and its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(asdict(asked)), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._module} ended without an answer to {asked.way or asked.sql[:80]}")
        seconds, found = json.loads(line)
        return seconds, found


def python_with_shillelagh(folder: str) -> tuple[str, str]:
    """A Python that has it, in ``folder`` if need be; or why there is none."""
    if importlib.util.find_spec("shillelagh"):
        return sys.executable, ""
    venv.create(folder, with_pip=True)
    python = str(Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    done = subprocess.run([python, "-m", "pip", "install", "-q", "shillelagh"], capture_output=True, text=True)
    return python, (done.stderr.strip().splitlines() or ["pip failed"])[-1] if done.returncode else ""
