"""``explain``: the cost of a statement in requests, from its query plans and the stored rows. It sends nothing.

A number holds as long as nothing changes at the provider. The reason beside it names what would change it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

from ftsql.api.account import Account
from ftsql.api.habits import is_recent
from ftsql.errors import ProgrammingError
from ftsql.read.listing import AT_LEAST, EVERYTHING, REMEMBERED
from ftsql.read.plan import Access, Plan
from ftsql.resources.definitions import OTHERS
from ftsql.sqlite import comparisons
from ftsql.sqlite.bytecode import calls
from ftsql.sqlite.functions import EFFECTS
from ftsql.sqlite.resource_tables import SELECTORS, without_parent
from ftsql.sqlite.session import Session
from ftsql.sqlite.statements import Statement
from ftsql.store.cache import Cache

IGNORED = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)|[\s;]+", re.DOTALL)
SCAN = re.compile(r"(?P<how>SCAN|SEARCH) (?P<table>.+?) VIRTUAL TABLE INDEX \d+:(?P<words>[a-z][^\n]*)")
TIME_ARGUMENTS = ("at", "since", "newer")  # the arguments of a plan that bound created_at


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one part of a statement: ``low`` to ``high`` requests (None: no limit is known), and the reason."""

    what: str
    low: int
    high: int | None
    why: str

    @property
    def number(self) -> str:
        """The number or range in words, such as "1 to 3 requests"."""
        if self.high == self.low:
            return f"{self.low} request{'' if self.low == 1 else 's'}"
        return f"{self.low} to {self.high} requests" if self.high is not None else f"{self.low} or more requests"


class Estimate(NamedTuple):
    """A number of requests, as in Cost."""

    low: int
    high: int | None
    why: str


def explain(session: Session, sql: str) -> list[Cost]:
    """Return the cost of each part of the statement ``sql``, and last the total.

    Raises ProgrammingError if ``sql`` has more than one statement, compares a time with another kind of value, or scans
    a table without the parent that it needs; ConfigError if no provider is active; and apsw.Error if SQLite cannot
    prepare ``sql``.
    """
    if IGNORED.sub("", session.statements.after_first(sql)):  # EXPLAIN QUERY PLAN would run a second statement
        raise ProgrammingError("explain takes one statement at a time, but this SQL has more")
    costs = [*_scans(session, sql), *_writes(session, sql)]
    low = sum(cost.low for cost in costs)
    high = None if any(cost.high is None for cost in costs) else sum(cost.high or 0 for cost in costs)
    return [*costs, Cost("in all", low, high, f"at most max_requests = {session.settings.max_requests}")]


def _scans(session: Session, sql: str) -> Iterator[Cost]:
    """Yield the cost of each scan of ftsql's tables. Scans of one account's jobs share one listing."""
    session.constants_by_plan.clear()
    lines = session.connection.execute(f"EXPLAIN QUERY PLAN {sql}", can_cache=False).fetchall()
    found = [match for _, _, _, detail in lines if (match := SCAN.search(str(detail)))]
    listed: set[str] = set()
    for number, match in enumerate(found):
        inner = number > 0
        table, full_words = match["table"], match["words"].strip()
        words, checks = comparisons.split_checks(full_words)
        constants = session.constants_by_plan.get(full_words, [])
        if constants:
            comparisons.check_arguments(full_words, constants, lambda _: True)
        plan = Plan.from_words(words)
        if plan.access != "nothing" and not session.accounts:
            session.statements.idle.cache.accounts  # noqa: B018 - raises ConfigError, as the statement itself would
        if plan.access not in get_args(Access):
            yield Cost(f"{table}, {words}", *_other_resource(words.split(), inner=inner))
            continue
        values = dict(zip(plan.arguments, constants[: len(constants) - len(checks)], strict=False))
        for account in _accounts(session, values):
            if plan.access == "list" and account.name in listed:
                estimate = Estimate(0, 0, "the same listing")
            else:
                estimate = _jobs(session, account, plan, values, inner=inner)
            if plan.access == "list":
                listed.add(account.name)
            yield Cost(f"{table}, {words} ({account.name})", *estimate)


def _writes(session: Session, sql: str) -> list[Cost]:
    """Return the cost of the statement's writes. Raises ProgrammingError for a wrong comparison of a time in it."""
    program = session.statements.program_of(sql)
    session.statements.inspect(Statement(sql, session.statements.idle.cache, reads=False))
    if not any(step.opcode == "VUpdate" for step in program) and not calls(program, EFFECTS):
        return []
    why = f"1 for each row that the statement writes, at most max_writes = {session.settings.max_writes} rows"
    return [Cost("writes", 0, None, why)]


def _other_resource(words: list[str], *, inner: bool) -> Estimate:
    """Return the cost of a scan of any resource but the jobs."""
    resource = next(resource for resource in OTHERS if resource.plan_name == words[0])
    if resource.parent:
        if not set(words) & set(SELECTORS):
            raise without_parent(resource)
        if resource.kept:
            why = f"for each job 0 if it had finished before its {resource.noun}s were read, else 1"
        else:
            why = "for each checkpoint 1"
        return Estimate(0 if resource.kept else 1, None, f"{why}; 1 more for each further page")
    if "id" in words or "key" in words:
        return Estimate(0 if inner else 1, None if inner else 1, "1 for each id, or the list if that is cheaper")
    return Estimate(1, None, "the list")


