"""What ftsql is measured by alone: memory and time a row by the length of the list, and the start of the command."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.contenders import ROOT
from tests.bench.server import serving

BARE = "import apsw, httpx, pydantic"


@dataclass(frozen=True)
class Length:
    """One list read whole, row by row, all columns: cold, then again. ``peak``: bytes of the whole process."""

    jobs: int
    seconds: float
    again: float
    peak: int


READ = """
import sys, time
from pathlib import Path
import ftsql
from tests.bench.asked import resident
from tests.bench.questions import COLUMNS
db = ftsql.connect(providers="openai", store=Path(sys.argv[1]) / "store.db", max_requests=20_000)
for _ in range(2):
    began = time.perf_counter()
    count = sum(1 for row in db.execute(f"SELECT {COLUMNS} FROM fine_tuning_jobs"))
    print(count, time.perf_counter() - began, resident())
db.close()
"""


def length(jobs: int) -> Length:
    """Read a list of so many jobs in a process of its own, with the store in a file."""
    with serving(jobs - 12, 12, 0.0) as server, tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "OPENAI_API_KEY": "any", "OPENAI_BASE_URL": server.base_url}
        command = [sys.executable, "-c", READ, folder]
        told = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    (count, cold, _), (_, again, peak) = [line.split() for line in told.splitlines()]
    assert int(count) == jobs
    return Length(jobs, float(cold), float(again), int(peak))


def table(read: Sequence[Length]) -> str:
    """As Markdown."""
    lines = ["| jobs | cold, µs a row | warm, µs a row | peak MB of the process |", "|--:|--:|--:|--:|"]
    for one in read:
        cold, warm = one.seconds / one.jobs * 1e6, one.again / one.jobs * 1e6
        lines.append(f"| {one.jobs:,} | {cold:.1f} | {warm:.1f} | {one.peak / 1e6:.0f} |")
    return "\n".join(lines)


def start(repeat: int) -> tuple[float, float]:
    """Seconds of `ftsql "SELECT 1"` and of importing its three packages; medians, in turn, from bytecode."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    commands = {"ftsql": [sys.executable, "-m", "ftsql", "SELECT 1"], "bare": [sys.executable, "-c", BARE]}
    taken: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as home:
        environment |= {"HOME": home, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home}
        for number in range(repeat + 1):
            for name, command in commands.items():
                began = time.perf_counter()
                subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
                if number:  # the first one writes the bytecode
                    taken[name].append(time.perf_counter() - began)
    return median(taken["ftsql"]), median(taken["bare"])
