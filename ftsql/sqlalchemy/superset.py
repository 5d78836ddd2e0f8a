"""Superset's engine specification for ``ftsql://``, which tells Superset that it is SQLite. Only Superset imports it.

Superset chooses its SQL parser by the engine's name, so that name is registered with the parser too.
"""

from __future__ import annotations

from typing import Any

from sqlglot.dialects.dialect import Dialects
from superset.db_engine_specs.sqlite import SqliteEngineSpec
from superset.sql.parse import SQLGLOT_DIALECTS

SQLGLOT_DIALECTS["ftsql"] = Dialects.SQLITE


class FtsqlEngineSpec(SqliteEngineSpec):  # type: ignore[misc]  # Superset is not installed when types are checked
    """SQLite's time grains and functions under the name ftsql."""

    engine = "ftsql"
    engine_name = "ftsql (fine-tuning jobs)"
    default_driver = "ftsql"
    sqlalchemy_uri_placeholder = "ftsql:////absolute/path.db?max_age=60"

    @classmethod
    def get_table_names(cls, database: Any, inspector: Any, schema: str | None) -> set[str]:
        """Return the tables of ``schema``; SQLite's own specification returns those of ``main`` for every schema."""
        return set(inspector.get_table_names(schema))
