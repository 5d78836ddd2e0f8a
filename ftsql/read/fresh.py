"""The jobs that a listing need not read, since the store has them: brought up to date, then shown.

Those that had finished are as they were; how the others are is asked, in as few requests as will do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import length_hint
from typing import Any

from ftsql.api.account import Account
from ftsql.api.calls import Call
from ftsql.api.pages import decoded
from ftsql.errors import APIError
from ftsql.read.statement_cache import Look
from ftsql.resources.cells import CREATED_AT, ID, Cells, cells
from ftsql.resources.definitions import JOBS
from ftsql.resources.resource import Row
from ftsql.store.cache import CHUNK, Choice, place


def rest(look: Look, account: Account, choice: Choice, columns: int, *, in_order: bool) -> Iterator[Iterable[Cells]]:
    """The rows beyond those that a joined listing read, out of the store, as the API has them now; some at a time.

    All of them are brought up to date first; ``in_order`` as far as they are taken, newest first. Where
    the listing read no page, everything is young enough to be shown as it is.
    """
    known, listing = look.known(account), look.listing(account)
    assert known is not None
    got, tail = look.got[account], listing.tail
    if in_order:
        choice = replace(choice, status=None, model=None)  # what this statement saw could stand at its place
    elif listing.pages:
        _refresh(look, account, known.active(tail, choice.since))
        if choice.since is None:
            known.looked(listing.began)
    before = {} if in_order else dict(got)  # of which the store may have another state than this statement saw
    after: tuple[int, str] | None = None
    count = account.provider.page_size if in_order else CHUNK
    plain = not (before or listing.by_id)

    def seen(row: Cells) -> Cells | None:
        """A row as this statement saw it otherwise, if it did; none where it is shown elsewhere, or is gone."""
        id = str(row[ID])
        if id in before or id in listing.by_id:
            return None
        if id not in got:
            return row
        job = got[id]
        return None if job is None else cells(job, columns)

    while rows := known.cells(choice, tail, after, count, columns):
        after = place(rows[-1][CREATED_AT], rows[-1][ID])
        if in_order and listing.pages:
            ids = {row[ID] for row in rows}
            _refresh(look, account, [job for job in known.active(tail, after[0]) if job[1] in ids])
        shown = rows if plain and not got else [row for row in map(seen, rows) if row is not None]
        left = iter(shown)
        try:
            yield left
        finally:
            look.count(len(shown) - length_hint(left))
        if len(rows) < count:
            break
    for id, job in before.items():
        if job is not None and id not in listing.by_id and place(job.created_at, id)[0] <= tail:
            yield [cells(job, columns)]


def _refresh(look: Look, account: Account, active: Sequence[tuple[int, str]]) -> None:
    """Ask again how jobs are that had not finished, side by side."""
    known, got, listing = look.known(account), look.got[account], look.listing(account)
    assert known is not None
    left = [job for job in active if job[1] not in got and job[1] not in listing.by_id]
    pages: list[tuple[Call[Any] | None, list[str]]] = []
    gets: dict[str, Call[Any] | None] = {}
    size = account.provider.page_size
    for before, inside in known.requests(left, size):
        if before is None:
            gets[inside[0]] = look.start(account, f"/{inside[0]}")
        else:
            pages.append((look.start(account, "", {"limit": str(size), "after": before}), inside))
    for call, inside in pages:
        shown = {row.id: row for row in _page(look, account, call)}
        got.update((id, shown[id]) for id in inside if id in shown)
        # The page may hang on a job that was deleted meanwhile, or ties may stand in another order.
        gets.update((id, look.start(account, f"/{id}")) for id in inside if id not in shown)
    for id, call in gets.items():
        try:
            look.answered(account, id, call)
        except APIError as error:
            if account.retrieves:
                raise
            listing = look.whole_list(account, error)
            while not listing.done:
                listing.read()
            got.update((id, listing.row(id)) for id in gets)
            return


def _page(look: Look, account: Account, call: Call[Any] | None) -> list[Row]:
    """The rows of one page by itself; none where the job that it hangs on is gone."""
    assert call is not None
    try:
        body = look.finish(account, call)
    except APIError as error:
        if error.status not in (400, 404, 410, 422):
            raise
        return []
    rows = (
        [] if body is None else JOBS.rows(account.name, decoded(account.name, JOBS.noun, body).objects, tell=look.tell)
    )
    known = look.known(account)
    if known is not None:
        known.save(rows, at=call.began)
    return rows
