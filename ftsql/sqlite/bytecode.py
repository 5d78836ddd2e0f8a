"""The bytecode of a statement, as EXPLAIN shows it: the control flow of the program, and its function calls.

A function with effects may be called only for rows that the statement returns. The call must come directly before the
row is returned, without a test, limit or loop in between; a sort may follow if all its rows are returned. SQLite may
change its opcodes in any release.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple


class Step(NamedTuple):
    """One instruction and its address. A program is a list of steps, and a step's address is its index."""

    address: int
    opcode: str
    p1: int
    p2: int
    p3: int
    p4: str
    p5: int = 0


# Opcodes that move a cursor to a row of a table or of an intermediate result.
ROWS = frozenset(
    [
        *("Rewind", "Last", "VFilter", "SorterSort", "Sort", "Yield", "AggFinal", "SeekRowid", "NotExists", "NotFound"),
        *("Found", "NoConflict", "SeekGE", "SeekGT", "SeekLE", "SeekLT", "IdxGE", "IdxGT", "IdxLE", "IdxLT"),
    ]
)
# Opcodes that may jump to the address P2. A jump does no harm if its target comes before the row is returned, as in
# CASE.
JUMPS = (ROWS - {"AggFinal"}) | frozenset(
    [
        *("Next", "Prev", "VNext", "SorterNext", "Goto", "Gosub", "Once", "If", "IfNot", "IfNullRow", "IfPos"),
        *("IfNotZero", "DecrJumpZero", "IfNoHope", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "ElseEq", "IsNull", "NotNull"),
        *("IsType", "MustBeInt", "Jump", "Filter", "IfSmaller", "IfEmpty", "IfSizeBetween", "RowSetRead"),
        *("RowSetTest", "InitCoroutine", "FkIfZero", "IncrVacuum", "VInitIn", "IfNullRow", "SeekHit", "SeekScan"),
    ]
)


def next_addresses(program: Sequence[Step], address: int) -> list[int]:
    """Return all addresses that may follow the instruction at ``address``. Some of them may never follow it."""
    step = program[address]
    after = [address + 1] if address + 1 < len(program) else []
    targets = _TARGETS.get(step.opcode)
    if targets is not None:
        return targets(program, step, after)
    return [step.p2, *after] if step.opcode in JUMPS else after


def _after_jump(program: Sequence[Step], step: Step, after: list[int]) -> list[int]:
    return [step.p2]


def _after_three_way_jump(program: Sequence[Step], step: Step, after: list[int]) -> list[int]:
    return [step.p1, step.p2, step.p3]


def _after_halt(program: Sequence[Step], step: Step, after: list[int]) -> list[int]:
    return []


def _after_return(program: Sequence[Step], step: Step, after: list[int]) -> list[int]:
    return [other.address + 1 for other in _of_register(program, step, "Gosub")] + after


def _after_coroutine_begins(program: Sequence[Step], step: Step, after: list[int]) -> list[int]:
    return [step.p2 or step.address + 1]


def _after_coroutine_ends(program: Sequence[Step], step: Step, after: list[int]) -> list[int]:
    return [other.p2 for other in _of_register(program, step, "Yield")]


def _after_yield(program: Sequence[Step], step: Step, after: list[int]) -> list[int]:
    starts = [other.p3 for other in _of_register(program, step, "InitCoroutine")]
    others = [other.address + 1 for other in _of_register(program, step, "Yield")]
    return [*starts, *others, step.p2, *after]


def _of_register(program: Sequence[Step], step: Step, opcode: str) -> list[Step]:
    """Return the instructions with ``opcode`` and with the same P1 as ``step``.

    Instructions with the same P1 belong to the same subroutine or coroutine.
    """
    return [other for other in program if other.opcode == opcode and other.p1 == step.p1]


# For each opcode that changes the control flow, the function that returns the addresses that may run next. The function
# takes the program, the instruction, and a list with the address after the instruction. The list is empty for the last
# instruction.
_TARGETS: dict[str, Callable[[Sequence[Step], Step, list[int]], list[int]]] = {
    "Init": _after_jump,
    "Goto": _after_jump,
    "Gosub": _after_jump,
    "Jump": _after_three_way_jump,
    "Halt": _after_halt,
    "Return": _after_return,
    "InitCoroutine": _after_coroutine_begins,
    "EndCoroutine": _after_coroutine_ends,
    "Yield": _after_yield,
}


def calls(program: Sequence[Step], functions: Collection[str]) -> dict[str, bool]:
    """Return each of ``functions`` that ``program`` calls, and whether the program may call it more than once."""
    found: dict[str, bool] = {}
    for address, name in _call_addresses(program, functions):
        found[name] = name in found or _over_rows(program, address)
    return found


def misplaced(program: Sequence[Step], functions: Collection[str]) -> frozenset[str]:
    """Return each of ``functions`` that ``program`` may call for a row that the program does not return."""
    return frozenset(
        name
        for address, name in _call_addresses(program, functions)
        if _over_rows(program, address) and not _is_for_returned_rows(program, address)
    )


def _is_for_returned_rows(program: Sequence[Step], address: int) -> bool:
    """Whether the program returns every row for which the call at ``address`` runs."""
    around = [step.p1 for step in program if step.opcode == "InitCoroutine" and step.address < address < step.p2]
    if any(step.opcode == "ResultRow" for step in program):
        return not around and (_leads_to(program, address, "ResultRow") or _is_sorted(program, address))
    # INSERT … SELECT and CREATE TABLE … AS SELECT take their rows from one coroutine.
    return len(around) == 1 and _leads_to(program, address, "Yield", around[0])


def _call_addresses(program: Sequence[Step], functions: Collection[str]) -> Iterator[tuple[int, str]]:
    """Yield the address and the name of each call to one of ``functions``."""
    for step in program:
        name = step.p4.partition("(")[0]
        if step.opcode in ("Function", "PureFunc") and name in functions:
            yield step.address, name


def _over_rows(program: Sequence[Step], address: int) -> bool:
    """Whether a call comes after a row was looked up, or in a loop.

    A jump back to address 1 is not a loop, because every program ends with such a jump.
    """
    if any(step.opcode in ROWS for step in program[:address]):
        return True
    return any(step.opcode in JUMPS and 1 < step.p2 <= address for step in program[address:])


def _leads_to(program: Sequence[Step], address: int, end: str, register: int | None = None) -> bool:
    """Whether every path from ``address`` leads to the next instruction ``end`` (with ``register``, if given)."""
    targets: list[int] = []
    for step in program[address + 1 :]:
        if step.opcode == end and register in (None, step.p1):
            return all(address < target <= step.address for target in targets)
        if step.opcode in ("Halt", "EndCoroutine"):
            break
        if step.opcode in JUMPS:
            targets.append(step.p2)
    return False


def _is_sorted(program: Sequence[Step], address: int) -> bool:
    """Whether the row goes into a sorter, and all rows of the sorter are returned, as for ORDER BY without LIMIT."""
    after = {step.opcode for step in program[address:]}
    sorts = [step.address for step in program[address:] if step.opcode == "SorterSort"]
    if after & {"IfNotZero", "DecrJumpZero", "OpenEphemeral"} or len(sorts) != 1:
        return False
    return _leads_to(program, address, "SorterInsert") and _leads_to(program, sorts[0], "ResultRow")
