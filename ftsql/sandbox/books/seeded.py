"""Fill new books with generated jobs from the last ninety days.

The same seed and number yield the same jobs, except that their times depend on when the sandbox starts. The jobs have
every status and every shape that the real API is known to return.
"""

from __future__ import annotations

import random
from typing import Any

from ftsql.sandbox.books.dataset import inspect_examples, make_examples
from ftsql.sandbox.books.files import Files
from ftsql.sandbox.books.jobs import SERVER_ERROR, Jobs, new_job
from ftsql.sandbox.books.lifecycle import FINAL, Job, render
from ftsql.sandbox.books.plans import past_life, random_token

DAYS = 90
MAX_ACTIVE = 40
# The statuses of the newest jobs. The first seven jobs have seven different statuses.
NEWEST = (
    *("validating_files", "queued", "running", "succeeded", "paused", "failed", "cancelled"),
    *("running", "queued", "succeeded", "running", "succeeded", "running", "paused", "succeeded", "running"),
    *("succeeded", "validating_files", "queued", "succeeded", "running", "failed", "succeeded", "running"),
)
OLDER = ("succeeded", "failed", "cancelled", "paused")
OLDER_WEIGHTS = (78, 13, 8, 1)
MODELS = (
    *(("gpt-4o-mini-2024-07-18", "supervised", 34), ("gpt-4o-2024-08-06", "supervised", 12)),
    *(("gpt-4.1-mini-2025-04-14", "supervised", 18), ("gpt-4.1-2025-04-14", "supervised", 10)),
    *(("gpt-4o-2024-08-06", "supervised", 8), ("gpt-4.1-2025-04-14", "supervised", 4)),
    *(("gpt-4o-2024-08-06", "dpo", 5), ("gpt-4.1-mini-2025-04-14", "dpo", 5)),
    *(("o4-mini-2025-04-16", "reinforcement", 6),),
)
TEAMS = ("search", "ads", "support", "legal", "growth")
TASKS = ("intent", "summaries", "routing", "tone", "extraction", "ranking")
UNSAFE = {
    "code": "invalid_training_file",
    "message": "The job failed due to an unsafe training file. This training file was blocked because too many "
    "examples were flagged by our moderation API",
    "param": "training_file",
}
QUOTA = {
    "code": "exceeded_quota",
    "message": "Creating this fine-tuning job would exceed your hard limit, please check your plan and billing "
    "details. Cost of this job: USD 41.30. Quota remaining: USD 12.84",
    "param": None,
}
# The reasons why a job fails. The first four are flaws of the job's files, which no other job uses.
FLAWS = ("broken", "few", "validation", "unsafe", "quota", "server")
NO_ERROR: tuple[Any, ...] = (None, None, {}, {"code": None, "message": None, "param": None})


def fill_books(jobs: Jobs, files: Files, rng: random.Random, count: int, now: float, speed: float) -> None:
    """Add ``count`` jobs, oldest first, with their files. Unfinished jobs progress at ``speed``."""
    shared: list[tuple[str, str, int, str]] = []
    for newest, created_at in _creation_times(rng, count, int(now)):
        status = NEWEST[newest] if newest < len(NEWEST) else rng.choices(OLDER, OLDER_WEIGHTS)[0]
        if status not in FINAL and newest >= MAX_ACTIVE:
            status = "succeeded"
        job = new_job(f"ftjob-{random_token(rng)}", created_at, rng.randrange(2**31))
        model, method, _ = rng.choices(MODELS, [weight for *_, weight in MODELS])[0]
        job["model"] = model
        flaw = rng.choice(FLAWS) if status == "failed" else ""
        training, validation, examples, task = _pick_dataset(files, rng, shared, method, created_at, flaw)
        job["training_file"], job["validation_file"] = training, validation or None
        _add_method(rng, job, method)
        _add_labels(rng, job, task)
        error = _flaw_error(flaw, method)
        life = past_life(rng, job, status, now, speed, examples, error)
        if status not in FINAL:
            jobs.put(job, life, accepted=created_at)
            continue
        shown = render(job, life, now)
        if status == "succeeded":
            files.add_result(shown, life)
        if status != "failed":
            shown["error"] = rng.choice(NO_ERROR)
        shown["estimated_finish"] = rng.choice((None, None, 0))
        jobs.put(shown, life, accepted=created_at, active=False)


