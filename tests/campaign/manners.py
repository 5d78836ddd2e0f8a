"""Servers with habits at random: how one pages, counts, orders, dates, names and refuses. No habit is a lie that
nothing on the wire tells of.
"""

from __future__ import annotations

import datetime
import json
import random
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ftsql.api.habits import may_be_cut
from tests.answering import PATH, Asked, Response, job

NEWEST = 1_790_000_000
REGION = "us-east-1"  # the value of a header, and a part of ids and models
SENTENCE = "the moon is in the wrong phase"
Object = dict[str, Any]

HAS_MORE = ["told", "told", "absent", "absent", "absent", "camel", "text", "always"]
AFTER = ["honoured", "honoured", "honoured", "inclusive", "ignored"]
LIMIT = ["honoured", "honoured", "honoured", "ignored", "refused", "refused in words"]
CAPS = [None, None, 100, 100, 10, 20, 50, 7, 37, 99]
TOTALS = ["none", "none", "none", "total", "text", "of pages", "meta", "of the page"]
ENVELOPES = ["object", "object", "object", "array", "null if empty", "first and last"]
ORDERS = ["newest first", "newest first", "oldest first", "shuffled", "by id", "newest second"]
TIES = ["none", "none", "all", "groups", "few"]
IDS = ["plain", "plain", "numbers", "percent", "slashes", "long", "unicode", "equals"]
TIMES = [
    "seconds",
    "seconds",
    "float",
    "text",
    "iso",
    "iso without zone",
    "iso of a zone",
    "milliseconds",
    "some unset",
]
UNSET = [None, 0, -1, "", "0001-01-01T00:00:00Z"]
FAILURES = ["none"] * 9 + ["first page", "later page"]
ERRORS: list[tuple[int, Any]] = [
    (500, {"error": {"message": SENTENCE}}),
    (503, {"detail": SENTENCE}),
    (429, {"error": {"code": "insufficient_quota", "message": SENTENCE}}),
    (401, {"error": {"code": "Bad", "innererror": {"code": "Worse", "message": SENTENCE}}}),
    (403, {"errors": {"region": [SENTENCE]}}),
    (409, {"message": SENTENCE}),
    (400, {"detail": [{"loc": ["header"], "msg": SENTENCE}]}),
    (422, {"error": SENTENCE}),
    (200, {"error": {"message": SENTENCE}}),
    (200, {"code": 7, "msg": SENTENCE}),
]
UNKNOWN: list[Any] = [
    {"error": {"message": "Could not find fine tune: x", "param": "fine_tune_id", "code": "fine_tune_not_found"}},
    {}, {"detail": "Not found"}, {"message": "no such thing"}, b"", b"404",
]  # fmt: skip
STATUSES = ["succeeded", "succeeded", "failed", "cancelled", "running", "queued"]


@dataclass(frozen=True)
class Manner:
    """How one server behaves; ``objects`` in the order in which it lists them."""

    total: int
    has_more: str
    after: str
    limit: str
    allowed: int  # limit that a server which refuses larger ones takes
    cap: int | None
    totals: str
    envelope: str
    order: str
    ties: str
    ids: str
    times: str
    failing: str
    error: tuple[int, Any]
    unknown: Any
    by_entry: bool  # reached by an entry of the user's with a region in a header
    objects: list[Object] = field(repr=False)
    created: dict[str, int | None] = field(repr=False)  # by id, what its times mean
    events: dict[str, list[Object]] = field(repr=False)

    @property
    def first(self) -> int:
        """Objects of the first page that is asked for by a listing of all."""
        size = self.total if self.limit == "ignored" else min(self.asked_for, self.total)
        return size if self.cap is None else min(size, self.cap)

    @property
    def asked_for(self) -> int:
        if not self.limit.startswith("refused"):
            return 100
        return next((limit for limit in (100, 20) if limit <= self.allowed), 20)

    @property
    def tells(self) -> bool:
        """Whether its pages say that there is more, or how many there are."""
        counts = self.totals in ("total", "text", "of pages", "meta")
        return self.envelope != "array" and (self.has_more != "absent" or counts)


