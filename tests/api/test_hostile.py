"""Hostile bodies: responses that are broken, lie or never end yield right rows or a clear error, and ftsql goes on.

``python -m tests.campaign hostile --bodies 100000`` is the long run.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

import ftsql
from ftsql.api import deadline, transport
from ftsql.api.request_log import Counts
from ftsql.api.retry import RetriedRequest
from ftsql.errors import DataError
from ftsql.resources.definitions import RESULTS
from ftsql.resources.resource import Resource
from ftsql.sandbox import Fault, Sandbox
from tests.campaign import hostile, places, wires
from tests.campaign.bodies import ODD
from tests.campaign.gateway import Gateway, Lie, Piece
from tests.campaign.lanes import Lane
from tests.campaign.places import PLACES
from tests.conftest import Connect, fill

pytestmark = pytest.mark.filterwarnings("ignore::ftsql.errors.Warning")  # that a result file is gone

SQL = "SELECT id, status FROM fine_tuning_jobs"
WAYS = {  # the names of the ways to send a body
    "as it should be", "odd headers", "JSON cut short", "a byte changed", "other encoding", "no JSON of the API's", "large", "gzip", "gzip bomb",
    "gzip bomb in gzip", "false Content-Encoding", "false Content-Type", "Content-Length too long", "Content-Length too short", "Content-Length nonsense",
    "no Content-Length", "chunks", "bad chunks", "endless chunks", "strange head", "100 MB", "slow drip of the head", "endless 100 Continue",
    "endless empty gzip", "stalled", "error body", "honest", "duplicate key", "deep nesting", "missing", "extra key", "twice listed", "CSV: odd cell", *ODD,
}  # fmt: skip


@pytest.mark.long
def test_a_few_hostile_responses_are_right_rows_or_a_clear_error() -> None:
    result = hostile.batch(200, 20261122)
    assert result.violations == []
    assert result.bodies == 200
    assert len(result.kinds) > len(WAYS) / 2


@pytest.mark.slow
def test_a_hostile_response_is_right_rows_or_a_clear_error() -> None:
    result = hostile.batch(2000, 20261121)
    assert result.violations == []
    assert result.bodies == 2000
    assert WAYS - set(result.kinds) == set()
    for place in PLACES["openai"]:
        assert result.rows[place] > 5, place
        assert result.errors[place] > 5, place


def _dropping(rows: Callable[..., Any]) -> Callable[..., Any]:
    def dropping(self: Resource, provider: str, objects: Any, *rest: Any, **more: Any) -> Any:
        return rows(self, provider, objects[:5] if self is not RESULTS else objects, *rest, **more)

    return dropping


def _twice(run: Callable[..., Any]) -> Callable[..., Any]:
    def run_twice(self: RetriedRequest, call: Any, transport: Any) -> Any:
        if not self.request.repeatable:
            transport.exchange(self.request, call.abandoned.is_set, Counts())
        return run(self, call, transport)

    return run_twice


def _patient(decompressed: Callable[..., Iterator[bytes]]) -> Callable[..., Iterator[bytes]]:
    def patient(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
        with contextlib.suppress(ValueError):
            yield from decompressed(chunks, encoding)

    return patient


PLANTED: dict[str, tuple[object, str, Callable[[Any], Any], str]] = {
    "a row is dropped": (Resource, "rows", _dropping, "the ids"),
    "a create is sent twice": (RetriedRequest, "run", _twice, "2 creates arrived"),
    "no deadline": (deadline, "begin", lambda _: lambda seconds, handshakes=None: None, "took"),
    "what breaks off is taken": (transport, "decompressed", _patient, "rows of what nobody can read"),
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.long
def test_a_bug_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, attribute, bug, by = PLANTED[name]
    monkeypatch.setattr(where, attribute, bug(getattr(where, attribute)))
    monkeypatch.setattr("ftsql.api.retry.RETRY_SECONDS", 0.05)
    monkeypatch.setattr("tests.campaign.lanes.LIMIT", 2.0)
    monkeypatch.setattr("tests.campaign.gateway.ENOUGH", 2.5)
    monkeypatch.setattr("tests.campaign.lanes.SLOW_EVERY", 2 if name == "no deadline" else 10**9)
    monkeypatch.setattr(wires, "SLOW_WAYS", [wires._drip])
    monkeypatch.setattr(wires, "QUICK", [wires._not_gzipped])
    result = Lane("openai", 1).run(6 if name == "no deadline" else 120)
    assert any(re.search(by, violation) for violation in result.violations), result.violations


@pytest.mark.slow
def test_a_process_that_grows_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(places.USED, "max_body", 2**40)
    monkeypatch.setitem(places.SHORT, "deadline", 10.0)
    monkeypatch.setattr("tests.campaign.lanes.SLOW_EVERY", 2)
    monkeypatch.setattr(wires, "SLOW_WAYS", [wires._hundred])
    assert any("the process grew" in violation for violation in hostile.batch(16, 1).violations)


def _asked(gateway: Gateway, tell: Callable[[bytes], Iterator[Piece]], **settings: Any) -> Any:
    """Return the rows of a list whose response is sent by ``tell``."""
    db = ftsql.connect(sandbox=gateway, providers="openai", **settings)
    try:
        gateway.arm(Lie("GET", "/jobs$", tell))
        return db.execute(SQL).fetchall()
    finally:
        gateway.arm(None)
        db.close()


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(3, 0) as started:
        yield started


def _slowly(first: bytes, drop: bytes) -> Callable[[bytes], Iterator[Piece]]:
    def tell(_: bytes) -> Iterator[Piece]:
        yield first
        while True:
            yield 0.05
            yield drop

    return tell


CHUNKED = b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n"
PACKED = CHUNKED + b"Content-Encoding: gzip\r\n\r\na\r\n" + gzip.compress(b"", mtime=0)[:10] + b"\r\n"


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (b"HTTP/1.1 200 X\r\nA: ", b"x"),
        (b"", b"HTTP/1.1 100 X\r\n\r\n"),
        (CHUNKED + b"\r\n5;", b"x"),
        (CHUNKED + b"\r\n0\r\nA: ", b"x"),
        (PACKED, b"5\r\n\0\0\0\xff\xff\r\n"),
    ],
    ids=["head", "100 Continue", "chunk's head", "trailer", "empty gzip"],
)
def test_the_deadline_holds_wherever_a_server_drips(gateway: Gateway, first: bytes, drop: bytes) -> None:
    began = time.monotonic()
    with pytest.raises(ftsql.APIConnectionError, match="took longer than 0.6 s"):
        _asked(gateway, _slowly(first, drop), timeout=0.4, deadline=0.6)
    assert time.monotonic() - began < 2


def test_a_slow_response_within_the_deadline_is_accepted(gateway: Gateway) -> None:
    body = gzip.compress(b'{"data": [], "has_more": false}')
    head = b"HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    pieces: list[Piece] = [head]
    for at in range(len(body)):
        pieces += [body[at : at + 1], 0.01]
    assert _asked(gateway, lambda _: iter(pieces), timeout=0.4, deadline=5) == []


@pytest.mark.parametrize(
    ("encoding", "body", "words"),
    [
        ("gzip", gzip.compress(b"{}" * 5000, mtime=0)[:-12], "its gzip breaks off"),
        ("gzip", b"{}", "it is not valid gzip"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), "compressed 2 times over"),
        ("br", b"{}", "compressed with br, which was not asked for"),
    ],
)
def test_a_body_that_cannot_be_decompressed_is_an_error(
    sandbox: Sandbox, connect: Connect, encoding: str, body: bytes, words: str
) -> None:
    fill(sandbox, 1)
    sandbox.fault(Fault(times=None, status=200, body=body, headers={"Content-Encoding": encoding}))
    with pytest.raises(ftsql.APIConnectionError, match=words):
        connect().execute(SQL).fetchall()


@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_gzip_of_several_members_is_read_to_its_end(gateway: Gateway, pause: float) -> None:
    first, second = gzip.compress(b'{"data": [{"id": "a", "status": "x"}], '), gzip.compress(b'"has_more": false}')
    head = b"HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(first + second)
    pieces: list[Piece] = [head, first, pause, second] if pause else [head, first + second]
    assert _asked(gateway, lambda _: iter(pieces)) == [("a", "x")]


@pytest.mark.parametrize("level", [zlib.MAX_WBITS, -zlib.MAX_WBITS])
def test_deflate_is_decompressed_with_its_header_and_without(sandbox: Sandbox, connect: Connect, level: int) -> None:
    packer = zlib.compressobj(wbits=level)
    body = packer.compress(b'{"data": [{"id": "a", "status": "x"}], "has_more": false}') + packer.flush()
    sandbox.fault(Fault(times=None, status=200, body=body, headers={"Content-Encoding": "deflate"}))
    assert connect().execute(SQL).fetchall() == [("a", "x")]


@pytest.mark.parametrize("table", ["fine_tuning_jobs", "files"])
def test_another_object_than_the_requested_one_is_an_error(sandbox: Sandbox, connect: Connect, table: str) -> None:
    sandbox.fault(Fault(times=None, path="/asked$", body={"id": "other", "object": "x"}))
    with pytest.raises(DataError, match="'asked' it answered with another one, 'other'"):
        connect().execute(f"SELECT id FROM {table} WHERE id = 'asked'").fetchall()


def test_a_long_error_is_read_quickly(sandbox: Sandbox, connect: Connect) -> None:
    sandbox.fault(Fault(times=None, status=404, body={"error": {"message": "x" * 1_000_000}}))
    began = time.monotonic()
    with pytest.raises(ftsql.APIError, match="HTTP 404") as raised:
        connect().execute(SQL).fetchall()
    assert time.monotonic() - began < 2
    assert len(str(raised.value)) < 1000


def test_the_statement_after_a_response_that_was_too_long_is_right(gateway: Gateway) -> None:
    db = ftsql.connect(sandbox=gateway, providers="openai")
    honest = db.execute(SQL).fetchall()
    told = b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\n{}, and more"
    gateway.arm(Lie("GET", "/jobs$", lambda _: iter([told])))
    with pytest.raises(DataError, match="an object without data"):
        db.execute(SQL).fetchall()
    gateway.arm(None)
    assert db.execute(SQL).fetchall() == honest
    db.close()


def test_a_gzip_bomb_is_given_up(sandbox: Sandbox, connect: Connect) -> None:
    fill(sandbox, 1)
    for bomb, words in zip(wires.BOMBS, ("larger than", "compressed 2 times"), strict=True):
        encoding = ", ".join(["gzip"] * (2 if words != "larger than" else 1))
        sandbox.clear_faults()
        sandbox.fault(Fault(times=None, status=200, body=bomb, headers={"Content-Encoding": encoding}))
        with pytest.raises(ftsql.APIConnectionError, match=words):
            connect(max_body=10_000_000).execute(SQL).fetchall()


def test_a_hundred_megabytes_are_shown_where_they_are_allowed(gateway: Gateway) -> None:
    block = b"x" * 1_000_000

    def tell(_: bytes) -> Iterator[Piece]:
        begin, end = b'{"has_more": false, "data": [{"id": "a", "status": "running", "more": "', b'"}]}'
        yield b"HTTP/1.1 200 X\r\nContent-Length: %d\r\n\r\n" % (len(begin) + 100 * len(block) + len(end)) + begin
        yield from itertools.repeat(block, 100)
        yield end

    assert _asked(gateway, tell) == [("a", "running")]


@pytest.mark.parametrize("status", [204, 206])
def test_a_part_of_a_file_is_not_taken_for_the_whole(sandbox: Sandbox, connect: Connect, status: int) -> None:
    sandbox.fault(Fault(times=None, path="/content$", status=status, body=b"" if status == 204 else b"step,train"))
    with pytest.raises(DataError, match=f"HTTP {status}, which is not a whole file"):
        connect().execute("SELECT file_content('file-x')").fetchall()


LONG = 60_000


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"step" + b" " * LONG + b"!", {}),
        (b"step,train_loss\n1," + b"9" * LONG + b"x\n", {}),
        (b"step\n1\n", {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "9" * LONG}),
    ],
    ids=["base64", "number", "header"],
)
def test_a_long_value_that_is_not_a_number_is_parsed_quickly(
    sandbox: Sandbox, connect: Connect, body: bytes, headers: dict[str, str]
) -> None:
    fill(sandbox, 1, result_files=["file-x"])
    sandbox.fault(Fault(times=None, path="/content$", status=200, body=body, headers=headers))
    began = time.monotonic()
    with contextlib.suppress(DataError):
        connect().execute("SELECT * FROM fine_tuning_results WHERE fine_tuning_job_id = 'ftjob-00000'").fetchall()
    assert time.monotonic() - began < 3
