"""One paid write: what it sends, to whom, and how it stands.

It is checked when it is made, so that what cannot be sent is never queued.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

import apsw
from pydantic_core import to_json

from ftsql.api.client import Client
from ftsql.api.responses import Reply
from ftsql.api.upload import Upload
from ftsql.errors import NotSupportedError, ProgrammingError
from ftsql.resources.definitions import JOBS, is_finished
from ftsql.resources.resource import JSONObject, Resource, Row
from ftsql.store.journal import State
from ftsql.write import create_body as checks
from ftsql.write import fingerprint
from ftsql.write.fingerprint import Fingerprint

T = TypeVar("T")

Action = Literal["create", "cancel", "pause", "resume", "delete", "grant", "upload"]
ACTIONS: tuple[Action, ...] = get_args(Action)
MAKES: tuple[Action, ...] = ("create", "grant", "upload")  # something new, so that it is sent at most once
# The status that each action leaves, as UPDATE names it.
STATUS: dict[str, Action] = {"cancelled": "cancel", "paused": "pause", "running": "resume"}
CANCELLED = ("cancelled", "canceled")
ON_THE_WAY = {
    "cancel": ("cancelling", "canceling", "cancel_requested", "pending_cancellation"),
    "pause": ("pausing",),
    "resume": ("resuming",),
}


def leaves(action: str, status: str | None) -> bool:
    """Whether ``status`` is what ``action`` leaves."""
    return status in CANCELLED if action == "cancel" else (status, action) in STATUS.items()


def leads_to(action: str, status: str | None) -> bool:
    """Whether ``status`` is what ``action`` leaves, or one on the way there."""
    if leaves(action, status) or status in ON_THE_WAY.get(action, ()):
        return True
    return action == "resume" and bool(status) and status != "paused" and not is_finished(status)


@dataclass(eq=False)
class Write:
    """One write. ``row`` is the job (or file, model, permission) as the API answered, once it did.

    ``job_id`` is what it is about, whatever the ``resource``; ``parent`` is what that belongs to.
    """

    client: Client
    action: Action
    statement: str
    job_id: str | None = None
    request: JSONObject | None = None
    fingerprint: Fingerprint | None = None
    conflict: int = apsw.SQLITE_ABORT
    resource: Resource = JOBS
    parent: str = ""
    upload: Upload | None = field(default=None, repr=False)
    state: State | Literal["stays"] = "queued"  # stays: it was to be cancelled again and could not be
    row: Row | None = None
    error: Exception | None = None
    reply: Reply | None = field(default=None, repr=False)
    journal_id: int = 0
    stopped: type[BaseException] | None = field(default=None, repr=False)  # which interrupt came while it was under way
    was_there: bool = field(default=False, repr=False)  # what it made had been there before
    unsure: bool = field(default=False, repr=False)  # whether a cancel, pause or resume took effect

    def __post_init__(self) -> None:
        for id in filter(None, (self.parent, self.job_id)):
            if not self.client.account.accepts_id(id):
                raise ProgrammingError(
                    f"{self.provider}: the id {id!r:.80} cannot stand in a URL: not sent to {self.action} it"
                )
        if self.resource.served_as in self.client.account.provider.without:
            raise NotSupportedError(f"{self.provider} does not serve {self.resource.noun}s")
        # Now and not at COMMIT: between an answer and its record a Ctrl-C must find nothing to load.
        self.resource.prepare()
        self.client.prepare()

    @property
    def provider(self) -> str:
        return self.client.account.name

    @property
    def makes(self) -> bool:
        """Whether something new comes of it."""
        return self.action in MAKES

    @property
    def method(self) -> str:
        return "DELETE" if self.action == "delete" else "POST"

    @property
    def path(self) -> str:
        path = self.resource.path.format(self.parent) if self.resource.root else self.client.account.provider.path
        if self.job_id is None:
            return path
        return f"{path}/{self.job_id}" + ("" if self.action == "delete" else f"/{self.action}")

    @property
    def target(self) -> str:
        """What it is about, in words."""
        return f"{self.resource.noun} {self.job_id}" if self.job_id else f"a {self.resource.noun}"

    def undoing(self) -> Write:
        """The write that takes back what this one made."""
        assert self.row is not None
        action: Action = "cancel" if self.resource is JOBS else "delete"
        return Write(
            self.client, action, self.statement, job_id=self.row.id, resource=self.resource, parent=self.parent
        )

    def undoing_sql(self) -> str:
        """The SQL that takes back what this one made."""
        id = self.row.id if self.row else ""
        if self.resource is JOBS:
            return f"SELECT cancel_job('{id}')"
        parent = f"{self.resource.parent} = '{self.parent}' AND " if self.parent else ""
        return f"DELETE FROM {self.resource.table} WHERE {parent}id = '{id}'"

    @property
    def body(self) -> bytes | None:
        return None if self.request is None else to_json({**self.request, **self.client.account.body()})

    @classmethod
    def create(cls, client: Client, values: dict[str, Any], statement: str) -> Write:
        """A create out of an INSERT's values by column. Raises IntegrityError for a row that may not be sent."""
        request = checks.body(client.account, values)
        chosen = fingerprint.choose(client.account, request)
        return cls(client, "create", statement, request=request, fingerprint=chosen)


def undisturbed(write: Write, work: Callable[[], T]) -> T:
    """Do ``work`` with a response that has arrived; after a Ctrl-C meanwhile do it again, and send nothing more."""
    try:
        return work()
    except KeyboardInterrupt as interrupt:
        write.stopped = type(interrupt)
    return work()
