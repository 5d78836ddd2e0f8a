"""What ftsql does with one extra, and what it says of those that are missing: ``python -m tests.extras [EXTRA]``.

The modules that only other extras bring are hidden, so that it shows the same wherever they are installed.
"""

from __future__ import annotations

import signal
import subprocess
import sys

BRINGS = {
    "sandbox": {"starlette", "uvicorn", "python_multipart"},
    "stackql": {"sqlglot"},
    "sqlalchemy": {"sqlalchemy"},
    "serve": {"pg_mimic", "sqlglot", "regex"},
}
MAIN = "from ftsql.cli.main import main; main({!r})"
SERVE = MAIN.format(["serve", "--port", "0"])
# What needs no extra, and what it prints.
PLAIN = {
    "import ftsql; print(*ftsql.connect().execute('SELECT count(*) FROM ftsql_writes'))": "(0,)",
    "from ftsql import dbapi; print(*dbapi.connect().cursor().execute('SELECT 1'))": "(1,)",
    MAIN.format(["SELECT upper('a') AS one"]): "one\nA",
    MAIN.format(["queries"]): "trained_twice",
    MAIN.format(["guide", "pandas"]): "# pandas",
    MAIN.format(["--version"]): "ftsql ",
}
# For each extra a program, something that it prints when the extra is there, and what it says when it is not.
USES = {
    "sandbox": (
        MAIN.format(["--sandbox", "SELECT count(*) AS jobs FROM fine_tuning_jobs"]), "jobs\n250",
        "ftsql: the sandbox needs: pip install 'ftsql[sandbox]'\n",
    ),
    "stackql": (
        "from ftsql.stackql import translate; print(translate('SELECT id FROM openai.fine_tuning.jobs'))",
        "FROM live.fine_tuning_jobs", "ImportError: StackQL's statements need: pip install 'ftsql[stackql]'\n",
    ),
    "sqlalchemy": (
        "import ftsql.sqlalchemy.dialect, sqlalchemy; print(sqlalchemy.create_engine('ftsql://').driver)", "ftsql",
        "ImportError: ftsql:// needs: pip install 'ftsql[sqlalchemy]'\n",
    ),
    "serve": (SERVE, "serving postgresql://", "ftsql: ftsql serve needs its extra: pip install 'ftsql[serve]'\n"),
}  # fmt: skip


def ran(program: str, hidden: set[str]) -> tuple[int, str]:
    """The exit code of a Python program without the ``hidden`` modules, and all that it said; serve is told to end."""
    program = f"import sys; sys.modules.update(dict.fromkeys({sorted(hidden)}))\n{program}"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "serving postgresql://" in line:
                process.send_signal(signal.SIGTERM)
    return process.returncode, said


def check(extra: str) -> None:
    """Raises AssertionError where something does not do, or say, what it should with this extra alone; "" is none."""
    there = BRINGS.get(extra, set())
    hidden = set().union(*BRINGS.values()) - there
    for program, words in PLAIN.items() if not extra else ():
        code, said = ran(program, hidden)
        assert (code, words in said) == (0, True), f"without extras, {program} gave {code}: {said}"
    for name, (program, words, missing) in USES.items():
        code, said = ran(program, hidden)
        if BRINGS[name] <= there:
            assert (code, words in said) == (0, True), f"with {extra}, {program} gave {code}: {said}"
        else:
            assert (code, said.endswith(missing)) == (1, True), f"without {name}, {program} gave {code}: {said}"


if __name__ == "__main__":
    check("".join(sys.argv[1:]))
