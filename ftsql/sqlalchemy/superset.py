"""The Superset engine specification for ``ftsql://``, which tells Superset to treat ftsql like SQLite.

Only Superset imports this module. Superset chooses its SQL parser by the engine's name, so the module also registers
that name with the parser.
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
        """Return the tables of ``schema``. The inherited method would return the tables of ``main`` for any schema."""
        return set(inspector.get_table_names(schema))
