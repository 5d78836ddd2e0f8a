"""pandas and JupySQL over ``ftsql://``, as notebooks use them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ftsql.sandbox import Sandbox
from tests import documents
from tests.conftest import Connect, fill
from tests.documents import absent, needed
from tests.write.fixtures import ONE, posts

pytestmark = pytest.mark.long

try:
    import pandas as pd
except ImportError:
    pd = None


@pytest.fixture
def engine(sandbox: Sandbox, connect: Connect, tmp_path: Path) -> Iterator[Any]:
    needed("pandas")
    if sa.__version__ < "2":
        absent("this pandas needs SQLAlchemy 2")
    one = sa.create_engine(f"ftsql:///{tmp_path}/own.db?read_only=false")
    yield one
    one.dispose()


def test_pandas_reads_jobs_typed_and_an_empty_answer_with_its_columns(sandbox: Sandbox, engine: Any) -> None:
    ids = fill(sandbox, 3, metadata={"team": "ads"})
    frame = pd.read_sql("SELECT id, created_at, metadata FROM fine_tuning_jobs ORDER BY created_at DESC", engine)
    assert list(frame["id"]) == ids
    assert (frame["created_at"].dtype.kind, frame["metadata"][0]) == ("i", '{"team":"ads"}')
    empty = pd.read_sql("SELECT id, created_at FROM fine_tuning_jobs WHERE status = 'nothing'", engine)
    assert (list(empty.columns), len(empty)) == (["id", "created_at"], 0)
    found = pd.read_sql(sa.text("SELECT id FROM fine_tuning_jobs WHERE id = :id"), engine, params={"id": ids[1]})
    assert list(found["id"]) == [ids[1]]
    times = pd.read_sql("SELECT created FROM jobs", engine, parse_dates=["created"])
    assert times["created"].dtype.kind == "M"


def test_pandas_reads_whole_tables_by_name(sandbox: Sandbox, engine: Any) -> None:
    fill(sandbox, 120)
    for schema in (None, "main", "live"):
        frame = pd.read_sql_table("fine_tuning_jobs", engine, schema=schema)
        assert frame.shape == (120, 20)
    view = pd.read_sql_table("jobs", engine)
    assert view["created"].dtype.kind == "M"
    assert view.drop_duplicates().shape[0] == 120
    assert sum(len(part) for part in pd.read_sql("SELECT id FROM fine_tuning_jobs", engine, chunksize=50)) == 120


def test_pandas_writes_a_local_table_that_joins_with_jobs(sandbox: Sandbox, engine: Any) -> None:
    ids = fill(sandbox, 5)
    notes = pd.DataFrame({"job": ids[:3], "score": [0.5, 0.7, 0.9], "seen": pd.to_datetime(["2026-01-01"] * 3)})
    assert notes.to_sql("notes", engine, index=False) == 3
    assert notes.to_sql("notes", engine, index=False, if_exists="append") == 3
    assert notes.to_sql("notes", engine, index=False, if_exists="replace") == 3
    joined = pd.read_sql("SELECT score, status FROM notes JOIN fine_tuning_jobs ON id = job ORDER BY score", engine)
    assert joined.to_dict("list") == {"score": [0.5, 0.7, 0.9], "status": ["succeeded"] * 3}
    with pytest.raises(sa.exc.DBAPIError, match="part of ftsql"):
        notes.to_sql("fine_tuning_jobs", engine, if_exists="replace")
    with pytest.raises(ValueError, match="already exists"):
        notes.to_sql("fine_tuning_jobs", engine)
    assert posts(sandbox) == []


@pytest.mark.usefixtures("files")
def test_a_frame_can_be_a_sweep_under_max_writes(sandbox: Sandbox, engine: Any) -> None:
    sweep = pd.DataFrame(
        {"model": "gpt-4o-mini", "training_file": [f"file-{name}" for name in "abc"], "seed": [1, 2, 3]}
    )
    assert sweep.to_sql("fine_tuning_jobs", engine, index=False, if_exists="append") == 3
    assert [(body["training_file"], body["seed"]) for _, body in posts(sandbox)] == [
        ("file-a", 1),
        ("file-b", 2),
        ("file-c", 3),
    ]
    many = pd.concat([sweep] * 7)
    with pytest.raises(pd.errors.DatabaseError, match="max_writes = 20"):
        many.to_sql("fine_tuning_jobs", engine, index=False, if_exists="append")
    with pytest.raises(sa.exc.DBAPIError, match="20 other queued writes were not sent"):
        many.to_sql("fine_tuning_jobs", engine, index=False, if_exists="append", chunksize=10)
    assert len(posts(sandbox)) == 3


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Any]:
    with documents.notebook(tmp_path) as shell:

        def run(cell: str) -> Any:
            result = shell.run_cell(cell)
            result.raise_error()
            return result.result

        run("%load_ext sql")
        yield run


@pytest.mark.usefixtures("files")
def test_jupysqls_magics_list_describe_query_and_write(
    sandbox: Sandbox, engine: Any, notebook: Any, tmp_path: Path
) -> None:
    ids = fill(sandbox, 3)
    notebook(f"%sql ftsql:///{tmp_path}/own.db?read_only=false --alias own")
    assert "fine_tuning_jobs" in str(notebook("%sqlcmd tables"))
    assert "trained_tokens" in str(notebook("%sqlcmd columns -t fine_tuning_jobs"))
    assert notebook("%sql SELECT id FROM fine_tuning_jobs ORDER BY created_at DESC").DataFrame()["id"].tolist() == ids
    result = notebook("%%sql\nSELECT status, count(*) AS n\nFROM jobs GROUP BY 1")
    assert [tuple(row) for row in result] == [("succeeded", 3)]
    assert len(notebook("%sql SELECT id FROM fine_tuning_jobs WHERE 0")) == 0
    notebook("%sql " + ONE)
    assert len(posts(sandbox)) == 1
    notebook("%sql --close own")
