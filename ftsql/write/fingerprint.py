"""What a create can be found by when its answer was lost: its fingerprint.

Only a job that carries it, with the same model and file, is taken for it: likeness alone proves nothing.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from ftsql.api.account import Account
from ftsql.api.client import Client
from ftsql.api.request_log import Asker
from ftsql.errors import DataError, OperationalError
from ftsql.read.statement_cache import StatementCache
from ftsql.resources.definitions import FTSQL_KEY
from ftsql.resources.resource import Row
from ftsql.settings import Settings

Fingerprint = tuple[str, str | int]  # ("seed", number) or ("metadata", key)

SEED_LIMIT = 2_147_483_647  # what every provider that takes a seed takes
LOOK_BACK = 3600  # seconds before the write that a look-up reads back to, for clocks that differ


def choose(account: Account, request: dict[str, Any]) -> Fingerprint | None:
    """A fingerprint, added to ``request``.

    A seed, unless the user gave one or the provider takes none; else a key in metadata, where the
    provider keeps it and the user's pairs leave room. None where neither is possible.
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


@dataclass(frozen=True, slots=True)
class Found:
    """What a look-up saw: the jobs that carry the fingerprint, those that are only like it, and those that
    carry it but are unlike it.
    """

    carriers: tuple[Row, ...] = ()
    alike: tuple[Row, ...] = ()
    strange: tuple[Row, ...] = ()
    seen: tuple[Row, ...] = ()  # all of them

    @property
    def candidates(self) -> tuple[Row, ...]:
        """What may be the job, likeliest first."""
        return self.carriers or (*self.strange, *self.alike)


def look_up(
    cache: StatementCache,
    account: Account,
    request: Mapping[str, Any],
    fingerprint: Fingerprint | None,
    sent_at: float,
    *,
    whole: bool = False,
) -> Found:
    """Look through the jobs created since shortly before ``sent_at``, or through the ``whole`` list.

    Raises what a listing raises; so where it returns, the list was read as far as it says.
    """
    since = sent_at - LOOK_BACK
    listing = cache.listing(account)
    while not listing.done and (whole or not listing.older_than(since, inclusive=False)):
        listing.read()
    rows = [cache.got[account].get(row.id) or row for row in listing.rows]
    carriers = [row for row in rows if fingerprint is not None and carries(fingerprint, row)]
    return Found(
        tuple(row for row in carriers if _alike(request, row)),
        tuple(row for row in rows if (row.created_at or sent_at) >= since and _alike(request, row)),
        tuple(row for row in carriers if not _alike(request, row)),
        tuple(rows),
    )


def keeps(made: Mapping[str, Fingerprint], kind: str, rows: Sequence[Row]) -> bool:
    """Whether the list shows fingerprints of that kind as they were sent, by the jobs whose own are known."""
    shown = [carries(made[row.id], row) for row in rows if row.id in made and made[row.id][0] == kind]
    return bool(shown) and all(shown)


def seek(
    client: Client,
    request: Mapping[str, Any],
    fingerprint: Fingerprint | None,
    sent_at: float,
    settings: Settings,
    interrupted: Callable[[], bool],
    asker: Asker,
) -> tuple[Found, str]:
    """Look again and again for ``settle_seconds``, since lists lag, until exactly one job is it.

    Gives what was seen last, and in words how the list answered. Once without a fingerprint: nothing can be
    sure then. An interrupt ends it early.
    """
    end = time.monotonic() + settings.settle_seconds
    pause = 0.5
    found, listed = Found(), ""
    while True:
        try:
            cache = StatementCache({client.account: client}, settings, interrupted)
            cache.statement = asker.statement
            found = look_up(cache, client.account, request, fingerprint, sent_at)
            listed = "No job like it is in the list so far"
            if fingerprint is None or found.carriers or found.strange:
                return found, listed
        except (KeyboardInterrupt, apsw.InterruptError):
            return found, listed
        except (DataError, OperationalError) as error:  # perhaps for the create's own reason: ask again
            listed = listed or f"The list could not be read either ({error})"
        if time.monotonic() + pause > end:
            return found, listed
        try:
            time.sleep(pause)
        except KeyboardInterrupt:
            return found, listed
        pause = min(pause * 1.5, 3.0)


def listed_ids(ids: Sequence[str]) -> str:
    """Ids for a message: the first few of many."""
    more = f" and {len(ids) - 10} more" if len(ids) > 10 else ""
    return ", ".join(ids[:10]) + more


def condition(fingerprint: Fingerprint | None, sent_at: float) -> str:
    """The condition in SQL that finds the job."""
    if fingerprint is None:
        return f"created_at >= {int(sent_at) - 600}"
    kind, value = fingerprint
    column = "seed" if kind == "seed" else f"raw ->> '$.metadata.{FTSQL_KEY}'"
    return f"{column} = {value!r}"


def _alike(request: Mapping[str, Any], row: Row) -> bool:
    """Same training file, and the model or its dated form."""
    model, asked = row.values.get("model"), str(request.get("model"))
    file = row.values.get("training_file")
    return (model is None or str(model).startswith(asked)) and (file is None or file == request.get("training_file"))


def carries(fingerprint: Fingerprint, row: Row) -> bool:
    kind, value = fingerprint
    if kind == "seed":
        return bool(row.values.get("seed") == value)
    metadata = row.nested("metadata")
    return isinstance(metadata, dict) and metadata.get(FTSQL_KEY) == value
