"""A snapshot in the tools that read SQLite files: each shows the rows of the live table.

A tool that is not installed is a skipped test, or a failed one under FTSQL_TOOLS=1.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import ftsql
from ftsql.resources.definitions import JOBS
from ftsql.sandbox import Sandbox
from ftsql.sync.tables import column_names
from tests.cli.test_shell import run
from tests.conftest import CANARY
from tests.documents import PACKAGE, absent, blocks, needed, shown
from tests.sync.fixtures import wait_for

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("default")]  # what tools warn of is theirs

RowSpool = list[tuple[Any, ...]]

TABLE = f"SELECT {column_names(JOBS)} FROM fine_tuning_jobs ORDER BY key"
# Without minutes: those of what still runs are of the moment, and versions of SQLite round the others differently.
VIEW = """
SELECT id, provider, model, status, fine_tuned_model, created, finished, trained_tokens, training_file, method,
       error_message, metadata
FROM jobs ORDER BY id
"""
MINUTES = "SELECT sum(minutes) FROM jobs WHERE finished IS NOT NULL"
STATUSES = (
    "SELECT status, count(*) AS n, sum(trained_tokens) AS tokens FROM fine_tuning_jobs GROUP BY status ORDER BY status"
)


class World:
    """One sandbox, whose jobs stand still, its snapshot, and what the live table shows."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "jobs.db"
        self.sandbox = Sandbox(jobs=250, speed=0).start()
        known = {"OPENAI_BASE_URL": self.sandbox.base_url("openai"), "OPENAI_API_KEY": CANARY}
        done = run("sync", str(self.path), environment={**os.environ, **known, "FTSQL_STORE": str(folder / "store.db")})
        assert done.returncode == 0, done.stderr
        with pytest.MonkeyPatch.context() as patch:
            for name, value in known.items():
                patch.setenv(name, value)
            db = ftsql.connect(providers="openai")
            self.live = {sql: db.execute(sql).fetchall() for sql in (TABLE, VIEW, STATUSES)}
            self.minutes = db.execute(MINUTES).get
            db.close()
        assert len(self.live[TABLE]) == len(self.live[VIEW]) == 250


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("tools"))
    yield made
    made.sandbox.stop()


def test_pythons_own_sqlite3_reads_the_live_tables_rows(world: World) -> None:
    db = sqlite3.connect(f"file:{world.path}?mode=ro", uri=True)
    for sql, rows in world.live.items():
        assert db.execute(sql).fetchall() == rows
    assert db.execute(MINUTES).fetchall()[0][0] == pytest.approx(world.minutes, abs=250 * 0.1)
    db.close()


def test_so_does_another_version_of_sqlite3(world: World) -> None:
    needed("pysqlite3")
    other = importlib.import_module("pysqlite3").dbapi2
    db = other.connect(str(world.path))
    for sql, rows in world.live.items():
        assert db.execute(sql).fetchall() == rows
    db.close()


def test_so_does_the_sqlite3_shell(world: World) -> None:
    if shutil.which("sqlite3") is None:
        absent("there is no sqlite3")
    for sql, rows in world.live.items():
        done = subprocess.run(["sqlite3", "-json", str(world.path), sql], capture_output=True, text=True, check=True)
        assert [tuple(row.values()) for row in json.loads(done.stdout)] == rows


def test_so_does_a_copy_that_is_opened_as_immutable(world: World, tmp_path: Path) -> None:
    shutil.copy(world.path, tmp_path)
    db = sqlite3.connect(f"file:{tmp_path}/jobs.db?immutable=1", uri=True)
    assert db.execute(TABLE).fetchall() == world.live[TABLE]
    db.close()
    assert not list(tmp_path.glob("jobs.db-*"))


def test_so_does_pyodbc(world: World) -> None:
    needed("pyodbc")
    import pyodbc

    db = pyodbc.connect(f"Driver=SQLite3;Database={world.path};Timeout=5000")
    for sql in (TABLE, VIEW):
        assert [tuple(row) for row in db.execute(sql).fetchall()] == world.live[sql]
    # The driver takes types from declarations, and gives the numbers of some expressions as text.
    assert [_texts(row) for row in db.execute(STATUSES).fetchall()] == [_texts(row) for row in world.live[STATUSES]]
    with pytest.raises(pyodbc.Error, match="this is a snapshot: write to live.fine_tuning_jobs in ftsql"):
        db.execute("UPDATE fine_tuning_jobs SET status = 'cancelled'")
    cursor = db.cursor()
    assert {"fine_tuning_jobs", "jobs", "sync_state"} <= {row.table_name for row in cursor.tables()}
    types = {row.column_name: row.type_name.lower() for row in cursor.columns("fine_tuning_jobs")}
    assert (types["created_at"], types["id"]) == ("integer", "text")
    db.close()


def _texts(row: Iterable[Any]) -> list[str | None]:
    return [None if value is None else str(value) for value in row]


