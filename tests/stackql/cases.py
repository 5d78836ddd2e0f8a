"""StackQL's statements for openai, as its pages of 2024 and 2026 show them, and their translations."""

from __future__ import annotations

FIELDS_2024 = (
    "id created_at error estimated_finish fine_tuned_model finished_at hyperparameters integrations model object "
    "organization_id result_files seed status trained_tokens training_file validation_file"
).split()
TYPES_2024 = (
    "string integer object integer string integer object array string string string array integer string integer "
    "string string"
).split()
NEWER = [("metadata", "object"), ("method", "object"), ("provider", "string")]

# The method table of StackQL's page: name, required parameters, SQL verb.
METHODS_2024 = [
    ("list_paginated_fine_tuning_jobs", "", "SELECT"),
    ("retrieve_fine_tuning_job", "fine_tuning_job_id", "SELECT"),
    ("create_fine_tuning_job", "data__model, data__training_file", "INSERT"),
    ("cancel_fine_tuning_job", "fine_tuning_job_id", "EXEC"),
]
METHODS_2026 = [
    ("list", "", "SELECT"),
    ("get", "fine_tuning_job_id", "SELECT"),
    ("create", "model, training_file", "INSERT"),
    ("cancel", "fine_tuning_job_id", "EXEC"),
    ("pause", "fine_tuning_job_id", "EXEC"),
    ("resume", "fine_tuning_job_id", "EXEC"),
]

SELECT_2024 = "SELECT\n" + ",\n".join(FIELDS_2024) + "\nFROM openai.fine_tuning.jobs\n;\n"
SELECT_2026 = SELECT_2024.replace("\n;", "\nWHERE fine_tuning_job_id = 'ftjob-00002' -- required\n;")
INSERT_2024_REQUIRED = """\
/*+ create */
INSERT INTO openai.fine_tuning.jobs (
data__model,
data__training_file
)
SELECT
'gpt-4o-mini',
'file-a'
;
"""
INSERT_2024_ALL = """\
/*+ create */
INSERT INTO openai.fine_tuning.jobs (
data__model,
data__training_file,
data__hyperparameters,
data__suffix,
data__validation_file,
data__integrations,
data__seed
)
SELECT
'gpt-4o-mini',
'file-a',
'{"n_epochs": 2}',
'test',
'file-b',
'[]',
'42'
;
"""
INSERT_2026 = """\
INSERT INTO openai.fine_tuning.jobs (
model,
training_file,
suffix,
validation_file,
seed,
method,
metadata
)
SELECT
'gpt-4o-mini' /* required */,
'file-a' /* required */,
'test',
'file-b',
42,
'{"type": "supervised"}',
'{"team": "ads"}'
RETURNING
id,
status,
seed,
json_extract(metadata, '$.team') AS team
;
"""
EXEC_2026 = """\
EXEC openai.fine_tuning.jobs.{method}
@fine_tuning_job_id='{id}' --required,
;
"""

JOBS = "live.fine_tuning_jobs"
OPENAI = "\"jobs\".provider = 'openai'"

