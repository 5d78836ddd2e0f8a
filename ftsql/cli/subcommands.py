"""What the command ``ftsql`` does besides running SQL: its subcommands queries, sync, explain, …

Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import datetime
import signal
import sys
import threading
import time
from collections.abc import Sequence

import apsw

from ftsql.cli.documents import all_queries, all_topics, topic
from ftsql.cli.progress import Progress
from ftsql.cli.shell import Shell, complain
from ftsql.connection import Connection
from ftsql.errors import ConfigError, ProgrammingError
from ftsql.registration import Registration
from ftsql.stackql import translate
from ftsql.write.recovery import Decision

OPEN_WRITES = """
SELECT write_id, datetime(at, 'unixepoch', 'localtime') AS at, state, action, provider, job_id, error, statement
FROM live.ftsql_writes WHERE open ORDER BY write_id
"""


def writes(
    shell: Shell, registration: Registration, words: Sequence[str], decision: Decision | None, job_id: str | None
) -> int:
    """``ftsql writes [settle [N]]``: list the open writes, look again for them, or close one by the user's word.

    Gives the exit code: 1 where a settle leaves writes open. Raises ProgrammingError for other words.
    """
    number = int(words[1]) if len(words) > 1 and words[1].isdecimal() else None
    if not words and decision is None:
        shell.process_sql(OPEN_WRITES)
        return 0
    if not words or words[0] != "settle" or len(words) > 2 or (len(words) == 2 and number is None):
        raise ProgrammingError("say: ftsql writes, ftsql writes settle, or ftsql writes settle N --keep (see --help)")
    if (number is None) != (decision is None):
        raise ProgrammingError(
            "a write's number and --keep, --cancel, --none or --job ID go together: ftsql writes lists the numbers"
        )
    if number is not None and decision is not None:
        print(registration.decide(number, decision, job_id))  # noqa: T201 - a command speaks
        return 0
    for line in registration.settle():
        print(line)  # noqa: T201
    left = shell.db.execute("SELECT count(*) FROM live.ftsql_writes WHERE open").get
    complain(f"{left} {'write is' if left == 1 else 'writes are'} open" if left else "no write is open")
    return 1 if left else 0


def store(registration: Registration, words: Sequence[str]) -> int:
    """``ftsql store [clear | refresh]``: where it is and what it knows; forget that; have all read anew."""
    kept = registration.store
    if words not in ([], ["clear"], ["refresh"]):
        raise ProgrammingError("say: ftsql store, ftsql store clear, or ftsql store refresh")
    if words == ["clear"]:
        kept.clear()
        complain("forgot everything but open writes and those of the last day")
    elif words == ["refresh"]:
        registration.refresh()
        complain("the next listing reads everything")
    else:
        print(f"{kept.path}, {kept.size() / 1e6:.1f} MB")  # noqa: T201
        for provider, jobs, finished, horizon, full_at in kept.contents():
            reach = "no full listing yet" if not full_at else f"all read at {_time(full_at)}"
            reach += f", complete up to {_time(horizon)}" if horizon else ""
            print(f"{provider}: {jobs} jobs known, {finished} of them finished; {reach}")  # noqa: T201
        counts = ", ".join(f"{count} {state}" for state, count in kept.writes())
        print(f"writes: {counts or 'none'}")  # noqa: T201
    return 0


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")


def explain(registration: Registration, words: Sequence[str]) -> int:
    """``ftsql explain SQL``: what it would cost, without a request."""
    if len(words) != 1:
        raise ProgrammingError('say: ftsql explain "SQL", in quotes, as one argument')
    sql = translate(words[0], registration.providers, registration.accounts)
    for cost in registration.explain(sql):
        print(f"{cost.what}: {cost.number}: {cost.why}")  # noqa: T201
    return 0


def list_queries() -> None:
    """Print each query's name and question."""
    found = all_queries()
    width = max(len(query.name) for query in found)
    for entry in found:
        print(f"{entry.name:{width}}  {entry.question}")  # noqa: T201 - rows go to stdout


def guide(name: str | None) -> None:
    """``ftsql guide [TOPIC]``: print each page's name and title, or a page. Raises ProgrammingError for no page."""
    if name is not None:
        print(topic(name).text.rstrip())  # noqa: T201
        return
    found = all_topics()
    width = max(len(page.name) for page in found)
    for page in found:
        print(f"{page.name:{width}}  {page.title}")  # noqa: T201


def _port(text: str) -> int:
    if text.isdecimal() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")


def sync_file(connection: Connection, path: str, tables: str, every: float | None, *, contents: bool = False) -> int:
    """``ftsql sync FILE``: bring it up to date once, or ``every`` so many seconds until Ctrl-C or SIGTERM.

    Return the exit code: 1 if a provider failed, or a content is missing. Raise KeyboardInterrupt if one round was to
    end early.
    """
    from ftsql.sync.rounds import Sync

    stopped = False
    over = threading.Event()

    def stop(*_: object) -> None:
        nonlocal stopped
        if stopped:
            raise KeyboardInterrupt
        stopped = True
        interrupting.start()

    def interrupt() -> None:
        # Again and again: an interrupt ends the statement under way, and the next one may begin just now.
        while not over.wait(0.05):
            connection.interrupt()

    interrupting = threading.Thread(target=interrupt, daemon=True)
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    syncing = Sync(connection, path, tables.split(",") if tables else (), lambda: stopped, contents=contents)
    progress = Progress(sys.stderr)
    try:
        if every is not None:
            syncing.serve(every, complain)
            return 0
        progress.start(connection.ftsql.counts)
        requests: list[int] = []
        for done in syncing.rounds():
            progress.stop()
            complain(str(done))
            requests.append(done.counts.kinds.total())
            progress.start(connection.ftsql.counts)
        progress.stop()
        if len(requests) > 1:
            complain(f"{len(requests)} rounds, in all {sum(requests):,} requests")
        if syncing.is_archive and not contents:
            complain(f"{path} is an archive: --contents looks at the contents of its files too")
        for line in done.complaints():
            complain(line)
        return int(done.failed)
    except apsw.InterruptError:
        raise KeyboardInterrupt("interrupted: the same command goes on where it was") from None
    finally:
        progress.stop()
        over.set()
        if stopped:
            interrupting.join()  # the connection is closed next
        syncing.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def serve_sandbox(words: Sequence[str]) -> int:
    """``ftsql sandbox``: serve until Ctrl-C. Raises ProgrammingError for a port or a file that cannot be used."""
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


def export(words: Sequence[str]) -> int:
    """``ftsql export``: see ftsql/sync/export.py."""
    from ftsql.sync.export import export as export_files

    return export_files(words, complain)


def serve(words: Sequence[str]) -> int:
    """``ftsql serve``: serve PostgreSQL's protocol until Ctrl-C. Raises ConfigError without the extra."""
    try:
        import pg_mimic  # noqa: F401
        import regex  # noqa: F401
        import sqlglot  # noqa: F401
    except ImportError:
        raise ConfigError("ftsql serve needs its extra: pip install 'ftsql[serve]'") from None
    from ftsql.serve.command import serve as serve_postgresql

    return serve_postgresql(words, complain)
