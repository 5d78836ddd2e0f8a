"""A provider with one set of credentials, out of the environment.

Headers and URLs stay templates until a request is built: no object here ever holds a credential.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic_core import from_json

from ftsql import errors
from ftsql.api.habits import Habits
from ftsql.api.provider import VARIABLE, Provider, tells_of_a_credential
from ftsql.errors import ConfigError
from ftsql.resources.definitions import JOBS
from ftsql.resources.resource import Echoed

# What follows a backslash in JSON: a character in two halves, half of one (texts that were cut have it), or another.
ESCAPED = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._~:@=+,-]{0,2047}")
ENCODED = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9._~:@=+,-]|%[0-9A-Fa-f]{2}){0,2047}")


@dataclass(eq=False)
class Account:
    """A provider with one set of credentials, which stay in ``environment``."""

    provider: Provider
    environment: Mapping[str, str] = field(repr=False)
    _named: str = ""  # the base_url that was checked last, and what came of it
    _base: str = ""
    broke_at: float = -math.inf  # when a page broke the declared newest-first order, which is trusted a day later
    in_one: bool = False  # the user said that one answer of a server of theirs holds a whole list: paging="none"
    habits: dict[str, Habits] = field(default_factory=dict)  # of its lists, by table
    single: dict[str, bool] = field(default_factory=dict)  # by table, whether its objects are given one by one

    def __post_init__(self) -> None:
        errors.register_secrets(self)

    @property
    def name(self) -> str:
        return self.provider.name

    @property
    def at_home(self) -> bool:
        """Whether it is asked at the address that the package has for its provider, and not at one of the user's."""
        return bool(self.provider.home) and self.url(root=True) == self.provider.home

    @property
    def pages(self) -> bool:
        """Whether its lists have pages."""
        return self.provider.paging == "after" and not self.whole

    @property
    def whole(self) -> bool:
        """Whether one answer holds a whole list by the user's word."""
        return self.in_one and not self.at_home

    @property
    def retrieves(self) -> bool:
        """Whether a job can be asked for by its id, as far as is known."""
        return "retrieve" not in self.provider.without and self.single.get(JOBS.table, True)

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
        try:
            parts = urlsplit(base)
            usable = parts.scheme in ("http", "https") and is_host(parts.hostname or "") and parts.port != 0
        except ValueError:  # a port that is no number, or half a pair of brackets
            usable = False
        if not usable:
            variables = [name for name, _ in VARIABLE.findall(self.provider.base_url) if self.environment.get(name)]
            where = f" (from {' and '.join(variables)})" if variables else ""
            raise ConfigError(f"{self.name}: base_url{where} is no http:// or https:// address; correct it")
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

    @property
    def loopback(self) -> bool:
        """Whether its address is this machine."""
        return is_this_machine(urlsplit(self._expand(self.provider.base_url)).hostname or "")

    def headers(self) -> dict[str, str]:
        """The headers of a request, credentials and all: for the client alone. Empty ones are left out."""
        built = {header: self._expand(template).strip() for header, template in self.provider.headers.items()}
        for header, value in built.items():
            if not (value.isascii() and value.isprintable()):
                names = [name for name, _ in VARIABLE.findall(self.provider.headers[header])] or [f"header {header}"]
                names_ = " or ".join(names)
                raise ConfigError(f"{self.name}: {names_} holds characters that no header can carry; set it again")
        return {header: value for header, value in built.items() if value}

    def decoded(self, body: bytes) -> Any:
        """A body of JSON, decoded; objects in which the server gave a credential back know how ``raw`` shows them.

        Raises ValueError for what is no JSON.
        """
        body = body.removeprefix(b"\xef\xbb\xbf")
        try:
            value = from_json(body, allow_inf_nan=True, cache_strings="keys")  # values are mostly new ones
        except ValueError:
            if (whole := _whole_characters(body)) == body:
                raise
            value = from_json(whole, allow_inf_nan=True, cache_strings="keys")
        secrets = [secret for secret in self.secrets() if _may_hold(body, secret)]
        return _marked(value, frozenset(secrets)) if secrets else value

    def without_credentials(self, value: Any) -> Any:
        """``value``, decoded from JSON, with *** for each text that is a credential of this account."""
        return _hidden(value, frozenset(self.secrets()))

    def secrets(self) -> set[str]:
        """The credentials. Shorter ones than 8 characters are no secret: they are words such as "none"."""
        found: set[str] = set()
        templates = (self.provider.headers, self.provider.query, self.provider.body)
        for name, template in chain.from_iterable(each.items() for each in templates):
            secret = self.provider.is_secret(name)
            for variable, default in VARIABLE.findall(template):
                if secret or tells_of_a_credential(variable):
                    found.add(self.environment.get(variable, "").strip() or default)
            whole = VARIABLE.sub(lambda match: self.environment.get(match[1], "").strip() or match[2] or "", template)
            if secret:
                found.add(whole.strip().partition(" ")[2].strip() or whole.strip())  # after Bearer, Basic and the like
            elif whole.lstrip().startswith("{"):
                found |= _secrets_in(whole)  # x-portkey-config may be a whole config
        found |= {secret.removeprefix("Bearer ").lstrip() for secret in found}  # a key that was set with that word
        return {secret for secret in found if len(secret) >= 8}

    def _expand(self, template: str) -> str:
        def value(match: re.Match[str]) -> str:
            name, default = match.groups()
            found = self.environment.get(name, "").strip() or default
            if found is None:
                raise ConfigError(missing_key(self.name, [name]))
            if not found.isprintable():
                raise ConfigError(
                    f"{self.name}: {name} holds a character that cannot be sent, such as a line break or a byte that "
                    "is no UTF-8; set it again. Not sent"
                )
            return found

        return VARIABLE.sub(value, template) if "$" in template else template


