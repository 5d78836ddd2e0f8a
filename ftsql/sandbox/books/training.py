"""The output of a training: metrics, events, checkpoints and the result file.

The output is computed from the job's life when it is read, and never stored.
"""

from __future__ import annotations

import base64
import hashlib
import math
import zlib
from typing import Any

from ftsql.sandbox.books.lifecycle import Job, Life

Metrics = tuple[float, float, float, float]  # training loss and accuracy, validation loss and accuracy
HEADER = "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n"
MAX_METRICS = 100  # the maximum number of events with metrics that one job has


def metrics(key: int, step: int, steps: int) -> Metrics:
    """Return the metrics of one step: falling losses with noise. ``key`` is an integer that selects the curve."""
    noise = ((key + step * 7919) * 2654435761 % 4096) / 4096 - 0.5
    fall = math.exp(-4.0 * step / steps)
    train = 0.25 + (1.2 + key % 97 / 97) * fall
    train_loss = round(train * (1 + 0.15 * noise), 5)
    valid_loss = round(train * (1.12 - 0.1 * noise), 5)
    return train_loss, round(math.exp(-0.6 * train_loss), 5), valid_loss, round(math.exp(-0.6 * valid_loss), 5)


def curve_key(job_id: str) -> int:
    """Return the key of a job's curve."""
    return zlib.crc32(job_id.encode())


def stable_id(prefix: str, *parts: object) -> str:
    """Return an id that is always the same for the same arguments."""
    return f"{prefix}{hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()}"


def result_file(job_id: str, steps: int, validation: bool) -> bytes:
    """Return the job's result file: CSV in base64, like the real API's."""
    key, lines = curve_key(job_id), [HEADER]
    for step in range(1, steps + 1):
        loss, accuracy, valid_loss, valid_accuracy = metrics(key, step, steps)
        tail = f"{valid_loss:.5f},{valid_accuracy:.5f}" if validation else ","
        lines.append(f"{step},{loss:.5f},{accuracy:.5f},{tail}\n")
    return base64.b64encode("".join(lines).encode())


def result_file_size(steps: int, validation: bool) -> int:
    """Return the size of a result file without generating it.

    The size can be computed because all numbers in the file except the step have the same length.
    """
    digits = sum(steps - int(10**place) + 1 for place in range(len(str(steps))))
    size = (
        len(HEADER)
        + digits
        + steps * len(",0.00000,0.00000,0.00000,0.00000\n" if validation else ",0.00000,0.00000,,\n")
    )
    return 4 * math.ceil(size / 3)


def events(job: Job, life: Life, now: float) -> list[dict[str, Any]]:
    """Return the job's events up to Unix time ``now``, newest first."""
    plan, age = life.plan, life.age(now)
    validated, ended = plan["validated"], plan["ended"]
    files = f"training file: {job['training_file']}"
    if job.get("validation_file"):
        files += f" and validation file: {job['validation_file']}"
    past: list[tuple[float, str, dict[str, Any]]] = [
        (0.0, f"Created fine-tuning job: {job['id']}", {}),
        (0.0, f"Validating {files}", {}),
    ]
    if ended > validated:
        past.append((life.age_at(validated), "Files validated, moving job to queued state", {}))
        past.append((life.age_at(plan["started"]), "Fine-tuning job started", {}))
        past += [(life.age_at(_work_at(life, step)), *_metric_event(job, life, step)) for step in _metric_steps(life)]
        past += [
            (life.age_at(_work_at(life, step)), f"Checkpoint created at step {step}", {})
            for step in _checkpoint_steps(life)[:-1]
        ]
    end = life.age_at(ended)
    if plan["error"]:
        past.append((end, str(plan["error"]["message"]), {"error_code": plan["error"]["code"]}))
    else:
        past.append((end, f"New fine-tuned model created: {plan['fine_tuned_model']}", {}))
        past.append((end, "The job has successfully completed", {}))
    words = {"cancel": "cancelled", "pause": "paused", "resume": "resumed"}
    past += [(at, f"Fine-tuning job {words[what]}", {}) for what, at in life.decisions]
    happened = sorted((entry for entry in past if entry[0] <= age), key=lambda entry: entry[0])
    shown = [
        {
            "object": "fine_tuning.job.event",
            "id": stable_id("ftevent-", job["id"], number),
            "created_at": life.when(at),
            "level": "error" if "error_code" in data else "info",
            "message": message,
            "type": "metrics" if "step" in data else "message",
            "data": data,
        }
        for number, (at, message, data) in enumerate(happened)
    ]
    return shown[::-1]


def checkpoints(job: Job, life: Life, now: float) -> list[dict[str, Any]]:
    """Return one checkpoint for each epoch that was done by Unix time ``now``, newest first."""
    plan, age, key = life.plan, life.age(now), curve_key(job["id"])
    if plan["ended"] <= plan["validated"]:
        return []
    shown = []
    for step in _checkpoint_steps(life):
        at = life.age_at(_work_at(life, step))
        if step > plan["reached"] or at > age:
            break
        loss, accuracy, valid_loss, valid_accuracy = metrics(key, step, plan["steps"])
        measured = {"step": step, "train_loss": loss, "train_mean_token_accuracy": accuracy}
        if job.get("validation_file"):
            measured |= {
                "valid_loss": valid_loss,
                "valid_mean_token_accuracy": valid_accuracy,
                "full_valid_loss": round(valid_loss * 0.98, 5),
                "full_valid_mean_token_accuracy": round(valid_accuracy * 0.99, 5),
            }
        last = step == plan["steps"]
        shown.append(
            {
                "object": "fine_tuning.job.checkpoint",
                "id": stable_id("ftckpt_", job["id"], step),
                "created_at": life.when(at),
                "fine_tuned_model_checkpoint": plan["fine_tuned_model"] + ("" if last else f":ckpt-step-{step}"),
                "fine_tuning_job_id": job["id"],
                "metrics": measured,
                "step_number": step,
            }
        )
    return shown[::-1]


def _work_at(life: Life, step: int) -> float:
    """Return after how many seconds of work a step is done. The job ends with the last step that it reaches."""
    plan = life.plan
    return plan["started"] + (plan["ended"] - plan["started"]) * step / max(1, plan["reached"])


def _metric_steps(life: Life) -> range:
    stride = max(1, math.ceil(life.plan["steps"] / MAX_METRICS))
    return range(stride, life.plan["reached"] + 1, stride)


def _checkpoint_steps(life: Life) -> list[int]:
    plan = life.plan
    ends = [round(plan["steps"] * epoch / plan["epochs"]) for epoch in range(1, plan["epochs"] + 1)]
    return [step for step in ends if step <= plan["reached"]] if plan["error"] else ends


def _metric_event(job: Job, life: Life, step: int) -> tuple[str, dict[str, Any]]:
    steps = life.plan["steps"]
    loss, accuracy, valid_loss, valid_accuracy = metrics(curve_key(job["id"]), step, steps)
    data = {"step": step, "total_steps": steps, "train_loss": loss, "train_mean_token_accuracy": accuracy}
    message = f"Step {step}/{steps}: training loss={loss:.2f}"
    if job.get("validation_file"):
        data |= {"valid_loss": valid_loss, "valid_mean_token_accuracy": valid_accuracy}
        message += f", validation loss={valid_loss:.2f}"
    return message, data
