"""The quick reader of pages of jobs gives the rows that the other reader gives, or leaves the page to it.

``FTSQL_BODIES=50000 pytest tests/resources/test_quick_reader.py`` tries as many bodies.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from pydantic_core import from_json

from ftsql.api.account import Account
from ftsql.api.pages import Page, decode_page
from ftsql.api.provider import Provider
from ftsql.resources import cells, quick_reader
from ftsql.resources.definitions import JOBS
from ftsql.resources.resource import Row
from tests.bench.server import job

BODIES = int(os.environ.get("FTSQL_BODIES", "1000"))
# Values that servers have sent, and others that a reader may take for something else.
VALUES: list[str] = [
    *("null", "true", "false", "0", "-1", "1", "5", "1.0", "1.5", "-0.0", "1e5", "1E+3", "1e400", "-1e-400", "NaN", "01"),
    *("1700000000", "1700000000.0", "1700000000.9", "1700000000000", "1.7e9", "7258118400", "9223372036854775807"),
    *("9223372036854775808", "-9223372036854775809", "99999999999999999999999999", "9" * 5000, "1" + "0" * 400),
    *('""', '" "', '"x"', '"5"', '"1700000000"', '"2026-11-30T10:00:00Z"', '"20261130"', '"é"', '"\ufffd"', '"\\u0041"'),
    *('"\\ud800"', '"a\\/b"', '"a\\\\b"', '"\x7f"', '"\u2028"', '"😀"', "{}", "[]", '{"a":1}', '{"a":null}', '{"a":1,"a":2}'),
    *('{"code":null,"message":null}', '{"code":"x","message":null}', '{"ftsql_key":"k"}', '{"ftsql_key":"k","team":"ads"}'),
    *('[1,2,{"a":[]}]', '["a","b"]', '{"x":1e400}', '{"x":[NaN]}', '"{}"', '[' * 90 + ']' * 90, '[' * 150 + ']' * 150),
    *('[' * 300 + ']' * 300, '{"a":' * 250 + "1" + "}" * 250, "[1,]", '{"a" : 1 , "b": [ 1, 2 ]}', "{'a':1}", "nul", ""),
]  # fmt: skip
ENVELOPES = [
    '{"object":"list","data":%s,"has_more":false}',
    '{"object":"list","data":%s,"has_more":true,"first_id":"a","last_id":"b"}',
    '{"data":%s}',
    '{"data":%s,"has_more":null}',
    '{"data":%s,"has_more":"true"}',
    '{"data":%s,"total":7}',
    '{"data":%s,"error":{"message":"no"}}',
    '{"has_more":false,"data":[],"data":%s}',
    '{"object":5,"data":%s}',
    '{"data":%s,"has_more":false,"last_id":3}',
    "%s",
    '{"data":%s',
    '{"data":%s} x',
    '\n{"data": %s, "has_more": false}\n',
]
ACCOUNT = Account(Provider("example", "http://localhost"), {})


def slowly(body: bytes) -> tuple[Page, list[Row], list[str]] | str:
    """What the other reader makes of a body: the page, its rows and the complaints; or its error."""
    told: list[str] = []
    try:
        page = decode_page("example", JOBS.noun, ACCOUNT.decode(body))
        rows = JOBS.rows("example", page.objects, tell=told.append)
        for row in rows:
            cells.whole(row)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return page, rows, told


def check(body: bytes) -> bool:
    """Whether the quick reader reads a body. If it does, the other one does too, and reads the same."""
    read = quick_reader.page("example", body)
    if read is None:
        return False
    expected = slowly(body)
    assert not isinstance(expected, str), (body, expected)
    page, rows, told = expected
    quick = decode_page("example", JOBS.noun, read)
    found = JOBS.rows("example", quick.objects)
    assert [cells.whole(row) for row in found] == [cells.whole(row) for row in rows], body
    assert [(row.id, row.created_at, row.status, row.provider) for row in found] == [
        (row.id, row.created_at, row.status, row.provider) for row in rows
    ], body
    assert (quick.has_more, quick.total, quick.pages, quick.hints, quick.last_id) == (
        page.has_more, page.total, page.pages, page.hints, page.last_id,
    ), body  # fmt: skip
    assert told == [], body
    for one, other in zip(found, rows, strict=True):
        assert one.raw == other.raw or _differs_in_spelling(one, other), body
        for name in cells.NESTED:
            assert one.nested(name) == other.nested(name), body
    return True


def _differs_in_spelling(one: Row, other: Row) -> bool:
    """Whether two texts differ only because JSON has no infinity, which the other reader makes null."""
    return from_json(one.text, allow_inf_nan=True) == from_json(other.text) or "1e400" in one.text


def mutated(rng: random.Random) -> bytes:
    """A body with something unusual in one of its jobs, or somewhere in its bytes."""
    jobs = []
    for number in range(rng.randrange(4)):
        one = {name: json.dumps(value) for name, value in job(number, 10, rng.random() < 0.3).items()}
        for _ in range(rng.choice((0, 0, 1, 1, 2, 5))):
            name = rng.choice([*one, "completed_at", "suffix", "unknown", "key", "provider", "raw", "id"])
            if rng.random() < 0.2:
                one.pop(name, None)
            else:
                one[name] = rng.choice(VALUES)
        members = [f'"{name}":{value}' for name, value in one.items()]
        if rng.random() < 0.1:
            members.append(f'"{rng.choice(list(one) or ["id"])}":{rng.choice(VALUES)}')  # a key that is there already
        rng.shuffle(members)
        jobs.append("{" + ",".join(members) + "}")
    if rng.random() < 0.05:
        jobs.append(rng.choice(VALUES))
    text = rng.choice(ENVELOPES[:2] if rng.random() < 0.7 else ENVELOPES) % ("[" + ",".join(jobs) + "]")
    if rng.random() < 0.2:
        with contextlib.suppress(ValueError, RecursionError):
            text = json.dumps(json.loads(text), indent=rng.choice((None, 1, 4)), ensure_ascii=rng.random() < 0.5)
    body = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.2 and body:
        place = rng.randrange(len(body))
        body = body[:place] + bytes([rng.randrange(256)]) * rng.randrange(3) + body[place + rng.randrange(2) :]
    return b"\xef\xbb\xbf" + body if rng.random() < 0.05 else body


def test_both_readers_read_the_same_of_bodies_with_something_unusual() -> None:
    rng = random.Random(19)
    read = sum(check(mutated(rng)) for _ in range(BODIES))
    assert read > BODIES / 4


def one_job(**fields: str) -> bytes:
    """A page of one job, with ``fields`` as they stand there."""
    shown = {"id": '"ftjob-1"', "object": '"fine_tuning.job"', **fields}
    return (
        '{"data":[{' + ",".join(f'"{name}":{value}' for name, value in shown.items()) + '}],"has_more":false}'
    ).encode()


READ: dict[str, bytes] = {
    "a time as a float": one_job(created_at="1700000000.9"),
    "a time in milliseconds": one_job(created_at="1700000000000"),
    "no time": one_job(created_at="0", finished_at="-1"),
    "an integer as a float": one_job(seed="42.0"),
    "another name": one_job(completed_at="1700000000", user_provided_suffix='"x"'),
    "both names": one_job(finished_at="null", completed_at="1700000000"),
    "a nested null": one_job(metadata="null", error="null", method="null"),
    "an error of nulls": one_job(error='{"code":null,"message":null}'),
    "a fingerprint": one_job(metadata='{"ftsql_key":"k"}'),
    "a string where an object belongs": one_job(metadata='"text"', hyperparameters="5", error='""'),
    "a key twice in a nested object": one_job(metadata='{"a":1,"a":2}'),
    "a key twice": one_job(status='"queued","status":"running"'),
    "infinity in a nested object": one_job(metadata='{"a":1e400}'),
    "other scripts": one_job(status='"läuft 😀"'),
    "unknown fields": one_job(unknown='{"a":[1,2]}'),
    "white space": json.dumps(json.loads(one_job(metadata='{"a": [1, 2]}')), indent=2).encode(),
    "a byte order mark": b"\xef\xbb\xbf" + one_job(),
    "no jobs": b'{"data":[],"has_more":false}',
}
LEFT: dict[str, bytes] = {
    "a backslash": one_job(status='"\\u0041"'),
    "bytes that are not UTF-8 in a field that is read": one_job().replace(b"fine_tuning.job", b"\xff"),
    "bytes that are not UTF-8 in a field that is not": one_job(unknown='"x"').replace(b'"x"', b'"\xff"'),
    "an integer too large": one_job(seed="9223372036854775808"),
    "an id that is empty": b'{"data":[{"id":""}]}',
    "an id that is null": b'{"data":[{"id":null}]}',
    "no id": b'{"data":[{"status":"x"}]}',
    "an id with a replaced character": b'{"data":[{"id":"a\xef\xbf\xbd"}]}',
    "a string as a time": one_job(created_at='"2026-11-30T10:00:00Z"'),
    "a number as a string": one_job(model="5"),
    "true as a number": one_job(seed="true"),
    "a time after the year 2200": one_job(created_at="7258118400.5"),
    "many levels": one_job(metadata="[" * 150 + "]" * 150),
    "many levels in a field that is not read": one_job(unknown="[" * 150 + "]" * 150),
    "a number of 5,000 digits": one_job(unknown="9" * 9000),
    "an array": b"[" + one_job()[9:-18] + b"]",
    "an unknown envelope": one_job().replace(b'"has_more":false', b'"total":1'),
    "an error beside the data": one_job().replace(b'"has_more":false', b'"error":"x"'),
    "a job that is no object": b'{"data":[5],"has_more":false}',
    "a body that breaks off": one_job()[:-1],
    "an HTML page": b"<html>",
    "nothing": b"",
}


@pytest.mark.parametrize("body", READ.values(), ids=READ)
def test_what_is_not_quite_usual_is_read_the_same(body: bytes) -> None:
    assert check(body)


@pytest.mark.parametrize("body", LEFT.values(), ids=LEFT)
def test_what_is_unusual_is_left_to_the_other_reader(body: bytes) -> None:
    assert not check(body)


@pytest.mark.parametrize(
    ("bug", "body"),
    [
        (lambda patch: patch.setattr(quick_reader, "_NUMBERS", []), READ["a time as a float"]),
        (lambda patch: patch.setattr(quick_reader, "_BY_OTHER_NAME", []), READ["another name"]),
        (lambda patch: patch.setattr(quick_reader, "_nested", lambda _, raw: raw.decode()), READ["a fingerprint"]),
    ],
)
def test_a_planted_bug_is_noticed(
    monkeypatch: pytest.MonkeyPatch, bug: Callable[[pytest.MonkeyPatch], None], body: bytes
) -> None:
    bug(monkeypatch)
    with pytest.raises(AssertionError):
        check(body)


def test_a_credential_in_a_page_is_never_read_quickly() -> None:
    account = Account(
        Provider("example", "http://localhost", headers={"Authorization": "Bearer ${KEY}"}), {"KEY": "k" * 20}
    )
    body: dict[str, Any] = {"data": [{"id": "ftjob-1", "metadata": {"echo": "k" * 20}}], "has_more": False}
    value = account.decode(json.dumps(body).encode(), quick_reader.page)
    assert "k" * 20 not in JOBS.rows("example", value["data"], tell=lambda _: None)[0].text
