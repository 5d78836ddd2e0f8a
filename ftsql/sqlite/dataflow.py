"""Analyse a statement's bytecode to find comparisons of a time with a string or another wrong value.

SQLite passes only some comparisons to a virtual table. To find the others, this module follows the values that each
register may hold, along all paths of the program that EXPLAIN prints. SQLite may change its opcodes in any release. If
a program has an opcode that this module does not know, its comparisons count as undecided.

The module is longer than 400 lines because all of it depends on the kinds of Source. Every opcode and every function
has a result for every kind.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ftsql.errors import ProgrammingError
from ftsql.read.plan import resource_of
from ftsql.resources.fields import NUMERIC
from ftsql.resources.resource import Resource, SQLiteValue
from ftsql.sqlite.bytecode import Step, next_addresses
from ftsql.sqlite.comparisons import MILLISECONDS, TIMES, comparisons_of, find_mistake
from ftsql.write.create_body import brief

Kind = Literal[
    "time",  # the time of the column ``name``
    "derived",  # a number calculated from a time
    "julian_day",  # a time that a date function misread as a Julian day
    "date_string",  # a string with a date; if there is a ``name``, made from the time in that column
    "digit_string",  # a string with a number; if there is a ``name``, made from the time in that column
    "string",  # any other string
    "number",  # any other number
    "value",  # a literal or a parameter, in ``value``
    "unknown",  # anything
    "record",  # the record made at the address ``origin``
    "row",  # the current row of the cursor ``origin``
]


@dataclass(frozen=True)
class Source:
    """One possible value of a register.

    name: The column of the time that the value was made from; "" if it was not made from a time.
    origin: The place that the value comes from. It tells two values of one kind apart.
    """

    kind: Kind
    name: str = ""
    value: SQLiteValue = None
    origin: object = None


Sources = frozenset[Source]
State = dict[int, Sources]  # the possible values of each register, by its number
Columns = list[Sources]

NONE: Sources = frozenset()
UNKNOWN, NUMBER = (frozenset({Source(kind)}) for kind in ("unknown", "number"))
COMPARE = frozenset({"Lt", "Le", "Gt", "Ge", "Eq", "Ne"})
SEEK = frozenset({"SeekGT", "SeekGE", "SeekLT", "SeekLE", "IdxGT", "IdxGE", "IdxLT", "IdxLE"})
FIND = frozenset({"Found", "NotFound", "NoConflict"})
ARITHMETIC = frozenset({"Add", "Subtract", "Multiply", "Divide", "Remainder"})
CONSTANTS = frozenset({"Integer", "Int64", "Real", "String8", "String", "Blob", "Null", "Variable", "IfNullRow"})
COPIES = frozenset({"SCopy", "IntCopy", "Copy", "Move"})
CALLS = frozenset({"Function", "PureFunc", "AggStep", "AggStep1", "AggInverse"})
# Opcodes that put a number into the register P2, and those that put one into P3.
NUMBERS_2 = frozenset(
    """
    Count Rowid Sequence NewRowid IdxRowid ReadCookie Not BitNot IsTrue OffsetLimit ZeroOrNull CreateBtree
    Destroy GetSubtype Pagecount MaxPgcnt JournalMode
    """.split()  # noqa: SIM905 - so many quoted words would be hard to read
)
NUMBERS_3 = frozenset(["BitAnd", "BitOr", "ShiftLeft", "ShiftRight", "And", "Or", "RowSetRead", "Offset"])
# Opcodes that do not write a register that the analysis follows, or that do not change the kind of its value.
PLAIN = frozenset(
    """
    Init Goto Gosub Return InitCoroutine EndCoroutine Yield HaltIfNull Halt Once If IfNot IsType IsNull
    NotNull Jump ElseEq Compare Permutation Noop Explain Trace CursorHint Abortable Savepoint
    AutoCommit Transaction SetCookie ReopenIdx OpenRead OpenWrite OpenAutoindex OpenEphemeral OpenPseudo SorterOpen
    SequenceTest Close ColumnsUsed SeekScan SeekHit IfNotOpen IfNoHope SeekRowid NotExists Delete SeekEnd
    ResetCount SorterCompare NullRow Last IfSizeBetween IfSmaller SorterSort Sort Rewind IfEmpty SorterNext
    Prev Next IdxDelete DeferredSeek FinishSeek Clear ResetSorter SqlExec ParseSchema LoadAnalysis DropTable
    DropIndex DropTrigger RowSetAdd RowSetTest Program FkCounter FkIfZero FkCheck MemMax IfPos IfNotZero
    DecrJumpZero Vacuum IncrVacuum Expire CursorLock CursorUnlock TableLock VBegin VCreate VDestroy VOpen
    VCheck VInitIn VNext VRename VUpdate ClrSubtype SetSubtype FilterAdd Filter ResultRow AddImm MustBeInt
    RealAffinity TypeCheck BeginSubrtn CollSeq SoftNull Checkpoint IntegrityCk ReleaseReg AggFinal
    """.split()  # noqa: SIM905 - so many quoted words would be hard to read
)
DATES = frozenset({"date", "datetime", "time", "strftime", "unixepoch", "julianday"})
PLAIN_NUMBERS = frozenset(
    {"length", "octet_length", "count", "row_number", "rank", "random", "instr", "sign", "unicode"}
)
# Functions that return one of their arguments, or a number made from them.
SAME = frozenset({"max", "min", "coalesce", "ifnull", "iif", "nullif", "sum", "total", "avg", "abs", "round", "likely"})
STRINGS = frozenset(
    {"lower", "upper", "substr", "substring", "trim", "ltrim", "rtrim", "replace", "hex", "printf", "format", "quote"}
    | {"char", "concat", "concat_ws", "group_concat", "string_agg"}
)
AFFINITY = 0x47  # the bits of P5 with the affinity that SQLite applies to both sides before it compares them
TO_TEXT, TO_NUMBER = 0x42, 0x43  # the affinity TEXT, and the first of the numeric affinities
VARIADIC = 4  # how many arguments are read if a function takes any number of arguments
MANY = 8  # how many values of one column are kept; after that, a value is added only if its category is new
MOST_STEPS = 300_000  # the analysis of a program stops after this many instructions


@dataclass
class Doubts:
    """The findings about a statement's comparisons, except those that a table checks while the statement runs.

    undecided: The columns with times that are compared with a value of unknown type.
    unread: The reason why the program was not read in full, or "" if it was.
    """

    mistakes: list[ProgrammingError] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    unread: str = ""


def read(programs: Iterable[Sequence[Step]], parameters: Mapping[int, SQLiteValue] | None) -> Doubts:
    """Return the findings about the comparisons in a statement's program and in the programs of its triggers.

    parameters: The values of the parameters by number, or None if they are unknown.
    """
    found = Doubts()
    for program in programs:
        _Reader(program, parameters, found).read()
    return found


def has_literal(program: Iterable[Step], value: object) -> bool:
    """Whether the string or BLOB ``value`` is a literal in a statement's program.

    Of a BLOB only the length is compared, because EXPLAIN does not show all of its bytes.
    """
    if isinstance(value, bytes):
        return any(step.opcode == "Blob" and step.p1 == len(value) for step in program)
    return any(step.opcode == "String8" and step.p4 == value for step in program)


class _Reader:
    """Follows one program along all its paths until no register gains a value, then checks its comparisons."""

    def __init__(self, program: Sequence[Step], parameters: Mapping[int, SQLiteValue] | None, found: Doubts) -> None:
        self._program = program
        self._parameters = parameters
        self._found = found
        self._records: dict[int, Columns] = {}  # by the address of MakeRecord
        self._columns: dict[int, Columns] = {}  # the columns of ephemeral tables and sorters, by cursor
        self._pseudo = {step.p1: step.p2 for step in program if step.opcode == "OpenPseudo"}
        self._tables: dict[int, Resource] = {}  # ftsql's tables, by cursor
        self._checked: set[tuple[object, str, Source]] = (
            set()
        )  # the comparisons that a table checks itself, each as a cursor, a column with times, and a value
        self._once: State = {}  # the registers that a single instruction writes
        self._several: set[int] = set()  # the registers that several instructions write
        self._first: dict[int, int] = {}  # the address of the first instruction that writes a register
        self._grew = False  # whether a table, a record or a register of ``_once`` gained a value
        self._judging = False  # whether the paths are known, so that comparisons are checked now
        self._next = [next_addresses(program, step.address) for step in program]
        # The addresses at which a block begins: each is the target of a jump, or follows a branch.
        self._leaders = {
            target for step in program if not self._runs_on(step.address) for target in self._next[step.address]
        }
        for step in program:
            if step.opcode == "VFilter" and (resource := resource_of(step.p4)) is not None:
                self._tables[step.p1] = resource
            for register in _written_registers(step):
                if register in self._first:
                    self._several.add(register)
                self._first.setdefault(register, step.address)

    def read(self) -> None:
        """Add the findings about the program to ``found``."""
        states = self._follow_paths()
        self._judging = True
        for address, state in states.items():
            self._run_block(address, dict(state))

    def _follow_paths(self) -> dict[int, State]:
        """Return for each block the values that the registers may hold at its beginning, whatever path leads to it."""
        states: dict[int, State] = {0: {}}
        dirty, steps = {0}, 0
        while dirty:
            address = min(dirty)
            dirty.discard(address)
            state = dict(states[address])
            last = self._run_block(address, state)
            steps += last - address + 1
            for target in self._next[last]:
                if target not in states:
                    states[target] = dict(state)
                    dirty.add(target)
                elif _merge(states[target], state):
                    dirty.add(target)
            if self._grew and not dirty:  # every instruction that reads the grown table, record or register runs again
                dirty = set(states)
                self._grew = False
            if steps > MOST_STEPS:
                self._found.unread = "it is too long"
                break
        return states

    def _run_block(self, address: int, state: State) -> int:
        """Apply the instructions of a block to ``state``. The block begins at ``address``. Return its last address."""
        while True:
            self._run(self._program[address], state)
            if not self._runs_on(address) or address + 1 in self._leaders:
                return address
            address += 1

    def _runs_on(self, address: int) -> bool:
        """Whether the instruction at ``address`` always leads to the one directly after it."""
        return self._next[address] == [address + 1]

    def _run(self, step: Step, state: State) -> None:
        """Apply one instruction to ``state``."""
        run = _RUN.get(step.opcode)
        if run is not None:
            run(self, step, state)
        elif step.opcode not in PLAIN and not self._found.unread:
            self._found.unread = f"SQLite's opcode {step.opcode} is not known"

    def _get(self, state: State, register: int) -> Sources:
        held = state.get(register, NONE) if register in self._several else self._once.get(register, NONE)
        return held or (UNKNOWN if self._judging else NONE)

    def _put(self, state: State, register: int, sources: Sources) -> None:
        if register in self._several:
            state[register] = sources
        elif not sources <= (before := self._once.get(register, NONE)):
            self._once[register] = before | sources
            self._grew = True

    # Instructions that write a register.

    def _run_constant(self, step: Step, state: State) -> None:
        for register in _written_registers(step):
            self._put(state, register, frozenset({self._constant(step)}))

    def _run_copy(self, step: Step, state: State) -> None:
        for number, register in enumerate(_written_registers(step)):
            self._put(state, register, self._get(state, step.p1 + number))

    def _run_aggregate_value(self, step: Step, state: State) -> None:
        self._put(state, step.p3, self._get(state, step.p1))

    def _run_number_2(self, step: Step, state: State) -> None:
        self._put(state, step.p2, NUMBER)

    def _run_number_3(self, step: Step, state: State) -> None:
        self._put(state, step.p3, NUMBER)

    def _run_param(self, step: Step, state: State) -> None:
        self._put(state, step.p2, frozenset({Source("unknown", origin=("param", step.p1))}))

    def _run_cast(self, step: Step, state: State) -> None:
        held = self._get(state, step.p1)
        if step.p2 >= TO_NUMBER:
            made = _calculated(held) or NUMBER
        else:
            made = _string_of(held, (step.p1, step.address), joined=False)
        self._put(state, step.p1, made)

    def _run_concat(self, step: Step, state: State) -> None:
        held = self._get(state, step.p1) | self._get(state, step.p2)
        self._put(state, step.p3, _string_of(held, step.address))

    def _run_affinity(self, step: Step, state: State) -> None:
        for register, letter in enumerate(step.p4[: step.p2], step.p1):
            self._put(state, register, _with_affinity(self._get(state, register), letter))

    def _run_arithmetic(self, step: Step, state: State) -> None:
        one, other = self._get(state, step.p1), self._get(state, step.p2)
        for time, value in _pairs(one, other):
            if time.kind == "time" and (value.kind == "date_string" or _is_word(value)):
                self._add_mistake(time, value, _time_mistake(time.name, value, "-", converts=True))
        # A date string counts as its year.
        years = frozenset(
            Source("date_string", origin="year")
            for source in one | other
            if source.kind == "date_string" and not source.name
        )
        self._put(state, step.p3, _calculated(one | other) or years or NUMBER)

    def _constant(self, step: Step) -> Source:
        if step.opcode == "Variable":
            return self._parameter(step.p1)
        if step.opcode in ("Int64", "Real"):
            return Source("value", value=_number(step))
        values: dict[str, SQLiteValue] = {"Integer": step.p1, "String8": step.p4, "String": step.p4, "Blob": b""}
        return Source("value", value=values.get(step.opcode))  # NULL for Null and IfNullRow

    def _parameter(self, number: int) -> Source:
        if self._parameters is None or number not in self._parameters:
            return Source("unknown", origin=("variable", number))
        value: Any = self._parameters[number]
        if isinstance(value, (bytearray, memoryview)):
            value = b""
        elif not (value is None or isinstance(value, (int, float, str, bytes))):
            value = "{}"  # other types are bound as JSON
        return Source("value", value=value)

    # Function calls.

    def _run_call(self, step: Step, state: State) -> None:
        name, count = _name_and_count(step)
        arguments = []
        for number in range(abs(count)):
            register = step.p2 + number
            given = step.p1 >> number & 1 or self._first.get(register, step.address) < step.address
            if register == step.p3 or (count < 0 and not given):
                break
            arguments.append(self._get(state, register))
        self._check_call(step, name, arguments)
        before = self._get(state, step.p3) if step.opcode.startswith("Agg") else NONE
        self._put(state, step.p3, _from_times(before) | _result(step, name, arguments))

    def _check_call(self, step: Step, name: str, arguments: Sequence[Sources]) -> None:
        """Check the comparison that a call to LIKE, GLOB, min, max or nullif makes."""
        if len(arguments) < 2:
            return
        if name in ("like", "glob"):
            self._check(arguments[0], arguments[1], name, affinity=TO_NUMBER)
        elif name in ("min", "max", "nullif") and not step.opcode.startswith("Agg"):
            self._check(arguments[0], arguments[1])

    # Tables and records.

    def _run_column(self, step: Step, state: State) -> None:
        self._put(state, step.p3, self._column(step.p1, step.p2, state))

    def _run_make_record(self, step: Step, state: State) -> None:
        letters = step.p4.ljust(step.p2, "A")
        record = [_with_affinity(self._get(state, step.p1 + number), letters[number]) for number in range(step.p2)]
        self._grow(self._records.setdefault(step.address, []), record)
        self._put(state, step.p3, frozenset({Source("record", origin=step.address)}))

    def _run_row(self, step: Step, state: State) -> None:
        self._put(state, step.p2, frozenset({Source("row", origin=step.p1)}))

    def _run_insert(self, step: Step, state: State) -> None:
        self._grow(self._columns.setdefault(step.p1, []), self._record(self._get(state, step.p2)))

    def _run_row_cell(self, step: Step, state: State) -> None:
        self._grow(self._columns.setdefault(step.p1, []), self._columns.get(step.p2, []))

    def _run_open_dup(self, step: Step, state: State) -> None:
        self._columns[step.p1] = self._columns.setdefault(step.p2, [])

    def _grow(self, held: Columns, record: Iterable[Sources]) -> None:
        """Add the values of ``record`` to the columns ``held``."""
        for number, sources in enumerate(record):
            if number >= len(held):
                held.append(NONE)
            new = sources - held[number]
            if new and len(held[number]) >= MANY:
                categories = {_category(source) for source in held[number]}
                new = frozenset(source for source in new if _category(source) not in categories)
            if new:
                held[number] |= new
                self._grew = True

    def _record(self, sources: Sources) -> Columns:
        """Return the columns of all records that a register may hold."""
        found: Columns = []
        for source in sources:
            held = self._records if source.kind == "record" else self._columns if source.kind == "row" else {}
            for number, column in enumerate(held.get(source.origin, [])):  # type: ignore[call-overload]
                found += [NONE] * (number + 1 - len(found))
                found[number] |= column
        return found

    def _column(self, cursor: int, number: int, state: State) -> Sources:
        if cursor in self._tables:
            resource = self._tables[cursor]
            name = resource.columns[number].name if number < len(resource.columns) else ""
            if name in TIMES[resource.table]:
                return frozenset({Source("time", name, origin=cursor)})
            return UNKNOWN
        held = (
            self._record(self._get(state, self._pseudo[cursor]))
            if cursor in self._pseudo
            else self._columns.get(cursor)
        )
        if held is None:  # one of the user's tables
            return frozenset({Source("unknown", origin=(cursor, number))})
        return held[number] if number < len(held) else NONE

    # Comparisons.

    def _run_filter(self, step: Step, state: State) -> None:
        """Record the comparisons that a table of ftsql checks itself when SQLite calls its xFilter."""
        if step.p1 not in self._tables:
            return
        for number, comparison in comparisons_of(step.p4):
            column, operator = comparison.split(" ")
            for source in self._get(state, step.p3 + 2 + number):
                # If the operator is <> or IS NOT, the table accepts a string that comes from another table.
                if operator not in ("<>", "is-not") or source.kind == "value":
                    self._checked.add((step.p1, column, source))

    def _run_compare(self, step: Step, state: State) -> None:
        self._check(self._get(state, step.p1), self._get(state, step.p3), affinity=step.p5 & AFFINITY)

    def _run_seek(self, step: Step, state: State) -> None:
        count = int(step.p4) if step.p4.isdigit() else 0
        keys = [self._get(state, step.p3 + number) for number in range(count)]
        held = self._columns.get(step.p1, [])
        for number, key in enumerate(keys or self._record(self._get(state, step.p3))):
            other = held[number] if number < len(held) else frozenset({Source("unknown", origin=(step.p1, number))})
            self._check(other, key)

    def _check(self, one: Sources, other: Sources, operator: str = "=", *, affinity: int = 0) -> None:
        """Check a comparison for all pairs of values that its two sides may have."""
        if not self._judging:
            return
        for made, value in _pairs(one or UNKNOWN, other or UNKNOWN):
            if not made.name:
                continue
            if made.kind in ("time", "derived"):
                error = _time_mistake(made.name, value, operator, converts=affinity >= TO_NUMBER)
            else:
                error = _string_mistake(made, value, affinity)
            if error is not None and made.kind != "derived":
                self._add_mistake(made, value, error)
            elif error is not None or (value.kind in ("unknown", "string") and made.kind != "date_string"):
                self._add_doubt(made, value)

    def _add_mistake(self, made: Source, value: Source, error: ProgrammingError | None) -> None:
        if error is not None and self._judging and not self._is_checked(made, value):
            self._found.mistakes.append(error)

    def _add_doubt(self, made: Source, value: Source) -> None:
        if not self._is_checked(made, value):
            self._found.undecided.append(made.name)

    def _is_checked(self, made: Source, value: Source) -> bool:
        """Whether a table checks this comparison itself.

        A year that is calculated from a date string does not count, because the table would take the year for a plain
        number.
        """
        return (made.origin, made.name, value) in self._checked and value.origin != "year"


_Run = Callable[[_Reader, Step, State], None]
_OPCODES: tuple[tuple[Iterable[str], _Run], ...] = (
    (CONSTANTS, _Reader._run_constant),
    (COPIES, _Reader._run_copy),
    (CALLS, _Reader._run_call),
    (ARITHMETIC, _Reader._run_arithmetic),
    (NUMBERS_2, _Reader._run_number_2),
    (NUMBERS_3, _Reader._run_number_3),
    (COMPARE, _Reader._run_compare),
    (FIND | SEEK, _Reader._run_seek),
    (("Column", "VColumn"), _Reader._run_column),
    (("RowData", "SorterData"), _Reader._run_row),
    (("Insert", "IdxInsert", "SorterInsert"), _Reader._run_insert),
    (("AggValue",), _Reader._run_aggregate_value),
    (("Param",), _Reader._run_param),
    (("Cast",), _Reader._run_cast),
    (("Concat",), _Reader._run_concat),
    (("Affinity",), _Reader._run_affinity),
    (("MakeRecord",), _Reader._run_make_record),
    (("RowCell",), _Reader._run_row_cell),
    (("OpenDup",), _Reader._run_open_dup),
    (("VFilter",), _Reader._run_filter),
)
_RUN: dict[str, _Run] = {opcode: run for opcodes, run in _OPCODES for opcode in opcodes}

# The registers that an instruction writes, as far as the analysis follows them.
_WRITTEN: dict[str, Callable[[Step], Sequence[int]]] = {
    **dict.fromkeys(CONSTANTS | COPIES | NUMBERS_2 | {"Param", "RowData", "SorterData"}, lambda step: (step.p2,)),
    **dict.fromkeys(CALLS | ARITHMETIC | NUMBERS_3, lambda step: (step.p3,)),
    **dict.fromkeys(("Column", "VColumn", "AggValue", "Concat", "MakeRecord"), lambda step: (step.p3,)),
    "IfNullRow": lambda step: (step.p3,),  # if it jumps
    "Null": lambda step: range(step.p2, max(step.p3, step.p2) + 1),
    "Copy": lambda step: range(step.p2, step.p2 + step.p3 + 1),
    "Move": lambda step: range(step.p2, step.p2 + step.p3),
    "Affinity": lambda step: range(step.p1, step.p1 + step.p2),
    "Cast": lambda step: (step.p1,),
}


def _written_registers(step: Step) -> Sequence[int]:
    written = _WRITTEN.get(step.opcode)
    return () if written is None else written(step)


def _merge(known: State, state: State) -> bool:
    """Add the values of ``state`` to ``known``. Return whether any of them was new."""
    new = False
    for register, sources in state.items():
        before = known.get(register, NONE)
        if not sources <= before:
            known[register] = before | sources
            new = True
    return new


def _pairs(one: Sources, other: Sources) -> Iterator[tuple[Source, Source]]:
    """Yield every pair of a value of one side and a value of the other, in both orders."""
    for left, right in ((one, other), (other, one)):
        for first in left:
            for second in right:
                yield first, second


def _category(source: Source) -> tuple[object, ...]:
    """Return a key for a value. Two values with the same key need not be told apart."""
    value = source.value
    string = "" if not isinstance(value, str) else "digits" if NUMERIC.fullmatch(value) else "other"
    large = isinstance(value, (int, float)) and value >= MILLISECONDS
    return source.kind, source.name, type(value), string, large, value == ""


def _origin(step: Step, arguments: Sequence[Sources]) -> object:
    """Return the origin of a call's result. Calls to one function with equal arguments get the same origin."""
    plain = all(
        not isinstance(source.origin, tuple) or source.origin[0] != "call" for each in arguments for source in each
    )
    scalar = step.opcode in ("PureFunc", "Function")
    return ("call", step.p4, tuple(arguments)) if plain and scalar else ("call", step.address)


