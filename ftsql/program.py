"""Where a statement's program calls functions: SQLite's bytecode as EXPLAIN shows it.

A function with effects may be called only for rows that the statement gives: straight before a row goes
out, with no test, sort, limit or loop in between.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

Step = tuple[int, str, int, str]  # address, opcode, P2, P4

# Opcodes whose P2 is an address. Such a jump is harmless where it leads to before the row goes out, as CASE does.
JUMPS = frozenset(
    [
        *("Rewind", "Last", "VFilter", "SorterSort", "Sort", "Yield", "Next", "Prev", "VNext", "SorterNext"),
        *("Goto", "Gosub", "Once", "If", "IfNot", "IfNullRow", "IfPos", "IfNotZero", "DecrJumpZero", "IfNoHope"),
        *("Eq", "Ne", "Lt", "Le", "Gt", "Ge", "ElseEq", "IsNull", "NotNull", "IsType", "MustBeInt", "Jump", "Filter"),
        *("Found", "NotFound", "NoConflict", "NotExists", "SeekRowid", "SeekGE", "SeekGT", "SeekLE", "SeekLT"),
        *("IdxGE", "IdxGT", "IdxLE", "IdxLT", "IfSmaller", "IfEmpty", "IfSizeBetween", "RowSetRead", "RowSetTest"),
        *("InitCoroutine", "FkIfZero", "IncrVacuum"),
    ]
)


def misplaced(program: Sequence[Step], functions: Collection[str]) -> frozenset[str]:
    """Those of ``functions`` that ``program`` calls where a call may not stand."""
    coroutines = [(address, end) for address, opcode, end, _ in program if opcode == "InitCoroutine"]
    gives_rows = any(opcode == "ResultRow" for _, opcode, _, _ in program)
    found = set()
    for address, opcode, _, p4 in program:
        name = p4.partition("(")[0]
        if opcode not in ("Function", "PureFunc") or name not in functions:
            continue
        inside = any(begin < address < end for begin, end in coroutines)
        if not inside and not _looped(program, address):
            continue
        if gives_rows:
            right = not inside and (_straight(program, address, "ResultRow") or _sorted(program, address))
        else:  # INSERT … SELECT and CREATE TABLE … AS SELECT take their rows from the one coroutine
            right = inside and len(coroutines) == 1 and _straight(program, address, "Yield")
        if not right:
            found.add(name)
    return frozenset(found)


def _looped(program: Sequence[Step], address: int) -> bool:
    """Whether something after ``address`` leads back to before it; every program ends with a jump to 1."""
    return any(opcode in JUMPS and 1 < jump <= address for _, opcode, jump, _ in program[address:])


def _straight(program: Sequence[Step], address: int, end: str) -> bool:
    """Whether every path from ``address`` leads to the next ``end``."""
    targets: list[int] = []
    for number, opcode, jump, _ in program[address + 1 :]:
        if opcode == end:
            return all(address < target <= number for target in targets)
        if opcode in ("Halt", "EndCoroutine"):
            break
        if opcode in JUMPS:
            targets.append(jump)
    return False


def _sorted(program: Sequence[Step], address: int) -> bool:
    """Whether the row goes into a sorter that gives every one of its rows: ORDER BY without LIMIT."""
    limited = any(opcode in ("IfNotZero", "DecrJumpZero") for _, opcode, _, _ in program[address:])
    sorts = [number for number, opcode, _, _ in program[address:] if opcode == "SorterSort"]
    if limited or len(sorts) != 1 or any(opcode == "OpenEphemeral" for _, opcode, _, _ in program[address:]):
        return False
    return _straight(program, address, "SorterInsert") and _straight(program, sorts[0], "ResultRow")
