"""PostgreSQL's names for the types of columns, casts and numbers, such as int8 and timestamptz.

None stands for a type that is not known.
"""

from __future__ import annotations

import re

from ftsql.serve.text import fold
from ftsql.serve.translate.tree import Node, exp

UNKNOWN = "unknown"  # the type of a string or NULL, which takes its type from its context
INTEGERS = ("int2", "int4", "int8", "oid")
NUMBERS = ("int2", "int4", "int8", "oid", "numeric", "float4", "float8")
TIMES = ("date", "timestamp", "timestamptz")
TEXTS = ("text", "varchar", "bpchar", "name", "char", "citext")
OBJECTS = ("regclass", "regtype", "regproc", "regprocedure", "regnamespace", "regrole", "regoper", "regoperator")

ALIASES = {
    "int": "int4", "integer": "int4", "bigint": "int8", "smallint": "int2", "tinyint": "int2", "serial": "int4",
    "bigserial": "int8", "float": "float8", "double": "float8", "double precision": "float8", "real": "float4",
    "decimal": "numeric", "bigdecimal": "numeric", "boolean": "bool", "character varying": "varchar",
    "nvarchar": "varchar", "nchar": "bpchar", "character": "bpchar", "timestampntz": "timestamp",
    "datetime": "timestamp", "timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz",
    "time without time zone": "time", "varbinary": "bytea", "blob": "bytea", "string": "text",
    "sql_identifier": "name", "character_data": "varchar", "cardinal_number": "int4", "yes_or_no": "varchar",
}  # fmt: skip
DECLARED = (  # types by a pattern that the declared type contains, as in SQLite
    ("TIMESTAMPTZ|WITH TIME ZONE", "timestamptz"), ("TIMESTAMP|DATETIME", "timestamp"), ("DATE", "date"),
    ("INTERVAL", "interval"), ("BOOL", "bool"), ("JSONB", "jsonb"), ("JSON", "json"), ("BYTEA|BLOB", "bytea"),
    ("SMALLINT|INT2", "int2"), ("INT4", "int4"), ("INT", "int8"), ("CHAR|CLOB|TEXT|STRING", "text"),
    ("NAME", "name"), ("OID", "oid"), ("REAL|FLOA|DOUB", "float8"), ("NUMERIC|DECIMAL", "numeric"),
)  # fmt: skip


def of_declared(declared: str | None) -> str | None:
    """Return the type of a column whose table declares it as ``declared``."""
    words = (declared or "").upper()
    known = words.lower().removesuffix("[]")
    if words.endswith("[]") or known in (*NUMBERS, *TEXTS, *OBJECTS, "bool"):
        return words.lower()
    return next((name for pattern, name in DECLARED if re.search(pattern, words)), None)


def of_cast(to: Node) -> str:
    """Return the type that a cast names."""
    if isinstance(to, exp.Interval):
        return "interval"
    if not isinstance(to, exp.DataType):
        return _canonical(str(to.this))
    if to.this == exp.DataType.Type.ARRAY:
        inner = to.expressions[0] if to.expressions else None
        return f"{of_cast(inner) if inner is not None else 'text'}[]"
    if to.this == exp.DataType.Type.CHAR:
        return "bpchar"
    if to.this != exp.DataType.Type.USERDEFINED:
        return _canonical(str(getattr(to.this, "value", to.this)))  # regclass and the like are strings, not members
    kind = to.args.get("kind")
    if isinstance(kind, exp.Dot):
        return _canonical(kind.expression.name)
    name = kind.name if isinstance(kind, Node) else str(kind or "")
    if isinstance(kind, exp.Identifier) and kind.args.get("quoted") and name == "char":
        return "char"  # "char" is not the same type as char
    return _canonical(name)


def _canonical(name: str) -> str:
    name = fold(name)
    if name.startswith("_"):
        return f"{ALIASES.get(name[1:], name[1:])}[]"
    return ALIASES.get(name, name)


def of_number(text: str) -> str:
    """Return the type of a number literal."""
    if not text.isdigit():
        return "numeric"
    return "int4" if int(text) < 2**31 else "int8" if int(text) < 2**63 else "numeric"


def wider(left: str | None, right: str | None) -> str | None:
    """Return the common type of two values in a CASE, a UNION or an arithmetic operation."""
    if left in (None, UNKNOWN) or right in (None, UNKNOWN) or left == right:
        return left if left not in (None, UNKNOWN) else right
    for order in (NUMBERS, TIMES):
        if left in order and right in order:
            return max(left, right, key=order.index)
    return left if left in TEXTS and right in TEXTS else None
