"""How jobs on Bedrock, Vertex AI and Fireworks come through Portkey's open-source gateway; everything here is pure.

Times are in milliseconds. Files that the books know by a bare name are in the sandbox's own bucket.
"""

from __future__ import annotations

from urllib.parse import quote

from ftsql.sandbox.books.lifecycle import Job
from ftsql.sandbox.faces.shapes import chosen, milliseconds, present, reason, with_status

ARN = "arn:aws:bedrock:us-east-1:123456789012:model-customization-job/amazon.nova-lite-v1:0:300k/"
MODEL_ARN = "arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.nova-lite-v1:0:300k/"
S3 = "s3://ftsql-sandbox/"
GS = "gs://ftsql-sandbox/"
BEDROCK_STATUSES = dict.fromkeys(("validating_files", "queued", "paused"), "running")
QUEUED = dict.fromkeys(("validating_files", "paused"), "queued")
ADAPTERS = {1: "ONE", 2: "TWO", 4: "FOUR", 8: "EIGHT", 16: "SIXTEEN", 32: "THIRTY_TWO"}


def encoded(text: str) -> str:
    """The text as JavaScript's encodeURIComponent leaves it."""
    return quote(text, safe="-_.!~*'()")


def _uri(storage: str, name: object) -> str:
    if not isinstance(name, str) or not name:
        return ""
    return name if "://" in name else storage + name


def bedrock(job: Job) -> Job:
    """A job as Bedrock's comes through; its model's name is the suffix until there is a model."""
    succeeded = job.get("status") == "succeeded"
    suffix = job.get("user_provided_suffix")
    shown: Job = {
        "id": encoded(ARN + str(job["id"])),
        "job_name": job.get("job_name") or f"portkey-finetune-{job['id']}",
        "object": "finetune",
        "status": job.get("status"),
        "created_at": milliseconds(job.get("created_at")),
        "finished_at": milliseconds(job.get("finished_at")),
        "fine_tuned_model": MODEL_ARN + str(job["id"]) if succeeded else suffix,
        "suffix": suffix,
        "training_file": encoded(_uri(S3, job.get("training_file"))),
        "validation_file": encoded(_uri(S3, job.get("validation_file"))),
        "hyperparameters": {name: chosen(job, name) for name in ("learning_rate_multiplier", "batch_size", "n_epochs")},
        "error": reason(job) or {} if job.get("status") == "failed" else {},
    }
    if shown["fine_tuned_model"] is None:
        del shown["fine_tuned_model"]
    if suffix is None:
        del shown["suffix"]
    return with_status(shown, BEDROCK_STATUSES)


def bedrock_summary(job: Job) -> Job:
    """A job in a list: Bedrock's summaries have no files, hyperparameters and failure messages."""
    shown = bedrock(job)
    nothing = dict.fromkeys(shown["hyperparameters"])
    shown |= {"training_file": "", "validation_file": "", "hyperparameters": nothing, "error": {}}
    if shown["status"] != "succeeded":
        shown.pop("fine_tuned_model", None)
    return shown


def vertex(job: Job) -> Job:
    """A job as Vertex AI's comes through; Google writes its 64-bit integers as strings."""
    epochs, tokens = chosen(job, "n_epochs"), job.get("trained_tokens")
    given = {
        "batch_size": f"ADAPTER_SIZE_{ADAPTERS.get(chosen(job, 'batch_size'), 'FOUR')}",
        "learning_rate_multiplier": chosen(job, "learning_rate_multiplier"),
        "n_epochs": None if epochs is None else str(epochs),
    }
    validation = _uri(GS, job.get("validation_file"))
    shown = {
        "id": job["id"],
        "object": "finetune",
        "status": job.get("status"),
        "created_at": milliseconds(job.get("created_at")),
        "error": {"code": 3, "message": reason(job)} if job.get("status") == "failed" else None,
        "fine_tuned_model": job.get("fine_tuned_model"),
        "finished_at": milliseconds(job.get("finished_at")),
        "hyperparameters": present(given),
        "model": job.get("model"),
        "trained_tokens": None if tokens is None else str(tokens),
        "training_file": encoded(_uri(GS, job.get("training_file"))),
        "validation_file": encoded(validation) if validation else None,
    }
    return with_status(present(shown), QUEUED)


def fireworks(job: Job) -> Job:
    """A job as Fireworks' comes through: the output model, named before it exists, is suffix and model at once."""
    output = f"accounts/sandbox/models/{job.get('user_provided_suffix') or job['id']}"
    given = {"n_epochs": chosen(job, "n_epochs"), "learning_rate": chosen(job, "learning_rate_multiplier")}
    error = {"code": "INTERNAL", "message": reason(job) or ""}
    shown = {
        "id": job["id"],
        "model": job.get("model"),
        "suffix": output,
        "training_file": job.get("training_file"),
        "validation_file": job.get("validation_file"),
        "hyperparameters": present(given),
        "created_at": milliseconds(job.get("created_at")),
        "completed_at": milliseconds(job.get("finished_at")),
        "status": job.get("status"),
        "error": error if job.get("status") == "failed" else None,
        "fine_tuned_model": output,
    }
    return with_status(present(shown), QUEUED)
