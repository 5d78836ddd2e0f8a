"""What a process of a campaign is told to do, on its stdin; it says on stdout what came of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.campaign.victim import ROOT


@dataclass
class Order:
    """What every such process must know."""

    name: str
    seed: int
    folder: str
    store: str
    logs: list[str]  # of all processes
    variables: dict[str, str]
    standing: dict[str, Any]

    @property
    def log(self) -> Path:
        return Path(self.folder) / f"{self.name}.log"


def started(module: str, order: Order) -> subprocess.Popen[str]:
    """A process that runs ``module`` of this package on ``order``."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"tests.campaign.{module}"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(order)))
    process.stdin.close()
    process.stdin = None
    return process
