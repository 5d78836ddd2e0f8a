"""A job's life: compute the job's status and fields from its plan, the decisions about the job, and its age.

All functions are pure. An age is the number of simulated seconds since the job was created. Work is the part of the age
in which the job was not paused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

Job = dict[str, Any]

FINAL = frozenset({"succeeded", "failed", "cancelled"})
REQUEUED = 2.0  # simulated seconds that a resumed job stays queued
ALLOWED = {  # each decision, and the statuses in which it is allowed
    "cancel": frozenset({"validating_files", "queued", "running", "paused"}),
    "pause": frozenset({"queued", "running"}),
    "resume": frozenset({"paused"}),
}
DECIDED = {"cancel": "cancelled", "pause": "paused", "resume": "queued"}  # the status right after the decision


class Plan(TypedDict):
    """What happens to a job if no user decides about it. The first three values are simulated seconds of work."""

    validated: float
    started: float
    ended: float  # equal to validated if the files are refused
    error: dict[str, Any] | None  # why the job fails; None if it succeeds
    steps: int
    reached: int  # the last step done when the job ends; less than steps if it fails during training
    epochs: int
    tokens: int
    chosen: dict[str, float]  # what replaces "auto" in hyperparameters once the files are validated
    fine_tuned_model: str
    result_file: str


@dataclass(frozen=True, slots=True)
class Life:
    """A plan, the decisions about the job, and the clock for both.

    ``anchor``: the Unix time at which the job's age was ``age0``. ``speed``: how many simulated seconds the job ages in
    each real second from then on. ``decisions``: each decision and the age at which it was made.
    """

    plan: Plan
    created_at: int
    anchor: float
    age0: float
    speed: float
    decisions: list[tuple[str, float]] = field(default_factory=list)

    def age(self, now: float) -> float:
        """Return the age at Unix time ``now``."""
        return self.age0 + max(0.0, now - self.anchor) * self.speed

    def when(self, age: float) -> int:
        """Return the Unix time at which the job had or will have the age ``age``, but no time before its creation."""
        pace = self.speed if age > self.age0 and self.speed > 0 else 1.0
        return max(self.created_at, int(self.anchor + (age - self.age0) / pace + 1e-6))

    def work(self, age: float) -> float:
        """Return how many seconds of work are done at the age ``age``."""
        return sum(max(0.0, end - start) for start, end in self._working_intervals(age))

    def age_at(self, work: float) -> float:
        """Return the age at which ``work`` seconds of work are done; infinite if a pause or a cancel prevents it."""
        done = 0.0
        for start, end in self._working_intervals(math.inf):
            if done + end - start >= work:
                return start + work - done
            done += max(0.0, end - start)
        return math.inf

    def status(self, age: float) -> str:
        """Return the status at the age ``age``."""
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
        """Return the Unix time at which the job will end if no user decides again, or None if it will never end."""
        if self.decisions and self.decisions[-1][0] == "cancel":
            return self.anchor
        age = self.age_at(self.plan["ended"])
        if age <= self.age0:
            return self.anchor
        if self.speed <= 0 or math.isinf(age):
            return None
        return self.anchor + (age - self.age0) / self.speed

    def with_decision(self, what: str, now: float) -> Life:
        """Return this life with one more decision, made now."""
        return replace(self, decisions=[*self.decisions, (what, self.age(now))])

    def with_speed(self, speed: float, now: float) -> Life:
        """Return this life with another speed, which applies from now on."""
        return replace(self, anchor=now, age0=self.age(now), speed=speed)

    def _working_intervals(self, age: float) -> Iterator[tuple[float, float]]:
        """Yield the intervals of age, up to ``age``, in which work was done."""
        mode, since = "", 0.0
        for what, at in (*self.decisions, ("", age)):
            if mode == "":
                yield since, min(at, age)
            elif mode == "resume":
                yield since + REQUEUED, max(since + REQUEUED, min(at, age))
            mode, since = what, at


def render(job: Job, life: Life, now: float) -> Job:
    """Return the job in its state at Unix time ``now``. ``job`` is the job as it was created."""
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
    """Replace each "auto" in the hyperparameters with the chosen value."""
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
