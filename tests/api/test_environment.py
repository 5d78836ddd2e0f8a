"""An invalid environment variable is an error that names the variable, and nothing is sent."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import certifi
import pytest

import ftsql
from ftsql.api import network
from ftsql.api.account import Account, is_host, is_this_machine
from ftsql.api.provider import Provider
from ftsql.sandbox import Sandbox
from ftsql.sync.rounds import sync
from tests.answering import PATH, Response, Server, api, job, jobs
from tests.conftest import CANARY, Connect, fill

LIST = "SELECT id FROM fine_tuning_jobs"
CREATE = "INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('m', 'f')"
CANCEL = "SELECT cancel_job('ftjob-00000')"


@pytest.fixture(autouse=True)
def _away(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account at an address that is not this machine, and so behind any proxy."""
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.example.invalid/v1")
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    for name in os.environ:
        if name.lower() in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir",
                            "requests_ca_bundle", "curl_ca_bundle"):  # fmt: skip
            monkeypatch.delenv(name)


WRONG = [
    ({"ALL_PROXY": "socks://127.0.0.1:9"}, "the proxy in ALL_PROXY cannot be used: it has to be http://"),
    ({"HTTPS_PROXY": "ftp://127.0.0.1:9"}, "the proxy in HTTPS_PROXY cannot be used"),
    ({"https_proxy": "http://"}, "the proxy in https_proxy cannot be used"),
    ({"HTTPS_PROXY": "http://127.0.0.1:nine"}, "the proxy in HTTPS_PROXY cannot be used"),
    ({"HTTPS_PROXY": "http://[::1"}, "the proxy in HTTPS_PROXY cannot be used"),
    ({"HTTPS_PROXY": "http://user:pass word@127.0.0.1:99999"}, "the proxy in HTTPS_PROXY cannot be used"),
    ({"SSL_CERT_FILE": "/nonexistent"}, "SSL_CERT_FILE names no certificates that can be read: No such file"),
    ({"REQUESTS_CA_BUNDLE": "/nonexistent"}, "REQUESTS_CA_BUNDLE names no certificates"),
    ({"SSL_CERT_DIR": "/nonexistent"}, "SSL_CERT_DIR names no certificates"),
    ({"HTTPS_PROXY": "http://a..b:1"}, "the proxy in HTTPS_PROXY cannot be used"),
    ({"SSLKEYLOGFILE": "/nonexistent/keys"}, "SSLKEYLOGFILE names a file that cannot be written: No such file"),
    ({"SSLKEYLOGFILE": "/nonexistent/keys", "SSL_CERT_FILE": certifi.where()}, "SSLKEYLOGFILE names a file"),
    (
        {"OPENAI_BASE_URL": "https://api.example.invalid/\udcff/v1"},
        "OPENAI_BASE_URL holds a character that cannot be sent",
    ),
    ({"OPENAI_API_KEY": "sk-1\udcff"}, "OPENAI_API_KEY holds a character that cannot be sent"),
    ({"OPENAI_API_KEY": "sk-1\nX-Other: 2"}, "OPENAI_API_KEY holds a character that cannot be sent"),
    ({"OPENAI_BASE_URL": "https://.openai.azure.com"}, r"base_url \(from OPENAI_BASE_URL\) is not an http"),
    ({"OPENAI_BASE_URL": "https://a..b/v1"}, r"base_url \(from OPENAI_BASE_URL\)"),
    ({"OPENAI_BASE_URL": "https://" + "a" * 64 + ".com/v1"}, r"base_url \(from OPENAI_BASE_URL\)"),
    ({"OPENAI_BASE_URL": "https://example.com:port/v1"}, r"base_url \(from OPENAI_BASE_URL\)"),
    ({"OPENAI_BASE_URL": "https://[::1/v1"}, r"base_url \(from OPENAI_BASE_URL\)"),
    ({"OPENAI_BASE_URL": "example.com/v1"}, r"base_url \(from OPENAI_BASE_URL\)"),
]


