"""ftsql beside its alternatives, in one run on one local server: ``python -m tests.bench`` prints the tables."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack

from tests.bench.asked import clean_environment
from tests.bench.contenders import python_with_shillelagh
from tests.bench.measured import measure, say_where_runs_differ, table
from tests.bench.questions import ASKED


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before every answer")
    parser.add_argument("--repeat", type=int, default=5, help="runs, of which the median counts")
    parser.add_argument("--only", action="append", default=[], metavar="TITLE", help="questions that begin so")
    parser.add_argument("--quick", action="store_true", help="without the slow contenders")
    options = parser.parse_args(arguments)
    if options.jobs < ASKED or options.repeat < 1:
        parser.error(f"--jobs {ASKED} or more, --repeat 1 or more")
    clean_environment()
    with ExitStack() as stack:
        python, missing = ("", "") if options.quick else _with_shillelagh(stack)
        results = measure(
            options.jobs, options.latency, options.repeat, python=python, titles=options.only, slow=not options.quick
        )
    print(table(results))
    if missing:
        print(f"\nShillelagh could not be installed: {missing}")
    say_where_runs_differ(results)


def _with_shillelagh(stack: ExitStack) -> tuple[str, str]:
    try:
        python, missing = python_with_shillelagh(stack.enter_context(tempfile.TemporaryDirectory()))
    except (OSError, ImportError) as error:  # a Python without venv or ensurepip
        return "", str(error)
    return ("" if missing else python), missing


if __name__ == "__main__":
    main()
