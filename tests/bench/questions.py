"""What is asked of every contender, in SQL and in Python, and the answer that is right.

The columns are named one by one, so that all of them read the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from tests.bench.server import Server, places

COLUMNS = (
    "id, created_at, error, estimated_finish, fine_tuned_model, finished_at, hyperparameters, integrations, metadata, "
    "method, model, object, organization_id, result_files, seed, status, trained_tokens, training_file, validation_file"
)
ASKED = 200  # ids
Answer = list[str]  # sorted; the first column, as text


@dataclass(frozen=True)
class Question:
    """``sql`` says {jobs} for the table; ``setup`` makes the local tables it needs. ``python``: ways to do it by hand."""

    title: str
    sql: str
    right: Answer
    python: dict[str, Callable[[OpenAI], Answer]]
    setup: str = ""
    ids: Sequence[str] = field(default=(), repr=False)


def questions(server: Server) -> list[Question]:
    """All of them, for what this server has."""
    ids = [server.ids[place] for place in places(ASKED, len(server.ids))]
    listed = ", ".join(f"'{id}'" for id in ids)
    rows = ", ".join(f"('{id}', 'note {number}')" for number, id in enumerate(ids))
    one_by_one = {
        f"openai-python, {ASKED} × retrieve": partial(_retrieve, ids=ids),
        f"openai-python, {ASKED} × retrieve, 8 threads": partial(_retrieve, ids=ids, threads=8),
    }
    return [
        Question(
            f"all {len(server.ids):,} jobs",
            f"SELECT {COLUMNS} FROM {{jobs}}",
            sorted(server.ids),
            {"openai-python, list loop": lambda client: sorted(job.id for job in list(_listed(client)))},
        ),
        Question(
            f"`WHERE id IN (…)`, {ASKED} ids", f"SELECT {COLUMNS} FROM {{jobs}} WHERE id IN ({listed})", sorted(ids), one_by_one
        ),
        Question(
            f"`JOIN` a local table of {ASKED} ids",
            "SELECT job.id, note, status, trained_tokens FROM mine JOIN {jobs} AS job ON job.id = mine.id",
            sorted(ids),
            {**one_by_one, "openai-python, list loop and a dict": partial(_joined, mine=dict.fromkeys(ids, "note"))},
            f"CREATE TABLE mine (id TEXT PRIMARY KEY, note TEXT); INSERT INTO mine VALUES {rows}",
        ),
        Question(
            f"`status = 'running'`, {len(server.running)} jobs",
            "SELECT id, model, created_at FROM {jobs} WHERE status = 'running'",
            sorted(server.running),
            {
                "openai-python, list loop": lambda client: sorted(
                    job.id for job in _listed(client) if job.status == "running"
                )
            },
        ),
        Question(
            "the newest 5",
            f"SELECT {COLUMNS} FROM {{jobs}} ORDER BY created_at DESC LIMIT 5",
            sorted(server.ids[:5]),
            {"openai-python, list(limit=5)": lambda client: sorted(job.id for job in client.fine_tuning.jobs.list(limit=5).data)},
        ),
        Question(
            "`count(*)`",
            "SELECT count(*) FROM {jobs}",
            [str(len(server.ids))],
            {"openai-python, list loop": lambda client: [str(sum(1 for _ in _listed(client)))]},
        ),
    ]


def _listed(client: OpenAI) -> Sequence[FineTuningJob]:
    return client.fine_tuning.jobs.list(limit=100)  # type: ignore[return-value]