# A StackQL statement, and its translation.
TEXTS = [
    ("SELECT 1 FROM openai.fine_tuning.jobs", f'SELECT 1 FROM {JOBS} AS "jobs" WHERE {OPENAI}'),
    ("SELECT 1 FROM openai.fine_tuning.jobs j", f"SELECT 1 FROM {JOBS} j WHERE \"j\".provider = 'openai'"),
    (
        "SELECT 1 FROM Portkey.FINE_TUNING.Jobs AS j WHERE a OR b -- c",
        f"SELECT 1 FROM {JOBS} AS j WHERE \"j\".provider = 'portkey' AND ( a OR b) -- c",
    ),
    (
        'SELECT 1 FROM "openai" . `fine_tuning` /* . */ .\n[jobs] ORDER BY 1',
        f'SELECT 1 FROM {JOBS} AS "jobs" WHERE {OPENAI} ORDER BY 1',
    ),
    (
        "SELECT 1 FROM mine LEFT JOIN openai.fine_tuning.jobs j ON j.id = mine.id WHERE 1",
        f"SELECT 1 FROM mine LEFT JOIN {JOBS} j ON \"j\".provider = 'openai' AND ( j.id = mine.id) WHERE 1",
    ),
    (
        "WITH openai AS (SELECT 1 FROM openai.fine_tuning.jobs LIMIT 2) SELECT * FROM openai",
        f'WITH openai AS (SELECT 1 FROM {JOBS} AS "jobs" WHERE {OPENAI} LIMIT 2) SELECT * FROM openai',
    ),
    ("SELECT openai.fine_tuning.jobs.id FROM openai.fine_tuning.jobs", f'SELECT "jobs".id FROM {JOBS} AS "jobs" WHERE {OPENAI}'),
    ("SELECT 1 FROM openai.fine_tuning.events", "SELECT 1 FROM live.fine_tuning_job_events AS \"events\" WHERE \"events\".provider = 'openai'"),
    (
        "SELECT 1 FROM openai.fine_tuning.job_checkpoints c WHERE c.fine_tuning_job_id = 'x'",
        "SELECT 1 FROM live.fine_tuning_job_checkpoints c WHERE \"c\".provider = 'openai' AND ( c.fine_tuning_job_id = 'x')",
    ),
    (
        "DELETE FROM openai.fine_tuning.checkpoint_permissions WHERE fine_tuned_model_checkpoint = 'm' --required\nAND permission_id = 'p' --required\n",
        "DELETE FROM live.fine_tuning_checkpoint_permissions WHERE provider = 'openai' AND ( fine_tuned_model_checkpoint = 'm' --required\nAND id = 'p') --required\n",
    ),
    (
        "INSERT INTO openai.fine_tuning.checkpoint_permissions (project_ids, fine_tuned_model_checkpoint) SELECT '[]', 'm'",
        "INSERT INTO live.fine_tuning_checkpoint_permissions (provider, project_id, fine_tuned_model_checkpoint) WITH \"stackql row\" (project_ids, fine_tuned_model_checkpoint) AS (SELECT '[]', 'm') SELECT 'openai', project.value, fine_tuned_model_checkpoint FROM \"stackql row\", json_each(iif(json_valid(project_ids), project_ids, json_array(project_ids))) AS project",
    ),
    ("SELECT id FROM openai.files.files WHERE file_id = 'f'", "SELECT id FROM live.files AS \"files\" WHERE \"files\".provider = 'openai' AND ( id = 'f')"),
    ("/*+ delete */\nDELETE FROM openai.models.models\nWHERE model = 'ft:x';", "/*+ delete */\nDELETE FROM live.models\nWHERE provider = 'openai' AND ( id = 'ft:x');"),
    (
        "SELECT 1 FROM openai.fine_tuning.jobs WHERE id IN (SELECT job FROM notes WHERE metadata = '{}') AND x IS DISTINCT FROM openai.fine_tuning.jobs",
        f"SELECT 1 FROM {JOBS} AS \"jobs\" WHERE {OPENAI} AND ( id IN (SELECT job FROM notes WHERE metadata = '{{}}') AND x IS DISTINCT FROM openai.fine_tuning.jobs)",
    ),
    (
        "UPDATE mine SET x = (SELECT status FROM openai.fine_tuning.jobs WHERE id = job) WHERE x OR y",
        f"UPDATE mine SET x = (SELECT status FROM {JOBS} AS \"jobs\" WHERE {OPENAI} AND ( id = job)) WHERE x OR y",
    ),
    (
        "UPDATE mine SET x = j.status FROM openai.fine_tuning.jobs j WHERE j.id = job OR 0 RETURNING x",
        f"UPDATE mine SET x = j.status FROM {JOBS} j WHERE \"j\".provider = 'openai' AND ( j.id = job OR 0) RETURNING x",
    ),
    (
        "INSERT INTO portkey.fine_tuning.jobs (model, training_file, seed) SELECT model, training_file, 1 FROM openai.fine_tuning.jobs a JOIN openai.fine_tuning.jobs b ON 1",
        f"INSERT INTO {JOBS} (provider, model, training_file, seed) WITH \"stackql row\" (model, training_file, seed) AS (SELECT model, training_file, 1 FROM {JOBS} a "
        f"JOIN {JOBS} b ON \"b\".provider = 'openai' AND ( 1) WHERE \"a\".provider = 'openai') SELECT 'portkey', model, training_file, "
        "iif(seed <> '' AND seed NOT GLOB '*[^0-9]*', CAST(seed AS INTEGER), seed) FROM \"stackql row\"",
    ),
    ("CREATE VIEW v AS SELECT 1 FROM openai.fine_tuning.jobs", f'CREATE VIEW v AS SELECT 1 FROM fine_tuning_jobs AS "jobs" WHERE {OPENAI}'),
    ("CREATE TEMP VIEW v AS SELECT 1 FROM openai.fine_tuning.jobs", f'CREATE TEMP VIEW v AS SELECT 1 FROM {JOBS} AS "jobs" WHERE {OPENAI}'),
    (
        "SELECT 1 FROM openai.fine_tuning.jobs WHERE metadata = '{\"team\": \"ads\"}'",
        f"SELECT 1 FROM {JOBS} AS \"jobs\" WHERE {OPENAI} AND ( metadata_has(metadata, '{{\"team\": \"ads\"}}'))",
    ),
    (
        "EXEC openai.fine_tuning.jobs.cancel @fine_tuning_job_id = 'it''s; DROP TABLE t --';",
        "SELECT id, cancel_job(id, 'openai') AS status, 'openai' AS provider FROM (SELECT 'it''s; DROP TABLE t --' AS id);",
    ),
    ("exec OPENAI.fine_tuning.events.list @fine_tuning_job_id=\"x'y\"", "SELECT * FROM live.fine_tuning_job_events WHERE provider = 'openai' AND fine_tuning_job_id = 'x''y'"),
    ("EXEC openai.files.files.delete @file_id = ?", "DELETE FROM live.files WHERE provider = 'openai' AND id = ?"),
]  # fmt: skip

