"""APSW's shell, with ftsql's tables in every database that it opens.

The shell prints rows to stdout and everything else to stderr.
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
    """The shell's input if the SQL comes from a file or pipe. The last statement needs no semicolon."""

    def __init__(self, lines: TextIO) -> None:
        self._lines = lines
        self._ended = False

    def readline(self) -> str:
        """Return the next line. After the last line, return a line with a semicolon."""
        line = self._lines.readline()
        if not line and not self._ended:
            self._ended = True
            return ";\n"
        return line

    def isatty(self) -> bool:
        return False


class Shell(apsw.shell.Shell):
    """The shell on ``connection``.

    options: The options of ``register`` for a database that ``.open`` opens.
    ask: Whether to ask at the prompt before a statement or transaction sends more than one write.
    """

    def __init__(
        self, connection: apsw.Connection, registration: Registration, options: dict[str, Any], *, ask: bool = True
    ) -> None:
        super().__init__(db=connection)
        self._registration = registration
        self._options = options
        self._ask = ask
        self._shows_requests = False
        self._progress = Progress(self.stderr)
        registration.confirm_writes(self._confirm_writes)
        registration.confirm_comparisons(self._confirm_comparison)
        self.prompt = "ftsql> "
        self.moreprompt = "   ..> "
        home = os.path.expanduser("~")
        self.history_file = os.path.join(home, ".ftsql_history") if os.path.isdir(home) else os.devnull
        self.header = True
        if self._using_a_terminal():
            self.output = self.output_fit
        else:
            self.command_mode(["box"])  # the mode box also sets options that the mode fit uses
            self.command_mode(["csv"])

    def output_fit(self, column_names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """fit: a box if it fits the screen, else one column a line"""
        widest = [
            max([len(name), *(len(str(row[column])) for row in rows)]) for column, name in enumerate(column_names)
        ]
        if sum(widest) + 3 * len(widest) + 1 <= self._terminal_width(32):
            self.output_box(column_names, rows)
            return
        self.output_line(True, column_names)
        for row in rows:
            self.output_line(False, row)

    output_fit.all_at_once = True  # type: ignore[attr-defined]  # tells APSW's shell to pass all rows together

    def _confirm_writes(self, question: str) -> bool:
        """Ask the user at the prompt. If there is no prompt, the answer is yes."""
        return self._ask_user(question) if self._can_ask() else True

    def _confirm_comparison(self, question: str) -> bool:
        """Ask the user at the prompt. If there is no prompt, the answer is yes only if --yes was given."""
        return self._ask_user(f"{question}. Continue?") if self._can_ask() else not self._ask

    def _can_ask(self) -> bool:
        return bool(self._ask and self.interactive and self._using_a_terminal())

    def _ask_user(self, question: str) -> bool:
        was_shown = self._progress.stop()
        try:
            return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
        except EOFError:
            return False
        finally:
            if was_shown:
                self._progress.start(self._registration.counts)

    def process_sql(self, sql: str, bindings: Any = None, internal: bool = False, summary: Any = None) -> None:
        """Run SQL or StackQL statements one by one. Print the outcomes of a statement's writes, even if it fails."""
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
                has_rows = self._run_statement(statement, bindings, summary)
                if not has_rows and not (details.error_text or details.explain):
                    self._write_empty(statement)
            finally:
                self._report(statement, time.monotonic() - began)

    def _report(self, statement: str, seconds: float) -> None:
        """Print the outcomes of the statement's writes. If the user asked for the requests, print them too."""
        self.stdout.flush()  # so that the rows appear before the lines about writes
        for note in self._registration.take_notes():
            self.write_error(note + "\n")
        if self._shows_requests and statement.strip("; \n\t"):
            self.write_error(f"{self._registration.take_counts()}, {seconds * 1000:.0f} ms\n")

    def _run_statement(self, statement: str, bindings: Any, summary: Any) -> bool:
        """Run one statement. Return whether the statement returned any row."""
        output = self.output
        has_rows = False

        @functools.wraps(output)
        def output_rows(*arguments: Any) -> Any:
            nonlocal has_rows
            if not has_rows and self.stdout.isatty():
                self._progress.stop()  # otherwise the progress line would be mixed with the rows
            has_rows = True
            return output(*arguments)

        self.output = output_rows
        self._registration.announce(statement)
        self._progress.start(self._registration.counts)
        try:
            super().process_sql(statement, bindings, False, summary)
        finally:
            self._progress.stop()
            self.output = output
        return has_rows

    def _write_empty(self, statement: str) -> None:
        """Write the CSV header or the empty JSON array for a result without rows, because APSW writes nothing."""
        if self.output not in (self.output_csv, self.output_json):
            return
        with contextlib.suppress(apsw.Error):  # a statement that created a table cannot be prepared again
            description = apsw.ext.query_info(self.db, statement).description
            if description and self.output == self.output_json:
                self.write(self.stdout, "[]\n")
            elif description and self.header:
                self.output_csv(True, [column[0] for column in description])

    def command_requests(self, cmd: list[str]) -> None:
        """requests ON|OFF: Show after each statement which HTTP requests it sent (default OFF)

        The line on stderr shows the number of requests by kind and provider, the rows, the delay by rate limits
        and retries, and the time of the statement. The table ftsql_requests lists the requests one by one.
        """
        self._shows_requests = self._boolean_command("requests", cmd)

    def command_open(self, cmd: list[str]) -> None:
        """open ?OPTIONS? ?FILE?: Opens a database connection, with ftsql's tables"""
        if self._options.get("read_only"):
            raise self.Error("open is refused under --read-only: start again with --db")
        before = self._registration
        super().command_open(cmd)
        self._registration = register(self.db, **self._options)
        self._registration.confirm_writes(self._confirm_writes)
        self._registration.confirm_comparisons(self._confirm_comparison)
        before.close()
        report_shadowing(self.db)

    command_open.__doc__ = apsw.shell.Shell.command_open.__doc__

    def command_connection(self, cmd: list[str]) -> None:
        """connection: Refused, because the other connections are internal to ftsql"""
        raise self.Error("connection is refused: the others are internal to ftsql. To open another file: .open FILE")

    def command_quit(self, cmd: list[str], name: str = "quit") -> None:
        """quit ?CODE?: Exits this program, as exit does"""
        self.command_exit(cmd)  # older APSW versions have no command quit

    def command_restore(self, cmd: list[str]) -> None:
        if self._options.get("read_only"):
            raise self.Error("restore is refused under --read-only")
        super().command_restore(cmd)

    command_restore.__doc__ = apsw.shell.Shell.command_restore.__doc__

    def command_tables(self, cmd: list[str]) -> None:
        """tables ?PATTERN?: Lists names of tables matching LIKE pattern

        This also lists views. The tables of ftsql are in the schema live.
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
        """Report the queued writes of a transaction that was not committed."""
        if count := self._registration.queued:
            print_message(
                f"{count} queued {'write was' if count == 1 else 'writes were'} not sent: there was no COMMIT"
            )


def report_shadowing(connection: apsw.Connection) -> None:
    """Print a message if the opened file has a table of jobs that hides the live one."""
    if connection.table_exists("main", JOBS.table):
        from ftsql.sync.snapshot import synced_at

        age = synced_at(connection)
        what = f"has its own table {JOBS.table}" if age is None else "is a snapshot"
        if age:
            what += f" of {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(age))}"
        print_message(f"{connection.filename} {what}: {JOBS.table} reads its rows. The API is live.{JOBS.table}")


def print_message(text: str) -> None:
    """Print a message or an error on stderr."""
    print(f"ftsql: {text}", file=sys.stderr)  # noqa: T201 - a command prints
