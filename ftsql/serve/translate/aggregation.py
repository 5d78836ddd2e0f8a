"""Rewrite PostgreSQL's aggregates as SQLite's, with their DISTINCT and ORDER BY.

SQLite allows DISTINCT only with one argument. So string_agg(DISTINCT …) becomes an aggregate that makes an array, and a
function around it that joins the array's elements.
"""

from __future__ import annotations

from collections.abc import Callable

from ftsql.serve.translate.inference import type_of, with_type
from ftsql.serve.translate.tree import Node, call, exp

ARRAYS = ("array_agg", "json_agg", "jsonb_agg")
INTERVALS = ("sum", "avg", "min", "max")


def is_aggregate(name: str) -> bool:
    """Whether this module rewrites the aggregate."""
    return name in (*ARRAYS, "string_agg", "any_value", *INTERVALS)


def aggregate(node: Node) -> Node | None:
    """Rewrite a call of an aggregate. Return None if the call stays as it is."""
    name = node.name
    if name in INTERVALS:
        return call(f"pgsql_{name}_interval", *node.expressions) if type_of(node) == "interval" else None
    arguments, distinct, order = _parts(node)
    if name == "any_value":
        return call("min", *arguments)
    value = arguments[0]
    if name == "string_agg":
        if not distinct:
            last: Node = arguments[1]
            if order:
                last = exp.Order(this=last, expressions=order)
            return call("group_concat", value, last)
        if not order:
            order = [exp.Ordered(this=value.copy(), desc=False, nulls_first=True)]
    made: Node = exp.Distinct(expressions=[value]) if distinct else value
    if order:
        made = exp.Order(this=made, expressions=order)
    array = call("json_group_array", made)
    outer = (
        call("pgsql_joined", array, arguments[1]) if name == "string_agg" else call("nullif", array, "[]")
    )  # PostgreSQL returns NULL if there are no rows
    outer.meta["wraps"] = True
    return outer


def apply_inside(node: Node, around: Callable[[Node], Node]) -> Node | None:
    """Return ``node`` with ``around`` applied to the aggregate inside it.

    Return None if ``node`` is not an expression that ``aggregate`` built around an aggregate.
    """
    if not node.meta.get("wraps"):
        return None
    inner, *rest = node.expressions
    outer = with_type(call(node.name, around(inner.copy()), *rest), type_of(node))
    outer.meta["wraps"] = True
    return outer


def _parts(node: Node) -> tuple[list[Node], bool, list[Node]]:
    """Return the arguments, whether they are DISTINCT, and the terms of ORDER BY."""
    arguments, order, distinct = list(node.expressions), [], False
    for number, argument in enumerate(arguments):
        if isinstance(argument, exp.Order):
            order = argument.expressions
            arguments[number] = argument.this
    if len(arguments) == 1 and isinstance(arguments[0], exp.Distinct):
        arguments, distinct = list(arguments[0].expressions), True
    return arguments, distinct, order
