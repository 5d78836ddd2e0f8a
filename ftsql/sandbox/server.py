"""The class ``Sandbox``, which starts and stops the server, and gives access to its URLs, jobs, files and faults.

The faces define the protocols, and the books hold the state.
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
    """A local server that speaks the fine-tuning APIs, for trying ftsql out and for tests.

    ``jobs``: the number of generated jobs to start with. The same ``seed`` generates the same jobs.
    ``speed``: how many simulated seconds unfinished jobs progress in a real second; 0 freezes them.
    ``state``: a SQLite file that outlives the sandbox and is filled only if it is new, or ``:memory:``.
    ``host`` and ``port``: the address to serve on. Port 0 means any free port.
    ``latency``: the delay of each response, in seconds.

    Use a sandbox in a ``with`` statement, or call ``start`` and ``stop``. After ``stop`` it can start again, on the
    same port and with the same jobs.

    >>> with Sandbox(jobs=3) as sandbox:
    ...     len(sandbox.jobs()), sandbox.base_url().endswith("/v1")
    (3, True)
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
        self._books_arguments = (str(state), jobs, seed, speed)
        self._host = host
        self._port = port
        self._faults = Faults(seed)
        self._books: Books | None = Books(*self._books_arguments)
        self._app = App(self._open, FACES, self._faults, latency)
        self._listener: Listener | None = None

    def start(self) -> Sandbox:
        """Start the server, unless it is running, and return the sandbox. Raises OSError if the port is taken."""
        if self._listener is None:
            self._open()
            self._listener = Listener(self._app, self._host, self._port)
            self._port = self._listener.port
        return self

    def stop(self) -> None:
        """Stop the server at once and break open connections. Jobs in memory stay with this object."""
        if self._listener is not None:
            self._listener.stop()
            self._listener = None
        if self._books is not None and self._books_arguments[0] != ":memory:":
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
        """The port, or 0 before the first start if no port was given."""
        return self._port

    def base_url(self, face: str = "openai") -> str:
        """Return the base URL for a client of the provider ``face``. Raises KeyError if the face is unknown."""
        return self.faces()[face]

    def faces(self) -> dict[str, str]:
        """Return the base URL of each face, by the name of the provider that it imitates."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return {face.name: f"http://{host}:{self._port}{face.prefix}" for face in FACES}

    @property
    def requests(self) -> list[RequestRecord]:
        """All requests in the order of arrival, even those hit by faults. ``clear()`` empties the list."""
        return self._app.records

    def jobs(self) -> list[dict[str, Any]]:
        """Return all jobs as OpenAI's API shows them, newest first."""
        with self._open().transaction() as books:
            return [json.loads(text) for text in books.jobs.page()[0]]

    def add_job(self, **fields: Any) -> dict[str, Any]:
        """Add a job and return it. The job keeps its status until it is cancelled, paused, resumed or updated.

        ``fields`` override the fields of a valid job with that status. By default, the job succeeded and was created
        now. The value ``...`` leaves a field out. Raises ValueError if there is a job with that id.

        >>> Sandbox(jobs=0).add_job(id="ftjob-1", status="running")["status"]
        'running'
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
        """Add a file and return it. Without ``content``, it holds 100 valid training examples.

        Raises ValueError if there is a file with that id.

        >>> Sandbox(jobs=0).add_file("file-1", content=b"{}")["bytes"]
        2
        """
        with self._open().transaction() as books:
            if id is not None and books.files.get(id):
                raise ValueError(f"there is a file {id} already")
            content = make_examples(100, "supervised") if content is None else content
            return books.files.upload(filename, content, purpose, file_id=id)

    def remove_job(self, job_id: str) -> None:
        """Remove a job. Raises KeyError if there is no job with that id."""
        with self._open().transaction() as books:
            if not books.jobs.remove(job_id):
                raise KeyError(job_id)

    def update_job(self, job_id: str, /, **fields: Any) -> dict[str, Any]:
        """Override fields of a job and return the job, which no longer changes by itself.

        The value ``...`` removes a field. Raises KeyError if there is no job with that id.

        >>> sandbox = Sandbox(jobs=0)
        >>> id = sandbox.add_job()["id"]
        >>> sandbox.update_job(id, status="failed")["status"]
        'failed'
        """
        with self._open().transaction() as books:
            job = books.jobs.update(job_id, fields)
        if job is None:
            raise KeyError(job_id)
        return job

    def fault(self, fault: Fault) -> None:
        """Arm a fault. Faults hit in the order in which they were armed.

        >>> Sandbox(jobs=0).fault(Fault(status=429, headers={"retry-after": "1"}, times=2))
        """
        self._faults.arm(fault)

    def clear_faults(self) -> None:
        """Disarm all faults."""
        self._faults.clear()

    def _open(self) -> Books:
        """Return the books, after opening them if they are closed."""
        if self._books is None:
            self._books = Books(*self._books_arguments)
        return self._books
