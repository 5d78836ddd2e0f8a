"""What is asked of every contender, in SQL and by hand, with the answer that is right.

The columns are named one by one, so that all of them read the same.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.bench.server import EVENTS, MODELS, NEWEST, SPAN, Server, event_id, places

COLUMNS = (
    "id, created_at, error, estimated_finish, fine_tuned_model, finished_at, hyperparameters, integrations, metadata, "
    "method, model, object, organization_id, result_files, seed, status, trained_tokens, training_file, validation_file"
)
ASKED = 200  # ids
FEW = 20  # of them
SINCE = NEWEST - SPAN // 2  # a year


@dataclass(frozen=True)
class Question:
    """A question in SQL, with {jobs} for the table; its ``shape`` by hand; and the right first column, sorted."""

    title: str
    sql: str
    shape: str
    right: list[str]
    ids: list[str] = field(default_factory=list)  # those that are asked for by id


def asked_ids(server: Server) -> list[str]:
    """The ids that are asked for, from all over the list."""
    return [server.ids[place] for place in places(ASKED, len(server.ids))]


def local_table(server: Server) -> str:
    """The SQL of the tables that questions join."""
    rows = ", ".join(f"('{id}', 'note {number}')" for number, id in enumerate(asked_ids(server)))
    few = f"CREATE TABLE few AS SELECT * FROM mine WHERE rowid % {ASKED // FEW} = 1"
    return f"CREATE TABLE mine (id TEXT PRIMARY KEY, note TEXT); INSERT INTO mine VALUES {rows}; {few}"


def questions(server: Server) -> list[Question]:
    """All of them, for what this server has."""
    ids = asked_ids(server)
    few = ids[:: ASKED // FEW]
    size = len(server.ids)
    one = server.ids[1]
    of_a_year = Counter(MODELS[n % len(MODELS)] for n in range(size) if NEWEST - n * SPAN // size >= SINCE)
    listed = ", ".join(f"'{id}'" for id in ids)
    status = "SELECT id, model, created_at FROM {jobs} WHERE status = 'running'"
    return [
        Question(f"all {size:,} jobs, all columns", f"SELECT {COLUMNS} FROM {{jobs}}", "list", sorted(server.ids)),
        Question(f"all {size:,} jobs, two columns", "SELECT id, status FROM {jobs}", "list", sorted(server.ids)),
        Question("`count(*)`", "SELECT count(*) FROM {jobs}", "count", [str(size)]),
        Question("one id", f"SELECT {COLUMNS} FROM {{jobs}} WHERE id = '{one}'", "ids", [one], [one]),
        Question(
            f"`id IN (…)`, {ASKED} ids",
            f"SELECT {COLUMNS} FROM {{jobs}} WHERE id IN ({listed})",
            "ids",
            sorted(ids),
            ids,
        ),
        Question(
            f"`JOIN` with {ASKED} local ids",
            "SELECT job.id, note, status, trained_tokens FROM mine JOIN {jobs} AS job ON job.id = mine.id",
            "ids",
            sorted(ids),
            ids,
        ),
        Question(
            f"`JOIN` with {FEW} local ids",
            "SELECT job.id, note, status, trained_tokens FROM few JOIN {jobs} AS job ON job.id = few.id",
            "ids",
            sorted(few),
            few,
        ),
        Question(
            f"the events of {ASKED} jobs",
            "SELECT event.id FROM mine JOIN fine_tuning_job_events AS event ON event.fine_tuning_job_id = mine.id",
            "events",
            sorted(event_id(id, number) for id in ids for number in range(EVENTS)),
            ids,
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
