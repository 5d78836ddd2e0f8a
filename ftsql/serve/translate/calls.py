"""Rewrite calls of PostgreSQL's functions as calls of SQLite's, or of those in functions/, with the prefix pgsql_.

An unknown name stays as it is, and SQLite says that there is no such function.
"""

from __future__ import annotations

from collections.abc import Callable

from ftsql.serve import errors
from ftsql.serve.functions import date_parts
from ftsql.serve.functions.register import NAMES
from ftsql.serve.text import words
from ftsql.serve.translate import aggregation, casts
from ftsql.serve.translate.inference import type_of, with_type
from ftsql.serve.translate.tree import Node, Parameters, call, exp
from ftsql.serve.translate.type_names import INTEGERS, NUMBERS, TEXTS, TIMES, UNKNOWN

Special = Callable[[Node, Parameters], Node | None]
ROWS = frozenset(
    words(
        "generate_series unnest regexp_split_to_table string_to_table json_array_elements "
        "json_array_elements_text jsonb_array_elements jsonb_array_elements_text regexp_matches json_each "
        "jsonb_each json_each_text json_object_keys jsonb_object_keys json_to_recordset jsonb_to_recordset"
    )
)
RENAMED = {"char_length": "length", "character_length": "length", "strpos": "instr", "btrim": "trim",
           "bool_and": "min", "bool_or": "max", "every": "min", "chr": "char", "ceiling": "ceil",
           "json_array_length": "json_array_length", "jsonb_array_length": "json_array_length",
           "json_build_object": "json_object", "jsonb_build_object": "json_object"}  # fmt: skip
CLOCKS = ("now", "current_timestamp", "transaction_timestamp", "statement_timestamp", "clock_timestamp",
          "localtimestamp")  # fmt: skip
TYPES = ("date", "timestamp", "timestamptz", "text", "int4", "int8", "float8", "numeric", "bool", "interval", "varchar")
INTERVAL = ("years", "months", "weeks", "days", "hours", "mins", "secs")


def substitute(node: Node, found: Node) -> None:
    """Replace ``node`` with ``found``, in parentheses if precedence requires them."""
    if isinstance(found, (exp.Binary, exp.Not, exp.Neg)) and isinstance(
        node.parent, (exp.Binary, exp.Not, exp.Neg, exp.Between, exp.In, exp.Is, exp.Cast)
    ):
        found = with_type(exp.Paren(this=found), type_of(found))
    node.replace(found)


def function(node: Node, parameters: Parameters) -> Node | None:
    """Rewrite a call according to its name. Return None if the call stays as it is."""
    try:
        return _called(node, parameters)
    except (IndexError, ValueError):  # too few arguments, or too many
        count = len(node.expressions)
        raise errors.syntax(f"function {node.name} with {count} arguments does not exist", "42883") from None


def _called(node: Node, parameters: Parameters) -> Node | None:
    name = node.name
    if name in SPECIAL:
        return SPECIAL[name](node, parameters)
    if name in CLOCKS:
        return _now(node)
    if name in ROWS and not isinstance(node.parent, exp.Table):
        raise errors.unsupported(f"{name} in the list of columns", f"write FROM {name}(…) AS x")
    if aggregation.is_aggregate(name):
        return aggregation.aggregate(node)
    if name in TYPES and len(node.expressions) == 1:
        return casts.cast(exp.Cast(this=node.expressions[0], to=exp.DataType.build(name, dialect="postgres")),
                          parameters)  # fmt: skip
    if name in RENAMED:
        return call(RENAMED[name], *node.expressions)
    if name in NAMES:
        return call(f"pgsql_{name}", *node.expressions)
    return None


def real(node: Node) -> Node:
    """Return ``node`` cast to a float, because SQLite drops the fraction when it divides integers."""
    return exp.Cast(this=node, to=exp.DataType.build("double"))


def at_zone(value: Node, zone: Node, parameters: Parameters) -> Node:
    """Return ``value AT TIME ZONE zone``. For UTC, only the type changes, because all times are in UTC anyway."""
    parameters.note(zone, "text")
    direction = 1 if type_of(value) == "timestamptz" else -1
    value = casts.coerced(value, "timestamp", parameters)
    if type_of(value) == "date":
        value = call("pgsql_timestamp", value)
    if isinstance(zone, exp.Literal) and str(zone.this).upper() in ("UTC", "GMT", "ETC/UTC"):
        return exp.Paren(this=value)
    return call("pgsql_at_zone", value, zone, direction)


