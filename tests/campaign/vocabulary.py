"""The words of the statements at random: names, values, and forms with places to fill.

In a form ``{e}`` stands for an expression, ``{t}`` a text, ``{n}`` a number, ``{c}`` a column, ``{w}`` a window,
``{x}`` a word of a dot command, ``{m}`` an output mode.
"""

OWN = [
    "notes",
    "mixed",
    "noted",
    "jobs",
    "checkpoints",
    "ftsql_providers",
    "ftsql_columns",
    "ftsql_methods",
    "ftsql_requests",
    "ftsql_writes",
]
KNOWN = {
    "notes": ["id", "note"], "mixed": ["number"], "noted": ["note"], "jobs": ["id", "status", "model", "created"], "ftsql_writes": ["state", "job_id", "body"],
    "ftsql_requests": ["path", "status", "statement"], "ftsql_providers": ["*"], "ftsql_columns": ["*"], "ftsql_methods": ["*"], "checkpoints": ["*"],
}  # fmt: skip
SCHEMAS = ["main.", "live.", "temp.", "nowhere."]
COLUMNS = [
    "id", "status", "model", "created_at", "provider", "key", "raw", "metadata", "error", "training_file", "fine_tuning_job_id", "suffix",
    "extra_body", "seed", "trained_tokens", "result_files", "note", "number", "rowid", "*", "level", "data", "step", "train_loss", "bytes", "nothing",
]  # fmt: skip
TEXTS = [
    "", "x", "running", "cancelled", "paused", "succeeded", "openai", "gpt-4o-mini", "file-a", "$.a", "[]", "{}", '{"a": 1}', "[1, null, {}]",
    '{"team": "ads"}', "not json", "../../x", "a/b", "%", "_", "2026-01-01", "now", "é😀", "a'b", "x" * 3000, "train.jsonl", "/etc/passwd", "%s%n",
]  # fmt: skip
CALLS = [
    "cancel_job({t})", "pause_job({t}, {e})", "resume_job({t})", "create_job({t}, {t})", "create_job({t}, {t}, {t})", "wait_job({t}, 0.01)",
    "last_job_id()", "last_jobs()", "metadata_has({e}, {t})", "file_content({t})", "upload_file({t})", "upload_file({t}, {t}, {t})",
    "count(*)", "count(DISTINCT {e})", "sum({e})", "avg({e})", "group_concat({e})", "max({e}, {e})", "min({e})", "abs({e})", "round({e}, {n})",
    "substr({e}, {n}, {n})", "printf({t}, {e})", "replace({e}, {e}, {e})", "json({e})", "json_extract({e}, {t})", "json_object({t}, {e})",
    "json_array({e}, {e})", "json_each({e})", "json_set({e}, {t}, {e})", "json_group_array({e})", "jsonb({e})", "{e} -> {t}", "{e} ->> {t}",
    "date({e})", "unixepoch({e})", "strftime({t}, {e})", "iif({e}, {e}, {e})", "coalesce({e}, {e})", "typeof({e})", "hex({e})", "zeroblob({n})",
    "randomblob({n})", "random()", "likelihood({e}, 0.5)", "changes()", "sqlite_version()", "load_extension({t})", "readfile({t})",
    "writefile({t}, {e})", "edit({t})", "fts3_tokenizer({t}, {e})", "row_number() OVER ({w})", "lag({e}) OVER ({w})", "ntile({n}) OVER ({w})",
    "sum({e}) FILTER (WHERE {e}) OVER ({w})", "unhex({e})", "nothing({e})", "total_changes()", "last_insert_rowid()", "soundex({e})", "{e} COLLATE NOCASE",
]  # fmt: skip
OPERATORS = [
    "=",
    "<>",
    "<",
    ">=",
    "IS",
    "IS NOT",
    "LIKE",
    "GLOB",
    "REGEXP",
    "MATCH",
    "AND",
    "OR",
    "+",
    "-",
    "*",
    "/",
    "%",
    "||",
    "<<",
    "&",
    "IN",
    "==",
]
PRAGMAS = [
    "user_version = 5", "query_only = 0", "writable_schema = 1", "writable_schema = RESET", "journal_mode = WAL", "journal_mode", "table_info(notes)",
    "database_list", "integrity_check", "foreign_keys = 1", "recursive_triggers = 1", "optimize", "wal_checkpoint", "schema_version = 99", "cache_size = 1",
    "trusted_schema = 1", "encoding", "locking_mode = NORMAL", "page_size = 512", "auto_vacuum = 1", "incremental_vacuum", "module_list", "data_version",
    "application_id = 7", "secure_delete = 1", "nothing = 1", "case_sensitive_like = 1", "legacy_alter_table = 1", "table_list", "function_list",
    "live.user_version = 3", "temp_store = 2", "reverse_unordered_selects = 1", "analysis_limit = 1", "table_xinfo(fine_tuning_jobs)", "shrink_memory",
]  # fmt: skip
STACKQL = [
    "SHOW METHODS IN openai.fine_tuning.jobs", "SHOW TABLES IN openai.fine_tuning", "DESCRIBE openai.fine_tuning.jobs", "SHOW PROVIDERS", "SHOW",
    "EXEC openai.fine_tuning.jobs.cancel @fine_tuning_job_id = {t}", "EXEC openai.fine_tuning.jobs.cancel_fine_tuning_job @fine_tuning_job_id={t}, @x = {e}",
    "SELECT {c}, id FROM openai.fine_tuning.jobs WHERE {e}", "SELECT * FROM openai.fine_tuning.job_events WHERE fine_tuning_job_id = {t}",
    "INSERT INTO openai.fine_tuning.jobs (data__model, data__training_file) SELECT {t}, {t} RETURNING id", "DESCRIBE EXTENDED openai.x.y",
    "INSERT INTO openai.fine_tuning.jobs (model, training_file) VALUES ({t}, {t})", "DELETE FROM openai.files.files WHERE file_id = {t}",
    "SELECT a.id FROM openai.fine_tuning.jobs a JOIN openai.fine_tuning.checkpoints b ON a.id = b.{c} WHERE {e}", "EXEC openai.fine_tuning.jobs",
    "REGISTRY LIST", "SHOW INSERT INTO openai.fine_tuning.jobs", "EXEC /*+ SHOWRESULTS */ openai.fine_tuning.jobs.pause @fine_tuning_job_id={t}",
]  # fmt: skip
DOTS = [
    ".tables", ".tables {x}", ".schema", ".schema {x}", ".databases", ".help", ".help {x}", ".mode {m}", ".mode", ".headers on", ".header {x}", ".show",
    ".indices {x}", ".nullvalue {x}", ".separator |", ".width 1 2 3", ".width {x}", ".timer on", ".echo off", ".find {x}", ".find {x} notes", ".limit",
    ".limit length {n}", ".parameter list", ".parameter set {x} {n}", ".parameter clear", ".print {x}", ".timeout 5", ".timeout {x}", ".changes on",
    ".requests on", ".requests {x}", ".requests off", ".dbinfo", ".dbconfig", ".dbconfig {x} 1", ".version", ".vfsname", ".vfslist", ".connection",
    ".connection {n}", ".bail on", ".encoding {x}", ".colour off", ".exceptions {x}", ".dump", ".dump {x}", ".nothing", ".", "..", ".quit {x}", ".pages",
    ".open :memory:", ".restore {x}", ".read nowhere.sql", ".import {x} {x}", ".load {x}", ".ftsq {x}", ". tables", ".{x}", ".schema '", '.print "a',
]  # fmt: skip
MODES = [
    "csv",
    "json",
    "jsonl",
    "box",
    "line",
    "list",
    "table",
    "markdown",
    "insert",
    "html",
    "tcl",
    "python",
    "column",
    "fit",
    "nothing",
]
