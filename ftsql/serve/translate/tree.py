"""The syntax tree of a statement: what sqlglot's PostgreSQL parser makes of it, functions left as names.

No function is a node of sqlglot's own, whose names and arguments change with its versions.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeAlias

from ftsql.serve import errors

try:
    import sqlglot
    from sqlglot import exp
    from sqlglot.dialects.postgres import Postgres
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.scope import Scope, traverse_scope
except ImportError as error:
    raise ImportError("ftsql serve needs: pip install 'ftsql[serve]'", name=error.name) from error

if TYPE_CHECKING:
    Node: TypeAlias = exp.Expr  # what sqlglot 30 calls any node
else:
    Node = exp.Expression

__all__ = ["Node", "Scope", "SqlglotError", "call", "exp", "parse", "traverse_scope", "written"]

WIDEST = 1664  # as in PostgreSQL; what each entry costs grows with their number
LONG = (exp.In, exp.Tuple, exp.Values)  # what may be long all the same, and is quick
DEEPEST = 950  # SQLite's own limit is 1000, and the tree that it makes may be deeper
SYNTAX = ("CAST", "EXTRACT", "SUBSTRING", "TRIM", "POSITION", "OVERLAY")  # functions with words among the arguments
PARSED = (exp.Select, exp.SetOperation, exp.Values, exp.Subquery)
WRITES = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Into, exp.Lock, exp.Command,
          exp.Set, exp.Copy)  # fmt: skip
REFUSED: dict[type[Node], tuple[str, str]] = {
    exp.Lateral: ("LATERAL", "write the subquery as a join, or in the list of columns"),
    exp.TableSample: ("TABLESAMPLE", "write ORDER BY random() LIMIT n"),
    exp.Rollup: ("ROLLUP", "write one SELECT a grouping, with UNION ALL"),
    exp.Cube: ("CUBE", "write one SELECT a grouping, with UNION ALL"),
    exp.GroupingSets: ("GROUPING SETS", "write one SELECT a grouping, with UNION ALL"),
    exp.Pivot: ("PIVOT", "write sum(…) FILTER (WHERE …)"),
    exp.Qualify: ("QUALIFY", "write a subquery with WHERE"),
    exp.Variadic: ("VARIADIC", "write the arguments one by one"),
    exp.SessionParameter: ("a variable", "write $1"),
}


class Reader(Postgres):
    """PostgreSQL, whose functions stay names."""

    class Parser(Postgres.Parser):  # type: ignore[valid-type, misc]
        FUNCTIONS: dict[str, Any] = {}  # noqa: RUF012
        FUNCTION_PARSERS = {  # noqa: RUF012
            name: parser for name, parser in Postgres.Parser.FUNCTION_PARSERS.items() if name in SYNTAX
        }


logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # it warns on stderr of what is refused here in words


def parse(text: str) -> Node:
    """The tree of one statement that reads. Raises ProgrammingError for others."""
    try:
        found = sqlglot.parse(text, read=Reader)
    except SqlglotError as error:
        raise errors.syntax(_words(error)) from None
    if len(found) != 1 or found[0] is None:
        raise errors.syntax("one statement is expected here")
    root: Node = found[0]
    depths = {id(root): 0}
    for node in root.walk():
        depth = depths[id(node)] = depths.get(id(node.parent), 0) + 1
        if depth > DEEPEST:
            raise errors.syntax("the statement is nested too deeply: write a part of it as WITH", errors.TOO_COMPLEX)
        if not isinstance(node, LONG) and any(_is_long(part) for part in node.args.values()):
            raise errors.syntax(f"a list in the statement has more than {WIDEST} entries", "54011")
        if isinstance(node, exp.Placeholder):
            raise errors.syntax("syntax error: a parameter is written $1")
        if isinstance(node, WRITES):
            raise errors.writes(_named(node))
        if type(node) in REFUSED:
            raise errors.unsupported(*REFUSED[type(node)])
    if not isinstance(root, PARSED):
        raise errors.syntax(f"cannot run {root.key.upper()}: write SELECT")
    return root


def _is_long(part: object) -> bool:
    return isinstance(part, list) and len(part) > WIDEST


def written(root: Node) -> str:
    """The tree as SQLite's SQL."""
    return str(root.sql("sqlite", identify=True, comments=False, unsupported_level=sqlglot.ErrorLevel.IGNORE))


def call(name: str, *arguments: Node | str | int) -> Node:
    """A function's call; strings and numbers become literals."""
    nodes = [
        argument
        if isinstance(argument, Node)
        else exp.Literal.string(argument)
        if isinstance(argument, str)
        else exp.Literal.number(argument)
        for argument in arguments
    ]
    return exp.Anonymous(this=name, expressions=nodes)


def _named(node: Node) -> str:
    if isinstance(node, exp.Into):
        return "SELECT INTO"
    if isinstance(node, exp.Lock):
        return "SELECT FOR UPDATE"
    return str(node.this).upper()[:20] if isinstance(node, exp.Command) else str(node.key).upper()


def _words(error: Exception) -> str:
    """The first line of what sqlglot says, in PostgreSQL's manner where it names the place."""
    details = getattr(error, "errors", None)
    if details and details[0].get("highlight"):
        return f'syntax error at or near "{details[0]["highlight"]:.60}"'
    return f"syntax error: {str(error).partition(chr(10))[0]:.200}"


class Parameters:
    """The types of $1, $2, … by number."""

    def __init__(self, count: int) -> None:
        self._types: list[str | None] = [None] * count

    def note(self, node: Node | None, type: str | None) -> None:
        """``node``, where it is a parameter, is used as a ``type``."""
        node = node.unnest() if node is not None else None
        if isinstance(node, exp.Parameter) and type and type != "unknown":
            number = self.number(node)
            if number and self._types[number - 1] is None:
                self._types[number - 1] = type

    def number(self, node: exp.Parameter) -> int:
        """Which one it is; 0 for what is none."""
        text = str(node.this.this) if isinstance(node.this, exp.Literal) else ""
        return int(text) if text.isdigit() and 0 < int(text) <= len(self._types) else 0

    @property
    def types(self) -> tuple[str | None, ...]:
        return tuple(self._types)
