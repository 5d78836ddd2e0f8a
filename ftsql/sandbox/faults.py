"""Faults: errors that the sandbox produces on demand. This module defines them and decides which ones hit a request.

At most one fault decides about a response. Faults that only delay, lie or transform apply in addition. A fault that was
added to the sandbox, and may hit requests, is armed.
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
    """One thing that goes wrong: which requests it hits, and what happens to them.

    Which requests: ``method`` and ``path`` select requests; None selects all. ``path`` is a regular expression that is
    searched for in the path as sent, without the query. The first ``after`` selected requests are spared. The next
    ``times`` requests (None: all) are hit, each with the probability ``probability``, drawn from the sandbox's seed.

    What happens to them:
    ``latency``: how many seconds to wait before the request is handled. The request is handled even if the client gives
    up.
    ``status``: this status is sent, and the request is not handled. ``headers``, ``body`` and ``content_type`` are
    sent with it. Without ``status``, a ``body`` is sent with status 200. Without ``body``, a ``status`` is sent with
    the provider's usual error body.
    ``redirect``: a 307 to this URL is sent. ``drop``: the connection is closed without a response. ``hang``: there is
    no response until the sandbox stops. ``accept``: the request is handled before the fault sends its response, drops
    the connection or hangs.
    ``truncate``: the request is handled, but the response ends after this many bytes of its body, although its
    Content-Length announces all of them.
    ``lie``: one of the names in ``LIES``. It changes only lists of jobs. A page without ``has_more`` stays without it.
    ``lag``: lists of jobs, and nothing else, hide jobs that were accepted less than this many real seconds ago.
    ``transform``: a function that takes the decoded JSON body of a 2xx response and returns the body to send.

    Raises ValueError if the fault would do nothing, or if ``lie`` or ``path`` is invalid.

    >>> Fault(method="POST", status=503, times=2).answers
    True
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
        if self.lie is not None and self.lie not in LIES:
            raise ValueError(f"unknown lie {self.lie!r}; known are {', '.join(LIES)}")
        try:
            re.compile(self.path or "")
        except re.error as error:
            raise ValueError(f"path {self.path!r} is not a regular expression: {error}") from None
        if not (self.answers or self.latency or self.lie or self.lag is not None or self.transform):
            raise ValueError("the fault does nothing: set status, body, drop, latency, lie or another effect")

    def selects(self, method: str, path: str, *, lists_jobs: bool) -> bool:
        """Whether the fault selects this request. ``after``, ``times`` and ``probability`` are not considered."""
        if self.method is not None and self.method != method:
            return False
        if self.path is not None and not re.search(self.path, path):
            return False
        return lists_jobs or not (self.lie or self.lag is not None)

    @property
    def replaces(self) -> bool:
        """Whether the fault sends a response instead of the real one."""
        return self.status is not None or self.body is not None or self.redirect is not None

    @property
    def answers(self) -> bool:
        """Whether the fault decides what the client receives. Only one such fault can hit a request."""
        return self.replaces or self.drop or self.hang or self.truncate is not None

    @property
    def handles(self) -> bool:
        """Whether the request is handled, although the fault decides about its response."""
        return self.accept or not (self.replaces or self.drop or self.hang)


# OpenAI's response to a create from an organization that may no longer create jobs.
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
    seen: int = 0  # how many requests the fault has selected
    fired: int = 0  # how many of those requests it has hit

    @property
    def is_used_up(self) -> bool:
        return self.fault.times is not None and self.fired >= self.fault.times


class Faults:
    """The armed faults of a sandbox. Several threads may use them."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._rng = random.Random(f"{seed}/faults")
        self._armed: list[_Armed] = []

    def arm(self, fault: Fault) -> None:
        """Add a fault. Faults hit in the order in which they were armed."""
        with self._lock:
            self._armed.append(_Armed(fault))

    def clear(self) -> None:
        """Disarm all faults."""
        with self._lock:
            self._armed.clear()

    def hit(self, method: str, path: str, *, lists_jobs: bool) -> list[Fault]:
        """Return the faults that hit a request, and count the hits."""
        hits: list[Fault] = []
        with self._lock:
            for armed in self._armed:
                fault = armed.fault
                if not fault.selects(method, path, lists_jobs=lists_jobs) or armed.is_used_up:
                    continue
                armed.seen += 1
                # Only one fault answers a request, so a second one waits for a later request.
                if armed.seen <= fault.after or (fault.answers and any(other.answers for other in hits)):
                    continue
                if self._rng.random() >= fault.probability:
                    continue
                armed.fired += 1
                hits.append(fault)
        return hits


INTEGERS = ("times", "after", "status", "truncate")
NUMBERS = ("probability", "latency", "lag")
FLAGS = ("accept", "drop", "hang")


def fault_from_json(values: Mapping[str, Any]) -> Fault:
    """Return the fault that decoded JSON describes. Raises ValueError for an unknown field or a wrong value."""
    known = {field.name for field in fields(Fault)} - {"transform"}
    unknown = [name for name in values if name not in known]
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r}; known are {', '.join(sorted(known))}")
    for name, value in values.items():
        if name not in ("body", "headers") and value is not None and not _has_type(name, value):
            raise ValueError(f"{name}: {value!r} has the wrong type")
    return Fault(**values)


def _has_type(name: str, value: object) -> bool:
    """Whether a JSON value has the type of the fault's field ``name``."""
    if name in FLAGS:
        return isinstance(value, bool)
    if name in INTEGERS or name in NUMBERS:
        # In Python a boolean is an integer too.
        return isinstance(value, int if name in INTEGERS else (int, float)) and not isinstance(value, bool)
    return isinstance(value, str)


def _no_has_more(page: Page) -> None:
    page.pop("has_more", None)


def _has_more(page: Page) -> None:
    if "has_more" in page:
        page["has_more"] = True


def _empty_page(page: Page) -> None:
    page["data"] = []
    _has_more(page)


def _shuffled(page: Page) -> None:
    """Shuffle the page. If it has three or more jobs, the last one stays last, so that the next page skips no job."""
    *head, last = page["data"] or [None]
    if last is not None:
        page["data"] = [last, *head] if len(head) == 1 else [*head[1::2], *head[::2], last]


def _unchanged(page: Page) -> None:
    """Leave the page as it is, because these lies are told elsewhere: in the list's handler or in ``apply_lie``."""


def apply_lie(lie: str, page: Page, limit: int) -> None:
    """Change a page of a job list as ``lie`` says. A page without ``has_more`` stays without it."""
    if lie == "full_page_has_more" and "has_more" in page:
        page["has_more"] = len(page["data"]) == limit
    LIES[lie](page)


LIES: dict[str, Callable[[Page], None]] = {
    "no_has_more": _no_has_more,  # has_more is missing
    "has_more_forever": _has_more,  # has_more is true on every page, even on the empty pages after the end
    "repeat_page": _has_more,  # every cursor returns the first page, and has_more is true
    "empty_page": _empty_page,  # no jobs, but has_more is true
    "shuffled": _shuffled,
    "oldest_first": _unchanged,
    "silent_unknown_after": _unchanged,  # an unknown cursor returns an empty last page
    "restart_unknown_after": _unchanged,  # an unknown cursor returns the first page
    "full_page_has_more": _unchanged,  # has_more is true if the page is full
}
