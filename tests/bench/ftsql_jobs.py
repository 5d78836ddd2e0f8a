"""ftsql: each time with a new store in a file, as the command has it. ``warm``: it has listed all jobs before;
``max_age``: and shows again without a request what it saw less than a minute ago. ``kept``: until the store has all.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import ftsql
from tests.bench.asked import Ask, Asked, answer


@contextmanager
def opened(asked: Asked) -> Iterator[Ask]:
    os.environ.update(OPENAI_API_KEY=asked.key, OPENAI_BASE_URL=asked.base_url)
    sql = asked.sql.format(jobs="fine_tuning_jobs")
    age = 60.0 if asked.way == "max_age" else 0.0
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(ftsql.connect(providers="openai", store=Path(folder) / "store.db", max_age=age)) as db,
    ):
        db.execute(asked.setup)
        if asked.way in ("warm", "max_age"):
            db.execute("SELECT count(*) FROM fine_tuning_jobs").fetchall()
            db.ftsql.store.flush()

        def ask() -> list[Any]:
            rows = db.execute(sql).fetchall()
            if asked.way == "kept":
                db.ftsql.store.flush()
            return rows

        yield ask


if __name__ == "__main__":
    answer(opened)
