"""The checkpoint permissions in the books: the fine-tuned models and checkpoints that each project may use."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any

import apsw

from ftsql.sandbox.books.training import stable_id


class Permissions:
    """All checkpoint permissions of a sandbox. Use this class inside a transaction of the books."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def grant(self, checkpoint: str, projects: Sequence[str]) -> list[dict[str, Any]]:
        """Let projects use a checkpoint. Return the new permissions, in the order of ``projects``."""
        now = int(time.time())
        granted = []
        for project in projects:
            name = stable_id("cp_", checkpoint, project, now, random.random())
            self._db.execute(
                "INSERT INTO permissions(id, checkpoint, created_at, project_id) VALUES (?, ?, ?, ?)",
                (name, checkpoint, now, project),
            )
            granted.append(_permission_object(name, now, project))
        return granted

    def page(
        self, checkpoint: str, project: str | None, after: str | None, limit: int, *, oldest_first: bool
    ) -> tuple[list[dict[str, Any]], bool] | None:
        """Return the checkpoint's permissions after a cursor, and whether there are more.

        Return None if the cursor is unknown.
        """
        rows: list[Any] = self._db.execute(
            "SELECT id, created_at, project_id FROM permissions WHERE checkpoint = ?1 "
            f"AND (?2 IS NULL OR project_id = ?2) ORDER BY seq {'' if oldest_first else 'DESC'}",
            (checkpoint, project),
        ).fetchall()
        if after is not None:
            names = [row[0] for row in rows]
            if after not in names:
                return None
            rows = rows[names.index(after) + 1 :]
        return [_permission_object(*row) for row in rows[:limit]], len(rows) > limit

    def revoke(self, checkpoint: str, name: str) -> bool:
        """Remove a permission. Return whether the checkpoint had a permission with that id."""
        self._db.execute("DELETE FROM permissions WHERE checkpoint = ? AND id = ?", (checkpoint, name))
        return bool(self._db.changes())


def _permission_object(name: str, created_at: int, project: str) -> dict[str, Any]:
    return {"object": "checkpoint.permission", "id": name, "created_at": created_at, "project_id": project}
