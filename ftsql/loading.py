"""Modules that are loaded when they are first needed, since they take long: the HTTP client, what checks answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Around an import within a function.

    Of a Ctrl-C that comes while a class is made, Python 3.11 makes a RuntimeError: it is a KeyboardInterrupt again.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
