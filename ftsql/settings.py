"""The settings of one connection, from arguments or FTSQL_… variables. Every setting has a safe default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from ftsql.errors import ConfigError

MAX_SECONDS = 1e8  # three years; sockets and locks accept no timeout that is much longer


class Environment(Mapping[str, str]):
    """Environment variables by name. Its ``repr`` hides them, so that a traceback with local variables shows no key."""

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
    """The settings of a connection. Times are in seconds.

    timeout: How long a response may pause.
    connect_timeout: How long opening a connection may take.
    deadline: How long one request may take in total.
    max_requests: How many requests one statement may send.
    max_writes: How many creates, cancels, deletes and other writes one statement or transaction may send.
    verify_order: Whether to read lists in full rather than trust a provider's declared order.
    settle_seconds: How long to look for a job if the response to its create was lost.
    absent_seconds: If a list does not show a job this long after its create, the create was never accepted.
    max_creates_per_day: How many creates all processes that share the store may send in 24 hours; None sets no limit.
    max_age: How old the rows may be that a statement shows without a request; with 0 every statement sends requests.
    refresh_seconds: After how long a list is read in full again.
    max_body: How many bytes of a response are read before it is refused.
    max_parallel: How many requests of one account are under way at once. With 1 they are sent one after the other.
    paging: "none" if a server whose address you gave returns everything in one response.

    >>> Settings(timeout=10.0).max_writes
    20
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
    max_parallel: int = 8
    paging: Literal["after", "none"] = "after"

    @classmethod
    def resolve(cls, given: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
        """Return the settings in ``given``, completed by FTSQL_… variables and the defaults.

        Raises ConfigError for an unknown setting or an invalid value.
        """
        kinds = {name: get_args(hint)[0] if get_args(hint) else hint for name, hint in get_type_hints(cls).items()}
        unknown = [name for name in given if name not in kinds]
        if unknown:
            raise ConfigError(
                f"unknown setting {unknown[0]!r}; known are {', '.join(kinds)}. Keys and addresses come from the "
                "environment and the provider file, not from arguments"
            )
        values: dict[str, Any] = {}
        for name, kind in kinds.items():
            variable = f"FTSQL_{name.upper()}"
            if (value := given.get(name)) is not None:
                values[name] = _parse(name, kind, value, f"the argument {name}")
            elif value := environment.get(variable):
                values[name] = _parse(name, kind, value, variable)
        return cls(**values)


def _parse(name: str, kind: Any, value: Any, source: str) -> Any:
    """Return ``value`` converted for the setting ``name``. Raises ConfigError, whose message names the ``source``."""

    def invalid(expected: str) -> ConfigError:
        return ConfigError(f"invalid {name} {value!r} (from {source}): expected {expected}")

    if name == "paging":
        if value not in ("after", "none"):
            raise invalid("'after' or 'none'")
        return value
    if kind is bool:
        return value in (True, "1", "true", "yes", "on")
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        raise invalid("a number" if kind is float else "an integer") from None
    if kind is float and not number <= MAX_SECONDS:
        raise invalid(f"at most {MAX_SECONDS:g} seconds")
    if not (number > 0 or (name == "max_age" and number == 0)):
        raise invalid("0 or more" if name == "max_age" else "a number above 0")
    return number