def _number(step: Step) -> float | int:
    """Return the constant of Int64 or Real."""
    if step.p4:
        return float(step.p4)
    packed = struct.pack("<ii", step.p1, step.p3)  # in SQLite 3.54 and later, these are the two halves of the number
    number: float | int = struct.unpack("<q" if step.opcode == "Int64" else "<d", packed)[0]
    return number


def _from_times(sources: Sources) -> Sources:
    """Return the values that are times or were made from times."""
    return frozenset(source for source in sources if source.name)


def _calculated(sources: Sources) -> Sources:
    """Return the values that a calculation may yield: times, numbers made from times, and misread times."""
    return frozenset(source for source in sources if source.kind in ("time", "derived", "julian_day"))


def _string_of(sources: Sources, origin: object, *, joined: bool = True) -> Sources:
    """Return the strings made from these values. ``joined`` says that other strings may have been added."""
    if not joined and sources and all(_is_string(source) for source in sources):
        return sources
    kept = ("date_string", "julian_day", "derived")
    made = {
        Source(source.kind if source.kind in kept else "digit_string", source.name) for source in _from_times(sources)
    }
    if not made and any(
        source.kind == "date_string" or (_is_word(source) and str(source.value).strip()) for source in sources
    ):
        made = {Source("date_string")}
    return frozenset(made or {Source("string", origin=("string", origin))})


