"""What stands in FROM and around a SELECT: functions that give rows, DISTINCT ON, FETCH, sets of rows.

SQLite's own forms of them; where it has none, a refusal says what to write.
"""

from __future__ import annotations

from ftsql.serve import errors
from ftsql.serve.translate.inference import Inference, type_of, typed
from ftsql.serve.translate.tree import Node, call, exp

AS_ARRAYS = ("unnest", "json_array_elements", "json_array_elements_text", "jsonb_array_elements",
             "jsonb_array_elements_text", "string_to_table", "regexp_split_to_table")  # fmt: skip
LISTED = ("unnest", "generate_subscripts", "generate_series")
EMPTY = {"pg_get_keywords": ("word", "catcode", "catdesc"), "pg_show_all_settings": ("name", "setting"),
         "aclexplode": ("grantor", "grantee", "privilege_type")}  # fmt: skip
SETS = ("json_each_text", "jsonb_each", "jsonb_each_text", "json_object_keys", "jsonb_object_keys", "json_to_recordset",
        "jsonb_to_recordset", "json_populate_recordset", "regexp_matches", "regexp_split_to_table", "ts_stat", "dblink",
        "pg_read_file", "pg_ls_dir", "query_to_xml")  # fmt: skip
FROM = "from_" if "from_" in exp.Select.arg_types else "from"  # sqlglot renamed it


def shape(root: Node) -> None:
    """Everything that types do not matter for."""
    for select in list(root.find_all(exp.Select)):
        _listed_rows(select)
    for node in list(root.walk()):
        if isinstance(node, (exp.Except, exp.Intersect)) and node.args.get("distinct") is False:
            raise errors.unsupported(f"{node.key.upper()} ALL", f"write {node.key.upper()}")
        if isinstance(node, exp.SetOperation):
            if node.args.get("by_name") or node.args.get("side") or node.args.get("kind"):
                raise errors.unsupported("UNION BY NAME")
            for side in ("this", "expression"):
                if isinstance(node.args[side], exp.Subquery):
                    node.set(side, _select_all(node.args[side]))
        elif isinstance(node, exp.Group):
            rows = [one.expressions if isinstance(one, exp.Tuple) else [one.unnest()] for one in node.expressions]
            node.set("expressions", [one for row in rows for one in row])
        elif isinstance(node, exp.Fetch):
            _fetch(node)
        elif isinstance(node, exp.Limit) and _is_all(node.expression):
            node.pop()
        elif isinstance(node, exp.Unnest):
            _rows(node, call("unnest", *node.expressions), node.args.get("alias"))
            if node.args.get("offset"):
                raise errors.unsupported("WITH ORDINALITY")
        elif isinstance(node, exp.Table) and isinstance(node.this, exp.Func):
            _rows(node, node.this, node.args.get("alias"))
        elif isinstance(node, exp.Star) and (node.args.get("except_") or node.args.get("replace")):
            raise errors.syntax('syntax error at or near "EXCEPT": name the columns')


def _listed_rows(select: exp.Select) -> None:
    """A function of rows in the list of columns, as a table joined to those in FROM."""
    calls = [node for one in select.expressions for node in one.find_all(exp.Anonymous)
             if node.name in LISTED and node.find_ancestor(exp.Select) is select]  # fmt: skip
    if not calls:
        return
    arrays = {node.expressions[0] for node in calls if node.name != "generate_series"}
    if len(arrays) + sum(node.name == "generate_series" for node in calls) > 1:
        raise errors.unsupported("several functions of rows in one list of columns", "join them in FROM")
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


def _rows(node: Node, function: Node, alias: Node | None) -> None:
    """A function in FROM as a subquery with the column that PostgreSQL names after the alias."""
    name = function.name.lower()
    table = alias.name if alias is not None and alias.name else name
    columns = [column.name for column in alias.columns] if isinstance(alias, exp.TableAlias) else []
    if name in EMPTY:
        empty = exp.select(*[exp.alias_(exp.Null(), column, quoted=True) for column in EMPTY[name]])
        node.replace(exp.Subquery(this=empty.where("1 = 0"), alias=exp.TableAlias(this=exp.to_identifier(table))))
        return
    arguments = function.expressions
    if name == "generate_series":
        source = call("pgsql_series", *arguments)
    elif name in AS_ARRAYS and len(arguments) == (2 if name.endswith("_table") else 1):
        array = call(f"pgsql_{'regexp_split' if name[0] == 'r' else 'string'}_to_array", *arguments)
        source = call("pgsql_elements", array if name.endswith("_table") else arguments[0])
    elif name in SETS or name.startswith("_pg_"):
        raise errors.unsupported(f"{name}(…) in FROM", "unnest gives the elements of an array")
    elif name.startswith("pgsql_") or name == "json_each":
        return
    else:  # one value is one row
        one = exp.select(exp.alias_(function, table, quoted=True))
        node.replace(exp.Subquery(this=one, alias=exp.TableAlias(this=exp.to_identifier(table, quoted=True))))
        return
    column = (columns or [table if alias is not None else name])[0]
    if not any(argument.find(exp.Column) for argument in arguments):
        query = exp.select(exp.alias_(exp.column("_value", quoted=True), column, quoted=True))
        query = query.from_(exp.Table(this=source))
        node.replace(exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier(table, quoted=True))))
        return
    # Its arguments are columns of what stands before it: SQLite allows that for the function itself only.
    around = node.find_ancestor(exp.Select)
    for found in list(around.find_all(exp.Column)) if around is not None else []:
        if found.name == column and found.table in ("", table):
            found.replace(exp.column("_value", table=table, quoted=True))
    node.replace(exp.Table(this=source, alias=exp.TableAlias(this=exp.to_identifier(table, quoted=True))))