def _whole_characters(body: bytes) -> bytes:
    """A body of JSON with U+FFFD for each half of a character, which SQLite and JSON's own parsers have not."""
    return ESCAPED.sub(lambda found: rb"\ufffd" if found[1] else found[0], body)


def _may_hold(body: bytes, secret: str) -> bool:
    """Whether a body of JSON may have ``secret`` among its texts, escaped or not."""
    if secret.encode() in body:
        return True
    if b"\\" not in body:
        return False
    return b"\\u00" in body or ("/" in secret and b"\\/" in body) or any(each in secret for each in '"\\')


def _marked(value: Any, secrets: frozenset[str]) -> Any:
    """A decoded body whose objects, itself and those that it lists, are Echoed."""
    if isinstance(value, list):
        return [_marked(each, secrets) if isinstance(each, dict) else each for each in value]
    if not isinstance(value, dict):
        return value
    data = value.get("data")
    if isinstance(data, list):
        value["data"] = _marked(data, secrets)
    return Echoed(value, _hidden(value, secrets))


def _hidden(value: Any, secrets: frozenset[str]) -> Any:
    if isinstance(value, str):
        return "***" if value.removeprefix("Bearer ") in secrets else value
    if isinstance(value, dict):
        return {_hidden(name, secrets): _hidden(each, secrets) for name, each in value.items()}
    return [_hidden(each, secrets) for each in value] if isinstance(value, list) else value


def _secrets_in(text: str) -> set[str]:
    """The credentials inside a header that is JSON."""
    try:
        waiting = [from_json(text)]
    except ValueError:
        return set()
    found: set[str] = set()
    while waiting:
        one = waiting.pop()
        waiting += one if isinstance(one, list) else one.values() if isinstance(one, dict) else []
        if isinstance(one, dict):
            found |= {each for name, each in one.items() if isinstance(each, str) and tells_of_a_credential(name)}
    return found


def is_this_machine(host: str) -> bool:
    """Whether a host is the machine itself, by its name or its address.

    >>> is_this_machine("127.0.0.1"), is_this_machine("127.0.0.1.example.com")
    (True, False)
    """
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def is_host(host: str) -> bool:
    """Whether a host can be looked up: no label of it is empty, or too long."""
    try:
        ipaddress.ip_address(host)
        return True
    except ValueError:
        labels = host.removesuffix(".").split(".")
    try:
        return all(0 < len(label.encode("idna")) <= 63 for label in labels) and not re.search(r"[\s/\\]", host)
    except UnicodeError:
        return False


def missing_key(provider: str, names: Iterable[str]) -> str:
    """What to do when a provider's variables are not set."""
    listed = " and ".join(names)
    return (
        f"{provider}: {listed} is not set. Set it (export {listed.split(' and ')[0]}=…), or try ftsql "
        "without any key: ftsql --sandbox, in Python connect(sandbox=True)"
    )


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


def in_url(account: Account, id: str) -> bool:
    """Whether ``id`` can stand in a URL of this account as it is."""
    if account.provider.encoded_ids and ENCODED.fullmatch(id):
        return ".." not in unquote(id)
    return PLAIN.fullmatch(id) is not None
