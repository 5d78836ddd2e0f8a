"""Names as PostgreSQL resolves them: folded, without public., and one for every column of a result.

What the parser made of the functions that have words among their arguments becomes a name again here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ftsql.serve import errors
from ftsql.serve.text import fold
from ftsql.serve.translate.tree import Node, call, exp
from ftsql.serve.translate.type_names import of_cast

DROPPED = ("public", "pg_catalog", "information_schema", "pg_temp")  # schemas of functions
OWN = re.compile(r"(sqlite|pragma|fts\d|dbstat|sqlite_dbpage)_", re.IGNORECASE)
WORDS: dict[str, str] = {  # parser's nodes that stand for a word, by their key
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
)  # never columns, whether sqlglot knows them or not
CALLED = {"strposition": "position"}
TRIMS = {"LEADING": "ltrim", "TRAILING": "rtrim"}


def bottom_up(root: Node) -> Iterator[Node]:
    """Every node after those below it; one may be replaced when it is given."""
    yield from reversed(list(root.walk(bfs=True)))


def settle(root: Node) -> Node:
    """Give every name its meaning, and every column of a SELECT a name."""
    for select in list(root.find_all(exp.Select)):
        _name_columns(select)
    for node in bottom_up(root):
        if isinstance(node, exp.Identifier):
            if not node.args.get("quoted"):
                node.set("this", fold(node.name))
        elif isinstance(node, exp.Table):
            _table(node)
        elif isinstance(node, exp.Column):
            node.set("catalog", None)
            if node.db == "public":
                node.set("db", None)
            if node.name.lower() in RESERVED and not node.table and not node.this.args.get("quoted"):
                node.replace(call(node.name.lower()))
        elif isinstance(node, exp.Subquery) or (isinstance(node, exp.CTE) and node.args["alias"].columns):
            _columns(node)
        else:
            found = _plain(node)
            if found is not None:
                node.replace(found)
    for values in list(root.find_all(exp.Values)):
        _values(values)
    return root


def label(node: Node) -> str:
    """What PostgreSQL calls a column that the SELECT does not name."""
    return _label(node)[0] or "?column?"


def _label(node: Node) -> tuple[str | None, bool]:
    """The name, and whether it is one that a cast around it keeps."""
    if isinstance(node, exp.Column):
        return fold(node.name) if not node.this.args.get("quoted") else str(node.name), True
    if isinstance(node, (exp.Paren, exp.Collate, exp.Window, exp.Filter, exp.WithinGroup, exp.Bracket)):
        return _label(node.this)
    if isinstance(node, exp.Cast):
        name, kept = _label(node.this)
        return (name, kept) if kept else (of_cast(node.args["to"]).removesuffix("[]"), False)
    if isinstance(node, exp.Anonymous):
        return fold(node.name), True
    if isinstance(node, exp.Dot):
        return (_label(node.expression)[0] or fold(node.expression.name)), True
    if isinstance(node, exp.Subquery):
        query = node.unnest()
        first = query.selects[:1] if isinstance(query, exp.Query) else []
        return (first[0].alias, True) if first and first[0].alias else _label(first[0]) if first else (None, False)
    if isinstance(node, exp.Case):
        name, kept = _label(node.args["default"]) if node.args.get("default") else (None, False)
        return (name, kept) if kept else ("case", False)
    if isinstance(node, (exp.Extract, exp.Exists, exp.Substring, exp.Overlay, exp.Array)):
        return str(node.key), True
    if isinstance(node, exp.AtTimeZone):
        return "timezone", True
    if isinstance(node, (exp.Boolean, exp.Interval)):
        return "bool" if isinstance(node, exp.Boolean) else "interval", False
    if isinstance(node, exp.Trim):
        return TRIMS.get(str(node.args.get("position") or "").upper(), "btrim"), True
    name = CALLED.get(node.key) or WORDS.get(node.key)
    return name, name is not None


def _name_columns(select: exp.Select) -> None:
    for projection in select.expressions:
        if isinstance(projection, exp.Alias) or projection.is_star:
            continue
        name = label(projection)
        holder = exp.Alias(this=None, alias=exp.to_identifier(name, quoted=True))
        projection.replace(holder)
        holder.set("this", projection)


def _table(table: exp.Table) -> None:
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


def _columns(node: exp.Subquery | exp.CTE) -> None:
    """``AS v(a, b)`` names the columns of the query itself."""
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


def _values(values: exp.Values) -> None:
    """VALUES in FROM, whose columns SQLite cannot name."""
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


def _plain(node: Node) -> Node | None:
    """The call by name for a node of the parser's."""
    if isinstance(node, exp.Anonymous):
        node.set("this", fold(node.name))
        return None
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Anonymous) and node.this.name in DROPPED:
        return node.expression
    if isinstance(node, exp.Extract):
        return call("extract", node.this.name.lower(), node.expression)
    if isinstance(node, exp.StrPosition):
        return call("strpos", node.this, node.args["substr"])
    if isinstance(node, exp.Substring):
        parts = [node.this, node.args.get("start") or exp.Literal.number(1), node.args.get("length")]
        return call("substring", *[part for part in parts if part is not None])
    if isinstance(node, exp.Trim):
        name = TRIMS.get(str(node.args.get("position") or "").upper(), "btrim")
        return call(name, node.this, *([node.expression] if node.args.get("expression") else []))
    if isinstance(node, exp.Overlay):
        parts = [node.this, node.expression, node.args["from_"], node.args.get("for_")]
        return call("overlay", *[part for part in parts if part is not None])
    if isinstance(node, exp.CurrentTimestamp) or node.key in WORDS:
        return call(WORDS[node.key])
    return None
