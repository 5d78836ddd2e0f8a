"""What the tests with programs of others drive, and what each needs. ``python -m tests.tools`` lists it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Check(NamedTuple):
    """Some tests, the program that they drive, and the packages that they need."""

    drives: str
    tests: tuple[str, ...]
    debian: tuple[str, ...] = ()  # names in SIGNS
    pypi: tuple[str, ...] = ()  # names in REQUIREMENTS
    npm: tuple[str, ...] = ()


SNAPSHOT = "tests/tools/test_snapshot.py::test_"
NOTEBOOKS = "tests/tools/test_notebooks.py::test_"
CLIENTS = "tests/tools/test_serve_clients.py::test_"
REFLECTS = CLIENTS + "sqlalchemy_reflects_and_queries"
GUIDE = "tests/cli/test_guide.py"
CONSOLE = GUIDE + "::test_a_console_block_prints_what_the_page_shows"
BLOCKS = GUIDE + "::test_python_blocks_run_one_after_the_other"
CELLS = GUIDE + "::test_cells_run_one_after_the_other"
CAMPAIGN = "tests/campaign/test_campaign.py::test_readers_never_see_half_a_round_nor_an_error_while_sync_writes"
DUCKDB = ("duckdb", "duckdb-extension-sqlite-scanner", "duckdb-extensions")
NOTEBOOK = ("pandas", "jupysql", "ipython")

CHECKS = {
    "asyncpg": Check(
        "asyncpg, a client of ftsql serve", (CLIENTS + "asyncpg_prepares_and_takes_rows_in_parts",), pypi=("asyncpg",)
    ),
    "datasette": Check(
        "Datasette on a snapshot",
        (SNAPSHOT + "so_does_datasette_as_table_view_canned_query_and_sql",),
        pypi=("datasette",),
    ),
    "documents": Check(
        "the commands and the Python blocks of README and the guide",
        (GUIDE, "tests/cli/test_readme.py"),
        debian=("sqlite3", "unixodbc", "libsqliteodbc"),
        pypi=(*NOTEBOOK, *DUCKDB),
    ),
    "duckdb": Check(
        "DuckDB, which attaches a snapshot",
        (SNAPSHOT + "so_does_duckdb_which_attaches_it", BLOCKS + "[duckdb]"),
        pypi=DUCKDB,
    ),
    "jdbc": Check(
        "PostgreSQL's JDBC driver, a client of ftsql serve",
        (CLIENTS + "jdbc_reads_the_metadata_prepares_and_fetches_in_parts",),
        debian=("libpostgresql-jdbc-java", "default-jdk-headless"),
    ),
    "jupyter": Check(
        "JupySQL's magics in IPython",
        (NOTEBOOKS + "jupysqls_magics_list_describe_query_and_write", CELLS),
        pypi=NOTEBOOK,
    ),
    "node-postgres": Check(
        "node-postgres, a client of ftsql serve",
        (CLIENTS + "node_postgres_reads",),
        debian=("nodejs", "npm"),
        npm=("pg",),
    ),
    "odbc": Check(
        "pyodbc and isql on a snapshot, by the ODBC driver of SQLite, also while ftsql sync writes",
        (SNAPSHOT + "so_does_pyodbc", SNAPSHOT + "so_does_isql_with_the_guides_odbc_ini", CONSOLE + "[odbc]", CAMPAIGN),
        debian=("unixodbc", "libsqliteodbc"),
        pypi=("pyodbc",),
    ),
    "pandas": Check(
        "pandas over ftsql:// and over a snapshot, and SQLAlchemy on a snapshot",
        (
            NOTEBOOKS + "pandas_reads_jobs_typed_and_an_empty_answer_with_its_columns",
            NOTEBOOKS + "pandas_reads_whole_tables_by_name",
            NOTEBOOKS + "pandas_writes_a_local_table_that_joins_with_jobs",
            NOTEBOOKS + "a_frame_can_be_a_sweep_under_max_writes",
            SNAPSHOT + "so_does_pandas_over_sqlite3",
            SNAPSHOT + "so_does_sqlalchemys_own_sqlite",
            BLOCKS + "[pandas]",
        ),
        pypi=("pandas",),
    ),
    "pg8000": Check(
        "pg8000, a client of ftsql serve",
        (CLIENTS + "pg8000_reads_by_its_own_codec", REFLECTS + "[pg8000]"),
        pypi=("pg8000",),
    ),
    "postgresql": Check(
        "ftsql serve beside PostgreSQL, which says what a statement means",
        ("tests/serve",),
        debian=("postgresql", "postgresql-client", "openssl"),
    ),
    "psql": Check(
        "psql, a client of ftsql serve", (CLIENTS + "psql_lists_describes_and_queries",), debian=("postgresql-client",)
    ),
    "psqlodbc": Check(
        "PostgreSQL's ODBC driver, a client of ftsql serve",
        (CLIENTS + "odbc_lists_tables_and_columns_and_declares_cursors",),
        debian=("unixodbc", "odbc-postgresql"),
    ),
    "psycopg": Check(
        "psycopg, a client of ftsql serve",
        (CLIENTS + "psycopg_reads_texts_and_binaries_and_prepares", REFLECTS + "[psycopg]"),
        pypi=("psycopg",),
    ),
    "psycopg2": Check(
        "psycopg2, a client of ftsql serve",
        (CLIENTS + "psycopg2_reads_by_a_cursor_and_in_whole", REFLECTS + "[psycopg2]"),
        pypi=("psycopg2-binary",),
    ),
    "sqlite3": Check(
        "the sqlite3 shell, and SQLite of other versions, on a snapshot",
        (
            SNAPSHOT + "pythons_own_sqlite3_reads_the_live_tables_rows",
            SNAPSHOT + "so_does_another_version_of_sqlite3",
            SNAPSHOT + "so_does_the_sqlite3_shell",
            SNAPSHOT + "so_does_a_copy_that_is_opened_as_immutable",
            CONSOLE + "[sqlite]",
            CONSOLE + "[snapshot]",
        ),
        debian=("sqlite3",),
        pypi=("pysqlite3-binary",),
    ),
}

# What all checks are in, with tests that need nothing of others.
WHOLE = ("tests/tools", "tests/serve", GUIDE, "tests/cli/test_readme.py", CAMPAIGN)

# A program or a file by which a Debian package is known to be there, whoever installed it.
SIGNS = {
    "default-jdk-headless": "javac",
    "libpostgresql-jdbc-java": "/usr/share/java/postgresql.jar",
    "libsqliteodbc": "/usr/lib/*/odbc/libsqlite3odbc.so",
    "nodejs": "node",
    "npm": "npm",
    "odbc-postgresql": "/usr/lib/*/odbc/psqlodbcw.so",
    "openssl": "openssl",
    "postgresql": "/usr/lib/postgresql/*/bin/initdb",
    "postgresql-client": "psql",
    "sqlite3": "sqlite3",
    "unixodbc": "isql",
}


def _requirements() -> dict[str, str]:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    return {re.split(r"[^\w.-]", line)[0]: line for line in extras["tools"] if not line.startswith("ftsql[")}


# The extra ``tools``: a package's name, and the versions of it that pip is asked for.
REQUIREMENTS = _requirements()
