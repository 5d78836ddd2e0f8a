"""ftsql as a contender: each time with a new store in a file, as the command has it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import ftsql
from tests.bench.asked import Ask, Asked, answer


@contextmanager
def opened(asked: Asked) -> Iterator[Ask]:
    os.environ.update(OPENAI_API_KEY=asked.key, OPENAI_BASE_URL=asked.base_url)
    sql = asked.sql.format(jobs="fine_tuning_jobs")
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(ftsql.connect(providers="openai", store=Path(folder) / "store.db")) as db,
    ):
        db.execute(asked.setup)
        yield lambda: [row[0] for row in db.execute(sql).fetchall()]


if __name__ == "__main__":
    answer(opened)
