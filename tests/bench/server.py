"""The server that every contender asks: prepared jobs, in a process of its own, so that it costs next to nothing.

It speaks just enough of the API: a page of the list, one job. Requests and bytes are counted here, where they
arrive and leave: no contender is asked how many it sent. Latency is waited out for each request by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import parse_qsl

NEWEST = 1_790_000_000
SPAN = 2 * 365 * 86400  # seconds from the first job to the last
JOBS = "/v1/fine_tuning/jobs"
EVENTS = 5  # of each job
MODELS = ("gpt-4.1-2025-04-14", "gpt-4.1-mini-2025-04-14", "gpt-4o-mini-2024-07-18")
HEAD = "HTTP/1.1 {}\r\nContent-Type: application/json\r\nx-request-id: req_0\r\nContent-Length: {}\r\n\r\n"


def places(count: int, size: int) -> list[int]:
    """``count`` places of a list of ``size``, spread evenly."""
    return [number * size // count for number in range(count)]


def job(number: int, size: int, running: bool) -> dict[str, Any]:
    """A job as OpenAI answers it, with what supervised fine-tuning fills in."""
    created = NEWEST - number * SPAN // size
    hyperparameters = {"batch_size": 1 + number % 8, "learning_rate_multiplier": 1.8, "n_epochs": 3}
    method = {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}
    model = MODELS[number % len(MODELS)]
    return {
        "object": "fine_tuning.job",
        "id": f"ftjob-{number:024}",
        "model": model,
        "created_at": created,
        "finished_at": None if running else created + 3600,
        "fine_tuned_model": None if running else f"ft:{model}:acme:run-{number}:{number:08x}",
        "organization_id": "org-acme",
        "result_files": [] if running else [f"file-result-{number:016}"],
        "status": "running" if running else "succeeded",
        "validation_file": f"file-valid-{number % 50:016}",
        "training_file": f"file-train-{number % 200:016}",
        "hyperparameters": hyperparameters,
        "trained_tokens": None if running else 100_000 + number,
        "error": {},
        "user_provided_suffix": f"run-{number}",
        "seed": 42 + number,
        "estimated_finish": None,
        "integrations": [],
        "metadata": {"team": "ads" if number % 3 else "search", "run": str(number)},
        "usage_metrics": None,
        "shared_with_openai": False,
        "method": method,
    }


class Books:
    """The jobs as bytes, newest first, and what was counted."""

    def __init__(self, finished: int, running: int, latency: float) -> None:
        size = finished + running
        at_work = set(places(running, size))
        jobs = [job(number, size, number in at_work) for number in range(size)]
        self.ids = [str(one["id"]) for one in jobs]
        self.running = [self.ids[place] for place in sorted(at_work)]
        self.latency = latency
        self.counted = [0, 0]  # requests, bytes
        self._place = {id: place for place, id in enumerate(self.ids)}
        self._jobs = [json.dumps(one, separators=(",", ":")).encode() for one in jobs]

    def answer(self, target: str) -> bytes:
        """The whole answer to a GET."""
        path, _, query = target.partition("?")
        status, body = (
            "404 Not Found",
            b'{"error":{"message":"no such job","type":"invalid_request_error","code":null}}',
        )
        if path == JOBS:
            status, body = "200 OK", self._page(dict(parse_qsl(query)))
        elif path.startswith(JOBS) and path[len(JOBS) + 1 :] in self._place:
            status, body = "200 OK", self._jobs[self._place[path[len(JOBS) + 1 :]]]
        elif path.endswith("/events") and path[len(JOBS) + 1 : -len("/events")] in self._place:
            status, body = "200 OK", _events(path[len(JOBS) + 1 : -len("/events")])
        self.counted[0] += 1
        self.counted[1] += len(body)
        return HEAD.format(status, len(body)).encode() + body

    def _page(self, query: dict[str, str]) -> bytes:
        begin = self._place[query["after"]] + 1 if "after" in query else 0
        end = begin + min(int(query.get("limit", 20)), 100)
        more = b"true" if end < len(self._jobs) else b"false"
        return b'{"object":"list","data":[' + b",".join(self._jobs[begin:end]) + b'],"has_more":' + more + b"}"


def _events(id: str) -> bytes:
    """The events of a job, newest first."""
    events = [
        {"object": "fine_tuning.job.event", "id": event_id(id, number), "created_at": NEWEST - 60 * number}
        | {"level": "info", "message": f"Step {EVENTS - number}", "type": "message", "data": {}}
        for number in range(EVENTS)
    ]
    return json.dumps({"object": "list", "data": events, "has_more": False}, separators=(",", ":")).encode()


def event_id(job: str, number: int) -> str:
    """The id of an event, the newest of its job having the number 0."""
    return f"ftevent-{job[-24:]}-{number}"


class _Exchange(asyncio.Protocol):
    def __init__(self, books: Books) -> None:
        self._books = books
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            answer = self._books.answer(head.split(b" ", 2)[1].decode())
            if self._books.latency:
                asyncio.get_running_loop().call_later(self._books.latency, self._transport.write, answer)
            else:
                self._transport.write(answer)


class Server:
    """``ids``: all jobs, newest first; ``running``: those of them that have not finished."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.base_url: str
        self.ids: list[str]
        self.running: list[str]
        self.base_url, self.ids, self.running = pipe.recv()

    def counted(self) -> tuple[int, int]:
        """How many requests arrived since the last call, and the bytes of their answers."""
        self._pipe.send(True)
        requests, size = self._pipe.recv()
        return int(requests), int(size)


@contextlib.contextmanager
def serving(finished: int, running: int, latency: float) -> Iterator[Server]:
    """A server with so many jobs over two years, the running ones spread among the others."""
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
    with contextlib.suppress(EOFError):
        asyncio.run(_until_closed(pipe, Books(finished, running, latency)))


async def _until_closed(pipe: Connection, books: Books) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Exchange(books), "127.0.0.1", 0)
    pipe.send((f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", books.ids, books.running))
    while await loop.run_in_executor(None, pipe.recv):
        pipe.send(books.counted)
        books.counted = [0, 0]
