"""Providers: the entries of the package's providers.toml and of the user's own file, parsed and merged."""

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
# Words in the name of a header, query parameter or variable that holds a credential. A slug, a region or a name is not
# a credential: x-portkey-virtual-key is the name of a key that Portkey keeps.
CREDENTIAL_WORDS = {"authorization", "token", "secret", "password", "passphrase", "credential", "credentials", "cookie"}
CREDENTIAL_LAST_WORDS = {"key", "keys", "auth"}
WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+(?![a-z])")

Lack = Literal[
    "retrieve", "create", "cancel", "pause", "resume", "events", "checkpoints", "permissions", "files", "models"
]


@dataclass(frozen=True)
class CreateField:
    """One field of a provider's create request, with the limits that the provider documents.

    A dotted name is a member of an object. For a member, ``required`` counts only if the object is given.

    kind: The type of the value.
    auto: Whether the string "auto" is allowed too.
    values: The allowed strings; if there are none, any string is allowed.
    shown: Whether the response to a create contains the field, so that its absence means that it was dropped.
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

    path: The path of its jobs below ``base_url``.
    query: Parameters that every request has.
    body: Members that the body of every POST has.
    paging: Whether lists are paged by the last id of a page ("after") or not at all ("none").
    newest_first: Whether the list of jobs is newest first at ``home``. At any other address, a list has to show its
        order before the order is trusted. At every address, the order is checked on every page.
    home: The provider's address in the package's own entry.
    without: The operations that the provider lacks.
    create_fields: The fields of a create request. In TOML, false removes an inherited field, and the name of another
        provider copies that provider's field.
    stores_metadata: Whether a job shows the metadata that it was created with.
    filters_metadata: Whether the list of jobs can be filtered by metadata.
    encoded_ids: Whether the ids that the provider returns are already percent-encoded.
    not_found: The codes with which the provider's errors say "no such job".
    not_found_message: A regular expression for the messages of the errors that say "no such job".
    credentials: Headers, and names in ``query`` or ``body``, whose values are secret although their names, unlike
        Authorization and x-api-key, do not say so.
    by_name: Whether the provider is used only if the user names it.
    allow_http: Whether the user allows http:// to another machine.
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
        """The environment variables in the templates; True if a variable must be set."""
        found: dict[str, bool] = {}
        for template in (self.base_url, *self.headers.values(), *self.query.values(), *self.body.values()):
            for name, default in VARIABLE.findall(template):
                required = f"${{{name}}}" in template
                found[name] = found.get(name, False) or (required and not default)
        return found

    @cached_property
    def secret_sources(self) -> list[tuple[str, bool, list[tuple[str, str]]]]:
        """For each template: the template, whether its whole value is secret, and its variables that hold credentials.

        Each variable is a pair of its name and its default.
        """
        found = []
        for templates in (self.headers, self.query, self.body):
            for name, template in templates.items():
                is_secret = self.is_secret(name)
                variables = [each for each in VARIABLE.findall(template) if is_secret or names_a_credential(each[0])]
                found.append((template, is_secret, variables))
        return found

    def is_secret(self, name: str) -> bool:
        """Whether the header, query parameter or member of a body called ``name`` holds a credential."""
        return names_a_credential(name) or name.lower() in {each.lower() for each in self.credentials}


def names_a_credential(name: str) -> bool:
    """Whether the words of a name say that its value is a credential.

    >>> names_a_credential("x-portkey-api-key"), names_a_credential("x-portkey-aws-region")
    (True, False)
    """
    words = [word.lower() for word in WORD.findall(name)]
    if CREDENTIAL_WORDS & set(words) or name.lower().endswith("apikey"):
        return True
    return bool(words) and words[-1] in CREDENTIAL_LAST_WORDS and words[-2:-1] != ["virtual"]


def user_file(environment: Mapping[str, str]) -> Path:
    """Return the path of the user's own provider file: FTSQL_CONFIG, or a file in the platform's config folder."""
    named = environment.get("FTSQL_CONFIG")
    return Path(os.path.expanduser(named)) if named else platformdirs.user_config_path("ftsql") / "providers.toml"


def load(config: str | Path | None, environment: Mapping[str, str]) -> tuple[dict[str, Provider], list[str]]:
    """Return all providers by name, and the names that the user's file lists as ``active``.

    ``config`` is the path of the user's file. None means the usual path, where a file may be missing.
    Raises ConfigError if the file cannot be read, is not TOML, or has an invalid entry.
    """
    tables = tomllib.loads(read_text("providers.toml"))
    for table in tables.values():
        if "base_url" in table:
            table["home"] = _home(table["base_url"])
    path = Path(os.path.expanduser(config)) if config else user_file(environment)
    own = _read_file(path) if config or "FTSQL_CONFIG" in environment or path.exists() else {}
    active = own.pop("active", [])
    for name, table in own.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {name} is not a provider entry; write [{name}] and its lines below it")
        if "home" in table:
            raise ConfigError(f"provider {name}: home: there is no such word")
        tables[name] = _merged(tables.get(name, {}), table)
    if not isinstance(active, list) or not all(isinstance(name, str) for name in active):
        raise ConfigError(f'{path}: active should be a list of names, such as active = ["openai"]')
    complete = {name: _complete(name, tables) for name in tables}
    if not own:
        return {name: _trusted(table) for name, table in complete.items()}, active
    # The user's entries may have changed any provider: if an entry changes, so do all entries that extend it.
    return {name: _validated(name, table) for name, table in complete.items()}, active


def _read_file(path: Path) -> dict[str, Any]:
    """Return the decoded TOML of the user's file. Raises ConfigError if the file cannot be read or is not TOML."""
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read the provider file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the provider file {path} is not valid TOML: {error}") from None


