"""Files that come with the package: the providers, their methods, the views of the snapshot.

They are read by path: importing importlib.resources takes longer than reading them. Imports nothing of ftsql.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def read_text(name: str) -> str:
    """Return the text of the data file ``name``."""
    return (PACKAGE / "data" / name).read_text("utf-8")
