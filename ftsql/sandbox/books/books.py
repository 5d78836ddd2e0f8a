"""The database of a sandbox: its schema, its transactions and its first jobs.

Objects are stored as the JSON of OpenAI's API, which has the most fields. All access, from any thread, must be inside
``transaction()``.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from ftsql.sandbox.books.files import Files
from ftsql.sandbox.books.jobs import Jobs
from ftsql.sandbox.books.models import Models
from ftsql.sandbox.books.permissions import Permissions
from ftsql.sandbox.books.seeded import fill_books

SCHEMA = """
CREATE TABLE IF NOT EXISTS settings(name TEXT PRIMARY KEY, value ANY);
CREATE TABLE IF NOT EXISTS jobs(
  seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused, because it seeds a job's random numbers
  id TEXT NOT NULL UNIQUE,
  accepted REAL NOT NULL,   -- Unix time; lists that lag compare it
  ends REAL,                -- Unix time at which the job ends without another decision; NULL: never
  active INTEGER NOT NULL,  -- 1: life and job together yield what the job shows; 0: job alone does
  life TEXT NOT NULL,
  job TEXT NOT NULL,
  created_at INTEGER AS (coalesce(job ->> '$.created_at', 0)) STORED,
  metadata TEXT AS (job -> '$.metadata') STORED,
  fine_tuned_model TEXT AS (job ->> '$.fine_tuned_model') STORED
);
CREATE INDEX IF NOT EXISTS jobs_newest ON jobs(created_at, seq);
CREATE INDEX IF NOT EXISTS jobs_ending ON jobs(ends) WHERE ends IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_models ON jobs(fine_tuned_model) WHERE fine_tuned_model IS NOT NULL;
CREATE TABLE IF NOT EXISTS files(
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL,
  filename TEXT NOT NULL,
  purpose TEXT NOT NULL,
  expires_at INTEGER,
  bytes INTEGER NOT NULL,
  content BLOB,             -- NULL: generated from the recipe when it is downloaded
  recipe TEXT
);
CREATE INDEX IF NOT EXISTS files_newest ON files(created_at, seq);
CREATE TABLE IF NOT EXISTS deleted_models(id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS permissions(
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, checkpoint TEXT NOT NULL,
  created_at INTEGER NOT NULL, project_id TEXT NOT NULL
);
"""


class Books:
    """The jobs, files, models and permissions of one sandbox.

    ``state``: a SQLite file or ``:memory:``. ``jobs`` and ``seed``: how many jobs are generated in a new database, and
    with which seed. ``speed``: how many simulated seconds unfinished jobs progress in a real second.
    """

    def __init__(self, state: str, jobs: int, seed: int, speed: float) -> None:
        self._lock = threading.RLock()
        self._db = apsw.Connection(state)
        self._db.set_busy_timeout(5000)
        self._db.execute("PRAGMA synchronous = OFF")  # a crash of the machine can only lose made-up jobs
        with self.transaction():
            self._db.execute(SCHEMA)
            self.files = Files(self._db)
            self.jobs = Jobs(self._db, self.files, seed, speed)
            self.models = Models(self._db)
            self.permissions = Permissions(self._db)
            self._prepare(jobs, seed, speed)

    def _prepare(self, jobs: int, seed: int, speed: float) -> None:
        now = time.time()
        before = self._db.execute("SELECT value FROM settings WHERE name = 'speed'").get
        if before is None:
            fill_books(self.jobs, self.files, random.Random(f"{seed}/{jobs}"), jobs, now, speed)
        elif before != speed:
            self.jobs.change_speed(speed, now)
        self._db.execute("INSERT OR REPLACE INTO settings VALUES ('speed', ?)", (speed,))

    @contextmanager
    def transaction(self) -> Iterator[Books]:
        """Lock the books for this thread, and yield them. An exception rolls back the thread's changes."""
        with self._lock, self._db:
            yield self

    def close(self) -> None:
        """Close the database, which discards a state in memory."""
        with self._lock:
            self._db.close()
