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
from ftsql.program import Step, follow
from ftsql.resource import Resource, SQLiteValue
from ftsql.resources import JOBS, OTHERS

LAST = 1e30  # the cost of a plan in which a comparison of an order has to wait for another table
MILLISECONDS = 1e11  # from here on a number is no time in seconds
PATTERN = re.compile(r"(?:[0-9%_*?.]|\[[0-9^-]+\])+")  # of LIKE or GLOB, for the digits of a number
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
MAY_MISTAKE = re.compile(r"'|\d{4}|\de\+?\d", re.IGNORECASE)  # a text, or a large number, stands in the statement
NAMES_A_TABLE = re.compile(rf"\b({'|'.join(sorted(TIMES))})\b", re.IGNORECASE)
NAMES_A_TIME = re.compile(rf"\b({'|'.join(sorted(EVERY_TIME))}|finished)\b", re.IGNORECASE)  # or a view's readable one


def mistake(column: str, value: SQLiteValue, operator: str = "=", *, converts: bool = True) -> ProgrammingError | None:
    """What is wrong with comparing a time with ``value``; None if it may be meant.

    ``converts``: SQLite turns a text of digits into a number first, as it does beside a bare column.
    """
    if value is None or (isinstance(value, str) and operator in ("like", "glob") and PATTERN.fullmatch(value)):
        return None
    digits = isinstance(value, str) and NUMERIC.fullmatch(value) is not None
    number = float(value) if digits and converts else value
    if isinstance(number, (int, float)):
        if number < MILLISECONDS:
            return None
        why, instead = "is too large for that: it looks like milliseconds", f"{value!s} / 1000"
        return ProgrammingError(f"{column} is a Unix time in seconds, and {brief(value)} {why}. Write {instead}")
    kind = "a text" if isinstance(value, str) else "a BLOB"
    instead = "a number, such as unixepoch('2020-01-01')"
    if value == "":
        instead = "NULL"
    elif digits:
        instead = str(value).strip()
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


Kind = Literal["time", "value", "number", "text", "digits", "string", "unknown"]


@dataclass(frozen=True)
class Source:
    """What a register may hold: a time of the column ``name``, a ``value``, a number, or unknown.

    Or a text: of a date (``text``), of a number (``digits``), or any (``string``), each made of the time ``name`` if
    there is one.
    """

    kind: Kind
    name: str = ""
    value: SQLiteValue = None


Sources = frozenset[Source]
State = dict[int, Sources]  # by register

UNKNOWN, NUMBER = (frozenset({Source(kind)}) for kind in ("unknown", "number"))
COMPARE = frozenset({"Lt", "Le", "Gt", "Ge", "Eq", "Ne"})
ARITHMETIC = frozenset({"Add", "Subtract", "Multiply", "Divide", "Remainder"})
BITS = frozenset({"BitAnd", "BitOr", "ShiftLeft", "ShiftRight"})
COUNTS = frozenset({"Count", "Rowid", "Sequence", "NewRowid"})
CONSTANTS = frozenset({"Integer", "Int64", "Real", "String8", "Blob", "Null", "Variable"})
TEXTS = frozenset({"date", "datetime", "time", "strftime"})
PLAIN_NUMBERS = frozenset({"unixepoch", "julianday", "length", "count", "row_number", "rank", "random"})
SAME = frozenset({"max", "min", "coalesce", "ifnull", "iif", "nullif", "sum", "total", "avg", "abs", "round", "likely"})
STRINGS = frozenset(
    {"lower", "upper", "substr", "substring", "trim", "ltrim", "rtrim", "replace", "hex", "printf", "format", "quote"}
    | {"char", "concat", "concat_ws", "group_concat", "string_agg"}
)
AFFINITY = 0x47  # the bits of P5 that say what both sides of a comparison are turned into before
TO_TEXT, TO_NUMBER = 0x42, 0x43  # from which on it is some kind of number
VARIADIC = 4  # the arguments that are looked at of a function that takes any number
MOST_STEPS = 20_000  # of a fixpoint that is not reached before, the rest is undecided


@dataclass
class Doubts:
    """What a statement's bytecode shows: mistaken comparisons and those that cannot be decided, each by its place.

    ``seen``: columns of the comparisons that are checked as the statement runs.
    """

    mistakes: dict[int, tuple[str, ProgrammingError]] = field(default_factory=dict)
    undecided: dict[int, str] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    def hidden(self) -> list[ProgrammingError]:
        """The mistakes beyond those that are checked."""
        left, found = list(self.seen), []
        for column, error in self.mistakes.values():
            if column in left:
                left.remove(column)
            else:
                found.append(error)
        return found

    def in_doubt(self) -> list[str]:
        """The columns of undecided comparisons beyond those that are checked."""
        left, found = list(self.seen), []
        for column in self.undecided.values():
            if column in left:
                left.remove(column)
            else:
                found.append(column)
        return found


