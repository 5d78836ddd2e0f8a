"""Resolve names as in PostgreSQL: fold them, drop ``public.``, and give each column of a result a name.

In sqlglot's tree, functions with keywords among their arguments, such as EXTRACT, have classes of their own. This
module turns their nodes into ordinary function calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from ftsql.serve import errors
from ftsql.serve.text import fold
from ftsql.serve.translate.tree import ByClass, Node, call, exp
from ftsql.serve.translate.type_names import of_cast

DROPPED = ("public", "pg_catalog", "information_schema", "pg_temp")  # schemas that are dropped before a function
OWN = re.compile(r"(sqlite|pragma|fts\d|dbstat|sqlite_dbpage)_", re.IGNORECASE)
WORDS: dict[str, str] = {  # functions without brackets, by the key of sqlglot's class
    "currenttimestamp": "current_timestamp", "localtimestamp": "localtimestamp", "currentdate": "current_date",
    "currenttime": "current_time", "localtime": "localtime", "currentuser": "current_user",
    "currentrole": "current_role", "sessionuser": "session_user", "currentcatalog": "current_catalog",
    "currentschema": "current_schema", "currentdatetime": "localtimestamp",
}  # fmt: skip
RESERVED = (
    "user",
    "current_user",
    "session_user",
    "current_role",
    "current_catalog",
    "localtimestamp",
    "current_date",
    "current_timestamp",
)  # never columns, even in versions of sqlglot that parse them as columns
CALLED = {"strposition": "position"}
TRIMS = {"LEADING": "ltrim", "TRAILING": "rtrim"}


def bottom_up(root: Node) -> Iterator[Node]:
    """Yield each node after the nodes below it. The caller may replace a node when it is yielded."""
    yield from reversed(list(root.walk(bfs=True)))


def resolve(root: Node) -> Node:
    """Resolve all names in the tree, and name each column of a SELECT. Return the tree."""
    for select in list(root.find_all(exp.Select)):
        _name_columns(select)
    for node in bottom_up(root):
        if isinstance(node, exp.Identifier):
            if not node.args.get("quoted"):
                node.set("this", fold(node.name))
        elif isinstance(node, exp.Table):
            _resolve_table(node)
        elif isinstance(node, exp.Column):
            _resolve_column(node)
        elif isinstance(node, exp.Subquery) or (isinstance(node, exp.CTE) and node.args["alias"].columns):
            _move_column_aliases(node)
        else:
            found = _call_by_name(node)
            if found is not None:
                node.replace(found)
    for values in list(root.find_all(exp.Values)):
        _name_values_columns(values)
    return root


# --- names for columns that have no alias

Label = tuple[str | None, bool]  # the name, and whether a cast around the expression keeps that name


def _label(node: Node) -> Label:
    rule = LABELS.get(node)
    if rule is not None:
        return rule(node)
    name = CALLED.get(node.key) or WORDS.get(node.key)
    return name, name is not None


def _column_label(node: Node) -> Label:
    return fold(node.name) if not node.this.args.get("quoted") else str(node.name), True


def _cast_label(node: Node) -> Label:
    name, kept = _label(node.this)
    return (name, kept) if kept else (of_cast(node.args["to"]).removesuffix("[]"), False)


def _dot_label(node: Node) -> Label:
    return (_label(node.expression)[0] or fold(node.expression.name)), True


def _subquery_label(node: Node) -> Label:
    query = node.unnest()
    first = query.selects[:1] if isinstance(query, exp.Query) else []
    return (first[0].alias, True) if first and first[0].alias else _label(first[0]) if first else (None, False)


def _case_label(node: Node) -> Label:
    name, kept = _label(node.args["default"]) if node.args.get("default") else (None, False)
    return (name, kept) if kept else ("case", False)


def _trim_name(node: Node) -> str:
    return TRIMS.get(str(node.args.get("position") or "").upper(), "btrim")


LABELS: ByClass[Callable[[Any], Label]] = ByClass(
    (exp.Column, _column_label),
    ((exp.Paren, exp.Collate, exp.Window, exp.Filter, exp.WithinGroup, exp.Bracket), lambda node: _label(node.this)),
    (exp.Cast, _cast_label),
    (exp.Anonymous, lambda node: (fold(node.name), True)),
    (exp.Dot, _dot_label),
    (exp.Subquery, _subquery_label),
    (exp.Case, _case_label),
    ((exp.Extract, exp.Exists, exp.Substring, exp.Overlay, exp.Array), lambda node: (str(node.key), True)),
    (exp.AtTimeZone, lambda _: ("timezone", True)),
    (exp.Boolean, lambda _: ("bool", False)),
    (exp.Interval, lambda _: ("interval", False)),
    (exp.Trim, lambda node: (_trim_name(node), True)),
)


# --- the meaning of names


def _name_columns(select: exp.Select) -> None:
    for projection in select.expressions:
        if isinstance(projection, exp.Alias) or projection.is_star:
            continue
        name = _label(projection)[0] or "?column?"
        holder = exp.Alias(this=None, alias=exp.to_identifier(name, quoted=True))
        projection.replace(holder)
        holder.set("this", projection)


def _resolve_column(column: exp.Column) -> None:
    column.set("catalog", None)
    if column.db == "public":
        column.set("db", None)
    if column.name.lower() in RESERVED and not column.table and not column.this.args.get("quoted"):
        column.replace(call(column.name.lower()))


def _resolve_table(table: exp.Table) -> None:
    if table.args.get("rows_from"):
        raise errors.unsupported("ROWS FROM", "join the functions' rows")
    if table.args.get("ordinality"):
        raise errors.unsupported("WITH ORDINALITY")
    table.set("only", None)
    if table.catalog:
        table.set("catalog", None)
    if isinstance(table.this, exp.Func):
        table.set("db", None)
        return
    if OWN.match(table.name) or table.name.lower() == "dbstat":
        raise errors.syntax(f'relation "{table.name}" does not exist', errors.UNDEFINED_TABLE)
    if table.db == "public":
        table.set("db", None)
    alias = table.args.get("alias")
    if isinstance(alias, exp.TableAlias) and alias.columns:
        raise errors.unsupported("a table's alias with columns", "name the columns in the SELECT")


def _move_column_aliases(node: exp.Subquery | exp.CTE) -> None:
    """Move the column names in ``AS v(a, b)`` to the columns of the query."""
    alias = node.args.get("alias")
    if not isinstance(alias, exp.TableAlias) or not alias.columns:
        return
    query = node.this
    while isinstance(query, (exp.SetOperation, exp.Subquery)):
        query = query.this
    if not isinstance(query, exp.Select) or any(one.is_star for one in query.expressions):
        return
    for projection, name in zip(query.expressions, alias.columns, strict=False):
        projection.set("alias", exp.to_identifier(name.name, quoted=True))
    alias.set("columns", None)


def _name_values_columns(values: exp.Values) -> None:
    """Put a SELECT around VALUES in FROM, because SQLite cannot name its columns."""
    alias = values.args.get("alias")
    if not isinstance(values.parent, (exp.From, exp.Join, exp.Subquery)) or alias is None:
        return
    names = [column.name for column in alias.columns]
    first = values.expressions[0].expressions if isinstance(values.expressions[0], exp.Tuple) else [values]
    names += [f"column{number + 1}" for number in range(len(names), len(first))]
    query = exp.Select(
        expressions=[
            exp.Alias(this=exp.column(f"column{number + 1}", quoted=True), alias=exp.to_identifier(name, quoted=True))
            for number, name in enumerate(names)
        ]
    )
    holder = exp.Subquery(this=query, alias=exp.TableAlias(this=alias.this))
    values.replace(holder)
    values.set("alias", None)
    key = "from_" if "from_" in exp.Select.arg_types else "from"
    query.set(key, exp.From(this=exp.Subquery(this=values)))


# --- functions with keywords among their arguments


def _call_by_name(node: Node) -> Node | None:
    """Return an ordinary function call that replaces a node, or None if the node stays."""
    rule = CALLS.get(node)
    if rule is not None:
        return rule(node)
    return call(WORDS[node.key]) if node.key in WORDS else None


def _anonymous(node: Node) -> None:
    node.set("this", fold(node.name))


def _dot(node: Node) -> Node | None:
    is_function = isinstance(node.expression, exp.Anonymous) and node.this.name in DROPPED
    return node.expression if is_function else None


def _substring(node: Node) -> Node:
    parts = [node.this, node.args.get("start") or exp.Literal.number(1), node.args.get("length")]
    return call("substring", *[part for part in parts if part is not None])


def _trim(node: Node) -> Node:
    return call(_trim_name(node), node.this, *([node.expression] if node.args.get("expression") else []))


def _overlay(node: Node) -> Node:
    parts = [node.this, node.expression, node.args["from_"], node.args.get("for_")]
    return call("overlay", *[part for part in parts if part is not None])


CALLS: ByClass[Callable[[Any], Node | None]] = ByClass(
    (exp.Anonymous, _anonymous),
    (exp.Dot, _dot),
    (exp.Extract, lambda node: call("extract", node.this.name.lower(), node.expression)),
    (exp.StrPosition, lambda node: call("strpos", node.this, node.args["substr"])),
    (exp.Substring, _substring),
    (exp.Trim, _trim),
    (exp.Overlay, _overlay),
)
