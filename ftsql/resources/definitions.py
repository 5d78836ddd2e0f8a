"""The definitions of all resources: their models, paths and columns.

A new table is a model and one ``Resource(...)``. Types and descriptions are from OpenAI's OpenAPI file of 2026-08-21.
"""

from __future__ import annotations

from typing import Annotated, Any, Required, TypedDict

from ftsql.resources.fields import Column, Id, Integer, Metric, Rule, Text, Time, Whole
from ftsql.resources.resource import POSITION, Resource

# The statuses with which a job has ended, at any provider (OpenAI, Azure, Together, Mistral, LocalAI). Providers may
# have other statuses too.
FINISHED = frozenset(
    [
        "succeeded",
        "failed",
        "cancelled",
        "canceled",
        "completed",
        "error",
        "success",
        "failed_validation",
        "stopped",
        "user_error",
    ]
)


def is_finished(status: str | None) -> bool:
    """Whether a job with this status never changes again. No other code decides this.

    >>> is_finished("succeeded"), is_finished("running"), is_finished(None)
    (True, False, False)
    """
    return status is not None and status.lower() in FINISHED


def _error(value: object) -> object:
    """Return None for values such as ``{}`` and ``{code: null, message: null}``, which mean that there was no error."""
    if isinstance(value, dict) and all(member is None for member in value.values()):
        return None
    return None if value == "" else value


class FineTuningJob(TypedDict, total=False):
    id: Required[
        Annotated[
            Id,
            Column("TEXT", "The object identifier, which can be referenced in the API endpoints."),
        ]
    ]
    created_at: Annotated[Time, Column("INTEGER", "When the job was created, in Unix seconds.")]
    error: Annotated[
        Any,
        Rule(before=_error),
        Column("JSON", "For jobs that failed, the cause: code, message and param. NULL if there was no error."),
    ]
    estimated_finish: Annotated[
        Time,
        Column("INTEGER", "When the job is estimated to finish, in Unix seconds; NULL when it is not running."),
    ]
    fine_tuned_model: Annotated[
        Text,
        Column("TEXT", "The name of the fine-tuned model that is being created; NULL while the job runs."),
    ]
    finished_at: Annotated[
        Time,
        Rule(names=("finished_at", "completed_at")),  # Fireworks' name, through Portkey
        Column("INTEGER", "When the job finished, in Unix seconds; NULL while it runs."),
    ]
    hyperparameters: Annotated[
        Any,
        Column(
            "JSON",
            "The hyperparameters used: batch_size, learning_rate_multiplier, n_epochs. Only returned for supervised jobs.",
        ),
    ]
    integrations: Annotated[Any, Column("JSON", "Integrations enabled for the job, such as Weights and Biases.")]
    metadata: Annotated[Any, Column("JSON", "Up to 16 key-value pairs that were attached to the job.")]
    method: Annotated[
        Any, Column("JSON", "The method used: type is supervised, dpo or reinforcement, with its settings.")
    ]
    model: Annotated[Text, Column("TEXT", "The base model that is being fine-tuned.")]
    object: Annotated[Text, Column("TEXT", "The object type, which is always fine_tuning.job.")]
    organization_id: Annotated[Text, Column("TEXT", "The organization that owns the job.")]
    result_files: Annotated[Any, Column("JSON", "The ids of the compiled result files of the job.")]
    seed: Annotated[Integer, Column("INTEGER", "The seed used for the job.")]
    status: Annotated[
        Text,
        Column(
            "TEXT",
            "The current status: validating_files, queued, running, succeeded, failed, cancelled, paused, or a provider's own.",
        ),
    ]
    trained_tokens: Annotated[
        Integer, Column("INTEGER", "The total number of billable tokens processed; NULL while the job runs.")
    ]
    training_file: Annotated[Text, Column("TEXT", "The id of the file used for training.")]
    validation_file: Annotated[Text, Column("TEXT", "The id of the file used for validation.")]
    suffix: Annotated[Text, Rule(names=("suffix", "user_provided_suffix"))]


