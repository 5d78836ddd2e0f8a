"""The translation of one SELECT from PostgreSQL's SQL to SQLite's, with the types of its parameters and columns.

A statement is refused before SQLite sees it if it would write, or if SQLite cannot compute the same result.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftsql.errors import DatabaseError
from ftsql.serve import errors
from ftsql.serve.text import QUERIES, Statement, refusal, statements
from ftsql.serve.translate import from_clause, names, operators, pushdown
from ftsql.serve.translate.inference import Inference, Tables
from ftsql.serve.translate.tree import Parameters, SqlglotError, exp, parse, to_sql


@dataclass(frozen=True)
class Translated:
    """A SELECT for SQLite.

    ``parameters`` is the highest number of a parameter, and ``types`` holds the parameters' types. ``columns`` holds
    the name and type of each column of the result, or is None if the columns cannot be inferred. An unknown type is
    None.
    """

    sql: str
    parameters: int = 0
    types: tuple[str | None, ...] = ()
    columns: tuple[tuple[str, str | None], ...] | None = None


def translate(text: str, tables: Tables) -> Translated:
    """Translate one SELECT. ``tables`` maps the name of each table to its columns and their declared types.

    Raise ProgrammingError, NotSupportedError or DataError, each with an attribute ``sqlstate``.

    >>> translate("SELECT id FROM jobs WHERE id = ANY($1)", {"jobs": [("id", "TEXT")]}).types
    ('text[]',)
    """
    found = list(statements(text))
    for statement in found:
        if statement.word not in QUERIES:
            raise refusal(statement.word) or _no_query(statement)
    if len(found) != 1:
        raise errors.syntax("one SELECT is expected here")
    return _select(found[0], tables)


def _no_query(statement: Statement) -> DatabaseError:
    near = statement.word or statement.text.split()[0]
    return errors.syntax(f'syntax error at or near "{near:.40}": write SELECT')


def _select(statement: Statement, tables: Tables) -> Translated:
    try:
        root = parse(statement.text)
        pushdown.expand(root, tables)
        names.resolve(root)
        from_clause.normalize(root)
        inference = Inference(root, tables)
        columns = inference.columns
        pushdown.push_down(root, inference)
        from_clause.mark_order(root, _never_null(tables))
        root = from_clause.distinct_on(root, inference)
        parameters = Parameters(statement.parameters)
        for part in root.find_all(exp.Limit, exp.Offset):
            parameters.note(part.expression, "int8")
        sql = to_sql(operators.rewrite(root, parameters))
    except RecursionError:
        raise errors.syntax(errors.TOO_DEEP, errors.TOO_COMPLEX) from None
    except SqlglotError as error:
        raise errors.syntax(f"the statement cannot be parsed: {error!s:.200}") from None
    except DatabaseError:
        raise
    except (ValueError, AttributeError, LookupError, TypeError, AssertionError) as error:
        # The tree has a form that no rewrite expects. Without the rewrite, SQLite might compute something else.
        raise errors.unsupported(f"a part of the statement ({error!s:.80})", "write it in a simpler way") from error
    known = None if columns is None else tuple((name, None if type == "unknown" else type) for name, type in columns)
    return Translated(sql, statement.parameters, parameters.types, known)


def _never_null(tables: Tables) -> frozenset[tuple[str, str]]:
    """Return the table and name of each column that is declared NOT NULL."""
    return frozenset(
        (name.rpartition(".")[2].lower(), column.lower())
        for name, columns in tables.items()
        for column, declared in columns
        if "NOT NULL" in (declared or "").upper()
    )
