"""PEP 249: the module's attributes, values and errors, and closed or broken connections."""

from __future__ import annotations

import datetime
import gc
import threading
import time
import uuid
import warnings
import weakref
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import apsw
import pytest

import ftsql
from ftsql import dbapi
from ftsql.sandbox import Fault, Sandbox
from tests.conftest import CANARY, Connect, fill, gets


@pytest.fixture
def db(sandbox: Sandbox, connect: Connect) -> Iterator[dbapi.Connection]:
    """Return a writable connection to the sandbox."""
    connection = dbapi.connect(read_only=False)
    yield connection
    connection.close()


def values(db: dbapi.Connection, sql: str, parameters: Any = ()) -> list[Any]:
    return db.cursor().execute(sql, parameters).fetchall()


def test_the_module_has_the_names_of_pep_249(db: dbapi.Connection) -> None:
    assert (dbapi.apilevel, dbapi.threadsafety, dbapi.paramstyle) == ("2.0", 1, "qmark")
    for name in ("Warning", "Error", "InterfaceError", "DatabaseError", "DataError", "OperationalError",
                 "IntegrityError", "InternalError", "ProgrammingError", "NotSupportedError"):  # fmt: skip
        assert getattr(dbapi, name) is getattr(ftsql.errors, name) is getattr(db, name)
    assert dbapi.Date(2026, 1, 2) == datetime.date(2026, 1, 2)
    assert dbapi.TimestampFromTicks(0).year in (1969, 1970)
    assert dbapi.DateFromTicks(0).year in (1969, 1970)
    assert dbapi.TimeFromTicks(0).minute in (0, 30)
    assert dbapi.Binary(b"x") == b"x"
    cursor = db.cursor()
    cursor.setinputsizes([1])
    cursor.setoutputsize(1)
    assert cursor.arraysize == 1
    assert cursor.connection is db


@pytest.mark.parametrize("where", ["", " WHERE 0", " WHERE id = 'ftjob-nothing'"])
def test_the_description_is_set_with_and_without_rows(sandbox: Sandbox, db: dbapi.Connection, where: str) -> None:
    fill(sandbox, 1)
    cursor = db.cursor().execute(f"SELECT id, created_at, error, 1 AS one FROM fine_tuning_jobs{where} -- so")
    assert cursor.description is not None
    assert [column[:2] for column in cursor.description] == [
        ("id", "TEXT"), ("created_at", "INTEGER"), ("error", "JSON"), ("one", None),
    ]  # fmt: skip
    assert {len(column) for column in cursor.description} == {7}
    kinds = [column[1] for column in cursor.description]
    assert kinds[0] == dbapi.STRING
    assert kinds[1] == dbapi.NUMBER
    assert kinds[2] == dbapi.STRING
    assert kinds[1] not in (dbapi.STRING, dbapi.BINARY, dbapi.DATETIME, dbapi.ROWID)
    cursor.fetchall()
    assert cursor.description is not None
    assert db.cursor().execute("CREATE TABLE t (a)").description is None


def test_rows_come_one_by_one_in_chunks_and_all_at_once(sandbox: Sandbox, db: dbapi.Connection) -> None:
    ids = fill(sandbox, 10)
    cursor = db.cursor().execute("SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC")
    assert cursor.rowcount == -1
    assert cursor.fetchone() == (ids[0],)
    assert cursor.fetchmany() == [(ids[1],)]
    assert cursor.fetchmany(3) == [(id,) for id in ids[2:5]]
    assert next(cursor) == (ids[5],)
    assert cursor.fetchall() == [(id,) for id in ids[6:]]
    assert cursor.fetchone() is None
    assert cursor.fetchall() == cursor.fetchmany(5) == list(cursor) == []


def test_a_statement_fetches_once_although_its_cursor_has_a_trace(sandbox: Sandbox, db: dbapi.Connection) -> None:
    fill(sandbox, 250)
    values(db, "SELECT count(*) FROM fine_tuning_jobs a JOIN fine_tuning_jobs b USING (id)")
    assert len(gets(sandbox)) == 3


def test_two_open_statements_fetch_separately_also_after_a_comment(sandbox: Sandbox, db: dbapi.Connection) -> None:
    fill(sandbox, 3)
    other = db.cursor().execute("SELECT id FROM fine_tuning_jobs")
    other.fetchone()
    sandbox.add_job(status="running")
    assert values(db, "-- anew\nSELECT count(*) FROM fine_tuning_jobs") == [(4,)]
    assert len(other.fetchall()) == 2


