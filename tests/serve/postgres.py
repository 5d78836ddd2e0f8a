"""A temporary PostgreSQL server, if one is installed: the oracle for the meaning of a statement.

It listens on a socket in a temporary folder, and is removed after the tests.
"""

from __future__ import annotations

import csv
import glob
import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.documents import absent

NULL = "\x01"
MARK = "@@@"


@dataclass(frozen=True)
class Response:
    """PostgreSQL's response: the names and types of the columns, and the rows as strings, or the error."""

    columns: list[tuple[str, str]]
    rows: list[list[str | None]]
    error: str = ""


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    programs: Path
    folder: Path

    def run(self, text: str) -> tuple[str, str]:
        """Run a script with psql. Return its output and its errors."""
        done = subprocess.run(
            [self.programs / "psql", "-X", "-q", "-h", self.folder, "-U", "owner", "-d", "postgres", "--csv",
             "-v", "ON_ERROR_STOP=0", "-P", f"null={NULL}"],
            input=text, capture_output=True, text=True, timeout=300, check=False,
            env={"PATH": os.environ["PATH"], "PGTZ": "UTC", "PGCLIENTENCODING": "UTF8"},
        )  # fmt: skip
        return done.stdout, done.stderr

    def answers(self, statements: Sequence[str]) -> list[Response]:
        """Return the response to each statement."""
        script = "".join(f"\\echo {MARK}\n{sql}\n\\gdesc\n\\echo {MARK}\n{sql};\n" for sql in statements)
        printed, errors = self.run(script)
        parts = printed.split(f"{MARK}\n")[1:]
        assert len(parts) == 2 * len(statements), errors
        return [_answer(parts[2 * place], parts[2 * place + 1], errors) for place in range(len(statements))]


def _answer(described: str, printed: str, errors: str) -> Response:
    columns = [(row[0], row[1]) for row in list(csv.reader(io.StringIO(described)))[1:]]
    rows = [[None if value == NULL else value for value in row] for row in list(csv.reader(io.StringIO(printed)))[1:]]
    return Response(columns, rows, "" if printed else errors or "no answer")


def programs() -> Path | None:
    """Return the folder of PostgreSQL's server programs, or None if it is not installed."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    config = shutil.which("pg_config")
    if config:
        folder = Path(subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip())
        if (folder / "initdb").exists():
            return folder
    known = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb") + glob.glob("/usr/pgsql-*/bin/initdb"))
    return Path(known[-1]).parent if known else None


@contextmanager
def running() -> Iterator[Postgres]:
    """Start a server. Without PostgreSQL the test skips, or fails if FTSQL_TOOLS=1 is set."""
    found = programs()
    if found is None:
        absent("PostgreSQL's initdb and postgres are not installed")
    assert found is not None
    folder = Path(tempfile.mkdtemp(prefix="ftsql-pg-"))
    before: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        user = "postgres" if "\npostgres:" in Path("/etc/passwd").read_text() else "nobody"
        before = ["runuser", "-u", user, "--"]
        shutil.chown(folder, user)
    data = folder / "data"

    def go(*command: str | Path) -> None:
        subprocess.run([*before, *command], check=True, capture_output=True, cwd="/", timeout=120)

    try:
        go(found / "initdb", "-D", data, "-U", "owner", "-A", "trust", "--locale=C", "-E", "UTF8", "-N")
        options = f"-c listen_addresses='' -k {folder} -c fsync=off -c timezone=UTC"
        go(found / "pg_ctl", "-D", data, "-o", options, "-w", "-l", folder / "log", "start")
        try:
            yield Postgres(found, folder)
        finally:
            go(found / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
