"""What a statement knows of the jobs that others belong to, without asking where it can be helped."""

from __future__ import annotations

from ftsql.api.account import Account
from ftsql.read.statement_cache import Look
from ftsql.resources.definitions import is_finished
from ftsql.resources.resource import Row

Parent = tuple[Account, str]


def seen(look: Look, parent: Parent) -> Row | None:
    """A job as this statement was told of it, or as the store has it for good."""
    account, id = parent
    known, listing = look.known(account), look.listings.get(account)
    row = look.got[account].get(id) or (None if listing is None else listing.row(id))
    return row or (None if known is None else known.row(id))


def heard(look: Look, parent: Parent) -> Row | bool:
    """What is known of a job: its row where it has ended, which may lack what is filled in late, else whether it was
    heard of.
    """
    account, id = parent
    known = look.known(account)
    row = seen(look, parent) or (None if known is None else known.row(id, ended=True))
    if row is not None:
        return row if is_finished(row.status) else True
    return known is not None and known.holds_any([id])


def lacks(look: Look, parent: Parent) -> bool:
    """Whether there is no such job: the statement was told so, or has read the whole list."""
    account, id = parent
    listing, known, got = look.listings.get(account), look.known(account), look.got[account]
    if id in got:
        return got[id] is None
    if listing is None:
        return False
    while id not in listing.by_id and listing.wanted and not (listing.done or listing.joined):
        read = len(listing.rows)  # which the statement reads anyway: no need to ask a provider that lacks the job
        listing.read()
        look.compare(account, listing.rows[read:])
    if id in listing.by_id:
        return False
    return listing.done or (listing.joined and known is not None and known.lacks(id))


def exists(look: Look, parent: Parent) -> bool:
    """Whether a job that was heard of is still there, so that what belongs to it cannot be "not found"."""
    account, id = parent
    listing = look.listings.get(account)
    if id not in look.got[account] and listing is not None and id in listing.by_id:
        return True
    if heard(look, parent):
        look.retrieve([parent])
    return look.got[account].get(id) is not None
