"""Whose turn it is to write to a file: the writers of one process wait for each other here.

Those whom SQLite lets wait for a lock only ask for it now and then: among many somebody never gets it in time.
"""

from __future__ import annotations

import os
import threading
import weakref

_turns: weakref.WeakValueDictionary[str, threading.RLock] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def turn_at(path: str) -> threading.RLock:
    """The lock that everybody in this process holds while writing to the file at ``path``."""
    with _lock:
        return _turns.setdefault(path, threading.RLock())


def _forked() -> None:
    """A fork has the locks of threads that it does not have."""
    global _lock
    _lock = threading.Lock()
    _turns.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
