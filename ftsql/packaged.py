"""The files that come with the package. Read by their paths: importlib.resources takes longer to load than to use."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def text(name: str) -> str:
    """What the file ``name`` holds."""
    return (FOLDER / name).read_text("utf-8")
