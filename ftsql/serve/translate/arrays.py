"""Rewrite operations on arrays and JSON values: = ANY, subscripts, members. In SQLite an array is a JSON string.

``= ANY`` becomes IN, because IN can be a constraint for a virtual table.
"""

from __future__ import annotations

import json

from ftsql.serve import errors
from ftsql.serve.functions import texts
from ftsql.serve.translate import casts
from ftsql.serve.translate.inference import type_of
from ftsql.serve.translate.tree import Node, Parameters, call, exp


def is_quantified(node: Node) -> bool:
    """Whether ``node`` is ANY(…), SOME(…) or ALL(…)."""
    return isinstance(node, exp.Any) or (isinstance(node, exp.Anonymous) and node.name in ("all", "some", "any"))


def quantified(node: Node, parameters: Parameters) -> Node | None:
    """Rewrite ``a op ANY (array or query)``, and ALL."""
    left, right = node.this, node.expression
    every = isinstance(right, exp.Anonymous) and right.name == "all"
    source = (right.expressions[0] if isinstance(right, exp.Anonymous) else right.this).unnest()
    own = type_of(left)
    if isinstance(source, exp.Parameter) and own not in (None, "unknown"):
        parameters.note(source, f"{own}[]")
    if isinstance(node, exp.NEQ if every else exp.EQ):
        found = _in(left, source, parameters)
        return exp.Not(this=found) if every else found
    items = None if isinstance(source, exp.Query) else _items(source)
    if items is not None and not isinstance(node, (exp.Like, exp.ILike)):
        return _comparisons(node, every, items, parameters)
    return _over_rows(node, every, source if isinstance(source, exp.Query) else _rows(source))


def _over_rows(node: Node, every: bool, rows: exp.Query) -> Node:
    """Return a subquery that compares with each of ``rows`` and aggregates the results."""
    name = rows.selects[0].alias_or_name if rows.selects else "value"
    inner = exp.Subquery(this=rows, alias=exp.TableAlias(this=exp.to_identifier("_any")))
    column = exp.column(name, table="_any", quoted=True)
    if isinstance(node, (exp.Like, exp.ILike)):
        test = call("pgsql_ilike" if isinstance(node, exp.ILike) else "pgsql_like", node.this, column)
        test = exp.Not(this=test) if node.args.get("negate") else test
    else:
        test = type(node)(this=node.this, expression=column)
    # min and max over no rows are NULL, but ANY over no rows is false and ALL is true.
    folded = call("coalesce", call("min" if every else "max", test), exp.Literal.number(1 if every else 0))
    return exp.Subquery(this=exp.select(folded).from_(inner))


def _comparisons(node: Node, every: bool, items: list[Node], parameters: Parameters) -> Node:
    """Write ``a > ANY (ARRAY[1, 2])`` as comparisons.

    A subquery would not do, because ``a`` may be an aggregate of the outer query.
    """
    found: Node = exp.Boolean(this=every)
    for item in items:
        left, right = casts.with_one_type(node.this.copy(), item, parameters)
        test = type(node)(this=left, expression=right)
        found = exp.And(this=found, expression=test) if every else exp.Or(this=found, expression=test)
    return exp.Paren(this=found)


def _in(left: Node, source: Node, parameters: Parameters) -> Node:
    if isinstance(source, exp.Query):
        return exp.In(this=left, query=exp.Subquery(this=source))
    items = _items(source)
    if items is None:
        return exp.In(this=left, query=exp.Subquery(this=_rows(source)))
    type = casts.common_type([left, *items])
    if type is not None:
        items = [casts.coerced(item, type, parameters) for item in items]
    return exp.In(this=left, expressions=items)


def _items(source: Node) -> list[Node] | None:
    """Return the elements of an array that is written out in the statement, or None for any other array."""
    while isinstance(source, (exp.Cast, exp.Paren)):
        source = source.this
    if isinstance(source, exp.Anonymous) and source.name == "pgsql_array":
        source = source.expressions[0]
    if isinstance(source, exp.Anonymous) and source.name == "json_array":
        return list(source.expressions)
    if isinstance(source, exp.Literal) and source.is_string:
        values = json.loads(str(texts.array(str(source.this))))
        return [exp.Null() if value is None else exp.Literal.string(str(value)) for value in values]
    return None


def _rows(source: Node) -> exp.Select:
    """Return the elements of an array as rows of one column."""
    table = exp.Table(this=call("json_each", call("pgsql_array", source)))
    return exp.select(exp.column("value", quoted=True)).from_(table)


def array(node: Node, _: Parameters) -> Node | None:
    """Rewrite ``ARRAY[1, 2]`` and ``ARRAY(SELECT …)``."""
    if len(node.expressions) == 1 and isinstance(node.expressions[0], exp.Query):
        inner = node.expressions[0]
        source = exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier("_array")))
        name = inner.selects[0].alias_or_name
        return exp.Subquery(this=exp.select(call("json_group_array", exp.column(name, quoted=True))).from_(source))
    return call("json_array", *node.expressions)


def element(node: Node, _: Parameters) -> Node | None:
    """Rewrite ``a[1]``. sqlglot has subtracted 1 from the subscript. ``a[1:2]`` is replaced with the whole array."""
    index = node.expressions[0]
    value: Node = node.this
    return value if isinstance(index, exp.Slice) else call("pgsql_element", value, index)


def member(node: Node, _: Parameters) -> Node | None:
    """Rewrite ``->>``, which always returns text in PostgreSQL."""
    member = exp.JSONExtract(this=node.this, expression=node.expression, only_json_types=True)
    return call("pgsql_json_text", member)


def path(node: Node, _: Parameters) -> Node | None:
    return call("pgsql_json_path", node.this, node.expression, 1 if isinstance(node, exp.JSONBExtractScalar) else 0)


def contains(node: Node, _: Parameters) -> Node | None:
    raise errors.unsupported("@> and <@", "write metadata ->> 'key' = 'value'")
