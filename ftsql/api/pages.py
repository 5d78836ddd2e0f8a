"""What a page of a list says, in the words that servers have for it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ftsql.api.responses import words
from ftsql.errors import DataError
from ftsql.resources.resource import Row

TOTALS = frozenset({"total", "totalcount", "totalresults", "totalsize", "totalitems", "totalrecords", "totalelements"})
PAGES = frozenset({"totalpages", "pagecount"})
NEXT = frozenset(
    {"next", "nextpage", "nextcursor", "nextpagetoken", "nexttoken", "nexturl", "nextlink", "hasnext", "hasnextpage"}
)
FINE = frozenset({"0", "00", "0000", "200", "20000", "ok", "success", "succeeded"})  # codes of an answer that is none
SUCCESS = re.compile(r"\bsuccess|^\s*ok\W*$", re.IGNORECASE)
TRUTH = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True)
class Page:
    """One page. ``has_more`` is None where the server does not say; ``total`` (of objects) and ``pages`` are the
    envelope's counts. ``hints``: it has a way of its own to the next page.
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
        """Whether last_id is no id of the list: Portkey's gateway has a token of Amazon's there if Bedrock has more."""
        return bool(self.last_id) and (not rows or self.last_id != rows[-1].values.get("id"))


def decoded(provider: str, noun: str, body: Any) -> Page:
    """The page that a list's body is. Raises DataError for what is none, in the server's own words if it has any."""
    if isinstance(body, list):
        return Page(body)
    if not isinstance(body, dict):
        raise _no_list(provider, noun, f"a {type(body).__name__}")
    data = body.get("data")
    if _failed(body) or not (isinstance(data, list) or data is None):
        raise _no_list(provider, noun, "an object without data", words(body)[0])
    has_more = _truth(provider, body.get("has_more", body.get("hasMore")))
    if data is None and (has_more is False or "data" in body):
        return Page([], has_more)
    if data is None:
        raise _no_list(provider, noun, "an object without data", words(body)[0])
    told = list(_told(body))
    totals = [number for name, number in told if name in TOTALS]
    pages = [number for name, number in told if name in PAGES]
    return Page(
        data,
        has_more,
        max(totals, default=None),
        max(pages, default=None),
        any(name in NEXT for name, _ in told),
        body.get("last_id"),
    )


def _failed(body: dict[str, Any]) -> bool:
    """Whether the envelope of a list that was answered 200 says that it failed."""
    if body.get("error") or body.get("errors") or body.get("success") is False or body.get("ok") is False:
        return True
    if str(body.get("status")).lower() in ("error", "fail", "failed", "failure"):
        return True
    code, text = body.get("code"), words(body)[0]
    return (
        not body.get("data") and code is not None and str(code).lower() not in FINE and not SUCCESS.search(text or "")
    )


def _no_list(provider: str, noun: str, kind: str, text: str = "") -> DataError:
    if text:
        return DataError(f"{provider}: answered the list of {noun}s with an error: {' '.join(text.split())[:400]}")
    return DataError(
        f"{provider}: answered the list of {noun}s with {kind} where an object "
        "with an array named data belongs. Check that base_url is the API's"
    )


def _truth(provider: str, value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    if (text := str(value).lower()) in TRUTH:
        return TRUTH[text]
    raise DataError(
        f"{provider}: has_more is {str(value)[:40]!r} where true or false belongs, so the end of the list is unknown"
    )


def _told(envelope: dict[str, Any], depth: int = 0) -> Iterator[tuple[str, int]]:
    """The counts and the ways to a next page that an envelope has anywhere, by their names without case and dashes."""
    for name, value in envelope.items():
        plain = re.sub(r"[^a-z]", "", name.lower())
        if isinstance(value, dict) and depth < 3 and name not in ("data", "error"):
            yield from _told(value, depth + 1)
        if plain in NEXT and value:
            yield plain, 1
        elif isinstance(value, int) and not isinstance(value, bool):
            yield plain, value
        elif isinstance(value, str) and re.fullmatch(r"\d{1,15}", value):
            yield plain, int(value)
