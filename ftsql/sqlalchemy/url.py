"""What an ``ftsql://`` URL says: a file, and the options of ``ftsql.dbapi.connect``.

An error names the part that is wrong and never what stands in it, which may be a key.
"""

from __future__ import annotations

import os
from typing import Any, get_type_hints

from sqlalchemy.exc import ArgumentError

from ftsql.errors import ConfigError
from ftsql.settings import Settings
from ftsql.store.process_lock import MEMORY

FLAGS = ("read_only", "trust_file", "sandbox", "verify_order")
TEXTS = ("provider", "providers", "store", "config")
SETTINGS = tuple(name for name in get_type_hints(Settings) if name not in FLAGS)
BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def arguments(url: Any) -> tuple[str, dict[str, Any]]:
    """The path and the options of ``url``, which is SQLAlchemy's. Raises ArgumentError."""
    if url.username or url.password:
        raise ArgumentError(
            "an ftsql:// URL holds no user, password or key: set the provider's variable, such as OPENAI_API_KEY"
        )
    if url.host or url.port:
        raise ArgumentError(
            "an ftsql:// URL has no host. A file follows three slashes, ftsql:///relative.db, or four, "
            "ftsql:////absolute.db; the API's address is the variable OPENAI_BASE_URL, or stands in the provider file"
        )
    options: dict[str, Any] = {}
    for name, given in url.query.items():
        values = [given] if isinstance(given, str) else list(given)
        if name not in (*FLAGS, *TEXTS, *SETTINGS):
            known = ", ".join((*FLAGS, *TEXTS, *SETTINGS))
            raise ArgumentError(
                f"an ftsql:// URL has no parameter {_name(name)}; it has {known}. Keys come from the environment"
            )
        if name in ("provider", "providers"):
            names = [part.strip() for value in values for part in value.split(",")]
            options["providers"] = options.get("providers", []) + [part for part in names if part]
            continue
        if len(values) > 1:
            raise ArgumentError(f"the ftsql:// URL says {name} more than once")
        options[name] = _flag(name, values[0]) if name in FLAGS else values[0]
    try:
        Settings.resolve({name: value for name, value in options.items() if name in SETTINGS}, {})
    except ConfigError as error:
        raise ArgumentError(f"the ftsql:// URL: {error}") from None
    path = url.database or MEMORY
    # Absolute from now on, as SQLAlchemy's own dialect has it: the process may go elsewhere.
    return path if path == MEMORY or path.startswith("file:") else os.path.abspath(path), options


def _flag(name: str, value: str) -> bool:
    if value.lower() not in BOOLEANS:
        raise ArgumentError(f"the ftsql:// URL: {name} is true or false")
    return BOOLEANS[value.lower()]


def _name(name: str) -> str:
    """An unknown parameter's name, where it looks like one."""
    return repr(name) if name.isidentifier() and len(name) <= 24 else "of that name"
