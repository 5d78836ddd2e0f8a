"""The request bodies of OpenAI's API, as rules for ``checks``.

The source is CreateFineTuningJobRequest, with the schemas that it refers to, in OpenAI's OpenAPI file of 2026-08-21.
"""

from __future__ import annotations

from ftsql.sandbox.faces.checks import Rule

TEXT: Rule = {"type": "string"}
OPTIONAL_TEXT: Rule = {"type": "string", "nullable": True}
ANYTHING_IN: Rule = {"type": "object", "extra": True}

HYPERPARAMETERS: dict[str, Rule] = {
    "batch_size": {"type": "integer", "auto": True, "minimum": 1, "maximum": 256},
    "learning_rate_multiplier": {"type": "number", "auto": True, "above": 0},
    "n_epochs": {"type": "integer", "auto": True, "minimum": 1, "maximum": 50},
}
DPO_HYPERPARAMETERS: dict[str, Rule] = {
    **HYPERPARAMETERS,
    "beta": {"type": "number", "auto": True, "above": 0, "maximum": 2},
}
REINFORCEMENT_HYPERPARAMETERS: dict[str, Rule] = {
    **HYPERPARAMETERS,
    "reasoning_effort": {"type": "string", "enum": ("default", "low", "medium", "high")},
    "compute_multiplier": {"type": "number", "auto": True, "above": 0.00001, "maximum": 10},
    "eval_interval": {"type": "integer", "auto": True, "minimum": 1},
    "eval_samples": {"type": "integer", "auto": True, "minimum": 1},
}
SIMILARITY = (
    *("cosine", "fuzzy_match", "bleu", "gleu", "meteor"),
    *("rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l"),
)


def _grader(required: tuple[str, ...], **properties: Rule) -> Rule:
    return {"type": "object", "extra": True, "required": ("type", "name", *required), "properties": properties}


GRADERS: dict[str, Rule] = {
    "string_check": _grader(
        ("input", "reference", "operation"),
        name=TEXT,
        input=TEXT,
        reference=TEXT,
        operation={"type": "string", "enum": ("eq", "ne", "like", "ilike")},
    ),
    "text_similarity": _grader(
        ("input", "reference", "evaluation_metric"),
        name=TEXT,
        input=TEXT,
        reference=TEXT,
        evaluation_metric={"type": "string", "enum": SIMILARITY},
    ),
    "python": _grader(("source",), name=TEXT, source=TEXT, image_tag=TEXT),
    "score_model": _grader(
        ("model", "input"),
        name=TEXT,
        model=TEXT,
        input={"type": "array", "items": ANYTHING_IN},
        sampling_params=ANYTHING_IN,
        range={"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}},
    ),
    "multi": _grader(("graders", "calculate_output"), name=TEXT, calculate_output=TEXT),
}


def _object(properties: dict[str, Rule], required: tuple[str, ...] = (), *, nullable: bool = False) -> Rule:
    return {"type": "object", "properties": properties, "required": required, "nullable": nullable}


def _tuned(hyperparameters: dict[str, Rule]) -> Rule:
    return _object({"hyperparameters": _object(hyperparameters)})


METHOD: Rule = _object(
    {
        "type": {"type": "string", "enum": ("supervised", "dpo", "reinforcement")},
        "supervised": _tuned(HYPERPARAMETERS),
        "dpo": _tuned(DPO_HYPERPARAMETERS),
        "reinforcement": _object(
            {
                "grader": {"type": "object", "variants": GRADERS},
                "hyperparameters": _object(REINFORCEMENT_HYPERPARAMETERS),
                "response_format": ANYTHING_IN,  # in OpenAI's example, but not in its schema
            },
            ("grader",),
        ),
    },
    ("type",),
)
WANDB: Rule = _object(
    {
        "project": TEXT,
        "name": OPTIONAL_TEXT,
        "entity": OPTIONAL_TEXT,
        "tags": {"type": "array", "items": TEXT},
    },
    ("project",),
)
CREATE_JOB: Rule = _object(
    {
        "model": TEXT,
        "training_file": TEXT,
        "validation_file": OPTIONAL_TEXT,
        "suffix": {"type": "string", "nullable": True, "minLength": 1, "maxLength": 64},
        "seed": {"type": "integer", "nullable": True, "minimum": 0, "maximum": 2147483647},
        "hyperparameters": _object(HYPERPARAMETERS, nullable=True),
        "method": {**METHOD, "nullable": True},
        "metadata": {
            "type": "object",
            "nullable": True,
            "maxProperties": 16,
            "maxKey": 64,
            "values": {"type": "string", "maxLength": 512},
        },
        "integrations": {
            "type": "array",
            "nullable": True,
            "maxItems": 5,
            "items": _object({"type": {"type": "string", "enum": ("wandb",)}, "wandb": WANDB}, ("type", "wandb")),
        },
    },
    ("model", "training_file"),
)
CREATE_PERMISSION: Rule = _object({"project_ids": {"type": "array", "items": TEXT}}, ("project_ids",))
PURPOSES = ("fine-tune", "assistants", "batch", "user_data", "vision", "evals")
EXPIRES_SECONDS: Rule = {"type": "integer", "minimum": 3600, "maximum": 2592000}
