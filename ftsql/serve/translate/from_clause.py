"""Rewrite FROM and other clauses of a SELECT: set-returning functions, DISTINCT ON, FETCH, UNION.

Each of these clauses becomes a form that SQLite has. For a form that is not supported, the error says what to write
instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ftsql.serve import errors
from ftsql.serve.translate.inference import Inference, type_of, with_type
from ftsql.serve.translate.tree import ByClass, Node, call, exp

AS_ARRAYS = ("unnest", "json_array_elements", "json_array_elements_text", "jsonb_array_elements",
             "jsonb_array_elements_text", "string_to_table", "regexp_split_to_table")  # fmt: skip
LISTED = ("unnest", "generate_subscripts", "generate_series")
EMPTY = {"pg_get_keywords": ("word", "catcode", "catdesc"), "pg_show_all_settings": ("name", "setting"),
         "aclexplode": ("grantor", "grantee", "privilege_type")}  # fmt: skip
SETS = ("json_each_text", "jsonb_each", "jsonb_each_text", "json_object_keys", "jsonb_object_keys", "json_to_recordset",
        "jsonb_to_recordset", "json_populate_recordset", "regexp_matches", "regexp_split_to_table", "ts_stat", "dblink",
        "pg_read_file", "pg_ls_dir", "query_to_xml")  # fmt: skip
FROM = "from_" if "from_" in exp.Select.arg_types else "from"  # newer versions of sqlglot say from_


def normalize(root: Node) -> None:
    """Rewrite the clauses whose rewrite does not depend on types."""
    for select in list(root.find_all(exp.Select)):
        _join_listed_function(select)
    for node in list(root.walk()):
        rule = CLAUSES.get(node)
        if rule is not None:
            rule(node)


def _set_operation(node: exp.SetOperation) -> None:
    if isinstance(node, (exp.Except, exp.Intersect)) and node.args.get("distinct") is False:
        raise errors.unsupported(f"{node.key.upper()} ALL", f"write {node.key.upper()}")
    if node.args.get("by_name") or node.args.get("side") or node.args.get("kind"):
        raise errors.unsupported("UNION BY NAME")
    for side in ("this", "expression"):
        if isinstance(node.args[side], exp.Subquery):
            node.set(side, _select_all(node.args[side]))


def _group(node: exp.Group) -> None:
    """Remove brackets, because GROUP BY (a, b) means GROUP BY a, b."""
    rows = [one.expressions if isinstance(one, exp.Tuple) else [one.unnest()] for one in node.expressions]
    node.set("expressions", [one for row in rows for one in row])


def _limit(node: exp.Limit) -> None:
    if _is_all(node.expression):
        node.pop()


def _unnest(node: exp.Unnest) -> None:
    _rewrite_function(node, call("unnest", *node.expressions), node.args.get("alias"))
    if node.args.get("offset"):
        raise errors.unsupported("WITH ORDINALITY")


def _table(node: exp.Table) -> None:
    if isinstance(node.this, exp.Func):
        _rewrite_function(node, node.this, node.args.get("alias"))


def _star(node: exp.Star) -> None:
    if node.args.get("except_") or node.args.get("replace"):
        raise errors.syntax('syntax error at or near "EXCEPT": name the columns')


def _join_listed_function(select: exp.Select) -> None:
    """Turn a set-returning function in the list of columns into a table that is joined to the tables in FROM."""
    calls = [node for one in select.expressions for node in one.find_all(exp.Anonymous)
             if node.name in LISTED and node.find_ancestor(exp.Select) is select]  # fmt: skip
    if not calls:
        return
    arrays = {node.expressions[0] for node in calls if node.name != "generate_series"}
    if len(arrays) + sum(node.name == "generate_series" for node in calls) > 1:
        raise errors.unsupported("more than one set-returning function in a list of columns", "join them in FROM")
    first = calls[0]
    source = (
        call("pgsql_series", *first.expressions)
        if first.name == "generate_series"
        else call("pgsql_elements", first.expressions[0])
    )
    table = exp.Table(this=source.copy(), alias=exp.TableAlias(this=exp.to_identifier("_listed")))
    if select.args.get(FROM) is None:
        select.set(FROM, exp.From(this=table))
    else:
        select.append("joins", exp.Join(this=table, kind="CROSS"))
    for node in calls:
        column: Node = exp.column("_value", table="_listed", quoted=True)
        if node.name == "generate_subscripts":
            column = exp.column("_place", table="_listed", quoted=True)
        node.replace(column)


def _select_all(subquery: exp.Subquery) -> Node:
    inner = subquery.this
    if isinstance(inner, exp.Select) and not any(inner.args.get(part) for part in ("order", "limit", "offset", "with")):
        return inner
    return exp.select("*").from_(exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier("_set"))))


def _fetch(node: exp.Fetch) -> None:
    options = node.args.get("limit_options")
    for holder in (node, options):
        if holder is not None and (holder.args.get("with_ties") or holder.args.get("percent")):
            raise errors.unsupported("FETCH FIRST … WITH TIES", "write a window function: rank() OVER (…)")
    count = node.args.get("count") or exp.Literal.number(1)
    node.replace(exp.Limit(expression=count))


def _is_all(limit: Node | None) -> bool:
    return isinstance(limit, exp.Null) or (isinstance(limit, (exp.Var, exp.Column)) and limit.name.lower() == "all")


def _rewrite_function(node: Node, function: Node, alias: Node | None) -> None:
    """Turn a function in FROM into a subquery with one column, which PostgreSQL names after the alias."""
    name = function.name.lower()
    table = alias.name if alias is not None and alias.name else name
    quoted = exp.TableAlias(this=exp.to_identifier(table, quoted=True))
    if name in EMPTY:
        empty = exp.select(*[exp.alias_(exp.Null(), column, quoted=True) for column in EMPTY[name]])
        node.replace(exp.Subquery(this=empty.where("1 = 0"), alias=exp.TableAlias(this=exp.to_identifier(table))))
        return
    source = _row_source(name, function.expressions)
    if source is None:
        if not name.startswith("pgsql_") and name != "json_each":  # any other function returns one value, in one row
            node.replace(exp.Subquery(this=exp.select(exp.alias_(function, table, quoted=True)), alias=quoted))
        return
    columns = [column.name for column in alias.columns] if isinstance(alias, exp.TableAlias) else []
    column = (columns or [table if alias is not None else name])[0]
    if not any(argument.find(exp.Column) for argument in function.expressions):
        query = exp.select(exp.alias_(exp.column("_value", quoted=True), column, quoted=True))
        node.replace(exp.Subquery(this=query.from_(exp.Table(this=source)), alias=quoted))
        return
    # The arguments contain columns of tables that stand before the function in FROM. SQLite allows such columns in the
    # arguments of a table function, but not inside a subquery.
    around = node.find_ancestor(exp.Select)
    for found in list(around.find_all(exp.Column)) if around is not None else []:
        if found.name == column and found.table in ("", table):
            found.replace(exp.column("_value", table=table, quoted=True))
    node.replace(exp.Table(this=source, alias=quoted))


def _row_source(name: str, arguments: Sequence[Node]) -> Node | None:
    """Return the table function in register.py that replaces a set-returning function; None for other functions."""
    if name == "generate_series":
        return call("pgsql_series", *arguments)
    if name in AS_ARRAYS and len(arguments) == (2 if name.endswith("_table") else 1):
        array = call(f"pgsql_{'regexp_split' if name[0] == 'r' else 'string'}_to_array", *arguments)
        return call("pgsql_elements", array if name.endswith("_table") else arguments[0])
    if name in SETS or name.startswith("_pg_"):
        raise errors.unsupported(f"{name}(…) in FROM", "unnest returns the elements of an array")
    return None


def mark_order(root: Node, never_null: frozenset[tuple[str, str]]) -> None:
    """Mark the terms of ORDER BY that are columns without NULLs. They need no NULLS FIRST or NULLS LAST."""
    for ordered in root.find_all(exp.Ordered):
        column, select = ordered.this, ordered.find_ancestor(exp.Select)
        if not isinstance(column, exp.Column) or select is None:
            continue
        source = select.args.get(FROM)
        table = source.this if source is not None else None
        if isinstance(table, exp.Table) and not select.args.get("joins") and column.table in ("", table.alias_or_name):
            by_declaration = (table.name.lower(), column.name.lower()) in never_null
            ordered.meta["never_null"] = by_declaration or _is_compared(select, column)


def _is_compared(select: exp.Select, column: exp.Column) -> bool:
    """Whether WHERE drops all rows in which the column is NULL."""
    where = select.args.get("where")
    tests = [where.this] if where is not None else []
    while tests:
        part = tests.pop().unnest()
        if isinstance(part, exp.And):
            tests += [part.this, part.expression]
        elif isinstance(part, (exp.EQ, exp.GT, exp.GTE, exp.LT, exp.LTE)):
            if any(_same(side, column) for side in (part.this, part.expression)):
                return True
        elif (isinstance(part, exp.Between) or _is_not_null(part)) and _same(part.unnest().this, column):
            return True
    return False


def _same(node: Node, column: exp.Column) -> bool:
    node = node.this if isinstance(node, exp.Is) else node
    return isinstance(node, exp.Column) and node.name == column.name and node.table in ("", column.table)


def _is_not_null(node: Node) -> bool:
    """Whether ``node`` is ``x IS NOT NULL``, which sqlglot represents in one of two ways, depending on its version."""
    if isinstance(node, exp.Not):
        node, negated = node.this, True
    else:
        negated = bool(node.args.get("negate"))
    return negated and isinstance(node, exp.Is) and isinstance(node.expression, exp.Null)


def distinct_on(root: Node, inference: Inference) -> Node:
    """Rewrite DISTINCT ON, which keeps the first row of each group in the statement's order, with row_number()."""
    holder = exp.Paren(this=root)
    for select in reversed(list(holder.find_all(exp.Select))):
        distinct = select.args.get("distinct")
        if distinct is not None and distinct.args.get("on"):
            select.replace(_first_rows(select, distinct.args["on"], inference))
    found = holder.this
    assert isinstance(found, Node)
    return found


