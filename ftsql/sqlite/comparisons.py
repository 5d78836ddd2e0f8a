"""Checks that times are compared only with times, and not with date strings or milliseconds.

Times are numbers, and SQLite sorts every number before every string, so a comparison with a string is a mistake. This
module checks the comparisons that SQLite passes to a table as constraints. All others (in NOT, OR, CASE or HAVING, or
with a function around the column) appear only in the statement's bytecode: see dataflow.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence

import apsw

from ftsql.errors import ProgrammingError
from ftsql.read.plan import Plan
from ftsql.resources.definitions import JOBS, OTHERS
from ftsql.resources.fields import NUMERIC
from ftsql.resources.resource import SQLiteValue
from ftsql.write.create_body import brief

WAITING_COST = 1e30  # the cost of a plan in which a <, <=, >, >=, LIKE or GLOB comparison waits for another table
MILLISECONDS = 1e11  # a number of at least this size cannot be a time in seconds
# A pattern of LIKE or GLOB that matches the digits of a number. Patterns that begin with a year are left out.
DIGIT_PATTERN = re.compile(r"(?!(?:19|20)\d\d[%*])(?:[0-9%_*?.]|\[[0-9^-]+\])+")
EQUALITY = {
    apsw.SQLITE_INDEX_CONSTRAINT_EQ: "=",  # SQLite also offers each value of an IN as an EQ
    apsw.SQLITE_INDEX_CONSTRAINT_IS: "is",
    apsw.SQLITE_INDEX_CONSTRAINT_NE: "<>",
    apsw.SQLITE_INDEX_CONSTRAINT_ISNOT: "is-not",
}
ORDERING = {
    apsw.SQLITE_INDEX_CONSTRAINT_LT: "<",
    apsw.SQLITE_INDEX_CONSTRAINT_LE: "<=",
    apsw.SQLITE_INDEX_CONSTRAINT_GT: ">",
    apsw.SQLITE_INDEX_CONSTRAINT_GE: ">=",
    apsw.SQLITE_INDEX_CONSTRAINT_LIKE: "like",
    apsw.SQLITE_INDEX_CONSTRAINT_GLOB: "glob",
}
OPERATORS = {**EQUALITY, **ORDERING}
# The arguments of a plan that are compared with a time. They are pushed down, and checked as well.
PLAN_COMPARISONS = {"at": "created_at =", "since": "created_at >=", "newer": "created_at >"}
TIMES = {resource.table: frozenset(resource.times) for resource in (JOBS, *OTHERS)}
EVERY_TIME = frozenset().union(*TIMES.values())
MAY_MISTAKE = re.compile(r"'|\d{4}|\de\+?\d", re.IGNORECASE)  # the statement contains a string or a large number
NAMES_A_TABLE = re.compile(rf"\b({'|'.join(sorted(TIMES))})\b", re.IGNORECASE)
# The statement names a column with a time, or ``finished``, a readable time in a view.
NAMES_A_TIME = re.compile(rf"\b({'|'.join(sorted(EVERY_TIME))}|finished)\b", re.IGNORECASE)

# A year, a month or a day in digits. As Unix times these numbers are in 1970, before any of the APIs existed.
DATE_IN_DIGITS = re.compile(r"((?:19[89]|20[0-9]|21[0-4])\d)(?:(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])?)?")


def find_mistake(
    column: str, value: SQLiteValue, operator: str = "=", *, converts: bool = True
) -> ProgrammingError | None:
    """Return the error for comparing the time ``column`` with ``value``, or None if the comparison makes sense.

    converts: Whether SQLite first turns a string of digits into a number, as it does in a comparison with a column
        that no function or operator changes.
    """
    if value is None or (isinstance(value, str) and operator in ("like", "glob") and DIGIT_PATTERN.fullmatch(value)):
        return None
    digits = isinstance(value, str) and NUMERIC.fullmatch(value) is not None
    number = float(value) if digits and converts else value
    if isinstance(number, (int, float)):
        return _number_mistake(column, value, number)
    kind = "a string" if isinstance(value, str) else "a BLOB"
    return ProgrammingError(
        f"{column} is a Unix time in seconds, and {brief(value)} is {kind}: SQLite sorts every number before every "
        f"string, so this does not compare times. Write {_number_instead(value, digits=digits)}"
    )


def _number_mistake(column: str, value: SQLiteValue, number: float) -> ProgrammingError | None:
    """Return the error for comparing a time with ``number``, or None if ``number`` may be a time.

    ``value`` is the value as the statement has it, for the message.
    """
    if number < MILLISECONDS:
        date = _date_in_digits(number)
        if not date:
            return None
        why, instead = "would be in January to August 1970: it looks like a date", f"unixepoch('{date}')"
    else:
        why, instead = "is too large for that: it looks like milliseconds", f"{value!s} / 1000"
    return ProgrammingError(f"{column} is a Unix time in seconds, and {brief(value)} {why}. Write {instead}")


def _number_instead(value: SQLiteValue, *, digits: bool) -> str:
    """Return the SQL to write instead of a string or BLOB. ``digits`` says that the string is a number."""
    if value == "":
        return "NULL"
    if digits:
        return str(value).strip()
    if isinstance(value, str) and re.match(r"\d{4}-\d\d", value):
        return f"unixepoch({apsw.format_sql_value(value)})"
    return "a number, such as unixepoch('2020-01-01')"


def _date_in_digits(number: float) -> str:
    """Return the date that a number such as 2024, 202401 or 20240131 seems to mean, or "" if it seems to mean none."""
    found = DATE_IN_DIGITS.fullmatch(str(int(number))) if float(number).is_integer() else None
    return f"{found[1]}-{found[2] or '01'}-{found[3] or '01'}" if found else ""


def time_constraints(info: apsw.IndexInfo, names: Sequence[str], table: str) -> tuple[list[tuple[int, str]], bool]:
    """Return the usable constraints on times, and whether an ordering constraint has to wait for another table.

    Each constraint is a pair: the constraint's index in ``info``, and its words in a plan, which are the column and the
    operator. ``names`` are the columns of ``table``.
    """
    found, waiting = [], False
    for slot in range(info.nConstraint):
        column, code = info.get_aConstraint_iColumn(slot), info.get_aConstraint_op(slot)
        if code not in OPERATORS or column < 0 or names[column] not in TIMES[table]:
            continue
        if not info.get_aConstraint_usable(slot):
            waiting = waiting or code in ORDERING
            continue
        found.append((slot, f"{names[column]} {OPERATORS[code]}"))
    return found, waiting


def checks_suffix(checks: Iterable[str]) -> str:
    """Return the end of a plan's words, which lists the comparisons to check, or "" if there are none."""
    listed = ", ".join(checks)
    return f"; checks {listed}" if listed else ""


