"""The numbers and switches of one connection; every one has a default that is safe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from ftsql.errors import ConfigError

LONGEST = 1e8  # seconds, three years: what waits on a socket or a lock takes no more


class Environment(Mapping[str, str]):
    """Variables by name; a traceback that shows its locals shows none of them."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def __getitem__(self, name: str) -> str:
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    def __repr__(self) -> str:
        return "Environment()"


@dataclass(frozen=True, slots=True)
class Settings:
    """Times are seconds.

    ``timeout``: how long an answer may pause, ``connect_timeout``: how long a connection may take to open,
    ``deadline``: how long one request may take in all, ``max_requests``: requests that one statement may
    send, ``max_writes``: creates, cancels, deletes and the like that one statement or transaction may send,
    ``verify_order``: never trust a provider's order, ``settle_seconds``: how long to look for a job whose
    creation was interrupted, ``absent_seconds``: how long after a create a list that does not show it proves
    that it was never accepted, ``max_creates_per_day``: creates in 24 hours by everything that shares the
    store (None: any number), ``max_age``: how old what is shown may be (0: every statement asks),
    ``refresh_seconds``: how often a list is read in full, ``max_body``: bytes of an answer that are read
    before it is refused, ``paging``: "none" where one answer of a server whose address you gave holds all.
    """

    timeout: float = 60.0
    connect_timeout: float = 5.0
    deadline: float = 300.0
    max_requests: int = 10_000
    max_writes: int = 20
    verify_order: bool = False
    settle_seconds: float = 15.0
    absent_seconds: float = 600.0
    max_creates_per_day: int | None = None
    max_age: float = 0.0
    refresh_seconds: float = 86_400.0
    max_body: int = 256 * 1024 * 1024
    paging: Literal["after", "none"] = "after"

    @classmethod
    def chosen(cls, given: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
        """Settings from ``given`` by name, else from FTSQL_… variables. Raises ConfigError."""
        kinds = {name: get_args(hint)[0] if get_args(hint) else hint for name, hint in get_type_hints(cls).items()}
        unknown = [name for name in given if name not in kinds]
        if unknown:
            raise ConfigError(
                f"unknown setting {unknown[0]!r}; known are {', '.join(kinds)}. Keys and addresses come from the "
                "environment and the provider file, not from arguments"
            )
        values: dict[str, Any] = {}
        for name, kind in kinds.items():
            value, source = given.get(name), f"the argument {name}"
            if value is None:
                value, source = environment.get(f"FTSQL_{name.upper()}") or None, f"FTSQL_{name.upper()}"
            if value is None:
                continue
            if name == "paging":
                if value not in ("after", "none"):
                    raise ConfigError(f"setting paging: {value!r} should be 'after' or 'none' (from {source})")
                values[name] = value
                continue
            try:
                values[name] = value in (True, "1", "true", "yes", "on") if kind is bool else kind(value)
            except (TypeError, ValueError):
                raise ConfigError(
                    f"setting {name}: {value!r} is no {'number' if kind is float else 'whole number'} (from {source})"
                ) from None
            if kind is float and not values[name] <= LONGEST:
                raise ConfigError(f"setting {name}: {value!r} should be at most {LONGEST:g} seconds (from {source})")
            least = 0 if name == "max_age" else None
            if kind is not bool and not (values[name] > 0 or values[name] == least):
                raise ConfigError(f"setting {name}: {value!r} should be above 0 (from {source})")
        return cls(**values)
