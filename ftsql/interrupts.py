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


def forget() -> None:
    """Have the process end with the exit code that it is given, after a Ctrl-C that was dealt with.

    Python 3.11 notes one that leaves an exec(), which dataclasses are made by, and kills itself as it exits; the next
    exec() forgets it.
    """
    exec("")  # noqa: S102
