"""What is asked of every contender, in SQL and by hand, with the answer that is right.

The columns are named one by one, so that all of them read the same.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tests.bench.server import MODELS, NEWEST, SPAN, Server, places

COLUMNS = (
    "id, created_at, error, estimated_finish, fine_tuned_model, finished_at, hyperparameters, integrations, metadata, "
    "method, model, object, organization_id, result_files, seed, status, trained_tokens, training_file, validation_file"
)
ASKED = 200  # ids
SINCE = NEWEST - SPAN // 2  # a year


@dataclass(frozen=True)
class Question:
    """``sql`` has {jobs} for the table, ``shape`` is the same by hand. ``right``: the first column, sorted."""

    title: str
    sql: str
    shape: str
    right: list[str]


def asked_ids(server: Server) -> list[str]:
    """The ids that are asked for, from all over the list."""
    return [server.ids[place] for place in places(ASKED, len(server.ids))]


def local_table(server: Server) -> str:
    """The SQL of the table that one question joins."""
    rows = ", ".join(f"('{id}', 'note {number}')" for number, id in enumerate(asked_ids(server)))
    return f"CREATE TABLE mine (id TEXT PRIMARY KEY, note TEXT); INSERT INTO mine VALUES {rows}"


def questions(server: Server) -> list[Question]:
    """All of them, for what this server has."""
    ids = asked_ids(server)
    size = len(server.ids)
    one = server.ids[1]
    of_a_year = Counter(MODELS[n % len(MODELS)] for n in range(size) if NEWEST - n * SPAN // size >= SINCE)
    listed = ", ".join(f"'{id}'" for id in ids)
    status = "SELECT id, model, created_at FROM {jobs} WHERE status = 'running'"
    return [
        Question(f"all {size:,} jobs, all columns", f"SELECT {COLUMNS} FROM {{jobs}}", "list", sorted(server.ids)),
        Question(f"all {size:,} jobs, two columns", "SELECT id, status FROM {jobs}", "list", sorted(server.ids)),
        Question("`count(*)`", "SELECT count(*) FROM {jobs}", "count", [str(size)]),
        Question("one id", f"SELECT {COLUMNS} FROM {{jobs}} WHERE id = '{one}'", "one", [one]),
        Question(
            f"`id IN (…)`, {ASKED} ids", f"SELECT {COLUMNS} FROM {{jobs}} WHERE id IN ({listed})", "ids", sorted(ids)
        ),
        Question(
            f"`JOIN` with {ASKED} local ids",
            "SELECT job.id, note, status, trained_tokens FROM mine JOIN {jobs} AS job ON job.id = mine.id",
            "ids",
            sorted(ids),
        ),
        Question(f"`status = 'running'`, {len(server.running)} jobs", status, "running", sorted(server.running)),
        Question(
            "the newest 5",
            f"SELECT {COLUMNS} FROM {{jobs}} ORDER BY created_at DESC LIMIT 5",
            "newest",
            sorted(server.ids[:5]),
        ),
        Question(
            "a year's `GROUP BY`",
            f"SELECT model, count(*) FROM {{jobs}} WHERE created_at >= {SINCE} GROUP BY model",
            "groups",
            sorted(of_a_year),
        ),
    ]