def at_random(rng: random.Random) -> Manner:
    total = rng.choice([0, 1, 2, 5, 19, 20, 21, 45, 60, 99, 100, 101, rng.randrange(300), rng.randrange(120)])
    times, ids, ties = rng.choice(TIMES), rng.choice(IDS), rng.choice(TIES)
    envelope, totals, cap = rng.choice(ENVELOPES), rng.choice(TOTALS), rng.choice(CAPS)
    has_more, after, limit = rng.choice(HAS_MORE), rng.choice(AFTER), rng.choice(LIMIT)
    if totals == "of the page" and limit == "ignored":
        totals = "none"
    silent = has_more == "absent" or envelope == "array"
    if silent and after == "ignored" and cap is not None and not may_be_cut(cap, 100):
        cap = 20  # that more follow a page of 37 is nowhere to be seen then
    moments = _moments(rng, total, ties)
    found, created = [], {}
    for number, moment in enumerate(moments):
        one = _job(rng, number, ids)
        unset = times == "some unset" and rng.random() < 0.1
        one["created_at"] = rng.choice(UNSET) if unset else _written(moment, times, rng)
        created[one["id"]] = None if unset else moment
        found.append(one)
    order = rng.choice(ORDERS)
    objects = _ordered(rng, found, order)
    named = (
        "ids"
        if silent and cap is not None and not may_be_cut(cap, 100)
        else rng.choice(["ids", "ids", "no ids", "equal ids"])
    )
    with_events = {each["id"]: _events(rng, times, named) for each in rng.sample(objects, min(2, total))}
    return Manner(
        total, has_more, after, limit, rng.choice([20, 25, 50, 99]),
        cap, totals, envelope, order, ties, ids, times, rng.choice(FAILURES),
        rng.choice(ERRORS), rng.choice(UNKNOWN), rng.random() < 0.3, objects, created, with_events,
    )  # fmt: skip


def _moments(rng: random.Random, total: int, ties: str) -> list[int]:
    """The times of so many jobs, newest first."""
    steps = {"none": 1.0, "all": 0.0, "groups": 0.1, "few": 0.8}[ties]
    moment, moments = NEWEST, []
    for _ in range(total):
        moments.append(moment)
        moment -= rng.randrange(1, 100_000) if rng.random() < steps else 0
    return moments


def _job(rng: random.Random, number: int, ids: str) -> Object:
    status = rng.choice(STATUSES)
    id = {
        "plain": f"ftjob-{number:05}",
        "numbers": str(7_000_000 + number),
        "percent": f"arn%3Aaws%3Abedrock%3A{REGION}%3A{number}",
        "slashes": f"projects/{REGION}/jobs/{number}",
        "long": f"ftjob-{number}-" + "x" * 600,
        "unicode": f"jöb-{number}-☃",
        "equals": f"job={number}==",
    }[ids]
    ended = status in ("succeeded", "failed", "cancelled")
    return job(
        number,
        id=id,
        model=rng.choice(["gpt-4o-mini-2024-07-18", f"@{REGION}/llama", "qwen/qwen3"]),
        status=status,
        finished_at=NEWEST + 5000 if ended else None,
        fine_tuned_model=f"ft:{REGION}:{number}" if status == "succeeded" else None,
    )


def _written(moment: int, times: str, rng: random.Random) -> Any:
    """A time as this server writes it."""
    utc = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    zone = datetime.timezone(datetime.timedelta(hours=rng.choice([-8, 2, 9])))
    return {
        "float": moment + 0.25,
        "text": str(moment),
        "iso": utc.isoformat().replace("+00:00", "Z"),
        "iso without zone": utc.replace(tzinfo=None).isoformat(),
        "iso of a zone": utc.astimezone(zone).isoformat(),
        "milliseconds": moment * 1000 + 7,
    }.get(times, moment)


