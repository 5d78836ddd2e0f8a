"""The rows of a long listing are the same in the temporary file and in memory."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

import ftsql
from ftsql.errors import OperationalError
from ftsql.read.spool import MOST, SIZE, RowSpool
from ftsql.resources.cells import whole
from ftsql.resources.definitions import JOBS
from ftsql.resources.resource import Row
from ftsql.sandbox import Sandbox
from tests.conftest import Connect, fill, gets

COUNT = 3 * MOST * SIZE + 7


def job(number: int, **fields: Any) -> dict[str, Any]:
    method = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.1}}}
    return {
        "id": f"ftjob-{number}",
        "created_at": number,
        "status": "failed",
        "method": method,
        "seed": number,
        **fields,
    }


@pytest.fixture
def made() -> tuple[RowSpool, list[Row]]:
    """Return a spool with many rows, and a plain list of the same rows."""
    plain = JOBS.rows("openai", [job(number) for number in range(COUNT)])
    rows = RowSpool()
    for row in plain:
        rows.append(row)
    return rows, plain


def same(one: Row, other: Row) -> bool:
    return whole(one) == whole(other) and one.raw == other.raw and one.nested("method") == other.nested("method")


def written(rows: RowSpool) -> int:
    """Return the number of parts in the file."""
    return sum(isinstance(part, tuple) for part in rows._parts)


def test_what_was_written_reads_as_it_was(made: tuple[RowSpool, list[Row]]) -> None:
    rows, plain = made
    assert written(rows) >= 2 * MOST
    assert len(rows) == COUNT
    assert all(same(one, other) for one, other in zip(rows, plain, strict=True))
    assert same(rows[-1], plain[-1])
    assert [row.id for row in rows[SIZE - 1 : SIZE + 1]] == [row.id for row in plain[SIZE - 1 : SIZE + 1]]
    with pytest.raises(IndexError):
        rows[COUNT]


def test_without_room_for_a_temporary_file_the_rows_stay_in_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    rows = RowSpool()
    for row in JOBS.rows("openai", [job(number) for number in range(COUNT)]):
        rows.append(row)
    assert written(rows) == 0
    assert [row.id for row in rows] == [f"ftjob-{number}" for number in range(COUNT)]


def test_a_file_that_breaks_is_an_error_and_not_a_short_list(made: tuple[RowSpool, list[Row]]) -> None:
    rows, _ = made
    assert rows._spill._file is not None
    rows._spill._file.truncate(100)
    with pytest.raises(OperationalError, match="TMPDIR"):
        list(rows)


def test_what_json_cannot_say_stays_in_memory() -> None:
    rows = RowSpool()
    for row in JOBS.rows("openai", [job(number, error={"message": "\ud800"} if number == 5 else None) for number in range(COUNT)]):  # fmt: skip
        rows.append(row)
    assert isinstance(rows._parts[0], list)
    assert written(rows) > MOST


@pytest.mark.long
def test_a_self_join_of_a_long_list_is_one_listing(sandbox: Sandbox, connect: Connect) -> None:
    ids = fill(sandbox, MOST * SIZE + 500)
    db: ftsql.Connection = connect()
    sql = (
        "SELECT count(*), count(DISTINCT one.id), min(one.method ->> '$.type') IS NULL FROM fine_tuning_jobs AS one "
        "JOIN (SELECT id, raw FROM fine_tuning_jobs) AS other ON one.raw = other.raw AND one.id = other.id"
    )
    assert db.execute(sql).fetchall() == [(len(ids), len(ids), 0)]
    assert len(gets(sandbox)) == len(ids) // 100


def test_a_file_that_takes_half_of_a_part_keeps_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = tempfile.TemporaryFile

    class Half:
        def __init__(self, *arguments: Any, **named: Any) -> None:
            self.file = honest(*arguments, **named)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def write(self, data: bytes) -> int:
            return int(self.file.write(data[: len(data) // 2]))

    monkeypatch.setattr(tempfile, "TemporaryFile", Half)
    rows = RowSpool()
    for row in JOBS.rows("openai", [job(number) for number in range(COUNT)]):
        rows.append(row)
    assert [row.id for row in rows] == [f"ftjob-{number}" for number in range(COUNT)]
