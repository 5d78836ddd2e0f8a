"""Where the rows are here already: ``table``, a plain one; ``module``, APSW's virtual table over a list in memory;
``snapshot``, the file that ftsql sync wrote. The last two columns of issue: what no request could make quicker.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw
import apsw.ext

from ftsql.sync.rounds import sync
from tests.bench.asked import Ask, Asked, answer
from tests.bench.floor_jobs import bare, listed
from tests.bench.questions import COLUMNS

NAMES = COLUMNS.split(", ")


@contextmanager
def opened(asked: Asked) -> Iterator[Ask]:
    with tempfile.TemporaryDirectory() as folder, closing(MADE[asked.way](asked, folder)) as db:
        db.execute(asked.setup)
        sql = asked.sql.format(jobs="fine_tuning_jobs")
        yield lambda: db.execute(sql).fetchall()


def _rows(asked: Asked) -> list[tuple[Any, ...]]:
    with bare(asked) as get:
        return [tuple(_plain(job[name]) for name in NAMES) for job in listed(get)]


def _plain(value: Any) -> Any:
    return json.dumps(value, separators=(",", ":")) if isinstance(value, (dict, list)) else value


def _table(asked: Asked, folder: str) -> apsw.Connection:
    db = apsw.Connection(":memory:")
    db.execute(f"CREATE TABLE fine_tuning_jobs ({COLUMNS}); CREATE INDEX by_id ON fine_tuning_jobs (id)")
    db.executemany(f"INSERT INTO fine_tuning_jobs VALUES ({', '.join('?' * len(NAMES))})", _rows(asked))
    return db


def _module(asked: Asked, folder: str) -> apsw.Connection:
    db = apsw.Connection(":memory:")
    rows = _rows(asked)

    def jobs() -> list[tuple[Any, ...]]:
        return rows

    shown: Any = jobs
    shown.columns, shown.column_access = NAMES, apsw.ext.VTColumnAccess.By_Index
    apsw.ext.make_virtual_module(db, "fine_tuning_jobs", shown)
    return db


def _snapshot(asked: Asked, folder: str) -> apsw.Connection:
    os.environ.update(OPENAI_API_KEY=asked.key, OPENAI_BASE_URL=asked.base_url)
    path = Path(folder) / "jobs.db"
    sync(path, tables=["jobs"], providers="openai")
    return apsw.Connection(str(path))


MADE: dict[str, Callable[[Asked, str], apsw.Connection]] = {
    "table": _table, "module": _module, "snapshot": _snapshot
}  # fmt: skip

if __name__ == "__main__":
    answer(opened)
