"""Statements of PostgreSQL's SQL as SQLite's, each with what its text tells of its types.

What would write is refused here, before SQLite sees it; what SQLite cannot compute alike, too.
"""

from __future__ import annotations

from dataclasses import dataclass

from ftsql.errors import DatabaseError
from ftsql.serve import errors
from ftsql.serve.text import Statement, statements
from ftsql.serve.translate import from_clause as relations
from ftsql.serve.translate import names, pushdown
from ftsql.serve.translate import operators as rewrites
from ftsql.serve.translate.inference import Inference, Tables
from ftsql.serve.translate.tree import Node, Parameters, SqlglotError, exp, parse, written

READS = ("SELECT", "WITH", "VALUES", "TABLE")
ANSWERED = (  # by the server itself
    "SET", "RESET", "SHOW", "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "DISCARD",
    "DEALLOCATE", "LISTEN", "UNLISTEN", "CLOSE",
)  # fmt: skip
UNSUPPORTED = {
    "PREPARE": "use the extended protocol, as drivers do", "EXECUTE": "use the extended protocol, as drivers do",
    "DECLARE": "send the SELECT itself; the protocol fetches in parts", "FETCH": "send the SELECT itself",
    "MOVE": "send the SELECT itself", "LOCK": "nothing is locked here",
}  # fmt: skip
WRITING = (
    "INSERT", "UPDATE", "DELETE", "MERGE", "CREATE", "DROP", "ALTER", "TRUNCATE", "GRANT", "REVOKE", "COPY", "DO",
    "CALL", "VACUUM", "ANALYZE", "ANALYSE", "REINDEX", "CLUSTER", "REFRESH", "COMMENT", "SECURITY", "IMPORT", "NOTIFY",
    "LOAD", "CHECKPOINT", "REASSIGN", "REPLACE", "ATTACH", "DETACH", "PRAGMA",
)  # fmt: skip


@dataclass(frozen=True)
class Translated:
    """One statement for SQLite, or for the server where ``kind`` is not "select" or "explain".

    ``tables`` are named as they are written, with their schema; ``types`` are the parameters', ``columns``
    the result's with their names, or None where they cannot be told.
    """

    sql: str
    kind: str
    tables: frozenset[str] = frozenset()
    parameters: int = 0
    types: tuple[str | None, ...] = ()
    columns: tuple[tuple[str, str | None], ...] | None = None


def translate(text: str, tables: Tables) -> list[Translated]:
    """Each statement of ``text``. ``tables``: the columns and declared types of each table, by its name.

    Raises ProgrammingError, NotSupportedError or DataError, with ``sqlstate``.
    """
    return [_one(statement, tables) for statement in statements(text)]


def _one(statement: Statement, tables: Tables) -> Translated:
    word = statement.words[0] if statement.words else ""
    if word in ANSWERED:
        return Translated(statement.original, word.lower())
    if word in WRITING:
        raise errors.writes(word)
    if word in UNSUPPORTED:
        raise errors.unsupported(word, UNSUPPORTED[word])
    if word == "EXPLAIN":
        return _explained(statement, tables)
    if word not in READS:
        near = word or statement.text.split()[0]
        raise errors.syntax(f'syntax error at or near "{near:.40}": write SELECT')
    return _selected(statement.text, statement.parameters, tables)


def _explained(statement: Statement, tables: Tables) -> Translated:
    text = statement.text[len("EXPLAIN") :].strip()
    if text.startswith("("):
        text = text.partition(")")[2].strip()
    while text.split(" ")[0].upper() in ("ANALYZE", "ANALYSE", "VERBOSE"):
        text = text.partition(" ")[2].strip()
    inner = next(statements(text), None) if text else None
    if inner is None:
        raise errors.syntax("syntax error at end of input: write EXPLAIN SELECT …")
    found = _one(Statement(inner.words, text, text, statement.parameters), tables)
    if found.kind != "select":
        raise errors.syntax(f'syntax error at or near "{found.kind}": write EXPLAIN SELECT …')
    return Translated(f"EXPLAIN QUERY PLAN {found.sql}", "explain", found.tables, found.parameters, found.types)


def _selected(text: str, count: int, tables: Tables) -> Translated:
    try:
        root = parse(text)
        pushdown.expand(root, tables)
        names.settle(root)
        relations.shape(root)
        named = _named(root)
        inference = Inference(root, tables)
        columns = inference.columns
        pushdown.push_down(root, inference)
        relations.mark_order(root, inference, _never_null(tables))
        root = relations.distinct_on(root, inference)
        parameters = Parameters(count)
        for part in root.find_all(exp.Limit, exp.Offset):
            parameters.note(part.expression, "int8")
        sql = written(rewrites.rewrite(root, parameters))
    except RecursionError:
        raise errors.syntax("the statement is nested too deeply: write a part of it as WITH", "54001") from None
    except SqlglotError as error:
        raise errors.syntax(f"the statement cannot be read: {error!s:.200}") from None
    except DatabaseError:
        raise
    except (ValueError, AttributeError, LookupError, TypeError, AssertionError) as error:
        # A form of the tree that no rewrite expects: never to be run as it is.
        raise errors.unsupported(f"a part of the statement ({error!s:.80})", "write it in a plainer way") from error
    known = None if columns is None else tuple((name, None if type == "unknown" else type) for name, type in columns)
    return Translated(sql, "select", named, count, parameters.types, known)


def _named(root: Node) -> frozenset[str]:
    """The tables of the statement that are not its own WITH."""
    own = {cte.alias for cte in root.find_all(exp.CTE)}
    return frozenset(
        f"{table.db}.{table.name}" if table.db else table.name
        for table in root.find_all(exp.Table)
        if not isinstance(table.this, exp.Func) and (table.db or table.name not in own)
    )


def _never_null(tables: Tables) -> frozenset[tuple[str, str]]:
    """The columns declared NOT NULL, by table."""
    return frozenset(
        (name.rpartition(".")[2].lower(), column.lower())
        for name, columns in tables.items()
        for column, declared in columns
        if "NOT NULL" in (declared or "").upper()
    )
