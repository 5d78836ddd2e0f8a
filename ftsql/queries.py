"""The questions that come with ftsql: one SQL file each, whose first line is the question."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ftsql.errors import ProgrammingError
from ftsql.packaged import FOLDER


@dataclass(frozen=True, slots=True)
class Query:
    """``question`` is what the SQL answers; ``sql`` is the whole file."""

    name: str
    question: str
    sql: str

    @property
    def needs(self) -> list[str]:
        """The user's own tables that it reads, as CREATE TABLE statements."""
        lines = (line.partition("-- needs:") for line in self.sql.splitlines())
        return [need.strip() for _, mark, need in lines if mark]


def _folder() -> Path:
    """In an installed package the files stand inside it, in a checkout beside it."""
    inside = FOLDER / "queries"
    return inside if inside.is_dir() else FOLDER.parent / "queries"


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