Outputs = list[tuple[str, Node]]  # the columns of a SELECT: their names and expressions


def _first_rows(select: exp.Select, on: Node, inference: Inference) -> exp.Select:
    outputs = _outputs(select, inference)
    keys = on.expressions if isinstance(on, exp.Tuple) else [on.unnest()]
    order = select.args.get("order")
    terms = [_ordered_like(term, _meant(term.this, outputs)) for term in order.expressions] if order is not None else []
    number = exp.Window(
        this=call("row_number"),
        partition_by=[_meant(key, outputs) for key in keys],
        order=exp.Order(expressions=terms) if terms else None,
    )
    outside = ("distinct", "order", "limit", "offset", "with", "with_", "expressions")
    inner = exp.Select(**{key: value for key, value in select.args.items() if key not in outside})
    columns = [exp.alias_(made.copy(), f"_c{n}", quoted=True) for n, (_, made) in enumerate(outputs)]
    sorts = [exp.alias_(term.this.copy(), f"_o{n}", quoted=True) for n, term in enumerate(terms)]
    inner.set("expressions", [*columns, exp.alias_(number, "_n", quoted=True), *sorts])
    outer = exp.Select(
        expressions=[
            exp.alias_(_typed_column(f"_c{n}", made), name, quoted=True) for n, (name, made) in enumerate(outputs)
        ],
        where=exp.Where(this=exp.EQ(this=exp.column("_n", quoted=True), expression=exp.Literal.number(1))),
        **{key: select.args[key] for key in ("limit", "offset", "with", "with_") if select.args.get(key)},
    )
    outer.set(FROM, exp.From(this=exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier("_d")))))
    if terms:
        sorted_by = [_ordered_like(term, _typed_column(f"_o{n}", term.this)) for n, term in enumerate(terms)]
        outer.set("order", exp.Order(expressions=sorted_by))
    return outer