def test_so_does_isql_with_the_guides_odbc_ini(world: World, tmp_path: Path) -> None:
    if shutil.which("isql") is None:
        absent("there is no isql")
    page = (PACKAGE / "guide" / "odbc.md").read_text("utf-8")
    (ini,) = [block.text for block in blocks(page) if block.language == "ini"]
    (tmp_path / "odbc.ini").write_text(ini.replace("/srv/ftsql/jobs.db", str(world.path)))
    printed = shown(f'echo "{STATUSES}" | isql jobs -b -d,', tmp_path, {"ODBCINI": str(tmp_path / "odbc.ini")})
    rows = [",".join("" if value is None else str(value) for value in row) for row in world.live[STATUSES]]
    assert [line.rstrip(",") for line in printed.splitlines()] == [row.rstrip(",") for row in rows]
    # and a DSN of the system
    (tmp_path / "system").mkdir()
    (tmp_path / "odbc.ini").rename(tmp_path / "system" / "odbc.ini")
    shutil.copy("/etc/odbcinst.ini", tmp_path / "system")
    variables = {"ODBCSYSINI": str(tmp_path / "system"), "ODBCINI": str(tmp_path / "none.ini")}
    assert shown('echo "SELECT count(*) FROM jobs" | isql jobs -b -d,', tmp_path, variables).strip() == "250"


def test_so_does_pandas_over_sqlite3(world: World) -> None:
    needed("pandas")
    import pandas as pd

    db = sqlite3.connect(world.path)
    for sql, rows in world.live.items():
        frame = pd.read_sql(sql, db).astype(object)
        assert list(frame.where(frame.notna(), None).itertuples(index=False, name=None)) == rows
    view = pd.read_sql("SELECT created FROM jobs", db, parse_dates=["created"])
    assert view["created"].dtype.kind == "M"
    db.close()


def test_so_does_sqlalchemys_own_sqlite(world: World) -> None:
    import sqlalchemy

    engine = sqlalchemy.create_engine(f"sqlite:///{world.path}")
    with engine.connect() as connection:
        for sql, rows in world.live.items():
            assert [tuple(row) for row in connection.exec_driver_sql(sql)] == rows
    found = sqlalchemy.inspect(engine)
    assert {"fine_tuning_jobs", "sync_state"} <= set(found.get_table_names())
    assert found.get_view_names() == ["checkpoints", "jobs"]
    engine.dispose()


def test_so_does_duckdb_which_attaches_it(world: World) -> None:
    for module in ("duckdb", "duckdb_extensions"):
        needed(module)
    import duckdb
    import duckdb_extensions

    Path(os.environ["HOME"]).mkdir(exist_ok=True)  # where the extension goes
    duckdb_extensions.import_extension("sqlite_scanner")
    db = duckdb.connect()
    db.execute(f"ATTACH '{world.path}' AS ft (TYPE sqlite, READ_ONLY)")
    assert db.execute(TABLE.replace("FROM ", "FROM ft.")).fetchall() == world.live[TABLE]
    assert db.execute(STATUSES.replace("FROM ", "FROM ft.")).fetchall() == world.live[STATUSES]
    texts = db.execute("SELECT id, created, error_message FROM ft.jobs ORDER BY id").fetchall()
    assert texts == [(row[0], row[5], row[10]) for row in world.live[VIEW]]
    cast = "SELECT bool_and(created::TIMESTAMP = make_timestamp(created_at * 1000000)) FROM ft.jobs JOIN ft.fine_tuning_jobs USING (id)"
    assert db.execute(cast).fetchall() == [(True,)]
    total = db.execute("SELECT sum(minutes::DOUBLE) FROM ft.jobs WHERE finished IS NOT NULL").fetchall()[0][0]
    assert total == pytest.approx(world.minutes, abs=250 * 0.1)
    db.close()


@pytest.fixture
def datasette(world: World) -> Iterator[httpx.Client]:
    """Datasette's own server on a port of its own, with the guide's metadata."""
    needed("datasette")
    import uvicorn
    from datasette.app import Datasette

    page = (PACKAGE / "guide" / "datasette.md").read_text("utf-8")
    (metadata,) = [json.loads(block.text) for block in blocks(page) if block.language == "json"]
    app = Datasette([str(world.path)], metadata=metadata).app()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        wait_for(lambda: server.started)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
            yield client
        server.should_exit = True
        thread.join()


def test_so_does_datasette_as_table_view_canned_query_and_sql(world: World, datasette: httpx.Client) -> None:
    def rows(path: str, **query: str) -> RowSpool:
        answer = datasette.get(path, params={"_shape": "array", **query})
        assert answer.status_code == 200, answer.text
        return [tuple(row.values()) for row in answer.json()]

    table = rows("/jobs/fine_tuning_jobs.json", _size="max", _sort="key")
    assert [row[:-1] for row in table] == world.live[TABLE]  # the last is _synced_at
    assert len(rows("/jobs/jobs.json", _size="max")) == 250
    assert rows("/jobs.json", sql=VIEW) == world.live[VIEW]
    assert rows("/jobs/by_status.json") == [row[:2] for row in world.live[STATUSES]]
    assert rows("/jobs/sync_state.json")
    assert datasette.get("/jobs/fine_tuning_jobs.csv", params={"_size": "1"}).text.startswith("id,created_at,")
