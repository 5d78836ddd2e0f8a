"""Translates StackQL's INSERT: renames its columns, adds the provider to its rows, and turns RETURNING into a SELECT.

SQLite's own RETURNING would return the submitted values without ids, because the jobs do not exist before the INSERT
is committed.
"""

from __future__ import annotations

from collections.abc import Sequence

from ftsql.errors import ProgrammingError
from ftsql.resources.definitions import JOBS
from ftsql.stackql.clauses import Edit, find_end
from ftsql.stackql.names import Reference, check_columns, without_prefix
from ftsql.stackql.parsing import exp
from ftsql.stackql.tokens import Token, hyphenated, sql_string

CREATED_JOBS = (
    "FROM live.fine_tuning_jobs AS jobs WHERE jobs.key IN (SELECT value FROM json_each(last_jobs())) "
    "ORDER BY instr(last_jobs(), json_quote(jobs.key))"
)
PROJECTS = "project_ids"


def insert_edits(
    text: str, tokens: Sequence[Token], reference: Reference, statement: exp.Insert, *, in_transaction: bool
) -> list[Edit]:
    """Return the edits for an INSERT into a resource.

    Raises ProgrammingError if the INSERT asks for something that ftsql cannot do.
    """
    resource, name = reference.resource, reference.name
    if resource.by_verb("INSERT") is None:
        raise ProgrammingError(f"StackQL has no INSERT into {name}, and neither does the API")
    opening = name.last + 1
    if opening >= len(tokens) or not tokens[opening].matches("("):
        raise ProgrammingError(
            f"INSERT INTO {name} needs its columns: INSERT INTO {name} (model, training_file) SELECT …"
        )
    closing = find_end(tokens, opening + 1, ())
    columns = _columns(tokens[opening + 1 : closing])
    fields = _checked_fields(reference, columns)
    begin, end = _rows(tokens, closing + 1, reference)
    _check_value_counts(statement, len(columns))
    before, after = _wrapping(reference.provider, fields)
    edits = [
        (tokens[name.first].start, tokens[name.last].end, f"live.{resource.table}"),
        (tokens[opening].end, tokens[opening].end, "provider, "),
        *_column_edits(reference, columns),
        (tokens[begin].start, tokens[begin].start, before),
        (tokens[end - 1].end, tokens[end - 1].end, after),
    ]
    if end < len(tokens) and tokens[end].matches("RETURNING"):
        _check_returning(tokens, reference, in_transaction=in_transaction)
        returned = text[tokens[end].end : tokens[-1].end]
        edits.append((tokens[end].start, tokens[-1].end, f";\nSELECT{returned}\n{CREATED_JOBS}"))
    return edits


def _columns(tokens: Sequence[Token]) -> list[tuple[str, int, int]]:
    """Return each name in a list of columns, as written, with the name's start and end."""
    columns: list[tuple[str, int, int]] = []
    index = 0
    while index < len(tokens):
        name, last = hyphenated(tokens, index)
        columns.append((name, tokens[index].start, tokens[last].end))
        index = last + 2  # the token after the comma
    return columns


def _checked_fields(reference: Reference, columns: Sequence[tuple[str, int, int]]) -> list[str]:
    """Return the body field of each column. Raises ProgrammingError if a field is unknown or named twice."""
    fields = [without_prefix(written) for written, _, _ in columns]
    check_columns(reference.resource, fields)
    if repeated := next((field for field in fields if fields.count(field) > 1), None):
        raise ProgrammingError(f"INSERT INTO {reference.name} names {repeated} twice")
    return fields


def _column_edits(reference: Reference, columns: Sequence[tuple[str, int, int]]) -> list[Edit]:
    """Return the edits that replace the columns, as written, with ftsql's columns."""
    edits = []
    for written, start, end in columns:
        field = without_prefix(written)
        column = reference.resource.parameters.get(field, field)
        if column != written:
            edits.append((start, end, column))
    return edits


def _rows(tokens: Sequence[Token], begin: int, reference: Reference) -> tuple[int, int]:
    """Return the indices at which the SELECT or VALUES begins and ends.

    Raises ProgrammingError if there is no SELECT or VALUES, or if there is an ON CONFLICT.
    """
    name = reference.name
    has_rows = begin < len(tokens) and not tokens[begin].matches("DEFAULT")
    end = find_end(tokens, begin, ("RETURNING", "CONFLICT")) if has_rows else begin
    if end < len(tokens) and tokens[end].matches("CONFLICT"):
        raise ProgrammingError(f"INSERT INTO {name} has no ON CONFLICT: INSERT OR IGNORE skips refused rows")
    if end == begin:
        raise ProgrammingError(f"INSERT INTO {name} needs its values: SELECT … or VALUES (…)")
    return begin, end


def _wrapping(provider: str, fields: Sequence[str]) -> tuple[str, str]:
    """Return the SQL to insert before the rows and the SQL to insert after them, to add the provider to each row."""
    selected = {field: field for field in fields}
    source = '"stackql row"'
    if PROJECTS in selected:
        # StackQL has one row with an array of projects, but ftsql has one row for each project.
        selected[PROJECTS] = "project.value"
        array = f"iif(json_valid({PROJECTS}), {PROJECTS}, json_array({PROJECTS}))"
        source += f", json_each({array}) AS project"
    elif "seed" in selected:
        # StackQL's page of 2024 has the seed in quotes. A value that is not an integer stays, and is refused later.
        selected["seed"] = "iif(seed <> '' AND seed NOT GLOB '*[^0-9]*', CAST(seed AS INTEGER), seed)"
    else:
        return f"SELECT {sql_string(provider)}, * FROM (", ")"
    before = f'WITH "stackql row" ({", ".join(fields)}) AS ('
    return before, f") SELECT {sql_string(provider)}, {', '.join(selected.values())} FROM {source}"


def _check_value_counts(statement: exp.Insert, columns: int) -> None:
    """Raise ProgrammingError if a row has more or fewer values than there are columns."""
    source = statement.expression
    rows: list[list[exp.Expr]] = []
    if isinstance(source, exp.Select):
        rows = [source.expressions]
    elif isinstance(source, exp.Values):
        rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in source.expressions]
    for row in rows:
        if len(row) != columns and not any(value.is_star for value in row):
            raise ProgrammingError(f"{len(row)} values for {columns} columns")


def _check_returning(tokens: Sequence[Token], reference: Reference, *, in_transaction: bool) -> None:
    """Raise ProgrammingError if this INSERT cannot have a RETURNING."""
    if reference.resource.table != JOBS.table or tokens[0].matches("EXPLAIN"):
        raise ProgrammingError(f"INSERT INTO {reference.name} has no RETURNING here: leave it out")
    if in_transaction:
        raise ProgrammingError(
            "RETURNING inside a transaction is refused: the jobs are created at COMMIT, and have no ids before. "
            "Leave it out, or run the INSERT outside a transaction"
        )
