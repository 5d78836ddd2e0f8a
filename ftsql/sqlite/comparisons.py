"""Comparisons of a time with what is no time, which nobody can mean: SQLite orders every number before every text.

What SQLite offers as a constraint is checked as it is asked for. The rest (NOT, OR, CASE, HAVING, a function around
the column) shows only in the statement's bytecode: see dataflow.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence

import apsw

from ftsql.errors import ProgrammingError
from ftsql.resources.definitions import JOBS, OTHERS
from ftsql.resources.fields import NUMERIC
from ftsql.resources.resource import SQLiteValue
from ftsql.write.create_body import brief

LAST = 1e30  # the cost of a plan in which a comparison of an order has to wait for another table
MILLISECONDS = 1e11  # from here on a number is no time in seconds
# Of LIKE or GLOB, for the digits of a number; one that begins with a year is none.
PATTERN = re.compile(r"(?!(?:19|20)\d\d[%*])(?:[0-9%_*?.]|\[[0-9^-]+\])+")
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


# A year, a month or a day in digits. As Unix times they are of 1970, when no API was there.
DATE = re.compile(r"((?:19[89]|20[0-9]|21[0-4])\d)(?:(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])?)?")


def mistake(column: str, value: SQLiteValue, operator: str = "=", *, converts: bool = True) -> ProgrammingError | None:
    """What is wrong with comparing a time with ``value``; None if it may be meant.

    ``converts``: SQLite turns a text of digits into a number first, as it does beside a bare column.
    """
    if value is None or (isinstance(value, str) and operator in ("like", "glob") and PATTERN.fullmatch(value)):
        return None
    digits = isinstance(value, str) and NUMERIC.fullmatch(value) is not None
    number = float(value) if digits and converts else value
    if isinstance(number, (int, float)):
        if number < MILLISECONDS and not (date := _as_a_date(number)):
            return None
        if number < MILLISECONDS:
            why, instead = "is of January to August 1970 then: it looks like a date", f"unixepoch('{date}')"
        else:
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


def _as_a_date(number: float) -> str:
    """The date that digits such as 2024, 202401 or 20240131 are meant for; nothing if they look like none."""
    found = DATE.fullmatch(str(int(number))) if number == int(number) else None
    return f"{found[1]}-{found[2] or '01'}-{found[3] or '01'}" if found else ""


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


def doubtful(columns: Collection[str], unread: str = "") -> str:
    """What to say of comparisons that nothing shows to be with a number, or that were not read; else nothing."""
    if columns:
        names = ", ".join(dict.fromkeys(columns))
        return (
            f"{names} is compared with something that may be a text, which SQLite puts behind every time. Make it a "
            "number, CAST(… AS INTEGER) or unixepoch(…), or confirm it (--yes)"
        )
    return unread and (
        f"it could not be checked whether the statement compares a time with a text, for {unread}. Make it shorter, or "
        "confirm it (--yes)"
    )
