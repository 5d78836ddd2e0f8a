"""A small HTTP server on 127.0.0.1 that answers as a function says: what other people's servers do, in a few lines."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

PREFIX = "/v1"
PATH = "/fine_tuning/jobs"


@dataclass(frozen=True)
class Asked:
    """One request: ``path`` is below /v1."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    headers: Mapping[str, str]

    def __str__(self) -> str:
        query = "&".join(f"{name}={value}" for name, value in self.query.items())
        method = "" if self.method == "GET" else f"{self.method} "
        return f"{method}{self.path.removeprefix(PATH)}{'?' if query else ''}{query}"


@dataclass(frozen=True)
class Response:
    """What is answered: ``body`` is sent as JSON unless it is bytes."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Answering = Callable[[Asked], Any]  # an Answer, or the body of a 200; None is a 404 with OpenAI's own words

NO_SUCH_JOB = Response(
    {"error": {"message": "Could not find fine tune: x", "param": "fine_tune_id", "code": "fine_tune_not_found"}}, 404
)


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that has gone
            super().handle_error(request, client_address)


class Server:
    """Serves ``answering`` at ``base_url`` while it is entered; ``asked`` has the requests in order."""

    def __init__(self, answering: Answering, host: str = "127.0.0.1") -> None:
        self.asked: list[Asked] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self) -> None:
                parts = urlsplit(self.path)
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length)
                path = parts.path.removeprefix(PREFIX)
                one = Asked(self.command, path, dict(parse_qsl(parts.query, True)), body, dict(self.headers.items()))
                server.asked.append(one)
                found = answering(one)
                found = NO_SUCH_JOB if found is None else found if isinstance(found, Response) else Response(found)
                content = found.body if isinstance(found.body, bytes) else json.dumps(found.body).encode()
                self.send_response(found.status)
                for name, value in {"Content-Type": "application/json", **found.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the names that http.server calls

            def log_message(self, *_: Any) -> None:
                pass

        self._http = _Http((host, 0), Handler)
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PREFIX}"

    @property
    def requests(self) -> list[str]:
        """What was asked, below the jobs' path: ``?limit=100``, ``/ftjob-1``, ``POST /ftjob-1/cancel``."""
        return [str(one) for one in self.asked]

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def job(number: int = 0, **fields: Any) -> dict[str, Any]:
    """An ordinary job, a minute older for each number; ``...`` leaves a field out."""
    made = {
        "object": "fine_tuning.job",
        "id": f"ftjob-{number:05}",
        "model": "gpt-4o-mini-2024-07-18",
        "created_at": 1_790_000_000 - 60 * number,
        "finished_at": 1_790_001_000 - 60 * number,
        "fine_tuned_model": f"ft:gpt-4o-mini-2024-07-18:acme::{number}",
        "organization_id": "org-acme",
        "result_files": [],
        "status": "succeeded",
        "validation_file": None,
        "training_file": "file-abc",
        "hyperparameters": {"n_epochs": 3, "batch_size": 1, "learning_rate_multiplier": 1.8},
        "trained_tokens": 5000,
        "error": None,
        "seed": 42,
        **fields,
    }
    return {name: value for name, value in made.items() if value is not ...}


def jobs(count: int, **fields: Any) -> list[dict[str, Any]]:
    """So many jobs, newest first."""
    return [job(number, **fields) for number in range(count)]


def listed(found: list[dict[str, Any]], query: Mapping[str, str], *, cap: int = 100, default: int = 20) -> list[Any]:
    """The page of ``found`` that OpenAI's API gives for this query."""
    ids = [each.get("id") for each in found]
    begin = ids.index(query["after"]) + 1 if "after" in query and query["after"] in ids else 0
    return found[begin : begin + min(int(query.get("limit", default)), cap)]


def api(found: list[dict[str, Any]], children: Mapping[str, list[Any]] | None = None) -> Answering:
    """OpenAI's own behaviour over these jobs; ``children`` by path, such as ``/ftjob-00000/events``."""

    def answering(asked: Asked) -> Any:
        rest = asked.path.removeprefix(PATH)
        if asked.method == "GET" and asked.path == PATH:
            page = listed(found, asked.query)
            return {"object": "list", "data": page, "has_more": bool(page) and page[-1] is not found[-1]}
        if children is not None and rest in children:
            page = listed(children[rest], asked.query)
            return {"object": "list", "data": page, "has_more": bool(page) and page[-1] is not children[rest][-1]}
        return next((each for each in found if rest == f"/{each['id']}"), None)

    return answering