@pytest.mark.parametrize(("variables", "words"), WRONG, ids=lambda value: str(value)[:60])
@pytest.mark.parametrize("sql", [LIST, CREATE, CANCEL])
def test_a_wrong_variable_is_named_and_nothing_was_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], words: str, sql: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    db = ftsql.connect(store=tmp_path / "store.db")
    with pytest.raises(ftsql.ConfigError, match=f"^openai: .*{words}") as caught:
        db.execute(sql).fetchall()
    assert "pass word" not in str(caught.value)
    assert db.execute("SELECT count(*) FROM ftsql_writes WHERE open OR state = 'unknown'").get == 0
    assert db.execute("SELECT count(*) FROM ftsql_requests").get == 0
    db.close()


def test_a_proxys_password_is_in_no_message_even_if_its_url_begins_with_a_space(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ftsql.api.retry.RETRY_SECONDS", 0.0)
    monkeypatch.setenv("HTTPS_PROXY", " http://user:secretpw123@127.0.0.1:9 ")
    db = ftsql.connect()
    with pytest.raises(ftsql.Error, match="by the proxy http://127.0.0.1:9") as caught:
        db.execute(LIST).fetchall()
    assert "secretpw" not in str(caught.value)
    db.close()


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("FTSQL_STORE", "cannot use the store ~nosuchuser/x: there is no such user"),
        ("FTSQL_CONFIG", "cannot read the provider file ~nosuchuser/x"),
        ("FTSQL_TIMEOUT", "invalid timeout '~nosuchuser/x'"),
    ],
)
def test_a_file_of_a_user_that_does_not_exist_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, words: str
) -> None:
    monkeypatch.setenv(variable, "~nosuchuser/x")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ftsql.Error, match=words):
        ftsql.connect()
    done = subprocess.run([sys.executable, "-m", "ftsql", "SELECT 1"], capture_output=True, text=True)
    assert (done.returncode, words in done.stderr.replace("\n", " "), "Traceback" in done.stderr) == (1, True, False)
    assert [path for path in tmp_path.iterdir() if "nosuchuser" in path.name] == []


@pytest.mark.parametrize("value", ["inf", "nan", "1e300"])
@pytest.mark.parametrize("name", ["timeout", "connect_timeout", "settle_seconds"])
def test_a_time_that_no_socket_takes_is_refused(name: str, value: str) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(ftsql.ConfigError, match=f"invalid {name}"):
        ftsql.connect(**settings)


def test_an_empty_label_in_azures_endpoint_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://.openai.azure.com")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", CANARY)
    db = ftsql.connect(providers="azure")
    with pytest.raises(ftsql.ConfigError, match="azure: base_url .from AZURE_OPENAI_ENDPOINT. is not an http"):
        db.execute(LIST).fetchall()
    db.close()


def test_sync_keeps_the_last_good_state(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sandbox, 3)
    monkeypatch.setenv("OPENAI_BASE_URL", sandbox.base_url("openai"))
    file = tmp_path / "jobs.db"
    sync(file, tables=["jobs"])
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.example.invalid/v1")
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")
    (done,) = sync(file, tables=["jobs"])
    assert done.failed
    assert done.changes[0].rows == 3
    assert "SSL_CERT_FILE" in str(done.changes[0].error)


