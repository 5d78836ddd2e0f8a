"""The tables of the store's file.

``meta``: The salt for the hashes that identify accounts, and a hash of the definition of ``kept``.
``writes``: The write journal.
``covers``: For each account and resource (and parent), the creation time before which ``kept`` has every row. ``cover``
is the id of the account and resource (and parent).
``kept``: The rows that the APIs showed. It has a column for each field of the jobs' model, so a new field changes the
table.

Times are Unix seconds.
"""

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
MARK_AS_STORE = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}"
# The rows of an older version are dropped, because they can be requested again.
UPGRADE = f"DROP TABLE IF EXISTS objects; ALTER TABLE covers ADD COLUMN habits TEXT; PRAGMA user_version = {VERSION}"

STORED = (*(column.name for column in JOBS.documented), "suffix")
# ``place``: created_at, or a number below all times. ``finished``: whether the row is final. ``terminal_at``: when a
# job was first seen in a terminal status. ``checked_at``: when the row was last requested. ``listing``: the last
# listing that showed the row. ``rank``: the position of an object in the list of its job; the oldest has the lowest.
ROWS = f"""
CREATE TABLE kept (
    cover INTEGER, place INTEGER, {", ".join(STORED)},
    finished INTEGER, terminal_at REAL, checked_at REAL, listing TEXT, rank INTEGER, raw, UNIQUE (cover, id)
);
CREATE INDEX kept_by_time ON kept (cover, place DESC, id, status);
CREATE INDEX kept_by_status ON kept (cover, status, place DESC, id);
CREATE INDEX kept_active ON kept (cover, place DESC, id) WHERE NOT finished;
"""
ROWS_HASH = hashlib.sha256(ROWS.encode()).hexdigest()[:16]
RECREATE_ROWS = f"""
DROP TABLE IF EXISTS kept;
UPDATE covers SET horizon = NULL, looked_at = 0, full_at = NULL, broke_at = NULL, generation = generation + 1;
{ROWS}INSERT OR REPLACE INTO meta VALUES ('kept', '{ROWS_HASH}');
"""
