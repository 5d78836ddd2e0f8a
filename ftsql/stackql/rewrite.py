"""Rewrites StackQL's SELECT, INSERT and DELETE by editing the statement's own text.

A resource is replaced with ftsql's table, and a condition on the provider is added to the WHERE or ON. If the condition
would mean something else there, as with RIGHT and FULL joins, the resource is replaced with a subquery.

It would be simpler to use subqueries everywhere, but SQLite does not always merge a subquery into the statement around
it. In SELECT DISTINCT … LEFT JOIN, the id of a job would no longer reach the API, so all jobs would be listed, and
events could not be read at all. Also, a subquery has no hidden columns, so ``*`` would show the hidden columns that the
statement names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ftsql.errors import ProgrammingError
from ftsql.resources.definitions import JOBS, TABLES
from ftsql.stackql.clauses import Clause, Edit, find_on, find_where
from ftsql.stackql.inserts import insert_edits
from ftsql.stackql.names import Reference, check_active, check_supported
from ftsql.stackql.parsing import enclosing_statement, exp, find_tables, parse
from ftsql.stackql.tokens import Token, hyphenated, is_trigger, sql_identifier, sql_string


def rewrite(
    text: str,
    tokens: Sequence[Token],
    references: Sequence[Reference],
    active: Iterable[str] | None,
    *,
    in_transaction: bool,
) -> str:
    """Return ``text`` with ftsql's tables in place of StackQL's resources. Without a resource, it stays unchanged.

    Raises ProgrammingError if the statement cannot be parsed, or asks for something that ftsql cannot do.
    """
    if any(reference.certain for reference in references):
        _check_parameters(tokens)
    root = None if is_trigger(tokens) else parse(text, tokens)
    tables = {} if root is None else find_tables(root)
    pairs = [
        (reference, tables[start])
        for reference in references
        if len(reference.name.names) == 3 and (start := tokens[reference.name.first].start) in tables
    ]
    found = {reference.name for reference, _ in pairs}
    for reference in references:
        if reference.certain and reference.name not in found:
            raise _unparsable(reference)
    if root is None or not pairs:
        return text
    columns = [reference for reference in references if len(reference.name.names) == 4]
    return _Rewriter(text, tokens, root, pairs, columns).run(active, in_transaction=in_transaction)


class _Rewriter:
    """Collects the edits of one statement and applies them."""

    def __init__(
        self,
        text: str,
        tokens: Sequence[Token],
        root: exp.Expr,
        tables: Sequence[tuple[Reference, exp.Table]],
        columns: Sequence[Reference],
    ) -> None:
        self._text = text
        self._tokens = tokens
        self._root = root
        self._tables = tables
        self._columns = columns
        self._edits: list[Edit] = []
        self._insert_edits: list[Edit] = []
        self._conditions: dict[Clause, list[str]] = {}
        # A view that is stored in a file cannot name the schema live.
        stored = tokens[0].matches("CREATE") and not tokens[1].matches("TEMP", "TEMPORARY", "TABLE")
        self._schema = "" if stored else "live."

    def run(self, active: Iterable[str] | None, *, in_transaction: bool) -> str:
        for reference, table in self._tables:
            check_active(reference.provider, active)
            self._rewrite_table(reference, table, in_transaction=in_transaction)
            self._rename_parameters(reference, table)
        # Edits at one position are applied in this order: the end of an existing clause, a new clause, and the end of
        # the query that is wrapped around the rows of an INSERT.
        for clause, conditions in sorted(self._conditions.items(), key=lambda each: not each[0].exists):
            self._edits += clause.edits(conditions)
        self._edits += self._insert_edits
        self._qualify_columns()
        return apply_edits(self._text, self._edits)

    def _rewrite_table(self, reference: Reference, table: exp.Table, *, in_transaction: bool) -> None:
        statement = table.parent.parent if isinstance(table.parent, exp.Schema) else table.parent
        if isinstance(statement, exp.Insert) and statement.this in (table, table.parent):
            self._insert_edits = insert_edits(
                self._text, self._tokens, reference, statement, in_transaction=in_transaction
            )
        elif isinstance(statement, exp.Update) and statement.this is table:
            raise ProgrammingError(_no_update_message(reference))
        elif isinstance(statement, exp.Delete) and statement.this is table:
            self._rewrite_delete(reference)
        else:
            self._rewrite_source(reference, table)

    def _rewrite_source(self, reference: Reference, table: exp.Table) -> None:
        """Rewrite a table in a FROM or a JOIN."""
        resource = reference.resource
        alias = table.alias or self._alias(reference, table)
        suffix = "" if table.alias else f" AS {sql_identifier(alias)}"
        provider = sql_string(reference.provider)
        clause = self._condition_clause(reference, table)
        if clause is None:
            columns = ", ".join(self._subquery_columns(resource.table))
            rows = f"SELECT {columns} FROM {self._schema}{resource.table} WHERE provider = {provider}"
            self._replace_name(reference, f"({rows}){suffix}")
            return
        self._replace_name(reference, f"{self._schema}{resource.table}{suffix}")
        self._conditions.setdefault(clause, []).append(f"{sql_identifier(alias)}.provider = {provider}")
        if clause.exists and clause.keyword == "WHERE" and resource.table == JOBS.table:
            self._rewrite_metadata(clause)

    def _replace_name(self, reference: Reference, new: str) -> None:
        name = reference.name
        self._edits.append((self._tokens[name.first].start, self._tokens[name.last].end, new))

    def _condition_clause(self, reference: Reference, table: exp.Table) -> Clause | None:
        """Return the clause in which a condition on the table has the effect of a subquery, or None if none has."""
        statement = enclosing_statement(table)
        if statement is None:
            return None
        after = reference.name.last + 1
        join = table.parent if isinstance(table.parent, exp.Join) else None
        if join is not None and join.side.upper() in ("", "LEFT") and join.args.get("on"):
            return find_on(self._tokens, after)
        outer = join is not None and bool(join.side)
        sides = {each.side.upper() for each in statement.args.get("joins") or []}
        if outer or sides & {"RIGHT", "FULL"}:
            return None
        return find_where(self._tokens, after)

    def _rewrite_metadata(self, clause: Clause) -> None:
        """Rewrite ``metadata = '{…}'``, which in StackQL asks the API for the jobs that have these metadata."""
        tokens = [token for token in self._tokens if clause.start <= token.start < clause.end]
        depth = 0
        for index, token in enumerate(tokens[:-2]):
            depth += token.matches("(") - token.matches(")")
            if depth or token.name.lower() != "metadata" or (index and tokens[index - 1].matches(".")):
                continue  # inside parentheses or after a dot, the name may be another table's column
            sign, value = tokens[index + 1 : index + 3]
            edit = (token.start, value.end, f"metadata_has(metadata, {value.text})")
            # A FROM with two tables of jobs has one WHERE, which is visited twice.
            if sign.matches("=") and value.text.startswith("'{") and edit not in self._edits:
                self._edits.append(edit)

    def _alias(self, reference: Reference, table: exp.Table) -> str:
        """Return an alias: the resource's own name, or the dotted name if another table in the FROM has that name."""
        short = reference.name.names[2]
        statement = enclosing_statement(table)
        others = [] if statement is None else [each for each in statement.find_all(exp.Table) if each is not table]
        taken = any(
            each.alias_or_name.lower() == short.lower() for each in others if enclosing_statement(each) is statement
        )
        return str(reference.name) if taken else short

    def _subquery_columns(self, table: str) -> list[str]:
        """Return a subquery's columns: all that ``*`` shows, and the hidden columns that the statement names."""
        columns = TABLES[table].columns if table in TABLES else ()
        named = {token.name.lower() for token in self._tokens if token.name}
        return [each.name for each in columns if not each.hidden or each.name in named] or ["*"]

    def _rewrite_delete(self, reference: Reference) -> None:
        resource, name = reference.resource, reference.name
        if resource.by_verb("DELETE") is None:
            raise ProgrammingError(
                f"StackQL has no DELETE on {name}. To stop a job: EXEC {name}.cancel @fine_tuning_job_id = '…'"
            )
        clause = find_where(self._tokens, name.last + 1)
        if not clause.exists:
            raise ProgrammingError(f"DELETE FROM {name} without WHERE would delete everything: add a WHERE")
        self._replace_name(reference, f"live.{resource.table}")
        self._conditions.setdefault(clause, []).append(f"provider = {sql_string(reference.provider)}")

    def _rename_parameters(self, reference: Reference, table: exp.Table) -> None:
        """Replace StackQL's parameters with ftsql's columns, such as file_id with id."""
        parameters = reference.resource.parameters
        alone = len(list(self._root.find_all(exp.Table))) == 1
        for column in self._root.find_all(exp.Column):
            belongs = column.table.lower() == table.alias_or_name.lower() if column.table else alone
            if belongs and column.name.lower() in parameters and "start" in column.this.meta:
                position = column.this.meta
                self._edits.append((position["start"], position["end"] + 1, parameters[column.name.lower()]))

    def _qualify_columns(self) -> None:
        """Replace provider.service.resource.column with alias.column, if the statement gives the table no alias."""
        aliases = {
            reference.name.names: sql_identifier(self._alias(reference, table))
            for reference, table in self._tables
            if not table.alias
        }
        for column in self._columns:
            if alias := aliases.get(column.name.names[:3]):
                first = column.name.first
                self._edits.append((self._tokens[first].start, self._tokens[first + 4].end, alias))


