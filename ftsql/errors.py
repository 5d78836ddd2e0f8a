"""The errors that ftsql raises; every message says what to do next.

    Warning
    Error
    ├── InterfaceError
    │   └── ConfigError            a provider entry, a missing key, an unknown provider
    └── DatabaseError
        ├── DataError              a body or a value that is not what it should be
        ├── OperationalError
        │   ├── StoreError         the file that keeps the journal cannot be used
        │   └── APIError           what a provider answered, or did not
        │       ├── RateLimitError
        │       ├── AuthenticationError
        │       ├── APIConnectionError
        │       └── OutcomeUnknown a paid write that may or may not have happened
        ├── IntegrityError         a row that may not be written
        ├── InternalError
        ├── ProgrammingError
        └── NotSupportedError

The first layer is PEP 249's. A message never holds a credential, whoever wrote it: the classes here take it out.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
import weakref
from collections.abc import Iterable
from typing import Protocol

import apsw


class HasSecrets(Protocol):
    """An account."""

    def secrets(self) -> Iterable[str]:
        """Its credentials."""


_accounts: list[weakref.ref[HasSecrets]] = []  # of the process. A WeakSet would run Python when one goes: see Ctrl-C
_adding = threading.Lock()


def remember(account: HasSecrets) -> None:
    """Have the credentials of ``account`` taken out of every message for as long as it lives."""
    with _adding:
        _accounts[:] = [*(other for other in _accounts if other() is not None), weakref.ref(account)]


def redacted(text: str) -> str:
    """``text``, of a message or a log, with *** for each credential of any account of the process."""
    living = [account for reference in list(_accounts) if (account := reference()) is not None]
    secrets = {secret for account in living for secret in account.secrets()}
    for secret in sorted(secrets, key=len, reverse=True):  # one may hold another
        text = text.replace(secret, "***")
    return text


def _shown(argument: object) -> object:
    return redacted(argument) if isinstance(argument, str) else argument


class Warning(UserWarning):
    """Something that the user should know and that did not stop the statement."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*map(_shown, arguments))


def warn(text: str) -> None:
    """Warn, and never raise, though warnings were errors: what the text is about has happened, and was paid."""
    with contextlib.suppress(Warning):
        warnings.warn(text, Warning, stacklevel=3)


class Error(Exception):
    """The root of everything that ftsql raises by itself."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*map(_shown, arguments))


class InterfaceError(Error):
    """The way ftsql was called, not the data."""


class ConfigError(InterfaceError):
    """A provider entry, a variable or a setting that cannot be used as it is."""


class DatabaseError(Error):
    """Something about the data or the API behind it."""


class DataError(DatabaseError):
    """A value that is not what it should be."""


class OperationalError(DatabaseError):
    """Something outside the statement's control: network, limits, the API."""


class StoreError(OperationalError):
    """The store's file cannot be opened, read or written."""


class IntegrityError(DatabaseError, apsw.ConstraintError):
    """A row that may not be written.

    It is an ``apsw.ConstraintError`` too: only that result code makes SQLite honour INSERT OR FAIL.
    """


class InternalError(DatabaseError):
    """A mistake in ftsql itself."""


class ProgrammingError(DatabaseError):
    """The statement asks for something that does not exist or is refused."""


class NotSupportedError(DatabaseError):
    """The provider does not have what the statement needs."""


class APIError(OperationalError):
    """What a provider answered instead of a result.

    ``status`` is the HTTP status (None when no answer came), ``code`` and ``param`` are the API's own
    words, ``hint`` is the next step, ``ambiguous`` says that a write may have been accepted all the same,
    ``no_such`` that the API has no job (or file, …) of that id.
    """

    no_such = False

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        hint: str = "",
        ambiguous: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = redacted(message)
        self.provider = provider
        self.status = status
        self.code = None if code is None else redacted(code)
        self.param = None if param is None else redacted(param)
        self.request_id = None if request_id is None else redacted(request_id)
        self.hint = redacted(hint)
        self.ambiguous = ambiguous

    def __str__(self) -> str:
        facts = [f"HTTP {self.status}"] if self.status is not None else []
        if self.code and self.code not in self.message:
            facts.append(f"code {self.code}")
        if self.param:
            facts.append(f"param {self.param}")
        if self.request_id:
            facts.append(f"request id {self.request_id}")
        text = f"{self.provider}: {self.message}"
        if facts:
            text += f" ({', '.join(facts)})"
        hints = self.hint.strip()
        return redacted(f"{text}. {hints}" if hints else text)  # message and hint may have grown since


class RateLimitError(APIError):
    """HTTP 429 after the allowed waiting, or a wait that is longer than allowed."""


class AuthenticationError(APIError):
    """HTTP 401 or 403: the provider does not take the key."""


class APIConnectionError(APIError):
    """No answer, or one that broke off: DNS, refused, timeout, dropped."""


class OutcomeUnknown(APIError):
    """A paid write was sent and nobody can say what became of it; ``candidates`` may be the job."""

    def __init__(self, message: str, *, provider: str, candidates: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, provider=provider, hint=hint, ambiguous=True)
        self.candidates = candidates
