"""Faults: what goes wrong on demand, and which of the armed ones hit a request.

One fault at most answers a request; those that only delay, lie or transform come on top of it.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

Page = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong. First which requests it hits, then what happens to them.

    ``method`` and ``path`` (a regex searched in the path as it was sent) select requests, None selects
    all. Of those the first ``after`` are spared, then ``times`` are hit (None: for ever), each with
    ``probability``, drawn from the sandbox's seed.

    ``latency``: seconds to wait before the request is handled; it is handled even if the client gave up.
    ``status`` (with ``headers``, ``body``, ``content_type``): sent instead of handling the request.
    ``body`` alone is a 200; a ``status`` alone has the provider's usual error body.
    ``redirect``: a 307 to that URL. ``drop``: the connection is closed without an answer. ``hang``: no
    answer until the sandbox stops. ``accept``: the request is handled first, and only then one of these.
    ``truncate``: the answer breaks off after so many bytes of its body, though its Content-Length
    promises all; the request is handled.
    ``lie``: a name out of ``LIES``; for job lists only, and without ``has_more`` where a face's list never
    says it. ``lag``: job lists, and only they, hide jobs that were accepted less than so many real seconds ago.
    ``transform``: gets the decoded body of a 2xx answer and returns the one to send.
    """

    method: str | None = None
    path: str | None = None
    times: int | None = 1
    after: int = 0
    probability: float = 1.0
    latency: float = 0.0
    status: int | None = None
    headers: Mapping[str, str] | None = None
    body: bytes | str | dict[str, Any] | list[Any] | None = None
    content_type: str | None = None
    accept: bool = False
    drop: bool = False
    truncate: int | None = None
    hang: bool = False
    lie: str | None = None
    lag: float | None = None
    transform: Callable[[dict[str, Any]], Any] | None = None
    redirect: str | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what would never do anything, or is misspelt."""
        if self.lie is not None and self.lie not in LIES:
            raise ValueError(f"unknown lie {self.lie!r}; known are {', '.join(LIES)}")
        try:
            re.compile(self.path or "")
        except re.error as error:
            raise ValueError(f"path {self.path!r} is no regex: {error}") from None
        if not (self.answers or self.latency or self.lie or self.lag is not None or self.transform):
            raise ValueError("the fault does nothing: give it a status, body, drop, latency, lie or the like")

    @property
    def replaces(self) -> bool:
        """Whether it stands in the place of the real answer."""
        return self.status is not None or self.body is not None or self.redirect is not None

    @property
    def answers(self) -> bool:
        """Whether it decides what the client gets, so that no second such fault can hit the request."""
        return self.replaces or self.drop or self.hang or self.truncate is not None

    @property
    def handles(self) -> bool:
        """Whether the request is handled all the same."""
        return self.accept or not (self.replaces or self.drop or self.hang)


# What OpenAI answers to a create of an organisation that may not make jobs any more.
TRAINING_NOT_AVAILABLE = Fault(
    method="POST",
    path="/fine_tuning/jobs/?$",
    times=None,
    status=403,
    body={
        "error": {
            "message": "OpenAI is winding down the fine-tuning platform, and your organization can no longer create "
            "new fine-tuning training jobs.",
            "type": "invalid_request_error",
            "param": None,
            "code": "training_not_available",
        }
    },
)


@dataclass(slots=True)
class _Armed:
    fault: Fault
    seen: int = 0
    fired: int = 0


class Faults:
    """The armed faults of a sandbox; safe to use from several threads."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._rng = random.Random(f"{seed}/faults")
        self._armed: list[_Armed] = []

    def arm(self, fault: Fault) -> None:
        """Adds a fault; those armed earlier hit earlier."""
        with self._lock:
            self._armed.append(_Armed(fault))

    def clear(self) -> None:
        """Disarms all faults."""
        with self._lock:
            self._armed.clear()

    def hit(self, method: str, path: str, *, lists_jobs: bool) -> list[Fault]:
        """The faults that hit a request, counted as having done so."""
        hits: list[Fault] = []
        with self._lock:
            for armed in self._armed:
                fault = armed.fault
                if fault.method is not None and fault.method != method:
                    continue
                if fault.path is not None and not re.search(fault.path, path):
                    continue
                if (fault.lie or fault.lag is not None) and not lists_jobs:
                    continue
                if fault.times is not None and armed.fired >= fault.times:
                    continue
                armed.seen += 1
                if armed.seen <= fault.after or (fault.answers and any(other.answers for other in hits)):
                    continue
                if self._rng.random() >= fault.probability:
                    continue
                armed.fired += 1
                hits.append(fault)
        return hits


def fault_from_json(values: Mapping[str, Any]) -> Fault:
    """A fault from decoded JSON. Raises ValueError for names or values that it cannot have."""
    known = {field.name for field in fields(Fault)} - {"transform"}
    unknown = [name for name in values if name not in known]
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r}; known are {', '.join(sorted(known))}")
    numbers: dict[str, Any] = {"times": int, "after": int, "status": int, "truncate": int}
    numbers |= dict.fromkeys(("probability", "latency", "lag"), (int, float))
    for name, value in values.items():
        kind = numbers.get(name, bool if name in ("accept", "drop", "hang") else str)
        if name in ("body", "headers") or value is None:
            continue
        if not isinstance(value, kind) or (name in numbers and isinstance(value, bool)):
            raise ValueError(f"{name}: {value!r} is of the wrong type")
    return Fault(**values)


def _no_has_more(page: Page) -> None:
    page.pop("has_more", None)


def _has_more(page: Page) -> None:
    if "has_more" in page:
        page["has_more"] = True


def _empty_page(page: Page) -> None:
    page["data"] = []
    _has_more(page)


def _shuffled(page: Page) -> None:
    """Out of order; the last one stays last where it can, so that the cursor still loses no job."""
    *head, last = page["data"] or [None]
    if last is not None:
        page["data"] = [last, *head] if len(head) == 1 else [*head[1::2], *head[::2], last]


def _unchanged(page: Page) -> None:
    """For lies that the list's handler tells itself."""


def apply_lie(lie: str, page: Page, limit: int) -> None:
    """Makes an honest page of a job list a lie; a list that never says ``has_more`` does not say it then either."""
    if lie == "full_page_has_more" and "has_more" in page:
        page["has_more"] = len(page["data"]) == limit
    LIES[lie](page)


LIES: dict[str, Callable[[Page], None]] = {
    "no_has_more": _no_has_more,  # the key is absent
    "has_more_forever": _has_more,  # after the end, empty pages that promise more
    "repeat_page": _has_more,  # always the first page, whatever the cursor
    "empty_page": _empty_page,  # no jobs, but more are promised
    "shuffled": _shuffled,
    "oldest_first": _unchanged,
    "silent_unknown_after": _unchanged,  # an unknown cursor gives an empty last page
    "restart_unknown_after": _unchanged,  # an unknown cursor gives the first page
    "full_page_has_more": _unchanged,  # more is promised when the page is full
}
