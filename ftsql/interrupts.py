"""Ctrl-C in code of other libraries that turns a KeyboardInterrupt into another error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def keep_keyboard_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt if the block raises another error because of one.

    Python 3.11 raises RuntimeError if Ctrl-C arrives while a class is created, as in an import; argparse raises
    AttributeError while it cleans up.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise


def clear_pending_interrupt() -> None:
    """Let the process end with its own exit code after a Ctrl-C that was handled.

    If a KeyboardInterrupt leaves an exec(), which dataclasses use, Python 3.11 remembers it and kills the process at
    exit. The next exec() clears that state.
    """
    exec("")  # noqa: S102