UTC, LATER = datetime.UTC, datetime.timezone(datetime.timedelta(hours=2))
BOUND = [
    (None, None), (1, 1), (True, 1), (1.5, 1.5), ("é", "é"), (b"\0x", b"\0x"), (bytearray(b"x"), b"x"),
    ({"a": [1]}, '{"a":[1]}'), ([1, None], "[1,null]"), (Decimal("5"), 5), (Decimal("0.5"), 0.5), (Decimal("NaN"), None),
    (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"), (datetime.date(2026, 1, 2), "2026-01-02"),
    (datetime.time(3, 4), "03:04:00"), (datetime.datetime(2026, 1, 2, 3, 4, 5), "2026-01-02 03:04:05"),
    (datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "2026-01-02 03:04:05.000006"),
    (datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=LATER), "2026-01-02 01:04:05"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "kept"), BOUND, ids=[repr(value) for value, _ in BOUND])
def test_python_values_are_bound_as_sqlites_types(db: dbapi.Connection, value: object, kept: object) -> None:
    assert values(db, "SELECT ?", (value,)) == values(db, "SELECT :v", {"v": value}) == [(kept,)]


WRONG = [
    ("SELECT ?", (2**70,), dbapi.DataError, "does not fit"),
    ("SELECT ?", ("\ud800",), dbapi.DataError, "does not fit"),
    ("SELECT ?", (...,), dbapi.ProgrammingError, "parameter . is a ellipsis"),
    ("SELECT ?", "a", dbapi.ProgrammingError, "a sequence or a mapping, not a str"),
    ("SELECT ?", 5, dbapi.ProgrammingError, "a sequence or a mapping, not a int"),
    ("SELECT ?", (), dbapi.ProgrammingError, "1 bindings"),
    ("SELECT ?", (1, 2), dbapi.ProgrammingError, "uses 1 and there are 2"),
    ("SELECT :a", {"b": 1}, dbapi.ProgrammingError, "parameter :a"),
    ("SELEC", (), dbapi.ProgrammingError, "syntax error"),
    ("SELECT * FROM nope", (), dbapi.ProgrammingError, "no such table: nope"),
    ("SELECT nope FROM fine_tuning_jobs", (), dbapi.ProgrammingError, "no such column: nope"),
    ("SELECT 1\0", (), dbapi.ProgrammingError, "null character"),
    ("SELECT '😀'; SELECT 2", (), dbapi.ProgrammingError, "one statement at a time"),
    ("SELECT 1; SELECT 2", (), dbapi.ProgrammingError, "one statement at a time"),
    ("CREATE TABLE main.fresh (a); DROP TABLE fresh", (), dbapi.ProgrammingError, "one statement at a time"),
    ("INSERT INTO own VALUES (1)", (), dbapi.IntegrityError, "UNIQUE constraint failed"),
    ("INSERT INTO own VALUES ('x')", (), dbapi.DataError, "mismatch"),
    ("SELECT zeroblob(3000000000)", (), dbapi.DataError, "too big"),
    ("INSERT INTO fine_tuning_jobs (model) VALUES ('m')", (), dbapi.IntegrityError, "training_file is missing"),
    ("DELETE FROM fine_tuning_jobs", (), dbapi.NotSupportedError, "DELETE on fine_tuning_jobs is refused"),
]


@pytest.mark.parametrize(("sql", "parameters", "kind", "words"), WRONG, ids=[case[0] + repr(case[1]) for case in WRONG])
def test_a_mistake_is_an_error_of_pep_249s_class_with_its_message(
    sandbox: Sandbox, db: dbapi.Connection, sql: str, parameters: Any, kind: type[Exception], words: str
) -> None:
    fill(sandbox, 1)
    values_of = db.cursor()
    values_of.execute("CREATE TABLE own (id INTEGER PRIMARY KEY)")
    values_of.execute("INSERT INTO own VALUES (1)")
    with pytest.raises(kind, match=words) as caught:
        db.cursor().execute(sql, parameters).fetchall()
    assert not isinstance(caught.value, apsw.Error) or isinstance(caught.value, dbapi.IntegrityError)
    assert values(db, "SELECT count(*) FROM own") == [(1,)]


def test_blanks_around_a_statement_are_not_a_second_statement(db: dbapi.Connection) -> None:
    for sql in (
        "; SELECT 1",
        "SELECT 1;",
        "/* a */ SELECT 1 /* b */ ; -- c",
        "-- a\nSELECT 1 -- b\n;;\n",
        "\ufeffSELECT 1",
    ):
        assert values(db, sql) == [(1,)]
    assert values(db, "SELECT 1" + "/**/ --\n" * 1000) == [(1,)]
    with pytest.raises(dbapi.ProgrammingError, match="one statement"):
        values(db, "SELECT 1;" + "/**/ --\n" * 1000 + "SELECT 2")
    assert db.cursor().execute(" ").description is None
    with pytest.raises(dbapi.ProgrammingError, match="no rows to fetch"):
        db.cursor().execute("").fetchone()


