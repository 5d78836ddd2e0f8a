"""What a page of a list says: its objects, and whether there is more, in the words that servers have for it."""

from __future__ import annotations

from typing import Any

from ftsql.errors import DataError
from ftsql.resource import Row


def decoded(provider: str, noun: str, body: Any) -> tuple[list[object], bool | None]:
    """The objects of a list body and its ``has_more``; DataError for anything that is no list body."""
    if not isinstance(body, dict) or not isinstance(body.get("data"), list):
        kind = "an array" if isinstance(body, list) else "an object without data"
        kind = kind if isinstance(body, (dict, list)) else f"a {type(body).__name__}"
        raise DataError(
            f"{provider}: answered the list of {noun}s with {kind} where an object "
            "with an array named data belongs. Check that base_url is the API's"
        )
    has_more = body.get("has_more")
    if has_more is not None and not isinstance(has_more, bool):
        raise DataError(
            f"{provider}: has_more is {str(has_more)[:40]!r} where true or false belongs, so the "
            "end of the list is unknown"
        )
    return body["data"], has_more


def hints_at_more(body: Any, shown: int) -> bool:
    """Whether a list body, which need not have has_more, tells of more jobs than ``shown``."""
    meta = body.get("meta") if isinstance(body.get("meta"), dict) else {}
    totals = [body.get("total_count"), body.get("total"), meta.get("total_results")]
    if any(isinstance(total, int) and total > shown for total in totals):
        return True
    return any(body.get(name) for name in ("next", "next_page", "next_cursor", "nextPageToken"))


def token(body: Any, rows: list[Row]) -> bool:
    """Whether last_id is no id of the list: Portkey's gateway puts a token of Amazon's there where Bedrock has more."""
    last_id = body.get("last_id")
    return bool(last_id) and (not rows or last_id != rows[-1].id)
