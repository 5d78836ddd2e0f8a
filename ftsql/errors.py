"""The errors that ftsql raises. Their messages say what to do next.

    Warning
    Error
    ├── InterfaceError
    │   └── ConfigError            an invalid provider entry, a missing key, an unknown provider
    └── DatabaseError
        ├── DataError              an invalid response body or value
        ├── OperationalError
        │   ├── StoreError         the store's file cannot be used
        │   └── APIError           an error response of a provider, or no response
        │       ├── RateLimitError
        │       ├── AuthenticationError
        │       ├── APIConnectionError
        │       └── OutcomeUnknown a paid write that may or may not have been accepted
        ├── IntegrityError         a row that must not be written
        ├── InternalError
        ├── ProgrammingError
        └── NotSupportedError

The top classes have the names of PEP 249's classes. No message contains a credential: the classes redact credentials,
even in text from a provider.
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
    """The part of an account that redaction needs."""

    def secrets(self) -> Iterable[str]:
        """Return the credentials of the account."""


# All accounts of the process. A WeakSet would run Python code when an account is freed, and a Ctrl-C could be raised in
# that code.
_accounts: list[weakref.ref[HasSecrets]] = []
_accounts_lock = threading.Lock()


def register_secrets(account: HasSecrets) -> None:
    """Redact the credentials of ``account`` in every message for as long as the account object exists."""
    with _accounts_lock:
        _accounts[:] = [*(other for other in _accounts if other() is not None), weakref.ref(account)]


def redacted(text: str) -> str:
    """Return ``text`` with *** in place of every credential that an account in this process has."""
    living = [account for reference in list(_accounts) if (account := reference()) is not None]
    secrets = {secret for account in living for secret in account.secrets()}
    for secret in sorted(secrets, key=len, reverse=True):  # one secret may contain another
        text = text.replace(secret, "***")
    return text


def _redacted_argument(argument: object) -> object:
    return redacted(argument) if isinstance(argument, str) else argument


class Warning(UserWarning):
    """A warning about something that the user should know. The statement goes on."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*map(_redacted_argument, arguments))


def warn(text: str) -> None:
    """Issue a Warning. Never raise it, even if warnings are errors, because the write that it is about was sent."""
    with contextlib.suppress(Warning):
        warnings.warn(text, Warning, stacklevel=3)


class Error(Exception):
    """The base class of all errors that ftsql raises itself."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*map(_redacted_argument, arguments))


class InterfaceError(Error):
    """An error in how ftsql was called, not in the data."""


class ConfigError(InterfaceError):
    """A provider entry, a variable or a setting is invalid or missing."""


class DatabaseError(Error):
    """An error of the data or of the API behind it."""


class DataError(DatabaseError):
    """A value or a response body is invalid."""


class OperationalError(DatabaseError):
    """An error outside the statement's control: the network, a limit, the API."""


class StoreError(OperationalError):
    """The store's file cannot be opened, read or written."""


class IntegrityError(DatabaseError, apsw.ConstraintError):
    """A row must not be written.

    The class is also an ``apsw.ConstraintError``, because SQLite honours INSERT OR FAIL only for that result code.
    """


class InternalError(DatabaseError):
    """A bug in ftsql itself."""


class ProgrammingError(DatabaseError):
    """The statement names something that does not exist, or it is refused."""


class NotSupportedError(DatabaseError):
    """The provider does not support the operation that the statement needs."""


class APIError(OperationalError):
    """A provider returned an error, or no response at all.

    provider: The provider's name.
    status: The HTTP status; None if no response came.
    code, param: The error's code and parameter, as the API returned them.
    request_id: The request's id, as the API returned it.
    hint: What to do next.
    ambiguous: Whether a write may have been accepted although it failed.
    no_such: Whether the API says that no job (or file, …) has this id.
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
        return redacted(f"{text}. {hints}" if hints else text)  # code may have appended to message and hint since


class RateLimitError(APIError):
    """The provider still answered HTTP 429 after all retries, or asked for a wait that is longer than allowed."""


class AuthenticationError(APIError):
    """The provider rejects the key, with HTTP 401 or 403."""


class APIConnectionError(APIError):
    """No complete response came: a DNS failure, a refused connection, a timeout or a dropped connection."""


class OutcomeUnknown(APIError):
    """A paid write was sent, but its outcome is unknown. ``candidates`` has ids of jobs that it may have created."""

    def __init__(self, message: str, *, provider: str, candidates: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, provider=provider, hint=hint, ambiguous=True)
        self.candidates = candidates
