"""The snapshot file: plain SQLite tables with the rows that the live tables had at the last sync.

The package owns the rounds of a sync, the snapshot's schema, the archive of file contents, and ``ftsql export``. It may
import ``ftsql.connection`` and everything below it. Users call ``sync``; the command uses ``Sync`` and the helpers for
paths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftsql.sync.rounds import Round, Sync, sync
    from ftsql.sync.snapshot import plain_path, synced_at

__all__ = ["Round", "Sync", "plain_path", "sync", "synced_at"]

_MODULES = {"Round": "rounds", "Sync": "rounds", "sync": "rounds", "plain_path": "snapshot", "synced_at": "snapshot"}


def __getattr__(name: str) -> Any:
    """Import an exported name when it is first used.

    The command imports ``ftsql.sync.tables`` at every start, and this import must not load the other modules.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
