"""Handles Ctrl-C where it must not be lost, and where work on something that has happened already must be finished.

A KeyboardInterrupt can be raised at any line. Three places need care:

- The handling of the response to a write must be finished, because the write has happened.
- A callback of SQLite would print the exception instead of raising it.
- Some code of other libraries turns the exception into another error.
"""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
LONGEST_WAIT = 1.0  # seconds for which a Ctrl-C is held back until SQLite's statements have ended


def finish(work: Callable[[], T], note: Callable[[KeyboardInterrupt], object]) -> T:
    """Call ``work``, which handles something that has happened.

    If a Ctrl-C ends ``work``, call ``note`` and then ``work`` again.

    >>> finish(lambda: 1, print)
    1
    """
    try:
        return work()
    except KeyboardInterrupt as interrupt:
        note(interrupt)
    return work()


class HeldInterrupt:
    """A Ctrl-C that is held back and raised later.

    It is held back because it came inside a callback of SQLite or while a write was on its way.
    """

    def __init__(self) -> None:
        self._held = threading.Event()

    def __bool__(self) -> bool:
        return self._held.is_set()

    def raise_now(self) -> None:
        """Raise KeyboardInterrupt if a Ctrl-C is held back."""
        if self._held.is_set():
            self._held.clear()
            raise KeyboardInterrupt("interrupted: nothing more was sent")

    def hold(self, is_busy: Callable[[], object]) -> None:
        """Raise KeyboardInterrupt in the main thread as soon as ``is_busy`` returns nothing, or after a second."""
        self._held.set()
        threading.Thread(target=self._raise_later, args=(is_busy,), daemon=True).start()

    def _raise_later(self, is_busy: Callable[[], object]) -> None:
        end = time.monotonic() + LONGEST_WAIT
        while is_busy() and time.monotonic() < end:
            time.sleep(0.005)
        if self._held.is_set():
            self._held.clear()
            _thread.interrupt_main()


@contextmanager
def keep_keyboard_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt if a Ctrl-C makes the block raise another error.

    If Ctrl-C arrives while a class is created, as in an import, Python 3.11 raises RuntimeError. If it arrives while
    argparse cleans up, argparse raises AttributeError.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise


def clear_pending_interrupt() -> None:
    """Make sure that the process ends with its own exit code after a Ctrl-C that was handled.

    If a KeyboardInterrupt leaves an exec(), which dataclasses use, Python 3.11 remembers the interrupt and kills the
    process at exit. The next exec() makes Python forget the interrupt.
    """
    exec("")  # noqa: S102
