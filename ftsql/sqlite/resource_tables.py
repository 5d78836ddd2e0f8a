"""SQLite's side of the other resources' tables: APSW's callbacks for every ``Resource`` but the jobs.

A constraint taken here is still checked by SQLite (omit is never set). Each DELETE or INSERT becomes a queued write;
one that the API cannot do is refused by name, before anything is queued.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import apsw
from pydantic_core import from_json

from ftsql.api.account import Account, in_url
from ftsql.errors import IntegrityError, NotSupportedError, ProgrammingError
from ftsql.read.files import Results
from ftsql.read.other_resources import PREFETCH_COUNT, OtherResources, Parent, is_absent, known_job
from ftsql.read.plan import GET, LISTING
from ftsql.read.prefetch import Feed
from ftsql.resources.definitions import RESULTS
from ftsql.resources.resource import POSITION, Resource, Row, SQLiteValue, json_text
from ftsql.sqlite import comparisons
from ftsql.sqlite.session import Session
from ftsql.sqlite.write_callbacks import WriteCallbacks
from ftsql.write.create_body import brief
from ftsql.write.write import Write

OPERATORS = {
    apsw.SQLITE_INDEX_CONSTRAINT_EQ: "=",  # also each value of an IN
    apsw.SQLITE_INDEX_CONSTRAINT_IS: "=",
    apsw.SQLITE_INDEX_CONSTRAINT_NE: "<>",
}
DEAD_END = 1e90
UNSERVED = "without-parent"
PROJECT = "project_id"  # what a permission's INSERT says, besides the checkpoint
PARENTS = ("parents", "parent", "key", "id")  # what a plan calls the ways to say which objects are wanted


class Module:
    """The module of one resource: eponymous, and a table in the schema ``live``."""

    def __init__(self, session: Session, resource: Resource, *, writable: bool) -> None:
        self._session = session
        self._resource = resource
        self._writable = writable

    def Connect(self, connection: apsw.Connection, module: str, schema: str, table: str, *_: str) -> tuple[str, Any]:
        if table != self._resource.table:
            raise ProgrammingError(f"{schema}.{table}: the table of module {module} is called {self._resource.table}")
        if self._writable:
            connection.vtab_config(apsw.SQLITE_VTAB_CONSTRAINT_SUPPORT, 1)
        return self._resource.schema, Table(self._session, self._resource)

    Create = Connect


class Table(WriteCallbacks):
    """One table object of a resource; its writes go into the session's queue."""

    def __init__(self, session: Session, resource: Resource) -> None:
        super().__init__(session)
        self._resource = resource
        self._names = [column.name for column in resource.columns]

    def BestIndexObject(self, info: apsw.IndexInfo) -> bool:
        """Takes the parent's id, the key or the provider; without a parent the scan says what is missing."""
        words = _words(self._resource)
        taken: dict[str, int] = {}
        waiting: set[str] = set()
        for slot in range(info.nConstraint):
            column, operator = info.get_aConstraint_iColumn(slot), info.get_aConstraint_op(slot)
            word = words.get((self._names[column], OPERATORS.get(operator, ""))) if column >= 0 else None
            if word is None or info.get_aConstraint_collation(slot) != "BINARY":
                continue
            if info.get_aConstraint_usable(slot):
                taken.setdefault(word, slot)
            elif word in PARENTS:
                waiting.add(word)
        found = [word for word in PARENTS if word in taken]
        # Another order of the tables has the parent's id. What a table-valued function is given may be an array,
        # with which no row compares: only the function itself can answer for it. Such a plan is dear, and fails if it
        # runs. It takes what the others take: where BestIndex refuses it, SQLite does not ask for all others.
        dead_end = self._resource.parent and ((waiting and not found) or "parents" in waiting - taken.keys())
        chosen = [*found[:1], *(word for word in taken if word not in PARENTS)]
        times, late = comparisons.constraints(info, self._names, self._resource.table)
        slots = (*(taken[word] for word in chosen), *(slot for slot, _ in times))
        for position, slot in enumerate(slots, 1):
            info.set_aConstraintUsage_argvIndex(slot, position)
        without = LISTING * LISTING if self._resource.parent else LISTING
        info.estimatedCost = (GET if found else without) / (2 if "provider" in taken else 1)
        info.estimatedCost = DEAD_END if dead_end else comparisons.LAST if late else info.estimatedCost
        info.estimatedRows = 50
        words_of_plan = [self._resource.plan_name, *([UNSERVED] if dead_end else []), *chosen]
        info.idxStr = " ".join(words_of_plan) + comparisons.said(words for _, words in times)
        self._session.considered[info.idxStr] = [info.get_aConstraint_rhs(slot) for slot in slots]
        info.idxNum = int(any(self._names[number] == POSITION for number in info.colUsed if number < len(self._names)))
        return True

    def Open(self) -> _Cursor:
        return _Cursor(self._session, self._resource)

    def Disconnect(self) -> None:
        pass

    Destroy = Disconnect

    def UpdateDeleteRow(self, key: Any) -> None:
        try:
            self._delete(str(key))
        except BaseException:
            self._session.statement.failed = True
            raise

    def UpdateInsertRow(self, rowid: int | None, fields: tuple[SQLiteValue, ...]) -> int:
        try:
            return self._insert(fields)
        except BaseException:
            self._session.statement.failed = True
            raise

    def UpdateChangeRow(self, row: int, newrowid: int, fields: tuple[Any, ...]) -> NoReturn:
        self._session.statement.failed = True
        raise NotSupportedError(
            f"UPDATE on {self._resource.table} is refused: the APIs change no {self._resource.noun}s. "
            "They can be DELETEd"
        )

    def _delete(self, key: str) -> None:
        session, resource = self._session, self._resource
        provider, _, id = key.partition("/")
        parent = ""
        if resource.parent:
            parent, _, id = id.rpartition("/")
        client = session.client(provider, f"delete a {resource.noun}")
        write = Write(client, "delete", session.statement.sql, job_id=id, resource=resource, parent=parent)
        session.add(write)

    def _insert(self, fields: tuple[SQLiteValue, ...]) -> int:
        resource = self._resource
        if not resource.grants:
            raise NotSupportedError(f"INSERT INTO {resource.table} is refused: {resource.insert}")
        values = {name: value for name, value in zip(self._names, fields, strict=True) if value is not None}
        return self.queue_row(lambda: self._grant(values), resource.noun)

    def _grant(self, values: dict[str, Any]) -> Write:
        """Raises IntegrityError for a row that may not be sent."""
        session, resource = self._session, self._resource
        provider = values.pop("provider", None)
        alias = values.pop(resource.extra[0].name, None)
        if alias is not None and values.setdefault(resource.parent, alias) != alias:
            raise IntegrityError(f"{resource.extra[0].name} and {resource.parent} are the same thing: give it once")
        for name, value in values.items():
            if name not in (resource.parent, PROJECT):
                raise IntegrityError(
                    f"{name} is filled by the API: leave it out. It takes {resource.parent}, {PROJECT}, provider"
                )
            if not isinstance(value, str) or not value:
                raise IntegrityError(f"{name} takes a text, not {brief(value)}")
        for name in (resource.parent, PROJECT):
            if name not in values:
                raise IntegrityError(f"{name} is missing: a {resource.noun} needs {resource.parent} and {PROJECT}")
        client = session.client(None if provider is None else str(provider), f"grant a {resource.noun}")
        return Write(
            client,
            "grant",
            session.statement.sql,
            request={"project_ids": [values[PROJECT]]},
            resource=resource,
            parent=values[resource.parent],
        )


