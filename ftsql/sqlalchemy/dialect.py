"""The SQLAlchemy dialect of ``ftsql://`` URLs, for SQLAlchemy 1.4 and 2: SQLite's dialect over ``ftsql.dbapi``.

A URL never contains a key: keys come from the environment.
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
from ftsql.sqlalchemy.url import connect_arguments

NO_ID = (
    "a job's id is known only after COMMIT, so the ORM cannot flush a new job and RETURNING has no id: insert "
    "with Core, connection.execute(insert(table).values(...)), commit, then read connection.connection.last_job_id "
    "or SELECT * FROM ftsql_writes"
)
LEVELS = ["SERIALIZABLE", "AUTOCOMMIT"]
# Columns that a view computes have no declared type. The columns in COMPUTED are times and numbers; all other computed
# columns are strings. The times have no microseconds, because a value that is compared with the view's strings must
# have their format.
TIME = DATETIME(truncate_microseconds=True)
COMPUTED = {"created": TIME, "finished": TIME, "minutes": REAL()}
COMPUTED |= {
    name: REAL()
    for metric in ("loss", "mean_token_accuracy")
    for name in (f"train_{metric}", f"valid_{metric}", f"full_valid_{metric}")
}


def is_jobs(table: Any) -> bool:
    """Whether ``table``, a table object of SQLAlchemy, is the API's table of jobs.

    >>> is_jobs(sqlalchemy.table("fine_tuning_jobs", schema="live")), is_jobs(sqlalchemy.table("notes"))
    (True, False)
    """
    return getattr(table, "name", None) == JOBS.table and getattr(table, "schema", None) in (None, "main", "live")


class Compiler(SQLiteCompiler):
    """The SQL compiler. An INSERT into jobs never asks for ids, because they do not exist before COMMIT.

    >>> jobs = sqlalchemy.table("fine_tuning_jobs", sqlalchemy.column("model"))
    >>> print(sqlalchemy.insert(jobs).values(model="gpt-4o-mini").compile(dialect=Dialect()))
    INSERT INTO fine_tuning_jobs (model) VALUES (?)
    """

    def visit_insert(self, insert_stmt: Any, *arguments: Any, **kw: Any) -> str:
        if is_jobs(insert_stmt.table):
            if insert_stmt._returning:
                raise exc.CompileError(NO_ID)
            insert_stmt = insert_stmt.inline()
        sql: str = super().visit_insert(insert_stmt, *arguments, **kw)
        return sql


class Context(SQLiteExecutionContext):
    """The context of one execution. Reading the id of a new job raises an error. Core reads it only if asked to.

    >>> engine = sqlalchemy.create_engine("ftsql://?sandbox=true&read_only=false", future=True)
    >>> jobs = sqlalchemy.table("fine_tuning_jobs", *map(sqlalchemy.column, ("model", "training_file")))
    >>> with engine.connect() as connection:  # nothing is sent without a commit
    ...     result = connection.execute(jobs.insert().values(model="gpt-4o-mini", training_file="file-abc"))
    ...     try:
    ...         result.inserted_primary_key
    ...     except exc.InvalidRequestError as error:
    ...         print(str(error).partition(",")[0])
    a job's id is known only after COMMIT
    >>> engine.dispose()
    """

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
    """A pool with one connection for each thread.

    SQLAlchemy's own pool has a default size of five, and closes connections that other threads still use.

    >>> ThreadPool(dbapi.connect).size
    1000
    """

    def __init__(self, creator: Any, pool_size: int = 1000, **options: Any) -> None:
        super().__init__(creator, pool_size=pool_size, **options)


def in_listed_schema(name: str) -> Any:
    """Return SQLite's reflection method ``name``, which looks up ftsql's tables in the schema that lists them.

    >>> engine = sqlalchemy.create_engine("ftsql://?sandbox=true")
    >>> sqlalchemy.inspect(engine).has_table("fine_tuning_jobs")
    True
    >>> engine.dispose()
    """
    inherited: Callable[..., Any] = getattr(SQLiteDialect, name)

    def method(self: Dialect, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> Any:
        return inherited(self, connection, table_name, schema=self.listed_schema(connection, table_name, schema), **kw)

    return method


class Dialect(SQLiteDialect):
    """The dialect. ``ftsql://`` is memory; ``ftsql:///relative.db`` and ``ftsql:////absolute.db`` are files.

    Its ``name`` stays "sqlite", because pandas, Alembic and others choose their SQL by that name.

    >>> engine = sqlalchemy.create_engine("ftsql://?sandbox=true")
    >>> with engine.connect() as connection:
    ...     connection.execute(sqlalchemy.text("SELECT count(*) FROM jobs WHERE status = 'paused'")).scalar()
    2
    >>> engine.dispose()
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
    def dbapi(cls) -> ModuleType:  # type: ignore[override]  # the name of import_dbapi in SQLAlchemy 1.4
        return dbapi

    @classmethod
    def get_pool_class(cls, url: Any) -> type[pool.Pool]:
        """Return the pool class for ``url``: ThreadPool for a writable database in memory, otherwise QueuePool.

        ThreadPool has one connection for each thread.
        """
        options = connect_arguments(url)[1]
        memory = url.database in (None, "", ":memory:")
        return ThreadPool if memory and options.get("read_only") is False else pool.QueuePool

    def create_connect_args(self, url: Any) -> Any:
        path, options = connect_arguments(url)
        return [path], options

    def on_connect(self) -> Any:
        inherited: Any = super().on_connect()

        def connected(connection: Any) -> None:
            connection.native.create_scalar_function("regexp", _regexp, 2, deterministic=True)
            if inherited is not None:
                inherited(connection)

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
        # SQLAlchemy 1.4 may pass the pool's proxy, on which setting the attribute would have no effect.
        getattr(dbapi_connection, "dbapi_connection", dbapi_connection).autocommit = level == "AUTOCOMMIT"

    def get_isolation_level(self, dbapi_connection: Any) -> Any:
        return LEVELS[bool(dbapi_connection.autocommit)]

    def get_default_isolation_level(self, dbapi_conn: Any) -> Any:
        return LEVELS[0]

    def detect_autocommit_setting(self, dbapi_conn: Any) -> bool:
        return bool(dbapi_conn.autocommit)

    def listed_schema(self, connection: Any, name: str, schema: str | None) -> str | None:
        """Return ``live`` if ``name`` in ``schema`` means one of ftsql's tables or views, else ``schema``.

        SQLite finds ftsql's tables in ``main`` too, because their modules are eponymous, but not ftsql's views.
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
        return sorted({*names, *(name for (name,) in live if self.listed_schema(connection, name, None) == "live")})

    def get_columns(self, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> Any:
        """Return the documented columns. Hidden columns are left out, as in SELECT *.

        JSON columns of ftsql's tables are reported as TEXT, because data frames and BI tools need values that can be
        compared and grouped. An INSERT may pass a dict or JSON. Times in views are DATETIME.
        """
        listed = self.listed_schema(connection, table_name, schema)
        columns: Any = super().get_columns(connection, table_name, schema=listed, **kw)
        if listed != "live":
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
        if self.listed_schema(connection, table_name, schema) == "live":
            return []  # SQLite reports an index for the hidden key, without a column
        return super().get_indexes(connection, table_name, schema=schema, **kw)

    has_table = in_listed_schema("has_table")
    get_pk_constraint = in_listed_schema("get_pk_constraint")
    get_foreign_keys = in_listed_schema("get_foreign_keys")
    get_unique_constraints = in_listed_schema("get_unique_constraints")
    get_check_constraints = in_listed_schema("get_check_constraints")
    get_view_definition = in_listed_schema("get_view_definition")
    if hasattr(SQLiteDialect, "get_table_options"):
        get_table_options = in_listed_schema("get_table_options")


def _regexp(pattern: str, text: str | None) -> bool | None:
    return None if text is None else re.search(pattern, text) is not None
