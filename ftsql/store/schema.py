"""What stands in a store's file. What is kept of the APIs has the columns of the jobs' model, whatever these are."""

from __future__ import annotations

import hashlib

from ftsql.resources.definitions import JOBS

APPLICATION_ID = 0x66747371  # "ftsq" in the file's header
VERSION = 3

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
INSERT INTO meta VALUES ('salt', randomblob(32));
CREATE TABLE writes (
    write_id INTEGER PRIMARY KEY, at INTEGER, state TEXT, action TEXT, provider TEXT, job_id TEXT, method TEXT,
    path TEXT, body TEXT, http_status INTEGER, request_id TEXT, error TEXT, statement TEXT,
    account TEXT, fingerprint TEXT, owner TEXT
);
CREATE INDEX writes_by_state ON writes (state);
CREATE INDEX writes_by_time ON writes (at);
CREATE INDEX writes_by_job ON writes (provider, job_id);
CREATE TABLE covers (
    cover INTEGER PRIMARY KEY, provider TEXT, account TEXT, resource TEXT, horizon REAL, looked_at REAL DEFAULT 0,
    full_at REAL, broke_at REAL, generation INTEGER DEFAULT 0, habits TEXT, UNIQUE (account, resource)
);
"""
MADE = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}"
# What is kept of an older version can be asked for again.
OLDER = f"DROP TABLE IF EXISTS objects; ALTER TABLE covers ADD COLUMN habits TEXT; PRAGMA user_version = {VERSION}"

STORED = (*(column.name for column in JOBS.documented), "suffix")
# What was read of the APIs. ``terminal_at``: when a job was first seen in a status that ends it; ``rank``: among
# what belongs to one job the order in which its list has it, oldest first.
KEPT = f"""
CREATE TABLE kept (
    cover INTEGER, place INTEGER, {", ".join(STORED)},
    finished INTEGER, terminal_at REAL, checked_at REAL, listing TEXT, rank INTEGER, raw, UNIQUE (cover, id)
);
CREATE INDEX kept_by_time ON kept (cover, place DESC, id, status);
CREATE INDEX kept_by_status ON kept (cover, status, place DESC, id);
CREATE INDEX kept_active ON kept (cover, place DESC, id) WHERE NOT finished;
"""
KEPT_OF = hashlib.sha256(KEPT.encode()).hexdigest()[:16]
ANEW = f"""
DROP TABLE IF EXISTS kept;
UPDATE covers SET horizon = NULL, looked_at = 0, full_at = NULL, broke_at = NULL, generation = generation + 1;
{KEPT}INSERT OR REPLACE INTO meta VALUES ('kept', '{KEPT_OF}');
"""
