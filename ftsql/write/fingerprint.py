"""Fingerprints: values in creates by which a created job is found if the response is lost.

Only a job with the same fingerprint, model and file is taken for the created job. A job that is merely similar proves
nothing.
"""

from __future__ import annotations

import random
import uuid
from typing import Any

from ftsql.api.account import Account
from ftsql.resources.definitions import FTSQL_KEY
from ftsql.resources.resource import Row

Fingerprint = tuple[str, str | int]  # ("seed", number) or ("metadata", key)

SEED_LIMIT = 2_147_483_647  # every provider that takes a seed takes seeds up to this number


def choose(account: Account, request: dict[str, Any]) -> Fingerprint | None:
    """Add a fingerprint to ``request`` and return the fingerprint, or None if the request cannot carry one.

    The fingerprint is a random seed, unless the user gave a seed or the provider does not take one. Otherwise it is a
    key in metadata, if the provider stores metadata and the user's pairs leave room.
    """
    fields = account.provider.create_fields
    if "seed" in fields and request.get("seed") is None:
        seed = random.SystemRandom().randint(1, SEED_LIMIT - 1)
        request["seed"] = seed
        return "seed", seed
    metadata = request.get("metadata") or {}
    field = fields.get("metadata")
    room = field is not None and (field.max_pairs is None or len(metadata) < field.max_pairs)
    if account.provider.stores_metadata and room and isinstance(metadata, dict):
        key = uuid.uuid4().hex
        request["metadata"] = {**metadata, FTSQL_KEY: key}
        return "metadata", key
    return None


def carries(fingerprint: Fingerprint, row: Row) -> bool:
    """Whether a job carries the fingerprint."""
    kind, value = fingerprint
    if kind == "seed":
        return bool(row.values.get("seed") == value)
    metadata = row.nested("metadata")
    return isinstance(metadata, dict) and metadata.get(FTSQL_KEY) == value


def condition(fingerprint: Fingerprint | None, sent_at: float) -> str:
    """Return the SQL condition that finds the job.

    Without a fingerprint, the condition selects the jobs created since ten minutes before ``sent_at``.
    """
    if fingerprint is None:
        return f"created_at >= {int(sent_at) - 600}"
    kind, value = fingerprint
    column = "seed" if kind == "seed" else f"raw ->> '$.metadata.{FTSQL_KEY}'"
    return f"{column} = {value!r}"