FTSQL_KEY = "ftsql_key"  # the key of ftsql's fingerprint in a job's metadata; the metadata column never shows it

JOBS = Resource(
    table="fine_tuning_jobs",
    noun="fine-tuning job",
    model=FineTuningJob,
    extra=(
        Column(
            "TEXT",
            "The same as id, by the name that the API's paths and StackQL use.",
            "fine_tuning_job_id",
            True,
        ),
        Column(
            "TEXT",
            "For INSERT: a string added to the fine-tuned model's name. Shown if the API returns it.",
            "suffix",
            True,
        ),
        Column(
            "JSON",
            "For INSERT: fields merged into the request, for what one provider takes and no other.",
            "extra_body",
            True,
        ),
    ),
)

POSITION_COLUMN = Column(
    "INTEGER",
    "The position among the rows of the same job, in the order of the API's list: 0 is the oldest.",
    POSITION,
    True,
)
JOB_ID = Column(
    "TEXT", "The same as fine_tuning_job_id; an array of ids asks for several jobs at once.", "job_id", True
)


class Event(TypedDict, total=False):
    id: Annotated[Text, Column("TEXT", "The object identifier.")]
    created_at: Annotated[Time, Column("INTEGER", "When the event was created, in Unix seconds.")]
    level: Annotated[Text, Column("TEXT", "The log level: info, warn or error.")]
    message: Annotated[Text, Column("TEXT", "The message of the event.")]
    type: Annotated[Text, Column("TEXT", "The type of event: message or metrics.")]
    data: Annotated[Any, Column("JSON", "The data associated with the event, such as the metrics of a step.")]
    object: Annotated[Text, Column("TEXT", "The object type, which is always fine_tuning.job.event.")]


EVENTS = Resource(
    table="fine_tuning_job_events",
    noun="event",
    model=Event,
    path="/{}/events",
    parent="fine_tuning_job_id",
    extra=(JOB_ID, POSITION_COLUMN),
    served_as="events",
    kept=True,
)


class Checkpoint(TypedDict, total=False):
    id: Annotated[Text, Column("TEXT", "The checkpoint identifier.")]
    created_at: Annotated[Time, Column("INTEGER", "When the checkpoint was created, in Unix seconds.")]
    fine_tuned_model_checkpoint: Annotated[
        Text, Column("TEXT", "The name of the fine-tuned checkpoint model that is created.")
    ]
    step_number: Annotated[Integer, Column("INTEGER", "The step number that the checkpoint was created at.")]
    metrics: Annotated[Any, Column("JSON", "Metrics at the step number during the fine-tuning job.")]
    fine_tuning_job_id: Annotated[
        Text, Column("TEXT", "The name of the fine-tuning job that this checkpoint was created from.")
    ]
    object: Annotated[Text, Column("TEXT", "The object type, which is always fine_tuning.job.checkpoint.")]


CHECKPOINTS = Resource(
    table="fine_tuning_job_checkpoints",
    noun="checkpoint",
    model=Checkpoint,
    path="/{}/checkpoints",
    parent="fine_tuning_job_id",
    extra=(JOB_ID, POSITION_COLUMN),
    served_as="checkpoints",
    kept=True,
)


class Permission(TypedDict, total=False):
    id: Required[Annotated[Id, Column("TEXT", "The permission identifier.")]]
    created_at: Annotated[Time, Column("INTEGER", "When the permission was created, in Unix seconds.")]
    project_id: Annotated[Text, Column("TEXT", "The project identifier that the permission is for.")]
    object: Annotated[Text, Column("TEXT", "The object type, which is always checkpoint.permission.")]


PERMISSIONS = Resource(
    table="fine_tuning_checkpoint_permissions",
    noun="checkpoint permission",
    model=Permission,
    path="/fine_tuning/checkpoints/{}/permissions",
    root=True,
    parent="fine_tuned_model_checkpoint",
    extra=(Column("TEXT", "The same as fine_tuned_model_checkpoint.", "checkpoint", True),),
    served_as="permissions",
    missing=r"\b(checkpoint|permission|model)s?\b",
    deletes=True,
    grants=True,
)