class _Cursor:
    """One scan. It keeps the look of the statement in which SQLite opened it."""

    def __init__(self, session: Session, resource: Resource) -> None:
        self._session = session
        self._placed = False  # the statement reads the objects' positions
        self._cache = session.statement.cache
        self._resource = resource
        view = Results if resource is RESULTS else OtherResources
        self._nested: OtherResources = self._cache.nested.setdefault(resource.table, view(self._cache, resource))
        self._argument: SQLiteValue = None  # of the table-valued function
        self._getters = [self._getter(column.name, column.type) for column in resource.columns]
        self._rows: Iterator[Row] = iter(())
        self._row: Row | None = None
        self._last: tuple[Feed, Any] | None = None  # the scan of jobs that the last parent came from, and where
        self._streak = 0  # parents that came in turn

    def Filter(self, placed: int, words: str, arguments: Sequence[Any]) -> None:
        self._session.statement.check(words, arguments)
        plan, checks = comparisons.heard(words)
        if UNSERVED in plan:
            raise without_parent(self._resource)
        arguments = arguments[: len(arguments) - len(checks)]
        self._placed = bool(placed)
        self._rows = self._scan(dict(zip(plan.split(" ")[1:], arguments, strict=True)))
        self.Next()

    def _scan(self, values: dict[str, Any]) -> Iterator[Row]:
        resource = self._resource
        if resource.parent and not values.keys() & set(PARENTS):
            raise without_parent(resource)
        if any(value is None for value in values.values()):
            return iter(())
        accounts = [
            account
            for account in self._cache.accounts
            if account.name == values.get("provider", account.name) and account.name != values.get("not-provider")
        ]
        names = _names(values)
        if "key" in values:
            provider, _, rest = str(values["key"]).partition("/")
            accounts = [account for account in accounts if account.name == provider]
            # An event's id may have a slash, one in a URL has none, but a checkpoint's name has colons only.
            names = [rest.partition("/")[0] if resource.parent else rest]
        self._argument = values.get("parents") if resource.parent else None
        if not resource.parent:
            served = [account for account, _ in self._served("", accounts)]
            return self._single(served, names) if values.keys() & set(PARENTS) else self._all(served)
        parents = [parent for name in names for parent in self._served(name, accounts)]
        if len(parents) == 1 and not self._cache.may_stop:
            self._nested.prepare([parents[0], *self._likely(parents[0], accounts)])
        return self._nested.rows(parents, placed=self._placed)

    def _all(self, accounts: Sequence[Account]) -> Iterator[Row]:
        return self._nested.rows([(account, "") for account in accounts])

    def _single(self, accounts: Sequence[Account], names: Sequence[str]) -> Iterator[Row]:
        for name in names:
            for account in accounts:
                if name and (row := self._nested.get(account, name)) is not None:
                    yield row

    def _served(self, name: str, accounts: Sequence[Account]) -> list[Parent]:
        """The accounts that may have that parent. Raises NotSupportedError where none of them serves the resource."""
        lacking = [account for account in accounts if self._resource.lacks in account.provider.without]
        for account in lacking:
            if len(lacking) == len(accounts) or (self._resource.kept and known_job(self._cache, (account, name))):
                hint = f": leave it out with WHERE provider <> '{account.name}'" if len(accounts) > 1 else ""
                raise NotSupportedError(f"{account.name} does not serve {self._resource.noun}s{hint}")
        found = [(account, name) for account in accounts if account not in lacking]
        if not self._resource.kept:
            return found
        found = [parent for parent in found if not is_absent(self._cache, parent)]
        for parent in found:
            if not in_url(*parent) and known_job(self._cache, parent):
                raise NotSupportedError(
                    f"{parent[0].name}: the {self._resource.noun}s of a job of the id {name[:80]!r} cannot be asked for"
                )
        return found

    def _likely(self, parent: Parent, accounts: Sequence[Account]) -> list[Parent]:
        """What the statement will ask for next, as far as its scans of the jobs show.

        At most as many as came in turn so far: a condition that nobody sees here wastes no more than was used.
        """
        account, id = parent
        served = {account.name: account for account in accounts if self._resource.lacks not in account.provider.without}
        for feed in sorted(self._cache.feeds, key=lambda feed: feed.row is None):  # one under way tells more
            if feed.row is not None and feed.key(feed.row) == (id, account.name):
                # A join, or a subquery that ended here: the second in turn tells, and the rows after it.
                if not self._in_turn(feed, feed.passed, feed.passed - 1):
                    return []
                rows = feed.upcoming(min(self._streak, PREFETCH_COUNT)) if self._streak > 1 else []
                return [(served[provider], name) for name, provider in map(feed.key, rows) if provider in served]
            if feed.row is None and (id, account.name) in feed.ids_read:
                # IN (SELECT id FROM fine_tuning_jobs …), whose values come in order.
                before = self._last[1] if self._last is not None and self._last[0] is feed else None
                if not isinstance(before, tuple):  # the feed had not ended then, and its rows were counted
                    before = None
                between = [] if before is None else feed.after(before, 1)
                self._in_turn(feed, (id, account.name), before if between == [(id, account.name)] else None)
                after = feed.after((id, account.name), min(self._streak, PREFETCH_COUNT))
                return [(served[provider], name) for name, provider in after if provider in served]
        return []

    def _in_turn(self, feed: Feed, place: object, before: object) -> bool:
        """Whether ``place`` is a new one, and count it: it is in turn where the last one was ``before`` it."""
        last, self._last = self._last, (feed, place)
        if last == self._last:
            return False
        self._streak = self._streak + 1 if last == (feed, before) else 1
        return True

    def Eof(self) -> bool:
        return self._row is None

    def Next(self) -> None:
        self._row = next(self._rows, None)

    def Column(self, number: int) -> SQLiteValue:
        assert self._row is not None
        return self._getters[number](self._row)

    def Rowid(self) -> int:
        raise ProgrammingError(f"{self._resource.table} has no rowid: its key is the column key")

    def Close(self) -> None:
        self._row, self._rows = None, iter(())

    def _getter(self, name: str, type: str) -> Callable[[Row], SQLiteValue]:
        resource = self._resource
        special: dict[str, Callable[[Row], SQLiteValue]] = {
            "provider": lambda row: row.provider,
            resource.extra[0].name: lambda row: (
                row.values[resource.parent or "id"] if self._argument is None else self._argument
            ),
            "raw": lambda row: row.text,
            "key": resource.key,
            POSITION: lambda row: row.position,
        }
        if name in special:
            return special[name]
        if type == "JSON":
            return lambda row: json_text(row.values.get(name))
        return lambda row: row.values.get(name)


