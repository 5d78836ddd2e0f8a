"""Table-valued functions for SQLite: virtual tables whose hidden columns are the arguments of a Python function.

apsw.ext.make_virtual_module does almost the same. But it also accepts plans in which the function runs before the table
that has the function's argument as a column. Such a plan would return no rows.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apsw

Function = Callable[..., Iterator[tuple[Any, ...]]]


class Module:
    """The virtual table module for ``function``, which yields rows with the columns ``columns``."""

    def __init__(self, function: Function, columns: Sequence[str]) -> None:
        self.function = function
        self.columns = tuple(columns)
        self.arguments = tuple(inspect.signature(function).parameters)

    def Connect(self, *_: object) -> tuple[str, Any]:
        hidden = ", ".join(f'"{name}" HIDDEN' for name in self.arguments)
        shown = ", ".join(f'"{name}"' for name in self.columns)
        return f"CREATE TABLE function({shown}, {hidden})", Table(self)

    Create = Connect


class Table:
    """The virtual table of one function."""

    def __init__(self, module: Module) -> None:
        self._module = module

    def BestIndexObject(self, info: apsw.IndexInfo) -> bool:
        """Use the constraints on the arguments. If one is unusable, refuse the plan, so that SQLite tries another."""
        taken: list[int] = []
        for slot in range(info.nConstraint):
            argument = info.get_aConstraint_iColumn(slot) - len(self._module.columns)
            if argument < 0 or info.get_aConstraint_op(slot) != apsw.SQLITE_INDEX_CONSTRAINT_EQ:
                continue
            if argument in taken or not info.get_aConstraint_usable(slot):
                return False
            taken.append(argument)
            info.set_aConstraintUsage_argvIndex(slot, len(taken))
            info.set_aConstraintUsage_omit(slot, True)
        info.idxStr = " ".join(map(str, taken))
        info.estimatedRows, info.estimatedCost = 1000, 1000.0
        return True

    def Open(self) -> Cursor:
        return Cursor(self._module)

    def Disconnect(self) -> None:
        pass

    Destroy = Disconnect


class Cursor:
    """One call of the function."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._rows: Iterator[tuple[Any, ...]] = iter(())
        self._row: tuple[Any, ...] | None = None
        self._values: list[Any] = []
        self._number = 0

    def Filter(self, _: int, words: str, arguments: Sequence[Any]) -> None:
        self._values = [None] * len(self._module.arguments)
        for place, value in zip(words.split(), arguments, strict=True):
            self._values[int(place)] = value
        self._rows, self._number = self._module.function(*self._values), 0
        self.Next()

    def Eof(self) -> bool:
        return self._row is None

    def Next(self) -> None:
        self._row = next(self._rows, None)
        self._number += 1

    def Column(self, number: int) -> Any:
        assert self._row is not None
        shown = len(self._module.columns)
        return self._number if number < 0 else self._row[number] if number < shown else self._values[number - shown]

    def Rowid(self) -> int:
        return self._number

    def Close(self) -> None:
        self._rows, self._row = iter(()), None
