"""HTTP responses: decode the body of a successful one, and make an error from any other.

An error body may have the shape that OpenAI, Telnyx, FastAPI or a gateway uses, or be plain text or an HTML page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from pydantic_core import from_json

from ftsql.api.account import Account
from ftsql.errors import APIError, AuthenticationError, DataError, RateLimitError, redacted
from ftsql.resources.definitions import JOBS
from ftsql.resources.resource import Resource

# Codes and words that mean "no such job". A plain "Not Found" or a message that mentions an address is about the URL.
NO_SUCH_CODE = re.compile(r"(fine_?tun\w*|job|model|file)_?not_?found", re.IGNORECASE)
MISSING = re.compile(
    r"not found|no such|not exist|(could not|couldn.?t|cannot|can.?t) (be )?f(i|ou)nd|unknown|no fine.?tun",
    re.IGNORECASE,
)
OF_AN_ADDRESS = re.compile(r"\b(url|uri|route|path|page|endpoint)\b|cannot (get|post)", re.IGNORECASE)
GONE = (404, 410)
# After one of these statuses, a write may have been accepted: a server or gateway stopped waiting, or the server
# redirects to the result of the write that it accepted.
AMBIGUOUS = frozenset({301, 302, 303, 408, 499})
# Statuses above 500, and messages, which say that the server does not support the operation and so did nothing.
UNSUPPORTED = frozenset({501, 505})
NOT_LICENSED = re.compile(r"\b(premium|enterprise) (user|feature|only|licen[cs]e)|_LICEN[CS]E\b", re.IGNORECASE)
# Messages which say that the provider creates no more jobs for this account or for any: the key is not the cause.
ENDED = re.compile(
    r"\btraining_not_available\b|\bwinding down (the |our |its )?(self.serve )?fine.?tuning"
    r"|\bcan(not| no longer)( be)? creat\w+ (any )?(new |more )+fine.?tun"
    r"|\bfine.?tuning( (platform|service|product|api|feature))? (has been|was|is|is being) "
    r"(discontinued|sunset|retired|wound down|shut ?down (for good|permanently|on))"
    r"|\bfine.?tuning( (platform|service|product|api))? is no longer (offered|available|supported)"
    r"(\.| (at|by|on|to)\b|$)",
    re.IGNORECASE,
)
ENDED_HINT = (
    "The provider makes no more fine-tuning jobs for this account, whatever the key: see ftsql guide leaving-openai "
    "for what to keep and where to go"
)
MAX_MESSAGE = 400  # characters of a provider's own message that an error shows
MAX_DEPTH = 5  # how many levels of an error body are searched
# The names that servers use for an error's text, the most detailed first.
MESSAGES = (
    *("message", "Message", "msg", "detail", "details", "description", "error_description", "faultstring"),
    *("title", "reason", "error"),
)
# The names under which an error body may hold an inner error.
INNER = ("error", "errors", "detail", "details", "innererror", "fault", "message")


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response.

    headers: The headers that ftsql reads, with lower-case names, redacted.
    body: The body without transfer and content encodings. It may hold a credential that the server echoed.
    url: The URL of the request, without its query.
    saved: How many bytes of the body were written to disk rather than kept in ``body``.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str
    saved: int = 0

    @property
    def request_id(self) -> str | None:
        for name in ("x-request-id", "apim-request-id", "x-portkey-trace-id"):
            if name in self.headers:
                return self.headers[name][:100]
        return None

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self, account: Account, reader: Callable[[str, bytes], Any] | None = None) -> Any:
        """Return the decoded body of a successful response. Raises DataError if it is not JSON.

        reader: See ``Account.decode``.
        """
        try:
            return account.decode(self.body, reader)
        except ValueError as error:
            reason = str(error)[:120]
        content_type = self.headers.get("content-type", "").partition(";")[0].strip()
        is_html = self.body.lstrip()[:1] == b"<"
        kind = "an HTML page" if is_html else "invalid JSON"
        shown_type = f", {content_type}" if content_type and not re.search("json|html", content_type) else ""
        raise DataError(
            f"{account.name}: answered {self.url} with {kind} "
            f"(HTTP {self.status}{shown_type}{'' if is_html else f': {reason}'}). Check that "
            f"base_url is the API's, with its /v1 if it has one"
            f"{', and that no login page is in between' if is_html else ''}"
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """The response to a write: the decoded body (None if it was empty), the status, and the id of the request."""

    body: Any
    status: int
    request_id: str | None


def error_from(
    account: Account,
    response: Response,
    resource: Resource = JOBS,
    *,
    creates: bool = False,
) -> APIError:
    """Return the error for an unsuccessful response, redacted. Its hint says what the user can do.

    ``creates`` says that the request was meant to create a job.
    """
    message, code, param = error_fields(_decode(response.body))
    message = redacted(" ".join((message or _body_text(response.body)).split()))[:MAX_MESSAGE].rstrip(".")
    no_such = is_not_found(account, response, resource)
    may_have_ended = creates and response.status in (400, 403, 404, 410) and not no_such
    ended = may_have_ended and ENDED.search(f"{code} {message}") is not None
    kind: type[APIError] = APIError
    if response.status in (401, 403) and not ended:
        kind = AuthenticationError
    elif response.status == 429:
        kind = RateLimitError
    supported = response.status not in UNSUPPORTED and not NOT_LICENSED.search(message)
    error = kind(
        message,
        provider=account.name,
        status=response.status,
        code=redacted(code)[:100] if code else None,
        param=redacted(param)[:100] if param else None,
        request_id=response.request_id,
        hint=ENDED_HINT if ended else "" if no_such else _hint(account, response, code),
        ambiguous=(response.status >= 500 and supported) or response.status in AMBIGUOUS,
    )
    error.no_such = no_such
    return error


def _body_text(body: bytes) -> str:
    """Return a message for an error body in which no message was found."""
    text = body[:MAX_MESSAGE].decode("utf-8", "replace").strip()
    if text[:1] == "<":
        return "answered with an HTML page"
    return "answered with an empty body" if text in ("", "{}", "[]", "null") else text


def is_not_found(
    account: Account,
    response: Response,
    resource: Resource = JOBS,
    *,
    strict: bool = False,
) -> bool:
    """Whether a 404 is the API's own "no such job" (or file, …). Any other 404 is about the URL.

    With ``strict``, a message that any server could send for an unknown address does not count unless it names the id.
    """
    if response.status not in GONE:
        return False
    message, code, param = error_fields(_decode(response.body))
    if code in account.provider.not_found:
        return True
    if message:
        pattern = account.provider.not_found_message
        if pattern and re.search(pattern, message, re.IGNORECASE):
            return True
        if param in ("fine_tune_id", "fine_tuning_job_id"):
            return True
    # Words with a slash are left out, because an address in the message may contain "fine_tuning" and "jobs" too.
    plain = " ".join(word for word in message.split() if "/" not in word)
    if strict and not account.at_home and unquote(response.url.rpartition("/")[2]) not in plain:
        return False
    names_it = re.search(resource.missing, plain, re.IGNORECASE) is not None and OF_AN_ADDRESS.search(plain) is None
    has_code = code is not None and NO_SUCH_CODE.fullmatch(code) is not None
    return has_code or (names_it and MISSING.search(plain) is not None)


def _decode(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError:
        return None


def error_fields(body: Any) -> tuple[str, str | None, str | None]:
    """Return the message, code and param of a decoded error body of any known shape. The message may be empty.

    >>> error_fields({"errors": [{"code": "10005", "title": "Not found", "detail": "no such job"}]})
    ('no such job', '10005', None)
    """
    return _message(body), _first(body, "code"), _first(body, "param", (str,))


def _message(body: Any, depth: int = 0, *, by_field: bool = False) -> str:
    """Return the message of an error: the values of its usual names, outer objects before inner ones.

    ``by_field`` says that the body may be {field: ["is too long"]}, as in Rails, Django and ASP.NET.
    """
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return "; ".join(_distinct(_message(each, depth + 1) for each in body[:10]))
    if not isinstance(body, dict) or depth > MAX_DEPTH:
        return ""
    if isinstance(body.get("loc"), list) and isinstance(body.get("msg"), str):  # FastAPI: {loc, msg, type}
        place = ".".join(str(part) for part in body["loc"] if part != "body")
        return f"{place}: {body['msg']}" if place else str(body["msg"])
    messages = _distinct((_outer_message(body), *_inner_messages(body, depth + 1)))
    if messages or not by_field:
        return ": ".join(messages[:2])
    named = {name: _message(value, depth + 1) for name, value in body.items()}
    return "; ".join(f"{name}: {text}" for name, text in named.items() if text)


def _outer_message(body: Mapping[str, Any]) -> str:
    return next((body[name] for name in MESSAGES if isinstance(body.get(name), str) and body[name]), "")


def _inner_messages(body: Mapping[str, Any], depth: int) -> Iterator[str]:
    for name in INNER:
        if isinstance(body.get(name), (dict, list)):
            yield _message(body[name], depth, by_field=name == "errors")


def _distinct(texts: Iterable[str]) -> list[str]:
    """Return the distinct strings in ``texts`` that are not empty, in their order."""
    return list(dict.fromkeys(filter(None, texts)))


def _first(body: Any, name: str, kinds: tuple[type, ...] = (str, int), depth: int = 0) -> str | None:
    """Return the value of ``name`` in an error body, from the innermost error that has one."""
    if isinstance(body, list):
        body = body[0] if body else None
    if not isinstance(body, dict) or depth > MAX_DEPTH:
        return None
    for inner in ("error", "errors", "detail"):
        if (found := _first(body.get(inner), name, kinds, depth + 1)) is not None:
            return found
    value = body.get(name)
    return str(value) if isinstance(value, kinds) and not isinstance(value, bool) else None


def _hint(account: Account, response: Response, code: str | None) -> str:
    """Return what the user can do about an unsuccessful response."""
    status = response.status
    if status in (401, 403):
        variables = [name for name, required in account.provider.variables.items() if required]
        return f"Check {' and '.join(variables) or 'the headers of its entry'}"
    if status == 407:
        return "A proxy wants a user and a password: put them into HTTPS_PROXY; see ftsql guide proxies"
    if status == 402:
        return "The account is out of credits"
    if status == 404:
        return f"No such address: {response.url}. Check base_url: most end with /v1"
    if status == 429:
        daily = code == "daily_rate_limit_exceeded"
        return "The day's quota is used up: try again tomorrow" if daily else "Try again later"
    if 300 <= status < 400:
        location = response.headers.get("location", "").partition("?")[0][:200]  # its query may contain a signature
        target = f" to {location}" if location else ""
        return f"It redirects{target}, and a key is never sent after a redirect: set base_url to the right address"
    return "The trouble is at the provider: try again later" if status >= 500 else ""
