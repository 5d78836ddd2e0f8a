"""Rewrite PostgreSQL's operators, casts and calls, bottom-up, so that SQLite computes the same results.

A rewrite depends on the types from inference.py. If a type is not known, the node usually stays as it is.
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
    """Rewrite the whole tree and return it. Record the types of ``parameters``."""
    holder = exp.Paren(this=root)
    for node in bottom_up(root):
        step = next((STEPS[kind] for kind in type(node).__mro__ if kind in STEPS), None)
        if step is None:
            continue
        found = step(node, parameters)
        if found is not None and found is not node:
            own = type_of(node)  # the new node takes this type, even if it is the node inside a cast
            with_type(found, type_of(found) if own is None or own in OBJECTS else own)
            calls.substitute(node, found)
    for node in list(holder.find_all(exp.Parameter)):
        if not (isinstance(node.this, exp.Literal) and not node.this.is_string):
            raise errors.syntax('syntax error at or near "@": a parameter is written $1')
        node.replace(exp.Var(this=f"?{node.this.this}"))
    found = holder.this
    assert isinstance(found, Node)
    return found


def _compared(node: Node, parameters: Parameters) -> Node | None:
    """Rewrite a comparison: give both sides one type, and compare intervals by their length."""
    if arrays.is_quantified(node.expression):
        return arrays.quantified(node, parameters)
    left, right = casts.with_one_type(node.this, node.expression, parameters)
    if type(node) in (exp.EQ, exp.NEQ) and isinstance(left, exp.Tuple):
        return None
    return type(node)(this=left, expression=right)


def _between(node: Node, parameters: Parameters) -> Node | None:
    type = casts.common_type([node.this, node.args["low"], node.args["high"]])
    if type is None:
        return None
    for part in ("this", "low", "high"):
        node.set(part, casts.comparable(coerced(node.args[part], type, parameters)))
    return None


def _in(node: Node, parameters: Parameters) -> Node | None:
    items = node.expressions
    if not items:
        return None
    if isinstance(node.this, exp.Tuple):  # SQLite compares a row with VALUES, but not with a list of rows
        node.set("expressions", None)
        node.set("query", exp.Subquery(this=exp.Values(expressions=[item.copy() for item in items])))
        return None
    type = casts.common_type([node.this, *items])
    if type is not None:
        node.set("this", casts.comparable(coerced(node.this, type, parameters)))
        node.set("expressions", [casts.comparable(coerced(item, type, parameters)) for item in items])
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
    """Rewrite ``a OPERATOR(pg_catalog.~) b``, which is how psql writes operators."""
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
        raise errors.unsupported(f"COLLATE {name}", 'strings are compared as COLLATE "C" does')
    inner: Node = node.this
    return inner


def _ordered(node: Node, _: Parameters) -> Node | None:
    """Sort intervals by their length, and place NULLs as in PostgreSQL.

    For a column without NULLs, SQLite's default is set. The SQL then says nothing about NULLs, so an index or the order
    of an API's list can be used.
    """
    select = node.find_ancestor(exp.Select, exp.SetOperation)
    term = node.this
    output = _meant_output(term, select)
    if type_of(output if output is not None else term) == "interval" and _sorts_rows(node):
        if isinstance(select, exp.SetOperation):
            raise errors.unsupported("ORDER BY an interval after UNION", "order by extract(epoch from …)")
        value = exp.column(output.alias, quoted=True) if output is not None else term
        node.set("this", call("pgsql_interval_order", value))
    if node.meta.get("never_null"):
        node.set("nulls_first", not node.args.get("desc"))
    return None


def _meant_output(term: Node, select: Node | None) -> Node | None:
    """Return the column of the SELECT that a term of ORDER BY names or numbers, or None."""
    for number, output in enumerate(getattr(select, "selects", []), 1):
        assert isinstance(output, Node)
        is_number = isinstance(term, exp.Literal) and str(term.this) == str(number)
        is_name = isinstance(term, exp.Column) and not term.table and output.alias == term.name
        if is_number or is_name:
            return output
    return None


def _sorts_rows(node: Node) -> bool:
    """Whether a term of ORDER BY sorts rows, rather than being the argument of WITHIN GROUP."""
    return isinstance(node.parent, exp.Order) and not isinstance(node.parent.parent, exp.WithinGroup)


def _arithmetic(node: Node, parameters: Parameters) -> Node | None:
    left, right = type_of(node.this), type_of(node.expression)
    if isinstance(node, (exp.Add, exp.Sub)) and (left in TIMES or right in TIMES):
        return _time_arithmetic(node, parameters)
    if "interval" in (left, right):
        return _interval_arithmetic(node, parameters)
    for side, other in ((node.this, right), (node.expression, left)):
        if other not in (None, UNKNOWN):
            parameters.note(side, other)
    if isinstance(node, exp.Div):
        return _division(node)
    if isinstance(node, exp.Mod):
        are_integers = left in INTEGERS and right in INTEGERS
        by_literal = isinstance(node.expression, exp.Literal)
        return None if are_integers and by_literal else call("pgsql_mod", node.this, node.expression)
    return call("pgsql_power", node.this, node.expression) if isinstance(node, exp.Pow) else None


def _interval_arithmetic(node: Node, parameters: Parameters) -> Node:
    left, right = node.this, node.expression
    if isinstance(node, (exp.Add, exp.Sub)):
        sides = [coerced(side, "interval", parameters) for side in (left, right)]
        return call("pgsql_interval_add", *sides, 1 if isinstance(node, exp.Add) else -1)
    if type_of(left) != "interval":
        left, right = right, left
    parameters.note(right, "float8")
    return call("pgsql_interval_times", left, right, 1 if isinstance(node, exp.Mul) else -1)


def _division(node: Node) -> Node | None:
    left, right = node.this, node.expression
    if type_of(left) is None or type_of(right) is None:
        return None
    are_integers = type_of(left) in INTEGERS and type_of(right) in INTEGERS
    is_never_zero = (isinstance(right, exp.Literal) and str(right.this).strip("0.")) or _is_nullif_zero(right)
    if is_never_zero:  # otherwise pgsql_divide is needed, because SQLite returns NULL for a division by zero
        return exp.Div(this=left if are_integers else calls.real(left), expression=right, typed=True)
    return call("pgsql_divide", left, right, 1 if are_integers else 0)


def _is_nullif_zero(node: Node) -> bool:
    """Whether ``node`` is ``nullif(x, 0)``. If x is 0, a division by ``node`` returns NULL in PostgreSQL too."""
    node = node.unnest()
    return isinstance(node, exp.Anonymous) and node.name == "nullif" and str(node.expressions[1].this).strip("0.") == ""


def _time_arithmetic(node: Node, parameters: Parameters) -> Node | None:
    left, right = node.this, node.expression
    sign = 1 if isinstance(node, exp.Add) else -1
    if sign > 0 and type_of(right) in TIMES:
        left, right = right, left
    types = (type_of(left), type_of(right))
    if types[1] == "interval" or (types[1] in (UNKNOWN, None) and sign > 0 and types[0] != "date"):
        return call("pgsql_plus", left, coerced(right, "interval", parameters), sign)
    if types[0] in TIMES and types[1] in INTEGERS:
        return call("pgsql_date_plus", left, right if sign > 0 else exp.Neg(this=exp.Paren(this=right)))
    if sign > 0:
        return None
    if "date" in types and set(types) <= {"date", UNKNOWN}:
        return call("pgsql_days_between", coerced(left, "date", parameters), coerced(right, "date", parameters))
    return call("pgsql_minus", coerced(left, "timestamptz", parameters), coerced(right, "timestamptz", parameters))


def _limit(node: Node, _: Parameters) -> Node | None:
    """Give a parameter of LIMIT or OFFSET a default, because NULL is allowed in PostgreSQL but an error in SQLite."""
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
    if all(isinstance(part, exp.Literal) for part in parts):  # 'a' 'b' on two lines is one string
        return exp.Literal.string("".join(part.this for part in parts))
    return None


def _string(node: Node, _: Parameters) -> Node | None:
    return exp.Literal.string(str(node.this))


def _zone(node: Node, parameters: Parameters) -> Node | None:
    return calls.at_zone(node.this, node.args["zone"], parameters)


def _field(node: Node, _: Parameters) -> Node | None:
    name = node.expression.name if isinstance(node.expression, (exp.Identifier, exp.Anonymous)) else ""
    if isinstance(node.expression, exp.Anonymous):
        raise errors.syntax(f"there is no schema {node.this.name} with functions", "3F000")
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
