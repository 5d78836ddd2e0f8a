"""SQLAlchemy's dialect for ``ftsql://`` URLs, under SQLAlchemy 1.4 and 2: SQLite's, over ``ftsql.dbapi``.

A key is never part of a URL: it comes from the environment.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

try:
    import sqlalchemy  # noqa: F401
except ImportError as error:
    raise ImportError("ftsql:// needs: pip install 'ftsql[sqlalchemy]'", name=error.name) from error

from sqlalchemy import exc, pool
from sqlalchemy.dialects.sqlite import DATETIME, REAL, TEXT
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler, SQLiteDialect, SQLiteExecutionContext
from sqlalchemy.types import NullType

from ftsql import dbapi
from ftsql.resources.definitions import JOBS, TABLES
from ftsql.sqlalchemy.url import arguments

NO_ID = (
    "a job's id is known only after COMMIT, so the ORM cannot flush a new one and nothing can be RETURNING: insert "
    "with Core, connection.execute(insert(table).values(...)), commit, then read connection.connection.last_job_id "
    "or SELECT * FROM ftsql_writes"
)
LEVELS = ["SERIALIZABLE", "AUTOCOMMIT"]
# Columns that a view computes have no declared type; those not named here are texts. Times are without
# microseconds, as the view has them: what is compared with its texts must look like them.
TIME = DATETIME(truncate_microseconds=True)
COMPUTED = {"created": TIME, "finished": TIME, "minutes": REAL()}
COMPUTED |= {
    name: REAL()
    for metric in ("loss", "mean_token_accuracy")
    for name in (f"train_{metric}", f"valid_{metric}", f"full_valid_{metric}")
}


def is_jobs(table: Any) -> bool:
    """Whether ``table``, as SQLAlchemy has it, is the API's."""
    return getattr(table, "name", None) == JOBS.table and getattr(table, "schema", None) in (None, "main", "live")


class Compiler(SQLiteCompiler):
    """Writes SQL; an INSERT into jobs never asks for keys, which there are none of before COMMIT."""

    def visit_insert(self, insert_stmt: Any, *arguments: Any, **kw: Any) -> str:
        if is_jobs(insert_stmt.table):
            if insert_stmt._returning:
                raise exc.CompileError(NO_ID)
            insert_stmt = insert_stmt.inline()
        text: str = super().visit_insert(insert_stmt, *arguments, **kw)
        return text


class Context(SQLiteExecutionContext):
    """One execution. Whoever asks it for the key of a new job gets an error; Core does not ask by itself."""

    _keys: Any = None

    @property
    def inserted_primary_key_rows(self) -> Any:
        compiled: Any = self.compiled
        if compiled is not None and is_jobs(getattr(compiled.statement, "table", None)):
            raise exc.InvalidRequestError(NO_ID)
        return super().inserted_primary_key_rows if self._keys is None else self._keys

    @inserted_primary_key_rows.setter
    def inserted_primary_key_rows(self, rows: Any) -> None:
        self._keys = rows


class ThreadPool(pool.SingletonThreadPool):
    """A connection for each thread. SQLAlchemy's own closes connections that others use, from five threads on."""

    def __init__(self, creator: Any, pool_size: int = 1000, **options: Any) -> None:
        super().__init__(creator, pool_size=pool_size, **options)


