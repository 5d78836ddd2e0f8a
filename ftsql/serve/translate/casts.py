"""Rewrite casts, and give the two sides of a comparison a common type.

A literal is converted during the translation, so that SQLite sees a constant. Other expressions get a function call
that converts them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ftsql.serve import errors
from ftsql.serve.functions import numbers, timestamps
from ftsql.serve.functions.intervals import interval
from ftsql.serve.translate.inference import type_of, with_type
from ftsql.serve.translate.tree import Node, Parameters, call, exp
from ftsql.serve.translate.type_names import INTEGERS, NUMBERS, OBJECTS, TEXTS, TIMES, UNKNOWN, of_cast, wider

RELATIVE = ("now", "today", "yesterday", "tomorrow")  # literals that are not constant
OF_TIME = (*TIMES, "interval")
CATALOGS = {"regclass": ("pg_class", "relname"), "regnamespace": ("pg_namespace", "nspname"),
            "regrole": ("pg_roles", "rolname"), "regtype": ("pg_type", "typname"),
            "regproc": ("pg_proc", "proname"), "regprocedure": ("pg_proc", "proname")}  # fmt: skip


def common_type(nodes: Sequence[Node]) -> str | None:
    """Return the type in which ``nodes`` are compared with each other, or None if they are compared as they are."""
    found: str | None = UNKNOWN
    for node in nodes:
        found = wider(found, type_of(node)) if type_of(node) is not None else found
    return found if found != UNKNOWN else None


def with_one_type(left: Node, right: Node, parameters: Parameters) -> tuple[Node, Node]:
    """Return both sides of a comparison, converted to one type."""
    type = common_type([left, right])
    if type is None:
        return left, right
    return comparable(coerced(left, type, parameters)), comparable(coerced(right, type, parameters))


def comparable(node: Node) -> Node:
    """Return an expression that sorts in SQLite like ``node`` in PostgreSQL."""
    return call("pgsql_interval_order", node) if type_of(node) == "interval" else node


def coerced(node: Node, type: str, parameters: Parameters) -> Node:
    """Return ``node`` converted to ``type``, which its context expects."""
    parameters.note(node, type)
    bare = node.unnest()
    own = type_of(node)
    if isinstance(bare, exp.Literal) and bare.is_string and own in (UNKNOWN, None):
        found = _literal(str(bare.this), type)
        return with_type(found, type) if found is not None else node
    if isinstance(bare, exp.Parameter) and type in OF_TIME:
        return with_type(_converted(bare, type), type)
    if own == "date" and type in ("timestamp", "timestamptz"):
        return with_type(call("pgsql_timestamp", node), type)
    if own is None and type == "interval":
        return with_type(call("pgsql_interval", node), type)
    return node


def cast(node: Node, parameters: Parameters) -> Node | None:
    """Rewrite ``x::type``."""
    to, inner = of_cast(node.args["to"]), node.this
    own = type_of(inner)
    parameters.note(inner, to)
    if isinstance(inner, exp.Null):
        return inner
    bare = inner.unnest()
    if isinstance(bare, exp.Literal) and bare.is_string and own in (UNKNOWN, None):
        found = _literal(str(bare.this), to)
        if found is not None:
            return _limited(found, node, to)
    if to in OBJECTS:
        return _object(inner, to)
    if own == to and to != "numeric" and not _sizes(node):
        return exp.Paren(this=inner) if isinstance(inner, exp.Binary) else inner
    if to in TEXTS:
        return _limited(as_text(inner), node, to)
    return _limited(_number(inner, own, to) or _converted(inner, to), node, to)


def as_text(node: Node) -> Node:
    """Return ``x::text``."""
    own = type_of(node)
    if own in TEXTS or own in ("interval", "date", "timestamp", "json", "jsonb"):
        return node
    if own == "bool":
        return exp.Case(
            ifs=[exp.If(this=node, true=exp.Literal.string("true")),
                 exp.If(this=exp.Not(this=exp.Paren(this=node.copy())), true=exp.Literal.string("false"))]
        )  # fmt: skip
    if own == "timestamptz":
        return exp.DPipe(this=node, expression=exp.Literal.string("+00"))
    if own in (*INTEGERS, UNKNOWN):
        return exp.Cast(this=node, to=exp.DataType.build("text"))
    return call("pgsql_text", node, own or "")


def _number(inner: Node, own: str | None, to: str) -> Node | None:
    if to in INTEGERS:
        if own in INTEGERS or own == "bool":
            return inner
        return call("pgsql_int_even" if own in ("float8", "float4") else "pgsql_int", inner)
    if to in ("float8", "float4"):
        real = exp.Cast(this=inner, to=exp.DataType.build("double"))
        return real if own in NUMBERS else call("pgsql_float", inner)
    if to == "numeric":
        return inner if own in NUMBERS else call("pgsql_numeric", inner)
    if to == "bool":
        return exp.NEQ(this=inner, expression=exp.Literal.number(0)) if own in INTEGERS else call("pgsql_bool", inner)
    return None


def _converted(inner: Node, to: str) -> Node:
    if to == "timestamp":
        return call("pgsql_timestamp", inner, 0)
    if to in ("date", "interval", "time"):
        return call(f"pgsql_{to}", inner)
    if to == "timestamptz":
        return call("pgsql_timestamp", inner)
    if to.endswith("[]"):
        return call("pgsql_array", inner)
    return inner  # values of json, uuid, bytea and the catalog's own types stay as they are


def _sizes(node: Node) -> list[int]:
    """Return the numbers in varchar(20), numeric(10, 2) or timestamp(0)."""
    to = node.args["to"]
    parts = [part.this for part in to.expressions if isinstance(part, exp.DataTypeParam)]
    return [int(part.this) for part in parts if isinstance(part, exp.Literal) and str(part.this).isdigit()]


def _limited(value: Node, node: Node, to: str) -> Node:
    sizes = _sizes(node)
    if not sizes:
        return value
    if to in ("varchar", "bpchar"):
        return call("substr", value, 1, sizes[0])
    if to == "numeric":
        return call("pgsql_round", value, sizes[1] if len(sizes) > 1 else 0)
    if to in ("timestamp", "timestamptz"):
        return call("pgsql_timestamp_round", value, sizes[0])
    return value


def _literal(text: str, type: str) -> Node | None:
    """Return a string as a constant of ``type``, or None if it must stay a string."""
    if type in TIMES and text.strip().lower() not in RELATIVE:
        made = timestamps.date(text) if type == "date" else timestamps.timestamp(text, type == "timestamptz")
        return exp.Literal.string(str(made))
    if type == "interval":
        return exp.Literal.string(str(interval(text)))
    if type in (*NUMBERS, "bool") and type != "oid":
        return _number_literal(text, type)
    if type == "oid" and text.strip().isdigit():
        return exp.Literal.number(text.strip())
    return exp.Literal.string(text) if type in TEXTS else None


def _number_literal(text: str, type: str) -> Node:
    made = numbers.to_bool(text) if type == "bool" else numbers.numeric(text)
    assert made is not None
    if type in INTEGERS and not isinstance(made, int):
        raise errors.data(f'invalid input syntax for type integer: "{text:.60}"', errors.INVALID_TEXT)
    if not math.isfinite(made):
        return call("pgsql_float", text)
    found: Node = exp.Literal.number(str(made).lstrip("-"))
    return exp.Paren(this=exp.Neg(this=found)) if made < 0 else found


def _object(inner: Node, to: str) -> Node:
    """Rewrite a cast such as ``x::regclass``: the name of a catalog object becomes its oid, and an oid its name."""
    if to not in CATALOGS:
        return inner
    table, name = CATALOGS[to]
    literal = inner.unnest()
    if isinstance(literal, exp.Literal) and literal.is_string:
        text = str(literal.this)
        if text.isdigit():
            return with_type(exp.Literal.number(text), "oid")
        wanted = text.rpartition(".")[2].strip('"') if to != "regtype" else text
        return with_type(_looked_up(table, "oid", name, exp.Literal.string(wanted)), "oid")
    if type_of(inner) in (*TEXTS, None) and to == "regclass":
        return with_type(call("coalesce", _looked_up(table, "oid", name, inner), inner.copy()), "oid")
    if to == "regtype":
        return with_type(call("pgsql_format_type", inner, exp.Null()), "text")
    return with_type(call("coalesce", _looked_up(table, name, "oid", inner), inner.copy()), "text")


def _looked_up(table: str, column: str, by: str, value: Node) -> Node:
    # The table has an alias, because ``value`` may be a column of the same table in the outer query.
    source = exp.to_table(f"pg_catalog.{table}")
    source.set("alias", exp.TableAlias(this=exp.to_identifier("_named")))
    found = exp.select(exp.column(column, table="_named")).from_(source)
    found = found.where(exp.EQ(this=exp.column(by, table="_named"), expression=value)).limit(1)
    return exp.Subquery(this=found)


def interval_literal(node: Node, parameters: Parameters) -> Node | None:
    """Rewrite ``interval '7 days'``. In sqlglot's tree, the unit is separate from the number."""
    if isinstance(node.parent, exp.Cast) and node.arg_key == "to":
        return None
    unit = node.args.get("unit")
    if isinstance(unit, exp.IntervalSpan):
        raise errors.unsupported("an interval with TO", "write interval '1 day 02:00'")
    words = f" {unit.name.lower()}" if unit is not None else ""
    if isinstance(node.this, exp.Literal):
        return exp.Literal.string(str(interval(f"{node.this.this}{words}")))
    if node.this is None:
        raise errors.syntax("syntax error: write interval '1 day'")
    parameters.note(node.this, "interval")
    return call("pgsql_interval", node.this)
