"""``install`` adds ftsql's tables, views, functions and authorizer to a connection; ``uninstall`` removes them."""

from __future__ import annotations

from typing import Any

import apsw

from ftsql.data import read_text
from ftsql.resources.definitions import JOBS, OTHERS, TABLES
from ftsql.sqlite import about_tables, authorizer, functions, jobs_table, resource_tables
from ftsql.sqlite.session import Session


def install(connection: apsw.Connection, session: Session, *, trust_file: bool) -> None:
    """Add the tables (also in the schema ``live``), the views, the functions and the authorizer.

    trust_file: Whether triggers that a file defines may write to the tables.
    """
    _create_modules(connection, session)
    _create_live_schema(connection, session)
    functions.register(session)
    session.authorizer = authorizer.install(connection, read_only=session.read_only, trust_file=trust_file)


def uninstall(session: Session) -> None:
    """Remove everything that ``install`` added. Raises apsw.Error if the connection is closed or runs a statement."""
    connection = session.connection
    connection.authorizer = session.authorizer
    connection.execute("DETACH live")
    for name in (*TABLES, *about_tables.modules(session)):
        connection.create_module(name, None)
    functions.unregister(session)


def _create_modules(connection: apsw.Connection, session: Session) -> None:
    jobs: Any = jobs_table.Module(session)
    connection.create_module(
        JOBS.table,
        jobs,
        use_bestindex_object=True,
        use_no_change=True,
        iVersion=2,  # has savepoints; version 3 would use up one of the 33 slots that APSW has per process
        eponymous=True,
        read_only=session.read_only,
    )
    for resource in OTHERS:
        writable = resource.deletes and not session.read_only
        module: Any = resource_tables.Module(session, resource, writable=writable)
        connection.create_module(
            resource.table, module, use_bestindex_object=True, eponymous=True, iVersion=2, read_only=not writable
        )
    for name, module in about_tables.modules(session).items():
        connection.create_module(name, module, use_bestindex_object=True, eponymous=True, read_only=True)


def _create_live_schema(connection: apsw.Connection, session: Session) -> None:
    # On a read-only connection ':memory:' would be read-only too, and CREATE VIRTUAL TABLE would fail.
    read_only = connection.open_flags & apsw.SQLITE_OPEN_READONLY
    connection.execute(f"ATTACH '{'file::memory:?mode=memory' if read_only else ':memory:'}' AS live")
    for name in (*TABLES, *about_tables.modules(session)):
        connection.execute(f"CREATE VIRTUAL TABLE live.{name} USING {name}")
    views = read_text("views.sql")
    connection.execute(views.replace("CREATE VIEW ", "CREATE VIEW live."))