def at_home(name: str) -> Any:
    """SQLite's reflection method ``name``, for ftsql's tables pointed to the schema in which they are listed."""
    inherited: Callable[..., Any] = getattr(SQLiteDialect, name)

    def method(self: Dialect, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> Any:
        return inherited(self, connection, table_name, schema=self.home(connection, table_name, schema), **kw)

    return method


class Dialect(SQLiteDialect):
    """``ftsql://`` is memory, ``ftsql:///relative.db`` and ``ftsql:////absolute.db`` are files.

    Its ``name`` stays "sqlite", by which pandas, Alembic and others know what SQL it takes.
    """

    driver = "ftsql"
    supports_statement_cache = True
    default_paramstyle = "qmark"
    statement_compiler = Compiler
    execution_ctx_cls = Context

    @classmethod
    def import_dbapi(cls) -> Any:
        return dbapi

    @classmethod
    def dbapi(cls) -> ModuleType:  # type: ignore[override]  # what SQLAlchemy 1.4 calls import_dbapi
        return dbapi

    @classmethod
    def get_pool_class(cls, url: Any) -> type[pool.Pool]:
        """In memory a thread keeps its connection if it may write into it; all others may be any thread's."""
        options = arguments(url)[1]
        memory = url.database in (None, "", ":memory:")
        return ThreadPool if memory and options.get("read_only") is False else pool.QueuePool

    def create_connect_args(self, url: Any) -> Any:
        path, options = arguments(url)
        return [path], options

    def on_connect(self) -> Any:
        before: Any = super().on_connect()

        def connected(connection: Any) -> None:
            connection.native.create_scalar_function("regexp", _regexp, 2, deterministic=True)
            if before is not None:
                before(connection)

        return connected

    def _get_server_version_info(self, connection: Any) -> tuple[int, ...]:
        return dbapi.sqlite_version_info

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        return False

    def get_isolation_level_values(self, dbapi_connection: Any) -> Any:
        return LEVELS

    def set_isolation_level(self, dbapi_connection: Any, level: Any) -> None:
        if level.replace("_", " ") not in LEVELS:
            raise exc.ArgumentError(f"isolation level {level!r}: SQLite has {' and '.join(LEVELS)}")
        # SQLAlchemy 1.4 may hand over the pool's stand-in, on which an attribute would be set in vain.
        getattr(dbapi_connection, "dbapi_connection", dbapi_connection).autocommit = level == "AUTOCOMMIT"

    def get_isolation_level(self, dbapi_connection: Any) -> Any:
        return LEVELS[bool(dbapi_connection.autocommit)]

    def get_default_isolation_level(self, dbapi_conn: Any) -> Any:
        return LEVELS[0]

    def detect_autocommit_setting(self, dbapi_conn: Any) -> bool:
        return bool(dbapi_conn.autocommit)

    def home(self, connection: Any, name: str, schema: str | None) -> str | None:
        """Where ``name`` is listed that ``schema`` does not list but SQLite finds: ftsql's tables, in ``live``.

        Their modules answer to ``main`` too; its views do not.
        """
        if schema not in (None, "main"):
            return schema
        kinds = "type = 'table'" if schema else "type IN ('table', 'view')"
        found = connection.exec_driver_sql(
            f"SELECT 1 FROM live.sqlite_schema WHERE lower(name) = lower(?) AND {kinds} AND NOT EXISTS ("
            "SELECT 1 FROM (SELECT name FROM main.sqlite_schema UNION ALL SELECT name FROM temp.sqlite_schema) AS own "
            "WHERE lower(own.name) = lower(?))",
            (name, name),
        ).first()
        return schema if found is None else "live"

    def get_table_names(self, connection: Any, schema: Any = None, *more: Any, **kw: Any) -> list[str]:
        names: list[str] = super().get_table_names(connection, schema, *more, **kw)
        return self._with_live(connection, names, "table") if schema in (None, "main") else names

    def get_view_names(self, connection: Any, schema: Any = None, *more: Any, **kw: Any) -> list[str]:
        names: list[str] = super().get_view_names(connection, schema, *more, **kw)
        return self._with_live(connection, names, "view") if schema is None else names

    def _with_live(self, connection: Any, names: list[str], kind: str) -> list[str]:
        live = connection.exec_driver_sql("SELECT name FROM live.sqlite_schema WHERE type = ?", (kind,)).fetchall()
        return sorted({*names, *(name for (name,) in live if self.home(connection, name, None) == "live")})

    def get_columns(self, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> Any:
        """The documented columns; hidden ones are left out, as SELECT * does.

        JSON columns of ftsql's tables are TEXT: what reads them (data frames, BI tools) wants values that can be
        compared and grouped, and what writes them may give a dict or JSON text. Times of views are DATETIME.
        """
        home = self.home(connection, table_name, schema)
        columns: Any = super().get_columns(connection, table_name, schema=home, **kw)
        if home != "live":
            return columns
        ours = TABLES[table_name].columns if table_name in TABLES else ()
        described = {column.name: column.description for column in ours}
        found = []
        for column in columns:
            column = {**column, "comment": described.get(column["name"])}
            if str(column["type"]) == "JSON":
                column["type"] = TEXT()
            elif isinstance(column["type"], NullType):
                column["type"] = COMPUTED.get(column["name"], TEXT())
            found.append(column)
        return found

    def get_indexes(self, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> Any:
        if self.home(connection, table_name, schema) == "live":
            return []  # SQLite tells of one for the hidden key, over no column
        return super().get_indexes(connection, table_name, schema=schema, **kw)

    has_table = at_home("has_table")
    get_pk_constraint = at_home("get_pk_constraint")
    get_foreign_keys = at_home("get_foreign_keys")
    get_unique_constraints = at_home("get_unique_constraints")
    get_check_constraints = at_home("get_check_constraints")
    get_view_definition = at_home("get_view_definition")
    if hasattr(SQLiteDialect, "get_table_options"):
        get_table_options = at_home("get_table_options")


def _regexp(pattern: str, text: str | None) -> bool | None:
    return None if text is None else re.search(pattern, text) is not None
