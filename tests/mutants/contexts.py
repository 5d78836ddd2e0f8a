"""A pytest plugin that notes which test comes to which line of ftsql, and how long each takes.

``MUTANTS_MAP`` names the folder for what it notes: a file of coverage's, and the seconds as JSON, for each process.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

FOLDER = Path(os.environ["MUTANTS_MAP"])
NAME = os.environ.get("PYTEST_XDIST_WORKER", "alone")
PACKAGE = Path(__file__).parents[2] / "ftsql"
_seconds: dict[str, float] = {}
_coverage = coverage.Coverage(
    data_file=str(FOLDER / f"coverage.{NAME}"), source=[str(PACKAGE)], config_file=False, messages=False
)
_coverage.set_option("run:relative_files", True)  # the map fits every copy of the project
_coverage.start()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    began = time.monotonic()
    _coverage.switch_context(item.nodeid)
    yield
    _coverage.switch_context("")
    _seconds[item.nodeid] = time.monotonic() - began


def pytest_sessionfinish() -> None:
    _coverage.stop()
    _coverage.save()
    (FOLDER / f"seconds.{NAME}.json").write_text(json.dumps(_seconds))
