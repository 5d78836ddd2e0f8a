"""The subcommands of ``ftsql``: queries, guide, explain, writes, store, sync, sandbox, export and serve.

The subcommands print results to stdout and everything else to stderr.
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

from ftsql.cli.documents import all_queries, all_topics, find_topic
from ftsql.cli.progress import Progress
from ftsql.cli.shell import Shell, print_message
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
    """Run ``ftsql writes [settle [N]]``: list the open writes, look them up again, or close one as the user decides.

    Return the exit code, which is 1 if writes stay open after ``settle``. Raises ProgrammingError for other words.
    """
    if not words and decision is None:
        shell.process_sql(OPEN_WRITES)
        return 0
    number = _write_number(words)
    if (number is None) != (decision is None):
        raise ProgrammingError(
            "a write's number and --keep, --cancel, --none or --job ID go together: ftsql writes lists the numbers"
        )
    if number is not None and decision is not None:
        print(registration.decide(number, decision, job_id))  # noqa: T201 - a command prints
        return 0
    for line in registration.settle():
        print(line)  # noqa: T201
    left = shell.db.execute("SELECT count(*) FROM live.ftsql_writes WHERE open").get
    print_message(f"{left} {'write is' if left == 1 else 'writes are'} open" if left else "no write is open")
    return 1 if left else 0


def _write_number(words: Sequence[str]) -> int | None:
    """Return the number in ``settle N``, or None for ``settle``. Raises ProgrammingError for other words."""
    if words[:1] == ["settle"] and len(words) == 1:
        return None
    if words[:1] == ["settle"] and len(words) == 2 and words[1].isdecimal():
        return int(words[1])
    raise ProgrammingError("use: ftsql writes, ftsql writes settle, or ftsql writes settle N --keep (see --help)")


def store(registration: Registration, words: Sequence[str]) -> int:
    """Run ``ftsql store [clear | refresh]``: show the store, clear its cache, or have every list read in full."""
    opened = registration.store
    if words not in ([], ["clear"], ["refresh"]):
        raise ProgrammingError("use: ftsql store, ftsql store clear, or ftsql store refresh")
    if words == ["clear"]:
        opened.clear()
        print_message("cleared the cache; open writes and the writes of the last day stay")
    elif words == ["refresh"]:
        registration.refresh()
        print_message("the next listing reads all pages")
    else:
        print(f"{opened.path}, {opened.size() / 1e6:.1f} MB")  # noqa: T201
        for provider, jobs, finished, horizon, full_at in opened.contents():
            listed = "no full listing yet" if not full_at else f"last full listing at {_local_time(full_at)}"
            listed += f", complete up to {_local_time(horizon)}" if horizon else ""
            print(f"{provider}: {jobs} jobs cached, {finished} of them finished; {listed}")  # noqa: T201
        counts = ", ".join(f"{count} {state}" for state, count in opened.writes())
        print(f"writes: {counts or 'none'}")  # noqa: T201
    return 0


def _local_time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")


def explain(registration: Registration, words: Sequence[str]) -> int:
    """Run ``ftsql explain SQL``: print how many requests the statement would send. Nothing is sent."""
    if len(words) != 1:
        raise ProgrammingError('use: ftsql explain "SQL", in quotes, as one argument')
    sql = translate(words[0], registration.providers, registration.accounts)
    for cost in registration.explain(sql):
        print(f"{cost.what}: {cost.number}: {cost.why}")  # noqa: T201
    return 0


def list_queries() -> None:
    """Print the name and question of each query."""
    found = all_queries()
    width = max(len(query.name) for query in found)
    for entry in found:
        print(f"{entry.name:{width}}  {entry.question}")  # noqa: T201 - rows go to stdout


def guide(name: str | None) -> None:
    """Run ``ftsql guide [TOPIC]``: list the pages, or print one. Raises ProgrammingError for an unknown page."""
    if name is not None:
        print(find_topic(name).text.rstrip())  # noqa: T201
        return
    found = all_topics()
    width = max(len(page.name) for page in found)
    for page in found:
        print(f"{page.name:{width}}  {page.title}")  # noqa: T201


def _port(text: str) -> int:
    if text.isdecimal() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")


def sync_file(connection: Connection, path: str, tables: str, every: float | None, *, contents: bool = False) -> int:
    """Run ``ftsql sync FILE`` once, or every ``every`` seconds until Ctrl-C or SIGTERM.

    Return the exit code, which is 1 if a provider failed or if the content of a file is missing. Raises
    KeyboardInterrupt if a single run was interrupted.
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
        # Interrupt repeatedly, because an interrupt ends only the running statement, and the next one may be starting.
        while not over.wait(0.05):
            connection.interrupt()

    interrupting = threading.Thread(target=interrupt, daemon=True)
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    syncing = Sync(connection, path, tables.split(",") if tables else (), lambda: stopped, contents=contents)
    progress = Progress(sys.stderr)
    try:
        if every is not None:
            syncing.serve(every, print_message)
            return 0
        progress.start(connection.ftsql.counts)
        requests: list[int] = []
        for done in syncing.rounds():
            progress.stop()
            print_message(str(done))
            requests.append(done.counts.kinds.total())
            progress.start(connection.ftsql.counts)
        progress.stop()
        if len(requests) > 1:
            print_message(f"{len(requests)} rounds, {sum(requests):,} requests in total")
        if syncing.is_archive and not contents:
            print_message(f"{path} is an archive: add --contents to update its file contents too")
        for line in done.problems():
            print_message(line)
        return int(done.failed)
    except apsw.InterruptError:
        raise KeyboardInterrupt("interrupted: run the same command again to continue") from None
    finally:
        progress.stop()
        over.set()
        if stopped:
            interrupting.join()  # wait for the thread, because the caller closes the connection next
        syncing.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def serve_sandbox(words: Sequence[str]) -> int:
    """Run ``ftsql sandbox`` until Ctrl-C. Raises ProgrammingError if the port or the file cannot be used."""
    parser = argparse.ArgumentParser(prog="ftsql sandbox", description="Serve the APIs locally, with made-up jobs.")
    add = parser.add_argument
    add("--port", type=_port, default=8000, help="port to listen on (8000); 0 chooses a free port")
    add("--jobs", type=int, default=250, help="jobs to make up (250)")
    add("--seed", type=int, default=0, help="seed of the made-up jobs (0)")
    add("--state", default=":memory:", metavar="FILE", help="keep the jobs in a file")
    add("--latency", type=float, default=0.0, metavar="SECONDS", help="wait before each response")
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
            print(f"{name}  {url}")  # noqa: T201 - a command prints
        print_message("any key but 'wrong' is accepted; press Ctrl-C to stop")
        sys.stdout.flush()
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return 0
    finally:
        sandbox.stop()


def export(words: Sequence[str]) -> int:
    """Run ``ftsql export``: see ftsql/sync/export.py."""
    from ftsql.sync.export import export as export_files

    return export_files(words, print_message)


def serve(words: Sequence[str]) -> int:
    """Run ``ftsql serve``, a server for PostgreSQL clients, until Ctrl-C.

    Raises ConfigError if the extra ``serve`` is not installed.
    """
    try:
        import pg_mimic  # noqa: F401
        import regex  # noqa: F401
        import sqlglot  # noqa: F401
    except ImportError:
        raise ConfigError("ftsql serve needs its extra: pip install 'ftsql[serve]'") from None
    from ftsql.serve.command import serve as serve_postgresql

    return serve_postgresql(words, print_message)
