"""ftsql serve to the clients that people have: each sees the tables, their columns and their rows.

A client that is not installed is a skipped test, or a failed one under FTSQL_TOOLS=1.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pg_mimic")

from tests.documents import absent, needed
from tests.serve.pgwire import Served, own_file

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("default")]  # what clients warn of is theirs

PASSWORD = "correct-horse"
FIRST = (
    1,
    "first",
    datetime.datetime(2026, 1, 2, 3, 4, 5),
    True,
    1.5,
    b"\x00\xff",
    {"a": [1, 2]},
    datetime.date(2026, 1, 2),
)
JOBS = "SELECT id FROM fine_tuning_jobs"
FOREVER = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"
JAR = Path("/usr/share/java/postgresql.jar")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    path = own_file(tmp_path_factory.mktemp("serve"))
    with Served(str(path), "--sandbox", password=PASSWORD) as started:
        yield started


@pytest.fixture
def url(served: Served) -> str:
    return f"postgresql://ftsql:{PASSWORD}@127.0.0.1:{served.port}/ftsql"


@pytest.fixture
def psql(url: str) -> Any:
    program = shutil.which("psql")
    if program is None:
        absent("psql is not installed")

    def run(*commands: str) -> str:
        words = [word for command in commands for word in ("-c", command)]
        done = subprocess.run([str(program), "-X", "-d", url, *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_psql_lists_describes_and_queries(psql: Any) -> None:
    listed = psql(r"\d")
    assert "public | notes" in listed
    assert "live " not in listed
    assert "public | mixed" in psql(r"\dt")
    assert "live   | files" in psql(r"\dt live.*")
    assert "public | noted" in psql(r"\dv")
    described = psql(r"\d notes")
    assert "at     | timestamp without time zone |" in described
    assert '"notes_pkey" PRIMARY KEY, btree (id)' in described
    assert "The model identifier." in psql(r"\d+ models")
    assert "SELECT note, done FROM notes" in psql(r"\d+ noted")
    for command in (
        r"\dn",
        r"\dn+",
        r"\l",
        r"\du",
        r"\df",
        r"\di",
        r"\dp",
        r"\ds",
        r"\dT",
        r"\dx",
        r"\conninfo",
        r"\dt+",
        r"\d+",
    ):
        psql(command)
    assert " succeeded" in psql("SELECT status, count(*) FROM fine_tuning_jobs GROUP BY 1")
    assert "(250 rows)" in psql(r"\set FETCH_COUNT 40", JOBS)


def test_psycopg_reads_texts_and_binaries_and_prepares(url: str) -> None:
    needed("psycopg")
    import psycopg

    with psycopg.connect(url) as connection:
        for binary in (False, True):
            with connection.cursor(binary=binary) as cursor:
                for _ in range(7):  # the sixth is prepared
                    row = cursor.execute("SELECT * FROM notes WHERE id = %s AND done = %s", [1, True]).fetchone()
                assert row == FIRST
                assert cursor.execute("SELECT count(*) FROM notes WHERE at >= %s", [FIRST[2]]).fetchone() == (1,)
                assert cursor.execute(
                    "SELECT id FROM notes WHERE id = ANY(%s) ORDER BY id", [[1, 2, 3]]
                ).fetchall() == [(1,), (2,)]
                assert cursor.execute("SELECT id FROM notes WHERE note = %s", [None]).fetchall() == []
        with connection.cursor("named") as named:
            named.itersize = 40
            assert len(list(named.execute(JOBS))) == 250
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM nowhere")
        connection.rollback()
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM notes")
        connection.rollback()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SET statement_timeout = 200")
            connection.execute(FOREVER)
        connection.rollback()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url.replace(PASSWORD, "wrong"))


def test_psycopg2_reads_by_a_cursor_and_in_whole(url: str) -> None:
    needed("psycopg2")
    import psycopg2

    connection = psycopg2.connect(url)
    cursor = connection.cursor()
    cursor.execute("SELECT id, note, at, done, size, extra, day FROM notes WHERE id = %s", (1,))
    assert cursor.fetchone() == (*FIRST[:5], *FIRST[6:])
    named = connection.cursor("named")
    named.itersize = 30
    named.execute(JOBS)
    assert len(list(named)) == 250
    assert connection.server_version == 150000
    connection.close()


def test_asyncpg_prepares_and_takes_rows_in_parts(url: str) -> None:
    needed("asyncpg")
    import asyncpg

    async def run() -> None:
        connection = await asyncpg.connect(url)
        row = await connection.fetchrow("SELECT * FROM notes WHERE id = $1 AND at >= $2", 1, FIRST[2])
        assert tuple(row)[:6] == FIRST[:6]
        assert await connection.fetchval("SELECT count(*) FROM fine_tuning_jobs WHERE status = $1", "succeeded") == 177
        assert await connection.fetch("SELECT id FROM notes WHERE id = ANY($1::bigint[])", [2]) == [(2,)]
        async with connection.transaction():
            assert len([one async for one in connection.cursor(JOBS)]) == 250
        with pytest.raises(asyncpg.UndefinedColumnError):
            await connection.fetch("SELECT pokemon FROM notes")
        with pytest.raises(asyncio.TimeoutError):
            await connection.fetch(FOREVER, timeout=0.3)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()

    asyncio.run(run())


def test_pg8000_reads_by_its_own_codec(url: str, served: Served) -> None:
    needed("pg8000")
    import pg8000.native

    connection = pg8000.native.Connection(
        "ftsql", password=PASSWORD, port=served.port, host="127.0.0.1", database="ftsql"
    )
    assert connection.run("SELECT * FROM notes WHERE id = :id", id=1) == [list(FIRST)]
    assert len(connection.run(JOBS)) == 250
    with pytest.raises(pg8000.native.DatabaseError, match="42P01"):
        connection.run("SELECT * FROM nowhere")
    connection.close()


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pg8000"])
def test_sqlalchemy_reflects_and_queries(url: str, driver: str) -> None:
    needed(driver)
    import sqlalchemy as sa

    engine = sa.create_engine(url.replace("postgresql", f"postgresql+{driver}"))
    look = sa.inspect(engine)
    assert {"live", "public"} <= set(look.get_schema_names())
    assert {"notes", "files", "fine_tuning_jobs"} <= set(look.get_table_names())
    assert sorted(look.get_view_names()) == ["checkpoints", "jobs", "noted"]
    assert "jobs" in look.get_view_names(schema="live")
    types = {column["name"]: str(column["type"]) for column in look.get_columns("notes")}
    assert types == {
        "id": "BIGINT",
        "note": "TEXT",
        "at": "TIMESTAMP",
        "done": "BOOLEAN",
        "size": "DOUBLE PRECISION",
        "data": "BYTEA",
        "extra": "JSON",
        "day": "DATE",
    }
    for ask in (
        look.get_foreign_keys,
        look.get_indexes,
        look.get_unique_constraints,
        look.get_check_constraints,
        look.get_pk_constraint,
    ):
        ask("notes")
    notes = sa.Table("notes", sa.MetaData(), autoload_with=engine)
    live = sa.Table("files", sa.MetaData(), autoload_with=engine, schema="live")
    with engine.connect() as connection:
        assert connection.execute(sa.select(notes).where(notes.c.id == 1, notes.c.done.is_(True))).one() == FIRST
        assert connection.execute(sa.select(sa.func.count()).select_from(live)).scalar() == 382
        assert connection.execute(sa.select(notes.c.id).order_by(notes.c.id.desc()).limit(1).offset(1)).scalar() == 1
    engine.dispose()


def test_jdbc_reads_the_metadata_prepares_and_fetches_in_parts(served: Served) -> None:
    if shutil.which("java") is None or not JAR.exists():
        absent("java or PostgreSQL's JDBC driver is not installed")
    program = Path(__file__).with_name("Metadata.java")
    address = f"jdbc:postgresql://127.0.0.1:{served.port}/ftsql"
    done = subprocess.run(
        ["java", "-cp", str(JAR), str(program), address, PASSWORD], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout
    for line in (
        "schemas 4", "tables 17", "columns 8", "notes primary keys 1", "notes index info 1", "imported keys 0",
        "exported keys 0", "types true", "ftsql catalogs 1", "notes table privileges 1",
        "1 first 2026-01-02 03:04:05.0 true 1.5", "since 1", "fetched 250", "refused 25006", "timeout 57014",
    ):  # fmt: skip
        assert line in said, (line, said)


def test_odbc_lists_tables_and_columns_and_declares_cursors(served: Served, tmp_path: Path) -> None:
    if shutil.which("isql") is None or not list(Path("/usr/lib").glob("*/odbc/psqlodbcw.so")):
        absent("isql or psqlODBC is not installed")
    driver = next(Path("/usr/lib").glob("*/odbc/psqlodbcw.so"))
    for name, more in (("whole", ""), ("parts", "UseDeclareFetch=1\nFetch=30\n")):
        (tmp_path / "odbc.ini").write_text(
            f"[{name}]\nDriver={driver}\nServername=127.0.0.1\nPort={served.port}\nDatabase=ftsql\n"
            f"Username=ftsql\nPassword={PASSWORD}\n{more}"
        )
        done = subprocess.run(
            ["isql", name, "-b", "-v", "-d,"], capture_output=True, text=True, timeout=60,
            input=f"help\nhelp notes\nSELECT id, note, at, done, size FROM notes WHERE id = 1\n{JOBS}\nDELETE FROM notes\n",
            env={**os.environ, "ODBCINI": str(tmp_path / "odbc.ini")},
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert "ftsql,public,noted,VIEW," in said, said
        assert "ftsql,public,notes,day,9,date," in said, said
        assert "1,first,2026-01-02 03:04:05,1,1.5" in said, said
        assert "250 rows fetched" in said or said.count("ftjob-") == 250, said[-2000:]
        assert "read-only" in said or "only reads" in said, said[-2000:]


def test_node_postgres_reads(url: str, tmp_path: Path) -> None:
    program = shutil.which("node")
    if program is None or subprocess.run([program, "-e", "require('pg')"], capture_output=True).returncode:
        absent("node-postgres is not installed: npm install pg, and NODE_PATH")
    script = """
    const {Client} = require('pg');
    (async () => {
      const client = new Client({connectionString: process.argv[1]});
      await client.connect();
      const found = await client.query('SELECT id, note, at, done, extra FROM notes WHERE id = $1', [1]);
      console.log(JSON.stringify(found.rows[0]));
      console.log((await client.query({name: 'a', text: 'SELECT id FROM fine_tuning_jobs WHERE status = $1', values: ['failed']})).rowCount);
      await client.query('SELECT pokemon FROM notes').catch(error => console.log(error.code));
      await client.end();
    })();
    """
    done = subprocess.run([program, "-e", script, url], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, count, code = done.stdout.splitlines()
    assert '"id":"1","note":"first"' in first
    assert '"extra":{"a":[1,2]}' in first
    assert (count, code) == ("33", "42703")
