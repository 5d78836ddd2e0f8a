"""SQLAlchemy's Core and ORM through ``ftsql://``, with 1.4 and 2: their rows, their requests, and when these are sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.automap import automap_base

import ftsql
from ftsql.sandbox import Sandbox
from tests.conftest import fill, gets
from tests.write.fixtures import alive, posts

Engine = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("files")


def jobs(engine: Any, metadata: Any = None) -> Any:
    """Return the table with its key, as the ORM needs it."""
    key = sa.Column("key", sa.Text, primary_key=True, nullable=True)
    return sa.Table("fine_tuning_jobs", metadata or sa.MetaData(), key, autoload_with=engine)


def test_core_selects_joins_and_pushes_down(engine: Engine, own: str, sandbox: Sandbox) -> None:
    ids = fill(sandbox, 250, metadata={"team": "ads"})
    one = engine(own)
    metadata = sa.MetaData()
    table = jobs(one)
    mine = sa.Table("mine", metadata, sa.Column("job", sa.Text, primary_key=True), sa.Column("note", sa.Text))
    metadata.create_all(one)
    with one.begin() as connection:
        connection.execute(mine.insert(), [{"job": ids[5], "note": "good"}, {"job": "none", "note": "bad"}])
    before = len(gets(sandbox))
    with one.connect() as connection:
        joined = sa.select(mine.c.note, table.c.metadata).select_from(mine.join(table, mine.c.job == table.c.id))
        assert connection.execute(joined).fetchall() == [("good", '{"team":"ads"}')]
        assert len(gets(sandbox)) - before == 2
        one_id = sa.select(table.c.id).where(table.c.id == ids[7])
        assert connection.execute(one_id).scalar() == ids[7]
        assert len(gets(sandbox)) - before == 3
        empty = connection.execute(sa.select(table.c.id, table.c.status).where(table.c.id.is_(None)))
        assert (list(empty.keys()), empty.fetchall()) == (["id", "status"], [])
        matching = sa.select(sa.func.count()).select_from(table).where(table.c.id.op("REGEXP")("000[01]."))
        assert connection.execute(matching).scalar() == 20


@pytest.mark.parametrize("many", [False, True])
def test_an_insert_is_sent_at_commit_and_not_after_rollback(engine: Engine, sandbox: Sandbox, many: bool) -> None:
    one = engine("ftsql://?read_only=false")
    table = jobs(one)
    row = {"model": "gpt-4o-mini", "training_file": "file-a", "metadata": {"team": "ads"}, "method": None}
    with one.connect() as connection:
        result = connection.execute(table.insert(), [row, row] if many else row)
        assert (
            len(connection.execute(sa.text("SELECT body FROM ftsql_writes WHERE state = 'queued'")).fetchall())
            == 1 + many
        )
        if not many:
            with pytest.raises(sa.exc.InvalidRequestError, match="known only after COMMIT"):
                _ = result.inserted_primary_key
        connection.rollback()
    assert posts(sandbox) == []
    with one.begin() as connection:
        connection.execute(table.insert(), [row, row] if many else row)
        connection.execute(
            table.insert().from_select(
                ["model", "training_file"], sa.select(sa.literal("m"), sa.literal("f")).where(sa.false())
            )
        )
        assert posts(sandbox) == []
    assert [body["training_file"] for _, body in posts(sandbox)] == ["file-a"] * (1 + many)
    with one.connect() as connection:
        assert connection.connection.last_job_id == sandbox.jobs()[0]["id"]


def test_a_commit_that_the_api_refuses_fails_and_the_engine_goes_on(engine: Engine, sandbox: Sandbox) -> None:
    one = engine("ftsql://?read_only=false")
    table = jobs(one)
    with pytest.raises(sa.exc.OperationalError, match="file-none") as caught, one.begin() as connection:
        connection.execute(
            table.insert(), [{"model": "gpt-4o-mini", "training_file": f"file-{end}"} for end in ("a", "none")]
        )
    assert isinstance(caught.value.orig, ftsql.APIError)
    assert alive(sandbox) == []
    with one.begin() as connection:
        connection.execute(table.insert().values(model="gpt-4o-mini", training_file="file-b"))
    assert alive(sandbox) == ["file-b"]


def test_returning_is_refused_for_jobs_and_works_for_own_tables(engine: Engine, own: str) -> None:
    one = engine(own)
    table = jobs(one)
    mine = sa.Table("mine", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("data", sa.JSON))
    mine.create(one)
    with one.begin() as connection:
        assert tuple(connection.execute(mine.insert().values(data=[1])).inserted_primary_key) == (1,)
        assert connection.execute(sa.select(mine.c.data)).scalar() == [1]
        key = sa.Column("key", sa.Text, primary_key=True, server_default=sa.FetchedValue())
        keyed = sa.Table("fine_tuning_jobs", sa.MetaData(), key, autoload_with=one)
        assert "RETURNING" not in str(keyed.insert().values(model="m").compile(connection))
        with pytest.raises(sa.exc.CompileError, match="known only after COMMIT"):
            connection.execute(table.insert().values(model="m", training_file="f").returning(table.c.id))


def test_the_orm_reads_and_cancels_jobs_but_cannot_insert_them(engine: Engine, sandbox: Sandbox) -> None:
    ids = [sandbox.add_job(status="running")["id"] for _ in range(2)]
    one = engine("ftsql://?read_only=false")
    base = orm.declarative_base()

    class Job(base):  # type: ignore[valid-type,misc]
        __table__ = jobs(one, base.metadata)

    class Mine(base):  # type: ignore[valid-type,misc]
        __tablename__ = "mine"
        id = sa.Column(sa.Integer, primary_key=True)
        note = sa.Column(sa.Text)

    base.metadata.create_all(one, [Mine.__table__])
    with orm.Session(one) as session:
        session.add_all([Mine(note="a"), Mine(note="b")])
        session.commit()
        assert [mine.id for mine in session.query(Mine)] == [1, 2]
        job = session.query(Job).filter(Job.id == ids[0]).one()
        assert job.key == f"openai/{ids[0]}"
        job.status = "cancelled"
        session.flush()
        assert posts(sandbox) == []
        session.commit()
        assert job.status == "cancelled"
    assert [path for path, _ in posts(sandbox)] == [f"/{ids[0]}/cancel"]
    for count in (1, 2):
        with orm.Session(one) as session:
            session.add_all([Job(model="gpt-4o-mini", training_file="file-a") for _ in range(count)])
            with pytest.raises(sa.exc.InvalidRequestError, match="insert with Core"):
                session.commit()
    with orm.Session(one) as session:
        session.execute(sa.insert(Job.__table__).values(model="gpt-4o-mini", training_file="file-a"))
        session.commit()
    assert len(posts(sandbox)) == 2


def test_automap_and_drop_all_leave_the_live_tables_alone(engine: Engine, own: str) -> None:
    one = engine(own)
    with one.begin() as connection:
        connection.execute(sa.text("CREATE TABLE mine (id INTEGER PRIMARY KEY)"))
    base = automap_base()
    base.prepare(autoload_with=one)
    assert list(base.classes.keys()) == ["mine"]
    with pytest.raises(sa.exc.DBAPIError, match="part of ftsql"):
        sa.Table("fine_tuning_jobs", sa.MetaData(), schema="live").drop(one)
    assert sa.inspect(one).has_table("fine_tuning_jobs")


def test_isolation_levels_are_serializable_and_autocommit(engine: Engine, sandbox: Sandbox) -> None:
    one = engine("ftsql://?read_only=false")
    table = jobs(one)
    row = {"model": "gpt-4o-mini", "training_file": "file-a"}
    with one.connect() as connection:
        assert connection.get_isolation_level() == "SERIALIZABLE"
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(table.insert().values(row))
        assert len(posts(sandbox)) == 1
    with one.connect() as connection:
        assert connection.get_isolation_level() == "SERIALIZABLE"
        connection.execute(table.insert().values(row))
        connection.rollback()
        assert len(posts(sandbox)) == 1
    with engine("ftsql://?read_only=false", isolation_level="AUTOCOMMIT").connect() as connection:
        assert connection.get_isolation_level() == "AUTOCOMMIT"
    with pytest.raises(sa.exc.ArgumentError), engine().connect() as connection:
        connection.execution_options(isolation_level="READ COMMITTED")


def test_a_nested_transaction_sends_nothing_at_its_end(engine: Engine, sandbox: Sandbox) -> None:
    one = engine("ftsql://?read_only=false")
    table = jobs(one)
    with one.begin() as connection:
        with connection.begin_nested():
            connection.execute(table.insert().values(model="gpt-4o-mini", training_file="file-a"))
        assert posts(sandbox) == []
        nested = connection.begin_nested()
        connection.execute(table.insert().values(model="gpt-4o-mini", training_file="file-b"))
        nested.rollback()
    assert alive(sandbox) == ["file-a"]


def test_a_read_only_engine_refuses_writes(engine: Engine, sandbox: Sandbox) -> None:
    one = engine()
    with one.connect() as connection, pytest.raises(sa.exc.ProgrammingError, match="read-only|may not be modified"):
        connection.execute(jobs(one).insert().values(model="m", training_file="f"))
    assert posts(sandbox) == []
