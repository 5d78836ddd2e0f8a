"""The command ``ftsql``: SQL from its arguments, a file, a pipe or a prompt, on APSW's shell.

Rows go to stdout, everything else to stderr; any error ends a run that is not interactive with code 1.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, NoReturn

import apsw
import apsw.ext
import apsw.shell

import ftsql
from ftsql.connection import Registration, connect, register
from ftsql.errors import Error, ProgrammingError
from ftsql.queries import Query, all_queries, query
from ftsql.resources import JOBS

DESCRIPTION = """\
Fine-tuning jobs as a SQL table, on any OpenAI-compatible API.

  ftsql --sandbox "SELECT id, model, status FROM fine_tuning_jobs LIMIT 5"   no key needed
  ftsql "SELECT count(*), status FROM fine_tuning_jobs GROUP BY status"      OPENAI_API_KEY
  ftsql --db my.db                                                           a prompt, with your tables
  ftsql queries                                                              questions, ready to run
  ftsql sandbox --port 8000                                                  a local API to try things on
"""


class Shell(apsw.shell.Shell):
    """APSW's shell with ftsql's tables in every database that it opens."""

    def __init__(self, connection: apsw.Connection, registration: Registration, options: dict[str, Any]) -> None:
        super().__init__(db=connection)
        self._registration = registration
        self._options = options
        self.prompt = "ftsql> "
        self.moreprompt = "   ..> "
        self.history_file = "~/.ftsql_history"
        self.header = True
        if self._using_a_terminal():
            self.output = self.output_fit
        else:
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

    def process_sql(self, sql: str, bindings: Any = None, internal: bool = False, summary: Any = None) -> None:
        """Run SQL statement by statement, and say which jobs each created, also where it failed afterwards."""
        if internal:
            super().process_sql(sql, bindings, internal, summary)
            return
        while sql.strip():
            details = self._query_details(sql, self.bindings if bindings is None else bindings)
            statement, sql = (sql, "") if details.error_text else (details.query, details.remaining)
            try:
                if not self._answered(statement, bindings, summary) and not details.error_text:
                    self._write_empty(statement)
            finally:
                for job in self._registration.take_created():
                    model, status = job.values.get("model"), job.status
                    self.write_error(f"created {job.id} (provider {job.provider}, model {model}, status {status})\n")

    def _answered(self, statement: str, bindings: Any, summary: Any) -> bool:
        """Run one statement; whether it gave any row."""
        output = self.output
        answered = False

        @functools.wraps(output)
        def noting(*arguments: Any) -> Any:
            nonlocal answered
            answered = True
            return output(*arguments)

        self.output = noting
        try:
            super().process_sql(statement, bindings, False, summary)
        finally:
            self.output = output
        return answered

    def _write_empty(self, statement: str) -> None:
        """What a program that reads our output needs of an answer without rows, which APSW leaves out."""
        if self.output == self.output_csv and self.header:
            with contextlib.suppress(apsw.Error):  # what created a table cannot be prepared again
                description = apsw.ext.query_info(self.db, statement).description
                if description:
                    self.output_csv(True, [column[0] for column in description])
        elif self.output == self.output_json:
            self.write(self.stdout, "[]\n")

    def command_open(self, cmd: list[str]) -> None:
        """open ?OPTIONS? ?FILE?: Opens a database connection, with ftsql's tables"""
        before = self._registration
        super().command_open(cmd)
        self._registration = register(self.db, **self._options)
        before.close()
        notice(self.db)

    command_open.__doc__ = apsw.shell.Shell.command_open.__doc__

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
                    "SELECT iif(schema IN ('main', 'live'), name, schema || '.' || name) FROM pragma_table_list "
                    "WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND type <> 'shadow' AND name LIKE ?1 ORDER BY 1",
                    (pattern,),
                    internal=True,
                )
        finally:
            self.pop_output()


def notice(connection: apsw.Connection) -> None:
    """Says on stderr when the opened file has a table that stands before ours."""
    if connection.table_exists("main", JOBS.table):
        complain(
            f"{connection.filename} has a table {JOBS.table} of its own (a snapshot?): that name means it. "
            f"The API is live.{JOBS.table}"
        )


