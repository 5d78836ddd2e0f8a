"""One write: its request, its account, its state and its result.

A write is checked when it is made, so a write that cannot be sent is never queued.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

import apsw
from pydantic_core import to_json

from ftsql import interrupts
from ftsql.api.client import Client
from ftsql.api.responses import Reply
from ftsql.api.upload import Upload
from ftsql.errors import NotSupportedError, ProgrammingError
from ftsql.resources.definitions import JOBS, is_finished
from ftsql.resources.resource import JSONObject, Resource, Row
from ftsql.store.journal import State
from ftsql.write import create_body, fingerprint
from ftsql.write.fingerprint import Fingerprint

T = TypeVar("T")

Action = Literal["create", "cancel", "pause", "resume", "delete", "grant", "upload"]
ACTIONS: tuple[Action, ...] = get_args(Action)
MAKES: tuple[Action, ...] = ("create", "grant", "upload")  # actions that make a new object, so are sent at most once
# The action that leads to each status that UPDATE may set.
STATUS: dict[str, Action] = {"cancelled": "cancel", "paused": "pause", "running": "resume"}
CANCELLED = ("cancelled", "canceled")
ON_THE_WAY = {
    "cancel": ("cancelling", "canceling", "cancel_requested", "pending_cancellation"),
    "pause": ("pausing",),
    "resume": ("resuming",),
}


def is_result(action: str, status: str | None) -> bool:
    """Whether ``status`` is the result of ``action``."""
    return status in CANCELLED if action == "cancel" else (status, action) in STATUS.items()


def is_result_or_pending(action: str, status: str | None) -> bool:
    """Whether ``status`` is the result of ``action``, or a status on the way to that result."""
    if is_result(action, status) or status in ON_THE_WAY.get(action, ()):
        return True
    return action == "resume" and bool(status) and status != "paused" and not is_finished(status)


@dataclass(eq=False)
class Write:
    """One write.

    ``job_id`` is the id of the object that the write changes or deletes: a job, or an object of another ``resource``.
    ``parent`` is the id of that object's parent, if it has one. ``row`` is the object from the API's response, and None
    before the response. ``state`` is "not undone" if the object that the write made should have been cancelled or
    deleted, but could not be. ``interrupted_by`` is the type of an interrupt that came while the write was under way.
    ``existed_before`` says that the object existed before the write. ``effect_unknown`` says that it is unknown whether
    a cancel, pause, resume or delete took effect.
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
    state: State | Literal["not undone"] = "queued"
    row: Row | None = None
    error: Exception | None = None
    reply: Reply | None = field(default=None, repr=False)
    journal_id: int = 0
    interrupted_by: type[BaseException] | None = field(default=None, repr=False)
    existed_before: bool = field(default=False, repr=False)
    effect_unknown: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        for id in filter(None, (self.parent, self.job_id)):
            if not self.client.account.accepts_id(id):
                raise ProgrammingError(
                    f"{self.provider}: the id {id!r:.80} is not allowed in a URL: not sent to {self.action} it"
                )
        if self.resource.served_as in self.client.account.provider.without:
            raise NotSupportedError(f"{self.provider} does not serve {self.resource.noun}s")
        # Modules are loaded now. If one were loaded after a response, a Ctrl-C during the import would lose the result.
        self.resource.prepare()
        self.client.prepare()

    @property
    def provider(self) -> str:
        return self.client.account.name

    @property
    def makes(self) -> bool:
        """Whether the write makes a new object."""
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
        """The name of the write's object in messages: the resource's noun, and the object's id if it is known."""
        return f"{self.resource.noun} {self.job_id}" if self.job_id else f"a {self.resource.noun}"

    def undoing(self) -> Write:
        """Return the write that cancels the job, or deletes the object, that this write made."""
        assert self.row is not None
        action: Action = "cancel" if self.resource is JOBS else "delete"
        return Write(
            self.client, action, self.statement, job_id=self.row.id, resource=self.resource, parent=self.parent
        )

    def undoing_sql(self) -> str:
        """Return the SQL that cancels the job, or deletes the object, that this write made."""
        id = self.row.id if self.row else ""
        if self.resource is JOBS:
            return f"SELECT cancel_job('{id}')"
        parent = f"{self.resource.parent} = '{self.parent}' AND " if self.parent else ""
        return f"DELETE FROM {self.resource.table} WHERE {parent}id = '{id}'"

    @property
    def body(self) -> bytes | None:
        """The JSON body of the request, or None if the request has no body."""
        return None if self.request is None else to_json({**self.request, **self.client.account.body()})

    def finish(self, work: Callable[[], T]) -> T:
        """Call ``work``, which handles the response. If a Ctrl-C ends ``work``, call ``work`` again.

        The Ctrl-C is noted in ``interrupted_by``.
        """

        def note(interrupt: KeyboardInterrupt) -> None:
            self.interrupted_by = type(interrupt)

        return interrupts.finish(work, note)

    @classmethod
    def create(cls, client: Client, values: dict[str, Any], statement: str) -> Write:
        """Return the create for an INSERT with ``values``, by column. Raises IntegrityError if the row is invalid."""
        request = create_body.body(client.account, values)
        chosen = fingerprint.choose(client.account, request)
        return cls(client, "create", statement, request=request, fingerprint=chosen)
