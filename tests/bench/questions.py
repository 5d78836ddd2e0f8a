"""What is asked of every contender, in SQL and by hand, with the answer that is right.

The columns are named one by one, so that all of them read the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.server import Server, places

COLUMNS = (
    "id, created_at, error, estimated_finish, fine_tuned_model, finished_at, hyperparameters, integrations, metadata, "
    "method, model, object, organization_id, result_files, seed, status, trained_tokens, training_file, validation_file"
)
ASKED = 200  # ids


@dataclass(frozen=True)
class Question:
    """``sql`` has {jobs} for the table. ``by_hand``: ways of openai_jobs.py. ``right``: the first column, sorted."""

    title: str
    sql: str
    by_hand: Sequence[str]
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
    listed = ", ".join(f"'{id}'" for id in ids)
    by_id = ("`retrieve` each", "`retrieve` each, 8 threads", "`list` loop and a dict")
    return [
        Question(
            f"all {len(server.ids):,} jobs",
            f"SELECT {COLUMNS} FROM {{jobs}}",
            ["`list` loop"],
            sorted(server.ids),
        ),
        Question(
            f"`WHERE id IN (…)`, {ASKED} ids",
            f"SELECT {COLUMNS} FROM {{jobs}} WHERE id IN ({listed})",
            by_id,
            sorted(ids),
        ),
        Question(
            f"`JOIN` with {ASKED} local ids",
            "SELECT job.id, note, status, trained_tokens FROM mine JOIN {jobs} AS job ON job.id = mine.id",
            by_id,
            sorted(ids),
        ),
        Question(
            f"`status = 'running'`, {len(server.running)} jobs",
            "SELECT id, model, created_at FROM {jobs} WHERE status = 'running'",
            ["`list` loop and an if"],
            sorted(server.running),
        ),
        Question(
            "the newest 5",
            f"SELECT {COLUMNS} FROM {{jobs}} ORDER BY created_at DESC LIMIT 5",
            ["`list(limit=5)`"],
            sorted(server.ids[:5]),
        ),
        Question(
            "`count(*)`",
            "SELECT count(*) FROM {jobs}",
            ["`list` loop and a sum"],
            [str(len(server.ids))],
        ),
    ]
