"""The syntax tree of a statement, as sqlglot's PostgreSQL parser builds it, except that functions stay plain names.

sqlglot has classes for many functions. The classes are not used, because their names and arguments change between
versions of sqlglot.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

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

__all__ = ["ByClass", "Node", "Scope", "SqlglotError", "call", "exp", "parse", "to_sql", "traverse_scope"]

T = TypeVar("T")
WIDEST = 1664  # the maximum length of a list, as in PostgreSQL; the cost of each entry grows with the length
LONG = (exp.In, exp.Tuple, exp.Values)  # lists that may be longer, because their entries cost little
DEEPEST = 950  # the maximum depth of the tree; less than SQLite's 1000, as SQLite's tree may be deeper than this one
SYNTAX = ("CAST", "EXTRACT", "SUBSTRING", "TRIM", "POSITION", "OVERLAY")  # functions that take keywords as arguments
PARSED = (exp.Select, exp.SetOperation, exp.Values, exp.Subquery)
WRITES = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Into, exp.Lock, exp.Command,
          exp.Set, exp.Copy)  # fmt: skip
REFUSED: dict[type[Node], tuple[str, str]] = {
    exp.Lateral: ("LATERAL", "write the subquery as a join, or in the list of columns"),
    exp.TableSample: ("TABLESAMPLE", "write ORDER BY random() LIMIT n"),
    exp.Rollup: ("ROLLUP", "write one SELECT for each grouping, with UNION ALL"),
    exp.Cube: ("CUBE", "write one SELECT for each grouping, with UNION ALL"),
    exp.GroupingSets: ("GROUPING SETS", "write one SELECT for each grouping, with UNION ALL"),
    exp.Pivot: ("PIVOT", "write sum(…) FILTER (WHERE …)"),
    exp.Qualify: ("QUALIFY", "write a subquery with WHERE"),
    exp.Variadic: ("VARIADIC", "write the arguments one by one"),
    exp.SessionParameter: ("a variable", "write $1"),
}


class Reader(Postgres):
    """sqlglot's dialect of PostgreSQL, but functions stay plain names."""

    class Parser(Postgres.Parser):  # type: ignore[valid-type, misc]
        FUNCTIONS: dict[str, Any] = {}  # noqa: RUF012
        FUNCTION_PARSERS = {  # noqa: RUF012
            name: parser for name, parser in Postgres.Parser.FUNCTION_PARSERS.items() if name in SYNTAX
        }


logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # hides warnings about statements that are refused here


class ByClass(Generic[T]):
    """A table that maps classes of nodes to values. A node gets the value of the first entry whose class it has."""

    def __init__(self, *entries: tuple[type | tuple[type, ...], T]) -> None:
        self._entries = entries
        self._found: dict[type, T | None] = {}

    def get(self, node: Node) -> T | None:
        kind = type(node)
        if kind not in self._found:
            self._found[kind] = next((value for kinds, value in self._entries if issubclass(kind, kinds)), None)
        return self._found[kind]


def parse(text: str) -> Node:
    """Return the tree of one statement that reads. Raise ProgrammingError or NotSupportedError for any other SQL."""
    try:
        found = sqlglot.parse(text, read=Reader)
    except SqlglotError as error:
        raise errors.syntax(_message(error)) from None
    if len(found) != 1 or found[0] is None:
        raise errors.syntax("one statement is expected here")
    root: Node = found[0]
    depths = {id(root): 0}
    for node in root.walk():
        depth = depths[id(node)] = depths.get(id(node.parent), 0) + 1
        if depth > DEEPEST:
            raise errors.syntax(errors.TOO_DEEP, errors.TOO_COMPLEX)
        _check(node)
    if not isinstance(root, PARSED):
        raise errors.syntax(f"cannot run {root.key.upper()}: write SELECT")
    return root


def _check(node: Node) -> None:
    if not isinstance(node, LONG) and any(_is_long(part) for part in node.args.values()):
        raise errors.syntax(f"a list in the statement has more than {WIDEST} entries", "54011")
    if isinstance(node, exp.Placeholder):
        raise errors.syntax("syntax error: a parameter is written $1")
    if isinstance(node, WRITES):
        raise errors.writes(_statement_name(node))
    if type(node) in REFUSED:
        raise errors.unsupported(*REFUSED[type(node)])


def _is_long(part: object) -> bool:
    return isinstance(part, list) and len(part) > WIDEST


def to_sql(root: Node) -> str:
    """Return the tree as SQL for SQLite."""
    return str(root.sql("sqlite", identify=True, comments=False, unsupported_level=sqlglot.ErrorLevel.IGNORE))


def call(name: str, *arguments: Node | str | int) -> Node:
    """Return a function call. Strings and numbers become literals."""
    nodes = [
        argument
        if isinstance(argument, Node)
        else exp.Literal.string(argument)
        if isinstance(argument, str)
        else exp.Literal.number(argument)
        for argument in arguments
    ]
    return exp.Anonymous(this=name, expressions=nodes)


def _statement_name(node: Node) -> str:
    if isinstance(node, exp.Into):
        return "SELECT INTO"
    if isinstance(node, exp.Lock):
        return "SELECT FOR UPDATE"
    return str(node.this).upper()[:20] if isinstance(node, exp.Command) else str(node.key).upper()


def _message(error: Exception) -> str:
    """Return the first line of sqlglot's message, or PostgreSQL's message if sqlglot names the token."""
    details = getattr(error, "errors", None)
    if details and details[0].get("highlight"):
        return f'syntax error at or near "{details[0]["highlight"]:.60}"'
    return f"syntax error: {str(error).partition(chr(10))[0]:.200}"


class Parameters:
    """The types of the parameters $1, $2, …."""

    def __init__(self, count: int) -> None:
        self._types: list[str | None] = [None] * count

    def note(self, node: Node | None, type: str | None) -> None:
        """If ``node`` is a parameter, record that it is used as a ``type``. Only the first recorded type counts."""
        node = node.unnest() if node is not None else None
        if isinstance(node, exp.Parameter) and type and type != "unknown":
            number = self.number(node)
            if number and self._types[number - 1] is None:
                self._types[number - 1] = type

    def number(self, node: exp.Parameter) -> int:
        """Return the number of a parameter, or 0 if it has no valid number."""
        text = str(node.this.this) if isinstance(node.this, exp.Literal) else ""
        return int(text) if text.isdigit() and 0 < int(text) <= len(self._types) else 0

    @property
    def types(self) -> tuple[str | None, ...]:
        return tuple(self._types)