def split_checks(words: str) -> tuple[str, list[str]]:
    """Return the words of a plan without its ``checks_suffix``, and the comparisons in that suffix."""
    plan, _, checks = words.partition("; checks ")
    return plan, checks.split(", ") if checks else []


def comparisons_of(words: str) -> list[tuple[int, str]]:
    """Return every comparison with a time in a plan's words, each with the index of its argument."""
    plan, checks = split_checks(words)
    arguments = Plan.from_words(plan).arguments
    taken = [(number, PLAN_COMPARISONS[word]) for number, word in enumerate(arguments) if word in PLAN_COMPARISONS]
    return taken + list(enumerate(checks, len(arguments)))


def check_arguments(words: str, values: Sequence[SQLiteValue], is_given: Callable[[SQLiteValue], bool]) -> None:
    """Raise ProgrammingError for the first argument of a plan that makes no sense in a comparison with a time.

    is_given: Whether a string or a BLOB is a literal or a parameter of the statement.

    A string or a BLOB that comes from another table is an error only if the operator is one of ``ORDERING``. An
    equality with such a value is simply false, as it would be in any table.
    """
    for number, comparison in comparisons_of(words):
        value = values[number]
        column, operator = comparison.split(" ")
        error = find_mistake(column, value, operator)
        if error is None:
            continue
        if operator in EQUALITY.values() and isinstance(value, (str, bytes)) and not is_given(value):
            continue
        raise error


def describe_doubts(columns: Collection[str], unread: str = "") -> str:
    """Return a question for the user about comparisons that could not be checked, or "" if there are none.

    columns: The columns with times that are compared with a value of unknown type.
    unread: The reason why some comparisons were not read.
    """
    if columns:
        names = ", ".join(dict.fromkeys(columns))
        return (
            f"{names} is compared with something that may be a string, which SQLite sorts after every time. Make it a "
            "number, CAST(… AS INTEGER) or unixepoch(…), or confirm it (--yes)"
        )
    return unread and (
        f"could not check whether the statement compares a time with a string, because {unread}. Make it shorter, or "
        "confirm it (--yes)"
    )
