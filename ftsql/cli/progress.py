"""The progress line on the terminal, which shows the requests and rows of a slow statement until the statement ends.

A separate thread reads counts that are kept anyway, so the line costs the statement nothing.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TextIO

from ftsql.api.request_log import Counts

DELAY = 1.0  # seconds before the line is shown
REFRESH_SECONDS = 0.125


class Progress:
    """The progress line on ``stream``, if ``stream`` is a terminal.

    The line can be started and stopped any number of times, but only from one thread.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown: tuple[threading.Thread, threading.Event] | None = None

    def start(self, counts: Counts) -> None:
        """Show ``counts`` after DELAY seconds, but not before a request was sent or a rate limit holds one back."""
        if self._stream.isatty():
            done = threading.Event()
            # The thread is a daemon, so it never keeps the process alive.
            thread = threading.Thread(target=self._run, args=(counts, done), name="ftsql-progress", daemon=True)
            self._shown = thread, done
            thread.start()

    def stop(self) -> bool:
        """Remove the line, so that other output can follow. Return whether the line had been started."""
        shown, self._shown = self._shown, None
        if shown is not None:
            thread, done = shown
            done.set()
            thread.join()
        return shown is not None

    def _run(self, counts: Counts, done: threading.Event) -> None:
        """Show the line until ``done`` is set."""
        began = time.monotonic()
        if done.wait(DELAY):
            return
        while not (counts.kinds or counts.held):
            if done.wait(REFRESH_SECONDS):
                return
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        def line() -> Text:
            return Text(progress_text(counts, time.monotonic() - began), style="dim", no_wrap=True, overflow="ellipsis")

        with contextlib.suppress(OSError, ValueError):  # the terminal is gone, but the statement goes on
            # rich prints anything else that is written to sys.stderr, such as a warning, above the line.
            shown = Live(
                get_renderable=line,
                console=Console(file=self._stream),
                transient=True,
                redirect_stdout=False,
                refresh_per_second=1 / REFRESH_SECONDS,
            )
            if not done.is_set():
                with shown:
                    done.wait()


def progress_text(counts: Counts, seconds: float) -> str:
    """Return the text of the line ``seconds`` after the statement began."""
    kinds = dict(counts.kinds)
    pages = kinds.pop("list", 0)
    rows = counts.rows + counts.from_store
    parts = [f"{pages:,} {'page' if pages == 1 else 'pages'}"] if pages else []
    parts += [f"{count:,} {kind}" for kind, count in kinds.items()]
    parts += [f"{rows:,} {'row' if rows == 1 else 'rows'}", f"{rows / max(seconds, 0.001):,.0f} rows/s"]
    if counts.to_upload:
        parts.append(f"{counts.uploaded / 1e6:,.0f} of {counts.to_upload / 1e6:,.0f} MB uploaded")
    if counts.downloaded:
        parts.append(f"{counts.downloaded / 1e6:,.0f} MB downloaded")
    for provider, until in list(counts.held.items()):
        if (left := until - time.monotonic()) > 0:
            parts.append(f"waiting for {provider}'s rate limit, {left:.0f} s left")
    return ", ".join(parts)