def read(program: Sequence[Step], parameters: Mapping[int, SQLiteValue] | None) -> Doubts:
    """What is wrong with the comparisons of a program. ``parameters`` by number; None where they are not known."""
    return _Reader(program, parameters).read()


class _Reader:
    """Follows a program along all its paths, and notes what the registers may hold and what is compared."""

    def __init__(self, program: Sequence[Step], parameters: Mapping[int, SQLiteValue] | None) -> None:
        self._program = program
        self._parameters = parameters
        self._records: dict[int, list[Sources]] = {}  # by the register of the record
        self._columns: dict[int, list[Sources]] = {}  # of ephemeral tables and sorters, by cursor
        self._pseudo: dict[int, int] = {}  # cursors over the record in a register
        self._tables: dict[int, Resource] = {}  # of ours, by cursor
        self._found = Doubts()
        for step in program:
            if step.opcode == "VFilter":
                self._opened(step.p1, step.p4)

    def read(self) -> Doubts:
        states: dict[int, State] = {0: {}}
        waiting = [0] if self._program else []
        for _ in range(MOST_STEPS):
            if not waiting:
                break
            address = waiting.pop()
            state = dict(states[address])
            grew = self._step(self._program[address], state)
            for target in follow(self._program, address):
                known = states.get(target)
                joined = state if known is None else {**known, **{r: known.get(r, NONE) | state[r] for r in state}}
                if known is None or joined != known:
                    states[target] = joined
                    waiting.append(target)
            if grew:  # what a table holds changed: whoever reads it looks again
                waiting += [step.address for step in self._program if step.opcode in READS and step.address in states]
        return self._found

    def _opened(self, cursor: int, words: str) -> None:
        first = words.partition(";")[0].partition(" ")[0]
        if first in get_args(Access):
            self._tables[cursor] = JOBS
        for resource in OTHERS:
            if first == resource.plan_name:
                self._tables[cursor] = resource
        if cursor in self._tables:
            self._found.seen += [comparison.partition(" ")[0] for _, comparison in compared(words)]

    def _step(self, step: Step, state: State) -> bool:
        """Carry one instruction out on ``state``; whether what a table holds grew."""
        opcode, p1, p2, p3 = step.opcode, step.p1, step.p2, step.p3
        if opcode in ("VColumn", "Column"):
            state[p3] = self._column(p1, p2)
        elif opcode in CONSTANTS:
            state[p2] = frozenset({self._constant(step)})
        elif opcode in ("SCopy", "IntCopy", "Copy", "Move"):
            for number in range({"Copy": p3 + 1, "Move": p3}.get(opcode, 1)):
                state[p2 + number] = state.get(p1 + number, UNKNOWN)
        elif opcode in ("Function", "PureFunc", "AggStep", "AggStep1"):
            self._called(step, state)
        elif opcode in ARITHMETIC:
            times = _times(state.get(p1, UNKNOWN) | state.get(p2, UNKNOWN))
            state[p3] = times or NUMBER
        elif opcode in BITS:
            state[p3] = NUMBER
        elif opcode in COUNTS:
            state[p2] = NUMBER
        elif opcode == "Cast":
            held = state.get(p1, UNKNOWN)
            state[p1] = _times(held) or NUMBER if p2 >= TO_NUMBER else _string(held, "digits")
        elif opcode == "Concat":
            state[p3] = _string(state.get(p1, UNKNOWN) | state.get(p2, UNKNOWN), "string")
        elif opcode == "Affinity":
            for number, letter in enumerate(step.p4[:p2]):
                state[p1 + number] = _converted(state.get(p1 + number, UNKNOWN), letter)
        elif opcode == "MakeRecord":
            letters = step.p4.ljust(p2, "A")
            self._records[p3] = [_converted(state.get(p1 + number, UNKNOWN), letters[number]) for number in range(p2)]
        elif opcode in ("Insert", "IdxInsert", "SorterInsert"):
            return self._stored(p1, self._records.get(p2, []))
        elif opcode == "SorterData":
            return self._stored(p3, self._columns.get(p1, []))
        elif opcode in COMPARE:
            self._compared(step.address, state.get(p1, UNKNOWN), state.get(p3, UNKNOWN), affinity=step.p5 & AFFINITY)
        elif opcode in ("Found", "NotFound", "NoConflict"):
            for number, held in enumerate(self._columns.get(p1, [])):
                self._compared(step.address, held, state.get(p3 + number, UNKNOWN))
        return False

    def _column(self, cursor: int, number: int) -> Sources:
        if cursor in self._tables:
            resource = self._tables[cursor]
            name = resource.columns[number].name if number < len(resource.columns) else ""
            return frozenset({Source("time", name)}) if name in TIMES[resource.table] else UNKNOWN
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
            return Source("unknown")
        return Source("value", value=self._parameters[step.p1])

    def _called(self, step: Step, state: State) -> None:
        name, count = _function(step.p4)
        arguments = [state.get(step.p2 + number, NONE) for number in range(count) if step.p2 + number != step.p3]
        if name in ("like", "glob") and count >= 2:
            self._compared(step.address, arguments[0], arguments[1], name, affinity=TO_NUMBER)
        every: Sources = frozenset().union(*arguments)
        made = UNKNOWN
        if name in TEXTS:
            formats = {source.value for source in arguments[0]} if arguments else set()
            kind: Kind = "digits" if name == "strftime" and formats <= {"%s", "%J"} else "text"
            made = frozenset({Source(kind, time.name) for time in _times(every)} or {Source(kind)})
        elif name in STRINGS:
            made = _string(every, "string")
        elif name in PLAIN_NUMBERS:
            made = NUMBER
        elif name in SAME:
            known = bool(every) and all(source.kind in ("number", "value") for source in every)
            made = _made_of_times(every) or (NUMBER if known else UNKNOWN)
        before = state.get(step.p3, NONE) if step.opcode.startswith("Agg") else NONE
        state[step.p3] = _made_of_times(before) | made

    def _stored(self, cursor: int, record: Sequence[Sources]) -> bool:
        held = self._columns.setdefault(cursor, [])
        grew = False
        for number, sources in enumerate(record):
            if number >= len(held):
                held.append(NONE)
            if not sources <= held[number]:
                held[number] |= sources
                grew = True
        return grew

    def _compared(self, address: int, one: Sources, other: Sources, operator: str = "=", *, affinity: int = 0) -> None:
        for left, right in ((one, other), (other, one)):
            for time in _made_of_times(left):
                for value in right or UNKNOWN:
                    if time.kind == "time":
                        error = _beside_a_time(time.name, value, operator, converts=affinity >= TO_NUMBER)
                    else:
                        error = _beside_a_text(time, value, affinity)
                    if error is not None:
                        self._found.mistakes[address] = time.name, error
                    elif time.kind == "time" and value.kind in ("unknown", "string"):
                        self._found.undecided[address] = time.name


