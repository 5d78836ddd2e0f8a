"""Classic bugs, put into the code under test: a campaign that does not notice them proves nothing.

Each patches names inside ftsql for as long as the process, or ``applied``, lasts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ftsql.api.account import Account
from ftsql.api.retry import RetriedRequest
from ftsql.read.listing import Listing
from ftsql.resources.resource import Row
from ftsql.sqlite.statements import Statements
from ftsql.write import actions, lookup, recovery
from ftsql.write.lookup import Found
from ftsql.write.queue import Queue
from ftsql.write.sender import Sender
from ftsql.write.write import Write

Patch = tuple[Any, str, Any]  # of what, which name, and what stands there instead


def retry() -> list[Patch]:
    """A create is sent again after a timeout, a broken connection, a 5xx."""
    original = RetriedRequest.run

    def run(self: RetriedRequest, call: Any, transport: Any) -> Any:
        self.request = dataclasses.replace(self.request, repeatable=True)
        return original(self, call, transport)

    return [(RetriedRequest, "run", run)]


def no_compensation() -> list[Patch]:
    """Jobs created before a refused row are left alone."""

    def undo(self: Sender, write: Write) -> str:
        return f"{write.row.id if write.row else ''} was created and is cancelled now"

    return [(Sender, "undo", undo)]


def journal_after() -> list[Patch]:
    """The intent is written when the answer is there."""
    enlist, create = Sender.enlist, actions.create

    def after(self: Sender, write: Write) -> Row:
        try:
            return create(self, write)
        finally:
            enlist(self, [write])

    def nothing(self: Sender, writes: Sequence[Write]) -> None:
        pass

    return [(actions, "create", after), (Sender, "enlist", nothing)]


def no_fingerprint() -> list[Patch]:
    """A look-up takes the newest job of the same model and file."""
    original = lookup.look_up

    def look_up(*arguments: Any, **named: Any) -> Found:
        alike = original(*arguments, **named).alike
        return Found(alike[:1], alike)

    return [(lookup, "look_up", look_up), (recovery, "look_up", look_up)]


def keep_failed() -> list[Patch]:
    """The rows of a statement that a Python exception ended stay in the queue."""
    original = Statements.drop_failed_writes

    def drop_failed_writes(self: Statements) -> None:
        for statement in self._ended:
            statement.keeps_writes = True
        original(self)

    return [(Statements, "drop_failed_writes", drop_failed_writes)]


def send_twice() -> list[Patch]:
    """The second Sync of a busy COMMIT sends again."""
    original = Queue.sync

    def sync(self: Queue) -> None:
        for write in self.writes:
            if write.state == "created":
                write.state, write.journal_id = "queued", 0
        original(self)

    return [(Queue, "sync", sync)]


def paging() -> list[Patch]:
    """A page whose server says nothing of more is the last one."""
    return [
        (Listing, "_is_known_to_end", lambda self, page, rows, size: True),
        (Listing, "_is_hinted", lambda self, page: False),
        (Listing, "_cannot_continue", lambda self, *arguments, **named: False),
    ]


def order() -> list[Patch]:
    """A list is newest first until a page shows that it is not."""
    return [
        (Listing, "trusted", property(lambda self: self.ordered)),
        (Listing, "first_page_size", lambda self, size: size),
    ]


def redaction() -> list[Patch]:
    """The values of headers whose names sound secret are taken out of bodies before they are read."""
    original = Account.decode

    def decode(self: Account, body: bytes, reader: Any = None) -> Any:
        for header, template in self.provider.headers.items():
            if re.search("auth|key|token|secret|config", header):
                body = body.replace(template.encode(), b"***")
        return original(self, body, reader)

    return [(Account, "decode", decode)]


# Each with the campaign that catches it.
MUTATIONS: dict[str, tuple[Callable[[], list[Patch]], str]] = {
    "retry": (retry, "faults"),
    "no-compensation": (no_compensation, "faults"),
    "journal-after": (journal_after, "kills"),
    "no-fingerprint": (no_fingerprint, "faults"),
    "keep-failed": (keep_failed, "faults"),
    "send-twice": (send_twice, "faults"),
    "paging": (paging, "servers"),
    "order": (order, "servers"),
    "redaction": (redaction, "servers"),
}


def apply(name: str) -> list[Patch]:
    """Put the bug ``name`` in; gives what undoes it."""
    patches = MUTATIONS[name][0]()
    undo = [(owner, attribute, getattr(owner, attribute)) for owner, attribute, _ in patches]
    for owner, attribute, value in patches:
        setattr(owner, attribute, value)
    return undo


@contextlib.contextmanager
def applied(name: str) -> Iterator[None]:
    """The bug ``name`` inside the block; no bug where it is empty."""
    undo = apply(name) if name else []
    try:
        yield
    finally:
        for owner, attribute, value in undo:
            setattr(owner, attribute, value)
