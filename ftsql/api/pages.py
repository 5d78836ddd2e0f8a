"""Pages of a list: read the objects of a decoded body, and the members around them (the envelope), from any server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ftsql.api.responses import error_fields
from ftsql.errors import DataError
from ftsql.resources.resource import Row

# Names in envelopes, in lower case and without punctuation: counts of objects, counts of pages, and members that lead
# to the next page.
TOTALS = frozenset({"total", "totalcount", "totalresults", "totalsize", "totalitems", "totalrecords", "totalelements"})
PAGE_COUNTS = frozenset({"totalpages", "pagecount"})
NEXT_PAGE = frozenset(
    {"next", "nextpage", "nextcursor", "nextpagetoken", "nexttoken", "nexturl", "nextlink", "hasnext", "hasnextpage"}
)
SUCCESS_CODES = frozenset({"0", "00", "0000", "200", "20000", "ok", "success", "succeeded"})
SUCCESS_MESSAGE = re.compile(r"\bsuccess|^\s*ok\W*$", re.IGNORECASE)
TRUTH = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True)
class Page:
    """One page of a list.

    objects: The decoded objects.
    has_more: Whether another page follows; None if the server does not say.
    total: The number of objects that the envelope states.
    pages: The number of pages that the envelope states.
    hints: Whether the envelope leads to the next page by something other than the last id, such as a URL or a token.
    last_id: The envelope's last_id.
    """

    objects: Sequence[object] = field(repr=False)
    has_more: bool | None = None
    total: int | None = None
    pages: int | None = None
    hints: bool = False
    last_id: object = field(default=None, repr=False)

    @property
    def is_counted(self) -> bool:
        """Whether the envelope says how many objects or pages there are."""
        return self.total is not None or self.pages is not None

    def is_token(self, rows: Sequence[Row]) -> bool:
        """Whether last_id is a page token and not the last row's id.

        For Bedrock, Portkey's gateway puts Amazon's page token into last_id.
        """
        return bool(self.last_id) and (not rows or self.last_id != rows[-1].received_id)


def decode_page(provider: str, noun: str, body: Any) -> Page:
    """Return the page that ``body``, the decoded body of a response, contains.

    Raises DataError if the body is not a list. The error has the server's own message if the body contains one.
    """
    if isinstance(body, list):
        return Page(body)
    if not isinstance(body, dict):
        raise _not_a_list(provider, noun, f"a value of type {type(body).__name__}")
    data = body.get("data")
    if _has_failed(body) or not (isinstance(data, list) or data is None):
        raise _not_a_list(provider, noun, "an object without data", error_fields(body)[0])
    has_more = _boolean(provider, body.get("has_more", body.get("hasMore")))
    if data is None and (has_more is False or "data" in body):
        return Page([], has_more)
    if data is None:
        raise _not_a_list(provider, noun, "an object without data", error_fields(body)[0])
    numbers = list(_numbers(body))
    return Page(
        data,
        has_more,
        max((number for name, number in numbers if name in TOTALS), default=None),
        max((number for name, number in numbers if name in PAGE_COUNTS), default=None),
        any(name in NEXT_PAGE for name, _ in numbers),
        body.get("last_id"),
    )


def _has_failed(body: dict[str, Any]) -> bool:
    """Whether the envelope says that the request failed, although the status is 200."""
    if body.get("error") or body.get("errors") or body.get("success") is False or body.get("ok") is False:
        return True
    if str(body.get("status")).lower() in ("error", "fail", "failed", "failure"):
        return True
    code, message = body.get("code"), error_fields(body)[0]
    if body.get("data") or code is None:
        return False
    return str(code).lower() not in SUCCESS_CODES and not SUCCESS_MESSAGE.search(message)


def _not_a_list(provider: str, noun: str, kind: str, message: str = "") -> DataError:
    if message:
        return DataError(f"{provider}: answered the list of {noun}s with an error: {' '.join(message.split())[:400]}")
    return DataError(
        f"{provider}: answered the list of {noun}s with {kind}, expected an object "
        "with an array named data. Check that base_url is the API's"
    )


def _boolean(provider: str, value: Any) -> bool | None:
    """Return has_more as a boolean, or None if it is missing. Raises DataError if it is neither true nor false."""
    if value is None or isinstance(value, bool):
        return value
    if (text := str(value).lower()) in TRUTH:
        return TRUTH[text]
    raise DataError(
        f"{provider}: has_more is {str(value)[:40]!r}, expected true or false, so the end of the list is unknown"
    )


def _numbers(envelope: dict[str, Any], depth: int = 0) -> Iterator[tuple[str, int]]:
    """Yield the name and value of each number in an envelope, and in the objects inside it.

    Names are in lower case and without punctuation. A member that leads to the next page is yielded with the number 1.
    """
    for name, value in envelope.items():
        plain = re.sub(r"[^a-z]", "", name.lower())
        if isinstance(value, dict) and depth < 3 and name not in ("data", "error"):
            yield from _numbers(value, depth + 1)
        if plain in NEXT_PAGE and value:
            yield plain, 1
        elif isinstance(value, int) and not isinstance(value, bool):
            yield plain, value
        elif isinstance(value, str) and re.fullmatch(r"\d{1,15}", value):
            yield plain, int(value)