def _is_string(source: Source) -> bool:
    """Whether a value is a string literal, or a parameter with a string."""
    return source.kind == "value" and isinstance(source.value, str)


def _is_word(source: Source) -> bool:
    """Whether a value is a string literal, or a parameter with a string, and the string is not a number."""
    return source.kind == "value" and isinstance(source.value, str) and NUMERIC.fullmatch(source.value) is None


def _with_affinity(sources: Sources, letter: str) -> Sources:
    """Return these values with the affinity ``letter``, which may turn a string of digits into a number."""
    if ord(letter) < TO_NUMBER:
        return sources
    return frozenset(_as_number(source) for source in sources)


def _as_number(source: Source) -> Source:
    """Return a value after SQLite applied a numeric affinity."""
    if source.kind == "value" and isinstance(source.value, str) and NUMERIC.fullmatch(source.value):
        return Source("value", value=float(source.value))
    if source.kind == "digit_string":
        return Source("time", source.name) if source.name else Source("number")
    if source.kind == "string":
        return Source("unknown", origin=source.origin)
    return source


def _result(step: Step, name: str, arguments: Sequence[Sources]) -> Sources:
    """Return the values that a function may return."""
    every: Sources = frozenset().union(*arguments)
    if name in DATES:
        return _date_result(name, arguments)
    if name in STRINGS:
        return _string_of(every, ("call", step.address))
    if name in PLAIN_NUMBERS or name in ("like", "glob"):
        return NUMBER
    times = _from_times(every)
    if name in SAME and times:
        return times
    if name in SAME and every and all(source.kind in ("number", "value") for source in every):
        return NUMBER
    if times:
        return frozenset(Source("derived", source.name) for source in times)
    return frozenset({Source("unknown", origin=_origin(step, arguments))})