def _outputs(select: exp.Select, inference: Inference) -> Outputs:
    outputs: Outputs = []
    for projection in select.expressions:
        if not projection.is_star:
            outputs.append((projection.alias_or_name, projection.unalias()))
            continue
        for name, columns in inference.sources(select).items():
            if not isinstance(projection, exp.Column) or projection.table == name:
                if columns is None:
                    raise errors.unsupported("DISTINCT ON with *", "name the columns")
                outputs += [(one, with_type(exp.column(one, table=name, quoted=True), type)) for one, type in columns]
    return outputs


def _meant(node: Node, outputs: Outputs) -> Node:
    """Return the expression that a term of ORDER BY stands for. The term may be the number or the name of a column."""
    if isinstance(node, exp.Literal) and not node.is_string and 0 < int(node.this) <= len(outputs):
        return outputs[int(node.this) - 1][1].copy()
    if isinstance(node, exp.Column) and not node.table:
        node = next((made for name, made in outputs if name == node.name), node)
    return node.copy()


def _ordered_like(term: Node, node: Node) -> exp.Ordered:
    return exp.Ordered(this=node, desc=term.args.get("desc"), nulls_first=term.args.get("nulls_first"))


def _typed_column(name: str, like: Node) -> Node:
    return with_type(exp.column(name, quoted=True), type_of(like))


CLAUSES: ByClass[Callable[[Any], None]] = ByClass(
    (exp.SetOperation, _set_operation),
    (exp.Group, _group),
    (exp.Fetch, _fetch),
    (exp.Limit, _limit),
    (exp.Unnest, _unnest),
    (exp.Table, _table),
    (exp.Star, _star),
)
