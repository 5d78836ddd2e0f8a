"""Who serves the APIs: provider entries out of TOML, the package's and the user's own."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import platformdirs

from ftsql.data import read_text
from ftsql.errors import ConfigError

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
# Words that tell that a header, a part of a query or a variable holds a credential. A slug, a region or a name is none:
# x-portkey-virtual-key names a key that Portkey keeps.
CREDENTIAL = {"authorization", "token", "secret", "password", "passphrase", "credential", "credentials", "cookie"}
AT_THE_END = {"key", "keys", "auth"}
WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+(?![a-z])")

Lack = Literal[
    "retrieve", "create", "cancel", "pause", "resume", "events", "checkpoints", "permissions", "files", "models"
]


@dataclass(frozen=True)
class CreateField:
    """One field that a provider's create takes, with the limits that it documents.

    A dotted name is a member of an object, and ``required`` where that object is given. ``kind``: what it must be,
    and ``auto``: or the text "auto". ``values``: the only texts that it may be. ``shown``: the answer to a create
    has it, so that one which lacks it tells that it was dropped.
    """

    required: bool = False
    kind: Literal["integer", "number", "text"] | None = None
    auto: bool = False
    values: tuple[str, ...] = ()
    shown: bool = True
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    exclusive_maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    max_items: int | None = None
    max_pairs: int | None = None
    max_key_length: int | None = None
    max_value_length: int | None = None


@dataclass(frozen=True)
class Provider:
    """One provider's entry.

    - ``path`` is its jobs' below ``base_url``; ``query`` goes with every request, ``body`` with every POST.
    - ``paging``: by the last id of a page (after), or not at all (none).
    - ``newest_first``: the order of its list at ``home``, the address that the package has for it. At any other address
      the list has to show it. It is checked all the same.
    - ``without``: what it lacks.
    - ``create_fields``: what a create takes; false takes an inherited one away, and the name of another provider is
      the field as that one has it.
    - ``stores_metadata``: a job shows the metadata it was created with; ``filters_metadata``: its list can be asked
      for some.
    - ``encoded_ids``: its ids are percent-encoded already.
    - ``not_found``: codes of its "no such job"; ``not_found_message``: a regular expression for its words.
    - ``credentials``: headers, or names in ``query`` or ``body``, whose values are secret though their words do not say
      so, as those of Authorization and x-api-key do.
    - ``by_name``: asked only where it is named. ``allow_http``: http:// off this machine is the user's wish.
    """

    name: str
    base_url: str
    headers: dict[str, str] = field(default_factory=dict)
    path: str = "/fine_tuning/jobs"
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, str] = field(default_factory=dict)
    paging: Literal["after", "none"] = "after"
    page_size: int = 100
    newest_first: bool = False
    stores_metadata: bool = False
    filters_metadata: bool = False
    without: frozenset[Lack] = frozenset()
    create_fields: dict[str, CreateField] = field(default_factory=dict)
    encoded_ids: bool = False
    not_found: frozenset[str] = frozenset()
    not_found_message: str = ""
    credentials: frozenset[str] = frozenset()
    home: str = ""
    by_name: bool = False
    allow_http: bool = False

    @cached_property
    def variables(self) -> dict[str, bool]:
        """The environment variables of the templates; True where one must be set."""
        found: dict[str, bool] = {}
        for template in (self.base_url, *self.headers.values(), *self.query.values(), *self.body.values()):
            for name, default in VARIABLE.findall(template):
                required = f"${{{name}}}" in template
                found[name] = found.get(name, False) or (required and not default)
        return found

    def is_secret(self, name: str) -> bool:
        """Whether the header (or the part of a query or body) of that name holds a credential."""
        return tells_of_a_credential(name) or name.lower() in {each.lower() for each in self.credentials}


def tells_of_a_credential(name: str) -> bool:
    """Whether the words of a name say that it stands for a credential.

    >>> tells_of_a_credential("x-portkey-api-key"), tells_of_a_credential("x-portkey-aws-region")
    (True, False)
    """
    words = [word.lower() for word in WORD.findall(name)]
    if CREDENTIAL & set(words) or name.lower().endswith("apikey"):
        return True
    return bool(words) and words[-1] in AT_THE_END and words[-2:-1] != ["virtual"]


def user_file(environment: Mapping[str, str]) -> Path:
    """Where the user's own providers are read from: FTSQL_CONFIG, else the platform's config folder."""
    named = environment.get("FTSQL_CONFIG")
    return Path(os.path.expanduser(named)) if named else platformdirs.user_config_path("ftsql") / "providers.toml"


def load(config: str | Path | None, environment: Mapping[str, str]) -> tuple[dict[str, Provider], list[str]]:
    """All known providers by name, and those that the user's file names ``active``.

    ``config`` is the user's file; None takes the usual place, where it may be absent.
    Raises ConfigError for a file that cannot be read, is no TOML, or has a wrong entry.
    """
    tables = tomllib.loads(read_text("providers.toml"))
    for table in tables.values():
        if "base_url" in table:
            table["home"] = _home(table["base_url"])
    path = Path(os.path.expanduser(config)) if config else user_file(environment)
    active: object = []
    own: dict[str, Any] = {}
    if config or "FTSQL_CONFIG" in environment or path.exists():
        try:
            own = tomllib.loads(path.read_text("utf-8-sig"))
        except OSError as error:
            raise ConfigError(f"cannot read the provider file {path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"the provider file {path} is no valid TOML: {error}") from None
        active = own.pop("active", [])
        for name, table in own.items():
            if not isinstance(table, dict):
                raise ConfigError(f"{path}: {name} is no provider entry; write [{name}] and its lines below it")
            if "home" in table:
                raise ConfigError(f"provider {name}: home: there is no such word")
            tables[name] = _merged(tables.get(name, {}), table)
    if not isinstance(active, list) or not all(isinstance(name, str) for name in active):
        raise ConfigError(f'{path}: active should be a list of names, such as active = ["openai"]')
    made = {name: _table(name, tables) for name in tables}
    return {name: _checked(name, table) if own else _made(table) for name, table in made.items()}, active


def _home(template: str) -> str:
    """An entry's own address; none where a variable has to say it."""
    if any(not default for _, default in VARIABLE.findall(template)):
        return ""
    return VARIABLE.sub(lambda match: match[2], template).rstrip("/")


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for word, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(word), dict)
        merged[word] = merged[word] | value if both else value
    return merged


