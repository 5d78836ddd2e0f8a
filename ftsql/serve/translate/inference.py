"""Types: what PostgreSQL makes of every expression of a statement, told from its tables.

A type stands in the node's ``meta``; where it cannot be told it is None, and nothing is built on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ftsql.serve.text import words
from ftsql.serve.translate.tree import Node, Scope, exp, traverse_scope
from ftsql.serve.translate.type_names import (
    NUMBERS,
    TEXTS,
    TIMES,
    UNKNOWN,
    WHOLE,
    of_cast,
    of_declared,
    of_number,
    wider,
)

Columns = list[tuple[str, str | None]]
Tables = Mapping[str, Sequence[tuple[str, str]]]
Origin = tuple[Node, Node]  # the query that makes a derived column, and its expression there

BOOLEAN = (exp.Predicate, exp.Not, exp.And, exp.Or, exp.Boolean, exp.Exists, exp.Between, exp.In, exp.Like, exp.ILike)
FIRST = frozenset(
    words(
        "min max coalesce nullif greatest least lag lead first_value last_value nth_value any_value abs mod "
        "generate_series ceil ceiling floor round trunc sign"
    )
)
TEXTUAL = frozenset(
    words(
        "to_char concat concat_ws lower upper initcap substring substr left right lpad rpad replace "
        "split_part btrim ltrim rtrim trim md5 chr repeat reverse translate regexp_replace regexp_substr "
        "overlay string_agg format version current_setting quote_ident quote_literal array_to_string "
        "format_type pg_get_expr obj_description col_description "
        " pg_encoding_to_char pg_get_indexdef "
        "pg_get_constraintdef pg_get_viewdef pg_size_pretty json_typeof jsonb_typeof json_extract_path_text "
        "timeofday pg_typeof encode"
    )
)
RETURNS: dict[str, str] = {
    **dict.fromkeys(words("count row_number rank dense_rank regr_count"), "int8"),
    **dict.fromkeys(words("ntile length char_length character_length strpos ascii width_bucket json_array_length "
    "jsonb_array_length array_length cardinality octet_length array_upper array_lower pg_backend_pid"), "int4"),
    **dict.fromkeys(words("date_part percentile_cont cume_dist percent_rank random sqrt exp degrees radians pi corr "
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
    """What was told of ``node``."""
    found = node.meta.get("pg") if node is not None else None
    return found if isinstance(found, str) else None


def typed(node: Node, type: str | None) -> Node:
    """``node``, told to be of a type."""
    node.meta["pg"] = type
    return node


class Inference:
    """A statement's types; ``columns`` are the result's, ``origins`` where derived columns come from."""

    def __init__(self, root: Node, tables: Tables) -> None:
        self._tables = {name.lower(): columns for name, columns in tables.items()}
        self._outputs: dict[int, Columns | None] = {}
        self._sources: dict[int, dict[str, Columns | None]] = {}
        self._origins: dict[int, Origin] = {}
        self._alive: list[Node] = []  # what is told of by id, which must not become another node's
        for scope in traverse_scope(root):
            self._scope(scope)
        self.columns = self._outputs.get(id(root.unnest() if isinstance(root, exp.Subquery) else root))

    def origin(self, column: Node) -> Origin | None:
        """Where a column of a derived table is made."""
        return self._origins.get(id(column))

    def sources(self, select: Node) -> dict[str, Columns | None]:
        """What a query selects from, with the columns of each where they are known."""
        return self._sources.get(id(select), {})

    def _scope(self, scope: Scope) -> None:
        query = scope.expression
        self._alive.append(query)
        sources: dict[str, Columns | None] = {}
        for name, source in scope.sources.items():
            if isinstance(source, exp.Table):
                sources[name] = self._declared(source)
            elif isinstance(source, Scope):
                sources[name] = self._outputs.get(id(source.expression))
        selected = {name: sources.get(name) for name in scope.selected_sources}
        self._sources[id(query)] = selected
        for node in reversed(list(scope.walk())):
            if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star):
                typed(node, self._column(scope, node))
            elif isinstance(node, exp.Subquery) and not isinstance(node.parent, (exp.From, exp.Join)):
                inner = self._outputs.get(id(node.unnest()))
                typed(node, inner[0][1] if inner else None)
            elif isinstance(node, Node):
                typed(node, _told(node))
        if isinstance(query, exp.SetOperation):
            left, right = (self._outputs.get(id(side.unnest())) for side in (query.this, query.expression))
            both = left and right and len(left) == len(right)
            self._outputs[id(query)] = (
                [(one[0], wider(one[1], two[1])) for one, two in zip(left, right, strict=True)]
                if both and left and right
                else left
            )
        elif isinstance(query, exp.Select):
            self._outputs[id(query)] = _result(query, selected)
        elif isinstance(query, exp.Values):
            row = query.expressions[0]
            items = row.expressions if isinstance(row, exp.Tuple) else [row]
            self._outputs[id(query)] = [(f"column{n + 1}", type_of(item)) for n, item in enumerate(items)]

    def _declared(self, table: exp.Table) -> Columns | None:
        name = table.name.lower()
        if isinstance(table.this, exp.Func):
            return [("_value", _of_rows(table.this)), ("_place", "int4")]
        keys = [f"{table.db.lower()}.{name}"] if table.db else [name, f"pg_catalog.{name}"]
        if table.db in ("live", "main"):
            keys.append(name)
        found = next((self._tables[key] for key in keys if key in self._tables), None)
        return None if found is None else [(column, of_declared(declared)) for column, declared in found]

    def _column(self, scope: Scope | None, column: exp.Column) -> str | None:
        own = scope
        while scope is not None:
            for name, source in scope.selected_sources.items():
                if column.table and column.table != name:
                    continue
                known = self._sources.get(id(scope.expression), {}).get(name) or self._known(source[1])
                for other, type in known or ():
                    if other.lower() == column.name.lower():
                        if scope is own:  # else no row of this query stands or falls with it
                            self._note(column, source[1])
                        return type
            scope = scope.parent
        return None

    def _known(self, source: object) -> Columns | None:
        if isinstance(source, Scope):
            return self._outputs.get(id(source.expression))
        return self._declared(source) if isinstance(source, exp.Table) else None

    def _note(self, column: exp.Column, source: object) -> None:
        """Where a derived table's column is made; a * passes on the column of the same name below it."""
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
                self._note(made, below)
        if made is not None:
            self._alive.append(column)
            self._origins[id(column)] = (query, made)


