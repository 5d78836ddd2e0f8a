"""Malformed messages end the connection of their client at most; the server serves all others."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("pg_mimic")

from tests.serve.pgwire import PASSWORD, Client, Refused, Served, message, soon, startup, state

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0" * 8,
        struct.pack("!ii", 7, 3 << 16),
        struct.pack("!ii", 2**31 - 1, 3 << 16),
        struct.pack("!ii", -5, 3 << 16),
        struct.pack("!ii", 10_001, 3 << 16) + b"user\0" + b"a" * 10_000,
        struct.pack("!ii", 20, 2 << 16) + b"user\0a\0\0" + b"\0" * 4,
        struct.pack("!ii", 12, 3 << 16) + b"user",
        struct.pack("!ii", 8, 80877103) * 4,
        struct.pack("!ii", 10, 80877102) + b"ab",
        startup(user="a", replication="true"),
        startup(user="a\udcff".encode("utf-8", "replace").decode()) + message(b"p", b"SCRAM-SHA-256\0\xff\xff\xff\xff"),
        startup(user="a") + message(b"p", b"PLAIN\0"),
        startup(user="a") + message(b"p", b"SCRAM-SHA-256\0\0\0\0\x05abcde"),
        startup(user="a")
        + message(b"p", b"SCRAM-SHA-256\0\0\0\0\x0bn,,n=,r=abc")
        + message(b"p", b"c=biws,r=abc,p=AAAA"),
        startup(user="a") + b"p" + struct.pack("!i", 2**30),
        startup(user="a") + message(b"Q", b"SELECT 1\0"),
    ],
)
def test_a_client_that_has_not_logged_in_gets_an_error_or_no_response(served: Served, data: bytes) -> None:
    with Client(served.port, None, timeout=15) as raw:
        raw.send(data)
        with contextlib.suppress(OSError):
            raw.socket.shutdown(socket.SHUT_WR)
        tags = []
        with contextlib.suppress(OSError):
            while (part := raw.socket.recv(65536)) != b"":
                tags.append(part)
        said = b"".join(tags)
        assert b"R\0\0\0\x08\0\0\0\0" not in said, "logged in"
        assert b"XX000" not in said


def test_a_wrong_password_is_refused_after_a_delay(served: Served) -> None:
    for wrong in ("", "wrong", PASSWORD + " ", PASSWORD[:-1], "a" * 500):
        started = time.monotonic()
        with pytest.raises(Refused, match='28P01: password authentication failed for user "somebody"'):
            Client(served.port, wrong or "x")
        assert time.monotonic() - started > 0.4


@pytest.mark.parametrize(
    "data",
    [
        message(b"B", b""), message(b"P", b""), message(b"D", b""), message(b"E", b"\0"), message(b"C", b"X"),
        message(b"B", b"\0\0" + struct.pack("!hh", 0, 30_000)), message(b"P", b"\0SELECT 1\0" + struct.pack("!h", 9)),
        message(b"B", b"\0\0" + struct.pack("!hhi", 0, 1, 2**30)), message(b"Q", b"SELECT 1"), message(b"Q", b"\xff\0"), message(b"D", b"Sno\0"),
    ],
)  # fmt: skip
def test_a_malformed_message_is_an_error_and_the_session_continues(client: Client, data: bytes) -> None:
    client.send(data, *([] if data[:1] == b"Q" else [message(b"S")]))
    with pytest.raises(Refused) as error:
        client.answer()
    assert error.value.state in ("08P01", "26000", "34000", "42P18", "22021"), error.value


@pytest.mark.parametrize(
    "data", [b"Q" + struct.pack("!i", 2**31 - 1), b"Q" + struct.pack("!i", 3), b"\xff\0\0\0\x04", b"F\0\0\0\x04"]
)
def test_a_message_of_invalid_length_or_type_ends_the_connection(served: Served, data: bytes) -> None:
    with Client(served.port) as raw:
        raw.send(data)
        with pytest.raises(Refused) as error:
            list(raw.until())
        assert error.value.fields["S"] == "FATAL"
        assert error.value.state in ("54000", "08P01")
        assert raw.read() == (b"", b"")


def test_prepared_statements_portals_and_settings_are_limited(client: Client) -> None:
    def parse(name: str) -> bytes:
        return message(b"P", name.encode() + b"\0SELECT 1\0\0\0")

    client.send(*(parse(f"s{number}") for number in range(1001)), message(b"S"))
    with pytest.raises(Refused, match="53400: too many prepared statements"):
        client.answer()
    client.query("DEALLOCATE ALL")
    client.send(
        parse(""), *(message(b"B", f"p{number}".encode() + b"\0\0" + b"\0" * 6) for number in range(30)), message(b"S")
    )
    with pytest.raises(Refused, match="53400: too many open portals"):
        client.answer()
    for number in range(220):
        if state(client, f"SET a{number} = 1") == "53400":
            break
    assert number == 200


def test_a_client_that_does_not_read_delays_no_other_client(served: Served) -> None:
    with Client(served.port) as slow:
        before = served.memory()
        slow.send(
            message(
                b"Q",
                b"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 900000) SELECT n, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' AS a FROM r\0",
            )
        )
        time.sleep(1)
        with Client(served.port) as other:
            assert other.query("SELECT 1") == [("1",)]
        assert served.memory() - before < 50


def test_the_statement_of_a_client_that_disconnects_ends(served: Served) -> None:
    with Client(served.port) as one:
        one.send(
            message(b"Q", b"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r\0")
        )
        time.sleep(0.3)
    # Otherwise its thread would slow down all others until the timeout.
    assert soon(lambda: _threads(served) <= _idle(served), 4)


def _threads(served: Served) -> int:
    return len(list(Path(f"/proc/{served.process.pid}/task").iterdir()))


def _idle(served: Served) -> int:
    return 3  # the event loop, the sandbox, and one to spare


def test_two_hundred_clients_at_once_are_served_or_refused(served: Served) -> None:
    assert soon(lambda: _threads(served) <= _idle(served))  # the clients of earlier tests have disconnected
    outcomes: list[str] = []
    held: list[Client] = []

    def one() -> None:
        try:
            client = Client(served.port, timeout=60)
        except Refused as error:
            outcomes.append(error.state)
        except OSError as error:
            outcomes.append(type(error).__name__)
        else:
            held.append(client)
            outcomes.append(str(client.query("SELECT count(*) FROM fine_tuning_jobs")[0][0]))

    threads = [threading.Thread(target=one) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for client in held:
        client.socket.close()
    assert len(outcomes) == 200
    assert 38 <= outcomes.count("250") <= 40  # a client of an earlier test may still hold a place
    assert set(outcomes) <= {"250", "53300", "ConnectionResetError", "BrokenPipeError", "ConnectionError"}, set(
        outcomes
    )
    assert soon(lambda: _threads(served) <= _idle(served))
