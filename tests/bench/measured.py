"""Every question to every contender, several times in turn, on one server; and the table of it.

A wrong answer has no time: the run ends there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

from tests.bench.asked import Asked
from tests.bench.contenders import ENTRIES, FLOOR, SHILLELAGH, Answered, Contender, Entry
from tests.bench.questions import SINCE, Question, local_table, questions
from tests.bench.server import serving

RUNNING = 12
WIDE = 0.25  # of the median: runs that are further apart are told of


@dataclass
class Measured:
    """All runs of one question by one contender; of the first only memory and requests count."""

    runs: list[Answered] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The median."""
        return median(run.seconds for run in self.runs[1:])


@dataclass
class Results:
    """``rows``: by question and contender."""

    jobs: int
    latency: float
    rows: dict[str, dict[str, Measured]] = field(default_factory=dict)

    def seconds(self, question: str, contender: str) -> float:
        """The median for the question whose title begins so. Raises KeyError where it was not asked."""
        return self.measured(question, contender).seconds

    def measured(self, question: str, contender: str) -> Measured:
        """All runs for the question whose title begins so. Raises KeyError where it was not asked."""
        return next(rows[contender] for title, rows in self.rows.items() if title.startswith(question))


def measure(
    jobs: int, latency: float, repeat: int, *, python: str = "", titles: Sequence[str] = (), slow: bool = True
) -> Results:
    """Ask all questions, or those whose titles begin so; ``python``: the one that has Shillelagh, if any."""
    results = Results(jobs, latency)
    with serving(jobs - RUNNING, RUNNING, latency) as server:
        setup = local_table(server)
        chosen = [one for one in questions(server) if not titles or one.title.startswith(tuple(titles))]
        for question in chosen:
            rows = results.rows.setdefault(question.title, {})
            with ExitStack() as stack:  # new processes for each question: memory that one left is not another's
                present = [entry for entry in ENTRIES if _asked(entry, question, slow, bool(python))]
                contenders = {
                    entry.name: stack.enter_context(
                        Contender(entry.module, python if entry.name == SHILLELAGH else sys.executable)
                    )
                    for entry in present
                }
                for contender in contenders.values():
                    contender.wait()
                for number in range(repeat + 1):
                    print(f"{latency * 1000:g} ms, run {number}: {question.title}, load {_load()}", file=sys.stderr)
                    for entry in present:
                        asked = Asked(
                            server.base_url, "any", setup, question.sql, question.ids, question.shape, SINCE, entry.way
                        )
                        answered = contenders[entry.name].ask(asked, server)
                        if answered.found != question.right:
                            raise SystemExit(f"{question.title}: {entry.name} answered wrong")
                        rows.setdefault(entry.name, Measured()).runs.append(answered)
    return results


def _asked(entry: Entry, question: Question, slow: bool, has_shillelagh: bool) -> bool:
    if (entry.slow and not slow) or (entry.name == SHILLELAGH and not has_shillelagh):
        return False
    if question.shape == "events" and not entry.events:
        return False
    return not entry.only or entry.only == question.shape


def table(results: Results) -> str:
    """As Markdown."""
    lines = ["| | by | ÷ floor | ms | requests | kB | peak MB |", "|---|---|--:|--:|--:|--:|--:|"]
    for title, rows in results.rows.items():
        floor = rows[FLOOR].seconds
        for number, (by, measured) in enumerate(rows.items()):
            run = measured.runs[0]
            cells = [
                "" if number else title,
                by,
                f"{measured.seconds / floor:.2f}",
                f"{measured.seconds * 1000:.1f}",
                f"{run.requests}",
                f"{run.bytes / 1000:.0f}",
                f"{run.peak / 1e6:.1f}" if run.peak else "",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def overview(results: Results) -> str:
    """As Markdown, a question a line: each contender's time ÷ the floor's, and its requests where it sends some."""
    names = [entry.name for entry in ENTRIES if any(entry.name in rows for rows in results.rows.values())]
    lines = [f"| ÷ floor (requests) | {' | '.join(names)} |", f"|---|{'--:|' * len(names)}"]
    for title, rows in results.rows.items():
        floor = rows[FLOOR].seconds
        cells = []
        for name in names:
            run = rows[name].runs[0] if name in rows else None
            sent = f" ({run.requests})" if run is not None and run.requests else ""
            cells.append("" if run is None else f"{rows[name].seconds / floor:.2f}{sent}")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def say_where_runs_differ(results: Results) -> None:
    """Which figures are not to be relied upon, on stderr."""
    for title, rows in results.rows.items():
        for by, measured in rows.items():
            seconds = [run.seconds for run in measured.runs[1:]]
            requests = [run.requests for run in measured.runs]
            if max(seconds) - min(seconds) > WIDE * median(seconds) or len(set(requests)) > 1:
                runs = ", ".join(f"{one * 1000:.1f}" for one in seconds)
                print(f"runs differ: {title}, {by}: {runs} ms; requests {requests}", file=sys.stderr)


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