def apply_edits(text: str, edits: Sequence[Edit]) -> str:
    """Apply ``edits``, which must not overlap, to ``text``. Edits at one position are applied in their order."""
    parts = []
    before = 0
    for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
        parts += [text[before:start], new]
        before = end
    return "".join([*parts, text[before:]])


def _check_parameters(tokens: Sequence[Token]) -> None:
    """Raise ProgrammingError if the statement passes a StackQL parameter that ftsql refuses."""
    for index in range(len(tokens)):
        name, last = hyphenated(tokens, index)
        qualified = index > 0 and tokens[index - 1].matches(".")
        compared = last + 1 < len(tokens) and tokens[last + 1].matches("=")
        # A hyphenated name can only be a parameter. Any other name may be a column, so it is checked only
        # before an equals sign.
        if (compared or last > index) and not qualified:
            check_supported(name)


def _unparsable(reference: Reference) -> ProgrammingError:
    table = reference.resource.table
    return ProgrammingError(
        f"cannot parse this StackQL statement on {reference.name}: write it in plain SQL on {table}, with "
        f"provider = {sql_string(reference.provider)}"
    )


def _no_update_message(reference: Reference) -> str:
    name = reference.name
    if reference.resource.method("cancel") is None:
        return f"StackQL has no UPDATE on {name}, and neither does the API"
    return (
        f"StackQL has no UPDATE on {name}: EXEC {name}.cancel @fine_tuning_job_id = '…', or in plain SQL "
        f"UPDATE fine_tuning_jobs SET status = 'cancelled' WHERE provider = {sql_string(reference.provider)} "
        "AND id = '…'"
    )
