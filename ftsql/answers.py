"""What an HTTP answer means: a decoded JSON body, or the error that its status and body tell of.

The error shapes are those of api-facts: OpenAI's, Telnyx's and FastAPI's, gateways' and plain pages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from ftsql.account import Account
from ftsql.errors import APIError, AuthenticationError, DataError, RateLimitError, redacted
from ftsql.resource import Resource
from ftsql.resources import JOBS

# "No such job" in codes and words. A plain "Not Found", and whatever speaks of an address, is about the URL.
NO_SUCH_CODE = re.compile(r"(fine_?tun\w*|job|model|file)_?not_?found", re.IGNORECASE)
MISSING = re.compile(
    r"not found|no such|not exist|(could not|couldn.?t|cannot|can.?t) (be )?f(i|ou)nd|unknown|no fine.?tun",
    re.IGNORECASE,
)
OF_AN_ADDRESS = re.compile(r"\b(url|uri|route|path|page|endpoint)\b|cannot (get|post)", re.IGNORECASE)
# Statuses of a write that may have been accepted all the same: a wait or a client that was given up in between,
# and redirects that send on to the result of what was accepted.
UNCLEAR = frozenset({301, 302, 303, 408, 499})
MAX_WORDS = 400  # characters of a provider's own words in a message


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came: ``body`` is decoded from its transfer and content encodings, and may hold a credential."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str

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
        kind = "an HTML page" if self.body.lstrip()[:1] == b"<" else "no valid JSON"
        reason = "" if kind == "an HTML page" else f": {reason}"
        raise DataError(
            f"{account.name}: answered {self.url} with {kind} (HTTP {self.status}{reason}). Check that "
            "base_url is the API's, with its /v1 if it has one, and that no login page is in between"
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What a write was answered: the decoded body (None for an empty one), and how to ask about it."""

    body: Any
    status: int
    request_id: str | None


def refusal(account: Account, answer: Answer, resource: Resource = JOBS) -> APIError:
    """The error of an answer that did not succeed, redacted, with the next step."""
    body = _decoded(answer.body)
    message, code, param = _words(body)
    if not message:
        text = answer.body[:MAX_WORDS].decode("utf-8", "replace").strip()
        html = text[:1] == "<"
        message = "answered with an HTML page" if html else text or "answered with an empty body"
    message = redacted(" ".join(message.split()))[:MAX_WORDS].rstrip(".")
    kind: type[APIError] = APIError
    if answer.status in (401, 403):
        kind = AuthenticationError
    elif answer.status == 429:
        kind = RateLimitError
    return kind(
        message,
        provider=account.name,
        status=answer.status,
        code=redacted(code)[:100] if code else None,
        param=redacted(param)[:100] if param else None,
        request_id=answer.request_id,
        hint="" if is_not_found(account, answer, resource) else redacted(_hint(account, answer, code)),
        ambiguous=answer.status >= 500 or answer.status in UNCLEAR,
    )


def is_not_found(account: Account, answer: Answer, resource: Resource = JOBS) -> bool:
    """Whether a 404 is the API's own "no such job" (or file, …): anything else is an error about the URL."""
    if answer.status != 404:
        return False
    message, code, param = _words(_decoded(answer.body))
    if not message:
        return False
    if code is not None and (code in account.provider.not_found or NO_SUCH_CODE.fullmatch(code)):
        return True
    if param in ("fine_tune_id", "fine_tuning_job_id"):
        return True
    # An address in a message names fine_tuning and jobs too.
    words = " ".join(word for word in message.split() if "/" not in word)
    named = re.search(resource.missing, words, re.IGNORECASE) is not None and OF_AN_ADDRESS.search(words) is None
    return named and MISSING.search(words) is not None


def _decoded(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError:
        return None


def _words(body: Any) -> tuple[str, str | None, str | None]:
    """Message, code and param out of an error body of any known shape."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, dict):
        return "", None, None
    if isinstance(body.get("detail"), dict):
        return _words(body["detail"])
    error = body.get("error", body)
    if isinstance(error, str):
        return error, None, None
    if isinstance(body.get("errors"), list) and body["errors"] and isinstance(body["errors"][0], dict):
        error = body["errors"][0]  # Telnyx
    if not isinstance(error, dict):
        return "", None, None
    message = error.get("message") or error.get("detail") or error.get("title") or ""
    if isinstance(message, list):  # FastAPI: [{loc, msg, type}]
        message = "; ".join(
            f"{'.'.join(str(part) for part in item.get('loc', []) if part != 'body')}: {item.get('msg')}"
            for item in message
            if isinstance(item, dict) and isinstance(item.get("loc", []), list)
        )
    code, param = error.get("code"), error.get("param")
    return (
        message if isinstance(message, str) else "",
        str(code) if isinstance(code, (str, int)) else None,
        param if isinstance(param, str) else None,
    )


def _hint(account: Account, answer: Answer, code: str | None) -> str:
    variables = [name for name, required in account.provider.variables.items() if required]
    if answer.status in (401, 403):
        return f"Check {' and '.join(variables) or 'the headers of its entry'}"
    if answer.status == 402:
        return "The account is out of credits"
    if answer.status == 404:
        return f"No such address: {answer.url}. Check base_url: most end with /v1"
    if answer.status == 429:
        daily = code == "daily_rate_limit_exceeded"
        return "The day's quota is used up: try again tomorrow" if daily else "Try again later"
    if 300 <= answer.status < 400:
        return "It redirects, and a key is never sent after a redirect: set base_url to the address meant"
    return "The trouble is at the provider: try again later" if answer.status >= 500 else ""
