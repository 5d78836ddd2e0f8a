"""Comparisons of a time with what is no time, which nobody can mean: SQLite orders every number before every text.

What SQLite offers as a constraint is checked as it is asked for. The rest (NOT, OR, CASE, HAVING, a function around
the column) shows only in the statement's bytecode, as EXPLAIN prints it. Its opcodes are SQLite's to change.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import apsw

from ftsql.checks import brief
from ftsql.errors import ProgrammingError
from ftsql.fields import NUMERIC
from ftsql.plan import Access
from ftsql.program import Step
from ftsql.resource import Resource, SQLiteValue
from ftsql.resources import JOBS, OTHERS

LAST = 1e30  # the cost of a plan in which a comparison of an order has to wait for another table
MILLISECONDS = 1e11  # from here on a number is no time in seconds
PATTERN = re.compile(r"[0-9%_*?\[\]^.]+")  # of LIKE or GLOB, for the digits of a number
EQUALITY = {
    apsw.SQLITE_INDEX_CONSTRAINT_EQ: "=",  # also each value of an IN
    apsw.SQLITE_INDEX_CONSTRAINT_IS: "is",
    apsw.SQLITE_INDEX_CONSTRAINT_NE: "<>",
    apsw.SQLITE_INDEX_CONSTRAINT_ISNOT: "is-not",
}
ORDERS = {
    apsw.SQLITE_INDEX_CONSTRAINT_LT: "<",
    apsw.SQLITE_INDEX_CONSTRAINT_LE: "<=",
    apsw.SQLITE_INDEX_CONSTRAINT_GT: ">",
    apsw.SQLITE_INDEX_CONSTRAINT_GE: ">=",
    apsw.SQLITE_INDEX_CONSTRAINT_LIKE: "like",
    apsw.SQLITE_INDEX_CONSTRAINT_GLOB: "glob",
}
OPERATORS = {**EQUALITY, **ORDERS}
TAKEN = {"at": "created_at =", "since": "created_at >=", "newer": "created_at >"}  # which narrow what is asked for
TIMES = {resource.table: frozenset(resource.times) for resource in (JOBS, *OTHERS)}
EVERY_TIME = frozenset().union(*TIMES.values())
NAMES_A_TIME = re.compile(rf"\b({'|'.join(sorted(EVERY_TIME))})\b", re.IGNORECASE)


def mistake(column: str, value: SQLiteValue, operator: str = "=") -> ProgrammingError | None:
    """What is wrong with comparing a time with ``value``; None where it may be meant."""
    if value is None or (isinstance(value, str) and operator in ("like", "glob") and PATTERN.fullmatch(value)):
        return None
    number = float(value) if isinstance(value, str) and NUMERIC.fullmatch(value) else value
    if isinstance(number, (int, float)):
        if number < MILLISECONDS:
            return None
        why, instead = "is too large for that: it looks like milliseconds", f"{value!s} / 1000"
        return ProgrammingError(f"{column} is a Unix time in seconds, and {brief(value)} {why}. Write {instead}")
    kind = "a text" if isinstance(value, str) else "a BLOB"
    instead = "unixepoch('2020-01-01')"
    if value == "":
        instead = "NULL"
    elif isinstance(value, str):
        instead = f"unixepoch({apsw.format_sql_value(value)})" if re.match(r"\d{4}-\d\d", value) else instead
    return ProgrammingError(
        f"{column} is a Unix time in seconds, and {brief(value)} is {kind}: SQLite orders every number before every "
        f"text, so that this compares no times. Write {instead}"
    )


def constraints(info: apsw.IndexInfo, names: Sequence[str], table: str) -> tuple[list[tuple[int, str]], bool]:
    """The usable comparisons with a time that SQLite offers, each with its slot, as a plan says them; and whether
    there is one of its order that has to wait for another table.
    """
    found, waiting = [], False
    for slot in range(info.nConstraint):
        column, code = info.get_aConstraint_iColumn(slot), info.get_aConstraint_op(slot)
        if code not in OPERATORS or column < 0 or names[column] not in TIMES[table]:
            continue
        if not info.get_aConstraint_usable(slot):
            waiting = waiting or code in ORDERS
            continue
        constant = code in EQUALITY and isinstance(info.get_aConstraint_rhs(slot), (str, bytes))
        found.append((slot, f"{names[column]} {OPERATORS[code]}{' constant' if constant else ''}"))
    return found, waiting


def said(checks: Iterable[str]) -> str:
    """What a plan says of the comparisons that are checked as it runs."""
    listed = ", ".join(checks)
    return f"; checks {listed}" if listed else ""


def heard(words: str) -> tuple[str, list[str]]:
    """A plan's words, and the comparisons that it checks besides."""
    plan, _, checks = words.partition("; checks ")
    return plan, checks.split(", ") if checks else []


