"""What a statement would cost before it runs: its plans, and what the store knows, as numbers of requests.

Nothing is sent. A number holds while nothing changes at the provider; the reason says what would change it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, get_args

from ftsql import comparisons
from ftsql.account import Account
from ftsql.errors import ProgrammingError
from ftsql.functions import EFFECTS
from ftsql.habits import is_recent
from ftsql.known import Known
from ftsql.listing import AT_LEAST, EVERYTHING, REMEMBERED
from ftsql.plan import Access, Plan
from ftsql.program import calls
from ftsql.resources import OTHERS
from ftsql.session import Session
from ftsql.statements import Statement
from ftsql.tables import PARENTS, without_parent

NOTHING = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)|[\s;]+", re.DOTALL)
SCAN = re.compile(r"(?P<how>SCAN|SEARCH) (?P<table>.+?) VIRTUAL TABLE INDEX \d+:(?P<words>[a-z][^\n]*)")


@dataclass(frozen=True, slots=True)
class Cost:
    """``low`` to ``high`` requests (None: nobody knows), and why."""

    what: str
    low: int
    high: int | None
    why: str

    @property
    def number(self) -> str:
        """The number or range in words."""
        if self.high == self.low:
            return f"{self.low} request{'' if self.low == 1 else 's'}"
        return f"{self.low} to {self.high} requests" if self.high is not None else f"{self.low} or more requests"


def explain(session: Session, sql: str) -> list[Cost]:
    """The cost of each part of ``sql``, which is one statement, and, last, of all.

    Raises what preparing ``sql`` raises, ProgrammingError for more than one statement or what cannot be asked for.
    """
    if NOTHING.sub("", session.statements.rest(sql)):  # which would run
        raise ProgrammingError("explain takes one statement at a time, and this text has more")
    session.considered.clear()
    lines = session.connection.execute(f"EXPLAIN QUERY PLAN {sql}", can_cache=False).fetchall()
    found = [match for _, _, _, detail in lines if (match := SCAN.search(str(detail)))]
    costs: list[Cost] = []
    listed: set[str] = set()
    for number, match in enumerate(found):
        words, checks = comparisons.heard(match["words"].strip())
        constants = session.considered.get(match["words"].strip(), [])
        if constants:
            comparisons.check(match["words"].strip(), constants, lambda _: True)
        plan = Plan.from_words(words)
        if plan.access != "nothing" and not session.accounts:
            session.statements.idle.look.accounts  # noqa: B018 - it raises what the statement itself would
        if plan.access not in get_args(Access):
            costs.append(_other(f"{match['table']}, {words}", words.split(), inner=number > 0))
            continue
        values = dict(zip(plan.arguments, constants[: len(constants) - len(checks)], strict=False))
        for account in _asked(session, values):
            # Within a statement all scans of an account share one listing.
            shared = plan.access == "list" and account.name in listed
            cost = _shared(account) if shared else _cost(session, account, plan, values, inner=number > 0)
            if plan.access == "list":
                listed.add(account.name)
            costs.append(Cost(f"{match['table']}, {words} ({account.name})", cost.low, cost.high, cost.why))
    program = session.statements.program_of(sql)
    session.statements.inspect(Statement(sql, session.statements.idle.look, reads=False))
    if any(step.opcode == "VUpdate" for step in program) or calls(program, EFFECTS):
        why = f"for each row that it writes 1, at most max_writes = {session.settings.max_writes} rows"
        costs.append(Cost("writes", 0, None, why))
    low = sum(cost.low for cost in costs)
    high = None if any(cost.high is None for cost in costs) else sum(cost.high or 0 for cost in costs)
    return [*costs, Cost("in all", low, high, f"at most max_requests = {session.settings.max_requests}")]


def _other(what: str, words: list[str], *, inner: bool) -> Cost:
    """The cost of a scan of another resource than the jobs."""
    resource = next(resource for resource in OTHERS if resource.plan_name == words[0])
    if resource.parent:
        if not set(words) & set(PARENTS):
            raise without_parent(resource)
        kept = f"0 where it had finished before its {resource.noun}s were read, else 1" if resource.kept else "1"
        of = "job" if resource.kept else "checkpoint"
        return Cost(what, 0 if resource.kept else 1, None, f"for each {of} {kept}; one more a page")
    if "id" in words or "key" in words:
        return Cost(what, 0 if inner else 1, None if inner else 1, "for each id 1, or the list where that is cheaper")
    return Cost(what, 1, None, "the list")


def _asked(session: Session, values: dict[str, Any]) -> list[Account]:
    """The accounts that a scan asks, as far as its constants say."""
    accounts = list(session.accounts)
    if values.get("provider") is not None:
        accounts = [account for account in accounts if account.name == values["provider"]]
    if values.get("not-provider") is not None:
        accounts = [account for account in accounts if account.name != values["not-provider"]]
    if values.get("key") is not None:
        accounts = [account for account in accounts if account.name == str(values["key"]).partition("/")[0]]
    return accounts


def _shared(account: Account) -> Cost:
    return Cost(account.name, 0, 0, "the same listing")


def _cost(session: Session, account: Account, plan: Plan, values: dict[str, Any], *, inner: bool) -> Cost:
    known = Known(session.journal.store, account, session.settings)
    if plan.access == "nothing":
        return Cost(account.name, 0, 0, "no row can match")
    if plan.access == "get" and account.retrieves:
        return _get(known, values, inner=inner)
    return _list(account, known, plan, values)


def _get(known: Known, values: dict[str, Any], *, inner: bool) -> Cost:
    id = values.get("id") if values.get("id") is not None else str(values.get("key") or "").partition("/")[2]
    if inner or not id:
        return Cost(
            "", 0, None, "for each id 0 where it is known and finished, else 1; at most twice a listing and one"
        )
    if known.row(str(id)) is not None:
        return Cost("", 0, 0, "it is known and finished")
    return Cost("", 1, 1, "it is not known, or has not finished")


def _list(account: Account, known: Known, plan: Plan, values: dict[str, Any]) -> Cost:
    size = account.provider.page_size
    if plan.arguments and "metadata" in plan.arguments and account.provider.filters_metadata:
        return Cost("", 1, None, f"pages of {size} of the jobs that have that metadata")
    limit, offset = values.get("limit"), values.get("offset") or 0
    cover = known.cover() if account.newest_first else None
    every = known.active(EVERYTHING, None) if cover is not None else []
    habits = known.habits()
    again = 2 * (habits.largest > 0)  # it does not say has_more: one page more shows the end, and perhaps a job
    if plan.newest_first and not (account.at_home or is_recent(habits.ordered_at, REMEMBERED)):
        why = f"a first page of at least {AT_LEAST} that may show its order; without one all pages of {size}"
        return Cost("", 1, None, why)
    if isinstance(limit, int) and limit >= 0 and isinstance(offset, int):
        pages = math.ceil((limit + offset) / size) if limit else 0
        return Cost("", min(pages, 1), pages, f"pages of {size} for {limit + offset} rows")
    if plan.newest_first and cover is None:
        return Cost("", 1, None, f"pages of {size}, newest first, until the statement has enough")
    if cover is None:
        count = known.count()
        why = "it was not read in full yet, or is due again" if account.newest_first else "it declares no order"
        if not count:
            return Cost("", 1, None, f"all pages of {size}: {why}")
        pages = max(math.ceil(count / size), 1)
        return Cost("", 1, pages + again, f"all pages of {size}, {count} jobs are known: {why}")
    if known.is_fresh(cover.looked_at):
        return Cost("", 0, 0, "looked at within max_age")
    times = [values.get(name) for name in ("at", "since", "newer")]
    since = next((time for time in times if isinstance(time, (int, float))), None)
    shown = known.tail(size)
    left = [job for job in every if job[0] < shown and (since is None or job[0] >= since)]
    more = sum(1 for _ in known.requests(left, size))
    why = f"1 page for what is new, {more} for {len(left)} that had not finished" if more else "1 page for what is new"
    # Where a limit in time is not known before it runs, or the statement may have enough earlier, it may cost less.
    open_end = plan.newest_first or (since is None and {"at", "since", "newer"} & set(plan.arguments))
    return Cost("", 1 if open_end else 1 + more, 1 + more + again, f"{why}; one more for each {size} new jobs")
