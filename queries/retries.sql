-- After each failure, what was the next job with the same model, and did it succeed?
WITH sequence AS (
  SELECT
    model,
    id,
    status,
    created_at,
    lead(id) OVER following AS next_id,
    lead(status) OVER following AS next_status,
    lead(created_at) OVER following AS next_created_at
  FROM fine_tuning_jobs
  WINDOW following AS (PARTITION BY model ORDER BY created_at, id)
)
SELECT
  model,
  id AS failed_job,
  next_id AS next_job,
  next_status,
  round((next_created_at - created_at) / 3600.0, 1) AS hours_between
FROM sequence
WHERE status = 'failed'
ORDER BY created_at DESC;