def compared(words: str) -> list[tuple[int, str]]:
    """All comparisons with a time in a plan's words, each with the number of its argument."""
    plan, checks = heard(words)
    _, *arguments = plan.split(" ")
    arguments = [word for word in arguments if word != "newest-first"]
    taken = [(number, TAKEN[word]) for number, word in enumerate(arguments) if word in TAKEN]
    return taken + list(enumerate(checks, len(arguments)))


def check(words: str, values: Sequence[SQLiteValue], is_given: Callable[[SQLiteValue], bool]) -> None:
    """Raise ProgrammingError for the first of a plan's arguments that no time is compared with.

    ``is_given`` tells whether a text stands in the statement or its parameters. With a text of another table
    only an order makes no sense: that no time equals it is so on any table.
    """
    for number, comparison in compared(words):
        value = values[number]
        column, operator, *constant = comparison.split(" ")
        error = mistake(column, value, operator)
        if error is None:
            continue
        if operator in EQUALITY.values() and isinstance(value, (str, bytes)) and not (constant or is_given(value)):
            continue
        raise error


Kind = Literal["time", "value", "number", "text", "unknown"]


@dataclass(frozen=True)
class Source:
    """What a register holds: a time of the column ``name``, a known ``value``, a number, a time as text, or unknown."""

    kind: Kind
    name: str = ""
    value: SQLiteValue = None


UNKNOWN, NUMBER, TEXT = Source("unknown"), Source("number"), Source("text")
COMPARE = frozenset({"Lt", "Le", "Gt", "Ge", "Eq", "Ne"})
ARITHMETIC = frozenset({"Add", "Subtract", "Multiply", "Divide", "Remainder"})
NUMBERS = frozenset({"BitAnd", "BitOr", "ShiftLeft", "ShiftRight", "Count", "Rowid", "Sequence", "NewRowid"})
TEXTS = frozenset({"date", "datetime", "time", "strftime"})
PLAIN_NUMBERS = frozenset({"unixepoch", "julianday", "length", "count", "row_number", "rank", "random"})
SAME = frozenset({"max", "min", "coalesce", "ifnull", "iif", "nullif", "sum", "total", "avg", "abs", "round", "likely"})


@dataclass
class Doubts:
    """What a statement's bytecode shows: mistaken comparisons, and columns whose comparison cannot be decided."""

    mistakes: list[ProgrammingError] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)


def read(program: Sequence[Step], parameters: Mapping[int, SQLiteValue] | None) -> Doubts:
    """What is wrong with the comparisons of a program. ``parameters`` by number; None where they are not known."""
    return _Reader(parameters).read(program)


