-- Which jobs run far longer than others of their model, and may need to be cancelled?
WITH usual AS (
  SELECT model, avg(finished_at - created_at) AS seconds
  FROM fine_tuning_jobs
  WHERE status = 'succeeded'
  GROUP BY model
)
SELECT
  job.id,
  job.model,
  job.status,
  round((unixepoch() - job.created_at) / 3600.0, 1) AS hours,
  round(usual.seconds / 3600.0, 1) AS usual_hours,
  'SELECT cancel_job(''' || job.id || ''');' AS statement
FROM fine_tuning_jobs AS job
JOIN usual ON usual.model = job.model
WHERE job.status IN ('validating_files', 'queued', 'running', 'paused')
  AND unixepoch() - job.created_at > 3 * usual.seconds
ORDER BY hours DESC;
