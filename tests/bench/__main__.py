"""ftsql beside its alternatives, in one run on one local server: ``python -m tests.bench`` prints the tables."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack

from tests.bench import alone, reached
from tests.bench.asked import clean_environment
from tests.bench.contenders import YOUNG, python_with_shillelagh, versions
from tests.bench.measured import measure, overview, say_where_runs_differ, table
from tests.bench.questions import ASKED

LARGE = 100_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before every answer, in the second table")
    parser.add_argument("--repeat", type=int, default=5, help="runs after the first, of which the median counts")
    parser.add_argument("--lengths", default="1000,10000,100000,1000000", help="of the lists read row by row")
    parser.add_argument("--only", action="append", default=[], metavar="TITLE", help="questions that begin so, no more")
    parser.add_argument("--quick", action="store_true", help="without the slow contenders")
    parser.add_argument("--peers", action="store_true", help="print the versions of the contenders")
    options = parser.parse_args(arguments)
    if options.jobs < ASKED or options.repeat < 1 or options.latency <= 0:
        parser.error(f"--jobs {ASKED} or more, --repeat 1 or more, --latency above 0")
    clean_environment()
    with ExitStack() as stack:
        python, missing = ("", "Shillelagh was left out") if options.quick else _with_shillelagh(stack)
        if options.peers:
            print(f"{versions(python)}\n")
        slow = not options.quick
        results = measure(options.jobs, 0.0, options.repeat, python=python, titles=options.only, slow=slow)
        print(f"{options.jobs:,} jobs, no latency:\n\n{table(results)}\n\n{overview(results)}\n")
        say_where_runs_differ(results)
        if options.only:
            return
        goals = list(reached.at_once(results))
        waited = [
            "all",
            "`id IN",
            "`JOIN",
            "the newest",
            "the events",
        ]  # of the others the first table tells the requests
        far = measure(options.jobs, options.latency, 1, python=python, titles=waited, slow=slow)
        print(
            f"{options.jobs:,} jobs, {options.latency * 1000:g} ms before every answer:\n\n{table(far)}\n\n{overview(far)}\n"
        )
        goals += reached.waiting(far)
    titles = [f"all {LARGE:,}", "`status"]
    large = measure(LARGE, 0.0, min(options.repeat, 3), titles=titles, slow=False)
    print(f"{LARGE:,} jobs, no latency:\n\n{table(large)}\n\n{overview(large)}\n")
    say_where_runs_differ(large)
    few, many = (one.seconds("`status", YOUNG) for one in (results, large))
    goals.append(reached.Goal(f"warm, status = 'running', {LARGE:,} ÷ {options.jobs:,} jobs", many / few, 2.0))
    sizes = [int(size) for size in options.lengths.split(",")]
    read = [alone.length(size) for size in sizes]
    print(f"Read row by row:\n\n{alone.table(read)}\n")
    peaks = {one.jobs: one.peak / 1e6 for one in read}
    if {1000, LARGE} <= peaks.keys():
        goals.append(reached.Goal(f"MB of memory, {LARGE:,} jobs over 1,000", peaks[LARGE] - peaks[1000], 40))
    command, bare = alone.start(4 * options.repeat)
    goals.append(reached.Goal('`ftsql "SELECT 1"` ÷ importing apsw, httpx, pydantic', command / bare, 1.3))
    print(f"{reached.table(goals)}\n")
    if missing:
        print(missing)


def _with_shillelagh(stack: ExitStack) -> tuple[str, str]:
    try:
        python, missing = python_with_shillelagh(stack.enter_context(tempfile.TemporaryDirectory()))
    except (OSError, ImportError) as error:  # a Python without venv or ensurepip
        return "", f"Shillelagh could not be installed: {error}"
    return ("", f"Shillelagh could not be installed: {missing}") if missing else (python, "")


if __name__ == "__main__":
    main()
