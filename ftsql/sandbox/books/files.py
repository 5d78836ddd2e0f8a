"""The files in the books. Uploads are stored as received, and generated files are stored as a recipe.

At each download, the content is generated from the recipe.
"""

from __future__ import annotations

import json
import random
import time
from typing import Any

import apsw

from ftsql.sandbox.books.dataset import make_examples
from ftsql.sandbox.books.lifecycle import Job, Life
from ftsql.sandbox.books.training import result_file, result_file_size, stable_id

COLUMNS = "id, bytes, created_at, filename, purpose, expires_at"


class Files:
    """All files of a sandbox. Times are Unix seconds. Use this class inside a transaction of the books."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def upload(
        self, filename: str, content: bytes, purpose: str, expires_in: int | None = None, file_id: str | None = None
    ) -> dict[str, Any]:
        """Store an uploaded file and return it. The file expires after ``expires_in`` seconds (None: never)."""
        now = int(time.time())
        number = self._db.execute("SELECT coalesce(max(seq), 0) + 1 FROM files").get
        file_id = file_id or stable_id("file-", number, now, random.random())
        self._db.execute(
            "INSERT INTO files(id, created_at, filename, purpose, expires_at, bytes, content) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (file_id, now, filename, purpose, now + expires_in if expires_in else None, len(content), content),
        )
        found = self.get(file_id)
        assert found is not None
        return found

    def add_examples(
        self, file_id: str, created_at: int, filename: str, examples: int, method: str, broken: int = 0
    ) -> None:
        """Add a training file of generated examples (see ``make_examples``), unless there is a file with that id."""
        size = examples * len(make_examples(1, method))
        recipe = {"examples": examples, "method": method, "broken": broken}
        self._add(file_id, created_at, filename, "fine-tune", size, recipe)

    def add_result(self, job: Job, life: Life) -> None:
        """Add the result file of a job that succeeded."""
        steps, validation = life.plan["steps"], bool(job.get("validation_file"))
        self._add(
            life.plan["result_file"],
            job["finished_at"] or job["created_at"],
            "step_metrics.csv",
            "fine-tune-results",
            result_file_size(steps, validation),
            {"job": job["id"], "steps": steps, "validation": validation},
        )

    def _add(
        self, file_id: str, created_at: int, filename: str, purpose: str, size: int, recipe: dict[str, Any]
    ) -> None:
        self._db.execute(
            "INSERT OR IGNORE INTO files(id, created_at, filename, purpose, bytes, recipe) VALUES (?, ?, ?, ?, ?, ?)",
            (file_id, created_at, filename, purpose, size, json.dumps(recipe)),
        )

    def get(self, file_id: str) -> dict[str, Any] | None:
        """Return the file as the API shows it, or None if there is no such file."""
        row: Any = self._db.execute(f"SELECT {COLUMNS} FROM files WHERE id = ?", (file_id,)).fetchone()
        return None if row is None else _file_object(*row)

    def page(
        self, after: str | None = None, limit: int = 10_000, purpose: str | None = None, *, oldest_first: bool = False
    ) -> tuple[list[dict[str, Any]], bool] | None:
        """Return the files after a cursor, and whether there are more; None if ``after`` is not the id of a file."""
        where, bindings = "true", list[Any]()
        if after is not None:
            cursor = self._db.execute("SELECT created_at, seq FROM files WHERE id = ?", (after,)).fetchone()
            if cursor is None:
                return None
            where += f" AND (created_at, seq) {'>' if oldest_first else '<'} (?, ?)"
            bindings += cursor
        if purpose is not None:
            where += " AND purpose = ?"
            bindings.append(purpose)
        order = "created_at, seq" if oldest_first else "created_at DESC, seq DESC"
        rows: list[Any] = self._db.execute(
            f"SELECT {COLUMNS} FROM files WHERE {where} ORDER BY {order} LIMIT ?", (*bindings, limit + 1)
        ).fetchall()
        return [_file_object(*row) for row in rows[:limit]], len(rows) > limit

    def content(self, file_id: str) -> bytes | None:
        """Return the file's content, or None if there is no such file."""
        row = self._db.execute("SELECT content, recipe FROM files WHERE id = ?", (file_id,)).fetchone()
        if row is None:
            return None
        return _generated(json.loads(row[1])) if row[0] is None else bytes(row[0])

    def remove(self, file_id: str) -> bool:
        """Delete a file. Return whether there was such a file."""
        self._db.execute("DELETE FROM files WHERE id = ?", (file_id,))
        return bool(self._db.changes())


def _file_object(
    file_id: str, size: int, created_at: int, filename: str, purpose: str, expires_at: int | None
) -> dict[str, Any]:
    shown = {
        "object": "file",
        "id": file_id,
        "purpose": purpose,
        "filename": filename,
        "bytes": size,
        "created_at": created_at,
        "status": "processed",
    }
    return shown if expires_at is None else {**shown, "expires_at": expires_at}


def _generated(recipe: dict[str, Any]) -> bytes:
    if "job" in recipe:
        return result_file(recipe["job"], recipe["steps"], recipe["validation"])
    return make_examples(recipe["examples"], recipe["method"], recipe["broken"])
