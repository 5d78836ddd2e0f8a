"""What the transactions of all processes have promised so far, as their logs say: which jobs a read must show.

A log has a transaction only once it has ended, so that what is in it when a read begins holds for that read.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Promised:
    """Tags of jobs: ``made`` with their models, ``cancelled`` for sure, ``tried`` perhaps; ``never`` sent."""

    made: dict[str, str] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    tried: set[str] = field(default_factory=set)
    never: set[str] = field(default_factory=set)


class Promises:
    """The logs at ``paths``, read on and on. Safe to use from several threads."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._read = dict.fromkeys(paths, 0)
        self._known: list[tuple[float, str, str, str]] = []  # when it was known, what, the tag, its model
        self._lock = threading.Lock()

    def before(self, age: float = 0.0) -> Promised:
        """What was promised ``age`` seconds ago, as far as was known by then."""
        promised = Promised()
        with self._lock:
            self._catch_up()
            known = list(self._known)
        until = time.monotonic() - age
        for at, what, tag, model in known:
            if age and at > until:
                break
            if what == "made":
                promised.made[tag] = model
            else:
                {"never": promised.never, "done": promised.cancelled, "tried": promised.tried}[what].add(tag)
        return promised

    def _catch_up(self) -> None:
        for path in self._paths:
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(self._read[path])
                lines = file.read().rpartition(b"\n")[0]
            if lines:
                self._read[path] += len(lines) + 1
                for line in lines.splitlines():
                    self._take(json.loads(line))

    def _take(self, value: dict[str, object]) -> None:
        now = time.monotonic()
        if "cancel" in value:
            self._known.append((now, str(value["how"]), str(value["cancel"]), ""))
        transaction = value.get("ended")
        if isinstance(transaction, dict):
            self._known += [(now, "never", row["tag"], "") for row in transaction["never"]]
            if transaction["outcome"] == "committed" and transaction["rule"] == "all":
                self._known += [(now, "made", row["tag"], row["model"]) for row in transaction["kept"]]
