"""What an HTTP answer means: a decoded JSON body, or the error that its status and body tell of.

The error shapes are those of api-facts: OpenAI's, Telnyx's and FastAPI's, gateways' and plain pages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from pydantic_core import from_json

from ftsql.api.account import Account
from ftsql.errors import APIError, AuthenticationError, DataError, RateLimitError, redacted
from ftsql.resources.definitions import JOBS
from ftsql.resources.resource import Resource

# "No such job" in codes and words. A plain "Not Found", and whatever speaks of an address, is about the URL.
NO_SUCH_CODE = re.compile(r"(fine_?tun\w*|job|model|file)_?not_?found", re.IGNORECASE)
MISSING = re.compile(
    r"not found|no such|not exist|(could not|couldn.?t|cannot|can.?t) (be )?f(i|ou)nd|unknown|no fine.?tun",
    re.IGNORECASE,
)
OF_AN_ADDRESS = re.compile(r"\b(url|uri|route|path|page|endpoint)\b|cannot (get|post)", re.IGNORECASE)
GONE = (404, 410)
# Statuses of a write that may have been accepted all the same: a wait or a client that was given up in between,
# and redirects that send on to the result of what was accepted.
UNCLEAR = frozenset({301, 302, 303, 408, 499})
# Statuses above 500, and words, of a server that does not do such a thing: nothing can have come of it.
NEVER_DONE = frozenset({501, 505})
NOT_LICENSED = re.compile(r"\b(premium|enterprise) (user|feature|only|licen[cs]e)|_LICEN[CS]E\b", re.IGNORECASE)
# A create of a provider that makes no more jobs, for this account or for anybody: the key is not to blame.
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
MAX_WORDS = 400  # characters of a provider's own words in a message
# An error's text by the names that servers have for it, the fullest first.
MESSAGES = (
    *("message", "Message", "msg", "detail", "details", "description", "error_description", "faultstring"),
    *("title", "reason", "error"),
)
INSIDE = ("error", "errors", "detail", "details", "innererror", "fault", "message")  # where an error's words may be


@dataclass(frozen=True, slots=True)
class Response:
    """An answer as it came: ``body`` is decoded from its transfer and content encodings, and may hold a credential."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str
    kept: int = 0  # bytes of the body that went to the disk instead

    @property
    def request_id(self) -> str | None:
        for name in ("x-request-id", "apim-request-id", "x-portkey-trace-id"):
            if name in self.headers:
                return self.headers[name][:100]
        return None

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self, account: Account) -> Any:
        """The decoded body of an answer that succeeded. Raises DataError for anything but JSON."""
        try:
            return account.decoded(self.body)
        except ValueError as error:
            reason = str(error)[:120]
        named = self.headers.get("content-type", "").partition(";")[0].strip()
        kind = "an HTML page" if self.body.lstrip()[:1] == b"<" else "no valid JSON"
        said = f", {named}" if named and "json" not in named and "html" not in named else ""
        reason = "" if kind == "an HTML page" else f": {reason}"
        between = ", and that no login page is in between" if kind == "an HTML page" else ""
        raise DataError(
            f"{account.name}: answered {self.url} with {kind} (HTTP {self.status}{said}{reason}). Check that "
            f"base_url is the API's, with its /v1 if it has one{between}"
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What a write was answered: the decoded body (None for an empty one), and how to ask about it."""

    body: Any
    status: int
    request_id: str | None


def refusal(account: Account, answer: Response, resource: Resource = JOBS, *, creates: bool = False) -> APIError:
    """The error of an answer that did not succeed, redacted, with the next step; ``creates``: to a new job."""
    message, code, param = words(_decoded(answer.body))
    if not message:
        text = answer.body[:MAX_WORDS].decode("utf-8", "replace").strip()
        html = text[:1] == "<"
        empty = "answered with an empty body" if text in ("", "{}", "[]", "null") else ""
        message = "answered with an HTML page" if html else empty or text
    message = redacted(" ".join(message.split()))[:MAX_WORDS].rstrip(".")
    missing = is_not_found(account, answer, resource)
    refused = creates and answer.status in (400, 403, 404, 410) and not missing
    ended = refused and ENDED.search(f"{code} {message}") is not None
    kind: type[APIError] = APIError
    if answer.status in (401, 403) and not ended:
        kind = AuthenticationError
    elif answer.status == 429:
        kind = RateLimitError
    done = answer.status not in NEVER_DONE and not NOT_LICENSED.search(message)
    error = kind(
        message,
        provider=account.name,
        status=answer.status,
        code=redacted(code)[:100] if code else None,
        param=redacted(param)[:100] if param else None,
        request_id=answer.request_id,
        hint=ENDED_HINT if ended else "" if missing else _hint(account, answer, code),
        ambiguous=(answer.status >= 500 and done) or answer.status in UNCLEAR,
    )
    error.no_such = missing
    return error


def is_not_found(account: Account, answer: Response, resource: Resource = JOBS, *, sure: bool = False) -> bool:
    """Whether a 404 is the API's own "no such job" (or file, …): anything else is an error about the URL.

    ``sure``: words alone do not count that any server could have for its address, unless they name the id.
    """
    if answer.status not in GONE:
        return False
    message, code, param = words(_decoded(answer.body))
    if code in account.provider.not_found:
        return True
    if message:
        pattern = account.provider.not_found_message
        if pattern and re.search(pattern, message, re.IGNORECASE):
            return True
        if param in ("fine_tune_id", "fine_tuning_job_id"):
            return True
    # An address in a message names fine_tuning and jobs too.
    plain = " ".join(word for word in message.split() if "/" not in word)
    if sure and not account.at_home and unquote(answer.url.rpartition("/")[2]) not in plain:
        return False
    named = re.search(resource.missing, plain, re.IGNORECASE) is not None and OF_AN_ADDRESS.search(plain) is None
    no_such = code is not None and NO_SUCH_CODE.fullmatch(code) is not None
    return no_such or (named and MISSING.search(plain) is not None)


def _decoded(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError:
        return None


def words(body: Any) -> tuple[str, str | None, str | None]:
    """Message, code and param out of an error body of any known shape.

    >>> words({"errors": [{"code": "10005", "title": "Not found", "detail": "no such job"}]})
    ('no such job', '10005', None)
    """
    return _told(body), _first(body, "code"), _first(body, "param", (str,))


def _told(body: Any, depth: int = 0, *, fields: bool = False) -> str:
    """The text of an error: what stands there under one of the usual names, outer words before inner ones.

    ``fields``: it may be {field: ["is too long"]}, as Rails, Django and ASP.NET have it.
    """
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return "; ".join(dict.fromkeys(filter(None, (_told(each, depth + 1) for each in body[:10]))))
    if not isinstance(body, dict) or depth > 5:
        return ""
    if isinstance(body.get("loc"), list) and isinstance(body.get("msg"), str):  # FastAPI: {loc, msg, type}
        place = ".".join(str(part) for part in body["loc"] if part != "body")
        return f"{place}: {body['msg']}" if place else str(body["msg"])
    outer = next((body[name] for name in MESSAGES if isinstance(body.get(name), str) and body[name]), "")
    inner = (
        _told(body[name], depth + 1, fields=name == "errors")
        for name in INSIDE
        if isinstance(body.get(name), (dict, list))
    )
    told = list(dict.fromkeys(filter(None, (outer, *inner))))
    if told or not fields:
        return ": ".join(told[:2])
    named = {name: _told(value, depth + 1) for name, value in body.items()}
    return "; ".join(f"{name}: {text}" for name, text in named.items() if text)


def _first(body: Any, name: str, kinds: tuple[type, ...] = (str, int), depth: int = 0) -> str | None:
    """The ``name`` of an error, that of the error inside where there is one."""
    if isinstance(body, list):
        body = body[0] if body else None
    if not isinstance(body, dict) or depth > 5:
        return None
    for inside in ("error", "errors", "detail"):
        if (found := _first(body.get(inside), name, kinds, depth + 1)) is not None:
            return found
    value = body.get(name)
    return str(value) if isinstance(value, kinds) and not isinstance(value, bool) else None


def _hint(account: Account, answer: Response, code: str | None) -> str:
    variables = [name for name, required in account.provider.variables.items() if required]
    if answer.status in (401, 403):
        return f"Check {' and '.join(variables) or 'the headers of its entry'}"
    if answer.status == 407:
        return "A proxy wants a user and a password: put them into HTTPS_PROXY; see ftsql guide proxies"
    if answer.status == 402:
        return "The account is out of credits"
    if answer.status == 404:
        return f"No such address: {answer.url}. Check base_url: most end with /v1"
    if answer.status == 429:
        daily = code == "daily_rate_limit_exceeded"
        return "The day's quota is used up: try again tomorrow" if daily else "Try again later"
    if 300 <= answer.status < 400:
        location = answer.headers.get("location", "").partition("?")[0][:200]  # its query may be a signature
        where = f" to {location}" if location else ""
        return f"It redirects{where}, and a key is never sent after a redirect: set base_url to the address meant"
    return "The trouble is at the provider: try again later" if answer.status >= 500 else ""
