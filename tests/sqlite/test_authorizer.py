"""The authorizer: what the triggers of a file may not write, and what a read-only connection refuses."""

from __future__ import annotations

import contextlib
from pathlib import Path

import apsw
import pytest

import ftsql
from ftsql.errors import ProgrammingError
from ftsql.sandbox import Sandbox
from tests.conftest import Connect, fill
from tests.write.fixtures import ONE, alive, posts

pytestmark = pytest.mark.usefixtures("files")


def test_a_file_cannot_hold_the_table_under_another_name(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "hostile.db"
    plain = apsw.Connection(str(path))
    plain.execute(
        "CREATE TABLE sweep (f); CREATE TRIGGER t AFTER INSERT ON sweep BEGIN "
        "INSERT INTO results (model, training_file) VALUES ('gpt-4o-mini', new.f); END;"
        "PRAGMA writable_schema = on; INSERT INTO sqlite_schema VALUES ('table', 'results', 'results', 0, "
        "'CREATE VIRTUAL TABLE results USING fine_tuning_jobs')"
    )
    plain.close()
    with pytest.raises((ftsql.Error, apsw.Error), match="is called fine_tuning_jobs"):
        connect(path).execute("INSERT INTO sweep VALUES ('file-a')")
    assert posts(sandbox) == []


@pytest.mark.parametrize("attached", [False, True])
def test_a_trigger_in_a_file_is_refused_even_if_a_temp_trigger_has_its_name(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, attached: bool
) -> None:
    path = tmp_path / "hostile.db"
    maker = connect(path, trust_file=True)
    maker.execute(f"CREATE TABLE mine (id); CREATE TRIGGER T AFTER INSERT ON mine BEGIN {ONE}; END")
    db = connect() if attached else connect(path)
    if attached:
        db.execute(f"ATTACH '{path}' AS other")
    db.execute("CREATE TEMP TABLE own (id); CREATE TEMP TRIGGER t AFTER INSERT ON own BEGIN SELECT 1; END")
    with pytest.raises(ftsql.Error, match="lives in the file"):
        db.execute("INSERT INTO mine VALUES (1)")
    assert posts(sandbox) == []


@pytest.mark.parametrize("write", [ONE, "DELETE FROM files WHERE id = 'file-h'"])
@pytest.mark.parametrize(
    ("attach", "writes"),
    [
        ("'{tmp}/other.db'", True),
        ("'{tmp}/new.db'", True),
        ("'{tmp}/' || 'other.db'", False),
        ("'{tmp}/text'", False),
        ("'{tmp}/same.db'", False),
    ],
)
def test_a_temp_trigger_writes_unless_an_attached_file_may_have_one_of_its_name(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, attach: str, writes: bool, write: str
) -> None:
    for name, trigger in (("other.db", "u"), ("same.db", "T")):
        connect(tmp_path / name).execute(
            f"CREATE TABLE a (x); CREATE TRIGGER {trigger} AFTER INSERT ON a BEGIN SELECT 1; END"
        )
    (tmp_path / "text").write_text("no database " * 100)
    db = connect()
    db.execute(f"CREATE TABLE mine (id); CREATE TEMP TRIGGER t AFTER INSERT ON mine BEGIN {write}; END")
    db.execute("SELECT 1 FROM mine").fetchall()
    with contextlib.suppress(apsw.NotADBError):
        db.execute(f"ATTACH {attach.replace('{tmp}', str(tmp_path))} AS other")
    with contextlib.nullcontext() if writes else pytest.raises(ftsql.Error, match="lives in the file"):
        db.execute("INSERT INTO mine VALUES (1)")
    sent = ["POST" if write == ONE else "DELETE"]
    assert [request.method for request in sandbox.requests if request.method != "GET"] == sent * writes


def test_a_file_whose_name_looks_like_a_uri_hides_no_trigger(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    connect("hostile.db").execute(f"CREATE TABLE mine (id); CREATE TRIGGER t AFTER INSERT ON mine BEGIN {ONE}; END")
    (tmp_path / "hostile.db").rename("file:hostile.db")
    plain = apsw.Connection(":memory:", flags=apsw.SQLITE_OPEN_READWRITE)  # without URIs, file:x is an ordinary name
    registration = ftsql.register(plain)
    plain.execute("CREATE TABLE own (id); CREATE TEMP TRIGGER t AFTER INSERT ON own BEGIN SELECT 1; END")
    plain.execute("ATTACH 'file:hostile.db' AS other")
    with pytest.raises(ftsql.Error, match="lives in the file"):
        plain.execute("INSERT INTO other.mine VALUES (1)")
    assert posts(sandbox) == []
    registration.close()
    plain.close()


def test_a_trigger_in_the_file_may_not_write_jobs_unless_trusted(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.db"
    trigger = f"TRIGGER evil AFTER INSERT ON mine BEGIN {ONE}; END"
    maker = connect(path, trust_file=True)
    maker.execute("CREATE TABLE mine (id); CREATE " + trigger)
    db = connect(path)
    with pytest.raises((ftsql.Error, apsw.Error), match="trust_file|not authorized"):
        db.execute("INSERT INTO mine VALUES (1)")
    assert posts(sandbox) == []
    maker.execute("INSERT INTO mine VALUES (1)")
    assert alive(sandbox) == ["file-a"]
    db.execute("CREATE TABLE own (id); CREATE TEMP " + trigger.replace("evil", "good").replace("ON mine", "ON own"))
    db.execute("INSERT INTO own VALUES (1)")
    assert alive(sandbox) == ["file-a", "file-a"]


READ_ONLY = [
    ONE, "UPDATE fine_tuning_jobs SET status = 'cancelled'", "DELETE FROM fine_tuning_jobs", "SELECT cancel_job('x')",
    "SELECT create_job('m', 'f')", "INSERT INTO mine VALUES (2)", "CREATE TABLE other (id)", "DROP TABLE mine",
    "CREATE TEMP TABLE other (id)", "PRAGMA user_version = 5", "PRAGMA query_only = 0", "PRAGMA writable_schema = 1",
    "INSERT INTO live.fine_tuning_jobs (model, training_file) VALUES ('m', 'f')", "PRAGMA journal_mode = DELETE",
    "VACUUM INTO '{tmp}/copy.db'", "VACUUM INTO '{tmp}/own.db?'", "VACUUM INTO '{tmp}/x?mode=memory'", "VACUUM INTO '{tmp}/empty'", "VACUUM INTO 'file:{tmp}/own.db%3F'",
    "VACUUM INTO 'file:{tmp}/mode=memory.db'", "VACUUM INTO 'file:{tmp}/x#?mode=memory'",
    "VACUUM INTO 'file:{tmp}/x?xmode=memory'", "ATTACH 'file:{tmp}/x?mode=memory&mode=rwc' AS more",
    "ATTACH 'file:{tmp}/x?mode=memory&%6dode=rwc' AS more",
    "ATTACH '{tmp}/empty' AS more", "ATTACH '{tmp}/more.db' AS more; CREATE TABLE more.t (id)",
    "DROP VIEW live.jobs", "ANALYZE", "REINDEX", "ALTER TABLE mine ADD COLUMN x",
]  # fmt: skip


@pytest.mark.parametrize("sql", READ_ONLY)
def test_read_only_writes_nothing(sandbox: Sandbox, connect: Connect, tmp_path: Path, sql: str) -> None:
    path = tmp_path / "own.db"
    connect(path).execute("CREATE TABLE mine (id); CREATE INDEX by_id ON mine (id); INSERT INTO mine VALUES (1)")
    fill(sandbox, 1, status="running")
    (tmp_path / "empty").touch()
    before = path.read_bytes()
    there = set(tmp_path.iterdir())
    db = connect(path, read_only=True)
    with pytest.raises((ftsql.Error, apsw.Error)):
        db.execute(sql.replace("{tmp}", str(tmp_path))).fetchall()
    assert path.read_bytes() == before
    assert posts(sandbox) == []
    assert set(tmp_path.iterdir()) == there
    assert (tmp_path / "empty").stat().st_size == 0
    assert db.execute("SELECT count(*) FROM fine_tuning_jobs JOIN mine").fetchall() == [(1,)]


THERE = [
    "{tmp}/a%20b#.db",
    "file:{tmp}/a%2520b%23.db",
    "file:{tmp}/a%2520b%23.db?mode=ro#x",
    "file://{tmp}/a%2520b%23.db",
]
NOWHERE = ["", ":memory:", "file::memory:", "file::memory:?cache=shared", "file:{tmp}/x?mode=memory&cache=private"]


@pytest.mark.parametrize("name", [*THERE, *NOWHERE])
def test_read_only_attaches_an_existing_file_and_memory(connect: Connect, tmp_path: Path, name: str) -> None:
    connect(tmp_path / "own.db").execute("CREATE TABLE mine (id)")
    connect(tmp_path / "a%20b#.db").execute("CREATE TABLE others (id); INSERT INTO others VALUES (7)")
    there = set(tmp_path.iterdir())
    db = connect(tmp_path / "own.db", read_only=True)
    db.execute(f"ATTACH '{name.replace('{tmp}', str(tmp_path))}' AS more")
    if name in THERE:
        assert db.execute("SELECT id FROM more.others").fetchall() == [(7,)]
    else:
        assert db.execute("SELECT count(*) FROM more.sqlite_schema").get == 0
    assert set(tmp_path.iterdir()) == there


def test_read_only_creates_no_file_on_a_writable_connection_without_uris(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = apsw.Connection("own.db")
    plain.execute("CREATE TABLE mine (id)")
    registration = ftsql.register(plain, sandbox=sandbox, read_only=True)
    for sql in ("ATTACH 'file:own.db' AS more", "VACUUM INTO 'file:own.db'", "ATTACH 'x' || '.db' AS more"):
        with pytest.raises(ProgrammingError, match="read-only"):
            plain.execute(sql)
    assert [path.name for path in tmp_path.iterdir()] == ["own.db"]
    registration.close()
    plain.close()


def test_read_only_works_in_memory_too(sandbox: Sandbox, connect: Connect) -> None:
    fill(sandbox, 2)
    assert connect(read_only=True).execute("SELECT count(*) FROM jobs").fetchall() == [(2,)]


@pytest.mark.parametrize("sql", ["INSERT INTO files (id) VALUES (1)", "INSERT INTO sweep VALUES (1)"])
def test_an_unused_virtual_table_in_a_file_is_recognized(
    sandbox: Sandbox, connect: Connect, tmp_path: Path, sql: str
) -> None:
    path = tmp_path / "hostile.db"
    maker = connect(path)
    maker.execute("CREATE VIRTUAL TABLE files USING files; CREATE TABLE sweep (f)")
    maker.execute("CREATE TRIGGER t AFTER INSERT ON sweep BEGIN INSERT INTO files (id) VALUES (new.f); END")
    with pytest.raises(ftsql.Error, match="lives in the file|a file is uploaded"):
        connect(path).execute(sql)
    with pytest.raises(ftsql.Error, match="lives in the file|a file is uploaded"):
        connect().execute(f"ATTACH '{path}' AS other; {sql.replace('INTO ', 'INTO other.')}")
    assert posts(sandbox) == []


def test_a_table_that_sqlite_reads_again_is_recognized(connect: Connect) -> None:
    db = connect()
    with pytest.raises(ftsql.Error, match="is called models"):
        db.execute("CREATE VIRTUAL TABLE other USING models")  # afterwards every table counts as unused again
    with pytest.raises(ftsql.Error, match="a model is made by a job"):
        db.execute("INSERT INTO models (id) VALUES (1)")
