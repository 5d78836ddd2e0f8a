"""Where a statement's program calls functions: SQLite's bytecode as EXPLAIN shows it.

A function with effects may be called only for rows that the statement gives: straight before a row goes
out, with no test, sort, limit or loop in between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple


class Step(NamedTuple):
    """One instruction, at its address."""

    address: int
    opcode: str
    p1: int
    p2: int
    p3: int
    p4: str
    p5: int = 0


# Opcodes that stand on a row of a table or of another result.
ROWS = frozenset(
    [
        *("Rewind", "Last", "VFilter", "SorterSort", "Sort", "Yield", "AggFinal", "SeekRowid", "NotExists", "NotFound"),
        *("Found", "NoConflict", "SeekGE", "SeekGT", "SeekLE", "SeekLT", "IdxGE", "IdxGT", "IdxLE", "IdxLT"),
    ]
)
# Opcodes whose P2 is an address. Such a jump is harmless where it leads to before the row goes out, as CASE does.
JUMPS = (ROWS - {"AggFinal"}) | frozenset(
    [
        *("Next", "Prev", "VNext", "SorterNext", "Goto", "Gosub", "Once", "If", "IfNot", "IfNullRow", "IfPos"),
        *("IfNotZero", "DecrJumpZero", "IfNoHope", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "ElseEq", "IsNull", "NotNull"),
        *("IsType", "MustBeInt", "Jump", "Filter", "IfSmaller", "IfEmpty", "IfSizeBetween", "RowSetRead"),
        *("RowSetTest", "InitCoroutine", "FkIfZero", "IncrVacuum", "VInitIn", "IfNullRow", "SeekHit", "SeekScan"),
    ]
)


def follow(program: Sequence[Step], address: int) -> list[int]:
    """The addresses at which a program may go on after the instruction at ``address``, and maybe some more."""
    step = program[address]
    after = [address + 1] if address + 1 < len(program) else []
    if step.opcode in ("Init", "Goto"):
        return [step.p2]
    if step.opcode == "Halt":
        return []
    if step.opcode == "EndCoroutine":
        return [other.p2 for other in program if other.opcode == "Yield" and other.p1 == step.p1]
    if step.opcode == "Jump":
        return [step.p1, step.p2, step.p3]
    if step.opcode == "Gosub":
        return [step.p2]
    if step.opcode == "Return":
        calls = [other.address + 1 for other in program if other.opcode == "Gosub" and other.p1 == step.p1]
        return calls + after
    if step.opcode == "InitCoroutine":
        return [step.p2 or address + 1]
    if step.opcode == "Yield":
        starts = [other.p3 for other in program if other.opcode == "InitCoroutine" and other.p1 == step.p1]
        others = [other.address + 1 for other in program if other.opcode == "Yield" and other.p1 == step.p1]
        return [*starts, *others, step.p2, *after]
    return [step.p2, *after] if step.opcode in JUMPS else after


def calls(program: Sequence[Step], functions: Collection[str]) -> dict[str, bool]:
    """Those of ``functions`` that ``program`` calls, each with whether it may call it more than once."""
    found: dict[str, bool] = {}
    for address, name in _steps(program, functions):
        found[name] = found.get(name, False) or _over_rows(program, address) or name in found
    return found


def misplaced(program: Sequence[Step], functions: Collection[str]) -> frozenset[str]:
    """Those of ``functions`` that ``program`` calls where a call may not stand."""
    coroutines = [(step.address, step.p2, step.p1) for step in program if step.opcode == "InitCoroutine"]
    gives_rows = any(step.opcode == "ResultRow" for step in program)
    found = set()
    for address, name in _steps(program, functions):
        if not _over_rows(program, address):
            continue
        around = [register for begin, end, register in coroutines if begin < address < end]
        if gives_rows:
            right = not around and (_straight(program, address, "ResultRow") or _sorted(program, address))
        else:  # INSERT … SELECT and CREATE TABLE … AS SELECT take their rows from one coroutine
            right = len(around) == 1 and _straight(program, address, "Yield", around[0])
        if not right:
            found.add(name)
    return frozenset(found)


def _steps(program: Sequence[Step], functions: Collection[str]) -> Iterator[tuple[int, str]]:
    """Address and name of each call of ``functions``."""
    for step in program:
        name = step.p4.partition("(")[0]
        if step.opcode in ("Function", "PureFunc") and name in functions:
            yield step.address, name


def _over_rows(program: Sequence[Step], address: int) -> bool:
    """Whether a call comes after a row was looked up, or in a loop; every program ends with a jump to 1."""
    if any(step.opcode in ROWS for step in program[:address]):
        return True
    return any(step.opcode in JUMPS and 1 < step.p2 <= address for step in program[address:])


def _straight(program: Sequence[Step], address: int, end: str, register: int | None = None) -> bool:
    """Whether every path from ``address`` leads to the next ``end`` (of ``register``)."""
    targets: list[int] = []
    for step in program[address + 1 :]:
        if step.opcode == end and register in (None, step.p1):
            return all(address < target <= step.address for target in targets)
        if step.opcode in ("Halt", "EndCoroutine"):
            break
        if step.opcode in JUMPS:
            targets.append(step.p2)
    return False


def _sorted(program: Sequence[Step], address: int) -> bool:
    """Whether the row goes into a sorter that gives every one of its rows: ORDER BY without LIMIT."""
    after = {step.opcode for step in program[address:]}
    sorts = [step.address for step in program[address:] if step.opcode == "SorterSort"]
    if after & {"IfNotZero", "DecrJumpZero", "OpenEphemeral"} or len(sorts) != 1:
        return False
    return _straight(program, address, "SorterInsert") and _straight(program, sorts[0], "ResultRow")