class File(TypedDict, total=False):
    id: Required[Annotated[Id, Column("TEXT", "The file identifier.")]]
    created_at: Annotated[Time, Column("INTEGER", "When the file was created, in Unix seconds.")]
    bytes: Annotated[Integer, Column("INTEGER", "The size of the file, in bytes.")]
    filename: Annotated[Text, Column("TEXT", "The name of the file.")]
    purpose: Annotated[Text, Column("TEXT", "The intended purpose: fine-tune, fine-tune-results, batch, and others.")]
    status: Annotated[Text, Column("TEXT", "The current status: uploaded, processed or error. Deprecated by OpenAI.")]
    status_details: Annotated[Text, Column("TEXT", "Why a training file failed validation. Deprecated by OpenAI.")]
    expires_at: Annotated[Time, Column("INTEGER", "When the file will expire, in Unix seconds.")]
    object: Annotated[Text, Column("TEXT", "The object type, which is always file.")]


FILES = Resource(
    table="files",
    noun="file",
    model=File,
    path="/files",
    root=True,
    extra=(Column("TEXT", "The same as id.", "file_id", True),),
    served_as="files",
    missing=r"\bfiles?\b",
    page_size=10_000,
    deletes=True,
    insert="a file is uploaded: SELECT upload_file('train.jsonl')",
)


class Model(TypedDict, total=False):
    id: Required[Annotated[Id, Column("TEXT", "The model identifier.")]]
    created: Annotated[Time, Column("INTEGER", "When the model was created, in Unix seconds.")]
    owned_by: Annotated[Text, Column("TEXT", "The organization that owns the model.")]
    shutdown_date: Annotated[Text, Column("TEXT", "The day on which the model is shut down, if it is known.")]
    object: Annotated[Text, Column("TEXT", "The object type, which is always model.")]


MODELS = Resource(
    table="models",
    noun="model",
    model=Model,
    path="/models",
    root=True,
    extra=(Column("TEXT", "The same as id.", "model", True),),
    served_as="models",
    missing=r"\bmodels?\b",
    page_size=0,
    deletes=True,
    insert="a model is made by a job: INSERT INTO fine_tuning_jobs (model, training_file) …",
)


class Result(TypedDict, total=False):
    id: Required[str]
    fine_tuning_job_id: Annotated[Text, Column("TEXT", "The job to whose result file the line belongs.")]
    file_id: Annotated[Text, Column("TEXT", "The result file.")]
    step: Annotated[Whole, Column("INTEGER", "The training step.")]
    train_loss: Annotated[Metric, Column("REAL", "The loss on the training batch.")]
    train_accuracy: Annotated[Metric, Column("REAL", "The accuracy on the training batch.")]
    valid_loss: Annotated[Metric, Column("REAL", "The loss on the validation batch.")]
    valid_mean_token_accuracy: Annotated[
        Metric,
        Rule(names=("valid_mean_token_accuracy", "validation_mean_token_accuracy")),  # Azure
        Column("REAL", "The share of validation tokens that the model predicted."),
    ]
    train_mean_token_accuracy: Annotated[
        Metric, Column("REAL", "The share of training tokens that the model predicted.")
    ]
    full_valid_loss: Annotated[Metric, Column("REAL", "The loss on the whole validation file, at an epoch's end.")]
    full_valid_mean_token_accuracy: Annotated[
        Metric, Column("REAL", "The accuracy on the whole validation file, at an epoch's end.")
    ]


RESULTS = Resource(
    table="fine_tuning_results",
    noun="result",
    model=Result,
    parent="fine_tuning_job_id",
    extra=(JOB_ID, POSITION_COLUMN),
    served_as="files",
    kept=True,
)

OTHERS = (EVENTS, CHECKPOINTS, RESULTS, PERMISSIONS, FILES, MODELS)
TABLES = {resource.table: resource for resource in (JOBS, *OTHERS)}
