"""Parse an ``ftsql://`` URL into a file and the options of ``ftsql.dbapi.connect``.

An error names the invalid part but never shows its value, which may be a key.
"""

from __future__ import annotations

import os
from typing import Any, get_type_hints

from sqlalchemy.exc import ArgumentError

from ftsql.errors import ConfigError
from ftsql.settings import Settings
from ftsql.store.process_lock import MEMORY

FLAGS = ("read_only", "trust_file", "sandbox", "verify_order")
STRINGS = ("provider", "providers", "store", "config")
SETTINGS = tuple(name for name in get_type_hints(Settings) if name not in FLAGS)
PARAMETERS = (*FLAGS, *STRINGS, *SETTINGS)
BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def connect_arguments(url: Any) -> tuple[str, dict[str, Any]]:
    """Return the path and the options of ``url``, a URL object of SQLAlchemy. Raises ArgumentError.

    >>> from sqlalchemy.engine import make_url
    >>> connect_arguments(make_url("ftsql:////srv/jobs.db?read_only=false&max_age=60"))
    ('/srv/jobs.db', {'read_only': False, 'max_age': '60'})
    """
    if url.username or url.password:
        raise ArgumentError(
            "an ftsql:// URL holds no user, password or key: set the provider's variable, such as OPENAI_API_KEY"
        )
    if url.host or url.port:
        raise ArgumentError(
            "an ftsql:// URL has no host. A file follows three slashes, ftsql:///relative.db, or four, "
            "ftsql:////absolute.db; set the API's address by the variable OPENAI_BASE_URL or in the provider file"
        )
    options: dict[str, Any] = {}
    for name, given in url.query.items():
        values = [given] if isinstance(given, str) else list(given)
        if name in ("provider", "providers"):
            options["providers"] = options.get("providers", []) + _provider_names(values)
        else:
            options[name] = _option(name, values)
    try:
        Settings.resolve({name: value for name, value in options.items() if name in SETTINGS}, {})
    except ConfigError as error:
        raise ArgumentError(f"the ftsql:// URL: {error}") from None
    path = url.database or MEMORY
    # Make the path absolute, like SQLAlchemy's own dialect, because the process may change its working directory.
    return path if path == MEMORY or path.startswith("file:") else os.path.abspath(path), options


def _provider_names(values: list[str]) -> list[str]:
    names = (name.strip() for value in values for name in value.split(","))
    return [name for name in names if name]


def _option(name: str, values: list[str]) -> Any:
    """Return the value of the parameter ``name``. Raises ArgumentError if it is unknown, repeated or invalid."""
    if name not in PARAMETERS:
        raise ArgumentError(
            f"an ftsql:// URL has no parameter {_shown_name(name)}; it has {', '.join(PARAMETERS)}. "
            "Keys come from the environment"
        )
    if len(values) > 1:
        raise ArgumentError(f"the ftsql:// URL has the parameter {name} more than once")
    if name not in FLAGS:
        return values[0]
    if values[0].lower() not in BOOLEANS:
        raise ArgumentError(f"the ftsql:// URL: {name} is true or false")
    return BOOLEANS[values[0].lower()]


def _shown_name(name: str) -> str:
    """Return the name of an unknown parameter for a message, unless it may be a key."""
    return repr(name) if name.isidentifier() and len(name) <= 24 else "of that name"