@pytest.mark.parametrize(
    ("no_proxy", "host", "direct"),
    [
        ("fd00::/8", "fd00::1", True),
        ("fd00::/8", "fe00::1", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8, .example.com", "api.example.com", True),
        ("example.com", "api.example.com", True),
        ("example.com", "notexample.com", False),
        ("*", "anything.com", True),
        ("", "anything.com", False),
        ("x y, /, ://", "anything.com", False),
    ],
)
def test_a_host_in_no_proxy_is_reached_directly(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, host: str, direct: bool
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    shown = f"[{host}]" if ":" in host else host
    assert (network.proxy("p", f"https://{shown}/v1") is None) is direct


def test_a_proxy_without_a_scheme_is_http_and_all_proxy_is_the_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "proxy.example:3128")
    found = network.proxy("p", "https://example.com")
    assert found is not None
    assert (found.variable, found.url) == ("ALL_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret-password@other:1")
    found = network.proxy("p", "https://example.com")
    assert found is not None
    assert found.variable == "HTTPS_PROXY"
    assert "secret-password" not in repr(found)
    assert network.proxy("p", "http://example.com") is not None  # by ALL_PROXY


@pytest.fixture
def tls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ssl.SSLContext:
    """For servers on this machine and for api.example.invalid, with a certificate that is trusted."""
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:api.example.invalid",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


@contextlib.contextmanager
def proxy(
    answer: bytes | None, tls: ssl.SSLContext | None = None, inside: ssl.SSLContext | None = None
) -> Iterator[tuple[int, list[bytes]]]:
    """A proxy that answers a CONNECT so, or drops the connection (None); what it was sent.

    ``tls``: over TLS. ``inside``: it is the server too, which drops the connection.
    """
    sent: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(ssl.SSLError):
                near = client if tls is None else tls.wrap_socket(client, server_side=True)
                with near:
                    sent.append(near.recv(65536))
                    if answer is not None:
                        near.sendall(answer)
                    if inside is not None:
                        with inside.wrap_socket(near, server_side=True) as server:
                            sent.append(server.recv(65536))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], sent
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.mark.parametrize("sql", [LIST, CREATE])
@pytest.mark.parametrize("status", [b"407 Proxy Authentication Required", b"403 Forbidden"])
def test_a_proxy_that_refuses_is_asked_once(monkeypatch: pytest.MonkeyPatch, sql: str, status: bytes) -> None:
    with proxy(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n") as (port, sent):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        db = ftsql.connect()
        with pytest.raises(
            ftsql.APIConnectionError, match="the proxy refuses: 40[37].*Not sent.*HTTPS_PROXY"
        ) as caught:
            db.execute(sql).fetchall()
        assert not caught.value.ambiguous
        assert len(sent) == 1
        assert CANARY.encode() not in sent[0]
        assert [state for (state,) in db.execute("SELECT state FROM ftsql_writes")] == (
            ["refused"] if sql == CREATE else []
        )
        db.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_drops_during_connect_means_not_sent(
    monkeypatch: pytest.MonkeyPatch, tls: ssl.SSLContext, scheme: str
) -> None:
    monkeypatch.setattr("ftsql.api.retry.RETRY_SECONDS", 0.1)
    with proxy(None, tls if scheme == "https" else None) as (port, sent):
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:{port}")
        db = ftsql.connect(settle_seconds=0.1)
        with pytest.raises(ftsql.APIConnectionError) as caught:
            db.execute(CREATE)
        assert not caught.value.ambiguous
        assert not isinstance(caught.value, ftsql.OutcomeUnknown)
        assert sent
        assert all(each.startswith(b"CONNECT api.example.invalid:443") for each in sent)
        assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("refused",)]
        db.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_server_whose_certificate_is_not_trusted_or_not_its_own_is_sent_nothing(
    monkeypatch: pytest.MonkeyPatch, tls: ssl.SSLContext, host: str
) -> None:
    monkeypatch.setattr("ftsql.api.retry.RETRY_SECONDS", 0.0)
    if host == "127.0.0.1":  # which is in the certificate
        monkeypatch.delenv("SSL_CERT_FILE")
    with proxy(None, tls) as (port, sent):
        monkeypatch.setenv("OPENAI_BASE_URL", f"https://{host}:{port}/v1")
        db = ftsql.connect()
        for sql in (LIST, CREATE):
            with pytest.raises(ftsql.Error, match=r"CERTIFICATE_VERIFY_FAILED.*Not sent\. .*SSL_CERT_FILE"):
                db.execute(sql).fetchall()
        assert sent == []
        assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("refused",)]
        db.close()