NONE: Sources = frozenset()
READS = frozenset({"Column", "Found", "NotFound", "NoConflict", "SorterData"})


def _times(sources: Sources) -> Sources:
    return frozenset(source for source in sources if source.kind == "time")


def _made_of_times(sources: Sources) -> Sources:
    """Those that are times, or texts made of one."""
    return frozenset(source for source in sources if source.name)


def _string(sources: Sources, kind: Kind) -> Sources:
    """A text made of these."""
    return frozenset({Source(kind, source.name) for source in _made_of_times(sources)} or {Source("string")})


def _converted(sources: Sources, letter: str) -> Sources:
    """What these are once the affinity of that letter was applied: a text of digits becomes a number."""
    if ord(letter) < TO_NUMBER:
        return sources
    found = set()
    for source in sources:
        if source.kind == "value" and isinstance(source.value, str) and NUMERIC.fullmatch(source.value):
            found.add(Source("value", value=float(source.value)))
        elif source.kind in ("digits", "string"):
            found.add(Source("number" if source.kind == "digits" else "unknown"))
        else:
            found.add(source)
    return frozenset(found)


def _beside_a_time(column: str, value: Source, operator: str, *, converts: bool) -> ProgrammingError | None:
    """What is wrong with comparing a time with ``value``."""
    if value.kind == "value":
        return mistake(column, value.value, operator, converts=converts)
    if value.kind == "text" or (value.kind in ("digits", "string") and not converts):
        return _of_a_function(column)
    return None


def _beside_a_text(text: Source, value: Source, affinity: int) -> ProgrammingError | None:
    """What is wrong with comparing a text that was made of a time with ``value``: a number is no such text."""
    is_number = value.kind == "number" or (value.kind == "value" and isinstance(value.value, (int, float)))
    if not is_number or affinity == TO_TEXT or (text.kind != "text" and affinity >= TO_NUMBER):
        return None
    shown = brief(value.value) if value.kind == "value" else "what it is compared with"
    return ProgrammingError(
        f"{text.name} was made a text here, and {shown} is a number: SQLite orders every number before every text, so "
        f"that this compares no times. Compare {text.name} itself with a number, or the text with a text"
    )


def _function(p4: str) -> tuple[str, int]:
    """The name in ``name(2)``, and how many arguments to look at."""
    name, _, rest = p4.partition("(")
    count = int(rest.rstrip(")")) if re.fullmatch(r"-?\d+\)", rest) else 0
    return name.lower(), VARIADIC if count < 0 else count


def _of_a_function(column: str) -> ProgrammingError:
    return ProgrammingError(
        f"{column} is a Unix time in seconds, and date(), strftime() and the like return a text: SQLite orders every "
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