def filtered(node: Node, _: Parameters) -> Node | None:
    """If ``aggregate`` built an expression around the aggregate, move FILTER to the aggregate itself."""
    return aggregation.apply_inside(node.this, lambda inner: exp.Filter(this=inner, expression=node.expression))


def window(node: Node, _: Parameters) -> Node | None:
    spec = node.args.get("spec")
    if spec is not None and str(spec.args.get("kind")).upper() == "RANGE":
        for side in ("start", "end"):
            if isinstance(spec.args.get(side), Node) and type_of(spec.args[side]) == "interval":
                raise errors.unsupported("RANGE with an interval", "write ROWS, or a join")
    if not isinstance(node.this, Node):
        return None
    return aggregation.apply_inside(node.this, lambda inner: _over(node, inner))


def _over(node: Node, inner: Node) -> Node:
    node = node.copy()
    node.set("this", inner)
    return node


def within_group(node: Node, parameters: Parameters) -> Node | None:
    """Rewrite ``percentile_cont(0.5) WITHIN GROUP (ORDER BY x)``."""
    name = node.this.name.removeprefix("pgsql_")
    if name not in ("percentile_cont", "percentile_disc", "mode"):
        raise errors.unsupported(f"{name} WITHIN GROUP")
    order = node.expression.expressions[0]
    fraction = node.this.expressions[0] if node.this.expressions else exp.Literal.number(0)
    parameters.note(fraction, "float8")
    return call(f"pgsql_{name}", order.this, fraction, 1 if order.args.get("desc") else 0)


def _now(node: Node) -> Node:
    # SQLite's clock does not advance while a statement runs. Trailing zeros are removed, as in every other timestamp.
    now = call("strftime", "%Y-%m-%d %H:%M:%f", "now")
    if node.expressions:
        return call("pgsql_timestamp_round", now, *node.expressions)
    return call("rtrim", call("rtrim", now, "0"), ".")


def _today(node: Node, _: Parameters) -> Node:
    return call("date", "now")


def _to_timestamp(node: Node, parameters: Parameters) -> Node | None:
    if len(node.expressions) == 2:
        return call("pgsql_parse_time", *node.expressions)
    seconds = node.expressions[0]
    parameters.note(seconds, "float8")
    if type_of(seconds) in INTEGERS and not isinstance(seconds, exp.Literal):
        return call("strftime", "%Y-%m-%d %H:%M:%S", seconds, "unixepoch")
    return call("pgsql_to_timestamp", seconds)


def _to_date(node: Node, _: Parameters) -> Node | None:
    return call("substr", call("pgsql_parse_time", *node.expressions), 1, 10)


def _date_part(node: Node, parameters: Parameters) -> Node | None:
    word, value = node.expressions
    if isinstance(word, exp.Literal):
        word = exp.Literal.string(date_parts.unit_name(str(word.this)))
    if type_of(value) in (*NUMBERS, *TEXTS, "bool"):
        raise errors.syntax(
            f"function date_part(unknown, {type_of(value)}) does not exist: write to_timestamp(…) or ::timestamp around"
            " the value", "42883",
        )  # fmt: skip
    return call("pgsql_date_part", word, casts.coerced(value, "timestamptz", parameters))


def _date_trunc(node: Node, parameters: Parameters) -> Node | None:
    word, value, *zone = node.expressions
    parameters.note(word, "text")
    if isinstance(word, exp.Literal):
        word = exp.Literal.string(date_parts.unit_name(str(word.this)))
    if type_of(value) in (*NUMBERS, *TEXTS, "bool"):
        raise errors.syntax(
            f"function date_trunc(unknown, {type_of(value)}) does not exist: write to_timestamp(…) or ::timestamp"
            " around the value", "42883",
        )  # fmt: skip
    return call("pgsql_date_trunc", word, casts.coerced(value, "timestamptz", parameters), *zone)


def _age(node: Node, parameters: Parameters) -> Node | None:
    values = [casts.coerced(value, "timestamptz", parameters) for value in node.expressions]
    return call("pgsql_age", *([call("date", "now"), *values] if len(values) == 1 else values))


def _rounded(node: Node, _: Parameters) -> Node | None:
    if type_of(node.expressions[0]) in ("float8", "float4") and len(node.expressions) == 1:
        return call("pgsql_round_even", *node.expressions)
    return call("pgsql_round", *node.expressions, *([0] if len(node.expressions) == 1 else []))