@pytest.mark.parametrize("through", ["itself", "a proxy"])
def test_a_create_over_tls_whose_answer_is_lost_is_sent_once(
    monkeypatch: pytest.MonkeyPatch, tls: ssl.SSLContext, through: str
) -> None:
    monkeypatch.setattr("ftsql.api.retry.RETRY_SECONDS", 0.0)
    made = b"HTTP/1.1 200 Connection established\r\n\r\n"
    with proxy(None, tls) if through == "itself" else proxy(made, None, tls) as (port, sent):
        if through == "itself":
            monkeypatch.setenv("OPENAI_BASE_URL", f"https://127.0.0.1:{port}/v1")
        else:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        db = ftsql.connect(settle_seconds=0.1)
        with pytest.raises(ftsql.OutcomeUnknown):
            db.execute(CREATE)
        assert len([each for each in sent if each.startswith(b"POST /v1/fine_tuning/jobs")]) == 1
        assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("unknown",)]
        db.close()


def test_closing_while_a_connection_is_made_leaves_no_socket_open(
    monkeypatch: pytest.MonkeyPatch, tls: ssl.SSLContext
) -> None:
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{"data": [], "has_more":false}'
    closed = threading.Event()
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("OPENAI_BASE_URL", f"https://127.0.0.1:{listener.getsockname()[1]}/v1")
        db = ftsql.connect()

        def serve() -> None:
            client, _ = listener.accept()
            client.settimeout(20)
            db.interrupt()
            closed.wait(20)
            with client, tls.wrap_socket(client, server_side=True) as near:
                received.append(near.recv(65536))
                near.sendall(answer)
                received.append(near.recv(65536))

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(apsw.InterruptError):
            db.execute(LIST).fetchall()
        db.close()
        closed.set()
        thread.join()
    assert received[0].startswith(b"GET /v1/fine_tuning/jobs?limit=100 ")
    assert received[1:] == [b""]
    gc.collect()  # an unclosed socket would be a ResourceWarning here, which is an error


