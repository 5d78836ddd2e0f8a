"""A resource: what a table is made of, its model's columns and the rows that decoded objects become.

A model is a TypedDict whose fields carry a ``Column``; the rest of ftsql reads that and knows no field by name.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Required, cast, get_type_hints

from pydantic_core import ErrorDetails, ValidationError, from_json, to_json

from ftsql import interrupts
from ftsql.errors import DataError, Warning, redacted
from ftsql.resources.fields import Column, Rule

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SQLiteValue = None | int | float | str | bytes
JSONObject = dict[str, Any]


class Echoed(JSONObject):
    """An object in which a server may have given a credential back. ``shown`` is what ``raw`` has instead."""

    def __init__(self, received: JSONObject, shown: JSONObject) -> None:
        super().__init__(received)
        self.shown = shown

    def __repr__(self) -> str:
        return redacted(super().__repr__())  # for a traceback that shows its locals


class Row:
    """One object of a provider: its documented fields as the model reads them, and as it was received.

    Out of the store it comes ``bare``: with its plain fields and its text, which that resource decodes when a
    nested field is asked for. ``cells``: see cells.py; None until they are asked for.
    """

    __slots__ = ("_bare", "_raw", "_values", "cells", "id", "position", "provider")

    def __init__(
        self, provider: str, values: JSONObject, raw: JSONObject | str, *, bare: Resource | None = None
    ) -> None:
        self.provider = provider
        self._values: JSONObject | None = values
        self.id = str(values.get("id") or "")  # of what belongs to a job an API may say none: see listing.py
        self.position: int | None = None  # among what belongs to the same job, in the order of its list, oldest first
        self._raw = raw
        self._bare = bare
        self.cells: tuple[SQLiteValue, ...] | None = None

    @property
    def values(self) -> JSONObject:
        """The documented fields; of a bare row the plain ones are what they should be."""
        if self._values is None:
            assert self._bare is not None
            assert self.cells is not None
            self._values = {column.name: value for column, value in zip(self._bare.columns, self.cells, strict=True)}
        return self._values

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
        self.decode()
        return self.values.get(name)

    def decode(self) -> None:
        """Have the nested fields among the values, also of a row out of the store."""
        if self._bare is not None:
            self._values = self._bare.rows(self.provider, [self.raw])[0].values
            self._bare = None

    def compact(self, text: str, bare: Resource) -> None:
        """Let go of what its ``text`` and cells say again: many rows may have to stay for long."""
        self._raw, self._bare, self._values = text, bare, None

    @property
    def created_at(self) -> int | None:
        value: int | None = self.values.get("created_at")
        return value

    @property
    def status(self) -> str | None:
        value: str | None = self.values.get("status")
        return value

    @property
    def state(self) -> str:
        """The status for a sentence."""
        return self.status or "of no status that its server says"

    @property
    def key(self) -> str:
        return f"{self.provider}/{self.id}"


EQUAL = "="  # begins the identity of an object that the API gives no id of its own
POSITION = "position"
PROVIDER = Column("TEXT", "The name of the provider that serves it.", "provider")
RAW = Column("JSON", "The object as it was received, with fields that have no column.", "raw", True)


@dataclass(frozen=True, eq=False)
class Resource:
    """A table: the model of its rows, where they are served, and the columns that the model does not have.

    ``path`` is below the provider's jobs, or below its base_url where ``root`` is set; ``{}`` in it stands for the
    id of the ``parent``, which is the name of the column that every request needs. ``extra``: hidden columns,
    of which the first is another name for the parent's id, or else for ``id``, and what ``table('…')`` binds.
    ``lacks``: the word by which a provider says that it does not serve it. ``missing`` names it in a 404's words.
    ``deletes``, ``grants``: whether the API deletes one, and makes one out of an INSERT; ``insert``: what to say
    instead of an INSERT. ``page_size``: its largest page, the provider's unless set; 0 where it has no pages.
    ``kept``: what a finished job has of it stays in the store.
    """

    table: str
    noun: str
    model: type
    extra: tuple[Column, ...]
    path: str = ""
    root: bool = False
    parent: str = ""
    lacks: str = ""
    missing: str = r"\bjobs?\b|fine.?tun"
    page_size: int | None = None
    kept: bool = False
    deletes: bool = False
    grants: bool = False
    insert: str = ""

    @cached_property
    def documented(self) -> tuple[Column, ...]:
        """The model's columns."""
        hints = get_type_hints(self.model, include_extras=True)
        return tuple(
            Column(marker.type, marker.description, name, time=_is_time(hint))
            for name, hint in hints.items()
            for marker in _markers(hint)
        )

    @property
    def times(self) -> tuple[str, ...]:
        """The names of the columns that are Unix seconds."""
        return tuple(column.name for column in self.documented if column.time)

    @property
    def plan_name(self) -> str:
        """What a plan of it begins with."""
        return self.noun.replace(" ", "-") + "s"

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """All columns in the table's order: the model's, the parent's id, the provider, then the hidden ones."""
        known = {column.name for column in self.documented}
        parent = (
            [Column("TEXT", "What it belongs to.", self.parent)] if self.parent and self.parent not in known else []
        )
        words = "provider/parent/id" if self.parent else "provider/id"
        key = Column("TEXT", f"{words}: the key by which a row is addressed.", "key", True)
        return (*self.documented, *parent, PROVIDER, *self.extra, RAW, key)

    def key(self, row: Row) -> str:
        """What addresses a row."""
        return f"{row.provider}/{row.values[self.parent]}/{row.id}" if self.parent else row.key

    @cached_property
    def schema(self) -> str:
        """The table as SQLite is told of it."""
        columns = (
            f"{column.name} {column.type}{' HIDDEN' if column.hidden else ''}"
            f"{' PRIMARY KEY NOT NULL' if column.name == 'key' else ''}"
            for column in self.columns
        )
        return f"CREATE TABLE {self.table}({', '.join(columns)}) WITHOUT ROWID"

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        with interrupts.keep_keyboard_interrupt():
            from ftsql.resources.validation import (
                adapter,  # with the better part of pydantic: only where there is something to read
            )

            return adapter(self.model)

    def prepare(self) -> None:
        """Get ready to read rows, while a request is under way: the first time it takes a while."""
        self._adapter  # noqa: B018 - which is made when it is first looked at

    def rows(
        self, provider: str, objects: Sequence[object], parent: str = "", tell: Callable[[str], None] | None = None
    ) -> list[Row]:
        """The rows of a decoded list of objects. Raises DataError for what is no object, or has no id.

        What is odd besides does not hide the rest: an optional value that does not fit its column is NULL. ``tell``
        gets a sentence about each such value, and about a credential that the server gave back; without it they are
        Warnings.
        """
        tell = tell or _warn
        values, odd = self._read(objects)
        if values is None:
            complaint = f"{provider}: {odd[0]}"
            objects = ()  # a traceback may show its locals, and these may hold a credential
            raise DataError(complaint)
        for text in odd:
            tell(f"{provider}: {text}")
        if any(isinstance(each, Echoed) and each.shown != each for each in objects):
            tell(f"{provider}: a {self.noun} holds a credential of the account, and raw has *** there instead")
        for value in values if self.parent else ():
            value[self.parent] = parent
        return [
            Row(provider, value, raw.shown if isinstance(raw, Echoed) else raw)
            for value, raw in zip(values, objects, strict=True)
            if isinstance(raw, dict)
        ]

    def one(self, provider: str, body: object, id: str, tell: Callable[[str], None] | None = None) -> Row:
        """The row of an object that was asked for by its id. Raises DataError as ``rows`` does, and for another one."""
        row = self.rows(provider, [body], "", tell)[0]
        if row.id != id:
            raise DataError(
                f"{provider}: asked for the {self.noun} {id[:80]!r} it answered with another one, {row.id[:80]!r}. "
                "Look at the server behind this provider's base_url"
            )
        return row

    def _read(self, objects: Sequence[object]) -> tuple[list[JSONObject] | None, list[str]]:
        """The fields of each object, and what is odd about some, in words; no fields where one cannot be read."""
        odd: list[str] = []
        left = list(objects)
        while True:
            try:
                return self._adapter.validate_python(left), odd
            except ValidationError as error:
                errors = {each["loc"][:2]: each for each in error.errors(include_url=False)}  # of a union the last
            for place, each in errors.items():
                if len(place) < 2 or (place[1] == "id" and not self.kept):
                    return None, [self._complaint(objects, each)]
                index, field = int(place[0]), str(place[1])
                read = left[index]
                assert isinstance(read, dict)
                left[index] = {name: value for name, value in read.items() if name != field}
                name = next((read[word] for word in ("id", "name") if isinstance(read.get(word), str)), index + 1)
                value = redacted(f"{read[field]!r:.60}")
                odd.append(
                    f"{field} of the {self.noun} {name!r:.80} is {value}, which does not fit the column: "
                    "it is NULL here, and raw has it as it was sent"
                )

    def _complaint(self, objects: Sequence[object], error: ErrorDetails) -> str:
        place = error["loc"]
        index = int(place[0])
        culprit = objects[index]
        name = culprit.get("id") if isinstance(culprit, dict) else None
        field = str(place[1]) if len(place) > 1 else "the object"
        message = error["msg"].removeprefix("Value error, ")[:120]
        if error["type"] == "string_pattern_mismatch":
            message = "should have all its characters"  # one of them is only half there
        return (
            f"sent a {self.noun} that does not follow the API's schema "
            f"({'id ' + repr(name)[:80] if name else f'number {index + 1} of the answer, without an id'}): "
            f"{field}: {message}, got {repr(error['input'])[:80]}. "
            f"Look at the server behind this provider's base_url, or leave it out with FTSQL_PROVIDERS"
        )


def _warn(text: str) -> None:
    warnings.warn(text, Warning, stacklevel=2)


def _markers(hint: Any) -> list[Column]:
    if getattr(hint, "__origin__", None) is Required:
        hint = hint.__args__[0]
    return [marker for marker in getattr(hint, "__metadata__", ()) if isinstance(marker, Column)]


def _is_time(hint: Any) -> bool:
    return any(isinstance(marker, Rule) and marker.is_time for marker in getattr(hint, "__metadata__", ()))


def json_text(value: object) -> SQLiteValue:
    """A JSON column's SQL value: objects, arrays and texts as JSON text, numbers as they are, null as NULL."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    return to_json(value, inf_nan_mode="null").decode()
