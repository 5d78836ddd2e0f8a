"""StackQL's INSERT: its columns by our names, its rows with their provider, its RETURNING as a SELECT.

SQLite's own RETURNING would give what was submitted, so no id; the jobs exist once the INSERT has committed.
"""

from __future__ import annotations

from collections.abc import Sequence

from ftsql.errors import ProgrammingError
from ftsql.resources.definitions import JOBS
from ftsql.stackql.clauses import end_of
from ftsql.stackql.names import Found
from ftsql.stackql.parameters import check_columns, column
from ftsql.stackql.parsing import exp
from ftsql.stackql.tokens import Token, quoted

RETURNED = (
    "FROM live.fine_tuning_jobs AS jobs WHERE jobs.key IN (SELECT value FROM json_each(last_jobs())) "
    "ORDER BY instr(last_jobs(), json_quote(jobs.key))"
)


def insert(
    text: str, mine: Sequence[Token], found: Found, statement: exp.Insert, *, in_transaction: bool
) -> list[tuple[int, int, str]]:
    """The edits of an INSERT into a resource. Raises ProgrammingError for what it cannot say."""
    resource, chain = found.resource, found.chain
    name = ".".join(chain.names)
    if resource.by_verb("INSERT") is None:
        raise ProgrammingError(f"StackQL has no INSERT into {name}, and the API neither")
    opening = chain.last + 1
    if opening >= len(mine) or not mine[opening].says("("):
        raise ProgrammingError(
            f"INSERT INTO {name} needs its columns: INSERT INTO {name} (model, training_file) SELECT …"
        )
    closing = end_of(mine, opening + 1, ())
    edits = [
        (mine[chain.first].start, mine[chain.last].end, f"live.{resource.table}"),
        (mine[opening].end, mine[opening].end, "provider, "),
    ]
    columns = _columns(mine[opening + 1 : closing])
    names = [column(written) for written, _, _ in columns]
    check_columns(resource, names)
    if twice := next((each for each in names if names.count(each) > 1), None):
        raise ProgrammingError(f"INSERT INTO {name} names {twice} twice")
    ours = {name: resource.parameters.get(name, name) for name in names}
    edits += [
        (start, end, ours[column(written)]) for written, start, end in columns if ours[column(written)] != written
    ]
    begin = closing + 1
    has_rows = begin < len(mine) and not mine[begin].says("DEFAULT")
    end = end_of(mine, begin, ("RETURNING", "CONFLICT")) if has_rows else begin
    if end < len(mine) and mine[end].says("CONFLICT"):
        raise ProgrammingError(f"INSERT INTO {name} has no ON CONFLICT: INSERT OR IGNORE skips refused rows")
    if end == begin:
        raise ProgrammingError(f"INSERT INTO {name} needs its values: SELECT … or VALUES (…)")
    _count(statement, len(columns))
    before, after = _around(found.provider, names)
    edits.append((mine[begin].start, mine[begin].start, before))
    edits.append((mine[end - 1].end, mine[end - 1].end, after))
    if end < len(mine) and mine[end].says("RETURNING"):
        _check_returning(mine, resource.table, name, in_transaction)
        shown = text[mine[end].end : mine[-1].end]
        edits.append((mine[end].start, mine[-1].end, f";\nSELECT{shown}\n{RETURNED}"))
    return edits


PROJECTS = "project_ids"


def _around(provider: str, names: Sequence[str]) -> tuple[str, str]:
    """What stands before and after the rows as given, to have their provider with them."""
    if PROJECTS in names:  # an array, of which each is a row here
        listed = ", ".join(names)
        shown = ", ".join("project.value" if name == PROJECTS else name for name in names)
        array = f"iif(json_valid({PROJECTS}), {PROJECTS}, json_array({PROJECTS}))"
        after = f') SELECT {quoted(provider)}, {shown} FROM "stackql row", json_each({array}) AS project'
        return f'WITH "stackql row" ({listed}) AS (', after
    if "seed" not in names:
        return f"SELECT {quoted(provider)}, * FROM (", ")"
    # StackQL's page of 2024 writes the seed in quotes; whatever is no whole number is refused as it is.
    seed = "iif(seed <> '' AND seed NOT GLOB '*[^0-9]*', CAST(seed AS INTEGER), seed)"
    listed = ", ".join(names)
    shown = ", ".join(seed if name == "seed" else name for name in names)
    return f'WITH "stackql row" ({listed}) AS (', f') SELECT {quoted(provider)}, {shown} FROM "stackql row"'


def _columns(mine: Sequence[Token]) -> list[tuple[str, int, int]]:
    """The names in a list of columns, and where each stands; StackQL writes some with hyphens."""
    found: list[tuple[str, int, int]] = []
    index = 0
    while index < len(mine):
        last = index
        name = mine[index].name
        while last + 2 < len(mine) and mine[last + 1].says("-"):
            name, last = f"{name}-{mine[last + 2].name}", last + 2
        found.append((name, mine[index].start, mine[last].end))
        index = last + 2
    return found


def _count(statement: exp.Insert, columns: int) -> None:
    """Raises ProgrammingError where a row has not as many values as columns are named."""
    source = statement.expression
    rows: list[list[exp.Expr]] = []
    if isinstance(source, exp.Select):
        rows = [source.expressions]
    elif isinstance(source, exp.Values):
        rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in source.expressions]
    for row in rows:
        if len(row) != columns and not any(value.is_star for value in row):
            raise ProgrammingError(f"{len(row)} values for {columns} columns")


def _check_returning(mine: Sequence[Token], table: str, name: str, in_transaction: bool) -> None:
    if table != JOBS.table or mine[0].says("EXPLAIN"):
        raise ProgrammingError(f"INSERT INTO {name} has no RETURNING here: leave it out")
    if in_transaction:
        raise ProgrammingError(
            "RETURNING inside a transaction is refused: the jobs are created at COMMIT, and have no ids before. "
            "Leave it out, or let the INSERT stand alone"
        )
