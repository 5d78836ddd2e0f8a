"""The command ``ftsql serve``: its output, its errors, and its end."""

from __future__ import annotations

import signal
import socket
import ssl
import struct
import subprocess
import time
from pathlib import Path

import pytest

pytest.importorskip("pg_mimic")

from tests.cli.test_shell import run
from tests.serve.pgwire import PASSWORD, Client, Refused, Served, message, own_file, startup

pytestmark = pytest.mark.long


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_while_statements_run(number: int) -> None:
    with Served("--sandbox") as served, Client(served.port) as busy, Client(served.port) as idle:
        busy.send(
            message(b"Q", b"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r\0")
        )
        time.sleep(0.3)
        started = time.monotonic()
        code, said = served.stop(number)
        assert time.monotonic() - started < 8
        with pytest.raises(Refused, match="57P01"):
            list(idle.until())
    assert code == 0
    assert said.count("\n") == 1, said
    assert "Ctrl-C ends" in said


def test_a_generated_password_is_shown_once_and_one_from_the_environment_is_never_shown() -> None:
    with Served("--sandbox", password=None) as served:
        made = served.url.removeprefix("postgresql://ftsql:").partition("@")[0]
        assert len(made) >= 20
        with Client(served.port, made) as client:
            assert client.query("SELECT 1") == [("1",)]
    with Served("--sandbox") as served:
        _, said = served.stop()
        assert PASSWORD not in said


def test_sessions_share_the_cache() -> None:
    with Served("--sandbox", "--max-age", "600") as served:
        asked = []
        for _ in range(3):
            with Client(served.port) as client:
                client.query("SELECT count(*) FROM fine_tuning_jobs")
                asked.append(client.query("SELECT count(*) FROM ftsql_requests")[0][0])
        assert asked[1:] == ["0", "0"], asked


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "other machines can reach 0.0.0.0: give --tls-cert and --tls-key"),
        (["--host", "::"], "--tls-cert"),
        (["--tls-cert", "a.pem"], "--tls-cert and --tls-key go together"),
        (["--tls-cert", "a.pem", "--tls-key", "b.pem"], "cannot use a.pem and b.pem for TLS"),
        (["nowhere.db"], "there is no file nowhere.db: ftsql sync nowhere.db creates it"),
        (["--provider", "nobody"], "nobody"),
        (["--port", "70000"], "70000"),
        (["--max-rows", "0"], "expected a number from 1 to"),
    ],
)
def test_invalid_options_are_an_error_at_the_start(words: list[str], said: str, tmp_path: Path) -> None:
    done = run("serve", *words, *(["--sandbox"] if "nobody" not in words else []), folder=tmp_path)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_and_a_file_that_is_not_a_database_are_errors(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("serve", "--sandbox", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "Choose another --port" in done.stderr
    (tmp_path / "text.db").write_text("not a database at all, and long enough to be read as a header" * 20)
    done = run("serve", "--sandbox", str(tmp_path / "text.db"))
    assert done.returncode == 1
    assert "cannot open" in done.stderr
    assert "Traceback" not in done.stderr


def test_options_before_the_word_serve_are_an_error() -> None:
    done = run("--sandbox", "serve")
    assert done.returncode == 2
    assert "ftsql serve …; its options follow" in done.stderr


def test_with_a_certificate_connections_are_encrypted(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        capture_output=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    words = ("--sandbox", "--host", "0.0.0.0", "--tls-cert", str(certificate), "--tls-key", str(key))
    with Served(*words) as served:
        context = ssl.create_default_context(cafile=str(certificate))
        with socket.create_connection(("127.0.0.1", served.port)) as raw:
            raw.sendall(struct.pack("!ii", 8, 80877103))
            assert raw.recv(1) == b"S"
            with context.wrap_socket(raw, server_hostname="127.0.0.1") as secure, Client(0, sock=secure) as client:
                assert client.query("SELECT count(*) FROM models")[0][0] is not None
                assert secure.version() == "TLSv1.3"
        with Client(served.port) as local:  # clients on this machine may connect without TLS
            assert local.query("SELECT 1") == [("1",)]
        with Client(0, None, sock=socket.create_connection(("127.0.0.1", served.port))) as injecting:
            injecting.send(struct.pack("!ii", 8, 80877103) + startup(user="a"))
            said = b""
            while part := injecting.socket.recv(100):
                said += part
            assert b"R" not in said[:2]


def test_a_snapshot_is_served_while_sync_writes_it(tmp_path: Path) -> None:
    path = own_file(tmp_path)
    assert run("sync", str(path), "--sandbox", "--tables", "jobs").returncode == 0
    with Served(str(path), "--sandbox") as served, Client(served.port) as client:
        assert client.query("SELECT count(*) FROM public.fine_tuning_jobs") == [("250",)]
        assert run("sync", str(path), "--sandbox", "--tables", "jobs").returncode == 0
        assert client.query("SELECT count(*) FROM jobs JOIN live.jobs AS now USING (id)")[0][0] is not None
