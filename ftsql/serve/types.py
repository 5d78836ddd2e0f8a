"""PostgreSQL's types: the oids for declared types in SQLite, and the conversion of values for and from the client.

A value that does not fit the type of its column is an error. The value is never changed to fit.
"""

from __future__ import annotations

import datetime
import json
import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from importlib import resources as packaged

from pg_mimic.arrays import decode_array_binary, encode_array_binary, format_array_literal, parse_array_literal
from pg_mimic.types import decode_binary_param, encode_value_binary

from ftsql.errors import DataError
from ftsql.resources.resource import SQLiteValue

UTC = datetime.UTC
EPOCH = datetime.datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Type:
    """A row of pg_type, with the columns that clients read."""

    oid: int
    name: str
    length: int
    category: str
    element: int
    array: int


def _read() -> list[Type]:
    found = []
    for line in (packaged.files("ftsql.serve") / "types.txt").read_text("utf-8").splitlines():
        oid, name, length, category, element, array = line.split()
        found.append(Type(int(oid), name, int(length), category, int(element), int(array)))
    return found


TYPES = _read()
BY_OID = {one.oid: one for one in TYPES}
BOOL, BYTEA, INT8, INT2, INT4, TEXT, OID = 16, 17, 20, 21, 23, 25, 26
FLOAT4, FLOAT8, NUMERIC = 700, 701, 1700
DATE, TIME, TIMESTAMP, TIMESTAMPTZ, INTERVAL = 1082, 1083, 1114, 1184, 1186
INTEGERS = {INT2: 2**15, INT4: 2**31, INT8: 2**63, OID: 2**32}
# Types that are sent as text. They have binary formats of their own, which no client needs.
AS_TEXT = {"name", "regproc", "regclass", "regtype", "xid", "void", "unknown", "pg_node_tree", "anyarray", "record",
           "aclitem", "tid", "inet", "varchar", "bpchar", "int2vector", "oidvector"}  # fmt: skip
NAMES = {
    **{one.name: TEXT if one.name in AS_TEXT else one.oid for one in TYPES},
    **dict.fromkeys(AS_TEXT, TEXT),
    **dict.fromkeys(("integer", "int", "bigint", "tinyint", "mediumint", "unsigned big int"), INT8),
    **dict.fromkeys(("real", "double", "float", "double precision"), FLOAT8),
    **dict.fromkeys(("datetime", "timestamp without time zone"), TIMESTAMP),
    **dict.fromkeys(("character varying", "character", "nvarchar", "clob", "string", "citext", "char"), TEXT),
    '"char"': 18, "smallint": INT2, "boolean": BOOL, "decimal": NUMERIC, "blob": BYTEA, "binary": BYTEA,
    "timestamp with time zone": TIMESTAMPTZ, "time without time zone": TIME, "_aclitem": TEXT, "_char": 1002,
}  # fmt: skip
SIZED = re.compile(r"\s*\([^)]*\)")


def oid_of(declared: str | None) -> int | None:
    """Return the oid for the name of a PostgreSQL or SQLite type, or None for an unknown name.

    >>> oid_of("timestamptz"), oid_of("VARCHAR(20)"), oid_of("shape")
    (1184, 25, None)
    """
    name = SIZED.sub("", declared or "").strip().lower()
    if name.endswith("[]"):
        element = BY_OID.get(oid_of(name.removesuffix("[]")) or 0)
        return element.array if element is not None and element.array else None
    if name in NAMES:
        return NAMES[name]
    for part, oid in (("int", INT8), ("char", TEXT), ("clob", TEXT), ("text", TEXT), ("blob", BYTEA)):
        if part in name:
            return oid
    return FLOAT8 if any(part in name for part in ("real", "floa", "doub")) else None


def sql_name(oid: int) -> str:
    """Return the name of a type as people write it, such as bigint."""
    names = {INT8: "bigint", INT4: "integer", INT2: "smallint", FLOAT8: "double precision", FLOAT4: "real"}
    return {**names, BOOL: "boolean"}.get(oid) or short_name(oid)


