-- How many of my fine-tuned models will be shut down on which day, by base model?
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
  CAST(julianday(shutdown_date) - julianday(date('now')) AS INTEGER) AS days_left,
  provider,
  model,
  count(*) AS models
FROM ends
WHERE shutdown_date IS NOT NULL
GROUP BY shutdown_date, provider, model
ORDER BY shutdown_date, models DESC;
