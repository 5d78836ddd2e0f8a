"""Process locks, by which processes that share a store know which of them are alive.

A process that records paid writes keeps a lock file, next to the store's file, locked as long as it lives. So other
processes can tell a crash from a write under way.
"""

from __future__ import annotations

import contextlib
import os
import threading
import uuid

import apsw

from ftsql.errors import StoreError

MEMORY = ":memory:"
BUSY_MILLISECONDS = 10_000
ADVICE = "Mend it or name another file: store=, --store, FTSQL_STORE"


class ProcessLock:
    """The lock of one open ``Store`` of the file at ``path``.

    The journal records the lock's ``name`` as the owner of a write.
    """

    def __init__(self, path: str) -> None:
        self.name = uuid.uuid4().hex[:16]
        self._path = path
        self._lock = threading.Lock()
        self._claim: apsw.Connection | None = None

    def claim(self) -> None:
        """Take the lock. It is released when the process ends, however that happens. Raises StoreError."""
        path = self._file(self.name)
        with self._lock:
            while self._claim is None and self._path != MEMORY:
                try:
                    claim = apsw.Connection(path)
                    claim.set_busy_timeout(BUSY_MILLISECONDS)
                    claim.execute("BEGIN EXCLUSIVE")
                except apsw.Error as error:
                    raise StoreError(f"cannot lock {path}: {reason(error)}. {ADVICE}") from None
                if os.path.exists(path):
                    self._claim = claim
                else:  # before the file was locked, another process took it for a dead process's and removed it
                    claim.close()

    def is_alive(self, name: str) -> bool:
        """Whether the owner called ``name`` may be alive. If it is dead, its lock file is removed."""
        if name == self.name:
            return True
        path = self._file(name)
        if not os.path.exists(path):
            return False
        try:
            other = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
        except apsw.Error:  # for example too many open files: the owner may be alive
            return os.path.exists(path)
        try:
            other.execute("BEGIN EXCLUSIVE")
            with contextlib.suppress(OSError):
                os.unlink(path)
        except apsw.BusyError:
            return True
        finally:
            other.close()
        return False

    def release(self) -> None:
        """Release the lock."""
        with self._lock:
            if self._claim is not None:
                self._claim.close()
                self._claim = None
                with contextlib.suppress(OSError):
                    os.unlink(self._file(self.name))

    def _file(self, name: str) -> str:
        return f"{self._path}-owner-{name}"


def reason(error: Exception) -> str:
    """Return why a file cannot be used."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