def without_parent(resource: Resource) -> ProgrammingError:
    """What is wrong with a scan that does not say whose objects it wants."""
    return ProgrammingError(
        f"{resource.table} is served by {resource.parent} only: say WHERE {resource.parent} = '…' or IN (…), "
        f"or JOIN it with fine_tuning_jobs AS job ON {resource.table}.{resource.parent} = "
        f"job.{'id' if resource.kept else 'fine_tuned_model'}"
    )


def _words(resource: Resource) -> dict[tuple[str, str], str]:
    """What a constraint is called in a plan, by column and operator."""
    one = {("id", "="): "id", (resource.extra[0].name, "="): "id"}
    several = {(resource.parent, "="): "parent", (resource.extra[0].name, "="): "parents"}
    return {
        **(several if resource.parent else one),
        ("key", "="): "key",
        ("provider", "="): "provider",
        ("provider", "<>"): "not-provider",
    }


def pushed_down(resource: Resource, column: str) -> str | None:
    """The operators on ``column`` that narrow what is asked of the APIs, as people write them."""
    operators = [operator for known, operator in _words(resource) if known == column]
    return ", ".join([*operators[:1], "IN", *operators[1:]]) if operators else None


def _names(values: dict[str, Any]) -> list[str]:
    """The parents' ids: one, or those of a JSON array."""
    value = next((values[word] for word in PARENTS if word in values), None)
    if "parents" in values and isinstance(value, str) and value.lstrip().startswith("["):
        try:
            listed = from_json(value)
        except ValueError as error:
            raise ProgrammingError(f"the ids should be a JSON array of texts: {error}") from None
        return list(dict.fromkeys(str(name) for name in listed if name is not None))
    return [] if isinstance(value, bytes) else [str(value)]