class _Reader:
    """Walks a program in the order of its addresses, and remembers what the registers and cursors hold."""

    def __init__(self, parameters: Mapping[int, SQLiteValue] | None) -> None:
        self._parameters = parameters
        self._registers: dict[int, Source] = {}
        self._records: dict[int, list[Source]] = {}  # by the register of the record
        self._columns: dict[int, list[Source]] = {}  # of ephemeral tables and sorters, by cursor
        self._tables: dict[int, Resource] = {}  # of ours, by cursor
        self._checked: list[str] = []  # columns of comparisons that are checked as the statement runs
        self._found = Doubts()

    def read(self, program: Sequence[Step]) -> Doubts:
        begin = next((step.p2 for step in program if step.opcode == "Init"), 0)
        for step in (*program[begin:], *program[:begin]):
            self._step(step)
        for column in self._checked:
            if column in self._found.undecided:
                self._found.undecided.remove(column)
        return self._found

    def _step(self, step: Step) -> None:
        opcode, p1, p2, p3, p4 = step.opcode, step.p1, step.p2, step.p3, step.p4
        if opcode == "VFilter":
            self._opened(p1, p4)
        elif opcode in ("VColumn", "Column"):
            self._registers[p3] = self._column(p1, p2)
        elif opcode in ("Integer", "Int64", "Real", "String8", "Blob", "Null", "Variable"):
            self._registers[p2] = self._constant(step)
        elif opcode in ("SCopy", "IntCopy", "Copy", "Move"):
            count = {"Copy": p3 + 1, "Move": p3}.get(opcode, 1)
            for number in range(count):
                self._registers[p2 + number] = self._registers.get(p1 + number, UNKNOWN)
        elif opcode in ("Function", "PureFunc", "AggStep", "AggStep1"):
            self._called(p4.partition("(")[0].lower(), p2, p3, _count(p4))
        elif opcode in ARITHMETIC:
            times = [each for each in (self._at(p1), self._at(p2)) if each.kind == "time"]
            self._registers[p3] = times[0] if times else NUMBER
        elif opcode in NUMBERS:
            self._registers[p3 if opcode.startswith(("Bit", "Shift")) else p2] = NUMBER
        elif opcode == "Cast" and p2 in (67, 68, 69) and self._at(p1).kind != "time":  # to numeric, integer, real
            self._registers[p1] = NUMBER
        elif opcode == "MakeRecord":
            self._records[p3] = [self._at(p1 + number) for number in range(p2)]
        elif opcode in ("Insert", "IdxInsert", "SorterInsert") and p2 in self._records:
            self._stored(p1, self._records[p2])
        elif opcode == "SorterData":
            self._columns[p3] = self._columns.get(p1, [])
        elif opcode == "OpenPseudo":
            self._columns.setdefault(p1, self._records.get(p2, []))
        elif opcode in COMPARE:
            self._compared(self._at(p1), self._at(p3))
        elif opcode in ("Found", "NotFound", "NoConflict"):
            for number, held in enumerate(self._columns.get(p1, [])):
                self._compared(held, self._at(p3 + number))

    def _at(self, register: int) -> Source:
        return self._registers.get(register, UNKNOWN)

    def _opened(self, cursor: int, words: str) -> None:
        first = words.partition(";")[0].partition(" ")[0]
        if first in get_args(Access):
            self._tables[cursor] = JOBS
        for resource in OTHERS:
            if first == resource.plan_name:
                self._tables[cursor] = resource
        if cursor in self._tables:
            self._checked += [comparison.partition(" ")[0] for _, comparison in compared(words)]

    def _column(self, cursor: int, number: int) -> Source:
        if cursor in self._tables:
            resource = self._tables[cursor]
            name = resource.columns[number].name if number < len(resource.columns) else ""
            return Source("time", name) if name in TIMES[resource.table] else UNKNOWN
        held = self._columns.get(cursor, [])
        return held[number] if number < len(held) else UNKNOWN

    def _constant(self, step: Step) -> Source:
        if step.opcode == "Integer":
            return Source("value", value=step.p1)
        if step.opcode in ("Int64", "Real"):
            if step.p4:
                return Source("value", value=float(step.p4))
            packed = struct.pack("<ii", step.p1, step.p3)  # since SQLite 3.54, its two halves
            return Source("value", value=struct.unpack("<q" if step.opcode == "Int64" else "<d", packed)[0])
        if step.opcode == "String8":
            return Source("value", value=step.p4)
        if step.opcode == "Null":
            return Source("value")
        if step.opcode == "Blob":
            return Source("value", value=b"")
        if self._parameters is None or step.p1 not in self._parameters:
            return UNKNOWN
        return Source("value", value=self._parameters[step.p1])

    def _called(self, name: str, first: int, result: int, count: int) -> None:
        arguments = [self._at(first + number) for number in range(count)]
        if name in ("like", "glob") and count >= 2:
            self._compared(arguments[0], arguments[1], name)
        made = UNKNOWN
        if name in TEXTS:
            numeric = name == "strftime" and arguments and arguments[0].value in ("%s", "%J")
            made = NUMBER if numeric else TEXT
        elif name in PLAIN_NUMBERS:
            made = NUMBER
        elif name in SAME:
            times = [each for each in arguments if each.kind == "time"]
            known = all(each.kind == "number" for each in arguments)
            made = times[0] if times else NUMBER if known else UNKNOWN
        before = self._registers.get(result)
        keeps = before is not None and before.kind == "time" and name in SAME  # an aggregate's register
        self._registers[result] = before if keeps and before is not None else made

    def _stored(self, cursor: int, record: Sequence[Source]) -> None:
        """Note what a cursor's columns hold; a time, or a text beside it, outlives what else stands there."""
        held = self._columns.setdefault(cursor, [])
        for number, source in enumerate(record):
            if number >= len(held):
                held.append(source)
            elif held[number].kind != "time" and not _is_wrong(held[number]):
                held[number] = source

    def _compared(self, one: Source, other: Source, operator: str = "=") -> None:
        for time, value in ((one, other), (other, one)):
            if time.kind != "time" or value.kind in ("time", "number"):
                continue
            if value.kind == "text":
                self._found.mistakes.append(_of_a_function(time.name))
            elif value.kind == "value":
                error = mistake(time.name, value.value, operator)
                self._found.mistakes += [error] if error is not None else []
            else:
                self._found.undecided.append(time.name)


def _is_wrong(source: Source) -> bool:
    return source.kind == "text" or (source.kind == "value" and mistake("", source.value) is not None)


def _count(p4: str) -> int:
    """How many arguments ``name(2)`` takes; an aggregate without a number has none."""
    match = re.search(r"\((-?\d+)\)$", p4)
    return max(int(match[1]), 0) if match else 0


def _of_a_function(column: str) -> ProgrammingError:
    return ProgrammingError(
        f"{column} is a Unix time in seconds, and date(), datetime() and the like return a text: SQLite orders every "
        "number before every text, so that this compares no times. Write unixepoch(…) instead"
    )


def doubtful(columns: Collection[str]) -> str:
    """What to say of comparisons that nothing shows to be with a number."""
    names = ", ".join(dict.fromkeys(columns))
    return (
        f"{names} is compared with something that may be a text, which SQLite puts behind every time. Make it a "
        "number, CAST(… AS INTEGER) or unixepoch(…), or confirm it (--yes)"
    )


def literals(program: Sequence[Step]) -> Iterator[str]:
    """The texts that stand in a statement."""
    return (step.p4 for step in program if step.opcode == "String8")
