"""Type inference: find the type that PostgreSQL gives each expression of a statement.

The type is stored in the node's ``meta``. If the type cannot be inferred, it is None, and no rewrite relies on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ftsql.serve.text import words
from ftsql.serve.translate.tree import ByClass, Node, Scope, exp, traverse_scope
from ftsql.serve.translate.type_names import (
    INTEGERS,
    NUMBERS,
    TEXTS,
    TIMES,
    UNKNOWN,
    of_cast,
    of_declared,
    of_number,
    wider,
)

Columns = list[tuple[str, str | None]]
Tables = Mapping[str, Sequence[tuple[str, str]]]
Origin = tuple[Node, Node]  # the query that computes a column of a derived table, and its expression there
Rule = Callable[[Any], str | None]  # returns a type for a node, or for the types of a function's arguments

BOOLEAN = (exp.Predicate, exp.Not, exp.And, exp.Or, exp.Boolean, exp.Exists, exp.Between, exp.In, exp.Like, exp.ILike)
TEXTUAL = frozenset(
    words(
        "to_char concat concat_ws lower upper initcap substring substr left right lpad rpad replace "
        "split_part btrim ltrim rtrim trim md5 chr repeat reverse translate regexp_replace regexp_substr "
        "overlay string_agg format version current_setting quote_ident quote_literal array_to_string "
        "format_type pg_get_expr obj_description col_description pg_get_indexdef "
        "pg_get_constraintdef pg_get_viewdef pg_size_pretty json_typeof jsonb_typeof json_extract_path_text "
        "timeofday pg_typeof encode"
    )
)
RETURNS: dict[str, str] = {
    **dict.fromkeys(words("count row_number rank dense_rank regr_count"), "int8"),
    **dict.fromkeys(words("ntile length char_length character_length strpos ascii width_bucket json_array_length "
    "jsonb_array_length array_length cardinality octet_length array_upper array_lower pg_backend_pid"), "int4"),
    **dict.fromkeys(words("date_part percentile_cont cume_dist percent_rank random degrees radians pi corr "
    "sin cos tan cbrt atan asin acos"), "float8"),
    **dict.fromkeys(words("to_timestamp now current_timestamp statement_timestamp clock_timestamp "
    "transaction_timestamp"), "timestamptz"),
    **dict.fromkeys(["localtimestamp", "make_timestamp"], "timestamp"),
    **dict.fromkeys(["current_date", "to_date", "make_date"], "date"),
    **dict.fromkeys(words("age make_interval justify_days justify_hours justify_interval"), "interval"),
    **dict.fromkeys(words("bool_and bool_or every starts_with pg_table_is_visible pg_type_is_visible "
    "pg_function_is_visible has_table_privilege has_schema_privilege has_database_privilege has_column_privilege "
    "pg_is_in_recovery isfinite"), "bool"),
    **dict.fromkeys(words("unixepoch pg_total_relation_size pg_relation_size pg_table_size pg_database_size "
    "factorial"), "int8"),
    **dict.fromkeys(TEXTUAL, "text"),
    **dict.fromkeys(words("current_user session_user user current_role current_catalog current_schema current_database "
    "pg_get_userbyid pg_encoding_to_char"), "name"),
    **dict.fromkeys(["extract", "to_number"], "numeric"),
    **dict.fromkeys(words("json_build_object row_to_json to_json json_agg json_object_agg"), "json"),
    **dict.fromkeys(["jsonb_build_object", "to_jsonb", "jsonb_agg", "jsonb_object_agg"], "jsonb"),
}  # fmt: skip


def type_of(node: Node | None) -> str | None:
    """Return the type that was inferred for ``node``."""
    found = node.meta.get("pg") if node is not None else None
    return found if isinstance(found, str) else None


def with_type(node: Node, type: str | None) -> Node:
    """Set the type of ``node`` and return it."""
    node.meta["pg"] = type
    return node


def widest(types: Sequence[str | None]) -> str | None:
    """Return the common type of values with these types. A string whose type is unknown becomes text."""
    found: str | None = UNKNOWN
    for type in types:
        found = wider(found, type)
    return "text" if found == UNKNOWN else found


class Inference:
    """The types of a statement. ``columns`` holds the name and type of each column of its result."""

    def __init__(self, root: Node, tables: Tables) -> None:
        self._tables = {name.lower(): columns for name, columns in tables.items()}
        self._outputs: dict[int, Columns | None] = {}
        self._sources: dict[int, dict[str, Columns | None]] = {}
        self._origins: dict[int, Origin] = {}
        self._alive: list[Node] = []  # keeps nodes alive, because Python must not reuse their id() for other nodes
        for scope in traverse_scope(root):
            self._infer_scope(scope)
        self.columns = self._outputs.get(id(root.unnest() if isinstance(root, exp.Subquery) else root))

    def origin(self, column: Node) -> Origin | None:
        """Return the query that computes a column of a derived table, and the column's expression there."""
        return self._origins.get(id(column))

    def sources(self, select: Node) -> dict[str, Columns | None]:
        """Return, by name, the tables that a query reads, with their columns if these are known."""
        return self._sources.get(id(select), {})

    def _infer_scope(self, scope: Scope) -> None:
        query = scope.expression
        self._alive.append(query)
        sources = {name: self._known(source) for name, source in scope.sources.items()}
        selected = {name: sources.get(name) for name in scope.selected_sources}
        self._sources[id(query)] = selected
        for node in reversed(list(scope.walk())):
            if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star):
                with_type(node, self._column(scope, node))
            elif isinstance(node, exp.Subquery) and not isinstance(node.parent, (exp.From, exp.Join)):
                inner = self._outputs.get(id(node.unnest()))
                with_type(node, inner[0][1] if inner else None)
            elif isinstance(node, Node):
                with_type(node, _infer(node))
        if isinstance(query, exp.SetOperation):
            self._outputs[id(query)] = self._set_columns(query)
        elif isinstance(query, exp.Select):
            self._outputs[id(query)] = _select_columns(query, selected)
        elif isinstance(query, exp.Values):
            row = query.expressions[0]
            items = row.expressions if isinstance(row, exp.Tuple) else [row]
            self._outputs[id(query)] = [(f"column{n + 1}", type_of(item)) for n, item in enumerate(items)]

    def _set_columns(self, query: exp.SetOperation) -> Columns | None:
        left, right = (self._outputs.get(id(side.unnest())) for side in (query.this, query.expression))
        if not left or not right or len(left) != len(right):
            return left
        return [(one[0], wider(one[1], other[1])) for one, other in zip(left, right, strict=True)]

    def _declared(self, table: exp.Table) -> Columns | None:
        name = table.name.lower()
        if isinstance(table.this, exp.Func):
            return [("_value", _of_row_function(table.this)), ("_place", "int4")]
        keys = [f"{table.db.lower()}.{name}"] if table.db else [name, f"pg_catalog.{name}"]
        if table.db in ("live", "main"):
            keys.append(name)
        found = next((self._tables[key] for key in keys if key in self._tables), None)
        return None if found is None else [(column, of_declared(declared)) for column, declared in found]

    def _column(self, scope: Scope | None, column: exp.Column) -> str | None:
        own = scope
        while scope is not None:
            for name, (_, source) in scope.selected_sources.items():
                if column.table and column.table != name:
                    continue
                known = self._sources.get(id(scope.expression), {}).get(name) or self._known(source)
                for other, type in known or ():
                    if other.lower() == column.name.lower():
                        if scope is own:  # a filter on an outer query's column drops no row of that query
                            self._note_origin(column, source)
                        return type
            scope = scope.parent
        return None

    def _known(self, source: object) -> Columns | None:
        if isinstance(source, Scope):
            return self._outputs.get(id(source.expression))
        return self._declared(source) if isinstance(source, exp.Table) else None

    def _note_origin(self, column: exp.Column, source: object) -> None:
        """Record the origin of a derived table's column. With ``*``, this origin is the column of that name below."""
        if not isinstance(source, Scope) or not isinstance(source.expression, exp.Select):
            return
        query = source.expression
        made: Node | None = None
        for projection in query.expressions:
            if projection.alias_or_name.lower() == column.name.lower():
                made = projection.unalias()
        star = any(isinstance(projection, exp.Star) for projection in query.expressions)
        if made is None and star and len(source.selected_sources) == 1:
            made = exp.column(column.name, quoted=True)
            for _, below in source.selected_sources.values():
                self._note_origin(made, below)
        if made is not None:
            self._alive.append(column)
            self._origins[id(column)] = (query, made)