def _trunc(node: Node, _: Parameters) -> Node | None:
    return call("pgsql_trunc", *node.expressions) if len(node.expressions) > 1 else None


def _coalesce(node: Node, parameters: Parameters) -> Node | None:
    type = casts.common_type(node.expressions)
    if type is not None:
        node.set("expressions", [casts.coerced(value, type, parameters) for value in node.expressions])
    return node.expressions[0] if len(node.expressions) == 1 else None


def _extreme(node: Node, parameters: Parameters) -> Node | None:
    _coalesce(node, parameters)
    if type_of(node) == "interval":
        raise errors.unsupported(f"{node.name} of intervals", "write CASE WHEN a > b THEN a ELSE b END")
    return call(f"pgsql_{node.name}", *node.expressions)


def _nullif(node: Node, parameters: Parameters) -> Node | None:
    type = casts.common_type(node.expressions)
    if type is not None:
        node.set("expressions", [casts.coerced(value, type, parameters) for value in node.expressions])
    return None


def _substring(node: Node, _: Parameters) -> Node | None:
    if len(node.expressions) == 2 and type_of(node.expressions[1]) in (UNKNOWN, *TEXTS):
        return call("pgsql_regexp_substr", *node.expressions)
    return call("pgsql_substring", *node.expressions)


def _texts(node: Node, _: Parameters) -> Node | None:
    """Rewrite concat and concat_ws, which convert every argument to text."""
    return call(node.name, *[_printed(argument) for argument in node.expressions])


def _printed(node: Node) -> Node:
    if type_of(node) in (*TEXTS, *INTEGERS, UNKNOWN, None):
        return node
    return _first_letter(node) if type_of(node) == "bool" else casts.as_text(node)


def _first_letter(node: Node) -> Node:
    """Return a boolean as t or f, like concat. ``::text`` would return the whole word."""
    return call("substr", casts.as_text(node), 1, 1)


def _row(node: Node, _: Parameters) -> Node | None:
    return exp.Tuple(expressions=node.expressions)


def _array_of_rows(node: Node, _: Parameters) -> Node | None:
    inner = node.expressions[0] if node.expressions else None
    if not isinstance(inner, (exp.Select, exp.SetOperation)):
        return None
    source = exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier("_array")))
    name = inner.selects[0].alias_or_name
    return exp.Subquery(this=exp.select(call("json_group_array", exp.column(name, quoted=True))).from_(source))


def _zoned(node: Node, parameters: Parameters) -> Node | None:
    return at_zone(node.expressions[1], node.expressions[0], parameters) if len(node.expressions) == 2 else None


def _make_interval(node: Node, _: Parameters) -> Node | None:
    parts: dict[str, Node] = {}
    for number, argument in enumerate(node.expressions):
        named = isinstance(argument, (exp.Kwarg, exp.PropertyEQ))
        parts[argument.this.name if named else INTERVAL[number]] = argument.expression if named else argument
    return call("pgsql_make_interval", *[parts.get(name, exp.Literal.number(0)) for name in INTERVAL])


def _refused(node: Node, _: Parameters) -> Node | None:
    raise errors.unsupported(f"the function {node.name}")


def _time_of_value(node: Node, _: Parameters) -> Node | None:
    value = node.expressions[0]
    if type_of(value) in TIMES or type_of(value) in (*NUMBERS, "interval", None, UNKNOWN):
        return call("pgsql_to_char", *node.expressions)
    raise errors.syntax(
        f"function to_char({type_of(value)}, unknown) does not exist: write ::timestamp around the value", "42883"
    )


SPECIAL: dict[str, Special] = {
    **dict.fromkeys(("pg_sleep", "pg_sleep_for", "pg_read_file", "pg_terminate_backend", "lo_import", "lo_export",
                     "dblink", "query_to_xml", "pg_advisory_lock", "nextval", "setval", "load_extension"), _refused),
    "current_date": _today,
    "to_timestamp": _to_timestamp,
    "to_date": _to_date,
    "to_char": _time_of_value,
    "extract": _date_part,
    "date_part": _date_part,
    "date_trunc": _date_trunc,
    "age": _age,
    "round": _rounded,
    "trunc": _trunc,
    "coalesce": _coalesce,
    "greatest": _extreme,
    "least": _extreme,
    "nullif": _nullif,
    "substring": _substring,
    "substr": _substring,
    "concat": _texts,
    "concat_ws": _texts,
    "row": _row,
    "array": _array_of_rows,
    "timezone": _zoned,
    "make_interval": _make_interval,
}  # fmt: skip