def _date_result(name: str, arguments: Sequence[Sources]) -> Sources:
    """Return the values that a date function may return.

    If the modifier 'unixepoch' or 'auto' is missing, a date function reads a time as a Julian day and returns NULL.
    """
    times = arguments[1:] if name == "strftime" else arguments
    read = _from_times(times[0]) if times else NONE
    if not _reads_unix_times(times[1:]):
        misread = [time.name for time in read if time.kind in ("time", "digit_string", "derived")]
        if misread:
            return frozenset(Source("julian_day", column) for column in misread)
    if name in ("unixepoch", "julianday"):
        return frozenset(Source("time", time.name) for time in read if time.kind != "julian_day") or NUMBER
    formats = {source.value for source in arguments[0]} if arguments else set()
    kind: Kind = "digit_string" if name == "strftime" and formats <= {"%s", "%J"} else "date_string"
    every: Sources = frozenset().union(*times)
    made = {Source("julian_day" if time.kind == "julian_day" else kind, time.name) for time in _from_times(every)}
    return frozenset(made or {Source(kind)})


def _reads_unix_times(modifiers: Sequence[Sources]) -> bool:
    """Whether the modifiers of a date function may make it read Unix times."""
    return any(
        source.kind != "value" or str(source.value).lower() in ("unixepoch", "auto")
        for each in modifiers
        for source in each
    )


