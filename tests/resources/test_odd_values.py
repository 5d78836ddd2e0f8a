"""One odd value never hides a table: of an object only the id must be right."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest

import ftsql
from ftsql.resources.definitions import CHECKPOINTS, EVENTS, FILES, JOBS, MODELS, PERMISSIONS
from ftsql.resources.resource import Resource
from tests.answering import PATH, Answering, Asked, Response, job
from tests.conftest import At

# What does not fit a column of each type. The same value may be right elsewhere: a text takes a number.
TEXTS = ["", "auto", "1,234", "N/A", "1e", "0x1F", "٣"]
ODD: dict[str, list[Any]] = {
    "TEXT": [[], {}, True, ["a"], {"id": "x"}],
    "INTEGER": [*TEXTS[1:], 1234.5, "1234.5", True, [], {}, [5], 2**63, -(2**80), math.nan, math.inf],
}
ODD_TIMES = [
    *TEXTS[1:], True, [], {}, [1_790_000_000], 10**11 - 1, 10**30, "Thu, 01 Jan 2026 00:00:00 GMT", "2026-13-45", "01/02/2026",
    "2026-01-01 25:00", "tomorrow", 1e300, "9" * 30,
]  # fmt: skip
UNSET_TIMES = [0, -1, "", "0", "-1", 0.0, math.nan, "0001-01-01T00:00:00Z", -62135596800, None]


def _types(resource: Resource) -> dict[str, str]:
    """The optional fields of a resource's model that have a plain column, with its type; time is one of its own."""
    found: dict[str, str] = {}
    for name, hint in get_type_hints(resource.model, include_extras=True).items():
        column = next((each for each in resource.documented if each.name == name), None)
        if column is not None and name not in ("id", resource.parent) and column.type != "JSON":
            time = "seconds" in repr(get_args(hint)) and "_seconds" in repr(hint)
            found[name] = "TIME" if time else column.type
    assert found
    assert get_origin(hint) is not None
    return found


def _cases() -> Iterator[tuple[Resource, str, Any]]:
    for resource in (JOBS, EVENTS, CHECKPOINTS, PERMISSIONS, FILES, MODELS):
        for name, kind in _types(resource).items():
            for value in ODD_TIMES if kind == "TIME" else ODD[kind]:
                yield resource, name, value


CASES = list(_cases())


def _serving(resource: Resource, objects: list[Any]) -> Answering:
    def answering(asked: Asked) -> Any:
        if resource is not JOBS and asked.path == f"{PATH}/ftjob-00000":
            return job()
        if resource is not JOBS and asked.path == PATH:
            return {"data": [job()], "has_more": False}
        return {"data": objects, "has_more": False}

    return answering


def _all(db: ftsql.Connection, resource: Resource, columns: str) -> list[Any]:
    where = {
        "fine_tuning_job_id": " WHERE fine_tuning_job_id = 'ftjob-00000'",
        "fine_tuned_model_checkpoint": " WHERE fine_tuned_model_checkpoint = 'ft:x'",
    }.get(resource.parent, "")
    return db.execute(f"SELECT {columns} FROM {resource.table}{where}").fetchall()


def _thing(resource: Resource, number: int) -> dict[str, Any]:
    if resource is JOBS:
        return job(number)
    values = {"TEXT": "a text", "INTEGER": 7, "TIME": 1_790_000_000}
    return {"id": f"one-{number}", **{name: values[kind] for name, kind in _types(resource).items()}}


def test_there_are_odd_values_of_every_resource() -> None:
    assert len(CASES) > 60
    assert {resource.table for resource, _, _ in CASES} == {
        each.table for each in (JOBS, EVENTS, CHECKPOINTS, PERMISSIONS, FILES, MODELS)
    }


@pytest.mark.parametrize(
    ("resource", "name", "value"), CASES, ids=[f"{each.table}.{name}={value!r:.20}" for each, name, value in CASES]
)
@pytest.mark.long
def test_an_odd_optional_value_is_null_with_one_warning_and_raw_has_it(
    at: At, resource: Resource, name: str, value: Any
) -> None:
    things = [_thing(resource, number) for number in range(3)]
    honest = [dict(each) for each in things]
    things[1][name] = value
    _, db = at(_serving(resource, things))
    with pytest.warns(ftsql.Warning, match=rf"^openai: {name} of the .* does not fit the column: it is NULL") as told:
        rows = _all(db, resource, f"id, {name}, raw ->> '$.{name}'")
    assert len(told) == 1
    assert [row[0] for row in rows] == [each["id"] for each in honest]
    assert rows[1][1] is None
    assert [row[1] for row in (rows[0], rows[2])] == [honest[0].get(name), honest[2].get(name)]
    if isinstance(value, str):
        assert rows[1][2] == value