def _home(template: str) -> str:
    """Return ``template``, a base_url, with its variables' defaults, or "" if a variable has no default.

    >>> _home("${A:-https://a.example}/v1/"), _home("https://${A:-a}.example/${B}")
    ('https://a.example/v1', '')
    """
    if any(not default for _, default in VARIABLE.findall(template)):
        return ""
    return VARIABLE.sub(lambda match: match[2], template).rstrip("/")


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the values of ``over``. If both values of a word are tables, they are merged."""
    merged = dict(base)
    for word, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(word), dict)
        merged[word] = merged[word] | value if both else value
    return merged


def _complete(name: str, tables: Mapping[str, Any], children: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return an entry with the values that it inherits; ``children`` are the entries that extend it."""
    table = dict(tables[name])
    parent = table.pop("extends", None)
    if parent is not None:
        if parent not in tables or parent in (*children, name):
            raise ConfigError(f"provider {name}: extends {parent!r}, which is not another provider's name")
        table = _merged(_complete(parent, tables, (*children, name)), {"by_name": False, **table})
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise ConfigError(f"provider {name!r}: a name has letters, digits, '_', '.' and '-' only")
    if not children and isinstance(table.get("create_fields"), dict):
        table["create_fields"] = _create_fields(name, table["create_fields"], tables)
    return {**table, "name": name}


def _create_fields(name: str, fields: Mapping[str, Any], tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``fields`` without the false ones; a field that names another provider becomes that provider's field."""
    found: dict[str, Any] = {}
    for word, limits in fields.items():
        if isinstance(limits, str):
            found |= _copied_field(name, word, limits, tables)
        elif limits is not False and not any(fields.get(parent) is False for parent in _parents(word)):
            found[word] = limits
    return {word: limits for word, limits in found.items() if fields.get(word) is not False}


def _copied_field(name: str, word: str, other: str, tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the field ``word`` of the provider ``other``, and the fields that are members of it."""
    fields = tables[other].get("create_fields", {}) if other in tables else {}
    if word not in fields:
        raise ConfigError(f"provider {name}: create_fields: {word} refers to {other!r}, which has no such field")
    return {each: value for each, value in fields.items() if each == word or each.startswith(f"{word}.")}


def _parents(field: str) -> list[str]:
    """Return the names of the objects that contain a dotted field."""
    parts = field.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _trusted(table: Mapping[str, Any]) -> Provider:
    """Return a provider from an entry of the package, which needs no validation."""
    sets = {word: frozenset(table[word]) for word in ("without", "not_found", "credentials") if word in table}
    fields = {
        name: CreateField(**{**limits, "values": tuple(limits.get("values", ()))})
        for name, limits in table.get("create_fields", {}).items()
    }
    return Provider(**{**table, **sets, "create_fields": fields})


def _validated(name: str, table: Mapping[str, Any]) -> Provider:
    """Return a provider from an entry that the user's file may have changed. Raises ConfigError."""
    # This import loads most of pydantic. The package's own entries do not need it.
    from ftsql.resources.validation import entry

    return entry(Provider, table, f"provider {name}")
