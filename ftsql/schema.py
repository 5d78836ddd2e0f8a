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
"""
# What was read of the APIs. A store of an older version gets these anew: they can be asked for again.
KEPT = """
CREATE TABLE covers (
    cover INTEGER PRIMARY KEY, provider TEXT, account TEXT, resource TEXT, horizon REAL, looked_at REAL DEFAULT 0,
    full_at REAL, broke_at REAL, generation INTEGER DEFAULT 0, UNIQUE (account, resource)
);
CREATE TABLE objects (
    cover INTEGER, place INTEGER, id, created_at, error, estimated_finish, fine_tuned_model, finished_at,
    hyperparameters, integrations, metadata, method, model, object, organization_id, result_files, seed, status,
    trained_tokens, training_file, validation_file, suffix, finished INTEGER, checked_at REAL, listing TEXT, raw,
    UNIQUE (cover, id)
);
CREATE INDEX objects_by_time ON objects (cover, place DESC, id);
CREATE INDEX objects_by_status ON objects (cover, status, place DESC, id);
CREATE INDEX objects_by_model ON objects (cover, model, place DESC, id);
CREATE INDEX objects_active ON objects (cover, place DESC, id) WHERE NOT finished;
"""
MADE = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}"