def _fields(name: str, fields: Mapping[str, Any], tables: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a create, with those that are as another provider has them, without those taken away."""
    found: dict[str, Any] = {}
    for word, limits in fields.items():
        if isinstance(limits, str):
            if limits not in tables or word not in (others := tables[limits].get("create_fields", {})):
                raise ConfigError(f"provider {name}: create_fields: {word} is as {limits!r} has it, which has none")
            found |= {each: value for each, value in others.items() if each == word or each.startswith(f"{word}.")}
        elif limits is not False and not any(fields.get(above) is False for above in _above(word)):
            found[word] = limits
    return {word: limits for word, limits in found.items() if fields.get(word) is not False}


def _above(field: str) -> list[str]:
    parts = field.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _table(name: str, tables: Mapping[str, Any], above: tuple[str, ...] = ()) -> dict[str, Any]:
    """An entry with what it inherits."""
    table = dict(tables[name])
    parent = table.pop("extends", None)
    if parent is not None:
        if parent not in tables or parent in (*above, name):
            raise ConfigError(f"provider {name}: extends {parent!r}, which is no other provider's name")
        table = _merged(_table(parent, tables, (*above, name)), {"by_name": False, **table})
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise ConfigError(f"provider {name!r}: a name has letters, digits, '_', '.' and '-' only")
    if not above and isinstance(table.get("create_fields"), dict):
        table["create_fields"] = _fields(name, table["create_fields"], tables)
    return {**table, "name": name}


def _made(table: Mapping[str, Any]) -> Provider:
    """A provider of the package, whose entries are known to be right."""
    sets = {word: frozenset(table[word]) for word in ("without", "not_found", "credentials") if word in table}
    fields = {
        name: CreateField(**{**limits, "values": tuple(limits.get("values", ()))})
        for name, limits in table.get("create_fields", {}).items()
    }
    return Provider(**{**table, **sets, "create_fields": fields})


def _checked(name: str, table: Mapping[str, Any]) -> Provider:
    """A provider of the user's, or one that may have become another by the user's words."""
    from ftsql.resources.validation import (
        entry,  # with the better part of pydantic: the package's own entries do without
    )

    return entry(Provider, table, f"provider {name}")
