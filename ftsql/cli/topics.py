"""The guide: one page a tool, a service or a provider, in Markdown, whose first line is its title."""

from __future__ import annotations

from dataclasses import dataclass

from ftsql.data import PACKAGE
from ftsql.errors import ProgrammingError


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
