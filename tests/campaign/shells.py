"""A shell under fire: one statement after another, on a sandbox and a file of its own, in this process.

A fresh shell comes every so many statements, since a statement may leave its connection in any state.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import apsw.shell

import ftsql
from ftsql.cli.shell import Shell
from ftsql.sandbox import Sandbox
from tests.campaign.grammar import Grammar
from tests.campaign.spoiling import spoilt

PATIENCE = 0.7  # seconds after which a statement is interrupted, as Ctrl-C does
LIMIT = 6.0  # seconds after which it must have ended
RENEWED = 60
OWN = "CREATE TABLE notes (id INTEGER PRIMARY KEY, note); INSERT INTO notes VALUES (1, 'a'), (2, NULL); CREATE TABLE mixed (number); CREATE VIEW noted AS SELECT note FROM notes;"
OTHER = "{}"  # what stands in train.jsonl
# What a person is told in words; anything else is a mistake of ftsql's own.
CLEAR = (ftsql.Error, apsw.Error, apsw.shell.Shell.Error, OSError, UnicodeError, KeyboardInterrupt)
# APSW's own for what cannot be read: of a dot command whatever is wrong with its words, of SQL only these.
WORDS: dict[type[BaseException], str] = {
    ValueError: "null ",
    KeyError: "",
    csv.Error: "",
    **dict.fromkeys((IndexError, TypeError, OverflowError), "no such"),
}


@dataclass
class Result:
    """What a campaign of statements saw. ``kinds``: how they were spoilt; ``errors``: those that ended in one, by its kind."""

    statements: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    slowest: float = 0.0
    slowest_of: str = ""
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)

    def add(self, other: Result) -> None:
        self.statements += other.statements
        self.kinds += other.kinds
        self.errors += other.errors
        self.writes += other.writes
        self.seconds += other.seconds
        if other.slowest > self.slowest:
            self.slowest, self.slowest_of = other.slowest, other.slowest_of
        self.violations += other.violations

    def count(self, kind: str, sql: str, took: float, error: str, wrong: str) -> None:
        """One statement more: how it was spoilt, how it ended, and what was wrong with that."""
        self.statements += 1
        self.kinds[kind] += 1
        self.errors[error or "no error"] += 1
        if took > self.slowest:
            self.slowest, self.slowest_of = took, sql[:80]
        if wrong:
            self.violations.append(f"{wrong[:600]}: {sql[:500]!r}")

    def __str__(self) -> str:
        lines = [f"{name:34}{count:>8}" for name, count in [*sorted(self.kinds.items()), *self.errors.most_common(25)]]
        lines.append(
            f"{self.statements} statements, {self.errors['no error']} without an error, {self.writes} writes sent, "
            f"{len(self.violations)} violations; longest {self.slowest:.2f} s ({self.slowest_of!r}), {self.seconds:.0f} s"
        )
        return "\n".join(lines)


def own_file(folder: Path) -> Path:
    """A new file with tables of the user's, alone in ``folder`` but for a file that can be uploaded."""
    for one in folder.iterdir():
        one.unlink()
    (folder / "train.jsonl").write_text(OTHER)
    path = folder / "own.db"
    db = apsw.Connection(str(path))
    db.execute(OWN)
    db.close()
    return path


def last(folder: Path) -> Path:
    """Where the statement stands that is being run: what a process that dies was told last."""
    return folder.with_suffix(".last")


def shell(count: int, seed: int, folder: Path, *, read_only: bool = True) -> Result:
    """``count`` statements and dot commands for the shell; the process works in ``folder`` meanwhile."""
    began, home = time.monotonic(), os.getcwd()
    folder.mkdir(exist_ok=True)
    os.chdir(folder)
    try:
        fire = Fire(random.Random(seed), folder, read_only)
        while fire.result.statements < count:
            fire.one_shell(min(RENEWED, count - fire.result.statements))
    finally:
        os.chdir(home)
    fire.result.seconds = time.monotonic() - began
    return fire.result


