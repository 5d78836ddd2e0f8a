"""``python -m tests.mutants``: plants bugs in a copy of the project and says which of them no test notices."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import defaultdict
from collections.abc import Callable, Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

import coverage

from tests.mutants.planting import Bug, bugs

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
EQUIVALENT = Path(__file__).parent / "equivalent.toml"
CORE = "api store read write sqlite resources/cells.py resources/resource.py"
SERVER = str(Path(__file__).with_name("server.py"))
BUDGET = 60.0  # seconds of tests that one bug is given; with 20, tests that notice it were left out too often
HONEST = 8  # runs without a bug, which must pass


@dataclass(frozen=True)
class Map:
    """Which tests come to a line, and how many seconds and lines each takes."""

    lines: dict[tuple[str, int], list[str]]
    seconds: dict[str, float]
    breadth: dict[str, int]

    def tests(self, bug: Bug) -> list[str]:
        """Those that come to a bug's line, as far as the time goes: the most specific of each file, then the next.

        A line outside functions runs as the module is imported: of such a one all that come to its file.
        """
        known = {test for test in self.lines.get((bug.file, bug.line), ()) if test in self.seconds}
        if not known:
            known = {test for (file, _), tests in self.lines.items() if file == bug.file for test in tests}
        ranks: dict[str, int] = defaultdict(int)
        ordered = []
        for test in sorted(known & self.seconds.keys(), key=lambda test: (self.breadth[test], self.seconds[test])):
            ordered.append((ranks[test.partition("::")[0]], test))
            ranks[test.partition("::")[0]] += 1
        chosen, left = [], BUDGET
        for _, test in sorted(ordered, key=lambda each: each[0]):
            if self.seconds[test] <= left:
                chosen.append(test)
                left -= self.seconds[test]
        return chosen

    def only(self, tests: Container[str]) -> Map:
        """The same without the tests that are not there any more."""
        return Map(self.lines, {test: took for test, took in self.seconds.items() if test in tests}, self.breadth)


def draw(folder: Path, processes: int) -> None:
    """Run the tests once and note where they come."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.mutants.contexts"]
    command += ["-n", str(processes), "tests", "--ignore=tests/tools"]
    subprocess.run(command, cwd=ROOT, check=False, env={**os.environ, "MUTANTS_MAP": str(folder)})


def read(folder: Path) -> Map:
    """What ``draw`` noted."""
    lines: dict[tuple[str, int], list[str]] = defaultdict(list)
    breadth: dict[str, int] = defaultdict(int)
    seconds: dict[str, float] = {}
    for noted in folder.glob("coverage.*"):
        data = coverage.CoverageData(str(noted))
        data.read()
        for file in data.measured_files():
            for line, contexts in data.contexts_by_lineno(file).items():
                for test in filter(None, contexts):
                    lines[file, line].append(test)
                    breadth[test] += 1
    for noted in folder.glob("seconds.*.json"):
        seconds |= json.loads(noted.read_text())
    return Map(lines, seconds, breadth)


