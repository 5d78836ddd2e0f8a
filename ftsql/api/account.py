"""Accounts: a provider with one set of credentials, which environment variables hold.

Headers and URLs stay templates until a request is built, so no object here holds a credential.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic_core import from_json

from ftsql import errors
from ftsql.api.habits import Habits
from ftsql.api.provider import VARIABLE, Provider, names_a_credential
from ftsql.errors import ConfigError
from ftsql.resources.definitions import JOBS
from ftsql.resources.resource import Echoed

# An escape in JSON: a surrogate pair, half of a pair (in a string that was cut), or any other escape. The regular
# expression captures a group only for a half.
ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
PLAIN_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._~:@=+,-]{0,2047}")
ENCODED_ID = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9._~:@=+,-]|%[0-9A-Fa-f]{2}){0,2047}")
MIN_SECRET = 8  # characters: a shorter value is a word such as "none", not a secret
TRUST_AGAIN_AFTER = 86_400  # seconds for which a declared order is not trusted after a page broke it


@dataclass(eq=False)
class Account:
    """A provider with one set of credentials.

    provider: The provider's entry.
    environment: The variables that hold the credentials.
    order_broke_at: The last time at which a page broke the declared newest-first order, in Unix seconds.
    single_response: Whether the user said, with paging="none", that their own server lists everything in one response.
    habits: How the account's lists behave, by table.
    serves_single: By table, whether single objects can be read by id. A table is absent until the answer for its
    objects is known.
    """

    provider: Provider
    environment: Mapping[str, str] = field(repr=False)
    _checked_template: str = ""  # the expanded base_url that was checked last
    _checked_url: str = ""  # that base_url, normalized
    order_broke_at: float = -math.inf
    single_response: bool = False
    habits: dict[str, Habits] = field(default_factory=dict)
    serves_single: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        errors.register_secrets(self)

    @property
    def name(self) -> str:
        return self.provider.name

    @property
    def at_home(self) -> bool:
        """Whether requests go to the provider's address in the package's own entry, not to one that the user set."""
        return bool(self.provider.home) and self.url(root=True) == self.provider.home

    @property
    def has_pages(self) -> bool:
        """Whether the account's lists are paged."""
        return self.provider.paging == "after" and not self.lists_at_once

    @property
    def lists_at_once(self) -> bool:
        """Whether one response holds a whole list, according to the user's settings."""
        return self.single_response and not self.at_home

    @property
    def retrieves(self) -> bool:
        """Whether a job can be read by its id. True until the server has shown the opposite."""
        return "retrieve" not in self.provider.without and self.serves_single.get(JOBS.table, True)

    @property
    def newest_first(self) -> bool:
        """Whether the provider's lists are declared newest first, and no page broke that order recently."""
        return self.provider.newest_first and time.time() - self.order_broke_at > TRUST_AGAIN_AFTER

    @property
    def loopback(self) -> bool:
        """Whether base_url is an address of this machine."""
        return is_this_machine(urlsplit(self._expand(self.provider.base_url)).hostname or "")

    def accepts_id(self, id: str) -> bool:
        """Whether ``id`` can be part of a URL of this account without further encoding.

        >>> account = Account(Provider("example", "http://localhost"), {})
        >>> account.accepts_id("ftjob-abc"), account.accepts_id("../files")
        (True, False)
        """
        if self.provider.encoded_ids and ENCODED_ID.fullmatch(id):
            return ".." not in unquote(id)
        return PLAIN_ID.fullmatch(id) is not None

    def missing(self) -> list[str]:
        """Return the names of the required variables that are not set."""
        return [
            name
            for name, required in self.provider.variables.items()
            if required and not self.environment.get(name, "").strip()
        ]

    def address(self) -> str:
        """Return base_url with the values of its variables, or a message that says why base_url cannot be used."""
        try:
            return self.url(root=True)
        except ConfigError as error:
            return str(error)

    def url(self, path: str = "", *, root: bool = False) -> str:
        """Return the URL of ``path`` below the jobs' URL, or with ``root`` below base_url.

        Raises ConfigError if base_url is invalid, or if no key may be sent there.
        """
        expanded = self._expand(self.provider.base_url)
        if expanded != self._checked_template:
            self._checked_url, self._checked_template = self._checked(expanded), expanded
        return self._checked_url + ("" if root else self.provider.path) + path

    def query(self) -> dict[str, str]:
        """Return the query parameters that every request has."""
        return {name: self._expand(template) for name, template in self.provider.query.items()}

    def body(self) -> dict[str, str]:
        """Return the members that the body of every POST has."""
        return {name: self._expand(template) for name, template in self.provider.body.items()}

    def headers(self) -> dict[str, str]:
        """Return the headers of a request that are not empty, with credentials. Only ``Transport`` may send them."""
        built = {header: self._expand(template).strip() for header, template in self.provider.headers.items()}
        for header, value in built.items():
            if not (value.isascii() and value.isprintable()):
                names = [name for name, _ in VARIABLE.findall(self.provider.headers[header])] or [f"header {header}"]
                raise ConfigError(
                    f"{self.name}: {' or '.join(names)} holds characters that no header can carry; set it again"
                )
        return {header: value for header, value in built.items() if value}

    def decode(self, body: bytes, reader: Callable[[str, bytes], Any] | None = None) -> Any:
        """Return a decoded JSON body. Objects in which the server echoed a credential are ``Echoed``.

        reader: One of the functions in quick_reader.py. If it can read the body, its result is returned.

        Raises ValueError if the body is not JSON.
        """
        secrets = [secret for secret in self.secrets() if _may_contain(body, secret)]
        if reader is not None and not secrets and (read := reader(self.name, body)) is not None:
            return read
        body = body.removeprefix(b"\xef\xbb\xbf")
        try:
            value = from_json(body, allow_inf_nan=True, cache_strings="keys")  # values rarely repeat, keys always do
        except ValueError:
            if (repaired := _without_half_characters(body)) == body:
                raise
            value = from_json(repaired, allow_inf_nan=True, cache_strings="keys")
        return _mark_echoes(value, frozenset(secrets)) if secrets else value

    def without_credentials(self, value: Any) -> Any:
        """Return ``value``, decoded from JSON, with *** in place of each credential of this account."""
        return _hide(value, frozenset(self.secrets()))

    def secrets(self) -> set[str]:
        """Return the credentials."""
        found: set[str] = set()
        for template, is_secret, variables in self.provider.secret_sources:
            found |= {self.environment.get(variable, "").strip() or default for variable, default in variables}
            value = VARIABLE.sub(lambda match: self.environment.get(match[1], "").strip() or match[2] or "", template)
            if is_secret:
                # The credential follows a word such as Bearer or Basic, if there is one.
                found.add(value.strip().partition(" ")[2].strip() or value.strip())
            elif value.lstrip().startswith("{"):  # x-portkey-config may be a whole config
                found |= _secrets_in_json(value)
        found |= {secret.removeprefix("Bearer ").lstrip() for secret in found}  # a key that was set with "Bearer"
        return {secret for secret in found if len(secret) >= MIN_SECRET}

    def _checked(self, expanded: str) -> str:
        """Return a base_url without double and final slashes. Raises ConfigError if the URL is invalid."""
        base = re.sub(r"(?<!:)//+", "/", expanded).rstrip("/")
        parts = _split_url(base)
        if parts is None:
            variables = [name for name, _ in VARIABLE.findall(self.provider.base_url) if self.environment.get(name)]
            source = f" (from {' and '.join(variables)})" if variables else ""
            raise ConfigError(f"{self.name}: base_url{source} is not an http:// or https:// address; correct it")
        if parts.username is not None or parts.query or parts.fragment:
            raise ConfigError(
                f"{self.name}: base_url may contain neither a user nor a query: they would show in messages. "
                "Put credentials into headers, and other parameters into query, of this provider's entry"
            )
        if parts.scheme == "http" and not (self.loopback or self.provider.allow_http):
            raise ConfigError(
                f"{self.name}: refuses to send a key to {parts.hostname} over http://. "
                "Use https://, or set allow_http = true in this provider's entry if the network is yours"
            )
        return base

    def _expand(self, template: str) -> str:
        """Return ``template`` with the values of its variables.

        Raises ConfigError if a variable is not set or has an invalid value.
        """

        def value(match: re.Match[str]) -> str:
            name, default = match.groups()
            found = self.environment.get(name, "").strip() or default
            if found is None:
                raise ConfigError(missing_key(self.name, [name]))
            if not found.isprintable():
                raise ConfigError(
                    f"{self.name}: {name} holds a character that cannot be sent, such as a line break or a byte that "
                    "is not UTF-8; set it again. Not sent"
                )
            return found

        return VARIABLE.sub(value, template) if "$" in template else template