class Fire:
    """What is aimed at shells, and what must hold after each statement."""

    def __init__(self, rng: random.Random, folder: Path, read_only: bool) -> None:
        self.rng = rng
        self.folder = folder
        self.read_only = read_only
        self.result = Result()

    def one_shell(self, count: int) -> None:
        """Statements for one shell, until it has had ``count`` or was told to end."""
        path = own_file(self.folder)
        before = self._files()
        with Sandbox(jobs=20, seed=self.rng.randrange(1000), speed=0) as self.sandbox:
            self.sandbox.add_file("file-a")
            store = self.folder.with_suffix(".store")
            store.unlink(missing_ok=True)
            options: dict[str, Any] = {
                "sandbox": self.sandbox,
                "read_only": self.read_only,
                "timeout": 5.0,
                "store": store,
            }
            db = ftsql.connect(path, **options)
            grammar = Grammar(
                self.rng, [str(job[name]) for job in self.sandbox.jobs() for name in ("id", "model") if job[name]]
            )
            with contextlib.redirect_stderr(io.StringIO()):
                shell = Shell(db, db.ftsql, options, ask=False)
                shell.stdout = shell.stderr = io.StringIO()
                try:
                    for _ in range(count):
                        if not self._one(shell, grammar, before):
                            break
                finally:
                    shell.db.close(True)
                    db.close(True)
            if not self.read_only:
                self._recorded(store)

    def _one(self, shell: Shell, grammar: Grammar, before: dict[str, bytes]) -> bool:
        """One statement; whether the shell goes on."""
        dot = self.rng.random() < 0.12
        text, kind = spoilt(grammar.command() if dot else grammar.sql(), self.rng)
        dot = dot and text.startswith(".") and not text.lstrip(". ").startswith(FILE_COMMANDS)
        ends, error, wrong = False, "", ""
        last(self.folder).write_text(text, "utf-8", "backslashreplace")
        began = time.monotonic()
        try:
            with interrupted(shell.db, PATIENCE):
                run: Callable[[str], object] = shell.process_command if dot else shell.process_sql
                run(text.strip() if dot else text)
        except SystemExit:
            ends = True
        except BaseException as raised:
            error = type(raised).__name__
            if not isinstance(raised, CLEAR) and not (
                WORDS.get(type(raised), "no such") in str(raised) or (dot and type(raised) in WORDS)
            ):
                wrong = f"{error}: {raised}"
        took = time.monotonic() - began
        if took > LIMIT:
            wrong = f"took {took:.1f} s"
        if self.read_only:
            wrong = wrong or self._written(before)
        self.result.count("dot command" if dot else kind, text, took, error, wrong)
        return not ends

    def _written(self, before: dict[str, bytes]) -> str:
        """What a read-only shell changed."""
        sent = [f"{one.method} {one.path}" for one in self.sandbox.requests if one.method != "GET"]
        changed = [name for name, content in self._files().items() if before.get(name) != content]
        self.sandbox.requests.clear()
        return f"it sent {sent}" if sent else f"it wrote {changed}" if changed else ""

    def _files(self) -> dict[str, bytes]:
        return {one.name: hashlib.sha256(one.read_bytes()).digest() for one in self.folder.iterdir()}

    def _recorded(self, store: Path) -> None:
        """Every write that arrived stands in the record, which is read as the file that it is."""
        sent = Counter(one.path.removeprefix("/v1") for one in self.sandbox.requests if one.method != "GET")
        self.result.writes += sent.total()
        with contextlib.closing(apsw.Connection(str(store))) as record:
            recorded = Counter(
                str(path) for (path,) in record.execute("SELECT path FROM writes WHERE state <> 'queued'")
            )
        if missing := sent - recorded:
            self.result.violations.append(f"sent and not recorded: {missing}")


FILE_COMMANDS = ("output", "log", "backup", "shell", "cd", "save", "once", "py", "autoimport", "edit", "pages")


@contextlib.contextmanager
def interrupted(db: apsw.Connection, seconds: float) -> Iterator[None]:
    """What runs on ``db`` longer than that is interrupted, again and again."""
    done = threading.Event()

    def interrupt() -> None:
        if not done.wait(seconds):
            while not done.wait(0.05):
                with contextlib.suppress(apsw.ConnectionClosedError):
                    db.interrupt()

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
