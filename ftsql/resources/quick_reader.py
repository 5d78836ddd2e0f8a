"""The quick reader: makes the rows of jobs directly from the bytes of a page, with msgspec.

The quick reader takes a third of the time that decoding and validating a page takes. It reads a page only if the page
has nothing unusual. For any other page it returns None, and ``Resource.rows`` reads that page: it converts values,
complains about them and raises errors. The quick reader and ``Resource.rows`` return the same rows, as
tests/resources/test_quick_reader.py checks.

The column ``raw`` has the object's own text, without the white space between its tokens, so a number keeps its
spelling. This module is imported when the first page comes, because importing msgspec takes a while.
"""

from __future__ import annotations

from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
from pydantic_core import from_json

from ftsql.resources.cells import NAMES, NESTED, nested_text
from ftsql.resources.definitions import JOBS
from ftsql.resources.fields import Rule
from ftsql.resources.resource import Row, SQLiteValue

LONGEST = 4000  # the maximum length of an object; a longer one may have a number with too many digits for Resource.rows
DEEPEST = 100  # the maximum number of brackets in an object; with more, it may be nested too deep for Resource.rows
REMEMBERED = 1000  # how many values of nested fields are kept, because they often repeat from job to job


class Envelope(msgspec.Struct, forbid_unknown_fields=True):
    """A response with a list, in OpenAI's form. A response with other fields may say more about the list."""

    data: list[msgspec.Raw]
    object: str | None = None
    has_more: bool | None = None
    first_id: str | None = None
    last_id: str | None = None


def _rules(hint: Any) -> list[Rule]:
    return [marker for marker in get_args(hint) if isinstance(marker, Rule)]


def _kind(name: str, hint: Any) -> Any:
    """Return the type by which msgspec reads a field."""
    if name == "id":
        return Annotated[str, msgspec.Meta(min_length=1)]
    kinds = get_args(get_args(hint)[0]) if hasattr(hint, "__metadata__") else get_args(hint)
    if int in kinds:
        return int | float | None
    return str | None if str in kinds else msgspec.Raw


# The fields, by the names that servers use. If a field is absent, its value is UNSET, and its other name is tried.
_HINTS = get_type_hints(JOBS.model, include_extras=True)
_OTHER_NAMES = {name: other for name, hint in _HINTS.items() for rule in _rules(hint) for other in rule.names[1:]}
_KINDS = {name: _kind(name, hint) for name, hint in _HINTS.items()}
_KINDS |= {other: _KINDS[name] for name, other in _OTHER_NAMES.items()}
Job: Any = msgspec.defstruct(
    "Job",
    [("id", _KINDS["id"])]
    + [(name, kind | msgspec.UnsetType, msgspec.UNSET) for name, kind in _KINDS.items() if name != "id"],
)
_COLUMNS = [name for name in NAMES if name in _HINTS]
_fields = attrgetter(*_COLUMNS)
_NUMBERS = [
    (_COLUMNS.index(name), rule.before, rule.valid_up_to)
    for name, hint in _HINTS.items()
    for rule in _rules(hint)
    if rule.before is not None and rule.valid_up_to is not None
]
_NESTED = [(_COLUMNS.index(name), name) for name in NESTED]
_BY_OTHER_NAME = [(_COLUMNS.index(name), other) for name, other in _OTHER_NAMES.items()]
_SUFFIX = _COLUMNS.index("suffix")
_DOCUMENTED = len(JOBS.documented)
_envelope = msgspec.json.Decoder(Envelope)
_job = msgspec.json.Decoder(Job)


def page(provider: str, body: bytes) -> dict[str, Any] | None:
    """Return the fields of a page, with the jobs' rows as ``data``, or None if ``Resource.rows`` must read the page.

    >>> page("openai", b'{"data": [{"id": "ftjob-1", "status": "running"}], "has_more": false}')["data"][0].status
    'running'
    >>> page("openai", b'{"data": [{"id": "ftjob-1", "status": 5}], "has_more": false}') is None
    True
    """
    try:
        envelope = _envelope.decode(_compact(body))
        rows = [_row(provider, str(raw, "utf-8")) for raw in map(bytes, envelope.data)]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    shown = {"data": rows, "object": envelope.object, "has_more": envelope.has_more, "last_id": envelope.last_id}
    return {name: value for name, value in shown.items() if value is not None}


def one(provider: str, body: bytes) -> Row | None:
    """Return the row of a single job, or None if ``Resource.rows`` must read the job.

    >>> one("openai", b'{"id": "ftjob-1", "status": "running"}').status
    'running'
    """
    try:
        return _row(provider, str(_compact(body), "utf-8"))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _compact(body: bytes) -> bytes:
    """Return ``body`` without white space between its tokens. Raises ValueError if ``Resource.rows`` must read it."""
    body = body.removeprefix(b"\xef\xbb\xbf")
    if b"\\" in body:  # an escaped character may hide a credential, or be half of one
        raise ValueError
    if not body.isascii():
        body.decode()  # raises ValueError for invalid UTF-8, because msgspec does not check the text that it skips
    if any(sign in body for sign in (b"\n", b'": ', b", ", b'" :', b"\t")):
        return msgspec.json.format(body, indent=-1)
    return body


def _row(provider: str, text: str) -> Row:
    """Return the row of one job. Raises ValueError or one of msgspec's errors if the job has anything unusual."""
    if len(text) > LONGEST or text.count("{") + text.count("[") > DEEPEST:
        raise ValueError
    job = _job.decode(text)
    if "\ufffd" in job.id:
        raise ValueError
    values: list[Any] = list(_fields(job))
    for index, other in _BY_OTHER_NAME:
        if values[index] is msgspec.UNSET:
            values[index] = getattr(job, other)
    for index, before, valid_up_to in _NUMBERS:
        value = values[index]
        if value is not None and value is not msgspec.UNSET and not (type(value) is int and 0 < value <= valid_up_to):
            values[index] = before(value)
    for index, name in _NESTED:
        value = values[index]
        if value is not msgspec.UNSET:
            values[index] = _nested(name, bytes(value))
    values = [None if value is msgspec.UNSET else value for value in values]
    documented, suffix = values[:_DOCUMENTED], values[_SUFFIX]
    return Row.of_cells(provider, (*documented, provider, job.id, suffix, None, None, None), text, JOBS)


@lru_cache(REMEMBERED)
def _nested(name: str, raw: bytes) -> SQLiteValue:
    """Return the value of a JSON column, as ``Resource.rows`` would return it."""
    if raw == b"null":
        return None
    value: Any = from_json(raw, allow_inf_nan=True)
    for rule in _rules(_HINTS[name]):
        value = value if rule.before is None else rule.before(value)
    return None if value is None else nested_text(name, value)
