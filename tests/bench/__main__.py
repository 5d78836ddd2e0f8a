"""The table: every question to every contender, several times in turn, in one run on one server.

A wrong answer has no time: the run ends there.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from statistics import median

from tests.bench.asked import Asked
from tests.bench.contenders import Contender, python_with_shillelagh
from tests.bench.questions import ASKED, Question, asked_ids, local_table, questions
from tests.bench.server import serving

RUNNING = 12
FIRST = "**ftsql**, first"
WIDE = 0.15  # of the median: runs that are further apart are told of


@dataclass
class Measured:
    """All runs of one question by one contender."""

    seconds: list[float] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)


Results = dict[str, dict[str, Measured]]  # by question and contender


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--jobs", type=int, default=5000, help=f"finished jobs, besides {RUNNING} running ones")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before every answer")
    parser.add_argument("--repeat", type=int, default=3, help="runs, of which the median counts")
    options = parser.parse_args(arguments)
    if options.jobs < ASKED or options.latency <= 0 or options.repeat < 1:
        parser.error(f"--jobs {ASKED} or more, --latency above 0, --repeat 1 or more")
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "FTSQL_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    with ExitStack() as stack:
        python, missing = _with_shillelagh(stack)
        server = stack.enter_context(serving(options.jobs, RUNNING, options.latency))
        names = {"ftsql": "ftsql_jobs", "openai-python": "openai_jobs", "httpx": "bare_loop"}
        contenders = {name: stack.enter_context(Contender(module)) for name, module in names.items()}
        if not missing:
            contenders["Shillelagh"] = stack.enter_context(Contender("shillelagh_jobs", python))
        blank = Asked(server.base_url, "any", local_table(server), "", asked_ids(server))
        results: Results = {}
        for number in range(options.repeat):
            for question in questions(server):
                print(f"run {number + 1}: {question.title}, load {_load()}", file=sys.stderr)
                rows = results.setdefault(question.title, {})
                for by, name, asked in _asked(question, replace(blank, sql=question.sql), len(server.ids)):
                    measured = rows.setdefault(by, Measured())
                    if name not in contenders:
                        continue
                    server.requests()
                    seconds, answer = contenders[name].ask(asked)
                    if answer != question.right:
                        raise SystemExit(f"{question.title}: {by} answered wrong")
                    measured.seconds.append(seconds)
                    measured.requests.append(server.requests())
    print(table(results, options.latency))
    if missing:
        print(f"\nShillelagh could not be installed: {missing}")
    _say_where_runs_differ(results)


def _with_shillelagh(stack: ExitStack) -> tuple[str, str]:
    try:
        return python_with_shillelagh(stack.enter_context(tempfile.TemporaryDirectory()))
    except (OSError, ImportError) as error:  # a Python without venv or ensurepip
        return "", str(error)


def _asked(question: Question, asked: Asked, size: int) -> Iterator[tuple[str, str, Asked]]:
    """Each row's name, the contender, and what it is asked."""
    yield FIRST, "ftsql", asked
    yield "**ftsql**, again", "ftsql", replace(asked, again=True)
    for way in question.by_hand:
        yield f"openai-python, {way}", "openai-python", replace(asked, way=way)
    yield "Shillelagh", "Shillelagh", asked
    if len(question.right) == size:
        yield "httpx and json.loads, bare loop", "httpx", asked


def table(results: Results, latency: float) -> str:
    """As Markdown."""
    lines = [
        f"| | by | requests | seconds | ÷ ftsql, first | ÷ (requests × {latency * 1000:g} ms) |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for title, rows in results.items():
        first = median(rows[FIRST].seconds)
        for number, (by, measured) in enumerate(rows.items()):
            cells = ["" if number else title, by, "not installed", "", "", ""]
            if measured.seconds:
                seconds, requests = median(measured.seconds), round(median(measured.requests))
                waited = f"{seconds / (requests * latency):.2f}" if requests else ""
                cells[2:] = [f"{requests}", f"{seconds:.3f}", f"{seconds / first:.2f}", waited]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _say_where_runs_differ(results: Results) -> None:
    for title, rows in results.items():
        for by, measured in rows.items():
            if not measured.seconds:
                continue
            wide = max(measured.seconds) - min(measured.seconds) > WIDE * median(measured.seconds)
            if wide or len(set(measured.requests)) > 1:
                runs = ", ".join(f"{seconds:.3f}" for seconds in measured.seconds)
                print(f"runs differ: {title}, {by}: {runs} s; requests {measured.requests}", file=sys.stderr)


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


if __name__ == "__main__":
    main()