def test_an_error_of_the_api_comes_unchanged_at_execute_and_at_fetch(sandbox: Sandbox, db: dbapi.Connection) -> None:
    fill(sandbox, 450)
    other = db.cursor()
    cursor = db.cursor().execute("SELECT id FROM fine_tuning_jobs")
    assert cursor.fetchone() is not None
    sandbox.fault(Fault(path=r"/jobs$", method="GET", status=401, times=None))
    with pytest.raises(ftsql.APIError):
        for _ in range(5):
            cursor.fetchmany(99)
    assert cursor.fetchone() is None
    assert cursor.fetchall() == []
    with pytest.raises(ftsql.APIError):
        other.execute("SELECT id FROM fine_tuning_jobs WHERE status = 'running'").fetchall()
    assert other.execute("SELECT 1").fetchall() == [(1,)]


def test_an_error_of_sqlite_at_fetch_is_translated_too(db: dbapi.Connection) -> None:
    cursor = db.cursor().execute("SELECT abs(value) FROM json_each('[1, -9223372036854775808]')")
    assert cursor.fetchone() == (1,)
    with pytest.raises(dbapi.ProgrammingError, match="integer overflow") as caught:
        cursor.fetchone()
    assert isinstance(caught.value.__cause__, apsw.SQLError)
    assert cursor.fetchall() == []


def test_an_interrupted_cursor_is_an_operational_error_and_the_connection_goes_on(db: dbapi.Connection) -> None:
    sql = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    timer = threading.Timer(0.2, db.interrupt)
    timer.start()
    with pytest.raises(dbapi.OperationalError, match="interrupted"):
        db.cursor().execute(sql).fetchall()
    timer.join()
    assert values(db, "SELECT 1") == [(1,)]


def test_a_closed_cursor_or_connection_is_an_error(db: dbapi.Connection) -> None:
    cursor = db.cursor().execute("SELECT 1")
    cursor.close()
    cursor.close()
    for act in (cursor.fetchone, lambda: cursor.execute("SELECT 1"), lambda: cursor.executemany("SELECT 1", [])):
        with pytest.raises(dbapi.ProgrammingError, match="cursor is closed"):
            act()
    acts: list[Callable[[], object]]
    other = db.cursor().execute("SELECT 1")
    db.close()
    db.close()
    acts = [other.fetchone, db.cursor, db.commit, db.rollback, db.__enter__, lambda: other.execute("SELECT 1")]
    for use in acts:
        with pytest.raises(dbapi.ProgrammingError, match="connection is closed"):
            use()
    other.close()


@pytest.mark.long
def test_a_connection_that_is_dropped_leaves_no_thread_and_no_warning(sandbox: Sandbox, connect: Connect) -> None:
    fill(sandbox, 120)
    before = threading.active_count()
    db = dbapi.connect(read_only=False)
    cursor = db.cursor().execute("SELECT id FROM fine_tuning_jobs")
    cursor.fetchone()
    reference = weakref.ref(db.native)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        del db, cursor
        gc.collect()
    assert reference() is None
    assert seen == []
    end = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.05)
    assert threading.active_count() <= before


def test_the_store_is_the_platforms_file_also_for_the_first_read_only_connection(
    sandbox: Sandbox, connect: Connect, tmp_path: Path
) -> None:
    fill(sandbox, 250)
    for expected in (3, 4):
        db = dbapi.connect()
        assert values(db, "SELECT count(*) FROM fine_tuning_jobs") == [(250,)]
        assert db.ftsql.store.path == str(tmp_path / "home/data/ftsql/store.db")
        db.close()
        assert len(gets(sandbox)) == expected


def test_a_store_that_cannot_be_used_is_a_warning_unless_it_was_named(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "data").write_text("no folder")
    with pytest.warns(dbapi.Warning, match="the journal of writes ends with the connection"):
        db = dbapi.connect()
    assert db.ftsql.store.path == ":memory:"
    db.close()
    monkeypatch.setenv("FTSQL_STORE", str(tmp_path / "home/data/store.db"))
    with pytest.raises(ftsql.StoreError):
        dbapi.connect()
    with pytest.raises(dbapi.OperationalError, match="read_only=False"):
        dbapi.connect(tmp_path / "nothing.db")
    with pytest.raises(dbapi.OperationalError, match="unable to open"):
        dbapi.connect(tmp_path / "no" / "folder.db", read_only=False, store=":memory:")
    with pytest.raises(dbapi.InterfaceError, match="unknown setting 'colour'"):
        dbapi.connect(colour="red", store=":memory:")


def test_no_error_or_repr_shows_a_key(sandbox: Sandbox, db: dbapi.Connection) -> None:
    sandbox.fault(Fault(path=r"/jobs$", method="GET", status=401, times=None))
    with pytest.raises(ftsql.APIError) as caught:
        values(db, "SELECT * FROM fine_tuning_jobs")
    for shown in (str(caught.value), repr(caught.value), repr(db), repr(db.cursor()), repr(vars(db))):
        assert CANARY not in shown
