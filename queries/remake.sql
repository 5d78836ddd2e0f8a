-- Which INSERT statements would retrain the fine-tuned models that will be shut down?
-- Before you run one, put the new model and the id of the file at its provider into it: each INSERT is paid for.
-- optional: CREATE TABLE shutdown_dates (model TEXT, shutdown_date TEXT)
WITH ends AS (
  SELECT
    job.provider,
    job.id AS job,
    job.created_at,
    job.fine_tuned_model,
    job.model,
    job.training_file,
    job.validation_file,
    job.suffix,
    job.seed,
    job.method,
    job.hyperparameters,
    job.metadata,
    job.integrations,
    coalesce(
      min(made.shutdown_date, base.shutdown_date),
      made.shutdown_date,
      base.shutdown_date,
      (
        SELECT min(mine.shutdown_date)
        FROM shutdown_dates AS mine
        WHERE mine.model IN (job.model, job.fine_tuned_model, job.base) OR job.base GLOB mine.model || '-20*'
      )
    ) AS shutdown_date
  FROM (
    SELECT
      *,
      suffix,
      -- Of a model that was trained further, ft:BASE:…, the base.
      iif(model GLOB 'ft:*:*', substr(model, 4, instr(substr(model, 4), ':') - 1), model) AS base
    FROM fine_tuning_jobs
    WHERE fine_tuned_model IS NOT NULL
  ) AS job
  LEFT JOIN models AS made ON made.provider = job.provider AND made.id = job.fine_tuned_model
  LEFT JOIN models AS base ON base.provider = job.provider AND base.id = job.base
  -- A provider that lists fine-tuned models lists no deleted one.
  WHERE made.id IS NOT NULL
    OR job.provider NOT IN (SELECT provider FROM models WHERE id GLOB 'ft:*')
)
SELECT
  shutdown_date,
  fine_tuned_model,
  'INSERT INTO live.fine_tuning_jobs (provider, model, training_file, validation_file, suffix, seed, '
  || iif(method IS NULL, 'hyperparameters', 'method') || ', metadata, integrations) VALUES ('
  || quote(provider) || ', ' || quote(model) || ', ' || quote(training_file) || ', ' || quote(validation_file) || ', '
  || quote(coalesce(suffix, nullif(name_part, ''))) || ', ' || quote(seed) || ', '
  || quote(coalesce(method, hyperparameters)) || ', ' || quote(metadata) || ', '
  -- run_id is the API's own.
  || quote(
    nullif(
      (
        SELECT json_group_array(iif(type = 'object', json_remove(value, '$.wandb.run_id'), value))
        FROM json_each(iif(json_valid(integrations) AND json_type(integrations) = 'array', integrations, '[]'))
      ),
      '[]'
    )
  )
  || ');' AS remake
FROM (
  SELECT
    *,
    -- The suffix of ft:BASE:ORGANIZATION:SUFFIX:ID, which the API shows nowhere else.
    iif(
      fine_tuned_model GLOB 'ft:*:*:*:*',
      '[' || replace(json_quote(fine_tuned_model), ':', '","') || ']',
      '[]'
    ) ->> '$[3]' AS name_part
  FROM ends
  WHERE shutdown_date IS NOT NULL
)
ORDER BY shutdown_date, created_at DESC;