@pytest.mark.parametrize("value", UNSET_TIMES, ids=repr)
def test_a_time_that_is_not_set_is_null_without_a_warning(at: At, value: Any) -> None:
    _, db = at(_serving(JOBS, [job(finished_at=value)]))
    assert db.execute("SELECT finished, minutes > 0 FROM jobs").fetchall() == [(None, 1)]


@pytest.mark.parametrize(
    "value",
    [
        1_790_000_000,
        1_790_000_000.9,
        1_790_000_000_900,
        1_790_000_000_900_000,
        1_790_000_000_900_000_000,
        "1790000000",
        " 1790000000.5 ",
        "1790000000900",
        "2026-09-21T14:13:20Z",
        "2026-09-21T14:13:20.999999+00:00",
        "2026-09-21 14:13:20",
        "2026-09-21T10:13:20-04:00",
        "20260921T141320Z",
        "2026-09-21T14:13:20",
    ],
    ids=repr,
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_a_time_is_the_same_second_in_every_form_and_time_zone(
    at: At, in_zone: Callable[[str], None], value: Any, zone: str
) -> None:
    in_zone(zone)
    _, db = at(_serving(JOBS, [job(created_at=value)]))
    assert db.execute("SELECT created_at FROM fine_tuning_jobs").fetchall() == [(1_790_000_000,)]


@pytest.mark.parametrize(
    "value",
    [
        "9999-12-31T23:59:59Z", 253_402_300_799, 253_402_300_799_000, "253402300799", 99_999_999_999, 1e11,
        999_999_999_999, "9" * 12,
    ],
    ids=repr,
)  # fmt: skip
def test_the_last_year_is_not_a_time_in_another_unit(at: At, value: Any) -> None:
    _, db = at(_serving(JOBS, [job(finished_at=value)]))
    with pytest.warns(ftsql.Warning, match="does not fit the column: it is NULL"):
        assert db.execute("SELECT finished_at FROM fine_tuning_jobs").fetchall() == [(None,)]


def test_a_date_of_eight_digits_is_a_date(at: At) -> None:
    _, db = at(_serving(JOBS, [job(created_at="20300101")]))
    assert db.execute("SELECT date(created_at, 'unixepoch') FROM fine_tuning_jobs").get == "2030-01-01"


@pytest.mark.parametrize("object", [{"status": "running"}, {"id": ""}, {"id": None}, {"id": []}, "x", None, 5, []])
def test_an_object_without_an_id_is_an_error(at: At, object: Any) -> None:
    _, db = at(_serving(JOBS, [job(0), object]))
    with pytest.raises(ftsql.Error, match="openai: sent a fine-tuning job that does not follow"):
        db.execute("SELECT id FROM fine_tuning_jobs").fetchall()


def test_many_odd_values_are_one_warning_and_sync_goes_on(at: At, tmp_path: Path) -> None:
    from ftsql.sync.rounds import sync

    things = [job(number, seed="auto", finished_at="N/A", trained_tokens=[number]) for number in range(5)]
    _, db = at(_serving(JOBS, things))
    with pytest.warns(ftsql.Warning, match="does not fit the column") as told:
        found = db.execute("SELECT count(*), count(seed), count(finished_at) FROM fine_tuning_jobs").fetchall()
    assert found == [(5, 0, 0)]
    assert len(told) == 1
    with pytest.warns(ftsql.Warning, match="does not fit the column"):
        (done,) = sync(tmp_path / "jobs.db", tables=["jobs"])
    assert not done.failed
    assert done.changes[0].rows == 5


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (rb"cut \ud83d", "cut \ufffd"),
        (rb"\udE00 low", "\ufffd low"),
        (rb"\ude00\uD83D\ud83d\ude00", "\ufffd\ufffd\U0001f600"),
        (rb"\\ud83d is no half, \ud83d is", "\\ud83d is no half, \ufffd is"),
        (rb"two \ud83d\ud83d", "two \ufffd\ufffd"),
    ],
)
def test_half_of_a_surrogate_pair_is_replaced_and_hides_no_table(at: At, sent: bytes, shown: str) -> None:
    body = json.dumps({"data": [job(1, organization_id="ORG"), job(2)], "has_more": False}).encode()
    _, db = at(lambda asked: Response(body.replace(b"ORG", sent)))
    rows = db.execute("SELECT id, organization_id FROM fine_tuning_jobs ORDER BY created_at DESC").fetchall()
    assert [id for id, _ in rows] == ["ftjob-00001", "ftjob-00002"]
    assert rows[0][1] == shown
