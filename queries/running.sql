-- What is running right now, and for how long?
SELECT
  id,
  model,
  status,
  round((unixepoch() - created_at) / 3600.0, 1) AS hours,
  strftime('%Y-%m-%d %H:%M', estimated_finish, 'unixepoch') AS estimated_finish,
  metadata ->> '$.team' AS team
FROM fine_tuning_jobs
WHERE status IN ('validating_files', 'queued', 'running', 'paused')
ORDER BY created_at;
