"""StackQL's SELECT, INSERT and DELETE as edits of the statement's own text.

A resource becomes the table with one provider's rows: by a condition in WHERE or ON, which leaves the plan
as it is, and where neither means the same, by a subquery.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ftsql.errors import ProgrammingError
from ftsql.resources.definitions import JOBS, TABLES
from ftsql.stackql.clauses import Clause, on, where
from ftsql.stackql.inserts import insert
from ftsql.stackql.names import Found, check_active
from ftsql.stackql.parameters import is_refused, refuse_parameter
from ftsql.stackql.parsing import exp, owner, parse, tables
from ftsql.stackql.tokens import Token, identifier, is_trigger, quoted

Edit = tuple[int, int, str]  # from, to, what stands there instead


def rewrite(
    text: str, mine: Sequence[Token], ours: Sequence[Found], active: Iterable[str] | None, *, in_transaction: bool
) -> str:
    """``text`` with ftsql's tables for StackQL's; as it is where none of ``ours`` names a table.

    Raises ProgrammingError for what cannot be read, or said to ftsql.
    """
    if any(found.sure for found in ours):
        _check_parameters(mine)
    root = None if is_trigger(mine) else parse(text, mine)
    if root is None:
        for found in ours:
            if found.sure:
                raise _unreadable(found)
        return text
    return _Rewriting(text, mine, root, ours).done(active, in_transaction=in_transaction)


class _Rewriting:
    """One statement's edits."""

    def __init__(self, text: str, mine: Sequence[Token], root: exp.Expr, ours: Sequence[Found]) -> None:
        self._text = text
        self._mine = mine
        self._root = root
        self._edits: list[Edit] = []
        self._around: list[Edit] = []
        self._conditions: dict[Clause, list[str]] = {}
        named = tables(root)
        self._tables = [
            (found, named[mine[found.chain.first].start])
            for found in ours
            if len(found.chain.names) == 3 and mine[found.chain.first].start in named
        ]
        placed = {found.chain for found, _ in self._tables}
        for found in ours:
            if found.sure and found.chain not in placed:
                raise _unreadable(found)
        self._columns = [found for found in ours if len(found.chain.names) == 4]
        # A view in a file may not name the schema live.
        stays = mine[0].says("CREATE") and not mine[1].says("TEMP", "TEMPORARY", "TABLE")
        self._schema = "" if stays else "live."

    def done(self, active: Iterable[str] | None, *, in_transaction: bool) -> str:
        for found, table in self._tables:
            check_active(found.provider, active)
            above = table.parent.parent if isinstance(table.parent, exp.Schema) else table.parent
            if isinstance(above, exp.Insert) and above.this in (table, table.parent):
                self._around = insert(self._text, self._mine, found, above, in_transaction=in_transaction)
            elif isinstance(above, exp.Update) and above.this is table:
                raise ProgrammingError(_no_update(found))
            elif isinstance(above, exp.Delete) and above.this is table:
                self._delete(found)
            else:
                self._read(found, table)
            self._rename_parameters(found, table)
        # At one place: the end of an ON or WHERE, then a new WHERE, then the end of what an INSERT has around it.
        for clause, conditions in sorted(self._conditions.items(), key=lambda each: not each[0].exists):
            self._edits += clause.narrowed(conditions)
        self._edits += self._around
        self._four_parts()
        return applied(self._text, self._edits) if self._tables else self._text

    def _name(self, found: Found, new: str) -> None:
        chain = found.chain
        self._edits.append((self._mine[chain.first].start, self._mine[chain.last].end, new))

    def _read(self, found: Found, table: exp.Table) -> None:
        alias = table.alias or self._alias(found, table)
        named = "" if table.alias else f" AS {identifier(alias)}"
        clause = self._clause(found, table)
        if clause is None:
            columns = ", ".join(self._needed(found.resource.table))
            rows = (
                f"SELECT {columns} FROM {self._schema}{found.resource.table} WHERE provider = {quoted(found.provider)}"
            )
            self._name(found, f"({rows}){named}")
        else:
            self._name(found, f"{self._schema}{found.resource.table}{named}")
            self._conditions.setdefault(clause, []).append(f"{identifier(alias)}.provider = {quoted(found.provider)}")
            if clause.exists and clause.keyword == "WHERE" and found.resource.table == JOBS.table:
                self._metadata(clause)

    def _clause(self, found: Found, table: exp.Table) -> Clause | None:
        """Where a condition on the table means the same as fewer rows in it; None: nowhere."""
        above = owner(table)
        if above is None:
            return None
        sides = {join.side.upper() for join in above.args.get("joins") or []}
        join = table.parent
        if isinstance(join, exp.Join) and join.side.upper() in ("", "LEFT") and join.args.get("on"):
            return on(self._mine, found.chain.last + 1)
        if (isinstance(join, exp.From) or not join or not join.args.get("side")) and not sides & {"RIGHT", "FULL"}:
            return where(self._mine, found.chain.last + 1)
        return None

    def _metadata(self, clause: Clause) -> None:
        """metadata = '{…}' is StackQL's parameter, by which the API gives the jobs that have those pairs."""
        mine = [token for token in self._mine if clause.begin <= token.start < clause.end]
        depth = 0
        for index, token in enumerate(mine[:-2]):
            depth += token.says("(") - token.says(")")
            sign, value = mine[index + 1 : index + 3]
            named = token.name.lower() == "metadata" and not (index and mine[index - 1].says("."))
            # Deeper it may be another table's.
            if depth == 0 and named and sign.says("=") and value.text.startswith("'{"):
                edit = (token.start, value.end, f"metadata_has(metadata, {value.text})")
                if edit not in self._edits:  # two of our tables may stand in one FROM
                    self._edits.append(edit)

    def _alias(self, found: Found, table: exp.Table) -> str:
        """The resource's own name, where no other table beside it has it."""
        name = found.chain.names[2]
        above = owner(table)
        sources = [source for source in (above.find_all(exp.Table) if above else []) if source is not table]
        taken = any(source.alias_or_name.lower() == name.lower() for source in sources)
        return ".".join(found.chain.names) if taken else name

    def _needed(self, table: str) -> list[str]:
        """The columns for a subquery: what SELECT * shows, and the hidden ones that the statement names."""
        columns = TABLES[table].columns if table in TABLES else ()
        mentioned = {token.name.lower() for token in self._mine if token.name}
        return [each.name for each in columns if not each.hidden or each.name in mentioned] or ["*"]

    def _delete(self, found: Found) -> None:
        resource = found.resource
        name = ".".join(found.chain.names)
        if resource.by_verb("DELETE") is None:
            raise ProgrammingError(
                f"StackQL has no DELETE on {name}. To stop a job: EXEC {name}.cancel @fine_tuning_job_id = '…'"
            )
        clause = where(self._mine, found.chain.last + 1)
        if not clause.exists:
            raise ProgrammingError(f"DELETE FROM {name} without WHERE would delete everything: say which")
        self._name(found, f"live.{resource.table}")
        self._conditions.setdefault(clause, []).append(f"provider = {quoted(found.provider)}")

    def _rename_parameters(self, found: Found, table: exp.Table) -> None:
        """file_id and its like are names of StackQL's for our id."""
        parameters = found.resource.parameters
        alone = len(list(self._root.find_all(exp.Table))) == 1
        for column in self._root.find_all(exp.Column):
            mine = column.table.lower() == table.alias_or_name.lower() if column.table else alone
            if mine and column.name.lower() in parameters and "start" in column.this.meta:
                place = column.this.meta
                self._edits.append((place["start"], place["end"] + 1, parameters[column.name.lower()]))

    def _four_parts(self) -> None:
        """provider.service.resource.column, of a table that has no other name."""
        plain = {
            found.chain.names: identifier(found.chain.names[2]) for found, table in self._tables if not table.alias
        }
        for found in self._columns:
            if new := plain.get(found.chain.names[:3]):
                first, last = found.chain.first, found.chain.first + 4
                self._edits.append((self._mine[first].start, self._mine[last].end, new))


