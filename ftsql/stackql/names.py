"""Maps StackQL's names to ftsql's: provider.service.resource to a provider and a table, and parameters to columns.

A dotted name counts as StackQL's only if it cannot be SQLite's. In SQLite, a name with three parts is a column. StackQL
passes some parameters, such as limit, to the API. ftsql chooses their values itself, so it refuses such a parameter and
says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ftsql.api.methods import ENTRIES, SERVICES, Entry, entry
from ftsql.api.provider import Provider
from ftsql.errors import ProgrammingError
from ftsql.stackql.tokens import DottedName, Token

BEFORE_TABLES = ("FROM", "JOIN", "INTO", "UPDATE")
PAGING = "ftsql reads the pages that a statement needs: use LIMIT, and ORDER BY, instead"
ACCOUNT = (
    "the account belongs to the provider's entry (OPENAI_ORG_ID, OPENAI_PROJECT_ID, or a second entry in your provider "
    "file): leave it out"
)
UNSUPPORTED = {
    "after": PAGING,
    "limit": PAGING,
    "order": PAGING,
    "openai_organization": ACCOUNT,
    "openai_project": ACCOUNT,
}
FTSQL_COLUMNS = ("extra_body",)  # ftsql's own column of the jobs, which StackQL's INSERT may set too


@dataclass(frozen=True, slots=True)
class Reference:
    """A dotted name that may name a resource. ``certain`` says that only a table can stand at its position."""

    provider: str
    entry: Entry | None
    name: DottedName
    certain: bool

    @property
    def resource(self) -> Entry:
        """The resource. Raises ProgrammingError if StackQL's name matches no resource."""
        if self.entry is None:
            names = ", ".join(f"{each.service}.{each.name}" for each in ENTRIES)
            raise ProgrammingError(f"unknown resource {self.name}; a provider has {names}")
        return self.entry


def find_references(
    tokens: Sequence[Token], names: Iterable[DottedName], providers: Mapping[str, Provider]
) -> list[Reference]:
    """Return the references among ``names``. Raises ProgrammingError if a name has an unknown provider."""
    references = []
    for name in names:
        certain = _is_certain(tokens, name)
        provider = find_provider(name.names[0], providers)
        if provider is None and name.names[1].lower() in SERVICES and certain:
            raise ProgrammingError(unknown_provider_message(name.names[0], providers))
        if provider is not None:
            references.append(Reference(provider, entry(*name.names[1:3]), name, certain))
    return references


def _is_certain(tokens: Sequence[Token], name: DottedName) -> bool:
    """Whether only a table can stand at the position of ``name``."""
    before = tokens[max(name.first - 2, 0) : name.first]
    if not before or not before[-1].matches(*BEFORE_TABLES):
        return False
    # After the FROM of IS DISTINCT FROM comes a column.
    return len(name.names) == 3 and not before[0].matches("DISTINCT")


def find_provider(name: str, providers: Iterable[str]) -> str | None:
    """Return the provider called ``name``, or None if there is none. Upper and lower case count as the same."""
    return next((each for each in providers if each.lower() == name.lower()), None)


def unknown_provider_message(name: str, providers: Iterable[str]) -> str:
    """Return the error message for an unknown provider."""
    return f"unknown provider {name!r}; known are {', '.join(sorted(providers))}"


def check_active(provider: str, active: Iterable[str] | None) -> None:
    """Raise ProgrammingError if the provider is not active. Otherwise the statement would seem to find no rows."""
    if active is not None and provider not in active:
        listed = ", ".join(active) or "none"
        raise ProgrammingError(
            f"provider {provider!r} is not active; active providers: {listed}. "
            f"SELECT missing FROM ftsql_providers WHERE provider = '{provider}' shows what its configuration lacks"
        )


def is_unsupported(parameter: str) -> bool:
    """Whether ftsql refuses this StackQL parameter."""
    return parameter.lower().replace("-", "_") in UNSUPPORTED


def check_supported(parameter: str) -> None:
    """Raise ProgrammingError if ftsql refuses this StackQL parameter."""
    if is_unsupported(parameter):
        reason = UNSUPPORTED[parameter.lower().replace("-", "_")]
        raise ProgrammingError(f"the StackQL parameter {parameter} is not supported: {reason}")


def without_prefix(name: str) -> str:
    """Return the field of the request's body for which ``name`` stands.

    The field is in lower case, and has no prefix ``data__``, which StackQL used in 2024.
    """
    return name.lower().removeprefix("data__")


def check_columns(resource: Entry, names: Iterable[str]) -> None:
    """Raise ProgrammingError if the resource's create does not take one of these columns."""
    create = resource.by_verb("INSERT")
    assert create is not None
    allowed = (*create.required, *create.optional)
    if resource.table == "fine_tuning_jobs":
        allowed = (*allowed, *FTSQL_COLUMNS)
    for name in names:
        if name not in allowed:
            check_supported(name)
            raise ProgrammingError(
                f"{resource.service}.{resource.name} takes no column {name}: it takes {', '.join(allowed)}"
            )
