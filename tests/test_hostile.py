"""Hostile bodies: answers that were mutated at random end in right rows or a clear error, and never hang.

``FTSQL_HOSTILE=100000`` makes a longer run, ``FTSQL_SEED`` another one.
"""

from __future__ import annotations

import copy
import gzip
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import apsw
import pytest

import ftsql
from ftsql.connection import SANDBOX_KEY
from ftsql.sandbox import Fault, Sandbox
from tests.conftest import Connect, fill

COUNT = int(os.environ.get("FTSQL_HOSTILE", "2000"))
SEED = int(os.environ.get("FTSQL_SEED", "20261121"))
FACES = ["openai", "azure", "portkey", "telnyx", "anyapi", "portkey_bedrock", "portkey_fireworks", "litellm"]
SQL = "SELECT id, status, model, created_at, trained_tokens, raw, metadata, error FROM fine_tuning_jobs"

ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, 10**30, -(10**30), 1e308, float("nan"), float("inf"), "", "x", "0", "null",
    "é😀\u0000", "\ud800", "x" * 100_000, [], {}, [[]], [None], {"a": {"b": []}}, "2026-01-01T00:00:00Z", "1e400",
]  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in items:
        yield from _places(member, (*path, key))


def _mutated(body: Any, random_: random.Random) -> Any:
    """``body`` with one to three of its places changed."""
    body = copy.deepcopy(body)
    for _ in range(random_.randint(1, 3)):
        places = [path for path in _places(body) if path]
        if not places:
            return copy.deepcopy(random_.choice(ODD))
        path = random_.choice(places)
        holder = body
        for key in path[:-1]:
            holder = holder[key]
        how = random_.randrange(5)
        if how == 0:
            del holder[path[-1]]
        elif how == 1 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[path[-1]]))  # the same job twice
        elif how == 2 and isinstance(holder, dict):
            holder[random_.choice(["", "id", "data", "has_more", "x" * 1000, "é"])] = copy.deepcopy(random_.choice(ODD))
        elif how == 3:
            deep: Any = "deep"
            for _ in range(random_.choice([5, 150, 250])):
                deep = {"a": deep} if random_.random() < 0.5 else [deep]
            holder[path[-1]] = deep
        else:
            holder[path[-1]] = copy.deepcopy(random_.choice(ODD))
    return body


def _bytes(body: Any, random_: random.Random) -> tuple[bytes, dict[str, str]]:
    """A body as it goes over the wire, sometimes broken there."""
    sent = json.dumps(body).encode()
    how = random_.randrange(16)
    if how == 0:
        return sent[: random_.randrange(len(sent) + 1)], {}
    if how == 1:
        position = random_.randrange(len(sent) + 1)
        return sent[:position] + bytes([random_.randrange(256)]) + sent[position + 1 :], {}
    if how == 2:
        return json.dumps(body).encode(random_.choice(["utf-16", "utf-8-sig", "utf-32"])), {}
    if how == 3:
        return sent, {"Content-Encoding": random_.choice(["gzip", "br", "deflate", "nonsense"])}
    if how == 4:
        return gzip.compress(sent), {"Content-Encoding": "gzip"}
    if how == 5:
        return sent, {"Content-Type": random_.choice(["text/html", "", "application/json; charset=utf-16", "x"])}
    if how == 6:
        return random_.choice([b"", b"null", b"<html>", b"[]", b"{}", b'"x"', b"{" * 5000, b"\x00" * 100]), {}
    return sent, {}


@pytest.mark.parametrize("face", FACES)
def test_a_mutated_answer_is_right_rows_or_a_clear_error(face: str) -> None:
    random_ = random.Random(f"{SEED}{face}")
    with Sandbox(jobs=6, speed=0) as sandbox:
        db = ftsql.connect(sandbox=True, providers=face, timeout=5)
        try:
            url = sandbox.base_url(face)
            account = next(iter(db.ftsql._session.clients)).provider
            client = _client(url, account.path, account)
            honest = client()
            for number in range(COUNT // len(FACES)):
                body = _mutated(honest, random_)
                sent, headers = _bytes(body, random_)
                _embedded(db).fault(Fault(status=200, body=sent, headers=headers, times=None))
                began = time.monotonic()
                found, complaint = None, ""
                try:
                    found = db.execute(SQL).fetchall()
                except (ftsql.Error, apsw.Error) as error:
                    complaint = str(error)
                if found is None:
                    assert face in complaint, f"{number}: {complaint}"
                    assert len(complaint) < 2000, f"{number}: {complaint}"
                else:
                    _check(found, sent, headers, number)
                assert time.monotonic() - began < 30, number
                _embedded(db).clear_faults()
        finally:
            db.close()


def _embedded(db: ftsql.Connection) -> Sandbox:
    started = db.ftsql._sandbox
    assert started is not None
    return started


def _client(url: str, path: str, provider: Any) -> Callable[[], Any]:
    """Asks a face for its list as any HTTP client would."""
    import httpx

    def ask() -> Any:
        headers = {name: template.replace("${", "").replace("}", "") for name, template in provider.headers.items()}
        headers = {name: value.replace("Bearer ", f"Bearer {SANDBOX_KEY}") for name, value in headers.items() if value}
        query = {"limit": "20", "api-version": "2024-10-21", "custom_llm_provider": "openai"}
        return httpx.get(url + path, headers=headers, params=query).raise_for_status().json()

    return ask


def _check(found: list[Any], sent: bytes, headers: dict[str, str], number: int) -> None:
    """Every row is an object of the answer, its values as they were sent; each id once."""
    text = gzip.decompress(sent) if headers.get("Content-Encoding") == "gzip" else sent
    body = json.loads(text)
    objects = {str(job["id"]): job for job in reversed(body["data"])}
    assert sorted(row[0] for row in found) == sorted(objects), number
    for id, status, model, _, tokens, raw, *_ in found:
        job = objects[id]
        assert _same(json.loads(raw), job), number
        for shown, value in ((status, job.get("status")), (model, job.get("model"))):
            assert shown == (value if value is None or isinstance(value, str) else str(value)), number
        value = job.get("trained_tokens")
        assert tokens == (None if value is None else int(value)), number


def _same(shown: Any, sent: Any) -> bool:
    """Equal as JSON; NaN and Infinity, which JSON has not, are shown as null."""
    if isinstance(sent, float) and (sent != sent or sent in (float("inf"), float("-inf"))):
        return shown is None
    if isinstance(sent, dict):
        return isinstance(shown, dict) and shown.keys() == sent.keys() and all(_same(shown[k], sent[k]) for k in sent)
    if isinstance(sent, list):
        return isinstance(shown, list) and len(shown) == len(sent) and all(map(_same, shown, sent))
    return bool(shown == sent)


def test_a_gzip_bomb_is_given_up(sandbox: Sandbox, connect: Connect) -> None:
    fill(sandbox, 1)
    bomb = gzip.compress(b" " * 200_000_000)
    sandbox.fault(Fault(times=None, status=200, body=bomb, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(ftsql.APIConnectionError, match="larger than"):
        connect(max_body=10_000_000).execute(SQL).fetchall()
