"""Network settings: the proxies and certificates that environment variables name.

Each variable is read as curl and requests read it. An invalid value raises a ConfigError that names the variable.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from ftsql.api.account import is_host
from ftsql.errors import ConfigError

SCHEMES = ("http", "https", "socks5", "socks5h")
# The variables that name a file of certificates; the first one that is set counts.
CERTIFICATE_FILES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True)
class Proxy:
    """A proxy and the variable that names it. Its URL may contain a password."""

    variable: str
    url: str = field(repr=False)

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        return f"the proxy {parts.scheme}://{parts.hostname}{port} ({self.variable})"

    @property
    def is_usable(self) -> bool:
        """Whether the URL has a known scheme, a host and a possible port."""
        try:
            parts = urlsplit(self.url)
            return parts.scheme in SCHEMES and is_host(parts.hostname or "") and parts.port != 0
        except ValueError:
            return False

    def unusable(self, provider: str, reason: str) -> ConfigError:
        """Return a ConfigError which says that this proxy cannot be used, and why: ``reason``."""
        if "socksio" in reason:
            reason = "a SOCKS proxy needs the package socksio: pip install 'httpx[socks]'"
        return ConfigError(f"{provider}: the proxy in {self.variable} cannot be used: {reason}. Not sent")


def proxy(provider: str, url: str) -> Proxy | None:
    """Return the proxy for ``url``, or None for a direct connection. Raises ConfigError if the proxy is unusable."""
    parts = urlsplit(url)
    proxies = getproxies()
    scheme = next((scheme for scheme in (parts.scheme, "all") if proxies.get(scheme)), None)
    if scheme is None or _is_bypassed(parts):
        return None
    text = proxies[scheme].strip()
    chosen = Proxy(_variable(scheme, text), text if "://" in text else f"http://{text}")
    if not chosen.is_usable:
        raise chosen.unusable(provider, f"it has to be {', '.join(f'{each}://' for each in SCHEMES)} and a host")
    return chosen


def _variable(scheme: str, text: str) -> str:
    """Return the name of the variable whose value is ``text``, in upper or lower case as the environment has it."""
    names = [name for name in os.environ if name.lower() == f"{scheme}_proxy" and os.environ[name].strip() == text]
    return names[0] if names else "the system's settings"


def _is_bypassed(parts: SplitResult) -> bool:
    """Whether NO_PROXY names the host of a URL: by its name, a parent domain, its address or a network."""
    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return True
    try:
        address = ipaddress.ip_address(parts.hostname or "")
    except ValueError:
        return False
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    for entry in listed.split(","):
        try:
            if address in ipaddress.ip_network(entry.strip().strip("[]"), strict=False):
                return True
        except ValueError:  # the entry is a name
            continue
    return False


def certificates(provider: str) -> ssl.SSLContext | None:
    """Return a TLS context with the certificates that environment variables name, or None to use the default ones.

    Raises ConfigError if the certificates cannot be read, or if SSLKEYLOGFILE cannot be written.
    """
    _check_key_log(provider)
    file = next((name for name in CERTIFICATE_FILES if os.environ.get(name)), None)
    folder = "SSL_CERT_DIR" if os.environ.get("SSL_CERT_DIR") else None
    if file is None and folder is None:
        return None
    try:
        return _tls_context(os.environ[file] if file else None, os.environ[folder] if folder else None)
    except OSError as error:  # ssl.SSLError is one too
        names = list(filter(None, (file, folder)))
        subject = f"{' and '.join(names)} name{'s' * (len(names) == 1)}"
        reason = error.strerror or str(error) or type(error).__name__
        raise ConfigError(f"{provider}: {subject} no certificates that can be read: {reason}. Not sent") from None


def _tls_context(file: str | None, folder: str | None) -> ssl.SSLContext:
    if file is not None and os.path.isdir(file):  # like requests, accept a folder in these variables
        return ssl.create_default_context(capath=file)
    if folder is not None and not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no folder {folder}")
    return ssl.create_default_context(cafile=file, capath=folder)


def _check_key_log(provider: str) -> None:
    """Raise ConfigError if the file in SSLKEYLOGFILE, which Python's ssl opens for every context, is not writable."""
    if path := os.environ.get("SSLKEYLOGFILE"):
        try:
            open(path, "a").close()
        except OSError as error:
            reason = f"names a file that cannot be written: {error.strerror or type(error).__name__}"
            raise ConfigError(f"{provider}: SSLKEYLOGFILE {reason}. Not sent") from None
