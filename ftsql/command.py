"""The command ``ftsql``: SQL from its arguments, a file, a pipe or a prompt.

Any error ends a run that is not interactive with code 1, and is a message and never a traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Sequence
from typing import NoReturn

import apsw
import apsw.shell

import ftsql
from ftsql.connection import connect
from ftsql.errors import Error, ProgrammingError
from ftsql.queries import Query, all_queries, query
from ftsql.resources import JOBS
from ftsql.shell import Shell, complain, notice

DESCRIPTION = """\
Fine-tuning jobs as a SQL table, on any OpenAI-compatible API.

  ftsql --sandbox "SELECT id, model, status FROM fine_tuning_jobs LIMIT 5"   no key needed
  ftsql "SELECT count(*), status FROM fine_tuning_jobs GROUP BY status"      OPENAI_API_KEY
  ftsql --db my.db                                                           a prompt, with your tables
  ftsql queries                                                              questions, ready to run
  ftsql sandbox --port 8000                                                  a local API to try things on
"""


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


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    """How a warning looks in the shell: a line on stderr, and no path of ours."""
    complain(str(message))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command; ends the process with 0, 1 for an error, 2 for a wrong option, 130 for Ctrl-C."""
    warnings.showwarning = _warn
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _serve_sandbox(words[1:]) if words[:1] == ["sandbox"] else _run(words)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except (KeyboardInterrupt, apsw.InterruptError) as error:
        if not getattr(error, "_handle_exception_saw_this", False):
            complain("interrupted")
        code = 130
    except (Error, apsw.Error, apsw.shell.Shell.Error, ImportError, OSError, UnicodeError) as error:
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
    new = given.db != ":memory:" and not given.db.startswith("file:") and not os.path.exists(given.db)
    try:
        connection = connect(given.db, **options)
    except (apsw.CantOpenError, apsw.NotADBError) as error:
        raise ProgrammingError(f"cannot open {given.db}: {error}") from None
    try:
        shell = Shell(connection, connection.ftsql, options)
        if given.mode:
            try:
                shell.command_mode([given.mode])
            except apsw.shell.Shell.Error as error:
                parser.error(str(error).partition("\n")[0])
        notice(connection)
        if new:
            complain(f"{given.db} is a new file")
        _work(shell, given.words[0] if given.words else None, given.file, chosen)
        shell.close()
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
            if file == "-":
                shell.run(sys.stdin)
            else:
                with open(file, encoding="utf-8") as opened:
                    shell.run(opened)
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
        shell.run(sys.stdin)


def _once(shell: Shell, text: str) -> None:
    try:
        if text.lstrip().startswith("."):
            shell.process_command(text.strip())
        else:
            shell.process_sql(text)
    except BrokenPipeError:
        raise
    except Exception:
        shell.handle_exception()


def _list_queries() -> None:
    found = all_queries()
    width = max(len(query.name) for query in found)
    for entry in found:
        print(f"{entry.name:{width}}  {entry.question}")  # noqa: T201 - rows go to stdout


def _port(text: str) -> int:
    if text.isdecimal() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")


def _serve_sandbox(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="ftsql sandbox", description="Serve the APIs locally, with made-up jobs.")
    add = parser.add_argument
    add("--port", type=_port, default=8000, help="port to listen on (8000); 0 takes a free one")
    add("--jobs", type=int, default=250, help="jobs to make up (250)")
    add("--seed", type=int, default=0, help="what to make them up from (0)")
    add("--state", default=":memory:", metavar="FILE", help="keep the jobs in a file")
    add("--latency", type=float, default=0.0, metavar="SECONDS", help="wait before each answer")
    given = parser.parse_args(words)
    if given.jobs < 0 or given.latency < 0:
        parser.error("--jobs and --latency cannot be below 0")
    from ftsql.sandbox import Sandbox

    try:
        sandbox = Sandbox(
            jobs=given.jobs, seed=given.seed, state=given.state, port=given.port, latency=given.latency
        ).start()
    except apsw.Error as error:
        raise ProgrammingError(f"cannot keep the sandbox's jobs in {given.state}: {error}") from None
    except OSError as error:
        raise ProgrammingError(f"cannot listen on port {given.port}: {error.strerror}. Choose another --port") from None
    try:
        for name, url in sandbox.faces().items():
            print(f"{name}  {url}")  # noqa: T201 - a command speaks
        complain("any key but 'wrong' is accepted; Ctrl-C ends")
        sys.stdout.flush()
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return 0
    finally:
        sandbox.stop()