def _ordered(rng: random.Random, found: list[Object], order: str) -> list[Object]:
    if order == "oldest first":
        return found[::-1]
    if order == "shuffled":
        return rng.sample(found, len(found))
    if order == "by id":
        return sorted(found, key=lambda each: str(each["id"])[::-1])
    return found[1:2] + found[:1] + found[2:] if order == "newest second" else found


def _events(rng: random.Random, times: str, kind: str) -> list[Object]:
    """The events of one job, newest first: with ids, without, or with equal ones."""
    found: list[Object] = []
    count = rng.choice([0, 1, 3, 20, 45, 130])
    for number in range(count):
        same = rng.random() < 0.3 and found
        one = {"object": "event", "created_at": _written(NEWEST + 5000 - 3 * number, times, rng), "level": "info"}
        one["message"] = f"step {number}"
        if kind == "ids":
            one["id"] = f"ev-{number}"
        elif kind == "equal ids":
            one["id"] = "ev"
        found.append(dict(found[-1]) if same and kind != "ids" else one)
    return found


class Answers:
    """What the server of this manner answers. ``posts``: the ids that were asked to be cancelled. ``failed``: it did."""

    def __init__(self, manner: Manner) -> None:
        self.manner = manner
        self.posts: list[str] = []
        self.failed = False

    def __call__(self, asked: Asked) -> Any:
        manner = self.manner
        path = asked.path.removeprefix(PATH)
        if not path:
            failing = manner.failing == ("later page" if "after" in asked.query else "first page")
            if failing:
                self.failed = True
                told = json.dumps(manner.error[1]).replace(SENTENCE, f"{SENTENCE} ({asked.headers['Authorization']})")
                return Response(told.encode(), manner.error[0])
            return self._page(manner.objects, asked.query)
        for one in manner.objects:
            below = next((path[len(mask) :] for mask in _masks(one["id"]) if path.startswith(mask)), None)
            if below == "" and asked.method == "GET":
                return one
            if below == "/events":
                return self._page(manner.events.get(one["id"], []), asked.query)
            if below == "/cancel" and asked.method == "POST":
                self.posts.append(one["id"])
                return one | {"status": "cancelled", "finished_at": NEWEST + 9000, "fine_tuned_model": None}
        return Response(manner.unknown, 404)

    def _page(self, found: list[Object], query: dict[str, str]) -> Any:
        manner, size = self.manner, int(query.get("limit", 20))
        if manner.limit.startswith("refused") and size > manner.allowed:
            told = {"error": {"message": "limit must be smaller", "param": "limit"}}
            return Response(told, 400) if manner.limit == "refused in words" else Response({}, 422)
        ids = [each.get("id") for each in found]
        begin = 0
        if manner.after != "ignored" and query.get("after", "") in ids:
            begin = ids.index(query["after"]) + (manner.after == "honoured")
        size = len(found) if manner.limit == "ignored" else size
        page = found[begin : begin + (size if manner.cap is None else min(size, manner.cap))]
        if manner.envelope == "array":
            return page
        more = begin + len(page) < len(found)
        says: dict[str, dict[str, Any]] = {
            "told": {"has_more": more}, "camel": {"hasMore": more}, "text": {"has_more": str(more).lower()},
            "always": {"has_more": True},
        }  # fmt: skip
        per = max(1, size if manner.cap is None else min(size, manner.cap))
        pages = -(-len(found) // per)
        counts: dict[str, dict[str, Any]] = {
            "total": {"total": len(found)}, "text": {"totalCount": str(len(found))}, "of pages": {"total_pages": pages},
            "meta": {"meta": {"page": {"total_items": len(found)}}}, "of the page": {"total": len(page)},
        }  # fmt: skip
        ends: dict[str, Any] = {}
        if manner.envelope == "first and last" and all("id" in each for each in page):
            ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
        data = None if manner.envelope == "null if empty" and not page else page
        return {
            "object": "list",
            "data": data,
            **says.get(manner.has_more, {}),
            **counts.get(manner.totals, {}),
            **ends,
        }


def _masks(id: str) -> list[str]:
    """A job's address, as a client may write it."""
    return [f"/{quote(id, safe=safe)}" for safe in ("", "=", "%", "%=", "/=")]