def _creation_times(rng: random.Random, count: int, now: int) -> list[tuple[int, int]]:
    """Return the creation times of the jobs, oldest first, each with the job's index, counted from the newest.

    Some jobs are created in the same second, like the jobs of a sweep.
    """
    ages = sorted(rng.uniform(3600.0, DAYS * 86400.0) for _ in range(max(0, count - len(NEWEST))))
    recent = min(count, len(NEWEST))
    ages = [90.0 + 1000.0 * place + rng.uniform(0, 300) for place in range(recent)] + [
        age + 1000.0 * recent * (1 - age / (DAYS * 86400.0)) for age in ages
    ]
    moments = [now - int(age) for age in ages]
    for place in range(len(NEWEST), count):
        if place % 9 in (3, 4):
            moments[place] = moments[place - 1]
    return list(enumerate(moments))[::-1]


def _pick_dataset(
    files: Files,
    rng: random.Random,
    shared: list[tuple[str, str, int, str]],
    method: str,
    created_at: int,
    flaw: str,
) -> tuple[str, str, int, str]:
    """Return a training file, a validation file or "", the number of examples and the task.

    About half the jobs use the files of an earlier job.
    """
    fitting = [entry for entry in shared[-12:] if entry[3].startswith(method)]
    if fitting and flaw not in FLAWS[:4] and rng.random() < 0.5:
        training, validation, examples, name = rng.choice(fitting)
        return training, validation, examples, name.partition("/")[2]
    training, validation, task = f"file-{random_token(rng, 22)}", f"file-{random_token(rng, 22)}", rng.choice(TASKS)
    examples = 6 if flaw == "few" else rng.randrange(20, 600)
    stem = f"{task}_v{rng.randrange(1, 9)}"
    made_at = created_at - rng.randrange(30, 3600)
    files.add_examples(training, made_at, f"{stem}_train.jsonl", examples, method, 14 if flaw == "broken" else 0)
    if flaw == "validation" or rng.random() < 0.5:
        bad = 3 if flaw == "validation" else 0
        files.add_examples(validation, made_at + 2, f"{stem}_valid.jsonl", max(10, examples // 8), method, bad)
    else:
        validation = ""
    if flaw not in FLAWS[:4]:
        shared.append((training, validation, examples, f"{method}/{task}"))
    return training, validation, examples, task


def _flaw_error(flaw: str, method: str) -> dict[str, Any] | None:
    """Return the error of a job with the flaw ``flaw``, or None if there is no flaw.

    If the format of a file is flawed, a new job with such a file gets the same error.
    """
    found: dict[str, tuple[int, int, str]] = {
        "broken": (20, 14, "training_file"),
        "few": (6, 0, "training_file"),
        "validation": (20, 3, "validation_file"),
    }
    if flaw in found:
        examples, broken, param = found[flaw]
        return inspect_examples(make_examples(examples, method, broken), method, param)[1]
    return {"": None, "unsafe": UNSAFE, "quota": QUOTA, "server": SERVER_ERROR}[flaw]


def _add_method(rng: random.Random, job: Job, method: str) -> None:
    """Add the method and its hyperparameters, which only some methods also show at the job's top level."""
    hyperparameters: dict[str, Any] = {
        "n_epochs": rng.choice(("auto", "auto", 1, 2, 3, 4)),
        "batch_size": rng.choice(("auto", 1, 2, 4, 8, 16)),
        "learning_rate_multiplier": rng.choice(("auto", "auto", 0.1, 0.5, 1.8, 2)),
    }
    inner: dict[str, Any] = {"hyperparameters": hyperparameters}
    if method == "supervised":
        job["hyperparameters"] = hyperparameters
    elif method == "dpo":
        hyperparameters["beta"] = rng.choice(("auto", 0.1, 0.5))
        job["hyperparameters"] = None
    else:
        hyperparameters |= {"reasoning_effort": rng.choice(("default", "low", "medium")), "eval_interval": "auto"}
        inner["grader"] = {
            "type": "string_check",
            "name": "exact match",
            "input": "{{sample.output_text}}",
            "reference": "{{item.label}}",
            "operation": "eq",
        }
        del job["hyperparameters"]
    job["method"] = {"type": method, method: inner}


def _add_labels(rng: random.Random, job: Job, task: str) -> None:
    """Add a suffix, metadata and integrations to the job, each with some probability, as people do."""
    team = rng.choice(TEAMS)
    if rng.random() < 0.7:
        job["user_provided_suffix"] = f"{team}-{task}"
    chance = rng.random()
    if chance < 0.7:
        job["metadata"] = {"team": team, "experiment": f"{task}-{rng.randrange(1, 30):02d}"}
        if rng.random() < 0.3:
            job["metadata"]["owner"] = rng.choice(("ana", "bo", "chidi", "dewi"))
    elif chance < 0.8:
        del job["metadata"]
    if rng.random() < 0.12:
        wandb = {"project": f"{team}-finetunes", "name": None, "entity": None, "run_id": job["id"]}
        job["integrations"] = [{"type": "wandb", "wandb": {**wandb, "tags": [task]}}]
    elif rng.random() < 0.1:
        job["integrations"] = None
