"""The entry point of the command ``ftsql``: its options, and SQL from arguments, a file, a pipe or the prompt.

An error is printed as a message, never as a traceback. It ends the process with code 1, except at the prompt.
"""

from __future__ import annotations

import argparse
import difflib
import io
import math
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import apsw
import apsw.shell

import ftsql
from ftsql import interrupts
from ftsql.cli import subcommands
from ftsql.cli.documents import Query, find_query
from ftsql.cli.shell import Shell, print_message, report_shadowing
from ftsql.connection import Connection, connect_with_default_store
from ftsql.errors import Error, ProgrammingError
from ftsql.resources.definitions import JOBS
from ftsql.store.process_lock import MEMORY
from ftsql.sync.tables import DEFAULT_TABLES, SYNCABLE, short_name
from ftsql.write.recovery import Decision

DESCRIPTION = """\
Fine-tuning jobs as a SQL table, on any OpenAI-compatible API.

  ftsql --sandbox "SELECT id, model, status FROM fine_tuning_jobs LIMIT 5"   no key needed
  ftsql "SELECT count(*), status FROM fine_tuning_jobs GROUP BY status"      OPENAI_API_KEY
  ftsql --db my.db                                                           a prompt, with your tables
  ftsql queries                                                              questions, ready to run
  ftsql explain "SELECT ..."                                                 how many requests it would send
  ftsql writes                                                               writes whose outcome is unknown
  ftsql store                                                                the cache of jobs, and its file
  ftsql sync jobs.db                                                         a plain file for BI tools
  ftsql sync all.db --tables all --contents                                  an archive of everything
  ftsql export all.db file-abc -o train.jsonl                                a file out of that archive
  ftsql serve jobs.db                                                        a server for PostgreSQL clients
  ftsql guide                                                                Superset, Power BI, pandas, a provider ...
  ftsql sandbox --port 8000                                                  a local API for experiments
"""

