"""APSW's shell with ftsql's tables in every database that it opens.

Rows go to stdout, everything else to stderr.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

import apsw
import apsw.ext
import apsw.shell

from ftsql.cli.progress import Progress
from ftsql.registration import Registration, register
from ftsql.resources.definitions import JOBS
from ftsql.stackql import translate


class Script:
    """A text to run as the prompt's lines are: its last statement may lack its semicolon."""

    def __init__(self, lines: TextIO) -> None:
        self._lines = lines
        self._ended = False

    def readline(self) -> str:
        """The next line; after the last one a semicolon."""
        line = self._lines.readline()
        if not line and not self._ended:
            self._ended = True
            return ";\n"
        return line

    def isatty(self) -> bool:
        return False


class Shell(apsw.shell.Shell):
    """The shell on ``connection``; ``options`` are those of ``register`` for what ``.open`` opens.

    ``ask``: at the prompt, before a statement or transaction sends more than one write.
    """

    def __init__(
        self, connection: apsw.Connection, registration: Registration, options: dict[str, Any], *, ask: bool = True
    ) -> None:
        super().__init__(db=connection)
        self._registration = registration
        self._options = options
        self._ask = ask
        self._counting = False
        self._progress = Progress(self.stderr)
        registration.confirm_writes(self._confirmed)
        registration.confirm_comparisons(self._sure)
        self.prompt = "ftsql> "
        self.moreprompt = "   ..> "
        home = os.path.expanduser("~")
        self.history_file = os.path.join(home, ".ftsql_history") if os.path.isdir(home) else os.devnull
        self.header = True
        if self._using_a_terminal():
            self.output = self.output_fit
        else:
            self.command_mode(["box"])  # whose options the mode fit takes too
            self.command_mode(["csv"])

    def output_fit(self, column_names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """fit: a box where it fits the screen, else one column a line"""
        widest = [
            max([len(name), *(len(str(row[column])) for row in rows)]) for column, name in enumerate(column_names)
        ]
        if sum(widest) + 3 * len(widest) + 1 <= self._terminal_width(32):
            self.output_box(column_names, rows)
            return
        self.output_line(True, column_names)
        for row in rows:
            self.output_line(False, row)

    output_fit.all_at_once = True  # type: ignore[attr-defined]  # how APSW's shell asks for all rows together

    def _confirmed(self, question: str) -> bool:
        """Ask the person at the prompt; whoever is no terminal is not asked."""
        return self._answer(question) if self._asks() else True

    def _sure(self, question: str) -> bool:
        """Ask the person at the prompt; whoever is no terminal has to say --yes."""
        return self._answer(f"{question}. Go on?") if self._asks() else not self._ask

    def _asks(self) -> bool:
        return bool(self._ask and self.interactive and self._using_a_terminal())

    def _answer(self, question: str) -> bool:
        shown = self._progress.stop()
        try:
            return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
        except EOFError:
            return False
        finally:
            if shown:
                self._progress.start(self._registration.counts)

    def process_sql(self, sql: str, bindings: Any = None, internal: bool = False, summary: Any = None) -> None:
        """Run SQL, StackQL's too, statement by statement; say what each wrote, also where it failed afterwards."""
        if internal:
            super().process_sql(sql, bindings, internal, summary)
            return
        sql = translate(sql, self._registration.providers, self._registration.accounts)
        while sql.strip():
            details = self._query_details(sql, self.bindings if bindings is None else bindings)
            statement, sql = (sql, "") if details.error_text else (details.query or "", details.remaining or "")
            self._registration.take_counts()
            began = time.monotonic()
            try:
                if not self._answered(statement, bindings, summary) and not (details.error_text or details.explain):
                    self._write_empty(statement)
            finally:
                for note in self._registration.take_notes():
                    self.write_error(note + "\n")
                if self._counting and statement.strip("; \n\t"):
                    milliseconds = (time.monotonic() - began) * 1000
                    self.write_error(f"{self._registration.take_counts()}, {milliseconds:.0f} ms\n")

    def _answered(self, statement: str, bindings: Any, summary: Any) -> bool:
        """Run one statement; whether it gave any row."""
        output = self.output
        answered = False

        @functools.wraps(output)
        def noting(*arguments: Any) -> Any:
            nonlocal answered
            if not answered and self.stdout.isatty():
                self._progress.stop()  # rows would run into its line
            answered = True
            return output(*arguments)

        self.output = noting
        self._registration.announce(statement)
        self._progress.start(self._registration.counts)
        try:
            super().process_sql(statement, bindings, False, summary)
        finally:
            self._progress.stop()
            self.output = output
        return answered

    def _write_empty(self, statement: str) -> None:
        """What a program that reads our output needs of an answer without rows, which APSW leaves out."""
        if self.output not in (self.output_csv, self.output_json):
            return
        with contextlib.suppress(apsw.Error):  # what created a table cannot be prepared again
            description = apsw.ext.query_info(self.db, statement).description
            if description and self.output == self.output_json:
                self.write(self.stdout, "[]\n")
            elif description and self.header:
                self.output_csv(True, [column[0] for column in description])

    def command_requests(self, cmd: list[str]) -> None:
        """requests ON|OFF: Show after each statement which HTTP requests it sent (default OFF)

        One line on stderr: how many requests and of which kind, to which providers, how many rows came of
        them, how long they were held back by rate limits and retries, and how long the statement took. The
        requests one by one are the rows of the table ftsql_requests.
        """
        self._counting = self._boolean_command("requests", cmd)

    def command_open(self, cmd: list[str]) -> None:
        """open ?OPTIONS? ?FILE?: Opens a database connection, with ftsql's tables"""
        if self._options.get("read_only"):
            raise self.Error("open is refused under --read-only: start anew with --db")
        before = self._registration
        super().command_open(cmd)
        self._registration = register(self.db, **self._options)
        self._registration.confirm_writes(self._confirmed)
        self._registration.confirm_comparisons(self._sure)
        before.close()
        notice(self.db)

    command_open.__doc__ = apsw.shell.Shell.command_open.__doc__

    def command_connection(self, cmd: list[str]) -> None:
        """connection: Is refused, since all others are ftsql's own"""
        raise self.Error("connection is refused: the others are ftsql's own. To open another file: .open FILE")

    def command_quit(self, cmd: list[str], name: str = "quit") -> None:
        """quit ?CODE?: Exits this program, as exit does"""
        self.command_exit(cmd)  # which an older APSW does not know by this name

    def command_restore(self, cmd: list[str]) -> None:
        if self._options.get("read_only"):
            raise self.Error("restore is refused under --read-only")
        super().command_restore(cmd)

    command_restore.__doc__ = apsw.shell.Shell.command_restore.__doc__

    def command_tables(self, cmd: list[str]) -> None:
        """tables ?PATTERN?: Lists names of tables matching LIKE pattern

        This also returns views. The tables of ftsql stand in the schema live.
        """
        self.push_output()
        self.output = self.output_list
        self.header = False
        try:
            for pattern in cmd or ["%"]:
                self.process_sql(
                    "SELECT iif(schema = 'main' OR (schema = 'live' AND name NOT IN (SELECT name FROM main."
                    "sqlite_schema)), name, schema || '.' || name) FROM pragma_table_list "
                    "WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND type <> 'shadow' AND name LIKE ?1 ORDER BY 1",
                    (pattern,),
                    internal=True,
                )
        finally:
            self.pop_output()

    def run(self, lines: TextIO) -> None:
        """Run the SQL and dot commands of a file or pipe."""
        self.push_input()
        self.interactive = False
        self.stdin = Script(lines)
        try:
            self.cmdloop()
        finally:
            self.pop_input()

    def close(self) -> None:
        """Say what a transaction that nobody committed leaves undone."""
        if count := self._registration.queued:
            complain(f"{count} queued {'write was' if count == 1 else 'writes were'} not sent: there was no COMMIT")


def notice(connection: apsw.Connection) -> None:
    """Says on stderr when the opened file has a table that stands before ours."""
    if connection.table_exists("main", JOBS.table):
        from ftsql.sync.snapshot import synced_at

        age = synced_at(connection)
        what = f"has a table {JOBS.table} of its own" if age is None else "is a snapshot"
        if age:
            what += f" of {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(age))}"
        complain(f"{connection.filename} {what}: {JOBS.table} means its rows. The API is live.{JOBS.table}")


def complain(text: str) -> None:
    print(f"ftsql: {text}", file=sys.stderr)  # noqa: T201 - a command speaks