# Statements that ftsql refuses, and a part of the error message.
REFUSED = [
    ("UPDATE openai.fine_tuning.jobs SET status = 'cancelled' WHERE id = 'x'", "EXEC openai.fine_tuning.jobs.cancel"),
    ("DELETE FROM openai.fine_tuning.jobs WHERE id = 'x'", "EXEC openai.fine_tuning.jobs.cancel"),
    ("DELETE FROM openai.files.files", "without WHERE would delete everything"),
    ("SELECT * FROM nobody.fine_tuning.jobs", "unknown provider 'nobody'; known are anyapi"),
    ("SELECT * FROM openai.chat.completions", "unknown resource openai.chat.completions"),
    ("SELECT * FROM openai.fine_tuning.jobs WHERE after = 'x' AND limit = '3'", "StackQL parameter after is not supported"),
    ("SELECT * FROM openai.fine_tuning.jobs WHERE limit = '3'", "use LIMIT"),
    ("SELECT * FROM openai.fine_tuning.jobs WHERE OpenAI-Organization = 'x'", "OPENAI_ORG_ID"),
    ("SELECT * FROM openai.fine_tuning.jobs WHERE \"openai-project\" = 'x'", "OPENAI_PROJECT_ID"),
    ("INSERT INTO openai.fine_tuning.jobs (model, OpenAI-Project) SELECT 1, 2", "OPENAI_PROJECT_ID"),
    ("INSERT INTO openai.fine_tuning.jobs (model, data__nope) SELECT 1, 2", "takes no column nope: it takes model, training_file"),
    ("INSERT INTO openai.fine_tuning.jobs (model, data__model) SELECT 1, 2", "names model twice"),
    ("INSERT INTO openai.fine_tuning.jobs (model) SELECT 1, 2", "2 values for 1 columns"),
    ("INSERT INTO openai.fine_tuning.jobs VALUES (1, 2)", "needs its columns"),
    ("INSERT INTO openai.fine_tuning.jobs (model) DEFAULT VALUES", "needs its values"),
    ("INSERT INTO openai.fine_tuning.jobs (model) SELECT 1 WHERE 1 ON CONFLICT DO NOTHING", "INSERT OR IGNORE"),
    ("INSERT INTO openai.fine_tuning.events (id) SELECT 1", "has no INSERT into openai.fine_tuning.events"),
    ("REPLACE INTO openai.fine_tuning.jobs (model) SELECT 1", "cannot parse this StackQL statement"),
    ("BEGIN; INSERT INTO openai.fine_tuning.jobs (model) SELECT 1 RETURNING id", "RETURNING inside a transaction"),
    ("SAVEPOINT a; ROLLBACK TO a; INSERT INTO openai.fine_tuning.jobs (model) SELECT 1 RETURNING id", "RETURNING inside a transaction"),
    ("CREATE TRIGGER t AFTER INSERT ON q BEGIN INSERT INTO openai.fine_tuning.jobs (model) SELECT 1; END", "cannot parse this StackQL statement"),
    ("SELECT * FROM openai.fine_tuning.jobs('x')", "in plain SQL on fine_tuning_jobs"),
    ("EXEC openai.fine_tuning.jobs.cancel", "@fine_tuning_job_id is missing"),
    ("EXEC openai.fine_tuning.jobs.cancel @id = 'x'", "has no parameter @id: it takes @fine_tuning_job_id"),
    ("EXEC openai.fine_tuning.jobs.cancel @fine_tuning_job_id = 'x', @fine_tuning_job_id = 'y'", "occurs twice"),
    ("EXEC openai.fine_tuning.jobs.cancel @fine_tuning_job_id = (SELECT 1)", "a quoted string, a number or a bound parameter"),
    ("EXEC openai.fine_tuning.jobs.cancel @fine_tuning_job_id = 'it\\'s'", "ends with a backslash"),
    ("EXEC openai.fine_tuning.jobs.cancel @fine_tuning_job_id = 'x' OR 1", "expected a parameter such as"),
    ("EXEC openai.fine_tuning.jobs.cancel @fine_tuning_job_id = 'x', @OpenAI-Organization = 'y'", "OPENAI_ORG_ID"),
    ("EXEC openai.fine_tuning.jobs.nope @fine_tuning_job_id = 'x'", "has no method nope: it has list, get, create"),
    ("EXEC openai.fine_tuning.jobs.list @after = 'x'", "StackQL parameter after is not supported"),
    ("EXEC nobody.fine_tuning.jobs.cancel @fine_tuning_job_id = 'x'", "unknown provider 'nobody'"),
    ("EXEC cancel @x = 1", "expected provider.service.resource"),
    ("SHOW TABLES", "SHOW takes one of: SHOW PROVIDERS"),
    ("SHOW RESOURCES IN openai.chat", "openai has no service chat"),
    ("SHOW METHODS IN openai.fine_tuning", "expected provider.service.resource"),
    ("DESCRIBE openai.fine_tuning.jobs x", "unexpected 'x'"),
    ("DESCRIBE METHOD openai.fine_tuning.jobs.create", "ftsql_methods"),
]  # fmt: skip