def complain(text: str) -> None:
    print(f"ftsql: {text}", file=sys.stderr)  # noqa: T201 - a command speaks


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ftsql", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("words", nargs="*", metavar="SQL", help="SQL to run, or: queries [NAME]")
    add("-f", dest="file", metavar="FILE", help="run the SQL of a file")
    add("--db", metavar="FILE", default=":memory:", help="your own SQLite file, to join with and write to")
    add("--mode", metavar="MODE", help="output: box, csv, json, jsonl, line, list, table, … (see .help mode)")
    add("--sandbox", action="store_true", help="serve everything from a local sandbox with made-up jobs; no key needed")
    add("--provider", action="append", metavar="NAME", help="ask this provider only; may be repeated")
    add("--config", metavar="FILE", help="your own provider file (TOML)")
    add("--read-only", action="store_true", help="write nothing, neither to the APIs nor to the file")
    add("--trust-file", action="store_true", help="let triggers that live in the file create and cancel jobs")
    add("--max-writes", type=int, metavar="N", help="creates and cancels allowed in one statement (20)")
    add("--max-requests", type=int, metavar="N", help="requests allowed in one statement (10000)")
    add("--timeout", type=float, metavar="SECONDS", help="how long an answer may take to come (60)")
    add("--version", action="version", version=f"ftsql {ftsql.__version__}, SQLite {apsw.sqlite_lib_version()}")
    return parser


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command; ends the process with 0, 1 for an error, 2 for a wrong option, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _serve_sandbox(words[1:]) if words[:1] == ["sandbox"] else _run(words)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except KeyboardInterrupt:
        complain("interrupted")
        code = 130
    except (Error, apsw.Error, ImportError, OSError) as error:
        if not getattr(error, "_handle_exception_saw_this", False):
            complain(str(error))
        code = 1
    sys.exit(code)


def _run(words: Sequence[str]) -> int:
    parser = _parser()
    given = parser.parse_intermixed_args(words)
    chosen = None
    if given.words[:1] == ["queries"]:
        if len(given.words) == 1:
            _list_queries()
            return 0
        chosen = query(given.words[1])
        given.words = []
    if len(given.words) > 1:
        parser.error("put the SQL into quotes, as one argument")
    names = [name for listed in given.provider or [] for name in listed.split(",")]
    options = {
        "providers": names or None,
        "config": given.config,
        "sandbox": given.sandbox,
        "read_only": given.read_only,
        "trust_file": given.trust_file,
        "max_writes": given.max_writes,
        "max_requests": given.max_requests,
        "timeout": given.timeout,
    }
    if given.db != ":memory:" and not given.db.startswith("file:") and given.read_only and not os.path.exists(given.db):
        raise ProgrammingError(f"there is no file {given.db}, and --read-only makes none")
    connection = connect(given.db, **options)
    try:
        shell = Shell(connection, connection.ftsql, options)
        if given.mode:
            try:
                shell.command_mode([given.mode])
            except apsw.shell.Shell.Error as error:
                parser.error(str(error).partition("\n")[0])
        notice(connection)
        _work(shell, given.words[0] if given.words else None, given.file, chosen)
    finally:
        connection.close()
    return 0


def _work(shell: Shell, sql: str | None, file: str | None, chosen: Query | None) -> None:
    shell.bail = True
    if chosen is not None:
        print(f"-- {chosen.question}", file=sys.stderr)  # noqa: T201 - a command speaks
        try:
            _once(shell, chosen.sql)
        except apsw.SQLError:
            for need in chosen.needs:
                complain(f"this query needs a table of yours, in the file that you name with --db: {need}")
            raise
    elif sql is not None or file is not None:
        if file is not None:
            with open(file, encoding="utf-8") as opened:
                _once(shell, opened.read())
        if sql is not None:
            _once(shell, sql)
    elif shell._using_a_terminal():
        shell.bail = False
        shell.interactive = True
        shell.cmdloop(
            f"ftsql {ftsql.__version__}, SQLite {apsw.sqlite_lib_version()}. The table is {JOBS.table}; "
            ".tables lists all, .help helps, .quit ends.\n",
            transient="",
        )
    else:
        shell.interactive = False
        shell.cmdloop()


def _once(shell: Shell, text: str) -> None:
    try:
        if text.lstrip().startswith("."):
            shell.process_command(text.strip())
        else:
            shell.process_sql(text)
    except Exception:
        shell.handle_exception()


def _list_queries() -> None:
    found = all_queries()
    width = max(len(query.name) for query in found)
    for entry in found:
        print(f"{entry.name:{width}}  {entry.question}")  # noqa: T201 - rows go to stdout


def _serve_sandbox(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="ftsql sandbox", description="Serve the APIs locally, with made-up jobs.")
    add = parser.add_argument
    add("--port", type=int, default=8000, help="port to listen on (8000); 0 takes a free one")
    add("--jobs", type=int, default=250, help="jobs to make up (250)")
    add("--seed", type=int, default=0, help="what to make them up from (0)")
    add("--state", default=":memory:", metavar="FILE", help="keep the jobs in a file")
    add("--latency", type=float, default=0.0, metavar="SECONDS", help="wait before each answer")
    given = parser.parse_args(words)
    from ftsql.sandbox import Sandbox

    with Sandbox(
        jobs=given.jobs, seed=given.seed, state=given.state, port=given.port, latency=given.latency
    ) as sandbox:
        for name, url in sandbox.faces().items():
            print(f"{name}  {url}")  # noqa: T201 - a command speaks
        complain("any key but 'wrong' is accepted; Ctrl-C ends")
        sys.stdout.flush()
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return 0
