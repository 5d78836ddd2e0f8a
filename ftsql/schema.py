"""What stands in a store's file, version by version."""

from __future__ import annotations

APPLICATION_ID = 0x66747371  # "ftsq" in the file's header
VERSION = 2

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
    full_at REAL, broke_at REAL, generation INTEGER DEFAULT 0, UNIQUE (account, resource)
);
"""
# What was read of the APIs: it can be asked for again.
KEPT = """
CREATE TABLE kept (
    cover INTEGER, place INTEGER, id, created_at, error, estimated_finish, fine_tuned_model, finished_at,
    hyperparameters, integrations, metadata, method, model, object, organization_id, result_files, seed, status,
    trained_tokens, training_file, validation_file, suffix, finished INTEGER, checked_at REAL, listing TEXT, raw,
    UNIQUE (cover, id)
);
CREATE INDEX kept_by_time ON kept (cover, place DESC, id, status);
CREATE INDEX kept_by_status ON kept (cover, status, place DESC, id);
CREATE INDEX kept_active ON kept (cover, place DESC, id) WHERE NOT finished;
"""
MADE = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}"
# A process of the older version that still runs finds no table of its own, and asks for everything.
FROM_1 = f"""
DROP TABLE objects;
UPDATE covers SET horizon = NULL, looked_at = 0, full_at = NULL, broke_at = NULL, generation = generation + 1;
{KEPT}{MADE}
"""
