"""The virtual tables of all resources except the jobs: APSW's callbacks for modules, tables and cursors.

SQLite still checks every constraint that BestIndex takes, because ``omit`` is never set. Each DELETE and INSERT becomes
a queued write. A write that the API does not offer is refused before it is queued.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import apsw
from pydantic_core import from_json

from ftsql.api.account import Account
from ftsql.errors import IntegrityError, NotSupportedError, ProgrammingError
from ftsql.read.files import Results
from ftsql.read.other_resources import PREFETCH_COUNT, OtherResources, Parent, is_absent, known_job
from ftsql.read.plan import SELECTORS, Plan, chosen_accounts, without_parent
from ftsql.read.prefetch import Feed
from ftsql.resources.definitions import RESULTS
from ftsql.resources.resource import POSITION, Resource, Row, SQLiteValue, json_text
from ftsql.sqlite import comparisons, foresight
from ftsql.sqlite.best_index import best_index
from ftsql.sqlite.session import Session
from ftsql.sqlite.write_callbacks import WriteCallbacks
from ftsql.write.create_body import brief
from ftsql.write.write import Write

PROJECT = "project_id"  # the column that an INSERT of a permission sets, besides the checkpoint


class Module:
    """The module of one resource: xCreate and xConnect.

    The module is eponymous, and also has a table in the schema ``live``.
    """

    def __init__(self, session: Session, resource: Resource, *, writable: bool) -> None:
        self._session = session
        self._resource = resource
        self._writable = writable

    def Connect(self, connection: apsw.Connection, module: str, schema: str, table: str, *_: str) -> tuple[str, Any]:
        # The schema of a file could contain a table of this module under a name that the authorizer does not guard.
        if table != self._resource.table:
            raise ProgrammingError(f"{schema}.{table}: the table of module {module} is called {self._resource.table}")
        if self._writable:
            connection.vtab_config(apsw.SQLITE_VTAB_CONSTRAINT_SUPPORT, 1)
        return self._resource.schema, Table(self._session, self._resource)

    Create = Connect


class Table(WriteCallbacks):
    """A table of one resource: xBestIndex, xOpen, xUpdate and the transaction callbacks.

    SQLite may create several tables of one module. Their writes share the session's queue.
    """

    def __init__(self, session: Session, resource: Resource) -> None:
        super().__init__(session)
        self._resource = resource
        self._names = [column.name for column in resource.columns]

    def BestIndexObject(self, info: apsw.IndexInfo) -> bool:
        """Choose the plan for the constraints that SQLite offers. This is xBestIndex."""
        return best_index(self._session, self._resource, self._names, info)

    def Open(self) -> _Cursor:
        return _Cursor(self._session, self._resource)

    def Disconnect(self) -> None:
        pass

    Destroy = Disconnect

    def UpdateDeleteRow(self, key: Any) -> None:
        session, resource = self._session, self._resource
        provider, _, id = str(key).partition("/")
        parent = ""
        if resource.parent:
            parent, _, id = id.rpartition("/")
        client = session.client(provider, f"delete a {resource.noun}")
        write = Write(client, "delete", session.statement.sql, job_id=id, resource=resource, parent=parent)
        session.add(write)

    def UpdateInsertRow(self, rowid: int | None, fields: tuple[SQLiteValue, ...]) -> int:
        resource = self._resource
        if not resource.grants:
            raise NotSupportedError(f"INSERT INTO {resource.table} is refused: {resource.insert}")
        values = {name: value for name, value in zip(self._names, fields, strict=True) if value is not None}
        return self.queue_row(lambda: self._grant(values), resource.noun)

    def UpdateChangeRow(self, row: int, newrowid: int, fields: tuple[Any, ...]) -> NoReturn:
        raise NotSupportedError(
            f"UPDATE on {self._resource.table} is refused: the APIs can delete {self._resource.noun}s, "
            "but not change them"
        )

    def _grant(self, values: dict[str, Any]) -> Write:
        """Return the write for an inserted permission. Raises IntegrityError if its values are not valid."""
        session, resource = self._session, self._resource
        provider = values.pop("provider", None)
        alias = values.pop(resource.extra[0].name, None)
        if alias is not None and values.setdefault(resource.parent, alias) != alias:
            raise IntegrityError(f"{resource.extra[0].name} and {resource.parent} are the same column: set one of them")
        for name, value in values.items():
            if name not in (resource.parent, PROJECT):
                raise IntegrityError(
                    f"{name} is filled by the API: leave it out. INSERT takes {resource.parent}, {PROJECT}, provider"
                )
            if not isinstance(value, str) or not value:
                raise IntegrityError(f"{name} takes a string, not {brief(value)}")
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
    """One scan of a resource: xFilter, xNext, xEof, xColumn, xRowid and xClose.

    A cursor uses the cache of the statement in which SQLite opened it.
    """

    def __init__(self, session: Session, resource: Resource) -> None:
        self._session = session
        self._with_positions = False  # whether the statement reads the column with the objects' positions
        self._cache = session.statement.cache
        self._resource = resource
        view = Results if resource is RESULTS else OtherResources
        self._objects: OtherResources = self._cache.nested.setdefault(resource.table, view(self._cache, resource))
        self._argument: SQLiteValue = None  # the argument of the table-valued function
        self._getters = [self._getter(column.name, column.type) for column in resource.columns]
        self._positions = [number for number, column in enumerate(resource.columns) if column.name == POSITION]
        self._rows: Iterator[Row] = iter(())
        self._row: Row | None = None
        self._last: tuple[Feed, Any] | None = None  # the scan of jobs with the last parent, and its place in that scan
        self._parents = 0  # the number of parents that were read one at a time
        self._streak = 0  # the number of parents that came in the order of a scan of jobs

    def Filter(self, columns: int, words: str, arguments: Sequence[Any]) -> None:
        self.Close()
        plan = Plan.from_words(comparisons.split_checks(words)[0])
        if (noted := self._session.statements.noted) is not None:
            values = dict(zip(plan.arguments, arguments, strict=False))
            is_for_parents = self._resource.parent and plan.access == "get"
            foresight.note(noted, self._resource.table, values, self._ids(values) if is_for_parents else [])
            return
        self._session.statement.check(words, arguments)
        self._with_positions = any(columns >> number & 1 for number in self._positions)
        self._rows = self._scan(plan, dict(zip(plan.arguments, arguments[: len(plan.arguments)], strict=True)))
        self.Next()

    def _scan(self, plan: Plan, values: dict[str, Any]) -> Iterator[Row]:
        """Return the rows that ``plan`` selects. ``values`` maps the word of each argument to its value."""
        resource = self._resource
        accounts = chosen_accounts(self._cache.accounts, values)
        if plan.access == "dead-end":
            raise without_parent(resource)
        if any(value is None for value in values.values()):  # a comparison with NULL is true for no row
            return iter(())
        ids = self._ids(values)
        self._argument = values.get("parents") if resource.parent else None
        if not resource.parent:
            served = [account for account, _ in self._served("", accounts)]
            return self._single(served, ids) if plan.access == "get" else self._all(served)
        parents = [parent for id in ids for parent in self._served(id, accounts)]
        if len(parents) == 1 and not self._cache.may_stop:
            self._objects.prepare([parents[0], *self._likely(parents[0], accounts)])
        return self._objects.rows(parents, placed=self._with_positions)

    def _ids(self, values: dict[str, Any]) -> list[str]:
        """Return the ids of the parents that the arguments select, or of the objects if the resource has no parent."""
        if "key" in values:
            id = str(values["key"]).partition("/")[2]
            # An event's id may contain a slash. A parent's id cannot: a job's id is part of a URL, and a checkpoint's
            # name has colons only.
            return [id.partition("/")[0] if self._resource.parent else id]
        value = next((values[word] for word in SELECTORS if word in values), None)
        if "parents" in values and isinstance(value, str) and value.lstrip().startswith("["):
            return _ids_in_array(value)
        return [] if isinstance(value, bytes) else [str(value)]

    def _all(self, accounts: Sequence[Account]) -> Iterator[Row]:
        return self._objects.rows([(account, "") for account in accounts])

    def _single(self, accounts: Sequence[Account], ids: Sequence[str]) -> Iterator[Row]:
        for id in ids:
            for account in accounts:
                if id and (row := self._objects.get(account, id)) is not None:
                    yield row

    def _served(self, id: str, accounts: Sequence[Account]) -> list[Parent]:
        """Return the parent ``id`` at each account that may have that parent.

        Raises NotSupportedError if no account serves this resource, or if an account that has the parent cannot list
        the parent's objects.
        """
        lacking = [account for account in accounts if self._resource.served_as in account.provider.without]
        for account in lacking:
            if len(lacking) == len(accounts) or (self._resource.kept and known_job(self._cache, (account, id))):
                hint = f": leave it out with WHERE provider <> '{account.name}'" if len(accounts) > 1 else ""
                raise NotSupportedError(f"{account.name} does not serve {self._resource.noun}s{hint}")
        found = [(account, id) for account in accounts if account not in lacking]
        if not self._resource.kept:
            return found
        found = [parent for parent in found if not is_absent(self._cache, parent)]
        for parent in found:
            if not parent[0].accepts_id(parent[1]) and known_job(self._cache, parent):
                raise NotSupportedError(
                    f"{parent[0].name}: cannot read the {self._resource.noun}s of job {id[:80]!r}: "
                    "its id is not allowed in a URL"
                )
        return found

    def _likely(self, parent: Parent, accounts: Sequence[Account]) -> list[Parent]:
        """Return the parents that the statement will probably read next, judging by its scans of jobs.

        At most as many are returned as came in order so far. If a condition that this table cannot see drops them, no
        more requests are wasted than were used.
        """
        account, id = parent
        served = {
            account.name: account for account in accounts if self._resource.served_as not in account.provider.without
        }
        # Feeds that have not ended come first, because they tell more.
        for feed in sorted(self._cache.feeds, key=lambda feed: feed.row is None):
            if feed.row is not None and feed.key(feed.row) == (id, account.name):
                keys = self._next_rows(feed)
            elif feed.row is None and (id, account.name) in feed.ids_read:
                keys = self._next_given(feed, (id, account.name))
            else:
                continue
            return [(served[provider], name) for name, provider in keys if provider in served]
        return self._foreseen(parent, served)

    def _foreseen(self, parent: Parent, served: Mapping[str, Account]) -> list[Parent]:
        """Return the parents that the statement will ask for after ``parent``, if the statement can be run ahead.

        At most twice as many are returned as were read so far.
        """
        self._parents += 1
        if self._parents < 2 or self._session.settings.max_parallel == 1:
            return []
        foreseen = self._cache.foreseen(self._resource.table)
        if (parent[0].name, parent[1]) in foreseen:
            after = foreseen.index((parent[0].name, parent[1])) + 1
        elif (None, parent[1]) in foreseen:
            after = foreseen.index((None, parent[1])) + 1
        else:
            return []
        count = min(2 * self._parents, PREFETCH_COUNT)
        return [
            (account, id)
            for provider, id in foreseen[after : after + count]
            for account in served.values()
            if provider in (None, account.name)
        ]

    def _next_rows(self, feed: Feed) -> list[tuple[str, str]]:
        """Return the keys after the current row of a scan, for a join or for a subquery that ended at this row.

        If a second parent comes in order, the rows after this parent will probably be read too.
        """
        if not self._is_next(feed, feed.passed, feed.passed - 1) or self._streak <= 1:
            return []
        return [feed.key(row) for row in feed.upcoming(min(self._streak, PREFETCH_COUNT))]

    def _next_given(self, feed: Feed, key: tuple[str, str]) -> list[tuple[str, str]]:
        """Return the keys after ``key`` in ``IN (SELECT id FROM fine_tuning_jobs …)``, whose values come in order."""
        before = self._last[1] if self._last is not None and self._last[0] is feed else None
        if not isinstance(before, tuple):  # the scan had not ended then, so the place is a count of its rows
            before = None
        between = [] if before is None else feed.after(before, 1)
        self._is_next(feed, key, before if between == [key] else None)
        return feed.after(key, min(self._streak, PREFETCH_COUNT))

    def _is_next(self, feed: Feed, place: object, before: object) -> bool:
        """Whether ``place`` is new. If it is, count it; the streak goes on if the last place was ``before``."""
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


def _ids_in_array(value: str) -> list[str]:
    """Return the distinct ids of a JSON array. Raises ProgrammingError if ``value`` is not valid JSON."""
    try:
        listed = from_json(value)
    except ValueError as error:
        raise ProgrammingError(f"the ids must be a JSON array of strings: {error}") from None
    return list(dict.fromkeys(str(id) for id in listed if id is not None))
