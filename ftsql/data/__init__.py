"""The package's data files: the providers, StackQL's names for their methods, and the views with readable values.

Other packages use ``read_text`` and ``PACKAGE``. This package imports no other module of ftsql. It reads the files by
path, because importing importlib.resources takes longer than reading them.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def read_text(name: str) -> str:
    """Return the text of the data file ``name``."""
    return (PACKAGE / "data" / name).read_text("utf-8")
