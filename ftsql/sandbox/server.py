"""The sandbox as its users hold it: start, stop, its addresses, its books and its faults.

What it does on the wire is the faces' business; what it knows is the books'.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from ftsql.sandbox.app import App, RequestRecord
from ftsql.sandbox.books.books import Books
from ftsql.sandbox.books.dataset import make_examples
from ftsql.sandbox.faces.table import FACES
from ftsql.sandbox.faults import Fault, Faults
from ftsql.sandbox.listener import Listener


class Sandbox:
    """A local server that speaks the fine-tuning APIs, for trying things out and for tests.

    ``jobs``: how many made-up jobs it starts with; the same ``seed`` gives the same ones. ``speed``:
    simulated seconds a real second for jobs that are not over; 0 freezes them. ``state``: a SQLite file
    that outlives the sandbox (it is filled only when new), or ``:memory:``. ``port`` 0 takes a free one.
    ``latency``: seconds before every answer. Use it in ``with``, or call ``start`` and ``stop``; after a
    ``stop`` it can start again, on the same port and with the same jobs.
    """

    def __init__(
        self,
        jobs: int = 250,
        seed: int = 0,
        speed: float = 1.0,
        state: str | Path = ":memory:",
        host: str = "127.0.0.1",
        port: int = 0,
        latency: float = 0.0,
    ) -> None:
        self._filling = (str(state), jobs, seed, speed)
        self._host = host
        self._port = port
        self._faults = Faults(seed)
        self._books: Books | None = Books(*self._filling)
        self._app = App(self._open, FACES, self._faults, latency)
        self._listener: Listener | None = None

    def start(self) -> Sandbox:
        """Starts to serve; does nothing when it does already. Raises OSError when the port is taken."""
        if self._listener is None:
            self._open()
            self._listener = Listener(self._app, self._host, self._port)
            self._port = self._listener.port
        return self

    def stop(self) -> None:
        """Stops to serve, at once: open connections break. Jobs in memory stay with the object."""
        if self._listener is not None:
            self._listener.stop()
            self._listener = None
        if self._books is not None and self._filling[0] != ":memory:":
            self._books.close()
            self._books = None

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port it serves on; 0 before the first start when none was given."""
        return self._port

    def base_url(self, face: str = "openai") -> str:
        """What a client of that provider takes as its base URL. Raises KeyError for an unknown face."""
        return self.faces()[face]

    def faces(self) -> dict[str, str]:
        """Each provider that it speaks like, with the base URL."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return {face.name: f"http://{host}:{self._port}{face.prefix}" for face in FACES}

    @property
    def requests(self) -> list[RequestRecord]:
        """All requests in the order of arrival, also those hit by faults. ``clear()`` empties it."""
        return self._app.records

    def jobs(self) -> list[dict[str, Any]]:
        """Every job in the books, newest first, as the OpenAI face shows it."""
        with self._open().transaction() as books:
            return [json.loads(text) for text in books.jobs.page()[0]]

    def add_job(self, **fields: Any) -> dict[str, Any]:
        """Puts a job into the books and returns it; it stays as it is unless decided about.

        ``fields`` override those of a valid job of that status (succeeded, created now); ``...`` leaves a
        field out. Raises ValueError when there is a job of that id.
        """
        with self._open().transaction() as books:
            return books.jobs.add(fields)

    def add_file(
        self,
        id: str | None = None,
        *,
        filename: str = "data.jsonl",
        purpose: str = "fine-tune",
        content: bytes | None = None,
    ) -> dict[str, Any]:
        """Puts a file into the books and returns it; without ``content`` it holds 100 good examples.

        Raises ValueError when there is a file of that id.
        """
        with self._open().transaction() as books:
            if id is not None and books.files.get(id):
                raise ValueError(f"the books already have a file {id}")
            content = make_examples(100, "supervised") if content is None else content
            return books.files.upload(filename, content, purpose, file_id=id)

    def remove_job(self, job_id: str) -> None:
        """Takes a job out of the books. Raises KeyError when there is none of that id."""
        with self._open().transaction() as books:
            if not books.jobs.remove(job_id):
                raise KeyError(job_id)

    def update_job(self, job_id: str, /, **fields: Any) -> dict[str, Any]:
        """Overrides what a job shows, which then stays so, and returns it.

        Raises KeyError when there is no job of that id.
        """
        with self._open().transaction() as books:
            job = books.jobs.update(job_id, fields)
        if job is None:
            raise KeyError(job_id)
        return job

    def fault(self, fault: Fault) -> None:
        """Arms a fault."""
        self._faults.arm(fault)

    def clear_faults(self) -> None:
        """Disarms all faults."""
        self._faults.clear()

    def _open(self) -> Books:
        if self._books is None:
            self._books = Books(*self._filling)
        return self._books
