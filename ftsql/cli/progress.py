"""A line on the terminal that tells of a statement while it takes its time, and goes when it ends.

It only reads the counts that are kept anyway, from a thread of its own: a statement pays nothing for it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TextIO

from ftsql.api.request_log import Counts

DELAY = 1.0  # seconds before anything is shown
TICK = 0.125


class Progress:
    """The line on ``stream``, where that is a terminal. Started and stopped by one thread, any number of times."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown: tuple[threading.Thread, threading.Event] | None = None

    def start(self, counts: Counts) -> None:
        """Show ``counts`` from a second on, once a request was sent."""
        if self._stream.isatty():
            done = threading.Event()
            # A daemon: it never keeps the process alive.
            thread = threading.Thread(target=self._run, args=(counts, done), name="ftsql-progress", daemon=True)
            self._shown = thread, done
            thread.start()

    def stop(self) -> bool:
        """Take the line away before anything else is written; gives whether there was something to stop."""
        shown, self._shown = self._shown, None
        if shown is not None:
            thread, done = shown
            done.set()
            thread.join()
        return shown is not None

    def _run(self, counts: Counts, done: threading.Event) -> None:
        began = time.monotonic()
        if done.wait(DELAY):
            return
        while not (counts.kinds or counts.held):
            if done.wait(TICK):
                return
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        def line() -> Text:
            return Text(words(counts, time.monotonic() - began), style="dim", no_wrap=True, overflow="ellipsis")

        with contextlib.suppress(OSError, ValueError):  # the terminal went away: the statement goes on
            # What is printed to sys.stderr meanwhile, such as a warning, rich puts above the line.
            shown = Live(
                get_renderable=line,
                console=Console(file=self._stream),
                transient=True,
                redirect_stdout=False,
                refresh_per_second=1 / TICK,
            )
            if not done.is_set():
                with shown:
                    done.wait()


def words(counts: Counts, seconds: float) -> str:
    """What the line says ``seconds`` after the statement began."""
    kinds = dict(counts.kinds)
    pages = kinds.pop("list", 0)
    rows = counts.rows + counts.from_store
    said = [f"{pages:,} {'page' if pages == 1 else 'pages'}"] if pages else []
    said += [f"{count:,} {kind}" for kind, count in kinds.items()]
    said += [f"{rows:,} {'row' if rows == 1 else 'rows'}", f"{rows / max(seconds, 0.001):,.0f} rows/s"]
    if counts.to_upload:
        said.append(f"{counts.uploaded / 1e6:,.0f} of {counts.to_upload / 1e6:,.0f} MB uploaded")
    if counts.downloaded:
        said.append(f"{counts.downloaded / 1e6:,.0f} MB downloaded")
    for provider, until in list(counts.held.items()):
        if (left := until - time.monotonic()) > 0:
            said.append(f"waiting for {provider}'s rate limit, {left:.0f} s left")
    return ", ".join(said)