def short_name(oid: int) -> str:
    """Return the short name of a type, such as int8 and text[]."""
    name = BY_OID[oid].name
    return f"{name[1:]}[]" if name.startswith("_") else name


def common_type(values: list[SQLiteValue]) -> int:
    """Return the type that fits all of ``values``, the first values of a column, or text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int}:
        return INT8
    if kinds and kinds <= {int, float}:
        return FLOAT8
    return BYTEA if kinds == {bytes} else TEXT


# --- values to the client


def _moment(value: SQLiteValue) -> datetime.datetime:
    """Return a naive time in UTC, from an ISO string or from Unix seconds."""
    if isinstance(value, (int, float)):
        return EPOCH + datetime.timedelta(seconds=value)
    assert isinstance(value, str)
    moment = datetime.datetime.fromisoformat(value.strip())
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _day(value: SQLiteValue) -> datetime.date:
    return _moment(value).date()


def _clock(value: SQLiteValue) -> datetime.time:
    assert isinstance(value, str)
    return datetime.time.fromisoformat(value.strip())


def _truth(value: SQLiteValue) -> bool:
    found = {"t": True, "true": True, "1": True, "f": False, "false": False, "0": False}
    if isinstance(value, (int, float)) and value in (0, 1):
        return bool(value)
    return found[str(value).lower()]


def _integer(limit: int, least: int) -> Callable[[SQLiteValue], int]:
    def integer(value: SQLiteValue) -> int:
        if isinstance(value, float) and not value.is_integer():
            raise ValueError
        if value is None or isinstance(value, bytes):
            raise ValueError
        number = int(value)
        if not least <= number < limit:
            raise ValueError
        return number

    return integer


def _real(value: SQLiteValue) -> float:
    if value is None or isinstance(value, bytes):
        raise ValueError
    return float(value)


def _exact(value: SQLiteValue) -> Decimal:
    if value is None or isinstance(value, bytes):
        raise ValueError
    return Decimal(repr(value) if isinstance(value, float) else value)


def _text(value: SQLiteValue) -> str:
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    return repr(value) if isinstance(value, float) else str(value)


def _bytes(value: SQLiteValue) -> bytes:
    return value if isinstance(value, bytes) else _text(value).encode()


def _duration(value: SQLiteValue) -> datetime.timedelta:
    if isinstance(value, (int, float)):
        return datetime.timedelta(seconds=value)
    match = re.fullmatch(r"(?:(-?\d+) days?)? ?(?:(-?)(\d+):(\d\d):(\d\d(?:\.\d+)?))?", str(value).strip())
    if match is None:
        raise ValueError
    days, sign, hours, minutes, seconds = match.groups()
    clock = datetime.timedelta(hours=int(hours or 0), minutes=int(minutes or 0), seconds=float(seconds or 0))
    return datetime.timedelta(days=int(days or 0)) + (-clock if sign else clock)


def _float(value: SQLiteValue) -> str:
    number = _real(value)
    if math.isfinite(number):
        return repr(number)
    return "NaN" if number != number else "-Infinity" if number < 0 else "Infinity"


SENT: dict[int, Callable[[SQLiteValue], object]] = {
    BOOL: _truth, BYTEA: _bytes, FLOAT4: _real, FLOAT8: _real, DATE: _day, TIME: _clock, TIMESTAMP: _moment,
    TIMESTAMPTZ: _moment, INTERVAL: _duration, NUMERIC: _exact,
    **{oid: _integer(limit, 0 if oid == OID else -limit) for oid, limit in INTEGERS.items()},
}  # fmt: skip
WRITTEN: dict[int, Callable[[SQLiteValue], str]] = {
    BOOL: lambda value: "t" if _truth(value) else "f",
    BYTEA: lambda value: f"\\x{_bytes(value).hex()}",
    FLOAT4: _float, FLOAT8: _float,
    DATE: lambda value: _day(value).isoformat(),
    TIME: lambda value: _clock(value).isoformat(),
    TIMESTAMP: lambda value: _moment(value).isoformat(" "),
    TIMESTAMPTZ: lambda value: f"{_moment(value).isoformat(' ')}+00",
    INTERVAL: _text,
    NUMERIC: lambda value: format(_exact(value), "f"),
    **{oid: (lambda convert: lambda value: str(convert(value)))(SENT[oid]) for oid in INTEGERS},
}  # fmt: skip


def _array(value: SQLiteValue) -> list[object]:
    text = _text(value)
    found: list[object] = json.loads(text) if text.startswith("[") else parse_array_literal(text)
    return found


def encoder(oid: int, binary: bool, column: str) -> Callable[[SQLiteValue], bytes]:
    """Return a function that encodes values of a column for the client.

    The returned function does not accept NULL. It raises DataError for a value that does not fit the type.
    """
    is_array = BY_OID[oid].element != 0 and BY_OID[oid].name.startswith("_")
    convert, write = SENT.get(oid), WRITTEN.get(oid, _text)

    def encode(value: SQLiteValue) -> bytes:
        try:
            if is_array:
                items = _array(value)
                return bytes(encode_array_binary(oid, items)) if binary else format_array_literal(oid, items).encode()
            if not binary:
                return write(value).encode()
            return bytes(encode_value_binary(oid, convert(value) if convert is not None else _text(value)))
        except (ValueError, KeyError, TypeError, AssertionError, OverflowError, InvalidOperation, struct.error):
            raise DataError(
                f"column {column} is sent as {sql_name(oid)}, but contains {value!r:.60}. CAST the column to text"
            ) from None

    return encode


def fits(oid: int, value: SQLiteValue) -> bool:
    """Whether a value can be sent as the type ``oid``."""
    try:
        if value is not None and (convert := SENT.get(oid)) is not None:
            convert(value)
    except (ValueError, KeyError, TypeError, AssertionError, OverflowError, InvalidOperation):
        return False
    return True


# --- values from the client


def parameter(oid: int, binary: bool, data: bytes) -> SQLiteValue:
    """Return a parameter as a SQLite value: a time as an ISO string in UTC, an array as JSON.

    Raise DataError if the parameter cannot be read.
    """
    try:
        if BY_OID.get(oid) is not None and BY_OID[oid].name.startswith("_"):
            items = decode_array_binary(data) if binary else parse_array_literal(data.decode())
            return json.dumps(_items(BY_OID[oid].element, items))
        if oid == BYTEA and binary:
            return data
        text: str = decode_binary_param(oid, data) if binary and oid else data.decode()
        return _read_text(oid, text)
    except (ValueError, KeyError, TypeError, OverflowError, InvalidOperation, struct.error):
        raise DataError(f"cannot read a parameter of type {sql_name(oid) if oid in BY_OID else oid}") from None


def _items(element: int, items: list[object]) -> list[object]:
    return [
        _items(element, item) if isinstance(item, list) else None if item is None else _read_text(element, str(item))
        for item in items
    ]


def _read_text(oid: int, text: str) -> SQLiteValue:
    if oid in INTEGERS:
        return int(text)
    if oid in (FLOAT4, FLOAT8):
        return float(text)
    if oid == NUMERIC:
        number = Decimal(text)
        return int(number) if number == number.to_integral_value() and abs(number) < 2**63 else float(number)
    if oid == BOOL:
        return int(_truth({"on": "t", "yes": "t", "y": "t", "off": "f", "no": "f", "n": "f"}.get(text, text)))
    if oid == BYTEA:
        return bytes.fromhex(text.removeprefix("\\x"))
    if oid in (TIMESTAMP, TIMESTAMPTZ):
        return _moment(text).isoformat(" ")
    if oid == DATE:
        return _day(text).isoformat()
    return text