def applied(text: str, edits: Sequence[Edit]) -> str:
    """``text`` with its edits, which do not overlap; those at one place stand in their order."""
    parts = []
    before = 0
    for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
        parts += [text[before:start], new]
        before = end
    return "".join([*parts, text[before:]])


def _check_parameters(mine: Sequence[Token]) -> None:
    """Raises ProgrammingError where the statement passes a parameter that ftsql has no use for."""
    for index, token in enumerate(mine):
        name, last = token.name, index
        while last + 2 < len(mine) and mine[last + 1].says("-") and mine[last + 2].name:
            name, last = f"{name}-{mine[last + 2].name}", last + 2
        compared = last + 1 < len(mine) and mine[last + 1].says("=")
        # With a hyphen it is nothing else; the others may be columns of other tables.
        if (compared or last > index) and is_refused(name) and not (index and mine[index - 1].says(".")):
            refuse_parameter(name)


def _unreadable(found: Found) -> ProgrammingError:
    return ProgrammingError(
        f"this statement on {'.'.join(found.chain.names)} cannot be read as StackQL's: write it in plain SQL on "
        f"{found.resource.table}, with provider = {quoted(found.provider)}"
    )


def _no_update(found: Found) -> str:
    name = ".".join(found.chain.names)
    if found.resource.method("cancel") is None:
        return f"StackQL has no UPDATE on {name}, and the API neither"
    return (
        f"StackQL has no UPDATE on {name}: EXEC {name}.cancel @fine_tuning_job_id = '…', or in plain SQL "
        f"UPDATE fine_tuning_jobs SET status = 'cancelled' WHERE provider = {quoted(found.provider)} AND id = '…'"
    )
