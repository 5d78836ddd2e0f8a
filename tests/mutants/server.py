"""Runs pytest again and again, each time in a fork of a process that has imported what tests take long to import.

``python server.py PLACE`` reads the name of a file with arguments from each line, and prints pytest's exit code, or
``late``. Nothing of the project is imported before the fork.
"""

import contextlib
import importlib
import os
import signal
import sys
import time

LATE = 240.0  # seconds after which tests hang
BEFORE = "pytest openai telnyx portkey_ai jsonschema sqlglot sqlalchemy httpx pydantic apsw pg_mimic".split()


def main(place: str) -> None:
    os.chdir(place)
    sys.path[0] = place
    sys.dont_write_bytecode = True
    for name in BEFORE:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        print(_run(line.rstrip("\n")), flush=True)


def _run(arguments: str) -> str:
    child = os.fork()
    if child == 0:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        import pytest

        os._exit(
            int(
                pytest.main(
                    [
                        "-q",
                        "-x",
                        "-m",
                        "",
                        "-W",
                        "ignore::pytest.PytestAssertRewriteWarning",
                        "-p",
                        "no:cacheprovider",
                        f"@{arguments}",
                    ]
                )
            )
        )
    end = time.monotonic() + LATE
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return str(os.waitstatus_to_exitcode(status))
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "late"


if __name__ == "__main__":
    main(sys.argv[1])
