"""PostgreSQL's operators and casts, rewritten bottom-up into what SQLite computes alike.

A rewrite looks at types that were told (inference.py); where none was, the node stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable

from ftsql.serve import errors
from ftsql.serve.text import fold
from ftsql.serve.translate import arrays, calls, casts
from ftsql.serve.translate.casts import coerced
from ftsql.serve.translate.inference import type_of, with_type
from ftsql.serve.translate.names import bottom_up
from ftsql.serve.translate.tree import Node, Parameters, call, exp
from ftsql.serve.translate.type_names import INTEGERS, OBJECTS, TEXTS, TIMES, UNKNOWN

COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ)
PLAIN_COLLATIONS = ("c", "posix", "default", "ucs_basic", "c.utf-8", "en_us", "en_us.utf-8", "und-x-icu")
OPERATORS = {"~": "regexp_like", "~*": "regexp_ilike", "!~": "regexp_like", "!~*": "regexp_ilike"}
Rewrite = Callable[[Node, Parameters], Node | None]


def rewrite(root: Node, parameters: Parameters) -> Node:
    """``root`` with everything in it rewritten."""
    holder = exp.Paren(this=root)
    for node in bottom_up(root):
        step = next((STEPS[kind] for kind in type(node).__mro__ if kind in STEPS), None)
        if step is None:
            continue
        found = step(node, parameters)
        if found is not None and found is not node:
            own = type_of(node)  # of a cast, too, which may leave the node below as it is
            with_type(found, type_of(found) if own is None or own in OBJECTS else own)
            calls.put(node, found)
    for node in list(holder.find_all(exp.Parameter)):
        if not (isinstance(node.this, exp.Literal) and not node.this.is_string):
            raise errors.syntax('syntax error at or near "@": a parameter is written $1')
        node.replace(exp.Var(this=f"?{node.this.this}"))
    found = holder.this
    assert isinstance(found, Node)
    return found


def _compared(node: Node, parameters: Parameters) -> Node | None:
    """Both sides of one type; intervals by their length."""
    left, right = node.this, node.expression
    if isinstance(right, exp.Any) or (isinstance(right, exp.Anonymous) and right.name in ("all", "any", "some")):
        return arrays.quantified(node, parameters)
    one, two = casts.meet(left, right, parameters)
    if type(node) in (exp.EQ, exp.NEQ) and isinstance(one, exp.Tuple):
        return None
    return type(node)(this=one, expression=two)


def _between(node: Node, parameters: Parameters) -> Node | None:
    type = casts.common([node.this, node.args["low"], node.args["high"]])
    if type is None:
        return None
    for part in ("this", "low", "high"):
        node.set(part, casts.ordered(coerced(node.args[part], type, parameters)))
    return None


def _in(node: Node, parameters: Parameters) -> Node | None:
    items = node.expressions
    if not items:
        return None
    if isinstance(node.this, exp.Tuple):  # SQLite compares rows with a VALUES list only
        node.set("expressions", None)
        node.set("query", exp.Subquery(this=exp.Values(expressions=[item.copy() for item in items])))
        return None
    type = casts.common([node.this, *items])
    if type is not None:
        node.set("this", casts.ordered(coerced(node.this, type, parameters)))
        node.set("expressions", [casts.ordered(coerced(item, type, parameters)) for item in items])
    return None


def _like(node: Node, parameters: Parameters) -> Node | None:
    parent = node.parent
    escape = parent.expression if isinstance(parent, exp.Escape) else None
    left, pattern = node.this, node.expression
    if isinstance(pattern, (exp.Any, exp.Paren)) and arrays.is_quantified(pattern):
        return arrays.quantified(node, parameters)
    for side in (left, pattern):
        parameters.note(side, "text")
    folded = isinstance(node, exp.ILike)
    found: Node
    if isinstance(pattern, exp.Literal) and escape is None and not folded and "\\" not in pattern.this:
        glob = "".join({"%": "*", "_": "?"}.get(mark, f"[{mark}]" if mark in "*?[" else mark) for mark in pattern.this)
        found = exp.Glob(this=left, expression=exp.Literal.string(glob))
    else:
        found = call("pgsql_ilike" if folded else "pgsql_like", left, pattern, *([escape.copy()] if escape else []))
    return exp.Not(this=found) if node.args.get("negate") else found


def _escape(node: Node, _: Parameters) -> Node | None:
    return node.this if not isinstance(node.this, (exp.Like, exp.ILike)) else None


def _regexp(node: Node, parameters: Parameters) -> Node | None:
    parameters.note(node.expression, "text")
    name = "pgsql_regexp_ilike" if isinstance(node, exp.RegexpILike) else "pgsql_regexp_like"
    return call(name, node.this, node.expression)


def _similar(node: Node, _: Parameters) -> Node | None:
    return call("pgsql_similar", node.this, node.expression)


def _operator(node: Node, parameters: Parameters) -> Node | None:
    """``a OPERATOR(pg_catalog.~) b``, as psql writes every operator."""
    sign = str(node.args["operator"]).rpartition("pg_catalog.")[2].strip()
    if sign in OPERATORS:
        parameters.note(node.expression, "text")
        found = call(f"pgsql_{OPERATORS[sign]}", node.this, node.expression)
        return exp.Not(this=found) if sign.startswith("!") else found
    if sign in ("=", "<>"):
        kind = exp.EQ if sign == "=" else exp.NEQ
        return _compared(kind(this=node.this, expression=node.expression), parameters)
    raise errors.unsupported(f"OPERATOR({sign})", "write the operator itself")


def _collate(node: Node, _: Parameters) -> Node | None:
    name = fold(node.expression.name)
    if name not in PLAIN_COLLATIONS:
        raise errors.unsupported(f"COLLATE {name}", 'texts are compared as COLLATE "C" does')
    inner: Node = node.this
    return inner


def _ordered(node: Node, _: Parameters) -> Node | None:
    """NULLs where PostgreSQL has them, and nothing said where there are none: then an index or an API may sort."""
    select = node.find_ancestor(exp.Select, exp.SetOperation)
    inner = node.this
    at = next(
        (
            one
            for number, one in enumerate(getattr(select, "selects", []))
            if (isinstance(inner, exp.Literal) and str(inner.this) == str(number + 1))
            or (isinstance(inner, exp.Column) and not inner.table and one.alias == inner.name)
        ),
        None,
    )
    if type_of(at if at is not None else inner) == "interval" and _sorts(node):
        if isinstance(select, exp.SetOperation):
            raise errors.unsupported("ORDER BY an interval after UNION", "order by extract(epoch from …)")
        node.set("this", call("pgsql_interval_order", exp.column(at.alias, quoted=True) if at is not None else inner))
    if node.meta.get("never_null"):
        node.set("nulls_first", not node.args.get("desc"))
    return None


def _sorts(node: Node) -> bool:
    """Whether the term orders rows, and is not what WITHIN GROUP computes from."""
    return isinstance(node.parent, exp.Order) and not isinstance(node.parent.parent, exp.WithinGroup)


def _arithmetic(node: Node, parameters: Parameters) -> Node | None:
    left, right = node.this, node.expression
    one, two = type_of(left), type_of(right)
    if isinstance(node, (exp.Add, exp.Sub)) and (one in TIMES or two in TIMES):
        return _of_times(node, parameters)
    if "interval" in (one, two):
        if isinstance(node, (exp.Add, exp.Sub)):
            sign = 1 if isinstance(node, exp.Add) else -1
            return call("pgsql_interval_add", coerced(left, "interval", parameters),
                        coerced(right, "interval", parameters), sign)  # fmt: skip
        if one != "interval":
            left, right = right, left
        parameters.note(right, "float8")
        return call("pgsql_interval_times", left, right, 1 if isinstance(node, exp.Mul) else -1)
    for side, other in ((left, two), (right, one)):
        if other not in (None, UNKNOWN):
            parameters.note(side, other)
    if isinstance(node, exp.Div):
        exact = one in INTEGERS and two in INTEGERS
        if (one is None or two is None) and not exact:
            return None
        if (isinstance(right, exp.Literal) and str(right.this).strip("0.")) or _is_nullif_zero(right):
            return exp.Div(this=left if exact else calls.real(left), expression=right, typed=True)
        return call("pgsql_divide", left, right, 1 if exact else 0)
    if isinstance(node, exp.Mod) and not (one in INTEGERS and two in INTEGERS and isinstance(right, exp.Literal)):
        return call("pgsql_mod", left, right)
    if isinstance(node, exp.Pow):
        return call("pgsql_power", left, right)
    return None


def _is_nullif_zero(node: Node) -> bool:
    """``nullif(x, 0)``, which never divides by zero."""
    node = node.unnest()
    return isinstance(node, exp.Anonymous) and node.name == "nullif" and str(node.expressions[1].this).strip("0.") == ""


def _of_times(node: Node, parameters: Parameters) -> Node | None:
    left, right = node.this, node.expression
    one, two = type_of(left), type_of(right)
    sign = 1 if isinstance(node, exp.Add) else -1
    if sign > 0 and two in TIMES:
        left, right, one, two = right, left, two, one
    if two == "interval" or (two in (UNKNOWN, None) and sign > 0 and one != "date"):
        return call("pgsql_plus", left, coerced(right, "interval", parameters), sign)
    if one in TIMES and two in INTEGERS:
        return call("pgsql_date_plus", left, right if sign > 0 else exp.Neg(this=exp.Paren(this=right)))
    if sign < 0 and (one in TIMES or two in TIMES):
        if "date" in (one, two) and {one, two} <= {"date", UNKNOWN}:
            return call("pgsql_days_between", coerced(left, "date", parameters), coerced(right, "date", parameters))
        return call("pgsql_minus", coerced(left, "timestamptz", parameters), coerced(right, "timestamptz", parameters))
    return None


def _limit(node: Node, _: Parameters) -> Node | None:
    """LIMIT NULL is no limit; SQLite takes a number only."""
    if isinstance(node.expression, exp.Parameter):
        node.set("expression", call("coalesce", node.expression, 0 if isinstance(node, exp.Offset) else -1))
    return None


def _negative(node: Node, _: Parameters) -> Node | None:
    return call("pgsql_interval_times", node.this, -1, 1) if type_of(node.this) == "interval" else None


def _joined(node: Node, parameters: Parameters) -> Node | None:
    arrays_of = [side for side in ("this", "expression") if str(type_of(node.args[side]) or "").endswith("[]")]
    if arrays_of:
        which = "both" if len(arrays_of) == 2 else {"this": "left", "expression": "right"}[arrays_of[0]]
        made = call("pgsql_array_cat", node.this, node.expression, exp.Literal.string(which))
        return with_type(made, type_of(node.args[arrays_of[0]]))
    for side in ("this", "expression"):
        part = node.args[side]
        parameters.note(part, "text")
        if type_of(part) not in (*TEXTS, *INTEGERS, UNKNOWN, None):
            node.set(side, casts.as_text(part))
    return None


def _strings(node: Node, _: Parameters) -> Node | None:
    parts = node.expressions
    if all(isinstance(part, exp.Literal) for part in parts):  # strings one after the other are one string
        return exp.Literal.string("".join(part.this for part in parts))
    return None


def _string(node: Node, _: Parameters) -> Node | None:
    return exp.Literal.string(str(node.this))


def _zone(node: Node, parameters: Parameters) -> Node | None:
    return calls.at_zone(node.this, node.args["zone"], parameters)


def _field(node: Node, _: Parameters) -> Node | None:
    name = node.expression.name if isinstance(node.expression, (exp.Identifier, exp.Anonymous)) else ""
    if isinstance(node.expression, exp.Anonymous):
        raise errors.syntax(f"there is no schema of functions {node.this.name}", "3F000")
    return call("pgsql_field", node.this, name)


STEPS: dict[type, Rewrite] = {
    **dict.fromkeys(COMPARED, _compared),
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Pow), _arithmetic),
    exp.Between: _between,
    exp.In: _in,
    exp.Like: _like,
    exp.ILike: _like,
    exp.Escape: _escape,
    exp.RegexpLike: _regexp,
    exp.RegexpILike: _regexp,
    exp.SimilarTo: _similar,
    exp.Operator: _operator,
    exp.Collate: _collate,
    exp.Ordered: _ordered,
    exp.Neg: _negative,
    exp.Limit: _limit,
    exp.Offset: _limit,
    exp.DPipe: _joined,
    exp.Concat: _strings,
    exp.ByteString: _string,
    exp.RawString: _string,
    exp.UnicodeString: _string,
    exp.JSONExtractScalar: arrays.member,
    exp.JSONBExtractScalar: arrays.path,
    exp.JSONBExtract: arrays.path,
    exp.ArrayContainsAll: arrays.contains,
    exp.AtTimeZone: _zone,
    exp.Dot: _field,
    exp.Bracket: arrays.element,
    exp.Array: arrays.array,
    exp.Cast: casts.cast,
    exp.Interval: casts.interval_literal,
    exp.Anonymous: calls.function,
    exp.Filter: calls.filtered,
    exp.WithinGroup: calls.within_group,
    exp.Window: calls.window,
}
if hasattr(exp, "ArrayContainedBy"):  # since sqlglot 29
    STEPS[exp.ArrayContainedBy] = arrays.contains
