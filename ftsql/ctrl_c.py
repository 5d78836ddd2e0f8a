"""Ctrl-C where others make another error of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heard() -> Iterator[None]:
    """Around code of others: a Ctrl-C that it met leaves as a KeyboardInterrupt, whatever it made of it.

    Python 3.11 raises a RuntimeError where one comes while a class is made, as in an import; argparse an
    AttributeError, as it cleans up.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
