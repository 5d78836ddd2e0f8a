"""The APIs' methods by StackQL's names: what each is called, asks for and needs.

They are data, in methods.toml. What a provider lacks, its own entry says, by the method's word ``lacking``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from ftsql.api.provider import Provider
from ftsql.data import read_text
from ftsql.resources.definitions import TABLES

Verb = Literal["SELECT", "INSERT", "DELETE", "EXEC"]


@dataclass(frozen=True)
class Method:
    """One call of the API; methods.toml says what each word means."""

    name: str
    verb: Verb
    http: Literal["GET", "POST", "DELETE"]
    path: str
    former: str = ""
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    lacking: str = ""

    @property
    def former_required(self) -> tuple[str, ...]:
        """The required parameters as StackQL wrote them in 2024: a body's fields with a prefix."""
        body = self.verb == "INSERT"
        return tuple(f"data__{name}" if body and f"{{{name}}}" not in self.path else name for name in self.required)

    def is_lacked_by(self, provider: Provider) -> bool:
        return self.lacking in provider.without


@dataclass(frozen=True)
class Entry:
    """A resource as StackQL names it, ``service.name``, and the table that it is here."""

    service: str
    name: str
    table: str
    title: str
    methods: tuple[Method, ...]
    former: tuple[str, ...] = ()
    parameters: dict[str, str] = field(default_factory=dict)
    newer: tuple[str, ...] = ()
    arrays: tuple[str, ...] = ()

    def method(self, name: str) -> Method | None:
        """The method of that name, today's or the former."""
        return next((method for method in self.methods if name.lower() in (method.name, method.former)), None)

    def by_verb(self, verb: Verb) -> Method | None:
        return next((method for method in self.methods if method.verb == verb), None)

    def lacking(self, method: Method, known: Iterable[Provider]) -> list[str]:
        """The names of the providers that lack ``method``."""
        return [provider.name for provider in known if method.is_lacked_by(provider)]


def _entries() -> tuple[Entry, ...]:
    services = tomllib.loads(read_text("methods.toml"))
    return tuple(
        Entry(service=service, name=name, **_tupled(table), methods=tuple(Method(**_tupled(each)) for each in methods))
        for service, named in services.items()
        for name, table in named.items()
        for methods in [table.pop("methods")]
    )


def _tupled(table: dict[str, Any]) -> dict[str, Any]:
    return {word: tuple(value) if isinstance(value, list) else value for word, value in table.items()}


ENTRIES = _entries()
SERVICES = tuple(dict.fromkeys(entry.service for entry in ENTRIES))


def entry(service: str, name: str) -> Entry | None:
    """The resource that StackQL calls ``service.name``, today or formerly, in any case."""
    service, name = service.lower(), name.lower()
    return next((each for each in ENTRIES if each.service == service and name in (each.name, *each.former)), None)


def served() -> list[Entry]:
    """The resources whose tables ftsql has."""
    return [each for each in ENTRIES if each.table in TABLES]