def _select_columns(query: exp.Select, sources: Mapping[str, Columns | None]) -> Columns | None:
    found: Columns = []
    for projection in query.expressions:
        if not projection.is_star:
            found.append((projection.alias_or_name, type_of(projection.unalias())))
            continue
        for name, columns in sources.items():
            if not isinstance(projection, exp.Column) or projection.table == name:
                if columns is None:
                    return None
                found += columns
    return found


def _infer(node: Node) -> str | None:
    """Return the type of an expression whose parts already have their types."""
    rule = RULES.get(node)
    return rule(node) if rule is not None else None


def _always(type: str) -> Rule:
    return lambda _: type


def _inner(node: Node) -> str | None:
    return type_of(node.this)


def _literal(node: Node) -> str | None:
    return UNKNOWN if node.is_string else of_number(str(node.this))


def _within_group(node: Node) -> str | None:
    inner, order = type_of(node.this), node.expression.expressions[0]
    return type_of(order.this) if inner is None or type_of(order.this) == "interval" else inner


def _first_item(node: Node) -> str | None:
    return type_of(node.expressions[0]) if node.expressions else None


def _at_zone(node: Node) -> str | None:
    return "timestamp" if type_of(node.this) == "timestamptz" else "timestamptz"


def _case(node: Node) -> str | None:
    parts = [*(one.args["true"] for one in node.args["ifs"]), node.args.get("default")]
    return widest([type_of(part) for part in parts if part is not None])


