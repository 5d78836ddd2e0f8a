"""``.ci/check`` runs tests of every room: enough of them are neither slow nor long."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOMS = (
    "api", "cli", "dbapi", "read", "resources", "sandbox", "serve", "sqlalchemy", "sqlite", "stackql", "store", "sync",
    "write",
)  # fmt: skip
OTHERS = {"campaign", "tools"}  # tiers of their own
LEFT_OUT = re.compile(r"\bpytest\.mark\.(?:slow|long)\b")


def left_out(*code: ast.expr) -> bool:
    return any(LEFT_OUT.search(ast.unparse(each)) for each in code)


def marked(path: Path) -> dict[str, bool]:
    """Return the tests of a module, and whether ``.ci/check`` runs each with all its parameters."""
    tree = ast.parse(path.read_text("utf-8"))
    marks = [node.value for node in tree.body if isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node)]
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    return {node.name: not left_out(*marks, *node.decorator_list) for node in functions}


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_quick_tests(room: str) -> None:
    found = [quick for path in (TESTS / room).rglob("test_*.py") for quick in marked(path).values()]
    assert sum(found) >= 8
    assert sum(found) > len(found) / 3


def test_every_folder_with_tests_is_a_room() -> None:
    folders = {path.relative_to(TESTS).parts[0] for path in TESTS.glob("*/**/test_*.py")}
    assert folders == {*ROOMS, *OTHERS}


def test_a_mark_of_a_module_a_test_or_a_parameter_leaves_a_test_out(tmp_path: Path) -> None:
    path = tmp_path / "test_some.py"
    some = "def test_a(): ...\n@pytest.mark.long\ndef test_b(): ...\n"
    path.write_text(
        f"{some}@pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.slow)])\ndef test_c(x): ...\n"
    )
    assert marked(path) == {"test_a": True, "test_b": False, "test_c": False}
    path.write_text(f"pytestmark = [pytest.mark.long, pytest.mark.usefixtures('files')]\n{some}")
    assert marked(path) == {"test_a": False, "test_b": False}
