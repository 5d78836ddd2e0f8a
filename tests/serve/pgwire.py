"""ftsql serve in a process of its own, and a client that can send it messages that no driver would send."""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import scramp

PASSWORD = "correct horse"
OWN = """
CREATE TABLE notes (id INTEGER PRIMARY KEY, note TEXT, at TIMESTAMP, done BOOLEAN, size REAL, data BLOB, extra JSON, day DATE);
INSERT INTO notes VALUES
  (1, 'first', '2026-01-02 03:04:05', 1, 1.5, x'00ff', '{"a": [1, 2]}', '2026-01-02'),
  (2, NULL, NULL, 0, NULL, NULL, NULL, NULL);
CREATE TABLE files (name TEXT);
INSERT INTO files VALUES ('mine');
CREATE VIEW noted AS SELECT note, done FROM notes;
CREATE TABLE mixed (number INTEGER);
INSERT INTO mixed WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 150) SELECT n FROM r;
INSERT INTO mixed VALUES ('one');
"""


def own_file(folder: Path) -> Path:
    """Create a file with tables of a user."""
    path = folder / "own.db"
    db = apsw.Connection(str(path))
    db.execute(OWN)
    db.close()
    return path


class Served:
    """The running command, until the end of the ``with`` block. ``lines`` holds what it wrote to stderr."""

    def __init__(self, *words: str, password: str | None = PASSWORD, environment: dict[str, str] | None = None) -> None:
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("FTSQL_", "OPENAI_"))}
        if password is not None:
            variables["FTSQL_SERVE_PASSWORD"] = password
        command = [sys.executable, "-m", "ftsql", "serve", "--port", "0", *words]
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**variables, **(environment or {})}
        )
        self.lines: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if (match := re.search(r"serving (postgresql://\S+?:(\d+)/\S*)", line)) is not None:
                self.url, self.port = match[1], int(match[2])
                return
        raise AssertionError(f"ended with {self.process.wait()}: {''.join(self.lines)}")

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
        else:
            self.process.communicate()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End it with a signal. Return the exit code and everything written to stderr."""
        self.process.send_signal(number)
        try:
            _, rest = self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        return self.process.returncode, "".join(self.lines) + rest

    def memory(self) -> float:
        """Return the resident set of the process in MB."""
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found is not None
        return int(found[1]) / 1024


class Refused(Exception):
    """An ErrorResponse, with its fields by their letters."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(f"{fields.get('C')}: {fields.get('M')}")
        self.fields = fields
        self.state = fields["C"]


def startup(**fields: str) -> bytes:
    body = (
        struct.pack("!i", 3 << 16) + b"".join(f"{name}\0{value}\0".encode() for name, value in fields.items()) + b"\0"
    )
    return struct.pack("!i", len(body) + 4) + body


def message(tag: bytes, body: bytes = b"") -> bytes:
    return tag + struct.pack("!i", len(body) + 4) + body


class Client:
    """A connection. It logs in unless ``password`` is None."""

    def __init__(self, port: int, password: str | None = PASSWORD, *, timeout: float = 20, sock: Any = None) -> None:
        self.socket = sock or socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.key = b""
        if password is not None:
            try:
                self.send(startup(user="somebody", database="ftsql"))
                self.login(password)
            except BaseException:
                self.socket.close()
                raise

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *data: bytes) -> None:
        self.socket.sendall(b"".join(data))

    def read(self) -> tuple[bytes, bytes]:
        """Return the next message, or (b"", b"") at the end."""
        head = self._exactly(5)
        if not head:
            return b"", b""
        return head[:1], self._exactly(struct.unpack("!i", head[1:])[0] - 4)

    def _exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            part = self.socket.recv(count - len(found))
            if not part:
                return b""
            found += part
        return found

    def until(self, last: bytes = b"Z") -> Iterator[tuple[bytes, bytes]]:
        while True:
            tag, body = self.read()
            if not tag:
                raise ConnectionError("the server hung up")
            if tag == b"E":
                fields = {part[:1].decode(): part[1:].decode() for part in body.split(b"\0") if part}
                if fields["S"] == "FATAL":
                    raise Refused(fields)
                yield tag, body
            else:
                yield tag, body
            if tag == last:
                return

    def login(self, password: str) -> None:
        scram = scramp.ScramClient(["SCRAM-SHA-256"], "somebody", password)
        for tag, body in self.until():
            kind = struct.unpack("!i", body[:4])[0] if tag == b"R" else None
            if kind == 10:
                first = scram.get_client_first().encode()
                self.send(message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first))
            elif kind == 11:
                scram.set_server_first(body[4:].decode())
                self.send(message(b"p", scram.get_client_final().encode()))
            elif kind == 12:
                scram.set_server_final(body[4:].decode())
            elif tag == b"K":
                self.key = body

    def answer(self) -> list[tuple[str | None, ...]]:
        """Return the rows as strings, once the server is ready. Raise Refused."""
        rows, error = [], None
        for tag, body in self.until():
            if tag == b"D":
                rows.append(tuple(None if one is None else one.decode() for one in values(body)))
            elif tag == b"E":
                error = {part[:1].decode(): part[1:].decode() for part in body.split(b"\0") if part}
        if error is not None:
            raise Refused(error)
        return rows

    def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """Run a statement by the simple protocol."""
        self.send(message(b"Q", sql.encode() + b"\0"))
        return self.answer()

    def execute(self, sql: str, parameters: Sequence[str | None] = (), *, oids: Sequence[int] = ()) -> list[Any]:
        """Run a statement by the extended protocol, with text formats."""
        parts = [b"\0\0" + struct.pack("!hh", 0, len(parameters))]
        for one in parameters:
            data = b"" if one is None else one.encode()
            parts.append(struct.pack("!i", -1 if one is None else len(data)) + data)
        typed = struct.pack("!h", len(oids)) + b"".join(struct.pack("!i", oid) for oid in oids)
        self.send(
            message(b"P", b"\0" + sql.encode() + b"\0" + typed),
            message(b"B", b"".join(parts) + struct.pack("!h", 0)),
            message(b"D", b"P\0"), message(b"E", b"\0" + struct.pack("!i", 0)), message(b"S"),
        )  # fmt: skip
        return self.answer()

    def types(self, sql: str) -> list[int]:
        """Return the oids of the columns' types."""
        self.send(message(b"P", b"\0" + sql.encode() + b"\0\0\0"), message(b"D", b"S\0"), message(b"S"))
        found: list[int] = []
        for tag, body in self.until():
            if tag == b"T":
                offset = 2
                for _ in range(struct.unpack("!h", body[:2])[0]):
                    offset = body.index(b"\0", offset) + 7
                    found.append(struct.unpack("!i", body[offset : offset + 4])[0])
                    offset += 12
        return found


def values(body: bytes) -> Iterator[bytes | None]:
    """Yield the fields of a DataRow."""
    offset = 2
    for _ in range(struct.unpack("!h", body[:2])[0]):
        length = struct.unpack("!i", body[offset : offset + 4])[0]
        offset += 4
        yield None if length < 0 else body[offset : offset + length]
        offset += max(0, length)


def state(client: Client, sql: str) -> str:
    """Return the SQLSTATE of a statement's error, or "" if it has none."""
    try:
        client.query(sql)
    except Refused as error:
        return error.state
    return ""


def soon(true: Any, seconds: float = 10) -> bool:
    """Whether ``true()`` becomes true within some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.05)
    return False
