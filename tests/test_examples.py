"""The examples in ftsql's docstrings are true, and every function and class that users call has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ftsql
from tests.documents import PACKAGE

MARK = ">>>"
# What users call: what these packages export, and what these modules define.
PACKAGES = ("ftsql", "ftsql.dbapi", "ftsql.sandbox", "ftsql.stackql", "ftsql.sync")
MODULES = ("ftsql.connection", "ftsql.registration", "ftsql.sqlalchemy.dialect", "ftsql.sqlalchemy.url")


def with_examples() -> Iterator[str]:
    """Return the names of the modules with examples."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if MARK in path.read_text("utf-8"):
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def called_by_users() -> Iterator[Any]:
    """Return the functions and classes that users call. An error needs no example, and neither does another's class."""
    for name in (*PACKAGES, *MODULES):
        module = importlib.import_module(name)
        names = module.__all__ if name in PACKAGES else [each for each in vars(module) if not each.startswith("_")]
        for each in names:
            value = getattr(module, each)
            ours = name if name in MODULES else "ftsql."
            if not inspect.isclass(value) and not inspect.isfunction(value):
                continue
            if value.__module__.startswith(ours) and value.__module__ != "ftsql.errors":
                yield value


CALLED = {f"{each.__module__}.{each.__qualname__}": each for each in called_by_users()}


@pytest.mark.parametrize("name", list(with_examples()))
def test_the_examples_of_a_module_are_true(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module(name))
    assert (found.failed, found.attempted > 0) == (0, True), capsys.readouterr().out


def test_what_users_call_is_found() -> None:
    assert {ftsql.connect, ftsql.Registration, ftsql.Settings} <= set(CALLED.values())
    assert {"ftsql.dbapi.cursor.Cursor", "ftsql.sync.rounds.sync", "ftsql.sandbox.server.Sandbox"} <= set(CALLED)


@pytest.mark.parametrize("name", sorted(CALLED))
def test_what_users_call_has_an_example(name: str) -> None:
    assert MARK in (CALLED[name].__doc__ or ""), f"{name} has no example in its docstring"