def _result(query: exp.Select, sources: Mapping[str, Columns | None]) -> Columns | None:
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


def _told(node: Node) -> str | None:
    """The type of an expression whose parts are told."""
    if isinstance(node, exp.Literal):
        return UNKNOWN if node.is_string else of_number(str(node.this))
    if isinstance(node, (exp.Null, exp.ByteString, exp.RawString)):
        return UNKNOWN
    if isinstance(node, exp.Cast):
        return of_cast(node.args["to"])
    if isinstance(node, exp.Interval):
        return "interval"
    if isinstance(node, BOOLEAN):
        return "bool"
    if isinstance(node, (exp.Paren, exp.Alias, exp.Filter, exp.Window, exp.Neg, exp.Collate)):
        return type_of(node.this)
    if isinstance(node, exp.WithinGroup):
        inner, order = type_of(node.this), node.expression.expressions[0]
        return type_of(order.this) if inner is None or type_of(order.this) == "interval" else inner
    if isinstance(node, exp.Distinct):
        return type_of(node.expressions[0]) if node.expressions else None
    if isinstance(node, exp.Order) and node.this is not None:
        return type_of(node.this)
    if isinstance(node, exp.AtTimeZone):
        return "timestamp" if type_of(node.this) == "timestamptz" else "timestamptz"
    if isinstance(node, exp.Case):
        found: str | None = UNKNOWN
        for part in [one.args["true"] for one in node.args["ifs"]] + [node.args.get("default")]:
            found = wider(found, type_of(part)) if part is not None else found
        return "text" if found == UNKNOWN else found
    if isinstance(node, exp.DPipe):
        sides = [type_of(node.this), type_of(node.expression)]
        return next((side for side in sides if side and side.endswith("[]")), "text")
    if isinstance(node, (exp.Concat, exp.JSONExtractScalar, exp.JSONBExtractScalar)):
        return "text"
    if isinstance(node, exp.JSONExtract):
        return type_of(node.this) or "json"
    if isinstance(node, (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Pow)):
        return _arithmetic(node, type_of(node.this), type_of(node.expression))
    if isinstance(node, exp.Array):
        inner = type_of(node.expressions[0]) if node.expressions else None
        return f"{'text' if inner == UNKNOWN else inner}[]" if inner else None
    if isinstance(node, exp.Anonymous):
        return _function(node.name, [type_of(argument) for argument in node.expressions])
    return None


