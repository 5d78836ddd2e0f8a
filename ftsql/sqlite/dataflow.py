"""What the comparisons of a statement's bytecode compare: those that compare a time with a text or the like.

SQLite shows a virtual table only some comparisons. The others are found by following what each register may hold,
along all paths of the program that EXPLAIN prints. Its opcodes are SQLite's to change: one that is not known here
makes the statement doubtful. One module, since all of it follows from the kinds of Source: each opcode and function has
to say what it makes of each kind.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ftsql.errors import ProgrammingError
from ftsql.read.plan import Access
from ftsql.resources.definitions import JOBS, OTHERS
from ftsql.resources.fields import NUMERIC
from ftsql.resources.resource import Resource, SQLiteValue
from ftsql.sqlite.bytecode import Step, follow
from ftsql.sqlite.comparisons import TIMES, compared, mistake
from ftsql.write.create_body import brief

Kind = Literal["time", "value", "number", "text", "digits", "string", "derived", "wrong", "unknown", "record", "row"]


@dataclass(frozen=True)
class Source:
    """What a register may hold.

    A ``time`` of the column ``name``; a ``value`` that stands in the statement; a number; or anything (``unknown``).
    A text: of a date (``text``), of a number (``digits``), or any (``string``). Something ``derived`` from a time.
    ``wrong``: a time that was read as a Julian day. A ``name`` says of which time it was made. ``origin`` tells two
    of one kind apart: the place where it comes from. A ``record``, or the ``row`` of a cursor, by its origin.
    """

    kind: Kind
    name: str = ""
    value: SQLiteValue = None
    origin: object = None


Sources = frozenset[Source]
State = dict[int, Sources]  # by register
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
# Opcodes that put a number into P2, and into P3.
NUMBERS_2 = frozenset(
    """
    Count Rowid Sequence NewRowid IdxRowid ReadCookie Not BitNot IsTrue OffsetLimit ZeroOrNull CreateBtree
    Destroy GetSubtype Pagecount MaxPgcnt JournalMode
    """.split()  # noqa: SIM905 - so many quoted words are hard to read
)
NUMBERS_3 = frozenset(["BitAnd", "BitOr", "ShiftLeft", "ShiftRight", "And", "Or", "RowSetRead", "Offset"])
# Opcodes that put nothing into a register that is compared with a time, or leave there what was.
PLAIN = frozenset(
    """
    Init Goto Gosub Return InitCoroutine EndCoroutine Yield HaltIfNull Halt Once If IfNot IsType IsNull
    NotNull Jump ElseEq Compare Permutation Noop Explain Trace CursorHint Abortable Savepoint
    AutoCommit Transaction SetCookie ReopenIdx OpenRead OpenWrite OpenAutoindex OpenEphemeral SorterOpen
    SequenceTest Close ColumnsUsed SeekScan SeekHit IfNotOpen IfNoHope SeekRowid NotExists Delete SeekEnd
    ResetCount SorterCompare NullRow Last IfSizeBetween IfSmaller SorterSort Sort Rewind IfEmpty SorterNext
    Prev Next IdxDelete DeferredSeek FinishSeek Clear ResetSorter SqlExec ParseSchema LoadAnalysis DropTable
    DropIndex DropTrigger RowSetAdd RowSetTest Program FkCounter FkIfZero FkCheck MemMax IfPos IfNotZero
    DecrJumpZero Vacuum IncrVacuum Expire CursorLock CursorUnlock TableLock VBegin VCreate VDestroy VOpen
    VCheck VInitIn VNext VRename VUpdate ClrSubtype SetSubtype FilterAdd Filter ResultRow AddImm MustBeInt
    RealAffinity TypeCheck BeginSubrtn CollSeq SoftNull Checkpoint IntegrityCk ReleaseReg AggFinal
    """.split()  # noqa: SIM905 - so many quoted words are hard to read
)
DATES = frozenset({"date", "datetime", "time", "strftime", "unixepoch", "julianday"})
PLAIN_NUMBERS = frozenset(
    {"length", "octet_length", "count", "row_number", "rank", "random", "instr", "sign", "unicode"}
)
SAME = frozenset({"max", "min", "coalesce", "ifnull", "iif", "nullif", "sum", "total", "avg", "abs", "round", "likely"})
STRINGS = frozenset(
    {"lower", "upper", "substr", "substring", "trim", "ltrim", "rtrim", "replace", "hex", "printf", "format", "quote"}
    | {"char", "concat", "concat_ws", "group_concat", "string_agg"}
)
AFFINITY = 0x47  # the bits of P5 that say what both sides of a comparison are turned into before
TO_TEXT, TO_NUMBER = 0x42, 0x43  # from the second on it is some kind of number
VARIADIC = 4  # the arguments that are looked at of a function that takes any number
MANY = 8  # values of a column that are told apart; of more only what kind of value they are
MOST_STEPS = 300_000  # of a program that takes more the rest is not read


@dataclass
class Doubts:
    """What a statement's bytecode shows: mistaken comparisons, those that cannot be decided, and what was not read.

    Those that a table checks as the statement runs are left out.
    """

    mistakes: list[ProgrammingError] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)  # the times that are compared
    unread: str = ""


def read(programs: Iterable[Sequence[Step]], parameters: Mapping[int, SQLiteValue] | None) -> Doubts:
    """What is wrong with the comparisons of a statement's program and of those of its triggers.

    ``parameters`` by number; None if they are not known.
    """
    found = Doubts()
    for program in programs:
        _Reader(program, parameters, found).read()
    return found


class _Reader:
    """Follows one program along all its paths until nothing new shows, then looks at its comparisons."""

    def __init__(self, program: Sequence[Step], parameters: Mapping[int, SQLiteValue] | None, found: Doubts) -> None:
        self._program = program
        self._parameters = parameters
        self._found = found
        self._made: dict[int, Columns] = {}  # records, by the address that makes them
        self._columns: dict[int, Columns] = {}  # of ephemeral tables and sorters, by cursor
        self._pseudo = {step.p1: step.p2 for step in program if step.opcode == "OpenPseudo"}
        self._tables: dict[int, Resource] = {}  # of ours, by cursor
        self._checked: set[tuple[object, str, Source]] = set()  # cursor, time, and what a table checks beside it
        self._once: State = {}  # the registers that one instruction alone writes
        self._several: set[int] = set()  # those that more than one writes
        self._first: dict[int, int] = {}  # where a register is written first
        self._grew = False
        self._judging = False
        for step in program:
            if step.opcode == "VFilter" and (resource := _resource(step.p4)) is not None:
                self._tables[step.p1] = resource
            for register in _written(step):
                if register in self._first:
                    self._several.add(register)
                self._first.setdefault(register, step.address)

    def read(self) -> None:
        follows = [follow(self._program, step.address) for step in self._program]
        leaders = {0} | {target for step, after in zip(self._program, follows, strict=True)
                         if after != [step.address + 1] for target in after}  # fmt: skip
        states: dict[int, State] = {0: {}}
        dirty, steps = {0}, 0
        while dirty:
            address = min(dirty)
            dirty.discard(address)
            state = dict(states[address])
            while True:
                steps += 1
                self._step(self._program[address], state)
                after = follows[address]
                if after != [address + 1] or address + 1 in leaders:
                    break
                address += 1
            for target in after:
                if target not in states:
                    states[target] = dict(state)
                    dirty.add(target)
                elif _join(states[target], state):
                    dirty.add(target)
            if self._grew and not dirty:  # what a table, a record or a register holds: all that reads it looks again
                dirty = set(states)
                self._grew = False
            if steps > MOST_STEPS:
                self._found.unread = "it is too long"
                break
        self._judging = True
        for address, state in states.items():
            state = dict(state)
            while True:
                self._step(self._program[address], state)
                if follows[address] != [address + 1] or address + 1 in leaders:
                    break
                address += 1

    def _get(self, state: State, register: int) -> Sources:
        held = state.get(register, NONE) if register in self._several else self._once.get(register, NONE)
        return held or (UNKNOWN if self._judging else NONE)

    def _put(self, state: State, register: int, sources: Sources) -> None:
        if register in self._several:
            state[register] = sources
        elif not sources <= (before := self._once.get(register, NONE)):
            self._once[register] = before | sources
            self._grew = True

    def _step(self, step: Step, state: State) -> None:
        """Carry one instruction out on ``state``."""
        opcode, p1, p2, p3 = step.opcode, step.p1, step.p2, step.p3
        if opcode in PLAIN:
            return
        if opcode in ("VColumn", "Column"):
            self._put(state, p3, self._column(p1, p2, state))
        elif opcode in CONSTANTS:
            for register in _written(step):
                self._put(state, register, frozenset({self._constant(step)}))
        elif opcode in COPIES:
            for number, register in enumerate(_written(step)):
                self._put(state, register, self._get(state, p1 + number))
        elif opcode in CALLS:
            self._call(step, state)
        elif opcode == "AggValue":
            self._put(state, p3, self._get(state, p1))
        elif opcode in ARITHMETIC:
            self._calculate(step, self._get(state, p1), self._get(state, p2), state)
        elif opcode in NUMBERS_2 or opcode in NUMBERS_3:
            self._put(state, p2 if opcode in NUMBERS_2 else p3, NUMBER)
        elif opcode == "Param":
            self._put(state, p2, frozenset({Source("unknown", origin=("param", p1))}))
        elif opcode == "Cast":
            held = self._get(state, p1)
            self._put(
                state,
                p1,
                (_numbers(held) or NUMBER) if p2 >= TO_NUMBER else _string(held, (p1, step.address), joined=False),
            )
        elif opcode == "Concat":
            held = self._get(state, p1) | self._get(state, p2)
            self._put(state, p3, _string(held, step.address))
        elif opcode == "Affinity":
            for number, letter in enumerate(step.p4[:p2]):
                self._put(state, p1 + number, _converted(self._get(state, p1 + number), letter))
        else:
            self._keep(step, state)

    def _keep(self, step: Step, state: State) -> None:
        """An instruction on tables and records, a comparison, or one that is not known."""
        opcode, p1, p2, p3 = step.opcode, step.p1, step.p2, step.p3
        if opcode == "MakeRecord":
            letters = step.p4.ljust(p2, "A")
            record = [_converted(self._get(state, p1 + number), letters[number]) for number in range(p2)]
            self._add(self._made.setdefault(step.address, []), record)
            self._put(state, p3, frozenset({Source("record", origin=step.address)}))
        elif opcode in ("RowData", "SorterData"):
            self._put(state, p2, frozenset({Source("row", origin=p1)}))
        elif opcode in ("Insert", "IdxInsert", "SorterInsert"):
            self._add(self._columns.setdefault(p1, []), self._record(self._get(state, p2)))
        elif opcode == "RowCell":
            self._add(self._columns.setdefault(p1, []), self._columns.get(p2, []))
        elif opcode == "OpenDup":
            self._columns[p1] = self._columns.setdefault(p2, [])
        elif opcode == "OpenPseudo":
            pass
        elif opcode == "VFilter":
            self._filter(step, state)
        elif opcode in COMPARE:
            self._compare(self._get(state, p1), self._get(state, p3), affinity=step.p5 & AFFINITY)
        elif opcode in FIND or opcode in SEEK:
            count = int(step.p4) if step.p4.isdigit() else 0
            keys = [self._get(state, p3 + number) for number in range(count)]
            held = self._columns.get(p1, [])
            for number, key in enumerate(keys or self._record(self._get(state, p3))):
                other = held[number] if number < len(held) else frozenset({Source("unknown", origin=(p1, number))})
                self._compare(other, key)
        elif not self._found.unread:
            self._found.unread = f"SQLite's opcode {opcode} is not known"

    def _add(self, held: Columns, record: Iterable[Sources]) -> None:
        for number, sources in enumerate(record):
            if number >= len(held):
                held.append(NONE)
            new = sources - held[number]
            if new and len(held[number]) >= MANY:
                kinds = {_sort(source) for source in held[number]}
                new = frozenset(source for source in new if _sort(source) not in kinds)
            if new:
                held[number] |= new
                self._grew = True

    def _record(self, sources: Sources) -> Columns:
        """The columns of the records that a register may hold."""
        found: Columns = []
        for source in sources:
            held = self._made if source.kind == "record" else self._columns if source.kind == "row" else {}
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
        if held is None:  # a table of the user's
            return frozenset({Source("unknown", origin=(cursor, number))})
        return held[number] if number < len(held) else NONE

    def _constant(self, step: Step) -> Source:
        if step.opcode == "Integer":
            return Source("value", value=step.p1)
        if step.opcode in ("Int64", "Real"):
            if step.p4:
                return Source("value", value=float(step.p4))
            packed = struct.pack("<ii", step.p1, step.p3)  # since SQLite 3.54, its two halves
            return Source("value", value=struct.unpack("<q" if step.opcode == "Int64" else "<d", packed)[0])
        if step.opcode in ("String8", "String"):
            return Source("value", value=step.p4)
        if step.opcode in ("Null", "IfNullRow"):
            return Source("value")
        if step.opcode == "Blob":
            return Source("value", value=b"")
        if self._parameters is None or step.p1 not in self._parameters:
            return Source("unknown", origin=("variable", step.p1))
        value: Any = self._parameters[step.p1]
        if isinstance(value, (bytearray, memoryview)):
            value = b""
        elif not (value is None or isinstance(value, (int, float, str, bytes))):
            value = "{}"  # which is bound as JSON
        return Source("value", value=value)

    def _call(self, step: Step, state: State) -> None:
        name, count = _function(step)
        arguments = []
        for number in range(abs(count)):
            register = step.p2 + number
            given = step.p1 >> number & 1 or self._first.get(register, step.address) < step.address
            if register == step.p3 or (count < 0 and not given):
                break
            arguments.append(self._get(state, register))
        made = self._result(step, name, arguments)
        before = self._get(state, step.p3) if step.opcode.startswith("Agg") else NONE
        self._put(state, step.p3, _of_times(before) | made)

    def _result(self, step: Step, name: str, arguments: Sequence[Sources]) -> Sources:
        """What a function returns."""
        every: Sources = frozenset().union(*arguments)
        compares = name in ("min", "max", "nullif") and not step.opcode.startswith("Agg")
        if name in ("like", "glob") and len(arguments) >= 2:
            self._compare(arguments[0], arguments[1], name, affinity=TO_NUMBER)
        elif compares and len(arguments) >= 2:
            self._compare(arguments[0], arguments[1])
        if name in DATES:
            return _date(name, arguments)
        if name in STRINGS:
            return _string(every, ("call", step.address))
        if name in PLAIN_NUMBERS or name in ("like", "glob"):
            return NUMBER
        times = _of_times(every)
        if name in SAME:
            known = bool(every) and all(source.kind in ("number", "value") for source in every)
            return times or (NUMBER if known else frozenset({Source("unknown", origin=_origin(step, arguments))}))
        if times:
            return frozenset(Source("derived", source.name) for source in times)
        return frozenset({Source("unknown", origin=_origin(step, arguments))})

    def _calculate(self, step: Step, one: Sources, other: Sources, state: State) -> None:
        for left, right in ((one, other), (other, one)):
            for time in left:
                if time.kind == "time":
                    for value in right:
                        text = isinstance(value.value, str) and not NUMERIC.fullmatch(value.value)
                        if value.kind == "text" or (value.kind == "value" and text):
                            self._mistake(time, value, _beside_a_time(time.name, value, "-", converts=True))
        dates = frozenset(
            Source("text", origin="year") for source in one | other if source.kind == "text" and not source.name
        )
        self._put(state, step.p3, _numbers(one | other) or dates or NUMBER)  # of a date that is a text: its year

    def _filter(self, step: Step, state: State) -> None:
        """A table of ours checks what is compared with its times as it is asked for its rows."""
        if step.p1 not in self._tables:
            return
        for number, comparison in compared(step.p4):
            column, operator, *_ = comparison.split(" ")
            for source in self._get(state, step.p3 + 2 + number):
                if operator not in ("<>", "is-not") or source.kind == "value":  # a text of another table it takes there
                    self._checked.add((step.p1, column, source))

    def _compare(self, one: Sources, other: Sources, operator: str = "=", *, affinity: int = 0) -> None:
        if not self._judging:
            return
        for left, right in ((one, other), (other, one)):
            for made in _of_times(left):
                for value in right or UNKNOWN:
                    if made.kind in ("time", "derived"):
                        error = _beside_a_time(made.name, value, operator, converts=affinity >= TO_NUMBER)
                    else:
                        error = _beside_a_text(made, value, affinity)
                    if error is not None and made.kind != "derived":
                        self._mistake(made, value, error)
                    elif error is not None or (value.kind in ("unknown", "string") and made.kind != "text"):
                        self._doubt(made, value)

    def _mistake(self, made: Source, value: Source, error: ProgrammingError | None) -> None:
        if error is not None and self._judging and not self._is_checked(made, value):
            self._found.mistakes.append(error)

    def _doubt(self, made: Source, value: Source) -> None:
        if not self._is_checked(made, value):
            self._found.undecided.append(made.name)

    def _is_checked(self, made: Source, value: Source) -> bool:
        beside = (made.origin, made.name, value) in self._checked
        return made.kind == "time" and beside and value.origin != "year"  # which is a number as it runs


def _resource(words: str) -> Resource | None:
    """The resource whose table is scanned by a plan of these words."""
    first = words.partition(";")[0].partition(" ")[0]
    if first in get_args(Access):
        return JOBS
    return next((resource for resource in OTHERS if first == resource.plan_name), None)


def _written(step: Step) -> Sequence[int]:
    """The registers that an instruction writes, of those that are followed."""
    opcode, p1, p2, p3 = step.opcode, step.p1, step.p2, step.p3
    if opcode == "Null":
        return range(p2, max(p3, p2) + 1)
    if opcode == "Copy":
        return range(p2, p2 + p3 + 1)
    if opcode == "Move":
        return range(p2, p2 + p3)
    if opcode == "Affinity":
        return range(p1, p1 + p2)
    if opcode == "Cast":
        return (p1,)
    written_3 = ("Column", "VColumn", "AggValue", "Concat", "MakeRecord", "IfNullRow")  # the last one if it jumps
    if opcode in written_3 or opcode in CALLS or opcode in ARITHMETIC or opcode in NUMBERS_3:
        return (p3,)
    written_2 = opcode in CONSTANTS or opcode in COPIES or opcode in NUMBERS_2
    return (p2,) if written_2 or opcode in ("Param", "RowData", "SorterData") else ()


def _join(known: State, state: State) -> bool:
    """Add what ``state`` holds to ``providers``; whether that was new."""
    new = False
    for register, sources in state.items():
        before = known.get(register, NONE)
        if not sources <= before:
            known[register] = before | sources
            new = True
    return new


def _sort(source: Source) -> tuple[object, ...]:
    """What sort of thing it is, for those that need not be told apart."""
    value = source.value
    text = "" if not isinstance(value, str) else "digits" if NUMERIC.fullmatch(value) else "text"
    large = isinstance(value, (int, float)) and value >= 1e11
    return source.kind, source.name, type(value), text, large, value == ""


def _origin(step: Step, arguments: Sequence[Sources]) -> object:
    """The same for the same function of the same things."""
    plain = all(
        not isinstance(source.origin, tuple) or source.origin[0] != "call" for each in arguments for source in each
    )
    same = step.opcode == "PureFunc" or step.opcode == "Function"
    return ("call", step.p4, tuple(arguments)) if plain and same else ("call", step.address)


def _of_times(sources: Sources) -> Sources:
    """Those that are times, or were made of one."""
    return frozenset(source for source in sources if source.name)


def _numbers(sources: Sources) -> Sources:
    """What a calculation with these gives, of times."""
    return frozenset(source for source in sources if source.kind in ("time", "derived", "wrong"))


def _string(sources: Sources, origin: object, *, joined: bool = True) -> Sources:
    """A text made of these."""
    if sources and all(source.kind == "value" and isinstance(source.value, str) for source in sources) and not joined:
        return sources
    made = set()
    for source in _of_times(sources):
        kept = source.kind in ("text", "wrong", "derived")
        made.add(Source(source.kind if kept else "digits", source.name))
    if not made and any(
        source.kind == "text" or (source.kind == "value" and _is_words(source.value)) for source in sources
    ):
        made.add(Source("text"))
    return frozenset(made or {Source("string", origin=("text", origin))})


def _is_words(value: SQLiteValue) -> bool:
    """Whether it is a text that is no number, and makes none of what it is joined with."""
    return isinstance(value, str) and value.strip() != "" and NUMERIC.fullmatch(value) is None


def _converted(sources: Sources, letter: str) -> Sources:
    """What these are once the affinity of that letter was applied: a text of digits becomes a number."""
    if ord(letter) < TO_NUMBER:
        return sources
    found = set()
    for source in sources:
        if source.kind == "value" and isinstance(source.value, str) and NUMERIC.fullmatch(source.value):
            found.add(Source("value", value=float(source.value)))
        elif source.kind == "digits":
            found.add(Source("time", source.name) if source.name else Source("number"))
        elif source.kind == "string":
            found.add(Source("unknown", origin=source.origin))
        else:
            found.add(source)
    return frozenset(found)


def _date(name: str, arguments: Sequence[Sources]) -> Sources:
    """What a function of dates returns: of a bare time NULL, for it reads a Julian day unless it is told."""
    times = arguments[1:] if name == "strftime" else arguments
    read = _of_times(times[0]) if times else NONE
    modifiers = [source for each in times[1:] for source in each]
    told = any(source.kind != "value" or str(source.value).lower() in ("unixepoch", "auto") for source in modifiers)
    if not told and (bare := [time.name for time in read if time.kind in ("time", "digits", "derived")]):
        return frozenset(Source("wrong", column) for column in bare)
    formats = {source.value for source in arguments[0]} if arguments else set()
    if name in ("unixepoch", "julianday"):
        return frozenset(Source("time", time.name) for time in read if time.kind != "wrong") or NUMBER
    kind: Kind = "digits" if name == "strftime" and formats <= {"%s", "%J"} else "text"
    every: Sources = frozenset().union(*times)
    return frozenset(
        {Source("wrong" if made.kind == "wrong" else kind, made.name) for made in _of_times(every)} or {Source(kind)}
    )


def _beside_a_time(column: str, value: Source, operator: str, *, converts: bool) -> ProgrammingError | None:
    """What is wrong with comparing a time with ``value``."""
    if value.kind == "value":
        return mistake(column, value.value, operator, converts=converts)
    if value.kind == "text" or (value.kind in ("digits", "string") and not converts):
        return _of_a_function(column)
    return None


def _beside_a_text(made: Source, value: Source, affinity: int) -> ProgrammingError | None:
    """What is wrong with comparing a text that was made of a time with ``value``."""
    if made.kind == "wrong":
        return ProgrammingError(
            f"{made.name} is a Unix time in seconds, and date(), datetime() and the like read it as a Julian day. "
            f"Write date({made.name}, 'unixepoch')"
        )
    is_text = value.kind == "value" and isinstance(value.value, str)
    if made.kind == "digits" and affinity < TO_NUMBER:  # a time as a text, beside a date
        if value.kind == "text":
            return _of_a_function(made.name)
        if is_text:
            return mistake(made.name, value.value)
    is_number = value.kind == "number" or (value.kind == "value" and isinstance(value.value, (int, float)))
    if not is_number or affinity == TO_TEXT or (made.kind != "text" and affinity >= TO_NUMBER):
        return None
    shown = brief(value.value) if value.kind == "value" else "what it is compared with"
    return ProgrammingError(
        f"{made.name} was made a text here, and {shown} is a number: SQLite orders every number before every text, so "
        f"that this compares no times. Compare {made.name} itself with a number, or the text with a text"
    )


def _function(step: Step) -> tuple[str, int]:
    """The name in ``name(2)``, and how many arguments to look at: below 0 at most so many."""
    name, _, rest = step.p4.partition("(")
    if step.opcode.startswith("Agg"):
        return name.lower(), step.p5
    count = int(rest.rstrip(")")) if re.fullmatch(r"-?\d+\)", rest) else 0
    return name.lower(), -VARIADIC if count < 0 else count


def _of_a_function(column: str) -> ProgrammingError:
    return ProgrammingError(
        f"{column} is a Unix time in seconds, and date(), strftime() and the like return a text: SQLite orders every "
        "number before every text, so that this compares no times. Write unixepoch(…) instead"
    )


def literals(program: Iterable[Step]) -> Iterator[str]:
    """The texts that stand in a statement."""
    return (step.p4 for step in program if step.opcode == "String8")
