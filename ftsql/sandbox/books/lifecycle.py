"""A job's life: the status and the fields that its plan, the decisions about it and its age give it.

Everything here is pure. An age is in simulated seconds since the job was created; work is the part of
the age that was not spent paused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

Job = dict[str, Any]

FINAL = frozenset({"succeeded", "failed", "cancelled"})
REQUEUED = 2.0  # simulated seconds that a resumed job stays queued
ALLOWED = {  # what may be decided about a job, and in which status
    "cancel": frozenset({"validating_files", "queued", "running", "paused"}),
    "pause": frozenset({"queued", "running"}),
    "resume": frozenset({"paused"}),
}
DECIDED = {"cancel": "cancelled", "pause": "paused", "resume": "queued"}  # the status right afterwards


class Plan(TypedDict):
    """What happens to a job if nobody interferes; the three moments are in simulated seconds of work."""

    validated: float
    started: float
    ended: float  # equal to validated when the files are refused
    error: dict[str, Any] | None  # why it fails; None when it succeeds
    steps: int
    reached: int  # the last step done when it ends; below steps for a job that fails on its way
    epochs: int
    tokens: int
    chosen: dict[str, float]  # what "auto" hyperparameters become once the files are validated
    fine_tuned_model: str
    result_file: str


@dataclass(frozen=True, slots=True)
class Life:
    """A plan, the decisions taken since, and the clock that both run on.

    ``anchor`` is the Unix time at which the job's age was ``age0``; from then on it ages by ``speed``.
    """

    plan: Plan
    created_at: int
    anchor: float
    age0: float
    speed: float
    decisions: list[tuple[str, float]] = field(default_factory=list)

    def age(self, now: float) -> float:
        """Simulated seconds since creation at Unix time ``now``."""
        return self.age0 + max(0.0, now - self.anchor) * self.speed

    def when(self, age: float) -> int:
        """The Unix time at which the job had, or will have, that age. Never before its creation."""
        pace = self.speed if age > self.age0 and self.speed > 0 else 1.0
        return max(self.created_at, int(self.anchor + (age - self.age0) / pace + 1e-6))

    def work(self, age: float) -> float:
        """Seconds of work done at that age."""
        return sum(max(0.0, end - start) for start, end in self._working_intervals(age))

    def age_at(self, work: float) -> float:
        """The age at which so much work is done; infinite while paused or after a cancel."""
        done = 0.0
        for start, end in self._working_intervals(math.inf):
            if done + end - start >= work:
                return start + work - done
            done += max(0.0, end - start)
        return math.inf

    def status(self, age: float) -> str:
        """The status at that age."""
        if self.decisions:
            what, at = self.decisions[-1]
            if what != "resume" or age - at < REQUEUED:
                return DECIDED[what]
        work, plan = self.work(age), self.plan
        if work >= plan["ended"]:
            return "failed" if plan["error"] else "succeeded"
        if work >= plan["started"]:
            return "running"
        return "queued" if work >= plan["validated"] else "validating_files"

    def ends(self) -> float | None:
        """The Unix time at which the job is over if nothing more is decided; None for never."""
        if self.decisions and self.decisions[-1][0] == "cancel":
            return self.anchor
        age = self.age_at(self.plan["ended"])
        if age <= self.age0:
            return self.anchor
        if self.speed <= 0 or math.isinf(age):
            return None
        return self.anchor + (age - self.age0) / self.speed

    def with_decision(self, what: str, now: float) -> Life:
        """This life with one more decision, taken now."""
        return replace(self, decisions=[*self.decisions, (what, self.age(now))])

    def with_speed(self, speed: float, now: float) -> Life:
        """This life, ageing by another speed from now on."""
        return replace(self, anchor=now, age0=self.age(now), speed=speed)

    def _working_intervals(self, age: float) -> Iterator[tuple[float, float]]:
        """The stretches of age, up to ``age``, in which work was done."""
        mode, since = "", 0.0
        for what, at in (*self.decisions, ("", age)):
            if mode == "":
                yield since, min(at, age)
            elif mode == "resume":
                yield since + REQUEUED, max(since + REQUEUED, min(at, age))
            mode, since = what, at


def render(job: Job, life: Life, now: float) -> Job:
    """The job as it is at Unix time ``now``, from the job as it was created."""
    age, plan = life.age(now), life.plan
    status = life.status(age)
    shown = {**job, "status": status}
    if life.work(age) >= plan["validated"] and plan["ended"] > plan["validated"]:
        _resolve_auto(shown, plan["chosen"])
    if status == "running":
        shown["estimated_finish"] = life.when(life.age_at(plan["ended"]))
    if status not in FINAL:
        return shown
    if status == "cancelled":
        shown["finished_at"] = life.when(life.decisions[-1][1])
        return shown
    shown["finished_at"] = life.when(life.age_at(plan["ended"]))
    if status == "failed":
        shown["error"] = plan["error"]
    else:
        shown["fine_tuned_model"] = plan["fine_tuned_model"]
        shown["trained_tokens"] = plan["tokens"]
        shown["result_files"] = [plan["result_file"]]
    return shown


def _resolve_auto(job: Job, chosen: dict[str, float]) -> None:
    """Puts what was chosen in the place of every "auto"."""
    if job.get("hyperparameters"):
        job["hyperparameters"] = _resolved(job["hyperparameters"], chosen)
    method = job.get("method")
    if method:
        kind = method["type"]
        inner = method.get(kind) or {}
        hyperparameters = _resolved(inner.get("hyperparameters") or {}, chosen)
        job["method"] = {**method, kind: {**inner, "hyperparameters": hyperparameters}}


def _resolved(hyperparameters: dict[str, Any], chosen: dict[str, float]) -> dict[str, Any]:
    return {name: chosen.get(name, value) if value == "auto" else value for name, value in hyperparameters.items()}
