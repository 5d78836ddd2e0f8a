"""SQLAlchemy through ``ftsql://``, with 1.4 and 2: URLs, reflection, pools."""

from __future__ import annotations

import datetime
import sys
import threading
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import pool

import ftsql
from ftsql import dbapi
from ftsql.resources.definitions import TABLES
from ftsql.sandbox import Fault, Sandbox
from tests.conftest import CANARY, fill, gets

Engine = Callable[..., Any]
OWN = ["ftsql_columns", "ftsql_methods", "ftsql_providers", "ftsql_requests", "ftsql_writes"]
LIVE = sorted([*TABLES, *OWN])
VIEWS = ["checkpoints", "jobs"]


def test_the_url_alone_finds_the_dialect(engine: Engine, sandbox: Sandbox) -> None:
    fill(sandbox, 3)
    with engine().connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM fine_tuning_jobs")).scalar() == 3
    assert engine().dialect.name == "sqlite"
    assert str(engine("ftsql:////some/own.db?max_age=30").url) == "ftsql:////some/own.db?max_age=30"


def test_the_parameters_of_a_url_are_options_of_connect(
    engine: Engine, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTKEY_API_KEY", CANARY)
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY", CANARY)
    store = tmp_path / "kept.db"
    one = engine(f"ftsql:///{tmp_path}/own.db?provider=openai,portkey&read_only=no&store={store}&max_age=30&timeout=7")
    with one.connect() as connection:
        raw = connection.connection
        assert raw.ftsql.accounts == ("openai", "portkey")
        assert raw.ftsql.store.path == str(store)
        settings = raw.ftsql._session.settings
        assert (settings.max_age, settings.timeout) == (30.0, 7.0)
        connection.execute(sa.text("CREATE TABLE made (a)"))
    with engine("ftsql://?providers=openai&providers=portkey").connect() as connection:
        assert connection.connection.ftsql.accounts == ("openai", "portkey")
    with engine("ftsql://?sandbox=true&provider=telnyx").connect() as connection:
        assert connection.execute(sa.text("SELECT DISTINCT provider FROM fine_tuning_jobs")).fetchall() == [("telnyx",)]


REFUSED = [
    ("ftsql://?colour=red", "no parameter 'colour'; it has read_only, .*environment"),
    (f"ftsql://?api_key={CANARY}", "no parameter 'api_key'"),
    (f"ftsql://?{CANARY}=1", "no parameter of that name"),
    (f"ftsql://user:{CANARY}@/x.db", "no user, password or key: .*OPENAI_API_KEY"),
    (f"ftsql://{CANARY}/x.db", "has no host. A file follows three slashes"),
    ("ftsql://?read_only=perhaps", "read_only is true or false"),
    ("ftsql://?max_age=soon", "invalid max_age 'soon' .*expected a number"),
    ("ftsql://?max_requests=-1", "expected a number above 0"),
    ("ftsql://?store=a&store=b", "store more than once"),
]


@pytest.mark.parametrize(("url", "words"), REFUSED, ids=[url for url, _ in REFUSED])
def test_an_invalid_url_names_the_error_and_shows_no_key(engine: Engine, url: str, words: str) -> None:
    with pytest.raises(sa.exc.ArgumentError, match=words) as caught:
        engine(url)
    assert CANARY not in str(caught.value)


def test_a_relative_file_stays_the_same_after_chdir(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = engine("ftsql:///own.db?read_only=false", poolclass=pool.NullPool)
    monkeypatch.chdir("/")
    with one.begin() as connection:
        connection.execute(sa.text("CREATE TABLE mine (a)"))
    assert (tmp_path / "own.db").exists()


def test_an_error_of_an_engine_shows_no_key(engine: Engine, sandbox: Sandbox) -> None:
    sandbox.fault(Fault(path=r"/jobs$", status=401, times=None))
    one = engine()
    with one.connect() as connection:
        with pytest.raises(sa.exc.OperationalError) as caught:
            connection.execute(sa.text("SELECT * FROM fine_tuning_jobs"))
        assert isinstance(caught.value.orig, ftsql.AuthenticationError)
        for shown in (caught.value, one, repr(one), one.url, connection, one.pool.status(), vars(one.dialect)):
            assert CANARY not in str(shown)


@pytest.mark.parametrize("schema", [None, "main", "live"])
def test_the_live_tables_are_reflected_in_every_schema(engine: Engine, own: str, schema: str | None) -> None:
    one = engine(own)
    with one.begin() as connection:
        connection.execute(sa.text("CREATE TABLE mine (id INTEGER PRIMARY KEY, job TEXT UNIQUE, data JSON)"))
        connection.execute(sa.text("CREATE VIEW ours AS SELECT job FROM mine"))
    look = sa.inspect(one)
    assert look.default_schema_name == "main"
    assert look.get_schema_names() == ["main", "live"]
    assert look.get_table_names(schema) == sorted(LIVE + (["mine"] if schema != "live" else []))
    assert look.get_view_names(schema) == {None: [*VIEWS, "ours"], "main": ["ours"], "live": VIEWS}[schema]
    assert look.has_table("fine_tuning_jobs", schema)
    assert not look.has_table("nothing", schema)
    columns = look.get_columns("fine_tuning_jobs", schema)
    assert [column["name"] for column in columns][:3] == ["id", "created_at", "error"]
    assert columns[-1]["name"] == "provider"
    assert {str(column["type"]) for column in columns} == {"TEXT", "INTEGER"}
    assert "created" in columns[1]["comment"]
    for name in ("fine_tuning_jobs", "ftsql_writes"):
        assert look.get_pk_constraint(name, schema)["constrained_columns"] == []
        for method in ("get_indexes", "get_foreign_keys", "get_unique_constraints", "get_check_constraints"):
            assert getattr(look, method)(name, schema) == []
    if schema != "live":
        assert [str(column["type"]) for column in look.get_columns("mine", schema)] == ["INTEGER", "TEXT", "JSON"]
        assert look.get_pk_constraint("mine", schema)["constrained_columns"] == ["id"]
        assert look.get_unique_constraints("mine", schema) == [{"name": None, "column_names": ["job"]}]
    if schema != "main":
        types = {column["name"]: str(column["type"]) for column in look.get_columns("jobs", schema)}
        assert {types[name] for name in ("created", "finished")} == {"DATETIME"}
        assert {types[name] for name in ("status", "method", "error_message", "metadata")} == {"TEXT"}
        assert types["minutes"] == "REAL"
        assert "CREATE VIEW" in (look.get_view_definition("jobs", schema) or "")
    table = sa.Table("fine_tuning_jobs", sa.MetaData(), schema=schema, autoload_with=one)
    with one.connect() as connection:
        assert connection.execute(sa.select(table)).fetchall() == []


def test_a_table_in_the_file_hides_ours(engine: Engine, own: str) -> None:
    one = engine(own)
    with one.begin() as connection:
        connection.execute(sa.text("CREATE TABLE Fine_Tuning_Jobs (id TEXT PRIMARY KEY, data JSON)"))
    look = sa.inspect(one)
    assert [column["name"] for column in look.get_columns("fine_tuning_jobs")] == ["id", "data"]
    assert look.get_pk_constraint("Fine_Tuning_Jobs")["constrained_columns"] == ["id"]
    assert len(look.get_columns("fine_tuning_jobs", "live")) == 20
    assert look.get_table_names().count("fine_tuning_jobs") + look.get_table_names().count("Fine_Tuning_Jobs") == 1


def test_times_of_the_view_are_datetimes_in_both_directions(engine: Engine, sandbox: Sandbox) -> None:
    fill(sandbox, 3, newest=1_790_000_000)
    one = engine()
    view = sa.Table("jobs", sa.MetaData(), autoload_with=one)
    newest = datetime.datetime(2026, 9, 21, 14, 13, 20)
    with one.connect() as connection:
        times = connection.execute(sa.select(view.c.created).order_by(view.c.created.desc())).scalars().all()
        assert times[0] == newest
        assert connection.execute(sa.select(sa.func.count()).where(view.c.created >= newest)).scalar() == 1
        assert connection.execute(sa.select(view.c.id).where(view.c.created == newest)).scalar() == "ftjob-00000"


@pytest.mark.parametrize("address", ["ftsql://", "ftsql://?read_only=false", "own"])
@pytest.mark.long
def test_eight_threads_share_an_engine(engine: Engine, sandbox: Sandbox, own: str, address: str) -> None:
    fill(sandbox, 150)
    one = engine(own if address == "own" else address)
    assert isinstance(one.pool, pool.SingletonThreadPool if "read_only" in address else pool.QueuePool)
    found: list[Any] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                with one.connect() as connection:
                    found.append(connection.execute(sa.text("SELECT count(*) FROM fine_tuning_jobs")).scalar())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert found == [150] * 40


def test_a_dashboard_of_new_connections_lists_once_within_max_age(engine: Engine, sandbox: Sandbox) -> None:
    fill(sandbox, 450)
    for number in range(20):
        sandbox.add_job(status="running", created_at=1_790_000_100 + number)
    one = engine("ftsql://?max_age=60", poolclass=pool.NullPool)
    dashboard = [
        "SELECT count(*) FROM fine_tuning_jobs", "SELECT status, count(*) FROM fine_tuning_jobs GROUP BY 1",
        "SELECT model, count(*) FROM jobs GROUP BY 1", "SELECT * FROM fine_tuning_jobs ORDER BY created_at DESC LIMIT 10",
        "SELECT * FROM fine_tuning_jobs WHERE status = 'running'", "SELECT max(created_at) FROM fine_tuning_jobs",
    ]  # fmt: skip
    for _ in range(3):
        for sql in dashboard:
            with one.connect() as connection:
                connection.execute(sa.text(sql)).fetchall()
        assert len(gets(sandbox)) == 5  # ⌈470/100⌉, the first time only


def test_the_module_that_the_dialect_uses_is_ours(engine: Engine) -> None:
    assert engine().dialect.dbapi is dbapi
    raw = engine().raw_connection()
    cursor = raw.cursor()
    cursor.execute("SELECT 1")
    assert cursor.fetchall() == [(1,)]
    raw.close()


def test_superset_finds_the_engine_and_parses_its_sql_as_sqlites(monkeypatch: pytest.MonkeyPatch) -> None:
    dialects = pytest.importorskip("sqlglot.dialects.dialect")
    known: dict[str, Any] = {}
    modules: dict[str, dict[str, Any]] = {
        "superset": {},
        "superset.sql": {},
        "superset.sql.parse": {"SQLGLOT_DIALECTS": known},
        "superset.db_engine_specs": {},
        "superset.db_engine_specs.sqlite": {"SqliteEngineSpec": object},
    }
    for name, members in modules.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    (entry,) = entry_points(group="superset.db_engine_specs", name="ftsql")
    monkeypatch.delitem(sys.modules, "ftsql.sqlalchemy.superset", raising=False)
    assert entry.load().engine == "ftsql"
    assert known == {"ftsql": dialects.Dialects.SQLITE}
    monkeypatch.delitem(sys.modules, "ftsql.sqlalchemy.superset")