def _name_and_count(step: Step) -> tuple[str, int]:
    """Return the name in text such as ``name(2)``, and the number of arguments to read. -n means at most n."""
    name, _, rest = step.p4.partition("(")
    if step.opcode.startswith("Agg"):
        return name.lower(), step.p5
    count = int(rest.rstrip(")")) if re.fullmatch(r"-?\d+\)", rest) else 0
    return name.lower(), -VARIADIC if count < 0 else count


def _time_mistake(column: str, value: Source, operator: str, *, converts: bool) -> ProgrammingError | None:
    """Return the error for comparing the time ``column`` with ``value``, or None if the comparison makes sense."""
    if value.kind == "value":
        return find_mistake(column, value.value, operator, converts=converts)
    if value.kind == "date_string" or (value.kind in ("digit_string", "string") and not converts):
        return _date_function_error(column)
    return None


def _string_mistake(made: Source, value: Source, affinity: int) -> ProgrammingError | None:
    """Return the error for comparing ``made``, a string made from a time, with ``value``, or None if it makes sense."""
    if made.kind == "julian_day":
        return ProgrammingError(
            f"{made.name} is a Unix time in seconds, but date(), datetime() and similar functions read it as a Julian "
            f"day. Write date({made.name}, 'unixepoch')"
        )
    if made.kind == "digit_string" and affinity < TO_NUMBER:
        if value.kind == "date_string":
            return _date_function_error(made.name)
        if _is_string(value):
            return find_mistake(made.name, value.value)
    converted = affinity == TO_TEXT or (made.kind != "date_string" and affinity >= TO_NUMBER)
    if converted or not _is_number(value):
        return None
    shown = brief(value.value) if value.kind == "value" else "the other side"
    return ProgrammingError(
        f"{made.name} was made a string here, and {shown} is a number: SQLite sorts every number before every string, "
        f"so this does not compare times. Compare {made.name} itself with a number, or the string with a string"
    )


def _is_number(source: Source) -> bool:
    return source.kind == "number" or (source.kind == "value" and isinstance(source.value, (int, float)))


def _date_function_error(column: str) -> ProgrammingError:
    return ProgrammingError(
        f"{column} is a Unix time in seconds, but date(), strftime() and similar functions return a string: SQLite "
        "sorts every number before every string, so this does not compare times. Write unixepoch(…) instead"
    )
