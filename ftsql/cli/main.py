"""The command ``ftsql``: SQL from its arguments, a file, a pipe or a prompt.

Any error ends a run that is not interactive with code 1, and is a message and never a traceback.
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
from ftsql.cli.documents import Query, query
from ftsql.cli.shell import Shell, complain, notice
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
  ftsql writes                                                               what nobody knows the end of
  ftsql store                                                                what is known, and where it is kept
  ftsql sync jobs.db                                                         a plain file for BI tools
  ftsql sync all.db --tables all --contents                                  everything: an archive
  ftsql export all.db file-abc -o train.jsonl                                a file's content out of it
  ftsql serve jobs.db                                                        to clients of PostgreSQL
  ftsql guide                                                                Superset, Power BI, pandas, a provider ...
  ftsql sandbox --port 8000                                                  a local API to try things on
"""


SUBCOMMANDS = ("queries", "guide", "explain", "sync", "export", "serve", "writes", "store", "sandbox")
ALONE = ("begin", "commit", "end", "rollback", "vacuum", "analyze", "reindex")  # SQL of one word
# The subcommands that take words alone.
PLAIN = {"store": subcommands.store, "explain": subcommands.explain}

# Those that stand first, and have options of their own.
APART = {"sandbox": subcommands.serve_sandbox, "serve": subcommands.serve, "export": subcommands.export}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ftsql", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    listed = "queries [NAME], guide [TOPIC], explain SQL, writes [settle [N]], store [clear | refresh], sync FILE, "
    listed += "export FILE ID, serve [FILE]"
    add("words", nargs="*", metavar="SQL", help=f"SQL to run, or: {listed}")
    add("-f", dest="file", metavar="FILE", help="run the SQL of a file")
    add("--db", metavar="FILE", default=":memory:", help="your own SQLite file, to join with and write to")
    add("--mode", metavar="MODE", help="output: box, csv, json, jsonl, line, list, table, … (see .help mode)")
    add("--sandbox", action="store_true", help="serve everything from a local sandbox with made-up jobs; no key needed")
    add("--provider", action="append", metavar="NAME", help="ask this provider only; may be repeated")
    add("--config", metavar="FILE", help="your own provider file (TOML)")
    add("--read-only", action="store_true", help="SQL that writes is refused, to the APIs and to the file")
    add("--trust-file", action="store_true", help="let triggers that live in the file create and cancel jobs")
    add("--max-writes", type=int, metavar="N", help="creates, cancels and deletes allowed in one statement (20)")
    add("--max-creates-per-day", type=int, metavar="N", help="creates allowed in 24 hours (any number)")
    add("--max-requests", type=int, metavar="N", help="requests allowed in one statement (10000)")
    add("--timeout", type=float, metavar="SECONDS", help="how long an answer may take to come (60)")
    add("--store", metavar="FILE", help="what keeps the record of writes (FTSQL_STORE, else a file of the platform's)")
    add(
        "--yes",
        action="store_true",
        help="do not ask before several creates or cancels, nor where a comparison is in doubt",
    )
    syncing = parser.add_argument_group("to keep a plain SQLite file like the live tables: ftsql sync FILE")
    add = syncing.add_argument
    add(
        "--tables",
        metavar="NAMES",
        help=f"which of {', '.join(short_name(one.table) for one in SYNCABLE)}, with commas, or all ({','.join(DEFAULT_TABLES)})",
    )
    add("--contents", action="store_true", help="keep training, validation and result files too: an archive")
    add("--every", type=float, metavar="SECONDS", help="do it again and again, until Ctrl-C or SIGTERM")
    decisions = parser.add_argument_group("to close an open write: ftsql writes settle N")
    decide = decisions.add_mutually_exclusive_group().add_argument
    decide("--keep", dest="decision", action="store_const", const="keep", help="the job that it created stays")
    decide("--cancel", dest="decision", action="store_const", const="cancel", help="cancel the job that it created")
    decide("--none", dest="decision", action="store_const", const="none", help="no job came of it")
    decide("--job", metavar="ID", help="it created this job, which stays")
    add("--version", action="version", version=f"ftsql {ftsql.__version__}, SQLite {apsw.sqlite_lib_version()}")
    return parser


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    """How a warning looks in the shell: a line on stderr, and no path of ours."""
    complain(str(message))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command; ends the process with 0, 1 for an error, 2 for a wrong option, 130 for Ctrl-C."""
    _open_streams()
    warnings.showwarning = _warn
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        apart = APART.get(words[0] if words else "")
        code = _run(words) if apart is None else apart(words[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except (KeyboardInterrupt, apsw.InterruptError) as error:
        if not getattr(error, "_handle_exception_saw_this", False):
            complain((isinstance(error, KeyboardInterrupt) and str(error)) or "interrupted")
        interrupts.clear_pending_interrupt()
        code = 130
    except (Error, apsw.Error, apsw.shell.Shell.Error, ImportError, OSError, UnicodeError) as error:
        if not getattr(error, "_handle_exception_saw_this", False):
            complain(str(error))
        code = 1
    except Exception as error:
        if not getattr(error, "_handle_exception_saw_this", False):  # APSW's shell has told of it in words
            raise
        code = 1
    sys.exit(code)


def _open_streams() -> None:
    """Have a stdout and a stderr, also if the caller closed them, and write what their encoding lacks as escapes."""
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
    chosen = None
    if given.words[:1] == ["queries"]:
        if len(given.words) == 1:
            subcommands.list_queries()
            return 0
        chosen = query(given.words[1])
        given.words = []
    if given.words[:1] == ["guide"]:
        if len(given.words) > 2:
            parser.error("say: ftsql guide, or ftsql guide TOPIC")
        subcommands.guide(given.words[1] if given.words[1:] else None)
        return 0
    first, rest = (given.words or [""])[0], given.words[1:]
    if first in APART:
        parser.error(f"say {first} first: ftsql {first} …; its options follow (ftsql {first} --help)")
    if first.isalpha() and first.lower() not in (*SUBCOMMANDS, *ALONE):
        near = difflib.get_close_matches(first.lower(), SUBCOMMANDS, 1)
        if rest and not near:
            parser.error("put the SQL into quotes, as one argument")
        hint = f"; did you mean ftsql {near[0]}?" if near else f": there are {', '.join(SUBCOMMANDS)} (ftsql --help)"
        parser.error(f"there is no subcommand {first}{hint}")
    if rest and first not in ("writes", "sync") and first not in PLAIN:
        parser.error("put the SQL into quotes, as one argument")
    if first != "writes" and (given.decision or given.job):
        parser.error("--keep, --cancel, --none and --job belong to: ftsql writes settle N")
    if first != "sync" and (given.tables or given.every is not None or given.contents):
        parser.error("--tables, --contents and --every belong to: ftsql sync FILE")
    if first == "sync":
        return _sync(parser, given, rest)
    new = given.db != ":memory:" and not given.db.startswith("file:") and not os.path.exists(given.db)
    if new and given.read_only:
        raise ProgrammingError(f"there is no file {given.db}, and --read-only makes none")
    options = _options(given)
    connection = _connect(given.db, options)
    try:
        shell = Shell(connection, connection.ftsql, options, ask=not given.yes)
        if given.mode:
            try:
                shell.command_mode([given.mode])
            except apsw.shell.Shell.Error as error:
                parser.error(str(error).partition("\n")[0])
        notice(connection)
        if new:
            complain(f"{given.db} is a new file")
        if first == "writes":
            decision: Decision | None = "job" if given.job else given.decision
            return subcommands.writes(shell, connection.ftsql, rest, decision, given.job)
        if first in PLAIN:
            return PLAIN[first](connection.ftsql, rest)
        try:
            _work(shell, given.words[0] if given.words else None, given.file, chosen)
        finally:
            shell.close()
    finally:
        connection.close()
    return 0


def _sync(parser: argparse.ArgumentParser, given: argparse.Namespace, rest: list[str]) -> int:
    from ftsql.sync.rounds import refuse_store, resources_named
    from ftsql.sync.snapshot import plain_path

    if len(rest) != 1 or given.file or given.mode or given.db != ":memory:" or given.read_only:
        parser.error("say: ftsql sync FILE, without --db, -f, --mode and --read-only")
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
    """The arguments of ``connect`` that the command's options stand for."""
    names = [name for listed in given.provider or [] for name in listed.split(",")]
    same = ("config", "sandbox", "read_only", "trust_file", "store", "max_writes", "max_creates_per_day")
    options = {name: getattr(given, name) for name in (*same, "max_requests", "timeout")}
    return {**options, "providers": names or None}


def _connect(path: str, options: dict[str, Any]) -> Connection:
    """The connection; without --store and FTSQL_STORE the store is the platform's file, where that can be used."""

    def say(text: str) -> None:
        complain(f"{text}. Until then the record of writes ends with this command")

    try:
        connection = connect_with_default_store(path, say=say, **options)
    except (apsw.CantOpenError, apsw.NotADBError) as error:
        raise ProgrammingError(f"cannot open {path}: {error}") from None
    store = connection.ftsql.store
    options["store"] = store.path  # for what .open opens
    if store.is_new and store.path != MEMORY:
        complain(f"{store.path} keeps the record of what is written, from now on")
    return connection


def _work(shell: Shell, sql: str | None, file: str | None, chosen: Query | None) -> None:
    shell.bail = True
    if chosen is not None:
        print(f"-- {chosen.question}", file=sys.stderr)  # noqa: T201 - a command speaks
        try:
            _once(shell, chosen.runnable(lambda name: _has_table(shell, name)))
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


def _has_table(shell: Shell, name: str) -> bool:
    return any(shell.db.table_exists(schema, name) for schema in ("main", "temp"))


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
