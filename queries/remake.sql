-- Which INSERT would make each fine-tuned model that ends once more?
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
        WHERE mine.model IN (job.model, job.fine_tuned_model) OR job.model GLOB mine.model || '-20*'
      )
    ) AS shutdown_date
  FROM fine_tuning_jobs AS job
  LEFT JOIN models AS made ON made.provider = job.provider AND made.id = job.fine_tuned_model
  LEFT JOIN models AS base
    ON base.provider = job.provider
    -- Of a model that was trained further, ft:BASE:…, the base.
    AND base.id = iif(job.model GLOB 'ft:*:*', substr(job.model, 4, instr(substr(job.model, 4), ':') - 1), job.model)
  WHERE job.fine_tuned_model IS NOT NULL
    -- A provider that lists its models lists no deleted one.
    AND (made.id IS NOT NULL OR NOT EXISTS (SELECT 1 FROM models WHERE models.provider = job.provider))
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
  || quote(nullif((SELECT json_group_array(json_remove(value, '$.wandb.run_id')) FROM json_each(integrations)), '[]'))
  || ')' AS remake
FROM (
  SELECT
    *,
    -- The suffix of ft:BASE:ORGANIZATION:SUFFIX:ID, which the API shows nowhere else.
    iif(
      fine_tuned_model GLOB 'ft:*:*:*:*',
      '["' || replace(fine_tuned_model, ':', '","') || '"]',
      '[]'
    ) ->> '$[3]' AS name_part
  FROM ends
  WHERE shutdown_date IS NOT NULL
)
ORDER BY shutdown_date, created_at DESC;
