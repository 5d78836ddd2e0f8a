"""The columns and parameters of StackQL's resources, as ftsql's columns.

What StackQL passes to the API by a parameter and ftsql decides by itself is refused in words.
"""

from __future__ import annotations

from collections.abc import Iterable

from ftsql.api.methods import Entry
from ftsql.errors import ProgrammingError
from ftsql.stackql.tokens import quoted

PAGING = "ftsql reads the pages that a statement needs: use LIMIT, and ORDER BY, instead"
ACCOUNT = (
    "the account belongs to the provider's entry (OPENAI_ORG_ID, OPENAI_PROJECT_ID, or a second entry in your provider "
    "file): leave it out"
)
REFUSED = {
    "after": PAGING,
    "limit": PAGING,
    "order": PAGING,
    "openai_organization": ACCOUNT,
    "openai_project": ACCOUNT,
}
OWN = ("extra_body",)  # ours, and good in an INSERT of StackQL's too


def is_refused(name: str) -> bool:
    """Whether it is a parameter of StackQL's that ftsql has no use for."""
    return name.lower().replace("-", "_") in REFUSED


def refuse_parameter(name: str) -> None:
    """Raises ProgrammingError for a parameter that ftsql has no use for."""
    if is_refused(name):
        raise ProgrammingError(f"{name} is a parameter of StackQL's: {REFUSED[name.lower().replace('-', '_')]}")


def column(name: str) -> str:
    """The column that a name in an INSERT means: in 2024 they had a prefix."""
    return name.lower().removeprefix("data__")


def check_columns(resource: Entry, names: Iterable[str]) -> None:
    """Raises ProgrammingError for a column that the resource's create does not take."""
    create = resource.by_verb("INSERT")
    assert create is not None
    known = (*create.required, *create.optional, *(OWN if resource.table == "fine_tuning_jobs" else ()))
    for name in names:
        if name not in known:
            refuse_parameter(name)
            raise ProgrammingError(
                f"{resource.service}.{resource.name} takes no column {name}: it takes {', '.join(known)}"
            )


def condition(resource: Entry, name: str, value: str) -> str:
    """A parameter and its value as a condition on the table."""
    if name == "metadata":
        return f"metadata_has(metadata, {value})"
    return f"{resource.parameters.get(name, name)} = {value}"


def columns(resource: Entry, *, extended: bool) -> str:
    """The SELECT of DESCRIBE: the fields that StackQL's page lists, then the newer ones."""
    arrays = ", ".join(map(quoted, resource.arrays)) or "NULL"
    newer = ", ".join(map(quoted, resource.newer)) or "NULL"
    return (
        "SELECT column_name AS name, CASE type WHEN 'TEXT' THEN 'string' WHEN 'JSON' THEN "
        f"iif(column_name IN ({arrays}), 'array', 'object') ELSE lower(type) END AS type"
        f"{', description' if extended else ''} FROM live.ftsql_columns "
        f"WHERE table_name = {quoted(resource.table)} AND NOT hidden ORDER BY column_name IN ({newer}), position"
    )
