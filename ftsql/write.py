"""One paid write: what it sends, to whom, and how it stands.

It is checked when it is made, so that what cannot be sent is never queued.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import apsw
from pydantic_core import to_json

from ftsql import checks, fingerprint
from ftsql.answers import Reply
from ftsql.client import Client
from ftsql.errors import ProgrammingError
from ftsql.fingerprint import Fingerprint
from ftsql.ids import in_url
from ftsql.journal import State
from ftsql.resource import JSONObject, Row

Action = Literal["create", "cancel", "pause", "resume"]
ACTIONS: tuple[Action, ...] = get_args(Action)
# The status that each action leaves, as UPDATE names it.
STATUS: dict[str, Action] = {"cancelled": "cancel", "paused": "pause", "running": "resume"}
CANCELLED = ("cancelled", "canceled")


def leaves(action: str, status: str | None) -> bool:
    """Whether ``status`` is what ``action`` leaves."""
    return status in CANCELLED if action == "cancel" else STATUS.get(status or "") == action


@dataclass(eq=False)
class Write:
    """One paid write. ``row`` is the job as the API answered, once it did."""

    client: Client
    action: Action
    statement: str
    job_id: str | None = None
    request: JSONObject | None = None
    fingerprint: Fingerprint | None = None
    conflict: int = apsw.SQLITE_ABORT
    state: State | Literal["stays"] = "queued"  # stays: it was to be cancelled again and could not be
    row: Row | None = None
    error: Exception | None = None
    reply: Reply | None = field(default=None, repr=False)
    journal_id: int = 0
    stopped: type[BaseException] | None = field(default=None, repr=False)  # which interrupt came while it was under way
    unsure: bool = field(default=False, repr=False)  # whether a cancel, pause or resume took effect

    def __post_init__(self) -> None:
        if self.job_id is not None and not in_url(self.client.account, self.job_id):
            raise ProgrammingError(
                f"{self.provider}: the id {self.job_id!r:.80} cannot stand in a URL: not sent to {self.action} it"
            )

    @property
    def provider(self) -> str:
        return self.client.account.name

    @property
    def path(self) -> str:
        path = self.client.account.provider.path
        return path if self.job_id is None else f"{path}/{self.job_id}/{self.action}"

    @property
    def body(self) -> bytes | None:
        return None if self.request is None else to_json({**self.request, **self.client.account.body()})

    @classmethod
    def create(cls, client: Client, values: dict[str, Any], statement: str) -> Write:
        """A create out of an INSERT's values by column. Raises IntegrityError for a row that may not be sent."""
        request = checks.body(client.account, values)
        chosen = fingerprint.choose(client.account, request)
        return cls(client, "create", statement, request=request, fingerprint=chosen)