def _of_rows(function: Node) -> str | None:
    """The type of what a function in FROM gives."""
    for node in reversed(list(function.walk(bfs=True))):
        typed(node, _told(node))
    types = [type_of(argument) for argument in function.expressions]
    if function.name == "pgsql_elements":
        inner = types[0]
        return inner.removesuffix("[]") if inner and inner.endswith("[]") else "text"
    if types[-1:] == ["interval"] or any(type in TIMES for type in types):
        return "timestamp" if "timestamp" in types and "timestamptz" not in types else "timestamptz"
    return wider(types[0], types[1]) if len(types) > 1 else None


def _arithmetic(node: Node, left: str | None, right: str | None) -> str | None:
    if isinstance(node, exp.Pow):
        return "numeric" if "numeric" in (left, right) and "float8" not in (left, right) else "float8"
    times = [one for one in (left, right) if one in TIMES]
    if len(times) == 2:
        return "int4" if left == right == "date" else "interval"
    if times:
        other = right if left == times[0] else left
        if times[0] == "date":
            return "timestamp" if other == "interval" else "date"
        return "interval" if isinstance(node, exp.Sub) and other == UNKNOWN else times[0]
    if "interval" in (left, right):
        return "interval"
    if None in (left, right):
        return None
    return wider(left, right) if left in (*NUMBERS, UNKNOWN) and right in (*NUMBERS, UNKNOWN) else None


def _function(name: str, arguments: Sequence[str | None]) -> str | None:
    first = arguments[0] if arguments else None
    if name in ("ceil", "ceiling", "floor", "round", "trunc", "sign") and first in WHOLE:
        return "numeric" if name == "round" and len(arguments) > 1 else "float8"
    if name in ("coalesce", "greatest", "least"):
        found: str | None = UNKNOWN
        for argument in arguments:
            found = wider(found, argument)
        return "text" if found == UNKNOWN else found
    if name in FIRST:
        return "text" if first in TEXTS else first
    if name == "sum":
        return {"int2": "int8", "int4": "int8", "int8": "numeric", "float4": "float4"}.get(first or "", first)
    if name in ("avg", "stddev", "stddev_samp", "stddev_pop", "variance", "var_samp", "var_pop"):
        return "numeric" if first in (*WHOLE, "numeric") else "float8" if first in NUMBERS else first
    if name in ("power", "pow", "ln", "log", "exp", "sqrt"):
        return "numeric" if "numeric" in arguments and "float8" not in arguments else "float8"
    if name in ("date_trunc", "date_bin"):
        second = arguments[1] if len(arguments) > 1 else None
        return "timestamptz" if second in ("date", UNKNOWN) else second
    if name == "timezone" and len(arguments) == 2:
        return "timestamp" if arguments[1] == "timestamptz" else "timestamptz"
    if name == "to_timestamp" or name in RETURNS:
        return RETURNS.get(name)
    if name in ("array_agg", "unnest") and first:
        return f"{first}[]" if name == "array_agg" else first.removesuffix("[]")
    return None
