"""PostgreSQL's aggregates as SQLite's: their DISTINCT, their ORDER BY, and what is computed from them.

SQLite's DISTINCT takes one argument; so a text is put together from an array, outside of the aggregate.
"""

from __future__ import annotations

from collections.abc import Callable

from ftsql.serve.translate.inference import type_of, with_type
from ftsql.serve.translate.tree import Node, call, exp

ARRAYS = ("array_agg", "json_agg", "jsonb_agg")
INTERVALS = ("sum", "avg", "min", "max")


def is_aggregate(name: str) -> bool:
    """Whether an aggregate is rewritten here."""
    return name in (*ARRAYS, "string_agg", "any_value", *INTERVALS)


def aggregate(node: Node) -> Node | None:
    """The call that SQLite computes."""
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
    )  # PostgreSQL has NULL where there are no rows
    outer.meta["wraps"] = True
    return outer


def inside(node: Node, around: Callable[[Node], Node]) -> Node | None:
    """``around`` the aggregate in ``node``, where something is computed from one; else None."""
    if not node.meta.get("wraps"):
        return None
    inner, *rest = node.expressions
    outer = with_type(call(node.name, around(inner.copy()), *rest), type_of(node))
    outer.meta["wraps"] = True
    return outer


def _parts(node: Node) -> tuple[list[Node], bool, list[Node]]:
    """The arguments, whether DISTINCT, and the ORDER BY."""
    arguments, order, distinct = list(node.expressions), [], False
    for place, argument in enumerate(arguments):
        if isinstance(argument, exp.Order):
            order = argument.expressions
            arguments[place] = argument.this
    if len(arguments) == 1 and isinstance(arguments[0], exp.Distinct):
        arguments, distinct = list(arguments[0].expressions), True
    return arguments, distinct, order
