"""The documents that ship with ftsql: the queries, which are SQL files, and the pages of the guide."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ftsql.data import PACKAGE
from ftsql.errors import ProgrammingError

CREATE_TABLE = re.compile(r"CREATE TABLE (?P<name>\w+) \((?P<columns>[^()]+)\)")


@dataclass(frozen=True, slots=True)
class Query:
    """A query. ``sql`` is the whole file, and ``question``, from its first line, is the question that it answers."""

    name: str
    question: str
    sql: str

    @property
    def needs(self) -> list[str]:
        """The user's own tables that the query reads, as CREATE TABLE statements."""
        return self._declared("-- needs:")

    @property
    def optional(self) -> list[str]:
        """The user's own tables that the query reads if they exist."""
        return self._declared("-- optional:")

    def runnable(self, has_table: Callable[[str], bool]) -> str:
        """Return the SQL with an empty table in place of each optional table that does not exist."""
        sql = self.sql
        for table in self.optional:
            found = CREATE_TABLE.fullmatch(table)
            assert found is not None
            if not has_table(found["name"]):
                columns = [column.split()[0] for column in found["columns"].split(",")]
                empty = (
                    f"{found['name']} ({', '.join(columns)}) AS (SELECT {', '.join(['NULL'] * len(columns))} WHERE 0)"
                )
                sql = sql.replace("WITH ", f"WITH {empty}, ", 1)
        return sql

    def _declared(self, word: str) -> list[str]:
        """Return the rest of each line after ``word``."""
        lines = (line.partition(word) for line in self.sql.splitlines())
        return [need.strip() for _, mark, need in lines if mark]


def all_queries() -> list[Query]:
    """Return all queries, sorted by name."""
    # The files are inside an installed package, but beside the package in a checkout.
    inside = PACKAGE / "queries"
    folder = inside if inside.is_dir() else PACKAGE.parent / "queries"
    return [Query(name, _first_line(text, "--"), text) for name, text in _read(folder, ".sql")]


def find_query(name: str) -> Query:
    """Return the query called ``name``. If there is none, raise ProgrammingError with a list of all names."""
    queries = {query.name: query for query in all_queries()}
    if name not in queries:
        raise ProgrammingError(f"no query {name!r}; there are: {', '.join(queries)}")
    return queries[name]


@dataclass(frozen=True, slots=True)
class Topic:
    """A page of the guide. ``text`` is the whole page, and ``title`` is its first line without the ``#``."""

    name: str
    title: str
    text: str


def all_topics() -> list[Topic]:
    """Return all pages of the guide, sorted by name."""
    return [Topic(name, _first_line(text, "#"), text) for name, text in _read(PACKAGE / "guide", ".md")]


def find_topic(name: str) -> Topic:
    """Return the page called ``name``, in upper or lower case.

    If there is none, raise ProgrammingError with a list of all names.
    """
    topics = {topic.name: topic for topic in all_topics()}
    if name.lower() not in topics:
        raise ProgrammingError(f"no guide to {name!r}; there are: {', '.join(topics)}")
    return topics[name.lower()]


def _read(folder: Path, ending: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file with ``ending``, sorted by file name. The name is without the ending."""
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(ending):
            yield file.name.removesuffix(ending), file.read_text("utf-8")


def _first_line(text: str, mark: str) -> str:
    return text.partition("\n")[0].removeprefix(mark).strip()
