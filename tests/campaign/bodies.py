"""Bodies mutated at random from honest ones: JSON by its places, CSV by its cells, and error bodies.

Each mutation has a name, so that a campaign can say which ones it sent.
"""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Iterator
from typing import Any

KEY = "sk-ftsql-sandbox"  # what an account of a sandbox sends; some bodies give it back

ODD: dict[str, list[Any]] = {
    "type swapped": [None, True, False, 0, -1, 1.5, "", "x", "0", "null", [], {}, [[]], [None], {"a": {"b": []}}],
    "huge number": [10**30, -(10**30), 2**63, -(2**63), 2**63 - 1, 1e308, -1e308, 10**4000, 1e-320, "1e400", "9" * 5000],
    "NaN": [float("nan"), float("inf"), float("-inf"), "NaN", "-Infinity"],
    "lone surrogate": ["\ud800", "a\udfffb", "\ud83d", {"\udc00": 1}, ["\udbff\udbff"]],
    "long text": ["x" * 100_000, "é😀\u0000" * 1000, "\\" * 5000, "\u2028\u202e'\"--;"],
    "a time": ["2026-01-01T00:00:00Z", "2026-13-45", 1e17, 10**18, -62135596801, "0001-01-01T00:00:00+23:59", 99999999999],
    "credential": [KEY, f"Bearer {KEY}", {KEY: KEY}],
}  # fmt: skip
KEYS = ["", "id", "data", "has_more", "x" * 1000, "é", "ftsql_key", "next", "total", "error", "\u0000", "__proto__"]
STATUSES = [
    400,
    401,
    402,
    403,
    404,
    404,
    404,
    405,
    408,
    409,
    410,
    413,
    418,
    422,
    425,
    451,
    499,
    500,
    501,
    502,
    503,
    504,
    520,
    599,
]
ERRORS: list[Any] = [
    {"error": {"message": "No such job", "type": "invalid_request_error", "param": None, "code": None}},
    {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key", "param": "x"}},
    {"error": "a text"}, {"errors": [{"code": "10005", "title": "Resource not found", "detail": "no", "source": {}}]},
    {"detail": [{"loc": ["body", "model"], "msg": "field required", "type": "missing"}]}, {"detail": "Not Found"},
    {"message": "x" * 50_000, "code": 7}, {"error": {"message": None, "code": None}}, [{"error": {"message": "in a list"}}],
    {"error": {"message": "Could not find fine tune: x", "param": "fine_tune_id", "code": "fine_tune_not_found"}},
]  # fmt: skip


class Twice(dict[str, Any]):
    """An object that is written with one of its keys twice."""

    def __init__(self, honest: dict[str, Any], key: str, first: Any) -> None:
        super().__init__(honest)
        self.pair = key, first

    def items(self) -> Any:
        return [self.pair, *super().items()]


def text(body: Any) -> bytes:
    """A body as JSON has it, and as json writes what JSON has not."""
    return json.dumps(body).encode()


def mutated(honest: Any, rng: random.Random) -> tuple[Any, list[str]]:
    """``honest`` with one to three of its places changed, and what was done."""
    body: Any = copy.deepcopy(honest)
    done: list[str] = []
    for _ in range(rng.choice([1, 1, 2, 3])):
        places = [path for path in _places(body) if path]
        if not places:
            kind, odd = _odd(rng)
            return odd, [*done, kind]
        *way, last = rng.choice(places)
        outer: Any = None
        holder = body
        for key in way:
            outer, holder = holder, holder[key]
        kind = rng.choice(
            ("missing", "twice listed", "extra key", "duplicate key", "deep nesting", "odd", "odd", "odd")
        )
        if kind == "missing":
            del holder[last]
        elif kind == "twice listed" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[last]))
        elif kind == "extra key" and isinstance(holder, dict):
            holder[rng.choice(KEYS)] = _odd(rng)[1]
        elif kind == "duplicate key" and isinstance(holder, dict):
            double = Twice(holder, last, _odd(rng)[1])
            if outer is None:
                body = double
            else:
                outer[way[-1]] = double
        elif kind == "deep nesting":
            holder[last] = _deep(rng)
        else:
            kind, holder[last] = _odd(rng)
        done.append(kind)
    return body, done