def _split_url(url: str) -> SplitResult | None:
    """Return the parts of an http:// or https:// URL, or None if the URL is invalid."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and is_host(parts.hostname or "") and parts.port != 0
    except ValueError:  # a port that is not a number, or one square bracket without the other
        return None
    return parts if valid else None


def _without_half_characters(body: bytes) -> bytes:
    """Return a JSON body with U+FFFD in place of half surrogate pairs, which JSON parsers and SQLite reject."""
    return ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], body)


def _may_contain(body: bytes, secret: str) -> bool:
    """Whether a string in a JSON body may contain ``secret``, escaped or unescaped."""
    if secret.encode() in body:
        return True
    if b"\\" not in body:
        return False
    return b"\\u00" in body or ("/" in secret and b"\\/" in body) or any(each in secret for each in '"\\')


def _mark_echoes(value: Any, secrets: frozenset[str]) -> Any:
    """Replace a decoded object, or each object of a decoded list, with an ``Echoed`` one. Return the result."""
    if isinstance(value, list):
        return [_mark_echoes(each, secrets) if isinstance(each, dict) else each for each in value]
    if not isinstance(value, dict):
        return value
    data = value.get("data")
    if isinstance(data, list):
        value["data"] = _mark_echoes(data, secrets)
    return Echoed(value, _hide(value, secrets))


def _hide(value: Any, secrets: frozenset[str]) -> Any:
    """Return ``value`` with *** in place of each string that is one of ``secrets``, at any level."""
    if isinstance(value, str):
        return "***" if value.removeprefix("Bearer ") in secrets else value
    if isinstance(value, dict):
        return {_hide(name, secrets): _hide(each, secrets) for name, each in value.items()}
    return [_hide(each, secrets) for each in value] if isinstance(value, list) else value


def _secrets_in_json(text: str) -> set[str]:
    """Return the credentials in ``text``, the value of a header, if that value is JSON."""
    try:
        waiting = [from_json(text)]
    except ValueError:
        return set()
    found: set[str] = set()
    while waiting:
        one = waiting.pop()
        waiting += one if isinstance(one, list) else one.values() if isinstance(one, dict) else []
        if isinstance(one, dict):
            found |= {each for name, each in one.items() if isinstance(each, str) and names_a_credential(name)}
    return found


def is_this_machine(host: str) -> bool:
    """Whether ``host``, a name or an address, is this machine.

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
    """Whether ``host`` is an IP address or a valid host name: no label of the name is empty or too long."""
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
    """Return the message for a provider whose variables ``names`` are not set."""
    first, *others = names
    listed = " and ".join([first, *others])
    return (
        f"{provider}: {listed} {'are' if others else 'is'} not set. Set {'them' if others else 'it'} "
        f"(export {first}=…), or try ftsql without any key: ftsql --sandbox, in Python connect(sandbox=True)"
    )


def accounts(
    providers: Mapping[str, Provider],
    names: Iterable[str] | None,
    active: Iterable[str],
    environment: Mapping[str, str] = os.environ,
) -> list[Account]:
    """Return the accounts that statements use: ``names``, or else FTSQL_PROVIDERS, or else ``active``.

    If all three are empty, return the accounts whose required variables are set, except those of providers that are
    used only if they are named. Raises ConfigError for an unknown name.
    """
    listed = [name.strip() for name in environment.get("FTSQL_PROVIDERS", "").split(",") if name.strip()]
    chosen = list(names or ()) or listed or list(active)
    unknown = [name for name in chosen if name not in providers]
    if unknown:
        raise ConfigError(f"unknown provider {unknown[0]!r}; known are {', '.join(sorted(providers))}")
    if chosen:
        return [Account(providers[name], environment) for name in dict.fromkeys(chosen)]
    every = [Account(provider, environment) for provider in providers.values()]
    return [account for account in every if not account.missing() and not account.provider.by_name]
