"""What the figures are to reach, and whether they do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.contenders import COLD, FLOOR, HTTPX, KEPT, MODULE, OPENAI, TABLE, WARM, YOUNG
from tests.bench.measured import Results
from tests.bench.questions import ASKED, FEW


@dataclass(frozen=True)
class Goal:
    """A figure that is to be at most ``most``."""

    what: str
    figure: float
    most: float

    def __str__(self) -> str:
        return f"| {self.what} | {self.figure:.2f} | {self.most:g} | {'yes' if self.figure <= self.most else 'no'} |"


def at_once(results: Results) -> Iterator[Goal]:
    """The goals for a list without latency."""
    jobs = f"all {results.jobs:,} jobs, "
    for what, columns, most in (("all columns", "all columns", 2.5), ("two columns", "two columns", 2.0)):
        cold = results.seconds(jobs + columns, COLD)
        yield Goal(f"cold, {what} ÷ floor", cold / results.seconds(jobs + columns, FLOOR), most)
        if OPENAI in results.rows[jobs + columns]:
            yield Goal(f"cold, {what} ÷ openai-python", cold / results.seconds(jobs + columns, OPENAI), 0.25)
    kept = results.seconds(jobs + "all columns", KEPT)
    yield Goal("cold, all columns, until all is kept ÷ floor", kept / results.seconds(jobs + "all columns", FLOOR), 3.3)
    yield Goal("cold, count(*) ÷ floor", results.seconds("`count", COLD) / results.seconds("`count", FLOOR), 2.0)
    for name, way in (("warm", WARM), ("warm, max_age", YOUNG)):
        every, two = results.seconds(jobs + "all columns", way), results.seconds(jobs + "two columns", way)
        yield Goal(f"{name}, all columns ÷ make_virtual_module", every / results.seconds(jobs + "all", MODULE), 1.0)
        yield Goal(f"{name}, all columns ÷ plain table", every / results.seconds(jobs + "all", TABLE), 4.0)
        yield Goal(f"{name}, two columns ÷ plain table", two / results.seconds(jobs + "two", TABLE), 4.0)
    yield Goal("one id ÷ one httpx GET", results.seconds("one id", COLD) / results.seconds("one id", HTTPX), 2.7)


def waiting(results: Results) -> Iterator[Goal]:
    """The goals for a list whose answers take a while: by id, those beside a loop of one GET after the other."""
    measured = results.measured("all ", COLD)
    waited = measured.runs[0].requests * results.latency
    yield Goal(f"cold, all columns ÷ pages × {results.latency * 1000:g} ms", measured.seconds / waited, 1.03)
    by_id = [("`id IN", 0.28), (f"`JOIN` with {ASKED}", 0.28), (f"`JOIN` with {FEW}", 0.3), ("the events", 0.2)]
    for title, most in by_id:
        asked = next(question for question in results.rows if question.startswith(title))
        loop = results.seconds(title, HTTPX)
        yield Goal(f"cold, {asked} ÷ the loop", results.seconds(title, COLD) / loop, most)


def table(goals: list[Goal]) -> str:
    """As Markdown."""
    return "\n".join(["| figure | is | at most | reached |", "|---|--:|--:|---|", *map(str, goals)])
