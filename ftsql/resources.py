"""What the APIs serve: each resource's model, its columns and its paths.

A table is a TypedDict whose fields carry a ``Column`` and one ``Resource(...)``; the rest of ftsql
reads both and knows no field by name. Types and descriptions: OpenAI's OpenAPI file, 2026-08-21.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, Required, cast, get_type_hints

from pydantic import (
    AliasChoices,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    with_config,
)
from pydantic_core import from_json, to_json
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from ftsql.errors import DataError

SQLiteValue = None | int | float | str | bytes
JSONObject = dict[str, Any]

# A status is an open set; these end a job at any provider (api-facts: OpenAI, Azure, Together, Mistral, LocalAI).
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
    """Whether a job of this status never changes again. The one place that decides it."""
    return status is not None and status.lower() in FINISHED


def _seconds(value: object) -> object:
    """Unix seconds from seconds, milliseconds (above 1e11) or ISO 8601; 0 and NaN mean unset."""
    if value is None or value == 0 or value == "" or value != value:
        return None
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            moment = datetime.datetime.fromisoformat(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=datetime.UTC)
            return int(moment.timestamp())
        return _seconds(number)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("should be Unix seconds or an ISO 8601 time")
    if abs(value) > 1e17:
        raise ValueError("is no time: out of range")
    return int(value / 1000) if abs(value) > 1e11 else int(value)


def _error(value: object) -> object:
    """``{}`` and ``{code: null, message: null}`` are how APIs say that there was no error."""
    if isinstance(value, dict) and all(member is None for member in value.values()):
        return None
    return None if value == "" else value


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its declared SQL type, what it means, and whether ``SELECT *`` shows it."""

    type: Literal["TEXT", "INTEGER", "JSON"]
    description: str
    name: str = ""
    hidden: bool = False


Time = Annotated[int | None, BeforeValidator(_seconds)]
Integer = Annotated[int | None, Field(ge=-(2**63), le=2**63 - 1)]
Text = str | None


@with_config(ConfigDict(coerce_numbers_to_str=True, extra="ignore"))
class FineTuningJob(TypedDict, total=False):
    id: Required[
        Annotated[
            str,
            Field(min_length=1),
            Column("TEXT", "The object identifier, which can be referenced in the API endpoints."),
        ]
    ]
    created_at: Annotated[Time, Column("INTEGER", "When the job was created, in Unix seconds.")]
    error: Annotated[
        Any,
        BeforeValidator(_error),
        Column("JSON", "For jobs that failed, the cause: code, message and param. NULL where there was no error."),
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
        Field(validation_alias=AliasChoices("finished_at", "completed_at")),  # Fireworks' name, through Portkey
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
    suffix: Annotated[Text, Field(validation_alias=AliasChoices("suffix", "user_provided_suffix"))]


class Row:
    """One object of a provider: its documented fields as the model reads them, and as it was received.

    Out of the store it comes ``bare``: with its plain fields and its text, which is decoded when a nested
    field is asked for.
    """

    __slots__ = ("_bare", "_raw", "provider", "values")

    def __init__(self, provider: str, values: JSONObject, raw: JSONObject | str, *, bare: bool = False) -> None:
        self.provider = provider
        self.values = values
        self._raw = raw
        self._bare = bare

    @property
    def raw(self) -> JSONObject:
        """The object as it was received."""
        if isinstance(self._raw, str):
            self._raw = from_json(self._raw)
        return cast("JSONObject", self._raw)

    @property
    def text(self) -> str:
        """The object as it was received, as JSON text. Raises ValueError where JSON cannot say it."""
        return self._raw if isinstance(self._raw, str) else to_json(self._raw, inf_nan_mode="null").decode()

    def nested(self, name: str) -> Any:
        """A field that is an object or array, decoded."""
        if self._bare:
            self.values = JOBS.rows(self.provider, [self.raw])[0].values
            self._bare = False
        return self.values.get(name)

    @property
    def id(self) -> str:
        return str(self.values["id"])

    @property
    def created_at(self) -> int | None:
        value: int | None = self.values.get("created_at")
        return value

    @property
    def status(self) -> str | None:
        value: str | None = self.values.get("status")
        return value

    @property
    def key(self) -> str:
        return f"{self.provider}/{self.id}"


@dataclass(frozen=True)
class Resource:
    """A table: the model of its rows and the columns that do not come from the model."""

    table: str
    noun: str
    model: type
    extra: tuple[Column, ...]

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """All columns in the table's order: the model's, then ``extra``."""
        hints = get_type_hints(self.model, include_extras=True)
        documented = (
            Column(marker.type, marker.description, name) for name, hint in hints.items() for marker in _markers(hint)
        )
        return (*documented, *self.extra)

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        model: Any = self.model
        return TypeAdapter(list[model])

    def rows(self, provider: str, objects: Sequence[object]) -> list[Row]:
        """The rows of a decoded list of objects. Raises DataError naming provider, object and field."""
        try:
            values = self._adapter.validate_python(objects)
        except ValidationError as error:
            raise DataError(self._complaint(provider, objects, error)) from None
        return [Row(provider, value, raw) for value, raw in zip(values, objects, strict=True) if isinstance(raw, dict)]

    def _complaint(self, provider: str, objects: Sequence[object], error: ValidationError) -> str:
        first = error.errors(include_url=False)[0]
        index = first["loc"][0] if first["loc"] and isinstance(first["loc"][0], int) else 0
        culprit = objects[index]
        name = culprit.get("id") if isinstance(culprit, dict) else None
        field = ".".join(str(part) for part in first["loc"][1:]) or "the object"
        message = first["msg"].removeprefix("Value error, ")[:120]
        return (
            f"{provider}: sent a {self.noun} that does not follow the API's schema "
            f"({'id ' + repr(name)[:80] if name else f'number {index + 1} of the answer, without an id'}): "
            f"{field}: {message}, got {repr(first['input'])[:80]}. "
            f"Look at the server behind this provider's base_url, or leave it out with FTSQL_PROVIDERS"
        )


def _markers(hint: Any) -> list[Column]:
    if getattr(hint, "__origin__", None) is Required:
        hint = hint.__args__[0]
    return [marker for marker in getattr(hint, "__metadata__", ()) if isinstance(marker, Column)]


def json_text(value: object) -> SQLiteValue:
    """A JSON column's SQL value: objects, arrays and texts as JSON text, numbers as they are, null as NULL."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    return to_json(value, inf_nan_mode="null").decode()


FTSQL_KEY = "ftsql_key"  # our fingerprint in a job's metadata: never shown in the metadata column

JOBS = Resource(
    table="fine_tuning_jobs",
    noun="fine-tuning job",
    model=FineTuningJob,
    extra=(
        Column("TEXT", "The name of the provider that serves the job.", "provider"),
        Column(
            "TEXT",
            "The same as id, by the name that the API's paths and StackQL use.",
            "fine_tuning_job_id",
            True,
        ),
        Column(
            "TEXT",
            "For INSERT: a text added to the fine-tuned model's name. Shown where the API returns it.",
            "suffix",
            True,
        ),
        Column(
            "JSON",
            "For INSERT: fields merged into the request, for what one provider takes and no other.",
            "extra_body",
            True,
        ),
        Column("JSON", "The object as it was received, with fields that have no column.", "raw", True),
        Column("TEXT", "provider/id: the key by which UPDATE addresses a row.", "key", True),
    ),
)