def _accounts(session: Session, values: dict[str, Any]) -> list[Account]:
    """Return the accounts that a scan reads, as far as its constants decide."""
    accounts = list(session.accounts)
    if values.get("provider") is not None:
        accounts = [account for account in accounts if account.name == values["provider"]]
    if values.get("not-provider") is not None:
        accounts = [account for account in accounts if account.name != values["not-provider"]]
    if values.get("key") is not None:
        accounts = [account for account in accounts if account.name == str(values["key"]).partition("/")[0]]
    return accounts


def _jobs(session: Session, account: Account, plan: Plan, values: dict[str, Any], *, inner: bool) -> Estimate:
    """Return the cost of a scan of one account's jobs."""
    if plan.access == "nothing":
        return Estimate(0, 0, "no row can match")
    stored = Cache(session.journal.store, account, session.settings)
    if plan.access == "get" and account.retrieves:
        return _one_job(stored, values, inner=inner)
    return _list(account, stored, plan, values)


def _one_job(stored: Cache, values: dict[str, Any], *, inner: bool) -> Estimate:
    """Return the cost of a scan for single jobs."""
    id = values.get("id") if values.get("id") is not None else str(values.get("key") or "").partition("/")[2]
    if inner or not id:
        why = "for each id 0 if the job is stored and finished, else 1; at most twice the listing, plus 1"
        return Estimate(0, None, why)
    if stored.row(str(id)) is not None:
        return Estimate(0, 0, "the job is stored and finished")
    return Estimate(1, 1, "the job is not stored, or has not finished")


def _list(account: Account, stored: Cache, plan: Plan, values: dict[str, Any]) -> Estimate:
    """Return the cost of a listing."""
    size = account.provider.page_size
    if "metadata" in plan.arguments and account.provider.filters_metadata:
        return Estimate(1, None, f"pages of {size} of the jobs that have that metadata")
    habits = stored.habits()
    if plan.newest_first and not (account.at_home or is_recent(habits.ordered_at, REMEMBERED)):
        why = f"a first page of at least {AT_LEAST} jobs, which may show the order; otherwise all pages of {size}"
        return Estimate(1, None, why)
    limit, offset = values.get("limit"), values.get("offset") or 0
    if isinstance(limit, int) and limit >= 0 and isinstance(offset, int):
        pages = math.ceil((limit + offset) / size) if limit else 0
        return Estimate(min(pages, 1), pages, f"pages of {size} for {limit + offset} rows")
    # A list without has_more needs one page more to show its end, and perhaps a request for one job.
    more_to_end = 2 * (habits.largest > 0)
    cover = stored.coverage() if account.newest_first else None
    if cover is None:
        return _full_list(account, stored, plan, more_to_end)
    if stored.is_fresh(cover.looked_at):
        return Estimate(0, 0, "the list was read within max_age")
    return _news(account, stored, plan, values, more_to_end)


def _full_list(account: Account, stored: Cache, plan: Plan, more_to_end: int) -> Estimate:
    """Return the cost of a listing that reads all pages, because the stored rows do not replace any."""
    size = account.provider.page_size
    if plan.newest_first:
        return Estimate(1, None, f"pages of {size}, newest first, until the statement has enough rows")
    why = "the provider declares no order"
    if account.newest_first:
        why = "the list was not read in full yet, or has to be read in full again"
    count = stored.count()
    if not count:
        return Estimate(1, None, f"all pages of {size}: {why}")
    pages = max(math.ceil(count / size), 1)
    return Estimate(1, pages + more_to_end, f"all pages of {size}, {count} jobs are stored: {why}")


def _news(account: Account, stored: Cache, plan: Plan, values: dict[str, Any], more_to_end: int) -> Estimate:
    """Return the cost of a listing that reads only new jobs, and those that had not finished."""
    size = account.provider.page_size
    times = [values.get(name) for name in TIME_ARGUMENTS]
    since = next((time for time in times if isinstance(time, (int, float))), None)
    last_shown = stored.end_of_first_page(size)
    unfinished = [
        job for job in stored.active(EVERYTHING, None) if job[0] < last_shown and (since is None or job[0] >= since)
    ]
    more = sum(1 for _ in stored.plan_requests(unfinished, size))
    why = "1 page for new jobs"
    if more:
        why += f", {more} for {len(unfinished)} jobs that had not finished"
    # The cost may be lower if a limit in time is not known before the statement runs, or if it has enough rows earlier.
    may_end_early = plan.newest_first or (since is None and set(TIME_ARGUMENTS) & set(plan.arguments))
    low = 1 if may_end_early else 1 + more
    return Estimate(low, 1 + more + more_to_end, f"{why}; 1 more for each {size} new jobs")
