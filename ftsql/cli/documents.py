"""The questions that come with ftsql: one SQL file each, whose first line is the question."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ftsql.data import PACKAGE
from ftsql.errors import ProgrammingError

CREATED = re.compile(r"CREATE TABLE (?P<name>\w+) \((?P<columns>[^()]+)\)")


@dataclass(frozen=True, slots=True)
class Query:
    """``question`` is what the SQL answers; ``sql`` is the whole file."""

    name: str
    question: str
    sql: str

    @property
    def needs(self) -> list[str]:
        """The user's own tables that it reads, as CREATE TABLE statements."""
        return self._named("-- needs:")

    @property
    def optional(self) -> list[str]:
        """Those that it reads too, and that may be empty."""
        return self._named("-- optional:")

    def runnable(self, has_table: Callable[[str], bool]) -> str:
        """The SQL with an empty table in the place of each optional one that is not there."""
        sql = self.sql
        for table in self.optional:
            found = CREATED.fullmatch(table)
            assert found is not None
            if not has_table(found["name"]):
                columns = [column.split()[0] for column in found["columns"].split(",")]
                empty = (
                    f"{found['name']} ({', '.join(columns)}) AS (SELECT {', '.join(['NULL'] * len(columns))} WHERE 0)"
                )
                sql = sql.replace("WITH ", f"WITH {empty}, ", 1)
        return sql

    def _named(self, word: str) -> list[str]:
        lines = (line.partition(word) for line in self.sql.splitlines())
        return [need.strip() for _, mark, need in lines if mark]


def _folder() -> Path:
    """In an installed package the files stand inside it, in a checkout beside it."""
    inside = PACKAGE / "queries"
    return inside if inside.is_dir() else PACKAGE.parent / "queries"


def all_queries() -> list[Query]:
    """Every query, by name."""
    files = sorted((file for file in _folder().iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    found = []
    for file in files:
        sql = file.read_text("utf-8")
        question = sql.partition("\n")[0].removeprefix("--").strip()
        found.append(Query(file.name.removesuffix(".sql"), question, sql))
    return found


def query(name: str) -> Query:
    """The query of that name. Raises ProgrammingError with the names that there are."""
    known = {query.name: query for query in all_queries()}
    if name not in known:
        raise ProgrammingError(f"no query {name!r}; there are: {', '.join(known)}")
    return known[name]


@dataclass(frozen=True, slots=True)
class Topic:
    """``title`` is the first line without its mark; ``text`` is the whole page."""

    name: str
    title: str
    text: str


def all_topics() -> list[Topic]:
    """Every page, by name."""
    files = sorted((PACKAGE / "guide").iterdir(), key=lambda file: file.name)
    found = []
    for file in files:
        if file.name.endswith(".md"):
            text = file.read_text("utf-8")
            title = text.partition("\n")[0].removeprefix("#").strip()
            found.append(Topic(file.name.removesuffix(".md"), title, text))
    return found


def topic(name: str) -> Topic:
    """The page of that name. Raises ProgrammingError with the names that there are."""
    known = {topic.name: topic for topic in all_topics()}
    if name.lower() not in known:
        raise ProgrammingError(f"no guide to {name!r}; there are: {', '.join(known)}")
    return known[name.lower()]
