"""Who serves the APIs: provider entries out of TOML, and accounts made of them and the environment.

Headers and URLs stay templates until a request is built: no object here ever holds a credential.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import time
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json, to_json

from ftsql import packaged
from ftsql.errors import ConfigError

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
SECRET_HEADER = re.compile(r"auth|key|token|secret|config", re.IGNORECASE)

Lack = Literal[
    "retrieve", "create", "cancel", "pause", "resume", "events", "checkpoints", "permissions", "files", "models"
]


class CreateField(BaseModel):
    """One field that a provider's create takes, with the limits that it documents."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    required: bool = False
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


class Provider(BaseModel):
    """One provider's entry.

    ``path`` is its jobs' below ``base_url``. ``query`` goes with every request, ``body`` with every POST.
    ``paging``: by the last id of a page (after), or not at all (none). ``newest_first``: the order of its
    list, which is checked all the same. ``without``: what it lacks. ``create_fields``: what a create
    takes; false takes an inherited one away. ``stores_metadata``: a job shows the metadata it was created
    with; ``filters_metadata``: its list can be asked for some. ``encoded_ids``: its ids are percent-encoded
    already. ``not_found``: codes of its "no such job".
    ``by_name``: asked only where it is named. ``allow_http``: http:// off this machine is the user's wish.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    base_url: str
    headers: dict[str, str] = {}
    path: str = "/fine_tuning/jobs"
    query: dict[str, str] = {}
    body: dict[str, str] = {}
    paging: Literal["after", "none"] = "after"
    page_size: int = 100
    newest_first: bool = False
    stores_metadata: bool = False
    filters_metadata: bool = False
    without: frozenset[Lack] = frozenset()
    create_fields: dict[str, CreateField] = {}
    encoded_ids: bool = False
    not_found: frozenset[str] = frozenset()
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

    @cached_property
    def secrets(self) -> tuple[list[str], list[str]]:
        """The variables that hold credentials, and what stands in the templates of secret headers besides."""
        secret = [template for header, template in self.headers.items() if SECRET_HEADER.search(header)]
        literals = [VARIABLE.sub("", template).strip().removeprefix("Bearer").strip() for template in secret]
        return [name for template in secret for name, _ in VARIABLE.findall(template)], literals


@dataclass(eq=False)
class Account:
    """A provider with one set of credentials, which stay in ``environment``."""

    provider: Provider
    environment: Mapping[str, str] = field(repr=False)
    _named: str = ""  # the base_url that was checked last, and what came of it
    _base: str = ""
    broke_at: float = -math.inf  # when a page broke the declared newest-first order, which is trusted a day later

    @property
    def name(self) -> str:
        return self.provider.name

    @property
    def newest_first(self) -> bool:
        return self.provider.newest_first and time.time() - self.broke_at > 86_400

    def missing(self) -> list[str]:
        """The variables that must be set and are not."""
        return [
            name
            for name, required in self.provider.variables.items()
            if required and not self.environment.get(name, "").strip()
        ]

    def address(self) -> str:
        """base_url with its variables, or why it cannot be used."""
        try:
            return self.url(root=True)
        except ConfigError as error:
            return str(error)

    def url(self, path: str = "", *, root: bool = False) -> str:
        """The URL of ``path`` below the jobs' own, or below base_url. Raises ConfigError where no key may go there."""
        named = self._expand(self.provider.base_url)
        if named != self._named:
            self._base, self._named = self._checked(named), named
        return self._base + ("" if root else self.provider.path) + path

    def _checked(self, named: str) -> str:
        base = re.sub(r"(?<!:)//+", "/", named).rstrip("/")
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{self.name}: base_url is no http:// or https:// address; correct it")
        if parts.username is not None or parts.query or parts.fragment:
            raise ConfigError(
                f"{self.name}: base_url may hold neither a user nor a query: they would show in messages. "
                "Put credentials into headers, and other parameters into query, of this provider's entry"
            )
        if parts.scheme == "http" and not (self.loopback or self.provider.allow_http):
            raise ConfigError(
                f"{self.name}: refuses to send a key to {parts.hostname} over http://. "
                "Use https://, or set allow_http = true in this provider's entry if the network is yours"
            )
        return base

    def query(self) -> dict[str, str]:
        """What goes into the query of every request."""
        return {name: self._expand(template) for name, template in self.provider.query.items()}

    def body(self) -> dict[str, str]:
        """What goes into the body of every POST."""
        return {name: self._expand(template) for name, template in self.provider.body.items()}

    @cached_property
    def loopback(self) -> bool:
        host = urlsplit(self._expand(self.provider.base_url)).hostname or ""
        return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None

    def headers(self) -> dict[str, str]:
        """The headers of a request, credentials and all: for the client alone. Empty ones are left out."""
        built = {header: self._expand(template).strip() for header, template in self.provider.headers.items()}
        for header, value in built.items():
            if not (value.isascii() and value.isprintable()):
                names = [name for name, _ in VARIABLE.findall(self.provider.headers[header])] or [f"header {header}"]
                names_ = " or ".join(names)
                raise ConfigError(f"{self.name}: {names_} holds characters that no header can carry; set it again")
        return {header: value for header, value in built.items() if value}

    def redact(self, text: str) -> str:
        """``text`` without any credential of this account."""
        for secret in self._secrets():
            text = text.replace(secret, "***")
        return text

    def redact_body(self, body: bytes) -> bytes:
        """``body`` without any credential of this account, which a server may echo, escaped or not."""
        secrets = self._secrets()
        if b"\\" in body:
            with contextlib.suppress(ValueError):
                plain = to_json(from_json(body), inf_nan_mode="constants")
                body = plain if any(secret.encode() in plain for secret in secrets) else body
        for secret in secrets:
            body = body.replace(secret.encode(), b"***")
        return body

    def _secrets(self) -> list[str]:
        names, literals = self.provider.secrets
        found = {*literals, *(self.environment.get(name, "").strip() for name in names)}
        return sorted((secret for secret in found if len(secret) >= 8), key=len, reverse=True)

    def _expand(self, template: str) -> str:
        def value(match: re.Match[str]) -> str:
            name, default = match.groups()
            found = self.environment.get(name, "").strip() or default
            if found is None:
                raise ConfigError(missing_key(self.name, [name]))
            return found

        return VARIABLE.sub(value, template) if "$" in template else template