def mark_order(root: Node, inference: Inference, never_null: frozenset[tuple[str, str]]) -> None:
    """Tell which terms of ORDER BY are columns without NULLs, so that nothing is said of NULLs."""
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
    """Whether WHERE lets no NULL of the column through."""
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
    """``x IS NOT NULL``, which sqlglot's versions write in two ways."""
    if isinstance(node, exp.Not):
        node, negated = node.this, True
    else:
        negated = bool(node.args.get("negate"))
    return negated and isinstance(node, exp.Is) and isinstance(node.expression, exp.Null)


def distinct_on(root: Node, inference: Inference) -> Node:
    """The first row of each group, in the statement's order."""
    holder = exp.Paren(this=root)
    for select in reversed(list(holder.find_all(exp.Select))):
        distinct = select.args.get("distinct")
        if distinct is not None and distinct.args.get("on"):
            select.replace(_first_rows(select, distinct.args["on"], inference))
    found = holder.this
    assert isinstance(found, Node)
    return found


def _first_rows(select: exp.Select, on: Node, inference: Inference) -> exp.Select:
    outputs: list[tuple[str, Node]] = []
    for projection in select.expressions:
        if not projection.is_star:
            outputs.append((projection.alias_or_name, projection.unalias()))
            continue
        for name, columns in inference.sources(select).items():
            if not isinstance(projection, exp.Column) or projection.table == name:
                if columns is None:
                    raise errors.unsupported("DISTINCT ON with *", "name the columns")
                outputs += [(one, typed(exp.column(one, table=name, quoted=True), type)) for one, type in columns]

    def meant(node: Node) -> Node:
        """A number or an output's name in ORDER BY, as its expression."""
        if isinstance(node, exp.Literal) and not node.is_string and 0 < int(node.this) <= len(outputs):
            return outputs[int(node.this) - 1][1].copy()
        named = [
            made for name, made in outputs if isinstance(node, exp.Column) and not node.table and name == node.name
        ]
        return named[0].copy() if named else node.copy()

    keys = on.expressions if isinstance(on, exp.Tuple) else [on.unnest()]
    order = select.args.get("order")
    terms = list(order.expressions) if order is not None else []
    ranked = [exp.Ordered(this=meant(one.this), desc=one.args.get("desc"), nulls_first=one.args.get("nulls_first"))
              for one in terms]  # fmt: skip
    number = exp.Window(this=call("row_number"), partition_by=[meant(key) for key in keys],
                        order=exp.Order(expressions=ranked) if ranked else None)  # fmt: skip
    outside = ("distinct", "order", "limit", "offset", "with", "with_", "expressions")
    inner = exp.Select(**{key: value for key, value in select.args.items() if key not in outside})
    made = [exp.alias_(one.copy(), f"_c{place}", quoted=True) for place, (_, one) in enumerate(outputs)]
    sorts = [exp.alias_(one.this.copy(), f"_o{place}", quoted=True) for place, one in enumerate(ranked)]
    inner.set("expressions", [*made, exp.alias_(number, "_n", quoted=True), *sorts])
    outer = exp.Select(
        expressions=[exp.alias_(typed(exp.column(f"_c{place}", quoted=True), type_of(one)), name, quoted=True)
                     for place, (name, one) in enumerate(outputs)],
        where=exp.Where(this=exp.EQ(this=exp.column("_n", quoted=True), expression=exp.Literal.number(1))),
        **{key: select.args[key] for key in ("limit", "offset", "with", "with_") if select.args.get(key)},
    )  # fmt: skip
    outer.set(FROM, exp.From(this=exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier("_d")))))
    if ranked:
        outer.set("order", exp.Order(expressions=[
            exp.Ordered(this=typed(exp.column(f"_o{place}", quoted=True), type_of(one.this)),
                        desc=one.args.get("desc"), nulls_first=one.args.get("nulls_first"))
            for place, one in enumerate(ranked)
        ]))  # fmt: skip
    return outer
