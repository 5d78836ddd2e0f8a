"""The world of a campaign: a sandbox whose faults hit at random, and what it has seen of every tag.

A tag is what ties a row to its job, whatever ftsql says: the suffix, or the training file where a face has none.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import ftsql
from ftsql.sandbox import Fault, Sandbox
from ftsql.sandbox.app import RequestRecord
from ftsql.sandbox.books.dataset import make_examples

KEY = "sk-canary-7f3a9b52c4d1e860"
CREATE = r"/fine_tuning/jobs$"
CANCEL = r"/cancel$"
MODELS = ("gpt-4o-mini", "gpt-4.1-mini")
FILES = ("file-a", "file-b")
CONTENT = make_examples(10, "supervised")
CLEANED = ("OPENAI_", "FTSQL_", "PORTKEY_", "TELNYX_", "ANYAPI_", "AZURE_", "LITELLM_")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
TIMEOUT = 0.6
TIMES = {"settle_seconds": 4.0, "absent_seconds": 5.0}
QUICK = {"settle_seconds": 2.5, "absent_seconds": 3.0}  # still longer than what is slow or lags


@dataclass(frozen=True)
class Face:
    """One provider's face. ``keeps``: what of seed and metadata its jobs show. ``share``: of the lost answers."""

    name: str
    keys: tuple[str, ...]
    keeps: frozenset[str]
    suffix: bool = True
    share: float = 1.0

    def fingerprinted(self, own_seed: bool) -> bool:
        """Whether a row of this face has a fingerprint."""
        return "metadata" in self.keeps or ("seed" in self.keeps and not own_seed)


FACES = {
    face.name: face
    for face in (
        Face("openai", ("OPENAI_API_KEY",), frozenset({"seed", "metadata"})),
        Face("portkey", ("PORTKEY_API_KEY", "PORTKEY_VIRTUAL_KEY"), frozenset({"seed"}), share=0.8),
        Face("anyapi", ("ANYAPI_API_KEY",), frozenset(), suffix=False, share=0.12),
    )
}


class Place(Protocol):
    """Where rows go: a World, or what another process knows of it."""

    face: Face

    def add_file(self, name: str) -> None:
        """Make a training file known there."""


def faults(face: Face) -> dict[str, Fault]:
    """What goes wrong, by name."""

    def create(probability: float, **what: Any) -> Fault:
        return Fault(method="POST", path=CREATE, times=None, probability=probability, **what)

    def lost(probability: float, **what: Any) -> Fault:
        return create(probability * face.share, **what)

    def cancel(probability: float, **what: Any) -> Fault:
        return Fault(method="POST", path=CANCEL, times=None, probability=probability, **what)

    def get(probability: float, **what: Any) -> Fault:
        return Fault(method="GET", times=None, probability=probability, **what)

    return {
        "429": create(0.03, status=429, headers={"Retry-After": "0.05"}),
        "drop before accept": create(0.004, drop=True),
        "drop after accept": lost(0.03, drop=True, accept=True),
        **{f"{code} before accept": create(0.0015, status=code) for code in (500, 502, 503)},
        **{f"{code} after accept": lost(0.01, status=code, accept=True) for code in (500, 502, 503)},
        "slow": lost(0.015, latency=TIMEOUT + 0.3),
        "truncated": lost(0.025, truncate=40),
        "no JSON after accept": lost(0.008, status=200, body="<html>", accept=True),
        "refused by the API": create(0.004, status=400),
        "cancel 503": cancel(0.1, status=503),
        "cancel dropped": cancel(0.08, drop=True),
        "cancel dropped after accept": cancel(0.06, drop=True, accept=True),
        "GET 5xx": get(0.04, status=502),
        "list lags": get(0.25, lag=1.5),
    }


@dataclass
class Seen:
    """What the sandbox saw of one tag."""

    jobs: list[str] = field(default_factory=list)
    posts: list[RequestRecord] = field(default_factory=list)