def missing_key(provider: str, names: Iterable[str]) -> str:
    """What to do when a provider's variables are not set."""
    listed = " and ".join(names)
    return (
        f"{provider}: {listed} is not set. Set it (export {listed.split(' and ')[0]}=…), or try ftsql "
        "without any key: ftsql --sandbox, in Python connect(sandbox=True)"
    )


def user_file(environment: Mapping[str, str]) -> Path:
    """Where the user's own providers are read from: FTSQL_CONFIG, else the platform's config folder."""
    named = environment.get("FTSQL_CONFIG")
    return Path(named).expanduser() if named else platformdirs.user_config_path("ftsql") / "providers.toml"


def load(config: str | Path | None, environment: Mapping[str, str]) -> tuple[dict[str, Provider], list[str]]:
    """All known providers by name, and those that the user's file names ``active``.

    ``config`` is the user's file; None takes the usual place, where it may be absent.
    Raises ConfigError for a file that cannot be read, is no TOML, or has a wrong entry.
    """
    tables = tomllib.loads(packaged.text("providers.toml"))
    path = Path(config).expanduser() if config else user_file(environment)
    active: object = []
    if config or "FTSQL_CONFIG" in environment or path.exists():
        try:
            own = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot read the provider file {path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"the provider file {path} is no valid TOML: {error}") from None
        active = own.pop("active", [])
        for name, table in own.items():
            if not isinstance(table, dict):
                raise ConfigError(f"{path}: {name} is no provider entry; write [{name}] and its lines below it")
            tables[name] = _merged(tables.get(name, {}), table)
    if not isinstance(active, list) or not all(isinstance(name, str) for name in active):
        raise ConfigError(f'{path}: active should be a list of names, such as active = ["openai"]')
    return {name: _provider(name, tables) for name in tables}, active


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for word, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(word), dict)
        merged[word] = merged[word] | value if both else value
        if word == "create_fields" and isinstance(value, dict):
            merged[word] = {name: field for name, field in merged[word].items() if field is not False}
    return merged


def _provider(name: str, tables: Mapping[str, Any], above: tuple[str, ...] = ()) -> Provider:
    table = dict(tables[name])
    parent = table.pop("extends", None)
    if parent is not None:
        if parent not in tables or parent in (*above, name):
            raise ConfigError(f"provider {name}: extends {parent!r}, which is no other provider's name")
        inherited = _provider(parent, tables, (*above, name)).model_dump(
            exclude_unset=True, exclude={"name", "by_name"}
        )
        table = _merged(inherited, table)
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise ConfigError(f"provider {name!r}: a name has letters, digits, '_', '.' and '-' only")
    try:
        return Provider(name=name, **table)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        word = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"provider {name}: {word}: {first['msg']}") from None


def accounts(
    known: Mapping[str, Provider],
    names: Iterable[str] | None,
    active: Iterable[str],
    environment: Mapping[str, str] = os.environ,
) -> list[Account]:
    """The accounts that statements ask: ``names``, else FTSQL_PROVIDERS, else ``active``, else all complete ones.

    Raises ConfigError for a name that nobody knows.
    """
    listed = [name.strip() for name in environment.get("FTSQL_PROVIDERS", "").split(",") if name.strip()]
    chosen = list(names or ()) or listed or list(active)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise ConfigError(f"unknown provider {unknown[0]!r}; known are {', '.join(sorted(known))}")
    if chosen:
        return [Account(known[name], environment) for name in dict.fromkeys(chosen)]
    complete = [Account(provider, environment) for provider in known.values()]
    return [account for account in complete if not account.missing() and not account.provider.by_name]
