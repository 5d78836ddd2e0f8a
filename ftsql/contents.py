"""The contents of files as one statement has read them.

Each is asked for at most once in it, however often the statement comes back to it.
"""

from __future__ import annotations

from typing import Any

from ftsql.account import Account
from ftsql.look import Look
from ftsql.resources import FILES
from ftsql.workers import Call


class Contents:
    """What the statement of ``look`` has asked for."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._calls: dict[tuple[Account, str], Call[Any]] = {}
        self._kept: dict[tuple[Account, str], bytes] = {}

    def ask(self, account: Account, id: str, *, must: bool = True) -> None:
        """Send for a file's content, without waiting for it."""
        if (account, id) in self._kept or (account, id) in self._calls:
            return
        kept = self._look.kept_content(account.name, id)
        if kept is not None:
            self._kept[account, id] = kept
        else:
            call = self._look.start(account, f"{FILES.path}/{id}/content", None, must, resource=FILES, plain=True)
            if call is not None:
                self._calls[account, id] = call

    def get(self, account: Account, id: str) -> bytes | None:
        """A file's content; None where there is no such file. Raises what Client.get does."""
        self.ask(account, id)
        if (account, id) in self._kept:
            return self._kept[account, id]
        content: bytes | None = self._look.finish(account, self._calls[account, id])
        return content

    def forget(self, account: Account, id: str) -> None:
        """Let go of a content that others keep."""
        self._calls.pop((account, id), None)
        self._kept.pop((account, id), None)


def of(look: Look) -> Contents:
    """The contents that the statement of ``look`` has read."""
    found: Contents = look.nested.setdefault("contents of files", Contents(look))
    return found
