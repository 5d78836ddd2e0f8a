"""The models in the books: the base models, and the fine-tuned models of the jobs that succeeded."""

from __future__ import annotations

from typing import Any

import apsw

from ftsql.sandbox.books.plans import BASE_MODELS, ORGANIZATION, SHUTDOWN_DATES

RELEASED = 1721172741  # the Unix time at which all base models were created


class Models:
    """All models of a sandbox. Use this class inside a transaction of the books, after ``Jobs.store_finished``."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def all(self) -> list[dict[str, Any]]:
        """Return all models as the API shows them: the base models, then the fine-tuned models, newest first."""
        names = [name for pair in BASE_MODELS.items() for name in pair if name]
        return [_model_object(name, RELEASED, "system") for name in names] + self._fine_tuned("true", ())

    def get(self, name: str) -> dict[str, Any] | None:
        """Return the model with that name, or None if there is none."""
        if name in BASE_MODELS or name in BASE_MODELS.values():
            return _model_object(name, RELEASED, "system") if name else None
        found = self._fine_tuned("fine_tuned_model = ?", (name,))
        return found[0] if found else None

    def trainable(self, name: str) -> str | None:
        """Return the full name of a model that can be trained, or None. A fine-tuned model can be trained again."""
        if name in BASE_MODELS:
            return name
        for full, short in BASE_MODELS.items():
            if name and name == short:
                return full
        return name if self.get(name) else None

    def remove(self, name: str) -> bool:
        """Delete a fine-tuned model. Return whether there was a fine-tuned model with that name."""
        if not self._fine_tuned("fine_tuned_model = ?", (name,)):
            return False
        self._db.execute("INSERT INTO deleted_models VALUES (?)", (name,))
        return True

    def _fine_tuned(self, where: str, bindings: tuple[str, ...]) -> list[dict[str, Any]]:
        rows: list[Any] = self._db.execute(
            "SELECT fine_tuned_model, coalesce(job ->> '$.finished_at', created_at) FROM jobs "
            f"WHERE fine_tuned_model IS NOT NULL AND {where} "
            "AND fine_tuned_model NOT IN (SELECT id FROM deleted_models) ORDER BY created_at DESC, seq DESC",
            bindings,
        ).fetchall()
        return [_model_object(name, created, ORGANIZATION) for name, created in rows]


def _model_object(name: str, created: int, owner: str) -> dict[str, Any]:
    full = {short: full for full, short in BASE_MODELS.items()}.get(name, name)
    ends = SHUTDOWN_DATES.get(full)  # None for a fine-tuned model, which in the API ends with its base model
    return {"id": name, "object": "model", "created": created, "owned_by": owner, "shutdown_date": ends}
