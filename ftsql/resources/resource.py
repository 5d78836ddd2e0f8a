"""Resources, which define the tables, and rows, which are made from decoded objects.

A model is a TypedDict whose fields carry a ``Column``. The columns of a table are made from its model.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
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
    """An object in which a server may have echoed a credential.

    ``shown`` is the redacted form of the object, for the column ``raw``.
    """

    def __init__(self, received: JSONObject, shown: JSONObject) -> None:
        super().__init__(received)
        self.shown = shown

    def __repr__(self) -> str:
        return redacted(super().__repr__())  # a traceback may show local variables


class Row:
    """One object of a provider: its documented fields, which were validated, and the object as it was received.

    id: The object's id. If the object belongs to a job, the id may be empty; the listing then makes an id.
    received_id: The id that the API gave the object, or "".
    position: For an object that belongs to a job, its position in the job's list, from 0 for the oldest.
    cells: The SQLite values of all columns (see cells.py), or None until they are needed.

    A row from the store has only the fields that are not nested, and the object as JSON text. The resource ``bare``
    decodes that text when a nested field is needed.
    """

    __slots__ = (
        "_bare",
        "_raw",
        "_values",
        "cells",
        "created_at",
        "id",
        "position",
        "provider",
        "received_id",
        "status",
    )

    def __init__(
        self, provider: str, values: JSONObject, raw: JSONObject | str, *, bare: Resource | None = None
    ) -> None:
        self.provider = provider
        self._values: JSONObject | None = values
        self.id = self.received_id = str(values.get("id") or "")
        self.created_at: int | None = values.get("created_at")
        self.status: str | None = values.get("status")
        self.position: int | None = None
        self._raw = raw
        self._bare = bare
        self.cells: tuple[SQLiteValue, ...] | None = None

    @classmethod
    def of_cells(cls, provider: str, cells: tuple[SQLiteValue, ...], text: str, bare: Resource) -> Row:
        """Return the row of an object.

        ``text`` is the object as JSON, and ``cells`` has a value for each column of the resource ``bare``.
        """
        row = cls.__new__(cls)
        row.provider, row.cells, row._raw, row._bare = provider, cells, text, bare
        row._values = row.position = None
        row.id, row.created_at, row.status = bare.identity(cells)
        row.received_id = row.id
        return row

    @property
    def values(self) -> JSONObject:
        """The documented fields. If the row is from the store, its nested fields are valid only after ``decode``."""
        values = self._values  # read once, because another thread may free the values meanwhile
        if values is not None:
            return values
        assert self._bare is not None
        assert self.cells is not None
        return {column.name: value for column, value in zip(self._bare.columns, self.cells, strict=True)}

    @property
    def raw(self) -> JSONObject:
        """The object as it was received."""
        if isinstance(self._raw, str):
            self._raw = from_json(self._raw)
        return cast("JSONObject", self._raw)

    @property
    def text(self) -> str:
        """The object as it was received, as JSON text. Raises ValueError if JSON cannot express the object."""
        return self._raw if isinstance(self._raw, str) else to_json(self._raw, inf_nan_mode="null").decode()

    def nested(self, name: str) -> Any:
        """Return the decoded value of a field that is an object or array."""
        self.decode()
        return self.values.get(name)

    def decode(self) -> None:
        """Decode the JSON text of a row from the store, so that its nested fields become valid."""
        if self._bare is not None:
            self._values = self._bare.rows(self.provider, [self.raw])[0].values
            self._bare = None

    @property
    def is_compact(self) -> bool:
        """Whether the row has its cells and its text, and nothing else that takes memory."""
        return self._values is None

    def compact(self, text: str, bare: Resource) -> None:
        """Free the decoded object to save memory, because ``text`` and the cells hold the same data."""
        self._raw, self._bare, self._values = text, bare, None

    @property
    def state(self) -> str:
        """The status, in words that fit into a sentence."""
        return self.status or "of unknown status"

    @property
    def key(self) -> str:
        return f"{self.provider}/{self.id}"


EQUAL = "="  # the first character of an id that ftsql makes for an object without an id
POSITION = "position"
PROVIDER = Column("TEXT", "The name of the provider that serves it.", "provider")
RAW = Column("JSON", "The object as it was received, with fields that have no column.", "raw", True)


@dataclass(frozen=True, eq=False)
class Resource:
    """A table: the model of its rows, the path at which they are served, and its columns.

    table: The table's name.
    noun: The word for one object in messages.
    model: A TypedDict whose fields are the documented columns.
    extra: Hidden columns that the model does not have. The first column is another name for the parent's id, or for
        ``id`` if there is no parent. The argument in ``table('…')`` is the value of the first column.
    path: The path below the URL of the provider's jobs, or below its base_url if ``root`` is set. ``{}`` stands for the
        parent's id.
    parent: The name of the column with the parent's id, which every request needs; "" if there is no parent.
    served_as: The name of the resource in ``Provider.without``, the set of operations that a provider lacks.
    missing: A regular expression for the resource's name in the message of a 404.
    page_size: The size of the list's largest page. None means the provider's page size, and 0 a list without pages.
    kept: Whether the store keeps the objects of a finished job.
    deletes: Whether the API can delete an object.
    grants: Whether an INSERT creates an object.
    insert: The message that says what to do instead of an INSERT.
    """

    table: str
    noun: str
    model: type
    extra: tuple[Column, ...]
    path: str = ""
    root: bool = False
    parent: str = ""
    served_as: str = ""
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
        """The first word of a plan that reads this table."""
        return self.noun.replace(" ", "-") + "s"

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """All columns in the table's order: the model's, the parent's id, the provider, then the hidden ones."""
        known = {column.name for column in self.documented}
        parent = (
            [Column("TEXT", "The id of the object to which the row belongs.", self.parent)]
            if self.parent and self.parent not in known
            else []
        )
        words = "provider/parent/id" if self.parent else "provider/id"
        key = Column("TEXT", f"{words}: the key by which a row is addressed.", "key", True)
        return (*self.documented, *parent, PROVIDER, *self.extra, RAW, key)

    @cached_property
    def identity(self) -> Callable[[Sequence[SQLiteValue]], tuple[Any, Any, Any]]:
        """A function that takes the values of all columns, and returns the id, created_at and status."""
        names = [column.name for column in self.columns]
        return itemgetter(*map(names.index, ("id", "created_at", "status")))

    def key(self, row: Row) -> str:
        """Return the value of the column ``key`` for ``row``."""
        return f"{row.provider}/{row.values[self.parent]}/{row.id}" if self.parent else row.key

    @cached_property
    def schema(self) -> str:
        """The CREATE TABLE statement that declares the virtual table to SQLite."""
        columns = (
            f"{column.name} {column.type}{' HIDDEN' if column.hidden else ''}"
            f"{' PRIMARY KEY NOT NULL' if column.name == 'key' else ''}"
            for column in self.columns
        )
        return f"CREATE TABLE {self.table}({', '.join(columns)}) WITHOUT ROWID"

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        with interrupts.keep_keyboard_interrupt():
            from ftsql.resources.validation import adapter  # imports most of pydantic, so only when rows are read

            return adapter(self.model)

    def prepare(self) -> None:
        """Build the validator. Call this while a request is under way, because the first call takes a while."""
        self._adapter  # noqa: B018 - the property builds it

    def rows(
        self,
        provider: str,
        objects: Sequence[object],
        parent: str = "",
        tell: Callable[[str], None] | None = None,
    ) -> list[Row]:
        """Return the rows of a decoded list of objects. If the quick reader has made the rows, return them as they are.

        An optional value that does not fit its column becomes NULL. ``tell`` is called with a sentence about each such
        value, and about a credential that the server echoed. If ``tell`` is None, the sentences become Warnings.
        Raises DataError for an element that is not an object or has no id.
        """
        if objects and isinstance(objects[0], Row):  # the quick reader has made the rows
            return cast("list[Row]", list(objects))
        tell = tell or _warn
        values, complaints = self._validate(objects)
        if values is None:
            complaint = f"{provider}: {complaints[0]}"
            objects = ()  # a traceback may show local variables, and the objects may contain a credential
            raise DataError(complaint)
        for text in complaints:
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
        """Return the row of the object with ``id``. Raises DataError if ``body`` is invalid, or is another object."""
        row = self.rows(provider, [body], "", tell)[0]
        if row.id != id:
            raise DataError(
                f"{provider}: asked for the {self.noun} {id[:80]!r} it answered with another one, {row.id[:80]!r}. "
                "Look at the server behind this provider's base_url"
            )
        return row

    def _validate(self, objects: Sequence[object]) -> tuple[list[JSONObject] | None, list[str]]:
        """Return the fields of each object, and a complaint about each value that does not fit.

        If an object cannot be read at all, return None and the complaint about that object.
        """
        complaints: list[str] = []
        remaining = list(objects)
        while True:
            try:
                return self._adapter.validate_python(remaining), complaints
            except ValidationError as error:
                # A union reports one error for each of its types. Only the last of these errors is kept.
                errors = {each["loc"][:2]: each for each in error.errors(include_url=False)}
            for place, each in errors.items():
                if len(place) < 2 or (place[1] == "id" and not self.kept):
                    return None, [self._complaint(objects, each)]
                index, field = int(place[0]), str(place[1])
                received = remaining[index]
                assert isinstance(received, dict)
                remaining[index] = {name: value for name, value in received.items() if name != field}
                complaints.append(self._complaint_about(field, received, index))

    def _complaint_about(self, field: str, received: JSONObject, index: int) -> str:
        """Return the message for a value that does not fit its column."""
        name = next((received[word] for word in ("id", "name") if isinstance(received.get(word), str)), index + 1)
        value = redacted(f"{received[field]!r:.60}")
        return (
            f"{field} of the {self.noun} {name!r:.80} is {value}, which does not fit the column: "
            "it is NULL here, and raw has it as it was sent"
        )

    def _complaint(self, objects: Sequence[object], error: ErrorDetails) -> str:
        """Return the message for an object that cannot be read."""
        place = error["loc"]
        index = int(place[0])
        invalid = objects[index]
        name = invalid.get("id") if isinstance(invalid, dict) else None
        field = str(place[1]) if len(place) > 1 else "the object"
        message = error["msg"].removeprefix("Value error, ")[:120]
        if error["type"] == "string_pattern_mismatch":
            message = "should have all its characters"  # one half of a surrogate pair was replaced with U+FFFD
        return (
            f"sent a {self.noun} that does not follow the API's schema "
            f"({'id ' + repr(name)[:80] if name else f'number {index + 1} of the list, without an id'}): "
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
    """Return the SQL value of a JSON column.

    Objects, arrays, strings and booleans become JSON text, and null becomes NULL. A number stays a number, unless it is
    an integer too large for SQLite.

    >>> json_text({"type": "supervised"}), json_text("auto"), json_text(3), json_text(None)
    ('{"type":"supervised"}', '"auto"', 3, None)
    """
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    return to_json(value, inf_nan_mode="null").decode()