SUBCOMMANDS = ("queries", "guide", "explain", "sync", "export", "serve", "writes", "store", "sandbox")
SQL_OF_ONE_WORD = ("begin", "commit", "end", "rollback", "vacuum", "analyze", "reindex")
# Subcommands that use a connection and have no options of their own.
WITHOUT_OPTIONS = {"store": subcommands.store, "explain": subcommands.explain}
# Subcommands that must be the first word and parse their own options.
WITH_OPTIONS = {"sandbox": subcommands.serve_sandbox, "serve": subcommands.serve, "export": subcommands.export}
ONE_ARGUMENT = "put the SQL into quotes, as one argument"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ftsql", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    listed = "queries [NAME], guide [TOPIC], explain SQL, writes [settle [N]], store [clear | refresh], sync FILE, "
    listed += "export FILE ID, serve [FILE]"
    add("words", nargs="*", metavar="SQL", help=f"SQL to run, or: {listed}")
    add("-f", dest="file", metavar="FILE", help="run the SQL of a file")
    add("--db", metavar="FILE", default=":memory:", help="your own SQLite file, to join with and to write to")
    add("--mode", metavar="MODE", help="output: box, csv, json, jsonl, line, list, table, … (see .help mode)")
    add("--sandbox", action="store_true", help="serve everything from a local sandbox with made-up jobs; no key needed")
    add("--provider", action="append", metavar="NAME", help="ask only this provider; may be repeated")
    add("--config", metavar="FILE", help="your own provider file (TOML)")
    add("--read-only", action="store_true", help="refuse SQL that writes to the APIs or to the file")
    add("--trust-file", action="store_true", help="let triggers that are stored in the file create and cancel jobs")
    add("--max-writes", type=int, metavar="N", help="creates, cancels and deletes allowed in one statement (20)")
    add("--max-creates-per-day", type=int, metavar="N", help="creates allowed in 24 hours (no limit)")
    add("--max-requests", type=int, metavar="N", help="requests allowed in one statement (10000)")
    add("--timeout", type=float, metavar="SECONDS", help="how long a response may pause (60)")
    add("--store", metavar="FILE", help="file of the cache and write journal (FTSQL_STORE, else in the data folder)")
    add(
        "--yes",
        action="store_true",
        help="do not ask before several creates or cancels, or about a doubtful comparison",
    )
    syncing = parser.add_argument_group(
        "options of ftsql sync FILE, which copies the live tables into a plain SQLite file"
    )
    add = syncing.add_argument
    names = ", ".join(short_name(resource.table) for resource in SYNCABLE)
    add("--tables", metavar="NAMES", help=f"some of {names}, with commas, or all ({','.join(DEFAULT_TABLES)})")
    add("--contents", action="store_true", help="keep training, validation and result files too, as an archive")
    add("--every", type=float, metavar="SECONDS", help="repeat until Ctrl-C or SIGTERM")
    decisions = parser.add_argument_group("options of ftsql writes settle N, which closes an open write")
    decide = decisions.add_mutually_exclusive_group().add_argument
    decide("--keep", dest="decision", action="store_const", const="keep", help="keep the job that it created")
    decide("--cancel", dest="decision", action="store_const", const="cancel", help="cancel the job that it created")
    decide("--none", dest="decision", action="store_const", const="none", help="it created no job")
    decide("--job", metavar="ID", help="it created this job; keep it")
    add("--version", action="version", version=f"ftsql {ftsql.__version__}, SQLite {apsw.sqlite_lib_version()}")
    return parser


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning as one line on stderr, without the path and line of the code that issued the warning."""
    print_message(str(message))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and end the process.

    The exit code is 1 after an error, 2 after wrong usage, 130 after Ctrl-C, and otherwise 0.
    """
    _open_streams()
    warnings.showwarning = _warn
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        subcommand = WITH_OPTIONS.get(words[0] if words else "")
        code = _run(words) if subcommand is None else subcommand(words[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the program that reads the pipe has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except (KeyboardInterrupt, apsw.InterruptError) as error:
        if not getattr(error, "_handle_exception_saw_this", False):
            print_message((isinstance(error, KeyboardInterrupt) and str(error)) or "interrupted")
        interrupts.clear_pending_interrupt()
        code = 130
    except (Error, apsw.Error, apsw.shell.Shell.Error, ImportError, OSError, UnicodeError) as error:
        if not getattr(error, "_handle_exception_saw_this", False):
            print_message(str(error))
        code = 1
    except Exception as error:
        if not getattr(error, "_handle_exception_saw_this", False):  # APSW's shell has printed it
            raise
        code = 1
    sys.exit(code)


def _open_streams() -> None:
    """Open stdout and stderr if the caller closed them. Make them escape characters that their encoding lacks."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until the process ends
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run(words: Sequence[str]) -> int:
    parser = _parser()
    with interrupts.keep_keyboard_interrupt():
        given = parser.parse_intermixed_args(words)
    first, rest = (given.words or [""])[0], given.words[1:]
    if first == "guide":
        return _guide(parser, rest)
    if first == "queries":
        if not rest:
            subcommands.list_queries()
            return 0
        chosen = find_query(rest[0])
        _check_options(parser, given, first)
        return _run_on_connection(parser, given, chosen)
    _check_words(parser, first, rest)
    _check_options(parser, given, first)
    return _sync(parser, given, rest) if first == "sync" else _run_on_connection(parser, given)


def _guide(parser: argparse.ArgumentParser, rest: list[str]) -> int:
    if len(rest) > 1:
        parser.error("use: ftsql guide, or ftsql guide TOPIC")
    subcommands.guide(rest[0] if rest else None)
    return 0


def _check_words(parser: argparse.ArgumentParser, first: str, rest: list[str]) -> None:
    """End the process with a usage error if the words are neither one SQL argument nor a subcommand with its words."""
    if first in WITH_OPTIONS:
        parser.error(f"put {first} first: ftsql {first} …; its options follow (ftsql {first} --help)")
    if first.isalpha() and first.lower() not in (*SUBCOMMANDS, *SQL_OF_ONE_WORD):
        near = difflib.get_close_matches(first.lower(), SUBCOMMANDS, 1)
        if rest and not near:
            parser.error(ONE_ARGUMENT)
        hint = f"; did you mean ftsql {near[0]}?" if near else f"; there are {', '.join(SUBCOMMANDS)} (ftsql --help)"
        parser.error(f"unknown subcommand {first}{hint}")
    if rest and first not in ("writes", "sync") and first not in WITHOUT_OPTIONS:
        parser.error(ONE_ARGUMENT)


def _check_options(parser: argparse.ArgumentParser, given: argparse.Namespace, first: str) -> None:
    """End the process with a usage error if an option belongs to a subcommand other than ``first``."""
    if first != "writes" and (given.decision or given.job):
        parser.error("--keep, --cancel, --none and --job belong to: ftsql writes settle N")
    if first != "sync" and (given.tables or given.every is not None or given.contents):
        parser.error("--tables, --contents and --every belong to: ftsql sync FILE")


def _run_on_connection(parser: argparse.ArgumentParser, given: argparse.Namespace, chosen: Query | None = None) -> int:
    """Run a subcommand that needs a connection, the query ``chosen``, or SQL."""
    is_new = given.db != ":memory:" and not given.db.startswith("file:") and not os.path.exists(given.db)
    if is_new and given.read_only:
        raise ProgrammingError(f"there is no file {given.db}, and --read-only creates none")
    options = _options(given)
    connection = _connect(given.db, options)
    try:
        shell = Shell(connection, connection.ftsql, options, ask=not given.yes)
        _set_mode(parser, shell, given.mode)
        report_shadowing(connection)
        if is_new:
            print_message(f"{given.db} is a new file")
        words = given.words if chosen is None else []
        first, rest = (words or [""])[0], words[1:]
        if first == "writes":
            decision: Decision | None = "job" if given.job else given.decision
            return subcommands.writes(shell, connection.ftsql, rest, decision, given.job)
        if first in WITHOUT_OPTIONS:
            return WITHOUT_OPTIONS[first](connection.ftsql, rest)
        try:
            shell.bail = True
            if chosen is not None:
                _run_query(shell, chosen)
            else:
                _run_sql(shell, first if words else None, given.file)
        finally:
            shell.close()
    finally:
        connection.close()
    return 0


def _set_mode(parser: argparse.ArgumentParser, shell: Shell, mode: str | None) -> None:
    """Set the output mode of the shell. If the shell has no such mode, end the process with a usage error."""
    if mode:
        try:
            shell.command_mode([mode])
        except apsw.shell.Shell.Error as error:
            parser.error(str(error).partition("\n")[0])


def _sync(parser: argparse.ArgumentParser, given: argparse.Namespace, rest: list[str]) -> int:
    from ftsql.sync.rounds import refuse_store, resources_named
    from ftsql.sync.snapshot import plain_path

    if len(rest) != 1 or given.file or given.mode or given.db != ":memory:" or given.read_only:
        parser.error("use: ftsql sync FILE, without --db, -f, --mode and --read-only")
    if given.every is not None and not 0 < given.every < math.inf:
        parser.error("--every takes seconds above 0")
    options = _options(given)
    named = options["store"] or (not given.sandbox and os.environ.get("FTSQL_STORE")) or ""
    refuse_store(plain_path(rest[0]), named)
    resources_named(given.tables.split(",") if given.tables else ())
    connection = _connect(":memory:", {**options, "max_age": 0.0})
    try:
        return subcommands.sync_file(connection, rest[0], given.tables or "", given.every, contents=given.contents)
    finally:
        connection.close()


def _options(given: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of ``connect`` for the command's options."""
    names = [name for listed in given.provider or [] for name in listed.split(",")]
    same = ("config", "sandbox", "read_only", "trust_file", "store", "max_writes", "max_creates_per_day")
    options = {name: getattr(given, name) for name in (*same, "max_requests", "timeout")}
    return {**options, "providers": names or None}


def _connect(path: str, options: dict[str, Any]) -> Connection:
    """Open the connection. By default, the store is in the platform's data folder, if that folder can be used."""

    def say(text: str) -> None:
        print_message(f"{text}. Until then the journal of writes ends with this command")

    try:
        connection = connect_with_default_store(path, say=say, **options)
    except (apsw.CantOpenError, apsw.NotADBError) as error:
        raise ProgrammingError(f"cannot open {path}: {error}") from None
    store = connection.ftsql.store
    options["store"] = store.path  # a database that .open opens then uses the same store
    if store.is_new and store.path != MEMORY:
        print_message(f"created {store.path}: the cache, and the journal of creates, cancels and deletes")
    return connection


def _run_query(shell: Shell, chosen: Query) -> None:
    """Print the question of a query and run it. If it fails, name the tables that it needs."""
    print(f"-- {chosen.question}", file=sys.stderr)  # noqa: T201 - a command prints
    try:
        _run_text(shell, chosen.runnable(lambda name: _has_table(shell, name)))
    except apsw.SQLError:
        for need in chosen.needs:
            print_message(f"this query needs a table of yours in the file that --db names: {need}")
        raise


def _run_sql(shell: Shell, sql: str | None, file: str | None) -> None:
    """Run the SQL in ``file``, and then ``sql``.

    If neither is given, run the prompt if standard input is a terminal, or otherwise the SQL from standard input.
    """
    if sql is None and file is None:
        if shell._using_a_terminal():
            _run_prompt(shell)
        else:
            shell.run(sys.stdin)
        return
    if file == "-":
        shell.run(sys.stdin)
    elif file is not None:
        with open(file, encoding="utf-8") as opened:
            shell.run(opened)
    if sql is not None:
        _run_text(shell, sql)


def _run_prompt(shell: Shell) -> None:
    shell.bail = False
    shell.interactive = True
    shell.cmdloop(
        f"ftsql {ftsql.__version__}, SQLite {apsw.sqlite_lib_version()}. The table is {JOBS.table}; "
        ".tables lists all, .help helps, .quit ends.\n",
        transient="",
    )


def _has_table(shell: Shell, name: str) -> bool:
    return any(shell.db.table_exists(schema, name) for schema in ("main", "temp"))


def _run_text(shell: Shell, text: str) -> None:
    """Run a dot command or SQL. If an error is raised, the shell prints it and raises it again."""
    try:
        if text.lstrip().startswith("."):
            shell.process_command(text.strip())
        else:
            shell.process_sql(text)
    except BrokenPipeError:
        raise
    except Exception:
        shell.handle_exception()