def copied(place: Path) -> Path:
    """A copy of what git knows of, and of what is new in the checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)
    return place


class Place:
    """A copy of the project, and the process that runs tests in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = copied(folder)
        self._server = subprocess.Popen(
            [sys.executable, SERVER, str(self.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip

    def pass_(self, tests: Sequence[str]) -> bool:
        """Whether all of these tests pass."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        listed = self.folder / "chosen.txt"
        listed.write_text("\n".join(tests))
        self._server.stdin.write(f"{listed}\n")
        self._server.stdin.flush()
        code = self._server.stdout.readline().strip()
        if not code:
            raise RuntimeError("the process that runs tests is gone")
        return code == "0"

    def collected(self) -> set[str]:
        """The tests that there are now: a map that is older may name others, and a missing test fails like a bug."""
        command = [sys.executable, "-m", "pytest", "-q", "-m", "", "-p", "no:cacheprovider", "--collect-only", "tests"]
        listed = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(self.folder)},
        )  # fmt: skip
        return {line for line in listed.stdout.splitlines() if "::" in line}

    def tried(self, bug: Bug, tests: Sequence[str]) -> str:
        """What becomes of a bug: ``noticed``, ``survived``, or ``not covered``."""
        if not tests:
            return "not covered"
        target = self.folder / bug.file
        honest = target.read_text("utf-8")
        try:
            target.write_text(bug.source(), "utf-8")
            return "survived" if self.pass_(tests) else "noticed"
        finally:
            target.write_text(honest, "utf-8")

    def close(self) -> None:
        with self._server:
            self._server.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    add = parser.add_argument
    add("--seed", type=int, default=1)
    add("--bugs", type=int, default=600)
    add("--processes", type=int, default=os.cpu_count() or 1)
    add("--modules", default=CORE, help="those that bugs are planted in, or their packages")
    add("--map", type=Path, default=Path(tempfile.gettempdir()) / "ftsql-mutants", help="what is known of the tests")
    add("--redraw", action="store_true", help="run all tests again to know where they come")
    add("--again", type=Path, help="what an earlier run printed: try only the bugs that it named")
    given = parser.parse_args()
    if given.redraw or not list(given.map.glob("seconds.*.json")):
        draw(given.map, given.processes)
    known = read(given.map)
    listed = tomllib.loads(EQUIVALENT.read_text("utf-8")).get("equivalent", [])
    equivalent = {(each["file"], each["bug"]) for each in listed}
    named = [ROOT / "ftsql" / name for name in given.modules.split()]
    files = [file for each in named for file in (sorted(each.rglob("*.py")) if each.is_dir() else [each])]
    every = [bug for file in files for bug in bugs(str(file.relative_to(ROOT)), file.read_text("utf-8"))]
    sample = random.Random(given.seed).sample(every, min(given.bugs, len(every)))
    if given.again is not None:
        again = {line.partition(" ")[2] for line in given.again.read_text().splitlines()}
        sample = [bug for bug in every if f"{bug.file}: {bug.name}" in again]
    print(f"{len(sample)} of {len(every):,} bugs, seed {given.seed}", flush=True)
    harmless = [bug for bug in sample if (bug.file, bug.name) in equivalent]
    sample = [bug for bug in sample if bug not in harmless]
    print(f"{len(harmless)} of them are equivalent", flush=True)

    places: SimpleQueue[Place] = SimpleQueue()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ftsql-mutants-")))
        pool = stack.enter_context(ThreadPoolExecutor(given.processes))
        made = [Place(folder / str(number)) for number in range(given.processes)]
        for place in made:
            stack.callback(place.close)
            places.put(place)
        known = known.only(made[0].collected())

        def run(work: Callable[[Place], T]) -> T:
            place = places.get()
            try:
                return work(place)
            finally:
                places.put(place)

        def passes(bug: Bug) -> bool:
            return run(lambda place: place.pass_(known.tests(bug)))

        def tried(bug: Bug) -> str:
            return run(lambda place: place.tried(bug, known.tests(bug)))

        if not all(pool.map(passes, [bug for bug in sample if known.tests(bug)][:HONEST])):
            sys.exit("Tests fail though no bug is planted: run them and see")
        began = time.monotonic()
        found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for bug, outcome in zip(sample, pool.map(tried, sample), strict=True):
            found[bug.file][outcome] += 1
            if outcome != "noticed":
                print(f"{outcome.replace(' ', '-')} {bug.file}: {bug.name}", flush=True)
    _report(found, time.monotonic() - began)


def _report(found: dict[str, dict[str, int]], seconds: float) -> None:
    total = noticed = 0
    for file in sorted(found):
        all_ = sum(found[file].values())
        total, noticed = total + all_, noticed + found[file]["noticed"]
        print(f"{file:24} {found[file]['noticed']:4} of {all_:4}")
    print(f"{noticed} of {total} noticed, {100 * noticed / max(total, 1):.1f} %, {seconds:.0f} s")


if __name__ == "__main__":
    main()
