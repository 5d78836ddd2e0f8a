"""How an answer goes over the wire: whole, broken, slow, endless, or not as its headers say.

Each way has a name and says what a careful reader has in the end.
"""

from __future__ import annotations

import gzip
import itertools
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.campaign.gateway import Piece

BLOCK = b" " * 1_000_000
JSON = "application/json"
TYPES = [
    "text/html",
    "",
    "application/json; charset=utf-16",
    "x",
    "multipart/form-data",
    "image/png",
    "text/csv; charset=nonsense",
]
ODD_HEADERS = [
    ("Retry-After", "nan"), ("Retry-After", "1e400"), ("Retry-After", "-1"), ("Retry-After", "99999999999"), ("Retry-After", "Sat, 99 Foo 2026"),
    ("retry-after-ms", "inf"), ("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "9999999h"),
    ("x-ratelimit-reset", "9" * 60_000), ("Retry-After", "Sat, " + "9 " * 20_000), ("x-ratelimit-remaining", "0"), ("x-request-id", "x" * 9000), ("x-request-id", "caf\xe9 \xff"), ("Set-Cookie", "a=b; Max-Age=99999999999999999999"),
    ("Location", "http://127.0.0.1:1/"), ("Link", "<x>; rel=next"), ("Trailer", "x"), ("Content-Range", "bytes 0-1/2"), ("Vary", "*"),
]  # fmt: skip
SLOW = 0.12  # seconds between two pieces: below the campaign's timeout


@dataclass(frozen=True)
class Sent:
    """``content`` is the body that a careful reader has in the end; None where it can have none.
    ``whole``: nothing is wrong with the way it came, so that an honest body must be shown.
    """

    kind: str
    pieces: Callable[[], Iterator[Piece]]
    content: bytes | None
    whole: bool = False


def plain(body: bytes, status: int = 200, rng: random.Random | None = None) -> Sent:
    """As it should be; with ``rng`` with headers that nobody expects."""
    odd = rng.sample(ODD_HEADERS, 3) if rng is not None else []
    head = _head(status, ("Content-Length", str(len(body))), *odd)
    return Sent("odd headers" if odd else "as it should be", lambda: iter([head + body]), body, True)


def _head(status: int, *headers: tuple[str, str], type: str = JSON) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {type}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _of(body: bytes, *headers: tuple[str, str], type: str = JSON) -> bytes:
    return _head(200, *headers, ("Content-Length", str(len(body))), type=type) + body


def _once(kind: str, data: bytes, content: bytes | None, *, whole: bool = False, stay: bool = True) -> Sent:
    pieces: list[Piece] = [data] if stay else [data, b""]  # which ends the connection
    return Sent(kind, lambda: iter(pieces), content, whole)


def _cut(body: bytes, rng: random.Random) -> Sent:
    short = body[: rng.randrange(len(body) + 1)]
    return _once("JSON cut short", _of(short), short)


def _changed(body: bytes, rng: random.Random) -> Sent:
    place = rng.randrange(len(body) + 1)
    other = body[:place] + bytes([rng.randrange(256)]) + body[place + 1 :]
    return _once("a byte changed", _of(other), other)


def _encoded(body: bytes, rng: random.Random) -> Sent:
    other = body.decode("utf-8", "replace").encode(rng.choice(["utf-16", "utf-8-sig", "utf-32"]), "replace")
    return _once("other encoding", _of(other), other)


def _junk(body: bytes, rng: random.Random) -> Sent:
    other = rng.choice(
        [
            b"",
            b"null",
            b"<html>",
            b"[]",
            b"{}",
            b'"x"',
            b"{" * 5000,
            b"[" * 1_900_000,
            b"\0" * 100,
            b"1" * 99999,
            b"NaN",
        ]
    )
    return _once("no JSON of the API's", _of(other), other)


def large(body: bytes, rng: random.Random) -> Sent:
    """Below the bound, and as many objects as fit."""
    filler = rng.choice([b"[],", b"{},", b"1,", b'"a",', b'{"a":[]},', b"[" * 100 + b"]" * 100 + b","])
    other = body[:-1] + b', "more": [' + filler * (600_000 // len(filler)) + b"1]}"
    if not body.startswith(b"{") or len(body) < 3:
        other = body
    return _once("large", _of(other), other, whole=True)


def _gzipped(body: bytes, rng: random.Random) -> Sent:
    how = rng.choice(["gzip", "x-gzip", "deflate", "GZIP", "identity"])
    data = {"deflate": zlib.compress}.get(how, gzip.compress)(body) if how != "identity" else body
    return _once("gzip", _of(data, ("Content-Encoding", how)), body, whole=how in ("gzip", "deflate", "identity"))


def _not_gzipped(body: bytes, rng: random.Random) -> Sent:
    how = rng.choice(["gzip", "br", "deflate", "zstd", "nonsense", "gzip, gzip", "gzip" + ", gzip" * 50])
    data = rng.choice(
        [body, body, gzip.compress(body)[:-9], gzip.compress(body)[:-4] + b"abcd", gzip.compress(body)[:20]]
    )
    content = data if how == "nonsense" else body if data is body else None
    return _once("false Content-Encoding", _of(data, ("Content-Encoding", how)), content)


def _typed(body: bytes, rng: random.Random) -> Sent:
    return _once("false Content-Type", _of(body, type=rng.choice(TYPES)), body, whole=True)


def _too_long(body: bytes, rng: random.Random) -> Sent:
    length = len(body) + rng.choice([1, 2, 1000, 10**6, 10**18])
    head = _head(200, ("Content-Length", str(length)))
    return _once("Content-Length too long", head + body, None, stay=False)


def _too_short(body: bytes, rng: random.Random) -> Sent:
    length = rng.randrange(len(body)) if body else 0
    tail = rng.choice([b"", b"", _of(b'{"object":"list","data":[],"has_more":false}')])
    head = _head(200, ("Content-Length", str(length)))
    return _once("Content-Length too short", head + body + tail, body[:length], stay=rng.random() < 0.7)


def _no_number(body: bytes, rng: random.Random) -> Sent:
    lengths = rng.choice(
        [
            ["-1"],
            ["x"],
            ["1e3"],
            ["0x10"],
            ["\xb3"],
            [str(len(body)), "3"],
            [str(len(body))] * 2,
            ["9" * 40],
            [f"{len(body)}, {len(body)}"],
        ]
    )
    head = _head(200, *(("Content-Length", length) for length in lengths))
    return _once("Content-Length nonsense", head + body, body, stay=False)


def _no_length(body: bytes, rng: random.Random) -> Sent:
    """Until the connection's end, which may come early: nobody can tell."""
    short = body if rng.random() < 0.6 else body[: rng.randrange(len(body) + 1)]
    return _once("no Content-Length", _head(200) + short, short, whole=short is body, stay=False)


def _chunked(body: bytes, rng: random.Random) -> Sent:
    size = rng.choice([1, 7, 1000, 70_000])
    body, size = (body, size) if len(body) < 50_000 else (body, max(size, 1000))
    data = b"".join(_chunk(body[at : at + size]) for at in range(0, len(body), size))
    tail = rng.choice([b"0\r\n\r\n", b"0\r\nX-Trailer: 1\r\n\r\n", b"000;a=b\r\n\r\n"])
    return _once("chunks", _head(200, ("Transfer-Encoding", "chunked")) + data + tail, body, whole=True)


def _bad_chunks(body: bytes, rng: random.Random) -> Sent:
    broken = rng.choice(
        [b"zz\r\n" + body + b"\r\n0\r\n\r\n", _chunk(body), _chunk(body)[:-9], b"-5\r\n" + body, b"f" * 30 + b"\r\n" + body,
         _chunk(body) + b"0\r\n", b"5" + b"0" * 15 + b"\r\n" + body, _chunk(body).replace(b"\r\n", b"\n") + b"0\n\n"]
    )  # fmt: skip
    head = _head(200, ("Transfer-Encoding", rng.choice(["chunked", "chunked", "gzip, chunked", "x"])))
    return _once("bad chunks", head + broken, body, stay=False)


def _status(body: bytes, rng: random.Random) -> Sent:
    lines = [
        b"HTTP/1.1 204 X", b"HTTP/1.1 304 X", b"HTTP/1.1 206 X", b"HTTP/1.1 999 X", b"HTTP/1.1 000 X", b"HTTP/1.1 20 X", b"HTTP/9.9 200 X",
        b"HTTP/1.1 200", b"HTTP/1.1", b"ICY 200 OK", b"\0\xff\x16\x03\x01", b"HTTP/1.1 101 X", b"HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:1/", b"",
        b"HTTP/1.1 200 X\r\nbad header", b"HTTP/1.1 200 X\r\n: none", b"HTTP/1.1 200 X\r\nA: \x00\x01", b"HTTP/1.1 200 X\r\n" + b"A: b\r\n" * 300,
        b"HTTP/1.1 200 X\r\nA: " + b"x" * 90_000, b"HTTP/1.1 200 X\r\nA: " + b"x" * 200_000, b"HTTP/1.1 100 X\r\n\r\n" * 50 + b"HTTP/1.1 200 X",
    ]  # fmt: skip
    data = rng.choice(lines) + f"\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    return _once("strange head", data, body, stay=False)


def _bomb(body: bytes, rng: random.Random) -> Sent:
    times = rng.randrange(2)
    packed = _of(BOMBS[times], ("Content-Encoding", ", ".join(["gzip"] * (times + 1))))
    return _once("gzip bomb in gzip" if times else "gzip bomb", packed, None)


def _hundred(body: bytes, rng: random.Random) -> Sent:
    def pieces() -> Iterator[Piece]:
        yield _head(200, ("Content-Length", str(len(body) + 100 * len(BLOCK)))) + body
        yield from itertools.repeat(BLOCK, 100)

    return Sent("100 MB", pieces, None)


def _endless(body: bytes, rng: random.Random) -> Sent:
    def pieces() -> Iterator[Piece]:
        yield _head(200, ("Transfer-Encoding", "chunked")) + _chunk(body or b" ")
        yield from itertools.repeat(_chunk(rng.choice([BLOCK, b"[" * 60_000])))

    return Sent("endless chunks", pieces, None)


def _drip(body: bytes, rng: random.Random) -> Sent:
    """A few bytes at a time, each before the timeout: of the body, or of what is in front of it."""
    how = rng.choice(["body", "chunks", "head", "chunk's head", "trailer"])
    chunked = _head(200, ("Transfer-Encoding", "chunked"))
    first, drop = {
        "body": (_head(200, ("Content-Length", "999999")), b" "),
        "chunks": (chunked, _chunk(b" ")),
        "head": (b"HTTP/1.1 200 X\r\nContent-Type: x", b"x"),
        "chunk's head": (chunked + b"5;", b"x"),
        "trailer": (chunked + _chunk(body or b" ") + b"0\r\nX: ", b"x"),
    }[how]
    return Sent(f"slow drip of the {how}", lambda: _dripping(first, drop), None)


def _hundreds(body: bytes, rng: random.Random) -> Sent:
    return Sent(
        "endless 100 Continue", lambda: _dripping(b"", b"HTTP/1.1 100 X\r\n\r\n", rng.choice([0.01, SLOW])), None
    )


def _empty_blocks(body: bytes, rng: random.Random) -> Sent:
    """Compressed data that goes on for ever and stands for nothing."""
    first = _head(200, ("Content-Encoding", "gzip"), ("Transfer-Encoding", "chunked")) + _chunk(gzip.compress(b"")[:10])
    return Sent("endless empty gzip", lambda: _dripping(first, _chunk(b"\0\0\0\xff\xff" * 2), 0.01), None)


def _stalled(body: bytes, rng: random.Random) -> Sent:
    first = rng.choice([b"", b"HTTP/1.1 200", _head(200, ("Content-Length", str(len(body) + 1))) + body])
    return Sent("stalled", lambda: iter([first, 30.0]), None)


def _dripping(first: bytes, drop: bytes, pause: float = SLOW) -> Iterator[Piece]:
    yield first
    while True:
        yield pause
        yield drop


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _zeros(megabytes: int) -> bytes:
    """So many megabytes of spaces, compressed; never held in memory."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    first = packer.compress(BLOCK) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(BLOCK) + packer.flush(zlib.Z_FULL_FLUSH)  # after a full flush the same bytes again
    return first + again * (megabytes - 1)


BOMBS = [_zeros(600), gzip.compress(_zeros(600))]
QUICK = [
    _cut, _changed, _encoded, _junk, _gzipped, _not_gzipped, _typed, _too_long, _too_short, _no_number, _no_length, _chunked, _bad_chunks, _status,
]  # fmt: skip
SLOW_WAYS = [_bomb, _hundred, _endless, _drip, _drip, _hundreds, _empty_blocks, _stalled]
