"""Fine-tuning jobs as a SQL table, on any OpenAI-compatible API.

``connect`` opens a SQLite file with ftsql's tables; ``register`` adds the tables to an open APSW connection. The errors
that users catch are here too. Other entry points are ``ftsql.dbapi``, ``ftsql.sqlalchemy``, ``ftsql.sync`` and
``ftsql.stackql``.
"""

from __future__ import annotations

from ftsql.connection import Connection, connect
from ftsql.errors import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    ConfigError,
    Error,
    OutcomeUnknown,
    RateLimitError,
    StoreError,
    Warning,
)
from ftsql.registration import Registration, register
from ftsql.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "APIConnectionError",
    "APIError",
    "AuthenticationError",
    "ConfigError",
    "Connection",
    "Error",
    "OutcomeUnknown",
    "RateLimitError",
    "Registration",
    "Settings",
    "StoreError",
    "Warning",
    "connect",
    "register",
]
