"""The view jobs in PostgreSQL's words, so that a filter on its readable times reaches the table below.

It gives what views.sql gives; a relation of that name with other columns is somebody's own, and stays.
"""

from __future__ import annotations

from ftsql.serve.text import fold
from ftsql.serve.translate.inference import Tables
from ftsql.serve.translate.tree import Node, exp, parse

JOBS = """
SELECT id, provider, model, status, fine_tuned_model, to_timestamp(created_at) AT TIME ZONE 'UTC' AS created,
  to_timestamp(finished_at) AT TIME ZONE 'UTC' AS finished,
  ((coalesce(finished_at, unixepoch()) - created_at + 3) / 6 / 10.0)::float8 AS minutes, trained_tokens, training_file,
  CASE json_typeof(method) WHEN 'string' THEN method #>> '{}' ELSE method ->> 'type' END AS method,
  CASE json_typeof(error)
    WHEN 'object' THEN coalesce(error ->> 'message', error ->> 'Message', error ->> 'detail', error ->> 'msg',
      error ->> 'description', error ->> 'reason', error ->> 'error', error ->> 'code', error::text)
    WHEN 'array' THEN coalesce(error -> 0 ->> 'message', error -> 0 ->> 'msg', error -> 0 ->> 'detail', error ->> 0)
    ELSE error #>> '{}'
  END AS error_message, metadata
FROM fine_tuning_jobs
"""
COLUMNS = ("id", "provider", "model", "status", "fine_tuned_model", "created", "finished", "minutes", "trained_tokens",
           "training_file", "method", "error_message", "metadata")  # fmt: skip


def expand(root: Node, tables: Tables) -> None:
    """Put the view's own text where the view is named, if a filter is there to narrow it."""
    if tuple(name for name, _ in tables.get("jobs", ())) != COLUMNS or "fine_tuning_jobs" not in tables:
        return
    if not root.find(exp.Where) or any(
        fold(cte.alias) in ("jobs", "fine_tuning_jobs") for cte in root.find_all(exp.CTE)
    ):
        return
    for table in list(root.find_all(exp.Table)):
        plain = isinstance(table.this, exp.Identifier) and table.db in ("", "public") and not table.catalog
        if plain and fold(table.name) == "jobs" and not table.args.get("joins"):
            alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier("jobs", quoted=True))
            table.replace(exp.Subquery(this=parse(JOBS), alias=alias))
