"""The parameters of a statement, and what its text lets infer of their types.

The first type that is told stays: PostgreSQL takes a parameter for what it is first used as.
"""

from __future__ import annotations

from ftsql.serve.translate.tree import Node, exp


class Parameters:
    """The types of $1, $2, … by number."""

    def __init__(self, count: int) -> None:
        self._types: list[str | None] = [None] * count

    def note(self, node: Node | None, type: str | None) -> None:
        """``node``, where it is a parameter, is used as a ``type``."""
        node = node.unnest() if node is not None else None
        if isinstance(node, exp.Parameter) and type and type != "unknown":
            number = self.number(node)
            if number and self._types[number - 1] is None:
                self._types[number - 1] = type

    def number(self, node: exp.Parameter) -> int:
        """Which one it is; 0 for what is none."""
        text = str(node.this.this) if isinstance(node.this, exp.Literal) else ""
        return int(text) if text.isdigit() and 0 < int(text) <= len(self._types) else 0

    @property
    def types(self) -> tuple[str | None, ...]:
        return tuple(self._types)
