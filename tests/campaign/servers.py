"""``ftsql serve`` under fire: statements by both protocols over real sockets, from a client that minds nothing.

The server is a process of its own; the accounts that it asks are a sandbox in this one.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import struct
import threading
import time
from pathlib import Path

from ftsql.sandbox import Sandbox
from tests.campaign.grammar import Grammar
from tests.campaign.postgres import Postgres
from tests.campaign.shells import Result, last, own_file
from tests.campaign.spoiling import spoilt
from tests.serve.pgwire import Client, Refused, Served, message

TIMEOUT = 1.0  # of a statement, by the server's option
LIMIT = 8.0  # seconds after which it must have ended, reading what it says included
MEMORY = 700.0  # MB
INTERNAL = ("XX000", "XX001", "XX002")


def serve(count: int, seed: int, folder: Path) -> Result:
    """``count`` statements for one server; every second one by the extended protocol."""
    began = time.monotonic()
    folder.mkdir(exist_ok=True)
    path = own_file(folder)
    with Sandbox(jobs=20, seed=seed % 1000, speed=0) as sandbox:
        variables = {
            "OPENAI_BASE_URL": sandbox.base_url("openai"),
            "OPENAI_API_KEY": "k" * 20,
            "FTSQL_STORE": ":memory:",
        }
        words = (str(path), "--statement-timeout", str(TIMEOUT), "--max-memory", "256")
        with Served(*words, environment=variables) as served:
            fire = Fire(random.Random(seed), sandbox, served, path)
            try:
                for _ in range(count):
                    fire.one()
                fire.end()
            finally:
                fire.client.socket.close()
    fire.result.seconds = time.monotonic() - began
    return fire.result


class Fire:
    """What is aimed at a server, and what must hold after each statement."""

    def __init__(self, rng: random.Random, sandbox: Sandbox, served: Served, path: Path) -> None:
        self.rng = rng
        self.result = Result()
        self._sandbox = sandbox
        self._served = served
        self._path = path
        self._before = self._content()
        names = [str(job[name]) for job in sandbox.jobs() for name in ("id", "model") if job[name]]
        self._grammar = Grammar(rng, names)
        self._postgres = Postgres(rng, names)
        self._said: list[str] = []
        assert served.process.stderr is not None
        threading.Thread(target=self._said.extend, args=(served.process.stderr,), daemon=True).start()
        self._failed = False  # the client's transaction
        self.client = self._connected()

    def one(self) -> None:
        """One statement, by one of the two protocols."""
        text, kind = spoilt(self._grammar.sql() if self.rng.random() < 0.4 else self._postgres.sql(), self.rng)
        data = text.encode("utf-8", "surrogatepass" if self.rng.random() < 0.5 else "replace")
        extended = self.result.statements % 2 == 1
        if self._failed and self.rng.random() < 0.9:  # else all that follows is refused
            self._failed = False
            self._asked([message(b"Q", b"ROLLBACK\0")])
        last(self._path.parent).write_text(text, "utf-8", "backslashreplace")
        began = time.monotonic()
        state, wrong = self._asked(self._extended(data) if extended else [message(b"Q", data + b"\0")])
        took = time.monotonic() - began
        if took > LIMIT:
            wrong = f"took {took:.1f} s"
        self.result.count(kind, text, took, state, wrong or self._harmed())

    def end(self) -> None:
        """What must hold when all is over."""
        if self._content() != self._before:
            self.result.violations.append("the file, or what lies beside it, is another")
        if (memory := self._served.memory()) > MEMORY:
            self.result.violations.append(f"the server has {memory:.0f} MB")
        said = "".join(self._said)
        if "Traceback" in said:
            self.result.violations.append(f"the server said {said[said.index('Traceback') :][:2000]}")

    def _extended(self, data: bytes) -> list[bytes]:
        """Parse, Bind, Describe, Execute and Sync; some with a parameter, some with fewer rows than there are."""
        drawn: list[list[bytes | None]] = [[], [], [], [], [], [], [b"1"], [b"x", b"\xff"], [None]]
        given = self.rng.choice(drawn)
        bound = b"".join(struct.pack("!i", -1) if one is None else struct.pack("!i", len(one)) + one for one in given)
        return [
            message(b"P", b"\0" + data + b"\0" + struct.pack("!h", 0)),
            message(b"B", b"\0\0" + struct.pack("!hh", 0, len(given)) + bound + struct.pack("!h", 0)),
            message(b"D", b"P\0"),
            message(b"E", b"\0" + struct.pack("!i", self.rng.choice([0, 1, 50]))),
            message(b"S"),
        ]

    def _asked(self, messages: list[bytes]) -> tuple[str, str]:
        """The state that it was refused with, and what is wrong with the answer."""
        state = ""
        try:
            self.client.send(*messages)
            for tag, body in self.client.until():
                if tag == b"E":
                    fields = {part[:1]: part[1:].decode("utf-8", "replace") for part in body.split(b"\0") if part}
                    state = fields[b"C"]
                    if state in INTERNAL:
                        return state, f"{state}: {fields[b'M']}"
                elif body == b"E" and tag == b"Z":
                    self._failed = True
        except Refused as error:  # after which the connection ends
            self.client.socket.close()
            self.client = self._connected()
            return error.state, f"{error}" if error.state in INTERNAL else ""
        except (OSError, UnicodeError) as error:
            with contextlib.suppress(OSError):
                self.client.socket.close()
            self.client = self._connected()
            return type(error).__name__, f"{type(error).__name__}: {error}"
        return state, ""

    def _connected(self) -> Client:
        return Client(self._served.port, timeout=LIMIT * 2)

    def _harmed(self) -> str:
        """What a statement did that none may do."""
        sent = [f"{one.method} {one.path}" for one in self._sandbox.requests if one.method != "GET"]
        self._sandbox.requests.clear()
        if sent:
            return f"it sent {sent}"
        return f"the server ended: {''.join(self._said)[-2000:]}" if self._served.process.poll() is not None else ""

    def _content(self) -> dict[str, bytes]:
        return {one.name: hashlib.sha256(one.read_bytes()).digest() for one in self._path.parent.iterdir()}