@pytest.mark.parametrize("sql", [LIST, CREATE, CANCEL])
def test_a_proxy_that_cannot_be_reached_is_named_and_nothing_was_sent(
    monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    monkeypatch.setattr("ftsql.api.retry.RETRY_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://name:{CANARY}@127.0.0.1:{port}")
    db = ftsql.connect()
    named = (
        rf"api\.example\.invalid by the proxy http://127\.0\.0\.1:{port} \(HTTPS_PROXY\).*Not sent. Check that proxy: "
    )
    with pytest.raises(ftsql.Error, match=named) as caught:
        db.execute(sql).fetchall()
    assert CANARY not in str(caught.value)
    assert db.execute("SELECT count(*) FROM ftsql_writes WHERE open").get == 0
    db.close()


def test_any_failure_before_a_byte_has_left_says_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://xn--a.example/v1")
    db = ftsql.connect()
    with pytest.raises(ftsql.APIConnectionError, match="InvalidCodepoint.*Not sent"):
        db.execute(CREATE)
    assert db.execute("SELECT state FROM ftsql_writes").fetchall() == [("refused",)]
    db.close()


@pytest.mark.parametrize("sql", [LIST, CREATE, CANCEL])
def test_a_refused_connection_says_not_sent(monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
    monkeypatch.setattr("ftsql.api.retry.RETRY_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
    db = ftsql.connect()
    with pytest.raises(ftsql.Error, match=f"cannot connect to 127.0.0.1:{port}: .*Not sent. Check the network and"):
        db.execute(sql).fetchall()
    assert db.execute("SELECT count(*) FROM ftsql_writes WHERE open").get == 0
    db.close()


def test_a_redirect_names_its_target(at: Any) -> None:
    _, db = at(lambda asked: Response(b"", 307, {"Location": f"https://login.example.com/?key={CANARY}"}))
    with pytest.raises(ftsql.APIError, match=r"redirects to https://login.example.com/, and a key is never"):
        db.execute(LIST).fetchall()


@pytest.mark.parametrize(
    ("host", "here"),
    [
        *((host, True) for host in ("localhost", "LOCALHOST", "localhost.", "app.localhost", "127.0.0.1", "127.5.6.7", "0.0.0.0",
                                    "::1", "::", "::ffff:127.0.0.1")),
        *((host, False) for host in ("127.0.0.1.evil.example", "localhost.evil.example", "evil-localhost", "127.0.0.1.", "127.1",
                                     "2130706433", "0177.0.0.1", "0x7f.0.0.1", "127.999.999.999", "10.0.0.1", "::2", "", "fe80::1",
                                     "128.0.0.1", "1.127.0.0.1")),
    ],
)  # fmt: skip
def test_names_and_addresses_of_this_machine_are_known(host: str, here: bool) -> None:
    assert is_this_machine(host) is here
    shown = f"[{host}]" if ":" in host else host
    account = Account(Provider("mine", f"http://{shown}:4000/v1", {"Authorization": "Bearer ${K}"}), {"K": CANARY})
    if here:
        assert account.url(root=True) == f"http://{shown}:4000/v1"
    else:  # a key does not leave over http://
        with pytest.raises(ftsql.ConfigError, match="refuses to send a key|base_url is not an http"):
            account.url()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1@evil.example/v1", "http://user:x@127.0.0.1/v1", "http://evil.example#127.0.0.1"]
)
def test_a_user_in_an_address_is_refused(url: str) -> None:
    with pytest.raises(ftsql.ConfigError, match="neither a user nor a query|refuses to send a key"):
        Account(Provider("mine", url, {"Authorization": "Bearer k"}), {}).url()


def test_an_address_that_changes_is_checked_again() -> None:
    variables = {"U": "http://127.0.0.1/v1"}
    account = Account(Provider("mine", "${U}"), variables)
    assert account.url(root=True) == "http://127.0.0.1/v1"
    variables["U"] = "http://evil.example/v1"
    with pytest.raises(ftsql.ConfigError, match="refuses to send a key to evil.example"):
        account.url()


@pytest.mark.parametrize(
    ("host", "usable"),
    [("example.com", True), ("a_b.example.com.", True), ("bücher.example", True), ("a..b", False), (".a", False), ("", False),
     ("a" * 64, False), ("a b", False)],
)  # fmt: skip
def test_a_host_has_labels_that_can_be_looked_up(host: str, usable: bool) -> None:
    assert is_host(host) is usable


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost", "localhost.", "app.localhost"])
def test_jobs_of_this_machine_are_listed_by_each_of_its_names(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr(socket.socket, "connect", REAL_CONNECT)  # the guard of the tests takes 0.0.0.0 for foreign
    with Server(api(jobs(2))) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://{host}:{server.port}/v1")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # which is not for this machine
        db = ftsql.connect()
        assert len(db.execute(LIST).fetchall()) == 2
        db.close()


REAL_CONNECT = socket.socket.connect


def test_a_wrong_file_of_certificates_that_is_a_folder_is_taken_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    assert isinstance(network.certificates("p"), ssl.SSLContext)
    (tmp_path / "ca.pem").write_text("no certificate")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with pytest.raises(ftsql.ConfigError, match="REQUESTS_CA_BUNDLE names no certificates"):
        network.certificates("p")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert network.certificates("p") is None


LONG = "ftjob-" + "x" * 1200
IDS = [LONG, "ftjob-abc==", "job=1", "a+b", "x" * 2048]


@pytest.mark.parametrize("id", IDS, ids=lambda id: id[:12])
def test_long_ids_and_ids_with_an_equals_sign_are_cancelled(at: Any, id: str) -> None:
    state = {"status": "running"}

    def answering(asked: Any) -> Any:
        if asked.method == "POST":
            state["status"] = "cancelled"
        return job(0, id=id, finished_at=None, fine_tuned_model=None, **state)

    server, db = at(answering)
    assert db.execute("SELECT cancel_job(?)", (id,)).get == "cancelled"
    assert [asked.path for asked in server.asked] == [f"{PATH}/{id}/cancel"]
    assert db.execute("SELECT id FROM fine_tuning_jobs WHERE id = ?", (id,)).get == id


@pytest.mark.parametrize("id", ["", "..", "a/b", "a?b", "a#b", "a b", "x" * 2049, "é", "=a", ".a"])
def test_an_id_that_cannot_be_part_of_a_url_is_not_sent(at: Any, id: str) -> None:
    server, db = at(lambda asked: {"data": [], "has_more": False})
    with pytest.raises(ftsql.Error, match="is not a job id"):
        db.execute("SELECT cancel_job(?)", (id,)).fetchall()
    assert server.asked == []


FORK = """
import os, sys, warnings
warnings.simplefilter("ignore")
import ftsql
db = ftsql.connect({arguments})
db.execute("CREATE TABLE mine (x)")
assert db.execute("SELECT count(*) FROM fine_tuning_jobs").get == 3
child = os.fork()
if not child:
    for sql in ("SELECT count(*) FROM fine_tuning_jobs", "SELECT id FROM files", "SELECT cancel_job('x')",
                "INSERT INTO fine_tuning_jobs (model, training_file) VALUES ('m', 'f')"):
        try:
            print(db.execute(sql).fetchall())
        except ftsql.Error as error:
            print(error)
    again = ftsql.connect({arguments})
    print(again.execute("SELECT count(*) FROM fine_tuning_jobs").get)
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
print(db.execute("SELECT count(*) FROM fine_tuning_jobs").get)
"""


@pytest.mark.parametrize("store", [None, "store.db"])
def test_a_process_that_was_forked_off_is_told_to_connect_again(
    sandbox: Sandbox, tmp_path: Path, store: str | None
) -> None:
    fill(sandbox, 3)
    arguments = "" if store is None else f"store={str(tmp_path / store)!r}"
    done = subprocess.run(
        [sys.executable, "-c", FORK.format(arguments=arguments)],
        env={**os.environ, "OPENAI_BASE_URL": sandbox.base_url("openai"), "OPENAI_API_KEY": CANARY},
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.stderr == ""
    told = "this connection was opened before a fork, and its threads do not exist in this process: connect again"
    assert done.stdout.splitlines() == [told] * 4 + ["3", "3"]


def _command(
    sandbox: Sandbox, *words: str, encoding: str = "utf-8", close: str = ""
) -> subprocess.CompletedProcess[bytes]:
    known = {"OPENAI_BASE_URL": sandbox.base_url("openai"), "OPENAI_API_KEY": CANARY, "PYTHONIOENCODING": encoding}
    command = " ".join([sys.executable, "-m", "ftsql", *(f"'{word}'" for word in words), close])
    return subprocess.run(["sh", "-c", command], env={**os.environ, **known}, capture_output=True, timeout=60)


@pytest.mark.parametrize("close", ["", "2>&-"])
def test_rows_are_printed_even_if_stderr_is_closed(sandbox: Sandbox, close: str) -> None:
    fill(sandbox, 2)
    done = _command(sandbox, "SELECT id FROM fine_tuning_jobs ORDER BY id", close=close)
    assert done.returncode == 0
    assert done.stdout == b"id\nftjob-00000\nftjob-00001\n"
    done = _command(sandbox, "SELECT nothing FROM fine_tuning_jobs", close=close)
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.parametrize("mode", ["csv", "json", "line", "box", "list"])
def test_rows_are_printed_in_an_encoding_that_lacks_their_characters(sandbox: Sandbox, mode: str) -> None:
    sandbox.add_job(id="ftjob-1", metadata={"team": "研究 🚀 é"})
    done = _command(sandbox, "--mode", mode, "SELECT metadata FROM fine_tuning_jobs", encoding="cp1252")
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode("cp1252")
    assert "é" in shown or "\\xe9" in shown or "\\u00e9" in shown
    assert "\\u7814" in shown
