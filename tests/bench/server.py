"""The sandbox that every contender asks, in a process of its own, so that its work takes no time of theirs.

Requests are counted here, where they arrive: no contender is asked how many it sent.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection

from ftsql.sandbox import Sandbox
from tests.conftest import fill


def places(count: int, size: int) -> list[int]:
    """``count`` places of a list of ``size``, spread evenly."""
    return [number * size // count for number in range(count)]


class Server:
    """``ids``: all jobs, newest first; ``running``: those of them that have not finished."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.base_url: str
        self.ids: list[str]
        self.running: list[str]
        self.base_url, self.ids, self.running = pipe.recv()

    def requests(self) -> int:
        """How many arrived since the last call."""
        self._pipe.send(True)
        return int(self._pipe.recv())


@contextlib.contextmanager
def serving(finished: int, running: int, latency: float) -> Iterator[Server]:
    """A server with so many jobs, a minute apart, the running ones spread among the others."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, finished, running, latency), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Server(ours)
    finally:
        ours.close()
        process.join()


def _serve(pipe: Connection, finished: int, running: int, latency: float) -> None:
    with Sandbox(jobs=0, speed=0, latency=latency) as sandbox, contextlib.suppress(EOFError):
        ids = fill(sandbox, finished + running)
        active = [ids[place] for place in places(running, len(ids))]
        for id in active:
            sandbox.update_job(id, status="running", finished_at=None, fine_tuned_model=None, trained_tokens=None)
        pipe.send((sandbox.base_url("openai"), ids, active))
        while pipe.recv():
            pipe.send(len(sandbox.requests))
            sandbox.requests.clear()
