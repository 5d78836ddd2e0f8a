"""The bugs that can be planted in a source file, found in its syntax tree.

A bug is named by its function, the text that it changes and what stands there then: no line numbers, so that its name
outlives a move of the code.
"""

from __future__ import annotations

import ast
import copy
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

SWAPS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
SQL = re.compile(r"\b(SELECT|UPDATE|DELETE|INSERT|WHERE|AND|OR)\b")
IN_SQL = (
    (" AND ", " OR "), (" OR ", " AND "), (" NOT ", " "), ("IS NOT ", "IS "), ("<= ?", "< ?"), (">= ?", "> ?"),
    (" > ?", " >= ?"), (" < ?", " <= ?"), ("max(", "min("), (" DESC", ""), (" LIMIT 1", ""), ("DISTINCT ", ""),
)  # fmt: skip
SIZE = 100  # a larger number is a size that was chosen, and one more is no bug
WORDS = {"warn", "tell", "print_message", "say", "note", "redacted", "refuse"}  # calls whose arguments are messages
MESSAGES = re.compile(r"Error|Exception|Failure|Warning|Unknown$")


@dataclass(frozen=True)
class Bug:
    """``line`` is where it stands now, ``name`` what names it for good; ``source`` gives the file with it."""

    file: str
    function: str
    before: str
    after: str
    number: int  # among equal ones of the function
    line: int
    source: Callable[[], str]

    @property
    def name(self) -> str:
        again = f" ({self.number})" if self.number else ""
        return f"{self.function}: {self.before} -> {self.after}{again}"


def bugs(file: str, text: str) -> list[Bug]:
    """Every bug that can be planted in a file."""
    tree = ast.parse(text)
    found: list[Bug] = []
    seen: Counter[tuple[str, str, str]] = Counter()
    for function, path, node in _places(tree):
        for change in _changes(node):
            changed = change(copy.deepcopy(node))
            key = function, _brief(node), _brief(changed)
            if key[1] == key[2]:
                continue
            found.append(Bug(file, *key, seen[key], node.lineno, partial(_planted, tree, path, changed)))
            seen[key] += 1
    return found


def _planted(tree: ast.Module, path: Path, changed: ast.AST) -> str:
    planted = copy.deepcopy(tree)
    _put(planted, path, changed)
    return ast.unparse(ast.fix_missing_locations(planted))


Change = Callable[[ast.AST], ast.AST]
Path = tuple[tuple[str, int | None], ...]


def _places(tree: ast.AST) -> Iterator[tuple[str, Path, ast.expr | ast.stmt]]:
    """Statements and expressions that a bug may be in, with their function and the way to them."""

    def walk(node: ast.AST, function: str, path: Path) -> Iterator[tuple[str, Path, ast.expr | ast.stmt]]:
        if isinstance(node, ast.If) and _is_typing(node):
            return
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            function = f"{function}.{node.name}" if function else node.name
        if isinstance(node, (ast.expr, ast.stmt)) and not _is_docstring(node):
            yield function, path, node
        if isinstance(node, (ast.Raise, ast.Assert)) or (isinstance(node, ast.Call) and _speaks(node)):
            return
        if isinstance(node, ast.keyword) and node.arg == "strict":  # zip's, which holds where the code is right
            return
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "args", "type_ignores") and not isinstance(
                node, ast.Call
            ):
                continue
            if isinstance(value, ast.AST):
                yield from walk(value, function, (*path, (name, None)))
            elif isinstance(value, list):
                for number, each in enumerate(value):
                    if isinstance(each, ast.AST):
                        yield from walk(each, function, (*path, (name, number)))

    yield from walk(tree, "", ())


def _changes(node: ast.expr | ast.stmt) -> Iterator[Change]:
    """What can be made of a copy of a node."""

    def to(**fields: object) -> Change:
        return partial(_set, fields=fields)

    if isinstance(node, ast.Compare):
        for number, operator in enumerate(node.ops):
            for other in SWAPS.get(type(operator), ()):
                yield to(ops=[*node.ops[:number], other(), *node.ops[number + 1 :]])
    elif isinstance(node, ast.BoolOp):
        yield to(op=ast.And() if isinstance(node.op, ast.Or) else ast.Or())
        for number in range(len(node.values)):
            left = [*node.values[:number], *node.values[number + 1 :]]
            yield partial(_other, node=left[0]) if len(left) == 1 else to(values=left)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield partial(_other, node=node.operand)
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC and not _is_text(node):
        yield to(op=ARITHMETIC[type(node.op)]())
    elif isinstance(node, ast.Constant):
        yield from (to(value=value) for value in _constants(node.value))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMES:
        yield to(func=ast.Name(NAMES[node.func.id], ast.Load()))
    elif isinstance(node, (ast.If, ast.While, ast.IfExp)) and not isinstance(node.test, (ast.Compare, ast.BoolOp)):
        yield to(test=ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield to(value=ast.Constant(None))
    elif _is_an_effect(node):
        yield partial(_other, node=ast.Pass())


def _constants(value: object) -> Iterator[object]:
    """What a constant may be instead."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, (int, float)):
        if value <= SIZE:
            yield value + 1
    elif isinstance(value, str) and SQL.search(value):
        for before, after in IN_SQL:
            if before in value:
                yield value.replace(before, after, 1)


def _is_an_effect(node: ast.AST) -> bool:
    """Whether a statement does something that may be left out."""
    if isinstance(node, ast.Assign):
        return isinstance(node.targets[0], (ast.Attribute, ast.Subscript))
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call) and not _speaks(node.value)
    return isinstance(node, (ast.Raise, ast.Continue, ast.Break, ast.AugAssign))


def _set(made: ast.AST, fields: dict[str, object]) -> ast.AST:
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def _other(made: ast.AST, node: ast.AST) -> ast.AST:
    return ast.copy_location(copy.deepcopy(node), made)


def _put(tree: ast.AST, path: Path, node: ast.AST) -> None:
    *before, (name, number) = path
    for step, index in before:
        tree = getattr(tree, step) if index is None else getattr(tree, step)[index]
    if number is None:
        setattr(tree, name, node)
    else:
        getattr(tree, name)[number] = node


def _brief(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    if isinstance(node, (ast.If, ast.While)):
        text = f"if {ast.unparse(node.test)}"
    return text if len(text) <= 160 else text[:155] + " […]"


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_text(node: ast.BinOp) -> bool:
    return any(isinstance(side, (ast.JoinedStr, ast.List, ast.Tuple)) or (
        isinstance(side, ast.Constant) and isinstance(side.value, (str, bytes))) for side in (node.left, node.right))  # fmt: skip


def _is_typing(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _speaks(node: ast.Call) -> bool:
    """Whether a call's arguments are words for people."""
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    return name in WORDS or MESSAGES.search(name) is not None