# Plain SQLite, or text that StackQL does not know either: returned byte for byte.
UNTOUCHED = [
    "",
    ";;  -- nothing\n",
    "SELECT 'openai.fine_tuning.jobs', \"openai.fine_tuning.jobs\" -- FROM openai.fine_tuning.jobs\n/* EXEC openai.fine_tuning.jobs.cancel */",
    "SELECT openai.fine_tuning.jobs FROM openai.fine_tuning WHERE openai.fine_tuning.jobs = 'EXEC x; SHOW METHODS IN y'",
    "SELECT x IS NOT DISTINCT FROM openai.fine_tuning.jobs FROM openai.fine_tuning",
    "SELECT 1, openai.fine_tuning.jobs ->> '$.a' FROM openai.fine_tuning",
    "UPDATE openai.fine_tuning SET jobs = 1 WHERE \"openai\".fine_tuning.jobs = ?2",
    "WITH openai(x) AS (VALUES (1)) SELECT openai.x FROM openai ORDER BY x DESC",
    "SELECT main.t.c FROM main.t; SELECT [FROM openai.fine_tuning.jobs] FROM x",
    "CREATE TABLE exec(show, describe); INSERT INTO exec SELECT show, describe FROM exec ORDER BY 1 DESC",
    "CREATE TRIGGER t AFTER INSERT ON q BEGIN INSERT INTO main.a SELECT main.b.c FROM main.b; SELECT 'openai.fine_tuning.jobs'; END;",
    "SELECT 'unterminated FROM openai.fine_tuning.jobs",
    "SELECT * FROM google.compute.instances",
    "SELECT 1.5.2, .5, 0x1F, x'00', $a::b(c), @p, :q, ?9 FROM t WHERE a.b.c /* open",
]  # fmt: skip
