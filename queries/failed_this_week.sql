-- What failed in the last seven days, and why?
SELECT
  strftime('%Y-%m-%d %H:%M', created_at, 'unixepoch') AS created,
  id,
  model,
  error ->> '$.code' AS code,
  error ->> '$.message' AS reason,
  training_file
FROM fine_tuning_jobs
WHERE status = 'failed' AND created_at >= unixepoch() - 7 * 86400
ORDER BY created_at DESC;
