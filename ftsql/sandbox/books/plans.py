"""Plans: use a seeded random number generator to draw how long a job takes and how it ends.

The same generator and the same job yield the same plan. Nothing in this module reads a clock.
"""

from __future__ import annotations

import math
import random
import string
from typing import Any

from ftsql.sandbox.books.lifecycle import Job, Life, Plan

ORGANIZATION = "org-sandbox"
ALPHABET = string.ascii_letters + string.digits
MAX_STEPS = 2000
BASE_MODELS = {  # the models that can be trained, each with its short name, or "" if it has none
    "gpt-4.1-2025-04-14": "gpt-4.1",
    "gpt-4.1-mini-2025-04-14": "gpt-4.1-mini",
    "gpt-4o-2024-08-06": "gpt-4o",
    "gpt-4o-mini-2024-07-18": "gpt-4o-mini",
    "o4-mini-2025-04-16": "o4-mini",
}

# The shutdown dates on OpenAI's deprecations page. o4-mini has been shut down; the books have only old jobs on it.
SHUTDOWN_DATES = {
    "gpt-4.1-2025-04-14": "2027-01-14",
    "gpt-4.1-mini-2025-04-14": "2027-01-14",
    "gpt-4o-2024-08-06": "2027-01-14",
    "gpt-4o-mini-2024-07-18": "2027-01-14",
    "o4-mini-2025-04-16": "2026-10-23",
}


def random_token(rng: random.Random, length: int = 24) -> str:
    """Return random letters and digits, like those in the API's ids."""
    return "".join(rng.choices(ALPHABET, k=length))


def hyperparameters(job: Job) -> dict[str, Any]:
    """Return the hyperparameters of a job, from its method or else from its top level."""
    method = job.get("method") or {}
    inner = method.get(method.get("type", "")) or {}
    return inner.get("hyperparameters") or job.get("hyperparameters") or {}


def draw_plan(
    rng: random.Random,
    job: Job,
    moments: tuple[float, float, float],
    examples: int,
    error: dict[str, Any] | None = None,
) -> Plan:
    """Return a plan for a job.

    ``moments``: after how many seconds of work the files are validated, the job starts, and the job ends.
    """
    validated, started, ended = moments
    given = hyperparameters(job)
    epochs, batch = given.get("n_epochs"), given.get("batch_size")
    epochs = epochs if isinstance(epochs, int) else 4 if examples < 50 else 3 if examples < 400 else 2
    batch = batch if isinstance(batch, int) else max(1, examples // 64)
    steps = min(MAX_STEPS, epochs * math.ceil(max(examples, 1) / batch))
    family = job["model"].split(":")[1] if job["model"].startswith("ft:") else job["model"]
    suffix = job.get("user_provided_suffix") or ""
    return {
        "validated": validated,
        "started": started,
        "ended": ended,
        "error": error,
        "steps": steps,
        "reached": int(steps * rng.uniform(0.1, 0.9)) if error else steps,
        "epochs": epochs,
        "tokens": examples * epochs * rng.randrange(60, 400),
        "chosen": {
            "n_epochs": epochs,
            "batch_size": batch,
            "learning_rate_multiplier": rng.choice((0.1, 1.8, 2.0)),
            "beta": 0.1,
            "compute_multiplier": 1.0,
            "eval_interval": max(1, steps // 10),
            "eval_samples": 2,
        },
        "fine_tuned_model": f"ft:{family}:{ORGANIZATION}:{suffix}:{random_token(rng, 8)}",
        "result_file": f"file-{random_token(rng, 22)}",
    }


def new_life(
    rng: random.Random, job: Job, examples: int, error: dict[str, Any] | None, now: float, speed: float
) -> Life:
    """Return the life of a job that was created just now. At speed 1, the job ends within a minute."""
    validated = rng.uniform(2.0, 4.0)
    started = validated + rng.uniform(2.0, 5.0)
    ended = started + rng.uniform(25.0, 45.0)
    if error and error["param"]:
        ended = validated
    plan = draw_plan(rng, job, (validated, started, ended), examples, error)
    return Life(plan, job["created_at"], now, 0.0, speed)


def past_life(
    rng: random.Random,
    job: Job,
    status: str,
    now: float,
    speed: float,
    examples: int,
    error: dict[str, Any] | None = None,
) -> Life:
    """Return the life of a job that has ``status`` now and continues at ``speed``.

    An unknown status counts as running.
    """
    age = max(1.0, now - job["created_at"])
    decisions: list[tuple[str, float]] = []
    if status == "validating_files":
        validated = age + rng.uniform(60, 300)
        started = validated + rng.uniform(60, 900)
        ended = started + rng.uniform(1200, 9000)
    elif status == "queued":
        validated, started = age * 0.5, age + rng.uniform(120, 900)
        ended = started + rng.uniform(1200, 9000)
    elif status in ("succeeded", "failed"):
        ended = min(age * 0.9, rng.uniform(1200, 10800))
        validated, started = ended * 0.05, ended * 0.15
        if error and error["param"]:
            validated, ended = validated * 0.5, validated * 0.5
    else:
        span = min(age, rng.uniform(1800, 10800)) if status in ("cancelled", "paused") else age
        validated, started = span * 0.05, span * 0.15
        ended = started + max(600.0, (span - started) / rng.uniform(0.1, 0.9))
        if status in ("cancelled", "paused"):
            decisions = [("cancel" if status == "cancelled" else "pause", span * rng.uniform(0.3, 0.95))]
    plan = draw_plan(rng, job, (validated, started, ended), examples, error)
    return Life(plan, job["created_at"], job["created_at"] + age, age, speed, decisions)
