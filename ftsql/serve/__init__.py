"""PostgreSQL's protocol for BI tools, over SQLite: the server, the catalog, and the translation of SQL.

The package may import everything but ``cli``. It exports ``serve``, which runs the command ``ftsql serve``. The
function is loaded on first use, because it needs the extra ``serve``. The package writes nothing: a statement that
would write is refused before SQLite sees it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftsql.serve.command import serve

__all__ = ["serve"]


def __getattr__(name: str) -> Any:
    if name == "serve":
        from ftsql.serve.command import serve

        return serve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
