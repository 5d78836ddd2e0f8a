"""What StackQL's names mean here: provider.service.resource as a provider and a table.

A name is StackQL's only where it cannot be SQLite's, which has names of three parts for columns alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ftsql.api.methods import ENTRIES, SERVICES, Entry, entry
from ftsql.api.provider import Provider
from ftsql.errors import ProgrammingError
from ftsql.stackql.tokens import Chain, Token

BEFORE_TABLES = ("FROM", "JOIN", "INTO", "UPDATE")


@dataclass(frozen=True, slots=True)
class Found:
    """A resource in a statement, and where it is named. ``sure``: nothing but a table may stand there."""

    provider: str
    entry: Entry | None
    chain: Chain
    sure: bool

    @property
    def resource(self) -> Entry:
        """The resource. Raises ProgrammingError where StackQL's name is none of ours."""
        if self.entry is None:
            names = ", ".join(f"{each.service}.{each.name}" for each in ENTRIES)
            raise ProgrammingError(f"there is no resource {'.'.join(self.chain.names)}: a provider here has {names}")
        return self.entry


def resources(mine: Sequence[Token], found: Iterable[Chain], known: Mapping[str, Provider]) -> list[Found]:
    """The chains that may name resources. Raises ProgrammingError for a provider that nobody knows."""
    ours = []
    for chain in found:
        before = mine[max(chain.first - 2, 0) : chain.first]
        sure = bool(before) and before[-1].says(*BEFORE_TABLES) and len(chain.names) == 3
        sure = sure and not before[0].says("DISTINCT")  # IS DISTINCT FROM has a column after it
        provider = provider_of(chain.names[0], known)
        if provider is None and chain.names[1].lower() in SERVICES and sure:
            raise ProgrammingError(unknown_provider(chain.names[0], known))
        if provider is not None:
            ours.append(Found(provider, entry(*chain.names[1:3]), chain, sure))
    return ours


def provider_of(name: str, known: Iterable[str]) -> str | None:
    """The known provider of that name, in any case."""
    return next((each for each in known if each.lower() == name.lower()), None)


def unknown_provider(name: str, known: Iterable[str]) -> str:
    """What to say of a provider that nobody knows."""
    return f"unknown provider {name!r}; known are {', '.join(sorted(known))}"


def check_active(provider: str, active: Iterable[str] | None) -> None:
    """Raises ProgrammingError for a provider that is not asked, whose rows would seem to be none."""
    if active is not None and provider not in active:
        listed = ", ".join(active) or "none"
        raise ProgrammingError(
            f"provider {provider!r} is not active: active are {listed}. "
            f"SELECT missing FROM ftsql_providers WHERE provider = '{provider}' says what it waits for"
        )
