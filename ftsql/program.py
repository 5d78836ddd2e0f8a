"""Where a statement's program calls functions: SQLite's bytecode as EXPLAIN shows it.

A function with effects may be called only for rows that the statement gives: straight before a row goes
out, with no test, sort, limit or loop in between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

Step = tuple[int, str, int, int, str]  # address, opcode, P1, P2, P4

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
        *("RowSetTest", "InitCoroutine", "FkIfZero", "IncrVacuum"),
    ]
)


def calls(program: Sequence[Step], functions: Collection[str]) -> dict[str, bool]:
    """Those of ``functions`` that ``program`` calls, each with whether it may call it more than once."""
    found: dict[str, bool] = {}
    for address, name in _steps(program, functions):
        found[name] = found.get(name, False) or _over_rows(program, address) or name in found
    return found


def misplaced(program: Sequence[Step], functions: Collection[str]) -> frozenset[str]:
    """Those of ``functions`` that ``program`` calls where a call may not stand."""
    coroutines = [
        (address, end, register) for address, opcode, register, end, _ in program if opcode == "InitCoroutine"
    ]
    gives_rows = any(opcode == "ResultRow" for _, opcode, *_ in program)
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
    for address, opcode, _, _, p4 in program:
        name = p4.partition("(")[0]
        if opcode in ("Function", "PureFunc") and name in functions:
            yield address, name


def _over_rows(program: Sequence[Step], address: int) -> bool:
    """Whether a call comes after a row was looked up, or in a loop; every program ends with a jump to 1."""
    if any(opcode in ROWS for _, opcode, *_ in program[:address]):
        return True
    return any(opcode in JUMPS and 1 < jump <= address for _, opcode, _, jump, _ in program[address:])


def _straight(program: Sequence[Step], address: int, end: str, register: int | None = None) -> bool:
    """Whether every path from ``address`` leads to the next ``end`` (of ``register``)."""
    targets: list[int] = []
    for number, opcode, first, jump, _ in program[address + 1 :]:
        if opcode == end and register in (None, first):
            return all(address < target <= number for target in targets)
        if opcode in ("Halt", "EndCoroutine"):
            break
        if opcode in JUMPS:
            targets.append(jump)
    return False


def _sorted(program: Sequence[Step], address: int) -> bool:
    """Whether the row goes into a sorter that gives every one of its rows: ORDER BY without LIMIT."""
    limited = any(opcode in ("IfNotZero", "DecrJumpZero") for _, opcode, *_ in program[address:])
    sorts = [number for number, opcode, *_ in program[address:] if opcode == "SorterSort"]
    if limited or len(sorts) != 1 or any(opcode == "OpenEphemeral" for _, opcode, *_ in program[address:]):
        return False
    return _straight(program, address, "SorterInsert") and _straight(program, sorts[0], "ResultRow")
