"""A lane: one gateway, one face, and statement after statement that meets a lie.

What came of each is judged by the body that was sent, and for writes by the sandbox's books too.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import apsw

import ftsql
from tests.campaign import bodies, expected, wires
from tests.campaign.gateway import Gateway, Lie, Piece
from tests.campaign.places import FILE, MODEL, SHORT, Place, opened, places
from tests.campaign.wires import Sent

LIMIT = 8.0  # seconds that a statement may take; where a server is slow 1.0, but there are other lanes and processes
RENEWED = 40  # bodies after which a connection is another one
KEPT = ("get", "events", "checkpoints", "results")  # what the store may have of the body before
SLOW_EVERY = 40
UNCLEAR = (408, 499)  # refusals after which a write may have been accepted
NEVER_DONE = (501, 505)  # and failures after which it cannot have been
HUNG_UP = 10.0  # seconds after which nobody reads a lie any more


@dataclass
class Result:
    """What a campaign saw. ``kinds``: bodies by kind; ``rows``, ``errors``: how they ended, by place."""

    bodies: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    slowest_of: str = ""
    growth: float = 0.0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)

    def add(self, other: Result) -> None:
        self.bodies += other.bodies
        self.kinds += other.kinds
        self.rows += other.rows
        self.errors += other.errors
        if other.slowest > self.slowest:
            self.slowest, self.slowest_of = other.slowest, other.slowest_of
        self.growth = max(self.growth, other.growth)
        self.violations += other.violations

    def __str__(self) -> str:
        lines = [f"{'place':14}{'rows':>9}{'errors':>9}"]
        lines += [f"{name:14}{self.rows[name]:>9}{self.errors[name]:>9}" for name in sorted({*self.rows, *self.errors})]
        lines += [f"{kind:34}{count:>8}" for kind, count in sorted(self.kinds.items())]
        lines.append(
            f"{self.bodies} bodies, {self.rows.total()} right rows, {self.errors.total()} clear errors, "
            f"{len(self.violations)} violations; longest {self.slowest:.2f} s ({self.slowest_of}), "
            f"memory +{self.growth:.0f} MB, {self.seconds:.0f} s"
        )
        return "\n".join(lines)


@dataclass
class Told:
    """The lie of one statement, drawn when the request is there. ``kinds``: what was done to the honest body."""

    place: Place
    slow: bool
    rng: random.Random
    sent: Sent | None = None
    status: int = 200
    kinds: list[str] = field(default_factory=list)

    def tell(self, received: bytes) -> Iterator[Piece]:
        """The pieces of the lie; the same again when it is asked again."""
        if self.sent is None:
            self.sent = self._drawn(received)
        return self.sent.pieces()

    @property
    def must(self) -> bool:
        """Whether nothing is wrong with it, so that it must be shown."""
        return self.sent is not None and self.sent.whole and self.status == 200 and self.kinds[0] == "honest"

    def _drawn(self, received: bytes) -> Sent:
        rng = self.rng
        if rng.random() < 0.12 and not self.slow:
            self.status, body = bodies.error(rng)
            self.kinds = ["error body"]
            return wires.plain(body, self.status, rng if rng.random() < 0.3 else None)
        body = self._body(received)
        if self.slow:
            return rng.choice(wires.SLOW_WAYS)(body, rng)
        how = rng.random()
        if how > 0.995:
            return wires.large(body, rng)
        return wires.plain(body, 200, rng if how < 0.1 else None) if how < 0.5 else rng.choice(wires.QUICK)(body, rng)

    def _body(self, received: bytes) -> bytes:
        rng, place = self.rng, self.place
        self.kinds = ["honest"]
        honest = place.honest
        if place.method == "POST":
            honest = received if received[:1] == b"{" else bodies.text(made(rng))
        if rng.random() < 0.12:
            return honest
        if place.shape == "results":
            body, self.kinds = bodies.table(honest, rng)
        elif place.shape == "content":
            body, self.kinds = bodies.anything(honest, rng)
        else:
            decoded, self.kinds = bodies.mutated(json.loads(honest), rng)
            body = bodies.text(decoded)
        return body


def made(rng: random.Random) -> dict[str, Any]:
    """A job that a server may say it has created."""
    return {
        "object": "fine_tuning.job", "id": f"ftjob-{rng.randrange(10**12)}", "created_at": int(time.time()), "model": MODEL,
        "training_file": FILE, "status": "validating_files", "seed": rng.randrange(10**6), "result_files": [], "error": {},
    }  # fmt: skip


class Lane:
    """Statements of one face, one after the other."""

    def __init__(self, face: str, seed: int) -> None:
        self.face = face
        self.seed = seed
        self.rng = random.Random(seed)
        self.result = Result()
        self._db: ftsql.Connection | None = None
        self._kept = False  # the store may know what the next body is about
        self._spoilt = False  # the connection has little patience, or holds what the last lie had too much of

    def run(self, count: int) -> Result:
        """Send ``count`` bodies, to each place in turn."""
        with Gateway(12, self.seed) as self.gateway:
            self.gateway.add_file(FILE)
            found = places(self.gateway, self.face)
            try:
                for number in range(count):
                    place = found[number % len(found)]
                    slow = self.rng.random() < 1 / SLOW_EVERY
                    if slow or self._spoilt or number % RENEWED == 0 or (self._kept and place.name in KEPT):
                        self._close()
                    self._one(place, number, slow=slow)
            finally:
                self._close()
        return self.result

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db, self._kept = None, False

    def _one(self, place: Place, number: int, *, slow: bool) -> None:
        """One statement, and what came of it."""
        if self._db is None:
            self._db = opened(self.gateway, self.face, **(SHORT if slow else {}))
        told = Told(place, slow, self.rng)
        accept = place.method == "POST" and self.rng.random() < 0.6
        job = self.gateway.add_job(status="running")["id"] if place.shape == "cancel" else ""
        before = {str(one["id"]) for one in self.gateway.jobs()} if place.method == "POST" else set()
        self.gateway.arm(Lie(place.method, place.path, told.tell, accept))
        found, error = None, None
        began = time.monotonic()
        try:
            found = self._db.execute(place.sql.format(job) if job else place.sql).fetchall()
        except Exception as raised:
            error = raised
        took = time.monotonic() - began
        wrong = self._left(took) or self._wrong(told, found, error, accept, before, job)
        self._count(told, wrong, took, number, failed=error is not None)
        self._kept = self._kept or error is None
        self._spoilt = (
            slow or self.gateway.hung_up or (told.sent is not None and told.sent.kind == "Content-Length too short")
        )
        self.gateway.arm(None)
        for id in {str(one["id"]) for one in self.gateway.jobs()} - before | {job} if place.method == "POST" else ():
            if id:
                self.gateway.remove_job(id)

    def _left(self, took: float) -> str:
        """What a statement left behind, or what it took too much of."""
        if took > LIMIT:
            return f"took {took:.1f} s"
        end = time.monotonic() + HUNG_UP
        while self.gateway.lying:
            if time.monotonic() > end:
                return "its connection goes on reading"
            time.sleep(0.002)
        return ""

    def _count(self, told: Told, wrong: str, took: float, number: int, *, failed: bool) -> None:
        result, sent = self.result, told.sent
        kinds = [*told.kinds, sent.kind if sent else "never asked for"]
        result.bodies += 1
        result.kinds.update(set(kinds))
        (result.errors if failed else result.rows)[told.place.name] += not wrong
        if took > result.slowest:
            result.slowest, result.slowest_of = took, f"{told.place.name}: {kinds[-1]}"
        if wrong:
            result.violations.append(
                f"{self.face} {self.seed}/{number} {told.place.name} {kinds} {told.status}: {wrong}"
            )

    def _wrong(
        self, told: Told, found: list[Any] | None, error: Exception | None, accept: bool, before: set[str], job: str
    ) -> str:
        """What is wrong with how it ended; nothing where all is right."""
        if told.sent is None:
            return f"nothing was asked: {error}"
        if error is not None:
            if not isinstance(error, (ftsql.Error, apsw.Error)):
                return f"{type(error).__name__}: {error}"[:300]
            text = str(error)
            if bodies.KEY in text or self.face not in text or len(text) > 2000:
                return f"not clear: {text:.300}"
            if told.must:
                return f"an error for what is right: {text:.300}"
        if told.place.method == "POST":
            return self._write(told, found, error, accept, before, job)
        if error is not None:
            return ""
        return self._rows(told, found or [])

    def _rows(self, told: Told, found: list[Any]) -> str:
        place, sent = told.place, told.sent
        assert sent is not None
        if told.status in (404, 410) and place.name == "get" and found:  # then out of the list, which has it
            listed = json.loads(self.gateway.asked[-1].answer)["data"]
            job = next(each for each in listed if each["id"] == place.id)
            return expected.single(found, json.dumps(job).encode(), place.columns, place.id)
        if told.status != 200:
            gone = told.status in (404, 410) and not found and place.name not in ("list", "files", "models")
            return "" if gone else f"{len(found)} rows of an error"
        if sent.content is None:
            return f"{len(found)} rows of what nobody can read"
        if sent.kind == "strange head" and place.shape in ("content", "results"):
            return ""  # which may begin anywhere
        if place.shape == "list":
            return expected.listed(found, sent.content, place.columns)
        if place.shape == "object":
            return expected.single(found, sent.content, place.columns, place.id)
        return (
            expected.results(found, sent.content) if place.shape == "results" else expected.content(found, sent.content)
        )

    def _write(
        self, told: Told, found: list[Any] | None, error: Exception | None, accept: bool, before: set[str], job: str
    ) -> str:
        """A create is sent once, and the record says what became of it; a cancel gives the status that the job has."""
        assert self._db is not None
        assert told.sent is not None
        last = "SELECT state, job_id FROM ftsql_writes ORDER BY write_id DESC LIMIT 1"
        ((state, id),) = self._db.execute(last).fetchall()
        body = expected.object_of(told.sent.content)
        books = {str(one["id"]): str(one["status"]) for one in self.gateway.jobs()}
        if (error is None) != (state == "committed"):
            return f"the record says {state}: {error}"
        if told.place.shape == "cancel":  # after which the job can be looked at
            shown = str(found[0][0]) if found else ""
            right = {books.get(job), expected.shown_text(body.get("status")) if body.get("id") == job else None}
            return "" if error is not None or shown in right else f"is {shown!r} and not {right}"
        if isinstance(error, ftsql.OutcomeUnknown) != (state == "unknown"):
            return f"the record says {state}: {error!r:.300}"
        posts = [one for one in self.gateway.asked if one.method == "POST" and one.path.endswith("/jobs")]
        new = books.keys() - before
        if len(posts) != 1 or len(new) != accept:
            return f"{len(posts)} creates arrived, {len(new)} jobs"
        if state == "committed" and id not in new and id != expected.shown_text(body.get("id")):
            return f"{id} is said to be created, and neither {new} nor {body}"
        sure = (400 <= told.status < 500 and told.status not in UNCLEAR) or told.status in NEVER_DONE
        if state == "refused" and not (sure or told.sent.kind == "strange head"):
            return f"refused, though it was answered with {told.status}: {error}"
        return ""
