"""The APIs' methods under StackQL's names: their HTTP methods, paths and parameters, read from methods.toml.

``Provider.without`` names the operations that a provider lacks; ``Method.lacking`` is a method's name in that set.
The module is imported lazily, because parsing the TOML takes a while.
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
    """One method of the API; methods.toml explains each field."""

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
        """The required parameters in StackQL's form of 2024, in which fields of a body have the prefix ``data__``."""
        body = self.verb == "INSERT"
        return tuple(f"data__{name}" if body and f"{{{name}}}" not in self.path else name for name in self.required)

    def is_lacked_by(self, provider: Provider) -> bool:
        """Whether ``provider`` lacks this method's operation."""
        return self.lacking in provider.without


@dataclass(frozen=True)
class Entry:
    """A resource under StackQL's name, ``service.name``, and its table in ftsql."""

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
        """Return the method with the current or former name ``name``, in any case, or None if there is none."""
        return next((method for method in self.methods if name.lower() in (method.name, method.former)), None)

    def by_verb(self, verb: Verb) -> Method | None:
        """Return the first method for a SQL verb, or None if there is none."""
        return next((method for method in self.methods if method.verb == verb), None)

    def lacking(self, method: Method, providers: Iterable[Provider]) -> list[str]:
        """Return the names of the providers that lack ``method``."""
        return [provider.name for provider in providers if method.is_lacked_by(provider)]


def _entries() -> tuple[Entry, ...]:
    services = tomllib.loads(read_text("methods.toml"))
    return tuple(
        Entry(
            service=service,
            name=name,
            **_with_tuples(table),
            methods=tuple(Method(**_with_tuples(each)) for each in methods),
        )
        for service, named in services.items()
        for name, table in named.items()
        for methods in [table.pop("methods")]
    )


def _with_tuples(table: dict[str, Any]) -> dict[str, Any]:
    """Return ``table`` with tuples in place of lists."""
    return {word: tuple(value) if isinstance(value, list) else value for word, value in table.items()}


ENTRIES = _entries()
SERVICES = tuple(dict.fromkeys(entry.service for entry in ENTRIES))


def entry(service: str, name: str) -> Entry | None:
    """Return the resource with StackQL's current or former name ``service.name``, in any case, or None.

    >>> entry("fine_tuning", "JOBS").table
    'fine_tuning_jobs'
    """
    service, name = service.lower(), name.lower()
    return next((each for each in ENTRIES if each.service == service and name in (each.name, *each.former)), None)


def served() -> list[Entry]:
    """Return the resources that are tables in ftsql."""
    return [each for each in ENTRIES if each.table in TABLES]
