"""How the network is reached from here: the proxies and certificates that the environment names.

Every variable is read as curl and requests read it; what cannot be used is a ConfigError that names the variable.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ftsql.api.account import is_host
from ftsql.errors import ConfigError

SCHEMES = ("http", "https", "socks5", "socks5h")
FILES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # certificates; the first that is set


@dataclass(frozen=True)
class Proxy:
    """A proxy, by the variable that names it. Its URL may hold a password."""

    variable: str
    url: str = field(repr=False)

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        return f"the proxy {parts.scheme}://{parts.hostname}{port} ({self.variable})"

    def unusable(self, provider: str, why: str) -> ConfigError:
        """The error of a proxy that cannot be used."""
        if "socksio" in why:
            why = "a SOCKS proxy needs the package socksio: pip install 'httpx[socks]'"
        return ConfigError(f"{provider}: the proxy in {self.variable} cannot be used: {why}. Not sent")


def proxy(provider: str, url: str) -> Proxy | None:
    """The proxy for a URL; None where it is reached directly. Raises ConfigError for one that cannot be used."""
    parts = urlsplit(url)
    found = getproxies()
    named = next((scheme for scheme in (parts.scheme, "all") if found.get(scheme)), None)
    if named is None or _bypassed(parts.hostname or "", parts.netloc.rpartition("@")[2]):
        return None
    text = found[named].strip()
    names = [name for name in os.environ if name.lower() == f"{named}_proxy" and os.environ[name].strip() == text]
    chosen = Proxy(names[0] if names else "the system's settings", text if "://" in text else f"http://{text}")
    try:
        address = urlsplit(chosen.url)
        usable = address.scheme in SCHEMES and is_host(address.hostname or "") and address.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise chosen.unusable(provider, f"it has to be {', '.join(f'{scheme}://' for scheme in SCHEMES)} and a host")
    return chosen


def _bypassed(host: str, netloc: str) -> bool:
    """Whether NO_PROXY names the host: as a name, the end of one, an address or a network of addresses."""
    if proxy_bypass(netloc):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    for entry in listed.split(","):
        try:
            if address in ipaddress.ip_network(entry.strip().strip("[]"), strict=False):
                return True
        except ValueError:  # a name
            continue
    return False


def certificates(provider: str) -> ssl.SSLContext | None:
    """The certificates that servers are checked by, None for the usual ones. Raises ConfigError."""
    file = next((name for name in FILES if os.environ.get(name)), None)
    folder = "SSL_CERT_DIR" if os.environ.get("SSL_CERT_DIR") else None
    if keys := os.environ.get("SSLKEYLOGFILE"):  # which Python's ssl opens for every context
        try:
            open(keys, "a").close()
        except OSError as error:
            why = f"names a file that cannot be written: {error.strerror or type(error).__name__}"
            raise ConfigError(f"{provider}: SSLKEYLOGFILE {why}. Not sent") from None
    if file is None and folder is None:
        return None
    try:
        path = os.environ[file] if file else None
        if path is not None and os.path.isdir(path):  # as requests takes it
            return ssl.create_default_context(capath=path)
        if folder and not os.path.isdir(os.environ[folder]):
            raise FileNotFoundError(f"there is no folder {os.environ[folder]}")
        return ssl.create_default_context(cafile=path, capath=os.environ[folder] if folder else None)
    except OSError as error:  # ssl.SSLError is one
        names = list(filter(None, (file, folder)))
        named = f"{' and '.join(names)} name{'s' * (len(names) == 1)}"
        reason = error.strerror or str(error) or type(error).__name__
        raise ConfigError(f"{provider}: {named} no certificates that can be read: {reason}. Not sent") from None