def _concatenation(node: Node) -> str | None:
    sides = [type_of(node.this), type_of(node.expression)]
    return next((side for side in sides if side and side.endswith("[]")), "text")


def _json_member(node: Node) -> str | None:
    return type_of(node.this) or "json"


def _array(node: Node) -> str | None:
    inner = _first_item(node)
    return f"{'text' if inner == UNKNOWN else inner}[]" if inner else None


def _power(node: Node) -> str | None:
    sides = (type_of(node.this), type_of(node.expression))
    return "numeric" if "numeric" in sides and "float8" not in sides else "float8"


def _arithmetic(node: Node) -> str | None:
    left, right = type_of(node.this), type_of(node.expression)
    if left in TIMES or right in TIMES:
        return _time_arithmetic(node, left, right)
    if "interval" in (left, right):
        return "interval"
    if None in (left, right):
        return None
    return wider(left, right) if left in (*NUMBERS, UNKNOWN) and right in (*NUMBERS, UNKNOWN) else None


def _time_arithmetic(node: Node, left: str | None, right: str | None) -> str | None:
    if left in TIMES and right in TIMES:
        return "int4" if left == right == "date" else "interval"
    time, other = (left, right) if left in TIMES else (right, left)
    if time == "date":
        return "timestamp" if other == "interval" else "date"
    return "interval" if isinstance(node, exp.Sub) and other == UNKNOWN else time


def _call(node: Node) -> str | None:
    arguments = [type_of(argument) for argument in node.expressions]
    rule = FUNCTIONS.get(node.name)
    return rule(arguments) if rule is not None else RETURNS.get(node.name)