def error(rng: random.Random) -> tuple[int, bytes]:
    """A status that says no, and a body that may say why."""
    body, _ = mutated(rng.choice(ERRORS), rng) if rng.random() < 0.6 else (rng.choice(ERRORS), [])
    sent = rng.choice(
        [text(body), text(body), text(body), b"", b"<html>no</html>", b"\xff\xfe", text(body)[:20], b"x" * 9999]
    )
    return rng.choice(STATUSES), sent


def table(honest: bytes, rng: random.Random) -> tuple[bytes, list[str]]:
    """A result file with some of its cells, lines or bytes changed."""
    lines = base64.b64decode(honest).decode().splitlines()
    cells = [line.split(",") for line in rng.sample(lines[1:], min(len(lines) - 1, 8))]
    header = lines[0].split(",")
    done: list[str] = []
    for _ in range(rng.choice([1, 1, 2, 4])):
        row = rng.choice([header, *cells])
        kind = rng.choice(("odd cell", "odd cell", "missing cell", "more cells", "quote", "empty line", "long cell"))
        place = rng.randrange(len(row)) if row else 0
        if kind == "odd cell" and row:
            row[place] = rng.choice(
                [
                    "nan",
                    "inf",
                    "-Infinity",
                    "1e400",
                    "9" * 400,
                    "1_000",
                    "٣",
                    "0x10",
                    "",
                    " 1 ",
                    "1.5",
                    "-0",
                    "\0",
                    "\ufeff",
                    "'",
                    "é😀",
                ]
            )
        elif kind == "missing cell" and row:
            del row[place]
        elif kind == "more cells":
            row.extend(rng.choice([["1"], ["x"] * 50, [""]]))
        elif kind == "quote" and row:
            row[place] = rng.choice(['"', 'a"b', '"a', '"a"b', '"1"', '"a,b"', '"a\nb"', '""'])
        elif kind == "long cell" and row:
            row[place] = rng.choice(["x", "9", " "]) * rng.choice([10_000, 130_000]) + rng.choice(["", "x", "!"])
        elif kind == "empty line":
            cells.insert(rng.randrange(len(cells) + 1), rng.choice([[], [""], ["", ""], [" "]]))
        done.append(f"CSV: {kind}")
    ends = rng.choice(["\n", "\n", "\r\n", "\r"])
    sent = ends.join([",".join(row) for row in [header, *cells]]).encode() + rng.choice([b"", ends.encode()])
    how = rng.randrange(8)
    if how == 0:
        done.append("CSV: other encoding")
        return sent.decode().encode(rng.choice(["utf-16", "utf-8-sig", "latin-1", "utf-32"]), "replace"), done
    if how == 1:
        done.append("CSV: a byte changed")
        place = rng.randrange(len(sent) + 1)
        return sent[:place] + bytes([rng.randrange(256)]) + sent[place + 1 :], done
    if how < 5:
        sent = base64.b64encode(sent)
        if rng.random() < 0.3:
            done.append("CSV: base64 cut")
            sent = sent[: -rng.randint(1, 3)]
    return sent, done


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = dict(value).items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in items:
        if len(path) < 100:
            yield from _places(member, (*path, key))


def _odd(rng: random.Random) -> tuple[str, Any]:
    kind = rng.choice(list(ODD))
    return kind, copy.deepcopy(rng.choice(ODD[kind]))


def _deep(rng: random.Random) -> Any:
    deep: Any = "deep"
    for _ in range(rng.choice([5, 50, 100, 150, 190, 199, 200, 201, 250, 400])):
        deep = {"a": deep} if rng.random() < 0.5 else [deep]
    return deep


def anything(honest: bytes, rng: random.Random) -> tuple[bytes, list[str]]:
    """The content of a file: any bytes."""
    kinds = {
        "bytes: any": rng.randbytes(rng.randrange(5000)),
        "bytes: zeros": b"a\0b" * rng.randrange(1, 100),
        "bytes: surrogates": "\ud800 \udfff".encode("utf-8", "surrogatepass"),
        "bytes: other encoding": honest.decode().encode("utf-16"),
        "bytes: none": b"",
        "bytes: JSON": json.dumps(mutated({"id": "x", "data": [1, {"a": None}]}, rng)[0]).encode(),
    }
    kind = rng.choice(list(kinds))
    return kinds[kind], [kind]
