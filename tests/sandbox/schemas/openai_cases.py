"""Cases for the sandbox's OpenAI face: valid and refused creates, the shapes of seeded jobs, decisions and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai

from tests.sandbox.schemas.openai import NO_ERROR

GRADER = {"type": "string_check", "name": "g", "input": "i", "reference": "r", "operation": "eq"}
HYPERPARAMETERS = {"n_epochs": 3, "batch_size": "auto", "learning_rate_multiplier": 0.5}
WANDB = {"type": "wandb", "wandb": {"project": "p", "name": "n", "entity": None, "tags": ["t"]}}
AUTO = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}
# The fields of a create besides model and training_file, and the fields that the job then shows.
CREATES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": (
        {},
        {"hyperparameters": AUTO, "method": {"type": "supervised", "supervised": {"hyperparameters": AUTO}}},
    ),
    "suffix": ({"suffix": "s" * 64}, {"user_provided_suffix": "s" * 64}),
    "seed": ({"seed": 2**31 - 1}, {"seed": 2**31 - 1}),
    "seed 0": ({"seed": 0}, {"seed": 0}),
    "metadata": ({"metadata": {"k" * 64: "v" * 512}}, {"metadata": {"k" * 64: "v" * 512}}),
    "validation file": ({"validation_file": "file-b"}, {"validation_file": "file-b"}),
    "integrations": ({"integrations": [WANDB]}, {"integrations": [WANDB]}),
    "hyperparameters": ({"hyperparameters": HYPERPARAMETERS}, {"hyperparameters": HYPERPARAMETERS}),
    "nulls": (dict.fromkeys(("suffix", "seed", "metadata", "validation_file", "integrations")), {"metadata": None}),
    "supervised": (
        {"method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}}},
        {"hyperparameters": {**AUTO, "n_epochs": 3}},
    ),
    "dpo": (
        {"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.1}}}},
        {"method": {"type": "dpo", "dpo": {"hyperparameters": {**AUTO, "beta": 0.1}}}, "hyperparameters": None},
    ),
    "reinforcement": (
        {"method": {"type": "reinforcement", "reinforcement": {"grader": GRADER}}, "model": "o4-mini"},
        {"model": "o4-mini-2025-04-16"},
    ),
}


def tuned(kind: str, **inner: Any) -> dict[str, Any]:
    return {"method": {"type": kind, kind: inner}}


# A change of the body (... removes a field), the error's param, and a part of its message.
REFUSED: list[tuple[dict[str, Any], str | None, str]] = [
    ({"model": ...}, "model", "Missing required parameter: 'model'."),
    ({"training_file": ...}, "training_file", "Missing required parameter: 'training_file'."),
    ({"model": "gpt-9"}, "model", "not available for fine-tuning"),
    ({"model": 4}, "model", "expected a string, but got an integer"),
    ({"training_file": "file-x"}, "training_file", "invalid training_file: file-x"),
    ({"training_file": "file-image"}, "training_file", "purpose 'vision'"),
    ({"validation_file": "file-x"}, "validation_file", "invalid validation_file: file-x"),
    ({"suffix": ""}, "suffix", "string too short"),
    ({"suffix": "s" * 65}, "suffix", "maximum length 64, but got a string with length 65"),
    ({"seed": -1}, "seed", "Expected a value >= 0, but got -1 instead."),
    ({"seed": 2**31}, "seed", "above maximum value"),
    ({"seed": 1.5}, "seed", "expected an integer, but got a number"),
    ({"seed": True}, "seed", "expected an integer, but got a boolean"),
    ({"metadata": {str(n): "v" for n in range(17)}}, "metadata", "too many properties"),
    ({"metadata": {"k" * 65: "v"}}, "metadata", "string too long"),
    ({"metadata": {"k": "v" * 513}}, "metadata.k", "maximum length 512"),
    ({"metadata": {"k": 1}}, "metadata.k", "expected a string"),
    ({"hyperparameters": {"n_epochs": 51}}, "hyperparameters.n_epochs", "<= 50"),
    ({"hyperparameters": {"n_epochs": "many"}}, "hyperparameters.n_epochs", "one of an integer or 'auto'"),
    ({"hyperparameters": {"batch_size": 257}}, "hyperparameters.batch_size", "<= 256"),
    ({"hyperparameters": {"learning_rate_multiplier": 0}}, "hyperparameters.learning_rate_multiplier", "> 0"),
    ({"hyperparameters": {"epochs": 3}}, "hyperparameters.epochs", "Unknown parameter"),
    ({"method": {}}, "method.type", "Missing required parameter"),
    ({"method": {"type": "rlhf"}}, "method.type", "Supported values are: 'supervised', 'dpo', and 'reinforcement'."),
    (tuned("dpo", hyperparameters={"beta": 3}), "method.dpo.hyperparameters.beta", "<= 2"),
    (tuned("reinforcement"), "method.reinforcement.grader", "Missing required parameter"),
    (tuned("reinforcement", grader={**GRADER, "operation": "is"}), "method.reinforcement.grader.operation", "'ilike'"),
    ({"integrations": [{"type": "wandb", "wandb": {}}]}, "integrations[0].wandb.project", "Missing required"),
    ({"integrations": [{"type": "mlflow", "wandb": {"project": "p"}}]}, "integrations[0].type", "Invalid value"),
    ({"epochs": 3}, None, "Unrecognized request argument supplied: epochs"),
]


# The shapes that must occur among the seeded jobs, so that no test has to add them.
SHAPES: dict[str, Callable[[dict[str, Any]], bool]] = {
    **{
        status: lambda job, status=status: job["status"] == status  # type: ignore[misc]
        for status in ("validating_files", "queued", "running", "succeeded", "failed", "cancelled", "paused")
    },
    **{
        method: lambda job, method=method: job["method"]["type"] == method  # type: ignore[misc]
        for method in ("supervised", "dpo", "reinforcement")
    },
    "null hyperparameters": lambda job: job.get("hyperparameters", 0) is None,
    "no hyperparameters": lambda job: "hyperparameters" not in job,
    "estimated_finish 0": lambda job: job["estimated_finish"] == 0,
    "an empty error": lambda job: job["error"] == {},
    "an error of nulls": lambda job: job["error"] == NO_ERROR[1],
    "metadata": lambda job: bool((job.get("metadata") or {}).get("team")),
    "null metadata": lambda job: job.get("metadata", 0) is None,
    "no metadata": lambda job: "metadata" not in job,
    "wandb": lambda job: bool(job["integrations"]),
    "a suffix": lambda job: bool(job["user_provided_suffix"]),
}


# A status, a decision, and the status afterwards; None: the decision is refused.
DECISIONS = [
    *(("cancel", status, "cancelled") for status in ("validating_files", "queued", "running", "paused")),
    *(("cancel", status, None) for status in ("succeeded", "failed", "cancelled")),
    *(("pause", status, "paused") for status in ("queued", "running")),
    *(("pause", status, None) for status in ("validating_files", "paused", "succeeded", "failed", "cancelled")),
    ("resume", "paused", "queued"),
    *(("resume", status, None) for status in ("validating_files", "queued", "running", "succeeded", "cancelled")),
]

# A query and which of the jobs it lists; their metadata is in METADATA, newest first.
METADATA: list[Any] = [{"team": "ads", "run": "1"}, {"team": "ads"}, {"team": ""}, {"a b": "c&d"}, {}, None, ...]
FILTERS: list[tuple[dict[str, str], list[int]]] = [
    ({}, [0, 1, 2, 3, 4, 5, 6]),
    ({"metadata[team]": "ads"}, [0, 1]),
    ({"metadata[team]": "ads", "metadata[run]": "1"}, [0]),
    ({"metadata[team]": ""}, [2]),
    ({"metadata[a b]": "c&d"}, [3]),
    ({"metadata[team]": "law"}, []),
    ({"metadata": "null"}, [4, 5, 6]),
]

# Path, query (its first parameter is the wrong one), status.
BAD_QUERIES = [
    *(("/fine_tuning/jobs", {"limit": limit}, 400) for limit in ("0", "101", "-1", "x", "")),
    ("/fine_tuning/jobs", {"metadata": "x"}, 400),
    ("/fine_tuning/jobs", {"metadata": "null", "metadata[a]": "b"}, 400),
    ("/fine_tuning/jobs", {"after": "ftjob-gone"}, 404),
    ("/files", {"limit": "10001"}, 400),
    ("/files", {"order": "up"}, 400),
    ("/files", {"after": "file-gone"}, 404),
    ("/fine_tuning/jobs/ftjob-1/events", {"limit": "0"}, 400),
    ("/fine_tuning/jobs/ftjob-1/events", {"after": "gone"}, 404),
    ("/fine_tuning/jobs/ftjob-1/checkpoints", {"after": "gone"}, 404),
]

# Method, path, status, and a part of the error's message.
REFUSALS: list[tuple[str, str, int, dict[str, Any]]] = [
    ("GET", "/nothing", 404, {"message": "Invalid URL (GET /v1/nothing)", "param": None, "code": None}),
    ("GET", "/fine_tuning/jobs/", 404, {}),
    ("PUT", "/fine_tuning/jobs", 405, {"code": "method_not_supported"}),
    ("GET", "/fine_tuning/jobs/x/cancel", 405, {}),
    *(
        (method, f"/fine_tuning/jobs/ft-x{tail}", 404, {"message": "Could not find fine tune: ft-x"})
        for method, tail in (("GET", ""), ("GET", "/events"), ("GET", "/checkpoints"), ("POST", "/cancel"))
    ),
    ("POST", "/fine_tuning/jobs/x/pause", 404, {"param": "fine_tune_id", "code": "fine_tune_not_found"}),
    ("GET", "/files/x", 404, {"message": "No such File object: x"}),
    ("GET", "/files/x/content", 404, {}),
    ("DELETE", "/files/x", 404, {}),
    ("POST", "/files", 400, {}),
    ("GET", "/models/x", 404, {"code": "model_not_found"}),
    ("DELETE", "/models/x", 404, {}),
    ("DELETE", "/models/gpt-4o", 403, {"param": "model"}),
    ("GET", "/fine_tuning/checkpoints/ft:x/permissions", 404, {}),
    ("DELETE", "/fine_tuning/checkpoints/ft:x/permissions/cp_x", 404, {"param": "permission_id"}),
]

ERRORS: list[tuple[int, type[openai.APIStatusError]]] = [
    (400, openai.BadRequestError),
    (401, openai.AuthenticationError),
    (403, openai.PermissionDeniedError),
    (404, openai.NotFoundError),
    (409, openai.ConflictError),
    (429, openai.RateLimitError),
    (500, openai.InternalServerError),
    (503, openai.InternalServerError),
]

BAD_FILES = [
    (b'{"messages": []}\n' * 9, "invalid_n_examples", "has 9 example(s)"),
    (b'{"messages": []}\n' * 9 + b"{", "invalid_training_file", "Line 10 is not valid JSON"),
    (b'{"texts": []}\n' * 10, "invalid_training_file", "Example 1 is missing key 'messages'"),
]

# A change to the fields of an upload, and the error's param.
BAD_UPLOADS: list[tuple[dict[str, Any], str]] = [
    ({"purpose": "fun"}, "purpose"),
    ({"file": None}, "file"),
    ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "60"}, "expires_after.seconds"),
    ({"expires_after[seconds]": "3600"}, "expires_after.anchor"),
]