def _of_row_function(function: Node) -> str | None:
    """Return the type of the values that a function in FROM returns."""
    for node in reversed(list(function.walk(bfs=True))):
        with_type(node, _infer(node))
    types = [type_of(argument) for argument in function.expressions]
    if function.name == "pgsql_elements":
        inner = types[0]
        return inner.removesuffix("[]") if inner and inner.endswith("[]") else "text"
    if types[-1:] == ["interval"] or any(type in TIMES for type in types):
        return "timestamp" if "timestamp" in types and "timestamptz" not in types else "timestamptz"
    return wider(types[0], types[1]) if len(types) > 1 else None


RULES: ByClass[Rule] = ByClass(
    (exp.Literal, _literal),
    ((exp.Null, exp.ByteString, exp.RawString), _always(UNKNOWN)),
    (exp.Cast, lambda node: of_cast(node.args["to"])),
    (exp.Interval, _always("interval")),
    (BOOLEAN, _always("bool")),
    ((exp.Paren, exp.Alias, exp.Filter, exp.Window, exp.Neg, exp.Collate, exp.Order), _inner),
    (exp.WithinGroup, _within_group),
    (exp.Distinct, _first_item),
    (exp.AtTimeZone, _at_zone),
    (exp.Case, _case),
    (exp.DPipe, _concatenation),
    ((exp.Concat, exp.JSONExtractScalar, exp.JSONBExtractScalar), _always("text")),
    (exp.JSONExtract, _json_member),
    (exp.Pow, _power),
    ((exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod), _arithmetic),
    (exp.Array, _array),
    (exp.Anonymous, _call),
)


# --- functions, by the types of their arguments

Types = Sequence[str | None]


def _first(arguments: Types) -> str | None:
    first = arguments[0] if arguments else None
    return "text" if first in TEXTS else first


def _rounded(arguments: Types) -> str | None:
    return "float8" if arguments and arguments[0] in INTEGERS else _first(arguments)


def _round(arguments: Types) -> str | None:
    return "numeric" if len(arguments) > 1 and arguments[0] in INTEGERS else _rounded(arguments)


def _sum(arguments: Types) -> str | None:
    first = arguments[0] if arguments else None
    return {"int2": "int8", "int4": "int8", "int8": "numeric"}.get(first or "", first)


def _average(arguments: Types) -> str | None:
    first = arguments[0] if arguments else None
    return "numeric" if first in (*INTEGERS, "numeric") else "float8" if first in NUMBERS else first


def _exact_or_float(arguments: Types) -> str | None:
    return "numeric" if "numeric" in arguments and "float8" not in arguments else "float8"


def _date_trunc(arguments: Types) -> str | None:
    second = arguments[1] if len(arguments) > 1 else None
    return "timestamptz" if second in ("date", UNKNOWN) else second


def _timezone(arguments: Types) -> str | None:
    if len(arguments) != 2:
        return None
    return "timestamp" if arguments[1] == "timestamptz" else "timestamptz"


def _array_of(arguments: Types) -> str | None:
    return f"{arguments[0]}[]" if arguments and arguments[0] else None


def _element_of(arguments: Types) -> str | None:
    return arguments[0].removesuffix("[]") if arguments and arguments[0] else None


FUNCTIONS: dict[str, Rule] = {  # the others are in RETURNS
    **dict.fromkeys(
        words("min max nullif lag lead first_value last_value nth_value any_value abs mod generate_series"), _first
    ),
    **dict.fromkeys(words("ceil ceiling floor trunc sign"), _rounded),
    "round": _round,
    **dict.fromkeys(("coalesce", "greatest", "least"), widest),
    "sum": _sum,
    **dict.fromkeys(words("avg stddev stddev_samp stddev_pop variance var_samp var_pop"), _average),
    **dict.fromkeys(words("power pow ln log exp sqrt"), _exact_or_float),
    **dict.fromkeys(("date_trunc", "date_bin"), _date_trunc),
    "timezone": _timezone,
    "array_agg": _array_of,
    "unnest": _element_of,
}