class World:
    """One face of one sandbox, with its faults. Use it in ``with``: the environment points there meanwhile."""

    def __init__(self, face: Face, seed: int, armed: Mapping[str, Fault], *, chaos: bool = False) -> None:
        self.face = face
        self.sandbox = Sandbox(jobs=0, speed=0, seed=seed)
        for name in FILES:
            self.add_file(name)
        self._names = list(armed)
        self._faults = list(armed.values())
        self._lock = threading.Lock()
        self._read = 0
        self.seen: defaultdict[str, Seen] = defaultdict(Seen)
        self.tags: dict[str, str] = {}  # job -> tag
        self.cancels: defaultdict[str, list[RequestRecord]] = defaultdict(list)  # job -> POSTs
        self.cancelled: set[str] = set()
        self.writers: set[str] = set()  # who sent a POST so far
        self._chaos = random.Random(f"{seed}/chaos") if chaos else None
        self.stops = 0
        self._calm = threading.Event()
        self._thread: threading.Thread | None = None
        self._environment = contextlib.ExitStack()

    def __enter__(self) -> World:
        self.sandbox.start()
        self._watch()
        for fault in self._faults:
            self.sandbox.fault(fault)
        self._environment.enter_context(environment(self.variables()))
        if self._chaos is not None:
            self._thread = threading.Thread(target=self._stop_and_start, name="chaos", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end_chaos()
        self._environment.close()
        self.sandbox.stop()

    def add_file(self, name: str) -> None:
        self.sandbox.add_file(name, content=CONTENT)

    def variables(self) -> dict[str, str]:
        """The environment that points ftsql at the face."""
        name = self.face.name
        return {f"{name.upper()}_BASE_URL": self.sandbox.base_url(name), **dict.fromkeys(self.face.keys, KEY)}

    def arm(self, armed: Mapping[str, Fault]) -> None:
        """More that goes wrong from now on."""
        self._names += armed
        for fault in armed.values():
            self.sandbox.fault(fault)

    def calm_down(self) -> dict[str, int]:
        """No faults from now on; gives how often each one hit."""
        self.end_chaos()
        hits = self.hits()
        self.sandbox.clear_faults()
        self._watch()
        return hits

    def _watch(self) -> None:
        """Faults that only look on; they stand before the others."""
        self.sandbox.fault(Fault(method="POST", path=CREATE, times=None, transform=self._created))
        self.sandbox.fault(Fault(method="POST", path=CANCEL, times=None, transform=self._cancelled))

    def hits(self) -> dict[str, int]:
        """How often each fault hit so far."""
        armed = self.sandbox._faults._armed[2:]  # behind those that only look on
        return {
            **{name: one.fired for name, one in zip(self._names, armed, strict=False)},
            **({"server stopped": self.stops} if self._chaos is not None else {}),
        }

    def end_chaos(self) -> None:
        """The server stays up from now on."""
        self._calm.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def tag_in(self, body: Mapping[str, Any]) -> str | None:
        """The tag in a request's or a job's body."""
        names = ("suffix", "user_provided_suffix") if self.face.suffix else ("training_file",)
        return next((str(body[name]) for name in names if body.get(name)), None)

    def read(self) -> None:
        """Take in the requests that came since the last time."""
        with self._lock:
            records = self.sandbox.requests
            end = len(records)
            for record in records[self._read : end]:
                if record.method != "POST":
                    continue
                if record.path.endswith("/cancel"):
                    self.cancels[record.path.split("/")[-2]].append(record)
                elif (tag := self.tag_in(json.loads(record.body or b"{}"))) is not None:
                    self.seen[tag].posts.append(record)
                    self.writers.add(tag.rpartition("-")[0])
            self._read = end

    def _created(self, body: dict[str, Any]) -> dict[str, Any]:
        tag = self.tag_in(body)
        if tag is not None:
            self.tags[body["id"]] = tag
            self.seen[tag].jobs.append(body["id"])
        return body

    def _cancelled(self, body: dict[str, Any]) -> dict[str, Any]:
        if body.get("status") == "cancelled":
            self.cancelled.add(body["id"])
        return body

    def _stop_and_start(self) -> None:
        rng = self._chaos
        assert rng is not None
        while not self._calm.wait(rng.uniform(2.0, 5.0)):
            self.sandbox.stop()
            self.stops += 1
            threading.Event().wait(rng.uniform(0.05, 0.15))
            while True:
                try:
                    self.sandbox.start()
                    break
                except OSError:  # somebody's connection has the port for a moment
                    threading.Event().wait(0.02)


@contextlib.contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """``variables`` and nothing else that ftsql reads, in this process."""
    before = dict(os.environ)
    for name in before:
        if name.upper().startswith(CLEANED) or name.upper() in PROXIES:
            del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def mild(face: Face) -> dict[str, Fault]:
    """What goes wrong while processes are killed."""
    chosen = ("429", "drop after accept", "cancel 503", "GET 5xx")
    some = {name: fault for name, fault in faults(face).items() if name in chosen}
    waits = {
        f"latency {seconds:g}": Fault(method="POST", times=None, probability=probability, latency=seconds)
        for seconds, probability in ((0.02, 0.5), (0.15, 0.25), (0.4, 0.1))
    }
    return {**some, **waits, "list lags": Fault(method="GET", times=None, probability=0.1, lag=1.0)}


def connect(face: str, path: Path, store: Path, settings: Mapping[str, float]) -> ftsql.Connection:
    """A connection to the face that the environment names, with the campaign's short times."""
    short: dict[str, Any] = {"timeout": TIMEOUT, "connect_timeout": 1, "max_writes": 20, **settings}
    return ftsql.connect(path, providers=[face], store=store, **short)
